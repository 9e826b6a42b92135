"""Servers that paint, as stand-ins: AUTOMATIC1111's API in four dialects, and Adobe Firefly's.

The dialects are written from what is known of A1111 1.10, Forge, SD.Next and stable-diffusion.cpp: their fields,
defaults, answers and error bodies. Firefly's is written from Adobe's documentation (see `course_lib.painting.
firefly`); nobody here has seen the real one answer. What they paint is a plain colour that follows from prompt
and seed, so that a test can tell pictures apart.

    with WebUI("forge") as server:
        StableDiffusionService(server.url)

    python tests/painting_servers.py --seconds 0.5 --slots 4      a process of its own; prints its address
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import json
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from urllib.parse import parse_qs

from PIL import Image
from PIL.PngImagePlugin import PngInfo

# Shared fields of A1111 1.10 with their defaults, as far as a client may meet them
FIELDS = {
    "prompt": "", "negative_prompt": "", "styles": None, "seed": -1, "subseed": -1, "subseed_strength": 0,
    "sampler_name": None, "scheduler": None, "batch_size": 1, "n_iter": 1, "steps": 50, "cfg_scale": 7.0,
    "width": 512, "height": 512, "restore_faces": None, "tiling": None, "eta": None, "override_settings": None,
    "override_settings_restore_afterwards": True, "script_name": None, "script_args": [], "alwayson_scripts": {},
    "send_images": True, "save_images": False, "denoising_strength": 0.75, "sampler_index": "Euler",
}  # fmt: skip
IMG2IMG = {
    "init_images": None, "resize_mode": 0, "mask": None, "mask_blur": None, "inpainting_fill": 0,
    "inpaint_full_res": True, "inpaint_full_res_padding": 0, "inpainting_mask_invert": 0, "include_init_images": False,
}  # fmt: skip
DIALECTS = {
    "a1111": {},
    "forge": {"distilled_cfg_scale": 3.5},
    "sdnext": {"steps": 20, "width": 1024, "height": 1024, "cfg_scale": 6.0, "guidance_scale": 6.0},
    "sdcpp": {},
}


def colour(prompt: str, seed: int) -> tuple[int, int, int]:
    """What a prompt and a seed look like here."""
    return tuple(hashlib.sha256(f"{prompt}|{seed}".encode()).digest()[:3])


def png(image: Image.Image, infotext: str = "") -> str:
    buffer, chunks = BytesIO(), PngInfo()
    if infotext:
        chunks.add_text("parameters", infotext)
    image.save(buffer, "PNG", pnginfo=chunks)
    return base64.b64encode(buffer.getvalue()).decode()


def opened(text: str) -> Image.Image:
    """A picture of a request, in base64 or as a data URI."""
    image = Image.open(BytesIO(base64.b64decode(text.rpartition(",")[2], validate=True)))
    image.load()
    return image


class StandIn:
    """An HTTP server in threads. `requests` holds (method, path, headers, body); `most_at_once` is counted."""

    def __init__(self):
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.lock = threading.Lock()
        self.at_once = self.most_at_once = 0

    def __enter__(self):
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except ConnectionError:
                    self.close_connection = True  # the client hung up

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with stand_in.lock:
                    stand_in.requests.append((self.command, self.path, headers, body))
                status, content, more = stand_in.reply(self.command, self.path, headers, body)
                if status is None:  # gone without a word
                    self.close_connection = True
                    self.connection.close()
                    return
                if not isinstance(content, bytes):
                    content = json.dumps(content).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **more}.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if status != 204:
                    self.wfile.write(content)

            do_GET = do_POST = do_PUT = answer

            def log_message(self, *arguments):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request, address):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    @contextmanager
    def counted(self):
        with self.lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            yield
        finally:
            with self.lock:
                self.at_once -= 1

    def reply(self, method, path, headers, body) -> tuple:
        raise NotImplementedError


class WebUI(StandIn):
    """AUTOMATIC1111's API. `faults` maps the number of a painting request to what is answered in its place."""

    def __init__(
        self, dialect: str = "a1111", *, auth: str | None = None, seconds: float = 0.0, slots: int = 64
    ):
        super().__init__()
        self.dialect, self.auth, self.seconds = dialect, auth, seconds
        self.faults: dict[int, Callable] = {}
        self.change: dict = {}  # what the server does otherwise than asked
        self.painted: list[dict] = []  # the fields of each painting request, defaults filled in
        self.interrupted = threading.Event()
        self.slots = threading.Semaphore(slots)
        self.state = {"progress": 0.0}

    def asked(self, number: int = -1) -> dict:
        """The body of a painting request, as it was sent."""
        return json.loads([r for r in self.requests if r[1].endswith("2img")][number][3])

    def reply(self, method, path, headers, body) -> tuple:
        if self.auth is not None:
            expected = "Basic " + base64.b64encode(self.auth.encode()).decode()
            if headers.get("authorization") != expected:
                return 401, {"detail": "Not authenticated"}, {"WWW-Authenticate": "Basic"}
        route = path.partition("?")[0].removeprefix("/sdapi/v1/")
        if (method, route) in (("POST", "txt2img"), ("POST", "img2img")):
            status, answer = self.paint(route, body)
            content = json.dumps(answer).encode() if not isinstance(answer, bytes) else answer
            if self.dialect == "sdnext" and "gzip" in headers.get("accept-encoding", ""):
                return status, gzip.compress(content), {"Content-Encoding": "gzip"}
            return status, content, {}
        if (method, route) == ("GET", "samplers"):
            return 200, [{"name": "Euler", "aliases": [], "options": {}}], {}
        if (method, route) == ("GET", "sd-models"):
            return 200, [{"title": "tiny [abc]", "model_name": "tiny"}], {}
        if self.dialect != "sdcpp":
            if (method, route) == ("GET", "progress"):
                return (
                    200,
                    {"progress": self.state["progress"], "eta_relative": 0.0, "state": {}, "textinfo": None},
                    {},
                )
            if (method, route) == ("POST", "interrupt"):
                self.interrupted.set()
                return (204, b"", {}) if self.dialect == "sdnext" else (200, {}, {})
        return 404, {"detail": "Not Found"}, {}

    def paint(self, route: str, body: bytes) -> tuple:
        with self.lock:
            number = len(self.painted)
            sent = json.loads(body)
            known = FIELDS | (IMG2IMG if route == "img2img" else {}) | DIALECTS[self.dialect]
            # the rest is ignored
            fields = known | {name: value for name, value in sent.items() if name in known}
            self.painted.append(fields)
        if number in self.faults:
            return self.faults[number](self)
        init = None
        if route == "img2img":
            if not fields["init_images"]:
                return (400 if self.dialect == "sdnext" else 404), {"detail": "Init image not found"}
            init = opened(fields["init_images"][0])
        if fields["sampler_name"] not in (None, "Euler"):
            status = {"a1111": 404, "forge": 400}.get(self.dialect, 404)
            return status, {"detail": "Sampler not found"}
        with self.slots, self.counted():
            self.interrupted.clear()
            began = time.monotonic()
            for step in range(10):
                self.state["progress"] = step / 10
                left = began + self.seconds * (step + 1) / 10 - time.monotonic()
                if left > 0 and self.interrupted.wait(left):
                    break
        used = fields | self.change
        seed = used["seed"] if used["seed"] not in (-1, None, "") else 1234567
        size = (used["width"] // 8 * 8, used["height"] // 8 * 8)
        images, texts, seeds = [], [], []
        for offset in range(used["batch_size"] * used["n_iter"]):
            image = Image.new("RGB", size, colour(used["prompt"], seed + offset))
            if init is not None and fields["mask"] is not None:  # unmasked pixels are kept
                image = Image.composite(image, init.convert("RGB"), opened(fields["mask"]).convert("L"))
            text = (
                f"{used['prompt']}\nSteps: {used['steps']}, Seed: {seed + offset}, Size: {size[0]}x{size[1]}"
            )
            images.append(png(image, text))
            texts.append(text)
            seeds.append(seed + offset)
        if self.dialect == "sdcpp":
            return 200, {"images": images, "parameters": sent, "info": ""}
        info = {
            "prompt": used["prompt"], "negative_prompt": used["negative_prompt"], "seed": seed, "all_seeds": seeds,
            "width": size[0], "height": size[1], "sampler_name": used["sampler_name"] or "Euler",
            "cfg_scale": used["cfg_scale"], "steps": used["steps"], "batch_size": used["batch_size"],
            "denoising_strength": used["denoising_strength"] if init is not None else None,
            "sd_model_name": "tiny", "index_of_first_image": 0, "infotexts": texts,
        }  # fmt: skip
        return 200, {"images": images, "parameters": fields, "info": json.dumps(info)}


def broken(server: WebUI) -> tuple:
    """A 500, as the dialect words it."""
    if server.dialect == "forge":
        return 500, {"error": "RuntimeError", "detail": "", "body": "", "message": "CUDA out of memory"}
    return 500, {"error": "OutOfMemoryError", "detail": "", "body": "", "errors": "CUDA out of memory"}


def no_base64(server: WebUI) -> tuple:
    return 200, {"images": ["this is *not* base64"], "parameters": {}, "info": ""}


def no_picture(server: WebUI) -> tuple:
    return 200, {"images": [base64.b64encode(b"<html>").decode()], "parameters": {}, "info": "{}"}


def half_a_picture(server: WebUI) -> tuple:
    whole = base64.b64decode(png(Image.effect_noise((64, 64), 50)))
    return 200, {
        "images": [base64.b64encode(whole[: len(whole) // 2]).decode()],
        "parameters": {},
        "info": "",
    }


class Firefly(StandIn):
    """Adobe Firefly's API v3, from its documentation: token, upload, job, status, cancel, signed pictures."""

    CLIENT, SECRET, TOKEN = "client-1", "p8-secret-canary-0123", "token-canary-4567890"

    def __init__(self, *, polls: int = 1):
        super().__init__()
        self.polls, self.jobs, self.uploads, self.cancelled = polls, {}, {}, []
        self.failure: dict | None = None
        self.status_host: str | None = None

    def reply(self, method, path, headers, body) -> tuple:
        if (method, path) == ("POST", "/ims/token/v3"):
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            if (form.get("client_id"), form.get("client_secret")) != (self.CLIENT, self.SECRET):
                return (
                    400,
                    {"error": "invalid_client", "error_description": f"no {form.get('client_secret')}"},
                    {},
                )
            return 200, {"access_token": self.TOKEN, "token_type": "bearer", "expires_in": 86399}, {}
        if path.startswith("/pictures/"):
            if "authorization" in headers:  # a store refuses two kinds of authentication at once
                return 400, {"error": "InvalidRequest"}, {}
            job, _, number = path.removeprefix("/pictures/").partition("/")
            seed, size = self.jobs[job]["seeds"][int(number)], self.jobs[job]["size"]
            content = base64.b64decode(
                png(Image.new("RGB", size, colour(self.jobs[job]["body"]["prompt"], seed)))
            )
            return 200, content, {"Content-Type": "image/png"}
        if headers.get("authorization") != f"Bearer {self.TOKEN}" or headers.get("x-api-key") != self.CLIENT:
            return 401, {"error_code": "401013", "message": "Oauth token is not valid"}, {}
        if (method, path) == ("POST", "/v2/storage/image"):
            name = f"upload-{len(self.uploads)}"
            self.uploads[name] = opened(base64.b64encode(body).decode())
            return 200, {"images": [{"id": name}]}, {}
        if method == "POST" and path in ("/v3/images/generate-async", "/v3/images/fill-async"):
            asked = json.loads(body)
            if not 1 <= len(asked.get("prompt", "")) <= 1024:
                return 400, {"error_code": "validation_error", "message": "prompt"}, {}
            count = asked.get("numVariations", 1)
            size = asked.get("size", {"width": 2048, "height": 2048})
            job = f"urn:ff:jobs:{len(self.jobs)}"
            self.jobs[job] = {
                "body": asked, "headers": headers, "polls": 0, "size": (size["width"], size["height"]),
                "seeds": asked.get("seeds") or [100 + i for i in range(count)],
            }  # fmt: skip
            root = self.status_host or self.url
            return 202, {
                "jobId": job, "statusUrl": f"{root}/v3/status/{job}", "cancelUrl": f"{root}/v3/cancel/{job}",
            }, {}  # fmt: skip
        if method == "PUT" and path.startswith("/v3/cancel/"):
            self.cancelled.append(path.removeprefix("/v3/cancel/"))
            return 200, {}, {}
        if method == "GET" and path.startswith("/v3/status/"):
            name = path.removeprefix("/v3/status/")
            job = self.jobs[name]
            job["polls"] += 1
            if job["polls"] <= self.polls:
                return 200, {"jobId": name, "status": "running"}, {}
            if self.failure is not None:
                return 200, {"jobId": name, "status": "failed", **self.failure}, {}
            outputs = [
                {"seed": seed, "image": {"url": f"{self.url}/pictures/{name}/{i}"}}
                for i, seed in enumerate(job["seeds"])
            ]
            width, height = job["size"]
            result = {"size": {"width": width, "height": height}, "outputs": outputs}
            return 200, {"jobId": name, "status": "succeeded", "result": result}, {}
        return 404, {"error_code": "not_found", "message": path}, {}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=0.5, help="what a picture takes (default 0.5)")
    parser.add_argument("--slots", type=int, default=4, help="pictures painted at once (default 4)")
    arguments = parser.parse_args()
    with WebUI(seconds=arguments.seconds, slots=arguments.slots) as server:
        print(server.url, flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()

"""Adobe Firefly's REST API (v3, asynchronous) behind the same three calls.

A job is handed in, asked after, and its pictures are fetched from signed addresses. Written from Adobe's
documentation (developer.adobe.com/firefly-services/docs/firefly-api, read in November 2026: Authentication,
Using the asynchronous APIs, Image upload, Structure reference, Fill image, Terminology), and tested against
a stand-in written from the same pages, not against Adobe.

Image to image is a structure reference, which keeps outlines and depth, not pixels. In a mask white is filled,
as at A1111. There are no steps and no guidance scale.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from pydantic import SecretBytes, SecretStr

from .. import registry, settings
from ..addresses import on_this_machine
from ..chat.remote_images import fetch_image
from ..errors import AnswerError, CourseError, RefusalError, ServiceError, SettingsError
from ..images import ImageSource, encode, open_image
from ..settings import say
from . import parameters as check
from .failures import Words
from .masks import open_mask
from .picture import Picture
from .service import ImageService, one_or_many, warn_ignored
from .transport import Headers, Transport, check_address
from .watching import watched

BASE_URL = "https://firefly-api.adobe.io"
TOKEN_URL = "https://ims-na1.adobelogin.com/ims/token/v3"  # Adobe's identity service
SCOPES = "openid,AdobeID,session,additional_info,read_organizations,firefly_api,ff_apis"
MOST_CHARACTERS, MOST_PICTURES = 1024, 4
MOST_BYTES = 64 * 1024**2
POLL_SECONDS = 1.0
_TOKEN_MARGIN = 300  # seconds before its end that a token is replaced


class FireflyService(ImageService):
    """Paints through Adobe Firefly, for a client id and secret of the Adobe Developer Console.

    Without arguments FIREFLY_SERVICES_CLIENT_ID and FIREFLY_SERVICES_CLIENT_SECRET. `model` goes into the
    header x-model-version. `timeout` in seconds is for a whole job. A job, which is paid for, is handed in
    once.
    """

    name = "firefly"

    def __init__(
        self,
        client_id: str | None = None,
        client_secret: str | None = None,
        *,
        model: str | None = None,
        base_url: str = BASE_URL,
        token_url: str = TOKEN_URL,
        timeout: float = 300.0,
        retries: int = 2,
    ):
        self.client_id = settings.resolve("FIREFLY_SERVICES_CLIENT_ID", client_id).value
        secret = SecretStr(settings.resolve("FIREFLY_SERVICES_CLIENT_SECRET", client_secret).value or "")
        del client_secret  # some tools print a traceback with its variables
        if not (self.client_id and secret.get_secret_value()):
            raise SettingsError(
                say(
                    zh="Firefly 需要 Adobe Developer Console 的凭据，请设置 FIREFLY_SERVICES_CLIENT_ID 和 "
                    "FIREFLY_SERVICES_CLIENT_SECRET。",
                    en="Firefly needs credentials of the Adobe Developer Console, please set "
                    "FIREFLY_SERVICES_CLIENT_ID and FIREFLY_SERVICES_CLIENT_SECRET.",
                )
            )
        self.model = model or registry.image_model("firefly")
        self.base_url, self._token_url = check_address(base_url), check_address(token_url)
        self.timeout = timeout
        self._secret, self._token, self._valid_until = secret, SecretStr(""), 0.0
        self._lock = threading.Lock()
        words = Words("Adobe Firefly", start=_START, key=_KEY)
        self._identity = Transport(words, lambda: "", secrets=(secret,), timeout=60, retries=retries)
        self.transport = Transport(
            words,
            lambda: self.base_url,
            auth=Headers(self._headers),
            secrets=(secret,),
            timeout=60,
            retries=retries,
        )

    def __repr__(self) -> str:
        return f"FireflyService({self.base_url!r}, model={self.model!r})"

    def text_to_image(
        self,
        prompt: str,
        negative_prompt: str = "",
        width: int | None = None,
        height: int | None = None,
        steps: int | None = None,
        guidance_scale: float | None = None,
        seed: int | None = None,
        *,
        count: int | None = None,
        **fields: Any,
    ) -> Picture | list[Picture]:
        """A picture of the prompt. The API takes a few sizes alone, and says which; `fields` are its own."""
        self._warn(steps=steps, guidance_scale=guidance_scale)
        body = self._body(prompt, negative_prompt, seed, count, fields)
        if width is not None or height is not None:
            width, height = check.check_size(
                height if width is None else width, width if height is None else height
            )
            body["size"] = {"width": width, "height": height}
        return self._paint("/v3/images/generate-async", body, count)

    def image_to_image(
        self,
        init_image: ImageSource,
        prompt: str,
        strength: float = 0.75,
        *,
        negative_prompt: str = "",
        steps: int | None = None,
        guidance_scale: float | None = None,
        seed: int | None = None,
        count: int | None = None,
        **fields: Any,
    ) -> Picture | list[Picture]:
        """A picture of the prompt with the structure of `init_image`: the smaller `strength`, the closer."""
        check.check_strength(strength)
        self._warn(steps=steps, guidance_scale=guidance_scale)
        body = self._body(prompt, negative_prompt, seed, count, fields)
        source = self._upload(encode(open_image(init_image)))
        # Theirs runs from 1 to 100 and says how close to stay, ours how far to go.
        closeness = max(1, round(100 * (1 - strength)))
        body["structure"] = {"strength": closeness, "imageReference": {"source": source}}
        return self._paint("/v3/images/generate-async", body, count)

    def inpaint(
        self,
        init_image: ImageSource,
        mask_image: ImageSource,
        prompt: str,
        *,
        strength: float | None = None,
        negative_prompt: str = "",
        steps: int | None = None,
        guidance_scale: float | None = None,
        seed: int | None = None,
        count: int | None = None,
        **fields: Any,
    ) -> Picture | list[Picture]:
        """The picture with the white of the mask filled after the prompt."""
        self._warn(strength=strength, steps=steps, guidance_scale=guidance_scale)
        image = open_image(init_image)
        mask = open_mask(mask_image, image.size)
        body = self._body(prompt, negative_prompt, seed, count, fields)
        body |= {
            "image": {"source": self._upload(encode(image))},
            "mask": {"source": self._upload(encode(mask))},
            "size": {"width": image.width, "height": image.height},
        }
        return self._paint("/v3/images/fill-async", body, count)

    def identity(self) -> dict[str, Any]:
        return {"service": self.name, "model": self.model}

    def _warn(self, **asked: Any) -> None:
        warn_ignored("Adobe Firefly", (name for name, value in asked.items() if value is not None))

    def _body(
        self,
        prompt: str,
        negative_prompt: str,
        seed: int | None,
        count: int | None,
        fields: Mapping[str, Any],
    ) -> dict[str, Any]:
        pictures = check.check_whole("count", 1 if count is None else count, 1, MOST_PICTURES)
        body: dict[str, Any] = {
            "prompt": check.check_prompt(prompt, MOST_CHARACTERS),
            "numVariations": pictures,
        }
        if negative_prompt:
            body["negativePrompt"] = check.check_length(negative_prompt, MOST_CHARACTERS)
        if (seed := check.check_seed(seed)) is not None:
            body["seeds"] = [seed + number for number in range(pictures)]
        return body | dict(fields)

    def _headers(self) -> dict[str, SecretStr]:
        token = SecretStr(f"Bearer {self._access_token().get_secret_value()}")
        return {"Authorization": token, "x-api-key": SecretStr(self.client_id)}

    def _access_token(self) -> SecretStr:
        """The present token, a new one where it is about to end (they last a day)."""
        with self._lock:
            if time.monotonic() >= self._valid_until:
                form = {"grant_type": "client_credentials", "client_id": self.client_id, "scope": SCOPES}
                found = self._identity.json(
                    "POST",
                    self._token_url,
                    SecretBytes(
                        urlencode(form | {"client_secret": self._secret.get_secret_value()}).encode()
                    ),
                    headers={"Content-Type": "application/x-www-form-urlencoded"},
                    repeatable=True,
                )
                self._token, seconds = _take_token(found, self._identity.words)
                self.transport.secrets = (self._secret, self._token)
                self._valid_until = time.monotonic() + max(0.0, seconds - _TOKEN_MARGIN)
            return self._token

    def _upload(self, png: bytes) -> dict[str, str]:
        found = self.transport.json(
            "POST", "/v2/storage/image", png, headers={"Content-Type": "image/png"}, repeatable=True
        )
        try:
            return {"uploadId": str(found["images"][0]["id"])}
        except (KeyError, IndexError, TypeError):
            pass
        raise AnswerError(self.transport.words.not_the_protocol(), raw=str(found)[:1000])

    def _paint(self, path: str, body: dict[str, Any], count: int | None) -> Picture | list[Picture]:
        job: dict[str, Any] = {}

        def call(stop: threading.Event) -> list[Picture]:
            headers = {"x-model-version": self.model}
            job.update(self._object("POST", path, body, headers=headers, stop=stop))
            return self._collect(job, body, stop)

        made = watched(call, total=1, progress=None, interrupt=lambda: self._cancel(job), show=False)
        return one_or_many(made, count)

    def _collect(self, job: dict[str, Any], body: Mapping[str, Any], stop: threading.Event) -> list[Picture]:
        """Ask after the job until it has ended, and fetch its pictures."""
        address, deadline = self._trusted(job.get("statusUrl")), time.monotonic() + self.timeout
        while True:
            state = self._object("GET", address, repeatable=True, stop=stop)
            status = state.get("status")
            if status == "succeeded":
                break
            if status in ("failed", "canceled", "cancelled"):
                self._fail(state)
            if time.monotonic() > deadline or stop.wait(POLL_SECONDS):
                raise self.transport.words.too_slow()
        result = state.get("result") if isinstance(state.get("result"), dict) else state
        outputs = [one for one in result.get("outputs") or [] if isinstance(one, dict)]
        made = []
        for output in outputs:
            url = output.get("image", {}).get("url") if isinstance(output.get("image"), dict) else None
            if not isinstance(url, str):
                continue
            host = urlsplit(self.base_url).hostname
            # A signed address of a store; a stand-in on this machine is its own store.
            trusted = (host,) if on_this_machine(self.base_url) else ()
            image = fetch_image(url, max_bytes=MOST_BYTES, timeout=60.0, trusted_hosts=trusted)
            known = {
                "prompt": body["prompt"],
                "model": self.model,
                "width": image.width,
                "height": image.height,
            }
            known["negative_prompt"] = body.get("negativePrompt", "")
            if isinstance(output.get("seed"), int):
                known["seed"] = output["seed"]
            made.append(Picture.of(image, known))
        if not made:
            raise AnswerError(self.transport.words.not_the_protocol(), raw=str(state)[:1000])
        return made

    def _cancel(self, job: Mapping[str, Any]) -> None:
        try:
            self.transport.request("PUT", self._trusted(job.get("cancelUrl")), timeout=5, retries=0)
        except CourseError:
            pass  # not handed in yet, or over already

    def _fail(self, state: Mapping[str, Any]) -> None:
        said = str(state.get("message") or state.get("errors") or state.get("error_code") or state["status"])[
            :200
        ]
        kind = RefusalError if "unsafe" in said.lower() or "polic" in said.lower() else AnswerError
        raise kind(
            say(
                zh=f"Adobe Firefly 没有画出来：{said}，请换一种描述再试。",
                en=f"Adobe Firefly did not paint: {said}, please try again with another description.",
            ),
            raw=str(state)[:1000],
        )

    def _trusted(self, address: Any) -> str:
        """An address that the token may be sent to: the API's own, or another of Adobe's hosts."""
        parts = urlsplit(address if isinstance(address, str) else "")
        own = urlsplit(self.base_url)
        if (parts.scheme, parts.netloc) == (own.scheme, own.netloc) or (
            parts.scheme == "https" and (parts.hostname or "").endswith(".adobe.io")
        ):
            return address
        raise ServiceError(self.transport.words.not_the_protocol(), kind="server", raw=str(address)[:200])

    def _object(self, method: str, path: str, *arguments: Any, **options: Any) -> dict[str, Any]:
        found = self.transport.json(method, path, *arguments, **options)
        if isinstance(found, dict):
            return found
        raise AnswerError(self.transport.words.not_the_protocol(), raw=str(found)[:1000])


_START = ("请检查网络", "please check the network")
_KEY = (
    "请检查 FIREFLY_SERVICES_CLIENT_ID 和 FIREFLY_SERVICES_CLIENT_SECRET",
    "please check FIREFLY_SERVICES_CLIENT_ID and FIREFLY_SERVICES_CLIENT_SECRET",
)


def _take_token(found: Any, words: Words) -> tuple[SecretStr, float]:
    """The token out of an answer, and the seconds that it lasts; no variable keeps its text."""
    if isinstance(found, dict) and isinstance(found.get("access_token"), str):
        seconds = found.get("expires_in")
        return SecretStr(found.pop("access_token")), float(seconds) if isinstance(
            seconds, (int, float)
        ) else 3600.0
    raise AnswerError(words.not_the_protocol())

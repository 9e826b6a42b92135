"""`python -m little_world.server`: the local server in the foreground, until Ctrl+C."""

from __future__ import annotations

import argparse
import os
import sys
import time

from course_lib.errors import CourseError
from course_lib.settings import say


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m little_world.server",
        description="Serve local models over the protocols of OpenAI, Azure OpenAI and AUTOMATIC1111.",
    )
    parser.add_argument("--port", type=int, default=8000, help="0 is any free one (default 8000)")
    parser.add_argument("--host", default="127.0.0.1", help="default 127.0.0.1: this computer alone")
    parser.add_argument("--allow-remote", action="store_true", help="accept a host that others can reach")
    parser.add_argument("--vision-model", help="a model folder or a miniature's name (default mini-vlm)")
    parser.add_argument(
        "--sd-model", help="a diffusers folder, its id on the hub, or a miniature (default mini-sd)"
    )
    parser.add_argument(
        "--video-model",
        help="a motion adapter's folder (on top of --sd-model), a text-to-video folder of diffusers, or an id "
        "(default mini-motion)",
    )
    parser.add_argument(
        "--api-key",
        default=os.environ.get("LITTLE_WORLD_API_KEY"),
        help="ask OpenAI's clients for this key; LITTLE_WORLD_API_KEY keeps it out of the list of processes",
    )
    parser.add_argument(
        "--api-auth",
        default=os.environ.get("LITTLE_WORLD_API_AUTH"),
        metavar="NAME:PASSWORD",
        help="ask AUTOMATIC1111's clients for these (HTTP Basic); likewise LITTLE_WORLD_API_AUTH",
    )
    parser.add_argument("--blocklist", nargs="+", default=(), metavar="TERM", help="terms that are filtered")
    args = parser.parse_args(arguments)
    try:
        from .local import LocalServer

        server = LocalServer(
            args.vision_model,
            sd_model=args.sd_model,
            video_model=args.video_model,
            host=args.host,
            port=args.port,
            api_key=args.api_key,
            api_auth=args.api_auth,
            allow_remote=args.allow_remote,
            blocklist=args.blocklist,
        )
        with server:
            names = ", ".join(engine.name for engine in server.wanted)
            print(say(zh=f"正在加载 {names} ...", en=f"Loading {names} ..."), flush=True)
            server.wait()
            addresses = (f"base_url={server.url}/v1 model={server.model} sdapi={server.url}/sdapi/v1 "
                         f"sd_model={server.sd_model} video_model={server.video_model}")  # fmt: skip
            print(addresses + say(zh="，按 Ctrl+C 结束", en=", Ctrl+C ends it"), flush=True)
            while True:
                time.sleep(3600)
    except CourseError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()

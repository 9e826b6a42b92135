"""Bulk embedding on Ray Data: on this computer's cores, or, with RAY_ADDRESS, on a cluster.

Ray starts the workers, hands each one chunk after the other, and does again what was under way on one that died. A
worker writes its shard itself, so the folder of the shards must be one that all computers see, and the course must be
installed on all of them.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .embed_shards import Shard, embed_chunk
from .embed_source import Chunk
from .errors import CourseError, warn
from .settings import resolve, say
from .stores import Space

MOST_BLOCKS = 10_000  # units of work that Ray keeps account of


def run(
    chunks: Sequence[Chunk], model: str, folder: Path, space: Space, *, thumbnails: bool, workers: int | None
) -> Iterator[Shard]:
    """The shards of the chunks, in the order they are finished."""
    ray = _ray()
    with _cluster(ray, workers):
        size, share = pool(ray.cluster_resources(), workers)
        work = ray.data.from_items(
            [{"chunk": chunk.to_json()} for chunk in chunks],
            override_num_blocks=min(len(chunks), MOST_BLOCKS),
        )
        done = work.map_batches(
            _Worker,
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=min(size, len(chunks))),
            fn_constructor_args=(model, str(folder), json.dumps(vars(space)), thumbnails),
            **share,
        )
        try:
            for row in done.iter_rows():
                shard = json.loads(row["shard"])
                yield Shard(Path(shard["path"]), shard["good"], shard["failed"])
        except ray.exceptions.RayError as error:
            reason = getattr(error, "cause", None) or error
            raise CourseError(
                say(
                    zh=f"Ray 上的嵌入中断了（{str(reason)[:300]}）；已完成的不会重做，排除原因后请再运行一次。",
                    en=f"The work on Ray broke off ({str(reason)[:300]}); what is done stays done, please run it again "
                    "when the reason is mended.",
                )
            ) from error


def pool(resources: dict[str, float], asked: int | None) -> tuple[int, dict[str, float]]:
    """How many workers, and what each takes of a cluster's resources.

    A worker takes a GPU where there are any, else a core. A core is left free for Ray Data's own tasks: workers that
    took all would wait for these for ever, in silence.
    """
    free, gpus = int(resources.get("CPU", 0)) - 1, int(resources.get("GPU", 0))
    if free < 1:
        return 1, {"num_cpus": 0.5}
    most = min(free, gpus) if gpus else free
    if asked is not None and asked > most:
        warn(
            say(
                zh=f"集群只容得下 {most} 个工作进程（每个{'一块 GPU' if gpus else '一个核'}，留一个核读数据），不是 {asked} 个。",
                en=f"There is room for {most} workers ({'a GPU' if gpus else 'a core'} each, one core left for reading), "
                f"not for {asked}.",
            )
        )
    share = {"num_cpus": 1, "num_gpus": 1} if gpus else {"num_cpus": 1}
    return min(asked or most, most), share


class _Worker:
    """Holds the model, and embeds chunk after chunk (an actor of Ray)."""

    def __init__(self, model: str, folder: str, space: str, thumbnails: bool):
        from .clip import CLIPService

        self.service, self.folder, self.thumbnails = CLIPService(model), Path(folder), thumbnails
        self.space = Space(**json.loads(space))

    def __call__(self, rows: dict[str, np.ndarray]) -> dict[str, list[str]]:
        shards = [
            embed_chunk(
                Chunk.from_json(text), self.service, self.folder, self.space, thumbnails=self.thumbnails
            )
            for text in rows["chunk"]
        ]
        return {"shard": [json.dumps(asdict(shard) | {"path": str(shard.path)}) for shard in shards]}


@contextmanager
def _cluster(ray: Any, workers: int | None) -> Iterator[None]:
    """Ray, connected: to RAY_ADDRESS, or of this process's own, which ends with it."""
    if ray.is_initialized():
        yield  # whoever started it ends it
        return
    address = resolve("RAY_ADDRESS").value
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    # on a busy computer a start may take longer than the 30 seconds that Ray gives itself
    attempts = 1 if address else 3
    for attempt in range(1, attempts + 1):
        try:
            if address:
                ray.init(address=address, **quiet)
            else:
                cores = max(os.cpu_count() or 1, (workers or 0) + 1)
                ray.init(
                    "local", num_cpus=cores, include_dashboard=False, _node_ip_address="127.0.0.1", **quiet
                )
            break
        except Exception as error:  # Ray has no class of its own for this
            ray.shutdown()
            if attempt == attempts:
                raise _unreachable(address, str(error)[:200]) from error
    try:
        yield
    finally:
        ray.shutdown()


def _unreachable(address: str | None, reason: str) -> CourseError:
    if address:
        return CourseError(
            say(
                zh=f"连不上 RAY_ADDRESS={address} 的 Ray 集群（{reason}），请检查地址，或去掉它，只用本机。",
                en=f"The Ray cluster at RAY_ADDRESS={address} cannot be reached ({reason}), please check the address, or "
                "leave it out to use this computer alone.",
            )
        )
    return CourseError(
        say(
            zh=f"Ray 没有启动成功（{reason}），请再试一次，或用 --no-ray 在本进程里完成。",
            en=f"Ray did not start ({reason}), please try again, or work in this process with --no-ray.",
        )
    )


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise CourseError(
            say(
                zh="这需要 Ray，请运行 pip install 'ray[data]'，或去掉 --ray，在本进程里完成。",
                en="This needs Ray, please run pip install 'ray[data]', or leave out --ray to work in this process.",
            )
        ) from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # the caller has one
    context.max_consecutive_actor_init_deaths = 3  # a worker may be killed while it loads its model, too
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    for chatty in ("ray.data._internal.progress", "ray._private.authentication"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    return ray

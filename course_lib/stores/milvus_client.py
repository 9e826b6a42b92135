"""How a Milvus server is reached: its address, the client, and the client's errors as one sentence."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ..settings import resolve, say
from .protocol import StoreError

TIMEOUT = 60  # seconds for a request
NOT_FOUND, NOT_LOADED = 100, 101  # Milvus's error codes, as those below
CONNECT_FAILED = 2


class NotLoaded(StoreError):
    """The collection is there and not in the servers' memory: they have just started, or somebody released it."""


def parsed(address: str) -> tuple[str, str, dict[str, str]]:
    """Url, collection and options of "milvus+http://host:19530/collection?name=value"."""
    parts = urlsplit(address)
    collection = parts.path.strip("/")
    try:
        port = parts.port or 19530
    except ValueError:
        raise bad_address(address) from None
    right = parts.scheme in ("milvus+http", "milvus+https") and parts.hostname and not parts.username
    if not (right and collection.isascii() and collection.isidentifier()):
        raise bad_address(address)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme.removeprefix('milvus+')}://{host}:{port}", collection, dict(parse_qsl(parts.query))


def bad_address(address: str) -> StoreError:
    place = address.rpartition("@")[2]  # what stands before it may be a password
    return StoreError(
        say(
            zh=f"看不懂 Milvus 的地址（{place}），请写成 milvus+http://主机:19530/集合名，集合名只含字母、数字和下划线，"
            "后面可以加 ?consistency=Bounded 或 &index=HNSW；密码请放在 MILVUS_TOKEN 里。",
            en=f"{place} is no address of Milvus, please write milvus+http://host:19530/collection, the collection "
            "in letters, digits and underscores, ?consistency=Bounded or &index=HNSW behind it if you like, and a "
            "password in MILVUS_TOKEN.",
        )
    )


def connect(url: str) -> Any:
    """A client of the server, which has answered."""
    try:
        from pymilvus import MilvusClient
    except ImportError as error:
        raise StoreError(
            say(
                zh="连接 Milvus 需要 pymilvus，请运行 pip install pymilvus。",
                en="Milvus is reached through pymilvus, please run pip install pymilvus.",
            )
        ) from error
    # it logs a traceback for each error that it raises
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    with plainly(url):
        return MilvusClient(url, token=resolve("MILVUS_TOKEN").value or "", timeout=TIMEOUT)


@contextmanager
def plainly(address: str) -> Iterator[None]:
    """The client's errors as a `StoreError`."""
    from grpc import RpcError
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except (RpcError, MilvusException) as error:
        raise _explained(error, address) from error


def _explained(error: Exception, address: str) -> StoreError:
    place, cause = urlsplit(address).netloc, error.__cause__ or error  # behind "fail connecting" stands why
    code = cause.code() if callable(getattr(cause, "code", None)) else getattr(error, "code", None)
    name = getattr(code, "name", code)
    if name in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        message = say(
            zh=f"{place} 上的 Milvus 要求验证身份，请把“用户名:密码”或密钥放在 MILVUS_TOKEN 里（环境变量或 .env）。",
            en=f"Milvus at {place} wants to know who you are, please put user:password, or a key, into MILVUS_TOKEN (in "
            "the environment or .env).",
        )
    elif name in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", CONNECT_FAILED):
        message = say(
            zh=f"{place} 上的 Milvus 没有应答，请检查它是否在运行，然后再试；正在写的那一批可能写成，也可能没有写成。",
            en=f"Milvus at {place} does not answer, please check that it runs and try again; what was being written may "
            "be there or not.",
        )
    elif name == "RESOURCE_EXHAUSTED":
        message = say(
            zh=f"一次的数据超过了 {place} 上 Milvus 的上限，请减小 top_k 或每批的数量。",
            en=f"That is more at once than Milvus at {place} allows, please use a smaller top_k, or smaller batches.",
        )
    elif name == NOT_FOUND:
        message = say(
            zh=f"{place} 上 Milvus 的集合已被删除，请重新打开这个索引。",
            en=f"The collection was removed from Milvus at {place}, please open this index again.",
        )
    else:
        text = str(getattr(error, "message", None) or error)[:200]
        message = say(
            zh=f"{place} 上的 Milvus 拒绝了请求（{text}），请查看它的日志。",
            en=f"Milvus at {place} turned the request down ({text}), please look at its log.",
        )
    return (NotLoaded if name == NOT_LOADED else StoreError)(message)

"""Where a search engine keeps its vectors: one protocol, and the stores that speak it."""

from __future__ import annotations

import os

from ..settings import say
from .protocol import Hit, Item, Space, StoreError, VectorStore

__all__ = ["Hit", "Item", "Space", "StoreError", "VectorStore", "open_store"]


def open_store(store: str | os.PathLike | VectorStore | None) -> VectorStore:
    """The store that `store` names: None is in memory, a path is a folder on disk, a store is itself.

    "milvus+http://host:19530/collection" is a collection on a Milvus server. Raises `StoreError` for an address
    that no backend here speaks, and for a folder or a server that cannot be used.
    """
    if store is None or isinstance(store, (str, os.PathLike)):
        address = "" if store is None else os.fspath(store)
        if address.startswith("milvus+"):
            from .milvus import MilvusStore

            return MilvusStore(address)
        if "://" in address:
            raise StoreError(
                say(
                    zh=f"不认识存储地址 {address}，请传入文件夹路径，或不传（只存于内存）。",
                    en=f"No store answers to {address}, please pass a folder's path, or nothing to stay in "
                    "memory.",
                )
            )
        from .embedded import EmbeddedStore

        return EmbeddedStore(None if store is None else store)
    return store

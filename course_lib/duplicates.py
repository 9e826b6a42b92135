"""Which pictures of a store are nearly the same."""

from __future__ import annotations

import numpy as np

from .stores import VectorStore

FIRST = 8  # neighbours asked for at first
AT_ONCE = 100_000  # neighbours held at a time


def groups(store: VectorStore, threshold: float) -> list[list[str]]:
    """Ids that hang together by pairs of cosine >= `threshold`: groups of two or more, the largest first,
    each in the order it was added.

    Every vector is searched for its neighbours, and for more of them as long as the last one is a duplicate.
    """
    leader: dict[str, str] = {}  # of each id, one nearer to its group's first (a union-find forest)

    def first_of(image_id: str) -> str:
        while leader[image_id] != image_id:
            leader[image_id] = image_id = leader[leader[image_id]]
        return image_id

    order: dict[str, int] = {}
    for ids, vectors in store.batches():
        for image_id in ids:
            order[image_id] = len(order)
            leader.setdefault(image_id, image_id)
        pending, count = np.arange(len(ids)), FIRST
        while len(pending):
            more, step = [], max(1, AT_ONCE // count)
            for start in range(0, len(pending), step):
                some = pending[start : start + step]
                for at, hits in zip(some, store.search(vectors[some], count), strict=True):
                    for hit in hits:
                        if hit.score >= threshold:
                            leader.setdefault(hit.id, hit.id)
                            leader[first_of(hit.id)] = first_of(ids[at])
                    if len(hits) == count and hits[-1].score >= threshold:
                        more.append(at)
            pending = np.array(more, int)
            count *= FIRST
    members: dict[str, list[str]] = {}
    for image_id in order:
        members.setdefault(first_of(image_id), []).append(image_id)
    return sorted((group for group in members.values() if len(group) > 1), key=len, reverse=True)

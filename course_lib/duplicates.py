"""Which pictures of a store are nearly the same."""

from __future__ import annotations

import numpy as np

from .stores import VectorStore

FIRST = 8  # neighbours asked for at first


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
            found = store.search(vectors[pending], count)
            for at, hits in zip(pending, found, strict=True):
                for hit in hits:
                    if hit.score >= threshold:
                        leader.setdefault(hit.id, hit.id)
                        leader[first_of(hit.id)] = first_of(ids[at])
            pending = pending[[len(hits) == count and hits[-1].score >= threshold for hits in found]]
            count *= FIRST
    members: dict[str, list[str]] = {}
    for image_id in order:
        members.setdefault(first_of(image_id), []).append(image_id)
    return sorted((group for group in members.values() if len(group) > 1), key=len, reverse=True)

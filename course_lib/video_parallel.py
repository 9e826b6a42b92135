"""Frames from several places of a file at once: a decoder in a thread of its own for each part of them.

A decoder's own threads help it with frames that follow one another, and hardly with a few that lie far apart.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from .video_decoding import Decoder
from .video_index import LOGGING, FrameIndex
from .video_pixels import PixelReader

WORTH = 50e6  # pixels to decode; with fewer, opening the file again takes longer than it saves

Opened = Callable[[], tuple[InputContainer, VideoStream]]


def parts(index: FrameIndex, ids: Sequence[int], frame_pixels: int) -> list[list[int]]:
    """Ascending frame numbers in as many runs as pay, of about the same work; what begins at one keyframe stays together."""
    chosen = np.array(ids)
    starts, places = index.start[chosen], index.place[chosen]
    is_new = np.append(True, starts[1:] != starts[:-1])
    # the last packet that need not be decoded for it
    before = np.where(is_new, starts - 1, np.append(0, places[:-1]))
    work = np.cumsum(np.maximum(places - before, 1))
    count = min(os.cpu_count() or 1, int(is_new.sum()))
    if count < 2 or not index.timed or work[-1] * frame_pixels < WORTH:
        return [list(ids)]
    number = np.where(is_new, count * np.append(0, work[:-1]) // work[-1], 0)
    return [
        run.tolist() for run in np.split(chosen, np.flatnonzero(np.diff(np.maximum.accumulate(number))) + 1)
    ]


def read_parts(
    runs: list[list[int]], index: FrameIndex, open_again: Opened
) -> tuple[list[tuple[int, np.ndarray | None]], int]:
    """Each frame's number with its RGB pixels, or None where it cannot be decoded; and how many packets were damaged.

    `open_again` opens the file, for each run anew.
    """
    threads = max(1, (os.cpu_count() or 1) // len(runs))

    def read(ids: list[int]) -> tuple[list[tuple[int, np.ndarray | None]], int]:
        container, stream = open_again()
        stream.codec_context.thread_count = threads
        decoder, pixels = Decoder(container, stream, index, open_again), PixelReader()
        wanted = np.zeros(len(index), bool)
        wanted[ids] = True
        try:
            frames = ((i, decoder.fetch(i, wanted)) for i in ids)
            return [(i, None if frame is None else pixels(frame)) for i, frame in frames], decoder.damaged
        finally:
            with LOGGING:
                decoder.container.close()

    with ThreadPoolExecutor(len(runs)) as pool:
        found, damaged = zip(*pool.map(read, runs))
    return list(chain(*found)), sum(damaged)

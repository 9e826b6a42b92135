"""What the search-and-ask app does, without its widgets: take pictures in, find them, ask about one or about many.

These are the steps that exercise 3 lets a learner write; the app (`course_lib.app`) works with theirs as with these.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from .batching import batch
from .errors import CourseError, ImageError, TextError
from .images import ImageSource
from .settings import say

if TYPE_CHECKING:
    from .search import ImageSearchEngine
    from .vqa import VisualQA

MOST_BYTES = 30 * 1024**2  # of one uploaded file; Jupyter's own limit for a message is not far above

Found = list[tuple[str, float | None]]  # ids with scores, best first; None where nothing was searched for


class Reply(TypedDict):
    """An answer as the app shows it: its text, who gave it, how sure it is (None: not said), and what else to know."""

    text: str
    model: str
    sure: float | None
    note: str


def add(
    engine: ImageSearchEngine,
    files: Sequence[tuple[str, bytes]],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[dict[str, ImageSource], list[tuple[str, str]]]:
    """Take uploaded files `(name, content)` into the engine: the pictures added, by id, and `(name, why)` of the rest.

    The pictures are the files' bytes, which take a tenth of the memory that they would take decoded.

    An id is a digest of the content, so that two different files called photo.png are two pictures, and the same file
    uploaded twice is one. `progress(done, total)` is called after each file. No file stops the others.
    """
    added: dict[str, ImageSource] = {}
    refused: list[tuple[str, str]] = []
    for number, (name, content) in enumerate(files, 1):
        picture_id = hashlib.sha256(content).hexdigest()[:16]
        try:
            if picture_id in engine:
                raise ImageError(
                    say(zh="这张图已经在图库里了。", en="This picture is in the gallery already.")
                )
            if len(content) > MOST_BYTES:
                raise ImageError(
                    say(
                        zh=f"文件超过 {MOST_BYTES >> 20} MB，请先缩小。",
                        en=f"The file is larger than {MOST_BYTES >> 20} MB, please make it smaller first.",
                    )
                )
            engine.add_image(picture_id, content, {"name": name})
            added[picture_id] = content
        except CourseError as error:
            refused.append((name, str(error)))
        progress(number, len(files))
    return added, refused


def find(
    engine: ImageSearchEngine, words: str = "", picture: ImageSource | None = None, top_k: int = 12
) -> Found:
    """The pictures that fit the words, are like the picture, or both; none where nothing is asked for."""
    words = words.strip()
    if not words and picture is None:
        return []
    results = engine.search(text=words or None, image=picture, top_k=top_k)
    return [(result.id, result.score) for result in results]


def ask(vqa: VisualQA, picture: ImageSource, question: str) -> Reply:
    """The answer of the vision chat, or where it fails CLIP's, which says so.

    Raises `TextError` for no question, and `ImageError` for no picture.
    """
    note = ""
    try:
        said, model = vqa.answer(picture, question), vqa.client.endpoint.model
    except (TextError, ImageError):
        raise  # nobody could answer that
    except CourseError as error:
        note = str(error)
        said, model = vqa.answer(picture, question, use_gpt4v=False), vqa.clip_service.name
    return Reply(
        text=str(said), model=model, sure=said.confidence, note=" ".join(filter(None, [said.reason, note]))
    )


def ask_all(
    answer: Callable[[Any, str], Reply],
    pictures: Mapping[str, ImageSource],
    question: str,
    at_once: int = 4,
) -> tuple[dict[str, Reply], list[tuple[str, int]], dict[str, str]]:
    """One question to many pictures: the reply of each, how often each text was said (the most frequent first), and
    why the others have none. `answer(picture, question)` is asked, up to `at_once` times at a time."""
    outcomes = batch(
        lambda one: answer(pictures[one], question), pictures, max_workers=at_once, progress=False
    )
    replies = {outcome.item: outcome.value for outcome in outcomes if outcome.ok}
    failed = {outcome.item: str(outcome.error) for outcome in outcomes if not outcome.ok}
    counts = Counter(plain(reply["text"]) for reply in replies.values())
    return replies, counts.most_common(), failed


def plain(text: str) -> str:
    """A short answer without what does not change it: case, blanks, the full stop at its end, an English article."""
    words = text.casefold().strip(" \n\t.。!！").split()
    return " ".join(words[1:] if len(words) > 1 and words[0] in ("a", "an", "the") else words)


def recall_at_k(rankings: Iterable[Sequence[str]], relevant: Iterable[set[str]], k: int) -> float:
    """R@k: the share of queries that have one of their relevant pictures among the first k found."""
    hits = [bool(set(ranking[:k]) & right) for ranking, right in zip(rankings, relevant, strict=True)]
    return sum(hits) / len(hits)


def accuracy(answers: Iterable[str | None], truths: Iterable[str]) -> float:
    """The share of answers that say what is true, as `plain` reads them; None, no answer, is wrong."""
    right = [a is not None and plain(a) == plain(truth) for a, truth in zip(answers, truths, strict=True)]
    return sum(right) / len(right)

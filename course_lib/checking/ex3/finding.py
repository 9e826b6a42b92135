"""Steps 1 and 2 of exercise 3: taking uploaded pictures in, and finding them again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...images import encode, open_image
from ...search import ImageSearchEngine
from ...settings import say
from ..guard import another_process
from ..step import Step, check
from . import mistakes_finding as mistakes
from .bench import Bench, bomb, turned


class FindingChecks(Bench):
    """The checks of steps 1 and 2."""

    # ----------------------------------------------------------------------------------------------- 1 add

    @check(zh="第 1 步：收下图片", en="Step 1: taking pictures in")
    def add(self, step: Step, function: Callable) -> None:
        """`function(engine, files, progress) -> ({id: picture}, [(name, why)])`, files as `(name, content)`."""
        files, good = self._files()
        bad = [name for name, content in files if name not in good]
        engine, calls = ImageSearchEngine(self.clip), []
        progress = lambda done, total: calls.append((done, total))  # noqa: E731
        found = step.call(function, engine, list(files), progress, hints=mistakes.add_hints())
        wrong = mistakes.added_and_refused(found)
        step.require(
            not wrong,
            say(zh="返回收下的 {编号: 图片} 和没收下的 [(文件名, 原因)]", en="{id: picture} of those taken and [(name, why)] "
                "of the others are returned"),
            wrong,
        )  # fmt: skip
        added, refused = found
        pictures = [
            open_image(content) for name, content in files if name in good and name != "cat again.png"
        ]
        step.require(
            len(engine) == len(pictures) and len(added) == len(pictures),
            say(
                zh=f"{len(pictures)} 张不同的图片都进了图库",
                en=f"the {len(pictures)} different pictures are in",
            ),
            mistakes.how_many(len(engine), len(added), len(pictures)),
        )
        wrong = mistakes.pictures(engine, added, pictures, [name for name in good if name != "cat again.png"])
        step.require(
            not wrong,
            say(
                zh="每张都能搜到自己，方向和名字都对",
                en="each finds itself, the right way up and under its name",
            ),
            wrong,
        )
        wrong = mistakes.refusals(refused, [*bad, "cat again.png"])
        step.require(
            not wrong,
            say(
                zh="坏文件、重复的文件没有收下，各有一句说明",
                en="damaged files and the repeated one are refused, each with a sentence",
            ),
            wrong,
        )
        wrong = mistakes.progress(calls, len(files))
        step.require(
            not wrong,
            say(zh="进度从头报到尾，坏文件也算", en="progress is reported to the end, bad files included"),
            wrong,
        )
        with another_process(function):
            again = step.call(function, engine, list(files), progress, hints=mistakes.add_hints())
        step.require(
            len(engine) == len(pictures) and len(again[0]) == 0,
            say(zh="同样的文件再上传一次，图库不变", en="the same files once more change nothing"),
            say(
                zh="再传一次（换一个进程），同样的图片又进来了：编号应由内容决定（摘要，例如 hashlib.sha256），"
                "不要用序号、时间、随机数，也不要用 hash()（每个进程都不同）。",
                en="Uploaded once more, in another process, the same pictures came in again: the content "
                "must decide the id, by a digest such as hashlib.sha256; no number, time or chance, nor "
                "hash(), which differs in each process.",
            ),
        )

    def _files(self) -> tuple[list[tuple[str, bytes]], list[str]]:
        """Uploads of every sort, and the names of those that are pictures."""
        one, two, three, four, five = self.draw(1, [{"kind": kind} for kind in list(self.words["kind"])[:5]])
        tall = four.crop((0, 0, four.width // 2, four.height))
        whole = encode(two)
        files = [
            ("cat.png", encode(one)),
            ("notes.png", b"These are notes, not a picture.\n" * 20),
            ("photo.png", whole),
            ("half.png", whole[: len(whole) // 2]),
            ("cat again.png", encode(one)),
            ("photo.png", encode(three)),
            ("huge.png", bomb()),
            ("photo.png", encode(five)),
            ("turned.jpg", turned(tall)),
            ("empty.png", b""),
        ]
        return files, ["cat.png", "photo.png", "cat again.png", "photo.png", "photo.png", "turned.jpg"]

    # ---------------------------------------------------------------------------------------------- 2 find

    @check(zh="第 2 步：找图", en="Step 2: finding pictures")
    def find(self, step: Step, function: Callable) -> None:
        """`function(engine, words="", picture=None, top_k=12) -> [(id, score), ...]`, best first."""
        kinds = list(self.words["kind"])
        pictures = self.draw(2, [{"kind": kind} for kind in kinds])
        ids = [f"p{i:02d}" for i in np.random.default_rng(5).permutation(len(kinds))]
        engine = ImageSearchEngine(self.clip)
        engine.add_images(dict(zip(ids, pictures)), progress=False)
        vectors = self.clip.encode_image(pictures, progress=False)
        hints = mistakes.find_hints()

        words = self.words["kind"][kinds[1]]
        found = step.call(function, engine, words, None, 7, hints=hints)
        wrong = mistakes.result_list(found)
        step.require(
            not wrong, say(zh="返回 (编号, 分数) 的列表", en="a list of (id, score) is returned"), wrong
        )
        cosines = vectors @ self.clip.encode_text([words], progress=False)[0]
        wrong = mistakes.ranking(found, ids, cosines, 7)
        step.require(
            not wrong,
            say(zh="按文字找：最接近的 top_k 张，从高到低", en="by words: the nearest top_k, best first"),
            wrong,
        )
        right = sum(step.call(function, engine, self.words["kind"][kind], None, 1)[0][0] == i
                    for kind, i in zip(kinds, ids))  # fmt: skip
        step.require(
            right > len(kinds) / 2,
            say(
                zh=f"{len(kinds)} 个词，第一名就对的有 {right} 个（瞎猜约 1 个）",
                en=f"of {len(kinds)} words, {right} find their picture first (guessing: about 1)",
            ),
            say(
                zh="换了词，结果没有跟着变：请使用参数 words。",
                en="Other words change nothing: use the parameter words.",
            ),
        )
        (query,) = self.draw(3, [{"kind": kinds[2]}])
        for blank in ("", "  "):
            found = step.call(function, engine, blank, query, 5, hints=hints)
            wrong = mistakes.result_list(found) or mistakes.ranking(
                found, ids, vectors @ self.clip.encode_image([query], progress=False)[0], 5
            )
            step.require(
                not wrong,
                say(zh="按图片找：最像的几张", en="by a picture: the most alike")
                if not blank
                else say(zh="只有空格的文字等于没有", en="words that are only blanks are none"),
                wrong and mistakes.by_picture(found, wrong),
            )
        every = len(engine)
        both = step.call(function, engine, words, query, every, hints=hints)
        expected = engine.search(text=words, image=query, top_k=every).ids
        step.require(
            [one[0] for one in both] == expected,
            say(zh="文字和图片都给：两样都算", en="words and a picture together: both count"),
            mistakes.together(
                [one[0] for one in both],
                engine.search_by_text(words, every).ids,
                engine.search_by_image(query, every).ids,
            ),
        )
        nothing = [_listed(step.call(function, engine, blank, None, 5, hints=hints)) for blank in ("", " \n")]
        step.require(
            nothing == [[], []],
            say(zh="什么都没给，就什么都没找到", en="nothing asked, nothing found"),
            say(
                zh="什么都没给时应返回空列表，不要去问模型。",
                en="Where nothing is asked the list should be empty, without asking the model.",
            ),
        )


def _listed(found: Any) -> Any:
    return list(found) if isinstance(found, (list, tuple)) else found

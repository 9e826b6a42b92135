"""From a wrong way of taking in or finding pictures to the likely mistake, in one sentence that says what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from ...settings import say
from .bench import same


def add_hints() -> dict[str, str]:
    """What an error that ends the uploading means."""
    return {
        r"already|已经|StoreError": say(
            zh="两个不同的文件同名（photo.png），编号撞上了：编号应由内容决定，例如 hashlib.sha256(content).hexdigest()。",
            en="Two different files have one name (photo.png) and their ids collide: let the content decide the id, "
            "hashlib.sha256(content).hexdigest() for instance.",
        ),
        r"ImageError|DecompressionBomb|UnidentifiedImage|OSError|SyntaxError": say(
            zh="一个坏文件让整批都停了：请对每个文件单独 try，except CourseError，记下 str(error)，继续下一个。",
            en="One bad file stopped all of them: give each file a try of its own, except CourseError, keep "
            "str(error), go on with the next.",
        ),
        r"not JSON serializable|JSON": say(
            zh='metadata 里只能放 JSON 能写的东西，请写 {"name": name}。',
            en='metadata may hold what JSON can: {"name": name}.',
        ),
    }


def added_and_refused(found: Any) -> str:
    if isinstance(found, (tuple, list)) and len(found) == 2:
        added, refused = found
        if (
            isinstance(added, Mapping)
            and not isinstance(refused, (str, Mapping))
            and hasattr(refused, "__len__")
        ):
            return ""
    return say(
        zh="请返回两样：字典 {编号: 图片} 和列表 [(文件名, 原因), ...]；同名的坏文件可能不止一个，所以后者不是字典。",
        en="Return two things: a dictionary {id: picture}, and a list [(name, why), ...], no dictionary, since two "
        "bad files may share a name.",
    )


def how_many(inside: int, added: int, wanted: int) -> str:
    """Why there are not `wanted` pictures in the engine, or in what was returned."""
    if inside > wanted:
        return say(
            zh=f"图库里有 {inside} 张，应为 {wanted} 张：同一张图换个文件名又收了一次，编号应由内容决定。",
            en=f"There are {inside} pictures in the engine where {wanted} belong: the same one came in again under "
            "another name; the content must decide the id.",
        )
    if inside < wanted:
        return say(
            zh=f"图库里只有 {inside} 张，应为 {wanted} 张：同名的两张不同的图，后一张不能顶掉前一张；坏文件后面的也要收。",
            en=f"There are {inside} pictures in the engine where {wanted} belong: two different ones of the same name "
            "are two, and what comes after a bad file is taken, too.",
        )
    return say(
        zh=f"返回的字典里有 {added} 张，图库里有 {inside} 张：收下一张就记一张，没收下的不要放进去。",
        en=f"{added} pictures are returned and {inside} are in the engine: note each one that was taken, and no other.",
    )


def pictures(
    engine: Any, added: Mapping[str, Any], truth: Sequence[Image.Image], names: Sequence[str]
) -> str:
    """What is wrong with the pictures that were taken."""
    for picture, name in zip(truth, names):
        hit = engine.search_by_image(picture, 1)[0]
        if hit.id not in added:
            return say(
                zh=f"字典里没有编号 {hit.id}：字典的键就是加入图库时用的编号。",
                en=f"The dictionary has no {hit.id}: its keys are the ids under which the pictures were added.",
            )
        if hit.score < 0.999 or not same(added[hit.id], picture):
            return say(
                zh=f"{name} 收进来变了样（例如手机照片躺倒了）：请用 course_lib 的 open_image 打开，它会按 EXIF 摆正。",
                en=f"{name} is not itself any more (a telephone's picture lies on its side, say): open it with "
                "course_lib's open_image, which heeds EXIF.",
            )
        if engine.get(hit.id).metadata.get("name") != name:
            return say(
                zh=f'{name} 的文件名没有留下，用户只会看到一串编号：add_image(编号, 图片, {{"name": name}})。',
                en=f'The name of {name} is lost, and users will see an id: add_image(id, picture, {{"name": name}}).',
            )
    return ""


def refusals(refused: Sequence[Any], wanted: Sequence[str]) -> str:
    """What is wrong with the list of what was refused."""
    try:
        found = {name: why for name, why in refused}
    except (TypeError, ValueError):
        return say(
            zh="没收下的每一项应是 (文件名, 原因)。",
            en="Each entry of what was refused should be (name, why).",
        )
    if missing := [name for name in wanted if name not in found]:
        return say(
            zh=f"{missing[0]} 没有收下，也没有说明：不能悄悄丢掉，请把它和原因放进列表。",
            en=f"{missing[0]} was neither taken nor mentioned: drop nothing in silence, put it into the list with "
            "the reason.",
        )
    if extra := [name for name in found if name not in wanted]:
        return say(
            zh=f"{extra[0]} 是好图，却出现在没收下的列表里。",
            en=f"{extra[0]} is a good picture, and among the refused.",
        )
    for name, why in found.items():
        if (
            not isinstance(why, str)
            or len(why) < 6
            or "Error(" in why
            or "Traceback" in why
            or "\n" in why.strip()
        ):
            return say(
                zh=f"{name} 的原因写的是 {str(why)[:60]!r}，用户看不懂：请用 str(error)，课程库的错误本来就是一句话。",
                en=f"The reason given for {name} is {str(why)[:60]!r}, which tells users nothing: use str(error), the "
                "library's errors are one sentence.",
            )
    return ""


def progress(calls: Sequence[tuple[int, int]], total: int) -> str:
    """What is wrong with how progress was reported."""
    if not calls:
        return say(
            zh="进度一次也没有报：每处理完一个文件，调用 progress(做完几个, 一共几个)。",
            en="Progress was never reported: call progress(done, total) after each file.",
        )
    done = [one for one, _ in calls if one > 0]
    if done == list(range(1, total + 1)) and all(all_ == total for _, all_ in calls):
        return ""
    if done and done[-1] < total:
        return say(
            zh=f"进度停在 {calls[-1][0]} / {calls[-1][1]}，没有到头：坏文件也算处理完了，progress 放在 try 之外。",
            en=f"Progress stops at {calls[-1][0]} of {calls[-1][1]}: a bad file is done, too, call progress outside "
            "the try.",
        )
    return say(
        zh=f"报的进度是 {list(calls)[:4]} ……，应为 (1, {total})、(2, {total})……",
        en=f"The progress reported is {list(calls)[:4]} ..., it should be (1, {total}), (2, {total}) ...",
    )


# --------------------------------------------------------------------------------------------------- finding


def find_hints() -> dict[str, str]:
    return {
        r"TextError": say(
            zh="空的文字不能交给模型：请先 words.strip()，没有内容就当没有给。",
            en="Empty words are nothing to ask the model: strip() them, and where nothing is left they were not given.",
        ),
        r"StoreError.*(text|文字|picture|both)": say(
            zh="文字和图片都没有时，不要调用 engine.search，直接返回空列表。",
            en="Where there are neither words nor a picture, do not call engine.search, return an empty list.",
        ),
    }


def result_list(found: Any) -> str:
    """Why what was returned is no list of (id, score)."""
    if isinstance(found, Mapping) or not isinstance(found, (list, tuple)):
        return say(
            zh=f"返回的是 {type(found).__name__}，应为 [(编号, 分数), ...]。",
            en=f"A {type(found).__name__} is returned where [(id, score), ...] was asked for.",
        )
    for one in found:
        if isinstance(one, Mapping):
            return say(
                zh="列表里还是检索结果对象：请取出两样，(result.id, result.score)。",
                en="The list still holds result objects: take two things out of each, (result.id, result.score).",
            )
        if not isinstance(one, (tuple, list)) or len(one) != 2 or not isinstance(one[0], str):
            return say(
                zh=f"每一项应是 (编号, 分数)，这里有 {str(one)[:40]}。",
                en=f"Each entry should be (id, score), here is {str(one)[:40]}.",
            )
        try:
            float(one[1])
        except (TypeError, ValueError):
            return say(
                zh=f"分数应是数，这里是 {str(one[1])[:30]!r}。",
                en=f"A score should be a number, not {str(one[1])[:30]!r}.",
            )
    return ""


def ranking(found: Sequence[Any], ids: Sequence[str], cosines: np.ndarray, top_k: int) -> str:
    """Why what was found is not the `top_k` pictures of the largest cosines."""
    order = [ids[i] for i in np.argsort(-cosines, kind="stable")]
    got = [one[0] for one in found]
    if len(got) != top_k:
        return say(
            zh=f"要 {top_k} 张，给了 {len(got)} 张：请把 top_k 传给 engine。",
            en=f"{top_k} were asked for, {len(got)} came: hand top_k on to the engine.",
        )
    if got == order[::-1][:top_k] or got[::-1] == order[:top_k]:
        return say(
            zh="顺序反了：最像的排在最前面。",
            en="The order is reversed: the best comes first.",
        )
    if got != order[:top_k]:
        return say(
            zh="找到的不是最接近的：请用 engine.search(text=..., image=...) 的结果，不要再排序。",
            en="These are not the nearest: take the results of engine.search(text=..., image=...), and sort no more.",
        )
    score = np.sort(cosines)[::-1][:top_k]
    if not np.allclose([float(one[1]) for one in found], score, atol=2e-3):
        return say(
            zh="分数被改动了：请原样返回余弦（result.score）。",
            en="The scores were changed: return the cosines as they are, result.score.",
        )
    return ""


def by_picture(found: Sequence[Any], wrong: str) -> str:
    if not found:
        return say(
            zh="只给图片时什么也没找到：没有文字不等于没有问，还有图片。",
            en="With a picture alone nothing is found: no words does not mean no question, there is the picture.",
        )
    return wrong


def together(found: Sequence[str], by_words: Sequence[str], by_picture: Sequence[str]) -> str:
    """Why words and picture together were not both heeded."""
    if list(found) == list(by_words):
        return say(
            zh="两样都给时，图片没有起作用：engine.search(text=words, image=picture)。",
            en="Where both are given, the picture has no say: engine.search(text=words, image=picture).",
        )
    if list(found) == list(by_picture):
        return say(
            zh="两样都给时，文字没有起作用：engine.search(text=words, image=picture)。",
            en="Where both are given, the words have no say: engine.search(text=words, image=picture).",
        )
    return say(
        zh="两样都给时，请用 engine.search(text=words, image=picture)：两种分数的范围不同，不能直接相加。",
        en="Where both are given, use engine.search(text=words, image=picture): the two kinds of scores differ in "
        "range and cannot simply be added.",
    )

"""From a wrong run to the likely mistake, in one sentence that says what to do (see `mistakes_calls`)."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from ...settings import say


def pictures(found: list | None, wanted: int) -> str:
    """Why what was returned is not a list of `wanted` pictures."""
    if found is None or inspect.iscoroutine(found):
        return say(
            zh="请返回图片的列表，与订单一一对应。",
            en="Return a list of pictures, one for each order.",
        )
    if len(found) != wanted:
        return say(
            zh=f"返回了 {len(found)} 张，应为 {wanted} 张：等所有请求都完成，再返回。",
            en=f"{len(found)} pictures are returned where {wanted} were ordered: wait for all of them before you "
            "return.",
        )
    other = next((one for one in found if not isinstance(one, Image.Image)), None)
    if other is None:
        return ""
    if hasattr(other, "result"):
        return say(
            zh="返回的是 Future，不是图片：请取 future.result()，或用 pool.map。",
            en="Futures are returned, not pictures: take future.result(), or use pool.map.",
        )
    return say(
        zh=f"列表里有 {type(other).__name__}，应当都是 paint 返回的图片。",
        en=f"There is a {type(other).__name__} in the list, which should hold what paint returns.",
    )


def order_of(places: Sequence[int]) -> str:
    """Why the pictures do not stand in the order of their orders."""
    if sorted(places) == list(range(len(places))):
        return say(
            zh="图片按完成的先后排列了（as_completed 就是这样）：慢的那张跑到了后面，请按订单的顺序放回去，pool.map 会替你做。",
            en="The pictures stand in the order in which they were finished, as as_completed has it, the slow one "
            "late: put them back into the order of the orders, which pool.map does.",
        )
    return say(
        zh="图片与订单对不上：第 i 张应当是第 i 份订单画出来的。",
        en="Pictures and orders do not match: number i should be what order number i paints.",
    )


def overlap(most: int, wanted: int) -> str:
    """Why there were `most` requests at once instead of `wanted`."""
    if most <= 1:
        return say(
            zh="请求是一个接一个的：submit 之后不要马上 .result()，先全部交出去；用 ThreadPoolExecutor(max_workers=at_once)。",
            en="The requests came one after the other: use ThreadPoolExecutor(max_workers=at_once), and hand all of "
            "them in before you ask the first for its .result().",
        )
    if most > wanted:
        return say(
            zh=f"同时有 {most} 个请求，上限是 {wanted}：不要给每份订单开一个线程，max_workers=at_once 就是上限。",
            en=f"There were {most} requests at once, {wanted} are the bound: start no thread for each order, "
            "max_workers=at_once is the bound.",
        )
    return say(
        zh=f"最多只有 {most} 个请求同时进行，可以有 {wanted} 个：请使用参数 at_once，不要写死。",
        en=f"At most {most} requests were under way where {wanted} may be: use the parameter at_once, no fixed number.",
    )


# ------------------------------------------------------------------------------------------------ failures


def run_hints() -> dict[str, str]:
    """What an error that ends the run means."""
    return {
        r"HTTPError|ConnectionError|CUDA|500": say(
            zh="一张图失败，整批就停了：请在每张图自己的 try 里 except Exception，记下原因，继续画别的。",
            en="One picture failed and took the whole batch with it: give each a try of its own, except Exception, "
            "note why, and go on with the others.",
        ),
        r"FileNotFoundError": say(
            zh="文件夹还不存在：请先 Path(folder).mkdir(parents=True, exist_ok=True)。",
            en="The folder is not there yet: Path(folder).mkdir(parents=True, exist_ok=True) first.",
        ),
        r"FileExistsError": say(
            zh="文件夹已经存在时不应报错：请写 mkdir(parents=True, exist_ok=True)。",
            en="That the folder is there already should be no error: mkdir(parents=True, exist_ok=True).",
        ),
        r"unknown file extension": say(
            zh='临时文件的后缀不是 .png，Pillow 认不出格式：请写 picture.save(path, "PNG")。',
            en="The temporary file does not end in .png, so Pillow cannot tell the format: picture.save(path, "
            '"PNG").',
        ),
    }


def missing(folder: Path, bad: Sequence[Mapping[str, Any]], asked: Counter, tries: int) -> str:
    """Why some pictures are not in their files."""
    names = sorted(path.name for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    if not names:
        return say(
            zh='文件夹里什么也没有：图片要写成 folder / order["name"]。',
            en='There is nothing in the folder: a picture goes to folder / order["name"].',
        )
    if len(bad) == 1 and asked[bad[0]["prompt"], bad[0]["seed"]] < 2:
        return say(
            zh=f"有一个请求只失败了一次（500），没有再试：同一份订单最多试 {tries} 次。",
            en=f"One request failed once (500) and was not tried again: try an order up to {tries} times.",
        )
    if (folder / bad[0]["name"]).exists():
        return say(
            zh=f"{bad[0]['name']} 里不是它那份订单的图片：多个线程共用了同一个变量或文件名。",
            en=f"{bad[0]['name']} does not hold its own order's picture: threads share a variable, or a file name.",
        )
    if not any(asked[order["prompt"], order["seed"]] for order in bad):
        return say(
            zh=f"有 {len(bad)} 份订单根本没有画：一张失败之后，别的还要继续。",
            en=f"{len(bad)} orders were never painted: after one failure the others go on.",
        )
    return say(
        zh=f'缺 {len(bad)} 个文件，例如 {bad[0]["name"]}，现有 {", ".join(names[:3])} 等：文件名就是 order["name"]。',
        en=f"{len(bad)} files are missing, {bad[0]['name']} for instance; there are {', '.join(names[:3])} ...: the "
        'name is order["name"].',
    )


def report(failed: Any, name: str) -> str:
    """What is wrong with the report of what failed."""
    if not isinstance(failed, Mapping):
        return say(
            zh=f"返回的是 {type(failed).__name__}，应为字典 {{文件名: 原因}}，没有失败就是空字典。",
            en=f"A {type(failed).__name__} is returned: return a dictionary, {{name: why}}, empty where nothing "
            "failed.",
        )
    if name not in failed:
        return say(
            zh=f"失败的那张（{name}）没有出现在返回的字典里：失败不能悄悄过去。",
            en=f"The one that failed ({name}) is not in the dictionary: no failure may pass in silence.",
        )
    if len(failed) > 1:
        return say(
            zh=f"字典里有 {len(failed)} 张，其实只有 {name} 最终失败了：再试成功的不算失败。",
            en=f"There are {len(failed)} in the dictionary, and only {name} failed in the end: what succeeded when "
            "tried again has not failed.",
        )
    if not str(failed[name] or "").strip() or "500" not in str(failed[name]):
        return say(
            zh=f"原因写的是 {failed[name]!r}，请写出异常本身：str(error)。",
            en=f"The reason given is {failed[name]!r}: give the error itself, str(error).",
        )
    return ""


def tries(often: int, wanted: int, extra: int) -> str:
    """Why a failing order was not tried `wanted` times, or a good one too often."""
    if often > wanted:
        return say(
            zh=f"总是失败的那张试了 {often} 次，应至多 {wanted} 次（参数 tries）：只画坏了的，总要停下来。",
            en=f"The one that always fails was tried {often} times, {wanted} is the most (the parameter tries): "
            "whatever is broken, the trying must end.",
        )
    if often < wanted:
        return say(
            zh=f"总是失败的那张只试了 {often} 次，应试 {wanted} 次（参数 tries）。",
            en=f"The one that always fails was tried {often} times where {wanted} were allowed (the parameter tries).",
        )
    return say(
        zh=f"多画了 {extra - 1} 张：成功了就不要再试，只重试失败的那一份订单，不是整批。",
        en=f"{extra - 1} pictures were painted once too often: stop when it has worked, and try the one order again, "
        "not the whole batch.",
    )


def repeated(again: int, touched: int, failed: Any) -> str:
    """Why a second run did not paint just what was missing."""
    if again:
        return say(
            zh=f"第二次运行把已有的图又画了 {again} 张：文件已经在了就跳过，连请求也不发。",
            en=f"The second run painted {again} pictures that were there: skip an order whose file exists, before "
            "anything is sent.",
        )
    if touched:
        return say(
            zh=f"第二次运行改写或删除了 {touched} 个已有的文件：在了就不要再动。",
            en=f"The second run rewrote or removed {touched} files that were there: leave them alone.",
        )
    if failed:
        return say(
            zh="第二次什么都没有失败，返回的字典却不是空的：字典要每次调用都新建。",
            en="Nothing failed the second time, and the dictionary is not empty: make a new one in each call.",
        )
    return say(
        zh="上次失败的那张，第二次没有补画：失败了的不算画过。",
        en="What failed the first time was not painted the second: a failure is not a picture.",
    )


def gone(first: int, told: bool, again: int, bad: int) -> str:
    """Why a run over which the server vanished did not end well."""
    if not first:
        return say(
            zh="服务器消失之前画好的图没有留下来：请画好一张就写一张。",
            en="What was painted before the server vanished is lost: write each picture as soon as it is painted.",
        )
    if not told:
        return say(
            zh="服务器中途消失，返回的字典却没有列出所有没画成的：连接失败（ConnectionError）也要记下。",
            en="The server vanished, and the dictionary does not name everything that was not painted: a "
            "ConnectionError is a failure, too.",
        )
    if again:
        return say(
            zh=f"服务器回来之后，已有的 {again} 张又画了一遍：文件已经在了就跳过。",
            en=f"When the server was back, {again} pictures were painted again that were there: skip what exists.",
        )
    return say(
        zh=f"服务器回来之后再调用一次，仍缺 {bad} 张：上次失败的，这次要补画。",
        en=f"When the server was back, one more call left {bad} pictures out: what failed before is painted now.",
    )


def half_written(broken: int, again: int) -> str:
    """Why a run that was killed while writing left a broken file, or painted whole ones again."""
    if broken:
        return say(
            zh="写到一半被杀掉（kill）的文件，续跑时被当成画好的了：先写到临时文件，写完再改名（part.replace(path)），名字出现时内容就一定完整。",
            en="A file that was half written when the run was killed passes for a picture afterwards: write to "
            "another name and rename when it is whole, part.replace(path), so that what has its name is complete.",
        )
    return say(
        zh=f"中断前已经写好的图，续跑时又画了 {again} 张：文件在了、完整，就跳过。",
        en=f"{again} pictures that were whole before the kill were painted again: skip what is there and whole.",
    )

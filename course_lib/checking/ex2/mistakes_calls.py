"""From a wrong request or a wrong plan to the likely mistake, in one sentence that says what to do."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from ...errors import CourseError
from ...images import from_base64
from ...settings import say
from .studio import Received

# What a parameter is called elsewhere: on this wire it is ignored without a word.
ALIASES = {
    "cfg_scale": ("guidance_scale", "guidance", "cfg", "scale"),
    "denoising_strength": ("strength", "denoising", "denoise"),
    "steps": ("num_inference_steps", "sampling_steps", "step"),
    "negative_prompt": ("negative", "neg_prompt"),
    "init_images": ("init_image", "image", "images", "start"),
    "width": ("size", "w", "side"),
    "height": ("size", "h", "side"),
    "seed": ("seeds", "random_seed"),
    "prompt": ("prompts", "text"),
}


def call_hints() -> dict[str, str]:
    """What Python says where an answer is read wrongly, and what was meant."""
    return {
        r"string indices must be integers": say(
            zh='answer 里的 info 是 JSON 字符串，要再解析一次：json.loads(data["info"])["seed"]。',
            en="info is a JSON string within the JSON and wants parsing once more: "
            'json.loads(data["info"])["seed"].',
        ),
        r"KeyError: '(seed|image|data|strength|start)'": say(
            zh="回答里没有这个键：图片在 images（列表）里，种子在 info（JSON 字符串）里；strength 只在给了 start 时才有。",
            en="There is no such key: pictures are in images (a list), the seed is in info (a JSON string); strength "
            "is there only with a start.",
        ),
        r"not JSON serializable": say(
            zh="PIL 图片不能直接放进 JSON，请先编码：course_lib.images.to_base64(start)。",
            en="A PIL picture cannot go into JSON as it is, encode it: course_lib.images.to_base64(start).",
        ),
        r"HTTPError: 422": say(
            zh="服务器看不懂请求体（422），请用 requests.post(..., json=payload)，并检查每个值的类型。",
            en="The server cannot read the body (422): use requests.post(..., json=payload), and look at each value's "
            "type.",
        ),
        r"HTTPError: 404.*img2img": say(
            zh="img2img 没有找到原图（404）：init_images 是列表，里面放 to_base64(start)。",
            en="img2img finds no picture to begin from (404): init_images is a list that holds to_base64(start).",
        ),
        r"HTTPError: 40[45]": say(
            zh='地址或方法不对：请向 url + "/sdapi/v1/txt2img"（有起始图片时是 img2img）发送 POST。',
            en='Address or method is wrong: POST to url + "/sdapi/v1/txt2img", or img2img with a picture to begin '
            "from.",
        ),
        r"takes 2 positional arguments but 3": say(
            zh="函数要有第三个参数：def paint(url, order, start=None)。",
            en="The function needs a third parameter: def paint(url, order, start=None).",
        ),
    }


def route(received: Sequence[Received], wanted: str) -> str:
    """Why there is not one request to the route that was wanted."""
    painting = [one for one in received if one.method == "POST" and one.path == f"/sdapi/v1/{wanted}"]
    if len(painting) == 1 and painting[0].payload is not None:
        return ""
    if not received:
        return say(
            zh="服务器没有收到请求：请向参数 url 指定的服务器发送 requests.post，不要写死别的地址。",
            en="The server received nothing: send requests.post to the server that the parameter url names, no other.",
        )
    if len(painting) > 1:
        return say(
            zh=f"一次调用发出了 {len(painting)} 个请求，应当只画一张。",
            en=f"One call sent {len(painting)} requests, it should paint one picture.",
        )
    if painting:
        return say(
            zh="请求体不是 JSON：请写 requests.post(..., json=payload)，不要写 data=payload。",
            en="The body is no JSON: write requests.post(..., json=payload), not data=payload.",
        )
    last = received[-1]
    if wanted == "img2img" and last.path.endswith("txt2img"):
        return say(
            zh="给了 start，请求仍然送到 txt2img，原图没有用上：这时请送到 /sdapi/v1/img2img。",
            en="A start was given and the request still went to txt2img, which has no use for it: send it to "
            "/sdapi/v1/img2img.",
        )
    return say(
        zh=f"请求是 {last.method} {last.path}，应为 POST /sdapi/v1/{wanted}。",
        en=f"The request was {last.method} {last.path}, it should be POST /sdapi/v1/{wanted}.",
    )


def returned(found: Any) -> str:
    """Why what was returned is not (picture, seed)."""
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        return say(
            zh="请返回两样东西：return 图片, 种子。",
            en="Return two things: return picture, seed.",
        )
    picture, seed = found
    if isinstance(picture, (str, bytes)):
        return say(
            zh="返回的还是 base64 文本：请用 course_lib.images.from_base64 解码成 PIL 图片。",
            en="The picture is still text in base64: decode it with course_lib.images.from_base64.",
        )
    if isinstance(picture, list):
        return say(
            zh="返回的是图片的列表，请取第一张：images[0]。",
            en="A list of pictures is returned, take the first: images[0].",
        )
    if not isinstance(picture, Image.Image):
        return say(
            zh=f"第一样是 {type(picture).__name__}，应为 PIL 图片；第二样才是种子。",
            en=f"The first is a {type(picture).__name__} where a PIL picture was asked for; the seed comes second.",
        )
    if isinstance(seed, bool) or not isinstance(seed, int):
        return say(
            zh=f'种子是 {type(seed).__name__}，应为整数：info 是 JSON 字符串，json.loads(info)["seed"]。',
            en=f"The seed is a {type(seed).__name__}, it should be a whole number: info is a JSON string, "
            'json.loads(info)["seed"].',
        )
    return ""


def field(ours: str, name: str, wanted: Any, sent: Mapping[str, Any]) -> str:
    """Why a parameter did not arrive as it was ordered; "" where it did."""
    if name in sent and not isinstance(sent[name], bool) and sent[name] == wanted:
        return ""
    alias = next((alias for alias in ALIASES[name] if alias in sent), None)
    if name not in sent and alias:
        return say(
            zh=f"{alias} 这个名字服务器不认识，一声不响地忽略了，实际用的是它自己的默认值：应写 {name}。",
            en=f"The server does not know the name {alias} and ignores it without a word, using its own default: the "
            f"name is {name}.",
        )
    if name not in sent:
        return say(
            zh=f'请求里没有 {name}，服务器会用自己的默认值：请送出 order["{ours}"]。',
            en=f'There is no {name} in the request, so the server takes its own default: send order["{ours}"].',
        )
    if ours in ("width", "height") and sent.get("width") != sent.get("height"):
        return say(
            zh=f"{name} 应为 {wanted}，送出的是 {sent[name]!r}：宽和高可能写反了。",
            en=f"{name} should be {wanted}, {sent[name]!r} was sent: width and height may have changed places.",
        )
    return say(
        zh=f'{name} 应为 {wanted!r}，送出的是 {sent[name]!r}：请使用 order["{ours}"] 原来的值。',
        en=f'{name} should be {wanted!r}, {sent[name]!r} was sent: use order["{ours}"] as it is.',
    )


def seed(found: int, asked: int, true: int, sent: Mapping[str, Any]) -> str:
    """Why the seed is not the one that painted the picture; "" where it is."""
    if asked == 0 and sent.get("seed") != 0:
        return say(
            zh='种子 0 没有送到，成了随机种子：0 在 if 里算假，请直接送出 order["seed"]，或写 is not None。',
            en='Seed 0 did not arrive and became a random one: 0 counts as false in an if, send order["seed"] as it '
            "is, or write is not None.",
        )
    if found == true:
        return ""
    if found == -1:
        return say(
            zh="返回的种子是 -1，用它画不出同一张图：真正的种子在回答的 info 里，不在请求或 parameters 里。",
            en="The seed returned is -1, from which nobody paints this picture again: the true one is in the answer's "
            "info, not in the request, nor in parameters.",
        )
    return say(
        zh=f'返回的种子是 {found}，真正用的是 {true}：请读 json.loads(data["info"])["seed"]。',
        en=f'The seed returned is {found}, the one used was {true}: read json.loads(data["info"])["seed"].',
    )


def from_picture(sent: Mapping[str, Any], start: Image.Image, strength: float) -> str:
    """Why a request to img2img does not begin from the picture as it was ordered."""
    if wrong := field("strength", "denoising_strength", strength, sent):
        return wrong
    try:
        arrived = from_base64(sent["init_images"][0])
    except (KeyError, IndexError, TypeError, AttributeError, CourseError):
        return say(
            zh="原图没有送到：init_images 是列表，里面放 to_base64(start)。",
            en="The picture did not arrive: init_images is a list that holds to_base64(start).",
        )
    if arrived.tobytes() != start.tobytes() or arrived.size != start.size:
        return say(
            zh="送到的原图与 start 不同：请用 PNG（to_base64 的默认格式）原样送出，JPEG 会改动像素。",
            en="What arrived is not start: send it as it is, as PNG (what to_base64 does), JPEG changes pixels.",
        )
    if (sent.get("width"), sent.get("height")) != start.size:
        return say(
            zh=f"宽高应是原图的 {start.width} × {start.height}，送出的是 {sent.get('width')} × {sent.get('height')}："
            "不写的话服务器会把原图压成 512 × 512。",
            en=f"Width and height should be the picture's own, {start.width} x {start.height}, sent were "
            f"{sent.get('width')} x {sent.get('height')}: left out, the server squashes it to 512 x 512.",
        )
    return ""


def refusal(error: Exception | None) -> str:
    """Why a server's error did not become one of the function's."""
    if error is None:
        return say(
            zh="服务器回答 500，函数却照常返回了：读回答之前先调用 answer.raise_for_status()，不要吞掉异常。",
            en="The server answered 500 and the function returned all the same: call answer.raise_for_status() before "
            "reading, and swallow no exception.",
        )
    if isinstance(error, (KeyError, TypeError, IndexError, AttributeError)):
        return say(
            zh=f"服务器回答 500，报出来的却是 {type(error).__name__}: {error}，看不出原因："
            "读回答之前先调用 answer.raise_for_status()。",
            en=f"The server answered 500, and what is raised is {type(error).__name__}: {error}, which tells nobody "
            "why: call answer.raise_for_status() before reading the answer.",
        )
    return ""


# ------------------------------------------------------------------------------------------------- the plan


def plan_hints() -> dict[str, str]:
    return {
        r"KeyError: '(kind|color|background)'|Replacement index": say(
            zh="模板里的每个 {名字} 都要填：template.format(**facts)，facts 是 {名字: 选中的词}。",
            en="Each {name} in the template wants its word: template.format(**facts), with facts as {name: word}.",
        ),
    }


def as_list(found: Any) -> list | None:
    """A list or tuple as a list, None for anything else. (A generator is a list by now: `guard.call`.)"""
    if isinstance(found, (str, bytes, Mapping)):
        return None
    try:
        return list(found)
    except TypeError:
        return None


def count(found: int, choices: Mapping[str, Sequence[str]], seeds: Sequence[int]) -> str:
    """Why there are `found` orders."""
    combinations = 1
    for words in choices.values():
        combinations *= len(words)
    if found == combinations:
        return say(
            zh=f"只有 {found} 份订单，每种组合只有一个种子：请让每种组合配上每一个种子。",
            en=f"There are {found} orders, one seed a combination: give each combination every seed.",
        )
    if found == max(len(words) for words in choices.values()) * len(seeds) or found == len(seeds):
        return say(
            zh=f"只有 {found} 份订单：zip 只是并排配对，所有组合要用 itertools.product（或嵌套循环）。",
            en=f"There are {found} orders: zip pairs the lists side by side, all combinations take itertools.product, "
            "or nested loops.",
        )
    return say(
        zh=f"有 {found} 份订单，应为 {combinations} 种组合 × {len(seeds)} 个种子。",
        en=f"There are {found} orders where {combinations} combinations x {len(seeds)} seeds were asked for.",
    )


def order(
    found: Mapping[str, Any], template: str, choices: Mapping[str, Sequence[str]], common: Mapping
) -> str:
    """What is wrong with one order."""
    if missing := [key for key in ("prompt", "seed", "facts", "name") if key not in found]:
        return say(
            zh=f"订单里缺少 {'、'.join(missing)}。",
            en=f"An order lacks {', '.join(missing)}.",
        )
    facts = found["facts"]
    if not isinstance(facts, Mapping) or set(facts) != set(choices) or any(
        facts[fact] not in words for fact, words in choices.items()
    ):  # fmt: skip
        return say(
            zh=f"facts 应是 {{名字: 选中的词}}，每个名字一个词，这里是 {str(facts)[:80]}。",
            en=f"facts should be {{name: word chosen}}, a word for each name, not {str(facts)[:80]}.",
        )
    if found["prompt"] != template.format(**facts):
        return say(
            zh=f"提示词“{str(found['prompt'])[:60]}”与 facts 对不上，应为“{template.format(**facts)}”。",
            en=f"The prompt {str(found['prompt'])[:60]!r} does not go with its facts, it should be "
            f"{template.format(**facts)!r}.",
        )
    if lost := [key for key, value in common.items() if found.get(key) != value]:
        return say(
            zh=f"订单里没有公共参数 {'、'.join(lost)}：请把 common 合并进每份订单。",
            en=f"{', '.join(lost)} of common did not get into the order: merge common into each.",
        )
    return ""


def seeds(orders: Sequence[Mapping[str, Any]], wanted: Sequence[int]) -> str:
    """Why the combinations do not have the seeds that were asked for."""
    if {order["seed"] for order in orders} - set(wanted):
        return say(
            zh="用了没有要的种子：种子只能取自 seeds；各组合的种子不同，就分不清差别来自提示词还是运气。",
            en="There are seeds that nobody asked for, take them from seeds: where combinations differ in their seeds, "
            "nobody can tell the prompt's effect from luck.",
        )
    return say(
        zh="有的组合重复，有的缺少种子：每种组合都要恰好配上每个种子一次。",
        en="Some combinations are repeated, others lack a seed: each combination has each seed once.",
    )


def names(orders: Sequence[Mapping[str, Any]]) -> str:
    """What is wrong with the file names of one plan."""
    found = [order["name"] for order in orders]
    if not all(isinstance(name, str) and name for name in found):
        return say(zh="name 应是文件名（字符串）。", en="name should be a file's name, a string.")
    if repeated := [name for name, times in Counter(found).items() if times > 1]:
        same = [order for order in orders if order["name"] == repeated[0]]
        only_seeds = len({order["prompt"] for order in same}) == 1
        return say(
            zh=f"两份订单同名（{repeated[0]}），后画的会盖掉先画的："
            + ("名字里还要有种子。" if only_seeds else "名字要由整份订单决定。"),
            en=f"Two orders share the name {repeated[0]}, and the later picture overwrites the first: "
            + ("the seed must go into it, too." if only_seeds else "the whole order must decide it."),
        )
    bad = next(
        (name for name in found if not name.lower().endswith(".png") or re.search(r'[\\/:*?"<>|\s]', name)),
        "",
    )
    if bad or max(map(len, found)) > 100:
        return say(
            zh=f"文件名“{(bad or max(found, key=len))[:60]}”不合适：不要有空格和 / \\ : * ? 等符号，不超过 100 个字符，"
            "以 .png 结尾；用订单的摘要（hashlib）最省心。",
            en=f"{(bad or max(found, key=len))[:60]!r} is no good file name: no blanks, none of / \\ : * ?, at most "
            "100 characters, ending in .png; a digest of the order (hashlib) is the easiest.",
        )
    return ""


def unstable(
    names: Mapping[str, str], longer: Mapping[str, str], again: Mapping[str, str], reused: set[str]
) -> str:
    """Why an order's name is not its own: content to name, in the plan, in a longer one, and once more."""
    if again != names:
        return say(
            zh="同样的计划再列一次，名字却变了：名字里不要有随机数或时间（uuid、time），否则续跑时认不出已画好的图。",
            en="The same plan made again has other names: put neither chance nor time (uuid, time) into them, or a "
            "resumed run will not know its own pictures.",
        )
    if any(longer.get(content) != name for content, name in names.items()):
        return say(
            zh="计划加长、换一个进程之后，同一份订单的名字变了：不要用序号，也不要用 hash()（每个进程都不同），请用订单内容的摘要，例如 hashlib.sha256。",
            en="In a longer plan, made by another process, the same order has another name: use neither its number in "
            "the list nor hash() (which differs in each process), but a digest of the order, such as hashlib.sha256.",
        )
    if reused:
        return say(
            zh="步数改了，名字却没变，旧图会被当成新图：名字要由整份订单决定，包括 common。",
            en="With other steps the name stays the same, so an old picture passes for a new one: the whole order must "
            "decide the name, common included.",
        )
    return ""

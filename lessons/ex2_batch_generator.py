# ---
# kind: exercise
# ---

# %% [markdown] lang="zh"
# # 练习 2：批量画图工具
#
# **小世界绘本社**要印一副记忆牌：每种动物、每种颜色、每个地点各来几张，几十张画，一张一张点鼠标太慢。你来写一个批量画图工具：把需求列成计划，同时发出几个请求，有的失败了也不停，断电之后接着画，最后还要说得清**画对了多少**。一共五步，写完就有检查，最后与课程库自己的 `batch_generate` 比一比。
#
# | 步骤 | 你要写的 | 难度 | 重要性 | 时间 | 分数 |
# |---|---|---|---|---|---|
# | 1 | `paint`：一次请求，参数要对 | ●●○○ | ●●●● | 15 分钟 | 2 |
# | 2 | `plan`：提示词与种子的网格 | ●●○○ | ●●●○ | 15 分钟 | 2 |
# | 3 | `paint_all`：同时画几张，但有上限 | ●●○○ | ●●●○ | 10 分钟 | 2 |
# | 4 | `generate`：有失败也画完，中断了能续跑 | ●●●○ | ●●●● | 25 分钟 | 2 |
# | 5 | `measure`、`contact_sheet`：量一量，看一看 | ●●●○ | ●●●● | 25 分钟 | 2 |
#
# 先学第 04 课。写法不限，检查只看行为：它会开一个小服务器，记下你发来的每一个字段，让请求失败，中途消失，还会在你写文件写到一半时“拔电源”。卡住时依次展开三层提示：先给方向，再给写法，最后讲道理。
# %% [markdown] lang="en"
# # Exercise 2: a batch picture generator
#
# The **Little World Press** wants to print a game of memory: each animal in each colour in each place, dozens of pictures, far too many to click for. You will write its batch generator: it turns a wish into a plan, has several requests under way at once, does not stop when some fail, goes on after a power cut, and in the end can say **how much of it was painted right**. There are five steps, each checked as soon as you have written it, and at the end you compare it with the course library's own `batch_generate`.
#
# | step | you write | difficulty | importance | minutes | points |
# |---|---|---|---|---|---|
# | 1 | `paint`: one call with the right parameters | ●●○○ | ●●●● | 15 | 2 |
# | 2 | `plan`: a grid of prompts and seeds | ●●○○ | ●●●○ | 15 | 2 |
# | 3 | `paint_all`: several at once, within a bound | ●●○○ | ●●●○ | 10 | 2 |
# | 4 | `generate`: survive failures, go on after a stop | ●●●○ | ●●●● | 25 | 2 |
# | 5 | `measure`, `contact_sheet`: measure it, look at it | ●●●○ | ●●●● | 25 | 2 |
#
# Do lesson 04 first. Solve it as you like: a check looks at behaviour alone. It opens a small server, writes down each field you send, lets requests fail, vanishes in the middle, and pulls the plug while you are writing a file. When stuck, unfold the hints one at a time: a direction, then nearly the code, then the reason.

# %% [markdown] lang="zh"
# ## 准备
#
# `url` 是画图服务器的地址，说的是 AUTOMATIC1111 的协议，没有别的设置时就是课程自带的微型模型。`template` 是提示词模板，`choices` 是每个空可以填的词；`picture` 画出标准答案已知的画，给检查用。
# %% [markdown] lang="en"
# ## Getting ready
#
# `url` is the address of a server that paints and speaks AUTOMATIC1111's protocol; without other settings it is the course's own miniature. `template` is a prompt with gaps, `choices` the words that may go into each; `picture` makes drawings whose truth is known, for the checks.
# %% nbgrader={"grade": false, "grade_id": "ex2-setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import hashlib
import itertools
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import requests
from course_lib import CLIPService, StableDiffusionService, plots, say
from course_lib.checking import Exercise2
from course_lib.images import from_base64, to_base64
from course_lib.settings import local_server
from little_world import draw
from little_world.scenes import single
from PIL import Image, ImageDraw

template = say(zh="{background}的一只{color}的{kind}", en="a {color} {kind} {background}")
choices = {
    "kind": say(zh="猫 兔子 小鸟", en="cat rabbit bird").split(),
    "color": say(zh="红色 黄色 白色", en="red yellow white").split(),
    "background": say(zh="雪地里,森林里,海滩上", en="in the snow,in the forest,on the beach").split(","),
}
codes = {"kind": ["cat", "rabbit", "bird"], "color": ["red", "yellow", "white"],
         "background": ["snow", "forest", "beach"]}  # fmt: skip


def picture(seed, **facts):
    return draw(single(np.random.default_rng(seed), **facts))


clip = CLIPService()
service = StableDiffusionService(progress=False)
url = service.api_url or local_server()
words = {fact: dict(zip(codes[fact], choices[fact])) for fact in choices}
check = Exercise2(clip, picture, template, words)

# %% [markdown] lang="zh"
# ## 第 1 步：一次请求
#
# 一份**订单**（order）是一个字典：
# %% [markdown] lang="en"
# ## Step 1: one call
#
# An **order** is a dictionary:
# %%
order = {
    "prompt": template.format(**{fact: words[0] for fact, words in choices.items()}),
    "negative": "",
    "seed": 7,
    "guidance": 5.0,
    "steps": 16,
    "width": 128,
    "height": 128,
}
order["prompt"]

# %% [markdown] lang="zh"
# 写函数 `paint(url, order, start=None)`，画一张图：
#
# - 向 `url + "/sdapi/v1/txt2img"` 发 POST，请求体是 JSON。订单里的名字是我们自己取的，服务器有**它的**名字（第 04 课的陷阱：写错名字不会报错）；
# - 给了起始图片 `start`（PIL）时，改用 `img2img`，重绘幅度是 `order["strength"]`，宽高用 `start` 自己的；
# - 返回 `(图片, 种子)`：PIL 图片，以及服务器**真正用的**种子（整数），订单的种子是 -1 时由服务器挑；
# - 服务器报错时，函数也要报错。
#
# `from_base64(text)` 把 base64 变成图片，`to_base64(image)` 反过来。想用 `StableDiffusionService(url)` 来写也可以。
# %% [markdown] lang="en"
# Write `paint(url, order, start=None)`, which paints one picture.
#
# - It POSTs to `url + "/sdapi/v1/txt2img"`, with JSON as the body. The names in an order are ours, the server has **its own** (lesson 04's pitfall: a wrong name is no error).
# - With a picture to begin from, `start` (PIL), it uses `img2img` instead: the denoising strength is `order["strength"]`, width and height are those of `start`.
# - It returns `(picture, seed)`: a PIL picture, and the seed that the server **really used**, a whole number; where the order's seed is -1 the server picks one.
# - Where the server fails, the function raises an error.
#
# `from_base64(text)` makes a picture of base64, `to_base64(image)` the reverse. You may also stand on `StableDiffusionService(url)`.
# %%
def paint(url, order, start=None):
    # -> (picture, seed)
    ### BEGIN SOLUTION
    route, payload = "txt2img", {
        "prompt": order["prompt"],
        "negative_prompt": order["negative"],
        "seed": order["seed"],
        "cfg_scale": order["guidance"],
        "steps": order["steps"],
        "width": order["width"],
        "height": order["height"],
    }  # fmt: skip
    if start is not None:
        route = "img2img"
        payload |= {"init_images": [to_base64(start)], "denoising_strength": order["strength"],
                    "width": start.width, "height": start.height}  # fmt: skip
    answer = requests.post(f"{url}/sdapi/v1/{route}", json=payload, timeout=300)
    answer.raise_for_status()
    data = answer.json()
    return from_base64(data["images"][0]), json.loads(data["info"])["seed"]
    ### END SOLUTION


# %% [markdown] lang="zh"
# <details><summary>提示 1：方向</summary>
#
# 先把订单翻译成服务器的字段，再 `requests.post`，再从回答里取图片和种子。回答有三样：`images`（base64 的列表）、`parameters`、`info`。
# </details>
#
# <details><summary>提示 2：几乎就是代码</summary>
#
# 字段是 `prompt`、`negative_prompt`、`seed`、`cfg_scale`、`steps`、`width`、`height`；图生图再加 `init_images=[to_base64(start)]` 和 `denoising_strength`。`answer = requests.post(..., json=payload, timeout=300)`，`answer.raise_for_status()`，`data = answer.json()`，种子是 `json.loads(data["info"])["seed"]`。
# </details>
#
# <details><summary>提示 3：为什么</summary>
#
# AUTOMATIC1111 的接口对不认识的字段一声不响：写 `guidance_scale`，引导强度就一直是 7；写 `strength`，重绘幅度就一直是 0.75；图生图不写宽高，原图会被压成 512 × 512。`info` 是装在 JSON 里的 JSON 字符串，真正的种子只在那里，`parameters` 只是把请求念一遍。写 `if seed:` 会把 0 当成没有给。不写 `timeout`，服务器不吭声时你会永远等下去。
# </details>
# %% [markdown] lang="en"
# <details><summary>Hint 1: direction</summary>
#
# Translate the order into the server's fields, `requests.post`, and take picture and seed out of the answer. That has three things: `images` (a list of base64), `parameters`, and `info`.
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# The fields are `prompt`, `negative_prompt`, `seed`, `cfg_scale`, `steps`, `width` and `height`; for image to image also `init_images=[to_base64(start)]` and `denoising_strength`. Then `answer = requests.post(..., json=payload, timeout=300)`, `answer.raise_for_status()`, `data = answer.json()`, and the seed is `json.loads(data["info"])["seed"]`.
# </details>
#
# <details><summary>Hint 3: why</summary>
#
# AUTOMATIC1111's API says nothing about fields it does not know: write `guidance_scale`, and guidance stays at 7 for ever; write `strength`, and it stays at 0.75; leave out width and height in image to image, and your picture is squashed to 512 x 512. `info` is a JSON string within the JSON, and the only place that holds the true seed: `parameters` merely repeats the request. `if seed:` takes 0 for nothing. And without `timeout` you wait for ever for a server that has gone silent.
# </details>
# %% points=2
check.paint(paint)

# %% tags=["nbval-ignore-output"]
first, seed = paint(url, order)
other = order["prompt"].replace(choices["color"][0], choices["color"][1])
redrawn, _ = paint(url, order | {"prompt": other, "strength": 0.8}, first)
plots.gallery([first, redrawn], [f"txt2img, seed {seed}", "img2img"], columns=2)

# %% [markdown] lang="zh"
# ## 第 2 步：列出计划
#
# 记忆牌要所有组合。想看出提示词的作用，各组合要用**同一组种子**：把组合排成行、种子排成列，同一列里就只有提示词不同。写函数 `plan(template, choices, seeds, common)`，返回订单的列表：
#
# - `choices` 是 `{名字: 词的列表}`，每种组合配上 `seeds` 里的每个种子，各一份订单；
# - 每份订单是 `common`（公共参数）加上四样：`prompt`（填好的模板）、`seed`、`facts`（`{名字: 选中的词}`）、`name`（文件名，`.png` 结尾）；
# - 文件名各不相同，只由订单的内容决定：同一份订单，在哪份计划里、在哪一天，都叫同一个名字，参数一变，名字就变。
# %% [markdown] lang="en"
# ## Step 2: the plan
#
# The game needs all combinations. And to see what a prompt does, every combination has **the same seeds**: with a row for each combination and a column for each seed, nothing differs along a column but the prompt. Write `plan(template, choices, seeds, common)`, which returns a list of orders.
#
# - `choices` is `{name: list of words}`: each combination with each of `seeds` makes an order.
# - An order is `common` (what all share) and four things more: `prompt` (the template filled in), `seed`, `facts` (`{name: word chosen}`), and `name`, a file name that ends in `.png`.
# - No two names are alike, and a name follows from the order's content alone: the same order has the same name in any plan, on any day; with another parameter it has another.
# %%
def plan(template, choices, seeds, common):
    # -> [{"prompt", "seed", "facts", "name", ...common}, ...]
    ### BEGIN SOLUTION
    orders = []
    for chosen in itertools.product(*choices.values()):
        facts = dict(zip(choices, chosen))
        for seed in seeds:
            order = common | {"prompt": template.format(**facts), "seed": seed, "facts": facts}
            digest = hashlib.sha256(json.dumps(order, sort_keys=True).encode()).hexdigest()
            orders.append(order | {"name": f"{digest[:12]}.png"})
    return orders
    ### END SOLUTION


# %% [markdown] lang="zh"
# <details><summary>提示 1：方向</summary>
#
# 所有组合就是笛卡尔积。名字最好是订单内容的摘要（digest）：内容一样，摘要就一样，内容变一点，摘要就全变。
# </details>
#
# <details><summary>提示 2：几乎就是代码</summary>
#
# `for chosen in itertools.product(*choices.values())`，`facts = dict(zip(choices, chosen))`，里面再一层 `for seed in seeds`。`order = common | {"prompt": template.format(**facts), ...}`；名字：`hashlib.sha256(json.dumps(order, sort_keys=True).encode()).hexdigest()[:12] + ".png"`。
# </details>
#
# <details><summary>提示 3：为什么</summary>
#
# 序号当名字，往计划前面添一份，后面的名字就全错位，续跑时会把旧图认成新图。`hash()` 对字符串加了随机的“盐”，每次启动 Python 都不同，正是为了不让人依赖它。提示词当名字，不同种子会互相覆盖，还可能带上文件系统不接受的符号。用同一组种子比较，叫共同随机数（common random numbers）：运气相同，差别才来自提示词。
# </details>
# %% [markdown] lang="en"
# <details><summary>Hint 1: direction</summary>
#
# All combinations are a Cartesian product. The best name is a digest of the order's content: the same content has the same digest, and the smallest change gives quite another.
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `for chosen in itertools.product(*choices.values())`, `facts = dict(zip(choices, chosen))`, and within it `for seed in seeds`. `order = common | {"prompt": template.format(**facts), ...}`; the name is `hashlib.sha256(json.dumps(order, sort_keys=True).encode()).hexdigest()[:12] + ".png"`.
# </details>
#
# <details><summary>Hint 3: why</summary>
#
# With its number as a name, one order put in at the front shifts all the others, and a resumed run takes old pictures for new ones. `hash()` of a text is salted at random, differently in each Python process, precisely so that nobody relies on it. With the prompt as a name two seeds overwrite each other, and some file systems refuse the characters in it. To compare with the same seeds is known as common random numbers: where luck is the same, the difference is the prompt's.
# </details>
# %% points=2
check.plan(plan)

# %%
common = {"negative": "", "guidance": 5.0, "steps": 16, "width": 128, "height": 128}
game = {**choices, "color": choices["color"][:2], "background": choices["background"][:2]}
orders = plan(template, game, [7], common)
print(len(orders))
for one in orders[:3]:
    print(one["name"], one["prompt"], one["seed"])

# %% [markdown] lang="zh"
# ## 第 3 步：同时画几张
#
# 请求的大部分时间在等。写函数 `paint_all(paint, orders, at_once)`：
#
# - 这里的 `paint(order)` 只要一个参数，返回一张图；
# - 同时进行的至多 `at_once` 个，也尽量有这么多，一张慢的不耽误别的；
# - 返回图片的列表，顺序与 `orders` 一致。
# %% [markdown] lang="en"
# ## Step 3: several at once
#
# Most of a request's time is waiting. Write `paint_all(paint, orders, at_once)`.
#
# - Here `paint(order)` takes one argument and returns one picture.
# - At most `at_once` are under way, and as many as that where there is work; a slow one does not hold up the others.
# - It returns a list of pictures in the order of `orders`.
# %%
def paint_all(paint, orders, at_once):
    # n orders -> n pictures
    ### BEGIN SOLUTION
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        return list(pool.map(paint, orders))
    ### END SOLUTION


# %% [markdown] lang="zh"
# <details><summary>提示 1：方向</summary>
#
# 标准库里有现成的线程池：固定几个工人，谁闲下来谁领下一份活。
# </details>
#
# <details><summary>提示 2：几乎就是代码</summary>
#
# `with ThreadPoolExecutor(max_workers=at_once) as pool:`，里面用 `pool.map(paint, orders)`，它按订单的顺序给出结果，不管谁先画完。
# </details>
#
# <details><summary>提示 3：为什么</summary>
#
# 等网络时，Python 的线程不占 GIL，所以线程就够了。上限不是客气：服务器有排队长度和速率限制，几百个请求一起砸过去，只会收到 429。一组一组地发（等这一组全部回来再发下一组），每组都要等最慢的那一张。原章节在两张之间 `sleep(1)`，什么也没限制住，因为它本来就是一张一张画的。
# </details>
# %% [markdown] lang="en"
# <details><summary>Hint 1: direction</summary>
#
# The standard library has a pool of threads: a fixed number of workers, and whoever is free takes the next piece of work.
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `with ThreadPoolExecutor(max_workers=at_once) as pool:`, and within it `pool.map(paint, orders)`, which gives results in the order of the orders, whoever finishes first.
# </details>
#
# <details><summary>Hint 3: why</summary>
#
# A Python thread that waits for the network does not hold the GIL, so threads are enough. The bound is no courtesy: servers have queues and rate limits, and hundreds of requests thrown at once earn you a 429. Sending group after group means that each waits for its slowest. The chapter sleeps a second between two pictures, which limits nothing: its calls came one after the other anyway.
# </details>
# %% points=2
check.paint_all(paint_all)

# %% [markdown] lang="zh"
# 看看真实的服务器。下图每个横条是一个请求从发出到收到的时间。课程自带的服务器一次只画一张（只有一个 CPU），所以请求虽然同时在路上，却在服务器那里排队：总时间差不多，有时还更长。换成有好几块显卡的服务器，或者按张收费的 API，时间才会降下来。**并发省的是等待，不是计算。**
# %% [markdown] lang="en"
# And now the real server. Each bar is a request, from when it was sent to when its picture came. The course's own server paints one picture at a time, having one CPU, so requests are under way together and queue there: the whole takes about as long, now and then longer. With a server of several graphics cards, or an API one pays by the picture, it becomes shorter. **Concurrency saves waiting, not computing.**
# %% tags=["nbval-ignore-output"]
def spans(at_once):
    began, found = time.perf_counter(), {}

    def noted(order):
        sent = time.perf_counter() - began
        made = paint(url, order)[0]
        found[order["seed"]] = (sent, time.perf_counter() - began - sent)
        return made

    paint_all(noted, [order | {"seed": seed, "steps": 4} for seed in range(4)], at_once)
    return [found[seed] for seed in sorted(found)]


figure, axes = plots.figure(7, 2.2, 1, 2, sharex=True)
for axis, at_once in zip(axes[0], (1, 4)):
    for row, span in enumerate(spans(at_once)):
        axis.broken_barh([span], (row - 0.35, 0.7), color=plots.COLORS[row])
    axis.set(title=f"at_once = {at_once}", xlabel="s", yticks=[])
figure

# %% [markdown] lang="zh"
# ## 第 4 步：有失败也画完，中断了能续跑
#
# 几百张图要画一夜。夜里会发生什么？某个请求失败，服务器重启，笔记本没电。写函数 `generate(paint, orders, folder, at_once, tries=3)`：
#
# - 每份订单的图片写成 `folder / order["name"]`（PNG），文件夹不存在就建；文件已经在了就跳过，不再请求；
# - 同时进行的至多 `at_once` 个；
# - 某份订单失败就再试，总共至多 `tries` 次，两次之间稍等片刻（0.1 秒就够）；还是不行，就记下来，别的继续；
# - 返回 `{文件名: 原因}`，列出最终失败的，没有就是空字典；
# - 任何时候被中断，再调用一次都能接着画：不重画已有的，也不把写了一半的文件当成画好的。
# %% [markdown] lang="en"
# ## Step 4: survive failures, go on after a stop
#
# Hundreds of pictures take a night. What happens at night? A request fails, the server restarts, the laptop's battery runs out. Write `generate(paint, orders, folder, at_once, tries=3)`.
#
# - The picture of an order is written to `folder / order["name"]` (PNG), the folder is made where it is missing; an order whose file is there is skipped, and nothing is sent.
# - At most `at_once` are under way.
# - An order that fails is tried again, `tries` times in all, with a short pause in between (0.1 s will do); if it still fails, that is noted, and the others go on.
# - It returns `{name: why}` of those that failed in the end, an empty dictionary where none did.
# - Whenever the program is killed, one more call goes on from there: it repeats nothing that is there, and takes no half-written file for a picture.
# %%
def generate(paint, orders, folder, at_once, tries=3):
    # -> {name: why} of what failed
    ### BEGIN SOLUTION
    folder, failed = Path(folder), {}
    folder.mkdir(parents=True, exist_ok=True)

    def one(order):
        path = folder / order["name"]
        if path.exists():
            return
        for _ in range(tries):
            try:
                picture = paint(order)
                break
            except Exception as error:
                reason = str(error)
                time.sleep(0.1)
        else:
            failed[order["name"]] = reason
            return
        part = path.with_suffix(".part")
        picture.save(part, "PNG")
        part.replace(path)

    paint_all(one, orders, at_once)
    return failed
    ### END SOLUTION


# %% [markdown] lang="zh"
# <details><summary>提示 1：方向</summary>
#
# 写一个只管一份订单的小函数，它从不抛出异常：有文件就返回，否则试几次，成功就写文件，失败就记下原因。然后把它交给 `paint_all`。
# </details>
#
# <details><summary>提示 2：几乎就是代码</summary>
#
# `for _ in range(tries)`，里面 `try: picture = paint(order)`，`except Exception as error: reason = str(error)`，成功就 `break`（`for ... else` 在没有 `break` 时执行，正好记失败）。写文件：`part = path.with_suffix(".part")`，`picture.save(part, "PNG")`，`part.replace(path)`。
# </details>
#
# <details><summary>提示 3：为什么</summary>
#
# 直接 `picture.save(path)`，写到一半被中断，留下的是一个名字正确、内容残缺的文件，下次会被当成画好的。改名是原子的：这个名字要么还没有，要么内容完整。（程序被杀掉时这就够了；真的断电，还要先 `fsync`，课程库就是这么做的。）`except:` 会连 Ctrl-C 也吞掉，写 `except Exception`。原因要返回，不要只打印：打印的东西第二天早上没人看得到。失败多半是暂时的，所以再试；但请求本身有错时再试一百次也没用，所以有上限。（0.1 秒只够通过检查；真实的服务要越等越久，就是第 03 课的退避，答 429 时照它的 `Retry-After` 等。）
# </details>
# %% [markdown] lang="en"
# <details><summary>Hint 1: direction</summary>
#
# Write a small function that looks after one order and never raises: where the file is there it returns, else it tries a few times, writes the file when it has worked and notes why when it has not. Hand that to `paint_all`.
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `for _ in range(tries)`, within it `try: picture = paint(order)`, `except Exception as error: reason = str(error)`, and a `break` when it has worked (`for ... else` runs where there was no `break`: the place to note a failure). To write: `part = path.with_suffix(".part")`, `picture.save(part, "PNG")`, `part.replace(path)`.
# </details>
#
# <details><summary>Hint 3: why</summary>
#
# With `picture.save(path)` a kill in the middle leaves a file with the right name and half its content, and the next run takes it for done. A rename is atomic: either the name is not there, or its content is whole. (That is enough when the program is killed; against a true power cut the file must be `fsync`ed first, as the library does.) A bare `except:` swallows Ctrl-C as well, so write `except Exception`. Return the reasons, do not just print them: nobody sees in the morning what was printed at night. Most failures pass, hence another try; but what is wrong with the request itself stays wrong a hundred times over, hence the bound. (0.1 s is enough for the check; with a real service wait longer each time, lesson 03's backoff, and after a 429 as long as its `Retry-After` says.)
# </details>
# %% points=2
check.generate(generate)

# %% [markdown] lang="zh"
# 现在画真的（为了省时间，上面只取了两种颜色、两个地点）。第一次把它们全画出来；第二次是同样的调用，什么也不用画。
# %% [markdown] lang="en"
# Now in earnest (with two colours and two places, to save time). The first call paints them all; the second is the same, and has nothing to do.
# %% tags=["nbval-ignore-output"]
import tempfile

folder = Path(tempfile.mkdtemp()) / "game"
for _ in range(2):
    began = time.perf_counter()
    failed = generate(lambda order: paint(url, order)[0], orders, folder, at_once=2)
    print(f"{time.perf_counter() - began:6.1f} s,", len(list(folder.glob('*.png'))), "png,", failed)

# %% [markdown] lang="zh"
# ## 第 5 步：量一量，看一看
#
# 画出来了，画对了吗？几十张还能用眼睛看，几千张就要测量。让 CLIP 当考官：对订单里的每个事实，把这一个词换成所有候选词，其余照旧，看图片与哪一句最接近。写两个函数：
#
# - `measure(clip, pictures, orders, template, choices)`：对每个事实，返回 CLIP 认为画对的比例；再加一项 `"all"`，是**所有**事实都对的图片的比例。没画成的图片是 `None`，算错；
# - `contact_sheet(pictures, labels, columns)`：一张 PIL 总览图，每行 `columns` 张，按顺序，每张下面写上标签（会有汉字）；`None` 的位置空着。
# %% [markdown] lang="en"
# ## Step 5: measure it, look at it
#
# It is painted, but is it right? Dozens of pictures one can look at, thousands have to be measured. CLIP is the judge: for each fact of an order, put every word of its choices in that one place, keep the rest, and see which sentence the picture is closest to. Write two functions.
#
# - `measure(clip, pictures, orders, template, choices)` returns, for each fact, the share of pictures that CLIP finds right, and under `"all"` the share in which **every** fact is right. A picture that was not painted is `None`, and counts as wrong.
# - `contact_sheet(pictures, labels, columns)` makes one PIL picture of all, `columns` a row, in their order, each with its label underneath (some are Chinese); the place of a `None` stays empty.
# %%
def measure(clip, pictures, orders, template, choices):
    # -> {fact: share, ..., "all": share}
    ### BEGIN SOLUTION
    right = {fact: [] for fact in choices}
    for picture, order in zip(pictures, orders):
        for fact, words in choices.items():
            prompts = [template.format(**(order["facts"] | {fact: word})) for word in words]
            seen = None if picture is None else words[clip.similarity(picture, prompts).argmax()]
            right[fact].append(seen == order["facts"][fact])
    shares = {fact: float(np.mean(row)) for fact, row in right.items()}
    return shares | {"all": float(np.mean(np.all(list(right.values()), axis=0)))}
    ### END SOLUTION


def contact_sheet(pictures, labels, columns):
    # -> one PIL picture
    ### BEGIN SOLUTION
    side, line, rows = 128, 20, -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (side + 8), rows * (side + line + 8)), plots.GROUND)
    pen, letters = ImageDraw.Draw(sheet), plots.font(12)
    for i, (picture, label) in enumerate(zip(pictures, labels)):
        left, top = i % columns * (side + 8) + 4, i // columns * (side + line + 8) + 4
        if picture is not None:
            sheet.paste(picture.resize((side, side)), (left, top))
        pen.text((left, top + side + 2), label, plots.INK, letters)
    return sheet
    ### END SOLUTION


# %% [markdown] lang="zh"
# <details><summary>提示 1：方向</summary>
#
# 对一张图、一个事实，就是一次零样本分类（第 02 课），只是标签换成了只差一个词的句子。先给每个事实记一列“对 / 错”，比例最后再算，“全对”也就有了。总览图是一大张空白，逐张 `paste`。
# </details>
#
# <details><summary>提示 2：几乎就是代码</summary>
#
# `prompts = [template.format(**(order["facts"] | {fact: word})) for word in words]`，`clip.similarity(picture, prompts)` 给出 `(n,)` 个余弦，`argmax()` 的那个词就是 CLIP 的回答。全对：`np.all([对错的各列], axis=0).mean()`。总览图：第 i 张的左上角是 `(i % columns * 宽, i // columns * 高)`，写字用 `ImageDraw.Draw(sheet).text((x, y), label, plots.INK, plots.font(12))`。
# </details>
#
# <details><summary>提示 3：为什么</summary>
#
# 只问“像不像这句提示词”得到一个余弦，说明不了什么：0.3 是高是低？与只差一个词的句子比，才知道这个词画对没有。只量画成的图片，失败越多成绩越好看，这叫幸存者偏差。“全对”不是各比例的乘积：错误常常挤在同一张图上。考官自己也会错，所以总览图一定要看一眼。参与过训练的 CLIP 当考官还会偏心：这里的 mini-clip 就有嫌疑，mini-sd 的文本编码器是从它的文本塔开始训练的（第 04 课第 9 节）。正式打分，请换一个考官。
# </details>
# %% [markdown] lang="en"
# <details><summary>Hint 1: direction</summary>
#
# For one picture and one fact this is zero-shot classification (lesson 02), with sentences that differ in one word for labels. Keep a column of right and wrong for each fact and take the means last: then "all" is there, too. The sheet is one large blank picture into which you `paste`.
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `prompts = [template.format(**(order["facts"] | {fact: word})) for word in words]`, and `clip.similarity(picture, prompts)` gives `(n,)` cosines, of which `argmax()` is CLIP's word. All right: `np.all([the columns], axis=0).mean()`. On the sheet number i has its corner at `(i % columns * width, i // columns * height)`; write with `ImageDraw.Draw(sheet).text((x, y), label, plots.INK, plots.font(12))`.
# </details>
#
# <details><summary>Hint 3: why</summary>
#
# To ask how well the prompt fits gives one cosine, which says little: is 0.3 high or low? Only against sentences that differ in one word does it tell whether that word was painted. Measuring the survivors alone, you look the better the more has failed: survivorship bias. "All" is not the product of the shares, as mistakes come together in one picture. The judge errs, too, so do look at the sheet. And a CLIP that took part in the training is biased: mini-clip is suspect here, since mini-sd's text encoder began as its text tower (lesson 04, section 9). For scores that count, take another judge.
# </details>
# %% points=2
check.measure(measure, contact_sheet)

# %% tags=["nbval-ignore-output"]
paths = [folder / one["name"] for one in orders]
made = [Image.open(path) if path.exists() else None for path in paths]
shares = measure(clip, made, orders, template, game)
print(service, "→", clip.name, {name: f"{share:.0%}" for name, share in shares.items()})
contact_sheet(made, [" ".join([one["facts"]["color"], one["facts"]["kind"]]) for one in orders], columns=4)

# %% [markdown] lang="zh"
# ## 与课程库比一比
#
# `course_lib` 里的 `batch_generate` 做的是同一件事。同样的服务器、同样的种子，应当画出**一模一样**的图片：
# %% [markdown] lang="en"
# ## Beside the library's own
#
# `batch_generate` of `course_lib` does the same. The same server and the same seeds should give **exactly the same** pictures:
# %% tags=["nbval-ignore-output"]
some = orders[:4]
prompts = [
    {"prompt": one["prompt"], "seed": one["seed"], "guidance_scale": one["guidance"], "steps": one["steps"],
     "width": one["width"], "height": one["height"]} for one in some
]  # fmt: skip
reference = service.batch_generate(prompts, folder.parent / "reference", max_workers=2, progress=False)
for one, (entry, theirs) in zip(some, reference.pictures()):
    mine = np.asarray(Image.open(folder / one["name"]))
    print(one["name"], entry.file, np.array_equal(mine, np.asarray(theirs)))

# %% [markdown] lang="zh"
# 你的工具和课程库的画得一样。它多做了什么？打开 `course_lib/painting/batch.py` 看看：**清单**（manifest）在画之前就写下每张图的种子，所以种子是“随意”的也能续跑；文件写完先 `fsync` 再改名，断电也不怕；一个文件夹同一时间只许一批在写；连接三次都失败就不再一张张去碰壁。
#
# **再想一想**
#
# <details><summary>1. 种子写 -1（随意），你的续跑还管用吗？</summary>
#
# 文件名由订单决定，种子 -1 也是订单的一部分，所以不会重画；但万一文件丢了，就再也画不出同一张。想可重复，就在计划里先把种子抽好。
# </details>
#
# <details><summary>2. 服务器没回答就断了，再试会不会多花钱？</summary>
#
# 会。请求可能已经在画了，按张收费的服务会收两次。课程库因此只在确定没画时才重试收费的服务（429、503，或者根本没连上）。
# </details>
#
# <details><summary>3. CLIP 说 90% 画对了，就是 90% 吗？</summary>
#
# 考官也会看错。先用标准答案已知的图片量一量考官自己（第 02 课），再谈它给别人打的分；检查第 5 步就是这么做的。
# </details>
#
# <details><summary>4. 怎样换成完整模型？</summary>
#
# 启动一个 AUTOMATIC1111 或 Forge（参数 `--api`），把环境变量 `COURSE_SD_URL` 设为它的地址，宽高改成它擅长的尺寸，你写的代码一行都不用改。只是提示词的模板和用词要换成模型读得懂的语言（Stable Diffusion 1.5 只读英文），第 5 步的考官也要换成完整的 CLIP。
# </details>
# %% [markdown] lang="en"
# Your generator paints what the library's paints. What does that do beyond it? Look into `course_lib/painting/batch.py`: a **manifest** holds each picture's seed before it is painted, so that a run goes on even where any seed would do; a file is `fsync`ed before it gets its name, which outlives a power cut; a folder takes one batch at a time; and after three failures in a row to connect it gives up on the rest.
#
# **Think further**
#
# <details><summary>1. With seed -1 (any), can your runs still go on?</summary>
#
# The name follows from the order, of which -1 is a part, so nothing is painted twice; but if a file is lost, nobody paints that picture again. For what should be repeatable, draw the seeds when you plan.
# </details>
#
# <details><summary>2. The server hung up without an answer. Can another try cost you money?</summary>
#
# It can. The request may have been under way, and a service one pays by the picture charges twice. That is why the library repeats a paid request only where it certainly was not painted: turned away (429, 503), or never arrived.
# </details>
#
# <details><summary>3. CLIP says that 90 % were painted right. Is it 90 %?</summary>
#
# The judge errs, too. Measure the judge on pictures whose truth is known (lesson 02) before you believe its marks; the check of step 5 does just that.
# </details>
#
# <details><summary>4. How do I move to a full-size model?</summary>
#
# Start AUTOMATIC1111 or Forge with `--api`, set the environment variable `COURSE_SD_URL` to its address, take the width and height it paints best, and not a line of your code changes. Step 5's judge has to be a full-size CLIP, too.
# </details>

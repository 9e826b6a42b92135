# ---
# kind: exercise
# ---

# %% [markdown] lang="zh"
# # 练习 3：图文搜索与视觉问答应用
#
# **小世界绘本社**的画越积越多，编辑们想要一个应用：打几个字，或者拿一张图，就能找到画；点一张，就能问它；自己的图也能放进去；每个回答都写明是谁答的。这次你从头做到尾：六步，每一步都是这个应用的一块，写完就有检查。最后把你的六块装进课程库的界面里，用鼠标点一点。
#
# | 步骤 | 你要写的 | 难度 | 重要性 | 时间 | 分数 |
# |---|---|---|---|---|---|
# | 1 | `add`：收下上传的文件，坏的说明原因 | ●●●○ | ●●●● | 20 分钟 | 2 |
# | 2 | `find`：按文字、按图片、两样一起找 | ●○○○ | ●●●● | 10 分钟 | 2 |
# | 3 | `ask`：问一张图，对话不行就换 CLIP | ●●○○ | ●●●● | 15 分钟 | 2 |
# | 4 | `plain`、`accuracy`、`recall_at_k`：量一量 | ●●○○ | ●●●○ | 15 分钟 | 2 |
# | 5 | `ask_all`：一个问题问遍所有的图 | ●●○○ | ●●●○ | 15 分钟 | 2 |
# | 6 | `Session`：把它们装成一个应用 | ●●●● | ●●●● | 30 分钟 | 2 |
#
# 先学第 02、03、06 课。写法不限，检查只看行为：它会上传各种坏文件，让对话连不上，还会像用户一样乱点。卡住时依次展开三层提示：先给方向，再给写法，最后讲道理。
# %% [markdown] lang="en"
# # Exercise 3: an application that searches and answers
#
# The **Little World Press** has ever more drawings, and its editors want an application: type a few words, or show a picture, and find drawings; click one and ask about it; put in pictures of your own; and with each answer see who gave it. This time you build it from end to end, in six steps, each a part of the application and checked as soon as you have written it. In the end your six parts go behind the course library's widgets, to be clicked.
#
# | step | you write | difficulty | importance | minutes | points |
# |---|---|---|---|---|---|
# | 1 | `add`: take uploads in, say why the bad ones stay out | ●●●○ | ●●●● | 20 | 2 |
# | 2 | `find`: by words, by a picture, by both | ●○○○ | ●●●● | 10 | 2 |
# | 3 | `ask`: ask a picture; where the chat fails, ask CLIP | ●●○○ | ●●●● | 15 | 2 |
# | 4 | `plain`, `accuracy`, `recall_at_k`: measure it | ●●○○ | ●●●○ | 15 | 2 |
# | 5 | `ask_all`: one question to all pictures | ●●○○ | ●●●○ | 15 | 2 |
# | 6 | `Session`: make an application of them | ●●●● | ●●●● | 30 | 2 |
#
# Do lessons 02, 03 and 06 first. Solve it as you like: a check looks at behaviour alone. It uploads bad files of every sort, cuts off the chat, and clicks about as users do. When stuck, unfold the hints one at a time: a direction, then nearly the code, then the reason.

# %% [markdown] lang="zh"
# ## 准备
#
# `engine` 是第 06 课的检索引擎，装着课程自带的画册；`pictures` 是 `{编号: 图片}`；`vqa` 是第 06 课的 `VisualQA`，问看图对话或者问 CLIP。
# %% [markdown] lang="en"
# ## Getting ready
#
# `engine` is lesson 06's search engine, filled with the course's gallery; `pictures` is `{id: picture}`; `vqa` is lesson 06's `VisualQA`, which asks a vision chat, or CLIP.
# %% nbgrader={"grade": false, "grade_id": "ex3-setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import hashlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from course_lib import CLIPService, CourseError, ImageError, ImageSearchEngine, VisualQA, batch, open_image, plots, say
from course_lib.checking import Exercise3
from course_lib.images import encode
from little_world import draw, labels, load_gallery
from little_world.scenes import single


def picture(seed, **facts):
    return draw(single(np.random.default_rng(seed), **facts))


clip = CLIPService()
pages = [page for page in load_gallery() if page.part in ("single", "held_out")]
pictures = {page.id: page.image for page in pages}
engine = ImageSearchEngine(clip)
engine.add_images(pictures, metadata={page.id: {"name": page.captions[LANG]} for page in pages}, progress=False)
vqa = VisualQA(clip_service=clip)
check = Exercise3(clip, picture, {"kind": labels("kind", LANG), "color": labels("color", LANG)})
engine

# %% [markdown] lang="zh"
# ## 第 1 步：收下图片
#
# 用户什么都会传上来：同一张传两遍，不同的照片都叫 `photo.png`，改了后缀的文本，下载了一半的文件，声称有几十亿像素的“炸弹”。写函数 `add(engine, files, progress)`：
#
# - `files` 是 `(文件名, 内容)` 的列表，内容是 `bytes`；`progress(做完几个, 一共几个)` 每处理完一个文件调用一次；
# - 用 `open_image(content)` 打开，用 `engine.add_image(编号, 图片, {"name": 文件名})` 加入。**编号由内容决定**：内容相同，编号就相同；
# - 返回 `(added, refused)`：`added` 是收下的 `{编号: 图片}`，`refused` 是没收下的 `[(文件名, 原因), ...]`。已经有的也算没收下。一个坏文件不耽误别的。
# %% [markdown] lang="en"
# ## Step 1: taking pictures in
#
# Users upload anything: the same picture twice, different ones that are all called `photo.png`, text with another suffix, half a download, a "bomb" that claims billions of pixels. Write `add(engine, files, progress)`.
#
# - `files` is a list of `(name, content)`, the content as `bytes`; `progress(done, total)` is called after each file.
# - Open with `open_image(content)`, add with `engine.add_image(id, picture, {"name": name})`. **The content decides the id**: equal content, equal id.
# - Return `(added, refused)`: `added` holds those taken, `{id: picture}`, `refused` the others, `[(name, why), ...]`. What is there already counts as refused. One bad file does not hold up the rest.
# %%
def add(engine, files, progress=lambda done, total: None):
    # [(name, bytes)] -> ({id: picture}, [(name, why)])
    ### BEGIN SOLUTION
    added, refused = {}, []
    for done, (name, content) in enumerate(files, 1):
        number = hashlib.sha256(content).hexdigest()[:16]
        try:
            if number in engine:
                raise ImageError(say(zh="这张图已经在图库里了。", en="This picture is in the gallery already."))
            picture = open_image(content)
            engine.add_image(number, picture, {"name": name})
            added[number] = picture
        except CourseError as error:
            refused.append((name, str(error)))
        progress(done, len(files))
    return added, refused
    ### END SOLUTION


# %% [markdown] lang="zh"
# <details><summary>提示 1：方向</summary>
#
# 一个循环，每个文件有自己的 `try`。课程库的错误（`CourseError`）本来就是一句给人看的话。
# </details>
#
# <details><summary>提示 2：几乎就是代码</summary>
#
# 编号：`hashlib.sha256(content).hexdigest()[:16]`。`if number in engine` 就记入 `refused`；否则 `open_image`、`add_image`，都在 `try` 里；`except CourseError as error: refused.append((name, str(error)))`；`progress(done, len(files))` 在 `try` 之外。
# </details>
#
# <details><summary>提示 3：为什么</summary>
#
# 文件名是用户起的，会重复；序号在删过图之后会撞上旧的；内容的摘要两样都不会。后缀说明不了什么，只有解码才知道是不是图片。`open_image` 在解码之前就看尺寸，“炸弹”还没炸就被拒绝；它还按 EXIF 把手机照片摆正。坏文件也要算进度，否则进度条永远到不了头。
# </details>
# %% [markdown] lang="en"
# <details><summary>Hint 1: direction</summary>
#
# One loop, and for each file a `try` of its own. The library's errors (`CourseError`) are sentences for people already.
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# The id: `hashlib.sha256(content).hexdigest()[:16]`. Where it is `in engine`, note that in `refused`; else `open_image` and `add_image`, both within the `try`; `except CourseError as error: refused.append((name, str(error)))`; `progress(done, len(files))` stands outside the `try`.
# </details>
#
# <details><summary>Hint 3: why</summary>
#
# Names come from users and repeat themselves; numbers collide with old ones once something was removed; a digest of the content does neither. A suffix says nothing: only decoding tells whether it is a picture. `open_image` looks at the size before it decodes, so the bomb is refused before it goes off, and it heeds EXIF, so that a telephone's picture stands upright. Bad files count as progress, or the bar never reaches its end.
# </details>
# %% points=2
check.add(add)

# %%
mine = {"cat.png": encode(picture(1, kind="cat")), "notes.png": b"no picture", "car.png": encode(picture(2, kind="car"))}
trial = ImageSearchEngine(clip)
added, refused = add(trial, list(mine.items()), lambda done, total: print(f"{done}/{total}", end=" "))
refused

# %% [markdown] lang="zh"
# ## 第 2 步：找图
#
# 写函数 `find(engine, words="", picture=None, top_k=12)`，返回 `[(编号, 分数), ...]`，最像的在前：
#
# - 只有文字，按文字找；只有图片，按图片找；两样都有，两样都算；
# - 只有空格的文字等于没有；什么都没有，返回空列表。
#
# `engine.search(text=..., image=..., top_k=...)` 三种都会，它的结果有 `.id` 和 `.score`；没有的那样要给 `None`。
# %% [markdown] lang="en"
# ## Step 2: finding pictures
#
# Write `find(engine, words="", picture=None, top_k=12)`, which returns `[(id, score), ...]`, best first.
#
# - Words alone: by the words; a picture alone: by the picture; both: by both.
# - Words that are only blanks are none; where there is nothing, the list is empty.
#
# `engine.search(text=..., image=..., top_k=...)` does all three; its results have `.id` and `.score`; what is missing is `None`.
# %%
def find(engine, words="", picture=None, top_k=12):
    # -> [(id, score), ...]
    ### BEGIN SOLUTION
    words = words.strip()
    if not words and picture is None:
        return []
    results = engine.search(text=words or None, image=picture, top_k=top_k)
    return [(result.id, result.score) for result in results]
    ### END SOLUTION


# %% [markdown] lang="zh"
# <details><summary>提示 1：方向</summary>
#
# 先把文字整理好，再看手里有什么。
# </details>
#
# <details><summary>提示 2：几乎就是代码</summary>
#
# `words = words.strip()`；两样都没有就 `return []`；否则 `engine.search(text=words or None, image=picture, top_k=top_k)`，把每个结果变成 `(result.id, result.score)`。
# </details>
#
# <details><summary>提示 3：为什么</summary>
#
# CLIP 的文字和图片各占空间的一块（模态间隙），同样一个分数，在文搜图里是最好的一张，在图搜图里也许到处都是（完整的 CLIP 里，0.3 就是这样）。两种分数不能直接相加，`engine.search` 先把各自除以自己的标准差。界面上也不要把不同查询的分数放在一起比。空文字交给模型，得到的是某个说不清的方向，不如什么都不找。
# </details>
# %% [markdown] lang="en"
# <details><summary>Hint 1: direction</summary>
#
# Tidy the words first, then see what you have.
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `words = words.strip()`; with neither, `return []`; else `engine.search(text=words or None, image=picture, top_k=top_k)`, and of each result `(result.id, result.score)`.
# </details>
#
# <details><summary>Hint 3: why</summary>
#
# CLIP's texts and pictures keep to different regions of the space (the modality gap): a score that only the best picture has with some words may be common between two pictures (with a full-size CLIP, 0.3 is such a one). The two kinds cannot be added as they are, and `engine.search` first divides each by its own spread. Nor should the app compare scores of different queries. Empty words, handed to the model, are some direction that means nothing: better to find nothing.
# </details>
# %% points=2
check.find(find)

# %%
def show(results, columns=6):
    names = [f"{i} · {score:.2f}" for i, score in results]
    return plots.gallery([pictures[i] for i, _ in results], names, columns=columns)


show(find(engine, say(zh="黄色的猫", en="a yellow cat"), top_k=6))

# %% [markdown] lang="zh"
# ## 第 3 步：问一张图
#
# 看图对话什么都能问，但它可能没开、可能超时、可能拒绝；CLIP 只懂几类问题，却总在手边，还知道自己有多大把握。写函数 `ask(vqa, picture, question)`，返回一个字典：
#
# - `text`：回答；`model`：**谁**答的；`sure`：把握（对话不说，就是 `None`）；`note`：还有什么要让用户知道的，没有就是 `""`；
# - 先问对话：`vqa.answer(picture, question)`，它的名字是 `vqa.client.endpoint.model`；
# - 对话出错（`CourseError`）就问 CLIP：`vqa.answer(picture, question, use_gpt4v=False)`，它的名字是 `vqa.clip_service.name`，把握是 `answer.confidence`；对话的错误放进 `note`，CLIP 不肯定的原因 `answer.reason` 也放进去；
# - 程序自己的错误不要吞掉。
# %% [markdown] lang="en"
# ## Step 3: asking a picture
#
# A vision chat can be asked anything, but it may be off, late, or unwilling; CLIP understands a few sorts of questions, but it is always at hand, and knows how sure it is. Write `ask(vqa, picture, question)`, which returns a dictionary.
#
# - `text` is the answer; `model` is **who** gave it; `sure` how sure that is (a chat does not say: `None`); `note` what else a user should know, `""` if nothing.
# - Ask the chat first, `vqa.answer(picture, question)`; its name is `vqa.client.endpoint.model`.
# - Where the chat fails (`CourseError`), ask CLIP, `vqa.answer(picture, question, use_gpt4v=False)`; its name is `vqa.clip_service.name`, and `answer.confidence` how sure it is. The chat's error goes into `note`, and so does `answer.reason`, why CLIP is not sure.
# - Do not swallow errors of the program itself.
# %%
def ask(vqa, picture, question):
    # -> {"text", "model", "sure", "note"}
    ### BEGIN SOLUTION
    try:
        answer, model, note = vqa.answer(picture, question), vqa.client.endpoint.model, ""
    except CourseError as error:
        answer = vqa.answer(picture, question, use_gpt4v=False)
        model, note = vqa.clip_service.name, str(error)
    notes = [text for text in (answer.reason, note) if text]
    return {"text": str(answer), "model": model, "sure": answer.confidence, "note": " ".join(notes)}
    ### END SOLUTION


# %% [markdown] lang="zh"
# <details><summary>提示 1：方向</summary>
#
# `try` 里问对话，`except CourseError` 里问 CLIP，谁答的就记谁的名字。
# </details>
#
# <details><summary>提示 2：几乎就是代码</summary>
#
# `except CourseError as error:` 里 `answer = vqa.answer(picture, question, use_gpt4v=False)`，`note = str(error)`。两种回答都有 `.confidence`（对话的是 `None`）和 `.reason`（没有就是空的）。
# </details>
#
# <details><summary>提示 3：为什么</summary>
#
# 悄悄换了模型是最坏的后备：用户以为是大模型说的。`except Exception` 会把你自己的拼写错误也当成“对话没开”，从此永远只有 CLIP 在答，而你不知道。把握只能由量过的模型来说：CLIP 的把握是校准过的（第 06 课），对话的语气再肯定也不是概率。
# </details>
# %% [markdown] lang="en"
# <details><summary>Hint 1: direction</summary>
#
# The chat within `try`, CLIP within `except CourseError`, and the name of whoever answered.
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# Under `except CourseError as error:` stand `answer = vqa.answer(picture, question, use_gpt4v=False)` and `note = str(error)`. Both kinds of answers have `.confidence` (`None` from a chat) and `.reason` (empty where there is none).
# </details>
#
# <details><summary>Hint 3: why</summary>
#
# The worst fallback is a silent one: users believe that the large model spoke. `except Exception` takes your own typing mistake for "the chat is off", and from then on only CLIP answers, and you never know. How sure an answer is, only a model that was measured can say: CLIP's confidence is calibrated (lesson 06), while a chat's assured tone is no probability.
# </details>
# %% points=2
check.ask(ask)

# %% tags=["nbval-ignore-output"]
best = find(engine, say(zh="沙漠里的猫", en="a cat in the desert"), top_k=1)[0][0]
reply = ask(vqa, pictures[best], say(zh="图中有猫吗？", en="Is there a cat?"))
print(reply)
plots.gallery([pictures[best]], [reply["text"]], size=2)

# %% [markdown] lang="zh"
# ## 第 4 步：量一量
#
# 没有量过，就不要交给别人用。写三个函数：
#
# - `plain(text)`：去掉不影响意思的东西：大小写、首尾和多余的空格、句末的 `.`、`。`、`!`、`！`、开头的英文冠词（a、an、the）；
# - `accuracy(answers, truths)`：答对的比例，两边都先过 `plain`；没有回答是 `None`，算错；
# - `recall_at_k(rankings, relevant, k)`：R@k。`rankings` 是每个查询找到的编号（最像的在前），`relevant` 是每个查询对的编号的集合；前 k 名里有一个对的，这个查询就算找到。
# %% [markdown] lang="en"
# ## Step 4: measuring
#
# What was not measured is not handed to others. Write three functions.
#
# - `plain(text)` takes away what does not change an answer: case, blanks around it and repeated ones, a final `.`, `。`, `!` or `！`, and an English article at the beginning (a, an, the).
# - `accuracy(answers, truths)` is the share of right answers, both sides made `plain`; no answer is `None`, and wrong.
# - `recall_at_k(rankings, relevant, k)` is R@k. `rankings` holds the ids that each query found, best first, `relevant` the set of right ids of each; a query counts as found where one of them is among the first k.
# %%
def plain(text):
    ### BEGIN SOLUTION
    words = text.casefold().strip(" \n\t.。!！").split()
    if len(words) > 1 and words[0] in ("a", "an", "the"):
        words = words[1:]
    return " ".join(words)
    ### END SOLUTION


def accuracy(answers, truths):
    ### BEGIN SOLUTION
    return np.mean([a is not None and plain(a) == plain(truth) for a, truth in zip(answers, truths)])
    ### END SOLUTION


def recall_at_k(rankings, relevant, k):
    ### BEGIN SOLUTION
    return np.mean([bool(set(ranking[:k]) & right) for ranking, right in zip(rankings, relevant)])
    ### END SOLUTION


# %% [markdown] lang="zh"
# <details><summary>提示 1：方向</summary>
#
# 先把文字拆成词，再处理词，比在字符串上找来找去稳当。两个比例都是“对 / 错”列表的平均。
# </details>
#
# <details><summary>提示 2：几乎就是代码</summary>
#
# `words = text.casefold().strip(" \n\t.。!！").split()`，第一个词是冠词、后面还有词就去掉，再 `" ".join(words)`。R@k：`set(ranking[:k]) & right` 非空就是找到。
# </details>
#
# <details><summary>提示 3：为什么</summary>
#
# 对话爱说 “A cat.”，标准答案写的是 “cat”，不整理就比，好模型也会得零分；整理过头（去掉 “ant” 的 “an”），坏答案又会蒙混过关。没有回答的不算进分母，只答最容易的一题就是满分。第 06 课里还有 mAP 和 nDCG，它们连名次都算。
# </details>
# %% [markdown] lang="en"
# <details><summary>Hint 1: direction</summary>
#
# Split into words and work on words: safer than searching about in a string. Both shares are means of a list of right and wrong.
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `words = text.casefold().strip(" \n\t.。!！").split()`; where the first is an article and more words follow, drop it; `" ".join(words)`. For R@k, a query is found where `set(ranking[:k]) & right` is not empty.
# </details>
#
# <details><summary>Hint 3: why</summary>
#
# A chat likes to say "A cat." where the truth says "cat": compared as they are, a good model scores nothing. Tidy too much (the "an" of "ant"), and wrong answers slip through. Leave those without an answer out of the count, and one easy question makes a perfect score. Lesson 06 has mAP and nDCG as well, which also look at the places.
# </details>
# %% points=2
check.measure(plain, accuracy, recall_at_k)

# %% [markdown] lang="zh"
# 用标准答案已知的画册量一量搜索。每个查询是一种颜色的一样东西，中英文各问一遍：
# %% [markdown] lang="en"
# Now measure the search on the gallery, whose truth is known. Each query is a thing of a colour, in either language:
# %%
pairs = sorted({(page.kind, page.color) for page in pages if page.color})
relevant = [{page.id for page in pages if (page.kind, page.color) == pair} for pair in pairs]
for lang, sentence in {"zh": "{color}的{kind}", "en": "a {color} {kind}"}.items():
    kinds, colors = labels("kind", lang), labels("color", lang)
    queries = [sentence.format(color=colors[color], kind=kinds[kind]) for kind, color in pairs]
    rankings = [[i for i, _ in find(engine, query, top_k=5)] for query in queries]
    print(clip.name, lang, *(f"R@{k} {recall_at_k(rankings, relevant, k):.0%}" for k in (1, 5)))

# %% [markdown] lang="zh"
# ## 第 5 步：问遍所有的图
#
# “这些画画的是什么时候？”写函数 `ask_all(answer, pictures, question, at_once=4)`，返回三样：
#
# - `answer(picture, question)` 返回第 3 步那样的字典；同时至多问 `at_once` 张；
# - `replies`：`{编号: 字典}`；
# - `counts`：`[(答案, 次数), ...]`，用 `plain` 整理过再数，多的在前；
# - `failed`：`{编号: 原因}`，一张失败不耽误别的。
#
# 课程库的 `batch(call, items, max_workers=..., progress=False)` 返回与 `items` 同序的列表，每一项有 `.item`、`.ok`、`.value`、`.error`。
# %% [markdown] lang="en"
# ## Step 5: asking them all
#
# "At what hour are all these drawings set?" Write `ask_all(answer, pictures, question, at_once=4)`, which returns three things.
#
# - `answer(picture, question)` returns a dictionary as in step 3; up to `at_once` pictures are asked at a time.
# - `replies` is `{id: dictionary}`.
# - `counts` is `[(answer, times), ...]`, counted as `plain` reads them, the most frequent first.
# - `failed` is `{id: why}`: one that fails does not hold up the others.
#
# The library's `batch(call, items, max_workers=..., progress=False)` returns a list in the order of `items`, each with `.item`, `.ok`, `.value` and `.error`.
# %%
def ask_all(answer, pictures, question, at_once=4):
    # -> {id: reply}, [(text, times)], {id: why}
    ### BEGIN SOLUTION
    outcomes = batch(lambda i: answer(pictures[i], question), pictures, max_workers=at_once, progress=False)
    replies = {one.item: one.value for one in outcomes if one.ok}
    failed = {one.item: str(one.error) for one in outcomes if not one.ok}
    counts = Counter(plain(reply["text"]) for reply in replies.values())
    return replies, counts.most_common(), failed
    ### END SOLUTION


# %% [markdown] lang="zh"
# <details><summary>提示 1：方向</summary>
#
# 对编号做 `batch`，再把结果分成答了的和没答的，最后数一数。
# </details>
#
# <details><summary>提示 2：几乎就是代码</summary>
#
# `outcomes = batch(lambda i: answer(pictures[i], question), pictures, max_workers=at_once, progress=False)`；`{one.item: one.value for one in outcomes if one.ok}`；`Counter(plain(reply["text"]) for ...).most_common()`。
# </details>
#
# <details><summary>提示 3：为什么</summary>
#
# 这就是检索增强：搜索决定看哪些图，模型只看这几张，再把回答合起来，几万张的图库也问得起。数一数比让模型“总结”可靠：每个数字都能点开看是哪几张。`VisualQA.answer_collection` 走得更远，它把问题拆成检索和提问两部分。
# </details>
# %% [markdown] lang="en"
# <details><summary>Hint 1: direction</summary>
#
# `batch` over the ids, then part those that answered from those that did not, and count.
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `outcomes = batch(lambda i: answer(pictures[i], question), pictures, max_workers=at_once, progress=False)`; `{one.item: one.value for one in outcomes if one.ok}`; `Counter(plain(reply["text"]) for ...).most_common()`.
# </details>
#
# <details><summary>Hint 3: why</summary>
#
# This is retrieval augmentation: the search decides which pictures are looked at, the model sees those few, and the answers are put together, so that even tens of thousands can be asked. Counting is more reliable than a model's summary: behind each number are pictures one can click. `VisualQA.answer_collection` goes further and takes the question apart, into what to search for and what to ask.
# </details>
# %% points=2
check.ask_all(ask_all)

# %% tags=["nbval-ignore-output"]
cats = [i for i, _ in find(engine, say(zh="猫", en="a cat"), top_k=4)]
question = say(zh="这是什么时候？", en="What time is it?")
replies, counts, failed = ask_all(lambda p, q: ask(vqa, p, q), {i: pictures[i] for i in cats}, question)
print(counts, failed)
plots.gallery([pictures[i] for i in cats], [replies[i]["text"] if i in replies else "?" for i in cats], columns=4)

# %% [markdown] lang="zh"
# ## 第 6 步：整个应用
#
# 界面只管画，**会话**（session）记着一切：现在显示哪些图，选中了哪张，每张图问过什么。写类 `Session`：
#
# - 属性：`engine`、`vqa`、`pictures`（`{编号: 图片}`）、`results`（`[(编号, 分数), ...]`，没有搜索时分数是 `None`）、`chosen`（选中的编号或 `None`）、`turns`（`{编号: [(问题, 回答), ...]}`）、`note`（给用户的一句话，没有就是 `""`）；一打开就显示图库里的前若干张（十来张就够）；
# - `search(words="", picture=None)`：更新 `results`，取消选中；什么都没给，就像刚打开时那样；
# - `choose(编号)`：选中一张；
# - `ask(问题)`：问选中的那张，问答记进 `turns`；没有选中，就在 `note` 里提醒一句；
# - `ask_all(问题)`：问遍 `results`，各自记进 `turns`，返回计数；有失败的，`note` 写上一个原因；
# - `add(files, progress)`：收下上传的文件，并入 `pictures`，显示新来的，返回没收下的；
# - 每个方法先清空 `note`；`CourseError` 变成 `note` 里的一句话，应用照常运行。
#
# 遍历 `engine` 得到所有编号；`engine.get(编号)` 在没有这张图时抛出 `CourseError`。
# %% [markdown] lang="en"
# ## Step 6: the application
#
# Widgets only draw; the **session** knows: which pictures are shown, which is chosen, what each was asked. Write the class `Session`.
#
# - Attributes: `engine`, `vqa`, `pictures` (`{id: picture}`), `results` (`[(id, score), ...]`, with `None` for scores where nothing was searched for), `chosen` (an id, or `None`), `turns` (`{id: [(question, reply), ...]}`) and `note` (a sentence for the user, else `""`). When it is made it shows the gallery's first pictures (a dozen will do).
# - `search(words="", picture=None)` brings new `results` and chooses none; with nothing given it shows what it did when it was made.
# - `choose(id)` chooses a picture.
# - `ask(question)` asks the chosen one, and keeps question and reply in `turns`; where none is chosen, `note` holds a reminder.
# - `ask_all(question)` asks all of `results`, keeps each one's reply in `turns`, and returns the counts; where some fail, `note` gives one reason.
# - `add(files, progress)` takes uploads in, puts them into `pictures`, shows them, and returns the refused.
# - Each method first empties `note`; a `CourseError` becomes the sentence in `note`, and the application goes on.
#
# To go through `engine` gives all ids; `engine.get(id)` raises a `CourseError` where there is no such picture.
# %%
class Session:
    def __init__(self, engine, vqa, pictures):
        ### BEGIN SOLUTION
        self.engine, self.vqa, self.pictures = engine, vqa, dict(pictures)
        self.chosen, self.turns = None, {}
        self.search()
        ### END SOLUTION

    def search(self, words="", picture=None):
        ### BEGIN SOLUTION
        self.note = ""
        try:
            found = find(self.engine, words, picture)
            if not words.strip() and picture is None:
                found = [(number, None) for number, _ in zip(self.engine, range(12))]
            self.results, self.chosen = found, None
        except CourseError as error:
            self.note = str(error)
        ### END SOLUTION

    def choose(self, number):
        ### BEGIN SOLUTION
        self.note = ""
        try:
            self.chosen = self.engine.get(number).id
        except CourseError as error:
            self.note = str(error)
        ### END SOLUTION

    def ask(self, question):
        ### BEGIN SOLUTION
        self.note = ""
        if self.chosen is None:
            self.note = say(zh="请先点一张图片。", en="Please click a picture first.")
            return
        try:
            reply = ask(self.vqa, self.pictures[self.chosen], question)
            self.turns.setdefault(self.chosen, []).append((question, reply))
        except CourseError as error:
            self.note = str(error)
        ### END SOLUTION

    def ask_all(self, question):
        ### BEGIN SOLUTION
        shown = {number: self.pictures[number] for number, _ in self.results}
        replies, counts, failed = ask_all(lambda p, q: ask(self.vqa, p, q), shown, question)
        for number, reply in replies.items():
            self.turns.setdefault(number, []).append((question, reply))
        self.note = next(iter(failed.values()), "")
        return counts
        ### END SOLUTION

    def add(self, files, progress):
        ### BEGIN SOLUTION
        self.note = ""
        added, refused = add(self.engine, files, progress)
        self.pictures |= added
        if added:
            self.results, self.chosen = [(number, None) for number in added], None
        return refused
        ### END SOLUTION


# %% [markdown] lang="zh"
# <details><summary>提示 1：方向</summary>
#
# 前五步的函数都在，`Session` 只负责记住和转交。想象用户一下一下地点：每一下之后，七个属性各应是什么？
# </details>
#
# <details><summary>提示 2：几乎就是代码</summary>
#
# `__init__` 的最后调用 `self.search()`。问答：`self.turns.setdefault(self.chosen, []).append((question, reply))`。前十二张：`[(number, None) for number, _ in zip(self.engine, range(12))]`。收下之后：`self.pictures |= added`。每个会出错的地方：`except CourseError as error: self.note = str(error)`。
# </details>
#
# <details><summary>提示 3：为什么</summary>
#
# 状态和界面分开，状态就能不开浏览器地测试，界面也能换：同一个会话，可以放进笔记本，也可以放到网页上。选中的图不在结果里了还留着，用户会对着看不见的图提问，所以一搜索就取消。送去问的是原图，不是引擎里的缩略图，细节都在原图里。`turns = {}` 写成类属性，所有用户就共用一份问答。
# </details>
# %% [markdown] lang="en"
# <details><summary>Hint 1: direction</summary>
#
# The functions of the first five steps are there: `Session` remembers, and hands on. Think of a user, click by click: after each, what should the seven attributes be?
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `__init__` ends with `self.search()`. Questions: `self.turns.setdefault(self.chosen, []).append((question, reply))`. The first dozen: `[(number, None) for number, _ in zip(self.engine, range(12))]`. After taking in: `self.pictures |= added`. Wherever something may fail: `except CourseError as error: self.note = str(error)`.
# </details>
#
# <details><summary>Hint 3: why</summary>
#
# With the state apart from the widgets, it can be tested without a browser, and the widgets can be others: the same session goes into a notebook or onto a web page. A picture that stays chosen when the results have changed would be asked without being seen, so a search chooses none. What is asked about is the picture itself and not the engine's thumbnail, which has lost the details. And with `turns = {}` as an attribute of the class, all users share one conversation.
# </details>
# %% points=2
check.session(Session)

# %% [markdown] lang="zh"
# ## 用起来
#
# 把你的会话交给课程库的界面。搜一搜，点一张，问一问，拖几张自己的图进来，再换一种语言：
# %% [markdown] lang="en"
# ## At work
#
# Give your session to the library's widgets. Search, click, ask, put in some pictures of your own, switch the language:
# %% tags=["nbval-ignore-output"]
from course_lib.app import search_app

app = search_app(Session(engine, vqa, pictures))
app.words.value = say(zh="雪地里的猫", en="a cat in the snow")
app.search()
app.click(app.session.results[0][0])
app.ask(say(zh="图中有什么？", en="What is in the picture?"))
app

# %% [markdown] lang="zh"
# 同样的界面不用 Jupyter 也能用。在终端里运行下面这条命令，浏览器里就打开一个网页，`我的图片` 换成你的文件夹：
#
# ```bash
# python -m course_lib.app 我的图片
# ```
#
# **再想一想**
#
# <details><summary>1. 一万张图放得进这个应用吗？一百万张呢？</summary>
#
# 检索没有问题：引擎换成 `ImageSearchEngine(clip, store="./my_index")`，第 06 课和第 09 课量过。要改的是 `pictures`：把一百万张图都打开放在内存里不行，放路径就行，`open_image` 反正什么都认。
# </details>
#
# <details><summary>2. 两个人同时用，会看到对方的图吗？</summary>
#
# Voila 给每位访客一个自己的 Python 进程，所以不会，代价是每人一份模型的内存。人多了，就要把模型放进单独的服务（第 03 课的服务器就是），界面只发请求。
# </details>
#
# <details><summary>3. 图片里写着“忽略以前的指示”，怎么办？</summary>
#
# 看图对话会读图里的字，也可能照做，这叫提示注入（prompt injection）。这个应用里模型的回答只被显示，从不执行，所以最坏不过是一句怪话；等你让回答去触发操作（删图、发邮件）时，就必须有人点头。
# </details>
#
# <details><summary>4. 怎样换成完整模型？</summary>
#
# 环境变量 `COURSE_CLIP_MODEL` 换检索的模型（图库要重新编码），`COURSE_VLM_PROVIDER` 换对话的模型；你写的代码一行都不用改。
# </details>
# %% [markdown] lang="en"
# The same widgets do without Jupyter. Run this in a terminal, with your own folder for `my_pictures`, and a page opens in the browser:
#
# ```bash
# python -m course_lib.app my_pictures
# ```
#
# **Think further**
#
# <details><summary>1. Can this application hold ten thousand pictures? A million?</summary>
#
# The search can: give the engine a folder, `ImageSearchEngine(clip, store="./my_index")`; lessons 06 and 09 have measured it. What must change is `pictures`: a million of them, opened, do not fit into memory, but their paths do, and `open_image` takes either.
# </details>
#
# <details><summary>2. When two people use it, do they see each other's pictures?</summary>
#
# Voila gives each visitor a Python process of their own, so no, at the price of a model's memory for each. With many, the models move into a service (lesson 03's server is one), and the app only sends requests.
# </details>
#
# <details><summary>3. What if a picture says "ignore your instructions"?</summary>
#
# A vision chat reads what is written in pictures, and may obey it: prompt injection. Here a model's answer is shown and never acted on, so the worst is an odd sentence. Once answers set something off (delete a picture, send a letter), somebody has to nod first.
# </details>
#
# <details><summary>4. How do I move to full-size models?</summary>
#
# The environment variable `COURSE_CLIP_MODEL` changes the model that searches (the gallery is encoded anew), `COURSE_VLM_PROVIDER` the one that chats; not a line of your code changes.
# </details>

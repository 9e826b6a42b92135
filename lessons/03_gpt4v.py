# %% [markdown] lang="zh"
# # 03 · GPT-4V：能看图的对话
#
# CLIP 只会说“这句话和这张图有多配”。视觉语言模型（vision-language model，VLM）更进一步：给它图片和一个问题，它写出一段回答。GPT-4V 让这种用法走进了千家万户；今天，做同样事情的模型有几十个，而它们几乎都说同一种“话”：OpenAI 的 HTTP 协议。学会这一种，就会用所有的。
#
# **学完这一课，你能够**
#
# - 亲手写出真正发出去的那个 HTTP 请求，把回答一项项拆开看懂；
# - 用五种能力解决问题：图像理解、多图比较、视觉推理、文档与图表、看图讲故事，并且给每个回答*打分*；
# - 让模型交出经过校验的结构化数据，而不是靠正则表达式去猜；
# - 认得每一种错误（401、429、写到一半、拒绝回答），知道哪些该重试；
# - 发送之前就算出一张图要多少 token、多少钱。
#
# **时间**：约 70 分钟。**需要**：会 Python；不需要显卡、网络或 API 密钥。
#
# 回答问题的是 **mini-vlm**：用的是 LLaVA 那个类（`LlavaForConditionalGeneration`），只有五百万参数，在小世界（Little World）上从零训练。它由一个真正的 HTTP 服务来提供，协议和 OpenAI 的一样，所以这一课的代码换个地址就能用在任何一家。（下文的“原章节”，指本课程依据的那章教程，见第 02 课。）

# %% [markdown] lang="en"
# # 03 · GPT-4V: a chat that can see
#
# CLIP can only tell how well a sentence fits a picture. A vision-language model (VLM) goes further: give it pictures and
# a question, and it writes an answer. GPT-4V made this popular. Today dozens of models do the same, and nearly all of
# them speak one language: OpenAI's HTTP protocol. Learn that one, and you can use them all.
#
# **After this lesson you can**
#
# - write the request on the wire by hand, and take the answer apart, field by field;
# - use the five abilities: understanding a picture, comparing several, reasoning, documents and charts, telling a story,
#   and *score* every answer;
# - get structured data that is checked, in place of guessing with a regular expression;
# - tell the errors apart (401, 429, a cut-off answer, a refusal), and know which of them to retry;
# - work out what a picture costs in tokens and in money before you send it.
#
# **Time**: about 70 minutes. **You need**: Python; no graphics card, no network, no API key.
#
# The answers come from **mini-vlm**: the class that LLaVA uses (`LlavaForConditionalGeneration`), with five million parameters,
# trained from scratch on Little World. It stands behind a real HTTP server that speaks OpenAI's protocol, so with another address the code of
# this lesson works with any provider. ("The chapter" below is the tutorial that this course follows, see lesson 02.)

# %%
import base64
import io
import json
from pathlib import Path

import numpy as np
import requests
from IPython.display import Markdown, display
from PIL import Image

from course_lib import plots, say
from course_lib.settings import locate
from little_world import load_charts, load_documents, load_gallery
from little_world.server import LocalServer

gallery = load_gallery()
server = LocalServer(api_key="open-sesame").wait()
card = json.loads(Path(locate(server.model), "config.json").read_text(encoding="utf-8"))
print(server.model, card["architectures"])

# %% [markdown] lang="zh"
# ## 1 真正发出去的请求
#
# 所有的 SDK、所有的框架，最后都落到这样一个 HTTP 请求上。我们先不用任何库，自己写一次。请求的主体是 JSON，而 JSON 装不下图片的字节，所以图片要先变成文字：PNG 文件 → base64 → 一个 `data:` URI。（OpenAI 的文档现在首推较新的 `/v1/responses`，字段名不同；`/v1/chat/completions` 仍受支持，而且是其他各家都会说的那一种，所以这里学它。）

# %% [markdown] lang="en"
# ## 1 The request on the wire
#
# Every SDK and every framework ends in one HTTP request like this one. Let us write it once without any library. Its body
# is JSON, and JSON cannot hold the bytes of a picture, so the picture is turned into text: PNG file → base64 → a `data:`
# URI. (OpenAI's own documentation now puts the newer `/v1/responses` first, with other field names.
# `/v1/chat/completions` stays supported, and it is the one that everybody else speaks too, so that is what we learn.)

# %%
cats = next(e for e in gallery if e.part == "several" and e.kind == "cat")
buffer = io.BytesIO()
cats.image.save(buffer, format="PNG")
data_uri = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
question = {"zh": "图中有几只猫？", "en": "How many cats are there?"}[LANG]

content = [{"type": "text", "text": question}, {"type": "image_url", "image_url": {"url": data_uri}}]
body = {"model": server.model, "messages": [{"role": "user", "content": content}], "max_completion_tokens": 50}
print(len(buffer.getvalue()), "→", len(data_uri), data_uri[:60] + "...")
plots.gallery([cats.image], [question], size=1.7)

# %%
headers = {"Authorization": "Bearer open-sesame"}
response = requests.post(f"{server.url}/v1/chat/completions", json=body, headers=headers, timeout=30)
answer = response.json()
print(response.status_code, response.headers["content-type"], list(answer))
print(json.dumps(answer["choices"], indent=1, ensure_ascii=False))
print(answer["usage"])

# %% [markdown] lang="zh"
# **看什么**：
#
# - base64 让图片大了三分之一：三个字节变成四个字符。
# - `messages` 是一段对话；一条消息的 `content` 可以是*一串*内容，文字和图片随意穿插。
# - 回答在 `choices[0].message.content` 里。为什么是一个列表？因为可以一次要好几个回答（`n`）。
# - `finish_reason` 说明它*为什么停下*：`stop` 是说完了，`length` 是写到上限被掐断了。原章节从来不看这一项，第 5 节会看到后果。
# - `usage` 就是账单。mini-vlm 把一张图切成 8×8 个小块，一块一个 token，再加一个纵览全图的，一张图就占 65 个 token，比问题长得多。
# - 输出的长度用 `max_completion_tokens` 限制。原章节的 `max_tokens` 是它的旧名字，OpenAI 的推理模型不接受。推理模型先在心里想，再回答；想的 token 你看不见，却同样占上限、同样计费（`usage` 里的 `reasoning_tokens`）。

# %% [markdown] lang="en"
# **What to notice**:
#
# - base64 makes the picture a third larger: three bytes become four characters.
# - `messages` is a conversation, and the `content` of a message can be a *list*, texts and pictures in any order.
# - The answer is in `choices[0].message.content`. Why a list? Because several answers can be asked for at once (`n`).
# - `finish_reason` tells *why it stopped*: `stop` means it had finished, `length` means it was cut off at the limit. The
#   chapter never looks at it; section 5 shows what comes of that.
# - `usage` is the bill. mini-vlm cuts a picture into 8 x 8 patches, a token each, and adds one for the whole, so the picture
#   alone takes 65 tokens, far more than the question.
# - The answer's length is limited by `max_completion_tokens`. The chapter's `max_tokens` is its old name, which OpenAI's
#   reasoning models do not accept. Such models think before they answer; you do not see those tokens, but they count
#   against the limit and are billed all the same (`reasoning_tokens` in `usage`).

# %% [markdown] lang="zh"
# > **陷阱：JPEG 装不下每一种图片。** 原章节用 `image.save(buffer, format="JPEG")` 编码。截图和图标常有透明度，医学和科研影像常是 16 位灰度，都会当场报错：

# %% [markdown] lang="en"
# > **Pitfall: JPEG does not hold every picture.** The chapter encodes with `image.save(buffer, format="JPEG")`.
# > Screenshots and icons often have transparency, medical and scientific images often have 16 bits of grey, and all of
# > them fail:

# %%
from course_lib.gpt4v import encode_image_to_base64

for mode in ("RGB", "RGBA", "LA", "P", "I;16"):
    odd = Image.new(mode, (8, 8))
    try:
        odd.save(io.BytesIO(), format="JPEG")
        naive = "OK"
    except OSError as problem:
        naive = f"OSError: {problem}"
    print(f"{mode:5} {naive:42}", "→", encode_image_to_base64(odd)[:8] + "...")

# %% [markdown] lang="zh"
# 右边一列是对策：`encode_image_to_base64` 先把图片转正（手机照片常常是躺着存的，方向写在 EXIF 里），把透明处垫成白色，再编码。
#
# JPEG 还有一个更隐蔽的问题：它会*抹掉细节*。照片看不出来，文字就不一样了。量一量：让 mini-vlm 读图库里所有的牌子和通知，同一张图用 PNG 发一次，用越来越低的 JPEG 质量各发一次；再把图缩小一半，从头来一遍。先猜一猜：哪一组先读错？

# %% [markdown] lang="en"
# The right column is the cure: `encode_image_to_base64` turns the picture upright (phones often store them lying down,
# with the direction in EXIF), puts transparent parts on white, and then encodes.
#
# JPEG has a quieter problem: it *wipes out detail*. In a photo nobody sees it, with text it is another matter. Measure:
# let mini-vlm read every sign of the gallery, each sent as PNG, then as JPEG of ever lower quality; and then all of it again at
# half the size. Guess first: which of the two is misread first?

# %%
from course_lib import ImageAnalyzer
from course_lib.batching import batch

analyzer = ImageAnalyzer("open-sesame", base_url=f"{server.url}/v1", model=server.model, lang=LANG)
signs = load_documents(LANG)


def as_jpeg(image, quality):
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=quality)
    return Image.open(file)


def share_read(pictures):
    read = [outcome.result() for outcome in batch(analyzer.extract_text, pictures)]
    return np.mean([text == sign.truth.text for text, sign in zip(read, signs)])


# %%
half = [sign.image.resize((64, 64)) for sign in signs]
shares = {}
for name, pictures in ((say(zh="原大", en="full size"), [s.image for s in signs]), (say(zh="缩小一半", en="half the size"), half)):
    shares[name] = {"PNG": share_read(pictures)}
    for quality in (75, 30, 10, 5):
        shares[name][f"JPEG {quality}"] = share_read([as_jpeg(picture, quality) for picture in pictures])
signs_read = next(iter(shares.values()))["PNG"]
title = say(zh="一字不差读出的牌子", en="signs read exactly") + f" · {server.model}"
plots.bars(shares, title=title, height=2.6, width=7.6)

# %%
examples = [as_jpeg(picture, quality) for picture in (signs[0].image, half[0]) for quality in (75, 10, 5)]
names = [f"{how}JPEG {quality}" for how in ("", say(zh="缩小一半 · ", en="half · ")) for quality in (75, 10, 5)]
plots.gallery(examples, names, columns=6, size=1.3)

# %% [markdown] lang="zh"
# **看什么**：字大的时候，JPEG 压得很狠也读得出来；缩小一半，字只剩几个像素高，JPEG 的 8×8 小块正好咬在笔画上，垮得就早。单是缩小，这里还看不出代价（两根 PNG 柱相差无几；36 块牌子，差一块就是 3 个百分点）；质量 75 也几乎没有损失，真正出事的是“小字 + 低质量”。可是文档里的字有多小、别人会压到多低，事先说不准，所以有一条**规则**：文档、截图、图表用 PNG，照片用 JPEG；`extract_text` 和 `analyze_chart` 已经照办。还有一条：MIME 类型要跟着真正的格式走。原章节的 `format` 可以是 PNG，请求里却永远写着 `data:image/jpeg`。

# %% [markdown] lang="en"
# **What to notice**: large letters stand a lot of JPEG. At half the size they are a few pixels high, JPEG's 8 x 8 blocks bite right
# into their strokes, and they give way sooner. Being smaller alone costs nothing that shows here (the two PNG bars are about
# equal; of 36 signs one is 3 points), and quality 75 next to nothing: small letters *and* low quality are what breaks. You rarely
# know how small the print will be, hence the **rule**: documents, screenshots and charts as PNG, photos as JPEG;
# `extract_text` and `analyze_chart` do so. And the MIME type has to follow the true format: the chapter's `format` may
# be PNG, but its request always says `data:image/jpeg`.

# %% [markdown] lang="zh"
# ## 2 同一个请求，一行代码
#
# 原章节为本地图片和网络图片各写了一个函数，二十几行几乎一样，地址、部署名和 API 版本都写死在里面；没有超时，没有重试，出错时把服务器的解释丢掉。`course_lib.gpt4v` 保留了它的名字和参数顺序，底下换成官方的 `openai` SDK：

# %% [markdown] lang="en"
# ## 2 The same request in one line
#
# The chapter writes one function for local pictures and one for remote ones, some twenty lines nearly alike, with the
# address, the deployment and the API version fixed inside; no timeout, no retry, and when something fails the server's
# explanation is thrown away. `course_lib.gpt4v` keeps its names and the order of its arguments, on top of the official
# `openai` SDK:

# %%
from course_lib import call_gpt4v

reply = call_gpt4v(cats.image, question, "open-sesame", base_url=f"{server.url}/v1", model=server.model)
print(reply, reply.usage)
print(call_gpt4v(cats.path, question))  # no address at all: the course's own server starts by itself

# %% [markdown] lang="zh"
# 回答是一个普通的字符串，多带了一个 `usage`。第二行什么地址也没给：课程自带的服务自己启动，随进程一起结束。图片可以是路径、PIL 图片、numpy 数组或字节。

# %% [markdown] lang="en"
# The answer is an ordinary string that carries its `usage`. The second line gives no address: the course's own server
# starts by itself and ends with the process. A picture may be a path, a PIL image, a numpy array or bytes.

# %% [markdown] lang="zh"
# ## 3 五种能力，逐一打分
#
# 原章节的 3.1 节列出了 GPT-4V 的五种能力。演示里挑一张答得漂亮的图，谁都会；我们每种能力都考许多张，**每个回答都和标准答案逐字比较**。小世界是画出来的，所以标准答案是知道的，不用请另一个模型来当考官。
#
# ### 图像理解
#
# 先看描述。错一个字就算错：

# %% [markdown] lang="en"
# ## 3 Five abilities, each one scored
#
# Section 3.1 of the chapter lists five abilities of GPT-4V. Anybody can show one picture that went well. We put many
# pictures to each ability, and **compare every answer with the truth, letter by letter**. Little World is drawn, so the
# truth is known, and no other model has to play the judge.
#
# ### Understanding a picture
#
# Descriptions first. One wrong word, and the whole description counts as wrong:

# %%
from little_world.dialogue import describe

shown = [e for e in gallery if e.part in ("single", "several", "pair")][::8][:24]
told = [outcome.result() for outcome in batch(analyzer.describe, [e.image for e in shown])]
truth = [describe(e.scene, LANG) for e in shown]
right = [a == b for a, b in zip(told, truth)]
print(server.model, say(zh="描述完全正确", en="descriptions exactly right"), f"{np.mean(right):.0%}", f"({len(shown)})")

# %%
plots.gallery([e.image for e in shown[:4]], columns=4, size=1.9)

# %%
for text in told[:4]:
    print("-", text)
wrong = [(a, b) for a, b in zip(told, truth) if a != b][-1:]
for given, true in wrong:
    print(say(zh="一个错的：", en="one that is wrong:"), server.model, given, say(zh="标准答案", en="truth"), true, sep="\n  ")

# %% [markdown] lang="zh"
# 再看问答。图库里的每张图都带着问题和答案：有没有、有几个、什么颜色、在哪里……

# %% [markdown] lang="en"
# Now questions. Every picture of the gallery comes with questions and answers: is there one, how many, what colour, where?

# %%
from collections import Counter, defaultdict


def score(asked):
    """`asked`: (pictures, question, truth, sort). Returns the answers, and for each sort a list of right and wrong."""
    answers = [o.value for o in batch(lambda item: analyzer.ask(item[0], item[1]), asked)]
    sorts = defaultdict(list)
    for given, (_, _, truth, sort) in zip(answers, asked):
        sorts[sort].append(given == truth)
    return answers, sorts


SORTS = {"exists": "有没有", "count": "几个", "color": "什么颜色", "where": "在哪里", "what": "是什么", "background": "什么地方", "time": "什么时候",
         "chart title": "图表标题", "chart type": "图表类型", "chart trend": "趋势", "chart key_insights": "要点", "chart data_summary": "数据概要"}  # fmt: skip


def table(sorts):
    """A Markdown table of the shares."""
    rows = [f"| {say(zh=SORTS.get(sort, sort), en=sort)} | {len(hits)} | {np.mean(hits):.0%} |" for sort, hits in sorts.items()]
    return Markdown(say(zh="| 问题 | 道数 | 正确 |", en="| question | asked | right |") + "\n|---|--:|--:|\n" + "\n".join(rows))


# %%
asked = [(e.image, q["text"], q["answer"], q["sort"]) for e in gallery[::12] for q in e.questions[LANG]]
answers, understanding = score(asked)
print(server.model, len(asked), asked[0][1], "→", answers[0])
display(table(understanding))

# %% [markdown] lang="zh"
# ### 多图比较
#
# 一条消息里放两张图，就能问它们之间的关系。`compare` 问的是相同与不同；也可以自己提问：

# %% [markdown] lang="en"
# ### Comparing pictures
#
# With two pictures in one message one can ask how they relate. `compare` asks what is the same and what differs, or ask
# your own question:

# %%
from little_world.dialogue import several_turns

two = [e for e in gallery if e.part == "single"][4:6]
print(analyzer.compare([e.image for e in two]))
print(analyzer.ask([e.image for e in two], {"zh": "哪一张图里的东西更多？", "en": "Which picture has more things?"}[LANG]))
plots.gallery([e.image for e in two], columns=2, size=1.9)

# %%
rng = np.random.default_rng(3)
couples = [(gallery[i], gallery[i + 1]) for i in range(0, 120, 5)]
asked = [
    ([a.image, b.image], turn.question, turn.answer, say(zh="比较两张图", en="compare two pictures"))
    for a, b in couples
    for turn in several_turns([a.scene, b.scene], LANG, rng)
    if turn.sort == "compare"
]
asked = asked[::3]
_, comparing = score(asked)
display(table(comparing))
yes_or_no = [truth for _, _, truth, _ in asked if truth in ("yes", "no", "是", "否")]
answer, times = Counter(yes_or_no).most_common(1)[0]
print(say(zh="是非题里最常见的答案：", en="the most frequent answer where it is yes or no:"), f"{answer}, {times} / {len(yes_or_no)}")

# %% [markdown] lang="zh"
# **看什么**：对着图核一核上面那句比较：每一项都说对了吗？（留意“时间”：左边是夜里的森林，右边窗外也有月亮和星星。）比较要同时看准两张图，是它较弱的一项。是非题的答案并不均匀，一律答最常见的那个就能对上一大半：正确率要和瞎猜放在一起看。（这些题里也有只问其中一张图的。）

# %% [markdown] lang="en"
# **What to notice**: check the comparison above against the pictures: is each item right? (Look at the time: the forest lies at
# night, and the window shows moon and stars, too.) Comparing needs both pictures read rightly, and is one of its weaker abilities.
# And the answers to yes-or-no questions are not evenly spread: always giving the most frequent one would be right on most of them,
# so see every accuracy beside that of guessing. (Some of these questions ask about one of the two pictures only.)

# %% [markdown] lang="zh"
# ### 视觉推理
#
# 画里没有写“天黑了”，也没有标出谁会飞；要从看见的推出没写的：

# %% [markdown] lang="en"
# ### Reasoning
#
# Nowhere does a picture say "it is dark", or mark what can fly: what is not written has to follow from what is seen.

# %%
from little_world.dialogue import scene_turns

asked = [
    (e.image, turn.question, turn.answer, say(zh="推理", en="reasoning") if turn.sort == "reason" else say(zh="谁在谁的左边、上方", en="left of, above"))
    for e in gallery[::2]
    for turn in scene_turns(e.scene, LANG, rng)
    if turn.sort == "order" or turn.sort == "reason" and rng.random() < 0.15
]
answers, reasoning = score(asked)
print(asked[0][1], "→", answers[0])
display(table(reasoning))

# %% [markdown] lang="zh"
# ### 文档与图表
#
# `extract_text` 读牌子和通知，`analyze_chart` 读图表，交出的是原章节那五个字段：

# %% [markdown] lang="en"
# ### Documents and charts
#
# `extract_text` reads signs and notices. `analyze_chart` reads charts, and returns the chapter's five fields:

# %%
charts = load_charts(LANG)
analysis = analyzer.analyze_chart(charts[0].image)
print(analysis.model_dump_json(indent=1))
plots.gallery([c.image for c in charts[:3]] + [s.image for s in signs[:3]], columns=6, size=1.4)

# %%
from little_world.dialogue import chart_record

outcomes = batch(analyzer.analyze_chart, [c.image for c in charts])
documents = defaultdict(list)
documents[say(zh="牌子与通知，一字不差", en="signs and notices, exactly")] = [signs_read] * len(signs)
for outcome, chart in zip(outcomes, charts):
    expected = chart_record(chart.truth, LANG)
    for field in ("title", "type", "trend", "key_insights", "data_summary"):
        documents[f"chart {field}"].append(outcome.ok and outcome.value[field] == expected[field])
display(table(documents))

# %% [markdown] lang="zh"
# **看什么**：标题和类型好认；读数值、比高低更容易错。五个字段齐全，不等于个个都对，上面那份 JSON 也要对着图核一遍。

# %% [markdown] lang="en"
# **What to notice**: title and type are easy; reading values, and ranking them, goes wrong more often. That all five fields are
# there does not make each of them right: check the JSON above against its chart, too.

# %% [markdown] lang="zh"
# ### 看图讲故事
#
# 几张图，按顺序连成一段话：

# %% [markdown] lang="en"
# ### Telling a story
#
# Several pictures in order, told as one:

# %%
three = [gallery[i] for i in (10, 130, 170)]
print(analyzer.narrate([e.image for e in three]))
plots.gallery([e.image for e in three], columns=3, size=1.9)

# %%
triples = [[gallery[(7 * i + 83 * j) % 200] for j in range(2 + i % 2)] for i in range(16)]
stories = [turn.answer for group in triples for turn in several_turns([e.scene for e in group], LANG, rng)[:1]]
told = [o.value for o in batch(analyzer.narrate, [[e.image for e in group] for group in triples])]
story = {say(zh="故事，一字不差", en="story, exactly"): [a == b for a, b in zip(told, stories)]}
display(table(story))

# %% [markdown] lang="zh"
# ### 不知道的，就说不知道
#
# 一个只见过小世界的模型，被问到别的该怎么办？编一个答案是最糟的。下面这些*问题*，训练时一个都没出现过（只出现过句式相近的）：

# %% [markdown] lang="en"
# ### What it does not know
#
# What should a model that has only seen Little World say about anything else? To make something up is the worst it can
# do. None of these *questions* occurred in training (similar patterns did):

# %%
from little_world.dialogue import UNKNOWN, UNSEEN
from little_world.words import kind_name

asked = [
    (e.image, text.replace("{a}", kind_name(e.kind, LANG)), UNKNOWN[LANG], say(zh="说不知道", en="says so"))
    for text in UNSEEN[LANG]
    for e in [e for e in gallery if e.part == "single"][::24]
]
answers, honest = score(asked)
print(asked[0][1], "→", answers[0])
for (_, question_asked, _, _), given in [pair for pair in zip(asked, answers) if pair[1] != UNKNOWN[LANG]][:3]:
    print("✗", question_asked, "→", given)
display(table(honest))

# %% [markdown] lang="zh"
# **看什么**：✗ 后面是没得分的。答“是”也好，答“否”也好，都是在假装知道：这个问题，图里根本看不出答案。换一种语言说“不知道”也不得分，那是另一种错。

# %% [markdown] lang="en"
# **What to notice**: after each ✗ stands one that did not score. Yes or no, it pretends to know: the picture does not
# tell. "I don't know" in the other language does not score either, which is another sort of mistake.

# %%
abilities = {
    say(zh="描述", en="describe"): np.mean(right),
    say(zh="问答", en="questions"): np.mean(sum(understanding.values(), [])),
    say(zh="比较", en="compare"): np.mean(sum(comparing.values(), [])),
    say(zh="推理", en="reason"): np.mean(sum(reasoning.values(), [])),
    say(zh="牌子", en="signs"): signs_read,
    say(zh="图表", en="charts"): np.mean(sum(list(documents.values())[1:], [])),
    say(zh="故事", en="story"): np.mean(sum(story.values(), [])),
    say(zh="不知为不知", en="knows its limits"): np.mean(sum(honest.values(), [])),
}
plots.bars(abilities, title=server.model, width=8.2, height=2.6)

# %% [markdown] lang="zh"
# **看什么**：哪些能力好，哪些差？单张图的描述、问答、推理大多答对，比较两张图、承认自己不知道就弱些；同一项能力换一种语言，分数也会变（打开英文的笔记本看看）。这张图只对*这个模型、这些图*有效，可做法是通用的：**为你自己的任务准备几十道知道答案的题，换模型、换提示词时先考一遍**。完整模型在照片上的表现要好得多，也要用同样的办法去量，而不是看演示。

# %% [markdown] lang="en"
# **What to notice**: which abilities are good, which are not? Describing, questions and reasoning about
# one picture mostly go well; comparing two, and admitting what it does not know, are weaker; and an ability may score
# differently in another language (look into the Chinese notebook). The figure holds for *this model on these pictures*, but the
# method holds everywhere: **keep a few dozen questions of your own task whose answers you know, and ask them whenever you
# change the model or the prompt**. Full-size models do far better on photographs; measure that in the same way, rather
# than trusting a demonstration.

# %% [markdown] lang="zh"
# ## 4 要数据，不要作文
#
# 程序要的不是一段话，而是字段。原章节的做法是在提示词里写一个 JSON 样例，再用正则表达式 `\{.*\}` 从回答里捞。下面这几种回答，在真实的服务里都会遇到：

# %% [markdown] lang="en"
# ## 4 Data, not prose
#
# A program wants fields, not a paragraph. The chapter writes the shape of a JSON object into the prompt and fishes for it
# in the answer with the regular expression `\{.*\}`. Real services give all of these answers at times:

# %%
import re


def naive_parse(text):
    match = re.search(r"\{.*\}", text, re.DOTALL)
    return json.loads(match.group()) if match else {"raw": text}


answers = {
    "fenced": '```json\n{"title": "Sales"}\n```',
    "cut off": '{"title": "Sales", "trend": "ris',
    "two objects": '{"title": "Sales"} or {"title": "Rain"}',
    "other fields": '{"titel": 7}',
    "refused": None,
}
for name, text in answers.items():
    try:
        print(f"{name:13} →", naive_parse(text))
    except (ValueError, TypeError) as problem:
        print(f"{name:13} →", type(problem).__name__ + ":", problem)

# %% [markdown] lang="zh"
# 报错的那几种反而还好：至少看得见。危险的是*悄悄成功*的：写到一半的回答变成了一个没有 `title` 的字典，字段写错的照单全收，后面的程序要过很久才会出事。
#
# **对策**分三步：
#
# 1. 用 `response_format` 把 JSON Schema 随请求发过去，由服务器来保证*形式*；
# 2. 收到以后再校验一遍（pydantic），因为不是每家服务都说到做到；
# 3. 校验不过就报错，把原文留在 `error.raw` 里，**绝不交出一个错的字典**。
#
# JSON Schema 各家都只支持一部分：Azure 的严格模式就不收 `maxLength` 这样的限制。遇到这样的服务，课程库只发形式，把限制写进字段的说明，由第 2 步来把关。
#
# `analyze_chart` 正是这样做的。你自己的结构也一样，写一个 pydantic 类就行：

# %% [markdown] lang="en"
# Those that raise are the better ones: at least they are seen. The dangerous ones *quietly succeed*: the answer that was
# cut off becomes a dictionary without a `title`, wrong fields are taken as they come, and the program breaks much later.
#
# **The cure** has three steps:
#
# 1. send a JSON Schema along with the request, in `response_format`, so that the server guarantees the *form*;
# 2. validate what comes back (pydantic), since not every service keeps that promise;
# 3. raise where it does not fit, keep the raw text in `error.raw`, and **never hand out a wrong dictionary**.
#
# Every service honours a part of JSON Schema only. Azure's strict mode, for one, refuses limits such as `maxLength`. To such a
# service the library sends the form alone, with the limits in the fields' descriptions, and step 2 sees that they are kept.
#
# `analyze_chart` does just that. For a structure of your own, write a pydantic class:

# %%
from typing import Literal

from pydantic import BaseModel, Field


class Chart(BaseModel):
    title: str = Field(max_length=20)  # a string without a limit may go on until the answer is cut off
    type: Literal["柱状图", "折线图", "饼图"] if LANG == "zh" else Literal["bar chart", "line chart", "pie chart"]
    trend: Literal["上升", "下降", "持平", "波动"] if LANG == "zh" else Literal["rising", "falling", "flat", "fluctuating"]


wanted = {"zh": "分析图表，返回 JSON", "en": "Analyse the chart, answer in JSON"}[LANG]
print(repr(analyzer.client.parse(charts[1].image, wanted, Chart)))

# %% [markdown] lang="zh"
# 服务器是怎么*保证*的？模型每写一个 token，都先把不合 Schema 的 token 的概率清零（约束解码，constrained decoding）。于是形式一定对。可是内容呢？拿同一个 Schema 去问一张猫的图：

# %% [markdown] lang="en"
# How can a server *guarantee* that? Before each token is chosen, the probabilities of all tokens that would break the
# schema are set to zero (constrained decoding). So the form is always right. And the content? Ask the same of a cat:

# %%
print(repr(analyzer.client.parse(cats.image, wanted, Chart)))
plots.gallery([cats.image], columns=1, size=1.6)

# %% [markdown] lang="zh"
# 字段齐全，类型正确，却没有一项是图表里的事：标题是半句图片说明，类型和趋势纯属编造；标题到 20 个字为止，是 `max_length` 拦住了它。**Schema 管形式，不管真假。** 需要的话，给模型留一条退路（比如允许 `null`，或者加一个 `is_chart` 字段），并且照样去量。

# %% [markdown] lang="en"
# All fields there, all types right, and nothing in it about a chart: the title is half a caption, type and trend are made up. The
# title ends at 20 characters at the latest, where `max_length` stops it. **A schema governs the form, not the truth.** Where it
# matters, leave the model a way out (let a field be `null`, or add `is_chart`), and measure all the same.

# %% [markdown] lang="zh"
# ## 5 出错的样子
#
# 调用别人的服务，出错是日常。下面每一种错误都*真的发生*在本地服务器上。先看原章节的 `raise_for_status()` 给你看什么，再看 `course_lib` 说什么：

# %% [markdown] lang="en"
# ## 5 What errors look like
#
# With a service of somebody else's, errors are everyday life. Each of these *really happens*, on the local server. First
# what the chapter's `raise_for_status()` shows, then what `course_lib` says:

# %%
from course_lib import CourseError

bad = {"Authorization": "Bearer wrong-key"}
response = requests.post(f"{server.url}/v1/chat/completions", json=body, headers=bad, timeout=30)
try:
    response.raise_for_status()
except requests.HTTPError as problem:
    print(re.sub(r"127\.0\.0\.1:\d{3,}", "127.0.0.1:…", str(problem)))
print(json.dumps(response.json(), ensure_ascii=False))


def attempt(call):
    try:
        return call()
    except CourseError as problem:
        print(type(problem).__name__, re.sub(r"127\.0\.0\.1:\d{3,}", "127.0.0.1:…", str(problem)), sep=" | ")
        return problem


_ = attempt(lambda: call_gpt4v(cats.image, question, "wrong-key", base_url=f"{server.url}/v1", model=server.model))

# %% [markdown] lang="zh"
# 服务器在 JSON 里说了为什么（`error.message`、`error.code`），`raise_for_status` 把它丢掉了。注意那把错的密钥没有出现在任何一句话里：密钥永远不该进日志。
#
# **写到一半。** 上限太小，回答就断在半路。原章节拿到的是半句话，还以为是整句：

# %% [markdown] lang="en"
# The server said why, in JSON (`error.message`, `error.code`), and `raise_for_status` threw it away. Note that the wrong
# key stands in none of the sentences: a key belongs in no log.
#
# **Cut off.** With too low a limit the answer ends half-way. The chapter gets half a sentence and takes it for a whole:

# %%
short = {**body, "max_completion_tokens": 6}
short["messages"] = [{"role": "user", "content": [{"type": "text", "text": {"zh": "请描述这张图片", "en": "Describe this picture."}[LANG]}, content[1]]}]
choice = requests.post(f"{server.url}/v1/chat/completions", json=short, headers=headers, timeout=30).json()["choices"][0]
print(choice["finish_reason"], "|", choice["message"]["content"])

hasty = ImageAnalyzer("open-sesame", base_url=f"{server.url}/v1", model=server.model, max_tokens=6)
problem = attempt(lambda: hasty.describe(cats.image))
print("raw:", problem.raw)

# %% [markdown] lang="zh"
# **太忙。** 服务器只排得下有限的请求，多了就回 429，并且用 `Retry-After` 说明该等几秒。重试要*照它说的等*，还要有次数上限。下面的服务器只有两个位置，十二个人同时来问：

# %% [markdown] lang="en"
# **Too busy.** A server has room for so many requests, and answers those beyond with a 429 whose `Retry-After` says how
# many seconds to wait. A retry must *wait as told*, and only so many times. This server has two places, and twelve ask at
# once:

# %% tags=["nbval-ignore-output"]
busy = LocalServer(places=2).wait()
for retries in (0, 8):
    impatient = ImageAnalyzer(base_url=f"{busy.url}/v1", model=busy.model, retries=retries)
    outcomes = batch(impatient.describe, [e.image for e in shown[:12]], max_workers=12)
    failed = [o.error for o in outcomes if not o.ok]
    print(f"retries={retries}:", sum(o.ok for o in outcomes), "/", len(outcomes))
    if failed:
        print("  ", str(failed[0]).replace(busy.url, "http://127.0.0.1:…"))
busy.close()

# %% [markdown] lang="zh"
# **拒绝回答。** 商业服务都有内容过滤：问题或回答里出现了不许谈的东西，回来的是 400 `content_filter`，或者 `content` 为 `null` 的一条消息；原章节会把 `None` 送进正则表达式，当场崩溃。本地服务器可以带一张禁词表，和 Azure 的自定义禁词表是一回事：

# %% [markdown] lang="en"
# **Refused.** Commercial services filter content: where question or answer touch on what is not allowed, a 400
# `content_filter` comes back, or a message whose `content` is `null`; the chapter would hand `None` to its regular
# expression and crash. The local server can be given a blocklist, like Azure's custom ones:

# %%
strict = LocalServer(blocklist=["猫", "cat", "cats"]).wait()
filtered = ImageAnalyzer(base_url=f"{strict.url}/v1", model=strict.model)
for call in (lambda: filtered.ask(cats.image, question), lambda: filtered.describe(cats.image)):
    problem = attempt(call)
strict.close()

# %% [markdown] lang="zh"
# | 错误 | 该不该重试 | 怎么办 |
# |---|---|---|
# | 连不上、超时、408、409、429、5xx | 该，逐次加长等待，听 `Retry-After` 的 | SDK 已经替你做了，`retries=` 控制次数 |
# | 429，而 `code` 是 `insufficient_quota` | 不该，等也没用 | 余额用完了，去充值 |
# | 400、404、413、422 | 不该，再发一次还是错 | 改请求 |
# | 401、403 | 不该 | 检查密钥 |
# | `finish_reason: length` | 不该原样重发 | 加大 `max_tokens`；正文是空的，说明上限全被推理模型“想”掉了，至少给几千 |
# | 拒绝、内容过滤 | 不该 | 换图或换问法，并如实告诉用户 |

# %% [markdown] lang="en"
# | error | retry? | what to do |
# |---|---|---|
# | no connection, timeout, 408, 409, 429, 5xx | yes, waiting longer each time, heeding `Retry-After` | the SDK does, `retries=` says how often |
# | 429 whose `code` is `insufficient_quota` | no, waiting does not help | out of credit: top up |
# | 400, 404, 413, 422 | no, it would fail again | change the request |
# | 401, 403 | no | check the key |
# | `finish_reason: length` | not unchanged | raise `max_tokens`; if the text is empty, a reasoning model has spent all of it on thinking: allow a few thousand |
# | refusal, content filter | no | another picture or wording, and tell the user honestly |

# %% [markdown] lang="zh"
# ## 6 边写边看：流式输出
#
# 长回答要等几秒甚至几十秒。流式（streaming）让服务器写一点发一点：总时间不变，*第一个字*却来得快得多，而人等的就是第一个字。

# %% [markdown] lang="en"
# ## 6 Reading while it writes: streaming
#
# A long answer takes seconds, even tens of them. With streaming the server sends each piece as soon as it is written: the
# whole takes as long as before, but the *first word* comes much sooner, and that is what people wait for.

# %% tags=["nbval-ignore-output"]
import time

start = time.perf_counter()
stream = analyzer.describe(cats.image, stream=True)
for number, piece in enumerate(stream):
    if number == 0:
        first = time.perf_counter() - start
    print(piece, end="|", flush=True)
print(f"\n{first:.2f} s, {time.perf_counter() - start:.2f} s")

# %% [markdown] lang="zh"
# 竖线是每次收到的一小段。网络上传的是服务器推送事件（server-sent events，SSE）：每段一行 `data: {...}`，最后是 `data: [DONE]`。流到一半断了怎么办？`course_lib` 会报错，并把已经收到的文字留在 `raw` 里，而不是假装写完了。

# %% [markdown] lang="en"
# The bars stand between the pieces as they came. On the wire these are server-sent events: a line `data: {...}` for each
# piece, and `data: [DONE]` at the end. And if the stream breaks half-way? `course_lib` raises, and keeps what had come in
# `raw`, in place of pretending that it was finished.

# %% [markdown] lang="zh"
# ## 7 网上的图片
#
# 协议允许 `image_url` 直接写一个网址，由*服务器*去取。这有两个坑：服务器得够得着它（你内网里的图、要登录的图都不行）；而一个肯替人取网址的服务器，也可能被人骗去取它自己内网里的东西（SSRF）。本地服务器干脆一概不取：

# %% [markdown] lang="en"
# ## 7 Pictures on the web
#
# In the protocol `image_url` may be a web address, which the *server* then fetches. There are two catches: the server must
# be able to reach it (not so for pictures of your intranet, or behind a login); and a server that fetches whatever it is
# told can be tricked into fetching from its own network (SSRF). The local server fetches nothing at all:

# %%
remote = {"type": "image_url", "image_url": {"url": "https://example.com/chart.png"}}
asked_remote = {**body, "messages": [{"role": "user", "content": [content[0], remote]}]}
response = requests.post(f"{server.url}/v1/chat/completions", json=asked_remote, headers=headers, timeout=30)
print(response.status_code, response.json()["error"]["message"])

# %% [markdown] lang="zh"
# 所以 `call_gpt4v_with_url` 默认由你的电脑来取（OpenAI 这样的大服务则把网址交给它们）：限大小、限时间、限重定向次数，而且不许指向内网地址。试试指向自己：

# %% [markdown] lang="en"
# So `call_gpt4v_with_url` fetches on your computer (to large services such as OpenAI it hands the address on): with limits
# on size, time and redirects, and never from a private network. Point it at your own computer:

# %%
from course_lib import call_gpt4v_with_url

_ = attempt(lambda: call_gpt4v_with_url("http://127.0.0.1:9/cat.png", question))

# %% [markdown] lang="zh"
# ## 8 先算账，再发送
#
# 图片按大小折成 token 计费，每家的算法不同：有的数 512 像素的大块，有的数 32 像素的小块。算法公开，所以发送之前就能算：

# %% [markdown] lang="en"
# ## 8 Count the cost before you send
#
# Pictures are billed in tokens that depend on their size, and every provider counts in its own way: tiles of 512 pixels,
# or patches of 32. The ways are public, so the count can be had before sending:

# %%
from course_lib import estimate_cost, estimate_tokens, registry

sizes = {"512 × 512": (512, 512), "1920 × 1080": (1920, 1080), "4032 × 3024": (4032, 3024)}
counted = [entry for entry in registry.hosted() if entry.image_tokens]
lines = ["| | " + " | ".join(sizes) + " | `detail=\"low\"` |", "|---|--:|--:|--:|--:|"]
for entry in counted:
    tokens = [estimate_tokens(size, model=entry.id) for size in sizes.values()]
    low = estimate_tokens((4032, 3024), "low", model=entry.id)
    lines.append(f"| {entry.id} | " + " | ".join(map(str, tokens)) + f" | {low} |")
display(Markdown("\n".join(lines)))

# %% [markdown] lang="zh"
# **看什么**：大图不一定更贵：发送前课程库先把它缩到每边 2048 像素以内，服务商再缩到自己的上限，然后按块计数，长宽比也算数；mini-vlm 则不论大小都是 65 个。`detail` 是 OpenAI 的参数，别家多半不理它：最后一列能小下来，是因为课程库照着它先缩到 512 像素再发。
#
# 一万张手机照片要多少钱？价格随时会变，所以由你填：每百万 token 的输入价和输出价，去提供商的价目页上抄。下面的 1 和 4 只是举例：

# %% [markdown] lang="en"
# **What to notice**: a larger picture need not cost more. The library scales it to 2048 pixels a side before it is sent,
# and the provider to a limit of its own; then it is counted, and its proportions matter. mini-vlm takes 65 whatever the
# size. `detail` is OpenAI's parameter, which others mostly ignore: the last column is small because the library, told so,
# scales to 512 pixels itself.
#
# What do ten thousand phone pictures cost? Prices change, so you fill them in: input and output per million tokens, from
# the provider's price list. The 1 and the 4 here are only an example:

# %%
photo = Image.new("RGB", (4032, 3024))
print(counted[1].id)
for detail in ("high", "low"):
    cost = estimate_cost(photo, question, model=counted[1].id, max_tokens=100, detail=detail, price=(1, 4))
    print(f"{detail:5}", cost, f"| × 10000 = {cost.amount * 10_000:.2f} {cost.currency}")

# %% [markdown] lang="zh"
# **省钱的办法**：图里没有小字，就用 `detail="low"`，或者先明显缩小（例如 512 像素）再发；只缩到服务商的上限，省下的是流量和时间，不是 token，因为它反正会缩；不急着要的，用服务商的批处理接口（OpenAI、阿里云都有，约半价，一天之内出结果）；最后用 `usage` 对账，估算不是账单（例如 gpt-5.4-mini，有用户量到的系数是 1.2，不是文档里的 1.62）。

# %% [markdown] lang="en"
# **How to save**: where there is no small print, `detail="low"`, or scale down well below the provider's own limit (to
# 512 pixels, say); scaling just to the limit saves traffic and time but no tokens, as the provider does it anyway. What
# nobody waits for goes through the provider's batch interface (OpenAI and Alibaba Cloud have one: about half the price,
# results within a day). And check against `usage`: an estimate is not a bill (for gpt-5.4-mini some users measure a
# factor of 1.2, where the guide says 1.62).

# %% [markdown] lang="zh"
# ## 9 一次问八个
#
# 等远程服务回答时，你的电脑什么也没做。所以不要排队，一起问。`batch` 用几个线程同时发问，谁失败了只算谁的；本地服务器则把同时到的问题*拼成一批*一起算（它用的就是你的 CPU，省多少要看 CPU 忙不忙；远程服务省得多）：

# %% [markdown] lang="en"
# ## 9 Eight questions at once
#
# While a distant service answers, your computer does nothing. So do not queue, ask together. `batch` asks in several
# threads, and a failure stays with its item; the local server puts questions that arrive together into *one batch*
# (it runs on your own CPU, so the gain depends on how busy that is; with a distant service it is larger):

# %% tags=["nbval-ignore-output"]
eight = [e.image for e in shown[:8]]
start = time.perf_counter()
one_by_one = [analyzer.describe(image) for image in eight]
middle = time.perf_counter()
together = [o.result() for o in batch(analyzer.describe, eight)]
end = time.perf_counter()
print(say(zh="逐个，秒", en="one by one, seconds"), f"{middle - start:.2f}")
print(say(zh="一起，秒", en="together, seconds"), f"{end - middle:.2f}")
print(one_by_one == together)

# %% [markdown] lang="zh"
# ## 10 换成完整模型
#
# > **完整模型。** 换提供商只换名字和密钥（表里是 “-” 的还要写明地址或模型），代码一个字不动。密钥放在环境变量或 `.env` 里，别写进笔记本。下表由程序里的登记表打印：

# %% [markdown] lang="en"
# ## 10 Swap in a full-size model
#
# > **Full-size.** Another provider is another name and another key (and, where the table shows "-", an address or a model), and not a
# > word of your other code changes. Keys belong
# > in the environment or in `.env`, never in a notebook. This table is printed from the program's registry:

# %%
from course_lib.providers import PROVIDERS

lines = [say(zh="| 提供商 | 地址 | 密钥变量 | 默认模型 |", en="| provider | address | key variable | default model |"), "|---|---|---|---|"]
for provider in PROVIDERS.values():
    default = [entry.id for entry in registry.hosted(provider=provider.name)][:1]
    lines.append(f"| {provider.name} | {provider.base_url or '-'} | {provider.key_variable or '-'} | {(default or ['-'])[0]} |")
display(Markdown("\n".join(lines)))

# %% [markdown] lang="zh"
# 每一家都是同样的三行：
#
# ```python
# from course_lib import ImageAnalyzer
# analyzer = ImageAnalyzer(provider="qwen")   # openai, azure, qwen, glm, ollama, vllm
# analyzer.describe("photo.jpg")
# ```
#
# - **Azure**：原章节的部署 `gpt-4-vision`，背后的模型已经退役；带日期的接口版本（`2024-02-01`）是旧写法。现在用 v1 地址：`ImageAnalyzer(provider="azure", base_url="https://资源名.openai.azure.com", model="部署名")`；手里还是旧的部署地址，把门户里那一整串贴进 `base_url` 也行。
# - **通义千问、智谱**：表里是中国大陆的地址。国际站的密钥在那里得到的是 401，要连地址一起写：`ImageAnalyzer(provider="qwen", base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1")`，`ImageAnalyzer(provider="glm", base_url="https://api.z.ai/api/paas/v4")`。
# - **Ollama、vLLM**：在自己的机器上跑，不用密钥。
# - **`transformers serve`**：先 `.venv/bin/python -m pip install "transformers[serving]"`，再用一条命令把一个对话模型的文件夹变成服务：`.venv/bin/transformers serve 文件夹 --device cpu --port 8000`，然后 `ImageAnalyzer(base_url="http://localhost:8000/v1", model="文件夹")`，两处的“文件夹”要一字不差。课程的测试就用它来运行 mini-vlm，再拿课程的代码去调用。两点当心：它不理会 `response_format`，也不报错，第 4 节的保证在这里没有；它没有密钥，还会打开请求里写的任何文件和网址，只在自己的电脑上用。
# - **本地的大模型**：`.venv/bin/python -m little_world.server --vision-model 文件夹` 用课程自己的服务器来跑（Windows 上这几处是 `.venv\Scripts\python`、`.venv\Scripts\transformers`）。

# %% [markdown] lang="en"
# With each of them it is the same three lines:
#
# ```python
# from course_lib import ImageAnalyzer
# analyzer = ImageAnalyzer(provider="qwen")   # openai, azure, qwen, glm, ollama, vllm
# analyzer.describe("photo.jpg")
# ```
#
# - **Azure**: the model behind the chapter's deployment `gpt-4-vision` is retired, and API versions with a date (`2024-02-01`) are the
#   old way. Now it is the v1 address: `ImageAnalyzer(provider="azure", base_url="https://RESOURCE.openai.azure.com", model="DEPLOYMENT")`. With an old
#   deployment address, paste the whole of it from the portal into `base_url`.
# - **Qwen, GLM**: the table has the addresses for mainland China. A key from their international sites gets a 401 there; name the
#   address as well: `ImageAnalyzer(provider="qwen", base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1")`,
#   `ImageAnalyzer(provider="glm", base_url="https://api.z.ai/api/paas/v4")`.
# - **Ollama, vLLM**: run on your own machine, without a key.
# - **`transformers serve`**: after `.venv/bin/python -m pip install "transformers[serving]"`, one command turns a folder with
#   a chat model into a service: `.venv/bin/transformers serve FOLDER --device cpu --port 8000`; then
#   `ImageAnalyzer(base_url="http://localhost:8000/v1", model="FOLDER")`, with FOLDER to the letter as in the command. The
#   course's tests run mini-vlm in it and call it with the course's code. Two cautions: it ignores `response_format` without a
#   word, so what section 4 guarantees is not guaranteed here; and it has no key and opens any file or address that a request
#   names, so keep it to your own computer.
# - **A large model of your own**: `.venv/bin/python -m little_world.server --vision-model FOLDER` runs it behind the course's server
#   (on Windows it is `.venv\Scripts\python` and `.venv\Scripts\transformers`).

# %% [markdown] lang="zh"
# ## 11 聊一聊
#
# 选一张图，或者上传自己的，问它任何事。试试：小世界之外的问题；自己的照片（它会认真地胡说，正是第 02 课的“域差距”）；同一个问题换几种说法。

# %% [markdown] lang="en"
# ## 11 Chat
#
# Choose a picture or upload your own, and ask anything. Try: a question from outside Little World; a photograph of your
# own (it will talk earnest nonsense, the "domain gap" of lesson 02); one question in several wordings.

# %% tags=["nbval-ignore-output"]
from course_lib.chat_widget import chat

chat([e.image for e in (cats, *two)] + [signs[0].image, charts[0].image], analyzer=analyzer)

# %% [markdown] lang="zh"
# ## 小测验

# %% [markdown] lang="en"
# ## Quiz

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
from course_lib.widgets import quiz

quiz(
    say(zh="回答看起来好好的，`finish_reason` 却是 `length`。这说明什么？", en="An answer looks fine, but `finish_reason` is `length`. What does that mean?"),
    {
        say(zh="回答的长度正好合适", en="The length was just right"): say(zh="那会是 `stop`。", en="That would be `stop`."),
        say(zh="它没写完就被掐断了", en="It was cut off before its end"): say(
            zh="看着像整句，也可能只是断得巧；JSON 则多半已经坏了。", en="It may look whole by chance; JSON is most likely broken."
        ),
        say(zh="该等几秒再重试", en="Wait a few seconds and retry"): say(zh="原样重试还会断在同一处。", en="Unchanged, it would be cut at the same place."),
    },
    answer="B",
)

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
quiz(
    say(zh="用了 `json_schema`，服务器也保证遵守。下面哪件事有了保证？", en="You use `json_schema` and the server enforces it. What is guaranteed?"),
    {
        say(zh="字段的内容是真的", en="The fields are true"): say(zh="第 4 节里那只猫，也有标题和趋势。", en="The cat of section 4 had a title and a trend, too."),
        say(zh="字段和类型符合 Schema", en="Fields and types fit the schema"): say(zh="形式有保证，真假要自己量。", en="The form is guaranteed; the truth is for you to measure."),
        say(zh="回答不会被掐断", en="It is never cut off"): say(zh="上限到了照样断，所以还要看 finish_reason。", en="At the limit it still is, so look at finish_reason."),
    },
    answer="B",
)

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
quiz(
    say(zh="要把一批扫描的发票发给模型读，怎么编码？", en="You send scanned invoices to be read. How do you encode them?"),
    {
        say(zh="JPEG，质量 30，省流量", en="JPEG, quality 30, to save traffic"): say(zh="字大也许没事；发票上多是小字，省下的流量不值得冒险。", en="Large letters may survive it. Invoices are mostly small print, and the traffic saved is not worth the risk."),
        say(zh="PNG", en="PNG"): say(zh="无损。太大就先缩小，别先压烂。", en="Lossless. If it is too large, scale it down rather than squash it."),
        say(zh="都一样，模型看的是内容", en="All the same, models see content"): say(zh="模型看的是像素。", en="Models see pixels."),
    },
    answer="B",
)

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
quiz(
    say(zh="服务返回 429。下面哪种做法最好？", en="A service answers 429. What is best?"),
    {
        say(zh="立刻重发，直到成功", en="Send again at once until it works"): say(zh="所有人都这么做，它就永远忙下去。", en="If all do, it stays busy forever."),
        say(zh="按 Retry-After 等待，重试几次后放弃", en="Wait as Retry-After says, give up after a few times"): say(
            zh="听它的，也给自己一个上限。", en="Heed it, and set yourself a limit."
        ),
        say(zh="换一把密钥", en="Use another key"): say(zh="多半违反使用条款，也解决不了问题。", en="That mostly breaks the terms, and solves nothing."),
    },
    answer="B",
)

# %%
server.close()

# %% [markdown] lang="zh"
# ## 小结
#
# - 看图对话就是一个 HTTP 请求：图片变成 base64 放进 `messages`，回答在 `choices[0].message.content`，停下的原因在 `finish_reason`，账单在 `usage`。
# - 能力要逐项、多张图、对着标准答案打分。演示不是证据。
# - 要数据就发 Schema，收到再校验；形式能保证，真假只能量。
# - 错误有两类：等等再来的，和再来也没用的。写到一半和拒绝回答也是错误，不是答案。
# - 文字和图表用 PNG；先算 token 再发送；同时问，不排队。
# - 说“不知道”是一种能力，也要考。
#
# 术语对照见 [docs/glossary.md](../../docs/glossary.md)。下一课：[04 Stable Diffusion](04_stable_diffusion.ipynb)。

# %% [markdown] lang="en"
# ## Summary
#
# - A vision chat is one HTTP request: pictures go into `messages` as base64, the answer is in `choices[0].message.content`,
#   why it stopped in `finish_reason`, the bill in `usage`.
# - Score abilities one by one, on many pictures, against the truth. A demonstration is no evidence.
# - If you want data, send a schema and validate what comes back; the form can be guaranteed, the truth only measured.
# - There are errors to wait out and errors that waiting does not help. An answer cut off and a refusal are errors, too, not
#   answers.
# - Text and charts as PNG; count tokens before you send; ask together, do not queue.
# - To say "I don't know" is an ability, and needs a test like any other.
#
# The terms in both languages stand in [docs/glossary.md](../../docs/glossary.md). Next: [04 Stable Diffusion](04_stable_diffusion.ipynb).

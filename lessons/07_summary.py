# %% [markdown] lang="zh"
# # 07 · 总结：一张地图，一把尺子
#
# 原章节用五句话收尾：多模态是方向，CLIP 是基础，GPT-4V 展示了可能，文生图改变创作，视频是前沿。这一课不重复口号，只做三件事：把造过的东西画成一张*地图*；把*量到的*和论文里*报告的*摆在一起，说清什么能比、什么不能比；再指几条往前走的路。
#
# **学完这一课，你能够**
#
# - 说出每个服务建立在哪个模型、哪个协议之上，换掉一块时哪里不用动；
# - 看懂一张成绩表，知道两个百分数什么时候不能放在一起比；
# - 说出哪些著名的模型已经关停，以及怎样写代码才不怕它们关停；
# - 答对全课的十道题，选好下一步。
#
# **时间**：约 30 分钟，其中运行不到 20 秒。**需要**：学过前面几课；不需要显卡、网络或 API 密钥。**模型**：每一个微型模型的模型卡，和现场答题的 mini-clip。

# %% [markdown] lang="en"
# # 07 · Summary: a map and a yardstick
#
# The chapter ends on five sentences: multimodal is where AI is going, CLIP is its ground, GPT-4V showed what is possible,
# text to image changes creative work, video is the frontier. This lesson does not repeat them. It draws a *map* of what
# was built, sets what was *measured here* beside what papers *report*, with a word on what may be compared, and shows
# some ways on.
#
# **After this lesson you can**
#
# - say on which model and which protocol each service stands, and what stays as it is when one of them is replaced;
# - read a table of results, and tell when two percentages must not be compared;
# - say which famous models are gone, and how to write code that does not mind;
# - answer ten questions on the whole course, and choose where to go next.
#
# **Time**: about 30 minutes, of which less than 20 seconds are computing. **You need**: the lessons before; no graphics
# card, no network, no API key. **Models**: every miniature's card, and mini-clip for a live question.

# %%
from IPython.display import Markdown, display

import course_lib
from course_lib import literature, plots, registry, say
from little_world.cards import cards

there = cards()  # the miniatures that stand in data/models
for name in dict.fromkeys([*literature.SIBLINGS, *there]):
    told = f"{there[name].megabytes:.1f} MB" if name in there else say(zh="还不在 data/models 里", en="not in data/models yet")
    full = literature.SIBLINGS.get(name)
    print(f"{name:12} {told:24} {say(zh='完整的同类：', en='full-size sibling:')} {full.name if full else '–'}")

# %% [markdown] lang="zh"
# ## 1 地图：谁建立在谁之上
#
# 从右往左读：最右边是**模型**，下面写着它的完整同类；往左是说话用的**协议**；再往左是你带去工作的**服务**；最左边是由服务拼成的**应用**。框里的数字是课号。虚线框是这份副本里还没有的部分。

# %% [markdown] lang="en"
# ## 1 The map: what stands on what
#
# Read it from the right: the **models**, each with its full-size sibling underneath; to their left the **protocols** they are
# spoken to in; then the **services** you would take to work; and on the far left the **applications** made of them. The
# numbers are lessons. A dashed box is not there yet in this copy.

# %%
from itertools import pairwise

from course_lib.diagrams import columns

applications = {"ImageSearchEngine": "06", "VisualQA": "06", "VideoAnalyzer": "05"}
services = {"CLIPService": "02", "ImageAnalyzer": "03", "VideoProcessor": "05", "VideoGenerator": "05b", "StableDiffusionService": "04"}
protocols = {"from_pretrained": "transformers", "/v1/chat/completions": "OpenAI", "MP4, MKV, WebM": "PyAV",
             "/v1/videos": "OpenAI", "/sdapi/v1": "AUTOMATIC1111"}  # fmt: skip
models = {name: literature.SIBLINGS[name].name for name in ("mini-clip", "mini-vlm", "mini-motion", "mini-sd")}

# %%
chains = [
    ("ImageSearchEngine", "CLIPService", "from_pretrained", "mini-clip"),
    ("VisualQA", "ImageAnalyzer", "/v1/chat/completions", "mini-vlm"),
    ("VisualQA", "CLIPService"),
    ("VideoAnalyzer", "CLIPService"),
    ("VideoAnalyzer", "ImageAnalyzer"),
    ("VideoAnalyzer", "VideoProcessor", "MP4, MKV, WebM"),
    ("VideoGenerator", "/v1/videos", "mini-motion"),
    ("StableDiffusionService", "/sdapi/v1", "mini-sd"),
]
titles = say(zh="应用|服务|协议|模型", en="applications|services|protocols|models").split("|")
missing = {*applications, *services} - {*course_lib.__all__} | models.keys() - there.keys()
links = [link for chain in chains for link in pairwise(chain)]
columns(dict(zip(titles, (applications, services, protocols, models))), links, absent=missing)

# %% [markdown] lang="zh"
# **看什么**：
#
# - 连线只从左往右：左边用到右边，右边不认识左边。应用不知道协议，服务不知道模型：把右边的任何一块换成完整模型，左边一行都不用改。
# - 几条线汇到同一个框，就是省下的功夫：搜索、问答、视频检索共用一座 CLIP，一次提速，三处受益。
# - 反过来也要小心：**一座塔歪了，上面全歪**。mini-clip 不大分得清*谁在谁的*左边，站在它上面的搜索和视频检索也就不大分得清。

# %% [markdown] lang="en"
# **What to notice**:
#
# - Lines run one way. An application knows no protocol, a service knows no model: swap in a full-size model on the right, and
#   not a line on the left changes.
# - Where several lines meet in one box, work was saved: search, question answering and video stand on one CLIP, and what
#   makes it faster is felt in all three.
# - It cuts the other way, too: **what the tower gets wrong, all above it get wrong**. mini-clip can hardly tell who is left
#   of *whom*, and so the search and the video index on top of it hardly can.

# %% [markdown] lang="zh"
# ## 2 每一课量出了什么
#
# | 课 | 带走一句话 |
# |---|---|
# | [00](00_start_here.ipynb) | 微型也是真的：它没见过清单，只看像素，就能用两种语言说出画的是什么 |
# | [01](01_multimodal_basics.ipynb) | 融合要有用，得缺的不是同一块，而且每一路都知道自己有几分把握；盲信会帮倒忙 |
# | [02](02_clip.ipynb) | 数据里没有的，模型里也没有：没见过的组合、语序和领域，都会露馅，概率却照样很高 |
# | [03](03_gpt4v.ipynb) | Schema 只管形式，不管真假；`finish_reason` 和“不知道”都要检查 |
# | [04](04_stable_diffusion.ipynb) | 写错名字的参数会被悄悄忽略，所以要看回显；画得对不对，可以请 CLIP 来数 |
# | [05](05_video.ipynb) | 取帧要按显示时间，不按帧号；各帧取平均，就分不清正放倒放 |
# | [05b](05b_video_generation.ipynb) | 帧与帧要互相看得见；造出来的视频，跟踪了才知道动得对不对 |
# | [06](06_search_and_vqa.ipynb) | 检索先求准，再求快，快的那种要用准的那种来量；问答要按题型打分 |
# | [09](09_scaling_up.ipynb) | 上规模之前先算字节和秒，再量一遍；压缩省下的内存，要拿召回率或精排的时间来换 |
# | 练习 [1](../../exercises/zh/ex1_image_classifier.ipynb)、[2](../../exercises/zh/ex2_batch_generator.ipynb)、[3](../../exercises/zh/ex3_search_and_qa_app.ipynb) | 会弃权的分类器；杀掉也不丢图的批处理；一个能搜、能问、说得出依据的应用 |
#
# 这些话里没有一个数字，数字在各课的格子里，换了模型要重新量。

# %% [markdown] lang="en"
# ## 2 What each lesson measured
#
# | lesson | in one sentence |
# |---|---|
# | [00](00_start_here.ipynb) | A miniature is real: it never saw the list, only the pixels, and names the picture in two languages |
# | [01](01_multimodal_basics.ipynb) | Fusion gains where both sides lack something else and each knows how sure it may be; blind trust does harm |
# | [02](02_clip.ipynb) | What is not in the data is not in the model: new pairs, word order and domains show it, and the probability stays high |
# | [03](03_gpt4v.ipynb) | A schema governs the form, not the truth; check `finish_reason`, and check for "I don't know" |
# | [04](04_stable_diffusion.ipynb) | A parameter with a wrong name is ignored without a word, so read the echo; a CLIP can count what a painter got right |
# | [05](05_video.ipynb) | Ask for frames by their time, not their number; a mean over frames cannot tell forwards from backwards |
# | [05b](05b_video_generation.ipynb) | Frames must see each other; only tracking tells whether a video that was made moves as it was told |
# | [06](06_search_and_vqa.ipynb) | Search exactly first, then fast, and measure the fast against the exact; score answers by sort of question |
# | [09](09_scaling_up.ipynb) | Before it grows, work out bytes and seconds, then measure them; memory saved by compression is paid in recall, or in time to re-rank |
# | exercises [1](../../exercises/en/ex1_image_classifier.ipynb), [2](../../exercises/en/ex2_batch_generator.ipynb), [3](../../exercises/en/ex3_search_and_qa_app.ipynb) | A classifier that abstains; a batch that loses nothing when killed; an app that finds, answers and shows its grounds |
#
# There is no number in these sentences. The numbers are in the lessons' cells, and another model needs another measurement.

# %% [markdown] lang="zh"
# ## 3 微型与完整：什么能比
#
# 先比能比的：大小、数据、算力（横轴是对数）。每行左边的点是微型模型（由代码读它的文件夹），右边的点是完整的同类（来自论文和模型卡，出处印在图的下面）。

# %% [markdown] lang="en"
# ## 3 Miniature and full-size: what may be compared
#
# First what can be: size, data, computing (the axes are logarithmic). In each row the dot on the left is the miniature, read
# from its folder by code; the one on the right its full-size sibling, from papers and model cards (the sources are printed
# below the figure).

# %%
measures = {
    say(zh="参数个数", en="parameters"): "parameters",
    say(zh="训练中看过的样本", en="examples seen in training"): "seen",
    say(zh="训练小时数", en="hours of training"): "hours",
}
figure, axes = plots.figure(8.6, 2.5, 1, 3, sharey=True)
for axis, (title, measure) in zip(axes[0], measures.items()):
    for y, (name, full) in enumerate(literature.SIBLINGS.items()):
        ends = [getattr(model, measure, None) for model in (there.get(name), full)]
        if None not in ends:
            axis.plot(ends, [y, y], color=plots.MUTED, linewidth=1, zorder=1)
        axis.scatter([end or float("nan") for end in ends], [y, y], c=plots.COLORS[:2], s=55)
    axis.set(title=title, xscale="log")
    axis.margins(x=0.1, y=0.2)
    axis.tick_params(axis="both", which="both", left=False, bottom=False)
    axis.grid(axis="x", color=plots.MUTED, alpha=0.3)
labels = [f"{name} → {full.name}" for name, full in literature.SIBLINGS.items()]
axes[0, 0].set_yticks(range(len(labels)), labels)
axes[0, 0].invert_yaxis()
figure

# %%
rows = [say(zh="| 微型模型 | 完整的同类 | 倍数 | 机时 | 出处 |", en="| miniature | full-size sibling | times | hours | source |"), "|---|---|--:|--:|---|"]
for name, full in literature.SIBLINGS.items():
    mini = there.get(name)
    small = f"{name}, {mini.parameters / 1e6:.1f} M" if mini else name
    times = f"{full.parameters / mini.parameters:,.0f}" if mini else "–"
    hours = f"{full.hours:,} ({full.card})" if full.hours else say(zh="未公布", en="not stated")
    rows.append(f"| {small} | {full.name}, {full.parameters / 1e6:,.0f} M | {times} | {hours} | {full.source} |")
display(Markdown("\n".join(rows)))

# %% [markdown] lang="zh"
# **看什么**：
#
# - 差距以数量级计，而且三格里各不相同。CLIP 从头学起，Stable Diffusion 负责画的 UNet 也是，样本数和机时才会大成这样；LLaVA 的样本并不多，因为它是从*已经训练好的* CLIP 和语言模型出发的，图里只算它自己的那一段（Stable Diffusion 也一样：读提示词的是现成的 CLIP）。站在别人的肩膀上，是省算力最好的办法。
# - 最右一格的单位不一样：微型模型是模型卡上那台机器的小时数（有的是两个 CPU 核，有的是一块显卡），完整模型是作者所用那种显卡的单卡小时数（型号在上面的表里）。机器不同，一小时就不一样长，这一格只看得出数量级。
# - 右边没有点的，是没有找到作者公布的数。mini-vlm 的视觉塔单独学看图的那一段，中间一格没有算进去，右边一格算了。
#
# 再看成绩。左边是这里量的（中文 / 英文），右边是论文报告的：

# %% [markdown] lang="en"
# **What to notice**:
#
# - The distances are orders of magnitude, and not the same in the three panels. CLIP learned from scratch, and so did the
#   UNet that paints in Stable Diffusion, hence their samples and hours; LLaVA saw rather few samples, since it began from
#   a CLIP and a language model that *had been trained before*, and only its own part is counted (Stable Diffusion's, too:
#   a ready-made CLIP reads its prompts). Nothing saves computing like standing on somebody's shoulders.
# - The units of the last panel differ: hours on the machine that a miniature's card names (two CPU cores, or a graphics
#   card), and hours of one graphics card of the sort that the authors used (the table above names it). An hour is not the
#   same on every machine: read no more than orders of magnitude from this panel.
# - Where the right dot is missing, we found no number of the authors'. The part in which mini-vlm's tower learnt to see by itself
#   is not in the middle panel, and is in the right one.
#
# Now the results. On the left what was measured here (Chinese / English), on the right what papers report:

# %%
heads = say(
    zh="| 微型模型 | 这里问的 | 这里量的 | 别处问的 | 别处报告的 | 出处 |",
    en="| miniature | asked here | measured here | asked there | reported there | source |",
)
absence = say(zh="（还没有）", en="(not there yet)")
IN_CHINESE = {"kind": "种类", "color": "颜色", "count": "数量", "retrieval R@1": "检索 R@1", "questions on scenes": "关于画面的问题",
              "relation (which of two orders)": "关系（两种次序选一）", "signs read exactly": "牌子一字不差", "chart trend": "图表趋势",
              "- exists": "其中：有没有", "color, pairs of color and kind never seen": "颜色（没见过的颜色与种类搭配）"}
rows, last = [heads, "|---|---|--:|---|---|---|"], None
for name in literature.SIBLINGS:
    for r in literature.reported(name):
        here = (name, say(zh=IN_CHINESE.get(r.row, r.row), en=r.row) if r.row else "–", (there[name].measured(r.row) or "–") if name in there else absence)
        shown = ("", "", "") if here == last else here
        rows.append(f"| {' | '.join(shown)} | {say(zh=r.zh, en=r.en)} | {r.model}: {r.value} | {r.source} |")
        last = here
display(Markdown("\n".join(rows)))

# %% [markdown] lang="zh"
# **左右两栏不是同一场考试，不能当分数比。** 左边的画只有二十多种东西，画风统一，答案是画图的代码给的；右边是照片，上千个类别，答案是人标的。左边的 99% 不比右边的 75% 强，正如小学满分不比大学及格强。
#
# > **陷阱：拿两个百分数排名。** 觉得这是常识？同一个模型、*同一批图片*（颜色和种类的搭配都是训练里没有的），只改问法，先猜一猜分数怎么变：

# %% [markdown] lang="en"
# **The two columns are not the same exam, and are not scores to be compared.** On the left are drawings of two dozen things in
# one style, with answers from the code that drew them; on the right photographs, a thousand classes, answers by people. 99 %
# on the left is no better than 75 % on the right, just as full marks at primary school are not better than a pass at
# university.
#
# > **Pitfall: ranking by two percentages.** You knew that? Take one model and *the same pictures* (of pairs of colour and kind
# > that were not in training), change nothing but the question, and guess first what the score will do:

# %%
import numpy as np

from course_lib import CLIPService
from little_world import HELD_OUT, KINDS, draw
from little_world.captions import labels as named
from little_world.scenes import COLORED, COLORS, single
from little_world.training.data import TEST, scene_rng
from little_world.words import group_phrase

service = CLIPService()
asked = sorted(HELD_OUT) * 10  # pairs of kind and colour that were never trained on
drawn = [draw(single(scene_rng(TEST, 80_000 + i), kind=k, color=c, pairs=[(k, c)])) for i, (k, c) in enumerate(asked)]
features = service.encode_image(drawn)

# %%
phrase = {"zh": "图中有{}", "en": "a picture of {}"}[LANG]
kinds = features @ service.encode_text([phrase.format(group_phrase(kind, None, 1, LANG)) for kind in KINDS]).T
pairs = [(kind, color) for kind in COLORED for color in COLORS]
both = features @ service.encode_text([phrase.format(group_phrase(*pair, 1, LANG)) for pair in pairs]).T
everyone, truth = np.arange(len(asked)), np.array([KINDS.index(kind) for kind, _ in asked])
other = kinds[everyone, (truth + 1) % len(KINDS)]
scores = {
    say(zh="它，还是另一样？", en="this or another thing?"): (kinds[everyone, truth] > other).mean(),
    say(zh=f"{len(KINDS)} 样里是哪样？", en=f"which of {len(KINDS)} things?"): (kinds.argmax(axis=1) == truth).mean(),
    say(zh=f"{len(pairs)} 种“颜色 + 东西”里是哪种？", en=f"which of {len(pairs)} colours and things?"):
        np.mean([pairs[best] == pair for best, pair in zip(both.argmax(axis=1), asked)]),
}  # fmt: skip
plots.bars(scores, title=f"{service.name} · {len(asked)} " + say(zh="张同样的图", en="pictures, the same each time"), height=2.4)

# %% [markdown] lang="zh"
# **看什么**：模型没变，图也没变，分数却差了许多，连变的方向都未必猜得中：选项多得多的第三问，反而比第二问容易。（只问“是哪样”，它会认成训练里有过这种颜色的另一样东西：绿色的兔子认成猫，白色的鱼认成飞机。把颜色说出来，这股引力小了，却没有消失：第三问答错的，差不多也都是颜色对、东西错。）分数属于*题目*，不只属于模型。**对策**：要比两个模型，就让它们答同一份卷子，最好是你自己的卷子。
#
# ### 能比的还有一样：错在哪里
#
# 把表再看一遍，这次看毛病：
#
# - **谁在谁的哪一边**：mini-clip 不大分得清“猫在狗左边”和“狗在猫左边”，四亿对图文训练出来的 CLIP 在 ARO 上也只比抛硬币强一点。规模没有治好它，因为病根在损失（第 02 课）。
# - **组合**：mini-clip 在没见过的颜色和种类上掉分；Stable Diffusion 要给两样东西各涂一种颜色，十次里对不了一次。（mini-sd 在没见过的组合上颜色几乎不错，可它那张卷子上只有一样东西，颜色没有张冠李戴的机会。）
# - **数数**：mini-clip 只数得清训练里有过的数目（第 02 课的六只就数不了），Stable Diffusion 按数目画，三次里对一次。
# - **没有的说有**：POPE 专门问图里没有的东西，完整的模型也会幻觉，所以第 03 课要考“不知道”。
#
# 微型模型的*分数*说明不了完整模型，微型模型的*毛病*却常常说得准。这就是在小世界里练手的价值：同样的病，在这里几分钟就能看清。

# %% [markdown] lang="en"
# **What to notice**: not the model, not the pictures, only the question changed, and the scores are far apart. Even the direction
# is hard to guess: the third question has many more options than the second and is the easier one. (Asked for the thing
# alone, the model names another thing that did come in that colour in training: a green rabbit is a cat, a white fish an
# airplane. With the colour spelt out that pull is weaker, not gone: nearly all that is still wrong has the right colour
# and the wrong thing.) A score belongs to a *question*, not to a model alone. **Cure**: to compare two models, set them
# the same exam, and best of all your own.
#
# ### One more thing can be compared: what goes wrong
#
# Read the table again, for the faults this time:
#
# - **Who to whom**: mini-clip can hardly tell "a cat left of a dog" from "a dog left of a cat", and CLIP, with its 400 million
#   pairs, is little better than a coin at ARO. Size did not cure it: the cause is in the loss (lesson 02).
# - **Combinations**: mini-clip gets worse on pairs of colour and kind that it never saw; Stable Diffusion, asked for two
#   things with a colour each, gets not even one picture in ten right. (mini-sd is nearly always right about the colour of
#   unseen pairs, but in its exam there is one thing alone, and no other for the colour to go to.)
# - **Counting**: mini-clip counts as far as its training did (the six of lesson 02 were beyond it); Stable Diffusion, asked
#   for a number of things, gets it right one time in three.
# - **Seeing what is not there**: POPE asks for things that are not in the picture. Full-size models hallucinate, too, and
#   that is why lesson 03 gives marks for "I don't know".
#
# A miniature's *scores* say little about a full-size model; its *faults* often say a lot. That is what a small world is good
# for: the same illness, seen in minutes.

# %% [markdown] lang="zh"
# ## 4 年表：到今天为止
#
# 第 01 课的年表停在 2025 年初，这里接到今天。绿条：权重公开，还能下载；黄条：只有接口，还在服务；灰条：已关停；空心圆：从未开放。

# %% [markdown] lang="en"
# ## 4 The timeline, to this day
#
# The table of lesson 01 stopped early in 2025; here it goes on. Green: public weights, still to be had. Yellow: a service,
# still running. Grey: shut down. Hollow: never opened.

# %%
from course_lib.milestones import DEPRECATIONS, READ, events, milestones

all_of_them = milestones()
hosted = [m.name for m in all_of_them if m.offered == "service"]
print(say(zh="查阅于", en="read in"), READ, DEPRECATIONS)
plots.timeline(events(all_of_them), now=READ, services=hosted)

# %%
for m in all_of_them:
    if m.gone:
        print(f"{m.name:18}", say(zh=f"活了 {m.months} 个月：", en=f"lived {m.months} months:"), m.begin, "–", m.end)
rows = [say(zh="| 现在能调用的 | 提供商 | 关停日期（已公布的） |", en="| callable today | provider | last day, where announced |"), "|---|---|---|"]
rows += [f"| `{m.id}` | {m.provider} | {m.ends or '–'} |" for m in registry.hosted() if m.provider != "local"]
display(Markdown("\n".join(rows)))

# %% [markdown] lang="zh"
# **看什么**：表里权重公开的，今天都还能下载（Stable Diffusion 1.5 是从社区的备份，见第 01 课）；接口则一个接一个到期，看看它们各活了多久。上面的表来自 `course_lib/registry.py`，课程库用到的模型名都取自这一个文件，所以哪个名字没了，只改一行。你的项目也该有这样一个文件，再加一条规矩：**模型名是设置，不是代码**。已宣布关停的模型，OpenAI 的 `GET /v1/models` 会在 `shutdown_date` 里写明日期，定时查一查，别等报错。

# %% [markdown] lang="en"
# **What to notice**: what has public weights can still be downloaded today (Stable Diffusion 1.5 from the community's
# copy, see lesson 01); services come to their end one after the other, and you see how long each lived. The table comes
# from `course_lib/registry.py`, the one file from which the library takes its model names: when a name is gone, a line
# changes. Your
# project should have such a file, too, and a rule: **a model's name is a setting, not code**. OpenAI's `GET /v1/models` gives
# a `shutdown_date` where one is announced: have it checked regularly, before an error tells you.

# %% [markdown] lang="zh"
# ## 5 延伸阅读
#
# 先读原章节点名的四份，不必从头读到尾：

# %% [markdown] lang="en"
# ## 5 What to read
#
# First the four that the chapter names; no need to read them from end to end:

# %%
display(Markdown(literature.reading_list("chapter")))

# %% [markdown] lang="zh"
# 上面成绩表的出处：

# %% [markdown] lang="en"
# Where the table of results comes from:

# %%
display(Markdown(literature.reading_list("evidence")))

# %% [markdown] lang="zh"
# 接下来读什么：

# %% [markdown] lang="en"
# And what to read next:

# %%
display(Markdown(literature.reading_list("next")))

# %% [markdown] lang="zh"
# ## 6 全课小测
#
# 十道题，从第 01 课考到第 09 课，点选项马上有回答。错了也不扣分，回答里写着该回去看哪一节。

# %% [markdown] lang="en"
# ## 6 A last quiz
#
# Ten questions, from lesson 01 to lesson 09; choose an option, and the answer comes at once. A wrong one costs nothing and says
# which section to go back to.

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
from course_lib.widgets import quiz

quiz(
    say(
        zh="1. 摄像头和麦克风都在同一阵大雨里变差了。把两路融合起来，比单用一路好多少？",
        en="1. Heavy rain spoils the camera and the microphone at the same time. How much does fusing the two gain?",
    ),
    {
        say(zh="要看两路的错是否相关，以及各自知不知道自己不可靠", en="It depends on whether their errors are related, and whether each knows how reliable it is"): say(
            zh="错误互不相关、又各自校准过，融合才有好处。",
            en="Fusion gains where errors are unrelated and each side is calibrated.",
        ),
        say(zh="总是更好", en="It is always better"): say(
            zh="两路错在一起时，没有谁能纠正谁（第 01 课第 4 节）。",
            en="Where both are wrong together, neither can put the other right (lesson 01, section 4).",
        ),
        say(zh="完全没有用", en="Nothing at all"): say(
            zh="一路没坏透时，仍可能有一些。",
            en="While one side is not wholly spoilt there may be something left.",
        ),
    },
    answer="A",
)

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
quiz(
    say(
        zh="2. 两个 CLIP 在同一批图上正确率相同，甲的 logit_scale 是 20，乙是 100。谁的“95%”更可信？",
        en="2. Two CLIPs are right equally often on the same pictures; one has a logit_scale of 20, the other of 100. Whose “95 %” is to be believed?",
    ),
    {
        say(zh="乙，它更有把握", en="The second's, it is surer"): say(
            zh="更敢说不等于更懂：换一个 scale，换掉的是语气。",
            en="Bolder is not wiser: another scale is another tone of voice.",
        ),
        say(zh="甲，它更谦虚", en="The first's, it is more modest"): say(
            zh="太谦虚也是不准：说六成、其实九成对，同样没有校准。",
            en="Too modest is wrong as well: 60 % said and 90 % true is not calibrated.",
        ),
        say(zh="都得先在自己的数据上校准一次", en="Neither, before it is calibrated on your data"): say(
            zh="置信度属于模型<i>和</i>数据，量过才算数（第 02 课第 7 节）。",
            en="Confidence belongs to a model <i>and</i> its data; measure first (lesson 02, section 7).",
        ),
    },
    answer="C",
)

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
quiz(
    say(
        zh="3. 仓库里的零件有二十种，今天来了一件谁也没见过的。零样本分类器给出“轴承，97%”。怎么办？",
        en="3. A warehouse has twenty kinds of parts, and today there comes one that nobody has seen. The zero-shot classifier says “bearing, 97 %”. What now?",
    ),
    {
        say(zh="看余弦、设阈值，或加几句“都不是”，让它能弃权", en="Look at the cosine, set a threshold or offer “none of these”, so that it can abstain"): say(
            zh="弃权的办法要在数据上选，代价也要量（第 02 课第 8 节，练习 1）。",
            en="How to abstain is chosen on data, and its price is measured (lesson 02, section 8; exercise 1).",
        ),
        say(zh="97% 够高，照单全收", en="97 % is high: take it"): say(
            zh="softmax 总要选一个冠军，标签全错也一样。",
            en="A softmax always crowns a winner, with all labels wrong as well.",
        ),
        say(zh="换一个更大的模型就好了", en="A larger model will do"): say(
            zh="更大的模型也有没见过的东西，同样会自信。",
            en="A larger one has not seen everything either, and is as confident.",
        ),
    },
    answer="A",
)

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
quiz(
    say(
        zh="4. analyze_chart 收到一张猫的照片，返回了字段齐全、类型正确的 JSON。这说明什么？",
        en="4. analyze_chart is given a cat and returns JSON with all fields and all types right. What does that show?",
    ),
    {
        say(zh="这张图里真有图表", en="There is a chart in the picture"): say(
            zh="Schema 逼着它填，它就填了。",
            en="The schema made it fill them in, and it did.",
        ),
        say(zh="Schema 保证了形式，没有保证真假", en="The schema guaranteed the form, not the truth"): say(
            zh="留一条退路（比如可以为 null），再拿有答案的图去量（第 03 课第 4 节）。",
            en="Leave it a way out, null for instance, and measure on pictures with known answers (lesson 03, section 4).",
        ),
        say(zh="模型坏了，换一个", en="The model is broken, take another"): say(
            zh="每个模型都会这样，差别只是多少次。",
            en="Every model does it; they differ in how often.",
        ),
    },
    answer="B",
)

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
quiz(
    say(
        zh="5. 你发了 <code>strength=0.3</code>，服务器回 200，画却变得面目全非。最可能是？",
        en="5. You send <code>strength=0.3</code>, the server answers 200, and the picture is beyond recognition. Most likely?",
    ),
    {
        say(zh="0.3 太大了", en="0.3 is too much"): say(
            zh="0.3 本该只动一点点。",
            en="0.3 should change but little.",
        ),
        say(zh="种子没有固定", en="The seed was not fixed"): say(
            zh="种子决定画什么样的细节，不决定改多少。",
            en="A seed decides on the details, not on how much changes.",
        ),
        say(zh="服务器不认识这个名字，用了自己的默认值", en="The server does not know that name and took its default"): say(
            zh="AUTOMATIC1111 的名字是 <code>denoising_strength</code>，不认识的字段它一声不吭地忽略。看回显（第 04 课）。",
            en="AUTOMATIC1111 calls it <code>denoising_strength</code> and ignores what it does not know, without a word. Read the echo (lesson 04).",
        ),
    },
    answer="C",
)

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
quiz(
    say(
        zh="6. 要取第 10.0 秒的画面，有人算出帧号 10.0 × 30 = 300 再去跳转。手机拍的视频里，这可能取到什么？",
        en="6. For the picture at 10.0 seconds somebody works out frame 10.0 × 30 = 300 and seeks to it. What may come back from a phone's video?",
    ),
    {
        say(zh="另一个时刻的画面，没有任何报错", en="Another moment, and no error"): say(
            zh="手机常用可变帧率，每帧的时间要看 PTS（第 05 课）。",
            en="Phones record at a variable rate; when a frame is shown is told by its PTS (lesson 05).",
        ),
        say(zh="正好是那一帧", en="That very frame"): say(
            zh="固定帧率时才一定。",
            en="Only for certain at a constant frame rate.",
        ),
        say(zh="一定会报错", en="An error, always"): say(
            zh="可惜多半不会。",
            en="Mostly not, and that is the trouble.",
        ),
    },
    answer="A",
)

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
quiz(
    say(
        zh="7. 把各帧的 CLIP 向量取平均，用来区分“门慢慢打开”和“门慢慢关上”。结果会怎样？",
        en="7. You average the CLIP vectors of all frames to tell a door that opens from one that closes. What happens?",
    ),
    {
        say(zh="分得很清", en="It tells them apart"): say(
            zh="关门就是开门倒过来放，平均向量一点不变。",
            en="Closing is opening played backwards, and the mean is the same.",
        ),
        say(zh="帧取得多就行", en="More frames will do"): say(
            zh="再多的帧，平均之后还是没有先后。",
            en="However many, after averaging there is no order.",
        ),
        say(zh="等于抛硬币", en="It is a coin toss"): say(
            zh="平均丢掉了先后；要用看重顺序的办法（第 01、05 课）。",
            en="A mean has lost the order; use what minds it (lessons 01 and 05).",
        ),
    },
    answer="C",
)

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
quiz(
    say(
        zh="8. 一个近似索引快了十倍。上线之前先量什么？",
        en="8. An approximate index is ten times as fast. What do you measure before it goes live?",
    ),
    {
        say(zh="和精确检索比召回率：前 k 名里漏掉多少", en="Recall against exact search: how many of the first k it misses"): say(
            zh="精确的那种就是标准答案，在自己的向量上量（第 06、09 课）。",
            en="The exact search is the truth to measure by, on your own vectors (lessons 06 and 09).",
        ),
        say(zh="再量一次速度", en="Its speed again"): say(
            zh="快已经知道了，不知道的是它漏了什么。",
            en="That it is fast you know; what it misses you do not.",
        ),
        say(zh="什么都不用量，文档里写了 0.99", en="Nothing, its manual says 0.99"): say(
            zh="那是别人的数据。",
            en="On somebody else's data.",
        ),
    },
    answer="A",
)

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
quiz(
    say(
        zh="9. 在同一份测试集上试了 30 种提示模板，报告最好那个的正确率。问题在哪里？",
        en="9. You try 30 prompt templates on the test set and report the accuracy of the best. What is wrong?",
    ),
    {
        say(zh="没有问题，数字是真的", en="Nothing, the number is true"): say(
            zh="是真的，也是挑出来的：换一批图，多半会掉。",
            en="True, and hand-picked: on other pictures it will likely drop.",
        ),
        say(zh="测试集当成了校准集：挑选和计分要用不同的图", en="The test set served for calibration: choose and score on different pictures"): say(
            zh="挑模板、定阈值、调温度，都要在另一份数据上做。",
            en="Templates, thresholds and temperatures are chosen on other data.",
        ),
        say(zh="模板太少", en="Too few templates"): say(
            zh="试得越多，挑出来的运气成分越大。",
            en="The more you try, the more luck you pick.",
        ),
    },
    answer="B",
)

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
quiz(
    say(
        zh="10. mini-clip 在小世界里认种类的正确率，比 CLIP ViT-L/14 在 ImageNet 上高。所以？",
        en="10. mini-clip is right more often about kinds in Little World than CLIP ViT-L/14 about ImageNet. Therefore?",
    ),
    {
        say(zh="mini-clip 更强", en="mini-clip is the better model"): say(
            zh="两份卷子不同，不能比。想知道谁强，让它们答同一份。",
            en="Two exams: there is nothing to compare. Set them the same one.",
        ),
        say(zh="小模型更省，所以应该用小的", en="Small is cheaper, so take the small one"): say(
            zh="省是真的，可它没见过一张照片。",
            en="Cheaper it is, and it has never seen a photograph.",
        ),
        say(zh="什么也推不出来", en="Nothing follows"): say(
            zh="能比的是大小、数据、算力，和毛病出在哪里。",
            en="What can be compared is size, data, computing, and what goes wrong.",
        ),
    },
    answer="C",
)

# %% [markdown] lang="zh"
# ## 7 往前走
#
# **换成完整模型。** 一行设置，代码不动（写进 `.env` 就对整门课生效）：

# %% [markdown] lang="en"
# ## 7 How to go on
#
# **Full-size models.** One line of settings each, and no line of code (in `.env` it holds for the whole course):

# %%
from course_lib.providers import PROVIDERS

for setting, task in {"COURSE_CLIP_MODEL": "clip", "COURSE_SD_MODEL": "diffusion"}.items():
    full = registry.models(task=task, language=LANG)[0]
    print(f"{setting}={full.id}  #", say(zh="内存至少", en="memory, at least"), f"{full.memory_gb:.1f} GB")
provider = PROVIDERS[{"zh": "qwen", "en": "openai"}[LANG]]
print(f"COURSE_VLM_PROVIDER={provider.name}  #", say(zh="密钥写在", en="its key goes to"), provider.key_variable)

# %% [markdown] lang="zh"
# **用自己的图。** 挑一个你真的有一堆图片的问题：相册、商品、扫描件。先不写程序，先做一份*卷子*：五十张图，五十个你知道答案的问题。然后用 `ImageSearchEngine(clip, store="…")` 建索引（第 06 课），用练习 3 的应用提问，给自己打分。
#
# **自己训练一个。** 每个微型模型都有一条命令和一份写明时间的模型卡。改一处再训练：加一种东西，加一种语言，或者让只差顺序的图文同批出现，看看“谁在谁左边”能不能学会（第 02 课第 8 节说了为什么值得一试）。给它一个自己的文件夹，课程自带的模型才不会被替换：
#
# ```bash
# .venv/bin/python -m little_world.training.clip --folder my-clip-1
# ```
#
# （Windows 上是 `.venv\Scripts\python`。）中途停了，再运行一次就接着练；换一种做法就换一个文件夹，检查点是按它的名字存的。练完了，让 `CLIPService("my-clip-1 的路径")` 和 mini-clip 答同一份卷子。
#
# **上规模。** [第 09 课](09_scaling_up.ipynb)从一千张走到十亿张：先算，再量，最后才买机器。
#
# **写一课。** 一份文本文件，两种语言，代码共用：怎么写、怎么建、怎么通过检查，见 [README](../../README.zh-CN.md)。你量到的东西，别人也用得上。
#
# ## 小结
#
# - 应用、服务、协议、模型，各在一层；左边用到右边，右边不认识左边，所以每一层都能单独换掉。
# - 分数属于题目。没有同一份卷子，就没有谁比谁强。
# - 规模能治好的，是没见过；治不好的，是损失里就没问过的。
# - 模型会消失，你的卷子不会：**留着它，换一个模型，量一次**。
#
# 术语中英对照见 [docs/glossary.md](../../docs/glossary.md)。

# %% [markdown] lang="en"
# **Your own pictures.** Take a question for which you really have a heap of them: an album, goods, scans. Before any program, make an
# *exam*: fifty pictures, and fifty questions whose answers you know. Then index them with `ImageSearchEngine` (lesson
# 06), ask with the app of exercise 3, and mark yourself.
#
# **Train one yourself.** Every miniature has a command, and a card that says how long it takes. Change one thing and
# train again: another kind, another language, or pictures and texts that differ in order alone, together in one batch, to
# see whether who is left of whom can be learnt (section 8 of lesson 02 says why that is worth a try). Give it a folder of
# its own, or it replaces the course's model:
#
# ```bash
# .venv/bin/python -m little_world.training.clip --folder my-clip-1
# ```
#
# (On Windows it is `.venv\Scripts\python`.) If it is stopped, the same command goes on where it was; another way of training wants
# another folder, since checkpoints are kept by its name. Then set `CLIPService("path/of/my-clip-1")` the same exam as mini-clip.
#
# **Scale out.** [Lesson 09](09_scaling_up.ipynb) goes from a thousand pictures to a billion: calculate, measure, and only then buy
# machines.
#
# **Write a lesson.** One text file, two languages, the code shared: how to write it, build it and pass its checks stands in the
# [README](../../README.md). What you measured is of use to others.
#
# ## Summary
#
# - Applications, services, protocols and models have a layer each; the left uses the right, never the reverse, so every layer can be
#   replaced by itself.
# - A score belongs to its question. Without the same exam nobody is better than anybody.
# - Size cures what was never seen; it does not cure what the loss never asked for.
# - Models vanish, your exam does not: **keep it, take another model, measure again**.
#
# The terms in both languages stand in [docs/glossary.md](../../docs/glossary.md).

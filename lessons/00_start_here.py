# %% [markdown] lang="zh"
# # 00 · 从这里开始
#
# 下面这些画，电脑不但会画，还*看得懂*。先看一眼，再往下读。

# %% [markdown] lang="en"
# # 00 · Start here
#
# Your computer drew the pictures below, and it can *read* them too. Have a look, then read on.

# %%
from little_world import contact_sheet, draw, load_gallery

gallery = load_gallery()
light = ["night", "dusk", "day"]
singles = sorted(load_gallery("single"), key=lambda example: light.index(example.scene.time))
one_of_each = {example.kind: example for example in singles}  # of each kind the lightest
contact_sheet([draw(example.scene, 104) for example in one_of_each.values()], columns=8)

# %% [markdown] lang="zh"
# 这是**小世界**（Little World），本课程的试验场：二十多种东西，各种颜色和背景，白天、黄昏和夜晚。每张画里有什么，课程都知道*标准答案*。所以这里没有一个结论要你“相信”，全都可以当场量出来。
#
# **学完这一课，你会**
#
# - 确认环境装好了，会运行和修改一格代码；
# - 亲手试过 CLIP：画一幅画、认出它、用一句话找到它；
# - 就一幅画问过问题，也凭一句话得到过一幅画、一段视频；
# - 分得清**微型模型**（miniature）和**完整模型**（full-size），知道怎样用一行代码换过去。
#
# **时间**：约 10 分钟。**需要**：会一点 Python；不需要显卡、网络或 API 密钥。
#
# **怎样运行**：点一下某一格，按 <kbd>Shift</kbd>+<kbd>Enter</kbd>。想从头跑一遍，用菜单 *Run → Run All Cells*。已经显示的结果是课程作者运行得到的；你再运行一次，应当看到同样的结果。尽管改，改坏了也不要紧。

# %% [markdown] lang="en"
# This is **Little World**, the bench on which this course tries everything: two dozen kinds of things, in many colours and
# places, by day, at dusk and at night. What is in each picture is *known*, to the last detail. So nothing here has to be believed:
# every claim can be measured on the spot.
#
# **After this lesson you**
#
# - know that your setup works, and how to run and change a cell;
# - have used CLIP yourself: drawn a picture, had it named, and found it again by a sentence;
# - have asked questions about a picture, and got a picture and a video for a sentence;
# - can tell a **miniature** model from a **full-size** one, and swap one for the other in a line.
#
# **Time**: about 10 minutes. **You need**: a little Python; no graphics card, no network, no API key.
#
# **To run a cell**, click into it and press <kbd>Shift</kbd>+<kbd>Enter</kbd>; *Run → Run All Cells* runs everything.
# The results you already see are stored with the course; run a cell and you should get the same. Change whatever you
# like, nothing can break.

# %% [markdown] lang="zh"
# ## 1 画一幅画
#
# 一幅画先是一份清单：有什么东西、什么颜色、放在哪里（坐标是占边长的比例，`x` 向右，`y` 向下）。`draw` 照着清单画，`caption` 照着同一份清单写说明。所以图和文字永远对得上。

# %% [markdown] lang="en"
# ## 1 Draw a picture
#
# A picture starts as a list: which things, of what colour, and where (coordinates are fractions of the side, `x` to the
# right and `y` down). `draw` paints that list and `caption` puts it into words, so picture and words always agree.

# %%
from little_world import Scene, Thing, caption

cat = Thing("cat", "orange", x=0.26, y=0.6, size=0.18)
balloon = Thing("balloon", "red", x=0.74, y=0.47, size=0.18)
scene = Scene((cat, balloon), background="meadow", time="dusk")

print(caption(scene, LANG))
draw(scene, size=256)

# %% [markdown] lang="zh"
# **试一试**：把 `"dusk"` 改成 `"night"`，把 `"meadow"` 改成 `"beach"`，把猫改成白色的兔子（`"rabbit"`, `"white"`），再运行。可以用的词：

# %% [markdown] lang="en"
# **Try it**: change `"dusk"` to `"night"`, `"meadow"` to `"beach"`, the cat to a white rabbit (`"rabbit"`, `"white"`),
# and run it again. The words you can use:

# %%
from little_world import BACKGROUNDS, COLORS, KINDS, TIMES

for words in (KINDS, COLORS, BACKGROUNDS, TIMES):
    print(*words)

# %% [markdown] lang="zh"
# ## 2 让模型认一认，用两种语言
#
# 画是代码画的，不稀奇。稀奇的是下面这个模型**从没见过这份清单**，只看像素，就能说出画的是什么，而且中文、英文都行。它叫 CLIP。这里用的是课程自带的 **mini-clip**，在小世界上从零训练。

# %% [markdown] lang="en"
# ## 2 Let a model name it, in two languages
#
# That code can draw is no wonder. The wonder is the model below: it **never sees the list**, only the pixels, and still
# says what is there, in Chinese and in English. It is called CLIP. The one used here is **mini-clip**, which comes with
# the course and was trained from scratch on Little World.

# %%
from course_lib import CLIPService, plots
from little_world import labels

service = CLIPService()
shown = [example.image for example in one_of_each.values()][:12]
named = {}
for lang, template in {"zh": "图中有{}", "en": "a picture of a {}"}.items():
    words = list(labels("kind", lang).values())
    found = service.zero_shot_classify(shown, words, template=template)
    named[lang] = [result.label for result in found]
print(service.name)
plots.gallery(shown, [f"{zh}  {en}" for zh, en in zip(named["zh"], named["en"])])

# %% [markdown] lang="zh"
# **看什么**：每张图上面的两个词，都是 mini-clip 从二十多个候选里挑的。没有人为“分类”训练过它，候选词就是分类器；换一批词，就是另一个分类器。这叫**零样本分类**（zero-shot classification），第 02 课讲它的来历，也讲它在哪里会出错。

# %% [markdown] lang="en"
# **What to notice**: mini-clip picked both words over each picture from two dozen candidates. It was never trained "to classify";
# the candidate words are the classifier, and other words make another one. That is **zero-shot classification**. Lesson 02
# shows where it comes from, and where it goes wrong.

# %% [markdown] lang="zh"
# ## 3 用一句话找图
#
# 同一个模型，反过来用：给一句话，在整个图库里找最像的画。改改引号里的句子，再找一次，用中文或英文都可以。

# %% [markdown] lang="en"
# ## 3 Find a picture by a sentence
#
# The same model the other way round: given a sentence, find the closest pictures in the whole gallery. Change the words in
# the quotes and search again, in English or in Chinese.

# %%
query = {"zh": "夜晚的雪地里有一架飞机", "en": "an airplane in the snow at night"}[LANG]

image_features = service.encode_image([example.image for example in gallery])
closeness = image_features @ service.encode_text(query)[0]
best = closeness.argsort()[::-1][:6]
print(f"{service.name}: {query}")
plots.gallery([gallery[i].image for i in best], [f"{closeness[i]:.2f}" for i in best])

# %% [markdown] lang="zh"
# **看什么**：图库里没有人写过任何标签，搜索只看像素和你的句子。图上的数字是**余弦相似度**，越接近 1 越像。排在前面的全对上了；后面的往往只对上一部分：地方和时间对，东西不对，或者反过来。

# %% [markdown] lang="en"
# **What to notice**: nobody tagged these pictures; the search has only pixels and your sentence. The number over a picture is
# the **cosine similarity**, and 1 would be a perfect match. The first ones have it all; the later ones tend
# to be right in part: the place and the hour, but another thing, or the other way round.

# %% [markdown] lang="zh"
# ## 4 凭什么能比？图和话住在同一个空间
#
# 图片是几万个像素，句子是几个字，怎么会“像”？秘密是两个**编码器**（encoder）：一个把图片变成一个向量（一串数），一个把句子变成*同样长*的向量；训练让*说同一件事*的两个向量彼此靠近。下面四张图、两种语言各四句话，格子里是它们的相似度。

# %% [markdown] lang="en"
# ## 4 Why they can be compared: one space for both
#
# A picture is tens of thousands of numbers, a sentence a few words; how can the two be "alike"? The secret is a pair of
# **encoders**: one turns a picture into a vector (a row of numbers), the other a sentence into a vector *of the same size*, and
# training pulled together those that *say the same*. Four pictures, four sentences in each language, and how alike they are:

# %%
from little_world.words import group_phrase

some = [example for example in gallery if example.part == "single"][1:9:2]
texts = [group_phrase(e.kind, e.color, 1, lang) for lang in ("zh", "en") for e in some]
matrix = service.similarity([e.image for e in some], texts)
plots.similarity(matrix, texts, [e.image for e in some], title=service.name)

# %% [markdown] lang="zh"
# **看什么**：两条对角线最深，一条中文，一条英文。同一张图和它的两种说法都很近：换一种语言，不过是换一扇门，进的是同一个空间。后面几课的检索、绘画、视频，都从这张表出发。

# %% [markdown] lang="en"
# **What to notice**: two dark diagonals, one for each language. A picture is close to what is said of it in either; a language
# is just another door to the same space. Searching, painting and video in the later lessons all start from this table.

# %% [markdown] lang="zh"
# ## 5 问一问图
#
# CLIP 只会打分。要它*说话*，得再接上一个语言模型：把图变成一串“词”，和问题一起读进去，一个字一个字地写出回答。GPT-4V 就是这样的**视觉语言模型**（vision-language model，VLM）。下面是它的微型版 **mini-vlm**，由一个真正的 HTTP 服务来提供，协议和 OpenAI 的一样。问的就是你在第 1 节画的那张图：

# %% [markdown] lang="en"
# ## 5 Ask a picture
#
# CLIP only gives scores. To *talk*, it takes a language model as well: the picture becomes a row of "words", is read together
# with the question, and the answer is written word by word. GPT-4V is such a **vision-language model** (VLM). Here is a
# miniature, **mini-vlm**, behind a real HTTP server that speaks OpenAI's protocol. It is asked about the picture that you
# drew in section 1:

# %%
from course_lib import ImageAnalyzer

analyzer = ImageAnalyzer(lang=LANG)
mine = draw(scene)
questions = {
    "zh": ("图中有几只猫？", "热气球是什么颜色的？", "猫在热气球的左边吗？", "这里需要穿厚外套吗？", "谁画了这张图？"),
    "en": ("How many cats are there?", "What color is the hot-air balloon?", "Is the cat to the left of the hot-air balloon?",
           "Would you need a warm coat here?", "Who drew this picture?"),
}[LANG]  # fmt: skip
print(analyzer.client.endpoint.model, "|", analyzer.describe(mine))
for question in questions:
    print(question, "→", analyzer.ask(mine, question))
plots.gallery([mine], size=1.9)

# %% [markdown] lang="zh"
# **看什么**：最后一个问题，图里没有答案，它该说不知道。前面的答对了吗？回到第 1 节改一改画，再问一遍（换了东西，问题里的词也要跟着换：图里没有猫，却问猫在不在左边，它照样可能答“是”）。换颜色、换地方，它多半应付得来。有两种改法它会看错：把热气球放大一倍，训练它的画里，两样东西从没有这么大过；把猫换成绿色的兔子，这样的搭配训练里一次也没出现过，它会说成绿色的猫。第 03 课把这个请求拆到底，并且给几百个回答打分。

# %% [markdown] lang="en"
# **What to notice**: the picture does not hold the answer to the last question, and it should say so. Are the others
# right? Change your drawing in section 1 and ask again (with another thing, change the words of the questions, too: asked
# whether a cat that is not there is on the left, it may well say yes). Another colour or place it mostly copes with. Two
# changes it gets wrong: a balloon twice as large, since in its training two things were never that large; and a green
# rabbit in place of the cat, a pair that its training never showed, and which it takes for a green cat. Lesson 03 takes
# the request apart, and scores hundreds of answers.

# %% [markdown] lang="zh"
# ## 6 要一张没有人画过的图
#
# 前面的模型看图，这一个*画*图。**mini-sd** 是微型的 Stable Diffusion：从一片纯噪声（随机的杂色点）出发，照着一句话，一步步擦掉噪声，擦完就是一幅画。它同样由一个真正的 HTTP 服务来提供，用的是社区里通行的 AUTOMATIC1111 绘图协议。我们向它要一样训练里*一次也没出现过*的东西：

# %% [markdown] lang="en"
# ## 6 Ask for a picture that nobody has drawn
#
# The models so far look at pictures; this one *paints* them. **mini-sd** is a miniature Stable Diffusion: it starts from
# nothing but noise (random specks) and, guided by a sentence, wipes it away step by step until a picture is left. It
# too stands behind a real HTTP server, which speaks the protocol of AUTOMATIC1111's WebUI, as many open-source tools do. We ask for something
# that *never occurred* in its training:

# %%
from course_lib import StableDiffusionService
from little_world import HELD_OUT

assert ("cat", "purple") in HELD_OUT  # what no training picture shows
wish = {"zh": "图中有一只紫色的猫，背景是黄昏的海滩", "en": "a picture of a purple cat on the beach at dusk"}[LANG]

painter = StableDiffusionService()
painted = painter.text_to_image(wish, steps=20, guidance_scale=3.0, seed=0, count=6)
print(painted[0].parameters["model"], "|", wish)
plots.gallery(painted, [f"seed {picture.seed}" for picture in painted])

# %% [markdown] lang="zh"
# **看什么**：每个**随机种子**（seed）对应一片不同的噪声，也就对应一幅不同的画。训练里有猫，也有紫色的东西，唯独没有紫色的猫，它自己把两样拼到了一起，有几张拼得并不好。细看，眼睛和尾巴有的画歪了：这样小的细节压缩时丢了，是解码时补上的。第 04 课把每一步打开来看，再量一量它画对了多少。

# %% [markdown] lang="en"
# **What to notice**: each **seed** is another piece of noise, and so another picture. The training had cats, and it had purple
# things, but never a purple cat; the model put the two together by itself, in some pictures none too
# well. Look closely: some eyes and tails are crooked. Details as small as that are lost when pictures are compressed, and made up
# when they are unpacked. Lesson 04 opens up
# each step, and measures how much of it is right.

# %% [markdown] lang="zh"
# ## 7 要一段没有人拍过的视频
#
# 再往前一步：让画动起来。**mini-motion** 在 mini-sd 的层与层之间加上几层，让每一帧看得见其他几帧，八张画就连成了一小段视频。视频要做几秒钟，所以它的协议是先下单、再取货；`VideoGenerator` 替你办了：

# %% [markdown] lang="en"
# ## 7 Ask for a video that nobody has filmed
#
# One step further: make it move. **mini-motion** puts layers between those of mini-sd by which each frame sees the others, so
# that eight pictures become a short clip. A video takes seconds to make, so its protocol is to order first and to fetch
# later; `VideoGenerator` does both for you:

# %% tags=["nbval-ignore-output"]
from course_lib import VideoGenerator

moving = {"zh": "黄昏的海滩上，一只紫色的猫向右移动", "en": "a purple cat moves to the right on the beach at dusk"}[LANG]
VideoGenerator().text_to_video(moving, seed=0, progress=False)

# %% [markdown] lang="zh"
# **看什么**：从头到尾是同一片海滩，猫也还是那只猫（细看，尾巴和脸会变）。这正是难的地方：一张一张分开画，每一帧都会换一个样子。把“向右移动”换成“向左移动”“上下弹跳”“绕圈移动”或者“一动不动”，再运行一次。第 05 课讲怎么*看*视频，第 05b 课讲怎么*造*，并且跟踪那样东西，量一量它有没有照着做。

# %% [markdown] lang="en"
# **What to notice**: it is one beach from beginning to end, and one cat (look closely: its tail and its face
# change). That is what is hard: painted one by one, each frame would look different. Put "moves to the left", "bounces", "moves in a circle" or "stands still" in place of
# "moves to the right" and run it again. Lesson 05 is about *watching* videos, lesson 05b about *making* them: there the
# thing is followed, to measure whether it did as it was told.

# %% [markdown] lang="zh"
# ## 8 微型与完整
#
# 上面的一切都在你的 CPU 上离线跑完，而且是真的：真的 `transformers.CLIPModel`，真的训练出来的权重，没有预先写好的答案。代价是**小**：mini-clip 只认识小世界，给它一张照片，它会一本正经地胡说。
#
# **完整模型**在互联网上几亿到上百亿张图片和它们的文字上训练，见识广得多，也大得多。换过去只要一行，你的其他代码一个字都不用改。下面由代码列出课程认识的完整 CLIP（第一次使用时下载），以及该换成哪一行：

# %% [markdown] lang="en"
# ## 8 Miniature and full-size
#
# All of this ran on your CPU, offline, and it is real: a real `transformers.CLIPModel` with weights that were really trained,
# and no answer prepared beforehand. The price is that it is **small**: mini-clip knows Little World and nothing else. Show it
# a photograph and it will talk nonsense with a straight face.
#
# A **full-size** model was trained on hundreds of millions, or even billions, of pictures and their texts from the internet: it has seen far more,
# and it is far bigger. Swapping it in takes one line; no other line of yours changes. Here is that line, and the full-size
# CLIPs this course knows (downloaded when first used):

# %%
from IPython.display import Markdown

from course_lib import registry

parameters = sum(weights.numel() for weights in service.model.parameters())
print(f"{service.name}: {parameters / 1e6:.1f} M parameters, {parameters * 2 / 1e6:.0f} MB")
print(f'service = CLIPService("{registry.models(task="clip", language=LANG)[0].id}")')
Markdown(registry.table(task="clip", language=LANG))

# %% [markdown] lang="zh"
# （“?” 是没有查到；内存只算 float32 的权重。）现在每项服务用的是哪个模型、设置从哪里来，随时可以查：

# %% [markdown] lang="en"
# (A “?” could not be found out; memory is that of the weights in float32.) Which model each service uses now, and where
# that setting came from, you can always ask:

# %% tags=["nbval-ignore-output"]
from course_lib import settings

print(*settings.describe(), sep="\n")

# %% [markdown] lang="zh"
# 哪一格出了错？在终端里运行 `python3 course.py doctor`，它会说缺什么、怎么补。
#
# ## 接下来
#
# | 能力 | 课 | 练习 |
# |---|---|---|
# | 模态：文本、图像、视频、音频，合起来有什么好处 | 01 多模态基础 | |
# | CLIP：认图、找图 | 02 CLIP | 练习 1 |
# | 看图对话（GPT-4V 一类） | 03 GPT-4V | |
# | 文生图、图生图（Stable Diffusion） | 04 Stable Diffusion | 练习 2 |
# | 视频：看懂它 | 05 视频 | |
# | 文生视频、图生视频 | 05b 视频生成 | |
# | 图文搜索、视觉问答 | 06 图文搜索与视觉问答 | 练习 3 |
# | 回头看：什么能比，往哪里走 | 07 总结 | |
# | 几百万张图怎么办 | 09 上规模 | |

# %% [markdown] lang="en"
# Did a cell fail? Run `python3 course.py doctor` in a terminal: it says what is missing and what to do.
#
# ## Where to go from here
#
# | capability | lesson | exercise |
# |---|---|---|
# | text, image, video and audio, and what they gain from each other | 01 Multimodal basics | |
# | CLIP: naming and finding pictures | 02 CLIP | exercise 1 |
# | chatting about a picture (GPT-4V and its kind) | 03 GPT-4V | |
# | text to image, image to image (Stable Diffusion) | 04 Stable Diffusion | exercise 2 |
# | understanding video | 05 Video | |
# | text to video, image to video | 05b Video generation | |
# | image-text search, visual question answering | 06 Search and visual question answering | exercise 3 |
# | looking back: what may be compared, and where to go | 07 Summary | |
# | millions of pictures | 09 Scaling up | |

# %% [markdown] lang="zh"
# ## 你的进度
#
# 练习里每通过一步检查，就会记在你自己电脑上的一个小文件里，不会传到任何地方（不想记，就把环境变量 `COURSE_PROGRESS` 设为 `off`）。随时回来运行这一格，看看做到了哪里、接下来做什么。

# %% [markdown] lang="en"
# ## Your progress
#
# Every check of an exercise that you pass is noted in a small file on your own computer, and sent nowhere (set the environment
# variable `COURSE_PROGRESS` to `off` to keep none). Come back and run this cell to see how far you are, and what comes next.

# %%
from course_lib.dashboard import dashboard

dashboard()

# %% [markdown] lang="zh"
# ## 小测验

# %% [markdown] lang="en"
# ## A quick check

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
from course_lib import say
from course_lib.widgets import quiz

quiz(
    say(
        zh="把 mini-clip 换成完整的 Chinese-CLIP，要改什么？",
        en="What do you change to use a full-size CLIP in place of mini-clip?",
    ),
    {
        say(zh="重写编码和分类的代码", en="The code that encodes and classifies"): say(
            zh="不用。<code>CLIPService</code> 对所有 CLIP 家族的模型都是同样的用法。",
            en="No: <code>CLIPService</code> is used the same way for every model of the CLIP family.",
        ),
        say(
            zh="只改模型名，或者环境变量", en="Only the model's name, or an environment variable"
        ): say(
            zh="微型和完整模型走的是同一段代码。",
            en="Miniature and full-size models run through the same code.",
        ),
        say(zh="用小世界的图片重新训练它", en="It has to be trained on Little World first"): say(
            zh="不用。完整模型已经在上亿乃至上百亿图文对上训练过。",
            en="No: a full-size model was already trained, on hundreds of millions of pictures with text, or more.",
        ),
    },
    answer="B",
)

# %% [markdown] lang="zh"
# **小结**
#
# - 小世界里的每张画都有标准答案，所以每个说法都能测量。
# - CLIP 把图片和句子变成同一个空间里的向量：靠近就是“说的是同一件事”。认图和找图是它的两种用法。
# - 微型模型小而真，离线就能跑；完整模型大而广，换过去只要一行。
#
# 下一课：[01 多模态基础](01_multimodal_basics.ipynb)。

# %% [markdown] lang="en"
# **Summary**
#
# - Every picture of Little World comes with the truth about it, so every claim can be measured.
# - CLIP turns pictures and sentences into vectors of one space; close means "says the same". Naming and finding pictures are
#   two uses of that.
# - A miniature is small, real and runs offline; a full-size model is big and knows the world; one line swaps them.
#
# Next: [01 Multimodal basics](01_multimodal_basics.ipynb).

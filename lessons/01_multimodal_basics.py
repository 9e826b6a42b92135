# %% [markdown] lang="zh"
# # 01 · 多模态基础
#
# 教科书上说，多模态有四大好处：互补、覆盖更广、更鲁棒、更自然。这一课不请你相信，而是*设计实验，一条一条地量*，连它们不成立的情形也一并量出来。
#
# **学完这一课，你能够**
#
# - 把文本、图像、视频、音频都看成数组，说出每个维度是什么；
# - 用一个公平的规则融合（fuse）两路信息，知道为什么不能把得分直接相加；
# - 用*测出来的*数字说明四个好处，也说得出融合什么时候帮不上忙、甚至帮倒忙；
# - 对着一张有日期的年表，说出哪些著名的模型今天还能用。
#
# **时间**：约 50 分钟。**需要**：会 Python 和一点 NumPy；不需要显卡、网络或 API 密钥。**模型**：mini-clip（课程自带，在小世界上从零训练）。每个结果旁边都写着它出自谁。

# %% [markdown] lang="en"
# # 01 · Multimodal basics
#
# Textbooks list four gains of going multimodal: the parts complement each other, more tasks are covered, the whole is more
# robust, and it feels more natural. This lesson does not ask you to believe them. It *builds an experiment for each and
# measures*, including where the promise fails.
#
# **After this lesson you can**
#
# - see text, image, video and audio as arrays, and say what each axis is;
# - fuse two sources of evidence by a fair rule, and say why adding their raw scores is not one;
# - back the four gains with numbers *you measured*, and say when fusion gains nothing, or does harm;
# - say, from a dated table, which of the famous models can still be used today.
#
# **Time**: about 50 minutes. **You need**: Python and a little NumPy; no graphics card, no network, no API key.
# **Model**: mini-clip (comes with the course, trained from scratch on Little World). Beside each result stands whose
# it is.

# %%
import numpy as np

from course_lib import CLIPService, plots, say
from little_world import Scene, Thing, caption, draw

service = CLIPService()
scene = Scene((Thing("cat", "orange", x=0.5, y=0.6, size=0.3),), background="meadow", time="day")
print(caption(scene, LANG))
draw(scene, size=160)

# %% [markdown] lang="zh"
# ## 1 四种模态，四种形状
#
# **模态**（modality）是信息的表现形式：文本、图像、视频、音频……对人来说，它们是读、看、听；对程序来说，它们都是**数组**，差别在于有几个维度、每个维度是什么。
#
# ### 1.1 文本：一串整数
#
# **分词器**（tokenizer）把句子切成 **token**，每个 token 有一个编号。

# %% [markdown] lang="en"
# ## 1 Four modalities, four shapes
#
# A **modality** is a form that information takes: text, image, video, audio. To you they are reading, seeing, hearing. To a
# program all of them are **arrays**, and what differs is how many axes there are and what each axis means.
#
# ### 1.1 Text: a row of integers
#
# A **tokenizer** cuts a sentence into **tokens**, each with a number.


# %%
def pieces(text):
    """The tokens of a text with their ids; ■ is a byte that is only part of a character."""
    ids = service.tokenizer(text)["input_ids"][1:-1]  # without the marks for start and end
    return [(service.tokenizer.decode([i]).strip().replace("\ufffd", "■"), i) for i in ids]


texts = ("一只橙色的猫", "an orange cat", "橙色的一只猫", "火锅 hot pot")
plots.tokens({text: pieces(text) for text in texts})

# %% [markdown] lang="zh"
# **看什么**
#
# - 一句话就是一个形状为 `(n,)` 的整数数组，长短不一。
# - 编号只是*名字*，不是*数量*：编号 600 不比 300“多”，两个编号的平均数毫无意义。模型的第一步是查表，把编号换成向量。
# - 顺序有意义：第一句和第三句是同样的六个字，排法不同，连切法也跟着变了。
# - 词表里没有整个收录的字词，就退回到 UTF-8 字节（■）：“锅”碎成三片，连“猫”也是；“色的■”把“猫”的头几个字节粘到了前面。“pot”碎成字母。什么都能*编码*，不等于什么都*认识*；碎成字节的，只要训练时读得够多，也一样认识，“猫”就是。

# %% [markdown] lang="en"
# **What to notice**
#
# - A sentence is an array of integers of shape `(n,)`, and n varies.
# - An id is a *name*, not an *amount*: 600 is not more than 300, and the mean of two ids means nothing. The first thing a model
#   does is to look the id up in a table of vectors.
# - Order matters: rows one and three hold the same six characters in another order, and are cut differently, too.
# - What the vocabulary lacks as a whole falls back to its UTF-8 bytes (■): 锅 (pot) to three of them, and even 猫 (cat); in 色的■ the
#   first bytes of 猫 stick to what precedes. "pot" falls to letters. That anything can be *encoded* does not mean that it is
#   *known*; and what is in pieces can be known well, 猫 for one, if training read it often enough.

# %% [markdown] lang="zh"
# ### 1.2 图像：高 × 宽 × 3
#
# 图像是排在网格上的数：每个像素有三个 0 到 255 的整数，分别是红、绿、蓝。

# %% [markdown] lang="en"
# ### 1.2 Image: height × width × 3
#
# An image is amounts on a grid: three integers from 0 to 255 for each pixel, red, green and blue.

# %%
image = draw(scene)
pixels = np.asarray(image)
print(pixels.shape, pixels.dtype, f"{pixels.min()}..{pixels.max()}")
titles = say(zh="图像|放大|红色通道", en="image|enlarged|red channel").split("|")
plots.pixels(image, left=47, top=58, side=7, titles=titles, width=7)

# %% [markdown] lang="zh"
# **看什么**：和文本相反，这里的数是*数量*，相邻的像素多半相近，取平均也有意义（那就是模糊）。`pixels[y, x]` 先行后列，和“宽 × 高”的说法正好相反，别弄混。
#
# > **陷阱：`uint8` 会溢出，过了 255 就从 0 重新数起。** 想把图调亮 90：

# %% [markdown] lang="en"
# **What to notice**: unlike the ids of a text, these numbers are *amounts*. Neighbours are mostly alike, and a mean makes sense
# (it is a blur). `pixels[y, x]` takes the row first, the reverse of "width × height": a classic mix-up.
#
# > **Pitfall: `uint8` wraps around.** Say you want the picture brighter by 90:

# %%
wrong = pixels + 90  # uint8 has no 256: 200 + 90 becomes 34
right = np.clip(pixels.astype(np.int16) + 90, 0, 255).astype(np.uint8)
plots.gallery([pixels, wrong, right], ["pixels", "pixels + 90", "int16, clip, uint8"], size=1.4)

# %% [markdown] lang="zh"
# 没有报错，也没有警告，图却毁了。**对策**：先换成更宽的类型再算，截断到 0–255，最后换回来。
#
# ### 1.3 视频：时间 × 高 × 宽 × 3
#
# 视频多了一个**时间**维度。画 24 帧，每一帧车往右挪一点，叠起来：

# %% [markdown] lang="en"
# No error, no warning, and the picture is ruined. **Cure**: go to a wider type, compute, clip to 0-255, and come back.
#
# ### 1.3 Video: time × height × width × 3
#
# A video has one more axis, **time**. Draw 24 frames, the car a little further right in each, and stack them:

# %%
from dataclasses import replace

car = Thing("car", "red", x=0.5, y=0.66, size=0.2)
street = Scene((car,), background="city", time="day")
moments = [replace(street, things=(replace(car, x=x),)) for x in np.linspace(0.22, 0.78, 24)]
video = np.stack([np.asarray(draw(moment)) for moment in moments])
print(video.shape, video.dtype)
plots.gallery(video[::5], [f"video[{t}]" for t in range(0, 24, 5)], size=1.3)

# %% tags=["nbval-ignore-output"]
from io import BytesIO

from IPython.display import Image as Show
from PIL import Image

few = Image.fromarray(video[0]).quantize(64)  # a GIF has few colours: the same ones for all frames
frames = [Image.fromarray(frame).quantize(palette=few, dither=Image.Dither.NONE) for frame in video]
file = BytesIO()
frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=70, loop=0)
Show(file.getvalue(), format="gif", width=192)

# %% [markdown] lang="zh"
# 怎样在*一张静止的图*里看见运动？换个方向切：固定一行像素（车身那一行），让纵轴变成时间。再把视频倒过来放，切同一行。

# %% [markdown] lang="en"
# Can you see motion in a *still* picture? Cut along another axis: keep one row of pixels (the car's) and let time run
# downwards. Then play the video backwards and cut the same row.

# %%
row = 86
cuts = [v[:, row] for v in (video, video[::-1])]  # (24, 128, 3): time, x, colour
cuts = [np.repeat(cut, 5, axis=0) for cut in cuts]  # draw each moment five pixels high
same = np.array_equal(video.sum(axis=0), video[::-1].sum(axis=0))
print(say(zh="所有帧之和是否相同：", en="same sum over all frames:"), same)
plots.gallery(cuts, ["video[:, 86]", "video[::-1, 86]"], size=2.2)

# %% [markdown] lang="zh"
# **看什么**：斜纹就是运动，往右斜是往右开；斜纹越平，车越快，越陡越慢，不动的背景就成了竖条。倒放之后斜纹反向，可是*所有帧加起来一模一样*。所以谁把各帧（或各帧的向量）取个平均，谁就丢掉了方向：分不清“开进来”和“开出去”。第 05 课会回到这一点。
#
# ### 1.4 音频：一串采样点
#
# 声音是气压随时间的起伏。每秒量 8000 次，就是一个一维数组。下面合成四声鸟叫，前两声音调往上，后两声往下。

# %% [markdown] lang="en"
# **What to notice**: a slanted streak *is* motion: the flatter it is, the faster the car, and what stands still makes upright stripes. Backwards, the
# streak leans the other way, and yet *the sum over all frames is the same*. Whoever averages frames (or their vectors) has
# lost the direction: driving in and driving out become one. Lesson 05 comes back to this.
#
# ### 1.4 Audio: a row of samples
#
# Sound is air pressure going up and down. Measure it 8,000 times a second and you have an array with one axis. Here are four
# chirps of a bird, made with NumPy: the first two rise, the last two fall.

# %%
rate = 8_000  # samples per second, as on the telephone
t = np.arange(rate) / rate  # one second
part = 4 * t % 1  # runs from 0 to 1 in each chirp
pitch = np.where(t < 0.5, 1000 + 2000 * part, 3000 - 2000 * part)  # in hertz
sound = 0.8 * np.sin(np.pi * part) ** 2 * np.sin(2 * np.pi * np.cumsum(pitch) / rate)
print(sound.shape, sound.dtype)
titles = say(zh="波形|频谱图", en="waveform|spectrogram").split("|")
plots.sound(sound, rate, titles=titles, xlabel=say(zh="秒", en="seconds"))

# %% tags=["nbval-ignore-output"]
from IPython.display import Audio

Audio(sound, rate=rate)

# %% [markdown] lang="zh"
# **看什么**：波形上四声几乎一样，只看得出何时响、多响。**频谱图**（spectrogram）把每一小段声音拆成频率，横轴时间、纵轴音高：两升两降一目了然。频谱图是二维的，就像一张图，所以看图的网络常被拿来听声音。
#
# ### 1.5 放在一起看

# %% [markdown] lang="en"
# **What to notice**: in the waveform the four chirps look alike; it shows when and how loud, not how high. A **spectrogram** takes
# each short stretch apart into frequencies, time to the right and pitch upwards: two up, two down, plain to see. It has two
# axes like a picture, which is why networks made for pictures are used to listen.
#
# ### 1.5 Side by side

# %%
ids = np.array(service.tokenizer(caption(scene, LANG))["input_ids"])
unit = say(zh="个数", en="numbers")
for name, array in {"text": ids, "image": pixels, "video": video, "audio": sound}.items():
    print(f"{name:6} {str(array.shape):18} {str(array.dtype):8} {array.size:>9,} {unit}")

# %% [markdown] lang="zh"
# 一句话十几个数，24 帧的一小段视频就有一百多万个。形状差这么多，怎么放到一起比较？**编码器**各自把它们变成*同样长*的向量：

# %% [markdown] lang="en"
# A sentence is a dozen numbers, a clip of 24 frames more than a million. How can things of such different shapes be compared?
# An **encoder** for each turns them into vectors of *the same size*:

# %%
image_vector = service.encode_image(image)
sentences = [caption(scene, "zh"), caption(scene, "en"), caption(street, LANG)]
text_vectors = service.encode_text(sentences)
print(image_vector.shape, text_vectors.shape, service.name)
for sentence, cosine in zip(sentences, (image_vector @ text_vectors.T)[0]):
    print(f"{cosine:5.2f}  {sentence}")

# %% [markdown] lang="zh"
# 每行开头的数是两个向量夹角的**余弦**（cosine）：1 是方向相同，0 是互相垂直，越大越近。图片离自己的说明，不论中文英文，都比离别人的说明近得多。这个本领怎样学来，是第 02 课的事；这一课只*用*它做实验。mini-clip 会看图和读字，不会听声音，所以下面的实验用图和文字两种模态。

# %% [markdown] lang="en"
# The number in front is the **cosine** of the angle between the two vectors: 1 is the same direction, 0 a right angle;
# the larger, the closer. The picture is far closer to its own caption, in either language, than to another's. How that is
# learnt is for lesson 02; here we only *use* it. mini-clip sees and reads but does not hear, so the experiments below are
# about pictures and text.

# %% [markdown] lang="zh"
# ## 2 信息互补：两个各知道一半的证人
#
# 设想两个证人：一个看到了画，但东西*被挡住了*；一个听到一句话，只说了东西和颜色。问四个问题：是什么？什么颜色？在哪里？什么时候？
#
# 先准备 300 幅训练时没用过的画和标准答案。前三分之一留作**校准**（后面用到），只在其余的画上计分。

# %% [markdown] lang="en"
# ## 2 Complementarity: two witnesses who know half each
#
# Imagine two witnesses. One saw the picture, but the thing in it was *covered*. The other was told one sentence that names the
# thing and its colour, no more. We ask both four questions: what is it, what colour, where, and when?
#
# First, 300 pictures that were not used in training, with the truth about each. The first third is put aside for **calibration**
# (needed later); only the others count.

# %%
from little_world.captions import Plan
from little_world.scenes import BACKGROUNDS, COLORED, COLORS, TIMES, allowed_pairs, single
from little_world.training.data import TEST as UNSEEN
from little_world.training.data import scene_rng

# the questions, and what can be answered
QUESTIONS = {"kind": COLORED, "color": COLORS, "background": BACKGROUNDS, "time": TIMES}
NAMES = say(zh="是什么|颜色|在哪里|何时", en="what|colour|where|when").split("|")
colored = [pair for pair in allowed_pairs() if pair[1]]  # trees and cacti have no colour to ask for
N = 300  # pictures; 60 will do for a full-size model on a CPU, section 5 wants at least 40
scenes = [single(scene_rng(UNSEEN, i), size="large", pairs=colored) for i in range(N)]
FIT, TEST = slice(0, N // 3), slice(N // 3, N)


def fact(scene, question):
    return getattr(scene if question in ("background", "time") else scene.things[0], question)


def index(question):
    return np.array([QUESTIONS[question].index(fact(scene, question)) for scene in scenes])


truth = {question: index(question) for question in QUESTIONS}  # numbers of the right answers

# %%
from PIL import ImageDraw


def cover(scene):
    """The picture with a grey card over its thing."""
    image = draw(scene)
    box = [side * image.width for side in scene.things[0].box]
    ImageDraw.Draw(image).rectangle(box, fill="#9a9a9a")
    return image


def only(*facts):
    """A plan for captions that tell these facts and no others (what it is, is always told)."""
    every = ("color", "place", "size", "relation", "background", "time")
    return Plan(**{name: name in facts for name in every})


covered = [cover(s) for s in scenes]
terse = [caption(s, LANG, plan=only("color")) for s in scenes]
plots.gallery(covered[:4], terse[:4], columns=4, size=1.9)

# %% [markdown] lang="zh"
# 证人怎样“回答”？对每个可能的答案，造 16 句含有它的话，把它们的向量取平均，作为这个答案的代表；哪个代表离证据最近，就答哪个。图和文字都变成了向量，所以*两个证人用同一张答题卡*。

# %% [markdown] lang="en"
# How does a witness "answer"? For each possible answer take 16 sentences that contain it; the mean of their vectors stands for
# that answer, and the one closest to the evidence is given. Picture and text are both vectors, so *the two witnesses fill
# in the same answer sheet*.


# %%
def answer_vectors(question, n=16):
    """One vector of length 1 for each possible answer, (answers, d)."""
    rng = np.random.default_rng(0)
    answers = np.repeat(QUESTIONS[question], n)
    some = [single(rng, pairs=colored, **{question: str(answer)}) for answer in answers]
    vectors = service.encode_text([caption(s, LANG, plan=only(question), rng=rng) for s in some])
    vectors = vectors.reshape(-1, n, vectors.shape[1]).mean(axis=1)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


sheet = {question: answer_vectors(question) for question in QUESTIONS}
seen, told = service.encode_image(covered), service.encode_text(terse)
by_picture = {q: seen @ sheet[q].T for q in QUESTIONS}  # cosines, (N, answers)
by_caption = {q: told @ sheet[q].T for q in QUESTIONS}

# %%
ALL = say(zh="四题全对", en="all four")
who = say(zh="只看图|只读字|图 + 字", en="picture|caption|both")
PICTURE, CAPTION, BOTH = who.split("|")


def report(witnesses):
    """Accuracy on each question and on all four at once. witnesses: {name: {question: scores}}"""
    shares = []
    for scores in witnesses.values():
        right = [scores[q][TEST].argmax(axis=1) == truth[q][TEST] for q in QUESTIONS]
        shares.append([*(r.mean() for r in right), np.all(right, axis=0).mean()])
    return plots.heatmap(np.array(shares), list(witnesses), [*NAMES, ALL], title=service.name)


report({PICTURE: by_picture, CAPTION: by_caption})

# %% [markdown] lang="zh"
# **看什么**：两行正好互补。看图的知道地点和时间，对被挡住的东西近于瞎猜；读字的反过来。四题全对，谁也做不到。这就是**互补**：不是“多一份资料更好”，而是*缺的恰好不是同一块*。
#
# 怎样合起来？最自然的想法是把两个证人的得分加起来。
#
# > **陷阱：直接相加。** 看第三行。

# %% [markdown] lang="en"
# **What to notice**: the rows are each other's negative. The picture knows where and when, and is close to guessing about the
# thing behind the card; the caption is the reverse. All four right, neither manages. That is **complementarity**: not "more is
# better", but *what is missing is not the same on both sides*.
#
# Now put them together. The obvious idea is to add the scores of the two.
#
# > **Pitfall: just adding.** Look at the third row.

# %%
ADDED = say(zh="得分相加", en="scores added")
added = {q: by_picture[q] + by_caption[q] for q in QUESTIONS}
report({PICTURE: by_picture, CAPTION: by_caption, ADDED: added})

# %% [markdown] lang="zh"
# 没有一题比知道答案的那个证人好，“是什么”更是*差了一大截*。为什么？不知道的证人并没有保持沉默，它的余弦照样有高有低，而且它的尺度和另一个证人不同。声音大的未必知道得多。
#
# **对策**：让每个证人先说出*概率*，包括“我不知道”。余弦除以**温度**（temperature）$T$ 再做 softmax（每个数取指数，再除以总和，就成了加起来等于 1 的概率）；$T$ 越大，各答案的概率越接近，$T$ 极大就等于弃权。$T$ 取多少？在留作校准的画上，选能让标准答案的概率最高的那个 $T$；每个证人、每个问题各选一个。如果在给定答案之后，两份证据互相独立，各个答案事先又同样可能，概率就该相乘，也就是*对数概率相加*。

# %% [markdown] lang="en"
# On no question is the sum better than the witness who knows, and on *what it is* it is *far worse*. Why? The one who knows nothing
# does not keep quiet: its cosines go up and down all the same, and on another scale than the other's. The louder one is not the better informed.
#
# **Cure**: make each witness say a *probability*, and let it say "I don't know". Divide the cosines by a **temperature** $T$ and take
# the softmax (the exponential of each number, divided by their sum: probabilities that add up to 1). The larger $T$, the closer the probabilities to each other; a huge $T$ is an abstention. Which $T$? The one that
# makes the truth most probable on the calibration pictures, for each witness and each question. If the two pieces of evidence
# are independent (given the answer) and all answers equally likely beforehand, the probabilities are to be multiplied, which
# means *adding log-probabilities*.

# %%
import torch


def log_probs(scores, temperature):
    return torch.log_softmax(torch.from_numpy(scores / temperature), dim=1).numpy()


def fit_temperature(scores, right):
    """The temperature that makes the truth most probable (temperature scaling, Guo et al. 2017)."""
    tried = np.geomspace(1 / service.logit_scale, 3, 60)  # from the model's own temperature up
    return max(tried, key=lambda t: log_probs(scores, t)[np.arange(len(right)), right].mean())


def calibrated(scores, right):
    return log_probs(scores, fit_temperature(scores[FIT], right[FIT]))


fused = {
    q: calibrated(by_picture[q], truth[q]) + calibrated(by_caption[q], truth[q]) for q in QUESTIONS
}
report({PICTURE: by_picture, CAPTION: by_caption, BOTH: fused})

# %%
for q, name in zip(QUESTIONS, NAMES):
    t, u = (fit_temperature(scores[q][FIT], truth[q][FIT]) for scores in (by_picture, by_caption))
    print(f"{service.name}   T   {PICTURE} {t:6.3f}   {CAPTION} {u:6.3f}   {name}")

# %% [markdown] lang="zh"
# **看什么**：第三行每一格都和知道答案的证人一样好；四题全对，从两边都做不到，变成几乎总能做到。看温度（最小的 $T$ 是模型自己训练出来的温度，最大的等于弃权）：不知道答案的一方 $T$ 大得多，它学会了说“我不知道”。**融合的关键不是把信息堆在一起，而是每一路都知道自己有几分把握。**

# %% [markdown] lang="en"
# **What to notice**: each cell of the third row is as good as the witness who knows; all four right goes from out of reach for
# either to nearly always. And look at the temperatures (the smallest tried is the model's own, the largest as good as an abstention): the
# side that cannot know has a far larger one. It has learnt to say "I don't know". **Fusion is not about piling up information; it is about each source knowing how sure
# it may be.**

# %% [markdown] lang="zh"
# ## 3 场景覆盖：单独看，谁都答不了
#
# 上面的每个问题，总有一个证人答得出。有的问题天生就要两种模态，例如：**这两句说明，哪一句说的是这幅画？**（新闻配错了图、商品图文不符，都是这个问题。）
#
# 为了不让任何人取巧，我们成对地出题：一幅画，加上只改了*一件事*的孪生画，以及各自的说明。拿两句说明问第一幅画，再拿*同样两句*问第二幅画。每句话都是一次对、一次错，所以只看一边，*注定*只能抛硬币。（视觉问答数据集 VQA v2 也是这样成对构造的，Goyal 等人 2017。）

# %% [markdown] lang="en"
# ## 3 Coverage: what neither can answer alone
#
# Each question so far had a witness who knew. Some questions need both modalities by their nature, for example: **which of these
# two captions is about this picture?** (A news photo with the wrong story, a product with another's description: that is this
# question.)
#
# To leave no loophole we ask in twins: a picture, the same picture with *one thing* changed, and the caption of each. First the two
# captions are offered for the one picture, then *the same two* for the other. Each caption is right once and wrong once, so who
# looks at one side only is tossing a coin *by construction*. (Balanced pairs are how VQA v2 was built: Goyal et al. 2017.)

# %%
from itertools import cycle

rng = np.random.default_rng(3)


def twin(scene, question):
    """The same scene with one fact changed."""
    facts = {q: fact(scene, q) for q in QUESTIONS}
    others = [answer for answer in QUESTIONS[question] if answer != facts[question]]
    facts[question] = others[rng.integers(len(others))]
    thing = replace(scene.things[0], kind=facts["kind"], color=facts["color"])
    return replace(scene, things=(thing,), background=facts["background"], time=facts["time"])


twins = [(s, twin(s, question)) for s, question in zip(scenes[: 2 * N // 3], cycle(QUESTIONS))]
half = len(twins) // 2  # to fit on; the other half is the test
images = service.encode_image([draw(s) for pair in twins for s in pair]).reshape(len(twins), 2, -1)
texts = service.encode_text([caption(s, LANG) for pair in twins for s in pair]).reshape(len(twins), 2, -1)

# %%
example = 1  # the colour was changed; try 0, 2, 3
for s, row in zip(twins[example], texts[example] @ images[example].T):
    print(f"{service.name}   A {row[0]:.2f}   B {row[1]:.2f}   {caption(s, LANG)}")
plots.gallery([draw(s) for s in twins[example]], ["A", "B"], size=1.5)

# %% [markdown] lang="zh"
# 让四种做法来答。前三种是线性打分，在前一半孪生上用最小二乘学“相符 +1，不符 −1”；考后一半时，两句话里谁的分高就选谁：
#
# - **只看图**、**只读字**：只给它这一边的向量；
# - **并排**：把图和字的向量接在一起，给它*全部*信息；
# - **点积**：什么都不学，比两个向量的点积，也就是 CLIP 的相似度。

# %% [markdown] lang="en"
# Let four ways answer. The first three are linear scores, fitted on one half of the twins by least squares ("fits" +1,
# "does not" -1); on the other half they choose the caption with the higher score:
#
# - **picture** or **caption** alone: it is given the vector of that side;
# - **side by side**: the vectors of both, joined: *all* there is to know;
# - **dot product**: nothing is fitted; it compares the dot products of the two vectors, which is CLIP's similarity.

# %%
pictures_of = np.repeat(images, 2, axis=1)  # pictures A A B B
captions_of = np.tile(texts, (1, 2, 1))  # captions A B A B
target = np.tile([1.0, -1.0, -1.0, 1.0], (len(twins), 1))


def chosen_right(scores):
    """How often the true caption of a picture has the higher of its two scores. scores: (twins, 4)"""
    return np.mean(scores[half:].reshape(-1, 2, 2).argmax(axis=2) == [0, 1])


def fitted(features):
    weights = np.linalg.lstsq(features[:half].reshape(4 * half, -1), target[:half].ravel(), rcond=None)[0]
    return features @ weights


JOINED, DOT = say(zh="并排|点积", en="side by side|dot product").split("|")
scores = {
    PICTURE: fitted(pictures_of),
    CAPTION: fitted(captions_of),
    JOINED: fitted(np.concatenate([pictures_of, captions_of], axis=2)),
    DOT: (pictures_of * captions_of).sum(axis=2),
}
plots.bars({name: chosen_right(s) for name, s in scores.items()}, title=service.name, height=2.6)

# %% [markdown] lang="zh"
# **看什么**
#
# - 只看一边，一半对一半错。这正是**覆盖**：有些任务，单一模态*再强也没用*，它需要的信息不在那里。
# - 意外的是“并排”：全部信息都给了，仍是抛硬币！因为它只会把*图的一份分数*和*字的一份分数*加起来。对着两幅画，两句话谁的那份高是不变的，它总选同一句，必有一幅选错。别的加法也一样，怎么训练都没用。
# - 必须让两边*相乘*，问的才是“它们一致吗”。CLIP 的点积正是这样的相乘。（带非线性层的网络也能从“并排”里学会，但要自己从数据里把乘法学出来。）

# %% [markdown] lang="en"
# **What to notice**
#
# - One side alone is right half of the time. That is **coverage**: for some tasks a single modality is no use *however strong it is*,
#   because what they need is not in it.
# - The surprise is "side by side": it was given everything, and still tosses a coin! All it can do is add *a share for the picture* and
#   *a share for the caption*. Which caption has the larger share does not depend on the picture, so it names the same one for both
#   twins and must be wrong on one. No training helps a sum.
# - The two sides have to be *multiplied* for the question to be "do they agree?", and CLIP's dot product does just that. (A network with
#   nonlinear layers can learn it from the two side by side, but has to discover multiplication from data.)

# %% [markdown] lang="zh"
# ## 4 鲁棒性：噪声盖过证人的时候
#
# 图会模糊，字会打错。我们把两边一点点弄坏，看谁还认得出*是什么*（二十来种里挑一种）：
#
# - **图**：和随机噪点混合，给出噪点所占的比例；
# - **字**：每个字符以一定的概率出错，一半丢掉，一半换成别的字符。
#
# 各分六档，0 档完好，5 档最坏。两边的尺度没有可比性，档位是挑出来的，让两边坏得差不多快。

# %% [markdown] lang="en"
# ## 4 Robustness: when a witness is drowned in noise
#
# Pictures get grainy and texts mistyped. Let us spoil both, little by little, and see who still knows *what it is* (one of some twenty kinds):
#
# - **picture**: mixed with random pixels, whose share is given;
# - **caption**: each character goes wrong with some probability; half of those are lost, half replaced by another.
#
# Six levels each, from 0, intact, to 5. The two scales cannot be compared; the levels were picked so that both fail about equally fast.

# %%
rng = np.random.default_rng(4)
pictures = [np.asarray(draw(s, 96), dtype=float) for s in scenes]  # small, to save time
captions = [caption(s, LANG, rng=rng) for s in scenes]
alphabet = sorted(set("".join(captions)))


def spoil_picture(picture, share):
    return ((1 - share) * picture + share * rng.uniform(0, 255, picture.shape)).astype(np.uint8)


def spoil_caption(text, chance):
    wrong = lambda: rng.choice(["", rng.choice(alphabet)])
    return "".join(c if rng.random() >= chance else wrong() for c in text) or "?"


# %%
SHARES = (0, 0.3, 0.4, 0.5, 0.6, 0.8)  # levels 0 to 5
CHANCES = (0, 0.05, 0.1, 0.2, 0.3, 0.5)
if LANG == "en":
    CHANCES = (0, 0.02, 0.04, 0.07, 0.12, 0.25)  # one wrong letter spoils a whole word
spoilt_pictures = [[spoil_picture(p, share) for p in pictures] for share in SHARES]
spoilt_captions = [[spoil_caption(c, chance) for c in captions] for chance in CHANCES]
print(*(f"{level}  {some[0]}" for level, some in enumerate(spoilt_captions)), sep="\n")
plots.gallery([spoilt_pictures[level][0] for level in (0, 2, 4)], ["0", "2", "4"], size=1.2)

# %% [markdown] lang="zh"
# 三种情形：只有图坏、只有字坏、一起坏。融合用第 2 节的规则，但温度有两种定法：
#
# - **盲信**：温度在*干净*的数据上定好，就再也不改。系统不知道输入坏了。
# - **知情**：每一档噪声各自在校准集上定温度。系统知道现在有多吵。

# %% [markdown] lang="en"
# Three cases: noise in the picture, in the caption, in both. Fusion follows the rule of section 2, with the temperatures set in
# one of two ways:
#
# - **blind trust**: fitted once on *clean* data and never again. The system does not know that its input has gone bad;
# - **informed**: fitted on the calibration pictures anew at each level. The system knows how noisy it is.

# %%
right = truth["kind"]
# cosines (N, kinds) for each level
P = [service.encode_image(some) @ sheet["kind"].T for some in spoilt_pictures]
C = [service.encode_text(some) @ sheet["kind"].T for some in spoilt_captions]
clean = fit_temperature(P[0][FIT], right[FIT]), fit_temperature(C[0][FIT], right[FIT])
# %%
BLIND = say(zh="图 + 字，盲信", en="both, blind trust")
INFORMED = say(zh="图 + 字，知情", en="both, informed")


def share_right(scores):
    return np.mean(scores[TEST].argmax(axis=1) == right[TEST])


def curves(case):
    """Accuracy of four ways; `case` lists the levels of the picture and of the caption."""
    ways = {
        PICTURE: [P[i] for i, _ in case],
        CAPTION: [C[j] for _, j in case],
        BLIND: [log_probs(P[i], clean[0]) + log_probs(C[j], clean[1]) for i, j in case],
        INFORMED: [calibrated(P[i], right) + calibrated(C[j], right) for i, j in case],
    }
    return {name: [share_right(scores) for scores in some] for name, some in ways.items()}


# %%
LEVELS = range(len(SHARES))
cases = {
    say(zh="图坏，字完好", en="noise in the picture"): [(k, 0) for k in LEVELS],
    say(zh="字坏，图完好", en="noise in the caption"): [(0, k) for k in LEVELS],
    say(zh="都坏", en="noise in both"): [(k, k) for k in LEVELS],
}

# %%
made, axes = plots.figure(8.6, 2.8, 1, 3, sharey=True)
for axis, (title, case) in zip(axes[0], cases.items()):
    for (name, values), style in zip(curves(case).items(), ("o--", "s--", "^:", "D-")):
        axis.plot(LEVELS, values, style, markersize=4, label=name)
    axis.set_title(title, fontsize=10)
    axis.set_xlabel(say(zh="档位", en="level"))
axes[0, 0].set_ylim(0, 1.03)
axes[0, 0].yaxis.set_major_formatter("{x:.0%}")
axes[0, 0].legend(fontsize=8)
made.suptitle(service.name, fontsize=10, x=0.01, ha="left")
made

# %% [markdown] lang="zh"
# **看什么**
#
# - **知情的融合**（实线）在每一档都大致不低于较好的那个证人；两边都半坏不坏的时候，它*比两个都好*。这就是冗余带来的鲁棒性。
# - **盲信的融合**会被坏掉的一方拖下水，低于那个还清醒的证人。“多一个模态总不会更差”是错的：*得有人知道它坏了*。（右图里盲信几乎不吃亏：两边坏得一样快，谁更可信没有变。出事的是*只坏一边*。）
# - 一边完好时，另一边几乎帮不上忙：本来就没有多少错可以纠正。两边都毁了，谁也救不了谁。
#
# 为什么都半坏时能赢？因为两个证人*犯错的时候不一样*：

# %% [markdown] lang="en"
# **What to notice**
#
# - **Informed fusion** (the solid line) is at no level much worse than the better witness, and where both are half spoilt it is
#   *better than either*. That is the robustness that redundancy buys.
# - **Blind trust** lets the broken witness drag the sober one down. "One more modality can't hurt" is false: *somebody has to know
#   that it is broken*. (In the panel on the right it loses next to nothing: both fail equally fast, so whom to trust more does not
#   change. The harm comes when *one* side breaks.)
# - Where one side is intact the other has nothing to add, for there is no error to mend; where both are ruined, neither can help.
#
# Why does it win when both are half spoilt? Because the two *do not err at the same time*:


# %%
def errors(scores):
    return scores[TEST].argmax(axis=1) != right[TEST]


both = say(zh="同时错", en="wrong together")
either = say(zh="若互相独立，应有", en="expected if independent")
print(service.name)
for level in (2, 3, 4):
    p, c = errors(P[level]), errors(C[level])
    print(f"{level}   {both} {np.mean(p & c):4.0%}   {either} {p.mean() * c.mean():4.0%}")

# %% [markdown] lang="zh"
# 两个数很接近：图的噪点和字的错别字互不相干，所以“同时错”并不比碰巧更多。反过来，如果两边*缺的是同一块*，融合就毫无办法。让看图的证人仍被卡片挡住，让读字的证人只听到风景（不提东西），再问“是什么”：

# %% [markdown] lang="en"
# The two numbers are close: grain in a picture and typing errors have nothing to do with each other, so they are wrong
# together no more often than by coincidence. The other way round, if both sides lack *the same thing*, fusion is helpless. Keep the card over the picture, tell the
# other witness about the scenery only, and ask "what is it?":

# %%
scenery = [caption(replace(s, things=(), place=None, size=None), LANG) for s in scenes]
unknowing = service.encode_text(scenery) @ sheet["kind"].T
together = calibrated(by_picture["kind"], right) + calibrated(unknowing, right)
print(service.name)
for name, scores in {PICTURE: by_picture["kind"], CAPTION: unknowing, BOTH: together}.items():
    print(f"{name:8} {1 - errors(scores).mean():4.0%}")
print(f"{say(zh='瞎猜', en='guessing'):8} {1 / len(QUESTIONS['kind']):4.0%}")

# %% [markdown] lang="zh"
# 拖一拖滑块，看*一幅画、一句话*坏到各档时，两个证人各有几分把握，合起来又怎样（知情的融合；绿色是标准答案）：

# %% [markdown] lang="en"
# Drag the slider: *one picture and one caption*, more and more spoilt, how sure each witness is, and what they say together (informed fusion; green is the truth):

# %%
from little_world import labels

answers = [labels("kind", LANG)[kind] for kind in QUESTIONS["kind"]]
scene_number = N // 3 + 5  # any from N // 3 to N - 1


def testimony(level):
    """The spoilt picture and caption of one scene, and the most probable answers."""
    p, c = (calibrated(scores[level], right)[[scene_number]] for scores in (P, C))
    said = {PICTURE: p, CAPTION: c, BOTH: log_probs(p + c, 1)}
    made, axes = plots.figure(7.6, 1.8, 1, 4)
    axes[0, 0].imshow(spoilt_pictures[level][scene_number])
    axes[0, 0].axis("off")
    for axis, (name, logs) in zip(axes[0, 1:], said.items()):
        top = logs[0].argsort()[::-1][:4]
        colors = [plots.COLORS[2 if i == right[scene_number] else 0] for i in top]
        axis.barh([answers[i] for i in top], np.exp(logs[0, top]), color=colors)
        axis.set(title=name, xlim=(0, 1), xticks=[])
        axis.spines["bottom"].set_visible(False)
        axis.invert_yaxis()
    made.suptitle(f"{service.name}: {spoilt_captions[level][scene_number]}", fontsize=10)
    return made


# %% tags=["nbval-ignore-output"]
from course_lib.widgets import slides

slides([testimony(level) for level in LEVELS], name=say(zh="档位", en="level"), start=3)

# %% [markdown] lang="zh"
# ## 5 自然交互：指着一幅画说“这样的，但要夜里”
#
# 人找东西的时候会*一边指一边说*。图指得出样子，话说得出差别。两者都是向量，所以能加：
#
# $$\text{查询} = \text{图} + \text{“夜里”} - \text{“白天”}$$
#
# 相册里有 40 个场景，每个都有白天、黄昏、夜晚三幅。给你白天那幅，要找同一场景的夜晚。三种问法各找 40 次：

# %% [markdown] lang="en"
# ## 5 Natural interaction: pointing and saying "like this, but at night"
#
# People look for things by *pointing and talking*: the picture shows what, the words say what should differ. Both are vectors, so
# they can be added:
#
# $$\text{query} = \text{picture} + \text{“at night”} - \text{“by day”}$$
#
# An album holds 40 scenes, each by day, at dusk and at night. You point at the one by day and want the same scene at night. Each
# way of asking is tried 40 times:

# %%
bases = scenes[:40]
album = [replace(s, time=time, seed=s.seed + k) for s in bases for k, time in enumerate(TIMES)]
album_images = [draw(s) for s in album]
vectors = service.encode_image(album_images).reshape(40, 3, -1)  # scene, time of day
day, dusk, night = sheet["time"]

pointed = vectors[:, 0]  # the pictures by day
queries = {CAPTION: np.tile(night, (40, 1)), PICTURE: pointed, BOTH: pointed + night - day}
found = {}
print(service.name)
for name, query in queries.items():
    closeness = query @ vectors.reshape(120, -1).T
    closeness[np.arange(40), 3 * np.arange(40)] = -np.inf  # not the picture that was pointed at
    found[name] = closeness.argsort(axis=1)[:, ::-1]
    print(f"{name:8} {np.mean(found[name][:, 0] == 3 * np.arange(40) + 2):4.0%}")

# %%
asked = 3  # which scene; try others
words, picture = say(zh="“夜里”", en='"at night"'), album_images[3 * asked]
blank = Image.new("RGB", (128, 128), "white")
asking = [(words, blank), ("", picture), ("+ " + words, picture)]
shown, titles = [], []
for (title, first), order in zip(asking, found.values()):
    shown += [first, *(album_images[i] for i in order[asked, :4])]
    titles += [title, *("✓" if i == 3 * asked + 2 else "" for i in order[asked, :4])]
plots.gallery(shown, titles, columns=5, size=1.2)

# %% [markdown] lang="zh"
# **看什么**：只说“夜里”，所有夜景一样好，找中全靠运气；只指着图，找到的是同一个场景，可要黄昏还是夜晚，它无从知道（先找到的多半是黄昏，看上去离白天更近）；又指又说，才是你想要的那幅。而且“夜里”这个向量来自文字（16 句话的平均），却能直接加在图的向量上：共同空间让不同模态*可以混着用*，这就是自然交互的底子。第 00 课里用中英文找同一幅画，也是同一回事。

# %% [markdown] lang="en"
# **What to notice**: with words alone every night scene is as good as any other, and a hit is luck. With the picture
# alone it finds the same scene, but at dusk or at night? It cannot know (and mostly finds dusk, which looks more like
# day). Pointing *and* saying gets what you meant. And note that "at night" came from words (it is the mean of 16
# sentences), yet could be added to the vector of a picture: in a shared space modalities can be *mixed*, and that is the
# ground under natural interaction. Finding one picture in two languages, in lesson 00, was the same thing.

# %% [markdown] lang="zh"
# > **完整模型。** 第 2–5 节的代码对任何 CLIP 都成立，换一行就行：

# %% [markdown] lang="en"
# > **Full-size.** The code of sections 2 to 5 holds for any CLIP; one line changes:

# %%
from course_lib import registry

big = registry.models(task="clip", language=LANG)[0]
download, memory = f"{big.download_gb:.1f} GB", f"{big.memory_gb:.1f} GB"
print(f'service = CLIPService("{big.id}")')
print(say(zh="下载", en="download"), download, say(zh="内存", en="memory"), memory)

# %% [markdown] lang="zh"
# 它比 mini-clip 慢得多（先把第 2 节的 `N` 改成 60；画少了，正确率会晃得厉害些），而且在小世界的卡通画上*不一定*更准：它学的是照片。想公平，就换成你自己的照片和说明。
#
# ## 6 发展历程：一张有日期的年表
#
# 常见的年表列出五个里程碑：CLIP、DALL·E、Flamingo、GPT-4V、Sora。年份没错，可少写了一列：**现在还用得上吗**？下面截至 2026 年 11 月。绿条：权重公开，今天仍可下载；黄条：只有接口，还在服务；灰条：曾经提供服务，已关停；空心圆：发表了论文，模型从未开放。

# %% [markdown] lang="en"
# It is much slower than mini-clip (set `N` of section 2 to 60 first; with fewer pictures the shares jump about more), and
# on Little World's cartoons *not necessarily* better: it learnt from photographs. For a fair trial give it your own
# photographs and captions.
#
# ## 6 How it came about: a table with dates
#
# Textbooks list five milestones: CLIP, DALL·E, Flamingo, GPT-4V, Sora. The years are right, but a column is missing: **can you still
# use it?** As of November 2026. Green: weights are public and can be downloaded today. Yellow: a service, still running.
# Grey: a service that was, and is shut down. Hollow: published as a paper, the model never opened.

# %%
from course_lib.milestones import READ, events, milestones

FIRST = milestones(until="2025-02")  # what came since stands in lesson 07
services = [model.name for model in FIRST if model.offered == "service"]
plots.timeline(events(FIRST), now=READ, services=services)

# %%
chapter = ("CLIP", "DALL·E", "Flamingo", "GPT-4V", "Sora")
usable = {model.name for model in FIRST if model.usable and model.name.split()[0] in chapter}
print(say(zh="五个里程碑中还能用的：", en="still usable, of the five:"), *usable)

# %% [markdown] lang="zh"
# **看什么**：留得住的，是*权重公开*的；只有接口的，名字说没就没，还亮着的那根黄条也已经公布了关停的日子。这不是说服务不好（第 03、04 课会用到它们的后继），而是写代码时**把模型名和地址写进设置，别写进代码**，这也是 `CLIPService()` 不带参数的原因。权重公开也不是保险箱：Stable Diffusion 1.5 最初的仓库 2024 年就下架了，今天用的是社区备份，所以本课程把所有完整模型的名字集中放在 `course_lib/registry.py` 一处。
#
# 几个容易混的日期：GPT-4V 2023 年 9 月发布，11 月才有 API（`gpt-4-vision-preview`）；Sora 2024 年 2 月公布样片，12 月才开放，应用 2026 年 4 月关闭，API 2026 年 9 月 24 日关闭。
#
# 出处：[CLIP](https://arxiv.org/abs/2103.00020)、[DALL·E](https://arxiv.org/abs/2102.12092)、[Flamingo](https://arxiv.org/abs/2204.14198)、[Stable Diffusion](https://arxiv.org/abs/2112.10752)、[Chinese-CLIP](https://arxiv.org/abs/2211.01335)、[LLaVA](https://arxiv.org/abs/2304.08485)、[AnimateDiff](https://arxiv.org/abs/2307.04725)、[SigLIP 2](https://arxiv.org/abs/2502.14786)、[Wan](https://arxiv.org/abs/2503.20314)；关停日期见 [OpenAI 的弃用列表](https://developers.openai.com/api/docs/deprecations)（2026 年 11 月查阅）。

# %% [markdown] lang="en"
# **What to notice**: what stays has *public weights*; what was only an interface can be gone with its name, and the one yellow bar
# has its last day announced, too. That is no case against services (lessons 03 and 04 use their successors) but one for **keeping model names and addresses in settings, not in code**,
# which is why `CLIPService()` takes no argument here. Public weights are no guarantee either: the first repository of Stable
# Diffusion 1.5 was taken down in 2024 and what is used today is the community's copy. So this course keeps the names of all
# full-size models in one place, `course_lib/registry.py`.
#
# Dates that are easily confused: GPT-4V was announced in September 2023 and had an API in November (`gpt-4-vision-preview`). Sora was
# shown in February 2024 and opened in December; its app closed in April 2026, its API on 24 September 2026.
#
# Sources: [CLIP](https://arxiv.org/abs/2103.00020), [DALL·E](https://arxiv.org/abs/2102.12092),
# [Flamingo](https://arxiv.org/abs/2204.14198), [Stable Diffusion](https://arxiv.org/abs/2112.10752),
# [Chinese-CLIP](https://arxiv.org/abs/2211.01335), [LLaVA](https://arxiv.org/abs/2304.08485),
# [AnimateDiff](https://arxiv.org/abs/2307.04725), [SigLIP 2](https://arxiv.org/abs/2502.14786),
# [Wan](https://arxiv.org/abs/2503.20314); for the shutdowns, [OpenAI's list of deprecations](https://developers.openai.com/api/docs/deprecations)
# (read in November 2026).

# %% [markdown] lang="zh"
# ## 7 小测验

# %% [markdown] lang="en"
# ## 7 A quick check

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
from course_lib.widgets import quiz

quiz(
    say(
        zh="一段 2 秒、每秒 12 帧、128 × 128 的彩色视频，数组的形状是？",
        en="A colour video of 2 seconds at 12 frames a second, 128 × 128: what is its shape?",
    ),
    {
        "(2, 128, 128, 3)": say(
            zh="第一维是帧数，不是秒数。", en="The first axis counts frames, not seconds."
        ),
        "(24, 128, 128, 3)": say(
            zh="24 帧，每帧高 × 宽 × 3。", en="24 frames, each height × width × 3."
        ),
        "(128, 128, 24)": say(
            zh="少了颜色；而且本课（和多数视频库）把时间放在最前。",
            en="The colours are missing; and time comes first here, as in most video libraries.",
        ),
    },
    answer="B",
)

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
quiz(
    say(
        zh="融合两个模型时，为什么不能直接把余弦相加？",
        en="Why is it wrong to add the cosines of two models?",
    ),
    {
        say(zh="余弦可能是负数", en="Cosines may be negative"): say(
            zh="负数也能加，这不是问题。", en="Negative numbers add up like any others."
        ),
        say(
            zh="两边尺度不同，而且不知道答案的一方也会给出高低不一的分数",
            en="Their scales differ, and one that knows nothing still gives high and low scores",
        ): say(
            zh="所以先用校准集定温度，换成概率，不知道的一方自然就弃权了。",
            en="So fit a temperature on calibration data and go to probabilities: who does not know then abstains.",
        ),
        say(zh="必须先训练一个融合网络", en="A fusion network has to be trained first"): say(
            zh=f"不必。这一课只用 {N // 3} 个样本，给每个证人、每个问题各定了一个温度，没有训练任何网络。",
            en=f"No: on {N // 3} samples this lesson fitted one temperature for each witness and question, and no network.",
        ),
    },
    answer="B",
)

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
quiz(
    say(
        zh="摄像头坏了，系统不知道，仍按老办法融合图和字。结果会怎样？",
        en="The camera breaks, the system does not know and goes on fusing as before. What happens?",
    ),
    {
        say(zh="至少不会比只读字差", en="It is at least no worse than the caption alone"): say(
            zh="第 4 节图里的点线正是反例。",
            en="The dotted lines in the figure of section 4 show the contrary.",
        ),
        say(zh="可能比只读字还差", en="It may be worse than the caption alone"): say(
            zh="盲信的融合会被坏掉的一方拖下水。要监测输入，随时调整信任。",
            en="Blind trust is dragged down by the broken side. Watch your inputs, and adjust the trust.",
        ),
        say(zh="和坏之前一样好", en="It is as good as before"): say(
            zh="只有知道它坏了，才接近这样。",
            en="Only if it knows that the camera is broken, and then nearly.",
        ),
    },
    answer="B",
)

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
quiz(
    say(
        zh="判断“这句说明和这幅画相符吗”，下面哪种做法原则上就不行？",
        en="Which of these cannot, in principle, tell whether a caption fits a picture?",
    ),
    {
        say(
            zh="图、字向量的点积，加一个阈值",
            en="The dot product of the two vectors, with a threshold",
        ): say(zh="可以，这就是 CLIP 的做法。", en="It can: that is CLIP's way."),
        say(
            zh="图、字向量并排，接一个多层网络",
            en="The two vectors side by side, into a network of several layers",
        ): say(
            zh="可以，非线性能学出相乘，只是要多得多的数据。",
            en="It can: nonlinearity can learn to multiply, given much more data.",
        ),
        say(
            zh="图、字向量并排，接一个线性分类器",
            en="The two vectors side by side, into a linear classifier",
        ): say(
            zh="对。它只会把两边的分数相加，而“相符”不是相加。",
            en="Right: it can only add the two sides' scores, and fitting is no sum.",
        ),
    },
    answer="C",
)

# %% [markdown] lang="zh"
# ## 小结
#
# - 四种模态都是数组：文本 `(n,)` 的编号，图像 `(h, w, 3)`，视频 `(t, h, w, 3)`，音频 `(n,)` 的采样点。编码器把它们变成同样长的向量。
# - **互补**：各缺各的，合起来才全。关键是每一路都知道自己有几分把握（温度校准），而不是得分相加。
# - **覆盖**：有的问题只看一边等于抛硬币；要让两边*相乘*，光摆在一起也不够。
# - **鲁棒**：错误互不相干时，知情的融合不差于较好的一方，常常更好；盲信会帮倒忙；缺的是同一块时，帮不上忙。
# - **自然**：共同空间里，图和话可以相加，“这样的，但要夜里”。
# - 模型会消失，把名字放进设置里。
#
# 下一课：[02 CLIP](02_clip.ipynb)，这个共同空间是怎样学出来的。术语中英对照见 [docs/glossary.md](../../docs/glossary.md)。

# %% [markdown] lang="en"
# ## Summary
#
# - Four modalities, all arrays: text `(n,)` of ids, image `(h, w, 3)`, video `(t, h, w, 3)`, audio `(n,)` of samples. Encoders turn
#   them into vectors of one size.
# - **Complementarity**: each lacks something else, together they have it all. What matters is that each source knows how sure it may
#   be (temperature), not adding scores.
# - **Coverage**: for some questions one side alone is a coin toss; the two must be *multiplied*, merely side by side is not enough.
# - **Robustness**: while errors are unrelated, informed fusion is no worse than the better side and often better than both. Blind trust
#   does harm; and where both lack the same thing, nothing helps.
# - **Natural interaction**: in a shared space pictures and words add up, "like this, but at night".
# - Models vanish: keep their names in settings.
#
# Next: [02 CLIP](02_clip.ipynb), how that shared space is learnt. The terms in both languages stand in
# [docs/glossary.md](../../docs/glossary.md).

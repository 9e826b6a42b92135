# %% [markdown] lang="zh"
# # 02 · CLIP：图文对比学习
#
# 一个模型把图片变成向量，另一个把文字变成向量，两种向量住在同一个空间里：说的是同一件事，就离得近。CLIP 的全部想法就是这一句话。它带来的能力却很多：不用训练就能分类，用一句话找图片，后面几课的绘画、视频检索也都以它为基础。
#
# **学完这一课，你能够**
#
# - 用十行代码写出 CLIP 的对比损失（contrastive loss），说清它为什么有两半；
# - 亲手训练一个 CLIP，看着相似度矩阵在两分钟里变成一条对角线；
# - 用中文或英文标签做零样本（zero-shot）分类和图文检索，并且*测量*它有多准；
# - 看懂温度和置信度，知道什么时候不该信；
# - 说出 CLIP 在哪里会失败，原章节的代码在哪里会出错，以及怎么改。
#
# **时间**：约 75 分钟。**需要**：会 Python；不需要显卡、网络或 API 密钥。
#
# 每个结果都会写明出自哪个模型。这一课有两个：**mini-clip**，课程自带的微型模型，在画出来的小世界（Little World）上从零训练；**tiny**，你马上要亲手训练的那个。两个都没见过任何照片，第 8 节会诚实地看看这意味着什么。
#
# 课程跟着一章多模态教程走，下面叫它“原章节”。它的思路很好，代码里却有不少陷阱，我们会一个个踩给你看，再说怎么绕开。

# %% [markdown] lang="en"
# # 02 · CLIP: learning from pictures and their captions
#
# One model turns a picture into a vector, another turns a text into a vector, and both vectors live in the same
# space: if they say the same thing, they lie close together. That sentence is all of CLIP. What follows from it
# is a lot: classification without training, finding pictures by a sentence, and the ground that the later lessons
# on painting and video stand on.
#
# **After this lesson you can**
#
# - write CLIP's contrastive loss in ten lines, and say why it has two halves;
# - train a CLIP yourself and watch its similarity matrix turn into a diagonal within two minutes;
# - classify zero-shot and retrieve with labels in Chinese or English, and *measure* how good that is;
# - read the temperature and the confidence, and know when not to believe them;
# - say where CLIP fails, where the chapter's code goes wrong, and what to do instead.
#
# **Time**: about 75 minutes. **You need**: Python; no graphics card, no network, no API key.
#
# Every result says which model made it. There are two here: **mini-clip**, which comes with the course and was
# trained from scratch on a drawn world (Little World), and **tiny**, which you are about to train. Neither has
# ever seen a photograph; section 8 looks honestly at what that means.
#
# The course follows a chapter of a tutorial, "the chapter" below. Its ideas are good, and its code has a number of
# traps: we step into each of them on purpose, and then show the way round.

# %%
import numpy as np
import torch
from IPython.display import Markdown, display

from course_lib import CLIPService, plots, registry, say
from little_world import KINDS, draw, load_gallery, words
from little_world.captions import FULL, Plan, caption

service = CLIPService()
gallery = load_gallery()
size = sum(weights.numel() for weights in service.model.parameters()) / 1e6
print(service.name, f"{size:.1f} M", say(zh="个参数", en="parameters"))

# %% [markdown] lang="zh"
# ## 1 两座塔，一个空间
#
# 图像塔把每张图片变成一个向量，文本塔把每句话变成一个*同样长*的向量，再都缩放到长度 1（L2 归一化）。长度为 1 的两个向量做点积，得到的就是夹角的余弦，也就是**余弦相似度**：1 是方向相同，0 是互相垂直，-1 是方向相反。

# %% [markdown] lang="en"
# ## 1 Two towers, one space
#
# The image tower turns every picture into a vector, the text tower every sentence into a vector *of the same
# size*, and both are scaled to length 1 (L2 normalisation). The dot product of two vectors of length 1 is the
# cosine of the angle between them, their **cosine similarity**: 1 is the same direction, 0 a right angle, -1 the
# opposite direction.

# %%
four = ("cat", "dog", "car", "airplane")
chosen = [next(e for e in gallery if e.part == "single" and e.kind == kind) for kind in four]
images = [e.image for e in chosen]
short = Plan(place=False, size=False, relation=False, background=False, time=False)  # a caption of kind and colour
texts = [caption(e.scene, LANG, plan=short) for e in chosen]

image_features = service.encode_image(images)
text_features = service.encode_text(texts)
print(image_features.shape, text_features.shape, np.linalg.norm(text_features, axis=1).round(3))
title = say(zh="余弦相似度", en="cosine similarity") + f" · {service.name}"
plots.similarity(image_features @ text_features.T, texts, images, title=title)

# %% [markdown] lang="zh"
# **看什么**：每一行是一张图片，每一列是一句话。对角线上是配对的图文，颜色最深。同一行里其余的格子不必是 0，只要比对角线浅：CLIP 只关心*谁更近*。数值本身没有通用的刻度：OpenAI 的 CLIP，配对的图文也只有 0.3 左右，不配的还有 0.2 上下，却照样分得清；别因为数小，就以为它坏了。
#
# > **陷阱：`features.norm()` 在新版 transformers 上报错。** 原章节写的是 `features = model.get_text_features(...)`，然后除以 `features.norm(...)`。transformers 5 起，这个函数返回的不再是张量。

# %% [markdown] lang="en"
# **What to notice**: each row is a picture, each column a sentence. The pairs that belong together stand on the
# diagonal, which is the darkest. The other cells of a row need not be 0, only paler than the diagonal: CLIP cares
# about *who is closer*, and nothing else. The numbers have no scale that all models share: in OpenAI's CLIP even pairs lie
# around 0.3 only, and what does not match still has about 0.2, yet it tells them apart. A small number is no sign of a fault.
#
# > **Pitfall: `features.norm()` fails on a new transformers.** The chapter takes
# > `features = model.get_text_features(...)` and divides by `features.norm(...)`. From transformers 5 on, that function no
# > longer returns a tensor.

# %%
inputs = service.tokenizer(texts, padding=True, return_tensors="pt")
with torch.no_grad():
    raw = service.model.get_text_features(**inputs)
print(type(raw).__name__)
try:
    raw / raw.norm(dim=-1, keepdim=True)
except AttributeError as problem:
    print("AttributeError:", problem)

vectors = getattr(raw, "pooler_output", raw)  # the cure: right on transformers 4 and 5
vectors = vectors / vectors.norm(dim=-1, keepdim=True)
print(np.allclose(vectors.numpy(), text_features, atol=1e-5))

# %% [markdown] lang="zh"
# ## 2 对比损失：十行
#
# 对角线是怎样凸显出来的？训练时拿来一批 $n$ 对图文，算出 $n \times n$ 的相似度矩阵。没有人标注过类别，但有一件事是知道的：**第 i 张图配第 i 句话**，同一批里其余的都当作不配（偶尔会冤枉：同一批里若有两只红猫，彼此的说明其实都对，这叫**假负样本**，false negative）。于是这成了两道选择题：
#
# - 每张图片在 $n$ 句话里选一句（沿着行）；
# - 每句话在 $n$ 张图片里选一张（沿着列）。
#
# 两边各算一次交叉熵（正确选项的概率取对数，再变号；越有把握地答对，越接近 0），取平均，就是 Radford 等人 2021 年论文图 3 里的损失。真正送进去的是 **logits**：余弦乘上一个放大倍数（第 7 节），所以下面的数可以大于 1。

# %% [markdown] lang="en"
# ## 2 The contrastive loss: ten lines
#
# How does the diagonal come to stand out? Training takes a batch of $n$ pictures with their captions and computes the
# $n \times n$ similarities. Nobody labelled any classes, but one thing is known: **picture i belongs to text i**, and
# the others in the batch count as wrong (now and then unjustly: with two red cats in a batch each one's caption is true of
# the other, a **false negative**). That makes two multiple-choice tests:
#
# - each picture chooses among the $n$ texts (along the rows);
# - each text chooses among the $n$ pictures (along the columns).
#
# A cross-entropy for each (minus the logarithm of the probability given to the right choice: near 0 if surely right), averaged: that
# is the loss of figure 3 in Radford et al. 2021. What goes in are **logits**: cosines times a factor (section 7), so the numbers
# below may exceed 1.

# %%
def clip_loss(logits):
    """logits (n, n): picture i against text j."""
    right = torch.arange(len(logits))  # picture i belongs to text i
    rows = logits.log_softmax(dim=1)  # each picture chooses among the texts
    columns = logits.log_softmax(dim=0)  # each text chooses among the pictures
    picture_to_text = -rows[right, right].mean()
    text_to_picture = -columns[right, right].mean()
    return (picture_to_text + text_to_picture) / 2


# %% [markdown] lang="zh"
# 拿 4×4 的玩具矩阵来读懂它。格子里是“这张图片选这句话”的概率（沿行做 softmax），标题里是损失。

# %% [markdown] lang="en"
# Toy matrices of 4 x 4 to read it by. A cell is the probability that this picture chooses that text (softmax along
# the row), the title gives the loss.

# %%
pairs = torch.kron(torch.eye(2), torch.ones(2, 2))  # two look-alikes, twice
toys = {
    say(zh="一无所知", en="knows nothing"): torch.zeros(4, 4),
    say(zh="分得出两组", en="tells two groups apart"): 6 * pairs,
    say(zh="全对", en="all right"): 6 * torch.eye(4),
    say(zh="自信地全错", en="confidently wrong"): 6 * torch.eye(4).flip(0),
}
figure, axes = plots.figure(8.4, 2.4, 1, 4)
for axis, (name, logits) in zip(axes[0], toys.items()):
    axis.imshow(logits.softmax(dim=1), cmap="YlGnBu", vmin=0, vmax=1)
    axis.set(title=f"{name}\n{clip_loss(logits):.2f}", xticks=[], yticks=[])
print(f"log 4 = {np.log(4):.2f}, log 2 = {np.log(2):.2f}")
figure

# %% [markdown] lang="zh"
# **看什么**：什么都不知道时，损失恰好是 $\log n$，相当于在 $n$ 个里瞎猜；能分成两组、组内分不清，约为 $\log 2$；全对趋近 0；自信地答错比不知道还糟。**记住 $\log n$**：训练 CLIP 时，损失停在它附近就是什么也没学到。
#
# **为什么要两半？** 先想一想，再运行下一格。假设第 0 张图片“嗓门太大”，跟每句话的相似度都偏高：

# %% [markdown] lang="en"
# **What to notice**: who knows nothing has a loss of exactly $\log n$, guessing among $n$; who tells two groups apart but
# not within a group, about $\log 2$; all right goes to 0; and confidently wrong is worse than ignorant. **Remember $\log n$**:
# a CLIP in training whose loss stays there has learnt nothing.
#
# **Why two halves?** Think first, then run the next cell. Suppose picture 0 is too loud: close to *every* text.

# %%
loud = 6 * torch.eye(4)
loud[0] += 8
right = torch.arange(4)
halves = [torch.nn.functional.cross_entropy(matrix, right).item() for matrix in (loud, loud.T)]
print(say(zh="图片选文字", en="pictures choose texts"), f"{halves[0]:.2f}")
print(say(zh="文字选图片", en="texts choose pictures"), f"{halves[1]:.2f}")
print(loud.argmax(dim=1).tolist(), loud.argmax(dim=0).tolist())

# %% [markdown] lang="zh"
# 沿着行看，四张图片都选对了，损失几乎是 0。可是沿着列看，四句话全都选了第 0 张图片：用文字搜图，搜出来的永远是它。给一整行加一个常数，行方向的 softmax 毫无察觉，只有另一半损失看得见。（库里的 `cross_entropy` 做的就是你那两行。）

# %% [markdown] lang="en"
# Along the rows all four pictures choose rightly, and the loss is almost 0. Along the columns all four texts choose
# picture 0: a search by text would always return that one. A constant added to a whole row is invisible to a softmax
# along the row, and only the other half of the loss sees it. (`cross_entropy` is your two lines, from the library.)

# %% [markdown] lang="zh"
# ## 3 现场训练一个 CLIP
#
# 现在来真的。为了两分钟内学完，把世界缩小：六种东西、六种颜色，每张图片只画一个，画得很大；每一批里，每种组合恰好出现一次，所以没有假负样本。注意这一批里**没有**几种组合（例如紫色的猫）：它们被刻意留在训练之外；第 8 节拿这样的组合去考 mini-clip。

# %% [markdown] lang="en"
# ## 3 Train a CLIP, live
#
# Now for real. To be done in two minutes, the world is made smaller: six kinds of things, six colours, one thing in a
# picture, drawn large, and in every batch each combination exactly once, so there are no false negatives. Some
# combinations (a purple cat, say) are missing on purpose: they are kept out of training; section 8 tests mini-clip on
# such pairs.

# %%
from little_world.training import live
from little_world.training.data import TEST, scene_rng

train = live.Closeups(variants=100)  # 100 different pictures of each combination
captions = live.captions(LANG)
print(train.pixels.shape, captions[:3])
names = [words.group_phrase(kind, color, 1, LANG) for kind, color in live.PAIRS]
plots.gallery(list(train.pixels[0, ::6]), names[::6], columns=6, size=1.15)

# %% [markdown] lang="zh"
# 模型就是 transformers 的 `CLIPModel`，只是小，权重是随机的。先核对一件事：你的十行，和库里的损失，是不是同一个数？

# %% [markdown] lang="en"
# The model is the `CLIPModel` of transformers, only small, its weights random. First a check: are your ten lines and the
# library's loss the same number?

# %%
from transformers import AutoTokenizer

from course_lib.settings import locate

tokenizer = AutoTokenizer.from_pretrained(locate("mini-clip"))
tiny = live.tiny_clip(tokenizer)
text_inputs = tokenizer(captions, padding=True, return_tensors="pt")
with torch.no_grad():
    out = tiny(pixel_values=train.batch(0), **text_inputs, return_loss=True)
assert torch.isclose(clip_loss(out.logits_per_image), out.loss, atol=1e-5)
print(f"{clip_loss(out.logits_per_image):.4f} = {out.loss:.4f};  log {len(captions)} = {np.log(len(captions)):.4f}")
print(f"tiny: {tiny.num_parameters() / 1e6:.2f} M", say(zh="个参数", en="parameters"))

# %% [markdown] lang="zh"
# 一样，而且都在 $\log n$ 附近：随机的模型在瞎猜。开始训练。循环里没有任何隐藏的魔法：算两座塔，算*你的*损失，走一步。图会每隔几秒更新一次，上面一排是不同时刻的相似度矩阵（图片按种类排列，同一种类里再按颜色），下面是损失。
#
# 想少等一会儿，就把环境变量 `COURSE_LIVE_SECONDS` 设小一些：学习率会跟着缩短的时间走完全程，只是学得没那么好。

# %% [markdown] lang="en"
# The same, and both near $\log n$: random weights guess. Now train. There is no hidden magic in the loop: run the two
# towers, compute *your* loss, take a step. The figure is redrawn every few seconds: above, similarity matrices at a few
# moments (pictures sorted by kind, and by colour within a kind), below, the loss.
#
# In a hurry? Set the environment variable `COURSE_LIVE_SECONDS` lower: the learning rate then goes through its whole
# course in less time, and the model learns less.

# %% tags=["nbval-ignore-output"]
from course_lib.monitor import TrainingMonitor
from little_world.training.loop import autocast

optimizer = torch.optim.AdamW(tiny.parameters(), betas=live.RECIPE.betas, weight_decay=live.RECIPE.weight_decay)
watch = TrainingMonitor()
for step, over in live.paced(optimizer):
    with autocast("cpu"):  # bfloat16 where it is safe: faster
        out = tiny(pixel_values=train.batch(step), **text_inputs)
    loss = clip_loss(out.logits_per_image.float())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    watch(over, loss, out.image_embeds @ out.text_embeds.T)
watch.finish()

# %% [markdown] lang="zh"
# **看什么**：
#
# - 最左边一片均匀：随机模型觉得什么都差不多。
# - 然后先出现几条*平行的斜线*：同一种颜色、不同种类的格子变深了。颜色一眼就能看出来，模型先学会的是颜色。
# - 再往后，斜线逐渐消退，主对角线独自凸显出来：种类也分开了。
# - 虚线是瞎猜的损失 $\log n$，曲线正是从那里出发的。
#
# 没有谁告诉过它什么叫“猫”、什么叫“红”。它只被反复问：这一批里，哪句话配哪张图？

# %% [markdown] lang="en"
# **What to notice**:
#
# - On the far left all is even: to random weights everything looks alike.
# - Then *parallel diagonals* appear first: cells of the same colour but another kind turn dark. Colour is easy to see,
#   and it is what the model learns first.
# - Later the side diagonals fade and the main one stands out: now it tells kinds apart too.
# - The dashed line is the loss of guessing, $\log n$, and that is where the curve begins.
#
# Nobody told it what "cat" or "red" means. It was only asked, again and again: in this batch, which text belongs to
# which picture?

# %% [markdown] lang="zh"
# ### 它学得怎么样？
#
# 损失低不等于学得好，要拿没见过的图片来考。你的模型是标准的 `CLIPModel`，存成文件夹，`CLIPService` 就能直接用：换模型只是换一个参数。考题有三份，让它和 mini-clip 一起答。mini-clip 用的是同样的损失（同批里碰巧也说得通的说明，不算负样本），只是见过的东西、位置和数量多得多，训练的时间也长得多：

# %% [markdown] lang="en"
# ### How good is it?
#
# A low loss is not yet a good model: it has to be tested on pictures it never saw. Yours is a standard `CLIPModel`:
# saved to a folder, `CLIPService` takes it, and another model is just another argument. Three tests, taken together
# with mini-clip: trained with the same loss (captions of the batch that happen to be true as well do not count as
# wrong), on many more things, places and numbers, and for much longer:

# %% tags=["nbval-ignore-output"]
from pathlib import Path
from tempfile import TemporaryDirectory

from transformers import CLIPProcessor

with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
    tiny.eval().save_pretrained(folder)
    CLIPProcessor(image_processor=live.tiny_processor(), tokenizer=tokenizer).save_pretrained(folder)
    yours = CLIPService(folder)

result = yours.zero_shot_classify(draw(live.closeup(("cat", "red"), 0, TEST)), captions)
print(result.label, f"{result[result.label]:.0%}")

# %% tags=["nbval-ignore-output"]
from little_world.scenes import single


def accuracy(model, pictures, texts, truth):
    """Share of pictures whose own text is the nearest."""
    return float((model.similarity(pictures, texts).argmax(axis=1) == truth).mean())


# %% tags=["nbval-ignore-output"]
truth = np.tile(np.arange(len(live.PAIRS)), 4)
closeups = [draw(live.closeup(pair, i, TEST)) for i in range(4) for pair in live.PAIRS]
wanted = [live.PAIRS[t] for t in truth]
anywhere = [draw(single(scene_rng(TEST, i), kind=k, color=c)) for i, (k, c) in enumerate(wanted)]
other_language = live.captions({"zh": "en", "en": "zh"}[LANG])
tests = {
    say(zh="新的特写", en="new close-ups"): (closeups, captions),
    say(zh="东西相同，大小和位置不限", en="any size and place"): (anywhere, captions),
    say(zh="新的特写，用英文问", en="close-ups, in Chinese"): (closeups, other_language),
}

# %% tags=["nbval-ignore-output"]
import json

card = json.loads(Path(locate("mini-clip"), "metrics.json").read_text(encoding="utf-8"))
seen = sum(stage["steps"] * stage["batch_size"] for stage in card["stages"])
print(say(zh="训练时看过的图文对", en="pairs seen in training"), f"tiny: {(step + 1) * len(captions):,}, mini-clip: {seen:,}")
shares, luck = {}, say(zh="（瞎猜 {:.0%}）", en=" (guessing: {:.0%})").format(1 / len(captions))
for name, model in {"tiny": yours, "mini-clip": CLIPService("mini-clip")}.items():
    shares[name] = {test: accuracy(model, *asked, truth) for test, asked in tests.items()}
plots.bars(shares, title=say(zh=f"{len(captions)} 选 1 的正确率{luck}", en=f"right among {len(captions)} captions{luck}"))

# %% [markdown] lang="zh"
# **看什么**：两分钟，你的模型在它学过的那种图片上已经相当准了。但它只认识这一种图片：东西变小、挪个位置，成绩就一落千丈；用另一种语言问，它从没学过，就几乎全错了（瞎猜能对多少，写在标题里）。再看 mini-clip：它见过各种位置，却没见过这么大的特写。数据里没有的，模型里也没有，**这对完整模型同样成立**。
#
# 再和原版比一比：OpenAI 的 CLIP 用了 4 亿对图文，从头到尾看了 32 遍，每批 32,768 对（Radford 等人 2021）。批越大，每张图就要从越多的句子里认出自己的那一句，题更难，学到的差别也更细；这里每批只有几十对。
#
# > **陷阱：英文 CLIP 配中文标签。** 原章节用的是 OpenAI 的 `clip-vit-base-patch32`，模型卡写明只适用于英文，却拿“猫、狗、汽车”去问它。它不会报错：字节级 BPE（第 01 课见过的切法：常见的字串合成一个 token，没收录的退回 UTF-8 字节）能编码任何文字，只是编出来的是几乎没学过的碎片。现场看看：用本课图片的*英文*说明学一个词表。

# %% [markdown] lang="en"
# **What to notice**: after two minutes your model is quite good at the sort of picture it was trained on. But that is
# all it knows: with smaller things in other places it collapses, and asked in a language it never read, it is all but
# lost (the title says what guessing would get). And mini-clip: it has seen things in all places, but never as large as in
# these close-ups. What is
# not in the data is not in the model, **and that holds for full-size models too**.
#
# Compare the original: OpenAI's CLIP had 400 million pairs and went through them 32 times, in batches of 32,768 (Radford et
# al. 2021). The larger the batch, the more texts each picture has to choose among: a harder test, which teaches finer
# differences. Here a batch had a few dozen.
#
# > **Pitfall: an English CLIP with Chinese labels.** The chapter takes OpenAI's `clip-vit-base-patch32`, whose card
# > limits it to English, and asks it for 猫, 狗, 汽车 (cat, dog, car). It raises no error: a byte-level BPE (lesson 01's way
# > of cutting: what is frequent is one token, the rest falls back to UTF-8 bytes) can encode any script, only in scraps it has
# > learnt next to nothing about. See it happen: learn a vocabulary from our *English* captions.

# %%
from little_world.training.tokenizer import train_tokenizer

with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
    english = train_tokenizer((e.captions["en"] for e in gallery), Path(folder))
for word in ("cat", "猫", "飞机"):
    print(word, list(word.encode()))
    print("   ", say(zh="英文词表", en="English vocabulary"), english.tokenize(word))
    print("    mini-clip", tokenizer.tokenize(word))

# %% [markdown] lang="zh"
# 英文词表没见过汉字，“猫”只好拆成 UTF-8 的三个字节（那些怪字符是字节的替身），“飞机”拆成六个。拆成字节本身不要紧：mini-clip 的词表里，“猫”也是三个字节，可它在训练里读过无数遍。要紧的是*没读过*：在 tiny 里，另一种语言的 token，向量差不多还是当初的随机数，softmax 却照样给出一个“最高概率”。上图里，用另一种语言考 tiny 的那根柱子就是这样来的。
#
# **对策**：中文标签用中文或多语言的 CLIP（第 10 节），或者先把标签译成英文。

# %% [markdown] lang="en"
# The English vocabulary has never seen a Chinese character: 猫 falls into the three bytes of its UTF-8 code (the odd
# characters stand for bytes), 飞机 into six. Bytes alone do no harm: in mini-clip's vocabulary 猫 is three bytes as well,
# but in training it read them countless times. What harms is *never having read them*: in tiny the vectors of the other
# language's tokens are still nearly the random numbers they began as, and a softmax reports a "highest probability" all
# the same. The bar of tiny asked in the other language came about in just this way.
#
# **Cure**: for Chinese labels a Chinese or multilingual CLIP (section 10), or translate the labels first.

# %% [markdown] lang="zh"
# ## 4 零样本分类：猫 狗 汽车 飞机 风景
#
# 从这里起主角是 mini-clip。把候选标签当作五句话，看图片离哪一句最近，就是分类器。没有为这五类准备过带标签的图片，也没有训练过分类器；想换类别，改列表就行。
#
# **“零”样本，指的是一个带标签的例子也没有，不是从没听说过**：“猫”“风景”这些词，mini-clip 在训练的说明里读过许多遍。真正没见过的，第 8 节再考。

# %% [markdown] lang="en"
# ## 4 Zero-shot classification: cat, dog, car, airplane, landscape
#
# From here on mini-clip has the stage. Take the labels as five texts, see which one a picture is closest to: that is a
# classifier. No pictures were labelled with these five classes and no classifier was trained; to have other classes, you
# edit the list.
#
# **"Zero-shot" means not one labelled example; it does not mean never heard of**: mini-clip has read "cat" and "landscape"
# many times in the captions of its training. What it really never saw is tested in section 8.

# %%
LABELS = {"zh": ["猫", "狗", "汽车", "飞机", "风景"], "en": ["cat", "dog", "car", "airplane", "landscape"]}
examples = [*chosen, next(e for e in gallery if e.part == "landscape")]
results = service.zero_shot_classify([e.image for e in examples], LABELS[LANG])
probabilities = np.array([list(result.values()) for result in results])
title = say(zh="概率", en="probability") + f" · {service.name}"
plots.similarity(probabilities, LABELS[LANG], [e.image for e in examples], limits=(0, 1), title=title)

# %% [markdown] lang="zh"
# 五张图片说明不了什么。再画 200 张没见过的（每类 40 张），两种语言各考一遍：

# %% [markdown] lang="en"
# Five pictures prove nothing. So draw 200 that it never saw, 40 of each class, and test it in both languages:

# %%
from little_world.scenes import landscape

kinds = ["cat", "dog", "car", "airplane", None]
rngs = [scene_rng(TEST, i) for i in range(200)]
drawn = [draw(single(rng, kind=k) if k else landscape(rng)) for rng, k in zip(rngs, kinds * 40)]
truth = np.tile(np.arange(5), 40)
for lang, labels in LABELS.items():
    print(f"{service.name}  {lang}  {accuracy(service, drawn, labels, truth):.0%}", labels)

# %% [markdown] lang="zh"
# > **陷阱：`.squeeze()` 和字典。** 下面是原章节的做法（按原意重写）。它在上面的例子里没有问题，换个输入就不行了：

# %% [markdown] lang="en"
# > **Pitfall: `.squeeze()` and a dictionary.** Here is what the chapter does, in other words. It works on the examples
# > above. Change the input:

# %%
def naive_classify(image, labels):
    similarity = (service.encode_image(image) @ service.encode_text(labels).T).squeeze()
    probability = torch.softmax(torch.tensor(similarity) * 100, dim=-1).numpy()
    return {label: float(p) for label, p in zip(labels, probability)}


cat, word = images[0], LABELS[LANG]
try:
    naive_classify(cat, word[:1])  # one label: squeeze() leaves a number without a dimension
except TypeError as problem:
    print("TypeError:", problem)
twice = naive_classify(cat, [word[0], word[1], word[0]])
print({label: round(p, 3) for label, p in twice.items()}, say(zh="总和", en="sum"), round(sum(twice.values()), 3))

# %% [markdown] lang="zh"
# 只有一个标签，`squeeze()` 把 `(1, 1)` 压成 0 维，`zip` 直接崩溃；即使不崩，对一个数做 softmax 永远是 100%。标签重复，字典悄悄丢掉一个，概率加起来不到 1，第一名的得分被平分了。`CLIPService` 从不去掉文字那一维（只给一张图时，去掉的是图片那一维）；重复的标签，它直接拒绝，并用一句话告诉你：

# %% [markdown] lang="en"
# With one label `squeeze()` turns `(1, 1)` into zero dimensions, and `zip` crashes; even if it did not, the softmax of a
# single number is always 100 %. With a label twice the dictionary quietly loses one: the probabilities no longer add up
# to 1, the winner's share was split. `CLIPService` never drops the axis of the texts (for a single picture it drops that of
# the pictures), refuses a repeated label, and says so in one sentence:

# %%
from course_lib import CourseError

alone = service.zero_shot_classify(cat, word[:1])
print({label: round(cosine, 2) for label, cosine in alone.similarities.items()})  # with one label, look at the cosine
try:
    service.zero_shot_classify(cat, [word[0], word[1], word[0]])
except CourseError as problem:
    print(problem)

# %% [markdown] lang="zh"
# ## 5 提示模板：量一量再说
#
# 人人都说：不要拿光秃秃的标签去问，套一句“一张……的照片”会更准；几个模板取平均更好。道理是训练时的文字都是句子，不是单词。*道理*要靠*测量*。24 种东西各画 20 张，每个模板考一遍，两种语言都考：

# %% [markdown] lang="en"
# ## 5 Prompt templates: measure, then talk
#
# Everybody says: do not ask with a bare label, put it into "a photo of a ...", and better still, average several
# templates. The argument is that training texts were sentences, not words. An *argument* wants a *measurement*: 20
# pictures of each of the 24 kinds, every template, both languages.

# %%
TEMPLATES = {
    "zh": ["{}", "图中有{}", "一张画着{}的图片", "一张{}的照片", "画面里有{}", "股票行情：{}"],
    "en": ["{}", "a {}", "a picture of a {}", "a photo of a {}", "there is a {}", "stock market report: {}"],
}
many = [single(scene_rng(TEST, 1000 + i), kind=kind) for i, kind in enumerate(KINDS * 20)]
many_features = service.encode_image([draw(scene) for scene in many])
many_kinds = np.tile(np.arange(len(KINDS)), 20)


def label_features(template, lang):
    """One vector for each kind; of several templates, the mean (the ensemble of the CLIP paper)."""
    templates = [template] if isinstance(template, str) else template
    vectors = sum(service.encode_text([t.format(words.kind_name(kind, lang)) for kind in KINDS]) for t in templates)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


# %%
rows = []
for lang, templates in TEMPLATES.items():
    for template in [*templates, templates[:5]]:
        logits = service.logit_scale * many_features @ label_features(template, lang).T
        sure = torch.tensor(logits).softmax(dim=1).numpy()[np.arange(len(many_kinds)), many_kinds].mean()
        name = say(zh="前五个取平均", en="mean of the first five") if isinstance(template, list) else template
        rows.append(f"| {lang} | {name} | {(logits.argmax(axis=1) == many_kinds).mean():.1%} | {sure:.0%} |")
head = say(zh="| 语言 | 模板 | 正确率 | 正确答案的平均概率 |", en="| language | template | accuracy | mean probability of the truth |")
display(Markdown("\n".join([f"{service.name}\n", head, "|---|---|--:|--:|", *rows])))

# %% [markdown] lang="zh"
# **看什么**：光秃秃的标签已经几乎全对，套进句子，量不出什么好处（480 张图，0.2 个百分点就是一张）：这道题对 mini-clip 太容易了。量得出的只有坏处：不相干的“股票行情”掉了几个百分点，把握也小了；中文的“一张……的照片”也掉了一点，因为训练用的中文说明里从来没有“照片”二字，英文说明里却有 photo。
#
# 模板有多大好处，取决于训练时读过什么句子，也取决于这道题还剩多少余地，所以没有放之四海皆准的模板：**换一个模型、换一批图，就重新量一次**。（练习 1 用模糊的缩略图再量，那里模板就有用了；CLIP 论文在 ImageNet 上量到，“A photo of a {label}.”比光标签高 1.3 个百分点。）`CLIPService` 直接接受模板，一个或多个都行：

# %% [markdown] lang="en"
# **What to notice**: bare labels are nearly always right already, and a sentence has nothing left to gain (of 480 pictures,
# 0.2 points are a single one): the test is too easy for mini-clip. What can be measured is harm: the stock market, which has
# nothing to do with anything, costs a few points and some confidence, and a little is lost by the Chinese 一张{}的照片 ("a photo
# of"), because no Chinese caption of the training had the word 照片, while English ones did have "photo".
#
# What a template is worth depends on the sentences a model has read and on how much room the task leaves, so there is
# none that is best everywhere: **another model or other pictures, another measurement**. (Exercise 1 measures again on
# blurred thumbnails, and there templates help; the CLIP paper gained 1.3 points on ImageNet by "A photo of a {label}.")
# `CLIPService` takes a template, or several:

# %%
for template in ("{}", TEMPLATES[LANG][1], TEMPLATES[LANG][1:4]):
    result = service.zero_shot_classify(cat, LABELS[LANG], template=template)
    print(template, "→", result.label, f"{result[result.label]:.0%}")

# %% [markdown] lang="zh"
# > **陷阱：太长的文字。** CLIP 的文本塔只有固定数量的位置（OpenAI 的是 77 个 token；Chinese-CLIP 有 512 个，换成它，下面这句就不算长，什么也不会发生）。原章节不截断，说明一长就崩溃：

# %% [markdown] lang="en"
# > **Pitfall: a text that is too long.** The text tower has a fixed number of positions (77 tokens in OpenAI's; 512 in
# > Chinese-CLIP, to which the text below is not long, so that nothing happens). The chapter does not truncate, so a long
# > description crashes:

# %%
import warnings

long_text = caption(chosen[0].scene, LANG, plan=FULL) + "，" + texts[1] * 12
try:
    service.model.get_text_features(**service.tokenizer(long_text, return_tensors="pt"))
except (ValueError, IndexError, RuntimeError) as problem:
    print(type(problem).__name__ + ":", str(problem)[:110])
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    print(service.encode_text(long_text).shape, *(w.message for w in caught))  # cut, but not in silence

# %% [markdown] lang="zh"
# ## 6 检索：一次矩阵乘法
#
# 分类是“一张图片，在几句话里选”。反过来，“一句话，在许多图片里选”，就是以文搜图。图片的向量只需算一次，存起来；来一句话，算一个向量，做一次矩阵乘法，排个序。

# %% [markdown] lang="en"
# ## 6 Retrieval: one matrix product
#
# Classification is one picture choosing among a few texts. The other way round, one text choosing among many pictures,
# is text-to-image search. The pictures' vectors are computed once and kept. For a query: one vector, one matrix
# product, sort.

# %%
gallery_features = service.encode_image([e.path for e in gallery])
query = {"zh": "夜晚的海滩上有一辆汽车", "en": "a car on the beach at night"}[LANG]
scores = gallery_features @ service.encode_text(query)[0]
best = scores.argsort()[::-1][:6]
print(service.name, len(gallery), query)
plots.gallery([gallery[i].image for i in best], [f"{scores[i]:.2f}" for i in best], columns=6, size=1.2)

# %% [markdown] lang="zh"
# 图库里未必有完全符合的图片，靠前的会各占一部分：对的地点、对的时间、对的东西。改一改 `query` 试试。
#
# 测量用 R@1：200 张意思各不相同的新图片，各配一句完整的说明，第一名就是它自己的比例。两个方向分开算：

# %% [markdown] lang="en"
# The gallery need not hold a picture that fits in full; those on top each have a part of it: the place, the hour, the
# thing. Change `query` and try.
#
# The measure is R@1: 200 new pictures that differ in meaning, each with its full caption; how often is the first hit
# the right one? Each direction by itself:

# %%
from little_world import distinct_scenes

scenes = distinct_scenes(scene_rng(TEST, 5000), 200)
scene_features = service.encode_image([draw(scene) for scene in scenes])
right = np.arange(len(scenes))
for lang in ("zh", "en"):
    cosines = scene_features @ service.encode_text([caption(scene, lang, plan=FULL) for scene in scenes]).T
    found = (cosines.argmax(axis=0) == right).mean(), (cosines.argmax(axis=1) == right).mean()
    told = say(zh="文搜图 R@1 {:.0%}，图搜文 R@1 {:.0%}", en="text to image R@1 {:.0%}, image to text R@1 {:.0%}")
    print(service.name, lang, told.format(*found))

# %% [markdown] lang="zh"
# ### 两座塔之间的间隙
#
# 配对的图文真的*住在一起*吗？损失只要求配对的比不配对的*更近*，不要求重合。把三个模型的向量投影到平面上看看（PCA，主成分分析：取数据散得最开的两个方向）：没训练的 tiny、训练过的 tiny、mini-clip。标题里的数是两团向量重心的距离：

# %% [markdown] lang="en"
# ### The gap between the towers
#
# Do pictures and their texts really *live together*? The loss wants pairs to be *closer* than non-pairs; it does not ask
# them to coincide. Look at the vectors of three models, projected onto a plane (PCA, principal components: the two
# directions along which the data spread most): tiny untrained, tiny trained, and mini-clip. The number in a title is the
# distance between the centres of the two clouds:

# %% tags=["nbval-ignore-output"]
def both_towers(model):
    with torch.no_grad():
        out = model(pixel_values=train.batch(0), **text_inputs)
    return out.image_embeds.numpy(), out.text_embeds.numpy()


scene_texts = service.encode_text([caption(scene, LANG, plan=FULL) for scene in scenes])
spaces = {
    say(zh="tiny，没训练", en="tiny, untrained"): both_towers(live.tiny_clip(tokenizer).eval()),
    say(zh="tiny，训练后", en="tiny, trained"): both_towers(tiny),
    service.name: (scene_features, scene_texts),
}

# %% tags=["nbval-ignore-output"]
figure, axes = plots.figure(8.2, 2.6, 1, 3)
for axis, (name, (pictures, sentences)) in zip(axes[0], spaces.items()):
    gap = np.linalg.norm(pictures.mean(axis=0) - sentences.mean(axis=0))
    both = np.concatenate([pictures, sentences])
    centred = both - both.mean(axis=0)
    x, y = (centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T).T
    n = len(pictures)
    axis.scatter(x[:n], y[:n], s=8, label=say(zh="图片", en="pictures"))
    axis.scatter(x[n:], y[n:], s=8, label=say(zh="文字", en="texts"))
    axis.set(title=f"{name}: {gap:.2f}", xticks=[], yticks=[])
axes[0, 0].legend(fontsize=9)
figure

# %% [markdown] lang="zh"
# 没训练时，两座塔各自把所有输入都映到一个窄窄的方向上，两团点隔着一大片空地：这叫**模态间隙**（modality gap，Liang 等人 2022）。训练会拉近它们。拉近多少，不只看训练的长短（mini-clip 读过的图文比 tiny 多得多，间隙却更大），也看温度，还看拿什么图、什么句子来量：tiny 用的是它训练过的几十对，mini-clip 用的是 200 对新的，右边两个数只宜粗略地比。据 Liang 等人那篇论文，OpenAI 的 CLIP 训练完，间隙依然很大。（投影只有两维，两团点看起来混在一起，间隙也可能藏在别的维度里，所以要看标题里的数。）即使没有间隙，*配对*的图文也并不重合。同一个意思重画一遍，再比一比：

# %% [markdown] lang="en"
# Untrained, each tower maps everything into one narrow direction of its own, with empty ground between the two clouds:
# the **modality gap** (Liang et al. 2022). Training pulls them together. How far is not a matter of its length alone
# (mini-clip read many more pairs than tiny, and its gap is wider) but of the temperature, and of which pictures and
# sentences are measured: for tiny a few dozen pairs it was trained on, for mini-clip 200 new ones, so compare the last
# two numbers with caution. OpenAI's CLIP, that paper finds, still has a wide gap when its training ends. (A plane shows
# two dimensions: clouds that seem to mix may be apart in the others, so trust the number.) And even without a gap, a
# picture and *its own* text do not coincide. Draw the same meaning once more, and compare:

# %%
from dataclasses import replace

again = [replace(s, seed=s.seed + 1, things=tuple(replace(t, pose=t.pose + 1) for t in s.things)) for s in scenes]
again_features = service.encode_image([draw(scene) for scene in again])
matched = {
    say(zh="两张意思相同的图片", en="two pictures of the same meaning"): scene_features * again_features,
    say(zh="一张图片和它自己的说明", en="a picture and its own caption"): scene_features * scene_texts,
}
for name, products in matched.items():
    print(f"{name}: {products.sum(axis=1).mean():.2f}")

# %% [markdown] lang="zh"
# 实用的结论：图文之间的余弦和图图之间的余弦**不能共用一个阈值**，也不要放进同一张榜单里排名。

# %% [markdown] lang="en"
# The practical conclusion: a cosine between a picture and a text and one between two pictures **do not share a
# threshold**, and do not belong in one ranking.

# %% [markdown] lang="zh"
# ## 7 温度：话说得有多满
#
# 余弦在 -1 到 1 之间，差距往往只有零点几，直接做 softmax，各项的概率几乎一样大。所以 CLIP 先乘上一个学出来的数 `logit_scale`（温度的倒数），再做 softmax。原章节把它写死成 100：那是 OpenAI 的模型训练到最后的上限。沿用它做法的模型（例如 Chinese-CLIP）也停在 100，别的模型就未必，mini-clip 就没有停在那里。
#
# 容易的题看不出温度的作用，所以先出一道难的：从所有“颜色 + 种类”的组合里选一个。图片里一半的组合在训练里出现过，另一半是留出的组合（`HELD_OUT`），从未出现。

# %% [markdown] lang="en"
# ## 7 The temperature: how bold the scores are
#
# Cosines lie between -1 and 1 and often differ by a few tenths; a softmax of them is nearly flat. So CLIP multiplies
# them by a number it has learnt, `logit_scale` (one over the temperature). The chapter writes 100 into the code: that is
# where OpenAI's models ended up, at the ceiling of their training. Models that follow their recipe (Chinese-CLIP, say) stop
# there as well; others need not, and mini-clip did not.
#
# On an easy question a temperature hardly shows, so here is a hard one: choose among all colours-and-kinds. Half of the
# pictures have a pair that occurred in training, half a held-out pair (`HELD_OUT`), which never did.

# %%
from little_world.scenes import COLORED, COLORS, HELD_OUT, allowed_pairs

PAIRS = [(kind, color) for kind in COLORED for color in COLORS]
asked = [pair for pair in allowed_pairs() if pair in PAIRS][::2] * 4 + sorted(HELD_OUT) * 20
new = np.array([pair in HELD_OUT for pair in asked])
truth = np.array([PAIRS.index(pair) for pair in asked])
rngs = [scene_rng(TEST, 9000 + i) for i in range(len(asked))]
drawn = [draw(single(rng, kind=k, color=c, pairs=[(k, c)])) for rng, (k, c) in zip(rngs, asked)]
features = service.encode_image(drawn)

# %%
phrase = {"zh": "图中有{}", "en": "a picture of {}"}[LANG]
phrases = [phrase.format(words.group_phrase(kind, color, 1, LANG)) for kind, color in PAIRS]
cosines = torch.tensor(features @ service.encode_text(phrases).T)
guess = cosines.argmax(dim=1).numpy()
print(service.name, tuple(cosines.shape), f"{(guess == truth).mean():.0%}")

# %% [markdown] lang="zh"
# 挑一张模型只有七成把握的图片，用三种 `logit_scale` 做 softmax，看前几名的概率：

# %% [markdown] lang="en"
# Take a picture of which the model is about 70 % sure, apply a softmax with three scales, and look at the first few:

# %%
learnt = say(zh=f"学到的 {service.logit_scale:.0f}", en=f"learnt: {service.logit_scale:.0f}")
scales = {"1": 1.0, learnt: service.logit_scale, "100": 100.0}
sure = (service.logit_scale * cosines).softmax(dim=1).amax(dim=1)
doubt = int((sure - 0.7).abs().argmin())
first = cosines[doubt].argsort(descending=True)[:4].tolist()
told = {}
for name, scale in scales.items():
    shares = (scale * cosines[doubt]).softmax(dim=0)
    told[name] = {phrases[i].removeprefix(phrase[:-2]): float(shares[i]) for i in first}
print(say(zh="标准答案：", en="truth:"), phrases[truth[doubt]])
plots.bars(told, title=f"logit_scale · {service.name}")

# %% [markdown] lang="zh"
# 谁是第一名，三种都一样：乘一个正数不改变排序，所以**正确率与温度无关，置信度却跟着它走**。那么哪一个置信度可信？
#
# “可信”指的是经过**校准**（calibration）：说“80%”的那些题里，真的有八成答对。量一量学到的 scale 和 100；再加上第三个：在一半图片上挑一个交叉熵最小的 scale（温度校准，temperature scaling）。三个都在另一半图片上考，按把握从小到大分成六组：

# %% [markdown] lang="en"
# The winner is the same in all three: a positive factor does not change an order, so **accuracy does not depend on the
# temperature, but confidence does**. Which confidence can be believed?
#
# To be believable is to be **calibrated**: of the answers given with "80 %", eight in ten are right. Measure it for the
# learnt scale and for 100, and for a third one: the scale with the least cross-entropy on half of the pictures
# (temperature scaling). All three are tested on the other half, in six groups from the least sure to the most:

# %%
true, half, other = torch.tensor(truth), slice(0, None, 2), slice(1, None, 2)


def loss_of(scale, part):
    return torch.nn.functional.cross_entropy(scale * cosines[part], true[part]).item()


fitted = min(range(5, 101), key=lambda scale: loss_of(scale, half))
scales = {learnt: service.logit_scale, "100": 100, say(zh=f"校准后 {fitted}", en=f"calibrated: {fitted}"): fitted}

# %%
figure, axes = plots.figure(4.8, 3.4)
axis = axes[0, 0]
axis.plot([0, 1], [0, 1], "--", color=plots.MUTED, linewidth=1)
for name, scale in scales.items():
    confidence, answer = (scale * cosines[other]).softmax(dim=1).max(dim=1)
    sixths = confidence.argsort().chunk(6)  # from the least sure to the most
    says = [confidence[part].mean() for part in sixths]
    holds = [(answer == true[other])[part].float().mean() for part in sixths]
    axis.plot(says, holds, marker="o", label=f"{name} · {say(zh='损失', en='loss')} {loss_of(scale, other):.2f}")
axis.set(title=service.name, xlim=(0.2, 1.02), ylim=(0.2, 1.02))
axis.set_xlabel(say(zh="模型说的置信度", en="confidence it states"))
axis.set_ylabel(say(zh="实际答对的比例", en="share that is right"))
axis.legend(fontsize=9)
figure

# %% [markdown] lang="zh"
# **看什么**：虚线表示说多少就对多少。点在虚线下面，是说得太满；在上面，是太谦虚。看最左边那些点，也就是最没把握的一组：模型说有几成，实际又有几成？换一个 `logit_scale`，换掉的是模型的*语气*，不是它的见识。模型自己的 scale 也只对它训练时的那种题负责：这里一半的组合它从没见过，它并不知道自己该谦虚一些。
#
# **对策**：用模型自己的 scale（`CLIPService` 就是从模型里读的），别抄别的模型的；真要拿概率做决定，先像这样在自己的数据上校准。

# %% [markdown] lang="en"
# **What to notice**: on the dashed line a model is right as often as it says. Below it, it claims too much, above it,
# too little. Look at the leftmost points, the group it is least sure of: what does it say, and what is true? Another `logit_scale` changes the model's *tone of voice*, not what it knows. And its own scale answers only
# for the sort of question it was trained on: half of the pairs here were never seen, and the model does not know that it
# should be more modest.
#
# **Cure**: the model's own scale (`CLIPService` reads it from the model), never another model's; and before a
# probability decides anything, calibrate it on your own data, as here.

# %% [markdown] lang="zh"
# ### 插一段：SigLIP，让每个标签各自作答
#
# softmax 让标签互相竞争，概率加起来必须是 1。SigLIP（Zhai 等人 2023）换了一道题：对每一格单独问“这句话配不配这张图？”，用 sigmoid（把任意一个数压到 0 和 1 之间，各算各的）回答，为此多学一个偏置 $b$。损失也只有三行，就在*同一批* logits 上算算看：

# %% [markdown] lang="en"
# ### An aside: SigLIP lets each label speak for itself
#
# In a softmax labels compete: their probabilities have to add up to 1. SigLIP (Zhai et al. 2023) asks another question,
# of each cell by itself: "does this text fit this picture?" A sigmoid answers (it squeezes any number into 0 to 1, each
# by itself), and there is one more number to learn, the bias $b$. The loss is three lines; here on the *same* logits:

# %%
def siglip_loss(logits):
    """logits (n, n), scale and bias included: yes on the diagonal, no everywhere else."""
    sign = 2 * torch.eye(len(logits)) - 1
    return -torch.nn.functional.logsigmoid(sign * logits).sum() / len(logits)


kinds_24 = label_features(TEMPLATES[LANG][1], LANG)
logits = torch.tensor(service.logit_scale * many_features[:24] @ kinds_24.T)  # a picture of each kind x its label
biases = torch.linspace(-service.logit_scale, 0, 121)
bias = biases[torch.stack([siglip_loss(logits + b) for b in biases]).argmin()]
print(f"CLIP {clip_loss(logits):.2f}")
for b in (torch.tensor(0.0), bias):
    print(f"SigLIP {siglip_loss(logits + b):.2f}, b = {b:.1f}")

# %%
offers = {say(zh="四个标签", en="four labels"): LABELS[LANG][:4], say(zh="去掉“猫”", en="without cat"): LABELS[LANG][1:4]}
for name, labels in offers.items():
    prompts = [TEMPLATES[LANG][1].format(label) for label in labels]
    each = torch.tensor(service.logit_scale * service.similarity(cat, prompts))
    print(name, labels)
    print("   softmax", each.softmax(dim=0).numpy().round(2), "  sigmoid", (each + bias).sigmoid().numpy().round(2))

# %% [markdown] lang="zh"
# 去掉正确答案后，softmax 必须另立一个冠军，sigmoid 却可以对每一个都说“不”。mini-clip 没有按这个损失训练过，偏置是我们临时配上的，只为看清两种问法的差别。真正的 SigLIP 用 `CLIPService` 就能加载，scale、偏置和激活函数都从模型里读。

# %% [markdown] lang="en"
# Without the right answer the softmax has to crown another label, while a sigmoid may say no to each. mini-clip was not
# trained with this loss, and its bias was only fitted here to show the difference; a real SigLIP loads with
# `CLIPService`, and scale, bias and activation are read from the model.

# %% [markdown] lang="zh"
# ## 8 它在哪里会失败
#
# 知道一个工具何时会坏，才算会用它。五场考试，考生都是 mini-clip，全部现场打分。
#
# ### 没见过的组合
#
# 模型见过猫，也见过紫色，但训练里从没有过*紫色的猫*。它能自己组合出来吗？上一节的考题正好一半见过，一半没见过：

# %% [markdown] lang="en"
# ## 8 Where it fails
#
# You can use a tool once you know when it breaks. Five tests, all taken by mini-clip, all scored here and now.
#
# ### Combinations it never saw
#
# The model has seen cats and has seen purple, but in training there never was a *purple cat*. Can it put the two
# together? Half of the pictures of the last section were of seen pairs, half of unseen ones:

# %%
print(say(zh="见过的组合", en="pairs seen in training"), f"{(guess == truth)[~new].mean():.0%}")
print(say(zh="没见过的组合", en="pairs never seen"), f"{(guess == truth)[new].mean():.0%}")
mistakes = [(PAIRS[g], PAIRS[t]) for g, t in zip(guess[new], truth[new]) if g != t]
kind_right, color_right = (sum(said[k] == meant[k] for said, meant in mistakes) for k in (0, 1))
usual = sum(said not in HELD_OUT for said, _ in mistakes)
print(say(zh=f"后者答错 {len(mistakes)} 次：种类说对的 {kind_right} 次，颜色说对的 {color_right} 次；{usual} 次答的是训练里见过的组合",
          en=f"wrong answers there: {len(mistakes)}; kind right in {kind_right}, colour right in {color_right}; "
             f"answered with a pair seen in training: {usual}"))  # fmt: skip

# %%
by_pair = {truth[i]: i for i in np.flatnonzero(new & (guess != truth))}  # one mistake for each pair
wrong = list(by_pair.values())[:6]
told = ["→ " + words.group_phrase(*PAIRS[guess[i]], 1, LANG, digit=False).removeprefix("the ") for i in wrong]
plots.gallery([drawn[i] for i in wrong], told, columns=6, size=1.15)

# %% [markdown] lang="zh"
# 图片上方是它的回答。答错时，颜色多半是对的，改掉的是种类，改成一个训练里见过的搭配。组合能力不是白来的：遇到没见惯的组合，它宁可认成别的东西。完整模型也一样，只是它们见过的搭配多得多。
#
# ### 数到几？
#
# 训练里最多有四个东西。一到四个，它数得怎么样？六个呢？

# %% [markdown] lang="en"
# Above each picture stands its answer. Where it errs, the colour is mostly right and the kind gives way, to one that it
# did see in that colour. Putting things together does not come for free: a model would rather see another thing than an
# unfamiliar pair. Full-size models do so too; they have only seen many more pairs.
#
# ### How far can it count?
#
# In training there are four things at most. How well does it count one to four? And what of six?

# %%
from little_world.scenes import Scene, Thing, several


def crowd(seed, count):
    """A scene with `count` things of one kind; six stand in two rows."""
    rng = scene_rng(TEST, seed)
    if count == 1:
        return single(rng, size="small")
    if count <= 4:
        return several(rng, count=count)
    kind = COLORED[seed % len(COLORED)]
    spots = [(x, y) for x in (0.2, 0.5, 0.8) for y in (0.36, 0.73)]
    return Scene(tuple(Thing(kind, "red", x, y, 0.135, pose=int(rng.integers(999))) for x, y in spots), "meadow", "day")


# %%
counts = (1, 2, 3, 4)  # what it may answer
crowds = {count: [crowd(20_000 + i, count) for i in range(40)] for count in (*counts, 6)}
shares = []
for scenes_of_count in crowds.values():
    vectors = service.encode_image([draw(scene) for scene in scenes_of_count])
    kinds = [scene.things[0].kind for scene in scenes_of_count]
    prompts = [[phrase.format(words.group_phrase(kind, None, n, LANG)) for kind in kinds] for n in counts]
    cosines_of_count = np.stack([(vectors * service.encode_text(texts)).sum(axis=1) for texts in prompts])
    shares.append(np.bincount(cosines_of_count.argmax(axis=0), minlength=4) / len(kinds))
rows = [say(zh=f"画了 {n} 个", en=f"{n} drawn") for n in crowds]
columns = [say(zh=f"答 {n}", en=f"says {n}") for n in counts]
plots.heatmap(np.array(shares), rows, columns, title=service.name, width=4.8, row_height=0.4)

# %% [markdown] lang="zh"
# 最下面一行没有正确答案可选，它几乎总是答最大的那个。这还证明不了它会不会*数数*；但“六个”这样的话它一次也没读过，给它这个选项也无从认得：它能学到的只是“一、二、三、四个长什么样”。
#
# ### 左和右
#
# “猫在狗的左边”和“狗在猫的左边”，用的字一模一样。只看“有哪些词”的模型，在两句之间只能抛硬币，也就是 50%：

# %% [markdown] lang="en"
# The last row has no right answer on offer, and it nearly always takes the largest. That does not prove whether it can *count*; but
# it never read "six", so offering that would not help: all it could learn is what one, two, three and four look like.
#
# ### Left and right
#
# "A cat to the left of a dog" and "a dog to the left of a cat" hold the same words. A model that only sees *which*
# words there are can do no better between the two than toss a coin, 50 %:

# %%
from little_world.scenes import pair

ordered = [pair(scene_rng(TEST, 40_000 + i), relation=("left_of", "above")[i % 2]) for i in range(200)]
swapped = [Scene(s.things[::-1], s.background, s.time, relation=s.relation) for s in ordered]
vectors = service.encode_image([draw(scene) for scene in ordered])
for lang in ("zh", "en"):
    true = (vectors * service.encode_text([caption(s, lang) for s in ordered])).sum(axis=1)
    false = (vectors * service.encode_text([caption(s, lang) for s in swapped])).sum(axis=1)
    print(service.name, lang, say(zh="选对了顺序", en="chose the right order"), f"{(true > false).mean():.0%}")
print(caption(ordered[0], LANG), "|", caption(swapped[0], LANG))

# %% [markdown] lang="zh"
# 比抛硬币好一些，离可靠还远。完整的 CLIP 也差不多：ARO 测试问“谁对谁做了什么”，两句里选一句，ViT-B/32 只答对 59%（Yuksekgonul 等人 2023）。原因就在第 2 节的损失里：随机凑成的一批图文中，很少有两句话只差一个顺序，光看词就够答对，模型几乎没有理由去学语序。想让它学会，这样的“难负样本”（hard negatives）就得常常同批出现。mini-clip 的训练里，只差位置、数量或背景的图文是同批出现的（`little_world/training/clip.py`），只差顺序的却没有，我们故意把这道坎留给你看。
#
# ### 标签全错，照样有冠军
#
# 把正确答案从 24 个标签里拿走，softmax 仍会选出一个。第一名的得分能不能泄露“其实一个都不像”？比较两种情况：

# %% [markdown] lang="en"
# Better than a coin, and far from reliable. The full-size CLIP is no better: in ARO, asked who does what to whom, one of
# two sentences, ViT-B/32 is right in 59 % (Yuksekgonul et al. 2023). The reason is in the loss of section 2: in a random
# batch hardly any two captions differ in their order alone, the words are enough to answer, and there is hardly a reason
# to learn order. For that, such *hard negatives* have to meet in one batch, often. In mini-clip's training, pictures that
# differ in place, number or background alone do meet in a batch (`little_world/training/clip.py`); those that differ in
# order alone do not. That hurdle was left standing for you to see.
#
# ### All labels wrong, and still a winner
#
# Take the right answer out of the 24 labels: a softmax still picks one. Does the winner's score give away that nothing
# fits? Compare the two cases:

# %%
fits = many_features @ label_features(TEMPLATES[LANG][1], LANG).T  # the pictures of section 5
without = fits.copy()
without[np.arange(len(fits)), many_kinds] = -1  # the right label is not on offer
winners = [fits.max(axis=1), without.max(axis=1)]
sure = [torch.tensor(service.logit_scale * c).softmax(dim=1).amax(dim=1).numpy() for c in (fits, without)]
for name, (good, bad) in {say(zh="余弦", en="cosine"): winners, say(zh="概率", en="probability"): sure}.items():
    limit = np.quantile(good, 0.05)  # gives up 5 % of the good answers
    rule = say(zh=f"{name}低于 {limit:.3f} 就弃权；标签全错时，弃权的占",
               en=f"abstain below a {name} of {limit:.3f}; with all labels wrong, it does in")  # fmt: skip
    print(f"{service.name}:", rule, f"{(bad < limit).mean():.0%}")
bold = say(zh="标签全错，第一名的概率仍超过 95% 的，占", en="all labels wrong, and the winner above 95 %:")
print(f"{service.name}:", bold, f"{(sure[1] > 0.95).mean():.0%}")
threshold = float(np.quantile(winners[0], 0.05))

# %%
figure, axes = plots.figure(8.2, 2.5, 1, 2)
cosine_axis, probability_axis = axes[0]
cosine_axis.hist(winners, bins=24)
cosine_axis.axvline(threshold, color=plots.INK, linestyle="--", linewidth=1)
cosine_axis.set(title=say(zh="第一名的余弦", en="cosine of the winner"), yticks=[])
names = [say(zh="有正确答案", en="right label offered"), say(zh="标签全错", en="all labels wrong")]
probability_axis.hist(sure, bins=24, label=names)
probability_axis.set(title=say(zh="第一名的概率", en="probability of the winner"), yticks=[])
probability_axis.legend(fontsize=9, loc="upper left")
figure

# %% [markdown] lang="zh"
# **看什么**：左图里，余弦把两种情况几乎完全分开。右图里，标签全错，仍有近四成的第一名自称把握超过 95%：softmax 只知道谁比谁近，不知道有多近。要在概率上设阈值，同样放弃 5% 的好答案，就得设到将近 1，拦下的还少些。
#
# 两团分得越开，阈值越管用；重叠的部分，就是弃权要付的代价。`CLIPService` 有两种弃权（abstain）的办法：给余弦设一个下限，或者放进几句“都不是”一起竞争。阈值因模型而异，要像上面这样在数据上选：

# %% [markdown] lang="en"
# **What to notice**: on the left the cosine keeps the two cases almost wholly apart. On the right, with all labels wrong,
# nearly four winners in ten still claim more than 95 %: a softmax knows who is closer, not how close. At the same price, 5 %
# of the good answers, a threshold on the probability would have to stand close to 1, and would stop fewer.
#
# The further apart the two heaps, the better a threshold works; where they overlap is the price of abstaining.
# `CLIPService` has two ways to abstain: a least cosine, or texts for "none of these" that compete with the labels. A
# threshold belongs to one model and is chosen on data, as above:

# %%
template = TEMPLATES[LANG][1]
offered = ("dog", "car", "airplane")  # the picture is a cat
labels = [words.kind_name(kind, LANG) for kind in offered]
nothing = [template.format(words.kind_name(kind, LANG)) for kind in KINDS if kind not in offered]
for options in ({}, {"min_similarity": threshold}, {"none_of_these": nothing}):
    result = service.zero_shot_classify(cat, labels, template=template, **options)
    print(*options or "-", "→", result.label, {label: round(p, 2) for label, p in result.items()})

# %% [markdown] lang="zh"
# ### 一张真正的照片
#
# 最后一场，也是最重要的一场。matplotlib 自带一张照片：计算机科学家 Grace Hopper 身穿制服的肖像（它不是课程的画，所以没有存进笔记本；想看，就在新的一格里输入 `photo`）。mini-clip 一生只见过画出来的小世界。把照片给它看，再给它看几样别的“外来物”：

# %% [markdown] lang="en"
# ### A real photograph
#
# The last test is the most important. matplotlib ships a photograph: the computer scientist Grace Hopper in uniform (not
# the course's own, and so not stored in this notebook; to see it, type `photo` in a new cell). mini-clip has only ever
# seen a drawn world. Show it the photograph, and a few other things from outside:

# %%
from matplotlib import cbook

from course_lib import open_image

try:
    photo = open_image(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
except (CourseError, OSError):
    photo = None
    print(say(zh="这个 matplotlib 没有附带照片，跳过它。", en="This matplotlib comes without the photograph: skipped."))

# %%
noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
grey = np.full((96, 96, 3), 128, dtype=np.uint8)
foreign = {
    say(zh="照片", en="photograph"): photo,
    say(zh="随机噪点", en="random noise"): noise,
    say(zh="全灰", en="plain grey"): grey,
    say(zh="小世界的猫", en="a cat of Little World"): cat,
}
plots.gallery([noise, grey, cat], list(foreign)[1:], columns=3, size=1.2)

# %%
labels = [words.kind_name(kind, LANG) for kind in KINDS]
for name, picture in foreign.items():
    if picture is None:
        continue
    result = service.zero_shot_classify(picture, labels, template=template)
    cosine = result.similarities[result.label]
    passes = say(zh="过了阈值", en="passes the threshold") if cosine >= threshold else ""
    print(f"{name} → {result.label} {result[result.label]:.0%}, {say(zh='余弦', en='cosine')} {cosine:.2f} {passes}")

# %% [markdown] lang="zh"
# 照片里的东西 24 个标签一个也没有，噪点和灰板上更是什么都没有，可每一样都得到了一个“答案”，有的还很有把握。这就是**域差距**（domain gap）：离开训练数据的领域，模型的回答谈不上准不准，是*没有意义*，而概率不会告诉你。余弦要诚实些：上面哪几样过了阈值？只是阈值也是在小世界里选的，换一种外来物，它不作任何保证。
#
# 对 mini-clip 来说，照片在领域之外。对完整的 CLIP 来说，照片在领域之内，可是 X 光片、卫星图、你工厂里的零件未必在。**换了领域，先测量，再相信。**

# %% [markdown] lang="en"
# Nothing in the photograph is among the 24 labels, in noise and in grey there is nothing at all, and yet each got an
# "answer", some of them a confident one. This is the **domain gap**: outside its training data a model's answers are not
# inaccurate, they are *meaningless*, and the probability will not tell you. The cosine is more honest: which of them
# pass the threshold? But the threshold was chosen in Little World as well, and promises nothing about other strangers.
#
# For mini-clip photographs are outside. For the full-size CLIP they are inside, but X-rays, satellite pictures or the
# parts made in your factory may not be. **In a new domain, measure first, then trust.**

# %% [markdown] lang="zh"
# ## 9 把原章节的代码搬回家之前
#
# 前面已经遇到五个陷阱（`norm`、英文模型、`squeeze` 和字典、太长的文字、写死的 100），还有三个：缩进丢失和导入即运行，代码一粘贴就出错；一次只处理一张，不会错，只是慢。
#
# > **陷阱：缩进丢了，导入即运行。** 网页上的代码常常丢掉缩进，那样的代码 Python 读都读不进去。原章节还把 `CLIPService()` 和 `Image.open("example.jpg")` 写在模块顶层：别人只想 `import` 你的类，却得先下载模型、打开一张不存在的图。

# %% [markdown] lang="en"
# ## 9 Before you take the chapter's code home
#
# Five of its traps we have met (`norm`, the English model, `squeeze` and the dictionary, the long text, the fixed 100).
# Three more: lost indentation and work at import snap as soon as you paste; one picture at a time is only slow.
#
# > **Pitfall: lost indentation, and work at import.** Code on web pages often loses its indentation, and Python cannot
# > even read it then. The chapter also puts `CLIPService()` and `Image.open("example.jpg")` at the top level of the
# > module: whoever only wants to import your class must first fetch a model and open a picture that is not there.

# %%
import runpy

pasted = 'class Service:\ndef encode(self):\nreturn 1'
try:
    compile(pasted, "pasted.py", "exec")
except IndentationError as problem:
    print("IndentationError:", problem.msg)

# %%
module = 'from PIL import Image\nclass Service: ...\n{}image = Image.open("example.jpg")\n'
with TemporaryDirectory() as folder:
    for guard in ("", 'if __name__ == "__main__":\n    '):
        path = Path(folder, "clip_service.py")
        path.write_text(module.format(guard), encoding="utf-8")
        try:
            print("Service" in runpy.run_path(str(path)), "|", guard.strip())
        except FileNotFoundError as problem:
            print("FileNotFoundError:", problem.filename)

# %% [markdown] lang="zh"
# > **陷阱：一次一张。** 原章节的 `encode_image` 每次只收一张图片。循环也能用，只是慢：每次调用都有固定开销，矩阵乘法也吃不饱。

# %% [markdown] lang="en"
# > **Pitfall: one at a time.** The chapter's `encode_image` takes a single picture. A loop works, it is only slow: each
# > call has its fixed cost, and small matrices leave a processor idle.

# %% tags=["nbval-ignore-output"]
import time

pictures = [e.image for e in gallery[:120]]
start = time.perf_counter()
one_by_one = np.concatenate([service.encode_image(picture) for picture in pictures])
middle = time.perf_counter()
batched = service.encode_image(pictures)
end = time.perf_counter()
print(len(pictures), say(zh="张图片；逐张（秒）", en="pictures; one by one, seconds:"), f"{middle - start:.2f}")
print(say(zh="成批（秒）", en="in batches, seconds:"), f"{end - middle:.2f}")
print(np.allclose(one_by_one, batched, atol=1e-5))

# %% [markdown] lang="zh"
# ## 10 换成完整模型
#
# > **完整模型。** 换一个参数，其余代码一字不改。中文标签首选 Chinese-CLIP：它的文本塔就是用中文训练的。下表由程序里的登记表打印，写着下载大小、内存和许可证；第一次使用要联网下载。

# %% [markdown] lang="en"
# ## 10 Swap in a full-size model
#
# > **Full-size.** One argument changes, and not a word of your other code. For Chinese labels take
# > Chinese-CLIP first, whose text tower was trained on Chinese (`registry.models(task="clip", language="zh")[0].id`). The table is
# > printed from the program's registry, with download, memory and licence;
# > the first use needs a network to download the model.

# %%
big = registry.models(task="clip", language=LANG)[0]
display(Markdown(registry.table(task="clip", language=LANG)))
print(f'service = CLIPService("{big.id}")')
print(say(zh="# 或者写进 .env，整门课都换：", en="# or in .env, for the whole course:"))
print(f"COURSE_CLIP_MODEL={big.id}")

# %% [markdown] lang="zh"
# 换成完整模型后再跑一遍这一课：照片那一场会有意义得多，而小世界的图画成了它的“外来物”。第 7、8 节量出来的阈值和校准都要重新量。

# %% [markdown] lang="en"
# Run this lesson again with a full-size model: the test with the photograph makes much more sense then, and now it is
# Little World's drawings that are foreign. The thresholds and the calibration of sections 7 and 8 must be measured anew.

# %% [markdown] lang="zh"
# ## 11 动手玩
#
# 用菜单画一张图，或者上传一张你自己的，改标签、改模板，看概率怎么变。试试：全错的标签；只有一个标签；不相干的模板；你自己的照片。

# %% [markdown] lang="en"
# ## 11 Play
#
# Compose a picture with the menus or upload your own, edit the labels and the template, and watch the probabilities.
# Try: labels that are all wrong; a single label; a template about something else; a photograph of your own.

# %% tags=["nbval-ignore-output"]
from course_lib.widgets import clip_playground
from little_world.captions import labels as named


def compose(seed, kind, color, background):
    return draw(single(np.random.default_rng(seed), kind=kind, color=color, background=background, pairs=[(kind, color)]))


choices = {sort: {word: name for name, word in named(sort, LANG).items()} for sort in ("kind", "color", "background")}
titles = {"kind": say(zh="东西", en="thing"), "color": say(zh="颜色", en="colour"), "background": say(zh="地点", en="place")}
clip_playground(service, LABELS[LANG], compose=compose, choices=choices, names=titles, template=template)

# %% [markdown] lang="zh"
# ## 小测验
#
# 点选项，马上有回答（代码收起来了，里面有答案）。

# %% [markdown] lang="en"
# ## Quiz
#
# Choose an option, and the answer comes at once (the code is folded away, it knows the answers).

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
from course_lib.widgets import quiz

quiz(
    say(
        zh="训练时每批 256 对图文，损失一直停在 5.5 左右（log 256 ≈ 5.5）。这是怎么回事？",
        en="With 256 pairs in a batch the loss stays at about 5.5 (log 256 ≈ 5.5). What does that mean?",
    ),
    {
        say(zh="模型快要学好了", en="The model is nearly done"): say(zh="学好时损失趋近 0。", en="When it is done, the loss is close to 0."),
        say(zh="模型在瞎猜，什么也没学到", en="The model guesses, it has learnt nothing"): say(
            zh="在 256 个里瞎猜，损失正是 log 256。", en="Guessing one in 256 costs exactly log 256."
        ),
        say(zh="模型在自信地答错", en="The model is confidently wrong"): say(
            zh="那样的损失比瞎猜还高。", en="Then the loss would be above that of guessing."
        ),
    },
    answer="B",
)

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
quiz(
    say(zh="把 logit_scale 改成模型自己那个值的两倍，会改变什么？", en="You double the model's logit_scale. What changes?"),
    {
        say(zh="正确率和置信度都变", en="Accuracy and confidence"): say(
            zh="乘一个正数不改变谁是第一名。", en="A positive factor does not change who comes first."
        ),
        say(zh="只有正确率变", en="Accuracy alone"): say(zh="恰好相反。", en="It is the other way round."),
        say(zh="只有置信度变", en="Confidence alone"): say(
            zh="排序不变，softmax 变得更尖：更敢说，不是更懂。", en="The order stays, the softmax gets sharper: bolder, not wiser."
        ),
    },
    answer="C",
)

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
quiz(
    say(
        zh="用只读过英文的 CLIP 给“猫、狗、汽车”打分，会发生什么？",
        en="You score 猫, 狗 and 汽车 with a CLIP that has only read English. What happens?",
    ),
    {
        say(zh="照常给出概率，但没有意义", en="It reports probabilities, and they mean nothing"): say(
            zh="字节级 BPE 什么都能编码，softmax 什么都能排名，所以没有任何报错来提醒你。",
            en="A byte-level BPE encodes anything and a softmax ranks anything, so no error warns you.",
        ),
        say(zh="报错，说不认识中文", en="An error says that it knows no Chinese"): say(
            zh="可惜不会，危险就在这里。", en="It does not, and that is the danger."
        ),
        say(zh="自动把标签译成英文", en="It translates the labels first"): say(
            zh="CLIP 里没有翻译这一步。", en="There is no such step in CLIP."
        ),
    },
    answer="A",
)

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
quiz(
    say(
        zh="给一张图片只提供一个标签，softmax 给了它 100%。这能说明什么？",
        en="You offer a single label for a picture, and the softmax gives it 100 %. What does that tell?",
    ),
    {
        say(zh="图里确实有它", en="It certainly is in the picture"): say(
            zh="换成任何别的标签，也是 100%。", en="Any other label would get 100 % as well."
        ),
        say(zh="什么也说明不了", en="Nothing at all"): say(
            zh="softmax 只比较给出的标签。要判断“有没有”，看余弦和阈值，或者用 sigmoid 的模型。",
            en="A softmax only compares what is offered. For “is it there?” take the cosine and a threshold, or a model with "
            "a sigmoid.",
        ),
        say(zh="模型校准得很好", en="The model is well calibrated"): say(
            zh="校准要用许多有标准答案的图片来量。", en="Calibration is measured on many pictures with known answers."
        ),
    },
    answer="B",
)

# %% [markdown] lang="zh"
# ## 小结
#
# - CLIP 是两座塔和一个空间；训练它的只有一个问题：这一批里，谁和谁是一对？损失是行、列两个交叉熵的平均，瞎猜时等于 $\log n$。
# - 零样本分类和检索是同一个矩阵的两种读法：沿着行选文字，沿着列选图片。
# - `logit_scale` 是模型学出来的语气：不影响正确率，决定置信度。概率要先校准，才能拿来做决定。
# - softmax 总会选出一个冠军。要会说“都不是”，就得有阈值、有“都不是”的文字，或者换成 sigmoid 的模型。
# - 没见过的组合、数量、语序、领域，都是它的软肋；完整模型的软肋在同样的地方，只是更远。
# - 模板、阈值、校准都跟着模型走：**换模型，重新量**。
#
# 接下来：[练习 1](../../exercises/zh/ex1_image_classifier.ipynb)，用这些零件搭一个图片分类器。术语中英对照见 [docs/glossary.md](../../docs/glossary.md)。

# %% [markdown] lang="en"
# ## Summary
#
# - CLIP is two towers and one space, and it is trained by a single question: in this batch, who belongs to whom? The
#   loss is the mean of two cross-entropies, over rows and over columns, and guessing costs $\log n$.
# - Zero-shot classification and retrieval read the same matrix in two ways: along a row for a text, along a column for
#   a picture.
# - `logit_scale` is a tone of voice that the model has learnt: it leaves accuracy alone and sets the confidence. A
#   probability must be calibrated before it decides anything.
# - A softmax always crowns a winner. To be able to say "none of these" takes a threshold, texts for "none of these", or
#   a model with a sigmoid.
# - Unseen combinations, numbers, word order and new domains are its weak spots; a full-size model has them in the same
#   places, only further out.
# - Templates, thresholds and calibration go with the model: **another model, another measurement**.
#
# Next: [exercise 1](../../exercises/en/ex1_image_classifier.ipynb), an image classifier built from these parts. The
# terms in both languages stand in [docs/glossary.md](../../docs/glossary.md).

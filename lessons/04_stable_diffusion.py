# %% [markdown] lang="zh"
# # 04 · 文生图与图生图：Stable Diffusion
#
# 前几课的模型*看*图，这一课的模型*画*图。你写一句话，它从一片纯噪声出发，一步一步擦掉噪声，擦完就是一幅画。听上去像魔术，其实每一步都是可以打开来看的普通计算。这一课先在二维平面上用三十行代码把它做出来，再走进真正的 Stable Diffusion，最后学会用 HTTP 接口去驱动任何一个绘图服务。
#
# **学完这一课，你能够**
#
# - 亲手写出并训练一个扩散模型（diffusion model），说清楚“加噪”“去噪”“采样”各是什么；
# - 逐步打开一条 Stable Diffusion 流水线：文本编码器、UNet、调度器、VAE；
# - 用好每一个旋钮：随机种子、引导强度、步数、负面提示词、重绘幅度、蒙版；
# - 识破原章节（本课程依据的那章教程，见第 02 课）里的八个错误：第 7 节七个，第 8 节一个；大多*不报错*，其中两个让参数完全不起作用；
# - 批量生成几十张图，中途被杀掉也不丢、不重画，并且*给生成模型打分*。
#
# **时间**：约 80 分钟。**需要**：会 Python；不需要显卡、网络或 API 密钥。
#
# 画画的是 **mini-sd**：结构与 Stable Diffusion 相同，只是小，在画出来的小世界（Little World）上从零训练，只会画小世界里的东西。打分的是 **mini-clip**，第 02 课的主角。

# %% [markdown] lang="en"
# # 04 · Text to image, image to image: Stable Diffusion
#
# The models of the earlier lessons *look* at pictures; this one *paints* them. You write a sentence, and it starts from
# nothing but noise and wipes the noise away, step by step, until a picture is left. That sounds like magic, but each
# step is an ordinary computation that can be opened and looked at. We build the whole thing in thirty lines on a plane
# first, then walk through a real Stable Diffusion, and in the end drive any painting service over HTTP.
#
# **After this lesson you can**
#
# - write and train a diffusion model yourself, and say what noising, denoising and sampling are;
# - open a Stable Diffusion pipeline step by step: text encoder, UNet, scheduler, VAE;
# - use each of its knobs: seed, guidance, steps, negative prompt, strength, mask;
# - spot eight mistakes of the chapter (the tutorial that this course follows, see lesson 02), seven in section 7 and one in
#   section 8: most raise *no error*, and two make a parameter do nothing at all;
# - paint dozens of pictures in a batch that survives being killed, and *score a generator*.
#
# **Time**: about 80 minutes. **You need**: Python; no graphics card, no network, no API key.
#
# The painter is **mini-sd**: built like Stable Diffusion, only small, trained from scratch on a drawn world (Little
# World), and able to paint what is in that world and nothing else. The judge is **mini-clip**, which you know from
# lesson 02.

# %%
import numpy as np
import torch
from IPython.display import Markdown, display
from matplotlib_inline.backend_inline import set_matplotlib_formats

from course_lib import StableDiffusionService, plots, say
from little_world import Scene, Thing, caption, draw

set_matplotlib_formats("jpeg", pil_kwargs={"quality": 60})  # figures full of painted pictures, in fewer bytes
generator = torch.manual_seed(0)

# %% [markdown] lang="zh"
# ## 1 先看一团点：三十行的扩散模型
#
# 一幅小世界的画是 128 × 128 个像素，每个像素三个数，所以是一个几万维空间里的*一个点*。所有的猫聚成一团云，所有的汽车聚成另一团。**画一只新的猫，就是在那团云里取一个新的点**。难处在于：没有人写得出这团云的公式，我们手里只有一些样本。
#
# 扩散模型的主意是绕一个弯：
#
# - *毁掉*一个样本很容易，往上加噪声，加到什么也看不出来；
# - 训练一个网络去*撤销*其中的一小步；
# - 然后从纯噪声出发，一小步一小步地撤销，走到底就是一个新样本。
#
# 高维空间画不出来，那就先在二维里做一遍。我们的“云”是一只鸭子的剪影，每个黑色像素是一个样本点。

# %% [markdown] lang="en"
# ## 1 A cloud of points first: diffusion in thirty lines
#
# A picture of Little World is 128 x 128 pixels of three numbers each, and so *one point* in a space of tens of
# thousands of dimensions. All cats form a cloud there, all cars another. **To paint a new cat is to pick a new point
# from its cloud.** The trouble is that nobody can write down a formula for the cloud; all we have is examples.
#
# Diffusion takes a detour:
#
# - to *destroy* an example is easy: add noise until nothing can be made out;
# - train a network to *undo* one small step of that;
# - then start from nothing but noise and undo it step by step: what you end with is a new example.
#
# Nobody can draw so many dimensions, so we do it in two first. Our cloud is the silhouette of a duck: each dark pixel
# is one example.

# %%
duck = Scene((Thing("duck", "black", 0.5, 0.5, 0.45),), background="snow", time="day")
empty = Scene((), background="snow", time="day")
dark = np.abs(np.asarray(draw(duck), int) - np.asarray(draw(empty), int)).sum(axis=2) > 60
rows, columns = np.nonzero(dark)
where = torch.tensor(np.stack([columns, -rows], axis=1)).float()
points = (where - where.mean(dim=0)) / where.std(dim=0).mean()  # (n, 2), about one unit wide


def data(n):
    return points[torch.randint(len(points), (n,))] + 0.02 * torch.randn(n, 2)


print(f"{np.asarray(draw(duck)).size:,} → 2; {len(points):,}", say(zh="个样本点", en="points"))

# %% [markdown] lang="zh"
# ### 加噪：一个角度，从数据转到噪声
#
# 把样本 $x$ 和噪声 $\epsilon$ 混在一起，比例由一个角度 $\varphi$ 决定：$x_\varphi = \cos\varphi \cdot x + \sin\varphi \cdot \epsilon$。0° 是原样，90° 是纯噪声。用正弦和余弦，是因为 $\cos^2 + \sin^2 = 1$：点云不会越混越大。下图里每个点的颜色是它*原来*的横坐标。

# %% [markdown] lang="en"
# ### Noising: an angle, from data to noise
#
# Mix an example $x$ with noise $\epsilon$, in proportions that an angle $\varphi$ decides:
# $x_\varphi = \cos\varphi \cdot x + \sin\varphi \cdot \epsilon$. At 0° it is as it was, at 90° it is noise alone. Sine and
# cosine, because $\cos^2 + \sin^2 = 1$: the cloud does not grow while it is mixed. The colour of a point is its *former*
# place from left to right.

# %%
def mix(x, noise, angle):
    return angle.cos() * x + angle.sin() * noise


def show(clouds, titles, color):
    figure, axes = plots.figure(8.4, 1.7, 1, len(clouds))
    for axis, cloud, title in zip(axes[0], clouds, titles):
        axis.scatter(*cloud.T, s=3, c=color, cmap="viridis", linewidths=0)
        axis.set(title=title, xlim=(-2.9, 2.9), ylim=(-2.9, 2.9), aspect="equal")
        axis.set_axis_off()
    return figure


x, noise, angles = data(1500), torch.randn(1500, 2), torch.linspace(0, torch.pi / 2, 6)
show([mix(x, noise, angle) for angle in angles], [f"{angle.rad2deg():.0f}°" for angle in angles], x[:, 0])

# %% [markdown] lang="zh"
# ### 训练：随便挑一个角度，猜点往哪里走
#
# 让 $\varphi$ 匀速增大，点 $x_\varphi$ 就在移动，速度是对角度求导：$v = \cos\varphi \cdot \epsilon - \sin\varphi \cdot x$。网络看到的是*点在哪里*和*角度是多少*，要猜的是速度。它看不到 $x$ 和 $\epsilon$，所以猜出来的是所有可能的来路的*平均*。（`waves` 是位置的几个正弦和余弦，帮小网络看清细节。）

# %% [markdown] lang="en"
# ### Training: take any angle, guess where the point is heading
#
# Let $\varphi$ grow evenly, and the point $x_\varphi$ moves; its velocity is the derivative by the angle,
# $v = \cos\varphi \cdot \epsilon - \sin\varphi \cdot x$. The network is told *where the point is* and *what the angle is*,
# and has to guess the velocity. It sees neither $x$ nor $\epsilon$, so what it learns is the *mean* over all that could
# have led there. (`waves` are sines and cosines of the place: they help a small network to see detail.)

# %%
network = torch.nn.Sequential(
    torch.nn.Linear(16, 96), torch.nn.SiLU(),
    torch.nn.Linear(96, 96), torch.nn.SiLU(),
    torch.nn.Linear(96, 96), torch.nn.SiLU(),
    torch.nn.Linear(96, 2),
)  # fmt: skip


def velocity(x, angle):  # (n, 2), (n, 1) -> (n, 2)
    waves = torch.cat([x, 2 * x, 4 * x], dim=1)
    return network(torch.cat([x, waves.sin(), waves.cos(), angle.sin(), angle.cos()], dim=1))


# %%
STEPS = 2000
optimizer = torch.optim.Adam(network.parameters())
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, STEPS)
for step in range(STEPS):
    x, noise, angle = data(512), torch.randn(512, 2), torch.rand(512, 1) * torch.pi / 2
    wanted = angle.cos() * noise - angle.sin() * x
    loss = (velocity(mix(x, noise, angle), angle) - wanted).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
print(f"{sum(p.numel() for p in network.parameters()):,}", say(zh="个参数", en="parameters"))

# %% [markdown] lang="zh"
# ### 采样：从噪声往回走
#
# 知道速度，就能往回走。每走一步，角度减小 $\delta$。又因为 $x_\varphi$ 和 $v$ 就像圆上的位置和切线，往回走一步恰好是一次旋转：$x_{\varphi-\delta} = \cos\delta \cdot x_\varphi - \sin\delta \cdot v$。整个采样就是这一行的循环：

# %% [markdown] lang="en"
# ### Sampling: walk back from noise
#
# If you know the velocity, you can walk back. Each step makes the angle smaller by $\delta$; and as $x_\varphi$ and $v$
# are to each other like a point on a circle and its tangent, a step back is just a rotation:
# $x_{\varphi-\delta} = \cos\delta \cdot x_\varphi - \sin\delta \cdot v$. Sampling is that line in a loop:

# %%
@torch.no_grad()
def sample(x, steps):
    turn, way = torch.tensor(torch.pi / 2 / steps), [x]
    for left in range(steps, 0, -1):
        x = turn.cos() * x - turn.sin() * velocity(x, (left * turn).expand(len(x), 1))
        way.append(x)
    return way


start = torch.randn(1500, 2)
way = sample(start, 50)
show(way[::10], [f"{90 - 1.8 * i:.0f}°" for i in range(0, 51, 10)], way[-1][:, 0])

# %% [markdown] lang="zh"
# **看什么**：
#
# - 上一张图从左往右看，这一张也从左往右看，却是反着走：噪声慢慢聚成了一只鸭子。这些点*没有一个*是训练样本，它们是新画的。
# - 颜色是点*最后*到达的横坐标。最左边那团噪声里，颜色已经排好了：走回去的路是确定的，**起点的噪声决定了终点**。这就是“随机种子”的含义。
# - 大的形状先出现，嘴和尾巴这些细节最后才出现。画图时也是这样。
#
# **为什么不一步走完？** 想一想网络猜的是什么，再看下一张图。

# %% [markdown] lang="en"
# **What to notice**:
#
# - The figure above and this one both run from left to right, but this one walks back: noise gathers into a duck.
#   *None* of these points is a training example; they are new.
# - Colour is the place a point *ends* at. In the noise on the far left the colours are in order already: the way back
#   is fixed, and **the noise at the start decides what comes out**. That is what a "seed" means.
# - The large shape comes first, details such as beak and tail come last. So it will be with pictures.
#
# **Why not go back in one step?** Think of what the network guesses, then look at the next figure.

# %%
numbers = (1, 2, 4, 8, 16, 50)
ends = [sample(start, steps)[-1] for steps in numbers]
covered = [(torch.cdist(points, end).amin(dim=1) < 0.1).float().mean() for end in ends]
titles = [say(zh=f"{n} 步 · {share:.0%}", en=f"steps: {n} · {share:.0%}") for n, share in zip(numbers, covered)]
show(ends, titles, way[-1][:, 0])

# %% [markdown] lang="zh"
# 百分数是鸭子身上被新点盖住的比例。只走一步时，从纯噪声猜来路，什么来路都有可能，网络只能猜*整只鸭子的平均*，所以点全挤到了中间。走了一小步，可能性少了一些，下一次就猜得准一些。**每多一步，就多一次改主意的机会。**
#
# 扩散模型到此就讲完了。下面的 mini-sd 用的是同一个公式（余弦加噪、猜速度、旋转），只是“点”变成了压缩过的画，网络变大了，还多看一样东西：你的那句话。

# %% [markdown] lang="en"
# The percentage is the share of the duck that new points cover. In a single step from noise alone, anything may have
# been the origin, and all the network can guess is *the mean of the whole duck*: the points crowd in the middle. After
# a small step fewer origins are possible, and the next guess is better. **Each further step is another chance to change
# one's mind.**
#
# That is all there is to diffusion. The mini-sd below uses the same formulas (noise by the cosine, a guess of the
# velocity, a rotation); only its points are compressed pictures, its network is larger, and it is told one thing more:
# your sentence.

# %% [markdown] lang="zh"
# ## 2 mini-sd，一步一步
#
# 现在用 diffusers 库打开 mini-sd。它是一条标准的 `StableDiffusionPipeline`，由四个零件组成。其中 UNet 是猜速度的网络，因为形状像字母 U 而得名：先把图缩小，看清全局，再放大回来，补上细节，输入和输出一样大。调度器（scheduler）决定走几步、每步怎么走；这里选的 DDIM（Song 等人 2020）就是第 1 节的走法：中途不再添随机的噪声（有的调度器会添），起点定了，终点就定了。

# %% [markdown] lang="en"
# ## 2 mini-sd, step by step
#
# Now open mini-sd with the library diffusers. It is a standard `StableDiffusionPipeline` of four parts. The UNet is the
# network that guesses the velocity, named after the letter U: it makes the picture smaller to see the whole, then
# larger again to fill in detail, and gives back the size that it was given. The scheduler decides how many steps are
# taken, and how; the one chosen here, DDIM (Song et al. 2020), walks as section 1 did: no dice on the way (other
# schedulers throw some), so the start fixes the end.

# %%
from diffusers import AutoPipelineForText2Image, DDIMScheduler

from course_lib import settings

MODEL = settings.resolve("COURSE_SD_MODEL").value
pipe = AutoPipelineForText2Image.from_pretrained(settings.locate(MODEL))
pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
pipe.set_progress_bar_config(disable=True)
jobs = {"text_encoder": say(zh="读提示词", en="reads the prompt"), "unet": say(zh="猜速度", en="guesses the velocity"),
        "vae": say(zh="压缩和还原图片", en="packs and unpacks pictures")}  # fmt: skip
table = [say(zh="| 零件 | 类 | 参数 | 做什么 |", en="| part | class | parameters | what it does |"), "|---|---|--:|---|"]
for name, job in jobs.items():
    part = getattr(pipe, name)
    size = sum(weights.numel() for weights in part.parameters()) / 1e6
    table.append(f"| `{name}` | {type(part).__name__} | {size:.1f} M | {job} |")
table.append(f"| `scheduler` | {type(pipe.scheduler).__name__} | - | {say(zh='决定走哪些步', en='decides on the steps')} |")
display(Markdown("\n".join(table)))

# %% [markdown] lang="zh"
# ### VAE：先把画压小
#
# 在几万个数上做扩散太贵。Stable Diffusion 的关键一招（Rombach 等人 2022）是先训练一个**变分自编码器**（VAE），把画压成小得多的**潜变量**（latent），扩散只在潜变量里进行。VAE 有两半：编码器把画压小（给出的是一个分布，代码里取它的均值），解码器把潜变量还原成画。看看压缩后是什么样，还原后损失了多少：

# %% [markdown] lang="en"
# ### The VAE: make the picture small first
#
# Diffusion on tens of thousands of numbers is expensive. What made Stable Diffusion possible (Rombach et al. 2022) is a
# **variational autoencoder** (VAE) that packs a picture into a much smaller **latent**; diffusion happens in latents
# alone. A VAE has two halves: an encoder packs the picture (it gives a distribution, of which the code takes the mean), and
# a decoder unpacks it. See what latents look like, and what is lost on the way:

# %%
@torch.no_grad()
def encode(image):
    pixels = pipe.image_processor.preprocess(image)  # (1, 3, 128, 128), -1..1
    return pipe.vae.encode(pixels).latent_dist.mean * pipe.vae.config.scaling_factor


@torch.no_grad()
def decode(latents):
    pixels = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    return pipe.image_processor.postprocess(pixels)[0]


def distance(a, b):
    """Mean difference of two pictures, in levels of 0..255."""
    return np.abs(np.asarray(a, float) - np.asarray(b, float)).mean()


# %%
def one(kind, color, background, time):
    """A scene of one large thing in the middle."""
    return Scene((Thing(kind, color, 0.5, 0.6, 0.22),), background, time, place="center", size="large")


scene = one("car", "red", "meadow", "day")
drawn = draw(scene)
latents = encode(drawn)
again = decode(latents)
print(f"{np.asarray(drawn).size:,} → {latents.numel():,}", tuple(latents.shape))
print(say(zh="还原后每个数平均差（0 到 255）", en="mean error after unpacking, of 255:"), f"{distance(drawn, again):.1f}")

# %%
figure, axes = plots.figure(9, 1.8, 1, 6)
tiles = [drawn, *latents[0], again]
channel = say(zh="通道", en="channel")
names = [say(zh="原图", en="picture"), *(f"{channel} {i}" for i in (1, 2, 3, 4)), say(zh="还原", en="unpacked")]
for axis, tile, name in zip(axes[0], tiles, names):
    axis.imshow(tile, cmap="viridis")
    axis.set(title=name, xticks=[], yticks=[])
figure

# %% [markdown] lang="zh"
# **看什么**：潜变量有四个通道，每个都像一张格子很粗的小图，位置还认得出来，每一格管着原图的一小块。VAE 是*有损*的（比一比左右两张草地上的小花）：丢掉的细节，解码器会补上*像样*的，却不是原来的那几朵，图生图时也一样，哪怕你让模型什么也别改。为什么不是一团模糊？训练时有一个判别器（discriminator）在旁边挑“哪张是原画”，解码器得骗过它；Stable Diffusion 自己的 VAE 也是这样训练的。代码里的 `scaling_factor` 把潜变量缩放到和噪声差不多大，第 1 节的正弦和余弦才混得匀。

# %% [markdown] lang="en"
# **What to notice**: the latent has four channels, and each looks like a small, coarse picture. Places can still be
# made out, and each square stands for a small block of the original. The VAE is *lossy* (compare the small flowers in the
# first and the last picture): in place of a detail that was dropped, the decoder paints a *likely* one, and not the one
# that was there; in image to image, too, even if the model is asked to change nothing. Why no blur? In training a
# discriminator sat beside it and told drawings from what it made, and the decoder had to deceive it; Stable Diffusion's own VAE
# is trained so, too. In the code, `scaling_factor` makes the latents about as
# large as the noise, so that the sine and cosine of section 1 mix them evenly.

# %% [markdown] lang="zh"
# ### 文本编码器：一句话变成一串向量
#
# 提示词先切成 token，再变成向量，每个 token 一个。mini-sd 的文本编码器是从 mini-clip 的文本塔开始训练的，所以中文英文都读得懂。UNet 用**交叉注意力**（cross-attention）读这串向量：画面上的每一小块自己挑出与它有关的词来听。句子都补齐到同一长度，几句话才能放进同一批一起算；训练时也是这样补的。

# %% [markdown] lang="en"
# ### The text encoder: a sentence becomes a row of vectors
#
# The prompt is cut into tokens, and each token becomes a vector. mini-sd's text encoder began as mini-clip's text
# tower, so it reads Chinese and English. The UNet reads these vectors by **cross-attention**: each small block of the
# picture picks the words that matter to it. All prompts are padded to one length, so that several can be computed in
# one batch, and because it was done so in training.

# %%
PROMPT = caption(scene, LANG)
pieces = pipe.tokenizer.tokenize(PROMPT)
numbers = pipe.tokenizer.convert_tokens_to_ids(pieces)
shown = [pipe.tokenizer.decode(n) for n in numbers]


@torch.no_grad()
def read(*texts):
    ids = pipe.tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt").input_ids
    return pipe.text_encoder(ids)[0]  # (texts, tokens, width)


print(PROMPT, tuple(read(PROMPT).shape))
plots.tokens({PROMPT: list(zip(shown, numbers))}, width=9)

# %% [markdown] lang="zh"
# ### 去噪循环：和第 1 节是同一个
#
# 起点是形状为潜变量的噪声。每一步 UNet 猜两次速度：一次给它看提示词，一次给它看空的提示词（或者负面提示词，第 4 节会讲）。两次的*差*就是“提示词想要的方向”，把它放大 $g$ 倍再走：
#
# $$v = v_{空} + g\,(v_{提示} - v_{空})$$
#
# 这叫**无分类器引导**（classifier-free guidance，Ho 与 Salimans 2022），$g$ 就是接口里的 `guidance_scale` 或 `cfg_scale`。

# %% [markdown] lang="en"
# ### The denoising loop: the one of section 1
#
# It begins with noise in the shape of latents. In each step the UNet guesses the velocity twice, once shown the prompt,
# once an empty one (or the negative prompt, see section 4). The *difference* of the two is "what the prompt wants", and
# it is enlarged by $g$:
#
# $$v = v_{empty} + g\,(v_{prompt} - v_{empty})$$
#
# That is **classifier-free guidance** (Ho & Salimans 2022), and $g$ is what an API calls `guidance_scale` or
# `cfg_scale`.

# %%
@torch.no_grad()
def denoise(prompt, *, negative="", guidance=3.0, steps=50, seed=0):
    """Every latent on the way, and at each step the picture the model expects at the end."""
    states = read(negative, prompt)
    latents = torch.randn(1, *start_shape, generator=torch.Generator().manual_seed(seed))
    pipe.scheduler.set_timesteps(steps)
    way, expected = [latents], []
    for time in pipe.scheduler.timesteps:
        empty, wanted = pipe.unet(torch.cat([latents, latents]), time, states).sample.chunk(2)
        step = pipe.scheduler.step(empty + guidance * (wanted - empty), time, latents)
        latents = step.prev_sample
        way.append(latents)
        expected.append(step.pred_original_sample)
    return way, [*expected, latents]


# %%
start_shape = (pipe.unet.config.in_channels, pipe.unet.config.sample_size, pipe.unet.config.sample_size)
way, expected = denoise(PROMPT, seed=7)
print(len(way) - 1, tuple(way[-1].shape))

# %% [markdown] lang="zh"
# 每隔十步停下来看三样东西：潜变量本身（前三个通道当作红绿蓝），把它*直接*解码的样子，以及模型此刻*以为*画完会是什么样。

# %% [markdown] lang="en"
# Stop at each tenth step and look at three things: the latents themselves (three channels as red, green and blue), what
# they look like when unpacked *as they are*, and what the model *expects* the finished picture to be at that moment.

# %%
def as_colors(latents):
    first = latents[0, :3].permute(1, 2, 0).numpy()
    return ((first - first.min()) / (first.max() - first.min()) * 255).astype(np.uint8)


tenth = range(0, 51, 10)
three = [[as_colors(way[i]) for i in tenth], [decode(way[i]) for i in tenth], [decode(expected[i]) for i in tenth]]
names = [say(zh="潜变量", en="latents"), say(zh="解码", en="unpacked"), say(zh="预期的画", en="expected")]
titles = [f"{name} · {i}" for name in names for i in tenth]
plots.gallery(sum(three, []), titles, columns=6, size=1.2)

# %% [markdown] lang="zh"
# **看什么**：
#
# - 第一行和第二行：噪声一点点变淡，到最后才散尽。
# - 第三行：模型很早就有了主意。一开始是一团模糊的平均（第 1 节里挤在中间的点）：天和地已经分开，太阳却左右各有一团，因为它还没决定画在哪边。十步以后大局已定，剩下的步子添些小东西：车窗，云，草地上的小花。
# - 手写的循环对不对？和库自己的流水线比一比，同一个种子、同样的步数：

# %% [markdown] lang="en"
# **What to notice**:
#
# - Rows one and two: the noise fades little by little, and is gone only at the very end.
# - Row three: the model has an idea early on. At first it is a blurred mean (the points that crowd in the middle, in
#   section 1): sky and ground have parted already, but there is a sun on either side, as nothing is decided yet. After
#   ten steps the large things are settled, and the other steps add small things: windows, clouds, little flowers.
# - Is our loop right? Compare it with the library's own pipeline, for the same seed and number of steps:

# %%
options = {"num_inference_steps": 50, "guidance_scale": 3.0, "height": drawn.height, "width": drawn.width}
official = pipe(PROMPT, generator=torch.Generator().manual_seed(7), **options).images[0]
difference = np.abs(np.asarray(official, int) - np.asarray(decode(way[-1]), int)).max()
assert difference <= 2  # of 255: what rounding may do
print(say(zh="是同一张图：", en="it is the same picture:"), difference <= 2)

# %% [markdown] lang="zh"
# ## 3 一行代码：`StableDiffusionService`
#
# 自己跑流水线要加载模型、要显存。多数人让一个*服务*去画，自己只发 HTTP 请求。社区里最通行的协议来自 AUTOMATIC1111 的 WebUI（简称 A1111）：`POST /sdapi/v1/txt2img`。课程自带的服务器说的就是这个协议，所以下面的代码换一个地址，就能用在你家里的 WebUI 上。`StableDiffusionService` 保留了原章节的类名、方法名和参数顺序：

# %% [markdown] lang="en"
# ## 3 One line: `StableDiffusionService`
#
# Running a pipeline yourself means loading a model and finding the memory for it. Most people let a *service* paint and
# send HTTP requests. The protocol in widest use comes from AUTOMATIC1111's WebUI (A1111 for short): `POST
# /sdapi/v1/txt2img`. The course's own server speaks it, so with another address this code works with a WebUI at your
# home. `StableDiffusionService` keeps the chapter's names and the order of its arguments:

# %%
HOW = {"steps": 16, "guidance_scale": 3.0, "sampler": "DDIM"}

service = StableDiffusionService()
picture = service.text_to_image(PROMPT, seed=7, **HOW | {"steps": 50})
difference = np.abs(np.asarray(picture, int) - np.asarray(official, int)).max()
print(say(zh="和上面是同一张图：", en="the same picture as above:"), difference <= 2)
for name, value in picture.parameters.items():
    print(f"{name:15} {value}")
picture

# %% [markdown] lang="zh"
# 服务画的和我们手写的循环画的是同一张。返回的是一张普通的 PIL 图片，多了一项 `parameters`：它*真正*是用什么参数画的。这些参数也写在 PNG 文件里（和 A1111 的格式一样），所以一年以后还能知道一张图是怎么来的：

# %% [markdown] lang="en"
# The service paints what our own loop painted. What comes back is an ordinary PIL picture with one thing more,
# `parameters`: what it was *really* painted with. They are written into the PNG file as well (in A1111's own form), so
# that a year from now a picture can still tell where it came from:

# %%
from pathlib import Path
from tempfile import TemporaryDirectory

from course_lib import read_picture

with TemporaryDirectory() as folder:
    picture.save(Path(folder, "car.png"))
    found = read_picture(Path(folder, "car.png"))
print(found.seed, found.parameters == picture.parameters)
print(found.infotext)

# %% [markdown] lang="zh"
# ## 4 旋钮
#
# ### 随机种子（seed）
#
# 种子决定起点的噪声，起点决定终点。`count=6` 一次要六张，种子依次加一：

# %% [markdown] lang="en"
# ## 4 The knobs
#
# ### Seed
#
# A seed decides the noise at the start, and the start decides the end. `count=6` asks for six at once, whose seeds
# follow each other:

# %%
TURTLE = {"zh": "图中有一只乌龟", "en": "a picture of a turtle"}[LANG]
six = service.text_to_image(TURTLE, seed=0, count=6, **HOW)
once, twice = (service.text_to_image(TURTLE, seed=3, **HOW) for _ in range(2))
assert once.tobytes() == twice.tobytes()  # to the bit
print(TURTLE)
plots.gallery(six, [f"seed {picture.seed}" for picture in six], columns=6, size=1.2)

# %% [markdown] lang="zh"
# **看什么**：同一句话，六种画法：话里没说的颜色、地点、时间，都由种子决定。同一个种子、同样的参数，在同一台机器上每一位都相同（换了显卡、版本或一批的张数，末几位会变）。所以改提示词、改参数的时候，*把种子固定住*，差别才是你改出来的。种子 0 是一个正常的种子（第 7 节会看到原章节怎么把它弄丢了）。
#
# ### 引导强度（guidance）
#
# 一句话里要好几个东西，最难画：数目要对，每一个还要画得像。拿四句这样的话，每句四个种子，把引导从 1（等于没有引导）开到很大。数目和种类各对了几成，让 mini-clip 来认；画面的对比度，我们自己量。

# %% [markdown] lang="en"
# **What to notice**: one sentence, six pictures: the colour, the place and the hour that it leaves open are decided by the
# seed. One seed with the same parameters, on one machine, is the same to the last bit (another graphics card, version or
# number of pictures in a batch changes the last bits). So whenever you change a prompt or a parameter, *hold the seed
# still*, and what differs is your doing. Seed 0 is a seed like any other (in section 7 you will see how the chapter loses it).
#
# ### Guidance
#
# The hardest prompts ask for several things at once: their number must be right, and each must look like one. Take four
# such prompts and four seeds for each, with guidance from 1 (none at all) to very much. mini-clip measures in how many
# pictures number and kind are recognised; we add the contrast.

# %%
from little_world.scenes import several
from little_world.training.judge import Judge

judge = Judge()  # mini-clip: which of several sentences fits a picture best?
wanted = [(3, "fish", "orange", "beach", "day"), (4, "train", "green", "room", "night"),
          (3, "dog", "white", "meadow", "dusk"), (2, "sailboat", "red", "snow", "night")]  # fmt: skip
groups = [several(np.random.default_rng(0), **dict(zip(("count", "kind", "color", "background", "time"), w))) for w in wanted]
print(*[caption(group, LANG) for group in groups], sep="\n")

# %%
guidances = (1.0, 4.0, 20.0)
sweep = {}
for g in guidances:
    how = HOW | {"guidance_scale": g, "seed": 0, "count": 4}
    sweep[g] = [picture for group in groups for picture in service.text_to_image(caption(group, LANG), **how)]

# %% tags=["nbval-ignore-output"]
head = say(zh="| guidance | 数目对 | 种类对 | 对比度 |", en="| guidance | number right | kind right | contrast |")
table = [head, "|--:|--:|--:|--:|"]
for g, pictures in sweep.items():
    right = judge.shares(pictures, [group for group in groups for _ in range(4)], LANG, ("count", "kind"))
    contrast = np.mean([np.asarray(picture, float).std(axis=(0, 1)).mean() for picture in pictures])
    table.append(f"| {g:g} | {right['count']:.0%} | {right['kind']:.0%} | {contrast:.0f} |")
display(Markdown("\n".join(table)))

# %%
shown = [picture for pictures in sweep.values() for picture in pictures[::4]]
plots.gallery(shown, [f"guidance {g:g}" for g in guidances for _ in range(4)], columns=4, size=1.2)

# %% [markdown] lang="zh"
# **看什么**：没有引导的那一组，轮廓松散，数目有时出错（数一数鱼）；加一些引导，形状收紧了，对比度高了一点，数目那一列却看不出变好；开到最大，颜色变浓、对比度变高，画却又散了（看火车）：“放大的差”把潜变量推到了训练里从没到过的地方。**引导不是越大越好**，哪个值最好因模型而异，要量。量也要量够：这里每行只有十六张图，差一两张不算数，3、4、5 谁更好，这样的表说不出来。（只画一样东西时容易得多，不加引导也十有八九画得对，第 9 节的模型卡里有数字。）
#
# ### 步数（steps）

# %% [markdown] lang="en"
# **What to notice**: without guidance outlines are loose, and the number is sometimes wrong (count the fish); with some
# of it shapes tighten and the contrast rises a little, while the column of numbers shows no gain; with the most, colours grow heavy and the contrast rises, but the
# pictures fall apart again (look at the trains): the enlarged difference pushes the latents to where no training
# picture ever was. **More guidance is not always better**; which value is best differs from model to model, so measure.
# And measure enough: a row here stands on sixteen pictures, one or two more or fewer mean nothing, and such a table could
# not say which of 3, 4 and 5 is the best. (A single thing is much easier: nine times in ten it is right
# without any guidance; the model card in section 9 has the numbers.)
#
# ### Steps

# %%
BEACH = caption(one("turtle", "green", "beach", "dusk"), LANG)
numbers = (1, 2, 4, 8, 16, 32)
by_steps = [service.text_to_image(BEACH, seed=3, **HOW | {"steps": n}) for n in numbers]
plots.gallery(by_steps, [f"steps {n}" for n in numbers], columns=6, size=1.2)

# %% [markdown] lang="zh"
# 和第 1 节的鸭子一样：一步只够猜一个平均。步数太少，连颜色都不对（看龟壳）。从哪一张起，再加步数就看不出变化了？时间却是成比例增加的。
#
# ### 负面提示词（negative prompt）
#
# 负面提示词不是魔法，它就是公式里代替空提示词的那一句：每一步都朝*远离*它的方向走。所以里面只写你不想要的那一样，别的都不写。不说时间，模型会画白天、黄昏和夜晚；我们请它别画夜晚，然后数一数：

# %% [markdown] lang="en"
# As with the duck of section 1: one step is enough for a mean and no more. With too few, even the colour is wrong (look
# at the shell). From which picture on do more steps change nothing that can be seen? The time goes on growing with
# them.
#
# ### Negative prompt
#
# A negative prompt is no magic. It is the text that takes the place of the empty one in the formula: each step
# leads *away* from it. So put into it what you do not want, and nothing else. If no hour is named, the model
# paints days, dusks and nights; we ask it for no nights, and count:

# %%
from course_lib import CLIPService
from little_world.words import TIME

house = {"zh": "图中有一座房子", "en": "a picture of a house"}[LANG]
night = TIME[LANG]["night"]
plain = service.text_to_image(house, seed=20, count=12, **HOW)
without = service.text_to_image(house, night, seed=20, count=12, **HOW)

# %% tags=["nbval-ignore-output"]
clip = CLIPService()
template = {"zh": "{}的房子", "en": "a house {}"}[LANG]
results = clip.zero_shot_classify(plain + without, list(TIME[LANG].values()), template=template)
hours = [result.label for result in results]
for name, some in {say(zh="没有负面提示词", en="without a negative prompt"): hours[:12], f"- {night}": hours[12:]}.items():
    print(name, "|", night, some.count(night), "/", len(some))
plots.gallery(plain[:8] + without[:8], hours[:8] + hours[12:20], columns=8, size=1.1)

# %% [markdown] lang="zh"
# **看什么**：每张图上方是 mini-clip 看到的时间，上下两行种子相同。夜晚没有了，可是**被推开的不止夜晚**：黄昏也几乎没了，连本来就在白天草地上的那座红房子，也变成白的，搬进了沙漠，别的大多也去了那里。公式里说得明白：*每一步*都朝远离它的方向走，不管这一张本来要不要画夜晚。负面提示词不是橡皮擦，用了它，要看看还改掉了什么。哪座房子的颜色和地点都没变？
#
# ### 同一句话，两种语言
#
# 三个场景，各用中文和英文说一遍，种子相同：

# %% [markdown] lang="en"
# **What to notice**: above each picture stands the hour that mini-clip sees, and the two rows have the same seeds. The
# nights are gone, but **more than the night was pushed away**: so are nearly all dusks, and even the red house that
# stood in a meadow by day is white now and in a desert, where most of the others went as well. The formula says why:
# *every* step leads away from the negative prompt, whether or not this picture was going to show a night. It is no eraser:
# look at what else it changed. Which house kept both its colour and its place?
#
# ### One sentence, two languages
#
# Three scenes, each described in Chinese and in English, with the same seeds:

# %%
scenes = [one("cat", "orange", "room", "day"), one("rocket", "white", "desert", "dusk")]
scenes.append(one("umbrella", "red", "city", "night"))
both = {lang: [service.text_to_image(caption(s, lang), seed=5, **HOW) for s in scenes] for lang in ("zh", "en")}
for scene_told in scenes:
    print(caption(scene_told, "zh"), "|", caption(scene_told, "en"))
closeness = clip.encode_image(both["zh"]) @ clip.encode_image(both["en"]).T  # (3, 3) cosines

# %% tags=["nbval-ignore-output"]
print(say(zh="同一个场景的两种语言，余弦", en="cosine of the two languages of a scene"), closeness.diagonal().round(2))
print(say(zh="不同场景之间，平均", en="of different scenes, on average"), f"{(closeness.sum() - closeness.trace()) / 6:.2f}")
plots.gallery(both["zh"] + both["en"], ["zh"] * 3 + ["en"] * 3, columns=6, size=1.2)

# %% [markdown] lang="zh"
# 几乎画成同一张，是因为文本编码器把两句话变成了相近的向量；细看还有一点不同（看猫的眼睛），因为终究只是相近，并不相同。完整的 Stable Diffusion 1.5 只读英文，给它中文，它照样会画出点什么来，一句报错也没有：这正是第 02 课“英文 CLIP 配中文标签”的那个陷阱。

# %% [markdown] lang="en"
# They are nearly the same picture because in the text encoder the two sentences end close to each other, and not quite
# the same (look at the cat's eyes) because they are only close. The full-size Stable Diffusion 1.5 reads English alone;
# given Chinese it paints something all the same, without any error: the pitfall of lesson 02, an English CLIP with
# Chinese labels, again.

# %% [markdown] lang="zh"
# ## 5 图生图：从半路出发
#
# 图生图（image to image）不是从纯噪声开始，而是把你的图加噪到*半路*，再往回走。**重绘幅度** `strength` 就是起点在半路的什么地方：越接近 0 越不动（正好是 0，一步也不走，服务会拒绝），1 是从头画起。`steps=20`、`strength=0.5`，实际只走 10 步。
#
# 拿第 2 节那辆画出来的红车做原图，请模型改成雪夜里的蓝车，量两样东西：离原图有多远，新的要求满足了几成。

# %% [markdown] lang="en"
# ## 5 Image to image: set out half-way
#
# Image to image does not begin with noise alone: your picture is noised *half-way*, and then the walk back begins.
# **Strength** says how far that is: near 0 it is left alone (at 0 itself no step is taken, and the service refuses), 1
# begins from scratch. With `steps=20` and `strength=0.5`, ten steps are taken.
#
# Take the drawn red car of section 2, ask for a blue one in the snow at night, and measure two things: how far the
# result is from the original, and how much of the new wish is fulfilled.

# %%
wish = one("car", "blue", "snow", "night")
WISH = caption(wish, LANG)
strengths = (0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 0.95)
changed = [service.image_to_image(drawn, WISH, s, seed=2, count=2, **HOW) for s in strengths]
print(WISH)
titles = [say(zh="原图", en="original"), *map(str, strengths)]
plots.gallery([drawn, *(two[0] for two in changed)], titles, columns=8, size=1.1)

# %%
SAID = ("kind", "color", "background", "time")


def recognised(pictures, scene):
    """The share of what the scene's caption says that mini-clip finds in the pictures."""
    return np.mean(list(judge.shares(pictures, [scene] * len(pictures), LANG, SAID).values()))


far = [np.mean([distance(drawn, picture) for picture in two]) for two in changed]
new, old = ([recognised(two, told) for two in changed] for told in (wish, scene))

# %% tags=["nbval-ignore-output"]
figure, axes = plots.figure(8.2, 2.6, 1, 2)
left, right = axes[0]
left.plot(strengths, far, marker="o")
floor = say(zh="只经过 VAE", en="through the VAE alone")
left.axhline(distance(drawn, again), linestyle="--", color=plots.MUTED, label=floor)
left.set(title=say(zh="离原图的距离（0 到 255）", en="distance from the original, of 255"), ylim=(0, 1.15 * max(far)))
right.plot(strengths, new, marker="o", label=say(zh="新的要求", en="the new wish"))
right.plot(strengths, old, marker="o", label=say(zh="原图的内容", en="the original"))
right.set(title=say(zh="认得出几成", en="share recognised") + " · mini-clip", ylim=(0, 1.05))
for axis in (left, right):
    axis.set_xlabel("strength")
    axis.legend(fontsize=9)
figure

# %% [markdown] lang="zh"
# **看什么**：
#
# - 左图：距离随 `strength` 增大，但起点不是 0。虚线是只过一遍 VAE 的距离，再小也小不过它。
# - 右图：两条线在哪里交叉？交叉之前是“原图带一点新意”，之后是“新画带一点原图的影子”。两条线都有四分之一的底：“汽车”两边都要。
# - 小的 `strength` 只改得动局部的颜色，改不动大块：天空和地面在走回去的头几步就定了（第 2 节那张图的第三行），而那几步被跳过了。连颜色也改不到底：车身从红变橙，要到背景也守不住的时候才变蓝。
# - 中间有一段两边都不像（看 0.7）：既不是晴天的草地，也不是雪夜。

# %% [markdown] lang="en"
# **What to notice**:
#
# - Left: the distance grows with `strength`, but does not begin at 0. The dashed line is what a trip through the VAE
#   alone costs, and nothing comes below it.
# - Right: where do the two lines cross? Before that it is the original with a touch of the new, after that a new
#   picture with a shadow of the original. Both lines rest on a quarter: the car is in both.
# - A small `strength` changes colours here and there, but nothing large: sky and ground are decided in the first steps
#   of the way back (the third row of section 2's figure), and those were skipped. Even a colour is not changed all the
#   way: the car turns from red to orange, and blue only when the background gives way as well.
# - In between is a stretch that is neither one nor the other (look at 0.7): no sunny meadow, and no snow at night.

# %% [markdown] lang="zh"
# ## 6 局部重绘：蒙版之外，一个像素也不许动
#
# 局部重绘（inpainting）多一张**蒙版**（mask）：白色的地方重画，黑色的地方保留。用 PIL 画一张，把车圈起来，请模型在那里画一只黄色的鸭子：

# %% [markdown] lang="en"
# ## 6 Inpainting: outside the mask not a bit may change
#
# Inpainting takes a **mask** as well: what is white is repainted, what is black is kept. Draw one with PIL around the
# car, and ask for a yellow duck in its place:

# %%
from PIL import Image, ImageDraw

mask = Image.new("L", drawn.size, 0)
ImageDraw.Draw(mask).rounded_rectangle((26, 42, 102, 112), radius=18, fill=255)
DUCK = caption(one("duck", "yellow", "meadow", "day"), LANG)
inpainted = service.inpaint(drawn, mask, DUCK, strength=1.0, mask_blur=0, seed=1, **HOW)

outside = np.asarray(mask) == 0
assert np.array_equal(np.asarray(inpainted)[outside], np.asarray(drawn)[outside])  # to the bit
print(say(zh="蒙版外的像素，全部相同", en="pixels outside the mask, all the same:"), outside.sum())

# %% [markdown] lang="zh"
# > **陷阱：扩散库自己并不保留蒙版外的像素。** 整张图都要过一遍 VAE，所以*处处*都变了一点。A1111（和课程的服务器）会在最后把原图贴回去。直接用 diffusers 的话，这一步得自己做：

# %% [markdown] lang="en"
# > **Pitfall: the library by itself does not keep the pixels outside.** All of the picture goes through the VAE, so it
# > changes a little *everywhere*. A1111 (and the course's server) pastes the original back in the end. With diffusers
# > alone that is up to you:

# %%
from diffusers import AutoPipelineForInpainting

bare_pipe = AutoPipelineForInpainting.from_pipe(pipe)
bare_pipe.set_progress_bar_config(disable=True)
options |= {"num_inference_steps": 20, "generator": torch.Generator().manual_seed(1)}
bare = bare_pipe(DUCK, drawn, mask, strength=1.0, **options).images[0]
pasted = Image.composite(bare, drawn, mask)  # the cure: bare where the mask is white, else the original
for name, result in {"diffusers": bare, "+ composite": pasted, "StableDiffusionService": inpainted}.items():
    moved = (np.asarray(result)[outside] != np.asarray(drawn)[outside]).any(axis=1).mean()
    print(f"{name:24}", say(zh="蒙版外变了的像素", en="pixels outside that changed"), f"{moved:.0%}")

# %%
change = np.abs(np.asarray(bare, int) - np.asarray(drawn, int)).sum(axis=2)
change = np.repeat(np.clip(4 * change, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
soft = service.inpaint(drawn, mask, DUCK, strength=1.0, mask_blur=4, seed=1, **HOW)
titles = {
    "zh": ["原图", "蒙版", "重绘", "mask_blur=4", "diffusers 改了哪里"],
    "en": ["original", "mask", "inpainted", "mask_blur=4", "changed by diffusers"],
}[LANG]
plots.gallery([drawn, mask, inpainted, soft, change], titles, columns=5, size=1.4)

# %% [markdown] lang="zh"
# **看什么**：最右边一张越亮变得越多，蒙版外也不是全黑。`mask_blur` 让边缘过渡柔和，代价是边缘*外侧*几个像素也会变；要蒙版外分毫不动，就设成 0。

# %% [markdown] lang="en"
# **What to notice**: in the last picture, the brighter the more it changed, and outside the mask it is not black
# either. `mask_blur` softens the edge, at the price of a few pixels *outside* it; where not a bit may change, set it to
# 0.

# %% [markdown] lang="zh"
# ## 7 陷阱：参数被悄悄忽略
#
# 下面是原章节发请求的方式（按原意重写）。它大多能跑，不报错，也给你一张图。问题藏在字段名、默认值和被丢掉的回答里。我们让每个错误真的发生一次，再看对策。

# %% [markdown] lang="en"
# ## 7 The trap: parameters ignored without a word
#
# This is how the chapter sends its requests, in other words. Most of it runs, raises nothing, and gives you a picture.
# What is wrong is in the names of fields, in defaults, and in what is thrown away of the answer. Let each mistake really
# happen, then see the cure.

# %%
import base64
import io
import json

import requests

from course_lib.images import to_base64


class Naive:
    def __init__(self, url, key=None):
        self.url, self.headers = url, {"Authorization": f"Bearer {key}"} if key else {}

    def post(self, route, **fields):
        response = requests.post(f"{self.url}/sdapi/v1/{route}", json=fields, headers=self.headers, timeout=120)
        response.raise_for_status()
        self.answer = response.json()
        return Image.open(io.BytesIO(base64.b64decode(self.answer["images"][0])))


# %% [markdown] lang="zh"
# > **陷阱：`guidance_scale` 和 `strength`。** 这是 diffusers 的叫法，A1111 的协议里没有这两个字段。不认识的字段，它一声不响地丢掉，状态码照样是 200：

# %% [markdown] lang="en"
# > **Pitfall: `guidance_scale` and `strength`.** These are diffusers' names; A1111's protocol has no such fields. What
# > it does not know it drops without a word, and the status is 200 all the same:

# %%
naive = Naive(settings.local_server())
small = {"prompt": PROMPT, "width": 128, "height": 128, "steps": 10, "seed": 7}
weak, strong = (naive.post("txt2img", guidance_scale=g, **small) for g in (1, 15))
same = say(zh="每一位都相同：", en="the same to the bit:")
print("guidance_scale 1, 15 |", same, weak.tobytes() == strong.tobytes())

original = to_base64(drawn)
little, much = (naive.post("img2img", init_images=[original], strength=s, **small) for s in (0.1, 0.9))
print("strength 0.1, 0.9 |", same, little.tobytes() == much.tobytes())

echo = naive.answer["parameters"]
print({name: echo.get(name, "-") for name in ("strength", "denoising_strength", "guidance_scale", "cfg_scale")})

# %% [markdown] lang="zh"
# 线索在最后一行：回答里的 `parameters` 是服务器*理解到*的请求，里面根本没有 `strength` 和 `guidance_scale`，用的一直是默认值。`StableDiffusionService` 把这两个参数翻译成 `cfg_scale` 和 `denoising_strength`，每次都核对服务器的回显，不一致就警告：

# %% [markdown] lang="en"
# The clue is in the last line: `parameters` in the answer is the request *as the server understood it*, and holds
# neither `strength` nor `guidance_scale`; it was the defaults all the time. `StableDiffusionService` translates the two
# into `cfg_scale` and `denoising_strength`, compares what the server echoes each time, and warns where that differs:

# %%
import warnings

from course_lib import CourseWarning


def aloud(call):
    """What a call returns; its warnings are printed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CourseWarning)
        result = call()
    print(*(warning.message for warning in caught), sep="\n")
    return result


# %%
quick = HOW | {"steps": 10, "seed": 7}
weak, strong = (service.text_to_image(PROMPT, **quick | {"guidance_scale": g}) for g in (1, 15))
little, much = (service.image_to_image(drawn, PROMPT, s, **quick) for s in (0.1, 0.9))
for name, pair in {"guidance_scale 1, 15": (weak, strong), "strength 0.1, 0.9": (little, much)}.items():
    print(name, "|", same, pair[0].tobytes() == pair[1].tobytes())
_ = aloud(lambda: service.text_to_image(PROMPT, guidence_scale=3, **quick))  # a typing error

# %% [markdown] lang="zh"
# > **陷阱：`if seed > 0`。** 原章节只有种子大于 0 才发出去。0 也是合法的种子，却被悄悄当成了“随机”：

# %% [markdown] lang="en"
# > **Pitfall: `if seed > 0`.** The chapter sends a seed only if it is above 0. 0 is a seed, too, and quietly becomes
# > "random":

# %%
def naive_seed(seed):
    fields = {"prompt": PROMPT, "width": 128, "height": 128, "steps": 5}
    if seed > 0:
        fields["seed"] = seed
    return naive.post("txt2img", **fields)


print("Naive, seed 0:", naive_seed(0).tobytes() == naive_seed(0).tobytes())
first, second = (service.text_to_image(PROMPT, steps=5, seed=0) for _ in range(2))
print("StableDiffusionService, seed 0:", first.tobytes() == second.tobytes(), first.seed, second.seed)

# %% [markdown] lang="zh"
# > **陷阱：图生图不发尺寸。** 不发 `width` 和 `height`，用的就是默认的 512 × 512，你的宽图被压扁，小图被拉大；步数也退回默认的 50（下面为了省时间只走 2 步）。mini-sd 只学过 128 × 128，拉大以后就不成画了（只走 2 步也是原因之一）。`StableDiffusionService` 取输入图片自己的尺寸（右图的鸭子散了，是因为提示词里只有一辆红车）：

# %% [markdown] lang="en"
# > **Pitfall: image to image without a size.** Without `width` and `height` the default of 512 x 512 holds: a wide
# > picture is squashed, a small one blown up; and the steps fall back to 50 (below it is 2, to save time). mini-sd
# > learned 128 x 128 alone, and blown up it paints no picture any more (2 steps do their part). `StableDiffusionService`
# > takes the size of the input (the duck on the right comes apart because the prompt names a red car alone):

# %%
wide = Image.new("RGB", (256, 128))
wide.paste(drawn, (0, 0))
wide.paste(inpainted, (128, 0))
squashed = naive.post("img2img", init_images=[to_base64(wide)], prompt=PROMPT, steps=2)
kept = service.image_to_image(wide, PROMPT, 0.3, steps=10, seed=0)
plots.gallery([wide, squashed, kept], [f"{p.width} × {p.height}" for p in (wide, squashed, kept)], columns=3, size=1.8)

# %% [markdown] lang="zh"
# > **陷阱：局部重绘的默认值。** 原章节只发图、蒙版和提示词。其余的默认值（只看蒙版那一块、四周留 0 像素、用周围的颜色打底）各家服务器还不一样；蒙版的大小也没人检查，不对就悄悄拉伸。`StableDiffusionService` 每一项都明确发出去，大小不对就用一句话告诉你：

# %% [markdown] lang="en"
# > **Pitfall: inpainting's defaults.** The chapter sends picture, mask and prompt. The other defaults (only the masked
# > part, 0 pixels around it, filled with the surroundings' colours) differ from server to server; and nobody checks the
# > mask's size: a wrong one is stretched in silence. `StableDiffusionService` sends each of them, and where the size is
# > wrong it says so in a sentence:

# %%
from course_lib import CourseError

half = mask.resize((64, 64))
print("Naive:", naive.post("img2img", init_images=[original], mask=to_base64(half), **small).size)
unsaid = ("inpaint_full_res", "inpaint_full_res_padding", "inpainting_fill", "mask_blur_x")
print("      ", {name: naive.answer["parameters"][name] for name in unsaid})
try:
    service.inpaint(drawn, half, PROMPT)
except CourseError as problem:
    print("StableDiffusionService:", problem)

# %% [markdown] lang="zh"
# > **陷阱：Bearer 密钥。** 原章节把密钥放进 `Authorization: Bearer`。A1111 的 `--api-auth` 要的是 HTTP Basic，也就是“用户名:密码”。开一个带密码的服务器试试：

# %% [markdown] lang="en"
# > **Pitfall: a bearer key.** The chapter puts its key into `Authorization: Bearer`. What A1111's `--api-auth` wants is
# > HTTP Basic, "user:password". Try it on a server with a password:

# %%
from little_world.server import LocalServer

guarded = LocalServer(sd_model=MODEL, api_auth="reader:open-sesame", lazy=True)
try:
    Naive(guarded.url, "open-sesame").post("txt2img", **small)
except requests.HTTPError as problem:
    refusal = problem.response
    print("Naive:", refusal.status_code, refusal.json()["detail"], refusal.headers["www-authenticate"])
let_in = StableDiffusionService(guarded.url, "reader:open-sesame")
print("StableDiffusionService:", let_in.text_to_image(PROMPT, width=128, height=128, **quick).size)
guarded.close()

# %% [markdown] lang="zh"
# > **陷阱：丢掉 `info` 和第二张以后的图。** 原章节只取 `images[0]`。没指定种子时，真正用的种子在 `info` 里（一个*装着 JSON 的字符串*），丢了它，这张图就再也画不出来了：

# %% [markdown] lang="en"
# > **Pitfall: `info` and all pictures but the first are thrown away.** The chapter takes `images[0]`. Where no seed was
# > chosen, the one that was used is in `info` (a *string that holds JSON*); lose it, and this picture can never be
# > painted again:

# %%
naive.post("txt2img", batch_size=3, **small)
info = json.loads(naive.answer["info"])
print("Naive: 1 /", len(naive.answer["images"]), "| all_seeds", info["all_seeds"])
several = service.text_to_image(PROMPT, count=3, **quick)
print("StableDiffusionService:", [picture.seed for picture in several])

# %% [markdown] lang="zh"
# | 原章节 | 会怎样 | `StableDiffusionService` |
# |---|---|---|
# | `guidance_scale` | 被忽略，永远是默认值 | 发 `cfg_scale`，核对回显 |
# | `strength` | 被忽略，永远是 0.75 | 发 `denoising_strength`，先检查范围 |
# | 图生图不发尺寸和步数 | 压成 512 × 512、50 步 | 用输入图片的尺寸 |
# | 局部重绘用默认值，不查蒙版 | 各家结果不同，蒙版被拉伸 | 每一项都发，先查蒙版 |
# | `if seed > 0` | 0 变成随机 | 只有 `None`（或 -1）是随机 |
# | Bearer | 401 | HTTP Basic |
# | 丢掉 `info`、`images[1:]` | 找不回种子 | 种子和参数跟着图片走 |
#
# **规律**：服务器不报错，不等于它照办了。看回显。

# %% [markdown] lang="en"
# | the chapter | what happens | `StableDiffusionService` |
# |---|---|---|
# | `guidance_scale` | ignored, always the default | sends `cfg_scale`, checks the echo |
# | `strength` | ignored, always 0.75 | sends `denoising_strength`, checks its range first |
# | image to image without size and steps | squashed to 512 x 512, 50 steps | the size of the input |
# | inpainting by default, mask unchecked | differs between servers, mask stretched | sends every field, checks the mask first |
# | `if seed > 0` | 0 becomes random | only `None` (or -1) is random |
# | Bearer | 401 | HTTP Basic |
# | `info` and `images[1:]` dropped | the seed is lost | seed and parameters stay with each picture |
#
# **The rule**: that a server raises no error does not mean that it did as you asked. Look at the echo.

# %% [markdown] lang="zh"
# ## 8 批量生成：一张失败不连累别的，中途被杀也能接着画
#
# 原章节的批量循环画一张、存一张、`sleep(1)`。第三个提示词出错会怎样？（这里是不小心贴进来的一整页文字。）

# %% [markdown] lang="en"
# ## 8 Batches: a failure stays alone, a kill loses nothing
#
# The chapter's batch paints one, saves one, and sleeps for a second. What if the third prompt fails? (Here it is a
# whole page, pasted by accident.)

# %%
page = PROMPT * 2000
prompts = [caption(s, LANG) for s in scenes]
prompts.insert(2, page)


def naive_batch(prompts):
    results = []
    for prompt in prompts:
        results.append(naive.post("txt2img", **small | {"prompt": prompt}))
    return results


try:
    naive_batch(prompts)
except requests.HTTPError as problem:
    print("HTTPError", problem.response.status_code)

# %% [markdown] lang="zh"
# 整个循环停了：前两张就算存了盘，也没有交出来，第四张没轮到。再跑一遍，文件名相同，旧图被覆盖。（`sleep(1)` 也限制不了什么：调用本来就是一个等一个的。）

# %% [markdown] lang="en"
# The loop is over: two pictures may lie on the disk, but were never handed over, and the fourth never had its turn. Run it
# again, and files of the same names are overwritten. (And `sleep(1)` limits nothing: the calls wait for each other anyway.)

# %%
from IPython.display import Image as Shown

from course_lib import batch_generate
from course_lib.images import encode as as_file
from course_lib.images import resize

work = TemporaryDirectory(ignore_cleanup_errors=True)
made = aloud(lambda: batch_generate(service, prompts, Path(work.name, "four"), seed=5, **HOW))
Shown(as_file(resize(made.sheet, 552), "JPEG"))

# %% [markdown] lang="zh"
# 三张画好了，失败的那张有自己的记录，还有一张总览图。文件夹里的 `manifest.jsonl` 记着每一张的提示词、种子、参数和校验和。改好那个提示词再跑一遍，只画缺的那一张（提示词变了就是新的一张，文件名接着往下编）：

# %% [markdown] lang="en"
# Three are painted, the one that failed has a record of its own, and there is a contact sheet. `manifest.jsonl` in the
# folder holds prompt, seed, parameters and checksum of each picture. Mend the prompt and run again: only what is
# missing is painted (another prompt is another picture, so its file gets the next number):

# %%
before = {path: path.stat().st_mtime_ns for path in made.paths}
prompts[2] = TURTLE
made = batch_generate(service, prompts, Path(work.name, "four"), seed=5, **HOW)
touched = [path.name for path in made.paths if before.get(path) != path.stat().st_mtime_ns]
print(f"{len(made.paths)} / {len(made)}", say(zh="这一次画的：", en="painted this time:"), touched)

# %% [markdown] lang="zh"
# ### 杀掉它
#
# 真正的考验：画到一半，进程被 `kill -9` 强行结束，什么善后也来不及做。下面把批量任务写成一个独立的脚本，画下一节要用的几十张，画了几张就杀掉它，再*原样*运行一遍。

# %% [markdown] lang="en"
# ### Kill it
#
# The real test: half-way through, the process is ended by `kill -9`, with no time to tidy up anything. We write the
# batch as a script of its own that paints the dozens of pictures which the next section needs, kill it after a few, and
# run it again *unchanged*.

# %%
from little_world import HELD_OUT
from little_world.scenes import allowed_pairs, single
from little_world.training.data import TEST, scene_rng

new_pairs = sorted(HELD_OUT)  # never in any training picture
known_pairs, asked = [], []
for i, (kind, _) in enumerate(new_pairs):  # the same kinds, in colours that they were seen in
    seen = [pair for pair in allowed_pairs() if pair[0] == kind]
    known_pairs.append(seen[i % len(seen)])
for i, pair in enumerate(known_pairs + new_pairs):
    asked.append(single(scene_rng(TEST, 230_000_000 + i), kind=pair[0], color=pair[1], pairs=[pair]))

# %%
script = f"""import json, sys
from course_lib import StableDiffusionService, batch_generate
prompts = json.load(open("prompts.json", encoding="utf-8"))
batch_generate(StableDiffusionService(sys.argv[1]), prompts, "out", seed=0, width=128, height=128, **{HOW})
"""
Path(work.name, "paint.py").write_text(script, encoding="utf-8")
Path(work.name, "prompts.json").write_text(json.dumps([caption(s, LANG) for s in asked]), encoding="utf-8")
print(script)

# %% tags=["nbval-ignore-output"]
import subprocess
import sys
import time
from collections import Counter

from course_lib.stable_diffusion import Batch

command = [sys.executable, "paint.py", settings.local_server()]
process = subprocess.Popen(command, cwd=work.name)
out = Path(work.name, "out")
while process.poll() is None and len(Batch.load(out).paths) < 5:
    time.sleep(0.1)
process.kill()  # on Linux and macOS this is kill -9
process.wait()
killed = {path: path.stat().st_mtime_ns for path in Batch.load(out).paths}
print(Counter(entry.status for entry in Batch.load(out)))

# %%
subprocess.run(command, cwd=work.name, check=True)
batch = Batch.load(out)
assert not batch.failures and [entry.seed for entry in batch] == list(range(len(asked)))
assert all(path.stat().st_mtime_ns == when for path, when in killed.items())  # nothing was painted twice
print(len(batch.paths), "/", len(asked))
Shown(as_file(resize(batch.sheet, 720), "JPEG", quality=60))

# %% [markdown] lang="zh"
# **它是怎么做到的**：画*之前*先把“打算画什么、用哪个种子”写进清单并落盘；图片先写到临时文件，写完才改名，所以不会有半张图；改了名还没来得及记账的，从 PNG 里的标记认出来。再运行时对照清单，只补缺的，种子也照旧。

# %% [markdown] lang="en"
# **How it does that**: *before* a picture is painted, what it is to be and its seed are in the manifest, and on the
# disk. A picture is written to a temporary file and renamed when it is whole, so there never is half of one; one that
# was renamed but not yet noted is known by the mark in its PNG. The next run compares with the manifest and paints what
# is missing, with the same seeds.

# %% [markdown] lang="zh"
# ## 9 给生成模型打分
#
# “画得真好看”不是测量。我们知道每张图*应该*是什么，于是请 mini-clip 看图作答：是什么、什么颜色、在哪里、什么时候、在画面的什么位置。两组一样多：
#
# - **见过的组合**：颜色和种类在训练里一起出现过；
# - **没见过的组合**（`HELD_OUT`，例如紫色的猫）：颜色见过，种类见过，合在一起从没见过。
#
# 每组再让画图代码把*同样的场景*画一遍（下面叫“标准画”），给同一个考官看。考官在标准画上的得分就是**上限**：连标准画都会认错的部分，不能怪画家（mini-sd）。

# %% [markdown] lang="en"
# ## 9 Score a generator
#
# "Looks lovely" is no measurement. We know what each picture *ought* to be, so let mini-clip look at them and say: what
# is it, of what colour, where, when, in which part of the picture? Two groups of the same size:
#
# - **seen pairs**: colour and kind occurred together in training;
# - **held-out pairs** (`HELD_OUT`, a purple cat for one): the colour was seen, the kind was seen, never the two
#   together.
#
# And for each, the *same scenes* as code draws them, shown to the same judge. That is the judge's ceiling: where it
# misreads even these, the painter is not to blame.

# %%
from little_world.training.judge import FACTS, question

paintings = [picture for _, picture in batch.pictures()]
n = len(known_pairs)
groups = {say(zh="见过的组合", en="seen pairs"): slice(0, n), say(zh="没见过的组合", en="held-out pairs"): slice(n, 2 * n)}
rows = {}
for pairs, some in groups.items():
    drawings = [draw(s) for s in asked[some]]
    for by, pictures in {Path(MODEL).name: paintings[some], say(zh="标准画", en="drawn by code"): drawings}.items():
        rows[f"{pairs} · {by}"] = list(judge.shares(pictures, asked[some], LANG).values())

# %% tags=["nbval-ignore-output"]
columns = say(zh="种类|颜色|地点|时间|位置", en="kind|colour|background|hour|place").split("|")
title = say(zh="mini-clip 认得出的比例", en="share that mini-clip recognises")
plots.heatmap(np.array(list(rows.values())), list(rows), columns, title=title, width=7.2, row_height=0.42)

# %% tags=["nbval-ignore-output"]
error = 1.96 * np.sqrt(0.5 * 0.5 / n)  # 95 %, for a share of one half, where it is largest
print(say(zh=f"每格 {n} 张画，误差最大约 ±{error:.0%}", en=f"{n} pictures a cell: an error of up to about ±{error:.0%}"))
card = Path(settings.locate(MODEL), "metrics.json")
if card.is_file():
    from little_world.training.evaluate_sd import markdown

    record = json.loads(card.read_text(encoding="utf-8"))
    many = record["numbers"]["pictures a row"]
    print(say(zh=f"模型卡里的表（英文），每行 {many} 张画：", en=f"The model card's table, {many} pictures a row:"))
    display(Markdown(markdown(record["rows"])))

# %% [markdown] lang="zh"
# **看什么**：
#
# - 画家的每一行都要和它*下面*那行标准画比。没见过的组合，考官自己认标准画就认得出多少（第 02 课见过它的这个毛病）？比这还差的部分，才算画家的错。
# - 反过来也要当心：两行一样，*不*等于画家没有错。考官自己都有近一半认错，这把尺子太粗，量不出种类画得好不好（模型卡里，画家的分数还不低于标准画）。颜色那一列，考官几乎不会认错，才量得准：没见过的组合，颜色照样画得对。
# - 十几张图能说明的有限。误差印在上面；模型卡里的表是用多得多的图量的。
# - **考官不是中立的**：mini-sd 的文本编码器就是从 mini-clip 学来的，两个模型可能犯*同样*的错。真正上线前，要有另一个考官：别的模型，或者人。
#
# 分数告诉你有多糟，图告诉你*怎么*糟。把最差的几张找出来，“要的 → 看到的”。每张都自己认一认：你一眼就认得出，错的是考官；你也认不出，错的才是画家。

# %% [markdown] lang="en"
# **What to notice**:
#
# - Compare each of the painter's rows with the row of drawings *below* it. Of held-out pairs, how many drawings does
#   the judge itself get right (lesson 02 showed this weakness of it)? Only what is worse than that is the painter's
#   fault.
# - But two equal rows do *not* prove that the painter made no mistake. Where the judge errs nearly half the time, the
#   yardstick is too coarse to say how well the kind was painted (in the model card the painter scores no lower than the
#   drawings). About colours the judge is hardly ever wrong, so that column can be trusted: on held-out pairs, too, the
#   colour is painted right.
# - A dozen pictures or so prove little. The error is printed above; the model card's table stands on many more.
# - **The judge is not neutral**: mini-sd's text encoder began as mini-clip's, and the two may make the *same* mistakes.
#   Before you rely on such a score, find another judge: a different model, or people.
#
# A score says how bad it is, pictures say *in which way*. Here are the worst, "asked → seen". Look for yourself: what
# you recognise at once, the judge got wrong; what you cannot make out either, the painter got wrong.

# %%
from little_world import labels

vectors = judge.embed(paintings)


def mistakes(vector, scene):
    """What mini-clip sees in place of what was asked for: ["cat → dog", ...]."""
    found = []
    for fact in FACTS:
        choices, right = question(fact, scene, LANG)
        seen = int(judge.answers(vector[None], [choices])[0])
        words = list(labels(fact, LANG).values())
        found += [f"{words[right]} → {words[seen]}"] if seen != right else []
    return found


# %% tags=["nbval-ignore-output"]
wrong = [mistakes(vector, s) for vector, s in zip(vectors, asked)]
worst = sorted(range(len(asked)), key=lambda i: -len(wrong[i]))[:6]
plots.gallery([paintings[i] for i in worst], ["\n".join(wrong[i][:2]) or "✓" for i in worst], columns=6, size=1.25)

# %% [markdown] lang="zh"
# ## 10 原章节列的四个模型，和它们的 API
#
# 它们今天怎么调用？（2026 年 11 月查证）
#
# | 模型 | 有公开的 API 吗 | 怎么用 |
# |---|---|---|
# | Midjourney | **没有** | 只能在它的网站和 Discord 里用；网上以它的名义卖的 API 都不是它自己的 |
# | Stable Diffusion | 有：自己架 | 本课的协议：A1111、Forge、SD.Next、stable-diffusion.cpp，或课程的服务器 |
# | DALL·E 3 | 已关闭 | 接班的是 GPT Image 系列，用 OpenAI 的图片接口 |
# | Adobe Firefly | 有：REST，异步 | 先提交任务，再查状态，最后取图；收费 |
#
# 课程把有 API 的几家放在*同样的三个方法*后面，换一家只换名字。具体的模型名和停用日期由程序里的登记表打印：

# %% [markdown] lang="en"
# ## 10 The chapter's four models, and their APIs
#
# How does one call them today? (Checked in November 2026.)
#
# | model | is there a public API? | how |
# |---|---|---|
# | Midjourney | **no** | on its web site and in Discord alone; what is sold as its API is not its own |
# | Stable Diffusion | yes: your own server | the protocol of this lesson: A1111, Forge, SD.Next, stable-diffusion.cpp, or the course's server |
# | DALL·E 3 | shut down | succeeded by the GPT Image models, over OpenAI's images API |
# | Adobe Firefly | yes: REST, asynchronous | hand in a job, ask how it is doing, fetch the pictures; not free |
#
# The course puts those that have an API behind *the same three methods*; another painter is another name. The models'
# names, and when they end, are printed from the program's registry:

# %%
from course_lib import image_service, registry

head = say(zh="| 服务 | 模型 | 停用日期 | 依据 |", en="| service | model | ends | source |")
table = [head, "|---|---|---|---|"]
for painter in registry.painters():
    if painter.provider != "local":
        table.append(f"| {painter.provider} | `{painter.id}` | {painter.ends or '-'} | {painter.source} |")
display(Markdown("\n".join(table)))
for name in ("midjourney", "firefly"):
    try:
        image_service(name)
    except CourseError as problem:
        print(f"{name}:", problem)

# %% [markdown] lang="zh"
# OpenAI 的图片接口，课程的服务器也会说，所以不用密钥就能真的走一遍：`/v1/images/generations` 和 `/v1/images/edits`。它没有种子、步数、引导和负面提示词；你传了，`course_lib` 会明说它们不起作用。它的蒙版和 A1111 *正好相反*：透明的地方才重画。你仍然传白色，转换由库来做。（真正的 GPT Image 只把蒙版当参考，蒙版外也可能变：要分毫不动，照第 6 节自己贴回去。）

# %% [markdown] lang="en"
# The course's server speaks OpenAI's images API, too, so you can go through with it without a key:
# `/v1/images/generations` and `/v1/images/edits`. It has no seed, steps, guidance or negative prompt; pass one, and
# `course_lib` says that it does nothing. Its mask means *the opposite* of A1111's: what is transparent is repainted.
# You still pass white, the library turns it around. (The real GPT Image takes a mask as guidance and may change what is
# outside, too: to keep that to the bit, paste it back as in section 6.)

# %%
other = image_service("openai", provider="local")
painted = aloud(lambda: other.text_to_image(PROMPT, seed=7, steps=20))
edited = other.inpaint(painted, mask, DUCK)
assert np.array_equal(np.asarray(edited)[outside], np.asarray(painted)[outside])
plots.gallery([painted, edited], ["generations", "edits"], columns=2, size=1.4)

# %% [markdown] lang="zh"
# ## 11 换成完整模型
#
# > **完整模型。** 有显卡（在 Colab 上选一个 GPU 运行时），一个参数就够了：课程的服务器能加载 diffusers 格式的文生图模型。下表由登记表打印，第一次使用要下载：

# %% [markdown] lang="en"
# ## 11 Swap in a full-size model
#
# > **Full-size.** With a graphics card (on Colab, choose a GPU runtime) a single argument will do: the course's server
# > loads text-to-image models of diffusers. The table is printed from the registry; the first use downloads:

# %%
display(Markdown(registry.table(task="diffusion")))
classic, turbo = (next(m for m in registry.models(task="diffusion") if word in m.id) for word in ("v1-5", "turbo"))
print(f'service = StableDiffusionService(model="{classic.id}")   # {classic.size} x {classic.size}')
print(f'service = StableDiffusionService(model="{turbo.id}")   # {turbo.size} x {turbo.size}, steps={turbo.steps}, guidance_scale={turbo.guidance:g}')
print(say(zh="# 或者让服务器单独跑，几台电脑共用：", en="# or as a server of its own, for several computers:"))
print(f".venv/bin/python -m little_world.server --port 7860 --sd-model {classic.id}")

# %% [markdown] lang="zh"
# - **Turbo 一类的模型**是“蒸馏”过的：几步就画完（sdxl-turbo 一到四步，Z-Image-Turbo 八步），也不要引导（`guidance_scale=1`；没有引导，负面提示词也就不起作用）。给它 20 步、引导 7，反而画坏。
# - 登记表里语言写着 en 的，请用英文提示词；要用中文，选写着 zh 的。
# - 权重有多大，显存至少就要多大：16 GB 的显卡装得下 Stable Diffusion 1.5 和 sdxl-turbo，Qwen-Image 要 60 GB 上下。Z-Image、FLUX.2 和 Qwen-Image 的边长要是 16 的倍数，采样器用自己的；写了却不起作用的参数，图片的 `infotext` 里会列出来（`Without effect`）。
#
# > **家里的 WebUI。** A1111 和 Forge 启动时加 `--api`，课程的代码只换地址。写进 `.env`，整门课都换：
# >
# > ```
# > COURSE_SD_URL=http://localhost:7860
# > COURSE_SD_AUTH=reader:open-sesame     # 启动时用了 --api-auth 才需要
# > ```
#
# 想拿完整模型再跑一遍这一课，选 Stable Diffusion 1.5（设 `COURSE_SD_MODEL`）：把 128 改成它的尺寸（上面印着），`draw(...)` 也传入这个尺寸，蒙版的坐标按比例放大，提示词写英文。第 2 节手写的循环只适用于 Stable Diffusion 1 的结构；SDXL 有两个文本编码器，Z-Image、FLUX、Qwen-Image 不再用 UNet，那一节就跑不了。第 9 节的考官只认识小世界，要换成完整的 CLIP。

# %% [markdown] lang="en"
# - **Turbo models** are "distilled": they paint in a few steps (sdxl-turbo in one to four, Z-Image-Turbo in eight) and want
#   no guidance (`guidance_scale=1`; and without guidance a negative prompt does nothing). With 20 steps and a guidance of 7
#   they paint worse.
# - Where the registry says en alone, write English prompts; for Chinese ones take a model that says zh.
# - A card's memory has to hold the weights at least: 16 GB take Stable Diffusion 1.5 and sdxl-turbo, Qwen-Image wants some
#   60 GB. Z-Image, FLUX.2 and Qwen-Image paint sides that are multiples of 16 and keep their own sampler; what you asked for
#   and has no effect is named in the picture's `infotext` (`Without effect`).
#
# > **The WebUI at home.** Start A1111 or Forge with `--api`, and all that changes in the course's code is an address.
# > In `.env` it holds for the whole course:
# >
# > ```
# > COURSE_SD_URL=http://localhost:7860
# > COURSE_SD_AUTH=reader:open-sesame     # only where it was started with --api-auth
# > ```
#
# To run this lesson again with a full-size model, take Stable Diffusion 1.5 (set `COURSE_SD_MODEL`): put its size (printed
# above) in place of 128, hand it to `draw(...)`, scale the mask's corners, and write prompts in English. Section 2's own
# loop fits the build of Stable Diffusion 1 alone: SDXL has two text encoders, and Z-Image, FLUX and Qwen-Image have no UNet
# any more. The judge of section 9 knows Little World alone: take a full-size CLIP in its place.

# %% [markdown] lang="zh"
# ## 12 动手玩
#
# 改提示词、引导、步数、种子，点“画”。把画好的一张放到左边，勾上“重绘”，拖动 `strength`。试试：只改种子；引导 1 和 15；训练里没有的组合；小世界之外的东西（它会画出什么？）；上传一张你自己的照片做图生图。

# %% [markdown] lang="en"
# ## 12 Play
#
# Change prompt, guidance, steps or seed, and press Paint. Keep a picture on the left, tick the box, and move
# `strength`. Try: the seed alone; guidance 1 and 15; a pair that was never trained; something from outside Little World
# (what does it paint?); a photograph of your own, for image to image.

# %% tags=["nbval-ignore-output"]
from course_lib.paint_widget import paint_playground

paint_playground(service, PROMPT, start=drawn, seed=7, sampler="DDIM", guidance_scale=3.0, width=128, height=128)

# %% [markdown] lang="zh"
# ## 小测验

# %% [markdown] lang="en"
# ## Quiz

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
from course_lib.widgets import quiz

quiz(
    say(
        zh="从纯噪声出发，只走一步，得到的是一团模糊。为什么？",
        en="From noise alone, in a single step, the result is a blur. Why?",
    ),
    {
        say(zh="网络训练得不够", en="The network was not trained enough"): say(
            zh="训练得再好也一样。", en="The best training does not change that."
        ),
        say(zh="网络猜的是所有可能的平均", en="It guesses the mean of all that is possible"): say(
            zh="从纯噪声看，什么都有可能，平均就是一团模糊；走一小步，可能性就少一些。",
            en="Seen from noise anything is possible, and the mean of that is a blur; a small step leaves less.",
        ),
        say(zh="VAE 丢了细节", en="The VAE dropped the details"): say(
            zh="鸭子没有用 VAE，也是一样。", en="The duck had no VAE, and it was the same."
        ),
    },
    answer="B",
)

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
quiz(
    say(
        zh="你向一个 A1111 服务器发了 `guidance_scale=1` 和 `guidance_scale=15`，种子相同，两张图一模一样。最可能的原因？",
        en="You send `guidance_scale` 1 and 15 to an A1111 server, with one seed, and get the same picture twice. Why?",
    ),
    {
        say(zh="种子固定了，图当然一样", en="The seed is fixed, so of course they are the same"): say(
            zh="种子相同、引导不同，图应当不同。", en="With one seed and another guidance they should differ."
        ),
        say(zh="服务器有缓存", en="The server has a cache"): say(zh="A1111 不缓存图片。", en="A1111 keeps no pictures."),
        say(zh="字段名不对，被悄悄忽略了", en="The field's name is wrong, and was ignored without a word"): say(
            zh="协议里叫 cfg_scale。看回答里的 parameters 就知道。",
            en="The protocol calls it cfg_scale. `parameters` in the answer tells.",
        ),
    },
    answer="C",
)

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
quiz(
    say(
        zh="只想给图里的车换个颜色，别的尽量不动。`strength` 怎么选？",
        en="The car in a picture is to have another colour, and all else is to stay as it is. Which `strength`?",
    ),
    {
        say(zh="1.0，改得最彻底", en="1.0, to change it thoroughly"): say(
            zh="那就是从头画起，原图什么也不剩。", en="That begins from scratch, and nothing is left of the original."
        ),
        say(zh="小到中等，从 0.3 左右试起，不够再加", en="Small to middling: begin at about 0.3, then try more"): say(
            zh="天空和地面在跳过的那几步里就定了，颜色还改得动一些。提示词里背景照旧写，再大一些背景也大致不变（第 5 节连背景也要换，才一起变了）。要分毫不动，用局部重绘。",
            en="Sky and ground belong to the steps it skips; colours can still move. If the prompt names the same "
            "background, more of it keeps that roughly, too (section 5 asked for another one). To keep it to the bit, inpaint.",
        ),
        say(zh="0，然后在提示词里写清楚", en="0, and a precise prompt"): say(
            zh="0 一步也不走，什么也改不了，服务会直接拒绝。", en="At 0 no step is taken, so nothing can change: the service refuses it."
        ),
    },
    answer="B",
)

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
quiz(
    say(
        zh="用 CLIP 给生成模型打分，颜色一项得了 97%。哪句话是对的？",
        en="A generator is scored by CLIP, and gets 97 % for colour. Which is true?",
    ),
    {
        say(zh="97% 的图颜色正确", en="97 % of the pictures have the right colour"): say(
            zh="这是考官*认为*的比例。考官自己也会错。", en="That is what the judge *believes*, and a judge can be wrong."
        ),
        say(zh="先看考官在标准画上得多少分，再看用了多少张图", en="See how the judge does on true pictures, and how many there were"): say(
            zh="上限和误差，缺一不可。", en="A ceiling and an error: a score needs both."
        ),
        say(zh="可以直接和别人论文里的数字比", en="It can be compared with the numbers of any paper"): say(
            zh="考官、提示词、图的数量都不同，没有可比性。", en="With another judge, other prompts and another number of pictures it cannot."
        ),
    },
    answer="B",
)

# %%
work.cleanup()

# %% [markdown] lang="zh"
# ## 小结
#
# - 扩散模型学的是“从这里该往哪里走”。它猜的是平均，所以要分很多小步；起点的噪声（种子）决定终点。
# - Stable Diffusion = 文本编码器 + 在潜变量里去噪的 UNet + 调度器 + VAE。引导是“有提示词”与“没有提示词”之差的放大；负面提示词就是换掉那个“没有”。
# - 图生图从半路出发，`strength` 是半路有多远；局部重绘要自己把蒙版外贴回去，贴了才分毫不差。
# - 协议里的名字才算数。服务器不报错不等于照办：**看回显，记种子**。
# - 批量生成要能失败、能被杀、能接着画；先写计划，再画，整个文件写完才改名。
# - 生成模型要打分：逐项、带上限、带误差，并且记住考官也会错。
#
# 接下来：[练习 2](../../exercises/zh/ex2_batch_generator.ipynb)，批量画图工具。术语对照见 [docs/glossary.md](../../docs/glossary.md)。

# %% [markdown] lang="en"
# ## Summary
#
# - A diffusion model learns "which way from here?". It guesses a mean, so it takes many small steps; and the noise at
#   the start (the seed) decides where they end.
# - Stable Diffusion = a text encoder + a UNet that walks among latents + a scheduler + a VAE. Guidance enlarges the
#   difference between "with the prompt" and "without"; a negative prompt replaces the "without".
# - Image to image sets out half-way, and `strength` is how far that is. Inpainting keeps what is outside the mask to
#   the bit only if the original is pasted back.
# - The protocol's names count. That a server raises no error does not mean it obeyed: **look at the echo, keep the
#   seed**.
# - A batch must be able to fail, to be killed and to go on: plan first, paint then, and rename a file once it is whole.
# - Score a generator: fact by fact, with a ceiling, with an error, and remember that the judge can be wrong.
#
# Next: [exercise 2](../../exercises/en/ex2_batch_generator.ipynb), a batch picture generator. The terms in both languages
# stand in [docs/glossary.md](../../docs/glossary.md).

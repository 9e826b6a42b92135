# %% [markdown] lang="zh"
# # 05b · 视频生成：让画动起来
#
# 第 05 课在*看*视频，这一课来*造*视频：给一句话，得到一段会动的画面，这就是**文生视频**（text to video）。难处只有一个，却是新的：每一帧都要画得对，而且帧与帧要对得上。这一课先让它失败给你看，再打开让它成功的那个零件，量一量它到底有没有照着提示词动。
#
# **学完这一课，你能够**
#
# - 说出一张张地画为什么会闪烁（flicker），运动模块（motion module）怎样让帧与帧互相看见；
# - 用一句话或一张图生成一段视频，并用跟踪（tracking）量出它有没有照着提示词动；
# - 说出视频协议的三步：下单、询问、取货，并用自己的代码或官方的 `openai` 库走一遍；
# - 换上可以下载的完整模型，并知道要问清楚什么。
#
# **时间**：约 30 分钟。**需要**：第 04 课，第 05 课的前两节；不需要显卡、网络或 API 密钥。
#
# 画画的是第 04 课的 **mini-sd**，让画动起来的是 **mini-motion**，两个都是本项目从零训练的微型模型。

# %% [markdown] lang="en"
# # 05b · Video generation: pictures that move
#
# Lesson 05 *looked at* videos. This one *makes* them: a sentence in, a moving picture out, **text to video**. Only one
# thing is hard, and it is new: each frame has to be right, and the frames have to go together. You will see it fail first,
# then open up the part that makes it work, and measure whether things really move as the prompt says.
#
# **After this lesson you can**
#
# - say why frames that are painted one by one flicker, and how **motion modules** let them see each other;
# - make a video from a sentence or from a picture, and measure by tracking whether it moves as it was told;
# - order, ask and fetch, which is the protocol for videos, with code of your own and with the official `openai` library;
# - swap in a full-size model that you can download, and know what to ask about it.
#
# **Time**: about 30 minutes. **You need**: lesson 04, and the first two sections of lesson 05; no graphics card, no network,
# no API key.
#
# **mini-sd** of lesson 04 paints, and **mini-motion** sets its pictures moving: two miniatures that this project trained from
# scratch.

# %% [markdown] lang="zh"
# ## 1 一帧一帧地画
#
# 第 04 课的扩散模型已经会画一张图；一段视频不过是许多张图。那么，画上八张不就行了吗？先试试这个最省事的办法：同一句提示词，八份噪声，各画各的。

# %% [markdown] lang="en"
# ## 1 Frame by frame
#
# The diffusion model of lesson 04 can paint a picture, and a video is no more than many pictures. So why not paint eight?
# Try the laziest way first: one prompt, eight pieces of noise, each frame for itself.

# %%
import json
import logging
from pathlib import Path

import numpy as np
import torch
from diffusers import AnimateDiffPipeline, MotionAdapter, StableDiffusionPipeline
from transformers import CLIPTextModel

from course_lib import GeneratedVideo, VideoGenerator, plots, say
from course_lib.settings import locate

logging.getLogger("diffusers").setLevel(logging.ERROR)
mini_sd, mini_motion = locate("mini-sd"), locate("mini-motion")
about = json.loads(Path(mini_motion, "generation.json").read_text(encoding="utf-8"))  # how it was trained
FRAMES, RATE = about["num_frames"], about["frame_rate"]
print(FRAMES, say(zh="帧，每秒", en="frames,"), RATE, say(zh="帧", en="a second"), f"= {FRAMES / RATE:g} s")

# %%
painter = StableDiffusionPipeline.from_pretrained(mini_sd)
painter.set_progress_bar_config(disable=True)
prompt = say(zh="草地上，一辆红色的汽车向右移动", en="a red car moves to the right in a meadow")
noise = torch.randn(1, 4, FRAMES, 16, 16, generator=torch.Generator().manual_seed(1))  # (clips, channels, frames, h, w)
how = {"num_inference_steps": about["num_inference_steps"], "guidance_scale": about["guidance_scale"]}
each_alone = painter([prompt] * FRAMES, latents=noise[0].transpose(0, 1), **how).images
plots.gallery(each_alone, [f"{k / RATE:g} s" for k in range(FRAMES)], columns=FRAMES, size=1.1)

# %% [markdown] lang="zh"
# **看什么**：每一张单独看大致说得过去（有两辆车悬在空中：mini-sd 没读过“向右移动”），连起来却不是视频：白天、黄昏、夜里轮着来，车忽左忽右。放出来就是闪烁。原因很简单：**八张图互相看不见**。八帧用同一份噪声也不行：那样八张一模一样，一点也不动。
#
# ## 2 AnimateDiff 的想法
#
# AnimateDiff（Guo 等人 2023）的办法是：画画的 UNet 一个权重也不改，只在它的层与层之间插进一些**运动模块**。运动模块的核心是注意力（attention），方向却和别处不同：不在一帧的画面之内看，而是**沿着时间看**。画面上的每个位置各管各的：左上角这一格，在八帧里有八个向量，这八个向量互相看一看，别的格子一概不管。每个向量还带着自己是第几帧的记号（位置编码），否则谁先谁后都分不出。

# %% [markdown] lang="en"
# **What to notice**: each picture is fine by itself, and together they are no video: day, dusk and night take turns, and
# the cars change size and place. (Here there are two in each: mini-sd has never read "moves to the right", it has met "to the
# right of" in captions of two things, which may be why.) Played, that is **flicker**. The reason is simple: **the eight
# pictures cannot see each other**. One noise for all eight would not do either: the eight would be the same picture.
#
# ## 2 AnimateDiff's idea
#
# AnimateDiff (Guo et al. 2023) leaves every weight of the UNet that paints as it is, and puts **motion modules** between
# its layers. At the heart of a motion module is attention, but along another direction: not across the picture, **along
# time**. Each place of the picture by itself: this cell at the top left has eight vectors, one a frame, and these eight look
# at each other and at nothing else. Each carries a mark of its frame's number (a position embedding), or nobody could tell
# what comes first.

# %%
figure, axes = plots.figure(9.2, 1.7, 1, 2)
titles = say(zh="UNet 自己：在一帧之内", en="the UNet: within a frame"), say(zh="运动模块：沿着时间", en="a motion module: along time")
for axis, title in zip(axes[0], titles):
    axis.set(xlim=(-0.3, 4.9), ylim=(-0.4, 1.5), aspect="equal", title=title)
    axis.axis("off")
    for k in range(4):  # four frames stand for all
        for row, column in np.ndindex(3, 3):
            marked = (k == 0 if axis is axes[0, 0] else (row, column) == (2, 0))
            look = {"color": plots.COLORS[1], "alpha": 0.9} if marked else {"color": plots.MUTED, "alpha": 0.3}
            axis.add_patch(plots.plt.Rectangle((1.2 * k + 0.33 * column, 0.33 * row), 0.28, 0.28, linewidth=0, **look))
along = [1.2 * k + 0.14 for k in range(4)]  # above the marked cells
axes[0, 1].plot(along, [1.15] * 4, color=plots.COLORS[0], marker="v", linewidth=2)
figure

# %% [markdown] lang="zh"
# 这样的模块存成一个**运动适配器**（motion adapter），插到同一家族的任何一个绘画模型上都能用。我们的这一个叫 **mini-motion**：在小世界的短片上从零训练，训练时 mini-sd 的 UNet 一动不动。它还带了一个文本编码器（从 mini-sd 的那一个接着训练；AnimateDiff 本来不动它），因为 mini-sd 从没读过“向右移动”这样的词，而运动模块自己不识字：提示词里的事，它只能从 UNet 读到的东西里间接知道。

# %% [markdown] lang="en"
# Such modules are stored as a **motion adapter**, which plugs into any painter of the same family. Ours is called
# **mini-motion**: trained from scratch on short clips of Little World while mini-sd's UNet did not move. It brings a text
# encoder along (mini-sd's own, trained further; AnimateDiff itself leaves it alone), because mini-sd has never read words
# like "moves to the right", and motion modules cannot read at all: what the prompt says, they only know from what the UNet
# has read.

# %%
adapter = MotionAdapter.from_pretrained(mini_motion)
text_encoder = CLIPTextModel.from_pretrained(mini_motion, subfolder="text_encoder")
pipe = AnimateDiffPipeline.from_pretrained(mini_sd, motion_adapter=adapter, text_encoder=text_encoder)
pipe.set_progress_bar_config(disable=True)
first_module = pipe.unet.down_blocks[0].motion_modules[0].transformer_blocks[0].attn1
shapes = []
hook = first_module.register_forward_pre_hook(lambda _module, inputs: shapes.append(tuple(inputs[0].shape)))
together = pipe(prompt, num_frames=FRAMES, latents=noise, **how).frames[0]
hook.remove()
side = noise.shape[-1]
print(say(zh="一个运动模块看到的（两份：有提示词、没有提示词）", en="what one motion module sees (twice: with the prompt, and without)"))
print(say(zh="(位置, 帧, 通道)", en="(places, frames, channels)"), shapes[0], f"· {shapes[0][0]} = 2 · {side} · {side}")
plots.gallery(together, [f"{k / RATE:g} s" for k in range(FRAMES)], columns=FRAMES, size=1.1)

# %% [markdown] lang="zh"
# **看什么**：噪声、步数都和上面一样，多了运动模块，文本编码器也换成了它带来的那一个。背景静下来了，车是同一辆，还往前走。注意那个形状：位置被当成了批（batch），帧成了序列。把一句话里的词，换成同一格在各帧里的向量，就是语言模型里的那种注意力，只是没有因果掩码（causal mask）：前面的帧也看得见后面的。
#
# 两段都放出来看看：

# %% [markdown] lang="en"
# **What to notice**: the same noise and the same steps as above, plus the motion modules, and the text encoder that they
# bring along. The background stands still, the car is one car, and it moves on. Look at the shape: places have become the
# batch, frames the sequence. Put the frames of one cell in place of the words of a sentence, and it is the attention of
# language models, without their mask: a frame sees later ones, too.
#
# Play both:

# %% tags=["nbval-ignore-output"]
from IPython.display import HTML, Markdown, display

played = {
    say(zh="各画各的", en="each for itself"): GeneratedVideo.from_frames(each_alone, RATE),
    say(zh="有运动模块", en="with motion modules"): GeneratedVideo.from_frames(together, RATE),
}
cells = "".join(f"<td style='text-align:center'>{name}<br>{clip._repr_html_()}</td>" for name, clip in played.items())
display(HTML(f"<table><tr>{cells}</tr></table>"))

# %% [markdown] lang="zh"
# ## 3 量一量：它真的按提示词动吗？
#
# 好看不算数，要打分。评分用**跟踪**：找出每一帧里那样东西在哪里，连起来就是一条路线，再看它像哪一种运动。找东西不用新模型：mini-clip 把图片看成 8×8 个小块，在它的小块向量上套一个线性探针（linear probe，见第 02 课），就知道哪些小块被东西盖住了，取它们的重心。先拿标准答案检验这把尺子：

# %% [markdown] lang="en"
# ## 3 Measure it: does it move as it was told?
#
# Looking nice does not count, it has to be scored, by **tracking**: find where the thing is in each frame, join the places
# to a path, and ask which motion the path resembles. Finding it needs no new model: mini-clip sees a picture as 8 x 8
# patches, and a linear probe (lesson 02) on what it makes of them tells which ones a thing covers; take their middle. First
# the ruler itself is held against the truth:

# %%
from little_world.clip_drawing import draw_clip
from little_world.training.evaluate_motion import ALL, held_out_clips, look_at, right_motion
from little_world.training.tracking import Tracker

tracker, drawn = Tracker(), held_out_clips(28)
frames = np.stack([draw_clip(clip) for clip in drawn])
seen = look_at(tracker, frames)
true = np.array([[clip.shots[0].actors[0].center(k / RATE, clip.seconds) for k in range(FRAMES)] for clip in drawn])
error = np.linalg.norm(seen.tracks - true, axis=-1) * frames.shape[2]
print(say(zh="误差中位数（像素）", en="median error in pixels"), f"{np.median(error):.0f}")
print(say(zh="运动认对的比例", en="motions named rightly"), f"{right_motion(seen, drawn)[ALL]:.0%}")

# %% [markdown] lang="zh"
# 尺子可靠。现在用 **`VideoGenerator`** 来做，它和前几课的服务一样：不给参数，就由课程自带的服务用 mini-motion 来做；给一个地址，就换成任何一家。七种运动各要一段，为了省时间只走十步（默认二十步）：

# %% [markdown] lang="en"
# The ruler holds. Now ask **`VideoGenerator`**, which is like the services of the earlier lessons: without arguments the
# course's own server answers with mini-motion, with an address any other. One clip of each of the seven motions, in ten
# steps to save time (twenty are the default):

# %%
from little_world.training.motion_data import PHRASES

generator = VideoGenerator()
what = say(zh="一辆蓝色的公交车", en="a blue bus")
asked = {motion: say(zh="{}{}", en="{} {}").format(what, phrases[0]) for motion, phrases in PHRASES[LANG].items()}
made = {motion: generator.text_to_video(text, seed=5, steps=10, progress=False) for motion, text in asked.items()}
first = made["right"]
print(generator.model, "·", len(first), say(zh="帧", en="frames"), first.size, f"{first.seconds:g} s")

# %%
seen = look_at(tracker, np.stack([clip.frames for clip in made.values()]))
figure, axes = plots.figure(9.4, 1.75, 1, len(made))
for axis, (motion, text), clip, path, found in zip(axes[0], asked.items(), made.values(), seen.tracks, seen.motions):
    axis.imshow(clip.frames[-1])
    axis.plot(*(path * clip.size[0]).T, color="white", linewidth=3.5)
    axis.scatter(*(path * clip.size[0]).T, c=range(len(path)), cmap="plasma", s=16, zorder=3)
    axis.set_title(PHRASES[LANG][motion][0], fontsize=8.5, color=plots.COLORS[2 if found == motion else 1])
    axis.axis("off")
hits = sum(found == motion for motion, found in zip(asked, seen.motions))
print(say(zh="按要求动的：", en="as asked:"), f"{hits}/{len(asked)} · {generator.model}")
figure

# %% [markdown] lang="zh"
# **看什么**：点由深到浅是从第一帧到最后一帧。标题是绿色，表示路线和要求一致；是橙色，表示不一致。七段太少，说明不了多少；模型卡里每种语言量过的多得多（下面先印出段数，其中七分之四问的是方向；没有运动模块的那一行只用了三分之一）：

# %% [markdown] lang="en"
# **What to notice**: the dots go from dark to light, from the first frame to the last. A green title: the path is the one
# that was asked for; orange: it is not. Seven clips say little; the model card measured many more in each language
# (their number is printed first below; four sevenths of them ask for a direction, and the row without motion modules used a
# third):

# %%
rows = json.loads(Path(mini_motion, "metrics.json").read_text(encoding="utf-8"))
print(say(zh="每种语言的段数", en="clips in each language"), rows["numbers"]["clips a row"])
for row in ("direction (right, left, up, down)", "direction, without motion modules", "bounce",
            "kind, in each frame", "kind, as the world draws them"):  # fmt: skip
    print(f"{row:40}", {lang: f"{share:.0%}" for lang, share in rows["rows"][row].items()})
for row in ("flicker", "flicker, without motion modules", "flicker, drawn"):
    print(f"{row:40}", rows["numbers"][row])

# %% [markdown] lang="zh"
# direction 是四个方向，bounce 是弹跳，kind 是每一帧里认出的种类，drawn 是小世界自己画的短片。没有运动模块，那样东西在每一帧里换一个地方，跟踪到的点连不成任何一种运动的路线。闪烁量的是没有东西的地方每一帧变了多少，最大 255：有运动模块时比没有时小得多，但还不像画出来的那样几乎是 0。弱点也看得见：弹跳有时弹得不像，东西的形状会走样，考官认种类不如看标准画时准。
#
# 运动模块到底在看什么？把中间那个模块的注意力权重取出来，对所有注意力头、位置和步取平均：

# %% [markdown] lang="en"
# Without motion modules the thing is somewhere else in each frame, and what is tracked makes no path of any motion. Flicker
# is how much changes from frame to frame where no thing is, 255 at most: far less with motion modules than without, and still
# not next to nothing, as in the clips that are drawn. The weak spots show, too: some bounces are none, and things lose their
# shape, so that the judge names their kinds less surely than in drawn clips.
#
# And what do motion modules look at? Take the attention weights of the middle one, averaged over all
# heads, places and steps:

# %%
attention = pipe.unet.mid_block.motion_modules[0].transformer_blocks[0].attn1
weights = []


def look(module, inputs, options):
    states = (inputs[0] if inputs else options["hidden_states"]).detach()
    query, key = (module.head_to_batch_dim(part(states)) for part in (module.to_q, module.to_k))
    weights.append(module.get_attention_scores(query, key).mean(dim=0))


hook = attention.register_forward_pre_hook(look, with_kwargs=True)
pipe(prompt, num_frames=FRAMES, latents=noise, **how | {"num_inference_steps": 10})
hook.remove()
names = [str(k) for k in range(FRAMES)]
title = say(zh="第几帧（行）看第几帧（列）", en="frame (row) looks at frame (column)")
plots.heatmap(torch.stack(weights).mean(dim=0).numpy(), names, names, title=title, width=4.6, row_height=0.3)

# %% [markdown] lang="zh"
# **看什么**：每一行加起来是 100%。如果它谁也不看，只有对角线上有数；如果它谁都一样看，每格都是 12.5%。实际离后者近得多：每一行最大的一格总是自己或紧挨着的帧，可是最小的一格也有 6% 上下（softmax 不会给出零，但可以小得多）：每一帧都看了其他每一帧。八帧能连成一条路线，靠的就是这一眼。
#
# ## 4 从一张图开始
#
# 图生视频（image to video）：给出第一帧，让模型往下画。各家的做法不同，要问清楚。mini-motion 训练时有一部分短片的第一帧是*给定的*，不加噪声，别的帧学着接下去；所以这里每走一步，都把第一帧原样放回去。第一帧不是一模一样的像素，而是它经过 VAE（第 04 课）的样子。没有这样训练过的 AnimateDiff 适配器，单靠自己做不到（要另加一个网络，比如 SparseCtrl）。课程的服务器遇到它，就把那张图重复成每一帧，加噪声再画一遍：结果*像*那张图，却不从它开始。

# %% [markdown] lang="en"
# **What to notice**: each row adds up to 100 %. If a frame looked at nobody else, there would be numbers on the diagonal
# alone; if it looked at all alike, each cell would be 12.5 %. What is really there is much nearer to that: the largest cell
# of each row is the frame itself or a neighbour, yet the smallest still has some 7 % (a softmax never gives zero, but it
# could be far less): each looks at every other. That look is what makes one path of eight frames.
#
# ## 4 Beginning with a picture
#
# **Image to video**: the first frame is given, and the model goes on. How, differs from model to model, so ask. Some of the
# clips that mini-motion learnt from had their first frame *given*, without noise, and the others learnt to go on from it; so
# here the first frame is put back after every step. It is not the same to the pixel, but as the VAE sees it (lesson 04).
# An AnimateDiff adapter that was not trained so cannot do that alone (it takes another network, such as SparseCtrl). With one
# of those the course's server makes the picture every frame, adds noise and paints over it: the result *resembles* the
# picture and does not begin with it.

# %%
from PIL import Image

from little_world.training.evaluate_motion import prompts_for

start = held_out_clips(1, offset=7)[0]
picture, told = Image.fromarray(draw_clip(start)[0]), prompts_for([start], LANG)[0]
begun = generator.image_to_video(picture, told, seed=3, progress=False)
away = np.abs(begun.frames[0].astype(float) - np.asarray(picture)).mean()
print(told, "·", say(zh="第一帧与原图平均相差", en="first frame, mean difference"), f"{away:.0f} / 255 ·", generator.model)
plots.gallery([picture, *begun.pictures], [say(zh="给定", en="given"), *names], columns=FRAMES + 1, size=1.0)

# %% [markdown] lang="zh"
# **看什么**：第 0 帧是给定的那张经过 VAE、又压进 MP4 的样子：伞盖左下那个最小的斑点没了，另外几个的边也变了样。之后房间不动，蘑菇照提示词向左走，斑点却一帧一帧在变。
#
# ## 5 亲手写一次请求
#
# 一段视频要做很久，让一个请求一直等着并不稳妥。所以视频的协议和前几课的不同，分成三步：**下单**，拿到一个编号；**询问**，直到状态变成 `completed`；**取货**。这就是 OpenAI 的 `/v1/videos`：

# %% [markdown] lang="en"
# **What to notice**: frame 0 is the given picture after the VAE and the MP4: the smallest spot, at the lower left of the
# cap, is gone, and the others have other edges. Then the room stands still and the mushroom goes left, as it was told,
# while its spots change from frame to frame.
#
# ## 5 The request, by hand, once
#
# A video takes long, too long for one request to wait for. So the protocol differs from those of the earlier lessons,
# and has three steps: **order**, and get a number; **ask**, until the status is `completed`; **fetch**. That is OpenAI's
# `/v1/videos`:

# %%
import time

import requests

from course_lib.settings import local_server

url = local_server() + "/v1/videos"
order = {"prompt": asked["left"], "seconds": f"{FRAMES / RATE:g}", "size": "128x128"}
# seconds is a string; OpenAI allowed "4", "8", "12" and four sizes, other servers have their own
form = {name: (None, value) for name, value in order.items()}  # multipart/form-data: every server takes that
video = requests.post(url, files=form, timeout=60).json()
states = [video["status"]]
while video["status"] in ("queued", "in_progress"):
    time.sleep(0.2)
    video = requests.get(f"{url}/{video['id']}", timeout=60).json()  # asking changes nothing
    states += [video["status"]] * (video["status"] != states[-1])
print(states[-1], {name: video[name] for name in ("object", "model", "seconds", "size", "progress", "error")})

# %%
file = requests.get(f"{url}/{video['id']}/content", timeout=60)
sheet = requests.get(f"{url}/{video['id']}/content", params={"variant": "spritesheet"}, timeout=60)
print(file.headers["content-type"], sheet.headers["content-type"], file.content[4:8])  # ftyp: how an MP4 begins
GeneratedVideo(file.content, video).contact_sheet()

# %% [markdown] lang="zh"
# `VideoGenerator` 做的就是这三步，外加进度条、重试和出错时的一句话。还有几样东西 OpenAI 的协议里没有：`seed`、步数、引导强度、负面提示词。我们的服务按 vLLM-Omni 和 SGLang 的写法接受它们。
#
# > **陷阱：一个已经不在的服务，一个还在的协议。** 原章节的表里，文生视频只有 Sora。OpenAI 的 Sora API 已于 2026 年 9 月 24 日关闭，官方的 `openai` 库还留着这几个方法，只是会警告。看它自己怎么说：

# %% [markdown] lang="en"
# `VideoGenerator` does these three steps, with a progress bar, retries, and one sentence where something fails. A few things
# are missing from OpenAI's protocol: `seed`, steps, guidance, a negative prompt. Our server takes them under the names that
# vLLM-Omni and SGLang gave them.
#
# > **Pitfall: a service that is gone, a protocol that is not.** In the chapter's table Sora is all there is for text to
# > video. OpenAI's Sora API was shut down on 2026-09-24. Its own `openai` library still has the methods, with a warning:

# %%
import warnings

import openai

client = openai.OpenAI(base_url=local_server() + "/v1", api_key="none")
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    video = client.videos.poll(client.videos.create(prompt=asked["up"], extra_body={"num_inference_steps": 10}).id)
print(video.status, video.model)
print({str(one.message) for one in said if one.category is DeprecationWarning})

# %% [markdown] lang="zh"
# 同一个库，没有改一行，换个 `base_url` 就能用在这里：协议比服务活得久。这也是第 03、04 课的教训：**认协议，别认牌子**。
#
# > **完整模型。** 课程认识的、今天可以自己下载的文生视频模型（记在 `course_lib/registry.py` 里）：

# %% [markdown] lang="en"
# The same library, not a line changed, works here with another `base_url`: the shape of the request has outlived the
# service. It is the lesson of 03 and 04 again: **know the protocol, not the brand**.
#
# > **Full-size.** Text-to-video models that you can download today, as `course_lib/registry.py` has them:

# %%
from course_lib import registry

display(Markdown(registry.table(task="text-to-video")))

# %% [markdown] lang="zh"
# 内存一栏是权重按 float32 算的，只算 Transformer；AnimateDiff 那一行只算适配器，Stable Diffusion 1.5 另算；文本编码器也都另算。实际用起来要有一块显卡。换之前问清楚四件事：它读不读中文（表里标着 en 的不读，提示词要写英文），许可证许不许你这样用，画面多大、有多少帧，能不能从一张图开始。在课程文件夹里打开终端，一行命令把其中一个放到同样的协议后面（第一次要先下载；Windows 上是 `.venv\Scripts\python`）：
#
# ```
# .venv/bin/python -m little_world.server --video-model zai-org/CogVideoX-2b
# .venv/bin/python -m little_world.server --sd-model stable-diffusion-v1-5/stable-diffusion-v1-5 --video-model guoyww/animatediff-motion-adapter-v1-5-3
# ```
#
# 你的代码里只换地址：`VideoGenerator("http://localhost:8000")`，或者环境变量 `COURSE_VIDEO_URL`；尺寸、时长、步数不写，就用那个模型自己的。vLLM-Omni 或 SGLang 开的服务也行：`VideoGenerator("http://localhost:8091")`。
#
# Wan、LTX、CogVideoX 不再往绘画模型里插模块：VAE 把时间和空间一起压缩，一个 Transformer 对所有帧、所有位置一起做注意力。原理还是这一课的：**帧与帧要互相看得见**。

# %% [markdown] lang="en"
# The memory column is the weights in float32, of the Transformer alone; in AnimateDiff's row, of the adapter alone, and
# Stable Diffusion 1.5 comes on top. So does each text encoder. In practice each wants a graphics card. Ask four things before
# you swap: which languages it reads (those marked en read no Chinese), whether its licence allows what you do, which size and
# how many frames it makes, and whether it can begin with a picture. One command, in a terminal in the course's folder, puts
# one of them behind the same protocol (the first time it downloads; on Windows it is `.venv\Scripts\python`):
#
# ```
# .venv/bin/python -m little_world.server --video-model zai-org/CogVideoX-2b
# .venv/bin/python -m little_world.server --sd-model stable-diffusion-v1-5/stable-diffusion-v1-5 --video-model guoyww/animatediff-motion-adapter-v1-5-3
# ```
#
# In your code the address changes: `VideoGenerator("http://localhost:8000")`, or the variable `COURSE_VIDEO_URL`. Leave out
# size, length and steps, and they are the model's own. A server of vLLM-Omni or SGLang does as well:
# `VideoGenerator("http://localhost:8091")`.
#
# Wan, LTX and CogVideoX put no modules into a painter: a VAE compresses time and space together, and one Transformer attends
# to all places of all frames at once. The principle is this lesson's: **frames must see each other**.

# %% [markdown] lang="zh"
# ## 小测验

# %% [markdown] lang="en"
# ## Quiz

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
from course_lib.widgets import quiz

quiz(
    say(
        zh="AnimateDiff 的运动模块里，一个位置的注意力看的是什么？",
        en="In a motion module of AnimateDiff, what does the attention of one place look at?",
    ),
    {
        say(zh="同一帧里的其他位置", en="the other places of its frame"): say(
            zh="那是 UNet 自己的自注意力。", en="That is the UNet's own self-attention."
        ),
        say(zh="各帧里的同一个位置", en="the same place in every frame"): say(
            zh="沿着时间看，每个位置各管各的。", en="Along time, each place by itself."
        ),
        say(zh="提示词里的词", en="the words of the prompt"): say(
            zh="那是 UNet 的交叉注意力；运动模块不识字。", en="That is the UNet's cross-attention; motion modules cannot read."
        ),
    },
    answer="B",
)

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
quiz(
    say(
        zh="你下单之后，笔记本断线了。怎样拿到那段视频，又不必付第二次钱？",
        en="You have ordered a video, and your notebook loses its connection. How do you get it without paying twice?",
    ),
    {
        say(zh="再下一次单，种子一样", en="order again, with the same seed"): say(
            zh="那是第二单；而且 OpenAI 的协议里没有种子。", en="That is a second order, and OpenAI's protocol has no seed."
        ),
        say(zh="拿着编号去询问、取货", en="ask and fetch by its number"): say(
            zh="`generator.fetch(编号)`；编号没记下，`generator.videos()` 会列出来。询问不改变任何东西，视频在过期之前一直在。",
            en="`generator.fetch(number)`; if you never saw the number, `generator.videos()` lists them. Asking changes nothing, and the video is there until it expires.",
        ),
        say(zh="没有办法", en="there is no way"): say(
            zh="分成三步，正是为了这种时候。", en="Three steps are there for exactly this."
        ),
    },
    answer="B",
)

# %% [markdown] lang="zh"
# ## 小结
#
# - 一张张地画，帧与帧互相看不见，就会闪烁。运动模块让每个位置沿着时间看，UNet 的权重一个也不动。
# - 视频要*量*：跟踪那样东西，看路线像不像要求的运动；再看没有东西的地方，每一帧变了多少。尺子先用标准答案检验。
# - 图生视频各家做法不同：有的真的从那张图开始，有的只是像它。问清楚，再量一量。
# - 视频的协议是下单、询问、取货。服务会关，协议会留下来。
#
# 接下来：[06 图文搜索与视觉问答](06_search_and_vqa.ipynb)。术语中英对照见 [docs/glossary.md](../../docs/glossary.md)。

# %% [markdown] lang="en"
# ## Summary
#
# - Frames painted one by one cannot see each other, and flicker. Motion modules let each place look along time, and leave
#   every weight of the UNet as it is.
# - A video has to be *measured*: track the thing and compare its path with the motion that was asked for, and see how much
#   changes where no thing is. The ruler is held against the truth first.
# - Image to video differs from model to model: some really begin with the picture, some only resemble it. Ask, and measure.
# - The protocol is order, ask, fetch. Services close, the protocol stays.
#
# Next: [06 Search and visual question answering](06_search_and_vqa.ipynb). The terms in both languages stand in [docs/glossary.md](../../docs/glossary.md).

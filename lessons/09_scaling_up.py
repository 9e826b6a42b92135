# %% [markdown] lang="zh"
# # 09 · 上规模：从一千张到十亿张
#
# 第 06 课的搜索在几百张图上很好用。一千张呢？一百万张、十亿张呢？这一课先*算*：多少字节，多少秒，多少钱；再*量*：凡是这台机器跑得动的，都跑一遍，看算得对不对。算不准的地方，往往就是最值得学的地方。
#
# **学完这一课，你能够**
#
# - 在动手之前，估出一个图库要多少内存、嵌入要多久、一次查询要多少毫秒；
# - 说清压缩的代价：拿精确答案作对照，量出召回率（recall）；
# - 在扫描和图索引（HNSW）之间选，知道图索引什么时候会悄悄漏掉一半以上；
# - 把同一个搜索引擎搬到 Milvus 服务器上，知道“写完就能读到”要付多少时间，也知道哪个端口对外开着；
# - 用 Ray Data 批量嵌入，算出多少张以上才划算；
# - 估一亿张、十亿张的账单，并且说得出每个假设。
#
# **时间**：约 60 分钟，其中计算两三分钟。**需要**：第 02 课，最好学过第 06 课；约 2 GB 空闲内存；不需要显卡、网络或 API 密钥。
#
# 向量由 **mini-clip** 算出，或照着它的样子造出来；哪些是造的，每处都写明。

# %% [markdown] lang="en"
# # 09 · Scaling up: from a thousand pictures to a billion
#
# Lesson 06's search works well on a few hundred pictures. And on a thousand? On a million, on a billion? This lesson first
# *calculates*: how many bytes, how many seconds, how much money. Then it *measures* whatever this machine can run, and looks
# at whether the sums were right. Where they were not, there is usually most to learn.
#
# **After this lesson you can**
#
# - estimate, before you begin, how much memory a collection takes, how long embedding it takes, and what a query costs;
# - say what compression is paid with: recall, measured against the exact answer;
# - choose between scanning and a graph (HNSW), and know when a graph quietly loses more than half of the answers;
# - move the same search engine to a Milvus server, and know what "written means readable" costs there, and which door is
#   open;
# - embed in bulk on Ray Data, and work out from how many pictures on that pays;
# - estimate the bill for a hundred million pictures and for a billion, and name every assumption in it.
#
# **Time**: about 60 minutes, two or three of which are computing. **You need**: lesson 02, and better lesson 06 as well; about
# 2 GB of free memory; no graphics card, no network, no API key.
#
# The vectors are **mini-clip's**, or made in their likeness; each place says which.

# %%
import shutil
import socket
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from IPython.display import Markdown, display

from course_lib import CLIPService, CourseError, ImageSearchEngine, plots, say
from course_lib.stores.scan import ScanIndex, faiss
from little_world import load_gallery

clip = CLIPService()
gallery = load_gallery()
vectors = clip.encode_image([example.path for example in gallery], progress=False)
asked = clip.encode_text([example.captions[LANG] for example in gallery[::6]])  # queries: real captions
workspace = TemporaryDirectory(ignore_cleanup_errors=True)
print(clip.name, vectors.shape, vectors.dtype, asked.shape)

# %% [markdown] lang="zh"
# ## 1 先算
#
# 要估的只有三样，每样一次乘法：
#
# - **字节**：$n$ 张图 × $d$ 个数 × 每个数 4 字节；
# - **嵌入的时间**：$n$ × 每张图的毫秒数，要量；
# - **查询的时间**：一次精确查询要把所有向量从内存里读一遍，所以是 字节 ÷ 每秒能读的字节，也要量。
#
# 两个要量的数，几秒钟就有：

# %% [markdown] lang="en"
# ## 1 The sums first
#
# Three things are wanted, each of them one product:
#
# - **bytes**: $n$ pictures × $d$ numbers × 4 bytes each;
# - **time to embed**: $n$ × the milliseconds of one picture, which must be measured;
# - **time to answer**: an exact query reads every vector from memory once, so it is bytes ÷ bytes read in a second, and that
#   must be measured, too.
#
# Both measurements take a few seconds:

# %% tags=["nbval-ignore-output"]
def seconds(work, times=1):
    """The fastest of some runs: what disturbs a run only ever makes it slower."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


dim = vectors.shape[1]
pictures = [example.image for example in gallery[:128]]
per_picture = seconds(lambda: clip.encode_image(pictures, progress=False), 2) / len(pictures)
large = np.tile(vectors, (1600, 1))  # 200 MB: more than a processor's cache holds
per_second = large.nbytes / seconds(lambda: large @ asked[0], 10)
del large
print(f"{clip.name}: {1000 * per_picture:.1f} ms", say(zh="一张图；", en="a picture;"), f"{per_second / 1e9:.1f} GB/s")

# %% tags=["nbval-ignore-output"]
def sums(count, dim=dim):
    """GB of vectors, hours to embed on this machine, seconds for one exact query."""
    return count * dim * 4 / 1e9, count * per_picture / 3600, count * dim * 4 / per_second


head = say(zh="| 图片 | 向量 GB | 完整 CLIP（512 维）GB | 嵌入，小时 | 一次查询，秒 |", en="| pictures | GB of vectors | GB at full-size CLIP's 512 | hours to embed | seconds a query |")
rows = [f"| {n:,} | {sums(n)[0]:,.3f} | {sums(n, 512)[0]:,.3f} | {sums(n)[1]:,.2f} | {sums(n)[2]:,.4f} |" for n in 10 ** np.arange(3, 10)]
display(Markdown("\n".join([head, "|--:|--:|--:|--:|--:|", *rows])))

# %% [markdown] lang="zh"
# **看什么**：每往下一行，各项都乘以十。最先撞墙的是哪一列？看你的机器有多少内存，一次查询能让人等多久。嵌入只做一次，慢一点还能忍；查询天天做。
#
# ## 2 再量
#
# 画一百万张图太久，所以造一百万个*像 mini-clip 的*向量：量出图库向量的均值和协方差，照着抽样，缩放到长度 1。它们不对应任何图片，但计算量和真的一样。
#
# 先做个预测：上面的算式说查询时间和张数成正比。从一千张到一百万张，真是一条直线吗？

# %% [markdown] lang="en"
# **What to notice**: every row is ten times the one above. Which column hits a wall first? That depends on this machine's
# memory, and on how long somebody will wait for an answer. Embedding is done once and may be slow; queries come every day.
#
# ## 2 Then measure
#
# Drawing a million pictures takes too long, so make a million vectors *like mini-clip's*: take the mean and the covariance
# of the gallery's vectors, sample from those, scale to length 1. No picture belongs to them, but comparing them is as much
# work as comparing real ones.
#
# Predict first: the sum above says that a query's time grows in proportion. From a thousand to a million, is it really a
# straight line?

# %%
half = np.linalg.cholesky(np.cov(vectors.T) + 1e-6 * np.eye(dim)).T.astype(np.float32)


def crowd(count, seed):
    """Vectors like mini-clip's, float32 (count, dim)."""
    rng, made = np.random.default_rng(seed), np.empty((count, dim), np.float32)
    for start in range(0, count, 50_000):  # in parts, or the random numbers would need as much memory again
        part = made[start : start + 50_000]
        part[:] = rng.standard_normal(part.shape, dtype=np.float32) @ half + vectors.mean(axis=0)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return made


million = crowd(1_000_000, seed=9)
print(million.shape, f"{million.nbytes / 1e6:.0f} MB")

# %% tags=["nbval-ignore-output"]
counts = [1_000, 10_000, 100_000, 1_000_000]
measured = [1000 * seconds(lambda: million[:n] @ asked[0], 10) for n in counts]
predicted = [1000 * sums(n)[2] for n in counts]
lines = {say(zh="算的", en="predicted"): predicted, say(zh="量的", en="measured"): measured}
figure = plots.curves(counts, lines, xlabel=say(zh="图片", en="pictures"), title=say(zh="一次精确查询（毫秒）", en="one exact query (milliseconds)"))
figure.axes[0].set(xscale="log", yscale="log")
print(" ".join(f"{n:,}: {p:.2f} / {m:.2f} ms;" for n, p, m in zip(counts, predicted, measured)))
figure

# %% [markdown] lang="zh"
# **看什么**：最右端两条线应当靠得很近：向量远远大于处理器的缓存，查询就是在读内存。（带宽本来就是用同样的乘法、在 200 MB 上量的，所以这里检验的只是“时间和字节成正比”。）往左，量到的比算的快，也有道理：小的图库整个装得进缓存，读得快得多。每次调用的固定开销（一微秒上下）在图上看不见，要小到几十张才显得出来。**算式在大的一头才准，而我们要外推的正是大的一头。**
#
# 再看一眼上一张表的最后几行：一亿张、十亿张，精确查询要等上几秒到几十秒，512 维再乘四。矩阵乘法没有多余的动作，要更快，只能**少读几个字节**。

# %% [markdown] lang="en"
# **What to notice**: at the right end the two lines should be close: the vectors are far larger than the processor's cache, and a
# query reads memory. (The bandwidth was measured with this very product, on 200 MB: what is tested here is only that time grows
# with bytes.) Further left the measured times are below the sum, with reason: a small collection lives in the cache, which
# reads much faster. The fixed cost of a call, about a microsecond, is not to be seen: it would show with some dozens of
# pictures only. **The sum holds at the large end, and that is the end we
# extrapolate to.**
#
# Look again at the last rows of the table before: with a hundred million, or a billion, an exact query takes seconds, or tens
# of seconds, and four times that at 512 numbers. The matrix product makes no needless move. To be faster means to **read fewer bytes**.

# %% [markdown] lang="zh"
# ## 3 压缩的代价
#
# 每个数用 32 个比特，太奢侈。只给 8、4、2、1 个比特会怎样？每一维的取值范围切成 $2^b$ 级，就近取整。排名当然会变粗，粗多少，拿**召回率**量：真正的前 10 名，找回了几成？
#
# 补救的办法第 06 课见过：先按压缩的分数挑出一批候选，再用原来的向量精确排一遍。

# %% [markdown] lang="en"
# ## 3 What compression is paid with
#
# 32 bits for every number are a luxury. What happens with 8, 4, 2, or a single one? Cut each dimension's range into $2^b$
# levels and round. The ranking gets coarser, and how much is measured by **recall**: what share of the true ten best is
# found?
#
# The remedy is lesson 06's: pick candidates by the compressed score, and rank only those by their true vectors.

# %%
def squeezed(rows, bits):
    """What is left of the rows when each number has `bits` bits."""
    low, high, levels = rows.min(axis=0), rows.max(axis=0), 2**bits - 1
    return np.round((rows - low) / (high - low) * levels) * ((high - low) / levels) + low


def best(scores, k):
    """Rows of the k highest scores for each query (n, queries), in no order."""
    return np.argpartition(scores, -k, axis=0)[-k:]


def recall(found, truth):
    return float(np.mean([len({*a} & {*b}) / len(b) for a, b in zip(found, truth)]))


# %%
library = million[:100_000]
exact = library @ asked.T
truth = best(exact, 10).T
bits, alone, ranked = [8, 4, 2, 1], [], []
for b in bits:
    rough = squeezed(library, b) @ asked.T
    alone.append(recall(best(rough, 10).T, truth))
    candidates = best(rough, 300).T
    again = [c[np.argsort(-exact[c, q])[:10]] for q, c in enumerate(candidates)]
    ranked.append(recall(again, truth))
lines = {say(zh="只看压缩的分数", en="by the compressed scores alone"): alone, say(zh="再精确排前 300 名", en="the first 300 ranked exactly"): ranked}
names = [f"{b} bit\n{dim * b // 8} B" for b in bits]
title = say(zh="召回率@10，100,000 个造出来的向量", en="recall@10, 100,000 made vectors")
plots.curves(names, lines, xlabel=say(zh="每个数的比特，每张图的字节", en="bits a number, bytes a picture"), title=title, percent=True)

# %% [markdown] lang="zh"
# **看什么**：8 比特几乎不丢；再往下，*单独*的召回率掉得很快，精排却能救回来，因为真正的前十名虽然不在粗排的前十，却大多在前三百。（为什么 2 比特并不比 1 比特好？取值范围由最极端的几个值撑开，绝大多数数都挤在中间两级里。级怎么分，和给几个比特一样要紧。）代价是：原来的向量还得留着（可以放在盘上，一次只取三百个），每次查询多算三百次点积。
#
# **压缩省下的内存，要么拿召回率换，要么拿精排的时间换。** 课程库的索引（`ScanIndex`）用的是乘积量化（product quantization）：每 4、2 或 1 个数合用一个四比特的码字（`pq4`、`pq2`、`pq1`）。它由粗到细，在*自己的*向量上一个个试，到召回率够 99.9% 为止；都不够，就每个数给 8 比特（`sq8`），再不够，就精确扫描（`exact`）：

# %% [markdown] lang="en"
# **What to notice**: 8 bits lose next to nothing. Further down recall *alone* drops quickly, and exact ranking brings it back:
# the true ten are not among the first ten of the rough order, but most of them are among its first three hundred. (Why are 2
# bits no better than 1? The extremes stretch the range, and nearly all numbers crowd into the two levels in the middle.
# Where the levels lie matters as much as their number.) The price: the true vectors must be kept (on disk will do, since only three hundred are fetched), and each query computes three
# hundred more dot products.
#
# **Memory saved by compression is paid in recall, or in time to rank again.** The library's index (`ScanIndex`) uses product
# quantization: groups of 4, 2 or 1 numbers share a code of four bits (`pq4`, `pq2`, `pq1`). They are tried on its *own* vectors,
# coarsest first, until recall reaches 99.9 %; failing all of them it takes 8 bits a number (`sq8`), and failing that an exact
# scan (`exact`):

# %% tags=["nbval-ignore-output"]
index = ScanIndex(dim, million)
built = seconds(index.train)
found, taken = [], []
for query in asked:
    found += [rows for rows, _ in index.search(query[None], 10)]
    taken.append(seconds(lambda: index.search(query[None], 10), 3))
share = recall(found, best(million @ asked.T, 10).T)
rest = index.codes.code_size * len(index) / 1e6 if index.codes is not None else million.nbytes / 1e6
print(index.kind, f"| {built:.1f} s", say(zh="建成 | 扫描", en="to build | scans"), f"{rest:.0f} / {million.nbytes / 1e6:.0f} MB |",
      f"{1000 * np.median(taken):.1f} / {measured[-1]:.1f} ms |", say(zh="召回率", en="recall"), f"{share:.1%}")  # fmt: skip

# %% [markdown] lang="zh"
# 一百万个向量，一次量齐：建成的秒数；扫描读的 MB / 精确读的 MB；索引的毫秒 / 精确的毫秒；召回率。（没有 faiss 的机器上，它用 `exact`，前后两数就差不多。）
#
# ## 4 扫描，还是图索引？
#
# 还有一类索引根本不扫描：**HNSW** 把相近的向量连成一张网（图，graph），查询沿着边走，只看其中一小部分点（下面的两万个里，不到一成）。图库越大，它快得越多，许多向量数据库默认就用它。代价有三样：数据越不合适，建得越久；召回率取决于*数据*；还有内存：它留着完整的向量，每个点再加一百多字节的边，压缩省下的又都还回去了。拿两份数据量给你看：像 mini-clip 的（用真的说明文字去问），和各个方向均匀的（最难的一种）。

# %% [markdown] lang="en"
# A million vectors, measured at once: seconds to build; MB read by the scan / by the exact way; milliseconds by the index / by
# the exact way; recall. (Without faiss it says `exact`, and the two numbers are about the same.)
#
# ## 4 Scan, or graph?
#
# Another family of indexes does not scan at all: **HNSW** links similar vectors to a graph; a query walks along its edges and
# sees a small part of the points (of the twenty thousand below, less than a tenth). The larger the collection the more it gains,
# and it is the default of many vector databases. It has three prices: building takes longer the less the data suit it; its recall
# depends on the *data*; and memory, since it keeps the vectors whole and adds a hundred-odd bytes of links to each, so what
# compression saved is spent again. Here are two sets of data: like mini-clip's (asked with real captions), and even in all
# directions (the hardest sort).

# %%
def graph(rows):
    made = faiss().IndexHNSWFlat(dim, 16, faiss().METRIC_INNER_PRODUCT)
    made.hnsw.efSearch = 64  # how many points a query keeps in sight
    made.add(rows)
    return lambda queries: made.search(queries, 10)[1]


def scan(rows):
    made = ScanIndex(dim, rows)
    made.train()
    return lambda queries: [rows for rows, _ in made.search(queries, 10)]


def even(count, seed):
    made = np.random.default_rng(seed).standard_normal((count, dim), dtype=np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


# %% tags=["nbval-ignore-output"]
table = [say(zh="| 20,000 个向量 | 索引 | 建，秒 | 一次查询，毫秒 | 召回率@10 |", en="| 20,000 vectors | index | built, s | a query, ms | recall@10 |"), "|---|---|--:|--:|--:|"]
for name, rows, queries in (
    (say(zh="像 mini-clip，用说明文字问", en="like mini-clip's, asked by captions"), million[:20_000], asked),
    (say(zh="各向均匀", en="even in all directions"), even(20_000, seed=11), even(100, seed=12)),
):
    right = best(rows @ queries.T, 10).T
    for way in (graph, scan) if faiss() else (scan,):
        start = time.perf_counter()
        search = way(rows)
        spent = time.perf_counter() - start
        each = 1000 * seconds(lambda: [search(q[None]) for q in queries], 2) / len(queries)
        table.append(f"| {name} | {'HNSW' if way is graph else 'ScanIndex'} | {spent:.1f} | {each:.2f} | {recall(search(queries), right):.1%} |")
display(Markdown("\n".join(table)))
if not faiss():
    print(say(zh="这台机器没有可用的 faiss，图索引略过；pip install faiss-cpu 之后可以量。", en="There is no usable faiss here, so the graph is left out; after pip install faiss-cpu it can be measured."))

# %% [markdown] lang="zh"
# **看什么**：图索引的查询快，可是换一份数据，它会漏掉一半以上，*而且什么都不报*。就连像 mini-clip 的那一份也漏掉一些：图是照*图片*的向量连起来的，问的却是文字，两者不在空间的同一处（第 02 课的模态间隙）。分数看上去一切正常，只有拿精确答案一比才知道。把 `efSearch` 调大能补回来一些，快也就少了一些。扫描慢一些，但召回率守得住，所以课程库默认扫描。
#
# **规则**：上线之前，在*自己的*向量上抽一百个查询，和精确搜索比一次召回率。算这个精确答案只要几秒，上面每张表都是这么来的。
#
# 还有第三类，图上亿以后很常见：**倒排**（inverted file，IVF）。先把向量聚成几千堆，一次查询只扫最近的几十堆。少读的是向量的*个数*，不是每个向量的字节，所以能和乘积量化叠着用（IVF-PQ）。它的召回率同样取决于数据，也取决于扫几堆（`nprobe`），量法也一样。课程库自己的索引没有用它；引擎放在 Milvus 上时可以用（地址里写 `?index=SCANN`，第 6 节）。

# %% [markdown] lang="en"
# **What to notice**: the graph's queries are fast, and on other data it loses more than half of the answers *without a word*. Some are
# lost on the data like mini-clip's, too: the links were made among *pictures'* vectors and the queries are texts, which lie
# elsewhere in the space (lesson 02's modality gap). The scores look as they should; only the exact answer tells. A larger `efSearch` brings some back, and takes some of the speed. A scan
# is slower and keeps its recall, which is why the library scans by default.
#
# **Rule**: before you go live, take a hundred queries on *your own* vectors and compare with exact search once. The exact
# answer takes seconds to compute; every table above was made that way.
#
# There is a third family, common from a hundred million pictures on: **inverted files** (IVF). The vectors are clustered into some
# thousands of cells, and a query scans the nearest few dozen. It reads fewer *vectors*, not fewer bytes of each, and so goes
# together with product quantization (IVF-PQ). Its recall, too, depends on the data, and on how many cells are scanned
# (`nprobe`), and is measured in the same way. The library's own index does not use it; on Milvus the engine can (`?index=SCANN` in
# the address, section 6).

# %% [markdown] lang="zh"
# ## 5 加一张图要花多少时间
#
# 图库天天在长。加一张图要做四件事：读、嵌入、存盘（SQLite 的一次事务）、让索引知道。哪件最贵？

# %% [markdown] lang="en"
# ## 5 What adding a picture costs
#
# Collections grow every day. To add a picture is to read it, to embed it, to keep it (a transaction of SQLite), and to let
# the index know. Which of these costs most?

# %% tags=["nbval-ignore-output"]
from course_lib.stores import Item, Space, open_store

engine = ImageSearchEngine(clip, store=Path(workspace.name, "index"))
together = seconds(lambda: engine.add_images({e.id: e.path for e in gallery}, progress=False)) / len(gallery)

store = open_store(Path(workspace.name, "made"))
store.bind(Space("made", dim))
keep = seconds(lambda: store.add([Item(str(i), row) for i, row in enumerate(library[:5000])])) / 5000
more = ScanIndex(dim, library[:50_000])
more.train()
know = seconds(lambda: more.append(library[50_000:55_000])) / 5000
costs = {
    say(zh="只嵌入", en="embed alone"): 1000 * per_picture,
    say(zh="只存一个向量", en="keep a vector"): 1000 * keep,
    say(zh="索引得知", en="index knows"): 1000 * know,
    say(zh="add_images，全部", en="add_images, all of it"): 1000 * together,
}
plots.bars(costs, title=say(zh="每张图的毫秒", en="milliseconds a picture") + f" · {clip.name}", percent=False, height=2.6, width=6.4)

# %% [markdown] lang="zh"
# **看什么**：存盘和索引几乎不花时间。`add_images` 比嵌入多出来的（读、解码、缩略图、第一次写盘）只量了一次：少的时候只是零头，多的时候和嵌入差不多。**模型变大，这部分开销不变，变贵的是嵌入**：换成完整的 CLIP，嵌入要贵上几十倍。所以下面要分摊的是嵌入，不是存储。

# %% [markdown] lang="en"
# **What to notice**: keeping and indexing are next to nothing. What `add_images` takes beyond embedding (reading, decoding,
# thumbnails, the first write) was measured once, and swings from a little to as much again. **With a larger model it stays, and
# embedding grows**: full-size CLIP embeds at many times the cost. So embedding is the work to spread, not storage.

# %% [markdown] lang="zh"
# ## 6 一个进程不够时：Milvus 服务器
#
# 到这里为止，图库是一个文件夹，一台电脑上的几个笔记本可以共用。什么时候该换成服务器？**许多台机器要同时读写**，或者**一台机器的内存装不下**。课程库的引擎只要换一个地址：`store="milvus+http://主机:19530/集合名"`，其余代码一个字不动。
#
# 下面在本机启动一个*真的* Milvus 2.3（装着 `milvus` 包时；Linux x86-64 和 Apple 芯片的 macOS 有）。第一次要解包，等半分钟是正常的。它会在这台电脑的*所有*网络接口上监听（见下面的陷阱）：现在连着信不过的网络，就先跳过这一节。

# %% [markdown] lang="en"
# ## 6 When one process is not enough: a Milvus server
#
# So far a collection was a folder, which several notebooks on one computer may share. When does it want a server? When **many
# machines read and write** it, or when **one machine's memory does not hold it**. The engine takes another address,
# `store="milvus+http://host:19530/collection"`, and not a word of the other code changes.
#
# The next cell starts a *real* Milvus 2.3 on this computer (where the `milvus` package is installed: there are builds for Linux
# on x86-64 and for macOS on Apple silicon). The first time it is unpacked; half a minute is usual. It
# listens on *every* network interface of this computer (see the pitfall below): on a network that you do not trust, skip this
# section.

# %% tags=["nbval-ignore-output"]
from course_lib.stores.milvus_local import LocalMilvus

server = remote = None
try:
    start = time.perf_counter()
    server = LocalMilvus()
    print(f"Milvus: {time.perf_counter() - start:.0f} s,", server.address.partition("+")[2])
except CourseError as problem:
    print(problem)

# %% tags=["nbval-ignore-output"]
if server:
    remote = ImageSearchEngine(clip, store=f"{server.address}/pictures")
    facts = {e.id: {"part": e.part} for e in gallery}
    print(repr(remote.add_images({e.id: e.path for e in gallery}, metadata=facts, progress=False)))
    query = gallery[6].captions[LANG]
    here, there = engine.search_by_text(query), remote.search_by_text(query)
    print(query, "|", here.ids == there.ids, np.allclose([r.score for r in here], [r.score for r in there], atol=1e-5))
    print([r.id for r in remote.search_by_text(query, where={"part": "single"})])

# %% [markdown] lang="zh"
# 同样的编号，同样的分数，过滤也照常：换的只是存放向量的地方。（引擎在 Milvus 上默认也用精确扫描，`FLAT`。要用图索引，地址里写 `?index=HNSW`，然后量一量召回率。）
#
# > **陷阱：门是开着的。** Milvus 2.3 默认不设密码，并且在*所有*网络接口上监听，不只是本机（127.0.0.1）。在咖啡馆的 Wi-Fi 里，邻座也能读、能删你的图库。眼见为实：下面去连一个从没告诉过它的地址。

# %% [markdown] lang="en"
# The same ids, the same scores, and filters as before: only where the vectors live has changed. (On Milvus, too, the engine scans
# exactly, `FLAT`. With `?index=HNSW` in the address it takes a graph: then measure its recall.)
#
# > **Pitfall: the door is open.** Milvus 2.3 asks for no password by default, and listens on *every* network interface, not only on this
# > computer's own (127.0.0.1). On a café's Wi-Fi your neighbour can read and delete your collection. See for yourself: the
# > next cell calls at an address that nobody told it.

# %% tags=["nbval-ignore-output"]
def answers(host, port):
    try:
        socket.create_connection((host, port), timeout=2).close()
        return True
    except OSError:
        return False


if server and sys.platform == "linux":  # where all of 127.x.x.x is this computer
    careful = socket.create_server(("127.0.0.1", 0))  # what a careful server does
    print("127.0.0.2 → Milvus:", answers("127.0.0.2", int(server.address.rpartition(":")[2])))
    print(say(zh="127.0.0.2 → 只听本机的服务：", en="127.0.0.2 → a server on loopback alone:"), answers("127.0.0.2", careful.getsockname()[1]))
    careful.close()

# %% [markdown] lang="zh"
# **对策**：只在信得过的网络里运行，用完就停（这一课结尾会停）；正式使用时放在防火墙后面，打开 Milvus 的身份验证和 TLS，令牌放进环境变量 `MILVUS_TOKEN`，不要写在地址里。
#
# ### 写完就能读到吗？
#
# 数据库在一台机器上时，这不是问题。服务器有许多部件，写和读走不同的路。Milvus 让你选：**Strong**（强一致）等到所有写入都看得见才回答；**Eventually**（最终一致）马上回答，可能看不见刚写的。

# %% [markdown] lang="en"
# **The cure**: run it on a network that you trust only, and stop it when you are done (the end of this lesson does). In earnest,
# put it behind a firewall, turn on Milvus's authentication and TLS, and keep the token in the environment, as `MILVUS_TOKEN`,
# never in the address.
#
# ### Can you read what you have just written?
#
# With a database on one machine nobody asks. A server has many parts, and writes and reads take different paths through them.
# Milvus lets you choose: **Strong** waits until all that was written can be seen; **Eventually** answers at once, and may not
# see what was written just now.

# %% tags=["nbval-ignore-output"]
if server:
    hurried = ImageSearchEngine(clip, store=f"{server.address}/pictures?consistency=Eventually")
    rows, picture = [], gallery[0].image
    for name, reader in (("Strong", remote), ("Eventually", hurried)):
        seen = 0
        for turn in range(5):
            remote.add_image(f"{name} {turn}", picture)
            seen += f"{name} {turn}" in reader
        rows.append(f"| {name} | {seen} / 5 | {1000 * seconds(lambda: reader.search_by_image(picture), 5):.0f} |")
    head = say(zh="| 一致性 | 刚写的看得见 | 一次搜索，毫秒 |", en="| consistency | sees what was just written | a search, ms |")
    display(Markdown("\n".join([head, "|---|--:|--:|", *rows])))

# %% [markdown] lang="zh"
# **看什么**：强一致的每次搜索都要多等一会儿，因为服务器按节拍确认写入；最终一致快得多，却看不见刚写的图。引擎默认强一致：先求对。给成千上万人搜的服务可以用 `?consistency=Bounded`，晚几秒看见新图没有关系；边写边查重的程序不可以。
#
# 这一节的结论来自一台机器上的单机版 Milvus。由几台机器组成的集群，我们*没有*试过：接口相同，容量、延迟和故障要在你自己的集群上量。
#
# ## 7 批量嵌入：一条命令，从笔记本到集群
#
# 第 5 节说，最贵的是嵌入。`course_lib.embed` 把它做成可以中断、可以分摊的：图片 → Parquet 分片（编号、是否成功、错误、向量）→ 图库。坏图记下原因，不拦住别的；停下再启动，从断的地方接着做。放两个坏文件进去试试：

# %% [markdown] lang="en"
# **What to notice**: with Strong every search waits a while, since the server confirms writes in beats; Eventually is much
# faster, and does not see the picture that was just written. The engine's default is Strong: right first. A service for
# thousands of people may take `?consistency=Bounded`, where a new picture shows a few seconds late; a program that looks for
# duplicates while it writes may not.
#
# What this section says comes from one Milvus on one machine. A cluster of several machines was *not* tried: the interface is
# the same; capacity, latency and faults are yours to measure.
#
# ## 7 Embedding in bulk: one command, from a laptop to a cluster
#
# Section 5 says that embedding is the expensive part. `course_lib.embed` makes it something that can be interrupted, and spread:
# pictures → Parquet shards (id, ok, error, vector) → collection. A broken picture is noted and stops nobody; stopped and
# started again, it goes on where it was. Let us put two broken files in:

# %%
from course_lib.embed import embed

folder = Path(workspace.name, "pictures")
folder.mkdir()
for example in gallery:
    shutil.copy(example.path, folder / f"{example.id}.png")
(folder / "empty.png").touch()
(folder / "garbage.jpg").write_bytes(b"no picture" * 50)
try:
    for _ in range(2):  # the second time nothing is left to do
        report = embed(folder, Path(workspace.name, "bulk"), ray=False, progress=False)
        print(say(zh=f"嵌入 {report.embedded}，跳过 {report.skipped}，写入图库 {report.added}，失败",
                  en=f"embedded {report.embedded}, skipped {report.skipped}, added {report.added}, failed"), sorted(report.failed))  # fmt: skip
except CourseError as problem:
    print(problem)

# %% [markdown] lang="zh"
# 第二次几乎什么也不用做：全都处理过了，两个坏文件也算在内，不再重试（要重试，写 `retry_failed=True`）。一万张以上，`embed` 就把活儿交给 **Ray Data**：它给每块 GPU 开一个工作进程，没有 GPU 就给每个核开一个，但要留一个核给 Ray 自己（双核的机器上就只有一个工作进程，永远不划算）；每个进程拿一块做一块，哪个死了，它手里那一块由别人重做。设了 `RAY_ADDRESS`，同样的代码就跑在集群上，条件是每台机器都装了课程库，也都看得见存图片和分片的文件夹。（课程的测试在本机的 Ray 上杀掉一个工作进程，又杀掉主程序再重启：每张好图恰好嵌入一次。）上一节的陷阱在这里也要当心：Ray 2.60 即使只在本机启动，也在这台机器的网络地址上监听，活干完就停。
#
# Ray 本身也有开销：启动、进程、每个进程一份模型。量一量这笔固定开销，再算：多少张以上才划算？

# %% [markdown] lang="en"
# The second run had next to nothing to do: all of them had been dealt with, the two broken files included, which are not tried
# again (`retry_failed=True` does). From ten thousand pictures on, `embed` hands the work to **Ray Data**: a worker for every GPU,
# or where there is none for every core but one, which Ray needs itself (so on two cores there is a single worker, and it never
# pays). A worker takes one chunk after another; where it dies, another does its chunk again. With `RAY_ADDRESS` the same code
# runs on a cluster, where every computer must have the course installed and see the folders of pictures and shards. (The course's tests kill a worker of a local Ray, and then the whole program,
# and start it again: every good picture is embedded exactly once.) Mind the last section's pitfall here, too: Ray 2.60, even
# when it is started for this computer alone, listens at the machine's network address, until the work is done.
#
# Ray has a price of its own: starting, processes, a copy of the model in each. Measure that fixed cost, and work out from how
# many pictures on it pays.

# %% tags=["nbval-ignore-output"]
def timed(name, **options):
    return seconds(lambda: embed(folder, Path(workspace.name, name), progress=False, **options))


try:
    loop, spread = timed("loop", ray=False), timed("ray", ray=True, workers=1)
    each, fixed = loop / len(gallery), spread - loop
    print(say(zh="循环", en="loop"), f"{loop:.1f} s;", say(zh="Ray，一个工作进程", en="Ray with one worker"), f"{spread:.1f} s")
    for workers in (2, 4, 16):
        pays = fixed / (each * (1 - 1 / workers))
        print(say(zh=f"{workers} 个工作进程：约 {pays:,.0f} 张以上划算", en=f"{workers} workers: pays from about {pays:,.0f} pictures on"))
except CourseError as problem:
    print(problem)

# %% [markdown] lang="zh"
# **看什么**：几百张图，循环快得多：Ray 的时间几乎全是启动。算出来的分界点假设工作进程各有一个空闲的核；你的机器越忙，分界点越大。模型越大，每张图越贵，分界点越*小*。`embed` 的一万张只是个整数：工作进程少、模型小，换得太早；模型大，换得太晚。以你量的为准，`ray=True` 或 `ray=False` 由你定。
#
# ## 8 一亿张、十亿张的账单
#
# 现在把量到的放进一个小模型。每个假设都写在代码里，价钱请换成你自己的：

# %% [markdown] lang="en"
# **What to notice**: for a few hundred pictures the loop is much faster; Ray's time is nearly all start. The break-even assumes
# an idle core for each worker: the busier the machine, the higher it lies. The larger the model, the more a picture costs,
# and the *smaller* the break-even. The ten thousand in `embed` is a round guess: too early with few workers and a
# small model, too late with a large one. Go by what you measure; `ray=True` or `ray=False` is yours to
# say.
#
# ## 8 The bill for a hundred million, and for a billion
#
# Now put what was measured into a small model. Every assumption stands in the code; put in your own prices:

# %%
ASSUMED = {
    "dim": 512,  # numbers in a full-size CLIP's vector
    "picture_ms": 100.0,  # to embed one on one core, with a model that size: measure yours
    "core_hour": 0.05,  # price of a core for an hour, in your currency
    "gb_month": 3.0,  # price of a GB of memory for a month
    "machine_gb": 64,  # memory of one machine
    "gb_s": 10.0,  # GB that one machine reads from memory in a second
}


def bill(count, bytes_a_number, a=ASSUMED):
    """GB, machines, seconds an exact scan takes on all of them at once, price a month, price of embedding once."""
    size = count * a["dim"] * bytes_a_number / 1e9
    machines = int(np.ceil(size / (0.75 * a["machine_gb"])))  # a quarter is left for everything else
    return size, machines, size / machines / a["gb_s"], size * a["gb_month"], count * a["picture_ms"] / 3.6e6 * a["core_hour"]


WAYS = {"float32": 4, "float16": 2, "8 bit": 1, "PQ, 4 bit": 1 / 2, say(zh="PQ, 1 bit（这里没有量过）", en="PQ, 1 bit (not measured here)"): 1 / 8}
head = say(zh="| 图片 | 存法 | GB | 机器 | 一次扫描，秒 | 内存，每月 | 嵌入，一次 |", en="| pictures | kept as | GB | machines | a scan, s | memory, a month | embedding, once |")
table = [head, "|--:|---|--:|--:|--:|--:|--:|"]
for n in (10**6, 10**8, 10**9):
    for way, size in WAYS.items():
        gb, machines, scan_s, month, once = bill(n, size)
        table.append(f"| {n:,} | {way} | {gb:,.2f} | {machines} | {scan_s:.3f} | {month:,.2f} | {once:,.2f} |")
display(Markdown("\n".join(table)))

# %% [markdown] lang="zh"
# 模型可信吗？这里能核对的只有一条：在一台机器上，时间 = 字节 ÷ 带宽。拿两件量过的事来对：一百万个 mini-clip 的向量，精确地扫一遍；按第 3 节的编码扫一遍。要几台机器、花多少钱，这里核对不了。

# %% [markdown] lang="en"
# Can the model be trusted? One part of it can be checked here: on one machine, time = bytes ÷ bandwidth. Two things were
# measured: a million of mini-clip's vectors, scanned exactly, and scanned in section 3's code. How many machines it takes, and
# how much money, cannot be checked here.

# %% tags=["nbval-ignore-output"]
gb, _, scan_s, *_ = bill(len(million), 4, ASSUMED | {"dim": dim, "gb_s": per_second / 1e9})
scanned_s, whole = rest * 1e6 / per_second, million.nbytes / 1e9
print("float32 |", say(zh="算的", en="predicted"), f"{gb:.3f} GB, {1000 * scan_s:.1f} ms |", say(zh="量的", en="measured"), f"{whole:.3f} GB, {measured[-1]:.1f} ms")
print(index.kind, "|", say(zh="算的", en="predicted"), f"{rest / 1000:.3f} GB, {1000 * scanned_s:.1f} ms |", say(zh="量的，连精排", en="measured, with re-ranking"), f"{1000 * np.median(taken):.1f} ms")

# %% [markdown] lang="zh"
# **看什么**：上面两行，算的和量的在同一个量级：拿来估账单够了，拿来承诺响应时间还不够。从 float32 到每个数一比特（要你的向量经得起），十亿张要的机器差出一个数量级还多（原来的向量另存盘上，精排时取）；嵌入那一列却不变，那笔钱只付一次，但换一个模型就要*再付一次*。图多十倍，扫描并不慢十倍：机器一旦装满，一次扫描最多就是 0.75 × 内存 ÷ 带宽，与总数无关。分片（sharding）就是拿机器换时间。
#
# 这个模型没有算的：机器里没装向量的那部分内存（钱只按向量的字节算，机器却要整台租）、放原来的向量的盘、副本（机器总会坏）、网络、存原图的盘、人。它也假设每台机器的扫描互不打扰。它回答的是“差几个数量级”，不是报价。
#
# 拖一拖：到多少张图为止，内存还装得下？

# %% [markdown] lang="en"
# **What to notice**: in both rows above the sum and the measurement have the same order of magnitude: good enough for a bill, not for a
# promise of response times. From float32 to one bit a number (if your vectors bear it), the machines for a billion differ by more than an order of magnitude (the true
# vectors wait on disk to be ranked by). The column for embedding does not change: it is paid once, and *again* with every new model. Ten times the
# pictures do not take ten times as long: once machines are full, a scan takes at most 0.75 × memory ÷ bandwidth, however many
# there are. Sharding trades machines for time.
#
# What the model leaves out: the memory of each machine that holds no vectors (bytes are charged, machines are rented whole), disks
# for the true vectors, replicas (machines do fail), the network, disks for the pictures themselves, people. And it assumes
# that machines scan without disturbing each other. It tells orders of magnitude, not a price.
#
# Drag: up to how many pictures does memory hold them?

# %% tags=["nbval-ignore-output"]
from course_lib.widgets import slides


def memory(count):
    sizes = {way.replace("（", "\n（").replace(" (", "\n("): bill(count, size)[0] for way, size in WAYS.items()}
    figure = plots.bars(sizes, title=f"{count:,} · GB", percent=False, height=2.7, width=6)
    axis = figure.axes[0]
    axis.axhline(16, color=plots.COLORS[1], linestyle="--", linewidth=1)
    axis.annotate(say(zh="16 GB 的笔记本电脑", en="a laptop's 16 GB"), (3.45, 16), ha="right", va="bottom", fontsize=8, color=plots.COLORS[1])
    axis.set_ylim(0, max(20, 1.15 * bill(count, 4)[0]))
    return figure


steps = [10**6, 3 * 10**6, 10**7, 3 * 10**7, 10**8]
slides([memory(n) for n in steps], name=say(zh="图片", en="pictures"), labels=[f"{n:,}" for n in steps], start=2)

# %% [markdown] lang="zh"
# ## 小测验

# %% [markdown] lang="en"
# ## Quiz

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
from course_lib.widgets import quiz

quiz(
    say(zh="图库从一百万张长到一千万张，还在同一台机器上，精确搜索的时间大约变成多少？", en="A collection grows from one million to ten, on the same machine. How long does exact search take now?"),
    {
        say(zh="差不多一样", en="About as long"): say(zh="那是图索引的长处，不是扫描的。", en="That is a graph's strength, not a scan's."),
        say(zh="十倍", en="Ten times as long"): say(zh="查询就是把所有向量读一遍，字节多十倍，时间多十倍。", en="A query reads every vector: ten times the bytes, ten times the time."),
        say(zh="一百倍", en="A hundred times"): say(zh="那是所有图两两比较。", en="That would be comparing all with all."),
    },
    answer="B",
)

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
quiz(
    say(zh="同事把索引换成 HNSW，查询快了十倍，分数看上去都正常。上线前还要做什么？", en="A colleague swaps in HNSW: ten times as fast, and the scores look fine. What is left to do before it goes live?"),
    {
        say(zh="没有了，快就是好", en="Nothing, fast is good"): say(zh="漏掉的结果不会报错，也不会出现在分数里。", en="What is missed raises no error and shows in no score."),
        say(zh="再加一倍内存", en="Buy twice the memory"): say(zh="内存不改变召回率。", en="Memory does not change recall."),
        say(zh="在自己的向量上和精确搜索比召回率", en="Compare recall with exact search on your own vectors"): say(
            zh="召回率取决于数据，几秒钟就能量。", en="Recall depends on the data, and takes seconds to measure."
        ),
    },
    answer="C",
)

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
quiz(
    say(zh="程序一边加图一边查重，用 Milvus 的哪种一致性？", en="A program adds pictures and looks for duplicates as it goes. Which of Milvus's consistencies does it take?"),
    {
        "Strong": say(zh="刚写的必须看得见，否则两张一样的会接连溜进来。", en="It must see what it just wrote, or two equal pictures slip in one after the other."),
        "Bounded": say(zh="晚几秒才看见，重复的已经进来了。", en="A few seconds late, the duplicate is in."),
        "Eventually": say(zh="更晚。", en="Later still."),
    },
    answer="A",
)

# %%
index = million = library = None  # half a gigabyte back
engine.close()
store.close()
if server:
    remote.close()
    hurried.close()
    server.stop()

# %% [markdown] lang="zh"
# ## 小结
#
# - 先算后量：字节 = $n \times d \times 4$，嵌入 = $n$ × 每张毫秒，查询 = 字节 ÷ 带宽。大的一头算得准。
# - 精确扫描已经快到内存的极限；要更快，只能少读字节。省下的内存，拿召回率或精排的时间来换。
# - 图索引很快，但召回率取决于数据，漏了也不说。**在自己的向量上，对着精确答案量。**
# - 加一张图，贵的是嵌入；所以要分摊、要能续跑的也是嵌入。小批量用循环，上万张用 Ray。
# - 服务器为的是许多机器共用。默认先求对（Strong），看清哪个端口开着。
# - 账单是一个有假设的模型：写出假设，拿量过的核对，再外推。
#
# 术语中英对照见 [docs/glossary.md](../../docs/glossary.md)。

# %% [markdown] lang="en"
# ## Summary
#
# - Calculate, then measure: bytes = $n \times d \times 4$, embedding = $n$ × milliseconds a picture, a query = bytes ÷ bandwidth.
#   At the large end the sums are good.
# - An exact scan is as fast as memory is; faster means fewer bytes. The memory saved is paid in recall, or in time to rank again.
# - A graph is very fast, but its recall depends on the data, and it does not tell. **Measure against the exact answer, on your
#   own vectors.**
# - The expensive part of adding a picture is embedding it; so that is what is spread, and must be resumable. A loop for few, Ray for
#   tens of thousands.
# - A server is for many machines to share. Right first (Strong), and know which port is open.
# - A bill is a model with assumptions: write them down, check against what was measured, then extrapolate.
#
# The terms in both languages stand in [docs/glossary.md](../../docs/glossary.md).

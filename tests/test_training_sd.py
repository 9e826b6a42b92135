"""Training mini-sd, in miniature and end to end: a folder that every pipeline loads, and a run that a kill cannot spoil."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from diffusers import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    AutoPipelineForText2Image,
    StableDiffusionPipeline,
)
from PIL import Image
from safetensors import safe_open
from transformers import CLIPModel

from little_world.captions import FULL, caption
from little_world.drawing import draw
from little_world.paths import MODELS
from little_world.scenes import COLORS, HELD_OUT, KINDS, random_scene, several
from little_world.training import data, evaluate_sd, sd, sd_data, sd_model
from little_world.training.data import TEST, TRAIN, scene_rng
from little_world.training.judge import FACTS, Judge
from little_world.training.loop import fit
from little_world.training.sd_data import PORTRAITS
from little_world.training.sd_decoder import Contest

CLIP = MODELS / "mini-clip"
SMALL = sd_model.SMALL


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("COURSE_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def judge():
    return Judge(CLIP)


@pytest.fixture(scope="module")
def trained(cache):
    """The pipeline straight from training, and what its folder became."""
    sd.train_vae(SMALL)
    shutil.copytree(cache / SMALL.name / "vae", cache / "vae-before-the-decoder")
    sd.train_decoder(SMALL)
    pipe, seconds = sd.train_unet(SMALL)
    weights = {name: value.clone() for name, value in pipe.unet.state_dict().items()}
    sd_model.save(pipe, cache / "model")
    return cache / "model", weights, seconds


@pytest.fixture(scope="module")
def pipe(trained):
    found = AutoPipelineForText2Image.from_pretrained(trained[0])
    found.set_progress_bar_config(disable=True)
    return found


def paint(pipe, prompt="一只红色的猫", *, seed=0, **kwargs):
    settings = {"num_inference_steps": 3, "guidance_scale": 5.0, **kwargs}
    return np.asarray(pipe(prompt, generator=torch.Generator().manual_seed(seed), **settings).images[0])


# ----------------------------------------------------------------------------------------------- the folder


def test_every_pipeline_loads_the_folder_as_it_is(pipe, trained):
    assert isinstance(pipe, StableDiffusionPipeline)
    picture = Image.fromarray(paint(pipe))
    assert picture.size == (128, 128)
    mask = Image.new("L", picture.size, 255)
    for family, more in (
        (AutoPipelineForImage2Image, {"image": picture, "strength": 0.7}),
        (AutoPipelineForInpainting, {"image": picture, "mask_image": mask, "height": 128, "width": 128}),
    ):
        other = family.from_pretrained(trained[0])
        other.set_progress_bar_config(disable=True)
        assert paint(other, "a cat", **more).shape == (128, 128, 3)


def test_a_seed_decides_and_so_do_prompt_negative_prompt_and_guidance(pipe):
    first = paint(pipe)
    assert np.array_equal(first, paint(pipe))
    for change in ({"seed": 1}, {"prompt": "a dog"}, {"negative_prompt": "red"}, {"guidance_scale": 1.0}):
        assert not np.array_equal(first, paint(pipe, **change)), change


def test_everything_is_stored_in_half_precision_and_computed_in_single(pipe, trained):
    for path in trained[0].rglob("*.safetensors"):
        with safe_open(path, "pt") as file:
            assert {file.get_tensor(name).dtype for name in file.keys()} <= {torch.float16, torch.int64}, path  # noqa: SIM118
    assert {part.dtype for part in (pipe.unet, pipe.vae, pipe.text_encoder)} == {torch.float32}
    stored = pipe.unet.state_dict()
    assert all(torch.equal(stored[name], value.half().float()) for name, value in trained[1].items())


def test_the_scheduler_is_stored_as_it_was_trained_with(pipe):
    wanted, found = sd_model.build_scheduler(), pipe.scheduler
    for name, value in wanted.config.items():
        assert name.startswith("_") or found.config[name] == value, name
    assert found.config.prediction_type == "v_prediction"
    assert found.alphas_cumprod[-1] == 0  # no signal is left
    found.set_timesteps(20)
    assert found.timesteps[0] == 999  # and sampling starts there


def test_the_real_model_fits_its_budget():
    painter = sd_model.build_painter(sd_model.MINI, CLIP)
    vae = sd.AutoencoderKL(**sd_model.MINI.vae)
    size = 2 * sum(p.numel() for model in (painter, vae) for p in model.parameters())
    assert size <= 30e6
    assert 2 ** (len(vae.config.block_out_channels) - 1) * painter.unet.config.sample_size == 128


def test_prompts_are_read_as_mini_clip_reads_them(pipe):
    """Padding changes nothing, in either language: the hidden states up to the end of text are mini-clip's."""
    tower = CLIPModel.from_pretrained(CLIP, dtype=torch.float32).eval().text_model
    pipe = sd_model.pipeline(pipe.vae, sd_model.build_painter(SMALL, CLIP).eval(), pipe.tokenizer)
    for prompt in ("草地上有一只红色的猫", "a picture of two dogs on the beach at night", ""):
        ids = sd_model.CLIPTokenizerFast.from_pretrained(CLIP)(prompt, return_tensors="pt").input_ids
        with torch.no_grad():
            wanted = tower(input_ids=ids).last_hidden_state
            found, _ = pipe.encode_prompt(prompt, "cpu", 1, False)
        assert found.shape == (1, sd_model.TOKENS, 128)
        assert torch.allclose(found[:, : wanted.shape[1]], wanted, atol=1e-5)


def test_no_caption_is_cut_off():
    tokenizer = sd_model.build_tokenizer(CLIP)
    for index in range(150):
        for stream in (PORTRAITS, *SMALL.latents):
            for lang in ("zh", "en"):
                rng = np.random.default_rng(index)
                text = caption(sd_data.sd_scene(index, stream), lang, plan=FULL, rng=rng)
                assert len(tokenizer(text).input_ids) < sd_model.TOKENS, text


# ---------------------------------------------------------------------------------------------- the training


class Killed(Exception):
    pass


def test_a_killed_run_ends_with_the_same_weights(trained, cache, monkeypatch):
    setup = replace(SMALL, name="killed")
    shutil.copytree(cache / SMALL.name / "vae", cache / setup.name / "vae")
    for checkpoint in [*(cache / SMALL.name).glob("vae-*.pt"), cache / SMALL.name / "decoder.pt"]:
        shutil.copy(checkpoint, cache / setup.name)
    monkeypatch.setattr(sd, "fit", partial(fit, save_every=0.0))
    whole, calls = sd.diffusion_loss, []

    def loss(*args):
        calls.append(args)
        if len(calls) in (3, 6):  # once in each stage
            raise Killed
        return whole(*args)

    monkeypatch.setattr(sd, "diffusion_loss", loss)
    for _ in range(2):
        with pytest.raises(Killed):
            sd.train_unet(setup)
    pipe, _ = sd.train_unet(setup)
    assert len(calls) == sum(stage.steps for stage in SMALL.stages) + 2  # nothing was done twice
    for name, value in pipe.unet.state_dict().items():
        assert torch.allclose(value, trained[1][name], rtol=0, atol=1e-6), name


def test_what_is_done_is_not_done_again(trained, cache, monkeypatch):
    before = (cache / SMALL.name / "vae" / "config.json").stat().st_mtime_ns
    monkeypatch.setattr(sd, "diffusion_loss", None)  # a step would fail
    monkeypatch.setattr(sd_data, "encode", None)
    sd.train_vae(SMALL)
    _, seconds = sd.train_unet(SMALL)
    assert (cache / SMALL.name / "vae" / "config.json").stat().st_mtime_ns == before
    assert seconds["latents"] == trained[2]["latents"] > 0


def test_the_text_encoder_learns_only_where_its_stage_says(trained, cache):
    first, last = (
        torch.load(cache / SMALL.name / f"unet-{n}.pt", weights_only=True)["averaged"] for n in (1, 2)
    )
    start = sd_model.build_text_encoder(CLIP).state_dict()
    for name, value in start.items():
        assert torch.equal(first[f"module.text_encoder.{name}"], value), name
    assert any(not torch.equal(last[f"module.text_encoder.{name}"], value) for name, value in start.items())


def test_latents_are_of_this_autoencoder_and_of_this_world(trained, monkeypatch):
    vae = sd.stored_vae(SMALL)
    key = sd_data.latents_key(vae, TRAIN)
    assert key == sd_data.latents_key(sd.stored_vae(SMALL), TRAIN)
    assert key != sd_data.latents_key(vae, PORTRAITS)
    with monkeypatch.context() as patch:
        patch.setattr(sd_data, "draw", lambda scene, size: draw(scene, size).rotate(180))
        assert key != sd_data.latents_key(vae, TRAIN)
    with torch.no_grad():
        next(vae.parameters()).view(-1)[0] += 0.5
    assert key != sd_data.latents_key(vae, TRAIN)


def test_latents_are_what_the_autoencoder_makes_of_the_picture(trained):
    vae, known = sd.stored_vae(SMALL), sd.all_latents(SMALL)
    for stream in (PORTRAITS, TRAIN):
        pixels = np.asarray(draw(sd_data.sd_scene(5, stream)))[None]
        with torch.no_grad():
            wanted = vae.encode(sd_data.as_tensor(pixels)).latent_dist
        mean, std = torch.from_numpy(known[stream][5].astype(np.float32))
        assert torch.allclose(mean, wanted.mean[0], atol=0.05)  # bfloat16 on the way
        assert torch.allclose(std, wanted.std[0], rtol=0.05)


def test_a_kill_costs_one_shard_of_latents(trained, cache, monkeypatch):
    vae, done = sd.stored_vae(SMALL), []
    monkeypatch.setattr(sd_data, "SHARD", 6)
    encode = sd_data.encode

    def encode_two_shards(*args):
        if len(done) == 2:
            raise Killed
        done.append(args)
        return encode(*args)

    monkeypatch.setattr(sd_data, "encode", encode_two_shards)
    with pytest.raises(Killed):
        sd_data.latents(vae, TEST, 20, workers=1)
    monkeypatch.setattr(sd_data, "encode", lambda *args: done.append(args) or encode(*args))
    found = sd_data.latents(vae, TEST, 20, workers=1)
    assert len(done) == 4  # 6 + 6, then 6 + 2
    assert len(found) == 20
    assert not list(cache.rglob("latents/*.part"))
    pixels = np.stack([np.asarray(draw(sd_data.sd_scene(i, TEST))) for i in (12, 19)])
    assert np.allclose([found[12], found[19]], encode(vae, pixels), atol=0.02)


def test_a_batch_follows_from_its_step(trained):
    known = sd.all_latents(SMALL)
    tokenizer = sd_model.build_tokenizer(CLIP)
    scale = sd.stored_vae(SMALL).config.scaling_factor
    batches = sd_data.Batches(known, scale, tokenizer, 1000, replace(SMALL.stages[1], batch_size=500))
    first, again, other = batches[3], batches[3], batches[4]
    for value, same, another in zip(first, again, other):
        assert torch.equal(value, same) and not torch.equal(value, another)
    assert torch.equal(first.timesteps.sort().values // 2, torch.arange(500))  # spread evenly
    empty = tokenizer("", padding="max_length", return_tensors="pt").input_ids
    assert 0.07 < (first.input_ids == empty).all(dim=1).float().mean() < 0.17
    texts = tokenizer.batch_decode(first.input_ids, skip_special_tokens=True)
    chinese = np.mean([any("\u4e00" <= c <= "\u9fff" for c in text) for text in texts if text])
    assert 0.4 < chinese < 0.6
    assert 0.8 < first.latents.std() < 1.25  # what the scaling factor is for


def test_portraits_show_one_large_thing_of_the_training_world():
    scenes = [sd_data.sd_scene(i, PORTRAITS) for i in range(300)]
    assert {len(s.things) for s in scenes} == {1}
    assert {s.size for s in scenes} == {"large"}
    assert not {(s.groups[0].kind, s.groups[0].color) for s in scenes} & HELD_OUT


def test_cells_hold_what_stands_there():
    for i in range(200):
        scene = random_scene(scene_rng(9, i))
        kinds, colors = data.scene_cells(scene)
        assert kinds.any() == bool(scene.things)
        for thing in scene.things:
            row, column = int(thing.y * data.CELLS), int(thing.x * data.CELLS)
            assert kinds[row, column] == 1 + KINDS.index(thing.kind)
            assert colors[row, column] == (1 + COLORS.index(thing.color) if thing.color else 0)
        assert {int(k) for k in kinds.flat} - {0} == {1 + KINDS.index(t.kind) for t in scene.things}


def test_naming_reaches_the_unet_and_weighs_nothing_at_zero(trained):
    painter, scheduler = sd_model.build_painter(SMALL, CLIP), sd_model.build_scheduler()
    tokenizer = sd_model.build_tokenizer(CLIP)
    batch = sd_data.Batches(sd.all_latents(SMALL), 1.0, tokenizer, 1000, SMALL.stages[0])[0]
    (plain, _), (taught, shown) = (
        sd.diffusion_loss(painter, scheduler, batch, naming) for naming in (0.0, 0.5)
    )
    assert float(taught.detach()) == pytest.approx(
        float(plain.detach()) + 0.5 * float(shown["naming"]), rel=1e-5
    )
    (taught - plain).backward()
    middle = [p.grad for p in painter.unet.mid_block.parameters() if p.grad is not None]
    assert max(float(g.abs().max()) for g in middle) > 0
    assert not painter.unet.mid_block._forward_hooks


def test_weights_of_the_loss():
    signal = sd_model.build_scheduler().alphas_cumprod
    times = torch.arange(1000)
    weights, snr = sd.snr_weight(signal, times), signal / (1 - signal)
    assert weights[-1] == pytest.approx(sd.WEIGHT_FLOOR)
    middle = (snr > 0.5) & (snr < 5)
    assert torch.allclose(weights[middle], (snr / (snr + 1))[middle])
    assert torch.allclose(weights[snr > 5], (5 / (snr + 1))[snr > 5])


def test_what_is_learned_comes_out_of_sampling(pipe):
    """Two prompts, one in each language, and their latents: noise, velocity, text and sampler agree with one another."""
    torch.manual_seed(0)
    painter = sd_model.build_painter(SMALL, CLIP)
    painter.text_encoder.requires_grad_(False)
    scheduler, prompts = sd_model.build_scheduler(), ["a red car at night", "一只猫"]
    ids = pipe.tokenizer(prompts, padding="max_length", return_tensors="pt").input_ids.repeat(8, 1)
    wanted = torch.randn(2, 4, 2, 2).repeat_interleave(8, 2).repeat_interleave(8, 3)
    cells = torch.randint(1, 9, (2, 2, 8, 8)).repeat(8, 1, 1, 1)
    optimizer = torch.optim.AdamW(painter.parameters(), lr=3e-3)
    for step in range(150):
        generator = torch.Generator().manual_seed(step)
        times = (torch.randperm(16, generator=generator) + torch.rand((), generator=generator)) * 1000 / 16
        noise = torch.randn(16, 4, 16, 16, generator=generator)
        batch = sd_data.Batch(wanted.repeat(8, 1, 1, 1), noise, times.long(), ids, cells)
        optimizer.zero_grad()
        loss, shown = sd.diffusion_loss(painter, scheduler, batch, naming=0.05)
        loss.backward()
        optimizer.step()
    assert shown["naming"] < 1.0  # by chance 5.4
    own = sd_model.pipeline(pipe.vae, painter.eval(), pipe.tokenizer)
    generators = [torch.Generator().manual_seed(i) for i in range(2)]
    painted = own(
        prompts, num_inference_steps=20, guidance_scale=1.0, generator=generators, output_type="latent"
    ).images
    distance = torch.cdist(painted.flatten(1), wanted.flatten(1)) / 32
    assert distance.diag().max() < 0.5 < distance.fliplr().diag().min()


def test_a_reconstruction_is_judged_by_its_edges_too():
    wanted = torch.zeros(1, 3, 8, 8)
    assert sd.reconstruction_loss(wanted, wanted) == 0
    brighter, checkered = wanted + 0.1, wanted + 0.1
    checkered[..., ::2] = -0.1
    assert sd.reconstruction_loss(brighter, wanted) == pytest.approx(0.1)
    assert sd.reconstruction_loss(checkered, wanted) == pytest.approx(0.3)
    # a color that is off weighs more with the means, what differs from pixel to pixel does not
    assert sd.reconstruction_loss(brighter, wanted, coarse=0.5) == pytest.approx(0.2)
    assert sd.reconstruction_loss(checkered, wanted, coarse=0.5) == pytest.approx(0.3)


def test_crops_aimed_at_a_thing_hold_one():
    stage = replace(SMALL.vae_stages[1], aimed=1.0)
    crops = sd_data.Crops(SMALL.pictures, 64, stage, (4, 8, 8))
    for index in range(40):
        scene = sd_data.sd_scene(index, TRAIN)
        top, left = crops.corner(scene, np.random.default_rng(index))
        assert 0 <= top <= 64 and 0 <= left <= 64
        if scene.things:
            assert any(top <= 128 * t.y <= top + 64 and left <= 128 * t.x <= left + 64 for t in scene.things)
    batch = crops[3]
    assert batch.pixels.shape == (stage.batch_size, 3, 64, 64) and batch.noise.shape == (
        stage.batch_size,
        4,
        8,
        8,
    )
    assert all(torch.equal(a, b) for a, b in zip(batch, crops[3]))
    assert -1 <= batch.pixels.min() < batch.pixels.max() <= 1


def test_the_decoder_learns_on_alone(trained, cache):
    before = sd.AutoencoderKL.from_pretrained(cache / "vae-before-the-decoder")
    after = sd.stored_vae(SMALL)
    old, new = before.state_dict(), after.state_dict()
    same = {name for name in new if torch.equal(old[name], new[name])}
    assert {name for name in new if name.startswith(("encoder.", "quant_conv."))} <= same
    assert any(name.startswith("decoder.") and name not in same for name in new)
    assert sd_data.latents_key(before, TRAIN) == sd_data.latents_key(after, TRAIN)
    assert after.config.scaling_factor == before.config.scaling_factor


def test_decoder_and_critic_each_learn_from_their_own_half_of_the_loss():
    torch.manual_seed(0)
    stage = replace(SMALL.decoder_stage, adversarial=0.0, alike=0.0)
    contest = Contest(sd.AutoencoderKL(**SMALL.vae), stage)
    batch = sd_data.Crops(SMALL.pictures, 64, stage, (4, 8, 8))[0]

    def gradients(stage, error) -> tuple[float, float]:
        contest.zero_grad()
        contest.loss(batch, stage, error)[0].backward()
        parts = contest.vae.decoder, contest.critic
        return tuple(
            sum(float(p.grad.abs().sum()) for p in part.parameters() if p.grad is not None) for part in parts
        )

    nothing = lambda made, wanted: 0 * made.sum()  # noqa: E731
    decoder, critic = gradients(stage, nothing)
    assert decoder == 0 and critic > 0  # what tells drawings from pictures changes no picture
    with_judgement = gradients(replace(stage, adversarial=1.0, alike=1.0), nothing)
    # to be taken for a drawing blinds no critic
    assert with_judgement[0] > 0 and with_judgement[1] == pytest.approx(critic)
    assert all(p.grad is None for p in contest.vae.encoder.parameters())


def test_a_critic_learns_to_tell_what_a_decoder_makes_from_drawings():
    torch.manual_seed(0)
    stage = replace(SMALL.decoder_stage, batch_size=8, adversarial=0.0, alike=0.0)
    contest = Contest(sd.AutoencoderKL(**SMALL.vae), stage)
    crops = sd_data.Crops(SMALL.pictures, 64, stage, (4, 8, 8))
    optimizer = torch.optim.Adam(contest.critic.parameters(), 1e-3)
    told = []
    for step in range(30):
        value, logged = contest.loss(crops[step], stage, lambda made, wanted: 0 * made.sum())
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        told.append(float(logged["told"]))
    assert told[0] > 1.5 and told[-1] < 0.5  # 2: by chance


def test_another_autoencoder_needs_another_decoder(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    left = sd.work_folder(SMALL) / "decoder.pt"
    left.write_bytes(b"of an autoencoder that is gone")
    sd.train_vae(SMALL)
    assert not left.exists()


# --------------------------------------------------------------------------------------------- the measuring


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_the_judge_sees_what_is_there_and_nothing_else(judge, lang):
    scenes = evaluate_sd.held_out_scenes(72)
    drawn = [draw(s) for s in scenes]
    assert min(judge.shares(drawn, scenes, lang).values()) >= 0.9
    wrong = judge.shares(drawn[5:] + drawn[:5], scenes, lang)
    assert max(wrong[fact] for fact in FACTS) <= 0.55  # one hour of three is right by chance
    groups = [several(scene_rng(TEST, i), count=2 + i % 3) for i in range(48)]
    assert judge.shares([draw(s) for s in groups], groups, lang, ("count",))["count"] >= 0.85


def test_the_command_goes_on_measures_and_writes_the_card(trained, tmp_path, monkeypatch, capsys):
    table = evaluate_sd.table
    monkeypatch.setattr(evaluate_sd, "table", lambda folder, n: table(folder, 2))
    monkeypatch.setattr(sd, "diffusion_loss", None)  # all steps are done: one more would fail
    folder = tmp_path / "model"
    monkeypatch.setattr("sys.argv", ["sd", "--small", "--device", "cpu", "--folder", str(folder)])
    sd.main()
    measured = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert {*evaluate_sd.TARGETS} <= {*measured["rows"]}
    for row, shares in measured["rows"].items():
        assert f"| {row} | {shares['zh']:.1%} | {shares['en']:.1%} |" in card
    assert measured["numbers"]["same seed, same picture"] is True
    with Image.open(folder / "samples.png") as sheet:
        assert sheet.width > 8 * 128
    rows = {"kind": {"zh": 0.5, "en": 0.25}}
    monkeypatch.setattr(evaluate_sd, "table", lambda folder, n: {"rows": rows})
    monkeypatch.setattr("sys.argv", ["sd", "--small", "--evaluate", "--folder", str(folder)])
    capsys.readouterr()
    sd.main()
    assert "| kind | 50.0% | 25.0% | 90% |" in capsys.readouterr().out

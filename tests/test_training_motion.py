"""mini-motion's training with a tiny adapter on a mini-sd of random weights, and the tracker that judges clips."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import small_checkpoints
import torch
from diffusers import AnimateDiffPipeline, AutoencoderKL, MotionAdapter
from PIL import Image
from safetensors import safe_open
from transformers import CLIPTextModel

from little_world.clip_drawing import draw_clip
from little_world.clips import Actor
from little_world.drawing import draw
from little_world.first_frame import from_first_frame
from little_world.paths import MODELS
from little_world.scenes import HELD_OUT, landscape
from little_world.training import evaluate_motion, motion, motion_data, motion_model, parallel, sd_model
from little_world.training.data import TEST, scene_rng
from little_world.training.loop import fit
from little_world.training.motion_data import FRAMES, RATE, motion_clip
from little_world.training.motion_model import MINI, SMALL
from little_world.training.sd_data import as_tensor
from little_world.training.tracking import MOTIONS, Tracker, motion_of

CLIP = MODELS / "mini-clip"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def base_folder(cache):
    return small_checkpoints.make_mini_sd(cache / sd_model.SMALL.name / "model")


@pytest.fixture(scope="module")
def base(base_folder):
    return motion.load_base(base_folder)


@pytest.fixture(scope="module")
def tracker():
    return Tracker()


@pytest.fixture(scope="module")
def trained(cache, base, base_folder, no_glance):
    """The folder that a run leaves, the weights of its adapter, and the seconds it took."""
    pipe, seconds = motion.train(SMALL, base)
    weights = {k: v.clone() for k, v in pipe.unet.state_dict().items()}
    folder = cache / SMALL.name / "model"
    motion_model.save(pipe, SMALL, folder, motion.load_base(base_folder))
    return folder, weights, seconds


@pytest.fixture(scope="module")
def no_glance():
    """Looks cost more than these runs themselves; the last test has them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate_motion, "Glance", lambda n: lambda pipe, sheet: {})
        yield


def animate(pipe, prompt="a red car moves to the right", seed=0, **more):
    options = {
        "num_frames": FRAMES,
        "num_inference_steps": 2,
        "output_type": "np",
        "height": 128,
        "width": 128,
    }
    generator = torch.Generator().manual_seed(seed)
    return np.asarray(pipe(prompt, generator=generator, **options, **more).frames[0])


# ---------------------------------------------------------------------------------------------- the tracker


@pytest.fixture(scope="module")
def drawn(tracker):
    """Clips as the world draws them, their frames, and what the tracker sees there."""
    clips = evaluate_motion.held_out_clips(42)
    frames = np.stack([draw_clip(clip) for clip in clips])
    return clips, frames, evaluate_motion.look_at(tracker, frames)


def test_the_tracker_finds_the_thing(drawn):
    clips, _, seen = drawn
    true = [[clip.shots[0].actors[0].center(k / RATE, clip.seconds) for k in range(FRAMES)] for clip in clips]
    errors = np.linalg.norm(seen.tracks - np.array(true), axis=-1) * 128
    assert np.median(errors) < 4  # pixels; mini-clip's patches are 16
    assert np.quantile(errors, 0.95) < 9


def test_the_tracker_names_the_motion(drawn):
    clips, _, seen = drawn
    right = evaluate_motion.right_motion(seen, clips)
    assert set(right) == {evaluate_motion.DIRECTION, evaluate_motion.ALL, *MOTIONS}
    assert right[evaluate_motion.DIRECTION] >= 0.97
    assert right[evaluate_motion.ALL] >= 0.95


def test_backwards_is_the_other_way_and_disorder_is_no_motion(drawn):
    clips, _, seen = drawn
    asked = [clip.shots[0].actors[0].motion for clip in clips]
    opposite = {"right": "left", "left": "right", "up": "down", "down": "up", "still": "still"}
    backwards = [motion_of(track[::-1], RATE) for track in seen.tracks]
    assert np.mean([opposite[a] == b for a, b in zip(asked, backwards) if a in opposite]) >= 0.95
    order = np.random.default_rng(0).permutation(FRAMES)
    disorder = [motion_of(track[order], RATE) for track in seen.tracks]
    assert np.mean([a == b for a, b in zip(asked, disorder) if a != "still"]) < 0.3


def test_where_nothing_is_nothing_is_followed(tracker):
    empty = [landscape(scene_rng(TEST, i)) for i in range(12)]
    track = tracker.track([draw(scene) for scene in empty])
    assert np.isnan(track).all(axis=1).mean() > 0.8
    assert motion_of(np.full((8, 2), np.nan), RATE) is None


@pytest.mark.parametrize("motion_name", MOTIONS)
def test_a_path_is_named_wherever_and_however_large(motion_name):
    path = np.array(
        [Actor("ball", "red", motion_name).center(k / RATE, FRAMES / RATE) for k in range(FRAMES)]
    )
    rng = np.random.default_rng(1)
    for scale in (0.5, 1.0, 1.2):
        noisy = 0.5 + (path - path.mean(0)) * scale + rng.normal(0, 0.012, path.shape)
        assert motion_of(noisy, RATE) == motion_name
        noisy[2] = np.nan  # lost once
        assert motion_of(noisy, RATE) == motion_name
    noisy[:4] = np.nan
    assert motion_of(noisy, RATE) is None


def test_flicker_is_what_changes_behind_the_thing(drawn):
    _, frames, seen = drawn
    still = evaluate_motion.flicker(frames, seen)
    brightness = np.random.default_rng(0).integers(0, 20, (*frames.shape[:2], 1, 1, 1)).astype(np.uint8)
    assert still < 1.5
    assert evaluate_motion.flicker(frames // 2 + brightness, seen) > still + 3


# -------------------------------------------------------------------------------------------------- the data


def test_every_motion_comes_equally_often_in_pairs_of_the_training_world():
    clips = [motion_clip(i) for i in range(280)]
    actors = [clip.shots[0].actors[0] for clip in clips]
    assert [[a.motion for a in actors].count(m) for m in MOTIONS] == [40] * len(MOTIONS)
    assert not {(a.kind, a.color) for a in actors} & HELD_OUT
    assert all(len(clip.ticks) == FRAMES and clip.seconds == FRAMES / RATE for clip in clips)
    assert len({a.kind for a in actors}) == 24


def test_frames_are_the_clip_as_it_is_drawn():
    wanted = draw_clip(motion_clip(9, TEST))
    found = np.stack([motion_data.draw_clip_frame(9 * FRAMES + k, TEST) for k in range(FRAMES)])
    assert np.array_equal(found, wanted)


def test_captions_say_one_motion_in_either_language_and_are_not_cut_off(base):
    for lang, phrases in motion_data.PHRASES.items():
        every = [phrase for some in phrases.values() for phrase in some]
        assert set(phrases) == set(MOTIONS)
        assert len(every) == len(set(every)), lang
    for i in range(350):
        clip, rng = motion_clip(i), np.random.default_rng(i)
        for lang in ("zh", "en"):
            text = motion_data.motion_caption(clip, lang, rng)
            assert any("\u4e00" <= c <= "\u9fff" for c in text) == (lang == "zh")
            assert len(base.tokenizer(text).input_ids) <= sd_model.TOKENS, text


def test_a_batch_follows_from_its_step(trained, base):
    known = motion_data.clip_latents(base.vae, SMALL.clips)
    scale = base.vae.config.scaling_factor
    stage = replace(SMALL.stages[1], batch_size=120)
    batches = motion_data.ClipBatches(known, scale, base.tokenizer, 1000, stage)
    first, again, other = batches[3], batches[3], batches[4]
    for value, same, another in zip(first, again, other):
        assert torch.equal(value, same) and not torch.equal(value, another)
    # spread evenly but for the root: most of them are late
    assert (
        first.timesteps.sort().values / 1000 - ((torch.arange(120) + 0.5) / 120).sqrt()
    ).abs().max() < 0.07
    assert 0.3 < first.given.float().mean() < 0.7
    pixels = draw_clip(
        motion_clip(int(np.random.default_rng([stage.seed, 3]).integers(SMALL.clips, size=120)[5]))
    )
    with torch.no_grad():
        wanted = base.vae.encode(as_tensor(pixels)).latent_dist.mean * scale
    assert torch.allclose(first.latents[5].transpose(0, 1), wanted, atol=0.02)  # bfloat16 on the way


def test_two_processes_share_a_batch(trained, base, monkeypatch):
    known = motion_data.clip_latents(base.vae, SMALL.clips)
    batches = motion_data.ClipBatches(
        known, 1.0, base.tokenizer, 1000, replace(SMALL.stages[1], batch_size=4)
    )
    whole, parts = batches[0], []
    monkeypatch.setattr(parallel, "_world", 2)
    for rank in range(2):
        monkeypatch.setattr(parallel, "_rank", rank)
        parts.append(batches[0])
    for value, first, second in zip(whole, *parts):
        assert torch.equal(torch.stack([first, second], dim=1).flatten(0, 1), value)


# ---------------------------------------------------------------------------------------------- the training


def test_at_first_the_frames_are_the_pictures_that_mini_sd_paints(base):
    mover = motion_model.build_mover(SMALL.heads, base)
    noisy, times = torch.randn(2, 4, FRAMES, 16, 16), torch.tensor([100, 900])
    ids = base.tokenizer(["a cat", "一只狗"], padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        moved, middle = mover(noisy, times, ids)
        text = base.text_encoder(ids)[0].repeat_interleave(FRAMES, 0)
        flat = noisy.transpose(1, 2).flatten(0, 1)
        painted = base.unet(flat, times.repeat_interleave(FRAMES), encoder_hidden_states=text).sample
    assert torch.allclose(moved.transpose(1, 2).flatten(0, 1), painted, atol=1e-5)
    assert middle.shape[0] == 2 * FRAMES


def test_a_given_first_frame_stands_without_noise_and_is_not_judged(base):
    scheduler = base.scheduler
    clean = torch.ones(2, 4, FRAMES, 16, 16)
    batch = motion_data.ClipBatch(clean, torch.zeros_like(clean), torch.tensor([999, 999]), torch.zeros(2, 40).long(),
                                  torch.zeros(2, FRAMES, 2, 8, 8).long(), torch.tensor([0, 1]), torch.tensor([True, False]))  # fmt: skip
    shown = []

    class Blind:
        def __call__(self, noisy, timesteps, ids):
            shown.append(noisy)
            velocity = scheduler.get_velocity(clean, batch.noise, timesteps)
            velocity[:, :, 0] += 100.0  # wrong in the first frame alone
            return velocity, torch.zeros(1)

        def naming_loss(self, middle, cells):
            return torch.zeros(())

        telling_loss = naming_loss

    loss, _ = motion.motion_loss(Blind(), scheduler, batch)
    assert torch.equal(shown[0][0, :, 0], clean[0, :, 0])
    # at the last timestep no signal is left
    assert shown[0][0, :, 1:].abs().max() == shown[0][1].abs().max() == 0
    assert float(loss) == pytest.approx(100.0**2 / FRAMES / 2, rel=1e-4)


def test_the_unet_rests_and_the_text_encoder_learns_where_its_stage_says(trained, base, cache):
    unet, before = base.unet.state_dict(), base.text_encoder.state_dict()
    words, first, last = (
        torch.load(cache / SMALL.name / name, weights_only=True)["model"]
        for name in ("words.pt", "motion-1.pt", "motion-2.pt")
    )
    text = {
        name.removeprefix("text_encoder."): value
        for name, value in words.items()
        if name.startswith("text_encoder.")
    }
    assert any(not torch.equal(value, before[name]) for name, value in text.items())
    assert all(torch.equal(words[f"before.{name}"], value) for name, value in before.items())
    for name, value in unet.items():
        assert torch.equal(last[f"unet.{name}"], value), name
    assert all(torch.equal(first[f"text_encoder.{name}"], value) for name, value in text.items())
    assert any(not torch.equal(last[f"text_encoder.{name}"], value) for name, value in text.items())
    moved = [name for name in last if "motion_modules" in name and name.endswith("proj_out.weight")]
    assert len(moved) == 7 and all(last[name].abs().max() > 0 for name in moved)


def test_the_text_encoder_learns_the_words_for_motion_and_stays_near_what_it_was(base):
    clip = sd_model.build_text_encoder(MODELS / "mini-clip")  # the small base's own knows no words at all
    tokenizer = sd_model.build_tokenizer(MODELS / "mini-clip")
    recipe = replace(SMALL.words, batch_size=64)
    words, batches = (
        motion.Words(clip, tokenizer.eos_token_id),
        motion_data.CaptionBatches(7, tokenizer, recipe),
    )
    optimizer = torch.optim.AdamW([p for p in words.parameters() if p.requires_grad], lr=1e-3)
    shown = []
    for step in range(25):  # seven captions are soon known
        optimizer.zero_grad()
        loss, seen = words(*batches[step])
        loss.backward()
        optimizer.step()
        shown.append(seen)
    assert float(shown[0]["motion"]) < 0.4 and float(shown[0]["drift"]) == 0
    assert float(shown[-1]["motion"]) > 0.8 and 0 < float(shown[-1]["drift"]) < 0.5


class Killed(Exception):
    pass


def test_a_killed_run_ends_with_the_same_weights(trained, base, monkeypatch, no_glance):
    setup = replace(SMALL, name="killed")
    monkeypatch.setattr(motion, "fit", partial(fit, save_every=0.0))
    whole, calls = motion.motion_loss, []

    def loss(*args, **weights):
        calls.append(args)
        if len(calls) in (2, 4):  # once in each stage
            raise Killed
        return whole(*args, **weights)

    monkeypatch.setattr(motion, "motion_loss", loss)
    for _ in range(2):
        with pytest.raises(Killed):
            motion.train(setup, base)
    pipe, _ = motion.train(setup, base)
    assert len(calls) == sum(stage.steps for stage in SMALL.stages) + 2  # nothing was done twice
    for name, value in pipe.unet.state_dict().items():
        assert torch.allclose(value, trained[1][name], rtol=0, atol=1e-6), name


def learn(mover, base, batch, steps, **weights):
    """The loss of each step on one batch, and what was logged."""
    optimizer, seen = torch.optim.AdamW([p for p in mover.parameters() if p.requires_grad], lr=3e-3), []
    for _ in range(steps):
        optimizer.zero_grad()
        loss, logged = motion.motion_loss(mover, base.scheduler, batch, **weights)
        loss.backward()
        optimizer.step()
        seen.append((float(loss.detach()), logged))
    return seen


def test_motion_modules_learn(base):
    """One clip, a bar that goes right, always under the same noise: what is wrong with it grows less."""
    torch.manual_seed(0)
    mover = motion_model.build_mover(SMALL.heads, base)
    mover.text_encoder.requires_grad_(False)
    latents = torch.zeros(1, 4, FRAMES, 16, 16)
    for k in range(FRAMES):
        latents[:, :, k, :, 2 * k : 2 * k + 2] = 2.0
    ids = base.tokenizer("a cat", padding="max_length", return_tensors="pt").input_ids
    cells = torch.zeros(1, FRAMES, 2, 8, 8).long()
    noise, times, right, given = (
        torch.randn_like(latents),
        torch.tensor([700]),
        torch.tensor([0]),
        torch.tensor([False]),
    )
    batch = motion_data.ClipBatch(latents, noise, times, ids, cells, right, given)
    losses = [loss for loss, _ in learn(mover, base, batch, 12, naming=0.05)]
    assert losses[-1] < 0.8 * losses[0]


def test_the_text_encoder_learns_what_the_unet_hears_of_a_motion(base):
    """Two clips whose frames are noise alone and whose prompts differ: only the words can tell their motions apart."""
    torch.manual_seed(0)
    mover = motion_model.build_mover(SMALL.heads, base)
    ids = base.tokenizer(["goes up", "goes down"], padding="max_length", return_tensors="pt").input_ids
    noise = torch.randn(1, 4, FRAMES, 16, 16).expand(2, -1, -1, -1, -1)
    cells, motions = torch.zeros(2, FRAMES, 2, 8, 8).long(), torch.tensor([2, 3])
    batch = motion_data.ClipBatch(
        noise, noise, torch.tensor([999, 999]), ids, cells, motions, torch.tensor([False, False])
    )
    told = [float(seen["telling"]) for _, seen in learn(mover, base, batch, 30, telling=1.0)]
    assert told[-1] < 0.5 * np.log(2) < np.log(2) < told[0]  # less than who knows that it is one of the two


# ------------------------------------------------------------------------------------------------ the folder


def test_the_folder_loads_as_anyone_would_load_it(trained, base_folder):
    folder, weights, seconds = trained
    pipe = AnimateDiffPipeline.from_pretrained(
        base_folder,
        motion_adapter=MotionAdapter.from_pretrained(folder),
        text_encoder=CLIPTextModel.from_pretrained(folder, subfolder="text_encoder"),
    )
    pipe.set_progress_bar_config(disable=True)
    stored = pipe.unet.state_dict()
    assert all(torch.equal(stored[k], v.half().float()) for k, v in weights.items() if "motion_modules" in k)
    frames = animate(pipe)
    assert frames.shape == (FRAMES, 128, 128, 3)
    assert np.array_equal(frames, animate(pipe))
    for change in ({"seed": 1}, {"prompt": "a red car moves to the left"}, {"negative_prompt": "red"}):
        assert not np.array_equal(frames, animate(pipe, **change)), change
    for path in folder.rglob("*.safetensors"):
        with safe_open(path, "pt") as file:
            kinds = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
        assert kinds <= {torch.float16, torch.int64}, path
    about = json.loads((folder / motion_model.ABOUT).read_text())
    assert (about["num_frames"], about["frame_rate"], about["first_frame"]) == (FRAMES, RATE, True)
    assert seconds["latents"] > 0 < seconds["training"]


def test_the_real_adapter_fits_its_budget():
    painter = sd_model.build_painter(sd_model.MINI, CLIP)
    vae = AutoencoderKL(**sd_model.SMALL.vae)
    whole = sd_model.pipeline(vae, painter, sd_model.build_tokenizer(CLIP))
    adapter = motion_model.build_adapter(whole, MINI.heads)
    count = sum(p.numel() for part in (adapter, painter.text_encoder) for p in part.parameters())
    assert 2 * count <= 8e6


def test_a_clip_can_begin_with_a_picture(trained, base_folder):
    pipe = motion_model.load(trained[0], base_folder)
    picture = Image.fromarray(draw_clip(motion_clip(2, TEST))[0])
    generators = [torch.Generator().manual_seed(0)]
    steps = []
    after = lambda pipe, index, timestep, values: steps.append(index) or values  # noqa: E731
    more = from_first_frame(pipe, [picture], FRAMES, generators, after)
    options = {"num_frames": FRAMES, "num_inference_steps": 3, "generator": generators}
    made = pipe("a cat", **options, **more, output_type="latent").frames
    with torch.no_grad():
        pixels = pipe.video_processor.preprocess([picture])
        wanted = pipe.vae.encode(pixels).latent_dist.mode() * pipe.vae.config.scaling_factor
    assert torch.equal(made[:, :, 0], wanted)
    assert steps == [0, 1, 2]
    free = pipe(
        "a cat", **{**options, "generator": [torch.Generator().manual_seed(0)]}, output_type="latent"
    ).frames
    assert not torch.equal(free[:, :, 0], wanted)
    assert not torch.allclose(made[:, :, 5], free[:, :, 5])  # the other frames look at the first one


def test_the_command_goes_on_measures_and_writes_the_card(trained, tracker, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(evaluate_motion, "Tracker", lambda: tracker)
    monkeypatch.setattr(evaluate_motion, "STEPS", 1)
    monkeypatch.setattr(evaluate_motion, "GUIDANCES", (1.0,))
    monkeypatch.setattr(motion, "motion_loss", None)  # all steps are done: one more would fail
    folder = tmp_path / "model"
    monkeypatch.setattr("sys.argv", ["motion", "--small", "--device", "cpu", "--folder", str(folder)])
    motion.main()
    measured = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert {*evaluate_motion.TARGETS} <= {*measured["rows"]}
    for row, shares in measured["rows"].items():
        assert f"| {row} | {shares['zh']:.1%} | {shares['en']:.1%} |" in card
    assert measured["numbers"]["same seed, same clip"] is True
    assert measured["rows"]["direction, the same clips as the world draws them"]["en"] == 1.0
    with Image.open(folder / "samples.png") as sheet:
        assert sheet.width > 600
    with Image.open(folder / "samples.gif") as moving:
        assert (moving.n_frames, moving.info["duration"], moving.info["loop"]) == (FRAMES, 1000 // RATE, 0)
    rows = {evaluate_motion.DIRECTION: {"zh": 0.5, "en": 0.25}}
    monkeypatch.setattr(evaluate_motion, "table", lambda *args: {"rows": rows})
    monkeypatch.setattr("sys.argv", ["motion", "--small", "--evaluate", "--folder", str(folder)])
    capsys.readouterr()
    motion.main()
    assert "| 50.0% | 25.0% | 80% |" in capsys.readouterr().out


def test_without_a_mini_sd_the_command_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["motion", "--small", "--base", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"training\.sd first"):
        motion.main()

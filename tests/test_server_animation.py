"""The engine that makes clips: adapters on top of a Stable Diffusion folder, and whole text-to-video folders."""

from __future__ import annotations

import json
import queue
import shutil

import numpy as np
import pytest
import small_checkpoints
import torch
from diffusers import AnimateDiffPipeline, DDIMScheduler, MotionAdapter
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from course_lib.errors import ModelError
from little_world.server.animation import Animation, AnimationEngine
from little_world.server.errors import ApiError
from little_world.server.worker import Cancelled

ABOUT = {
    "num_frames": 6,
    "frame_rate": 5,
    "num_inference_steps": 3,
    "guidance_scale": 4.0,
    "first_frame": True,
}
PICTURE = Image.effect_noise((64, 64), 80).convert("RGB")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return small_checkpoints.make_stable_diffusion(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def adapter(base):
    return small_checkpoints.make_motion_adapter(base.with_name("moving"), base, about=ABOUT)


@pytest.fixture(scope="module")
def engine(base, adapter):
    engine = opened(adapter, base)
    yield engine
    engine.close()


def opened(model, base=None) -> AnimationEngine:
    engine = AnimationEngine(model, base)
    engine.wait()
    return engine


def make(engine: AnimationEngine, prompt: str = "a cat", **changes) -> np.ndarray:
    settings = {"negative": "", "seed": 3, "width": 64, "height": 64, "frames": 5, "rate": 5, "steps": 3}
    said: queue.Queue = queue.Queue()
    engine.submit(Animation(prompt, **{**settings, "guidance": 4.0, **changes}), said.put)
    event = said.get(timeout=120)
    if isinstance(event, Exception):
        raise event
    return event


def test_what_the_engine_makes_is_what_diffusers_makes(engine, base, adapter):
    pipe = AnimateDiffPipeline.from_pretrained(base, motion_adapter=MotionAdapter.from_pretrained(adapter))
    assert isinstance(pipe.scheduler, DDIMScheduler)
    pipe.set_progress_bar_config(disable=True)
    options = {"num_frames": 5, "num_inference_steps": 3, "guidance_scale": 4.0, "width": 64, "height": 64}
    generator = torch.Generator().manual_seed(3)
    wanted = pipe("a cat", negative_prompt="", generator=generator, output_type="np", **options).frames[0]
    found = make(engine)
    assert (found.shape, found.dtype) == ((5, 64, 64, 3), np.uint8)
    assert np.abs(found.astype(int) - (wanted * 255).round().astype(int)).max() <= 1


def test_the_same_again_and_every_argument_counts(engine):
    first = make(engine)
    assert np.array_equal(first, make(engine))
    changes = ({"seed": 4}, {"prompt": "a dog"}, {"negative": "red"}, {"guidance": 1.0}, {"steps": 2}, {"frames": 4},
               {"width": 72}, {"picture": PICTURE})  # fmt: skip
    for change in changes:
        other = make(engine, **change)
        assert other.shape != first.shape or not np.array_equal(first, other), change


def test_habits_are_those_the_adapter_was_trained_with(engine, base, tmp_path):
    habits = engine.habits
    assert (habits.frames, habits.rate, habits.steps, habits.guidance, habits.first_frame) == (
        6,
        5,
        3,
        4.0,
        True,
    )
    assert (habits.width, habits.height, habits.most) == (64, 64, 12)
    silent = opened(small_checkpoints.make_motion_adapter(tmp_path / "silent", base), base)
    assert (silent.habits.frames, silent.habits.rate, silent.habits.first_frame) == (12, 8, False)
    silent.close()


def test_a_given_first_frame_stays(engine):
    vae, processor = engine.pipe.vae, engine.pipe.video_processor
    with torch.no_grad():
        latents = vae.encode(processor.preprocess(PICTURE)).latent_dist.mode()
        wanted = processor.postprocess(vae.decode(latents).sample, output_type="np")[0]
    made = make(engine, picture=PICTURE)
    assert np.abs(made[0] / 255 - wanted).max() < 0.02
    assert np.abs(made[0].astype(int) - make(engine)[0]).mean() > 2


def test_an_adapter_that_never_learnt_it_begins_with_a_likeness(base, tmp_path):
    engine = opened(small_checkpoints.make_motion_adapter(tmp_path / "silent", base), base)
    plain, begun = make(engine), make(engine, picture=PICTURE)
    assert begun.shape == plain.shape
    assert not np.array_equal(begun, plain)
    assert np.array_equal(begun, make(engine, picture=PICTURE))
    assert make(engine, picture=PICTURE, steps=1, frames=1).shape == (1, 64, 64, 3)
    engine.close()


def test_an_adapter_may_bring_its_text_encoder(engine, base, adapter, tmp_path):
    folder = shutil.copytree(adapter, tmp_path / "worded")
    encoder = CLIPTextModel.from_pretrained(base, subfolder="text_encoder")
    with torch.no_grad():
        encoder.get_input_embeddings().weight.mul_(-1)
    encoder.save_pretrained(folder / "text_encoder")
    worded = opened(folder, base)
    assert not np.array_equal(make(worded), make(engine))
    worded.close()


def test_stable_diffusion_1_5_gets_the_noise_that_its_adapters_know(tmp_path):
    base = small_checkpoints.make_stable_diffusion(tmp_path / "sd15", zero_snr=False)
    engine = opened(small_checkpoints.make_motion_adapter(tmp_path / "moving", base), base)
    config = engine.pipe.scheduler.config
    assert (config.beta_schedule, config.clip_sample, config.timestep_spacing) == (
        "linear",
        False,
        "linspace",
    )
    assert np.isfinite(make(engine)).all()
    engine.close()


def test_a_whole_folder_stands_for_itself(tmp_path):
    engine = opened(small_checkpoints.make_ltx(tmp_path / "ltx"))
    assert (engine.habits.rate, engine.habits.every, engine.takes_picture) == (24, 4, False)
    made = make(engine, frames=9, steps=2)
    assert made.shape == (9, 64, 64, 3)
    assert np.array_equal(made, make(engine, frames=9, steps=2))
    assert not np.array_equal(made, make(engine, "a dog", frames=9, steps=2))
    engine.close()


def test_progress_and_the_end_of_what_nobody_wants(engine):
    shares, unet = [], engine.pipe.unet
    animation = Animation("a cat", "", 1, 64, 64, 5, 5, 6, 4.0)
    said: queue.Queue = queue.Queue()

    def look(*_):
        shares.append(animation.share)
        if len(shares) == 3:
            job.cancelled.set()

    hook = unet.register_forward_pre_hook(look)
    job = engine.submit(animation, said.put)
    assert isinstance(said.get(timeout=60), Cancelled)
    hook.remove()
    assert shares == [0.0, 1 / 6, 2 / 6]  # not one step more


def test_folders_that_cannot_be_used(base, adapter, tmp_path):
    with pytest.raises(ModelError):
        AnimationEngine(tmp_path / "nowhere", base)
    with pytest.raises(ModelError, match=r"config\.json"):
        AnimationEngine(tmp_path, base)
    with pytest.raises(ModelError, match=r"model_index\.json"):
        AnimationEngine(adapter, tmp_path)
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    shutil.copy(adapter / "config.json", pickled)
    (pickled / "diffusion_pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(ModelError, match="pickle"):
        AnimationEngine(pickled, base)


def test_an_adapter_with_a_hole_or_for_another_model_is_refused(base, adapter, tmp_path):
    holed = shutil.copytree(adapter, tmp_path / "holed")
    file = holed / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights.pop(next(name for name in weights if name.endswith("proj_in.weight")))
    save_file(weights, file, {"format": "pt"})
    other = shutil.copytree(adapter, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    config["motion_layers_per_block"] = 2
    (other / "config.json").write_text(json.dumps(config))
    for folder in (holed, other):
        with pytest.raises(ApiError) as refused:
            opened(folder, base)
        assert refused.value.status == 503
        assert "Traceback" not in refused.value.message

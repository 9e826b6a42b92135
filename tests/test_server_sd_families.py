"""The engine that paints, with the families after Stable Diffusion 1: SDXL, Z-Image, FLUX.2-klein and Qwen-Image.

On small random folders of their own classes (`small_painters`): what is held against the pipelines is how a request
reaches them, what the previews show, and what is refused in a sentence.
"""

from __future__ import annotations

import base64
import json
from io import BytesIO
from queue import Queue
from types import SimpleNamespace

import diffusers
import numpy as np
import openai
import pytest
import requests
import small_painters
import torch
from PIL import Image
from test_server_sd_engine import Gate

from course_lib import images
from course_lib.errors import ModelError
from little_world.server import LocalServer, families, images_api, pipelines
from little_world.server.errors import ApiError
from little_world.server.painting import Painting, PaintingEngine, Settings
from little_world.server.samplers import SAMPLERS, choose, is_flow

SMALL = {"width": 64, "height": 64, "steps": 4, "seed": 1, "prompt": "a red car"}
# the same each time
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype="uint8"))
MASK = Image.new("L", (64, 64))
MASK.paste(255, (16, 16, 48, 48))


@pytest.fixture(scope="module", params=small_painters.FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def server(family, tmp_path_factory):
    folder = small_painters.make(family, tmp_path_factory.mktemp("models") / family)
    with LocalServer(sd_model=folder) as server:
        yield server.wait()


@pytest.fixture(scope="module")
def klein(tmp_path_factory):
    """A FLUX.2-klein of its own, for what only that family does."""
    folder = small_painters.make("flux2-klein", tmp_path_factory.mktemp("models") / "klein")
    with LocalServer(sd_model=folder) as server:
        yield server.wait()


@pytest.fixture
def engine(server):
    return server.app.state.painting


def post(server, route: str = "txt2img", **body) -> requests.Response:
    return requests.post(f"{server.url}/sdapi/v1/{route}", json={**SMALL, **body}, timeout=60)


def over(
    server, picture: Image.Image = PICTURE, mask: Image.Image | None = None, **body
) -> requests.Response:
    if mask is not None:
        body = {"mask": images.to_base64(mask), "mask_blur": 0, **body}
    return post(server, "img2img", init_images=[images.to_base64(picture)], **body)


def pixels(answer: requests.Response) -> list[np.ndarray]:
    assert answer.status_code == 200, answer.text
    found = [Image.open(BytesIO(base64.b64decode(text))) for text in answer.json()["images"]]
    return [np.asarray(picture).astype(int) for picture in found]


def notes(answer: requests.Response) -> dict[str, str]:
    return json.loads(answer.json()["info"])["extra_generation_params"]


def settings(**changes) -> Settings:
    given = {"width": 64, "height": 64, "steps": 4, "guidance": 1.0, "sampler": choose("Euler"), **changes}
    return Settings(**given)


def paint(engine, prompts=("a red car",), seeds=(1,), negative="", how=None, **more) -> list[np.ndarray]:
    queue: Queue = Queue()
    work = Painting(list(prompts), [negative] * len(prompts), list(seeds), how or settings(), **more)
    engine.submit(work, queue.put)
    found = queue.get(timeout=60)
    if isinstance(found, Exception):
        raise found
    return [np.asarray(picture).astype(int) for picture in found]


def test_the_parts_are_of_the_full_size_models_classes(engine, family):
    pipe = engine.pipes["text"]
    parts = {name: type(part).__name__ for name, part in pipe.components.items()}
    if family == "sdxl":
        assert (parts["text_encoder"], parts["text_encoder_2"]) == (
            "CLIPTextModel",
            "CLIPTextModelWithProjection",
        )
    else:
        text = {"z-image": "Qwen3Model", "flux2-klein": "Qwen3ForCausalLM"}
        assert parts["text_encoder"] == text.get(family, "Qwen2_5_VLForConditionalGeneration")
        assert parts["tokenizer"].startswith("Qwen2Tokenizer")
        assert is_flow(engine.scheduler)
    if family == "qwen-image":  # as many tokens before the prompt as the pipeline takes away
        before = pipe.prompt_template_encode.partition("{}")[0]
        assert len(pipe.tokenizer(before).input_ids) == pipe.prompt_template_encode_start_idx


def assert_its_own(alone, together: list, number: int) -> None:
    """A picture is the one of its number among two, but for sums in another order, as a batch takes them.

    How much random weights make of such sums depends on the processor: the difference is held against the one to the
    other of the two, which has another seed.
    """
    own, other = (np.abs(alone - picture) for picture in (together[number], together[1 - number]))
    assert own.max() <= 3 and own.mean() < other.mean() / 100


@pytest.mark.parametrize("scale", [5.0, 1.0])
def test_the_picture_is_the_pipelines_own(engine, family, scale):
    """At the guidance that A1111 means: 1 is none."""
    own = {
        "sdxl": {"guidance_scale": scale},
        "z-image": {"guidance_scale": scale - 1, "negative_prompt": ""},
        "flux2-klein": {"guidance_scale": scale},
        "qwen-image": {"true_cfg_scale": scale, "negative_prompt": ""},
    }
    pipe = diffusers.AutoPipelineForText2Image.from_pretrained(engine.source)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = choose("Euler").scheduler(pipe.scheduler)
    generator = torch.Generator().manual_seed(1)
    with engine._threads():  # sums of several threads have another order
        (expected,) = pipe(
            prompt="a red car", generator=generator, num_inference_steps=4, width=64, height=64, **own[family]
        ).images
    (found,) = paint(engine, how=settings(guidance=scale))
    assert (found == np.asarray(expected)).all()


def test_size_and_seed(server):
    (first,) = pixels(post(server, width=80, height=64))
    assert first.shape == (64, 80, 3)
    assert (pixels(post(server, width=80, height=64))[0] == first).all()
    assert (pixels(post(server, width=80, height=64, seed=2))[0] != first).any()
    assert (pixels(post(server, width=80, height=64, prompt="a landscape"))[0] != first).any()


def test_a_seed_gives_its_picture_in_a_batch_too(engine, family):
    if family == "qwen-image" and not hasattr(diffusers, "Flux2KleinPipeline"):
        pytest.skip("before diffusers 0.37 Qwen-Image looks at what fills up the shorter prompt")
    prompts = ["a red car", "two dogs on the grass and a cat"]  # of different lengths
    together = paint(engine, prompts, [1, 2], how=settings(guidance=4.0))
    for number, prompt in enumerate(prompts):
        (alone,) = paint(engine, [prompt], [number + 1], how=settings(guidance=4.0))
        assert_its_own(alone, together, number)


def test_guidance_acts_and_at_one_there_is_none(server, family):
    found = {scale: post(server, cfg_scale=scale, negative_prompt="a landscape") for scale in (0, 1, 3, 9)}
    (none,) = pixels(post(server, cfg_scale=1))
    assert all((pixels(found[scale])[0] == none).all() for scale in (0, 1))
    if family == "flux2-klein":  # it is distilled
        assert all((pixels(answer)[0] == none).all() for answer in found.values())
        assert notes(found[3])["Without effect"] == "CFG scale, Negative prompt"
        assert notes(found[1])["Without effect"] == "Negative prompt"
        return
    three, nine = (pixels(found[scale])[0] for scale in (3, 9))
    assert (three != nine).any()
    assert (three != none).any()
    assert (pixels(post(server, cfg_scale=3))[0] != three).any()  # the negative prompt
    assert "Without effect" not in notes(found[3])


def test_a_klein_that_is_not_distilled_is_guided(tmp_path):
    engine = PaintingEngine(small_painters.make("flux2-klein", tmp_path / "base", is_distilled=False))
    engine.wait()
    one, three, nine = (paint(engine, how=settings(guidance=scale))[0] for scale in (1.0, 3.0, 9.0))
    assert (one != three).any()
    assert (three != nine).any()
    assert engine.idle("text") == {"negative", "sampler"}
    engine.close()


def test_a_qwen_image_that_reads_its_guidance(tmp_path):
    """`guidance_scale` is an input of a distilled transformer, and the second prediction is left out."""
    engine = PaintingEngine(small_painters.make("qwen-image", tmp_path / "distilled", guidance_embeds=True))
    pipe = type("Pipe", (), {"__call__": diffusers.QwenImagePipeline.__call__})()
    pipe.transformer = diffusers.QwenImageTransformer2DModel.from_pretrained(
        engine.source, subfolder="transformer"
    )
    assert families.guidance(pipe, 4.0) == {"guidance_scale": 4.0, "true_cfg_scale": 1.0}
    pipe.transformer.register_to_config(guidance_embeds=False)
    assert families.guidance(pipe, 4.0) == {"true_cfg_scale": 4.0}
    engine.close()


def test_samplers(server, family):
    found = {sampler.name: post(server, sampler_name=sampler.name) for sampler in SAMPLERS}
    different = {pixels(answer)[0].tobytes() for answer in found.values()}
    if family == "sdxl":
        assert len(different) == len(SAMPLERS)
    else:  # flow matching keeps its own, and the answer says so
        assert len(different) == 1
        assert "Sampler" in notes(found["DDIM"])["Without effect"]
        assert "Sampler" not in notes(found["Euler"]).get("Without effect", "")


@pytest.mark.parametrize("steps", [1, 2])
def test_few_steps(server, steps):
    (found,) = pixels(post(server, steps=steps))
    assert found.std() > 5  # and not black


def test_the_sizes_that_it_was_made_for(engine, family):
    assert engine.factor == 8
    assert engine.side == (64 if family == "sdxl" else 1024)
    assert engine.block == (8 if family == "sdxl" else 16)


def test_sides_between_the_blocks(server, family):
    answer = post(server, width=88)
    if family == "sdxl":
        assert pixels(answer)[0].shape == (64, 88, 3)
        return
    assert answer.status_code == 422
    assert set(answer.json()) == {"error", "detail", "body", "errors"}
    assert "16" in answer.json()["detail"]
    assert "96 x 64" in answer.json()["detail"]
    for more in ({}, {"mask": MASK}):
        assert over(server, width=88, **more).status_code == 422
    client = openai.OpenAI(base_url=server.url + "/v1", api_key="-", max_retries=0)
    with client, pytest.raises(openai.BadRequestError, match="96 x 64") as caught:
        client.images.generate(prompt="a cat", size="88x64")
    assert caught.value.param == "size"


def encoded(pipe, prompt: str) -> torch.Tensor:
    most = pipelines.arguments(pipe).get("max_sequence_length")
    more = {} if most is None else {"max_sequence_length": most}
    with torch.inference_mode():
        found = pipe.encode_prompt(prompt=prompt, device=torch.device("cpu"), **more)[0]
    return found[0] if isinstance(found, list) else found


def test_how_much_of_a_prompt_is_not_read(engine):
    assert engine.beyond("a red car") == 0
    many = "cat" + " dogs" * 700
    full = many[: -len(" dogs") * engine.beyond(many)]
    short = full.removesuffix(" dogs")
    assert (engine.beyond(short), engine.beyond(full), engine.beyond(full + " car")) == (0, 0, 1)
    pipe = engine.pipes["text"]
    assert torch.equal(encoded(pipe, full + " car"), encoded(pipe, full + " red"))
    assert not torch.equal(encoded(pipe, short + " car"), encoded(pipe, short + " red"))


def test_a_prompt_that_is_too_long_says_how_much_of_it_is_lost(server):
    assert notes(post(server, prompt="cat" + " dogs" * 700))["Prompt cut by"].endswith(" tokens")
    assert "Prompt cut by" not in notes(post(server))


def interrupted(
    engine, how: Settings, after: int
) -> tuple[Painting, Image.Image | None, list[Image.Image], int]:
    """A painting that is stopped `after` steps: with its preview, its picture, and how often the model was called."""
    queue: Queue = Queue()
    painting = Painting(["a red car"], [""], [1], how)
    with Gate(families.backbone(engine.pipes["text"]), free=after) as gate:
        engine.submit(painting, queue.put)
        assert gate.reached.wait(30)
        preview = engine.preview(painting)
        painting.stop.set()
        gate.event.set()
        found = queue.get(timeout=30)
    return painting, preview, found, gate.calls


def test_it_stops_within_a_step(engine):
    painting, preview, (picture,), calls = interrupted(engine, settings(steps=40, width=80), 3)
    assert (painting.step, painting.steps, calls) == (4, 40, 4)
    assert preview.size == picture.size == (80, 64)
    assert painting.prompts == ["a red car"]  # Z-Image's pipeline would write its template into them
    assert engine.preview(painting) is None
    assert paint(engine)  # the next one is not stopped


def test_the_last_preview_is_the_picture(engine):
    """And decoding it beside the pipeline disturbs neither."""
    (undisturbed,) = paint(engine, how=settings(width=80))
    queue: Queue = Queue()
    painting = Painting(["a red car"], [""], [1], settings(width=80))
    vae = engine.pipes["text"].vae
    with Gate(vae.decoder, free=0) as gate:
        engine.submit(painting, queue.put)
        assert gate.reached.wait(30)  # all steps are done, and the pipeline is in the middle of decoding
        gate.hook.remove()
        state = dict(vars(vae))
        previews = [np.asarray(engine.preview(painting)).astype(int) for _ in range(2)]
        # Qwen-Image's keeps its place there
        assert all(vars(vae)[name] is value for name, value in state.items())
        gate.event.set()
        (picture,) = queue.get(timeout=30)
    assert (np.asarray(picture) == undisturbed).all()
    for preview in previews:
        assert np.abs(preview - undisturbed).max() <= 1


def test_a_preview_that_cannot_be_made_is_none(engine, monkeypatch):
    painting = Painting(["a red car"], [""], [1], settings())
    painting.latents = torch.zeros(1, 3, 5)  # nobody's
    assert engine.preview(painting) is None
    monkeypatch.setattr(engine, "_shows", True)


def test_over_a_picture(server, family):
    weak, strong = (over(server, steps=10, denoising_strength=strength) for strength in (0.2, 0.9))
    assert pixels(weak)[0].shape == (64, 64, 3)
    assert (pixels(over(server, steps=10, denoising_strength=0.9))[0] == pixels(strong)[0]).all()
    assert (
        pixels(over(server, PICTURE.rotate(90), steps=10, denoising_strength=0.9))[0] != pixels(strong)[0]
    ).any()
    if family == "flux2-klein":  # the picture is looked at
        assert (pixels(weak)[0] == pixels(strong)[0]).all()
        assert "Denoising strength" in notes(weak)["Without effect"]
        assert over(server, denoising_strength=0).status_code == 200
    else:
        original = np.asarray(PICTURE).astype(int)
        far = [np.abs(pixels(answer)[0] - original).mean() for answer in (weak, strong)]
        assert (pixels(weak)[0] != pixels(strong)[0]).any()
        assert far[0] != far[1]
        assert "Without effect" not in notes(weak)
    assert_its_own(pixels(over(server))[0], pixels(over(server, batch_size=2)), 0)


def masks(engine) -> bool:
    """diffusers has had a pipeline for masks since 0.37 for Z-Image, and since 0.38 for FLUX.2-klein."""
    return pipelines.relative(engine.pipes["text"], "mask") is not None


def test_inside_a_mask(server, engine, family):
    if not masks(engine):
        assert over(server, mask=MASK).status_code == 422
        return
    original = np.asarray(PICTURE).astype(int)
    inside = np.asarray(MASK) > 0
    for whole in (False, True):
        for fill in (0, 1):
            (found,) = pixels(over(server, mask=MASK, inpainting_fill=fill, inpaint_full_res=not whole))
            assert (found[~inside] == original[~inside]).all()
            assert (found[inside] != original[inside]).any()
    assert len(pixels(over(server, mask=MASK, batch_size=2))) == 2
    for fill in (2, 3):  # in the latents
        answer = over(server, mask=MASK, inpainting_fill=fill)
        assert answer.status_code == (200 if family == "sdxl" else 422)
        assert family == "sdxl" or "inpainting_fill" in answer.json()["detail"]


def test_edits_by_openais_protocol(server, engine):
    buffer, hole = BytesIO(), PICTURE.convert("RGBA")
    hole.paste((0, 0, 0, 0), (16, 16, 48, 48))
    PICTURE.resize((72, 64)).save(buffer, "PNG")
    holed = BytesIO()
    hole.resize((72, 64), Image.Resampling.NEAREST).save(holed, "PNG")
    with openai.OpenAI(base_url=server.url + "/v1", api_key="-", max_retries=0) as client:
        for more in ({}, {"mask": ("b.png", holed.getvalue())})[: 1 + masks(engine)]:
            result = client.images.edit(image=("a.png", buffer.getvalue()), prompt="a cat", n=2, **more)
            found = [Image.open(BytesIO(base64.b64decode(data.b64_json))) for data in result.data]
            assert {side % engine.block for picture in found for side in picture.size} == {0}


def test_a_turbo_model_has_its_own_steps_and_guidance_by_openais_protocol():
    turbo = images_api._order(SimpleNamespace(name="Z-Image-Turbo"), "a cat", 1, (64, 64)).rounds[0].settings
    assert (turbo.steps, turbo.guidance) == (8, 1.0)
    other = images_api._order(SimpleNamespace(name="tiny"), "a cat", 1, (64, 64)).rounds[0].settings
    assert (other.steps, other.guidance) == (images_api.STEPS, images_api.GUIDANCE)


def test_it_takes_one_picture_at_a_time_to_look_at(klein):
    two = [images.to_base64(PICTURE), images.to_base64(PICTURE.rotate(90))]
    answer = post(klein, "img2img", init_images=two, batch_size=2)
    assert answer.status_code == 422
    assert "one at a time" in answer.json()["detail"] or "一次只发送一张" in answer.json()["detail"]


def test_what_the_pipeline_refuses_is_one_sentence(klein):
    """FLUX.2 looks at no picture that is nine times as wide as it is high."""
    answer = over(klein, width=576)
    assert answer.status_code == 422
    assert "klein" in answer.json()["detail"]
    assert "9.0:1" in answer.json()["detail"]
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("task", ["image", "mask"])
def test_what_diffusers_does_not_have_is_one_sentence(klein, monkeypatch, task):
    painter = klein.app.state.painting
    monkeypatch.setattr(pipelines, "relative", lambda pipe, family: type(pipe) if family == "text" else None)
    monkeypatch.setattr(painter, "pipes", {"text": painter.pipes["text"]})
    answer = over(klein, mask=MASK if task == "mask" else None)
    assert answer.status_code == 422
    assert set(answer.json()) == {"error", "detail", "body", "errors"}
    assert f"diffusers {diffusers.__version__}" in answer.json()["detail"]
    assert "Flux2KleinPipeline" in answer.json()["detail"]
    assert pixels(post(klein))


# --- what the installed diffusers does not know


def index(folder, name: str, **parts):
    folder.mkdir()
    (folder / "model_index.json").write_text(
        json.dumps({"_class_name": name, "_diffusers_version": "0.99.0", **parts})
    )
    (folder / "vae").mkdir()
    (folder / "vae" / "diffusion_pytorch_model.safetensors").touch()
    return folder


NEWER = {
    "a pipeline": ("NextYearPipeline", {}, r"diffusers \S+ .*NextYearPipeline.*pip install -U diffusers"),
    "a part": ("StableDiffusionPipeline", {"unet": ["diffusers", "NextYearModel"]}, r"NextYearModel.*-U diffusers"),
    "a text encoder": ("StableDiffusionPipeline", {"text_encoder": ["transformers", "NextYearModel"]},
                       r"transformers \S+ .*NextYearModel.*-U transformers"),
    "no pipeline for text alone": ("LTXPipeline", {}, r"LTXPipeline.*-U diffusers.*(text-to-image|文生图)"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "parts", "said"), NEWER.values(), ids=NEWER)
def test_a_family_that_is_too_new_is_one_sentence(tmp_path, name, parts, said):
    engine = PaintingEngine(index(tmp_path / "newer", name, **parts))
    with pytest.raises(ApiError, match=said) as caught:
        engine.wait()
    assert (caught.value.status, caught.value.code) == (503, "model_not_loaded")
    assert isinstance(engine.failure, ModelError)
    engine.close()


@pytest.mark.parametrize("name", small_painters.PIPELINES.values())
def test_every_family_is_known_or_the_remedy_is_named(tmp_path, name):
    """Also with the oldest diffusers that is allowed: there Qwen-Image is in no list, and the next two are missing."""
    known = hasattr(diffusers, name) and pipelines.listed(name, "text") is getattr(diffusers, name)
    folder = index(tmp_path / "model", name)
    if known:
        found = json.loads((folder / "model_index.json").read_text())
        pipelines._check_known(found, diffusers.AutoPipelineForText2Image)
    else:
        with pytest.raises(ModelError, match="pip install -U diffusers"):
            pipelines.load(str(folder), diffusers.AutoPipelineForText2Image)


OWN_CODE = {
    "a part": {"unet": ["evil", "Evil"]},
    "a part under a library's name": {"unet": ["diffusers", "UNet2DConditionModel"]},
    "a tokenizer": {"tokenizer": ["evil", "Evil"]},
    "the pipeline": {"_class_name": ["evil", "Evil"]},
}


@pytest.mark.parametrize("parts", OWN_CODE.values(), ids=OWN_CODE)
def test_code_in_a_folder_is_not_run_by_an_older_diffusers_either(tmp_path, parts):
    folder = index(tmp_path / "foreign", "StableDiffusionPipeline")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline", **parts}))
    for place in (folder, folder / "unet", folder / "tokenizer"):
        place.mkdir(exist_ok=True)
        for name in ("evil", "diffusers"):
            (place / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: ...\n")
    for kind in (diffusers.AutoPipelineForText2Image, diffusers.DiffusionPipeline):
        with pytest.raises(ModelError, match=next(iter(parts))):
            pipelines.load(str(folder), kind)
    assert not (tmp_path / "ran").exists()


# --- what it computes in


FLOW = diffusers.FlowMatchEulerDiscreteScheduler()
WAN = diffusers.UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True)
NOISE = diffusers.EulerDiscreteScheduler()


@pytest.mark.parametrize("has", [True, False])
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_half_precision_on_a_gpu(monkeypatch, device, has):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: has)
    wanted = torch.bfloat16 if has else torch.float32
    assert [pipelines.precision(device, own) for own in (FLOW, WAN)] == [wanted] * 2
    assert pipelines.precision(device, NOISE) == pipelines.precision(device, None) == torch.float16


def test_single_precision_on_a_cpu():
    assert {pipelines.precision("cpu", own) for own in (FLOW, WAN, NOISE, None)} == {torch.float32}


def test_a_device_without_bfloat16():
    assert pipelines._has_bfloat16("cpu")
    assert not pipelines._has_bfloat16("nonsense")


@pytest.fixture
def halved(family, tmp_path_factory, monkeypatch):
    """The family's folder, read in the precision that it has on a GPU."""
    half = torch.float16 if family == "sdxl" else torch.bfloat16
    monkeypatch.setattr(pipelines, "precision", lambda device, scheduler: half)
    engine = PaintingEngine(small_painters.make(family, tmp_path_factory.mktemp("models") / "halved"))
    engine.wait()
    yield engine, half
    engine.close()


def test_everything_works_in_half_precision(halved, family):
    engine, half = halved
    models = {
        name: part
        for name, part in engine.pipes["text"].components.items()
        if isinstance(part, torch.nn.Module)
    }
    assert {model.dtype for model in models.values()} == {half}
    if family != "sdxl":  # the angles of positions are not rounded: at token 500 that would be far off
        angles = [part for name, part in models["text_encoder"].named_buffers() if name.endswith("inv_freq")]
        assert {part.dtype for part in angles} == {torch.float32}
    how = settings(steps=2, guidance=4.0)
    assert paint(engine, how=how)[0].std() > 5
    assert paint(engine, how=how, pictures=[PICTURE])[0].std() > 5
    if masks(engine):
        assert paint(engine, how=how, pictures=[PICTURE], mask=MASK)[0].std() > 5
    if masks(engine) and engine.takes_start("noise"):
        assert paint(engine, how=how, pictures=[PICTURE], mask=MASK, start="noise")[0].std() > 5
    assert {model.dtype for model in models.values()} == {half}  # still
    assert engine._vae.dtype == (torch.float32 if family == "sdxl" else half)  # its VAE overflows in float16
    _, preview, (picture,), _ = interrupted(engine, settings(steps=3), 2)
    assert preview.size == picture.size == (64, 64)

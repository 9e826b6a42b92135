"""Small random text-to-image folders of the families after Stable Diffusion 1, laid out as on the hub.

Every part is of the class that the full-size model has; only the sizes are small. `make` gives the folder of a
family in FAMILIES, or skips the test where the installed diffusers does not have the family.
"""

from __future__ import annotations

import json
from pathlib import Path

import diffusers
import pytest
import torch
from diffusers.pipelines import auto_pipeline
from small_checkpoints import SENTENCES, clip_tokenizer
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedModel

FAMILIES = ("sdxl", "z-image", "flux2-klein", "qwen-image")

PIPELINES = {
    "sdxl": "StableDiffusionXLPipeline",
    "z-image": "ZImagePipeline",
    "flux2-klein": "Flux2KleinPipeline",
    "qwen-image": "QwenImagePipeline",
}
# The words around a prompt, which the full-size vocabularies have whole: Qwen-Image counts on 34 tokens before it.
_AROUND = (
    "Describe the image by detailing the color, shape, size, texture, quantity, text, spatial relationships of "
    "the objects and background:"
)
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n"
    "' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% if enable_thinking is "
    "defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{% endif %}"
)
_QWEN = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1}
# where the prompt comes into a transformer or a UNet
_FROM_TEXT = ("attn2", ".attn.", "attention", "context_embedder", "txt_in", "cap_embedder")
_VAE = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (4,) * 4,
    "layers_per_block": 1,
    "norm_num_groups": 2,
}  # eight pixels to a side of a latent, as in the full-size models


def make(family: str, folder: Path, **changes) -> Path:
    """Write the folder of a family; `changes` are its maker's."""
    name = PIPELINES[family]
    if name not in {kind.__name__ for kind in auto_pipeline.AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values()}:
        pytest.skip(f"diffusers {diffusers.__version__} does not choose {name} for text to image")
    folder.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(7)
    pipe = _MAKERS[family](folder, **changes)
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            _spread(part.eval())
    pipe.save_pretrained(folder)
    return folder


def _spread(model: torch.nn.Module) -> None:
    """As they come from their classes, prompts would hardly matter, and pictures would be grey."""
    reading = isinstance(model, PreTrainedModel)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim < 2:
                continue
            if reading or any(word in name for word in _FROM_TEXT):
                parameter.normal_(std=0.3)
            elif not parameter.any():  # zero, so that training begins with nothing
                parameter.normal_(std=0.1)


def _sdxl(folder: Path) -> diffusers.DiffusionPipeline:
    """SDXL's two text encoders and its sizes as an input; the noise is sdxl-turbo's."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    words = folder.with_name(folder.name + "-words")
    words.mkdir()
    ids = clip_tokenizer(words)
    tower = {
        **ids,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
    }
    config = CLIPTextConfig(**tower, max_position_embeddings=77, projection_dim=24)
    unet = diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=(2, 4),
        transformer_layers_per_block=(1, 2),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 24,
        cross_attention_dim=64,  # both encoders side by side
    )
    return diffusers.StableDiffusionXLPipeline(
        vae=diffusers.AutoencoderKL(**_VAE, latent_channels=4, scaling_factor=0.13025, force_upcast=True),
        text_encoder=CLIPTextModel(config),
        text_encoder_2=CLIPTextModelWithProjection(config),
        tokenizer=CLIPTokenizer.from_pretrained(words),
        tokenizer_2=CLIPTokenizer.from_pretrained(words, pad_token="!"),
        unet=unet,
        scheduler=diffusers.EulerAncestralDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="trailing"
        ),
    )


def _z_image(folder: Path) -> diffusers.DiffusionPipeline:
    from transformers import Qwen3Config, Qwen3Model

    tokenizer = _qwen_tokenizer(folder)
    text = Qwen3Config(**_QWEN, vocab_size=len(tokenizer), head_dim=8, num_hidden_layers=3)
    transformer = diffusers.ZImageTransformer2DModel(
        in_channels=16, dim=32, n_layers=2, n_refiner_layers=1, n_heads=2, n_kv_heads=2, cap_feat_dim=16,
        axes_dims=[4, 6, 6], axes_lens=[1024, 64, 64],
    )  # fmt: skip
    return diffusers.ZImagePipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=diffusers.AutoencoderKL(
            **_VAE, latent_channels=16, scaling_factor=0.3611, shift_factor=0.1159, force_upcast=True,
            use_quant_conv=False, use_post_quant_conv=False,
        ),
        text_encoder=Qwen3Model(text),
        tokenizer=tokenizer,
        transformer=transformer,
    )  # fmt: skip


def _flux2_klein(folder: Path, *, is_distilled: bool = True) -> diffusers.DiffusionPipeline:
    """FLUX.2-klein is distilled, its "base" is not. The pipeline reads layers 9, 18 and 27 of its text encoder."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokenizer = _qwen_tokenizer(folder)
    text = Qwen3Config(
        **_QWEN, vocab_size=len(tokenizer), head_dim=8, num_hidden_layers=28, tie_word_embeddings=True
    )
    vae = diffusers.AutoencoderKLFlux2(**_VAE, latent_channels=8)
    torch.nn.init.normal_(vae.bn.running_mean, std=0.5)
    torch.nn.init.uniform_(vae.bn.running_var, 0.5, 4.0)
    transformer = diffusers.Flux2Transformer2DModel(
        in_channels=4 * 8, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=3 * 16, timestep_guidance_channels=32, axes_dims_rope=(4, 4, 4, 4), guidance_embeds=False,
    )  # fmt: skip
    return diffusers.Flux2KleinPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(
            shift=3.0, use_dynamic_shifting=True, time_shift_type="exponential"
        ),
        vae=vae,
        text_encoder=Qwen3ForCausalLM(text),
        tokenizer=tokenizer,
        transformer=transformer,
        is_distilled=is_distilled,
    )


def _qwen_image(folder: Path, *, guidance_embeds: bool = False) -> diffusers.DiffusionPipeline:
    """With `guidance_embeds` a transformer that takes the guidance as an input, as a distilled one would."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    tokenizer = _qwen_tokenizer(folder)
    ids = tokenizer.convert_tokens_to_ids(
        ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    )
    names = ("vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id")
    rope = {"type": "default", "rope_type": "default", "mrope_section": [1, 1, 2]}
    text = {**_QWEN, "vocab_size": len(tokenizer), "num_hidden_layers": 2, "rope_scaling": rope}
    text |= {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16}
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, **dict(zip(names, ids, strict=True)))
    transformer = diffusers.QwenImageTransformer2DModel(
        in_channels=64, out_channels=16, num_layers=2, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=16, axes_dims_rope=(4, 6, 6), guidance_embeds=guidance_embeds,
    )  # fmt: skip
    return diffusers.QwenImagePipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(
            use_dynamic_shifting=True, base_shift=0.5, max_shift=0.9, max_image_seq_len=8192, shift_terminal=0.02,
            time_shift_type="exponential",
        ),
        vae=diffusers.AutoencoderKLQwenImage(
            base_dim=4, num_res_blocks=1, dim_mult=[1, 2, 4, 4], temperal_downsample=[False, True, True]
        ),
        text_encoder=Qwen2_5_VLForConditionalGeneration(config),
        tokenizer=tokenizer,
        transformer=transformer,
    )  # fmt: skip


def _qwen_tokenizer(folder: Path):
    """Qwen's byte-level BPE as vocab.json and merges.txt, with its special tokens and its turns of a chat."""
    from transformers import Qwen2TokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer, tokenizer.decoder = normalizers.NFC(), decoders.ByteLevel()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=letters, show_progress=False)
    tokenizer.train_from_iterator([*SENTENCES, _AROUND, "system", "user", "assistant", "think"], trainer)
    words = folder.with_name(folder.name + "-words")
    words.mkdir()
    tokenizer.model.save(str(words))
    marks = [
        "<|im_start|>",
        "<|im_end|>",
        "<|vision_start|>",
        "<|vision_end|>",
        "<|image_pad|>",
        "<|video_pad|>",
    ]
    config = {
        "tokenizer_class": "Qwen2Tokenizer", "model_max_length": 131072, "add_bos_token": False, "padding_side": "right",
        "pad_token": "<|endoftext|>", "eos_token": "<|im_end|>", "unk_token": None, "bos_token": None,
        "additional_special_tokens": marks, "chat_template": _CHAT,
    }  # fmt: skip
    (words / "tokenizer_config.json").write_text(json.dumps(config))
    return Qwen2TokenizerFast.from_pretrained(words)


_MAKERS = {"sdxl": _sdxl, "z-image": _z_image, "flux2-klein": _flux2_klein, "qwen-image": _qwen_image}

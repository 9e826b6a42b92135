"""The parts of mini-vlm: its tokenizer and chat template, its sizes, and how they become a LLaVA folder."""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPImageProcessor,
    CLIPModel,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from .loop import replace_folder

IMAGE_SIZE, PATCH = 128, 16
# the class token, in which mini-clip gathers what it saw, and the patches
IMAGE_TOKENS = 1 + (IMAGE_SIZE // PATCH) ** 2
USER, ASSISTANT, SYSTEM, END, PAD, IMAGE = (
    "<|user|>",
    "<|assistant|>",
    "<|system|>",
    "<|end|>",
    "<|pad|>",
    "<image>",
)
CHAT_TEMPLATE = (
    "{%- for message in messages -%}{{- '<|' + message['role'] + '|>' -}}{%- if message['content'] is string "
    "-%}{{- message['content'] -}}{%- else -%}{%- for part in message['content'] if part['type'] in "
    "('image', 'image_url') -%}{{- '<image>' -}}{%- endfor -%}{%- for part in message['content'] if "
    "part['type'] == 'text' -%}{{- part['text'] -}}{%- endfor -%}{%- endif -%}{{- '<|end|>' -}}{%- endfor "
    "-%}{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)


def train_tokenizer(texts, folder: Path, vocabulary: int = 1600) -> PreTrainedTokenizerFast:
    """Byte-level BPE over questions and answers; digits stay single, so that any number can be read and written."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r" ?[\p{L}]+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+"), behavior="isolated"),
         pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])  # fmt: skip
    learner.decoder = decoders.ByteLevel()
    specials = [PAD, END, USER, ASSISTANT, SYSTEM, IMAGE]
    learner.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))  # fmt: skip
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=learner, pad_token=PAD, eos_token=END, model_max_length=1024, padding_side="left",
                                        extra_special_tokens={"image_token": IMAGE}, clean_up_tokenization_spaces=False)  # fmt: skip
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    return tokenizer


def build_processor(tokenizer: PreTrainedTokenizerFast) -> LlavaProcessor:
    size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    return LlavaProcessor(CLIPImageProcessor(size=size, crop_size=size, do_center_crop=False), tokenizer, patch_size=PATCH,
                          vision_feature_select_strategy="full", chat_template=CHAT_TEMPLATE, num_additional_image_tokens=1)  # fmt: skip


def save(model: LlavaForConditionalGeneration, processor: LlavaProcessor, folder: Path) -> None:
    """Write a folder in half precision that transformers 4 and 5 both load; a whole one or none.

    Version 5 writes names that version 4 does not know, and reads those of version 4.
    """

    def write(temporary: Path) -> None:
        model.half().save_pretrained(temporary)
        processor.save_pretrained(temporary)
        processor.image_processor.save_pretrained(temporary)
        weights = load_file(temporary / "model.safetensors")
        old = re.compile(r"^vision_tower\.(?!vision_model\.)")
        weights = {old.sub("vision_tower.vision_model.", name): tensor for name, tensor in weights.items()}
        save_file(weights, temporary / "model.safetensors", metadata={"format": "pt"})
        path = temporary / "tokenizer_config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        config |= {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "extra_special_tokens": {"image_token": IMAGE},
            "additional_special_tokens": [USER, ASSISTANT, SYSTEM],
            "model_input_names": ["input_ids", "attention_mask"],
        }
        path.write_text(json.dumps(config, indent=2, ensure_ascii=False), encoding="utf-8")
        (temporary / "model.safetensors").chmod(0o644)

    replace_folder(folder, write)


def build_model(
    tokenizer: PreTrainedTokenizerFast, clip_folder: Path | None
) -> LlavaForConditionalGeneration:
    """5 M parameters: mini-clip's vision tower at 128 px, a Llama of 4 layers."""
    vision = CLIPVisionConfig(  # as mini-clip's, but for the size of picture and patch
        image_size=IMAGE_SIZE,
        patch_size=PATCH,
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=5,
        num_attention_heads=4,
        hidden_act="gelu",
    )
    text = LlamaConfig(vocab_size=len(tokenizer), hidden_size=256, intermediate_size=704, num_hidden_layers=4, num_attention_heads=4,
                       num_key_value_heads=4, max_position_embeddings=1024, pad_token_id=tokenizer.pad_token_id,
                       bos_token_id=None, eos_token_id=tokenizer.eos_token_id, tie_word_embeddings=True)  # fmt: skip
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_id=tokenizer.convert_tokens_to_ids(IMAGE),
                         vision_feature_layer=-1, vision_feature_select_strategy="full", image_seq_length=IMAGE_TOKENS,
                         tie_word_embeddings=True)  # fmt: skip
    model = LlavaForConditionalGeneration._from_config(config, attn_implementation="eager")
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    if clip_folder and clip_folder.exists():
        start_from_clip(model, clip_folder)
    return model


def start_from_clip(model: LlavaForConditionalGeneration, clip_folder: Path) -> None:
    """Copy mini-clip's vision tower; its patches of 12 pixels become patches of 16 by resizing the filters."""
    source = CLIPModel.from_pretrained(clip_folder, dtype=torch.float32).vision_model.state_dict()
    tower = model.model.vision_tower
    target = tower.state_dict()
    # transformers 4 has it
    prefix = "vision_model." if next(iter(target)).startswith("vision_model.") else ""
    loaded = {}
    for name, value in source.items():
        key = prefix + name
        if name.endswith("patch_embedding.weight"):
            old = value.shape[-1]
            value = (
                torch.nn.functional.interpolate(value, size=(PATCH, PATCH), mode="bicubic", antialias=True)
                * (old / PATCH) ** 2
            )
        if key in target and target[key].shape == value.shape:
            loaded[key] = value
    missing = set(target) - set(loaded) - {prefix + "embeddings.position_ids"}
    if missing:
        raise ValueError(f"mini-clip's vision tower has another shape: {sorted(missing)[:3]}")
    tower.load_state_dict({**target, **loaded})


def pixel_statistics(processor: LlavaProcessor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation that pixels in [0, 1] are normalised with, each `(3, 1, 1)`."""
    images = processor.image_processor
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (images.image_mean, images.image_std))
    return mean, std

"""Small random checkpoints of the real architectures, laid out file by file as on the hub.

Only the sizes are small. Tokenizers are trained on a handful of sentences, weights are random but spread
widely enough that different inputs give clearly different vectors.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SENTENCES = [
    "a photo of a cat",
    "a photo of two dogs on the grass",
    "a red car",
    "an airplane in the sky",
    "a landscape",
    "一张猫的照片",
    "两只狗在草地上",
    "一辆红色的汽车",
    "天空中的飞机",
    "风景",
    "The quick brown fox, 123!",
]

FAMILIES = ("clip", "chinese_clip", "altclip", "metaclip_2", "siglip", "siglip2", "siglip2_naflex")

_TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
_VISION = {**_TOWER, "image_size": 32, "patch_size": 8}


def make(family: str, folder: Path, *, image_size: int = 32) -> Path:
    """Write a checkpoint of a family in FAMILIES: config, safetensors, tokenizer, image processor."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _TOKENIZERS[family](folder)
    torch.manual_seed(7)
    model = _MODELS[family](tokenizer, image_size)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2:  # the usual initialisation is so narrow that all outputs look alike
                parameter.normal_(std=0.25)
            elif name == "logit_scale":
                parameter.fill_(3.0)
            elif name == "logit_bias":
                parameter.fill_(-4.0)
    model.eval().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(_IMAGE_PROCESSORS[family](image_size)))
    return folder


def make_clip(folder: Path, *, image_size: int = 224, **sizes) -> Path:
    """A CLIP checkpoint of a chosen size (see `CLIPVisionConfig`), for benchmarks: ViT-B/32 by default."""
    from transformers import CLIPConfig, CLIPModel

    folder.mkdir(parents=True, exist_ok=True)
    ids = clip_tokenizer(folder)
    torch.manual_seed(7)
    config = CLIPConfig(
        text_config={**ids, "hidden_size": 512, "num_hidden_layers": 12, "num_attention_heads": 8, **sizes},
        vision_config={"image_size": image_size, "patch_size": 32, **sizes},
    )
    CLIPModel(config).eval().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(_clip_images(image_size)))
    return folder


def make_xclip(folder: Path, *, num_frames: int = 8, image_size: int = 32) -> Path:
    """An X-CLIP checkpoint, laid out as microsoft/xclip-base-patch32 is."""
    from transformers import XCLIPConfig, XCLIPModel

    folder.mkdir(parents=True, exist_ok=True)
    text = {**_TOWER, **clip_tokenizer(folder), "max_position_embeddings": 77}
    mit = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4}
    vision = {**_VISION, "image_size": image_size, "num_frames": num_frames}
    vision |= {f"mit_{name}": value for name, value in mit.items()}
    torch.manual_seed(7)
    model = XCLIPModel(
        XCLIPConfig(
            text_config=text,
            vision_config=vision,
            projection_dim=24,
            prompt_layers=1,
            prompt_num_attention_heads=4,
        )
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2:
                parameter.normal_(std=0.25)
            elif name == "logit_scale":
                parameter.fill_(3.0)
            elif name == "prompts_generator.alpha":
                parameter.fill_(0.5)  # texts are adapted to the clip clearly enough to be seen
    model.eval().save_pretrained(folder)
    processor = {
        **_clip_images(image_size),
        "feature_extractor_type": "VideoMAEFeatureExtractor",
        "resample": 2,
    }
    processor |= {
        "processor_class": "XCLIPProcessor",
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def make_llava(folder: Path, *, context: int = 1024) -> Path:
    """A LLaVA checkpoint with mini-vlm's own tokenizer recipe, chat template and processor, and tiny towers."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    from little_world.training import vlm_model as vlm

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = vlm.train_tokenizer(SENTENCES, folder, 400)
    special = tokenizer.convert_tokens_to_ids([vlm.USER, vlm.ASSISTANT, vlm.SYSTEM, vlm.IMAGE, vlm.PAD])
    vision = CLIPVisionConfig(**_TOWER, image_size=vlm.IMAGE_SIZE, patch_size=vlm.PATCH)
    text = LlamaConfig(
        **_TOWER,
        vocab_size=len(tokenizer),
        max_position_embeddings=context,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=True,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids(vlm.IMAGE),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_seq_length=vlm.IMAGE_TOKENS,
        tie_word_embeddings=True,
    )
    torch.manual_seed(7)
    model = LlavaForConditionalGeneration(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.normal_(std=0.25)
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.suppress_tokens = special  # random weights would write them as readily as words
    model.eval().save_pretrained(folder)
    processor = vlm.build_processor(tokenizer)
    processor.save_pretrained(folder)
    processor.image_processor.save_pretrained(folder)  # transformers 4 looks for it under its own name
    return folder


def make_stable_diffusion(folder: Path, *, side: int = 64, zero_snr: bool = True) -> Path:
    """A `StableDiffusionPipeline` folder with CLIP's tokenizer and tiny parts, trained (in name) at `side` pixels.

    `zero_snr` is mini-sd's noise: velocity predicted, down to no signal; without it Stable Diffusion 1.5's.
    """
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    from little_world.training import sd_model

    words = folder.with_name(folder.name + "-words")
    words.mkdir(parents=True, exist_ok=True)
    ids = clip_tokenizer(words)
    torch.manual_seed(7)
    text = CLIPTextModel(CLIPTextConfig(**ids, **_TOWER, max_position_embeddings=77))
    vae = AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        latent_channels=4,
        sample_size=side,
    )
    unet = UNet2DConditionModel(
        sample_size=side // 2,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=_TOWER["hidden_size"],
        attention_head_dim=4,
    )
    with torch.no_grad():  # as they come from their classes, prompts would hardly matter
        for part in (text, unet):
            for name, parameter in part.named_parameters():
                if "attn2" in name or "token_embedding" in name:
                    parameter.normal_(std=0.3)
    scheduler = sd_model.build_scheduler() if zero_snr else DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
        set_alpha_to_one=False, steps_offset=1,
    )  # fmt: skip
    StableDiffusionPipeline(
        vae=vae.eval(),
        text_encoder=text.eval(),
        tokenizer=CLIPTokenizer.from_pretrained(words),
        unet=unet.eval(),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def make_mini_sd(folder: Path) -> Path:
    """mini-sd's own parts at their smallest with random weights, as its training would store them."""
    from diffusers import AutoencoderKL

    from little_world.paths import MODELS
    from little_world.training import sd_model

    clip, setup = MODELS / "mini-clip", sd_model.SMALL
    torch.manual_seed(7)
    painter = sd_model.build_painter(setup, clip)
    with torch.no_grad():  # else prompts would hardly matter
        for name, parameter in painter.unet.named_parameters():
            if "attn2" in name and parameter.ndim >= 2:
                parameter.normal_(std=0.2)
    pipe = sd_model.pipeline(AutoencoderKL(**setup.vae), painter.eval(), sd_model.build_tokenizer(clip))
    folder.parent.mkdir(parents=True, exist_ok=True)
    sd_model.save(pipe, folder)
    return folder


def make_motion_adapter(folder: Path, base: Path, *, about: dict | None = None) -> Path:
    """An AnimateDiff adapter with random weights for the folder `base`; `about` is its generation.json."""
    from diffusers import MotionAdapter, UNet2DConditionModel

    config = UNet2DConditionModel.load_config(base, subfolder="unet")
    torch.manual_seed(7)
    adapter = MotionAdapter(
        block_out_channels=config["block_out_channels"],
        motion_layers_per_block=config["layers_per_block"],
        motion_norm_num_groups=config["norm_num_groups"],
        motion_num_attention_heads=2,
        motion_max_seq_length=12,
    )
    adapter.save_pretrained(folder)
    if about is not None:
        (folder / "generation.json").write_text(json.dumps(about))
    return folder


def make_ltx(folder: Path) -> Path:
    """An `LTXPipeline` folder, text to video in one piece, of tiny parts with random weights."""
    from diffusers import (
        AutoencoderKLLTXVideo,
        FlowMatchEulerDiscreteScheduler,
        LTXPipeline,
        LTXVideoTransformer3DModel,
    )
    from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

    words = Tokenizer(models.Unigram())
    words.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=150, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>"
    )
    words.train_from_iterator(SENTENCES * 5, trainer)
    torch.manual_seed(7)
    five, four = (1,) * 5, (8,) * 4
    scaling = (True, True, False, False)
    vae = AutoencoderKLLTXVideo(
        latent_channels=8, block_out_channels=four, decoder_block_out_channels=four, layers_per_block=five,
        decoder_layers_per_block=five, spatio_temporal_scaling=scaling, decoder_spatio_temporal_scaling=scaling,
        decoder_inject_noise=(False,) * 5, upsample_residual=(False,) * 4, upsample_factor=(1,) * 4,
        timestep_conditioning=False, patch_size=1, patch_size_t=1, encoder_causal=True, decoder_causal=False,
    )  # fmt: skip
    transformer = LTXVideoTransformer3DModel(
        in_channels=8, out_channels=8, num_attention_heads=4, attention_head_dim=8, cross_attention_dim=32,
        num_layers=1, caption_channels=32,
    )  # fmt: skip
    text = T5Config(vocab_size=words.get_vocab_size(), d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4)
    marks = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    LTXPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae.eval(),
        text_encoder=T5EncoderModel(text).eval(),
        tokenizer=PreTrainedTokenizerFast(tokenizer_object=words, **marks),
        transformer=transformer.eval(),
    ).save_pretrained(folder)
    return folder


def _save(folder: Path, tokenizer: Tokenizer, **config) -> None:
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def clip_tokenizer(folder: Path) -> dict:
    """Byte-level BPE as vocab.json and merges.txt, the form openai/clip-vit-base-patch32 has."""
    tokenizer = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=600, end_of_word_suffix="</w>", initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    # Words are fed one by one, without the blanks that CLIP's own pre-tokenizer drops.
    tokenizer.train_from_iterator((word for text in SENTENCES for word in text.split()), trainer)
    trained = json.loads(tokenizer.to_str())["model"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*alphabet, *(letter + "</w>" for letter in alphabet), *trained["vocab"]]
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(words))}
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[special] = len(vocabulary)
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in trained["merges"]]
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    end = vocabulary["<|endoftext|>"]
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "CLIPTokenizer",
                "model_max_length": 77,
                "bos_token": "<|startoftext|>",
                "eos_token": "<|endoftext|>",
                "pad_token": "<|endoftext|>",
                "unk_token": "<|endoftext|>",
            }
        )
    )
    return {"vocab_size": len(vocabulary), "eos_token_id": end, "bos_token_id": end - 1, "pad_token_id": end}


def _bert_tokenizer(folder: Path) -> dict:
    """vocab.txt and no tokenizer_config.json: the form OFA-Sys/chinese-clip-vit-base-patch16 has."""
    letters = sorted({letter for text in SENTENCES for letter in text.lower() if not letter.isspace()})
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cat", "dog", "photo", "##s"]
    vocabulary = [*words, *letters, *(f"##{letter}" for letter in letters)]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    return {"vocab_size": len(vocabulary), "pad_token_id": 0}


def _xlm_roberta_tokenizer(folder: Path) -> dict:
    """Unigram with the special tokens of XLM-R, as BAAI/AltCLIP and facebook/metaclip-2-* have."""
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=150, special_tokens=[*specials, "<mask>"], unk_token="<unk>")
    tokenizer.train_from_iterator(SENTENCES * 5, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    _save(
        folder,
        tokenizer,
        tokenizer_class="XLMRobertaTokenizer",
        model_max_length=77,
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    )
    return {"vocab_size": tokenizer.get_vocab_size(), "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}


def _siglip_tokenizer(folder: Path) -> dict:
    """A SentencePiece model, as google/siglip-base-patch16-224 has."""
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text.lower() for text in SENTENCES * 5),
        model_prefix=str(folder / "spiece"),
        vocab_size=110,
        model_type="unigram",
        pad_id=-1,
        bos_id=-1,
        eos_id=1,
        unk_id=2,
        minloglevel=2,
        character_coverage=1.0,
        hard_vocab_limit=False,
        user_defined_symbols=["<pad>"],
        pad_piece="<pad>",
    )
    (folder / "spiece.vocab").unlink()
    size = len(sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model")))
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "SiglipTokenizer",
                "model_max_length": 64,
                "do_lower_case": True,
                "pad_token": "</s>",
                "eos_token": "</s>",
                "unk_token": "<unk>",
                "model_input_names": ["input_ids"],
            }
        )
    )
    return {"vocab_size": size, "pad_token_id": 1, "eos_token_id": 1, "bos_token_id": 1}


def _gemma_tokenizer(folder: Path) -> dict:
    """Gemma's BPE with byte fallback, ending every text with <eos>: the form google/siglip2-* have."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    specials = ["<pad>", "<eos>", "<bos>", "<unk>"]
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=330, special_tokens=[*specials, *bytes_])
    tokenizer.train_from_iterator([text.lower() for text in SENTENCES], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    _save(
        folder,
        tokenizer,
        tokenizer_class="GemmaTokenizer",
        model_max_length=64,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        padding_side="right",
        add_bos_token=False,
        add_eos_token=True,
        do_lower_case=True,
        model_input_names=["input_ids"],
    )
    return {"vocab_size": tokenizer.get_vocab_size(), "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}


def _clip_model(ids: dict, image_size: int):
    from transformers import CLIPConfig, CLIPModel

    return CLIPModel(
        CLIPConfig(
            text_config={**_TOWER, **ids, "max_position_embeddings": 77},
            vision_config={**_VISION, "image_size": image_size},
            projection_dim=24,
        )
    )


def _chinese_clip_model(ids: dict, image_size: int):
    from transformers import ChineseCLIPConfig, ChineseCLIPModel

    return ChineseCLIPModel(
        ChineseCLIPConfig(
            text_config={**_TOWER, **ids, "max_position_embeddings": 80},
            vision_config={**_VISION, "image_size": image_size},
            projection_dim=24,
        )
    )


def _altclip_model(ids: dict, image_size: int):
    from transformers import AltCLIPConfig, AltCLIPModel

    return AltCLIPModel(
        AltCLIPConfig(
            text_config={**_TOWER, **ids, "max_position_embeddings": 60, "project_dim": 24},
            vision_config={**_VISION, "image_size": image_size},
            projection_dim=24,
        )
    )


def _metaclip_2_model(ids: dict, image_size: int):
    from transformers import MetaClip2Config, MetaClip2Model

    return MetaClip2Model(
        MetaClip2Config(
            text_config={**_TOWER, **ids, "max_position_embeddings": 77},
            vision_config={**_VISION, "image_size": image_size},
            projection_dim=24,
        )
    )


def _siglip_model(ids: dict, image_size: int):
    from transformers import SiglipConfig, SiglipModel

    return SiglipModel(
        SiglipConfig(
            text_config={**_TOWER, **ids, "max_position_embeddings": 64, "projection_size": 32},
            vision_config={**_VISION, "image_size": image_size},
        )
    )


def _siglip2_naflex_model(ids: dict, image_size: int):
    from transformers import Siglip2Config, Siglip2Model

    vision = {key: value for key, value in _VISION.items() if key != "image_size"}
    return Siglip2Model(
        Siglip2Config(
            text_config={**_TOWER, **ids, "max_position_embeddings": 64, "projection_size": 32},
            vision_config={**vision, "patch_size": 16, "num_patches": 256},
        )
    )


def _clip_images(side: int) -> dict:
    # Whole numbers for the sizes: the old form, which openai/clip-vit-base-patch32 still has.
    return {
        "feature_extractor_type": "CLIPFeatureExtractor",
        "do_resize": True,
        "size": side,
        "resample": 3,
        "do_center_crop": True,
        "crop_size": side,
        "do_normalize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }


def _crop_images(side: int) -> dict:
    return {
        **_clip_images(side),
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": side},
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_convert_rgb": True,
    }


def _chinese_clip_images(side: int) -> dict:
    return {
        **_clip_images(side),
        "feature_extractor_type": "ChineseCLIPFeatureExtractor",
        "image_processor_type": "ChineseCLIPImageProcessor",
        "do_center_crop": False,
        "size": {"height": side, "width": side},
    }


def _siglip_images(side: int) -> dict:
    return {
        "image_processor_type": "SiglipImageProcessor",
        "processor_class": "SiglipProcessor",
        "do_resize": True,
        "size": {"height": side, "width": side},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }


def _naflex_images(side: int) -> dict:
    config = {key: value for key, value in _siglip_images(side).items() if key != "size"}
    return {
        **config,
        "image_processor_type": "Siglip2ImageProcessor",
        "processor_class": "Siglip2Processor",
        "max_num_patches": 256,
        "patch_size": 16,
    }


_TOKENIZERS = {
    "clip": clip_tokenizer,
    "chinese_clip": _bert_tokenizer,
    "altclip": _xlm_roberta_tokenizer,
    "metaclip_2": _xlm_roberta_tokenizer,
    "siglip": _siglip_tokenizer,
    "siglip2": _gemma_tokenizer,
    "siglip2_naflex": _gemma_tokenizer,
}
_MODELS = {
    "clip": _clip_model,
    "chinese_clip": _chinese_clip_model,
    "altclip": _altclip_model,
    "metaclip_2": _metaclip_2_model,
    "siglip": _siglip_model,
    "siglip2": _siglip_model,
    "siglip2_naflex": _siglip2_naflex_model,
}
_IMAGE_PROCESSORS = {
    "clip": _clip_images,
    "chinese_clip": _chinese_clip_images,
    "altclip": _crop_images,
    "metaclip_2": _crop_images,
    "siglip": _siglip_images,
    "siglip2": _siglip_images,
    "siglip2_naflex": _naflex_images,
}

"""Tiny checkpoints of current families whose configs or processors have a form of their own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import transformers

import tiny_checkpoints as tiny
from tiny_current import HYBRID


def _text(tokenizer: Any) -> dict[str, Any]:
    return {**tiny.TEXT, "vocab_size": len(tokenizer), "head_dim": 16, **tiny.special_ids(tokenizer)}


def gemma4(folder: Path) -> Path:
    """Gemma 4: patches with positions, pooled to at most 70 tokens; inputs of their own for each layer."""
    tokenizer = tiny.byte_tokenizer(
        "<bos>",
        "<turn|>",
        "<pad>",
        {
            "image_token": "<|image|>",
            "boi_token": "<|image>",
            "eoi_token": "<image|>",
            "audio_token": "<|audio|>",
            "boa_token": "<|audio>",
            "eoa_token": "<audio|>",
        },
        ("<|turn>", "<|video|>"),
    )
    config = transformers.Gemma4Config(
        text_config={
            **_text(tokenizer),
            "sliding_window": 64,
            "layer_types": ["sliding_attention", "full_attention"],
            "global_head_dim": 32,
            "hidden_size_per_layer_input": 8,
            "vocab_size_per_layer_input": len(tokenizer),
            "use_bidirectional_attention": "vision",
        },
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "patch_size": 4,
            "position_embedding_size": 256,
        },
        image_token_id=tokenizer.image_token_id,
        boi_token_id=tokenizer.boi_token_id,
        eoi_token_id=tokenizer.eoi_token_id,
        video_token_id=tokenizer.convert_tokens_to_ids("<|video|>"),
        audio_token_id=tokenizer.audio_token_id,
    )
    template = (
        "{{ bos_token }}{% for m in messages %}<|turn>{{ m.role }}\n{% for c in m.content %}"
        "{% if c.type == 'image' %}<|image|>{% else %}{{ c.text | trim }}{% endif %}{% endfor %}"
        "<turn|>\n{% endfor %}{% if add_generation_prompt %}<|turn>model\n{% endif %}"
    )
    processor = transformers.Gemma4Processor(
        transformers.Gemma4AudioFeatureExtractor(),
        transformers.Gemma4ImageProcessorPil(patch_size=4, max_soft_tokens=70),
        tokenizer,
        transformers.Gemma4VideoProcessor(),
        chat_template=template,
        image_seq_length=70,
    )
    return tiny.save(folder, transformers.Gemma4ForConditionalGeneration(config), processor, tokenizer)


def molmo2(folder: Path) -> Path:
    """Molmo 2: a view of the whole picture and overlapping crops, pooled by attention."""
    tokenizer = tiny.byte_tokenizer(
        "<|im_start|>",
        "<|im_end|>",
        "<|endoftext|>",
        {"image_token": "<|image|>", "video_token": "<|video|>"},
        (
            "<im_start>",
            "<im_end>",
            "<im_patch>",
            "<im_col>",
            "<low_res_im_start>",
            "<frame_start>",
            "<frame_end>",
            "<im_low>",
        ),
    )
    number = tokenizer.convert_tokens_to_ids
    shape = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16}
    config = transformers.Molmo2Config(
        text_config={**_text(tokenizer), "additional_vocab_size": 0},
        vision_config={
            **shape,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "image_size": [32, 32],
            "patch_size": 4,
        },
        adapter_config={
            **shape,
            "hidden_size": 32,
            "intermediate_size": 48,
            "text_hidden_size": 64,
            "vision_feature_layer": [1, 0],
        },
        image_patch_id=number("<im_patch>"),
        image_start_token_id=number("<im_start>"),
        image_end_token_id=number("<im_end>"),
        low_res_image_start_token_id=number("<low_res_im_start>"),
        frame_start_token_id=number("<frame_start>"),
        frame_end_token_id=number("<frame_end>"),
    )
    processor = transformers.Molmo2Processor(
        transformers.Molmo2ImageProcessor(
            size={"height": 32, "width": 32}, patch_size=4, max_crops=2, overlap_margins=[1, 1]
        ),
        transformers.Molmo2VideoProcessor(),
        tokenizer,
        chat_template=tiny.CHATML.replace("IMAGE", "<|image|>"),
    )
    return tiny.save(folder, transformers.Molmo2ForConditionalGeneration(config), processor, tokenizer)


def minicpm_v(folder: Path) -> Path:
    """MiniCPM-V 4.6: an overview and slices, merged twice, and Qwen3.5's text model."""
    tokenizer = tiny.byte_tokenizer(
        "<|im_start|>",
        "<|im_end|>",
        "<|endoftext|>",
        {
            "image_token": "<|image_pad|>",
            "video_token": "<|video_pad|>",
            "image_start_token": "<image>",
            "image_end_token": "</image>",
            "slice_start_token": "<slice>",
            "slice_end_token": "</slice>",
            "image_id_start_token": "<image_id>",
            "image_id_end_token": "</image_id>",
        },
    )
    config = transformers.MiniCPMV4_6Config(
        text_config={**_text(tokenizer), **HYBRID, "model_type": "qwen3_5_text"},
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 4,
        },
        insert_layer_id=0,
        image_size=32,
        image_token_id=tokenizer.image_token_id,
        video_token_id=tokenizer.video_token_id,
    )
    scaled = {"scale_resolution": 32, "patch_size": 4, "max_slice_nums": 4}
    processor = transformers.MiniCPMV4_6Processor(
        transformers.MiniCPMV4_6ImageProcessorPil(**scaled),
        transformers.MiniCPMV4_6VideoProcessor(**scaled),
        tokenizer,
        chat_template=tiny.CHATML.replace("IMAGE", "<|image_pad|>\n"),
    )
    return tiny.save(folder, transformers.MiniCPMV4_6ForConditionalGeneration(config), processor, tokenizer)


RECENT: dict[str, Callable[[Path], Path]] = {
    "gemma4": gemma4,
    "internvl": partial(tiny.internvl, text=transformers.Qwen3Config),
    "molmo2": molmo2,
    "minicpmv4_6": minicpm_v,
}

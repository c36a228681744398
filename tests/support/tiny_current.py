"""Tiny checkpoints of current families that need no entry of their own: `generic` asks them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import transformers

import tiny_checkpoints as tiny

_MARKS = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "vision_bos_token": "<|vision_start|>",
    "vision_eos_token": "<|vision_end|>",
}


def _patch_model(
    name: str, processor: str, images: str, text: dict[str, Any], vision: dict[str, Any]
) -> Callable[[Path], Path]:
    """A function that writes a checkpoint of a family that cuts pictures into patches as Qwen-VL does."""

    def write(folder: Path) -> Path:
        tokenizer = tiny.byte_tokenizer("<|im_start|>", "<|im_end|>", "<|endoftext|>", _MARKS)
        if name.startswith("Glm"):
            tokenizer.add_tokens(
                ["<|begin_of_image|>", "<|end_of_image|>", "<|image|>", "<|video|>"], special_tokens=True
            )
            tokenizer.image_token, tokenizer.video_token = "<|image|>", "<|video|>"
        config = getattr(transformers, f"{name}Config")(
            text_config={**tiny.TEXT, "vocab_size": len(tokenizer), **tiny.special_ids(tokenizer), **text},
            vision_config={
                "depth": 2,
                "hidden_size": 32,
                "intermediate_size": 48,
                "num_heads": 2,
                "out_hidden_size": 64,
                **vision,
            },
            image_token_id=tokenizer.convert_tokens_to_ids(tokenizer.image_token),
            video_token_id=tokenizer.convert_tokens_to_ids(tokenizer.video_token),
            **{
                f"{kind}_{end}_token_id": tokenizer.convert_tokens_to_ids(token)
                for kind in ("vision", "image")
                for end, token in (("start", "<|vision_start|>"), ("end", "<|vision_end|>"))
            },
        )
        patch = vision.get("patch_size", 16) * 2
        picture = getattr(transformers, f"{images}ImageProcessorPil")(
            size={"shortest_edge": patch * patch, "longest_edge": patch * patch * 16}, patch_size=patch // 2
        )
        template = tiny.CHATML.replace("IMAGE", f"<|vision_start|>{tokenizer.image_token}<|vision_end|>")
        made = getattr(transformers, processor)(
            picture,
            tokenizer,
            getattr(transformers, processor.replace("Processor", "VideoProcessor"))(),
            chat_template=template,
        )
        return tiny.save(
            folder, getattr(transformers, f"{name}ForConditionalGeneration")(config), made, tokenizer
        )

    return write


_ROPE = {
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 1e6,
        "mrope_section": [3, 3, 2],
        "mrope_interleaved": True,
    },
    "head_dim": 16,
}
HYBRID = {
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 1e6,
        "mrope_section": [1, 1, 0],
        "partial_rotary_factor": 0.25,
    },
    "head_dim": 16,
    "layer_types": ["linear_attention", "full_attention"],
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
}
_GLM = {
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 1e4,
        "mrope_section": [2, 1, 1],
        "partial_rotary_factor": 0.5,
    }
}
_GLM_VISION = {"patch_size": 14, "image_size": 56}

CURRENT: dict[str, Callable[[Path], Path]] = {
    "qwen3_vl": _patch_model(
        "Qwen3VL",
        "Qwen3VLProcessor",
        "Qwen2VL",
        _ROPE,
        {"deepstack_visual_indexes": [1], "num_position_embeddings": 64},
    ),
    "qwen3_5": _patch_model(
        "Qwen3_5", "Qwen3VLProcessor", "Qwen2VL", HYBRID, {"num_position_embeddings": 64}
    ),
    "qwen3_vl_moe": _patch_model(
        "Qwen3VLMoe",
        "Qwen3VLProcessor",
        "Qwen2VL",
        {**_ROPE, "moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2},
        {"deepstack_visual_indexes": [1], "num_position_embeddings": 64},
    ),
    "glm4v": _patch_model("Glm4v", "Glm4vProcessor", "Glm4v", _GLM, _GLM_VISION),
    "glm46v": _patch_model("Glm46V", "Glm46VProcessor", "Glm46V", _GLM, _GLM_VISION),
}


def smolvlm(folder: Path) -> Path:
    """SmolVLM2: a SigLIP-like tower, pictures cut into tiles, and a Llama."""
    tokenizer = tiny.byte_tokenizer(
        "<|im_start|>",
        "<end_of_utterance>",
        "<pad>",
        {
            "image_token": "<image>",
            "fake_image_token": "<fake_token_around_image>",
            "global_image_token": "<global-img>",
        },
    )
    config = transformers.SmolVLMConfig(
        text_config={
            **tiny.TEXT,
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            **tiny.special_ids(tokenizer),
        },
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 8,
        },
        image_token_id=tokenizer.image_token_id,
        scale_factor=2,
        pad_token_id=tokenizer.pad_token_id,
    )
    picture = transformers.SmolVLMImageProcessorPil(
        size={"longest_edge": 64}, max_image_size={"longest_edge": 32}
    )
    processor = transformers.SmolVLMProcessor(
        picture,
        tokenizer,
        transformers.SmolVLMVideoProcessor(),
        image_seq_len=4,
        chat_template=tiny.CHATML.replace("IMAGE", "<image>"),
    )
    return tiny.save(folder, transformers.SmolVLMForConditionalGeneration(config), processor, tokenizer)


def llava_onevision(folder: Path) -> Path:
    """LLaVA-OneVision: a SigLIP tower and a Qwen2."""
    tokenizer = tiny.byte_tokenizer(
        "<|im_start|>",
        "<|im_end|>",
        "<|endoftext|>",
        {"image_token": "<image>", "video_token": "<video>"},
    )
    config = transformers.LlavaOnevisionConfig(
        text_config={
            **tiny.TEXT,
            "model_type": "qwen2",
            "vocab_size": len(tokenizer),
            **tiny.special_ids(tokenizer),
        },
        vision_config={
            "model_type": "siglip_vision_model",
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 8,
            "vision_use_head": False,
        },
        image_token_index=tokenizer.image_token_id,
        video_token_index=tokenizer.video_token_id,
        image_grid_pinpoints=[[32, 32], [32, 64], [64, 32]],
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
    )
    picture = transformers.LlavaOnevisionImageProcessorPil(
        size={"height": 32, "width": 32}, image_grid_pinpoints=[[32, 32], [32, 64], [64, 32]]
    )
    processor = transformers.LlavaOnevisionProcessor(
        picture,
        tokenizer,
        transformers.LlavaOnevisionVideoProcessor(),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=tiny.CHATML.replace("IMAGE", "<image>\n"),
    )
    return tiny.save(
        folder, transformers.LlavaOnevisionForConditionalGeneration(config), processor, tokenizer
    )


CURRENT |= {"smolvlm": smolvlm, "llava_onevision": llava_onevision}

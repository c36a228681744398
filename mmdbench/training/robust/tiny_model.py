"""A tiny Qwen2.5-VL with random weights, in the layout of its releases: 200,000 parameters."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessorPil,
    Qwen2VLVideoProcessor,
)

from mmdbench.training.tiny_words import MARKS, tiny_tokens

__all__ = ["write_tiny_model"]

_END, _BEGIN_TURN, _END_TURN, _BEGIN_PICTURE, _END_PICTURE, _PICTURE = MARKS
_VIDEO = "<|video_pad|>"
_TOKEN_PIXELS = 28 * 28
_TEXT = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
}
_VISION = {
    "depth": 2,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_heads": 2,
    "out_hidden_size": 64,
    "patch_size": 14,
    "window_size": 56,
    "fullatt_block_indexes": [1],
}
_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for c in m.content %}{% if c.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}"
    "{{ c.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_tiny_model(folder: Path) -> None:
    """Write the model into a folder: weights, settings, tokenizer and processor."""
    tokenizer = _tokenizer()
    ids = {name: number for name, number in tokenizer.get_vocab().items() if name in (*MARKS, _VIDEO)}
    ends = {"bos_token_id": ids[_BEGIN_TURN], "eos_token_id": ids[_END_TURN], "pad_token_id": ids[_END]}
    config = Qwen2_5_VLConfig(
        text_config={**_TEXT, "vocab_size": len(tokenizer), **ends},
        vision_config=_VISION,
        image_token_id=ids[_PICTURE],
        video_token_id=ids[_VIDEO],
        vision_start_token_id=ids[_BEGIN_PICTURE],
        vision_end_token_id=ids[_END_PICTURE],
    )
    model = Qwen2_5_VLForConditionalGeneration(config)
    chance = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for tensor in model.parameters():
            if tensor.ndim > 1:
                tensor.copy_(1.5 * torch.randn(tensor.shape, generator=chance) / tensor[0].numel() ** 0.5)
    for name, value in ends.items():
        setattr(model.generation_config, name, value)
    model.save_pretrained(folder)
    Qwen2_5_VLProcessor(
        Qwen2VLImageProcessorPil(min_pixels=_TOKEN_PIXELS, max_pixels=16 * _TOKEN_PIXELS),
        tokenizer,
        Qwen2VLVideoProcessor(),
        chat_template=_TEMPLATE,
    ).save_pretrained(folder)


def _tokenizer() -> PreTrainedTokenizerFast:
    tokens, merges = tiny_tokens()
    core = Tokenizer(BPE(vocab=tokens, merges=merges))
    core.pre_tokenizer = ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=_BEGIN_TURN,
        eos_token=_END_TURN,
        pad_token=_END,
        extra_special_tokens={
            "image_token": _PICTURE,
            "video_token": _VIDEO,
            "vision_bos_token": _BEGIN_PICTURE,
            "vision_eos_token": _END_PICTURE,
        },
        model_max_length=4096,
    )

"""Checkpoints of real families with random weights and a few hundred thousand parameters.

Each builder writes what the family's releases hold (config, sharded or single safetensors,
tokenizer, processor, chat template, generation defaults) so that the real loading code runs.
"""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from mmdbench.adapters._hf.loading import LoadedModel, load_checkpoint
from mmdbench.adapters._hf.model import HfModel
from mmdbench.adapters._hf.settings import read_settings
from mmdbench.adapters.hf import ADAPTER_VERSION
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from mmdbench.models import ModelCard
from mmdbench.models.instructions import find_instruction

TEXT: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}
_VISION: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
CLIP = {**_VISION, "intermediate_size": 64, "projection_dim": 16}
"""The config of the tiny LLaVA's vision tower, for replacements of the same shape."""

_LEAKY = {"do_sample": True, "temperature": 0.9, "top_p": 0.5, "top_k": 7, "repetition_penalty": 1.7}
"""Defaults as in releases: none of them may change a greedy run."""

CHATML = (
    "{% for m in messages %}{% if loop.first and m.role != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ m.role }}\n"
    "{% for c in m.content %}{% if c.type == 'image' %}IMAGE{% else %}{{ c.text }}{% endif %}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_tokenizer(bos: str, eos: str, pad: str, named: Mapping[str, str], more: tuple[str, ...] = ()) -> Any:
    """A byte-level BPE tokenizer without merges; `named` are its extra special tokens by attribute."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=bos,
        eos_token=eos,
        pad_token=pad,
        extra_special_tokens=dict(named),
        model_max_length=4096,
    )
    tokenizer.add_tokens(list(more), special_tokens=True)
    return tokenizer


def special_ids(tokenizer: Any) -> dict[str, int]:
    return {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")}


def save(folder: Path, model: Any, processor: Any, tokenizer: Any) -> Path:
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for tensor in model.parameters():
            # wide enough that what is answered depends on the picture
            if tensor.ndim > 1:
                tensor.copy_(1.5 * torch.randn(tensor.shape, generator=generator) / tensor[0].numel() ** 0.5)
        # A model that multiplies its embeddings would else only ever repeat the prompt's last token.
        words = model.get_input_embeddings()
        words.weight /= float(getattr(words, "scalar_embed_scale", 1))
        # Special tokens other than the end are never the likeliest: what is written can be read.
        silent = [i for i in tokenizer.get_added_vocab().values() if i != tokenizer.eos_token_id]
        model.get_output_embeddings().weight[silent] = 0
    for name, value in {**_LEAKY, **special_ids(tokenizer)}.items():
        setattr(model.generation_config, name, value)
    model.save_pretrained(folder, max_shard_size="400KB")
    processor.save_pretrained(folder)
    _as_released(folder)
    return folder


def _as_released(folder: Path) -> None:
    """Move the parts of the processor into files of their own, as in most releases."""
    path = folder / "processor_config.json"
    whole = json.loads(path.read_text("utf-8"))
    for part, name in (
        ("image_processor", "preprocessor_config.json"),
        ("video_processor", "video_preprocessor_config.json"),
    ):
        if part in whole:
            settings = {**whole.pop(part), "processor_class": whole["processor_class"]}
            (folder / name).write_text(json.dumps(settings), "utf-8")
    path.write_text(json.dumps(whole), "utf-8")


def janus(folder: Path) -> Path:
    """Janus-Pro: a SigLIP-like tower, a VQ decoder and a Llama."""
    from transformers import (
        JanusConfig,
        JanusForConditionalGeneration,
        JanusImageProcessorPil,
        JanusProcessor,
        JanusVisionConfig,
        JanusVQVAEConfig,
        LlamaConfig,
    )

    tokenizer = byte_tokenizer(
        "<|begin▁of▁sentence|>",
        "<|end▁of▁sentence|>",
        "<|▁pad▁|>",
        {
            "image_token": "<image_placeholder>",
            "boi_token": "<begin_of_image>",
            "eoi_token": "<end_of_image>",
        },
    )
    patches = 4
    config = JanusConfig(
        text_config=LlamaConfig(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **TEXT),
        vision_config=JanusVisionConfig(
            **_VISION, mlp_ratio=2.0, projection_dim=64, num_image_tokens=patches**2
        ),
        vq_config=JanusVQVAEConfig(
            embed_dim=4,
            num_embeddings=16,
            latent_channels=32,
            base_channels=32,
            channel_multiplier=[1, 1],
            num_res_blocks=1,
            projection_dim=64,
            image_token_embed_dim=64,
        ),
        image_token_id=tokenizer.image_token_id,
    )
    template = (
        "{% for m in messages %}<|User|>: {% for c in m.content %}"
        "{% if c.type == 'image' %}<image_placeholder>\n{% else %}{{ c.text | trim }}{% endif %}"
        "{% endfor %}{{ '\\n\\n' }}{% endfor %}{% if add_generation_prompt %}<|Assistant|>:{% endif %}"
    )
    processor = JanusProcessor(
        JanusImageProcessorPil(size={"height": 32, "width": 32}, min_size=4),
        tokenizer,
        chat_template=template,
        use_default_system_prompt=True,
        num_image_tokens=patches**2,
    )
    return save(folder, JanusForConditionalGeneration(config), processor, tokenizer)


def emu3(folder: Path) -> Path:
    """Emu3-Chat: pictures become tokens of the text model's own vocabulary."""
    from transformers import (
        Emu3Config,
        Emu3ForConditionalGeneration,
        Emu3ImageProcessor,
        Emu3Processor,
        Emu3TextConfig,
        Emu3VQVAEConfig,
    )

    codes = 64
    tokenizer = byte_tokenizer(
        "<|extra_203|>",
        "<|extra_204|>",
        "<|endoftext|>",
        {
            "image_token": "<image>",
            "boi_token": "<|image start|>",
            "eoi_token": "<|image end|>",
            "image_wrapper_token": "<|image token|>",
            "eof_token": "<|extra_201|>",
        },
        ("<|extra_200|>", *(f"<|visual token {i:06d}|>" for i in range(codes))),
    )
    config = Emu3Config(
        text_config=Emu3TextConfig(vocab_size=len(tokenizer), **special_ids(tokenizer), **TEXT),
        vq_config=Emu3VQVAEConfig(
            codebook_size=codes,
            embed_dim=4,
            latent_channels=4,
            base_channels=32,
            channel_multiplier=[1, 1, 1, 1],
            num_res_blocks=1,
            hidden_size=32,
            attn_resolutions=[3],
        ),
        vocabulary_map=dict(tokenizer.get_vocab()),
    )
    pictures = Emu3ImageProcessor(
        image_mean=[0.5] * 3, image_std=[0.5] * 3, min_pixels=32 * 32, max_pixels=48 * 48
    )
    processor = Emu3Processor(pictures, tokenizer)
    return save(folder, Emu3ForConditionalGeneration(config), processor, tokenizer)


def qwen2_5_vl(folder: Path) -> Path:
    """Qwen2.5-VL and, with its weights, Robust-R1."""
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessorPil,
        Qwen2VLVideoProcessor,
    )

    tokenizer = byte_tokenizer(
        "<|im_start|>",
        "<|im_end|>",
        "<|endoftext|>",
        {
            "image_token": "<|image_pad|>",
            "video_token": "<|video_pad|>",
            "vision_bos_token": "<|vision_start|>",
            "vision_eos_token": "<|vision_end|>",
        },
    )
    config = Qwen2_5_VLConfig(
        text_config={
            **TEXT,
            "vocab_size": len(tokenizer),
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
            **special_ids(tokenizer),
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "out_hidden_size": 64,
            "patch_size": 14,
            "window_size": 56,
            "fullatt_block_indexes": [1],
        },
        image_token_id=tokenizer.image_token_id,
        video_token_id=tokenizer.video_token_id,
        vision_start_token_id=tokenizer.vision_bos_token_id,
        vision_end_token_id=tokenizer.vision_eos_token_id,
    )
    processor = Qwen2_5_VLProcessor(
        Qwen2VLImageProcessorPil(min_pixels=28 * 28, max_pixels=28 * 28 * 16),
        tokenizer,
        Qwen2VLVideoProcessor(),
        chat_template=CHATML.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>"),
    )
    return save(folder, Qwen2_5_VLForConditionalGeneration(config), processor, tokenizer)


def gemma3(folder: Path) -> Path:
    """Gemma3: a SigLIP tower, pictures of a fixed number of tokens that see each other."""
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3ImageProcessorPil,
        Gemma3Processor,
        Gemma3TextConfig,
        SiglipVisionConfig,
    )

    tokenizer = byte_tokenizer(
        "<bos>",
        "<eos>",
        "<pad>",
        {
            "image_token": "<image_soft_token>",
            "boi_token": "<start_of_image>",
            "eoi_token": "<end_of_image>",
        },
        ("<start_of_turn>", "<end_of_turn>"),
    )
    config = Gemma3Config(
        text_config=Gemma3TextConfig(
            **TEXT,
            vocab_size=len(tokenizer),
            head_dim=16,
            sliding_window=64,
            query_pre_attn_scalar=16,
            layer_types=["sliding_attention", "full_attention"],
            **special_ids(tokenizer),
        ),
        vision_config=SiglipVisionConfig(**_VISION, intermediate_size=48, vision_use_head=False),
        mm_tokens_per_image=4,
        boi_token_index=tokenizer.boi_token_id,
        eoi_token_index=tokenizer.eoi_token_id,
        image_token_index=tokenizer.image_token_id,
    )
    template = (
        "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ m.role }}\n{% for c in m.content %}"
        "{% if c.type == 'image' %}<start_of_image>{% else %}{{ c.text | trim }}{% endif %}{% endfor %}"
        "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
    )
    processor = Gemma3Processor(
        Gemma3ImageProcessorPil(size={"height": 32, "width": 32}),
        tokenizer,
        chat_template=template,
        image_seq_length=4,
    )
    return save(folder, Gemma3ForConditionalGeneration(config), processor, tokenizer)


def internvl(folder: Path, *, text: type[Any] | None = None) -> Path:
    """InternVL3: pictures cut into tiles, each of a fixed number of tokens; `text` is another text config."""
    from transformers import (
        GotOcr2ImageProcessorPil,
        InternVLConfig,
        InternVLForConditionalGeneration,
        InternVLProcessor,
        InternVLVideoProcessor,
        InternVLVisionConfig,
        Qwen2Config,
    )

    tokenizer = byte_tokenizer(
        "<|im_start|>",
        "<|im_end|>",
        "<|endoftext|>",
        {
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
    )
    config = InternVLConfig(
        text_config=(text or Qwen2Config)(**TEXT, vocab_size=len(tokenizer), **special_ids(tokenizer)),
        vision_config=InternVLVisionConfig(
            **{**_VISION, "image_size": [32, 32], "patch_size": [8, 8]}, intermediate_size=48
        ),
        image_token_id=tokenizer.context_image_token_id,
        image_seq_length=4,
    )
    pictures = GotOcr2ImageProcessorPil(
        size={"height": 32, "width": 32}, crop_to_patches=True, min_patches=1, max_patches=4
    )
    processor = InternVLProcessor(
        pictures,
        tokenizer,
        InternVLVideoProcessor(size={"height": 32, "width": 32}),
        image_seq_length=4,
        chat_template=CHATML.replace("IMAGE", "<IMG_CONTEXT>\n"),
    )
    return save(folder, InternVLForConditionalGeneration(config), processor, tokenizer)


def llava(folder: Path, *, wide: bool = False) -> Path:
    """LLaVA-1.5: a CLIP tower and a Llama; `wide` for layers of multiples of 64, as 4 bits need on a CPU."""
    from transformers import (
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    tokenizer = byte_tokenizer("<s>", "</s>", "<pad>", {"image_token": "<image>"})
    text = {**TEXT, "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    wider = {"intermediate_size": 128} if wide else {}
    config = LlavaConfig(
        text_config=LlamaConfig(**text | wider),
        vision_config=CLIPVisionConfig(**CLIP | wider | ({"hidden_size": 64} if wide else {})),
        image_token_index=tokenizer.image_token_id,
        image_seq_length=16,
    )
    template = (
        "{% for m in messages %}USER: {% for c in m.content if c.type == 'image' %}<image>\n{% endfor %}"
        "{% for c in m.content if c.type == 'text' %}{{ c.text }} {% endfor %}{% endfor %}"
        "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
    )
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        chat_template=template,
        num_additional_image_tokens=1,
    )
    return save(folder, LlavaForConditionalGeneration(config), processor, tokenizer)


FAMILIES: dict[str, Callable[[Path], Path]] = {
    "janus": janus,
    "emu3": emu3,
    "qwen2.5-vl": qwen2_5_vl,
    "gemma3": gemma3,
    "internvl": internvl,
    "llava": llava,
}
"""Family → the function that writes its tiny checkpoint into a folder and returns the folder."""

_folder = tempfile.TemporaryDirectory(prefix="tiny-checkpoints-")


@functools.cache
def built(family: str) -> Path:
    """The folder of a family's tiny checkpoint, built once in a process; copy it before changing it."""
    torch.set_num_threads(1)
    return FAMILIES[family](Path(_folder.name) / family)


def open_with_checkpoint(card: ModelCard) -> tuple[HfModel, LoadedModel]:
    """A model as the adapter opens it, and the checkpoint that it answers with."""
    settings = read_settings(card)
    loaded = load_checkpoint(settings)
    instruction = find_instruction(card.options, loaded.checkpoint.family.instruction)
    return HfModel(loaded, settings, ADAPTER_VERSION, instruction), loaded

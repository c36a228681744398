"""The tokens of the tiny models: every byte, and the words of the tiny training set."""

from __future__ import annotations

import json

from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

from mmdbench.records import RESTORE_TAG
from mmdbench.training.robust_r1 import BLOCKS

__all__ = ["MARKS", "SYSTEM_PROMPT", "tiny_tokens"]

MARKS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>")
"""The tokens of a conversation, which follow those of texts."""

SYSTEM_PROMPT = f"Write {RESTORE_TAG} if you cannot see enough.\n"
"""The text that comes first where CLEAR's tiny model is trained and asked."""

_TEXTS = (
    SYSTEM_PROMPT,
    "Question: What is in the picture?\nOptions:\nA. Yes\nB. No\n",
    "Please select the correct answer from the options above.",
    f"<think>The picture is dark.</think>\n{RESTORE_TAG}\n",
    "<think>The picture is clear.</think>\n<answer>A</answer>",
    "dark illumination(0.50)",
    *(f"<{name}><{name}_END>\n" for name in BLOCKS),
)
_COUNT = 440


def tiny_tokens() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """The tokens by their ids, without the marks, and the merges that make words of bytes."""
    made = Tokenizer(BPE())
    made.pre_tokenizer = ByteLevel(add_prefix_space=False)
    alphabet = sorted(ByteLevel.alphabet())
    # Its progress would be empty lines on standard output.
    trainer = BpeTrainer(vocab_size=_COUNT, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator(_TEXTS, trainer)
    model = json.loads(made.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]

"""The system prompts of CLEAR and BAGEL, which are their authors' texts and are not shipped."""

from __future__ import annotations

from mmdbench.models.published_text import PublishedText

__all__ = ["INTERLEAVE", "PROMPT_ENV", "THINK"]

PROMPT_ENV = "MMDBENCH_CLEAR_PROMPT"
"""Variable for CLEAR's prompt if a card names none: a file, a copy of the repository, or its address."""

INTERLEAVE = PublishedText(
    name="interleave",
    characters=1820,
    sha256="f30b4828bd78a54b750765737af340016069fee98f3e935206332d26b5809857",
    commit="411d6bdb210c7d79eb7e5304b0f1feeae3034c9a",
    repository="https://github.com/haoxiangzhao12138/CLEAR",
    file="prompts.py",
    variable=PROMPT_ENV,
)
"""CLEAR's instruction from its training: to ask for a restoration if needed, and to answer."""

THINK = PublishedText(
    name="think",
    characters=227,
    sha256="5eff00888fdf6b912c3f9a80711933dd35cdd164d167cba6b2a5889c04d7b565",
    commit="056b5fd",
    repository="https://github.com/ByteDance-Seed/Bagel",
)
"""BAGEL's instruction to reason before it answers."""

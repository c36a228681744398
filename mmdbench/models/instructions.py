"""Instructions that a model was trained with and that follow every question, such as Robust-R1's.

Their authors' wording is not shipped (see `published_text`). If nothing is named by the user and it cannot be
fetched, a wording of our own takes its place, under an id of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdbench.errors import DownloadError, ModelError, UnknownNameError, UsageError
from mmdbench.models.published_text import PublishedText, find_published_text
from mmdbench.system.digest import bytes_digest

__all__ = [
    "INSTRUCTIONS",
    "INSTRUCTION_OPTIONS",
    "OWN_ROBUST_R1",
    "ROBUST_R1",
    "Instruction",
    "find_instruction",
]

INSTRUCTION_OPTIONS = ("instruction", "instruction_file", "prompt_repository")
"""Options of a card: the instruction's name, a file that holds it, and a repository to fetch it from."""

ROBUST_R1 = PublishedText(
    name="robust-r1",
    characters=501,
    sha256="e20c9ef009f6982754f80e46db2e989fdb932c83407f5a64b1e8837f26bc426b",
    commit="02f2c9d3e785884073afb366feacf72a7912b1f2",
    repository="https://github.com/jqtangust/Robust-R1",
    file="demo.py",
    collapsed=True,
    option="instruction_file",
    variable="MMDBENCH_ROBUST_R1_PROMPT",
)
"""Robust-R1's instruction: the constant SYS_PROMPT of its demo, which its training sends too."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """The instruction in use; `exact` is True for the authors' own text."""

    id: str
    text: str
    exact: bool

    def after(self, prompt: str) -> str:
        """The prompt, a newline and the instruction."""
        return f"{prompt}\n{self.text}"

    def record(self) -> dict[str, Any]:
        """The part of a fingerprint that names this instruction, by its checksum."""
        return {"id": self.id, "sha256": bytes_digest(self.text.encode()), "exact": self.exact}


OWN_ROBUST_R1 = Instruction(
    "mmdbench-robust-r1/1",
    "First judge the quality of the picture. Write five blocks in this order, each on a line of its own:\n"
    "<TYPE>each degradation that you see and its strength between 0 and 1, as in motion blur(0.45), with "
    "commas between them<TYPE_END>\n"
    "<INFLUENCE>the effect of these degradations on what can be seen<INFLUENCE_END>\n"
    "<REASONING>your reasoning from what is left to see; the stronger the degradation, the longer"
    "<REASONING_END>\n"
    "<CONCLUSION>the outcome of this reasoning<CONCLUSION_END>\n"
    "<ANSWER>a short answer to the question<ANSWER_END>",
    exact=False,
)
"""Our own wording of Robust-R1's instruction."""

INSTRUCTIONS: Mapping[str, tuple[PublishedText, Instruction]] = {"robust-r1": (ROBUST_R1, OWN_ROBUST_R1)}
"""The authors' text of each instruction and our own wording, by the name that a card gives."""


def find_instruction(options: Mapping[str, Any], default: str = "") -> Instruction | None:
    """The instruction that the options of a card name; None if they name none.

    Args:
        options: The card's options, of which `INSTRUCTION_OPTIONS` are read.
        default: The instruction's name if the card has none; an empty name means no instruction.

    Returns:
        The authors' text, or our own where it cannot be fetched, with a warning.

    Raises:
        UnknownNameError: There is no instruction of that name.
        UsageError: An option is no text, or names a file that cannot be read.
        ModelError: What the user named does not hold the text.
    """
    for key in INSTRUCTION_OPTIONS:
        if not isinstance(options.get(key, ""), str):
            raise UsageError(f"The option {key} must be a text, got {options[key]!r}.")
    name = str(options.get("instruction", default))
    own = {instruction.id: instruction for _, instruction in INSTRUCTIONS.values()}
    if not name or name in own:
        return own.get(name)
    if name not in INSTRUCTIONS:
        raise UnknownNameError("instruction", name, [*INSTRUCTIONS, *own])
    known, fallback = INSTRUCTIONS[name]
    file, repository = str(options.get("instruction_file", "")), str(options.get("prompt_repository", ""))
    try:
        found = find_published_text(
            known, file=Path(file).expanduser() if file else None, repository=repository
        )
    except (DownloadError, ModelError) as error:
        if file or repository or known.named_by_user():
            raise
        logging.getLogger("mmdbench").warning(
            "%s mmdbench's own wording, %s, is sent instead of the authors' instruction. %s",
            error.message,
            fallback.id,
            error.hint,
        )
        return fallback
    return Instruction(name if found.exact else f"{name}-file", found.text, found.exact)

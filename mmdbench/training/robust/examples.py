"""Records of a training set as the prompts, completions and pictures that TRL reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdbench.errors import DataError
from mmdbench.models.instructions import Instruction
from mmdbench.system.inner_paths import plain_name
from mmdbench.training.robust_r1 import block_text
from mmdbench.training.training_format import TrainingRecord, read_records

__all__ = ["ChainSource", "kept_blocks", "read_examples"]


@dataclass(frozen=True, slots=True)
class ChainSource:
    """A training set of the recipe `robust-r1`, and what is asked and learnt of it."""

    file: Path
    instruction: Instruction
    blocks: tuple[str, ...]

    def example(self, record: TrainingRecord) -> dict[str, Any]:
        """The picture's file, the question with the instruction, and the chain.

        Raises DataError if the chain or the picture is missing.
        """
        where, folder = f"{self.file}, record {record.id!r}", self.file.parent
        chain = kept_blocks(record.conversation.solution, self.blocks)
        if not chain:
            raise DataError(
                f"{where}: its answer has none of the blocks {', '.join(self.blocks)}.",
                hint="Make the set with mmdbench assign --recipe robust-r1.",
            )
        picture = folder / plain_name(folder, record.image, where, DataError)
        if not picture.is_file():
            raise DataError(f"{where}: there is no picture {picture}.")
        asked = self.instruction.after(record.conversation.question)
        return {"image": str(picture), "prompt": [{"role": "user", "content": asked}], "solution": chain}


def kept_blocks(chain: str, blocks: tuple[str, ...]) -> str:
    r"""A chain with the named blocks alone, one on a line.

    >>> kept_blocks("<TYPE>noise(0.5)<TYPE_END>\n<ANSWER>B<ANSWER_END>", ("ANSWER",))
    '<ANSWER>B<ANSWER_END>'
    """
    texts = {name: block_text(chain, name) for name in blocks}
    return "\n".join(f"<{name}>{text}<{name}_END>" for name, text in texts.items() if text is not None)


def read_examples(source: ChainSource) -> list[dict[str, Any]]:
    """The examples of a training set. Raises DataError if it has none, or for the first that is not whole."""
    found = [source.example(record) for record in read_records(source.file)]
    if not found:
        raise DataError(
            f"{source.file} has no records.", hint="mmdbench assign writes sft.jsonl and rl.jsonl."
        )
    return found

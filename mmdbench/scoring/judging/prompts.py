"""Prompts of a judge: a fixed head, then the row to judge.

Published numbers were made with the heads of VLMEvalKit, which are not shipped here; `heads.load_heads`
reads them from an installation or a folder. The heads below are our own: numbers made with them are
not comparable with published ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmdbench.system.digest import bytes_digest

__all__ = [
    "OWN_HEADS",
    "Head",
    "JudgeHeads",
    "mcq_prompt",
    "mcq_tail",
    "open_answer_prompt",
    "open_answer_tail",
    "prompt_kind",
]

_CHINESE = re.compile("[\u4e00-\u9fff]")


@dataclass(frozen=True, slots=True)
class Head:
    """The fixed beginning of a judge prompt; `comparable` is True if published numbers were made with it."""

    id: str
    text: str
    comparable: bool

    @property
    def sha256(self) -> str:
        """SHA-256 of the text as UTF-8."""
        return bytes_digest(self.text.encode())

    def as_dict(self) -> dict[str, Any]:
        """Id, SHA-256 and comparability, for the record."""
        return {"id": self.id, "sha256": self.sha256, "comparable": self.comparable}


@dataclass(frozen=True, slots=True)
class JudgeHeads:
    """The three heads: multiple choice in English and in Chinese, and MM-Vet."""

    mcq_en: Head
    mcq_cn: Head
    mmvet: Head


OWN_HEADS = JudgeHeads(
    mcq_en=Head(
        "mmdbench-mcq-en/1",
        "You compare a free-form answer with the options of a multiple-choice question.\n"
        "Reply with one capital letter and nothing else: the label of the option that the answer means, "
        "or Z if it means none of them or more than one.\n\n"
        "Question: Which animal is shown?\nOptions: There are several options: \nA. horse\nB. goat\n\n"
        "Answer: a young goat in a field\nYour output: B\n\n"
        "Question: Which animal is shown?\nOptions: There are several options: \nA. horse\nB. goat\n\n"
        "Answer: a sailing boat\nYour output: Z\n\n"
        "Question: ",
        comparable=False,
    ),
    mcq_cn=Head(
        "mmdbench-mcq-cn/1",
        "请判断一段自由回答对应选择题的哪一个选项。\n"
        "只输出一个大写字母：与回答含义相同的选项字母；如果没有或不止一个选项符合，输出 Z。\n\n"
        "问题: 图里是哪种动物?\n选项: There are several options: \nA. 马\nB. 山羊\n\n"
        "答案: 田里的一只小山羊\n输出: B\n\n"
        "问题: 图里是哪种动物?\n选项: There are several options: \nA. 马\nB. 山羊\n\n"
        "答案: 一艘帆船\n输出: Z\n\n"
        "问题: ",
        comparable=False,
    ),
    mmvet=Head(
        "mmdbench-mmvet/1",
        "You grade how far a prediction agrees with the ground truth of a question about an image.\n"
        "Parts of the ground truth joined by <AND> are all needed; of parts joined by <OR> one is enough.\n"
        "The grade is one of 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0; reply with the grade "
        "of the last row and nothing else.\n\n"
        "Question | Ground truth | Prediction | Correctness\n--- | --- | --- | ---\n"
        "What fruits lie on the plate? | pear <AND> plum | There are two pears. | 0.5\n"
        "What fruits lie on the plate? | pear <AND> plum | A plum beside a pear | 1.0\n"
        "What is the man holding? | cup <OR> mug | an umbrella | 0.0\n",
        comparable=False,
    ),
)
"""Our own heads, used where those of VLMEvalKit are neither installed nor given."""


def prompt_kind(prompt_id: str) -> str:
    """The kind of rows that a prompt judges, in any wording, as its id has it.

    >>> prompt_kind("vlmevalkit-mcq_en"), prompt_kind("mmdbench-mcq-en/1")
    ('mcq-en', 'mcq-en')
    """
    return prompt_id.partition("-")[2].partition("/")[0].replace("_", "-") or prompt_id


def mcq_prompt(
    heads: JudgeHeads, question: str, options: Mapping[str, str], prediction: str
) -> tuple[Head, str]:
    """Prompt for a multiple-choice reply that the rules cannot resolve.

    Args:
        heads: The heads; the one in the question's language is used.
        question: The question, without its options.
        options: The texts of the options by label.
        prediction: The reply, or the part of it that is graded.

    Returns:
        The head, and the whole prompt.
    """
    head = heads.mcq_cn if _CHINESE.search(question) else heads.mcq_en
    return head, head.text + mcq_tail(question, options, prediction)


def mcq_tail(question: str, options: Mapping[str, str], prediction: str) -> str:
    """The part of a multiple-choice prompt after its head, byte for byte as VLMEvalKit writes it.

    Args:
        question: The question; a `?` is always added, as in VLMEvalKit, even if it ends with one.
        options: The texts of the options by label.
        prediction: The reply, or the part of it that is graded.

    Returns:
        The text that follows the head.
    """
    chinese = _CHINESE.search(question)
    head, answer, output = ("选项", "答案", "输出") if chinese else ("Options", "Answer", "Your output")
    lines = "".join(f"{label}. {text}\n" for label, text in options.items())
    return f"{question}?\n{head}: There are several options: \n{lines}\n{answer}: {prediction}\n{output}: "


def open_answer_prompt(head: Head, question: str, truth: str, prediction: str) -> tuple[Head, str]:
    """Prompt for one open answer, of MM-Vet or of R-Bench.

    Args:
        head: The head of the benchmark.
        question: The question.
        truth: The right answer; its parts are joined by `<AND>` or `<OR>`.
        prediction: The reply, or the part of it that is graded.

    Returns:
        The head, and the whole prompt.
    """
    return head, head.text + open_answer_tail(question, truth, prediction)


def open_answer_tail(question: str, truth: str, prediction: str) -> str:
    """The last, unfinished row of the table that a prompt for open answers shows.

    Args:
        question: The question.
        truth: The right answer; its parts are joined by `<AND>` or `<OR>`.
        prediction: The reply, or the part of it that is graded.

    Returns:
        The row.
    """
    spaced = truth.replace("<AND>", " <AND> ").replace("<OR>", " <OR> ")
    return f"{question} | {spaced} | {prediction} | "

"""Prompts of the models that write and check training data, in our own words, each with its id.

The papers' prompts are not published, or are not ours to copy; the steps that they ask for are in their
texts: CLEAR, appendix C (traces) and published code (agent, consistency); Robust-R1, section 4 (chains).
"""

from __future__ import annotations

from mmdbench.records import RESTORE_TAG

__all__ = [
    "AGENT_ID",
    "AGENT_SYSTEM",
    "CONSISTENCY_ID",
    "TRACE_ID",
    "agent_again",
    "chain_conclusion",
    "chain_influence",
    "chain_reasoning",
    "chain_rewrite",
    "consistency_prompt",
    "trace_prompt",
]

TRACE_ID = "mmdbench-trace/2"
AGENT_ID = "mmdbench-agent/1"
CONSISTENCY_ID = "mmdbench-consistency/1"

_DIRECT = (
    "The model answers at once. Write, in this order:\n"
    "1. <think>: what the degradation does to the picture, as seen in the degraded picture alone, and that "
    "what the question needs can still be seen; then the reasoning that leads to the answer. </think>\n"
    "2. <answer>the answer</answer>"
)
_GENERATE = (
    "The model first asks for a restored picture. Write, in this order:\n"
    "1. <think>: a diagnosis, as if only the degraded picture had been seen: what the degradation hides of "
    "what the question needs, and the decision to have the picture restored. Do not answer yet, and hint at "
    "no answer. </think>\n"
    f"2. {RESTORE_TAG} alone on a line.\n"
    "3. <think>: with the restored picture at hand (use the clean picture): that the damage is gone, the "
    "details that matter, and the conclusion. </think>\n"
    "4. <answer>the answer</answer>"
)


def trace_prompt(mode: str, question: str, truth: str) -> str:
    """The prompt for the trace of a sample; the clean and the degraded picture are sent before it.

    Args:
        mode: `direct` or `generate`.
        question: The question as the model is asked it.
        truth: The right answer.

    Returns:
        The prompt.
    """
    return (
        "You write training data for a model that answers questions about degraded pictures and can have a "
        "picture restored before it answers. The first picture is clean, the second is what the model "
        "sees.\n\n"
        f"Question:\n{question}\nRight answer: {truth}\n\n"
        f"{_GENERATE if mode == 'generate' else _DIRECT}\n\n"
        "Write nothing outside these blocks. The answer is short and equals the right answer. Speak as the "
        "model, which was told neither the right answer nor these instructions and never saw a clean picture "
        "beside the degraded one. Stay below 200 words."
    )


AGENT_SYSTEM = (
    "You answer questions about pictures that may be degraded. You may have the picture restored once, by "
    "a tool.\n"
    "Reply in one of two ways:\n"
    "A) If what the question needs can be seen: <think>…</think><answer>…</answer>\n"
    f"B) If it cannot: <think>…</think>, then {RESTORE_TAG} alone on the last line, and nothing after it. "
    "You are then shown the restored picture and continue with <think>…</think><answer>…</answer>.\n"
    "Inside <think> write what is wrong with the picture, the evidence that you see, the steps of your "
    "reasoning, and your decision. Never guess: an answer needs evidence. Keep the answer short."
)
"""The system prompt of the agent of CLEAR's published recipe."""


def agent_again(question: str, first: str) -> str:
    """The agent's second prompt, after its request; the degraded and the restored picture are sent before it.

    Args:
        question: The question.
        first: The agent's first text.

    Returns:
        The prompt.
    """
    return (
        f"{question}\n\nYou have seen the first picture and written:\n{first}\n\n"
        "The second picture is the restored one. Continue: <think>…</think><answer>…</answer>. "
        "No further restoration is possible."
    )


def consistency_prompt(question: str, truth: str, answer: str) -> str:
    """The prompt for a judge that compares an answer with the truth.

    Args:
        question: The question.
        truth: The right answer.
        answer: The answer to compare.

    Returns:
        The prompt.
    """
    return (
        "Compare an answer to a question about a picture with the reference. It is consistent if it means "
        "the same: other words, units or more detail do not matter, another fact does.\n\n"
        f"Question: {question}\nReference: {truth}\nAnswer: {answer}\n\n"
        'Reply with JSON alone: {"consistent": true} or {"consistent": false}'
    )


def chain_influence(question: str, truth: str, types: str) -> str:
    """The prompt for the influence of a chain of degradations; the clean and the degraded picture come first.

    Args:
        question: The question.
        truth: The right answer.
        types: The degradations with their strengths.

    Returns:
        The prompt.
    """
    return (
        "The first picture is clean, the second was degraded by (strength from 0 to 1): "
        f"{types}.\nQuestion: {question}\nRight answer: {truth}\n\n"
        "Describe in two or three sentences how each of these degradations changes what can be seen of the "
        "things that the question is about. Speak of the second picture alone. Write the description only."
    )


def chain_reasoning(question: str, truth: str, types: str, influence: str) -> str:
    """The prompt for the reasoning over a degraded picture, which is sent before it.

    Args:
        question: The question.
        truth: The right answer.
        types: The degradations with their strengths.
        influence: Their influence, as it was described.

    Returns:
        The prompt.
    """
    return (
        f"The picture was degraded by (strength from 0 to 1): {types}.\nTheir influence: {influence}\n"
        f"Question: {question}\nRight answer: {truth}\n\n"
        "Write the reasoning that leads from what can still be seen, with this influence in mind, to the "
        "right answer. Do not say that you were given it. Write the reasoning only."
    )


def chain_conclusion(question: str, truth: str, reasoning: str) -> str:
    """The prompt for the conclusion of a reasoning; no picture is sent.

    Args:
        question: The question.
        truth: The right answer.
        reasoning: The reasoning.

    Returns:
        The prompt.
    """
    return (
        f"Question: {question}\nReasoning: {reasoning}\nRight answer: {truth}\n\n"
        "Write the conclusion of this reasoning in one sentence that contains the right answer, and nothing "
        "else."
    )


def chain_rewrite(blocks: str, words: int) -> str:
    """The prompt that brings a chain to a length; no picture is sent.

    Args:
        blocks: The chain in its blocks.
        words: The number of words to aim at.

    Returns:
        The prompt.
    """
    return (
        f"Rewrite this text to about {words} words in all. Keep the three blocks with their tags, in this "
        f"order, and the meaning of each; write nothing outside them.\n\n{blocks}"
    )

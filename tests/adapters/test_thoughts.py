"""Thoughts in every form in which servers send them: kept apart from the answer, with their tokens."""

from __future__ import annotations

import json

import pytest
from mmdbench.adapters._openai_api.response import outcome_of

TEXT = {"content": "B"}
SUMMARY = {"type": "reasoning.summary", "summary": "The ears."}
STEPS = [{"type": "reasoning.text", "text": "The "}, {"type": "reasoning.text", "text": "ears."}]
THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "The ears."}]}
PLAIN = {"type": "thinking", "thinking": "The ears.", "signature": "c2ln"}
ANSWER = {"type": "text", "text": "B"}


def outcome(message, usage=None, **answer):
    made = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage, **answer}
    return outcome_of("application/json", json.dumps(made).encode())


@pytest.mark.parametrize(
    "message",
    [
        {**TEXT, "reasoning_content": "The ears."},
        {**TEXT, "reasoning": "The ears."},
        {**TEXT, "thinking": "The ears."},
        {**TEXT, "reasoning": "The ears.", "reasoning_details": STEPS},
        {**TEXT, "reasoning_details": [SUMMARY, {"type": "reasoning.encrypted", "data": "c2VjcmV0"}]},
        {**TEXT, "thinking_blocks": [PLAIN, {"type": "redacted_thinking", "data": "c2VjcmV0"}]},
        {**TEXT, "extra_content": {"google": {"thoughts": "The ears.", "thought_signature": "c2ln"}}},
        {**TEXT, "extra_content": {"google": {"thoughts": [{"text": "The ears."}]}}},
        {"content": [THINKING, ANSWER]},
        {"content": [PLAIN, ANSWER]},
        {"content": [{"type": "text", "text": "The ears.", "thought": True}, ANSWER]},
        {"content": [{"type": "reasoning", "text": "The ears."}, ANSWER]},
    ],
)
def test_thoughts_are_kept_and_are_no_part_of_the_answer(message):
    found = outcome(message)
    assert (found.text, found.status, found.details["reasoning"]) == ("B", "ok", "The ears.")


@pytest.mark.parametrize(
    "message",
    [
        TEXT,
        {**TEXT, "reasoning": None, "reasoning_details": []},
        {**TEXT, "reasoning": {"effort": "low", "summary": None}},
        {**TEXT, "reasoning_details": [{"type": "reasoning.encrypted", "data": "c2VjcmV0"}]},
        {**TEXT, "extra_content": {"google": {"thought": True, "thought_signature": "c2ln"}}},
        {**TEXT, "extra_content": "odd", "reasoning_content": 3},
    ],
)
def test_secret_and_missing_thoughts_are_none(message):
    found = outcome(message)
    assert (found.text, found.details.get("reasoning")) == ("B", None)


def test_thoughts_without_an_answer_are_an_empty_reply():
    found = outcome({"content": None, "reasoning_content": "The answer is B"})
    assert (found.text, found.status, found.details["reasoning"]) == ("", "empty", "The answer is B")


@pytest.mark.parametrize(
    "more",
    [
        {"completion_tokens_details": {"reasoning_tokens": 40}},
        {"output_tokens_details": {"reasoning_tokens": 40}},
        {"reasoning_tokens": 40},
        {"completion_tokens_details": None, "reasoning_tokens": 40},
    ],
)
def test_tokens_of_thoughts_are_counted_under_each_name(more):
    usage = {"prompt_tokens": 9, "completion_tokens": 50, **more}
    assert outcome(TEXT, usage).details["usage"] == {"prompt": 9, "completion": 50, "reasoning": 40}


def test_the_effort_that_a_server_reports_is_kept():
    assert outcome(TEXT, reasoning={"effort": "medium"}).details["reasoning_effort"] == "medium"
    assert outcome(TEXT, reasoning_effort="high").details["reasoning_effort"] == "high"
    assert "reasoning_effort" not in outcome(TEXT, reasoning=None).details

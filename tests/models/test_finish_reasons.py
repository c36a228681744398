"""The table of finish reasons, and its copies in docs/models.md; `MMDBENCH_UPDATE=1` writes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmdbench.models.failures import CODE_KINDS, RULES, STATUS_KINDS
from mmdbench.models.finish_reasons import FINISH_REASONS, FINISHED, REFUSED, TRUNCATED, finish_kind

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
BEGIN, END = "<!-- made by tests/models/test_finish_reasons.py -->\n", "<!-- end -->\n"

LENGTH = (
    "length max_tokens MAX_TOKENS maxTokens max_output_tokens model_length model_context_window_exceeded "
)
LENGTH += "ERROR_LIMIT"
FILTERED = (
    "content_filter SAFETY PROHIBITED_CONTENT BLOCKLIST SPII RECITATION IMAGE_SAFETY sensitive refusal "
    "guardrail_intervened MODEL_ARMOR content_filtered ContentFiltered FinishReason.SAFETY"
)
BROKEN = "error network_error abort MALFORMED_FUNCTION_CALL insufficient_system_resource OTHER timeout "
BROKEN += "USER_CANCEL SERVER_ERROR internal_error error_unknown"


@pytest.mark.parametrize(
    ("spellings", "kind"),
    [
        ("stop STOP end_turn eos EOS_TOKEN stop_sequence COMPLETE tool_calls", FINISHED),
        (LENGTH, TRUNCATED),
        (FILTERED, REFUSED),
    ],
)
def test_every_spelling_of_an_end_has_its_kind(spellings, kind):
    assert {spelling: finish_kind(spelling) for spelling in spellings.split()} == dict.fromkeys(
        spellings.split(), kind
    )


def test_a_broken_off_answer_is_a_failure_that_is_asked_again():
    assert {RULES[finish_kind(spelling)].action for spelling in BROKEN.split()} == {"retry"}


def test_a_part_before_a_colon_counts_and_anything_else_is_unknown():
    assert finish_kind("content_filter: PROHIBITED_CONTENT") == REFUSED
    assert [finish_kind(s) for s in ("foo", "", "stopper", "null")] == [None] * 4


def test_every_kind_is_an_end_or_a_failure():
    assert set(FINISH_REASONS.values()) - {FINISHED, TRUNCATED, REFUSED} <= set(RULES)


ACTIONS = {
    "retry": "asked again",
    "refuse": "stored as `refused`",
    "fail": "stored as `error`, the next one is asked",
    "stop": "the run stops, all replies are kept",
}
ENDS = {
    FINISHED: "`ok`, or `empty` without a text",
    TRUNCATED: "`truncated`",
    REFUSED: "`refused`",
}


def failures_table():
    lines = ["| kind | meaning | statuses and codes | consequence |", "| --- | --- | --- | --- |"]
    for kind, rule in RULES.items():
        signs = [str(status) for status, name in STATUS_KINDS.items() if name == kind]
        signs += [f"`{code}`" for code, name in CODE_KINDS.items() if name == kind]
        slower = ", with fewer requests at once" if rule.slow_down else ""
        lines.append(f"| `{kind}` | {rule.meaning} | {', '.join(signs)} | {ACTIONS[rule.action]}{slower} |")
    return "\n".join(lines) + "\n"


def finish_table():
    lines = ["| finish reason | the reply |", "| --- | --- |"]
    for kind in dict.fromkeys(FINISH_REASONS.values()):
        spellings = ", ".join(f"`{name}`" for name, end in FINISH_REASONS.items() if end == kind)
        becomes = ENDS.get(kind) or f"failure `{kind}`: {ACTIONS[RULES[kind].action]}"
        lines.append(f"| {spellings} | {becomes} |")
    return "\n".join(lines) + "\n"


def test_the_page_holds_the_tables():
    page = PAGE.read_text("utf-8")
    parts = page.split(BEGIN)
    assert len(parts) == 3
    tables = (finish_table(), failures_table())
    made = parts[0] + "".join(
        BEGIN + "\n" + table + "\n" + END + part.partition(END)[2]
        for table, part in zip(tables, parts[1:], strict=True)
    )
    if os.environ.get("MMDBENCH_UPDATE"):
        PAGE.write_text(made, "utf-8")
    assert page == made

"""Scores of every family: denominators, statuses, judges, journals, bounds and warnings."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field

import pytest

from mmdbench.errors import DataError, ModelError, StoreError, UnknownNameError, UsageError
from mmdbench.records import Outcome, Question
from mmdbench.results.judging.journal import JournalledJudge, JsonlJournal
from mmdbench.scoring import OWN_HEADS, Head, JudgeHeads, JudgeReply, load_heads
from mmdbench.scoring.judging.prompts import mcq_prompt, mcq_tail, open_answer_tail
from scoring_by_keyword import score

OPTIONS = {"A": "apple", "B": "pear", "C": "plum"}
VLM = "vlmevalkit/1"


@dataclass(frozen=True)
class Bench:
    name: str
    family: str
    questions: tuple[Question, ...]


def ask(index, answer="A", **fields):
    cells = {"question": f"Question {index}", **OPTIONS, "answer": answer, **fields}
    return Question("toy", index, {k: v for k, v in cells.items() if v is not None})


def bench(family, *questions):
    return Bench("toy", family, questions)


@dataclass
class Script:
    """A judge that reads its replies from a script by index, the last one again and again."""

    replies: dict = field(default_factory=dict)
    id: str = "script/1"
    calls: list = field(default_factory=list)

    def ask(self, call):
        self.calls.append((call.index, call.attempt, call.temperature, call.max_tokens, call.prompt))
        lines = self.replies[call.index]
        line = lines[min(call.attempt, len(lines)) - 1]
        return line if isinstance(line, JudgeReply) else JudgeReply(line)


def stages(result):
    return {grade.index: grade.stage for grade in result.grades}


def plain(count, **fields):
    return bench("plain", *(ask(i, **fields) for i in range(count)))


# Denominators and statuses


def test_every_planned_row_counts_with_any_status():
    replies = {
        0: "A", 1: "B", 2: Outcome("A", "ok"), 3: Outcome("A", "refused"), 4: Outcome("", "empty"),
        5: Outcome("The answer is A", "truncated"),
        6: Outcome("A", "error"), 7: "<think> A or", 8: "Z", 9: "??",
        10: " ", 11: "Failed to obtain answer via API.",
    }  # fmt: skip
    result = score(plain(13), replies)
    assert result.headline == pytest.approx(100 * 3 / 13)
    assert stages(result) == {
        0: "letter", 1: "letter", 2: "letter", 3: "refused", 4: "empty", 5: "letter", 6: "error",
        7: "unfinished_thought", 8: "letter_z", 9: "no_option", 10: "no_option", 11: "no_option",
        12: "missing",
    }  # fmt: skip
    assert result.counts == {
        "planned": 13, "answered": 11, "resolved": 4, "refused": 2, "unresolved": 5,
        "judged": 0, "judge_failed": 0,
        "truncated": 2, "missing": 1, "error": 1, "empty": 2, "inference_failed": 1,
    }  # fmt: skip
    assert len(result.grades) == 13
    assert {g.index: g.verdict for g in result.grades}[3] == "wrong"
    assert {g.index: g.verdict for g in result.grades}[6] == "unresolved"


def test_a_failed_call_is_never_read_for_an_answer():
    result = score(plain(2), {0: Outcome("A", "error"), 1: Outcome("apple", "refused")})
    assert result.headline == 0
    assert [grade.label for grade in result.grades] == [None, "Z"]


def test_partial_scores_only_rows_with_replies():
    whole = score(plain(4), {1: "A", 2: "B"})
    part = score(plain(4), {1: "A", 2: "B"}, partial=True)
    assert (whole.headline, part.headline) == (25, 50)
    assert (whole.partial, part.partial) == (False, True)
    assert (whole.counts["missing"], part.counts["missing"]) == (2, 0)
    assert [grade.index for grade in part.grades] == [1, 2]


def test_upper_bound_and_the_warning_about_unresolved_rows():
    replies = dict.fromkeys(range(100), "A") | {0: "?", 1: "?", 2: "B", 3: "Z", 4: Outcome("", "error")}
    result = score(plain(100), replies)
    assert (result.headline, result.upper_bound) == (95, 97)
    assert result.warnings == ()
    result = score(plain(100), replies | {5: "?"})
    assert (result.headline, result.upper_bound) == (94, 97)
    assert any("3 of 100 replies name no option" in warning for warning in result.warnings)
    judged = score(plain(100), replies | {5: "?"}, judge=Script({0: ["A"], 1: ["B"], 5: ["?"]}))
    assert not any("name no option" in warning for warning in judged.warnings)
    assert (judged.headline, judged.upper_bound) == (95, 96)


def test_no_rows_have_no_headline():
    result = score(plain(0), {})
    assert result.headline is None
    assert result.upper_bound is None
    assert score(bench("mmvp"), {}).metrics["pair_accuracy"] is None
    assert "there are no rows" in score(bench("mmvp"), {}).warnings[0]
    assert score(bench("circular"), {}).headline is None
    assert score(bench("cvbench"), {}, protocol=VLM).headline is None


def test_the_extraction_is_applied_first():
    reply = {0: "<think>B or C? B.</think><answer>A</answer>"}
    assert score(plain(1), reply).headline == 100
    assert score(plain(1), {0: "B <answer>\nA</answer>"}, extraction="clear").headline == 0
    assert score(plain(1), reply, extraction="none").grades[0].label == "B"
    assert score(plain(1), reply, extraction="none").extraction == "none"


@pytest.mark.parametrize(("call", "kind", "message"), [
    (lambda: score(plain(1), {5: "A"}), DataError, "1 replies belong to no question, the first to index 5"),
    (lambda: score(plain(1), {"0": "A"}), DataError, "index '0'.*Indices look like 0"),
    (lambda: score(bench("plain", ask(1), ask(1)), {}), DataError, "occurs more than once"),
    (lambda: score(plain(1), {0: 7}), UsageError, r"index 0: a reply of type int with status None"),
    (lambda: score(plain(1), {0: Outcome("A", "fine")}), UsageError, "status 'fine'"),
    (lambda: score(bench("circle"), {}), UnknownNameError, "Unknown benchmark family 'circle'.*'circular'"),
    (lambda: score(plain(1), {}, protocol="clear/2"), UnknownNameError, "'clear/1'"),
    (lambda: score(plain(1), {}, extraction="same"), UnknownNameError, "'sane'"),
    (lambda: score(plain(1), {}, io="compatible"), UnknownNameError, "'compat'"),
    (lambda: score(plain(1), {}, on_unresolved="rnd"), UnknownNameError, "miss, random|'random'"),
    (lambda: score(bench("circular", ask("v1_0")), {}), DataError, "needs integer indices"),
    (lambda: score(bench("circular", ask(1, g_index="1"), ask(2)), {}), DataError, "a g_index in every row"),
])  # fmt: skip
def test_errors_say_what_and_where(call, kind, message):
    with pytest.raises(kind, match=message) as caught:
        call()
    assert caught.value.hint


# Tables


def test_flat_and_nested_tables():
    questions = (
        ask(0, category="coarse_perception", **{"l2-category": "CP"}, split="dev"),
        ask(1, category="ocr", **{"l2-category": "logic_reasoning"}, split="dev"),
        ask(2, category="ocr", **{"l2-category": "logic_reasoning"}, split="test"),
        ask(3, category="ocr"),
    )
    result = score(bench("plain", *questions), {0: "A", 1: "B", 2: "A", 3: "B"})
    records = {record["split"]: record for record in result.vlmevalkit_table}
    assert records["dev"] == {"split": "dev", "Overall": 0.5, "CP": 1, "LR": 0, "ocr": 0}
    assert records["test"] == {"split": "test", "Overall": 1, "CP": None, "LR": 1, "ocr": 1}
    assert result.headline == 50
    assert result.table["all"]["category"]["ocr"] == {"n": 3, "accuracy": pytest.approx(100 / 3)}
    assert result.table["split"]["dev"]["l2-category"]["CP"] == {"n": 1, "accuracy": 100}


def test_a_category_replaces_an_l2_category_of_the_same_name():
    questions = (ask(0, category="x", **{"l2-category": "y"}), ask(1, category="y", **{"l2-category": "x"}))
    result = score(bench("plain", *questions), {0: "A", 1: "B"})
    assert result.vlmevalkit_table == [{"split": "none", "Overall": 0.5, "x": 1, "y": 0}]
    assert result.table["all"]["l2-category"]["x"]["accuracy"] == 0


def test_underscored_l2_category_is_no_level():
    result = score(bench("plain", ask(0, l2_category="x")), {0: "A"})
    assert result.vlmevalkit_table == [{"split": "none", "Overall": 1}]


def test_the_splits_of_rows_that_are_not_scored_make_no_record():
    questions = (ask(0, split="dev"), ask(1))
    assert score(bench("plain", *questions), {1: "A"}, partial=True).vlmevalkit_table == []
    assert score(bench("plain", ask(1)), {1: "A"}).vlmevalkit_table == [{"split": "none", "Overall": 1}]


# Circular


def circular(*answers, main=5, **fields):
    rows = (ask(main + turn * 1_000_000, answer, **fields) for turn, answer in enumerate(answers))
    return bench("circular", *rows)


def test_a_group_needs_every_rotation():
    group = circular("A", "B", "C")
    right = {5: "A", 1_000_005: "B", 2_000_005: "C"}
    assert score(group, right).group_hits == {5: 1}
    assert score(group, right).warnings == ()
    assert score(group, right | {2_000_005: "A"}).group_hits == {5: 0}
    missing = {5: "A", 1_000_005: "B"}
    assert score(group, missing).headline == 0
    assert score(group, missing, partial=True).headline == 100
    result = score(group, {1_000_005: "B"}, partial=True)
    assert result.headline is None
    assert result.counts["planned"] == 1
    assert "1 groups have no main row" in result.warnings[0]
    assert score(group, {1_000_005: "B"}).group_hits == {5: 0}


def test_groups_without_a_main_row_are_counted():
    questions = (*circular("A", "B").questions, ask(1_000_007, "A"), ask(1_000_008, "A"))
    result = score(bench("circular", *questions), {5: "A", 1_000_005: "B"})
    assert result.metrics == {"circular_accuracy": 100, "groups": 1, "groups_dropped": 2, "row_accuracy": 50}
    assert result.metric == "circular accuracy"
    assert result.headline == 100
    assert "2 groups have no main row" in result.warnings[0]


def test_g_index_names_the_group():
    rows = (ask(3, "A", g_index="4"), ask(4, "A", g_index="4"), ask(1_000_009, "A", g_index="1000009"))
    result = score(bench("circular", *rows), {3: "A", 4: "A", 1_000_009: "B"})
    assert result.group_hits == {4: 1, 1_000_009: 0}
    assert result.headline == 50


def test_the_judge_is_asked_only_where_a_group_can_be_won():
    group = circular("A", "B", "C")
    judge = Script({5: ["A"], 1_000_005: ["B"], 2_000_005: ["C"]})
    assert score(group, {5: "?", 1_000_005: "A", 2_000_005: "?"}, judge=judge).headline == 0
    assert score(group, {5: "?", 1_000_005: "Z", 2_000_005: "?"}, judge=judge).headline == 0
    assert score(group, {5: "?", 1_000_005: Outcome("", "error"), 2_000_005: "?"}, judge=judge).headline == 0
    assert score(group, {5: "?", 1_000_005: Outcome("", "empty"), 2_000_005: "?"}, judge=judge).headline == 0
    assert judge.calls == []
    result = score(group, {5: "?", 1_000_005: "B", 2_000_005: "?"}, judge=judge)
    assert [call[0] for call in judge.calls] == [5, 2_000_005]
    assert result.headline == 100


def test_groups_are_judged_in_the_order_of_their_main_rows():
    rows = (ask(i, "A", g_index=main) for i, main in ((1, "9"), (2, "5"), (5, "5"), (9, "9")))
    judge = Script({index: ["A"] for index in (1, 2, 5, 9)})
    assert score(bench("circular", *rows), dict.fromkeys((1, 2, 5, 9), "?"), judge=judge).headline == 100
    assert [call[0] for call in judge.calls] == [2, 5, 1, 9]


def test_judging_a_group_stops_at_its_first_wrong_rotation():
    judge = Script({5: ["A"], 1_000_005: ["C"]})
    result = score(circular("A", "B", "C"), {5: "?", 1_000_005: "?", 2_000_005: "?"}, judge=judge)
    assert [call[0] for call in judge.calls] == [5, 1_000_005]
    assert stages(result) == {5: "judge", 1_000_005: "judge", 2_000_005: "no_option"}
    assert (result.headline, result.upper_bound) == (0, 0)
    assert result.counts["judged"] == 2
    assert result.counts["unresolved"] == 3


def test_upper_bound_of_groups_is_by_group():
    questions = circular("A", "B").questions + circular("A", "B", main=6).questions
    replies = {5: "?", 1_000_005: "B", 6: "?", 1_000_006: "A"}
    result = score(bench("circular", *questions), replies)
    assert (result.headline, result.upper_bound) == (0, 50)


def test_tables_of_groups_go_by_main_rows():
    questions = (ask(5, "A", category="x"), ask(1_000_005, "B", category="y"))
    result = score(bench("circular", *questions), {5: "A", 1_000_005: "A"})
    assert result.vlmevalkit_table == [{"split": "none", "Overall": 0, "x": 0}]
    assert result.metrics["row_accuracy"] == 50


# MMVP and CV-Bench


def pair_bench(*texts):
    return bench("mmvp", *(ask(i + 1, question=text) for i, text in enumerate(texts)))


def test_mmvp_reports_both_numbers_under_both_protocols():
    replies = {1: "A", 2: "A", 3: "A", 4: "B"}
    for protocol, headline, metric in (("clear/1", 75, "accuracy"), (VLM, 50, "pair accuracy")):
        result = score(pair_bench("x", "x", "y", "y"), replies, protocol=protocol)
        assert (result.headline, result.metric) == (headline, metric)
        assert result.metrics == {"accuracy": 75, "pair_accuracy": 50, "pairs": 2}
        assert result.warnings == ()
    assert result.vlmevalkit_table == [{"Average": 0.75, "Overall": 0.5}]
    assert score(pair_bench("x", "x"), {1: "?", 2: "A"}, protocol=VLM).upper_bound == 100


@pytest.mark.parametrize(
    ("texts", "why"), [(("x", "x", "y"), "odd number"), (("x", "y"), "index 1 and 2 ask")]
)
def test_mmvp_without_pairs_has_no_pair_metric_and_says_why(texts, why):
    replies = {i + 1: "A" for i in range(len(texts))}
    for protocol, headline in (("clear/1", 100), (VLM, None)):
        result = score(pair_bench(*texts), replies, protocol=protocol)
        assert result.headline == headline
        assert result.metrics == {"accuracy": 100, "pair_accuracy": None, "pairs": 0}
        assert why in result.warnings[0]


def test_pairs_follow_the_index_not_the_file():
    questions = (ask(4, question="y"), ask(1, question="x"), ask(3, question="y"), ask(2, question="x"))
    assert score(bench("mmvp", *questions), {1: "A", 2: "A"}, protocol=VLM).headline == 50


def cv(split="2D"):
    return bench("cvbench", *(ask(i, source="COCO" if i else "ADE20K", split=split) for i in range(4)))


def test_cvbench_reports_micro_sources_and_their_mean():
    replies = {0: "A", 1: "A", 2: "B", 3: "?"}
    for protocol, headline in (("clear/1", 50), (VLM, 100 * (1 + 1 / 3) / 2)):
        result = score(cv(), replies, protocol=protocol)
        assert result.headline == pytest.approx(headline)
        assert result.metrics["micro_accuracy"] == 50
        assert result.metrics["per_source"] == {"ADE20K": 100, "COCO": pytest.approx(100 / 3)}
        assert result.metrics["mean_of_sources"] == pytest.approx(200 / 3)
    assert set(result.vlmevalkit_table[0]) == {"split", "ADE20K", "COCO", "Overall"}
    assert result.upper_bound == pytest.approx(100 * (1 + 2 / 3) / 2)


def test_the_3d_part_is_plain():
    result = score(cv("3D"), {0: "A"}, protocol=VLM)
    assert (result.headline, result.metric) == (25, "micro accuracy")
    assert result.vlmevalkit_table == [{"split": "3D", "Overall": 0.25}]


# The judge


def test_three_attempts_then_a_miss():
    judge = Script({0: ["no idea", "Failed to obtain answer via API: A", "A or B"]})
    result = score(plain(1), {0: "?"}, judge=judge)
    assert [call[:4] for call in judge.calls] == [(0, 1, 0.0, 2048), (0, 2, 0.0, 2048), (0, 3, 0.0, 2048)]
    assert stages(result) == {0: "judge_failed"}
    # With no row settled at all there is no score; beside a settled row it is a miss.
    assert (result.headline, result.upper_bound) == (None, 100)
    assert score(plain(2), {0: "?", 1: "A"}, judge=judge).headline == 50
    assert result.counts["judge_failed"] == 1
    assert result.counts["unresolved"] == 1
    assert any("settled none of the 1 rows" in warning for warning in result.warnings)
    assert result.grades[0].details["judge"][0]["text"] == "no idea"


def test_a_label_or_z_ends_it():
    judge = Script({0: ["no idea", "A"], 1: ["Z", "A"], 2: ["A"]})
    result = score(plain(3), {0: "?", 1: "?", 2: "Z"}, judge=judge)
    assert [(g.label, g.stage) for g in result.grades] == [("A", "judge"), ("Z", "judge"), ("Z", "letter_z")]
    assert [call[:2] for call in judge.calls] == [(0, 1), (0, 2), (1, 1)]
    assert result.counts["judged"] == 2
    assert result.counts["refused"] == 1


def test_the_judges_reply_is_read_under_the_same_protocol():
    reply = "A, as one can see from the picture"
    assert score(plain(1), {0: "?"}, judge=Script({0: [reply]})).headline == 100
    assert score(plain(1), {0: "?"}, judge=Script({0: [reply]}), protocol=VLM).headline is None
    assert (
        score(plain(1), {0: "?"}, judge=Script({0: ["A or B, the answer is A then"]}), protocol=VLM).headline
        == 100
    )


def test_a_judge_that_cannot_be_asked_is_a_status_and_an_error():
    dead = JudgeReply("connection refused", "error")
    with pytest.raises(ModelError, match="judge script/1 answered none of 2 rows"):
        score(plain(2), {0: "?", 1: "?"}, judge=Script({0: [dead], 1: [dead]}))
    result = score(plain(2), {0: "?", 1: "?"}, judge=Script({0: [dead], 1: ["A"]}), on_unresolved="random")
    assert stages(result) == {0: "judge_error", 1: "judge"}
    assert result.counts["judge_failed"] == 1
    # A text that could not be had is not read, even if it looks like an answer.
    assert (
        score(plain(2), {0: "?", 1: "?"}, judge=Script({0: [JudgeReply("A", "error")], 1: ["A"]})).headline
        == 50
    )


def test_random_only_on_request_and_from_the_seed():
    judge = Script({i: ["?"] for i in range(60)})
    replies = dict.fromkeys(range(60), "?")
    miss = score(plain(60), replies, judge=judge)
    assert {grade.label for grade in miss.grades} == {None}
    first, again, other = (
        score(plain(60), replies, judge=judge, on_unresolved="random", seed=seed) for seed in (1, 1, 2)
    )
    labels = [[grade.label for grade in result.grades] for result in (first, again, other)]
    assert labels[0] == labels[1] != labels[2]
    assert set(labels[0]) == {"A", "B", "C", "Z"}
    assert set(stages(first).values()) == {"judge_random"}
    assert first.counts["judge_failed"] == 60
    assert first.upper_bound == 100
    # Without a judge nothing is ever drawn.
    assert score(plain(60), replies, on_unresolved="random").headline == 0


def test_statuses_are_not_sent_to_the_judge():
    judge = Script({5: ["A"]})
    replies = {
        0: Outcome("?", "refused"),
        1: Outcome("", "empty"),
        2: Outcome("?", "error"),
        5: Outcome("?", "truncated"),
    }
    score(plain(6), replies, judge=judge)
    assert [call[0] for call in judge.calls] == [5]


def test_the_journal_makes_a_second_run_free(tmp_path):
    path = tmp_path / "deep" / "judge.jsonl"
    judge = Script({0: ["no idea", "A"], 1: ["B"]})
    replies = {0: "?", 1: "??"}
    first = score(plain(2), replies, judge=JournalledJudge(judge, JsonlJournal(path)))
    assert len(judge.calls) == 3
    records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [(r["index"], r["attempt"], r["text"]) for r in records] == [
        (0, 1, "no idea"),
        (0, 2, "A"),
        (1, 1, "B"),
    ]
    assert {r["judge"] for r in records} == {"script/1"}
    assert {
        "key",
        "bench",
        "protocol",
        "prompt_id",
        "prompt_sha256",
        "temperature",
        "max_tokens",
        "status",
    } < set(records[0])
    second = score(plain(2), replies, judge=JournalledJudge(judge, JsonlJournal(path)))
    assert len(judge.calls) == 3
    assert second.as_dict() == first.as_dict()


@pytest.mark.parametrize("change", ["prediction", "options", "protocol", "judge", "heads", "question"])
def test_the_journal_never_serves_another_call(tmp_path, change):
    journal = JsonlJournal(tmp_path / "judge.jsonl")
    judge = Script({0: ["A"]})
    score(plain(1), {0: "?"}, judge=JournalledJudge(judge, journal), heads=OWN_HEADS)
    other = Script({0: ["A"]}, id="other", calls=judge.calls)
    question = {"options": {"C": "quince"}, "question": {"question": "Other"}}.get(change, {})
    heads = JudgeHeads(Head("x", "Other words: ", comparable=False), OWN_HEADS.mcq_cn, OWN_HEADS.mmvet)
    score(
        plain(1, **question),
        {0: "??" if change == "prediction" else "?"},
        protocol=VLM if change == "protocol" else "clear/1",
        judge=JournalledJudge(other if change == "judge" else judge, journal),
        heads=heads if change == "heads" else OWN_HEADS,
    )
    assert len(judge.calls) == 2


def test_an_interrupted_journal_resumes(tmp_path):
    path = tmp_path / "judge.jsonl"
    judge = Script({0: ["A"], 1: ["A"]})
    with pytest.raises(KeyError):
        score(plain(3), {0: "?", 1: "?", 2: "?"}, judge=JournalledJudge(judge, JsonlJournal(path)))
    path.write_bytes(path.read_bytes()[:-10])
    judge.replies[2] = ["A"]
    before = len(judge.calls)
    result = score(plain(3), {0: "?", 1: "?", 2: "?"}, judge=JournalledJudge(judge, JsonlJournal(path)))
    assert result.headline == 100
    assert [call[0] for call in judge.calls[before:]] == [1, 2]
    score(plain(3), {0: "?", 1: "?", 2: "?"}, judge=JournalledJudge(judge, JsonlJournal(path)))
    assert len(judge.calls) == before + 2


def test_failed_calls_are_made_again(tmp_path):
    path = tmp_path / "judge.jsonl"
    dead, marker = JudgeReply("down", "error"), "Failed to obtain answer via API."
    judge = Script({0: [dead, marker, "?"], 1: ["A"]})
    score(plain(2), {0: "?", 1: "?"}, judge=JournalledJudge(judge, JsonlJournal(path)))
    judge.replies[0] = ["A"]
    assert score(plain(2), {0: "?", 1: "?"}, judge=JournalledJudge(judge, JsonlJournal(path))).headline == 100


def test_a_journal_that_cannot_be_read_or_written(tmp_path):
    with pytest.raises(StoreError, match="Is a directory"):
        JsonlJournal(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"[Cc]annot (be )?(read|written|write)"):
        JsonlJournal(tmp_path / "file" / "judge.jsonl").add({"key": "k"})


# Judge prompts


def test_tail_is_byte_for_byte_vlmevalkits():
    assert mcq_tail("Why?", {"A": "x", "C": "y"}, "p") == (
        "Why??\nOptions: There are several options: \nA. x\nC. y\n\nAnswer: p\nYour output: "
    )
    assert (
        mcq_tail("Why", {}, "p") == "Why?\nOptions: There are several options: \n\nAnswer: p\nYour output: "
    )
    assert mcq_tail("\u4e00", {"A": "x"}, "p") == (
        "\u4e00?\n\u9009\u9879: There are several options: \nA. x\n\n\u7b54\u6848: p\n\u8f93\u51fa: "
    )


@pytest.mark.parametrize(
    ("question", "chinese"), [("\u4e00", True), ("a\u9fffb", True), ("\u3042", False), ("\ua000", False)]
)
def test_the_question_alone_decides_the_language(question, chinese):
    head, prompt = mcq_prompt(OWN_HEADS, question, {"A": "\u4e00"}, "\u4e00")
    assert head is (OWN_HEADS.mcq_cn if chinese else OWN_HEADS.mcq_en)
    assert prompt.startswith(head.text)


def test_several_ands_are_all_spaced():
    assert (
        open_answer_tail("q\n|", "a<AND>b<AND>c<OR>d<and>e", "p|\n")
        == "q\n| | a <AND> b <AND> c <OR> d<and>e | p|\n | "
    )


def test_our_own_words_are_marked_and_warned_about():
    result = score(plain(1), {0: "?"}, judge=Script({0: ["A"]}), heads=OWN_HEADS)
    assert result.judge == "script/1"
    assert result.judge_record["comparable"] is False
    assert result.judge_record["prompts"][0]["id"] == "mmdbench-mcq-en/1"
    assert result.judge_record["temperatures"] == [0.0, 0.0, 0.0]
    assert any("not comparable" in warning for warning in result.warnings)
    theirs = JudgeHeads(*(Head("vlmevalkit", "x", comparable=True),) * 3)
    assert score(plain(1), {0: "?"}, judge=Script({0: ["A"]}), heads=theirs).warnings == ()


def test_heads_are_taken_only_if_they_are_the_right_ones(tmp_path):
    with pytest.raises(DataError, match="No judge prompt of VLMEvalKit"):
        load_heads(tmp_path)
    (tmp_path / "mcq_en.txt").write_text("You are an AI assistant")
    with pytest.raises(DataError, match=r"mcq_en .* is not the one .* 724 characters"):
        load_heads(tmp_path)
    module = tmp_path / "vlmeval" / "dataset" / "utils" / "multiple_choice.py"
    module.parent.mkdir(parents=True)
    module.write_text("raise SystemExit('never run')\ndef build_prompt(q):\n    return 'x {}'.format(q)\n")
    with pytest.raises(DataError, match="is not the one"):
        load_heads(tmp_path)


def test_an_installed_vlmevalkit_is_read_not_imported(tmp_path, monkeypatch):
    module = tmp_path / "vlmeval" / "dataset" / "utils" / "multiple_choice.py"
    module.parent.mkdir(parents=True)
    (tmp_path / "vlmeval" / "__init__.py").write_text("raise RuntimeError('imported')")
    module.write_text("def build_prompt(q):\n    return 'another text {}'.format(q)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "vlmeval", raising=False)
    assert load_heads() == OWN_HEADS


# MM-Vet


def vet(*categories):
    return bench(
        "mmvet",
        *(
            Question("toy", f"v1_{i}", {"question": "q", "answer": "x", "category": c})
            for i, c in enumerate(categories)
        ),
    )


def test_mmvet_attempts_temperatures_and_tokens():
    judge = Script(
        {"v1_0": ["fine", "1.5", "nan", "-0.1", " .25\n"], "v1_1": ["inf", "", "0.5!", "1,0", "-1e-9"]}
    )
    for protocol, tokens in (("clear/1", 3), (VLM, 2048)):
        judge.calls.clear()
        result = score(vet("rec", "ocr"), {"v1_0": "p", "v1_1": "p"}, judge=judge, protocol=protocol)
        assert [call[2] for call in judge.calls] == [0.0, 0.5, 1.0, 1.5, 2.0] * 2
        assert {call[3] for call in judge.calls} == {tokens}
        assert [grade.hit for grade in result.grades] == [0.25, 0.0]
        assert [grade.stage for grade in result.grades] == ["judge", "judge_failed"]
        assert (result.headline, result.upper_bound) == (12.5, 62.5)
        assert result.counts["judge_failed"] == 1
        assert result.judge_record["max_tokens"] == tokens


def test_mmvet_counts_single_capabilities_twice_as_upstream_does():
    judge = Script({"v1_0": ["1"], "v1_1": ["0"], "v1_2": ["0.5"], "v1_3": ["0.4"]})
    replies = dict.fromkeys(judge.replies, "p")
    result = score(vet("rec", "ocr,rec", "recognition", ""), replies, judge=judge)
    flat = {record["Category"]: record for record in result.vlmevalkit_table}
    assert flat["rec"] == {"Category": "rec", "tot": 4, "acc": 62.5}
    assert flat["math"] == {"Category": "math", "tot": 0, "acc": None}
    assert flat["Overall"]["tot"] == 4
    assert result.headline == pytest.approx(47.5)
    assert result.metrics["capabilities_fixed"]["rec"] == 50
    assert [r["Category"] for r in result.metrics["fine"]] == ["rec", "ocr_rec", "recognition", "", "Overall"]


def test_mmvet_without_a_judge_is_not_scored():
    result = score(vet("rec"), {"v1_0": "x"})
    assert result.headline is None
    assert result.vlmevalkit_table == []
    assert stages(result) == {"v1_0": "no_judge"}
    assert result.counts["unresolved"] == 1
    assert "none was given: it is not scored" in result.warnings[0]


def test_mmvet_statuses_count_as_zero():
    judge = Script({"v1_0": ["1"]})
    replies = {"v1_0": "p", "v1_1": Outcome("no", "refused"), "v1_2": Outcome("", "error")}
    result = score(vet("rec", "rec", "rec", "rec"), replies, judge=judge)
    assert result.headline == 25
    assert list(stages(result).values()) == ["judge", "refused", "error", "missing"]
    assert len(judge.calls) == 1


# The record


def test_a_score_is_json_and_says_under_which_rules():
    result = score(circular("A", "B"), {5: "A", 1_000_005: "B"}, protocol=VLM)
    record = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    assert record["protocol"] == VLM
    assert (record["io"], record["extraction"], record["judge"]) == ("literal", "sane", None)
    assert record["group_hits"] == [[5, 1]]
    assert record["grades"][0]["stage"] == "letter"


def test_importing_the_package_needs_neither_numpy_nor_pandas():
    heavy = "{'numpy', 'pandas', 'openpyxl', 'torch', 'cv2'}"
    code = f"import sys, mmdbench.scoring; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""The rewards of completions in CLEAR's reinforcement learning."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: train)")

from mmdbench.errors import ModelError, UnknownNameError, UsageError  # noqa: E402
from mmdbench.results.judging.journal import JsonlJournal  # noqa: E402
from mmdbench.scoring import JudgeCall, JudgeReply  # noqa: E402
from mmdbench.training.clear.grpo_profiles import RewardSettings, SdeSettings  # noqa: E402
from mmdbench.training.clear.grpo_prompts import GrpoPrompt, PromptStream  # noqa: E402
from mmdbench.training.clear.grpo_rewards import CompletionReward, RewardJudge  # noqa: E402
from mmdbench.training.clear.grpo_rollouts import Rollout  # noqa: E402
from mmdbench.training.clear.packing import StreamPlace  # noqa: E402
from mmdbench.training.clear.sde import sample_path  # noqa: E402

PROMPT = GrpoPrompt("7", "Which?", "B", {}, 10, 4)
RIGHT = "<think>It is clear.</think><answer> b </answer>"


class Judge:
    """A judge that gives the same reply, and counts."""

    id = "judge"

    def __init__(self, reply: JudgeReply) -> None:
        self.reply, self.calls = reply, list[JudgeCall]()

    def ask(self, call: JudgeCall) -> JudgeReply:
        self.calls.append(call)
        return self.reply


def rollout(*texts: str, pictures: int = 0) -> Rollout:
    path = sample_path(lambda x, _t: x, torch.ones(2, 4), lambda _n: torch.zeros(2, 4), SdeSettings(steps=3))
    return Rollout(texts, tuple((1,) for _ in texts), tuple(True for _ in texts), (path,) * pictures)


def test_words_are_compared_and_weighed():
    reward = CompletionReward(RewardSettings(accuracy="exact"))
    assert reward(PROMPT, rollout(RIGHT)) == pytest.approx(
        {"accuracy": 1.0, "format": 1.0, "decision": 0.0, "latent": math.nan, "total": 0.85}, nan_ok=True
    )
    restored = rollout("<think>Dark.</think><image_restore>", RIGHT, pictures=1)
    assert reward(PROMPT, restored)["total"] == pytest.approx(1.0)
    assert reward(PROMPT, rollout("<answer>C</answer>"))["total"] == pytest.approx(-0.15)


def test_a_judge_is_asked_once_and_its_score_counts(tmp_path: Path):
    judge = Judge(JudgeReply("0.8"))
    journal = JsonlJournal(tmp_path / "judge.jsonl")
    reward = CompletionReward(RewardSettings(), RewardJudge(judge, journal))
    for _ in range(2):
        assert reward(PROMPT, rollout(RIGHT))["total"] == pytest.approx(0.75 * 0.8 + 0.1)
    assert len(judge.calls) == 1
    again = CompletionReward(RewardSettings(), RewardJudge(judge, JsonlJournal(tmp_path / "judge.jsonl")))
    assert again(PROMPT, rollout(RIGHT))["accuracy"] == 0.8
    assert len(judge.calls) == 1


def test_a_judge_that_fails_stops_the_training_and_an_odd_reply_earns_nothing():
    failed = CompletionReward(RewardSettings(), RewardJudge(Judge(JudgeReply("no credit", "error"))))
    with pytest.raises(ModelError, match="The judge judge did not answer: no credit"):
        failed(PROMPT, rollout(RIGHT))
    odd = CompletionReward(RewardSettings(), RewardJudge(Judge(JudgeReply("It depends."))))
    found = odd(PROMPT, rollout(RIGHT))
    assert math.isnan(found["accuracy"])
    assert found["total"] == pytest.approx(0.1 - 0.15)


def test_the_latent_quality_is_computed_where_it_counts():
    settings = RewardSettings({"latent": 1.0}, accuracy="exact")
    done = rollout(RIGHT, RIGHT, pictures=1)
    clean = done.paths[0].x[-1]
    assert CompletionReward(settings, clean=lambda _p: clean)(PROMPT, done)["total"] == pytest.approx(1.0)
    assert CompletionReward(settings)(PROMPT, done)["total"] == 0.0
    assert not settings.needs_judge


def test_rewards_and_judges_that_there_are_not_are_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'format'"):
        RewardSettings({"formt": 1.0})
    with pytest.raises(UsageError, match="there is none"):
        CompletionReward(RewardSettings())


def test_prompts_come_once_in_a_pass_and_are_dealt_to_the_processes():
    prompts = [GrpoPrompt(str(n), "Which?", "A", {}, 1, 1) for n in range(6)]
    streams = [PromptStream(prompts, StreamPlace(3, process, 2)) for process in range(2)]
    drawn = [stream.next_prompt() for _ in range(6) for stream in streams]
    assert [number for number, _ in drawn] == list(range(12))
    for part in (drawn[:6], drawn[6:]):
        assert sorted(prompt.id for _, prompt in part) == [str(n) for n in range(6)]
    assert [p.id for _, p in drawn[:6]] != [p.id for _, p in drawn[6:]]
    other = PromptStream(prompts, StreamPlace(3, 0, 2))
    other.restore(streams[0].state())
    assert other.next_prompt() == streams[0].next_prompt()

"""CLEAR's reinforcement learning from prompts to checkpoints, on a tiny model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: train)")
pytest.importorskip("accelerate", reason="accelerate is not installed (extra: train)")

from safetensors.torch import load_file  # noqa: E402

from clear_checkpoints import RESTORE, open_engine, write_checkpoint, write_speaker  # noqa: E402
from clear_training import SYSTEM, TINY_GRPO, grpo_training, tiny_prompts, write_rl_set  # noqa: E402
from mmdbench.bagel.dialogue import Injection  # noqa: E402
from mmdbench.errors import DataError, UsageError  # noqa: E402
from mmdbench.training.clear.checkpoints import latest_checkpoint  # noqa: E402
from mmdbench.training.clear.forward import PackedModel  # noqa: E402
from mmdbench.training.clear.grpo import GrpoStep, count_rounds  # noqa: E402
from mmdbench.training.clear.grpo_profiles import GRPO_REPO, GrpoProfile, RolloutSettings  # noqa: E402
from mmdbench.training.clear.grpo_prompts import GrpoPrompt  # noqa: E402
from mmdbench.training.clear.grpo_rollouts import Rollout, RolloutGroup, roll_out  # noqa: E402
from mmdbench.training.clear.grpo_scores import (  # noqa: E402
    choose_step,
    completion_sequence,
    score_completion,
)
from mmdbench.training.clear.layout import TextMarkers  # noqa: E402
from mmdbench.training.clear.packing import seeded  # noqa: E402
from mmdbench.training.clear.pictures import PictureReader, PictureSizes  # noqa: E402

TEXTS = ("<think>Dark.</think><image_restore>", "<think>Better.</think><image_restore>", "<answer>A</answer>")


class KilledError(Exception):
    """Ends a training in the middle of a round's report."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a tiny checkpoint, one that always asks for a picture, and prompts."""
    folder = tmp_path_factory.mktemp("base")
    write_checkpoint(folder / "model")
    write_speaker(folder / "speaker", RESTORE)
    write_rl_set(folder / "set")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield folder
    torch.set_num_threads(threads)


class Rolled:
    """A group, and all that scores it."""

    def __init__(self, base: Path, profile: GrpoProfile, model: str = "model", inject=None) -> None:
        self.engine, self.profile = open_engine(base / model, generation=True), profile
        self.reader = PictureReader(
            PictureSizes(self.engine.sizes, self.engine.patch), self.engine.autoencoder, 1.0
        )
        marks = self.engine.tokenizer
        self.markers = TextMarkers(marks.bos, marks.eos, marks.image_start, marks.image_end)
        prompt = tiny_prompts(base / "set/rl.jsonl", self.engine)[0]
        self.group: RolloutGroup = roll_out(self.engine, self.reader, SYSTEM, (0, prompt), profile, inject)

    def scores(self, rollout: Rollout, trained):
        sequence = completion_sequence(self.group, rollout, trained, self.markers, self.reader)
        model = PackedModel(self.engine.model)
        found = score_completion(model, sequence, trained, self.profile, self.engine.sizes.logits_limit)
        return sequence, found


def told(feedback: str = "bridge") -> tuple[GrpoProfile, Injection]:
    """A profile and texts with two restorations."""
    rollout = RolloutSettings(group=2, max_turns=3, max_new_tokens=14, feedback=feedback)
    profile = replace(TINY_GRPO, rollout=rollout, optimiser=replace(TINY_GRPO.optimiser, accumulation=2))
    return profile, Injection(texts=TEXTS, limits=(2, 2, 2))


def by_pictures(_prompt: GrpoPrompt, rollout: Rollout) -> dict[str, float]:
    """A toy reward that grows with the values of the first restored picture."""
    return {"total": float(rollout.paths[0].x[-1].mean()) if rollout.paths else -1.0}


def by_ids(_prompt: GrpoPrompt, rollout: Rollout) -> dict[str, float]:
    """A toy reward: the share of ids that are even."""
    ids = [i for text in rollout.ids for i in text]
    return {"total": sum(i % 2 == 0 for i in ids) / max(1, len(ids))}


def test_completions_of_a_group_differ_by_chance_alone_and_repeat_by_their_number(base):
    one, again = Rolled(base, TINY_GRPO), Rolled(base, TINY_GRPO)
    assert [r.ids for r in one.group.rollouts] == [r.ids for r in again.group.rollouts]
    assert len({r.ids for r in one.group.rollouts}) == TINY_GRPO.rollout.group
    assert all(len(text) == 13 for r in one.group.rollouts for text in r.ids if len(text) > 12)


@pytest.mark.parametrize("feedback", ["bridge", "reencode"])
def test_a_rollout_is_scored_in_the_context_it_was_sampled_in(base, feedback):
    """A step has the log-probability of the rollout in the pass that trains it, picture by picture."""
    rolled = Rolled(base, *_reordered(told(feedback)))
    for rollout in rolled.group.rollouts:
        assert len(rollout.paths) == 2
        assert bool(rollout.pictures) == (feedback == "reencode")
        for seed in range(4):
            trained = choose_step(rollout, seeded("any", seed))
            path = rollout.paths[trained.picture]
            at = path.steps.index(trained.step)
            assert at < len(path.steps) - 1
            _, found = rolled.scores(rollout, trained)
            assert float(found.picture.detach()) == pytest.approx(float(path.log_p[at]), rel=1e-3, abs=1e-2)


def _reordered(pair):
    return pair[0], "model", pair[1]


@pytest.mark.parametrize("feedback", ["bridge", "reencode"])
def test_texts_see_question_and_restored_picture_and_no_future(base, feedback):
    rolled = Rolled(base, *_reordered(told(feedback)))
    rollout = rolled.group.rollouts[0]
    trained = choose_step(rollout, seeded("any", 1))
    sequence, _ = rolled.scores(rollout, trained)
    hidden = set(sequence.velocity_rows.tolist()) if feedback == "reencode" else set()
    hidden |= {min(hidden) - 1, max(hidden) + 1} if hidden else set()
    for row in sequence.label_rows.tolist():
        seen = set(sequence.mask[row].nonzero()[:, 0].tolist())
        assert seen == set(range(row + 1)) - hidden
    changed = list(rollout.ids)
    changed[-1] = tuple(reversed(changed[-1]))
    other, _ = rolled.scores(replace(rollout, ids=tuple(changed)), trained)
    assert other.length == sequence.length
    model = PackedModel(rolled.engine.model)
    first, second = model(sequence), model(other)
    before = sum(len(rollout.ids[n]) + rollout.ended[n] for n in (0, 1)) + 1  # its first row is the begin
    assert torch.equal(first.logits[:before], second.logits[:before])
    assert not torch.equal(first.logits[before:], second.logits[before:])


@pytest.mark.parametrize("feedback", ["bridge", "reencode"])
def test_the_text_after_a_picture_depends_on_it(base, feedback):
    rolled = Rolled(base, *_reordered(told(feedback)))
    rollout = rolled.group.rollouts[0]
    _, found = rolled.scores(rollout, None)
    if feedback == "bridge":
        paths = [replace(path, x=path.x + 1) for path in rollout.paths]
        other = replace(rollout, paths=tuple(paths))
    else:
        other = replace(rollout, pictures=tuple(p.transpose(1) for p in rollout.pictures))
    _, moved = rolled.scores(other, None)
    count = len(rollout.ids[0]) + rollout.ended[0]
    assert torch.equal(found.text[:count], moved.text[:count])
    assert (found.text[count:] != moved.text[count:]).all()


def test_drawn_ids_are_scored_with_the_probability_they_were_drawn_with(base):
    """The log-probabilities of texts without pictures are those of decoding, and a cut end is not learnt."""
    rolled = Rolled(base, TINY_GRPO)
    events = []
    watched = replace(rolled.engine, watch=lambda event, facts: events.append((event, facts)))
    prompt = rolled.group.prompt
    roll_out(watched, rolled.reader, SYSTEM, (0, prompt), TINY_GRPO)
    steps = [facts for event, facts in events if event == "step"]
    rollout = rolled.group.rollouts[1]
    sequence, found = rolled.scores(rollout, None)
    first = len(rollout.ids[0])
    for number in range(first):
        row = steps[number]["samples"].index(1)
        expected = steps[number]["logits"][row].log_softmax(dim=-1)[rollout.ids[0][number]]
        assert float(found.text[number]) == pytest.approx(float(expected), abs=1e-4)
    assert len(sequence.labels) == sum(len(i) + e for i, e in zip(rollout.ids, rollout.ended, strict=True))


def test_a_first_pass_has_ratio_1_and_no_divergence_and_later_ones_have(base, tmp_path):
    file, engine = base / "set/rl.jsonl", open_engine(base / "speaker", generation=True)
    run = grpo_training(engine, file, tmp_path / "one", by_pictures)
    first = run.update().numbers
    assert first["restored"] == 1.0
    assert first["kl"] == pytest.approx(0.0, abs=1e-7)
    # Ratios of 1 leave the losses at −A, whose mean over a group is 0.
    for name in ("picture", "text"):
        assert first[name] == pytest.approx(0.0, abs=1e-5)
    assert first["gradient_norm"] > 0


def test_the_reference_is_the_first_model_or_the_one_that_sampled(base, tmp_path):
    file = base / "set/rl.jsonl"
    run = grpo_training(open_engine(base / "model"), file, tmp_path / "one", by_ids)
    assert run.update().numbers["kl"] == pytest.approx(0.0, abs=1e-7)
    assert run.update().numbers["kl"] > 1e-6
    once = replace(TINY_GRPO, reference="sampling")
    other = grpo_training(open_engine(base / "model"), file, tmp_path / "two", by_ids, once)
    assert [other.update().numbers["kl"] for _ in range(2)] == [0.0, 0.0]
    twice = replace(once, iterations=2)
    again = grpo_training(open_engine(base / "model"), file, tmp_path / "three", by_ids, twice)
    assert again.update().numbers["kl"] > 0  # of the second pass, to the weights that sampled
    assert again.state.schedule.last_epoch == 2


@pytest.mark.parametrize(("reward", "model", "turns"), [(by_ids, "model", 1), (by_pictures, "speaker", 2)])
def test_a_toy_reward_rises(base, tmp_path, reward, model, turns):
    """Of texts, by their ids; of pictures, by their latent tokens, where the texts are all the same."""
    own = replace(TINY_GRPO.optimiser, learning_rate=3e-3, min_learning_rate=3e-3, steps=12, accumulation=8)
    profile = replace(
        TINY_GRPO,
        optimiser=own,
        rollout=replace(TINY_GRPO.rollout, group=8, max_turns=turns),
        loss=replace(TINY_GRPO.loss, beta=0.0, picture_weight=1.0),
    )
    engine = open_engine(base / model, generation=True)
    run = grpo_training(engine, base / "set/rl.jsonl", tmp_path, reward, profile)
    rewards = [run.update().numbers["reward"] for _ in range(run.steps)]
    assert sum(rewards[-3:]) / 3 > sum(rewards[:3]) / 3 + 0.15


def same(one: Path, other: Path) -> bool:
    first, second = load_file(one), load_file(other)
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_a_resumed_training_gives_the_weights_of_an_uninterrupted_one(base, tmp_path):
    def started(folder: str):
        engine = open_engine(base / "speaker", generation=True)
        return grpo_training(engine, base / "set/rl.jsonl", tmp_path / folder, by_pictures)

    def killed(done: GrpoStep) -> None:
        if done.step == 3:
            raise KilledError

    started("whole").run()
    with pytest.raises(KilledError):
        started("parts").run(save_every=2, watch=killed)
    assert latest_checkpoint(tmp_path / "parts").name == "0000002"
    resumed = started("parts")
    assert resumed.step == 2
    resumed.run()
    files = [tmp_path / f"{folder}/0000004/model.safetensors" for folder in ("whole", "parts")]
    assert same(*files)
    assert not same(files[1], tmp_path / "parts/0000002/model.safetensors")
    assert not (tmp_path / "whole/0000004/ema.safetensors").exists()


def test_rounds_follow_from_epochs_and_prompts():
    own = replace(GRPO_REPO.optimiser, steps=None, epochs=2.0)
    assert GRPO_REPO.prompts == 4
    assert count_rounds(replace(GRPO_REPO, optimiser=own), 100, 2) == 25
    assert count_rounds(GRPO_REPO, 100, 2) == 400


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match=r"multiple of rollout\.group"):
        replace(TINY_GRPO, optimiser=replace(TINY_GRPO.optimiser, accumulation=3))
    with pytest.raises(UsageError, match="Did you mean 'bridge'"):
        RolloutSettings(feedback="brigde")
    with pytest.raises(UsageError, match="sampler needs"):
        replace(TINY_GRPO.sampler, steps=1)


def test_a_prompt_without_an_answer_is_refused(base, tmp_path):
    file = write_rl_set(tmp_path, 1)
    file.write_text(file.read_text().replace('"value": "A"', '"value": ""'))
    with pytest.raises(DataError, match="record '0': there is no right answer"):
        tiny_prompts(file, open_engine(base / "model", generation=True))
    file.write_text("")
    with pytest.raises(DataError, match="has no records"):
        tiny_prompts(file, open_engine(base / "model", generation=True))

"""The SDE sampler and the loss of Interleaved GRPO against golden data, under both attention masks.

The published mask is recorded only: nothing trains with it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: train)")
pytest.importorskip("safetensors", reason="safetensors is not installed (extra: train)")

from mmdbench.training.clear.grpo_losses import (  # noqa: E402
    GrpoLosses,
    PolicyScores,
    grpo_losses,
    token_log_p,
)
from mmdbench.training.clear.grpo_profiles import GrpoLossSettings, SdeSettings  # noqa: E402
from mmdbench.training.clear.layout import lay_out  # noqa: E402
from mmdbench.training.clear.sde import SdeStep, sample_path, sde_steps  # noqa: E402
from mmdbench.training.clear.segments import ChosenStep, completion_segments  # noqa: E402
from training_golden import SET, TrainingGolden, read_expected  # noqa: E402

EXPECTED = read_expected()
COMPLETIONS = EXPECTED.get("grpo", {}).get("completions", {})
SCHEDULES = list(EXPECTED.get("sde", ()))
RIGHT = [name for name, case in COMPLETIONS.items() if case["mask"] == "right"]
GRADIENTS = (
    ("ratio1_beta0", "per_completion", 0.3),
    ("ratio1_beta0", "per_completion", 0.0),
    ("old_beta04_up", "per_completion", 0.3),
    ("old_beta04_down", "dr_grpo", 0.5),
)


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingGolden]:
    if SET is None:
        pytest.skip("MMDBENCH_GOLDEN holds no set for training")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield TrainingGolden(SET, tmp_path_factory.mktemp("checkpoint"))
    torch.set_num_threads(threads)


def close(ours: object, stored: object, atol: float, rtol: float = 0.0) -> None:
    ours = ours.detach() if isinstance(ours, torch.Tensor) else ours
    np.testing.assert_allclose(
        np.asarray(ours, np.float64), np.asarray(stored, np.float64), rtol=rtol, atol=atol
    )


@pytest.mark.parametrize("name", SCHEDULES)
def test_sampler(golden: TrainingGolden, name: str) -> None:
    own = golden.expected["sde"][name]
    steps = sde_steps(SdeSettings(own["num_timesteps"], own["shift"], own["sigma"]))
    close([s.t for s in steps], golden.array("sde", f"{name}/t"), 1e-6)
    close([s.dt for s in steps], golden.array("sde", f"{name}/dt"), 1e-6)
    arrays = [golden.tensor("sde", f"{name}/{part}") for part in ("x", "x_next", "velocity", "noise")]
    for number, step in enumerate(steps):
        x, x_next, velocity, noise = (array[number] for array in arrays)
        mean, again = step.mean(x, velocity), step.mean(x, velocity, training=True)
        close(mean, golden.array("sde", f"{name}/mean")[number], 2e-5)
        close(step.next(mean, noise), x_next, 2e-5)
        for form in ("mean", "sum"):
            for found, suffix in ((mean, ""), (again, "_training")):
                stored = golden.array("sde", f"{name}/log_p_{form}{suffix}")[number]
                close(step.log_p(x_next, found, form), stored, 1e-12, rtol=2e-5)


def _path(golden: TrainingGolden, rollout: str, number: int):
    """The path of a picture of a rollout, under the model, with the recorded noise."""
    texts, pictures = golden.grpo_texts(rollout), golden.grpo_pictures(rollout)
    noise = golden.tensor("grpo", f"rollout/{rollout}/picture{number + 1}/noise")

    def velocity(x: torch.Tensor, t: float) -> torch.Tensor:
        chosen = ChosenStep(number, x, t)
        segments = completion_segments(
            golden.grpo_prompt, texts[: number + 1], pictures[: number + 1], chosen
        )
        return golden.shared(lay_out([segments], golden.markers, golden.sizes)).velocities

    own = golden.settings["grpo"]
    settings = SdeSettings(own["num_timesteps"][rollout], own["timestep_shift"], own["sigma"])
    start = golden.tensor("grpo", f"rollout/{rollout}/picture{number + 1}/x")[0]
    return sample_path(velocity, start, lambda step: noise[step], settings, form="mean")


@pytest.mark.parametrize(("rollout", "number"), [("restore", 0), ("twice", 0), ("twice", 1)])
def test_rollouts(golden: TrainingGolden, rollout: str, number: int) -> None:
    """Every latent, velocity and log-probability of a sampled picture; the second one follows the bridge."""
    path, where = _path(golden, rollout, number), f"rollout/{rollout}/picture{number + 1}"
    close(path.x, golden.array("grpo", f"{where}/x"), 1e-4)
    close(path.velocities, golden.array("grpo", f"{where}/velocity"), 1e-4)
    close([s.t for s in path.steps], golden.array("grpo", f"{where}/t"), 1e-6)
    close([s.dt for s in path.steps], golden.array("grpo", f"{where}/dt"), 1e-6)
    close(path.log_p, golden.array("grpo", f"{where}/log_p"), 1e-5)


@pytest.mark.parametrize("name", COMPLETIONS)
def test_sequences(golden: TrainingGolden, name: str) -> None:
    sequence = golden.grpo_sequence(name)
    labels = torch.full((sequence.length,), -1)
    labels[sequence.label_rows] = sequence.labels
    assert labels.tolist() == golden.array("grpo", f"{name}/labels").tolist()
    assert sequence.positions.tolist() == golden.array("grpo", f"{name}/position_ids").tolist()
    assert torch.equal(sequence.mask, golden.tensor("grpo", f"{name}/mask"))
    assert sequence.latent_ids.tolist() == golden.array("grpo", f"{name}/latent_ids").tolist()
    assert torch.equal(torch.cat(sequence.patches), golden.tensor("grpo", f"{name}/patches"))
    close(sequence.latents, golden.array("grpo", f"{name}/latents"), 1e-5)
    close(sequence.times, golden.array("grpo", f"{name}/t"), 1e-7)
    if "picture" in COMPLETIONS[name]:
        first, end = COMPLETIONS[name]["picture"]["rows"]
        assert sequence.velocity_rows.tolist() == list(range(first, end))


def scores(golden: TrainingGolden, name: str):
    """The log-probabilities of a completion's labels, and of its chosen step."""
    case, sequence = golden.expected["grpo"]["completions"][name], golden.grpo_sequence(name)
    outputs = golden.shared(sequence)
    text, picture = token_log_p(outputs.logits, sequence.labels, case["temperature"]), None
    if (own := case.get("picture")) is not None:
        step = SdeStep(own["t"], own["dt"], golden.expected["grpo"]["sigma"])
        x = golden.tensor("grpo", f"{own['rollout']}/x")[own["step"] : own["step"] + 2]
        mean = step.mean(x[0], outputs.velocities, training=True)
        picture = step.log_p(x[1], mean, "mean")
    return outputs, text, picture


@pytest.mark.parametrize("name", COMPLETIONS)
def test_log_probabilities(golden: TrainingGolden, name: str) -> None:
    outputs, text, picture = scores(golden, name)
    close(text, golden.array("grpo", f"{name}/log_p"), 1e-4)
    rows = golden.array("grpo", f"{name}/hidden_final_rows")
    close(outputs.hidden[rows], golden.array("grpo", f"{name}/hidden_final"), 1e-4)
    if picture is not None:
        close(outputs.velocities, golden.array("grpo", f"{name}/velocity"), 1e-4)
        close(picture, COMPLETIONS[name]["picture"]["new_log_p"], 1e-5)


def losses_of(golden: TrainingGolden, name: str, setting: str, form: str, weight: float) -> GrpoLosses:
    case, own = COMPLETIONS[name], COMPLETIONS[name]["settings"][setting]
    _, new, picture = scores(golden, name)
    old = golden.tensor("grpo", f"{name}/old_log_p") if own["old"] else None
    reference = golden.tensor("grpo", f"{name}/ref_log_p") if own["beta"] else None
    picture_old = None if own["picture_old"] is None else torch.tensor(own["picture_old"])
    settings = GrpoLossSettings(
        epsilon=golden.expected["grpo"]["epsilon"],
        beta=own["beta"],
        picture_weight=weight,
        normalisation=form,
        max_completion_length=golden.expected["grpo"]["max_completion_length"],
        temperature=case["temperature"],
    )
    image = None if picture is None else PolicyScores(picture, picture_old)
    return grpo_losses(PolicyScores(new, old, reference), image, case["advantage"], settings)


@pytest.mark.parametrize("form", ["per_completion", "dr_grpo"])
@pytest.mark.parametrize("name", COMPLETIONS)
def test_losses(golden: TrainingGolden, name: str, form: str) -> None:
    for setting, own in COMPLETIONS[name]["settings"].items():
        for weight in golden.expected["grpo"]["image_weights"]:
            found = losses_of(golden, name, setting, form, weight)
            close(found.text, own[form]["text"], 1e-5)
            close(found.picture, own["picture"] or 0.0, 1e-5)
            close(found.total, own[form][f"total_lambda_{weight}"], 1e-5)
        close(found.kl, own["kl_mean"] or 0.0, 1e-5)
        assert found.clipped_low == pytest.approx(own["clipped_low"])
        assert found.clipped_high == pytest.approx(own["clipped_high"])
        if own["picture_ratio"] is not None:
            close(found.picture_ratio, own["picture_ratio"], 1e-5)


def test_losses_of_a_group(golden: TrainingGolden) -> None:
    for key, expected in golden.expected["grpo"]["group"].items():
        setting, form, weight = key.split("/")
        totals = [
            losses_of(golden, name, setting, form, float(weight.removeprefix("lambda_"))).total.item()
            for name in ("direct", "restore", "twice_second")
        ]
        assert sum(totals) / 3 == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", [n for n, c in COMPLETIONS.items() if c["other_pictures"] != "zero"])
def test_gradients(golden: TrainingGolden, name: str) -> None:
    for setting, form, weight in GRADIENTS:
        golden.shared.zero_grad()
        losses_of(golden, name, setting, form, weight).total.backward()
        golden.check_gradients(golden.shared, f"grpo/{name}/{setting}/{form}/lambda_{weight or 0}")


@pytest.mark.parametrize("name", RIGHT)
def test_texts_see_question_and_bridge_and_no_future(golden: TrainingGolden, name: str) -> None:
    """Each row of a text sees all rows before it, the question and pictures too, and none after it."""
    mask, case = golden.grpo_sequence(name).mask, COMPLETIONS[name]
    for segment in case["segments"]:
        rows = range(segment["start"], segment["start"] + segment["length"])
        if segment["kind"] != "text":
            continue
        for row in rows:
            assert not mask[row, row + 1 :].any()
            assert mask[row, : row + 1].all()

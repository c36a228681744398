"""CLEAR's supervised training against golden data: sequences, losses, gradients and three updates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: train)")
pytest.importorskip("safetensors", reason="safetensors is not installed (extra: train)")

from mmdbench.training.clear.forward import PackedOutputs, trained_tensors  # noqa: E402
from mmdbench.training.clear.layout import PackedSequence  # noqa: E402
from mmdbench.training.clear.losses import sft_losses, token_losses, velocity_losses  # noqa: E402
from mmdbench.training.clear.optimiser import MovingAverage, learning_rate, make_optimiser  # noqa: E402
from mmdbench.training.clear.profiles import (  # noqa: E402
    PAPER,
    REPO,
    DistillationSettings,
    OptimiserSettings,
    SftProfile,
)
from mmdbench.training.clear.segments import place_segments  # noqa: E402
from training_golden import SET, TrainingGolden, read_expected  # noqa: E402

EXPECTED = read_expected()
VARIANTS = list(EXPECTED.get("sft", ()))
PROFILES = {"paper": PAPER, "repo": REPO}
MODES = ("per_layer_kl", "final_mse")
KINDS = {"text": 0, "vit": 1, "vae": 2, "vae_noised": 2}


def profile_of(name: str, mode: str) -> SftProfile:
    own = PROFILES[name]
    return replace(own, distillation=replace(own.distillation, mode=mode))


def alone(case: str) -> SftProfile:
    """The profile in which one loss counts alone."""
    stride = 2 if case.endswith("stride2") else 1
    mode = "final_mse" if case == "final_mse" else "per_layer_kl"
    weight = 0.0 if case in ("ce", "mse") else 1.0
    return SftProfile(
        "alone",
        PAPER.optimiser,
        ce_weight=float(case == "ce"),
        mse_weight=float(case == "mse"),
        distillation=DistillationSettings(mode, weight, stride),
    )


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingGolden]:
    if SET is None:
        pytest.skip("MMDBENCH_GOLDEN holds no set for training")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield TrainingGolden(SET, tmp_path_factory.mktemp("checkpoint"))
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def passes(golden: TrainingGolden) -> dict[str, tuple[PackedSequence, PackedOutputs]]:
    """Each variant's sequence and results."""
    sequences = {variant: golden.sft_sequence(variant) for variant in VARIANTS}
    return {variant: (sequence, golden.shared(sequence)) for variant, sequence in sequences.items()}


def close(ours: object, stored: object, atol: float) -> None:
    ours = ours.detach() if isinstance(ours, torch.Tensor) else ours
    np.testing.assert_allclose(
        np.asarray(ours, np.float64), np.asarray(stored, np.float64), rtol=0, atol=atol
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_segments(golden: TrainingGolden, variant: str) -> None:
    names = ("name", "kind", "dropped", "start", "length", "rope", "loss", "sample")
    found = [
        {
            "sample": p.sample,
            "name": p.segment.name,
            "kind": p.segment.kind,
            "dropped": p.segment.dropped,
            "start": None if p.segment.dropped else p.start,
            "length": p.segment.rows,
            "rope": p.rope,
            "loss": p.segment.loss,
            "grid": list(p.segment.grid),
        }
        for p in place_segments(golden.sft_pack(variant))
    ]
    expected = golden.expected["sft"][variant]["segments"]
    assert [[f[n] for n in names] for f in found] == [[e[n] for n in names] for e in expected]
    grids = [f["grid"] for f, e in zip(found, expected, strict=True) if "grid" in e]
    assert grids == [e["grid"] for e in expected if "grid" in e]


@pytest.mark.parametrize("variant", VARIANTS)
def test_rows_labels_positions_and_mask(golden: TrainingGolden, variant: str) -> None:
    sequence = golden.sft_sequence(variant)

    def rows(places: torch.Tensor, values: torch.Tensor | int, empty: int = -1) -> list[int]:
        found = torch.full((sequence.length,), empty)
        found[places] = values
        return found.tolist()

    kind = torch.zeros(sequence.length, dtype=torch.long)
    kind[sequence.vit_rows], kind[sequence.vae_rows] = KINDS["vit"], KINDS["vae"]
    expected = {name: golden.array("sft", f"{variant}/{name}") for name in (
        "kind", "token_ids", "labels", "mse_rows", "position_ids", "mask", "vit_ids", "latent_ids"
    )}  # fmt: skip
    assert kind.tolist() == expected["kind"].tolist()
    assert rows(sequence.token_rows, sequence.token_ids) == expected["token_ids"].tolist()
    assert rows(sequence.label_rows, sequence.labels) == expected["labels"].tolist()
    assert rows(sequence.velocity_rows, 1, 0) == expected["mse_rows"].astype(int).tolist()
    assert sequence.positions.tolist() == expected["position_ids"].tolist()
    assert torch.equal(sequence.mask, torch.from_numpy(expected["mask"]))
    assert torch.cat(sequence.patch_ids).tolist() == expected["vit_ids"].tolist()
    assert sequence.latent_ids.tolist() == expected["latent_ids"].tolist()
    assert len(sequence.pairs) == len(golden.expected["sft"][variant]["distill_pairs"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_pictures(golden: TrainingGolden, variant: str) -> None:
    """Patches bit by bit from the files; latents, noised ones too, from the recorded draws."""
    sequence = golden.sft_sequence(variant)
    assert torch.equal(torch.cat(sequence.patches), golden.tensor("sft", f"{variant}/patches"))
    t = golden.tensor("sft", f"{variant}/t")
    close(sequence.times, t, 1e-7)
    latents, noise = (golden.tensor("sft", f"{variant}/{name}") for name in ("latents", "noise"))
    close(sequence.latents, (1 - t[:, None]) * latents + t[:, None] * noise, 1e-5)
    close(sequence.velocities, (noise - latents)[t > 0], 1e-5)


def test_hidden_states_and_velocities(golden: TrainingGolden, passes) -> None:
    outputs = passes["base"][1]
    close(outputs.hidden, golden.array("sft", "base/hidden_final"), 1e-4)
    rows = golden.array("sft", "base/residual_rows")
    close(torch.stack(outputs.residuals)[:, rows], golden.array("sft", "base/residual"), 1e-4)
    close(outputs.velocities, golden.array("sft", "base/velocity"), 1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_losses(golden: TrainingGolden, passes, variant: str) -> None:
    (sequence, outputs), expected = passes[variant], golden.expected["sft"][variant]
    close(token_losses(outputs.logits, sequence.labels), golden.array("sft", f"{variant}/ce_per_token"), 1e-4)
    squares = velocity_losses(outputs.velocities, sequence.velocities)
    close(squares, golden.array("sft", f"{variant}/mse_per_token"), 5e-5)
    assert len(sequence.labels) == expected["n_ce"]
    assert len(squares) == expected["n_mse_tokens"]
    for name in PROFILES:
        for mode in MODES:
            losses = sft_losses(outputs, sequence, profile_of(name, mode))
            close(losses.ce, expected["ce"], 2e-5)
            close(losses.mse, expected["mse"], 2e-5)
            close(losses.distillation, expected[mode] or 0.0, 2e-5)
            close(losses.total, expected["total"][f"{name}/{mode}"], 2e-5)
    strided = sft_losses(outputs, sequence, alone("per_layer_kl_stride2")).distillation
    close(strided, expected.get("per_layer_kl_stride2") or strided.item(), 2e-5)


@pytest.mark.parametrize(
    "case", ["ce", "mse", "per_layer_kl", "per_layer_kl_stride2", "final_mse"] + [
        f"{name}/{mode}" for name in PROFILES for mode in MODES
    ]
)  # fmt: skip
def test_gradients_of_the_whole_pack(golden: TrainingGolden, passes, case: str) -> None:
    sequence, outputs = passes["base"]
    profile = profile_of(*case.split("/")) if "/" in case else alone(case)
    golden.shared.zero_grad()
    sft_losses(outputs, sequence, profile).total.backward(retain_graph=True)
    golden.check_gradients(golden.shared, f"sft/base/{case}")


@pytest.mark.parametrize("case", ["repo/per_layer_kl", "paper/final_mse"])
@pytest.mark.parametrize("variant", [v for v in VARIANTS if v != "base"])
def test_gradients_with_dropped_segments(golden: TrainingGolden, passes, variant: str, case: str) -> None:
    sequence, outputs = passes[variant]
    golden.shared.zero_grad()
    sft_losses(outputs, sequence, profile_of(*case.split("/"))).total.backward(retain_graph=True)
    golden.check_gradients(golden.shared, f"sft/{variant}/{case}")


def test_layer_checkpointing_gives_the_same_gradients(golden: TrainingGolden) -> None:
    model, sequence = golden.shared, golden.sft_sequence("base")
    model.zero_grad()
    model.train()
    model.layer_checkpointing = True
    sft_losses(model(sequence), sequence, profile_of("repo", "per_layer_kl")).total.backward()
    model.layer_checkpointing = False
    golden.check_gradients(model, "sft/base/repo/per_layer_kl")


def optimiser_settings(golden: TrainingGolden, run: str) -> OptimiserSettings:
    own = golden.expected["optimiser"]
    return OptimiserSettings(
        learning_rate=own["lr"],
        betas=tuple(own["betas"]),
        eps=own["eps"],
        weight_decay=0.0 if run.endswith("no_decay") else 0.01,
        clip_norm=own["clip"],
        ema_decay=own["ema"],
    )


@pytest.mark.parametrize("run", ["no_decay", "decay"])
def test_three_updates(golden: TrainingGolden, run: str) -> None:
    """Losses, norms, weights and moving average after each update."""
    model, settings = golden.model(), optimiser_settings(golden, run)
    sequence, tensors = golden.sft_sequence("base"), golden.in_order(trained_tensors(model))
    start = {key: value.detach().clone() for key, value in tensors.items()}
    optimiser, average = make_optimiser(tensors, settings), MovingAverage(tensors, settings.ema_decay)
    for number, entry in enumerate(golden.expected["optimiser"]["runs"][run], start=1):
        losses = sft_losses(model(sequence), sequence, REPO)
        found = (losses.ce, losses.mse, losses.distillation, losses.total)
        for name, value in zip(("ce", "mse", "per_layer_kl", "total"), found, strict=True):
            assert value.item() == pytest.approx(entry[name], rel=1e-5)
        if entry.get("after"):
            continue
        optimiser.zero_grad()
        losses.total.backward()
        norm = torch.nn.utils.clip_grad_norm_(tensors.values(), settings.clip_norm)
        assert float(norm) == pytest.approx(entry["gradient_norm"], rel=1e-5)
        optimiser.step()
        average.update(tensors)
        where = f"{run}/step{number}"
        for kind, now, allowed in (("weights", tensors, 2e-3), ("ema", average.values, 0.1)):
            table = golden.array("optimiser", f"{where}/{kind}")
            for key, row in zip(tensors, table, strict=True):
                off = np.abs(golden.summary(key, now[key] - start[key]) - row).max()
                assert off <= allowed * row[0], f"{where}, {kind} of {key}"
        for key in golden.expected["full_gradients"]:
            close(tensors[key], golden.array("optimiser", f"{where}/weights_full/{key}"), 2e-6)
            close(average.values[key], golden.array("optimiser", f"{where}/ema_full/{key}"), 1e-6)


@pytest.mark.parametrize("run", ["pure_no_decay", "pure_decay"])
def test_updates_of_two_small_tensors(golden: TrainingGolden, run: str) -> None:
    settings = optimiser_settings(golden, run)
    tensors = {
        key: torch.nn.Parameter(golden.tensor("optimiser", f"{run}/start/{key}").clone()) for key in "ab"
    }
    optimiser, average = make_optimiser(tensors, settings), MovingAverage(tensors, settings.ema_decay)
    for number, norm in enumerate(golden.expected["optimiser"]["runs"][run]["gradient_norms"], start=1):
        for key, tensor in tensors.items():
            tensor.grad = golden.tensor("optimiser", f"{run}/step{number}/grad/{key}").clone()
        found = torch.nn.utils.clip_grad_norm_(tensors.values(), settings.clip_norm)
        assert float(found) == pytest.approx(norm, rel=1e-5)
        optimiser.step()
        average.update(tensors)
        for key, tensor in tensors.items():
            close(tensor, golden.array("optimiser", f"{run}/step{number}/weights/{key}"), 1e-6)
            close(average.values[key], golden.array("optimiser", f"{run}/step{number}/ema/{key}"), 1e-6)


@pytest.mark.parametrize(
    "number", range(len(EXPECTED.get("optimiser", {}).get("runs", {}).get("schedule", ())))
)
def test_schedule(golden: TrainingGolden, number: int) -> None:
    case = golden.expected["optimiser"]["runs"]["schedule"][number]
    settings = OptimiserSettings(case["lr"], min_learning_rate=case["min_lr"], warmup_steps=case["warmup"])
    for step, rate in case["at"].items():
        assert learning_rate(int(step), settings, case["total"]) == pytest.approx(rate, rel=1e-9, abs=1e-15)

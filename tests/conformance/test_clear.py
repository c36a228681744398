"""CLEAR and BAGEL inference against reference data: every array, id, text and step.

The checkpoint is made from its formula, written as safetensors and read by the real loader. Set
MMDBENCH_GOLDEN to run against another set; nothing here knows its sizes, prompts or settings.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: clear)")
pytest.importorskip("transformers", reason="transformers is not installed (extra: clear)")
pytest.importorskip("safetensors", reason="safetensors is not installed (extra: clear)")

from PIL import Image  # noqa: E402

from clear_weights import formula_tensor, write_formula_checkpoint  # noqa: E402
from mmdbench.bagel.bagel import Bagel  # noqa: E402
from mmdbench.bagel.chunks import Engine  # noqa: E402
from mmdbench.bagel.decoding import probabilities  # noqa: E402
from mmdbench.bagel.denoising import schedule  # noqa: E402
from mmdbench.bagel.dialogue import DialogueInput, Injection, run_dialogues  # noqa: E402
from mmdbench.bagel.images import cell_ids, patches, pixel_values, resized, to_cells  # noqa: E402
from mmdbench.bagel.loading import load_engine, open_checkpoint  # noqa: E402
from mmdbench.bagel.settings import PLAIN, DenoisingSettings, DialogueSettings, Sizes, Speed  # noqa: E402

ATOL, ATOL_WIDE = 1e-4, 2e-4
FAST = Speed(skip_pictures=False)
SPEEDS = {"plain": PLAIN, "fast": FAST, "compiled": replace(FAST, compiler="aot_eager")}
GOLDEN = Path(os.environ.get("MMDBENCH_GOLDEN") or Path(__file__).parents[1] / "golden")
SET = next((f for f in (GOLDEN / "clear", GOLDEN) if (f / "reference.npz").is_file()), None)
SETTINGS = {} if SET is None else json.loads((SET / "settings.json").read_text("utf-8"))
TEXT_RUNS = list(SETTINGS.get("text_modes", ()))
SCENARIOS = list(SETTINGS.get("interleave", {}).get("scenarios", ()))
# The runs whose insides a set records, by the names of the published one or else the first of each kind.
PLAIN_TEXT = next((name for name in TEXT_RUNS if name == "text_plain"), "".join(TEXT_RUNS[:1]))
DECODED = next((name for name in SCENARIOS if name == "bridge_text_channel"), "".join(SCENARIOS[:1]))
FEEDBACK = {(True, False): "bridge", (False, True): "reencode", (True, True): "both", (False, False): "none"}


def _at_all_speeds(names: Sequence[str], compiled: str) -> list[Any]:
    """Every name, plain and fast; one of them compiled, too, which takes seconds."""
    return [(name, speed) for name in names for speed in ("plain", "fast")] + [
        pytest.param(name, "compiled", marks=pytest.mark.slow) for name in names if name == compiled
    ]


class Reference:
    """A set: its settings, arrays and expectations, and the largest difference seen in each group."""

    def __init__(self, folder: Path, checkpoint: Path) -> None:
        self.folder, self.checkpoint = folder, checkpoint
        self.settings = json.loads((folder / "settings.json").read_text("utf-8"))
        self.expected = json.loads((folder / "expected.json").read_text("utf-8"))
        self.worst: dict[str, float] = {}
        self._runs: dict[tuple[str, str], Recorder] = {}

    @cached_property
    def arrays(self) -> dict[str, Any]:
        with np.load(self.folder / "reference.npz") as file:
            return dict(file)

    @cached_property
    def picture(self) -> Image.Image:
        return Image.open(self.folder / self.settings["image"]["file"]).convert("RGB")

    @cached_property
    def sizes(self) -> Sizes:
        return Sizes.from_mapping(self.settings)

    @cached_property
    def engine(self) -> Engine:
        weights = self.checkpoint / "ema.safetensors"
        opened = open_checkpoint(self.checkpoint, weights, self.sizes, generation=True)
        return load_engine(opened, torch.device("cpu"), torch.float32)

    def inputs(self, names: list[str]) -> tuple[Any, ...]:
        return tuple(self.picture if n == "image" else self.settings["prompts"][n] for n in names)

    def assert_close(self, name: str, ours: Any, atol: float = ATOL) -> None:
        """Compare with a stored array, which may hold every fourth row of ours."""
        stored = self.arrays[name]
        got = np.asarray(ours.detach().cpu() if isinstance(ours, torch.Tensor) else ours)
        if got.shape != stored.shape:
            got = got[::4]
        assert got.shape == stored.shape, name
        worst = float(np.abs(got.astype(np.float64) - stored.astype(np.float64)).max())
        group = name.split("/", maxsplit=1)[0]
        self.worst[group] = max(self.worst.get(group, 0.0), worst)
        assert worst <= atol, f"{name}: {worst:.2e}"

    def run(self, name: str, speed: str) -> Recorder:
        """A text run or an interleave scenario, run once."""
        if (name, speed) not in self._runs:
            recorder = Recorder(self, SPEEDS[speed])
            if name in self.settings["text_modes"]:
                recorder.text(self.settings["text_modes"][name])
            else:
                recorder.interleave(name)
            self._runs[name, speed] = recorder
        return self._runs[name, speed]


class Recorder:
    """One run and all that happened in it."""

    def __init__(self, reference: Reference, speed: Speed, own: Engine | None = None) -> None:
        self.reference = reference
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        own = own or reference.engine
        self.engine = Engine(own.model, own.vae, own.tokenizer, own.sizes, own.patch, speed, self._note)
        self._layers: list[Any] = []

    def _note(self, event: str, facts: Mapping[str, Any]) -> None:
        kept = dict(facts)
        if event in ("chunk", "step", "pass"):
            kept["layers"], self._layers = self._layers, []
        self.events.append((event, kept))

    def of(self, event: str) -> list[Mapping[str, Any]]:
        return [facts for name, facts in self.events if name == event]

    def text(self, mode: Mapping[str, Any]) -> None:
        prompts = self.reference.settings["prompts"]
        how = DialogueSettings(mode="text", max_new_tokens=mode["max_tokens"])
        system = prompts[mode["system"]] if mode["system"] else None
        self._converse(DialogueInput(self.reference.inputs(mode["inputs"])), how, system, Injection())

    def interleave(self, name: str) -> None:
        reference, inter = self.reference, self.reference.settings["interleave"]
        scenario, arrays = inter["scenarios"][name], reference.arrays
        denoising = DenoisingSettings(
            steps=inter["num_timesteps"],
            shift=inter["timestep_shift"],
            interval=tuple(inter["cfg_interval"]),
            text_guidance=scenario["cfg_text"],
            image_guidance=scenario["cfg_img"],
            renorm=scenario["renorm"],
            renorm_min=scenario["renorm_min"],
        )
        how = DialogueSettings(
            feedback=FEEDBACK[scenario["need_vae"], scenario["need_vit"]],  # type: ignore[arg-type]
            denoising=denoising,
            max_turns=inter["max_inter_num"],
        )
        texts = tuple(reference.settings["prompts"][t] for t in inter["scripted_texts"])
        pictures = tuple(Image.fromarray(arrays[f"{name}/image_{i + 1}"]) for i in range(len(texts)))
        inject = Injection(
            vae_noise=(torch.from_numpy(arrays["inter/vae_noise"])[None],),
            noise=tuple(torch.from_numpy(arrays[f"inter/noise_{i + 1}"]) for i in range(len(texts))),
            texts=texts,
            limits=(inter["probe_tokens"],) * len(texts) + (inter["final_tokens"],),
            # One pixel that truncates the other way would move the re-read picture by 3e-3.
            pictures=pictures if scenario["need_vit"] else (),
        )
        system = reference.settings["prompts"][inter["system"]]
        self._converse(DialogueInput(reference.inputs(inter["inputs"])), how, system, inject)

    def _converse(
        self, sample: DialogueInput, how: DialogueSettings, system: str | None, inject: Injection
    ) -> None:
        # A compiled step has no calls of single layers to listen to.
        layers = () if self.engine.speed.compiler else self.engine.model.language_model.model.layers
        hooks = [
            layer.register_forward_hook(lambda _m, _i, out: self._layers.append(out)) for layer in layers
        ]
        (self.story,) = run_dialogues(self.engine, [sample], how, system, inject)
        for hook in hooks:
            hook.remove()

    def logits(self, samples: int) -> list[Any]:
        """The logits of every step, a tensor for each text."""
        texts: list[list[Any]] = [[]]
        for name, facts in self.events:
            if name == "step":
                texts[-1].append(facts["logits"][0])
            elif name == "written":
                texts.append([])
        return [torch.stack(rows) for rows in texts[:samples]]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    if SET is None:
        pytest.skip(f"{GOLDEN} holds no set for CLEAR")
    torch.set_num_threads(1)
    checkpoint = write_formula_checkpoint(SET, tmp_path_factory.mktemp("checkpoint"))
    return Reference(SET, checkpoint)


def test_check_values_of_the_weights(reference: Reference) -> None:
    """The table in weights.md, where a set has one."""
    records = json.loads((reference.folder / "state_dict.json").read_text("utf-8"))
    seed, checked = reference.settings["weights_seed"], 0
    table = reference.folder / "weights.md"
    if not table.is_file() or seed not in table.read_text("utf-8"):
        pytest.skip("this set states no check values")
    for line in table.read_text("utf-8").splitlines():
        cells = [cell.strip(" `") for cell in line.split("|")[1:-1]]
        if len(cells) != 6 or cells[0] not in records:
            continue
        values = formula_tensor(seed, cells[1], records[cells[0]][cells[1]]).flatten().double()
        expected = [float(v) for v in cells[3].split(",")] + [float(cells[4])]
        assert torch.cat([values[:3], values[-1:]]).tolist() == pytest.approx(expected, rel=1e-6, abs=1e-7)
        assert float(values.sum()) == pytest.approx(float(cells[5]), abs=1e-5)
        checked += 1
    assert checked > 0


def test_tokenizer(reference: Reference) -> None:
    tokenizer, prompts = reference.engine.tokenizer, reference.settings["prompts"]
    for name, ids in reference.settings["prompt_token_ids"].items():
        assert tokenizer.encode(prompts[name]) == ids
        assert tokenizer.decode(ids) == prompts[name]
    for name, number in reference.settings["special_token_ids"].items():
        assert getattr(tokenizer, name) == number


def test_preprocessing(reference: Reference) -> None:
    sizes, image = reference.sizes, reference.settings["image"]
    first = resized(reference.picture, sizes.vae_transform)
    second = resized(first, sizes.vit_transform)
    assert list(first.size) == image["resized_wh"]
    assert list(second.size) == image["vit_wh"]
    reference.assert_close("prep/vae_image", pixel_values(first), 1e-6)
    reference.assert_close("prep/vit_image", pixel_values(second), 1e-6)
    cut = patches(pixel_values(second), reference.engine.patch)
    stored = reference.arrays["prep/vit_patches"]
    reference.assert_close("prep/vit_patches", cut[: len(stored)], 1e-6)
    vit = cell_ids(*image["vit_tokens_hw"], sizes.vit_side)
    latent = cell_ids(*image["latent_tokens_hw"], sizes.latent_side)
    assert vit.tolist() == reference.arrays["pos/vit_ids"].tolist()
    assert latent.tolist() == reference.arrays["pos/latent_ids"].tolist()


def test_tables_and_time(reference: Reference) -> None:
    model: Bagel = reference.engine.model
    for name, side, table in (
        ("vit", reference.sizes.vit_side, model.vit_pos_embed),
        ("latent", reference.sizes.latent_side, model.latent_pos_embed),
    ):
        rows = [0, 1, side, side + 1, side**2 - 1]
        reference.assert_close(f"pos/{name}_table_rows", table.pos_embed[rows], 1e-6)
    reference.assert_close("time/emb", model.time_embedder(torch.from_numpy(reference.arrays["time/t"])))
    inter = reference.settings["interleave"]
    reference.assert_close("time/schedule", schedule(inter["num_timesteps"], inter["timestep_shift"]), 1e-7)


def test_vision(reference: Reference) -> None:
    model, sizes = reference.engine.model, reference.sizes
    twice = resized(resized(reference.picture, sizes.vae_transform), sizes.vit_transform)
    cut = patches(pixel_values(twice), reference.engine.patch)
    ids = cell_ids(*reference.settings["image"]["vit_tokens_hw"], sizes.vit_side)
    features = model.vit_model(cut, ids)
    reference.assert_close("und/vit_features", features)
    reference.assert_close("und/connector", model.connector(features))
    reference.assert_close("und/vit_tokens", model.vit_rows(cut, ids))


@pytest.mark.parametrize(("name", "speed"), _at_all_speeds(TEXT_RUNS, PLAIN_TEXT))
def test_text_runs(reference: Reference, name: str, speed: str) -> None:
    run, expected = reference.run(name, speed), reference.expected[name]
    (written,) = run.of("written")
    assert run.story.texts == [expected["text"]]
    assert list(written["written"][0].tokens) == expected["token_ids"]
    steps = run.of("step")
    assert [step["chosen"][0] for step in steps] == expected["argmax"]
    reference.assert_close(f"{name}/logits", run.logits(1)[0], ATOL_WIDE)
    reference.assert_close(f"{name}/hidden_decode", torch.stack([step["hidden"][0] for step in steps]))
    system = reference.settings["text_modes"][name]["system"]
    for entry, facts in _chunks(run, expected["trace"]):
        chunk = "image" if entry["op"] == "image+vit" else entry["op"].removeprefix("text:")
        reference.assert_close(f"{name}/hidden_{'system' if chunk == system else chunk}", facts["hidden"])
    assert _trace(run) == [_plain(entry) for entry in expected["trace"]]


def test_text_plain_inside(reference: Reference) -> None:
    """The residual stream after each layer, and the keys of the cache."""
    run = reference.run(PLAIN_TEXT, "plain")
    layers = [facts["layers"] for facts in (*run.of("chunk"), run.of("step")[0])]
    last = torch.stack([torch.stack([layer[0, -1] for layer in chunk]) for chunk in layers])
    reference.assert_close(f"{PLAIN_TEXT}/layers_last_token", last)
    context = run.of("written")[0]["contexts"][0]
    keys = torch.cat([segment.keys[0] for segment in context.segments], dim=1).transpose(0, 1)
    reference.assert_close(f"{PLAIN_TEXT}/keys_layer0", keys[::6])


def test_sampling(reference: Reference) -> None:
    logits = torch.from_numpy(reference.arrays[f"{PLAIN_TEXT}/logits"][0])
    for number, how in enumerate(reference.settings["sampling"]):
        weights, ids = probabilities(logits, how["temperature"], how["top_p"])
        reference.assert_close(f"sampling/probs_{number}", weights)
        assert ids.sort().values.tolist() == list(range(len(logits)))


@pytest.mark.parametrize("speed", ["plain", "fast"])
def test_interleave_reading(reference: Reference, speed: str) -> None:
    """Everything up to and into the first restoration, which all scenarios share."""
    run = reference.run(SCENARIOS[0], speed)
    encoded = run.of("encoded")[0]
    reference.assert_close("inter/vae_moments", encoded["moments"])
    reference.assert_close("inter/vae_latent", encoded["latent"])
    first: dict[str, Any] = {}
    for entry, facts in _chunks(run, reference.expected[SCENARIOS[0]]["trace"]):
        if entry["ctx"] == "main":
            first.setdefault(entry["op"], facts["hidden"])
    names = reference.settings["interleave"]
    reference.assert_close("inter/hidden_system_interleave", first[f"text:{names['system']}"])
    reference.assert_close("inter/hidden_vae_image", first["image:vae"])
    reference.assert_close("inter/hidden_vit_image", first["image:vit"])
    reference.assert_close("inter/hidden_question", first["text:question"])
    model, columns = reference.engine.model, reference.arrays["pos/latent_ids"]
    tokens = to_cells(encoded["latent"], reference.sizes.latent_patch)
    reference.assert_close("inter/vae_tokens", model.latent_rows(tokens, 0.0, torch.from_numpy(columns)))
    inside = run.of("pass")[0]
    reference.assert_close("inter/flow_hidden_cond", inside["hidden"])
    layers = torch.stack([layer[0, :3] for layer in inside["layers"]])
    reference.assert_close("inter/flow_layers_rows012", layers)
    decoded = reference.run(DECODED, speed).of("decoded")[0]["values"]
    reference.assert_close("inter/decoded_float_1", decoded[:, ::4, ::4])


@pytest.mark.parametrize(("name", "speed"), _at_all_speeds(SCENARIOS, DECODED))
def test_interleave_scenarios(reference: Reference, name: str, speed: str) -> None:
    """Velocities, latents, pictures and texts of both restorations."""
    run = reference.run(name, speed)
    for number, logits in enumerate(run.logits(3)):
        reference.assert_close(f"{name}/probe_logits_{number}", logits, ATOL_WIDE)
    steps = reference.settings["interleave"]["num_timesteps"] - 1
    evaluations = run.of("evaluation")
    assert len(evaluations) == 2 * steps
    for number, first in ((1, 0), (2, steps)):
        start = evaluations[first]
        # Without guidance at the first step, or without that by the picture, there are fewer.
        for kind, velocity in zip(("cond", "text", "img"), start["velocities"], strict=False):
            reference.assert_close(f"{name}/v_{kind}_{number}", velocity, ATOL_WIDE)
        reference.assert_close(f"{name}/v_{number}", start["combined"], ATOL_WIDE)
    latents = torch.stack([facts["x"] for facts in evaluations])
    reference.assert_close(f"{name}/latents_1", latents[:steps], ATOL_WIDE)
    reference.assert_close(f"{name}/latent_2", latents[-1], ATOL_WIDE)
    _check_pictures(reference, name, run)
    _check_feedback(reference, name, run)


def _check_pictures(reference: Reference, name: str, run: Recorder) -> None:
    for number, picture in enumerate(run.story.pictures, start=1):
        stored, ours = reference.arrays[f"{name}/image_{number}"], np.asarray(picture)
        if stored.shape != ours.shape:
            ours = ours[::4, ::4]
        off = np.abs(stored.astype(int) - ours.astype(int))
        # A float that lies on the edge of a whole number may truncate to either side.
        assert off.max() <= 1
        assert (off > 0).mean() < 1e-3


def _check_feedback(reference: Reference, name: str, run: Recorder) -> None:
    counts = {"bridge": 0, "image:vit(restored)": 0}
    for entry, facts in _chunks(run, reference.expected[name]["trace"]):
        if entry["op"] not in counts or entry["ctx"] != "main":
            continue
        counts[entry["op"]] += 1
        kind = "bridge" if entry["op"] == "bridge" else "reenc"
        reference.assert_close(f"{name}/{kind}_hidden_{counts[entry['op']]}", facts["hidden"])
    scenario = reference.settings["interleave"]["scenarios"][name]
    assert [count > 0 for count in counts.values()] == [scenario["need_vae"], scenario["need_vit"]]
    model = reference.engine.model
    if scenario["need_vae"]:
        ids = torch.from_numpy(reference.arrays["pos/latent_ids"])
        x = run.of("evaluation")[reference.settings["interleave"]["num_timesteps"] - 2]["x"]
        reference.assert_close(f"{name}/bridge_tokens_1", model.latent_rows(x, 0.0, ids))
    if scenario["need_vit"]:
        sizes = reference.sizes
        picture = resized(Image.fromarray(reference.arrays[f"{name}/image_1"]), sizes.vae_transform)
        cut = patches(pixel_values(resized(picture, sizes.vit_transform)), reference.engine.patch)
        ids = torch.from_numpy(reference.arrays["pos/vit_ids"])
        reference.assert_close(f"{name}/reenc_vit_features_1", model.vit_model(cut, ids))


@pytest.mark.parametrize("name", SCENARIOS)
def test_interleave_traces(reference: Reference, name: str) -> None:
    """Every chunk, text and restoration in its order, with positions and cache lengths."""
    run, expected = reference.run(name, "plain"), reference.expected[name]
    assert _trace(run) == [_plain(entry) for entry in expected["trace"]]
    texts = [written["written"][0].text for written in run.of("written")]
    assert texts == expected["probe_texts"]
    last = run.of("written")[-1]["written"][0]
    assert run.story.stop == ("no tag" if last.ended else "token limit")
    assert run.story.restorations == len(run.story.texts) - 1


@pytest.mark.parametrize("name", SCENARIOS)
def test_interleave_texts_of_the_fast_path(reference: Reference, name: str) -> None:
    texts = [written["written"][0].text for written in reference.run(name, "fast").of("written")]
    assert texts == reference.expected[name]["probe_texts"]


def _chunks(
    run: Recorder, trace: Sequence[Mapping[str, Any]]
) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The expected chunks that were read, each with what was read; the fast path skips some."""
    pairs, left = [], list(run.of("chunk"))
    for entry in trace:
        if "kv_before" not in entry or entry["op"] == "decode":
            continue
        for place, facts in enumerate(left):
            if _chunk(facts) == _plain(entry):
                pairs.append((entry, facts))
                del left[place]
                break
    return pairs


def _chunk(facts: Mapping[str, Any]) -> tuple[Any, ...]:
    before, after = facts["before"], facts["after"]
    last = after.rope - 1
    return (
        "chunk",
        after.length - before.length,
        [before.rope, last],
        before.length,
        "gen" if facts["gen"] else "und",
        facts["causal"],
    )


def _trace(run: Recorder) -> list[tuple[Any, ...]]:
    """The events, in the form of `_plain`."""
    found: list[tuple[Any, ...]] = []
    for name, facts in run.events:
        if name == "chunk":
            found.append(_chunk(facts))
        elif name == "written":
            (context,), (text,) = facts["contexts"], facts["written"]
            steps = len(text.tokens) + 1
            found.append(("decode", context.rope, context.length, steps))
        elif name == "denoise":
            guides = facts["guides"]
            views = (guides.main, guides.without_text, guides.without_image)
            found.append(("denoise", [[view.length, view.rope] for view in views], []))
        elif name == "evaluation":
            found[-1][-1].append((facts["t"], len(facts["velocities"])))
    return found


def _plain(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    """An expected step without its name: what a recorded one can be compared with."""
    if entry["op"] == "decode":
        return ("decode", entry["rope"][0], entry["kv_before"], entry["steps"])
    if entry["op"] == "denoise":
        views = [entry["kv_rope"][name] for name in ("main", "cfg_text", "cfg_img")]
        return ("denoise", views, [(e["t"], e["forwards"]) for e in entry["evaluations"]])
    keys = ("tokens", "rope", "kv_before", "mode", "causal")
    return ("chunk", *(entry[key] for key in keys))


def test_bfloat16_stays_near(reference: Reference) -> None:
    """Rounding of about 1 % of the rms, in what is read and in the first velocities."""
    weights = reference.checkpoint / "ema.safetensors"
    opened = open_checkpoint(reference.checkpoint, weights, reference.sizes, generation=True)
    engine = load_engine(opened, torch.device("cpu"), torch.bfloat16)
    run = Recorder(reference, FAST, engine)
    run.interleave(SCENARIOS[0])
    first = run.of("evaluation")[0]
    found = {
        f"{SCENARIOS[0]}/v_{k}_1": v for k, v in zip(("cond", "text"), first["velocities"], strict=False)
    }
    found[f"{SCENARIOS[0]}/v_1"] = first["combined"]
    found["inter/flow_hidden_cond"] = run.of("pass")[0]["hidden"][::4]
    found["inter/vae_latent"] = run.of("encoded")[0]["latent"]
    for name, ours in found.items():
        stored = torch.from_numpy(reference.arrays[name])
        error = (ours.float() - stored).square().mean().sqrt() / stored.square().mean().sqrt()
        assert error < 0.05, f"{name}: {float(error):.3f}"

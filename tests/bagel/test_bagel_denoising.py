"""Restorations: the fast path gives the picture of the plain one, with as few passes as promised."""

from __future__ import annotations

from clear_checkpoints import (
    RESTORE,
    SIZES,
    again,
    open_engine,
    picture,
    torch,
    write_checkpoint,
    write_speaker,
)

# isort: split

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmdbench.bagel.chunks import Engine
from mmdbench.bagel.denoising import combine, schedule
from mmdbench.bagel.dialogue import DialogueInput, DialogueResult, Injection, run_dialogues
from mmdbench.bagel.settings import FAST, PLAIN, PRESETS, DenoisingSettings, DialogueSettings, Speed

SYSTEM = "You may write <image_restore>."
# At these steps one noise level is 0.5 exactly: the interval is open there.
FEW = DenoisingSettings(steps=5, interval=(0.5, 1.0))
KEPT = Speed(skip_pictures=False)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """A model that asks for a restoration at every turn, in text that decoding need not read again."""
    return open_engine(write_speaker(tmp_path_factory.mktemp("speaker"), RESTORE))


@pytest.fixture(scope="module")
def thinker(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """The golden weights, whose results depend on contexts; its texts are injected."""
    return open_engine(write_checkpoint(tmp_path_factory.mktemp("golden")))


def sample(number: int = 0, **more) -> DialogueInput:
    return DialogueInput((picture(number, 150 + 30 * number), "Which shape?"), seed=number, **more)


def run(
    engine: Engine, speed: Speed, how: DialogueSettings, samples=None, inject=None, watch=None
) -> list[DialogueResult]:
    return run_dialogues(again(engine, speed, watch), samples or [sample()], how, SYSTEM, inject)


def latents(engine: Engine, speed: Speed, how: DialogueSettings, inject=None) -> tuple[list, DialogueResult]:
    found: list = []

    def watch(event, facts):
        if event == "evaluation":
            found.append(facts["x"])

    (story,) = run(engine, speed, how, inject=inject, watch=watch)
    return found, story


@pytest.mark.parametrize("feedback", ["bridge", "reencode", "both", "none"])
@pytest.mark.parametrize("renorm", ["global", "text_channel"])
@pytest.mark.parametrize("spoken", [True, False], ids=["own text", "given text"])
def test_fast_equals_plain(engine, thinker, feedback: str, renorm: str, spoken: bool) -> None:
    how = DialogueSettings(feedback=feedback, denoising=replace(FEW, renorm=renorm), max_new_tokens=16)
    who = engine if spoken else thinker
    inject = None if spoken else Injection(texts=("Blurred. <image_restore>", "<image_restore> again"))
    plain, first = latents(who, PLAIN, how, inject)
    fast, second = latents(who, KEPT, how, inject)
    assert len(plain) == len(fast) == 8
    for one, other in zip(plain, fast, strict=True):
        torch.testing.assert_close(one, other, atol=3e-4, rtol=0)
    assert first.texts == second.texts
    assert (first.restorations, first.stop) == (2, second.stop)
    for one, other in zip(first.pictures, second.pictures, strict=True):
        off = np.abs(np.asarray(one).astype(int) - np.asarray(other).astype(int))
        assert off.max() <= 1


def test_the_fast_path_is_taken(engine: Engine) -> None:
    """Fewer passes and rows: guidance in one pass, the bridged context once, nothing read twice."""

    def count(speed: Speed) -> tuple[int, int, int]:
        passes, rows, decoded = [], [], []

        def watch(event, facts):
            if event == "pass":
                passes.append(1)
            elif event == "chunk" and facts["causal"]:
                rows.append(facts["after"].length - facts["before"].length)
            elif event == "decoded":
                decoded.append(1)

        how = DialogueSettings(denoising=FEW, max_new_tokens=16)
        run(engine, speed, how, watch=watch)
        return len(passes), sum(rows), len(decoded)

    # 4 evaluations to a restoration, 3 of them guided.
    assert count(PLAIN)[::2] == (2 * (3 * 3 + 1), 2)
    assert count(FAST)[::2] == (2 * 4, 0)
    assert count(FAST)[1] < count(PLAIN)[1] - 2 * len(RESTORE)


@pytest.mark.parametrize(("preset", "evaluations", "passes"), [("paper", 29, 77), ("repo-eval", 49, 131)])
def test_passes_of_the_presets(preset: str, evaluations: int, passes: int) -> None:
    how = PRESETS[preset]
    times = schedule(how.steps, how.shift)[:-1]
    assert len(times) == evaluations
    guided = int(((times > how.interval[0]) & (times <= how.interval[1])).sum())
    assert 3 * guided + (evaluations - guided) == passes


def test_schedule_is_shifted_towards_noise() -> None:
    times = schedule(5, 3.0)
    assert times.dtype == torch.float32
    assert times.tolist() == pytest.approx([1, 0.9, 0.75, 0.5, 0])


def _velocities():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(6, 4, generator=generator) for _ in range(3)]


def test_renormalisation() -> None:
    v, v_text, v_image = _velocities()
    strong = DenoisingSettings(text_guidance=4.0, image_guidance=2.0)
    norm = torch.linalg.vector_norm
    whole = combine(v, v_text, v_image, strong)
    assert float(norm(whole)) == pytest.approx(float(norm(v)), rel=1e-5)
    channel = combine(v, v_text, v_image, replace(strong, renorm="channel"))
    assert (norm(channel, dim=-1) <= norm(v, dim=-1) * 1.0001).all()
    # Text guidance alone is renormalised: with image guidance on top, tokens may be longer.
    text = combine(v, v_text, v_image, replace(strong, renorm="text_channel"))
    assert (norm(text, dim=-1) > norm(v, dim=-1) * 1.01).any()
    alone = combine(v, v_text, None, replace(strong, renorm="text_channel"))
    torch.testing.assert_close(text, v_image + 2.0 * (alone - v_image))
    least = combine(v, v_text, v_image, replace(strong, renorm_min=1.0))
    torch.testing.assert_close(least, v_image + 2.0 * (v_text + 4.0 * (v - v_text) - v_image))


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({}, 3 + 3 + 3 + 1),
        ({"image_guidance": 1.0}, 2 + 2 + 2 + 1),
        ({"text_guidance": 1.0}, 4),
        ({"interval": (0.5, 0.9)}, 1 + 3 + 3 + 1),
    ],
)
def test_guidance_only_where_it_acts(engine: Engine, changes: dict, passes: int) -> None:
    seen = []

    def watch(event, _facts):
        if event == "pass":
            seen.append(event)

    how = DialogueSettings(denoising=replace(FEW, **changes), max_turns=2, max_new_tokens=16)
    fast, _ = latents(engine, FAST, how)
    run(engine, PLAIN, how, watch=watch)
    plain, _ = latents(engine, PLAIN, how)
    assert len(seen) == passes
    torch.testing.assert_close(fast[-1], plain[-1], atol=3e-4, rtol=0)


def test_a_sample_in_a_batch_is_the_sample_alone(engine: Engine) -> None:
    how = DialogueSettings(denoising=FEW, max_new_tokens=16)
    samples = [sample(number) for number in range(3)]
    together = run(engine, KEPT, how, samples)
    for number in (2, 0, 1):
        (alone,) = run(engine, KEPT, how, [samples[number]])
        assert alone.texts == together[number].texts
        assert alone.size == together[number].size
        for one, other in zip(alone.pictures, together[number].pictures, strict=True):
            assert np.abs(np.asarray(one).astype(int) - np.asarray(other).astype(int)).max() <= 1


def test_the_seed_decides_the_picture(engine: Engine) -> None:
    how = DialogueSettings(denoising=FEW, max_turns=2, max_new_tokens=16)
    first, same, other = (
        np.asarray(run(engine, KEPT, how, [DialogueInput((picture(0), "Which?"), seed)])[0].pictures[0])
        for seed in (1, 1, 2)
    )
    assert (first == same).all()
    assert (first != other).any()


def test_the_degraded_latent_can_stand_in(thinker: Engine) -> None:
    """The substitution test: the bridge carries the picture's own latent, and nothing is denoised."""
    how = DialogueSettings(latent_source="degraded", denoising=FEW, max_turns=2, max_new_tokens=8)
    inject = Injection(texts=("<image_restore>",))
    chunks, encoded, events = [], [], []

    def watch(event, facts):
        events.append(event)
        if event == "encoded":
            encoded.append(facts["latent"])
        if event == "chunk" and facts["gen"]:
            chunks.append(facts["after"].segments[-1])

    (story,) = run(thinker, KEPT, how, inject=inject, watch=watch)
    assert story.restorations == 1
    assert "evaluation" not in events
    # In the first layer a chunk's values depend on its own rows alone, wherever it stands.
    torch.testing.assert_close(chunks[0].values[0], chunks[1].values[0], atol=1e-5, rtol=0)
    (shown,) = story.pictures
    expected = thinker.vae.decode(encoded[0][None])[0]
    pixels = ((expected / 2 + 0.5).clamp(0, 1) * 255).permute(1, 2, 0)
    assert np.abs(np.asarray(shown).astype(float) - pixels.detach().numpy()).max() <= 1.01


def test_without_thought_the_guide_sees_the_text_without_tags(thinker: Engine) -> None:
    lengths = []

    def watch(event, facts):
        if event == "denoise":
            lengths.append((facts["guides"].without_text.length, facts["guides"].main.length))

    thought = "Too dark. <image_restore>"
    for consider in (True, False):
        how = DialogueSettings(denoising=FEW, max_turns=2, max_new_tokens=8, consider_think=consider)
        run(thinker, FAST, how, inject=Injection(texts=(thought,)), watch=watch)
    (bare, main), (kept, same) = lengths
    encode = thinker.tokenizer.encode
    assert main == same == bare + len(encode(thought)) + 2
    assert kept == bare + len(encode("Too dark. ")) + 2


@pytest.mark.parametrize(
    ("texts", "stop", "restorations"),
    [
        (("<answer>A\nor so</answer> <image_restore>",), "answer", 0),
        (("Fine.",), "token limit", 0),
        (("<image_restore>", "<answer>B</answer>"), "answer", 1),
        (("<image_restore>",) * 3, "turn limit", 2),
    ],
)
def test_a_dialogue_records_why_it_stops(
    thinker: Engine, texts: tuple[str, ...], stop: str, restorations: int
) -> None:
    how = DialogueSettings(denoising=FEW, max_new_tokens=4)
    (story,) = run(thinker, FAST, how, inject=Injection(texts=texts))
    assert (story.stop, story.restorations, len(story.texts)) == (stop, restorations, len(texts))


def test_without_a_picture_nothing_is_restored(engine: Engine) -> None:
    how = DialogueSettings(denoising=FEW, max_new_tokens=16)
    (story,) = run(engine, FAST, how, [DialogueInput(("Which shape?",), 0)])
    assert (story.stop, story.restorations) == ("no picture", 0)


def test_several_pictures_and_the_size_of_the_last(engine: Engine) -> None:
    how = DialogueSettings(denoising=FEW, max_turns=2, max_new_tokens=16)
    inputs = (picture(0), "and", picture(1, 90, 160), "differ?")
    (story,) = run(engine, KEPT, how, [DialogueInput(inputs, 3)])
    assert story.pictures[0].size == story.size
    width, height = story.size
    assert height > width
    assert height % SIZES.vae_transform.stride == 0


def test_the_system_prompt_is_read_once_for_all_samples(tmp_path: Path) -> None:
    read = []

    def watch(event, facts):
        if event == "chunk" and facts["before"].length == 0:
            read.append(event)

    engine = open_engine(write_speaker(tmp_path, (65,)), watch=watch)
    how = DialogueSettings(max_new_tokens=4)
    for number in range(3):
        run_dialogues(engine, [sample(number)], how, SYSTEM)
    assert len(read) == 1

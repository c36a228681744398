"""Generated texts: the same in a batch as alone, up to the limit, and computed once."""

from __future__ import annotations

from clear_checkpoints import (
    BOS,
    EOS,
    RESTORE,
    again,
    open_engine,
    picture,
    torch,
    write_checkpoint,
    write_speaker,
)

# isort: split

from pathlib import Path

import pytest

from mmdbench.bagel.chunks import Engine, append_ids, append_picture, append_text, picture_chunk
from mmdbench.bagel.context import EMPTY, Context
from mmdbench.bagel.decoding import greedy, probabilities, sampled, write_texts
from mmdbench.bagel.images import resized
from mmdbench.bagel.settings import PLAIN


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return open_engine(write_checkpoint(tmp_path_factory.mktemp("checkpoint")))


@pytest.fixture(autouse=True)
def _inference():
    with torch.inference_mode():
        yield


def contexts(engine: Engine, count: int) -> list[Context]:
    """Contexts of several lengths: a picture each, and a longer question each time."""
    found = []
    for number in range(count):
        small = resized(picture(number, 150 + 20 * number), engine.sizes.vae_transform)
        context = append_picture(engine, EMPTY, picture_chunk(engine, small))
        found.append(append_text(engine, context, "Is the ring left of the bar? " * (number + 1)))
    return found


def going_on(logits, samples):
    """The likeliest id that does not end the text."""
    logits = logits.clone()
    logits[:, EOS] = -torch.inf
    return greedy(logits, samples)


def test_texts_in_a_batch_are_those_written_alone(engine: Engine) -> None:
    asked = contexts(engine, 4)
    together = write_texts(engine, asked, 14, going_on)
    alone = [write_texts(engine, [context], 14, going_on)[0] for context in asked]
    assert len({context.length for context in asked}) == 4
    assert [w.text for w in together] == [w.text for w in alone]
    assert [w.tokens for w in together] == [w.tokens for w in alone]
    assert len({w.tokens for w in alone}) > 2
    for one, other in zip(together, alone, strict=True):
        assert one.context.length == other.context.length
        assert one.context.rope == other.context.rope
        torch.testing.assert_close(
            one.context.segments[-1].keys, other.context.segments[-1].keys, atol=1e-4, rtol=0
        )


def test_texts_of_a_batch_may_end_at_different_steps(engine: Engine) -> None:
    """Texts that continue are the same after others have ended."""
    asked = contexts(engine, 3)
    free = [write_texts(engine, [context], 12, going_on)[0].tokens for context in asked]
    ends = {0: 3, 1: 7, 2: 12}

    def choose(logits, samples):
        steps[:] = [step + 1 for step in steps]
        chosen = going_on(logits, samples)
        return [EOS if steps[0] > ends[s] else c for s, c in zip(samples, chosen, strict=True)]

    steps = [0]
    written = write_texts(engine, asked, 12, choose)
    assert [w.tokens for w in written] == [free[0][:3], free[1][:7], free[2]]
    assert [w.ended for w in written] == [True, True, False]


def test_the_last_id_at_the_limit_is_dropped(engine: Engine) -> None:
    (context,) = contexts(engine, 1)
    longer, shorter = (write_texts(engine, [context], limit, going_on)[0] for limit in (6, 5))
    assert len(longer.tokens) == 5
    assert shorter.tokens == longer.tokens[:4]
    assert write_texts(engine, [context], 1)[0].tokens == ()


def test_an_end_at_the_limit_drops_nothing(tmp_path: Path) -> None:
    engine = open_engine(write_speaker(tmp_path, RESTORE))
    context = append_text(engine, EMPTY, "What now?")
    (whole,) = write_texts(engine, [context], len(RESTORE) + 1)
    assert (whole.text, whole.ended) == ("<image_restore>", True)
    (cut,) = write_texts(engine, [context], len(RESTORE))
    assert (cut.tokens, cut.ended) == (RESTORE[:-1], False)


def test_the_given_context_stays_and_the_written_one_equals_reading(engine: Engine) -> None:
    (context,) = contexts(engine, 1)
    before = (context.length, context.rope, context.segments)
    (written,) = write_texts(engine, [context], 8, going_on)
    assert (context.length, context.rope, context.segments) == before
    read = append_ids(engine, context, [BOS, *written.tokens, EOS])
    decoded = append_ids(engine, written.context, [EOS])
    assert (decoded.length, decoded.rope) == (read.length, read.rope)
    for part in ("keys", "values"):
        own = torch.cat([getattr(s, part) for s in decoded.segments], dim=2)
        other = torch.cat([getattr(s, part) for s in read.segments], dim=2)
        torch.testing.assert_close(own, other, atol=1e-4, rtol=0)


def test_the_head_is_cut_to_the_tokenizers_ids(engine: Engine) -> None:
    sizes = engine.sizes.__class__(**{f: getattr(engine.sizes, f) for f in engine.sizes.__slots__})
    object.__setattr__(sizes, "logits_limit", 100)
    small = Engine(engine.model, engine.vae, engine.tokenizer, sizes, engine.patch, PLAIN)
    (context,) = contexts(engine, 1)
    assert any(i >= 100 for i in write_texts(engine, [context], 12, going_on)[0].tokens)
    assert all(i < 100 for i in write_texts(small, [context], 12)[0].tokens)


def test_a_long_text_outgrows_the_first_room(tmp_path: Path) -> None:
    engine = open_engine(write_speaker(tmp_path, (65,), endless=True))
    (written,) = write_texts(engine, [append_text(engine, EMPTY, "Go on.")], 300)
    assert written.text == "A" * 299


def test_nucleus_keeps_the_one_that_exceeds() -> None:
    logits = torch.tensor([0.1, 0.5, 0.3, 0.1]).log()
    weights, ids = probabilities(logits, 1.0, 0.6)
    assert ids.tolist()[:2] == [1, 2]
    assert weights.tolist() == pytest.approx([0.625, 0.375, 0, 0])
    whole, order = probabilities(logits, 1.0, 1.0)
    assert order.tolist() == [0, 1, 2, 3]
    assert whole.tolist() == pytest.approx([0.1, 0.5, 0.3, 0.1])


def test_sampling_depends_on_the_samples_own_seed(engine: Engine) -> None:
    asked = contexts(engine, 2)

    def write(order: list[int]) -> dict[int, tuple[int, ...]]:
        generators = [torch.Generator().manual_seed(number) for number in order]
        texts = write_texts(engine, [asked[i] for i in order], 8, sampled(1.5, 0.9, generators))
        return {i: text.tokens for i, text in zip(order, texts, strict=True)}

    assert write([0, 1]) == write([1, 0])
    assert write([0])[0] == write([0, 1])[0]


def test_greedy_takes_the_first_among_equals() -> None:
    assert greedy(torch.tensor([[1.0, 3.0, 3.0]]), [0]) == [1]


def test_watching_changes_nothing(engine: Engine) -> None:
    asked, seen = contexts(engine, 2), []
    watched = again(engine, engine.speed, lambda event, _facts: seen.append(event))
    assert write_texts(watched, asked, 5, going_on)[1].text == write_texts(engine, asked, 5, going_on)[1].text
    assert seen == ["step"] * 5 + ["written"]

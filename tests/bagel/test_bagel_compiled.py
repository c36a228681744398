"""Compiled steps: one graph for all tokens and all noise levels, and the results of the steps as they are."""

from __future__ import annotations

from clear_checkpoints import EOS, again, open_engine, picture, torch, write_checkpoint  # isort: skip

from collections.abc import Callable
from dataclasses import replace

import pytest

from mmdbench.bagel.chunks import Engine, append_text
from mmdbench.bagel.context import EMPTY, CacheShape, Context, KeyValues, StaticCache
from mmdbench.bagel.decoding import greedy, write_texts
from mmdbench.bagel.dialogue import DialogueInput, Injection, run_dialogues
from mmdbench.bagel.settings import FAST, DenoisingSettings, DialogueSettings, Speed
from mmdbench.errors import ModelError


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return open_engine(write_checkpoint(tmp_path_factory.mktemp("checkpoint")))


class Tracer:
    """A backend of torch.compile that keeps the graphs it is given, and runs them as they are.

    A step that cannot be traced as a whole is an error with any backend; tests/conformance has aot_eager.
    """

    def __init__(self) -> None:
        self.graphs: list = []

    def __call__(self, graph, _inputs) -> Callable:
        self.graphs.append(graph)
        return graph.forward


def test_one_graph_writes_all_tokens_of_all_texts(engine: Engine) -> None:
    tracer, ends = Tracer(), {0: 3, 1: 12, 2: 7}

    def write(speed: Speed, contexts: list[Context]) -> list[tuple[int, ...]]:
        step = 0

        def choose(logits, samples):
            nonlocal step
            step += 1
            logits = logits.clone()
            logits[:, EOS] = -torch.inf
            chosen = greedy(logits, samples)
            return [EOS if step > ends[s] else c for s, c in zip(samples, chosen, strict=True)]

        return [text.tokens for text in write_texts(again(engine, speed), contexts, 14, choose)]

    with torch.inference_mode():
        first = [append_text(engine, EMPTY, "Is the ring left of the bar? " * (n + 1)) for n in range(3)]
        second = [append_text(engine, context, "And now?") for context in first]
        expected = [write(FAST, contexts) for contexts in (first, second)]
        assert [write(replace(FAST, compiler=tracer), contexts) for contexts in (first, second)] == expected
    assert len(tracer.graphs) == 1
    assert [len(tokens) for tokens in expected[0]] == [3, 12, 7]
    assert len({*expected[0], *expected[1]}) > 3


def test_a_text_after_another_is_written_into_the_same_memory(engine: Engine) -> None:
    own = again(engine, replace(FAST, compiler="eager"))
    with torch.inference_mode():
        context = append_text(engine, EMPTY, "Which shape?")
        places = []
        for text in ("", " The longer one.", " And another one."):
            write_texts(own, [append_text(engine, context, text)], 3)
            places.append([tensor.data_ptr() for tensor in own.caches["text"].keys])
    assert places[0] == places[1] == places[2]
    assert len(set(places[0])) == len(places[0])


def test_one_graph_for_guided_steps_and_one_for_those_without(engine: Engine) -> None:
    how = DialogueSettings(
        denoising=DenoisingSettings(steps=7, interval=(0.5, 1.0)), max_turns=2, max_new_tokens=1
    )

    def latents(speed: Speed) -> list:
        found: list = []
        own = again(engine, speed, lambda event, facts: event == "evaluation" and found.append(facts["x"]))
        inject = Injection(texts=("Blurred. <image_restore>",))
        run_dialogues(own, [DialogueInput((picture(0), "Which shape?"))], how, None, inject)
        return found

    tracer = Tracer()
    expected, found = latents(FAST), latents(replace(FAST, compiler=tracer))
    assert len(tracer.graphs) == 3  # that of a token is the third one
    assert len(found) == 6
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


def test_a_static_cache_places_and_masks_as_the_growing_one() -> None:
    shape = CacheShape(2, 3, 4, torch.float32, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    contexts = []
    for rows in (5, 3):
        empty = KeyValues.gather([EMPTY], rows, shape)
        empty.keys.normal_(generator=generator)
        empty.values.normal_(generator=generator)
        empty.advance(rows)
        contexts.append(EMPTY.extended(empty.segment(0, 0), rows))
    static, growing = StaticCache.empty(4, 16, shape), KeyValues.gather(contexts, 2, shape)
    static.fill(contexts)
    place, other = static.place(2, causal=False, group=1), growing.place(2, causal=False, group=1)
    assert place.mask[:2, 0, 0].sum(-1).tolist() == list(other.ends)
    new = torch.randn(4, 3, 2, 4, generator=generator)
    static.write(1, new, -new, place)
    growing.write(1, new[:2], -new[:2], other)
    static.advance(2)
    growing.advance(2)
    for index in range(2):
        for part in ("keys", "values"):
            one, two = (getattr(cache.segment(index, 0), part) for cache in (static, growing))
            assert torch.equal(one, two)


def test_a_step_that_cannot_be_compiled_is_an_error_with_a_remedy(engine: Engine) -> None:
    def broken(graph, inputs):
        raise OSError("no g++ on this machine")

    with torch.inference_mode(), pytest.raises(ModelError, match=r"decoding_step.*no g\+\+") as caught:
        write_texts(again(engine, replace(FAST, compiler=broken)), [append_text(engine, EMPTY, "Go.")], 2)
    assert "Leave compile out" in caught.value.hint

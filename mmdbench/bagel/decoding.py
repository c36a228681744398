"""Generates texts from contexts, several at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .chunks import Engine
from .context import Context, KeyValues

__all__ = ["Choose", "WrittenText", "greedy", "probabilities", "sampled", "write_texts"]

Choose = Callable[[Tensor, Sequence[int]], list[int]]
"""Chooses the next id of each row from logits [rows, vocabulary] and the index of its dialogue."""

_FIRST_ROOM = 256


@dataclass(frozen=True, slots=True)
class WrittenText:
    """A generated text; `ended` is False if it hit the token limit.

    `context` includes its begin and its ids, but no end; `seconds` is its share of the batch's time.
    """

    tokens: tuple[int, ...]
    text: str
    ended: bool
    context: Context
    seconds: float


def greedy(logits: Tensor, _samples: Sequence[int]) -> list[int]:
    """The likeliest id of each row, the lowest among equals."""
    return [int(i) for i in logits.argmax(dim=-1).tolist()]


def sampled(temperature: float, top_p: float, generators: Sequence[torch.Generator]) -> Choose:
    """Draw the id of each row with the CPU generator of its dialogue.

    Args:
        temperature: The temperature, above 0.
        top_p: The share of the probability that may be drawn, 0 to 1.
        generators: A generator for each dialogue, on the CPU.

    Returns:
        The function that chooses.
    """

    def choose(logits: Tensor, samples: Sequence[int]) -> list[int]:
        chosen = []
        for row, sample in zip(logits, samples, strict=True):
            weights, ids = probabilities(row, temperature, top_p)
            drawn = torch.multinomial(weights.cpu(), 1, generator=generators[sample])
            chosen.append(int(ids[int(drawn)]))
        return chosen

    return choose


def probabilities(logits: Tensor, temperature: float, top_p: float) -> tuple[Tensor, Tensor]:
    """The probabilities of the next id.

    With `top_p` below 1 they are sorted, likeliest first, and those after the one at which their
    sum exceeds `top_p` are 0.

    Args:
        logits: The logits, [vocabulary].
        temperature: The temperature, above 0.
        top_p: The share of the probability that is kept, 0 to 1.

    Returns:
        The probabilities and the ids they belong to, both [vocabulary].
    """
    weights = torch.softmax(logits.float() / max(temperature, 1e-6), dim=-1)
    if top_p >= 1:
        return weights, torch.arange(len(weights), device=weights.device)
    weights, ids = weights.sort(descending=True)
    before = weights.cumsum(dim=0) - weights
    weights = torch.where(before > top_p, 0.0, weights)
    return weights / weights.sum(), ids


@dataclass
class _OpenText:
    """A text in progress."""

    sample: int
    last: int
    tokens: list[int]
    seconds: float = 0.0


def write_texts(
    engine: Engine, contexts: Sequence[Context], limit: int, choose: Choose = greedy
) -> list[WrittenText]:
    """Generate a text after each context; the contexts are not changed.

    Args:
        engine: The loaded model.
        contexts: The context of each text.
        limit: The most steps; the id of the last one is dropped unless it ends the text.
        choose: Chooses the next ids from the logits.

    Returns:
        The texts, in the order of the contexts.
    """
    cache = KeyValues.gather(contexts, min(limit, _FIRST_ROOM), engine.model.language_model.cache_shape())
    texts = [_OpenText(i, engine.tokenizer.bos, []) for i in range(len(contexts))]
    done: dict[int, WrittenText] = {}
    for step in range(limit):
        started = time.perf_counter()
        chosen = _step(engine, cache, contexts, texts, step, choose)
        share = (time.perf_counter() - started) / len(texts)
        unfinished = []
        for place, (text, token) in enumerate(zip(texts, chosen, strict=True)):
            text.seconds += share
            ended = token == engine.tokenizer.eos
            if ended or step == limit - 1:
                done[text.sample] = _written(engine, contexts[text.sample], cache, place, text, ended=ended)
                continue
            text.last = token
            text.tokens.append(token)
            unfinished.append(place)
        if not unfinished:
            break
        if len(unfinished) < len(texts):
            cache, texts = cache.keep(unfinished), [texts[i] for i in unfinished]
    written = [done[i] for i in range(len(contexts))]
    engine.notify("written", contexts=contexts, written=written)
    return written


def _step(
    engine: Engine,
    cache: KeyValues,
    contexts: Sequence[Context],
    texts: Sequence[_OpenText],
    step: int,
    choose: Choose,
) -> list[int]:
    """Run the last id of each text through the model and choose the next one."""
    model, device = engine.model.language_model, engine.model.device
    rows = model.embed(torch.tensor([[text.last] for text in texts], device=device))
    positions = torch.tensor([[contexts[text.sample].rope + step] for text in texts], device=device)
    hidden = model(rows, cache, positions, causal=True, gen=False)
    cache.advance(1)
    logits = model.logits(hidden[:, 0])
    samples = [text.sample for text in texts]
    chosen = choose(logits[:, : engine.sizes.logits_limit], samples)
    engine.notify("step", samples=samples, hidden=hidden[:, 0], logits=logits, chosen=chosen)
    return chosen


def _written(
    engine: Engine, context: Context, cache: KeyValues, place: int, text: _OpenText, *, ended: bool
) -> WrittenText:
    segment = cache.segment(place, context.length)
    after = context.extended(segment, context.rope + segment.rows)
    return WrittenText(tuple(text.tokens), engine.tokenizer.decode(text.tokens), ended, after, text.seconds)

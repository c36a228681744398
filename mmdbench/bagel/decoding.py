"""Generates texts from contexts, several at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .chunks import Engine
from .compiled import compiled, static_cache
from .context import Context, KeyValues, StaticCache
from .language import LanguageModel

__all__ = ["Choose", "WrittenText", "decoding_step", "greedy", "probabilities", "sampled", "write_texts"]

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
    """A text in progress; `place` is that of its context in the cache."""

    sample: int
    place: int
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
    cache = _gathered(engine, contexts, limit)
    texts = [_OpenText(i, i, engine.tokenizer.bos, []) for i in range(len(contexts))]
    done: dict[int, WrittenText] = {}
    for step in range(limit):
        started = time.perf_counter()
        chosen = _step(engine, cache, contexts, texts, step, choose)
        share = (time.perf_counter() - started) / len(texts)
        unfinished = []
        for text, token in zip(texts, chosen, strict=True):
            text.seconds += share
            ended = token == engine.tokenizer.eos
            if ended or step == limit - 1:
                done[text.sample] = _written(engine, contexts[text.sample], cache, text, ended=ended)
                continue
            text.last = token
            text.tokens.append(token)
            unfinished.append(text)
        if not unfinished:
            break
        if len(unfinished) < len(texts):
            cache, texts = _kept(cache, unfinished), unfinished
    written = [done[i] for i in range(len(contexts))]
    engine.notify("written", contexts=contexts, written=written)
    return written


def _gathered(engine: Engine, contexts: Sequence[Context], limit: int) -> KeyValues | StaticCache:
    if engine.speed.compiler:
        return static_cache(engine, contexts, limit, "text")
    return KeyValues.gather(contexts, min(limit, _FIRST_ROOM), engine.model.language_model.cache_shape())


def _kept(cache: KeyValues | StaticCache, texts: Sequence[_OpenText]) -> KeyValues | StaticCache:
    """The cache for these texts alone; one of fixed size keeps idle places instead."""
    if isinstance(cache, StaticCache):
        return cache
    kept = cache.keep([text.place for text in texts])
    for place, text in enumerate(texts):
        text.place = place
    return kept


def decoding_step(
    model: LanguageModel, cache: KeyValues | StaticCache, ids: Tensor, positions: Tensor
) -> tuple[Tensor, Tensor]:
    """Read one id of each context; a function of tensors.

    Args:
        model: The decoder.
        cache: The keys and values of the contexts; those of the new rows are written to it.
        ids: The ids, [B].
        positions: Their rotary positions, [B].

    Returns:
        The final hidden states, [B, d], and the logits, [B, vocabulary].
    """
    rows = model.embed(ids)[:, None]
    hidden = model(rows, cache, positions[:, None], causal=True, gen=False)[:, 0]
    return hidden, model.logits(hidden)


def _step(
    engine: Engine,
    cache: KeyValues | StaticCache,
    contexts: Sequence[Context],
    texts: Sequence[_OpenText],
    step: int,
    choose: Choose,
) -> list[int]:
    """Run the last id of each text through the model and choose the next one."""
    model, device = engine.model.language_model, engine.model.device
    places = [text.place for text in texts]
    ids, positions = [engine.tokenizer.bos] * len(cache.lengths), [0] * len(cache.lengths)
    for place, text in zip(places, texts, strict=True):
        ids[place], positions[place] = text.last, contexts[text.sample].rope + step
    read = compiled(decoding_step, engine.speed.compiler)
    hidden, logits = read(
        model, cache, torch.tensor(ids, device=device), torch.tensor(positions, device=device)
    )
    cache.advance(1)
    if len(places) < len(logits):
        hidden, logits = hidden[places], logits[places]
    samples = [text.sample for text in texts]
    chosen = choose(logits[:, : engine.sizes.logits_limit], samples)
    engine.notify("step", samples=samples, hidden=hidden, logits=logits, chosen=chosen)
    return chosen


def _written(
    engine: Engine, context: Context, cache: KeyValues | StaticCache, text: _OpenText, *, ended: bool
) -> WrittenText:
    segment = cache.segment(text.place, context.length)
    after = context.extended(segment, context.rope + segment.rows)
    return WrittenText(tuple(text.tokens), engine.tokenizer.decode(text.tokens), ended, after, text.seconds)

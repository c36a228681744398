"""Writing: from contexts to texts, several at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .chunks import Engine
from .context import Context, KeyValues

__all__ = ["Choose", "Written", "greedy", "probabilities", "sampled", "write_texts"]

Choose = Callable[[Tensor, Sequence[int]], list[int]]
"""From logits [rows, vocabulary] and the sample each row belongs to, the next id of each row."""

_FIRST_ROOM = 256


@dataclass(frozen=True, slots=True)
class Written:
    """A text: its ids, and whether it came to its own end.

    `context` has read its begin and its ids, but no end; `seconds` is this text's share of the time.
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
    """Draw each row's id, with the CPU generator of its sample."""

    def choose(logits: Tensor, samples: Sequence[int]) -> list[int]:
        chosen = []
        for row, sample in zip(logits, samples, strict=True):
            weights, ids = probabilities(row, temperature, top_p)
            drawn = torch.multinomial(weights.cpu(), 1, generator=generators[sample])
            chosen.append(int(ids[int(drawn)]))
        return chosen

    return choose


def probabilities(logits: Tensor, temperature: float, top_p: float) -> tuple[Tensor, Tensor]:
    """Probabilities and the ids they belong to, both [vocabulary], for logits [vocabulary].

    With `top_p` below 1 they are sorted, likeliest first, and all behind the one at which their
    sum exceeds `top_p` are 0.
    """
    weights = torch.softmax(logits.float() / max(temperature, 1e-6), dim=-1)
    if top_p >= 1:
        return weights, torch.arange(len(weights), device=weights.device)
    weights, ids = weights.sort(descending=True)
    before = weights.cumsum(dim=0) - weights
    weights = torch.where(before > top_p, 0.0, weights)
    return weights / weights.sum(), ids


@dataclass
class _Pen:
    """One text that is being written."""

    sample: int
    last: int
    tokens: list[int]
    seconds: float = 0.0


def write_texts(
    engine: Engine, contexts: Sequence[Context], limit: int, choose: Choose = greedy
) -> list[Written]:
    """A text after each context; the contexts themselves stay as they are.

    `limit` steps are run at most, and the id of the last of them is dropped unless it ends the text.
    """
    cache = KeyValues.gather(contexts, min(limit, _FIRST_ROOM), engine.model.language_model.cache_shape())
    pens = [_Pen(i, engine.tokenizer.bos, []) for i in range(len(contexts))]
    done: dict[int, Written] = {}
    for step in range(limit):
        started = time.perf_counter()
        chosen = _step(engine, cache, contexts, pens, step, choose)
        share = (time.perf_counter() - started) / len(pens)
        going = []
        for place, (pen, token) in enumerate(zip(pens, chosen, strict=True)):
            pen.seconds += share
            ended = token == engine.tokenizer.eos
            if ended or step == limit - 1:
                done[pen.sample] = _written(engine, contexts[pen.sample], cache, place, pen, ended=ended)
                continue
            pen.last = token
            pen.tokens.append(token)
            going.append(place)
        if not going:
            break
        if len(going) < len(pens):
            cache, pens = cache.keep(going), [pens[i] for i in going]
    written = [done[i] for i in range(len(contexts))]
    engine.tell("written", contexts=contexts, written=written)
    return written


def _step(
    engine: Engine,
    cache: KeyValues,
    contexts: Sequence[Context],
    pens: Sequence[_Pen],
    step: int,
    choose: Choose,
) -> list[int]:
    """Read each pen's last id and choose the next one."""
    model, device = engine.model.language_model, engine.model.device
    rows = model.embed(torch.tensor([[pen.last] for pen in pens], device=device))
    positions = torch.tensor([[contexts[pen.sample].rope + step] for pen in pens], device=device)
    hidden = model(rows, cache, positions, causal=True, gen=False)
    cache.advance(1)
    logits = model.logits(hidden[:, 0])
    samples = [pen.sample for pen in pens]
    chosen = choose(logits[:, : engine.sizes.logits_limit], samples)
    engine.tell("step", samples=samples, hidden=hidden[:, 0], logits=logits, chosen=chosen)
    return chosen


def _written(
    engine: Engine, context: Context, cache: KeyValues, place: int, pen: _Pen, *, ended: bool
) -> Written:
    segment = cache.segment(place, context.length)
    after = context.extended(segment, context.rope + segment.rows)
    return Written(tuple(pen.tokens), engine.tokenizer.decode(pen.tokens), ended, after, pen.seconds)

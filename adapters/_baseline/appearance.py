"""Answers questions about colours, text in the picture, and the kind of place."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .colour import ACHROMATIC, border, ellipse, is_monochrome, ring, shares
from .objects import distance, find_object
from .option_scores import Options, best
from .questions import Intent, Subject
from .reader import Line, text_similarity
from .scene import scene_scores, scene_similarity
from .vocabulary import colours_in, words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from .findings import Findings

__all__ = [
    "colour",
    "is_coloured",
    "is_scene",
    "is_without_colour",
    "is_written",
    "print_kind",
    "read",
    "scene",
]

_READ_WELL = 0.75
_PAPER = re.compile(r"\b(?:page|document|book|newspaper|sign|puzzle|poster|text)")
_CLOTHES = {
    r"jacket|coat|shirt|blouse|sweater|jumper|suit|uniform|dress|top|vest|t-shirt|clothes|anorak": (0.2, 0.6),
    r"trousers|jeans|shorts|skirt|pants": (0.5, 0.9),
    r"hat|cap|helmet|hair": (0.0, 0.2),
}
_UP = r"sky|clouds?|ceiling"
_DOWN = r"grass|ground|road|floor|lawn|street|path|pavement|sand|field|meadow|water|sea|river|lake|table|soil"
_AROUND = r"background|backdrop|behind"
_LEAFY = r"leaf|leaves|grass|plants?|stems?|trees?|foliage|hedge|bush|bushes|lawn|meadow|field"


@dataclass(frozen=True, slots=True)
class _Region:
    """Weights of the pixels that a question about colour means, and of those around them."""

    inside: NDArray[np.float32]
    around: NDArray[np.float32]
    guessed: bool = False


def _region(intent: Intent, findings: Findings) -> _Region | None:
    shape = findings.names.shape
    nowhere = np.zeros(shape, np.float32)
    for form, (start, end) in _CLOTHES.items():
        if re.search(rf"\b(?:{form})\b", intent.text):
            wearer = find_object(Subject(frozenset({0})), findings)
            if wearer is None:
                return None
            x0, y0, x1, y1 = wearer.box
            return _Region(ellipse(shape, (x0, y0 + start * (y1 - y0), x1, y0 + end * (y1 - y0))), nowhere)
    if intent.subjects:
        thing = find_object(replace(intent.subjects[0], colours=()), findings)
        return None if thing is None else _Region(ellipse(shape, thing.box), ring(shape, thing.box))
    if re.search(rf"\b(?:{_AROUND})\b", intent.text):
        return _Region(border(shape), nowhere)
    for form, box in ((_UP, (-0.1, -0.05, 1.1, 0.35)), (_DOWN, (-0.1, 0.65, 1.1, 1.05))):
        if re.search(rf"\b(?:{form})\b", intent.text):
            return _Region(ellipse(shape, box), nowhere)
    around = nowhere if intent.places else border(shape)
    return _Region(ellipse(shape, _box_at(intent.places)), around, guessed=True)


def _box_at(places: frozenset[str]) -> tuple[float, float, float, float]:
    x0, x1 = (0.0, 0.5) if "left" in places else (0.5, 1.0) if "right" in places else (-0.05, 1.05)
    y0, y1 = (0.0, 0.5) if "top" in places else (0.5, 1.0) if "bottom" in places else (-0.05, 1.05)
    return x0, y0, x1, y1


def colour(intent: Intent, options: Options, findings: Findings) -> str | None:
    region = _region(intent, findings)
    if region is None:
        return None
    inside, around = shares(findings.names, region.inside), shares(findings.names, region.around)
    # Gloss and shadow make coloured objects partly white, grey and black, never the reverse;
    # a colour that is as frequent around the object as in it probably belongs to the background.
    found = {n: max(0.0, s - 0.5 * around[n]) * (1.0 if n in ACHROMATIC else 1.6) for n, s in inside.items()}
    if region.guessed and not re.search(rf"\b(?:{_LEAFY})\b", intent.text):
        # An object that the detector does not know is more often in front of foliage than green itself.
        found["green"] *= 0.35
    if intent.negated:
        absent = {n: _colour_share(colours_in(text), inside) for n, text in options.items()}
        return best({n: None if share is None else 1 - share for n, share in absent.items()}, 0.99, 0.01)
    scores = {label: _colour_share(colours_in(text), found) for label, text in options.items()}
    return best(scores, 0.08, 0.03)


def _colour_share(colours: Sequence[str], found: Mapping[str, float]) -> float | None:
    if not colours:
        return None
    parts = [found[c] for c in colours]
    return parts[0] if len(parts) == 1 else 0.9 * sum(parts) * (min(parts) >= 0.08)


def is_coloured(intent: Intent, findings: Findings) -> bool | None:
    region = _region(intent, findings)
    wanted = colours_in(intent.text)
    if region is None or not wanted:
        return None
    found = shares(findings.names, region.inside)
    return all(found[c] >= 0.2 for c in wanted)


_WITHOUT_COLOUR = r"black[ -]and[ -]white|monochrome|gr[ea]y|sepia|without colour"


def is_without_colour(intent: Intent, findings: Findings) -> bool | None:
    without = is_monochrome(findings.small)
    return without if re.search(_WITHOUT_COLOUR, intent.text) else not without


def print_kind(_intent: Intent, options: Options, findings: Findings) -> str | None:
    without = is_monochrome(findings.small)
    says = {label: re.search(_WITHOUT_COLOUR, words(text)) is not None for label, text in options.items()}
    fits = [label for label, says_without in says.items() if says_without == without]
    return fits[0] if len(fits) == 1 else None


def read(intent: Intent, options: Options, findings: Findings) -> str | None:
    lines = findings.lines
    scores: dict[str, float | None] = {label: text_similarity(text, lines) for label, text in options.items()}
    if intent.negated and lines:
        return best({label: 1 - (s or 0.0) for label, s in scores.items()}, 0.3, 0.2)
    most = max((s for s in scores.values() if s is not None), default=0.0)
    fits = {n: options[n] for n, s in scores.items() if s is not None and s >= max(_READ_WELL, most - 0.05)}
    return next(iter(fits)) if len(fits) == 1 else _singled_out(intent, fits, lines)


def _singled_out(intent: Intent, fits: Options, lines: Sequence[Line]) -> str | None:
    """Of several options that were read equally well, the one at the place that the question names."""
    at = {label: _line_of(text, lines) for label, text in fits.items()}
    if not at:
        return None
    if intent.quoted:
        x, y = _line_of(intent.quoted[0], lines).centre
        return min(at, key=lambda n: (float(np.hypot(at[n].centre[0] - x, at[n].centre[1] - y)), n))
    if re.search(r"\b(?:first|heading|headline|title)\b", intent.text):
        return min(at, key=lambda n: (at[n].centre[1], at[n].centre[0], n))
    if re.search(r"\blast\b", intent.text):
        return max(at, key=lambda n: (at[n].centre[1], n))
    if re.search(r"\b(?:largest|biggest|big|large)\b", intent.text):
        return max(at, key=lambda n: (at[n].height, n))
    if intent.places:
        return min(at, key=lambda n: (distance(at[n].centre, intent.places), n))
    return best({n: float(len(words(text).split())) for n, text in fits.items()}, 0.0, 0.5)


def _line_of(text: str, lines: Sequence[Line]) -> Line:
    return max(lines, key=lambda line: text_similarity(text, [line]))


def is_written(intent: Intent, findings: Findings) -> bool | None:
    if intent.quoted:
        return all(text_similarity(text, findings.lines) >= _READ_WELL for text in intent.quoted)
    if re.search(r"\b(?:any|some|there|text|writing|words)\b", intent.text) and not intent.subjects:
        return any(len(words(line.text)) >= 2 for line in findings.lines)
    return None


def scene(_intent: Intent, options: Options, findings: Findings) -> str | None:
    with_text = any(_PAPER.search(words(text)) for text in options.values())
    scores = scene_scores(findings, with_text=with_text)
    return best(
        {label: scene_similarity(text, scores, findings) for label, text in options.items()}, 0.3, 0.1
    )


def is_scene(intent: Intent, findings: Findings) -> bool | None:
    fit = scene_similarity(intent.text, scene_scores(findings), findings)
    return None if fit is None or 0.35 <= fit < 0.5 else fit >= 0.5

"""Answers questions about detected objects: which, how many, and where."""

from __future__ import annotations

import operator
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .colour import ellipse, patches, shares
from .option_scores import Options, best
from .questions import Intent, Subject
from .reader import text_similarity
from .vocabulary import colours_in, number_in, objects_in, places_in, words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .detector import DetectedObject
    from .findings import Findings

__all__ = [
    "compares",
    "count",
    "distance",
    "find_object",
    "is_placed",
    "is_present",
    "is_related",
    "place",
    "relation",
    "which",
]

_SURE = 0.45
_GIVEN = 0.3
_READ_WELL = 0.75
_FROM_ANOTHER = re.compile(r"\b(?:of|above|below|under|over|beneath) (?:the|a|an) ")
_COMPARE = {"==": operator.eq, ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le}
_ANCHORS = {"left": (1 / 6, None), "right": (5 / 6, None), "top": (None, 1 / 6), "bottom": (None, 5 / 6)}


def _found(subject: Subject, findings: Findings, least: float = _SURE) -> list[DetectedObject]:
    things = [t for t in findings.objects if t.number in subject.classes and t.score >= least]
    if subject.colours:
        things = [t for t in things if _tint(t, subject.colours, findings) >= 0.15]
    return things


def find_object(subject: Subject, findings: Findings) -> DetectedObject | None:
    """The object that a question means: the one at the named place, else the largest with a high score."""
    # The question presumes that the object is there, so a lower score is enough.
    things = _found(replace(subject, colours=()), findings, _GIVEN)
    if subject.colours:
        tinted = {t: _tint(t, subject.colours, findings) for t in things}
        most = max(tinted.values(), default=0.0)
        things = [t for t in things if tinted[t] >= max(0.05, most / 2)]
    if len(things) < subject.rank:
        return None
    if subject.places:
        return sorted(things, key=lambda t: distance(t.centre, subject.places))[subject.rank - 1]
    return max(things, key=lambda t: t.area if subject.largest else t.score * t.area**0.5)


def distance(centre: tuple[float, float], places: frozenset[str]) -> float:
    """The distance of a point from the named places, in shares of the picture; other axes do not count."""
    x, y = centre
    gaps = []
    for place in places - {"middle"}:
        at_x, at_y = _ANCHORS[place]
        gaps.append(abs(x - at_x) if at_x is not None else abs(y - (at_y or 0.0)))
    if "middle" in places:
        named = places & {"left", "right"}, places & {"top", "bottom"}
        gaps += [abs(v - 0.5) for v, taken in zip(centre, named, strict=True) if not taken]
    return float(np.hypot.reduce(gaps)) if gaps else 0.0


def _is_at(thing: DetectedObject, places: frozenset[str]) -> bool:
    x, y = thing.centre
    holds = {"left": x < 0.5, "right": x > 0.5, "top": y < 0.5, "bottom": y > 0.5}
    holds["middle"] = 1 / 3 < x < 2 / 3 and 1 / 4 < y < 3 / 4
    return all(holds[place] for place in places)


def is_present(intent: Intent, findings: Findings) -> bool | None:
    if not intent.subjects:
        return None
    if " or " in intent.text:
        return any(_found(s, findings) for s in intent.subjects)
    if len({s.classes for s in intent.subjects}) == 1 and intent.places:
        return any(_is_at(t, intent.places) for s in intent.subjects for t in _found(s, findings))
    return all(_found(s, findings) for s in intent.subjects)


def which(intent: Intent, options: Options, findings: Findings) -> str | None:
    named = {n: [Subject(c, colours_in(t)) for _, _, c in objects_in(t)] for n, t in options.items()}
    if intent.places and not intent.negated:
        return _which_there(intent, named, findings)
    scores = {label: _presence(subjects, findings) for label, subjects in named.items()}
    if intent.negated:
        return best({label: None if s is None else 1 - s for label, s in scores.items()}, 1 - _SURE, 0.1)
    return best(scores, 0.35, 0.05)


def _presence(subjects: Sequence[Subject], findings: Findings) -> float | None:
    scores = [max((t.score for t in _found(s, findings, 0.0)), default=0.0) for s in subjects]
    return min(scores, default=None)


def _which_there(intent: Intent, named: Mapping[str, Sequence[Subject]], findings: Findings) -> str | None:
    """The option whose object is farthest in a direction, or nearest on that side of another object."""
    reference = find_object(intent.subjects[-1], findings) if _has_reference(intent) else None
    scores: dict[str, float | None] = {}
    for label, subjects in named.items():
        things = [t for s in subjects for t in _found(s, findings) if t is not reference]
        if reference is not None:
            things = [t for t in things if _lead(t, reference, intent.places) > 0]
            scores[label] = max((1 - _gap(t, reference) for t in things), default=None)
        else:
            scores[label] = max((1 - distance(t.centre, intent.places) for t in things), default=None)
    return best(scores, -1.0, 0.02)


def _has_reference(intent: Intent) -> bool:
    return bool(intent.subjects) and _FROM_ANOTHER.search(intent.text) is not None


def _gap(one: DetectedObject, other: DetectedObject) -> float:
    return float(np.hypot(one.centre[0] - other.centre[0], one.centre[1] - other.centre[1]))


def count(intent: Intent, options: Options, findings: Findings) -> str | None:
    if not intent.subjects:
        return None
    seen = _how_many(intent.subjects[0], findings)
    offered = {label: _bounds(text) for label, text in options.items()}
    if seen == 0 and not any(b and b[0] <= 0 <= b[1] for b in offered.values()):
        return None
    gaps = {label: -float(max(b[0] - seen, seen - b[1], 0)) if b else None for label, b in offered.items()}
    return best(gaps, -1e9, 0.5)


def _how_many(subject: Subject, findings: Findings) -> int:
    # Objects that the detector does not know can still be counted as patches of one colour.
    return len(_found(subject, findings)) if subject.classes else patches(findings.names, subject.colours)


def _bounds(text: str) -> tuple[float, float] | None:
    """The least and the greatest count that an option such as "more than five" or "2-4" allows."""
    number = number_in(text)
    if number is None:
        return None
    plain = words(text)
    ends = re.match(r"(\d+)(?:-| to | or )(\d+)", plain)
    if ends:
        return float(ends[1]), float(ends[2])
    if re.search(r"\b(?:more than|over)\b", plain):
        return number + 1, float("inf")
    if re.search(r"\b(?:at least|or more)\b", plain):
        return number, float("inf")
    if re.search(r"\b(?:fewer than|less than|under)\b", plain):
        return 0, number - 1
    return number, number


def compares(intent: Intent, findings: Findings) -> bool | None:
    if not intent.subjects or intent.number is None:
        return None
    seen = _how_many(intent.subjects[0], findings)
    sign, number = intent.number
    return bool(_COMPARE[sign](seen, number))


def _lead(one: DetectedObject, other: DetectedObject, places: frozenset[str]) -> float:
    """The offset of `one` from `other` in the named direction, negative for the opposite direction."""
    dx, dy = one.centre[0] - other.centre[0], one.centre[1] - other.centre[1]
    steps = {"left": -dx, "right": dx, "top": -dy, "bottom": dy}
    return min((steps[p] for p in places if p in steps), default=0.0)


def _pair(intent: Intent, findings: Findings) -> tuple[DetectedObject, DetectedObject] | None:
    first = intent.subjects[0]
    second = next((s for s in intent.subjects if s.classes != first.classes), None)
    things = find_object(first, findings), find_object(second, findings) if second else None
    return None if things[0] is None or things[1] is None else (things[0], things[1])


def relation(intent: Intent, options: Options, findings: Findings) -> str | None:
    pair = _pair(intent, findings)
    if pair is None:
        return None
    nearness = pair[0].box[3] - pair[1].box[3]
    scores: dict[str, float | None] = {}
    for label, text in options.items():
        if re.search(r"\bfront\b", text.lower()):
            scores[label] = nearness
        elif re.search(r"\bbehind\b", text.lower()):
            scores[label] = -nearness
        else:
            places = places_in(text)
            scores[label] = _lead(*pair, places) if places - {"middle"} else None
    return best(scores, 0.02, 0.02)


def is_related(intent: Intent, findings: Findings) -> bool | None:
    pair = _pair(intent, findings)
    if pair is None or not intent.places - {"middle"}:
        return None
    return _lead(*pair, intent.places) > 0


def _spot(intent: Intent, findings: Findings) -> tuple[float, float] | None:
    if intent.subjects:
        thing = find_object(intent.subjects[0], findings)
        return None if thing is None else thing.centre
    for wanted in intent.quoted:
        line = max(findings.lines, key=lambda ln: text_similarity(wanted, [ln]), default=None)
        if line is not None and text_similarity(wanted, [line]) >= _READ_WELL:
            return line.centre
    return None


def place(intent: Intent, options: Options, findings: Findings) -> str | None:
    offered = {label: places_in(text) for label, text in options.items()}
    spot = _spot(intent, findings)
    if spot is None:
        return None
    scores = {label: -distance(spot, places) if places else None for label, places in offered.items()}
    return best(scores, -1.0, 0.01)


def is_placed(intent: Intent, findings: Findings) -> bool | None:
    thing = find_object(intent.subjects[0], findings) if intent.subjects else None
    return None if thing is None else _is_at(thing, intent.places)


def _tint(thing: DetectedObject, colours: Sequence[str], findings: Findings) -> float:
    found = shares(findings.names, ellipse(findings.names.shape, thing.box))
    return max(found[c] for c in colours)

"""Parses a question: its kind, the objects and places it names, and texts in quotation marks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from . import phrases
from .vocabulary import colours_in, number_in, objects_in, places_in, words

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Intent", "Kind", "Subject", "is_yes_no", "parse"]

Kind = Literal[
    "presence",
    "which",
    "count",
    "compare",
    "relation",
    "place",
    "colour",
    "monochrome",
    "read",
    "scene",
    "unknown",
]


@dataclass(frozen=True, slots=True)
class Subject:
    """An object that a question names: its COCO classes, and the words that narrow it down.

    Without classes the detector does not know it. `rank` is 2 in "the second dog from the left".
    """

    classes: frozenset[int]
    colours: tuple[str, ...] = ()
    places: frozenset[str] = frozenset()
    largest: bool = False
    rank: int = 1


@dataclass(frozen=True, slots=True)
class Intent:
    """A parsed question.

    `places` are the directions it names; `number` is (comparison, count) of a question such as
    "Are there more than two dogs?"; `quoted` are texts in quotation marks.
    """

    kind: Kind
    subjects: tuple[Subject, ...] = ()
    places: frozenset[str] = frozenset()
    negated: bool = False
    number: tuple[str, int] | None = None
    quoted: tuple[str, ...] = ()
    text: str = ""


_QUOTED = re.compile(
    r"[\"\u201c\u201d\u201e\u00ab]([^\"\u201c\u201d\u00bb]+)[\"\u201c\u201d\u00bb]"
    r"|(?<!\w)['\u2018]([^'\u2019]+)['\u2019](?!\w)"
)
_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_COMPARISONS = {"more than": ">", "fewer than": "<", "less than": "<", "at least": ">=", "at most": "<="}


def is_yes_no(options: Mapping[str, str]) -> bool:
    """True if the options are a yes and a no, with or without more words after them."""
    firsts = {words(text).split(" ")[0] for text in options.values()}
    return {"yes", "no"} <= firsts


def parse(question: str, options: Mapping[str, str]) -> Intent:
    """Parse a question by its own words and by the kind of its options."""
    text = words(question)
    quoted = tuple(next(filter(None, found)) for found in _QUOTED.findall(question))
    bare = words(_QUOTED.sub(" ", question))
    subjects = _subjects(bare)
    return Intent(
        kind=_kind(bare, options, subjects, bool(quoted)),
        subjects=_about(bare, subjects),
        places=places_in(bare),
        negated=bool(phrases.NEGATED.search(question.lower())),
        number=_number(bare),
        quoted=quoted,
        text=text,
    )


def _kind(text: str, options: Mapping[str, str], subjects: tuple[Subject, ...], quoted: bool) -> Kind:
    about_print = phrases.MONOCHROME.search(text) and phrases.ABOUT_PICTURE.search(text)
    if about_print and not re.search(r"\bwhat colou?r\b", text):
        return "monochrome"
    if phrases.COUNT.search(text):
        return "count"
    wording = phrases.READ.search(text) is not None or quoted
    if wording and not phrases.WHERE.search(text):
        return "read"
    if re.search(r"\bcolou?r(?:s|ed)?\b", text) or _only_colours(options, text):
        return "colour"
    if phrases.WHERE.search(text) and any(places_in(t) for t in options.values()) and len(subjects) < 2:
        return "place"
    if is_yes_no(options):
        return _yes_no_kind(text, subjects)
    return _choice_kind(text, options, subjects)


def _yes_no_kind(text: str, subjects: tuple[Subject, ...]) -> Kind:
    if _number(text) and phrases.EXISTS.search(text):
        return "compare" if _head(text) else "unknown"
    if len({s.classes for s in subjects}) > 1 and phrases.RELATION.search(text):
        return "relation"
    if phrases.EXISTS.search(text):
        return "presence" if _head(text) else ("scene" if phrases.SCENE.search(text) else "unknown")
    if phrases.SCENE.search(text):
        return "scene"
    if subjects and colours_in(text):
        return "colour"
    sides = re.search(r"\b(?:picture|photo\w*|image|half|side|corner)\b", text)
    if len(subjects) == 1 and places_in(text) and sides:
        return "place"
    return "unknown"


def _choice_kind(text: str, options: Mapping[str, str], subjects: tuple[Subject, ...]) -> Kind:
    about_places = any(places_in(t) or re.search(r"front|behind", t.lower()) for t in options.values())
    if len({s.classes for s in subjects}) > 1 and phrases.RELATION.search(text) and about_places:
        return "relation"
    if phrases.SCENE.search(text):
        return "scene"
    if subjects and about_places and not any(objects_in(t) for t in options.values()):
        return "place"
    return "which" if any(objects_in(t) for t in options.values()) else "unknown"


def _only_colours(options: Mapping[str, str], text: str) -> bool:
    texts = [t for t in options.values() if t.strip()]
    if "fruit" in text:
        return False
    return len(texts) > 1 and all(colours_in(t) and len(words(t).split()) <= 3 for t in texts)


def _subjects(text: str) -> tuple[Subject, ...]:
    found = objects_in(text)
    subjects = []
    for i, (start, end, classes) in enumerate(found):
        before = text[found[i - 1][1] if i else 0 : start].split()[-3:]
        after = text[end : found[i + 1][0] if i + 1 < len(found) else len(text)]
        place = phrases.AT_PLACE.match(after)
        places = places_in(" ".join(before[-1:])) | (places_in(place[1]) if place else frozenset())
        largest = bool(phrases.LARGEST.search(" ".join(before)) or phrases.NEAREST.match(after))
        rank = next((i for i, word in enumerate(_ORDINALS, 1) if word in before), 1)
        subjects.append(Subject(classes, colours_in(" ".join(before)), places, largest, rank))
    return tuple(subjects)


def _head(text: str) -> frozenset[int] | None:
    """The classes of the noun that a question about existence or number is about, if it is detectable."""
    phrase = phrases.OPENING.sub("", text).strip()
    phrase = phrases.AMOUNT.sub("", phrase + " ").strip()
    phrase = phrases.FILLER.sub(" ", phrase).strip()
    end = phrases.HEAD_ENDS.search(phrase)
    phrase = " ".join((phrase[: end.start()] if end and end.start() else phrase).split())
    found = objects_in(phrase)
    # "The dog's tongue" is about a tongue: only an object at the phrase's end is asked for.
    if found and found[-1][1] == len(phrase):
        return found[-1][2]
    first = objects_in(phrase.split(" or ")[0]) if " or " in phrase else []
    return first[-1][2] if first else None


def _about(text: str, subjects: tuple[Subject, ...]) -> tuple[Subject, ...]:
    if not phrases.COUNT.search(text):
        return subjects
    start = phrases.COUNT.search(text)
    phrase = text[start.start() :] if start else text
    head = _head(phrase)
    if head is not None:
        return tuple(s for s in subjects if s.classes == head)[:1]
    opening = phrases.HEAD_ENDS.split(phrases.COUNT.sub("", phrase), maxsplit=1)[0]
    return (Subject(frozenset(), colours_in(opening)),) if colours_in(opening) else ()


def _number(text: str) -> tuple[str, int] | None:
    match = phrases.AMOUNT.search(text)
    if match is None:
        return None
    if match[2] == "several":
        return ">=", 3
    count = number_in(match[2])
    return None if count is None else (_COMPARISONS.get(match[1] or "", "=="), count)

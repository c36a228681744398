"""Claims of a reply about a picture: types and strengths, and the part of the reply that names them.

In this order: the last `<degradation>` block (what we ask for); the last `<TYPE>…<TYPE_END>` block
(as Robust-R1's models write it); else, after any thinking, the text itself if it names one type
only, or says that there is none; else a block that ends the reply, though it is in its thinking.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from mmdbench.scoring.perception.wording import LOOKS

__all__ = ["Claim", "Claims", "Stage", "read_claims"]

Stage = Literal["tag", "robust-r1", "text", "unreadable"]

_BLOCKS: tuple[tuple[Stage, re.Pattern[str]], ...] = (
    (
        "tag",
        re.compile(
            r"<degradation>((?:(?!<degradation>).)*?)(?:</degradation>|(?=<degradation>)|\Z)",
            re.IGNORECASE | re.DOTALL,
        ),
    ),
    ("robust-r1", re.compile(r"<TYPE>(.*?)(?:<TYPE_END>|</TYPE>|\Z)", re.DOTALL)),
)
# Some chat templates open the thinking themselves, so that the reply only closes it.
_THOUGHT = re.compile(r"\A(?:(?!<think>).)*</think>|<think>.*?(?:</think>|\Z)", re.IGNORECASE | re.DOTALL)
# In thinking only what ends the reply counts: before that a model may quote the question's own examples.
_LAST_WORD = re.compile(
    r"<degradation>((?:(?!<degradation>).)*?)</degradation>\s*(?:</think>\s*)?\Z", re.IGNORECASE | re.DOTALL
)
_NONE = re.compile(
    r"\b(?:none(?! of the (?:other|rest))|(?<!not )(?<!n't )(?:untouched|undegraded|clean)"
    r"|no (?:visible |obvious )?(?:degradation|corruption|distortion)s?"
    r"(?! (?:other|except|but|besides|apart))"
    r"|not (?:been )?(?:degraded|corrupted))\b",
    re.IGNORECASE,
)
# Repeats are bounded, so that the search ends soon whatever a model writes.
_NUMBER = re.compile(r"(?<![\w.])(\d{1,6}(?:\.\d{1,12})?|\.\d{1,12})\s{0,3}(%?)(?!\.?\w)")
# A pair counts where it begins a line or an item; _KNOWN replaces types of ours in the text.
_KNOWN = "\0"
_PAIR = re.compile(
    r"(?:^[^A-Za-z\n\0]{0,8}|[,;{\[][\s\"']{0,3}|(?<=[\d%)\0])\s{1,3}and\s{1,3})"
    r"([A-Za-z][A-Za-z _-]{0,40}[A-Za-z])[\"'\s]{0,3}[:=(,]"
    r"[\"'\s]{0,3}(\d{0,6}\.?\d{1,12})\s{0,3}(%?)",
    re.MULTILINE,
)
_REMARKS = frozenset(
    re.findall(
        r"\w+",
        "type intensity severity strength level degradation corruption category amount degree value "
        "confidence certainty probability likelihood score "
        "a about approximately around roughly very quite fairly rather somewhat "
        "subtle slight slightly faint light minor mild weak low moderate moderately medium mid middle "
        "strong strongly severe heavy high hard extreme intense major maximum minimum",
    )
)
"""Words for amounts and certainty, none of which is a type."""

_ALIASES: Mapping[str, tuple[str, ...]] = {
    "hsv_saturation": ("saturation", "desaturation", "de saturation"),
    "jpeg_compression": ("compression", "jpeg", "jpg compression"),
    "gaussian_noise": ("noise",),
    "color_diffusion": ("colour diffusion",),
    "dark_illumination": ("low light", "darkness"),
    "atmospheric_turbulence": ("turbulence",),
    "sharpness_change": ("sharpness", "oversharpening"),
    "watermark_damage": ("watermark",),
}

_ROBUST_R1_ALIASES: Mapping[str, tuple[str, ...]] = {
    "block_exchange": ("block change",),
    "mean_shift": ("shifting",),
}
"""Names in Robust-R1's own list of types, which elsewhere are ordinary words."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One type that a reply names, and its strength in 0..1, None if it gives none.

    A type that is none of ours keeps its own name.
    """

    type: str
    intensity: float | None


@dataclass(frozen=True, slots=True)
class Claims:
    """All claims of a reply; none, at a `stage` other than `unreadable`, means an untouched picture."""

    claims: tuple[Claim, ...]
    stage: Stage

    @property
    def types(self) -> tuple[str, ...]:
        """The named types, in order."""
        return tuple(claim.type for claim in self.claims)


def read_claims(text: str, names: Iterable[str]) -> Claims:
    """Read the claims of a reply; `names` are all types.

    >>> read_claims("<degradation>lens_blur: 0.6</degradation>", ["lens_blur"]).claims
    (Claim(type='lens_blur', intensity=0.6),)
    >>> read_claims("The picture is untouched.", ["lens_blur"]).stage
    'text'
    """
    known = tuple(names)
    spoken = _THOUGHT.sub(" ", text)
    for stage, pattern in _BLOCKS:
        blocks = [block for block in pattern.findall(spoken) if block.strip()]
        if blocks:
            return _read_block(blocks[-1], known, stage)
    found = _read_text(spoken, known)
    last = _LAST_WORD.search(text) if found.stage == "unreadable" else None
    return _read_block(last[1], known, "tag") if last else found


def _read_text(text: str, names: tuple[str, ...]) -> Claims:
    found = tuple(_known_claims(text, _vocabulary(names)))
    # "It is clean, with no noise": a type that is only mentioned claims nothing.
    if _NONE.search(text) and all(claim.intensity is None for claim in found):
        return Claims((), "text")
    if len({claim.type for claim in found}) == 1:
        return Claims(found[-1:], "text")
    return Claims((), "unreadable")


def _read_block(block: str, names: tuple[str, ...], stage: Stage) -> Claims:
    if _NONE.match(block.lstrip(" \t\r\n\"'*")):
        return Claims((), stage)
    vocabulary = _vocabulary(names, theirs=stage == "robust-r1")
    found = tuple(_known_claims(block, vocabulary))
    foreign = tuple(_foreign_claims(vocabulary.pattern.sub(_KNOWN, block)))
    if not found and not foreign:
        if _NONE.search(block):
            return Claims((), stage)
        words = re.sub(r"[^A-Za-z _-]", " ", block).split()
        return Claims(
            (Claim(" ".join(words).lower(), None),) if words else (), stage if words else "unreadable"
        )
    return Claims(found + foreign, stage)


def _known_claims(text: str, vocabulary: _Vocabulary) -> Iterator[Claim]:
    spots = list(vocabulary.pattern.finditer(text))
    ends = [spot.start() for spot in spots[1:]] + [len(text)]
    for spot, end in zip(spots, ends, strict=False):
        rest = text[spot.end() : end]
        number = _NUMBER.search(rest)
        yield Claim(vocabulary.types[_plain(spot[0])], _strength(*number.groups()) if number else None)


def _foreign_claims(text: str) -> Iterator[Claim]:
    for name, number, percent in _PAIR.findall(text):
        plain = _plain(name)
        if not _is_remark(plain) and not _NONE.fullmatch(plain):
            yield Claim(plain, _strength(number, percent))


def _is_remark(plain: str) -> bool:
    """True if words tell a strength, a certainty, or the look of a type in the words of the question."""
    return _REMARKS.issuperset(plain.split()) or any(f" {plain} " in f" {look} " for look in LOOKS.values())


def _strength(number: str, percent: str) -> float | None:
    value = float(number) / (100 if percent else 1)
    return value if 0 <= value <= 1 else None


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().lower()


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    """The names by which types are known, each with its type, and a pattern that finds them."""

    types: Mapping[str, str]
    pattern: re.Pattern[str]


@lru_cache(maxsize=8)
def _vocabulary(names: tuple[str, ...], *, theirs: bool = False) -> _Vocabulary:
    own = {_plain(name): name for name in names}
    types = {_plain(name.rpartition(".")[2]): name for name in names} | own
    for aliases in (_ALIASES, _ROBUST_R1_ALIASES) if theirs else (_ALIASES,):
        for name in names:
            for alias in aliases.get(name, ()):
                types.setdefault(alias, name)
    # A short name is not the end of another type's: salt_and_pepper_noise is none of ours.
    alone = r"(?:(?<![A-Za-z][_-])|(?<=image[_-])|(?<=color[_-])|(?<=colour[_-]))"
    words = "|".join(
        ("" if name in own else alone) + re.escape(name).replace(r"\ ", r"[\s_-]+")
        for name in sorted(types, key=len, reverse=True)
    )
    return _Vocabulary(types, re.compile(rf"(?<![A-Za-z])(?:{words})(?![A-Za-z])", re.IGNORECASE))

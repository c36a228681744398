"""The canary: a check that a server answers from its own picture, and not from a cached one.

Servers have cached pictures under the placeholder in the prompt, an EXIF id, a file name, the first
1,000 characters or the bytes without the shape. Each of these keys confuses nearly identical pictures,
and the result looks like perfect robustness. So, before money is spent, a model reads numbers from
pictures that agree in all of these: the same prompt, EXIF id, size, length and first kilobyte. Two
pictures have the same pixel bytes in different shapes; a third one has the wider shape alone, so that a
model that cannot read this shape is not mistaken for a cache. One picture is plain. Every answer must
come from its own picture.

Numbers and a faint grain over the pictures are drawn from a seed, another one at every canary, so that no
cache knows the bytes.
"""

from __future__ import annotations

import io
import re
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, Literal

from mmdbench.records import ImageBytes, Outcome, Request
from mmdbench.system.digest import derive_seed, value_digest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "PROMPT",
    "ROUND",
    "SIZE",
    "CanaryResult",
    "Probe",
    "ProbeResult",
    "Verdict",
    "draw_numbers",
    "draw_seed",
    "is_misread",
    "judge_probe",
    "make_probes",
    "number_probe",
    "probe_request",
    "run_canary",
]

Verdict = Literal["own", "other", "unread", "failed"]

PROMPT = (
    "Read the picture. If it shows digits, write all of them from left to right, without spaces, and "
    "nothing else. If it shows no digits, write the single word none."
)

ROUND = 7
"""The number of probes of one round."""

SIZE = (320, 336)
"""Width and height of a probe's picture in pixels; the wide ones have as many."""

_WIDTH, _HEIGHT = SIZE
_EXIF_ID = "00000000000000000000000000000001"
_DIGITS = "23456789"  # neither 0 nor 1, which look like letters
_LENGTH = 4
_GRAIN = 3  # grey levels; too faint to see
_PLAIN_ROWS = 2  # without grain, so that the first kilobyte of all files agrees
_MISREAD = 0.75
_CONTROL, _WIDE = "wide, alone", "shape, wide"
_INK, _PAPER = 16, 240
_EXIF_FOLDER, _UNIQUE_ID_TAG = 0x8769, 0xA420


@dataclass(frozen=True, slots=True)
class Probe:
    """One picture of the canary, and the digits that it shows (`none`: no digits)."""

    name: str
    shows: str
    image: ImageBytes


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Result of a probe: an answer from its `own` or an `other` picture, `unread` digits, or `failed`.

    `pictures` is the number of different pictures that the server was shown before it, where it is known.
    """

    name: str
    shows: str
    verdict: Verdict
    reply: str
    pictures: int = 0


@dataclass(frozen=True, slots=True)
class CanaryResult:
    """Result of the canary.

    `verdict` is `passed` (each answer from its own picture), `caught` (an answer came from another
    picture), `unclear` (the model does not read the digits well enough to tell) or `failed` (a
    request failed). `seed` draws the same pictures again.
    """

    verdict: Literal["passed", "caught", "unclear", "failed"]
    probes: tuple[ProbeResult, ...]
    seed: int = 0

    @property
    def summary(self) -> str:
        """The result in one sentence."""
        deciding = {"passed": "own", "caught": "other", "unclear": "unread", "failed": "failed"}
        wrong = [p for p in self.probes if p.verdict == deciding[self.verdict]]
        named = ", ".join(f"{p.name} shows {p.shows} and got {p.reply[:40]!r}" for p in wrong[:2])
        return {
            "passed": f"all {len(self.probes)} answers came from their own pictures",
            "caught": f"an answer came from another picture: {named}",
            "unclear": f"the model does not read the digits, so nothing is known: {named}",
            "failed": f"a request failed: {wrong[0].reply if wrong else ''}",
        }[self.verdict]


def draw_seed() -> int:
    """A seed from fresh entropy, 0 to 2^53 - 1: every reader of JSON keeps it."""
    return secrets.randbits(53)


def draw_numbers(seed: int, count: int, taken: Collection[str] = ()) -> list[str]:
    """Numbers of four different digits, each drawn once.

    Args:
        seed: The seed of the draw.
        count: The number of numbers, 1000 at most.
        taken: Numbers to leave out.

    Returns:
        The numbers, in random order.
    """
    from itertools import permutations

    import numpy as np

    free = [number for digits in permutations(_DIGITS, _LENGTH) if (number := "".join(digits)) not in taken]
    return [free[at] for at in np.random.default_rng(seed).permutation(len(free))[:count]]


def number_probe(number: str, seed: int) -> Probe:
    """The probe of a number, on a picture with the grain of the seed."""
    return Probe(f"digits {number}", number, _as_png(_grained(_picture(number, _HEIGHT, _WIDTH), seed)))


def make_probes(seed: int, taken: Collection[str] = ()) -> tuple[Probe, ...]:
    """The probes of one round, in order.

    Args:
        seed: The seed of numbers and grain.
        taken: Numbers to leave out.

    Returns:
        `ROUND` probes.
    """
    drawn = draw_numbers(seed, 100, taken)
    halves = {number[:2] for number in taken if number in (number[:2], number[:2] * 2)}
    numbers, shared = drawn[:3], next(n for n in drawn[3:] if not halves & {n[:2], n[2:]})
    twin, single = shared[:2], shared[2:]
    # Each row twice: read at half the height, the same bytes show the number twice, side by side.
    tall, alone = (
        _grained(_picture(n, _HEIGHT // 2, _WIDTH).repeat(2, axis=0), seed + at)
        for at, n in enumerate((twin, single), 4)
    )
    wide_shape = (_HEIGHT // 2, _WIDTH * 2, 3)
    plain = _grained(_picture("", _HEIGHT, _WIDTH), seed + 6)
    return (
        *(number_probe(number, seed + at) for at, number in enumerate(numbers)),
        Probe("shape, tall", twin, _as_png(tall)),
        Probe(_CONTROL, single * 2, _as_png(alone.reshape(wide_shape))),
        Probe(_WIDE, twin * 2, _as_png(tall.reshape(wide_shape))),
        Probe("plain", "none", _as_png(plain)),
    )


def run_canary(
    ask: Callable[[Sequence[Request]], Sequence[Outcome]],
    generation: Mapping[str, Any],
    seed: int,
    rounds: int = 2,
) -> CanaryResult:
    """Ask a round of probes one by one, then further ones all at once in reverse order.

    Args:
        ask: Answers the given requests, which may be in flight together.
        generation: The generation settings of the model card.
        seed: The seed of the probes; every round has probes of its own.
        rounds: The number of rounds, 1 or 2.

    Returns:
        The result over all rounds.
    """
    probes = list(make_probes(seed))
    results = []
    for at, probe in enumerate(probes):
        request = probe_request(probe, f"{seed}, {at}", generation)
        results.append(_judge(probe, ask([request])[0], probes))
        if results[-1].verdict == "failed":
            return CanaryResult("failed", tuple(results), seed)
    if rounds > 1:
        again = make_probes(seed + ROUND, {probe.shows for probe in probes})[::-1]
        probes += again
        outcomes = ask([probe_request(p, f"{seed}, {at}", generation) for at, p in enumerate(again, ROUND)])
        results += [_judge(probe, outcome, probes) for probe, outcome in zip(again, outcomes, strict=True)]
    # A model that does not see the second number writes one number, with or without a cache.
    if not all(r.verdict == "own" for r in results if r.name == _CONTROL):
        results = [
            replace(r, verdict="unread") if r.name == _WIDE and r.verdict == "other" else r for r in results
        ]
    repeated = _repeated_numbers(results)
    results = [
        replace(r, pictures=at, verdict="other" if _digits(r.reply) in repeated else r.verdict)
        for at, r in enumerate(results)
    ]
    return CanaryResult(_overall(results), tuple(results), seed)


def _repeated_numbers(results: Sequence[ProbeResult]) -> set[str]:
    """Numbers that no picture shows and several answers name: a cache keeps them from an earlier canary."""
    named = Counter(_digits(result.reply) for result in results if result.verdict == "unread")
    return {
        number
        for number, count in named.items()
        if count > 1 and len(number) == _LENGTH == len(set(number)) and set(number) <= set(_DIGITS)
    }


def _overall(results: Sequence[ProbeResult]) -> Literal["passed", "caught", "unclear", "failed"]:
    verdicts = {result.verdict for result in results}
    if "other" in verdicts:
        return "caught"
    if "failed" in verdicts:
        return "failed"
    return "unclear" if "unread" in verdicts else "passed"


def judge_probe(shows: str, outcome: Outcome, others: Collection[str]) -> Verdict:
    """The verdict on an answer.

    Args:
        shows: The digits that the picture shows, or `none`.
        outcome: The answer.
        others: The digits of other pictures that were shown.

    Returns:
        `other` if the answer is the digits of another picture; digits that are nearly right are misread.
    """
    if outcome.status == "error":
        return "failed"
    found = _digits(outcome.text)
    if found == shows:
        return "own"
    return "other" if found in set(others) - {"none"} and not is_misread(shows, outcome.text) else "unread"


def is_misread(shows: str, text: str) -> bool:
    """True if a reply differs from the digits of its picture in one of them, or in their order."""
    return SequenceMatcher(None, shows, _digits(text), autojunk=False).ratio() >= _MISREAD


def probe_request(probe: Probe, name: str, generation: Mapping[str, Any]) -> Request:
    """The request of a probe.

    Args:
        probe: The probe.
        name: A name that tells the request apart from others of the same probe.
        generation: The generation settings of the model card.

    Returns:
        The request.
    """
    key = value_digest(["canary", probe.name, name])
    return Request(key, PROMPT, PROMPT, {}, (probe.image,), derive_seed(key), generation)


def _digits(text: str) -> str:
    # A reasoning model names digits in its thoughts; its answer is the text after them.
    return "".join(re.findall(r"\d", text.rpartition("</think>")[2])) or (
        "none" if re.search(r"\bnone\b|\bno\b", text.lower()) else ""
    )


def _judge(probe: Probe, outcome: Outcome, probes: Sequence[Probe]) -> ProbeResult:
    verdict = judge_probe(probe.shows, outcome, {other.shows for other in probes})
    reply = outcome.reason if verdict == "failed" else outcome.text
    return ProbeResult(probe.name, probe.shows, verdict, reply)


def _picture(text: str, height: int, width: int) -> NDArray[np.uint8]:
    import cv2
    import numpy as np

    pixels = np.full((height, width, 3), _PAPER, np.uint8)
    font, thick = cv2.FONT_HERSHEY_SIMPLEX, 8
    (wide, tall), _ = cv2.getTextSize(text or "0", font, 1.0, thick)
    scale = min(0.75 * width / wide, 0.5 * height / tall)
    (wide, tall), _ = cv2.getTextSize(text or "0", font, scale, thick)
    place = ((width - wide) // 2, (height + tall) // 2)
    cv2.putText(pixels, text, place, font, scale, (_INK,) * 3, thick, cv2.LINE_AA)
    return pixels


def _grained(pixels: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """The picture with a faint grain, which makes its bytes new."""
    import numpy as np

    grain = np.random.default_rng(seed).integers(-_GRAIN, _GRAIN + 1, pixels.shape, np.int16)
    grain[:_PLAIN_ROWS] = 0
    grained: NDArray[np.uint8] = np.clip(pixels + grain, 0, 255).astype(np.uint8)
    return grained


def _as_png(pixels: NDArray[np.uint8]) -> ImageBytes:
    """The picture without compression, so that files of one shape have the same length and beginning."""
    from PIL import Image

    picture = Image.fromarray(pixels)
    exif = picture.getexif()
    exif[_EXIF_FOLDER] = {_UNIQUE_ID_TAG: _EXIF_ID}
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=0, exif=exif)
    return ImageBytes(buffer.getvalue(), "image/png")

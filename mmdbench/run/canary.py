"""The canary: a check that a server answers from its own picture, and not from a cached one.

Servers have cached pictures under the placeholder in the prompt, an EXIF id, a file name, the first
1,000 characters or the bytes without the shape. Each of these keys confuses nearly identical pictures,
and the result looks like perfect robustness. So, before money is spent, a model reads numbers from
pictures that agree in all of these: the same prompt, EXIF id, size, length and first kilobyte. Two
pictures have the same pixel bytes in different shapes; a third one has the wider shape alone, so that a
model that cannot read this shape is not mistaken for a cache. One picture is plain. Every answer must
come from its own picture.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from mmdbench.records import ImageBytes, Outcome, Request
from mmdbench.system.digest import derive_seed, value_digest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PROMPT", "CanaryResult", "Probe", "ProbeResult", "make_probes", "run_canary"]

PROMPT = (
    "Read the picture. If it shows digits, write all of them from left to right, without spaces, and "
    "nothing else. If it shows no digits, write the single word none."
)

_HEIGHT, _WIDTH = 336, 320
_EXIF_ID = "00000000000000000000000000000001"
_NUMBERS = ("274", "831", "596")
_TWIN, _ALONE = "45", "61"
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
    """Result of a probe: an answer from its `own` or an `other` picture, `unread` digits, or `failed`."""

    name: str
    shows: str
    verdict: Literal["own", "other", "unread", "failed"]
    reply: str


@dataclass(frozen=True, slots=True)
class CanaryResult:
    """Result of the canary.

    `verdict` is `passed` (each answer from its own picture), `caught` (an answer came from another
    picture), `unclear` (the model does not read the digits well enough to tell) or `failed` (a
    request failed).
    """

    verdict: Literal["passed", "caught", "unclear", "failed"]
    probes: tuple[ProbeResult, ...]

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


def make_probes() -> tuple[Probe, ...]:
    """The probes, in the order of the first round."""
    numbers = [Probe(f"digits {n}", n, _as_png(_picture(n, _HEIGHT, _WIDTH))) for n in _NUMBERS]
    # Each row twice: read at half the height, the same bytes show the number twice, side by side.
    tall, alone = (_picture(n, _HEIGHT // 2, _WIDTH).repeat(2, axis=0) for n in (_TWIN, _ALONE))
    wide_shape = (_HEIGHT // 2, _WIDTH * 2, 3)
    plain = _picture("", _HEIGHT, _WIDTH)
    return (
        *numbers,
        Probe("shape, tall", _TWIN, _as_png(tall)),
        Probe(_CONTROL, _ALONE * 2, _as_png(alone.reshape(wide_shape))),
        Probe(_WIDE, _TWIN * 2, _as_png(tall.reshape(wide_shape))),
        Probe("plain", "none", _as_png(plain)),
    )


def run_canary(
    ask: Callable[[Sequence[Request]], Sequence[Outcome]], generation: Mapping[str, Any]
) -> CanaryResult:
    """Ask all probes one by one, then all at once in reverse order, and judge the answers.

    `ask` answers the given requests, which may be in flight together.
    """
    probes = make_probes()
    results = []
    for probe in probes:
        request = _request(probe, 1, generation)
        results.append(_judge(probe, ask([request])[0], probes))
        if results[-1].verdict == "failed":
            return CanaryResult("failed", tuple(results))
    again = probes[::-1]
    outcomes = ask([_request(probe, 2, generation) for probe in again])
    results += [_judge(probe, outcome, probes) for probe, outcome in zip(again, outcomes, strict=True)]
    # A model that does not see the second number writes one number, with or without a cache.
    if not all(r.verdict == "own" for r in results if r.name == _CONTROL):
        results = [
            replace(r, verdict="unread") if r.name == _WIDE and r.verdict == "other" else r for r in results
        ]
    return CanaryResult(_overall(results), tuple(results))


def _overall(results: Sequence[ProbeResult]) -> Literal["passed", "caught", "unclear", "failed"]:
    verdicts = {result.verdict for result in results}
    if "other" in verdicts:
        return "caught"
    if "failed" in verdicts:
        return "failed"
    return "unclear" if "unread" in verdicts else "passed"


def _judge(probe: Probe, outcome: Outcome, probes: Sequence[Probe]) -> ProbeResult:
    if outcome.status == "error":
        return ProbeResult(probe.name, probe.shows, "failed", outcome.reason)
    # A reasoning model names digits in its thoughts; its answer is the text after them.
    found = "".join(re.findall(r"\d", outcome.text.rpartition("</think>")[2])) or (
        "none" if re.search(r"\bnone\b|\bno\b", outcome.text.lower()) else ""
    )
    if found == probe.shows:
        verdict: Literal["own", "other", "unread"] = "own"
    elif found in {other.shows for other in probes} - {"none"}:
        verdict = "other"
    else:
        verdict = "unread"
    return ProbeResult(probe.name, probe.shows, verdict, outcome.text)


def _request(probe: Probe, round_number: int, generation: Mapping[str, Any]) -> Request:
    key = value_digest(["canary", probe.name, round_number])
    return Request(key, PROMPT, PROMPT, {}, (probe.image,), derive_seed(key), generation)


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


def _as_png(pixels: NDArray[np.uint8]) -> ImageBytes:
    """The picture without compression, so that files of one shape have the same length and beginning."""
    from PIL import Image

    picture = Image.fromarray(pixels)
    exif = picture.getexif()
    exif[_EXIF_FOLDER] = {_UNIQUE_ID_TAG: _EXIF_ID}
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=0, exif=exif)
    return ImageBytes(buffer.getvalue(), "image/png")

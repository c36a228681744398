"""Scores kinds of places that a picture may show, by its detected objects and its layout of colours."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import cv2
import numpy as np

from .vocabulary import COCO, objects_in, words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .findings import Findings

__all__ = ["scene_scores", "scene_similarity"]

_WORDS = {
    "indoors": r"indoors?|inside|interior|room|hall|studio|garage|workshop|cellar|shop|office|bathroom|"
    r"bedroom",
    "outdoors": r"outdoors?|outside|open air|nature|countryside",
    "street": r"street|road|city|town|urban|avenue|traffic|residential|alley|highway|motorway",
    "desert": r"desert",
    "kitchen": r"kitchen",
    "airport": r"airport|runway|airfield",
    "station": r"railway|station|platform",
    "sky": r"sky|air|in flight",
    "sea": r"sea|ocean|lake|river|water|harbou?r|port|bay|canal|waterside|riverbank|stream|creek",
    "beach": r"beach|coast|seaside|shore|seashore",
    "meadow": r"meadow|field|pasture|grassland|farm|lawn|steppe|prairie|plain",
    "woods": r"forest|woods?|woodland|park|garden|jungle|trees|hedge|flower bed|flowerbed",
    "hills": r"mountains?|hills?|alps|alpine|valley|peak|canyon|highlands?",
    "page": r"page|document|book|newspaper|sign|signpost|puzzle|poster|text",
    "portrait": r"portrait",
    "night": r"night|night-time|dark|midnight",
    "day": r"day|daytime|noon|midday|daylight|morning|afternoon",
    "sunset": r"sunset|sunrise|dusk|dawn|evening",
    "snow": r"snow|snowy|winter|ski slope|glacier",
    "table": r"table|caf[eé]|restaurant|meal|dining",
    "sunny": r"sunny|fine|clear|bright|blue sky",
    "cloudy": r"cloudy|overcast|grey sky|dull|foggy",
}
_INDOOR = [56, 57, 59, 60, 61, 62, 63, 64, 65, 66, 68, 69, 70, 71, 72]
_ON_TABLES = [39, 40, 41, 42, 43, 44, 45, 48, 53, 54, 55, 60]
_SURE = 0.45


def scene_similarity(text: str, scores: Mapping[str, float], findings: Findings) -> float | None:
    """The fit of a text such as "A city street with cars" to a picture, 0..1; None if no word is known."""
    plain = words(text)
    if "car park" in plain:
        return scores["street"]
    found = [scores[name] for name, form in _WORDS.items() if re.search(rf"\b(?:{form})\b", plain)]
    for _, _, classes in objects_in(text):
        found.append(max((t.score for t in findings.objects if t.number in classes), default=0.0))
    return sum(found) / len(found) if found else None


def scene_scores(findings: Findings, *, with_text: bool = False) -> dict[str, float]:
    """A score 0..1 for each kind of place; `with_text` also reads text, which takes ten times as long."""
    layout = _layout(findings)
    sure = [t for t in findings.objects if t.score >= _SURE]
    seen = {i: sum(t.score for t in sure if t.number == i) for i in range(len(COCO))}
    vehicles = min(1.0, 0.5 * sum(seen[i] for i in (2, 3, 5, 7, 9, 11)))
    boats = min(1.0, seen[8])
    grazing = min(1.0, 0.5 * sum(seen[i] for i in (17, 18, 19)))
    indoor = min(1.0, 0.7 * sum(seen[i] for i in _INDOOR + _ON_TABLES))
    sky, green, dark = layout["sky"], layout["green"], layout["dark"]
    open_air = min(1.0, sky + 0.7 * green + 0.5 * vehicles + boats + grazing + min(1.0, seen[14]))
    person = max((t.area for t in sure if t.number == 0), default=0.0)
    return {
        "indoors": max(0.0, 0.6 * indoor + 0.5 - open_air),
        "outdoors": open_air * (1 - 0.5 * indoor),
        "street": vehicles,
        "desert": layout["sand"] * sky * (1 - min(1.0, 2 * green)) * (1 - vehicles),
        "kitchen": min(1.0, sum(seen[i] for i in (68, 69, 70, 71, 72))),
        "airport": 0.7 * min(1.0, seen[4]),
        "station": min(1.0, seen[6]),
        "sky": max(min(1.0, seen[4]), 0.8 * sky * (sky > 0.9)),
        "sea": max(boats, layout["water"]),
        "beach": min(1.0, layout["sand"] * sky * 1.5 + 0.3 * sky * min(1.0, seen[33] + seen[37])),
        "meadow": max(grazing, layout["low_green"] * sky) * (1 - vehicles),
        "woods": min(1.0, 1.6 * green) * (1 - vehicles) * (1 - 0.5 * sky),
        "hills": 0.45 * sky * (1 - vehicles) * (1 - boats),
        "page": min(1.0, sum(line.height for line in findings.lines) * 3) if with_text else 0.0,
        "portrait": min(1.0, 2 * person),
        "night": dark,
        "day": 1 - dark - 0.5 * layout["warm_sky"],
        "sunset": layout["warm_sky"],
        "snow": layout["white_ground"] * (1 - indoor),
        "table": min(1.0, 0.5 * sum(seen[i] for i in _ON_TABLES)),
        "sunny": layout["blue_sky"],
        "cloudy": max(0.0, sky - layout["blue_sky"]),
    }


def _layout(findings: Findings) -> dict[str, float]:
    image = findings.small
    names = findings.names
    height = image.shape[0]
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    value = hsv[..., 2].astype(np.float32) / 255
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    smooth = np.abs(grey - cv2.blur(grey, (5, 5))) < 6
    upper, lower = slice(0, max(1, height // 3)), slice(height - max(1, height // 3), height)

    def share(rows: slice, *colours: int) -> float:
        return float(np.isin(names[rows], colours).mean())

    red, orange, yellow, green, blue, _, pink, brown, beige, white, _, grey_name = range(12)
    pale = np.isin(names[upper], (white, grey_name, beige)) & smooth[upper] & (value[upper] > 0.45)
    blue_sky = (names[upper] == blue) & smooth[upper] & (value[upper] > 0.35)
    mean = float(value.mean())
    return {
        "sky": float((pale | blue_sky).mean()),
        "blue_sky": float(blue_sky.mean()),
        "green": share(slice(0, height), green),
        "low_green": share(lower, green, yellow, brown),
        "water": 0.8 * share(lower, blue),
        "sand": share(lower, beige, brown, orange),
        "white_ground": share(lower, white) if share(slice(0, height), white) < 0.6 else 0.0,
        "dark": float(np.clip((0.35 - mean) / 0.2, 0, 1)),
        "warm_sky": min(1.0, 1.5 * share(upper, red, orange, yellow, pink)) * float(mean < 0.6),
    }

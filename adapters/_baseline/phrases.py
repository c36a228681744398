"""Phrases that show the kind of a question; all match `words(question)`."""

from __future__ import annotations

import re

__all__ = [
    "ABOUT_PICTURE",
    "AMOUNT",
    "AT_PLACE",
    "COUNT",
    "EXISTS",
    "FILLER",
    "HEAD_ENDS",
    "LARGEST",
    "MONOCHROME",
    "NEAREST",
    "NEGATED",
    "OPENING",
    "READ",
    "RELATION",
    "SCENE",
    "WHERE",
]

_PICTURE = r"(?:picture|photo\w*|image|scene|shot)"


def _any(*forms: str) -> re.Pattern[str]:
    return re.compile(r"\b(?:" + "|".join(forms) + r")\b")


ABOUT_PICTURE = _any(_PICTURE, "print")
MONOCHROME = _any(
    "black[ -]and[ -]white",
    "monochrome",
    "gr[ea]yscale",
    "sepia",
    "in (?:full )?colou?r",
    "colou?r " + _PICTURE,
)
COUNT = _any("how many", "what number of", "what is the number of", "count the")
READ = _any(
    *("reads?", "legible", "says?", "written", "writing", "printed", "spell(?:s|ed|ing)?"),
    *("words?", "text", "letters?", "digits?", "sentence", "phrase", "inscription"),
    *("caption", "titled?", "heading", "headline", "number plate", "licen[cs]e plate", "named on"),
    r"(?:what|which) (?:number|name) (?!of\b)\w+",
)
SCENE = _any(
    r"(?:kind|sort|type) of (?:place|scene|setting|environment|location|landscape|weather|room|area|view)",
    rf"(?:kind|sort|type) of (?:surroundings|{_PICTURE})",
    *("scene", "scenery", "setting", "surroundings", "landscape", "environment"),
    *("indoors?", "outdoors?", "inside or outside", "what place", "which place"),
    *("time of (?:the )?(?:day|year)", "weather", "season"),
    *("daytime", "night-?time", "at night", "by day", "daylight", "day or night"),
    rf"where (?:was|is|were|has) (?:this|the|it)(?: {_PICTURE})?(?: been)? ?(?:taken|made)",
    _PICTURE + " (?:mainly |mostly |best )?(?:shows?|depicts?|taken)",
)
RELATION = _any(
    *("left", "right", "above", "below", "under", "underneath", "beneath", "over", "higher", "lower"),
    *("in front of", "behind", "beside", "next to"),
)
WHERE = _any(
    "where",
    "(?:which|what) (?:side|part|half|corner|area|third|quarter|edge)",
    r"left or (?:\w+ ){0,4}right",
    r"top or (?:\w+ ){0,4}bottom",
    r"upper or (?:\w+ ){0,3}lower",
)
EXISTS = _any(
    "^(?:is|are) (?:there|any|at least)",
    *("be seen", "visible", "be found", "do you see", "can you see", "in view", "appears?"),
    _PICTURE + " (?:show|contain|include|depict|have|feature)s?",
    "^(?:does|do) (?:the|this) " + _PICTURE,
    f"^is this (?:a |an )?{_PICTURE}? ?of",
    rf"(?:is|are) (?:\w+ ){{0,4}}(?:in|on|shown in|present in) (?:the|this) {_PICTURE}$",
)
NEGATED = _any(
    *("not", "cannot", "can't", "isn't", "none", "neither", "nowhere", "except"), "(?:missing|absent) from"
)
HEAD_ENDS = _any(
    *("in", "on", "at", "with", "near", "behind", "beside", "to", "from", "under", "above", "below", "next"),
    *("between", "inside", "outside", "there", "anywhere", "altogether", "left", "right"),
    *("that", "which", "who", "whose", "be", "can", "are", "is", "do", "does", "has", "have"),
    *("seen", "shown", "visible", "appears?", "parked", "lying", "flying", "leaning", "looking"),
    *("wearing", "holding", "carrying", "riding", "eating", "sitting", "standing", "walking"),
)
OPENING = re.compile(
    r"^(?:(?:is|are) there|is this|can you see|do you see|how many|what is the number of|what number of|"
    rf"count the|does (?:the|this) {_PICTURE} (?:show|contain|include|depict|have)|can|is|are)\b"
)
FILLER = _any(
    *(
        "a",
        "an",
        "the",
        "any",
        "some",
        "of these",
        "other",
        "different",
        "separate",
        "real",
        "living",
        "whole",
    ),
    *("at least", "exactly", "more than", "fewer than", "less than", "at most", "only", _PICTURE + " of"),
    "(?:group|pair|herd|flock|number|couple|row|bunch|kind|set)s? of",
)
AMOUNT = re.compile(
    r"\b(exactly|more than|fewer than|less than|at least|at most|only|just)? ?"
    r"\b(one|two|three|four|five|six|seven|eight|nine|ten|several|\d+) (?=[a-z])"
)
AT_PLACE = re.compile(
    r"(?: \w+)? (?:on|at|in|to|nearest|from) the (?:far |very )?([\w-]+)(?! of (?:the )?\w)"
)
LARGEST = _any("largest", "biggest", "nearest", "closest", "big", "main")
NEAREST = re.compile(
    r" (?:nearest|closest) to (?:the camera|the viewer|the front|us)|(?: in| at)? the foreground"
)

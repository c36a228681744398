"""The words that the demonstration model knows: detectable objects, colours, numbers, places."""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["COCO", "colours_in", "number_in", "objects_in", "places_in", "words"]

COCO = [
    "person",
    "bicycle",
    "car",
    "motorcycle",
    "airplane",
    "bus",
    "train",
    "truck",
    "boat",
    "traffic light",
    "fire hydrant",
    "stop sign",
    "parking meter",
    "bench",
    "bird",
    "cat",
    "dog",
    "horse",
    "sheep",
    "cow",
    "elephant",
    "bear",
    "zebra",
    "giraffe",
    "backpack",
    "umbrella",
    "handbag",
    "tie",
    "suitcase",
    "frisbee",
    "skis",
    "snowboard",
    "sports ball",
    "kite",
    "baseball bat",
    "baseball glove",
    "skateboard",
    "surfboard",
    "tennis racket",
    "bottle",
    "wine glass",
    "cup",
    "fork",
    "knife",
    "spoon",
    "bowl",
    "banana",
    "apple",
    "sandwich",
    "orange",
    "broccoli",
    "carrot",
    "hot dog",
    "pizza",
    "donut",
    "cake",
    "chair",
    "couch",
    "potted plant",
    "bed",
    "dining table",
    "toilet",
    "tv",
    "laptop",
    "mouse",
    "remote",
    "keyboard",
    "cell phone",
    "microwave",
    "oven",
    "toaster",
    "sink",
    "refrigerator",
    "book",
    "clock",
    "vase",
    "scissors",
    "teddy bear",
    "hair drier",
    "toothbrush",
]

_SYNONYMS = {
    "person": "people, human, man, men, woman, women, child, children, kid, boy, girl, lady, ladies, "
    "gentleman, "
    "gentlemen, adult, baby, toddler, pedestrian, rider, cyclist, motorcyclist, walker, surfer, skier, "
    "tourist, "
    "passer-by, passerby, passers-by, passersby, astronaut, officer, soldier, player, worker, human being, "
    "somebody, someone, anybody, anyone, hiker, bather",
    "bicycle": "bike, cycle, push-bike, pushbike, racing bike, racing bicycle, road bike",
    "car": "automobile, motor car, motorcar, taxi, cab, sedan, estate car, station wagon, hatchback, suv, "
    "parked car",
    "motorcycle": "motorbike, motor bike, motor-bike, moped, scooter, motor scooter",
    "airplane": "plane, aeroplane, aircraft, jet, biplane, airliner",
    "bus": "coach, minibus",
    "train": "locomotive, tram, railway carriage",
    "truck": "lorry, lorries, pickup, pick-up",
    "boat": "ship, sailing boat, sailboat, sailing ship, yacht, canoe, vessel, rowing boat, ferry, "
    "ferries, fishing boat",
    "traffic light": "traffic signal, stoplight",
    "fire hydrant": "hydrant",
    "bench": "park bench",
    "bird": "eagle, hawk, falcon, pigeon, gull, seagull, duck, goose, geese, swan, parrot, owl, crow, "
    "raptor, "
    "bird of prey, birds of prey, sparrow, chicken",
    "cat": "kitten, kitty, tabby, tabby cat, tomcat",
    "dog": "puppy, puppies, hound, poodle, sheepdog",
    "horse": "pony, ponies, foal, stallion, mare",
    "sheep": "lamb, ram, ewe",
    "cow": "cattle, bull, calf, calves, ox, oxen",
    "backpack": "rucksack",
    "umbrella": "parasol",
    "handbag": "purse",
    "tie": "necktie",
    "sports ball": "ball, football, soccer ball, tennis ball, basketball",
    "bottle": "wine bottle, bottle of wine, water bottle, beer bottle",
    "wine glass": "wineglass, glass of wine, glasses of wine",
    "cup": "mug, coffee cup, teacup, tea cup, cup of coffee, cups of coffee, cup of tea",
    "spoon": "teaspoon",
    "bowl": "dish",
    "orange": "orange fruit",
    "broccoli": "",
    "donut": "doughnut",
    "couch": "sofa, settee",
    "potted plant": "plant pot, flower pot, flowerpot, houseplant, house plant, pot plant",
    "dining table": "table, desk",
    "tv": "television, tv set, television set, monitor, screen",
    "laptop": "laptop computer, notebook computer",
    "remote": "remote control",
    "cell phone": "cellphone, mobile phone, mobile, smartphone, telephone, phone",
    "refrigerator": "fridge",
    "teddy bear": "teddy",
    "hair drier": "hairdryer, hair dryer",
}

_GROUPS = {
    "animal": range(14, 24),
    "mammal": range(15, 24),
    "pet": range(15, 17),
    "living being": [0, *range(14, 24)],
    "living creature": [0, *range(14, 24)],
    "farm animal": [17, 18, 19],
    "vehicle": [1, 2, 3, 4, 5, 6, 7, 8],
    "motor vehicle": [2, 3, 5, 7],
    "van": [2, 7],
    "two-wheeler": [1, 3],
    "fruit": [46, 47, 49],
    "furniture": [13, 56, 57, 59, 60],
    "citrus fruit": [49],
}

_COLOURS = {
    "red": "red, crimson, scarlet, reddish, dark red, maroon",
    "orange": "orange, orange-brown, peach, rust",
    "yellow": "yellow, golden, yellowish, gold",
    "green": "green, greenish, dark green, light green, olive, lime",
    "blue": "blue, bluish, dark blue, light blue, navy, navy blue, turquoise, cyan, teal",
    "purple": "purple, violet, lilac, mauve, magenta",
    "pink": "pink, rose-coloured",
    "brown": "brown, brownish, tan, chestnut, sepia",
    "beige": "beige, cream, cream-coloured, sand-coloured",
    "white": "white, whitish, ivory",
    "black": "black",
    "grey": "grey, gray, greyish, silver",
}

_NUMBERS = {
    word: value
    for value, names in enumerate(
        [
            "no none zero nobody",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
            "twenty",
        ]
    )
    for word in names.split()
}
_NUMBERS |= {
    "single": 1,
    "both": 2,
    "pair": 2,
    "couple": 2,
    "dozen": 12,
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
}

_AFTER_A_NOUN = (
    r"(?:in|on|at|and|or|to|is|are|of|with|that|visible|seen|be|next|left|right|above|below|near)\b"
)

_PLACES = {
    "left": r"left|leftmost|left-hand",
    "right": r"right|rightmost|right-hand",
    "top": r"top|upper|above|topmost|uppermost|higher|over|highest",
    "bottom": r"bottom|lower|below|under|underneath|beneath|lowest|foot",
    "middle": r"middle|cent(?:re|er)|central",
}


def words(text: str) -> str:
    """Lower-case words with single spaces between them and no punctuation except hyphens inside words."""
    return " ".join(re.findall(r"[a-z0-9à-ÿ]+(?:-[a-z0-9]+)*", text.lower()))


def _plurals(name: str) -> list[str]:
    forms = [name, name + "s"]
    if re.search(r"(?:s|x|ch|sh)$", name):
        forms.append(name + "es")
    if re.search(r"[^aeiou]y$", name):
        forms.append(name[:-1] + "ies")
    if name.endswith("fe"):
        forms.append(name[:-2] + "ves")
    return forms


@lru_cache(maxsize=1)
def _lexicon() -> tuple[dict[str, frozenset[int]], re.Pattern[str]]:
    known: dict[str, frozenset[int]] = {}
    for index, name in enumerate(COCO):
        for word in [name, *filter(None, _SYNONYMS.get(name, "").split(", "))]:
            for form in _plurals(word):
                known.setdefault(form, frozenset({index}))
    for name, members in _GROUPS.items():
        for form in _plurals(name):
            known[form] = frozenset(members)
    longest_first = sorted(known, key=len, reverse=True)
    return known, re.compile(r"(?<![\w-])(?:" + "|".join(map(re.escape, longest_first)) + r")(?![\w-])")


def objects_in(text: str) -> list[tuple[int, int, frozenset[int]]]:
    """The detectable objects named in a text, in order: (start, end, COCO class numbers) in `words(text)`.

    >>> [sorted(classes) for _, _, classes in objects_in("two men and a motorbike")]
    [[0], [3]]
    """
    known, pattern = _lexicon()
    plain = words(text)
    found = []
    for match in pattern.finditer(plain):
        is_colour = match[0] == "orange" and re.match(rf" (?!{_AFTER_A_NOUN})[a-z]", plain[match.end() :])
        if not is_colour:
            found.append((match.start(), match.end(), known[match[0]]))
    return found


@lru_cache(maxsize=1)
def _colour_words() -> tuple[dict[str, str], re.Pattern[str]]:
    known = {word: name for name, group in _COLOURS.items() for word in group.split(", ")}
    longest_first = sorted(known, key=len, reverse=True)
    return known, re.compile(r"(?<![\w-])(?:" + "|".join(map(re.escape, longest_first)) + r")(?![\w])")


def colours_in(text: str) -> tuple[str, ...]:
    """The basic colours named in a text, each once, in order.

    >>> colours_in("Dark green and cream")
    ('green', 'beige')
    """
    known, pattern = _colour_words()
    return tuple(dict.fromkeys(known[m[0]] for m in pattern.finditer(words(text).replace("-and-", " and "))))


def number_in(text: str) -> int | None:
    """The first number in a text, as digits or as an English word; None where there is none."""
    for word in words(text).replace("-", " ").split():
        if word.isdigit() and len(word) < 7:
            return int(word)
        if word in _NUMBERS:
            return _NUMBERS[word]
    return None


def places_in(text: str) -> frozenset[str]:
    """The places of a picture named in a text: left, right, top, bottom, middle.

    >>> sorted(places_in("In the upper left corner"))
    ['left', 'top']
    """
    plain = words(text)
    return frozenset(name for name, form in _PLACES.items() if re.search(rf"\b(?:{form})\b", plain))

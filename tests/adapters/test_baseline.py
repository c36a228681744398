"""The demonstration model: parsed questions, answers from pictures, and questions it cannot answer."""

from __future__ import annotations

import importlib.util
import io
import json
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmdbench.adapters._baseline.colour import is_monochrome, name_pixels, patches
from mmdbench.adapters._baseline.questions import parse
from mmdbench.adapters._baseline.reader import Line, text_similarity
from mmdbench.adapters._baseline.vocabulary import colours_in, number_in, objects_in, places_in
from mmdbench.adapters.baseline import UNKNOWN, BaselineModel, load
from PIL import Image, ImageDraw, ImageFont, features

from mmdbench.errors import MissingExtraError, ModelError
from mmdbench.models import ModelCard
from mmdbench.records import ImageBytes, Request

CARD = ModelCard(name="baseline", adapter="baseline")
DOG = Path(__file__).parents[1] / "data" / "dog.jpg"
YES_NO = {"A": "Yes", "B": "No"}

needs_models = pytest.mark.skipif(
    importlib.util.find_spec("onnxruntime") is None or importlib.util.find_spec("rapidocr") is None,
    reason="needs onnxruntime and rapidocr: pip install 'mmdbench[demo]'",
)


@pytest.fixture(scope="module")
def model() -> BaselineModel:
    return load(CARD)


@pytest.fixture(scope="module")
def dog() -> np.ndarray[Any, Any]:
    with Image.open(DOG) as image:
        return np.asarray(image.convert("RGB"))


def request(question: str, options: Mapping[str, str], data: bytes, mime: str = "image/jpeg") -> Request:
    return Request(
        key="k", prompt=question, question=question, options=options, images=(ImageBytes(data, mime),)
    )


def answer(
    model: BaselineModel, question: str, options: Mapping[str, str], image: np.ndarray[Any, Any]
) -> str:
    data = encoded(Image.fromarray(image), "PNG")
    return model.generate([request(question, options, data, "image/png")])[0].text


def labelled(*texts: str) -> dict[str, str]:
    return dict(zip("ABCDEF", texts, strict=False))


def encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def plain(colour: tuple[int, int, int], size: tuple[int, int] = (64, 48)) -> np.ndarray[Any, Any]:
    return np.asarray(Image.new("RGB", size, colour))


@pytest.mark.parametrize(
    ("question", "options", "kind"),
    [
        ("Is there a dog in the picture?", YES_NO, "presence"),
        ("Can a motorbike be seen?", YES_NO, "presence"),
        ("Does the photo show any people?", YES_NO, "presence"),
        ("Is there a castle in the picture?", YES_NO, "unknown"),
        ("Is the dog's tongue visible?", YES_NO, "unknown"),
        ("Is the woman smiling?", YES_NO, "unknown"),
        ("Are there more than two cars in the picture?", YES_NO, "compare"),
        ("Are there two windows in the car?", YES_NO, "unknown"),
        ("How many people can be seen?", labelled("1", "2"), "count"),
        ("Is the bicycle to the left or to the right of the dog?", labelled("Left", "Right"), "relation"),
        ("Is the dog to the left of the bike?", YES_NO, "relation"),
        ("Where in the picture is the clock?", labelled("Top left", "Bottom right"), "place"),
        ("Is the motorcycle on the left side of the picture?", YES_NO, "place"),
        ("What colour is the car?", labelled("Red", "Blue"), "colour"),
        ("What color is the flower?", labelled("Red", "Blue"), "colour"),
        ("Is the bus red?", YES_NO, "colour"),
        ("Is the picture in black and white?", YES_NO, "monochrome"),
        ("What does the sign say?", labelled("Stop", "Go"), "read"),
        ("Which word can be read on the sign?", labelled("Castle", "Museum"), "read"),
        ("What kind of place does the picture show?", labelled("A beach", "A street"), "scene"),
        ("Was the picture taken indoors or outdoors?", labelled("Indoors", "Outdoors"), "scene"),
        ("Which of these can be seen in the picture?", labelled("A cat", "A boat"), "which"),
        ("Which animal is to the left of the bicycle?", labelled("A dog", "A cat"), "which"),
        ("What is the answer?", labelled("This", "That"), "unknown"),
        ("", labelled("This", "That"), "unknown"),
    ],
)
def test_intent(question: str, options: dict[str, str], kind: str) -> None:
    assert parse(question, options).kind == kind


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("two men and a motor-bike", [[0], [3]]),
        ("A sofa, a TV and an aeroplane", [[57], [62], [4]]),
        ("glass of wine", [[40]]),
        ("wolves and knives", [[43]]),
        ("the orange tie", [[27]]),
        ("Is there an orange in the picture?", [[49]]),
        ("vehicles", [[1, 2, 3, 4, 5, 6, 7, 8]]),
        ("a carpet in a catalogue", []),
    ],
)
def test_things_are_known_by_other_names(text: str, classes: list[list[int]]) -> None:
    assert [sorted(c) for _, _, c in objects_in(text)] == classes


def test_words_for_colours_numbers_and_places() -> None:
    assert colours_in("Light blue, gray and violet") == ("blue", "grey", "purple")
    assert [number_in(t) for t in ("12", "None", "Twenty", "more than five", "many")] == [12, 0, 20, 5, None]
    assert places_in("In the lower right-hand corner") == {"bottom", "right"}


def test_subject_carries_colour_place_and_rank() -> None:
    subject = parse("What colour is the second white car from the left?", labelled("Red", "Blue")).subjects[0]
    assert (subject.colours, subject.places, subject.rank) == (("white",), {"left"}, 2)
    assert parse("Which side is the largest dog on?", labelled("Left", "Right")).subjects[0].largest


@pytest.mark.parametrize("quotes", ['"Castle"', "'Castle'", "“Castle”", "‘Castle’"])
def test_quoted_text_is_what_has_to_be_read(quotes: str) -> None:
    intent = parse(f"Does the sign say {quotes}?", YES_NO)
    assert (intent.kind, intent.quoted) == ("read", ("Castle",))


def test_likeness_prefers_what_was_read() -> None:
    lines = [Line("TouristInformation", (0.5, 0.2), 0.1), Line("Castle", (0.5, 0.6), 0.1)]
    assert text_similarity("tourist information", lines) == 1
    assert text_similarity("Castle", lines) == 1
    assert text_similarity("Museum", lines) < 0.6
    assert text_similarity("Castle", []) == 0


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((200, 20, 20), "red"),
        ((245, 140, 20), "orange"),
        ((240, 220, 30), "yellow"),
        ((30, 150, 40), "green"),
        ((30, 60, 200), "blue"),
        ((120, 30, 180), "purple"),
        ((250, 150, 190), "pink"),
        ((110, 65, 25), "brown"),
        ((250, 250, 250), "white"),
        ((8, 8, 8), "black"),
        ((128, 128, 128), "grey"),
    ],
)
@needs_models
def test_plain_colours(model: BaselineModel, rgb: tuple[int, int, int], name: str) -> None:
    names = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "white", "black", "grey")
    others = [n for n in names if n != name][:3]
    options = {"A": others[0], "B": name, "C": others[1], "D": others[2]}
    image = plain(rgb)
    assert answer(model, "What colour is the sky?", options, image) == "B"


def test_patches_and_monochrome() -> None:
    image = Image.new("RGB", (160, 120), "white")
    draw = ImageDraw.Draw(image)
    for x in (20, 70, 120):
        draw.ellipse((x, 40, x + 20, 60), fill=(200, 20, 20))
    pixels = np.asarray(image)
    assert patches(name_pixels(pixels), ["red"]) == 3
    assert patches(name_pixels(pixels), ["blue"]) == 0
    assert not is_monochrome(
        np.asarray(Image.effect_noise((40, 30), 80).convert("RGB")) * np.uint8([1, 0, 0])
    )
    assert is_monochrome(np.asarray(Image.effect_noise((40, 30), 80).convert("RGB")))


@needs_models
@pytest.mark.parametrize(
    ("question", "options", "label"),
    [
        ("Is there a dog in the picture?", YES_NO, "A"),
        ("Is there a bike in the picture?", YES_NO, "A"),
        ("Is there a cat in the picture?", YES_NO, "B"),
        ("Which of these can be seen in the picture?", labelled("A sheep", "A boat", "A dog", "A bed"), "C"),
        ("Which of these can not be seen in the picture?", labelled("A dog", "A boat", "A bicycle"), "B"),
        ("How many dogs can be seen in the picture?", labelled("None", "Four", "One", "Two"), "C"),
        ("Is there more than one dog in the picture?", YES_NO, "B"),
        ("Are there at least one dog in the picture?", YES_NO, "A"),
        ("Is the dog to the left or to the right of the bicycle?", labelled("Right", "Left"), "B"),
        ("Is the dog to the right of the bicycle?", YES_NO, "B"),
        ("Where in the picture is the dog?", labelled("Top right", "Bottom left", "Top left"), "B"),
        ("Is the dog on the left side of the picture?", YES_NO, "A"),
        ("What animal is to the left of the bicycle?", labelled("A cat", "A dog", "A cow"), "B"),
        ("Is the picture in colour or in black and white?", labelled("Black and white", "In colour"), "B"),
        ("Is there a castle in the picture?", YES_NO, UNKNOWN),
        ("What is the name of the dog?", labelled("Rex", "Bello"), UNKNOWN),
        ("What colour is the cat?", labelled("Black", "White"), UNKNOWN),
        ("Where in the picture is the elephant?", labelled("Left", "Right"), UNKNOWN),
        ("Which word can be read on the wall?", labelled("Rex", "Bello"), UNKNOWN),
    ],
)
def test_a_photograph(
    model: BaselineModel, dog: np.ndarray[Any, Any], question: str, options: dict[str, str], label: str
) -> None:
    assert answer(model, question, options, dog) == label


@needs_models
def test_the_answer_comes_from_the_pixels(model: BaselineModel, dog: np.ndarray[Any, Any]) -> None:
    options = labelled("Left", "Right")
    question = "Is the dog to the left or to the right of the bicycle?"
    assert answer(model, question, options, dog) == "A"
    assert answer(model, question, options, np.ascontiguousarray(dog[:, ::-1])) == "B"
    assert answer(model, question, options, np.zeros_like(dog)) == UNKNOWN


@pytest.fixture(scope="module")
def sign() -> np.ndarray[Any, Any]:
    image = Image.new("RGB", (480, 300), (20, 60, 140))
    draw = ImageDraw.Draw(image)
    draw.text((60, 40), "HARBOUR", fill="white", font=ImageFont.load_default(64))
    draw.text((60, 180), "Museum closed", fill="white", font=ImageFont.load_default(40))
    return np.asarray(image)


@needs_models
@pytest.mark.parametrize(
    ("question", "options", "label"),
    [
        ("Which word can be read on the sign?", labelled("Station", "Harbour", "Theatre"), "B"),
        ("Does the sign say 'Harbour'?", YES_NO, "A"),
        ("Does the sign say 'Station'?", YES_NO, "B"),
        ("Which is the first word on the sign?", labelled("Museum", "Harbour"), "B"),
        ("Which is the last word on the sign?", labelled("Harbour", "Closed"), "B"),
        ("Which word is written below?", labelled("Harbour", "Museum"), "B"),
        ("Which word can be read on the sign?", labelled("Station", "Hotel"), UNKNOWN),
    ],
)
def test_a_sign(
    model: BaselineModel, sign: np.ndarray[Any, Any], question: str, options: dict[str, str], label: str
) -> None:
    assert answer(model, question, options, sign) == label


@needs_models
def test_unknown_coloured_things_can_be_counted(model: BaselineModel) -> None:
    image = Image.new("RGB", (320, 240), (235, 235, 235))
    for x, y in ((50, 60), (150, 70), (90, 170), (240, 150)):
        ImageDraw.Draw(image).ellipse((x, y, x + 36, y + 36), fill=(190, 20, 20))
    options = labelled("Two", "Three", "Four", "Five")
    assert answer(model, "How many red sweets can be seen?", options, np.asarray(image)) == "C"
    assert answer(model, "How many sweets can be seen?", options, np.asarray(image)) == UNKNOWN


@needs_models
@pytest.mark.parametrize("size", [(1, 1), (1, 500), (8, 8), (500, 3)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1", "CMYK", "I;16"])
def test_any_picture_gets_an_outcome(model: BaselineModel, size: tuple[int, int], mode: str) -> None:
    kind = "TIFF" if mode == "CMYK" else "PNG"
    data = encoded(Image.new(mode, size), kind)
    questions = [
        ("Is there a dog in the picture?", YES_NO),
        ("What colour is the flower?", labelled("Red", "Blue")),
        ("What kind of place does the picture show?", labelled("A street", "A page of a book")),
        ("How many red sweets are there?", labelled("1", "2")),
        ("Is the picture in colour?", YES_NO),
    ]
    if mode == "RGB" or size != (8, 8):  # a square is enlarged to be read, the same in every mode
        questions.append(("What does the sign say?", labelled("Stop", "Go")))
    outcomes = model.generate([request(q, o, data, "image/png") for q, o in questions])
    assert [o.status for o in outcomes] == ["ok"] * len(questions)
    assert all(o.text in ("A", "B", UNKNOWN) for o in outcomes)


@needs_models
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_encodings(model: BaselineModel, kind: str) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow cannot write AVIF")
    with Image.open(DOG) as image:
        data = encoded(image, kind)
    assert model.generate([request("Is there a dog in the picture?", YES_NO, data)])[0].text == "A"


@needs_models
def test_unanswerable_requests_get_a_status(model: BaselineModel) -> None:
    data = DOG.read_bytes()
    question = "Is there a dog in the picture?"
    broken, cut, bare, none, blank, nothing = model.generate(
        [
            request(question, YES_NO, b"not a picture"),
            request("What is the answer?", labelled("This", "That"), data[:3000]),
            Request(key="k", prompt="", question=question, options=YES_NO, images=()),
            request(question, {}, data),
            request(question, {"A": "", "B": " "}, data),
            request("", labelled("This", "That"), data),
        ]
    )
    assert [o.status for o in (broken, cut, bare)] == ["error"] * 3
    assert all(o.reason and not o.text for o in (broken, cut, bare))
    assert [(o.status, o.text) for o in (none, blank, nothing)] == [("ok", UNKNOWN)] * 3


@needs_models
def test_same_answers_twice_and_from_two_threads(dog: np.ndarray[Any, Any]) -> None:
    questions = [
        ("Is there a dog in the picture?", YES_NO),
        ("What does the sign say?", labelled("Stop", "Go")),
        ("What colour is the bicycle?", labelled("Green", "Red", "White")),
    ]
    # A square is enlarged to the fewest pixels before its text is looked for.
    images = [encoded(Image.fromarray(dog[:, 40 * i : 40 * i + 240]), "PNG") for i in range(2)]
    requests = [request(q, o, data, "image/png") for data in images for q, o in questions]
    alone = load(CARD).generate(requests)
    shared = load(CARD)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(shared.generate, [requests, requests[::-1]])
    assert first == alone
    assert second[::-1] == alone


@needs_models
def test_quiet_and_offline(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], sign: np.ndarray[Any, Any]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    model = load(CARD)
    assert answer(model, "Does the sign say 'Harbour'?", YES_NO, sign) == "A"
    assert answer(model, "Does the sign say 'Harbour'?", YES_NO, np.zeros_like(sign)) == "B"
    assert capfd.readouterr() == ("", "")


@needs_models
def test_fingerprint_names_weights_and_versions(model: BaselineModel) -> None:
    fingerprint = model.fingerprint()
    assert json.loads(json.dumps(fingerprint)) == fingerprint
    assert set(fingerprint) == {"adapter", "version", "detector_sha256", "rapidocr", "onnxruntime"}


@needs_models
def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmdbench.adapters._baseline.detector.DETECTOR_SHA256", "0" * 64)
    with pytest.raises(ModelError, match=r"picodet\.onnx has SHA-256"):
        load(CARD)


@pytest.mark.parametrize("missing", ["onnxruntime", "rapidocr"])
def test_missing_packages_name_the_install(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    find: Callable[..., Any] = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == missing else find(name, *a)
    )
    with pytest.raises(MissingExtraError, match=r"pip install 'mmdbench\[demo\]'"):
        load(CARD)


def test_it_is_never_given_the_answer() -> None:
    assert "answer" not in {f.name for f in fields(Request)}


def test_its_docstring_says_that_it_is_no_vision_language_model() -> None:
    import mmdbench.adapters.baseline as adapter

    assert "NOT a vision-language model" in (adapter.__doc__ or "")

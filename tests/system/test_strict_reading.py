"""JSON, TOML and YAML that two readers could take for two values, and values of another shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import pytest

from mmdbench.errors import DataError, ShapeError
from mmdbench.system.json_text import MOST_LEVELS, parse_json, parse_record
from mmdbench.system.shapes import check_shape, read_as
from mmdbench.system.toml import parse_toml
from mmdbench.system.yaml_text import parse_yaml

DEEP = MOST_LEVELS + 1


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"seed": 1, "seed": 2}', "'seed' occurs twice"),
        ('{"a": {"x": 1, "x": 1}}', "'x' occurs twice"),
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity}', "-Infinity"),
        ('{"a": 1e999}', "1e999"),
        ('{"a": "\\ud800"}', "half of a surrogate pair"),
        ('{"\\ud800": 1}', "half of a surrogate pair"),
        ("[" * DEEP + "]" * DEEP, f"more than {MOST_LEVELS} levels"),
        ("[" * 100_000, f"more than {MOST_LEVELS} levels"),
        ('{"a":' * DEEP + "1" + "}" * DEEP, f"more than {MOST_LEVELS} levels"),
        ("9" * 5000, "4300"),
        ('{"a": "\x00"}', "control character"),
        ("", "Expecting value"),
        (b"\xff{}", "utf-8"),
    ],
)
def test_json_of_two_meanings_is_refused_in_one_line(text, what):
    with pytest.raises(ValueError, match=what) as caught:
        parse_json(text)
    assert "\n" not in str(caught.value)


def test_json_is_read_as_before():
    text = '{"a": [1, 2.5, null, true, "\\ud83d\\ude00"], "b": {}}'
    assert (
        parse_json("\ufeff" + text) == parse_json(text.encode()) == {"a": [1, 2.5, None, True, "😀"], "b": {}}
    )
    assert parse_json("[" * MOST_LEVELS + "]" * MOST_LEVELS)
    assert parse_json('{"a": NaN}', lenient=True)["a"] != 0


def test_a_record_keeps_what_a_server_sent_and_is_an_object():
    assert parse_record(b'{"logprob": -Infinity, "text": "\\ud800"}\n')["text"] == "\ud800"
    for line in (b"[]\n", b'"x"\n', b'{"key": 1, "key": 2}\n', b"[" * 100_000):
        with pytest.raises(ValueError, match=r"object|twice|levels"):
            parse_record(line)


@pytest.mark.parametrize(
    "text", ["a = nan", "a = -inf", "a = " + "[" * 3000 + "]" * 3000, "a." * 3000 + "b = 1", "a = 1\na = 2"]
)
def test_toml_of_two_meanings_is_refused(text):
    with pytest.raises(ValueError, match=r"\w"):
        parse_toml(text)
    assert parse_toml("\ufeffa = 1") == {"a": 1}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: 1\na: 2", "'a' occurs twice, line 1"),
        ("a: &x [1]\nb: *x", "x is an alias, line 2"),
        ("a: " + "[" * DEEP + "]" * DEEP, f"more than {MOST_LEVELS} levels"),
        ("a: " + "[" * 100_000, "nesting|levels"),
        ("a: !!python/object:os.system x", "constructor"),
        ("a: [", "line 2"),
        ("a: " + "9" * 5000, "4300"),
        ("a: \x00", "not allowed"),
    ],
)
def test_yaml_of_two_meanings_is_refused_in_one_line(text, what):
    with pytest.raises(ValueError, match=what) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)


@dataclass(frozen=True)
class Point:
    x: float
    label: str = ""
    tags: tuple[str, ...] = ()


class Shape(TypedDict, total=False):
    points: list[Point]
    size: tuple[int, int]
    kind: Literal["open", "closed"]
    note: str | None
    flag: bool
    rest: dict[str, Any]


GOOD = {"points": [{"x": 1}], "size": [1, 2], "kind": "open", "note": None, "flag": True, "rest": {"a": []}}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"points": {}}, "it.points must be a list, got a table of 0"),
        ({"points": [{"x": "1"}]}, "it.points[0].x must be a number, got '1'"),
        ({"points": [{"x": True}]}, "it.points[0].x must be a number, got True"),
        ({"points": [{"x": float("nan")}]}, "it.points[0].x must be a number, got nan"),
        ({"points": [{"x": 10**400}]}, "it.points[0].x must be a number, got a number that is too large"),
        ({"points": [{}]}, "it.points[0] has no 'x'"),
        ({"points": [{"x": 1, "tags": ["a", None]}]}, "it.points[0].tags[1] must be text, got None"),
        ({"size": [1, 2, 3]}, "it.size must be a list of 2, got a list of 3"),
        ({"size": [1, 2.0]}, "it.size[1] must be a whole number, got 2.0"),
        ({"kind": "shut"}, "it.kind must be 'open' or 'closed', got 'shut'"),
        ({"kind": []}, "it.kind must be 'open' or 'closed', got a list of 0"),
        ({"note": 3}, "it.note must be text or null, got 3"),
        ({"flag": 1}, "it.flag must be true or false, got 1"),
        ({"rest": []}, "it.rest must be a table, got a list of 0"),
    ],
)
def test_a_value_of_another_shape_is_named_with_its_place(changed, message):
    check_shape(GOOD, Shape)
    with pytest.raises(ShapeError) as caught:
        check_shape(GOOD | changed, Shape)
    assert str(caught.value) == message
    assert isinstance(caught.value, DataError)
    assert isinstance(caught.value, ValueError)


def test_a_dataclass_is_read_without_fields_of_a_newer_version():
    assert read_as(Point, {"x": 2, "tags": ["a"], "newer": 1}) == Point(2, tags=("a",))
    with pytest.raises(ShapeError, match="point must be a table, got 'x'"):
        read_as(Point, "x", "point")

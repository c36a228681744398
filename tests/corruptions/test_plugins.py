"""Corruptions from outside the package: named by the user, with a stanza and a digest of their code."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace

import numpy as np
import pytest

import mmdbench
from mmdbench.corruptions import corruption, sample, use_corruption
from mmdbench.corruptions import params as p
from mmdbench.corruptions.chain import Chain
from mmdbench.corruptions.choices import choice_of
from mmdbench.corruptions.definition import Corruption
from mmdbench.corruptions.plugins import places_of, require_code
from mmdbench.corruptions.spec_file import described_spec, load_spec, shipped_spec
from mmdbench.errors import (
    IncomparableError,
    MmdbenchError,
    ParamsError,
    SpecError,
    UnknownNameError,
    UsageError,
)
from mmdbench.records import LEVELS, Recipe
from own_corruption import RAIN, write_rain

IMAGE = np.random.default_rng(1).integers(0, 200, (60, 80, 3), np.uint8)
STANZA = {"category": "capture", "meaning": "a test"}


@corruption(stanza={**STANZA, "numbers": {"gain": {"unit": "gain", "formula": "1 - i"}}}, gain=p.number(0, 1))
def fading(image, params):
    return (image * params["gain"]).astype(np.uint8)


def code_of(name):
    return load_spec().corruption(name).code


def test_a_function_in_a_file_is_used_like_the_sixteen(tmp_path):
    assert use_corruption(f"{write_rain(tmp_path)}:rain") == "rain"
    made = [mmdbench.corrupt(IMAGE, "rain", level=level) for level in LEVELS]
    changed = [int((one != IMAGE).any(axis=2).sum()) for one in made]
    assert changed == sorted(changed)
    assert changed[0] > 0
    assert (mmdbench.corrupt(IMAGE, "rain", level="hard") == made[-1]).all()
    params = sample("rain", IMAGE.shape, level="hard", seed=4)
    assert (len(params["drops"]), params["length"]) == (95, 6)
    assert sample("rain", (1024, 1024), level="hard", profile="scaled")["length"] == 12
    entry = load_spec().corruption("rain")
    assert (entry.category, entry.stochastic, entry.look) == (
        "environmental",
        True,
        "bright vertical streaks",
    )


def test_a_decorated_function_itself_is_taken():
    assert isinstance(fading, Corruption)
    expected = (IMAGE * (1 - 0.45)).astype(np.uint8)
    assert (mmdbench.corrupt(IMAGE, fading, level="mid") == expected).all()
    assert (mmdbench.corrupt(IMAGE, "fading", level="mid") == expected).all()
    assert choice_of([fading, "graffiti"], level="low").corruptions == ("fading", "graffiti")


def test_no_default_draws_from_it(tmp_path):
    sixteen = mmdbench.get_corruption_names()
    use_corruption(f"{write_rain(tmp_path)}:rain")
    assert mmdbench.get_corruption_names() == sixteen == list(load_spec().shipped)
    assert "rain" not in mmdbench.get_corruption_names("environmental")
    assert list(choice_of().corruptions) == sixteen
    assert "rain" not in choice_of("environmental").corruptions
    assert shipped_spec().digest == load_spec().digest
    assert load_spec().record(sixteen) == {"version": shipped_spec().version, "digest": shipped_spec().digest}


def test_its_digest_follows_its_code_wherever_it_is(tmp_path, monkeypatch):
    use_corruption(f"{write_rain(tmp_path / 'a')}:rain")
    first = code_of("rain")
    use_corruption(f"{write_rain(tmp_path / 'b')}:rain")
    assert code_of("rain") == first
    use_corruption(f"{write_rain(tmp_path / 'c', '250→251')}:rain")
    assert code_of("rain") != first
    monkeypatch.syspath_prepend(tmp_path / "a")
    assert use_corruption("my_rain:rain") == "rain"
    assert code_of("rain") == first
    assert places_of(["lens_blur+rain"]) == ("my_rain:rain",)
    sys.modules.pop("my_rain")


def test_modules_of_its_package_that_it_imports_are_part_of_its_code(tmp_path, monkeypatch):
    package = tmp_path / "storms"
    write_rain(package, "import numpy as np→from .bright import WHITE")
    (package / "my_rain.py").write_text((package / "my_rain.py").read_text().replace("= 250", "= WHITE"))
    (package / "__init__.py").write_text("")
    (package / "bright.py").write_text("WHITE = 250\n")
    (package / "apart.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)

    def code():
        for name in [name for name in sys.modules if name.split(".")[0] == "storms"]:
            del sys.modules[name]
        importlib.invalidate_caches()
        use_corruption("storms.my_rain:rain")
        return code_of("rain")

    first = code()
    (package / "apart.py").write_text("X = 1\n")
    assert code() == first
    (package / "bright.py").write_text("WHITE = 240\n")
    assert code() != first


def test_a_recipe_has_its_code_and_those_of_the_sixteen_are_as_they_were(tmp_path):
    old = Recipe("i", "lens_blur", 0.9, "paper", "1", 0, "jpeg:95")
    fields = ["image", "corruption", "intensity", "profile", "spec_version", "seed", "codec"]
    assert list(old.as_dict()) == fields
    assert old.digest() != replace(old, code="c").digest()
    use_corruption(f"{write_rain(tmp_path)}:rain")
    spec = load_spec()
    assert spec.code("lens_blur") == spec.code("lens_blur+graffiti") == spec.code(None) == ""
    assert spec.code("lens_blur+rain") == f"+{code_of('rain')}"


def test_a_chain_records_the_code_and_is_not_replayed_with_another(tmp_path):
    use_corruption(f"{write_rain(tmp_path / 'a')}:rain")
    made, record = Chain.of(("graffiti", 0.5), ("rain", 0.5)).recorded(IMAGE, 3)
    assert [step.get("code", "") for step in record["steps"]] == ["", code_of("rain")]
    assert (Chain.replay(IMAGE, record) == made).all()
    use_corruption(f"{write_rain(tmp_path / 'b', '250→251')}:rain")
    with pytest.raises(IncomparableError, match="'rain' has other code here"):
        Chain.replay(IMAGE, record)


def test_names_in_data_never_run_code(tmp_path, monkeypatch):
    path = write_rain(tmp_path)
    path.write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n" + RAIN)
    monkeypatch.syspath_prepend(tmp_path)
    for name in (f"{path}:rain", "my_rain:rain"):
        for call in (
            lambda name: mmdbench.corrupt(IMAGE, name, level="low"),
            lambda name: sample(name, (8, 8), level="low"),
            choice_of,
        ):
            with pytest.raises(UsageError, match="must be a name or a decorated function here"):
                call(name)
        with pytest.raises(IncomparableError, match="Name it if you trust it"):
            require_code(name, "0" * 64)
    assert not (tmp_path / "ran").exists()


def test_a_run_is_described_without_its_code():
    record = {"category": "capture", "meaning": "wet", "code": "c"}
    one = {"spec": {"corruptions": {"rain": record, "graffiti": record}}}
    spec = described_spec(one, {}, {"spec": None})
    assert spec.corruption("rain").category == "capture"
    assert spec.corruption("graffiti") == shipped_spec().corruption("graffiti")
    other = {"spec": {"corruptions": {"rain": {**record, "category": "transmission"}}}}
    with pytest.raises(IncomparableError, match="'rain' is of the category capture in one run"):
        described_spec(one, other)


@pytest.mark.parametrize(
    ("change", "name", "error", "message"),
    [
        ("import numpy as np→import numpi", "rain", UsageError, "cannot be run: ModuleNotFoundError"),
        ('"environmental"→"weather"', "rain", SpecError, "corruptions.rain.category: 'weather'"),
        ('"meaning": "bright streaks",→', "rain", SpecError, "'meaning' is missing"),
        ('"5 + int(100*i)"→"open(1)"', "rain", SpecError, "is not allowed in a formula"),
        ("def rain(→def graffiti(", "graffiti", SpecError, "The name 'graffiti' is taken"),
        ("def rain(→def capture(", "capture", SpecError, "The name 'capture' is taken"),
        ("def rain(→def rain(", "snow", UsageError, "has no name 'snow'"),
        ("def rain(→def rain(", "sample_rain", UsageError, "has another thing by the name"),
        ("return image→return image[:5]", "rain", MmdbenchError, "must return uint8 \\(24, 32, 3\\)"),
        ("return image→return image / 2", "rain", MmdbenchError, "got float64"),
        ("return image→raise KeyError(1)", "rain", MmdbenchError, "fails on a picture of 32×24 px: KeyError"),
        ('values.integer("length")→values.integer("size")', "rain", MmdbenchError, "cannot draw"),
        ('"drops": drops→"drops": "x"', "rain", ParamsError, "params\\['drops'\\]"),
    ],
)  # fmt: skip
def test_a_mistake_is_an_error_before_anything_is_made(tmp_path, change, name, error, message):
    with pytest.raises(error, match=message):
        use_corruption(f"{write_rain(tmp_path, change)}:{name}")
    assert list(load_spec().shipped) == list(load_spec().corruptions)


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"none\.py cannot be read: there is no such file"):
        use_corruption(f"{tmp_path / 'none.py'}:rain")
    with pytest.raises(UsageError, match="Cannot import the corruption 'no_such_module:rain'"):
        use_corruption("no_such_module:rain")
    with pytest.raises(UnknownNameError, match="Did you mean 'graffiti'"):
        use_corruption("grafiti")

    @corruption()
    def bare(image, params):
        return image

    with pytest.raises(SpecError, match="'bare' has no stanza"):
        mmdbench.corrupt(IMAGE, bare, level="low")


def test_a_function_without_a_file_is_known_by_its_text_and_stays_in_its_process():
    space = {"__name__": "a_notebook"}
    exec(compile(RAIN, "<cell>", "exec"), space)
    with pytest.raises(UsageError, match="The source of the corruption 'rain' cannot be read"):
        use_corruption(space["rain"])
    import linecache

    linecache.cache["<cell>"] = (len(RAIN), None, RAIN.splitlines(keepends=True), "<cell>")
    use_corruption(space["rain"])
    assert len(code_of("rain")) == 64
    with pytest.raises(UsageError, match="'rain' is in no file"):
        places_of(["rain"])
    del linecache.cache["<cell>"]

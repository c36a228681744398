"""Sets of corruptions: a spec file and functions in a module, beside the paper's sixteen."""

from __future__ import annotations

import numpy as np
import pytest

import mmdbench
from mmdbench.corruptions import sample, use_corruption
from mmdbench.corruptions.choices import choice_of
from mmdbench.corruptions.installed import set_names
from mmdbench.corruptions.lost_answers import lost_kind
from mmdbench.corruptions.plugins import in_set, places_of, require_code, use_corruptions
from mmdbench.corruptions.sets import set_members
from mmdbench.corruptions.spec_file import described_spec, load_spec, shipped_spec
from mmdbench.errors import IncomparableError, SpecError, UnknownNameError, UsageError
from mmdbench.records import LEVELS, Cell, RunPlan
from mmdbench.variants.recipes import recipe_for
from own_set import CODE, SPEC, forget, install_set

WHITE = np.full((20, 30, 3), 200, np.uint8)


@pytest.fixture
def toy(monkeypatch, tmp_path):
    yield install_set(monkeypatch, tmp_path / "site")
    forget()


def test_a_set_is_named_with_its_members(toy):
    assert set_names()[:2] == ("paper", "everyday")
    assert toy in set_names()
    assert list(set_members(toy)) == ["toy.darker", "toy.turned"]
    assert use_corruptions([toy]) == use_corruptions(in_set(toy)) == ("toy.darker", "toy.turned")
    assert use_corruptions(in_set(toy, ["darker"])) == ("toy.darker",)
    assert use_corruptions(in_set(toy, ["post_processing"])) == ("toy.turned",)
    assert use_corruption("toy.darker+toy.turned") == "+".join(in_set(toy, ["darker+turned"]))
    assert in_set("paper", ["lens_blur"]) == ("lens_blur",)
    assert use_corruptions(["paper"]) == ()
    assert not load_spec().shipped.count("toy.darker")
    assert load_spec().shipped == shipped_spec().shipped


def test_a_level_is_that_of_the_set(toy):
    assert [sample("toy.darker", (1, 1), level=level)["gain"] for level in LEVELS] == pytest.approx(
        [0.91, 0.55, 0.1]
    )
    assert int(mmdbench.corrupt(WHITE, "toy.darker", severity=3).max()) == 19
    assert load_spec().intensity("low", "lens_blur") == 0.23


def test_a_recipe_has_version_and_code_of_the_set(toy):
    use_corruptions([toy])
    spec, plan = load_spec(), RunPlan("m", ("mini",))
    own = recipe_for(Cell("b", 1, "hard", "toy.darker"), "0" * 64, plan, spec)
    assert (own.spec_version, own.intensity) == ("7", 1.0)
    assert len(own.code) == 64
    paper = recipe_for(Cell("b", 1, "hard", "lens_blur"), "0" * 64, plan, spec)
    assert (paper.spec_version, paper.intensity, paper.code) == (shipped_spec().version, 0.9, "")


def test_the_record_of_a_set_has_its_name_version_and_digest(toy):
    use_corruptions([toy])
    record = load_spec().record(["toy.darker"])
    assert (record["set"], record["version"]) == ("toy", "7")
    assert record["digest"] != load_spec().record(["toy.turned"])["digest"]
    assert load_spec().record(["lens_blur"]) == {
        "version": shipped_spec().version,
        "digest": shipped_spec().digest,
    }
    forget()
    described = described_spec({"spec": record})
    assert described.set_of("toy.darker") == "toy"
    assert described.version_of("toy.darker") == "7"
    assert described.set_of("lens_blur") == "paper"


def test_stored_files_use_an_installed_set_but_not_with_other_code(toy, tmp_path):
    use_corruptions([toy])
    code = load_spec().corruption("toy.darker").code
    assert places_of(["toy.darker"]) == ("toy.darker",)
    forget()
    require_code("toy.darker", code)
    file = tmp_path / "site" / "toy_package" / "__init__.py"
    file.write_text(CODE.replace('params["gain"]', "0.5"), encoding="utf-8")
    forget()
    with pytest.raises(IncomparableError, match="other code"):
        require_code("toy.darker", code)


@pytest.mark.parametrize(
    ("code", "spec", "message"),
    [
        (CODE, SPEC.replace("  turned:", "  moved:"), "'moved' has no function"),
        (CODE.replace("def darker", "def paler"), SPEC, "'darker' has no function"),
        (CODE + "\n\npaler = corruption()(lambda i, p: i)\n", SPEC, "has no stanza"),
        (CODE, SPEC.replace("left_right", "colours"), "'colours' where one of left_right, counting"),
        (CODE, SPEC.replace("transmission: t", "sending: t"), "'transmission' is missing"),
        (CODE, SPEC.replace("0.55", "0.56"), "numbers.gain.at"),
        (CODE, SPEC.replace('version: "7"', "version: 7"), "version: 7 where text in quotes"),
        (CODE, SPEC.partition("corruptions:")[0] + "corruptions: {}", "has no corruption"),
    ],
)
def test_a_wrong_set_is_refused(monkeypatch, tmp_path, code, spec, message):
    install_set(monkeypatch, tmp_path / "site", code, spec)
    with pytest.raises(SpecError, match=message):
        use_corruptions(["toy"])
    forget()


def test_a_set_that_cannot_be_imported_is_refused(monkeypatch, tmp_path):
    install_set(monkeypatch, tmp_path / "site", "import no_such_module")
    with pytest.raises(UsageError, match=r"Cannot import the corruption set 'toy'.*no_such_module"):
        use_corruptions(["toy"])
    forget()


def test_unknown_names_are_refused_with_those_that_there_are(toy):
    with pytest.raises(UnknownNameError, match=r"Unknown corruption set 'toys'.*'toy'"):
        in_set("toys")
    with pytest.raises(UnknownNameError, match=r"'toy.dark'.*'toy.darker'"):
        use_corruptions(in_set(toy, ["dark"]))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Is the cup left of the plate?", "left_right"),
        ("What is on the left side?", "left_right"),
        ("Which animal is at the far end of the right-hand path?", "left_right"),
        ("The dog to his right is …", "left_right"),
        ("Where is the sign? Left.", ""),
        ("Left", "left_right"),
        ("top-right", "left_right"),
        ("How many birds are there?", "counting"),
        ("What is the number of windows?", "counting"),
        ("Is any coffee left?", ""),
        ("Who is right about this?", ""),
        ("Which country is shown?", ""),
    ],
)
def test_questions_about_sides_and_numbers_are_told_by_their_words(text, kind):
    assert lost_kind(["left_right", "counting"], [text]) == kind
    assert not lost_kind([], [text])


def test_a_choice_has_the_intensities_of_the_set(toy):
    assert choice_of(toy, level="hard").intensities == (1.0,)
    assert choice_of("toy.post_processing").intensities == (0.1, 1.0)
    with pytest.raises(UsageError, match="of several sets"):
        choice_of([toy, "lens_blur"], level="hard")
    assert choice_of([toy, "lens_blur"], intensity=0.4).corruptions == (
        "toy.darker",
        "toy.turned",
        "lens_blur",
    )


def test_names_of_a_set_are_listed(toy):
    assert mmdbench.get_corruption_names(toy) == ["toy.darker", "toy.turned"]
    assert mmdbench.get_corruption_names("toy.capture") == ["toy.darker"]
    assert mmdbench.get_corruption_names("paper") == list(shipped_spec().corruptions)
    with pytest.raises(UnknownNameError, match=r"'toys'.*'toy'"):
        mmdbench.get_corruption_names("toys")

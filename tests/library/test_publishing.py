"""`mmdbench build --push`: builds as datasets, through the real client and a server on this machine."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

pytest.importorskip("datasets", reason="datasets is not installed (extra: hub)")

from typer.testing import CliRunner

from hub_clients import IMAGE, VALUE, parquet, point_clients_at
from local_hub import LocalHub, serve_hub
from mmdbench.benches import open_bench
from mmdbench.benches.licences import forbidden_by
from mmdbench.cli import app
from mmdbench.errors import UsageError
from mmdbench.library.building import build, plan_build
from mmdbench.library.publishing import prepare_dataset
from pictures import picture, png

# The client's own way of uploading.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload:DeprecationWarning")

REPO = "datasets/me/degraded"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """An empty hub."""
    with serve_hub() as made:
        point_clients_at(made, tmp_path, monkeypatch)
        monkeypatch.setenv("LMUData", str(tmp_path / "data"))
        monkeypatch.chdir(tmp_path)
        yield made


def push(folder: Path, form: str = "parquet", **options: object) -> None:
    """Build two levels of three questions, and publish them."""
    chosen = {"levels": ["low", "hard"], "sample": 3, "push": "me/degraded", **options}
    build("mini", folder, format=form, progress=False, **chosen)


def test_a_build_is_pushed_in_one_commit_with_its_manifest(hub: LocalHub, tmp_path: Path) -> None:
    words = ["build", "--bench", "mini", "--level", "hard", "--sample", "3", "--format", "parquet"]
    done = CliRunner().invoke(app, [*words, "-o", "OUT", "--push", "me/degraded"])
    assert done.exit_code == 0, done.output
    assert f"Published as {hub.url}/datasets/me/degraded" in done.output
    names = {"mini_hard-00000-of-00001.parquet", "manifests/mini_hard.jsonl", "manifest.json"}
    assert {*hub.repositories[REPO]} == {".gitattributes", "README.md", *names}
    for name in names:
        assert hub.repositories[REPO][name] == (tmp_path / "OUT" / name).read_bytes()
    assert hub.private == [REPO]
    assert hub.commits == ["Add mini, degraded"]


def test_files_of_others_in_the_folder_are_not_published(hub: LocalHub, tmp_path: Path) -> None:
    push(tmp_path / "OUT")
    (tmp_path / "OUT/private.txt").write_text("mine")
    hub.repositories.clear()
    push(tmp_path / "OUT")
    assert "private.txt" not in hub.repositories[REPO]


def test_the_command_of_the_card_makes_the_same_bytes(hub: LocalHub, tmp_path: Path) -> None:
    image = {"bytes": png(picture(1)), "path": "1.png"}
    columns = {"ask": ["Which?", "What?"], "A": ["x", "y"], "B": ["z", "w"], "answer": ["A", "B"]}
    features = dict.fromkeys(columns, VALUE) | {"image": IMAGE}
    hub.repositories["datasets/me/vqa"] = {
        "test.parquet": parquet({**columns, "image": [image, image]}, features)
    }
    map_of_columns = {"columns": {"question": "ask"}, "levels": ["hard"], "format": "parquet"}
    build("hf:me/vqa", tmp_path / "OUT", progress=False, push="me/degraded", **map_of_columns)
    text = hub.repositories[REPO]["README.md"].decode()
    line = next(line for line in text.splitlines() if line.startswith("mmdbench build"))
    words = shlex.split(line.replace(" DIR", " AGAIN"))[1:]
    done = CliRunner().invoke(app, [*words, "--data-dir", "elsewhere"])
    assert done.exit_code == 0, done.output
    name = "me.vqa.test_hard-00000-of-00001.parquet"
    assert (tmp_path / "AGAIN" / name).read_bytes() == hub.repositories[REPO][name]


@pytest.mark.parametrize("form", ["parquet", "folder"])
def test_a_pushed_build_is_a_benchmark_again(hub: LocalHub, tmp_path: Path, form: str) -> None:
    push(tmp_path / "OUT", form)
    bench = open_bench("hf:me/degraded:mini_hard")
    assert len(bench.questions) == 3
    assert bench.without_picture == 0
    assert bench.name == "me.degraded.mini_hard.test"


def test_the_card_has_recipe_spec_and_licence(hub: LocalHub, tmp_path: Path) -> None:
    push(tmp_path / "OUT", seed=5)
    text = hub.repositories[REPO]["README.md"].decode()
    head = yaml.safe_load(text.split("---\n")[1])
    assert [config["config_name"] for config in head["configs"]] == ["mini_low", "mini_hard"]
    assert head["license"] == "other"
    spec = json.loads((tmp_path / "OUT/manifest.json").read_text())["spec"]
    assert f"version {spec['version']}, digest {spec['digest']}" in text
    assert "licence: per photograph, in mini" in text
    assert "mmdbench build --bench mini --level low,hard --design mixed --seed 5" in text


def test_a_build_without_derivatives_is_refused_before_anything_is_made(
    hub: LocalHub, tmp_path: Path
) -> None:
    planned = plan_build("mini", sample=3, progress=False, push="me/degraded", format="parquet")
    info = replace(planned.benches[0].info, licence="CC BY-ND 4.0", title="Own")
    planned.benches = (replace(planned.benches[0], info=info),)
    with pytest.raises(
        UsageError, match=r"licence of Own forbids sharing changed copies: CC BY-ND"
    ) as caught:
        planned.make(tmp_path / "OUT")
    assert "--allow-no-derivatives" in caught.value.hint
    assert not hub.seen
    assert not (tmp_path / "OUT").exists()
    prepare_dataset("me/degraded", planned.benches, allow_no_derivatives=True)
    assert REPO in hub.repositories


def test_realworldqa_is_one_of_them() -> None:
    from mmdbench.benches import find_bench

    assert "sharing changed copies" in forbidden_by(find_bench("RealWorldQA").licence)
    assert not forbidden_by(find_bench("MMStar").licence)


@pytest.mark.parametrize(
    ("licence", "count"),
    [
        ("cc-by-nc-nd-4.0", 2),
        ("CC BY-NC 4.0", 1),
        ("mit", 0),
        ("candid", 0),
        ("no derivatives", 1),
        ("unknown", 0),
    ],
)
def test_what_a_licence_forbids(licence: str, count: int) -> None:
    assert len(forbidden_by(licence)) == count


def test_a_dataset_that_holds_something_else_is_refused(hub: LocalHub, tmp_path: Path) -> None:
    hub.repositories[REPO] = {"README.md": b"mine", "data.csv": b"1"}
    with pytest.raises(UsageError, match=r"holds files that are no build: README\.md, data\.csv"):
        push(tmp_path / "OUT")
    assert not (tmp_path / "OUT").exists()
    assert hub.repositories[REPO]["README.md"] == b"mine"


def test_another_build_is_not_replaced(hub: LocalHub, tmp_path: Path) -> None:
    push(tmp_path / "ONE")
    push(tmp_path / "ONE")  # the same one again
    with pytest.raises(UsageError, match="holds another build"):
        push(tmp_path / "TWO", seed=9)


def test_a_wrong_name_is_refused_before_the_hub_is_asked(hub: LocalHub, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--push takes owner/name"):
        push(tmp_path / "OUT", push="degraded")
    assert not hub.seen

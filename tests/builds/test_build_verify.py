"""`verify` finds whatever is not as it was built; `replay` makes a picture again."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import cv2
import pytest
from typer.testing import CliRunner

from build_samples import build, opened, photograph, text, write_tsv
from mmdbench.builds import verify
from mmdbench.builds.manifest import read_build
from mmdbench.builds.replay import ImageQuery, find_picture, read_manifest_of, replay
from mmdbench.builds.source_benches import SourceBenches, find_source_benches
from mmdbench.builds.verify import Verification, VerifySettings, verify_build
from mmdbench.cli import app
from mmdbench.errors import DataError, IncomparableError, StoreError, UsageError
from mmdbench.system.digest import bytes_digest

PLAN = {"levels": ("clean", "hard"), "design": "grid", "corruptions": ("graffiti", "lens_flare")}
FORMATS = ["tsv", "folder", "webdataset"]
if importlib.util.find_spec("pyarrow"):
    FORMATS.append("parquet")


def check(folder: Path, source: Path | None, **options: int) -> Verification:
    sources = (
        find_source_benches(read_build(folder), folder, files=[source])
        if source
        else SourceBenches(missing={"own": "gone"})
    )
    return verify_build(folder, sources, VerifySettings(**options))


def sign_again(folder: Path) -> None:
    """Make the manifest's digests fit the files, as a forger would."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    for output in manifest["outputs"]:
        for record in (output["log"], *output["files"]):
            data = (folder / record["file"]).read_bytes()
            record.update(bytes=len(data), sha256=bytes_digest(data))
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize("kind", FORMATS)
def test_a_build_is_right(tmp_path: Path, kind: str) -> None:
    source = write_tsv(tmp_path / "own.tsv", 4)
    with source.open("a") as file:
        file.write("9\tAgain?\tyes\tno\tA\tc\t2\n")
    build(source, tmp_path / "out", format=kind, **PLAN)
    result = check(tmp_path / "out", source)
    assert result.problems == ()
    assert result.rows == 15
    assert result.remade == (12 if kind == "tsv" else 15)
    without = check(tmp_path / "out", None)
    assert without.problems == ()
    assert (without.remade, without.decoded) == (0, result.remade)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_corruption_that_no_question_has_got_is_right_too(tmp_path: Path, kind: str) -> None:
    source = write_tsv(tmp_path / "own.tsv", 2)
    plan = {
        "levels": ("hard",),
        "design": "balanced:1",
        "corruptions": ("graffiti", "lens_flare", "lens_blur"),
    }
    build(source, tmp_path / "out", format=kind, **plan)
    rows = sorted(output["rows"] for output in read_build(tmp_path / "out")["outputs"])
    assert rows == [0, 1, 1]
    assert check(tmp_path / "out", source).problems == ()


def test_a_sample_is_spread_over_all_outputs(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 6)
    build(source, tmp_path / "out", **PLAN)
    assert check(tmp_path / "out", source, sample=6).remade == 6
    assert check(tmp_path / "out", None, sample=7).decoded == 7
    assert check(tmp_path / "out", source, sample=500).remade == 18


@pytest.mark.parametrize("kind", FORMATS)
def test_a_changed_byte_is_found(tmp_path: Path, kind: str) -> None:
    source = write_tsv(tmp_path / "own.tsv", 3)
    summary = build(source, tmp_path / "out", format=kind, **PLAN)
    for built in summary.outputs:
        for record in (built.log, *built.files):
            path = tmp_path / "out" / record.file
            whole = path.read_bytes()
            path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
            assert any(p.file == record.file for p in check(tmp_path / "out", source).problems), record.file
            path.write_bytes(whole)
    assert check(tmp_path / "out", source).problems == ()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_missing_or_cut_file_is_found(tmp_path: Path, kind: str) -> None:
    source = write_tsv(tmp_path / "own.tsv", 3)
    summary = build(source, tmp_path / "out", format=kind, **PLAN)
    path = tmp_path / "out" / summary.outputs[1].files[0].file
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert any(
        "bytes" in p.what and p.file == summary.outputs[1].files[0].file
        for p in check(tmp_path / "out", source).problems
    )
    path.unlink()
    assert any("Cannot read" in p.what for p in check(tmp_path / "out", source).problems)


def test_a_picture_file_of_a_folder_is_checked(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 3)
    build(source, tmp_path / "out", format="folder", **PLAN)
    (tmp_path / "out" / "own_hard_graffiti" / "images" / "2.jpg").write_bytes(photograph(5))
    (problem,) = check(tmp_path / "out", source).problems
    assert (problem.file, problem.index) == ("own_hard_graffiti/metadata.jsonl", "2")


@pytest.mark.parametrize("with_source", [True, False])
def test_an_exchanged_picture_is_named_by_file_and_index(tmp_path: Path, with_source: bool) -> None:
    source = write_tsv(tmp_path / "own.tsv", 4)
    build(source, tmp_path / "out", **PLAN)
    path = tmp_path / "out" / "own_hard_graffiti.tsv"
    lines = path.read_text().splitlines()
    lines[3] = lines[3].rpartition("\t")[0] + "\t" + text(photograph(9))
    path.write_text("\n".join(lines) + "\n")
    sign_again(tmp_path / "out")
    problems = check(tmp_path / "out", source if with_source else None).problems
    assert ("own_hard_graffiti.tsv", "2") in {(p.file, p.index) for p in problems}


def test_a_forged_log_is_found_by_the_source(tmp_path: Path) -> None:
    """Picture, log and manifest agree, but the picture is not what the recipe gives."""
    source = write_tsv(tmp_path / "own.tsv", 4)
    build(source, tmp_path / "out", **PLAN)
    other = tmp_path / "other"
    build(source, other, seed=1, **PLAN)
    for name in ("own_hard_graffiti.tsv", "manifests/own_hard_graffiti.jsonl"):
        (tmp_path / "out" / name).write_bytes((other / name).read_bytes())
    sign_again(tmp_path / "out")
    assert check(tmp_path / "out", None).problems == ()
    problems = check(tmp_path / "out", source).problems
    assert {p.index for p in problems} == {"0", "1", "2", "3"}
    assert all("recipe" in p.what and "seed" in p.what for p in problems)


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [("params", {}, "parameters"), ("pixels", "0" * 64, "pixels"), ("no_op", True, "no-op")],
)
def test_every_field_of_the_log_is_checked(tmp_path: Path, key: str, value: object, what: str) -> None:
    source = write_tsv(tmp_path / "own.tsv", 2)
    build(source, tmp_path / "out", **PLAN)
    path = tmp_path / "out" / "manifests" / "own_hard_graffiti.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[2]["images"][0][key] = value
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    sign_again(tmp_path / "out")
    (problem,) = check(tmp_path / "out", source).problems
    assert problem.index == "1"
    assert what in problem.what


def test_a_changed_question_is_found(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 3)
    build(source, tmp_path / "out", **PLAN)
    path = tmp_path / "out" / "own_hard_graffiti.tsv"
    path.write_text(path.read_text().replace("Question 1?", "Question one?"))
    sign_again(tmp_path / "out")
    assert check(tmp_path / "out", None).problems == ()
    (problem,) = check(tmp_path / "out", source).problems
    assert str(problem) == "own_hard_graffiti.tsv, index 1: the column 'question' differs from the source."


def test_a_row_that_is_missing_everywhere_is_found_by_planning_anew(tmp_path: Path) -> None:
    """File, log and manifest agree on fewer rows than the plan has, or on more."""
    source = write_tsv(tmp_path / "own.tsv", 4)
    out = tmp_path / "out"
    build(source, out, **PLAN)
    for name in ("own_hard_graffiti.tsv", "manifests/own_hard_graffiti.jsonl"):
        lines = (out / name).read_bytes().splitlines(keepends=True)
        (out / name).write_bytes(b"".join(lines[:-1]))
    manifest = json.loads((out / "manifest.json").read_text())
    for output in manifest["outputs"]:
        if output["corruption"] == "graffiti":
            output["rows"], output["pictures"] = 3, 3
    (out / "manifest.json").write_text(json.dumps(manifest))
    sign_again(out)
    (problem,) = check(out, source).problems
    assert str(problem) == (
        "manifests/own_hard_graffiti.jsonl, index 3: the plan has this row, the build does not."
    )
    manifest["plan"]["sample"] = "2"
    (out / "manifest.json").write_text(json.dumps(manifest))
    sign_again(out)
    assert any("another row here, or none" in p.what for p in check(out, source).problems)


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("design", "grid", "the plan has no such output"),
        ("corruptions", ["scan_lines", "graffiti"], "the plan gives it"),
        ("levels", ["low", "hard"], "the manifest does not"),
    ],
)
def test_another_design_than_the_manifest_says_is_found(
    tmp_path: Path, key: str, value: object, what: str
) -> None:
    source = write_tsv(tmp_path / "own.tsv", 12)
    build(source, tmp_path / "out", levels=("hard",), corruptions=("scan_lines",))
    assert check(tmp_path / "out", source).problems == ()
    path = tmp_path / "out" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["plan"][key] = value
    path.write_text(json.dumps(manifest))
    assert any(what in p.what for p in check(tmp_path / "out", source).problems)


def test_a_renamed_source_is_a_source(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 3)
    build(source, tmp_path / "out", **PLAN)
    moved = source.rename(tmp_path / "moved.tsv")
    result = check(tmp_path / "out", moved)
    assert (result.remade, result.problems, dict(result.missing)) == (9, (), {})


@pytest.mark.parametrize("change", ["drop", "swap"])
def test_missing_and_exchanged_rows_are_found(tmp_path: Path, change: str) -> None:
    source = write_tsv(tmp_path / "own.tsv", 4)
    build(source, tmp_path / "out", **PLAN)
    path = tmp_path / "out" / "own_hard_graffiti.tsv"
    lines = path.read_text().splitlines()
    lines = lines[:-1] if change == "drop" else [*lines[:2], lines[3], lines[2], lines[4]]
    path.write_text("\n".join(lines) + "\n")
    sign_again(tmp_path / "out")
    problems = check(tmp_path / "out", None).problems
    assert any(
        p.file == "own_hard_graffiti.tsv" and p.index == ("3" if change == "drop" else "2") for p in problems
    )


def test_a_reference_to_another_row_is_found(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 4)
    with source.open("a") as file:
        file.write("9\tAgain?\tyes\tno\tA\tc\t2\n")
    build(source, tmp_path / "out", **PLAN)
    path = tmp_path / "out" / "own_hard_graffiti.tsv"
    path.write_text(path.read_text().replace("\tc\t2\n", "\tc\t3\n"))
    sign_again(tmp_path / "out")
    for known in (source, None):
        problems = check(tmp_path / "out", known).problems
        assert {p.index for p in problems} == {"9"}
        assert any("another row" in p.what for p in problems)


def test_an_unfinished_build_cannot_be_verified(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 2)
    build(source, tmp_path / "out", **PLAN)
    path = tmp_path / "out" / "manifest.json"
    path.write_text(path.read_text().replace('"complete": true', '"complete": false'))
    with pytest.raises(StoreError, match="unfinished"):
        check(tmp_path / "out", source)
    with pytest.raises(UsageError, match=r"holds no manifest\.json"):
        check(tmp_path, source)


def test_another_spec_is_reported(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 2)
    build(source, tmp_path / "out", **PLAN)
    path = tmp_path / "out" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["spec"] = {"version": "0", "digest": "0" * 64}
    path.write_text(json.dumps(manifest))
    with pytest.raises(IncomparableError, match="the spec of the build, version 0"):
        check(tmp_path / "out", source)
    assert check(tmp_path / "out", None).problems == ()


def test_the_source_is_found_by_its_digest(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 2)
    build(source, tmp_path / "out", **PLAN)
    manifest = read_build(tmp_path / "out")
    assert find_source_benches(manifest, tmp_path / "out").found["own"].path == source
    other = write_tsv(tmp_path / "other.tsv", 3)
    with pytest.raises(UsageError, match="is not a source of this build"):
        find_source_benches(manifest, tmp_path / "out", files=[other])
    other.replace(source)
    assert "another file" in find_source_benches(manifest, tmp_path / "out").missing["own"]
    source.unlink()
    assert "own.tsv" in find_source_benches(manifest, tmp_path / "out").missing["own"]


def test_verifying_goes_through_the_same_code_path_for_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A kernel that changes one grey level is found in every picture."""
    source = write_tsv(tmp_path / "own.tsv", 2)
    build(source, tmp_path / "out", levels=("hard",), design="grid", corruptions=("dark_illumination",))
    from mmdbench.variants import recipes as variants

    real = variants.corruptions.apply
    monkeypatch.setattr(variants.corruptions, "apply", lambda *a: cv2.add(real(*a), (1, 1, 1, 0)))
    problems = check(tmp_path / "out", source).problems
    assert [p.index for p in problems] == ["0", "1"]
    assert all("pixels" in p.what for p in problems)
    assert verify.__name__


def test_replay_gives_the_very_bytes(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 3)
    build(source, tmp_path / "out", **PLAN)
    stored = opened(tmp_path / "out" / "own_hard_lens_flare.tsv").questions[1].images[0].read()
    for path in ("", "manifest.json", "manifests/own_hard_lens_flare.jsonl"):
        head, logs = read_manifest_of(tmp_path / "out" / path)
        found = find_picture(logs, ImageQuery("1", level="hard", corruption="lens_flare"))
        variant = replay(found, find_source_benches(head, tmp_path / "out").found["own"])
        assert variant.image.data == stored
        assert found.record["bytes"] == bytes_digest(stored)


def test_replay_reads_no_picture_above_the_limit(tmp_path: Path) -> None:
    build(write_tsv(tmp_path / "own.tsv", 3), tmp_path / "out", **PLAN)
    out = tmp_path / "p.png"
    words = ["replay", f"{tmp_path / 'out'}", "--index", "1", "--level", "clean", "-o", str(out)]
    done = CliRunner().invoke(app, [*words, "--max-pixels", "100"])
    assert (done.exit_code, "above the limit of 100." in done.output) == (2, True), done.output
    assert not out.exists()
    assert CliRunner().invoke(app, words).exit_code == 0


def test_replay_names_missing_or_ambiguous_arguments(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 3)
    with source.open("a") as file:
        file.write("9\tAgain?\tyes\tno\tA\tc\t2\n")
    build(source, tmp_path / "out", **PLAN)
    _, logs = read_manifest_of(tmp_path / "out")
    with pytest.raises(
        UsageError, match=r"3 pictures are with index 1: clean, hard graffiti, hard lens_flare"
    ):
        find_picture(logs, ImageQuery("1"))
    with pytest.raises(UsageError, match="no picture with index 77"):
        find_picture(logs, ImageQuery("77"))
    with pytest.raises(UsageError, match="picture of another row"):
        find_picture(logs, ImageQuery("9", level="clean"))
    with pytest.raises(UsageError, match="has 1 picture"):
        find_picture(logs, ImageQuery("1", level="clean", part=1))
    with pytest.raises(UsageError, match="not a log of a build"):
        read_manifest_of(write_tsv(tmp_path / "x.jsonl", 1))
    found = find_picture(logs, ImageQuery("1", level="hard", corruption="graffiti"))
    lines = source.read_text().splitlines()
    lines[2] = lines[2].rpartition("\t")[0] + "\t" + text(photograph(8))
    source.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"line 3.*not the picture"):
        replay(found, opened(source))


def test_a_missing_build_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no file or folder .*nowhere"):
        read_manifest_of(tmp_path / "nowhere")

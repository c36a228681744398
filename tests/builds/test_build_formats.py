"""Folders, Parquet and webdataset: the same pictures in other containers."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from pathlib import Path

import pytest

from build_samples import build, contents, opened, photograph, text, write_tsv
from mmdbench.builds import parquet_output
from mmdbench.builds.manifest import BuiltOutput, read_build
from mmdbench.builds.output_reader import read_output
from mmdbench.errors import MissingExtraError

PLAN = {"levels": ("clean", "hard"), "design": "grid", "corruptions": ("graffiti",)}


def has_pyarrow() -> bool:
    return (
        bool(sys.modules.get("pyarrow")) or __import__("importlib.util").util.find_spec("pyarrow") is not None
    )


needs_pyarrow = pytest.mark.skipif(not has_pyarrow(), reason="needs pyarrow: pip install 'mmdbench[parquet]'")
FORMATS = ["folder", "webdataset", pytest.param("parquet", marks=needs_pyarrow)]


def write_mixed(path: Path) -> Path:
    """Rows of one and of two pictures, a reference, an index that is no file name, a missing cell."""
    pair = f"['{text(photograph(1))}', '{text(photograph(2))}']"
    lines = ["index\tquestion\thint\timage", f"v1_0\tOne?\t\t{text(photograph(0))}"]
    lines += [f"a/b\tTwo?\tlook\t{pair}", "..\tSame?\t\tv1_0"]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("write", [write_tsv, write_mixed])
def test_every_format_holds_the_pictures_of_the_tsv(tmp_path: Path, kind: str, write) -> None:
    source = write(tmp_path / "own.tsv")
    build(source, tmp_path / "tsv", **PLAN)
    build(source, tmp_path / "out", format=kind, **PLAN)
    for record in read_build(tmp_path / "out")["outputs"]:
        built = BuiltOutput.from_dict(record)
        expected = {
            str(q.index): [image.read() for image in q.images]
            for q in opened(tmp_path / "tsv" / f"{built.output.name}.tsv").questions
        }
        found = {row.index: list(row.pictures) for row in read_output(tmp_path / "out", built, kind, "plain")}
        assert found == expected


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_the_same_with_any_workers(tmp_path: Path, kind: str) -> None:
    source = write_mixed(tmp_path / "own.tsv")
    build(source, tmp_path / "one", workers=1, format=kind, **PLAN)
    build(source, tmp_path / "seven", workers=7, format=kind, **PLAN)
    assert contents(tmp_path / "one") == contents(tmp_path / "seven")


def test_a_folder_reads_as_an_image_folder(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 3)
    build(source, tmp_path / "out", format="folder", levels=("hard",))
    place = tmp_path / "out" / "own_hard"
    records = [json.loads(line) for line in (place / "metadata.jsonl").read_text().splitlines()]
    assert [r["file_name"] for r in records] == ["images/0.jpg", "images/1.jpg", "images/2.jpg"]
    assert records[1]["question"] == "Question 1?"
    assert records[1]["level"] == "hard"
    assert records[1]["corruption"]
    assert all((place / r["file_name"]).is_file() for r in records)


def test_every_row_has_every_column(tmp_path: Path) -> None:
    source = write_mixed(tmp_path / "own.tsv")
    build(source, tmp_path / "out", format="folder", levels=("clean",))
    lines = (tmp_path / "out" / "own_clean" / "metadata.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["hint"] for record in records] == [None, "look", None]
    assert {tuple(record) for record in records} == {
        ("images_file_names", "index", "question", "hint", "bench", "level", "corruption")
    }


def test_an_index_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    source = write_mixed(tmp_path / "own.tsv")
    build(source, tmp_path / "out", format="folder", levels=("hard",))
    names = sorted(p.name for p in (tmp_path / "out" / "own_hard" / "images").iterdir())
    assert names == ["row.1.0.jpg", "row.1.1.jpg", "row.2.jpg", "v1_0.jpg"]
    assert not (tmp_path / "out" / "own_hard" / "images" / "a").exists()


def test_shards_are_plain_tar_without_times_or_users(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 5)
    summary = build(source, tmp_path / "out", format="webdataset", levels=("hard",), max_file_bytes=16_000)
    (built,) = summary.outputs
    assert [f.file for f in built.files[:2]] == ["own_hard-00000.tar", "own_hard-00001.tar"]
    names = []
    for record in built.files:
        with tarfile.open(tmp_path / "out" / record.file) as shard:
            for member in shard:
                assert (member.mtime, member.uid, member.uname, member.mode) == (0, 0, "", 0o644)
                names.append(member.name)
    assert names == [f"{n:08d}.{suffix}" for n in range(5) for suffix in ("jpg", "json")]


@needs_pyarrow
def test_parquet_declares_its_images_to_hugging_face(tmp_path: Path) -> None:
    import pyarrow.parquet

    source = write_tsv(tmp_path / "own.tsv", 3)
    build(source, tmp_path / "out", format="parquet", levels=("hard",))
    table = pyarrow.parquet.read_table(tmp_path / "out" / "own_hard-00000-of-00001.parquet")
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}
    assert list(features) == table.column_names
    assert table.column("index").to_pylist() == [0, 1, 2]
    picture = table.column("image")[1].as_py()
    assert picture["path"] == "1.jpg"
    from PIL import Image

    assert Image.open(io.BytesIO(picture["bytes"])).size == (96, 64)


@needs_pyarrow
def test_parquet_is_cut_into_files_that_say_how_many_there_are(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 5)
    summary = build(source, tmp_path / "out", format="parquet", levels=("hard",), max_file_bytes=12_000)
    names = [record.file for record in summary.outputs[0].files]
    assert len(names) > 1
    assert names == [f"own_hard-{n:05d}-of-{len(names):05d}.parquet" for n in range(len(names))]


def test_without_pyarrow_the_install_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_tsv(tmp_path / "own.tsv", 2)

    def missing(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(parquet_output, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"pip install 'mmdbench\[parquet\]'"):
        build(source, tmp_path / "out", format="parquet")

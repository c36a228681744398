"""Builds in other containers, read by the package that they are for: Hugging Face `datasets`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from build_samples import build, write_tsv
from mmdbench.benches import decode_image, open_bench
from mmdbench.system.digest import pixel_digest

READ = """
import json, sys
import numpy as np
from datasets import load_dataset
from mmdbench.system.digest import pixel_digest

kind, place, cache = sys.argv[1:]
where = {"data_dir": place} if kind == "imagefolder" else {"data_files": place}
rows = []
for row in load_dataset(kind, split="train", cache_dir=cache, **where):
    pictures = row.get("images") or [row.get("image") or row.get("jpg")]
    digests = [pixel_digest(np.asarray(picture.convert("RGB"))) for picture in pictures]
    texts = {**row, **(row.get("json") or {})}
    rows.append([texts["index"], texts["question"], texts["corruption"], digests])
print(json.dumps(rows))
"""


def read_by_datasets(kind: str, place: Path, cache: Path) -> list[list]:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, "-c", READ, kind, str(place), str(cache)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def expected(tsv: Path) -> list[list]:
    """Index, question, corruption and the digests of the pictures of every row of a TSV build."""
    return [
        [q.index, q.text, "scan_lines", [pixel_digest(decode_image(i.read(), i.where)) for i in q.images]]
        for q in open_bench(tsv).questions
    ]


PLAN = {"levels": ("hard",), "corruptions": ("scan_lines",)}


@pytest.mark.slow
@pytest.mark.skipif(find_spec("datasets") is None, reason="needs the package datasets")
@pytest.mark.parametrize(
    ("kind", "reader", "place"),
    [
        ("parquet", "parquet", "own_hard-00000-of-00001.parquet"),
        ("folder", "imagefolder", "own_hard"),
        ("webdataset", "webdataset", "own_hard-00000.tar"),
    ],
)
def test_datasets_reads_what_a_build_writes(tmp_path: Path, kind: str, reader: str, place: str) -> None:
    source = write_tsv(tmp_path / "own.tsv", 4)
    build(source, tmp_path / "tsv", **PLAN)
    build(source, tmp_path / kind, format=kind, **PLAN)
    rows = read_by_datasets(reader, tmp_path / kind / place, tmp_path / "cache")
    assert sorted(rows) == expected(tmp_path / "tsv" / "own_hard.tsv")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("datasets") is None, reason="needs the package datasets")
@pytest.mark.parametrize(
    ("kind", "reader", "place"),
    [("parquet", "parquet", "own_hard-00000-of-00001.parquet"), ("folder", "imagefolder", "own_hard")],
)
def test_datasets_reads_rows_of_several_pictures(tmp_path: Path, kind: str, reader: str, place: str) -> None:
    source = write_tsv(tmp_path / "own.tsv", 2)
    head, *lines = source.read_text().splitlines()
    first, second = (line.rpartition("\t") for line in lines)
    both = f'"[""{first[2]}"", ""{second[2]}""]"'
    source.write_text("\n".join([head, f"{first[0]}\t{both}", "\t".join(second[::2])]) + "\n")
    build(source, tmp_path / "tsv", **PLAN)
    build(source, tmp_path / kind, format=kind, **PLAN)
    rows = read_by_datasets(reader, tmp_path / kind / place, tmp_path / "cache")
    assert [len(row[3]) for row in sorted(rows)] == [2, 1]
    assert sorted(rows) == expected(tmp_path / "tsv" / "own_hard.tsv")

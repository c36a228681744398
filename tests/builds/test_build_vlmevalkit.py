"""VLMEvalKit's own dataset class loads what a build writes.

Set MMDBENCH_VLMEVAL_WHEELS to a folder with an `ms-vlmeval` wheel; nothing else of it is needed:
whatever else its modules import is stood in for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from build_samples import build, load_proof, opened, photograph, text
from mmdbench.system.digest import pixel_digest

# Its packages import every model and judge there is: only the modules of the dataset class are let in.
LOAD = """
import hashlib, importlib.abc, importlib.machinery, importlib.util, json, os, sys, types
from pathlib import Path
from unittest.mock import MagicMock

import numpy, pandas, PIL.Image  # those are needed as they are

wheel, name = sys.argv[1:3]
sys.path.insert(0, wheel)


class StandIn(types.ModuleType):
    __path__ = []
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock()


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, self, is_package=True)
    def create_module(self, spec):
        return StandIn(spec.name)
    def exec_module(self, module):
        pass


for package in ("vlmeval", "vlmeval.dataset", "vlmeval.dataset.utils"):
    shell = types.ModuleType(package)
    shell.__path__ = [wheel + "/" + package.replace(".", "/")]
    shell.__spec__ = importlib.machinery.ModuleSpec(package, None, is_package=True)
    sys.modules[package] = shell
sys.modules["vlmeval.dataset.utils"].__getattr__ = lambda name: MagicMock()
sys.modules["validators"] = types.SimpleNamespace(url=lambda text: False)
sys.meta_path.append(Finder())

from vlmeval.dataset.image_mcq import CustomMCQDataset

sys.meta_path.pop()
data = CustomMCQDataset(name)
rows = []
for number in range(len(data)):
    line = data.data.iloc[number]
    message = data.build_prompt(line)
    pictures = [part["value"] for part in message if part["type"] == "image"]
    words = "".join(part["value"] for part in message if part["type"] == "text")
    rows.append([int(line["index"]), str(line["answer"]), words, pictures])
print("ROWS" + json.dumps(rows))
"""


def wheel() -> Path:
    folder = os.environ.get("MMDBENCH_VLMEVAL_WHEELS")
    wheels = sorted(Path(folder).rglob("ms_vlmeval-*.whl")) if folder else []
    if not wheels:
        pytest.skip("set MMDBENCH_VLMEVAL_WHEELS to a folder with an ms-vlmeval wheel")
    return wheels[-1]


def load_by_vlmevalkit(name: str, data_dir: Path) -> list[list]:
    command = [sys.executable, "-W", "ignore", "-c", LOAD, str(wheel()), name]
    environment = {**os.environ, "LMUData": str(data_dir)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("ROWS"))
    return json.loads(line[4:])


def write_source(path: Path) -> Path:
    pair = ", ".join(f'""{text(photograph(n))}""' for n in (1, 2))
    rows = [
        "index\tquestion\thint\tA\tB\tanswer\tcategory\timage",
        f'0\t"Two\nlines, ""quoted""?"\tlook\tyes\tno\tA\tc\t{text(photograph(0))}',
        "1000000\tTurned?\t\tno\tyes\tB\tc\t0",
        f'2\tBoth?\t\tyes\tno\tA\tc\t"[{pair}]"',
        f"3\tURI?\t\tyes\tno\tB\tc\tdata:image/jpeg;base64,{text(photograph(3))}",
    ]
    path.write_text("\n".join(rows) + "\n")
    return path


def assert_seen_alike(path: Path, rows: list[list]) -> None:
    """VLMEvalKit and mmdbench find the same indices and, row by row, the same pixels in the file."""
    from mmdbench.benches import decode_image

    questions = opened(path).questions
    assert [row[0] for row in rows] == [q.index for q in questions]
    for question, (_, _, _, paths) in zip(questions, rows, strict=True):
        seen = [pixel_digest(decode_image(Path(p).read_bytes(), p)) for p in paths]
        assert seen == [pixel_digest(decode_image(image.read(), image.where)) for image in question.images]


@pytest.mark.parametrize("codec", ["jpeg:95", "png"])
def test_vlmevalkit_sees_our_pictures_and_questions(tmp_path: Path, codec: str) -> None:
    wheel()
    source = write_source(tmp_path / "own.tsv")
    plan = {"levels": ("hard",), "design": "grid", "corruptions": ("gaussian_noise",)}
    summary = build(source, tmp_path / "LMUData", codec=codec, **plan)
    assert summary.outputs[0].references == 1
    name = "own_hard_gaussian_noise"
    rows = load_by_vlmevalkit(name, tmp_path / "LMUData")
    assert [row[0] for row in rows] == [0, 1000000, 2, 3]
    assert [row[1] for row in rows] == ["A", "B", "A", "B"]
    assert 'Two\nlines, "quoted"?' in rows[0][2]
    assert_seen_alike(tmp_path / "LMUData" / f"{name}.tsv", rows)


@pytest.mark.slow
def test_vlmevalkit_loads_the_build_of_the_proof(tmp_path: Path) -> None:
    """The table that `benchmarks/build_proof.py` builds; MMDBENCH_PROOF_ROWS=2000 takes all of it."""
    wheel()
    rows = int(os.environ.get("MMDBENCH_PROOF_ROWS", "80"))
    source = tmp_path / "photographs.tsv"
    load_proof().write_source(source, rows)
    build(source, tmp_path / "LMUData", levels=("hard",))
    loaded = load_by_vlmevalkit("photographs_hard", tmp_path / "LMUData")
    assert len(loaded) == rows
    assert loaded[3][1:2] == ["B"]
    assert "What is\nshown, 3?" in loaded[3][2]
    assert_seen_alike(tmp_path / "LMUData" / "photographs_hard.tsv", loaded)

"""A bounded run of the fuzzer; `tests/fuzz/inputs.py` says how to run it for longer."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from pictures import picture, png

SCRIPT = Path(__file__).parents[1] / "fuzz" / "inputs.py"


def seeds(target, folder, make_tsv):
    folder.mkdir()
    if target == "tsv":
        (folder / "plain").write_bytes(make_tsv(3).read_bytes()[:6000])
        with (folder / "quoted").open("w", newline="") as file:
            rows = [
                ["index", "question", "A", "answer", "image"],
                ["0", 'a "b"\nc\t', "x", "A", "[]"],
                ["1", "", "", "", "0"],
            ]
            csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL).writerows(rows)
    else:
        image = Image.fromarray(picture(0, 9, 11))
        for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"):
            buffer = io.BytesIO()
            image.save(buffer, kind)
            (folder / kind).write_bytes(buffer.getvalue())
        (folder / "large").write_bytes(png(picture(1)))


@pytest.mark.slow
@pytest.mark.parametrize("target", ["tsv", "image"])
def test_no_input_raises_anything_but_our_errors(target, make_tsv, tmp_path):
    pytest.importorskip("atheris", reason="atheris has no build for this Python or system")
    seeds(target, tmp_path / "corpus", make_tsv)
    command = [
        sys.executable,
        str(SCRIPT),
        target,
        str(tmp_path / "corpus"),
        "-runs=3000",
        "-seed=1",
        "-max_total_time=20",
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Done " in done.stderr

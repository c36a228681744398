"""Coverage-guided fuzzing of what strangers hand to mmdbench: TSV files and pictures.

    python tests/fuzz/inputs.py tsv -runs=20000
    python tests/fuzz/inputs.py image -runs=20000

Needs the package `atheris`. Anything that is raised and is not one of our errors is a finding;
libFuzzer then writes the input to a file beside the corpus.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["mmdbench"]):
    from mmdbench.benches import decode_image, open_bench
from mmdbench.errors import MmdbenchError

_FOLDER = Path(tempfile.mkdtemp(prefix="fuzz"))


def tsv(data: bytes) -> None:
    """Open the bytes as a benchmark and read every picture it names."""
    path = _FOLDER / "fuzz.tsv"
    path.write_bytes(data)
    try:
        bench = open_bench(path)
        for question in bench.questions[:20]:
            for source in question.images[:4]:
                decode_image(source.read(), source.where)
    except MmdbenchError:
        pass


def image(data: bytes) -> None:
    """Decode the bytes as a picture."""
    try:
        pixels = decode_image(data, "fuzz")
    except MmdbenchError:
        return
    assert pixels.dtype == "uint8"
    assert pixels.ndim == 3


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    target = {"tsv": tsv, "image": image}[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()

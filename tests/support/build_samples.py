"""Small benchmarks for the tests of builds: photographs of `mini`, made smaller."""

from __future__ import annotations

import base64
import importlib.util
import struct
import zlib
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import cv2

from mmdbench.benches import Bench, decode_image, open_bench
from mmdbench.builds import BuildPlan, BuildSettings, BuildSummary, run_build
from mmdbench.variants.codec import encode, parse_codec


@lru_cache(maxsize=64)
def photograph(number: int = 0, width: int = 96, height: int = 64, codec: str = "jpeg:95") -> bytes:
    """An encoded photograph of that size."""
    questions = open_bench("mini").questions
    image = questions[number * 7 % len(questions)].images[0]
    pixels = cv2.resize(
        decode_image(image.read(), image.where), (width, height), interpolation=cv2.INTER_AREA
    )
    return encode(pixels, parse_codec(codec)).data


def bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """A PNG of a few bytes that claims to be enormous."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b""))
    written = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


def text(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


def write_tsv(path: Path, rows: int = 6, **sizes: int) -> Path:
    """A plain multiple-choice benchmark whose rows each hold a picture."""
    lines = ["index\tquestion\tA\tB\tanswer\tcategory\timage"]
    lines += [
        f"{n}\tQuestion {n}?\tyes\tno\t{'AB'[n % 2]}\tc{n % 3}\t{text(photograph(n, **sizes))}"
        for n in range(rows)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def build(
    source: Path, folder: Path, workers: int = 2, max_file_bytes: int = 10**9, **plan: object
) -> BuildSummary:
    """Build a TSV; `plan` are fields of BuildPlan."""
    settings = BuildSettings(workers=workers, max_file_bytes=max_file_bytes)
    return run_build(BuildPlan((str(source),), **plan), [open_bench(source, answers="any")], folder, settings)


def opened(path: Path) -> Bench:
    return open_bench(path, answers="any")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a build by its path, except the lock."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def load_proof() -> ModuleType:
    """The script `benchmarks/build_proof.py` as a module."""
    path = Path(__file__).parents[2] / "benchmarks" / "build_proof.py"
    spec = importlib.util.spec_from_file_location("build_proof", path)
    assert spec is not None
    assert spec.loader is not None
    proof = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(proof)
    return proof

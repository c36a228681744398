"""Test that a build has the same bytes for any number of workers and after any number of kills.

`python benchmarks/build_proof.py` builds a TSV of 2,000 rows of real photographs with 1, 2 and 7
workers, and once more while it is killed ten times; compares every byte; and verifies the result
against its source. It takes some minutes. `--rows` and `--kills` make it smaller.
"""

from __future__ import annotations

import argparse
import base64
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZES = ((160, 120), (200, 150), (320, 240), (384, 288))
CHILD = """
import sys
from pathlib import Path
from mmdbench.benches import open_bench
from mmdbench.builds import BuildPlan, BuildSettings, run_build
from mmdbench.builds import build as build_module

build_module._CHECKPOINT_SECONDS = float(sys.argv[4])
source, folder, workers = sys.argv[1:4]
counts = Path(folder + ".counts")
plan = BuildPlan((source,), levels=tuple(sys.argv[5].split(",")))
summary = run_build(plan, [open_bench(source)], Path(folder), BuildSettings(workers=int(workers)))
counts.write_text(f"{summary.made} {summary.earlier}")
"""


def write_source(path: Path, rows: int) -> None:
    """Write a TSV of photographs with different crops and sizes; every tenth row refers to an earlier one."""
    import cv2

    from mmdbench.benches import decode_image, open_bench

    pictures = [q.images[0] for q in open_bench("mini").questions]
    decoded = [decode_image(p.read(), p.where) for p in pictures[:: max(1, len(pictures) // 40)]]
    with path.open("w") as file:
        file.write("index\tquestion\tA\tB\tanswer\tcategory\timage\n")
        for n in range(rows):
            pixels = decoded[n % len(decoded)]
            shift = n // len(decoded) % 40
            part = cv2.resize(pixels[shift : shift + 260, shift : shift + 300], SIZES[n % len(SIZES)])
            data = cv2.imencode(".jpg", part[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
            cell = str(n - 5) if n % 10 == 9 else base64.b64encode(data).decode()
            file.write(f'{n}\t"What is\nshown, {n}?"\tthis\tthat\t{"AB"[n % 2]}\tc{n % 5}\t{cell}\n')


def run_child(
    source: Path, folder: Path, workers: int, levels: str, pause: float = 1.0
) -> subprocess.Popen[bytes]:
    """Start a build in a process of its own."""
    return start_child(CHILD, [str(source), str(folder), str(workers), str(pause), levels])


def start_child(program: str, words: list[str]) -> subprocess.Popen[bytes]:
    """Start a program in a new interpreter."""
    return subprocess.Popen([sys.executable, "-c", program, *words])


def build_whole(source: Path, folder: Path, workers: int, levels: str) -> float:
    """Build in this process; returns wall seconds."""
    from mmdbench.benches import open_bench
    from mmdbench.builds import BuildPlan, BuildSettings, run_build

    started = time.perf_counter()
    plan = BuildPlan((str(source),), levels=tuple(levels.split(",")))
    run_build(plan, [open_bench(source)], folder, BuildSettings(workers=workers))
    return time.perf_counter() - started


def build_killed(source: Path, folder: Path, rows: int, kills: int, levels: str) -> tuple[int, int]:
    """Build with kills spread over the rows; returns the rows that the last start found and made."""
    checkpoint = folder / ".parts" / source.stem / "checkpoint.json"

    def saved() -> int:
        return json.loads(checkpoint.read_text()).get("rows", rows) if checkpoint.exists() else 0

    for kill in range(kills):
        wanted = max(1, rows * kill // (kills + 1))
        with run_child(source, folder, 2, levels, 0.02) as child:
            before = saved()
            while child.poll() is None and (saved() < wanted or saved() == before):
                time.sleep(0.005)
            child.kill()
            code = child.wait()
        assert code == -9, "the build was over before it could be killed: use more rows"
    with run_child(source, folder, 2, levels) as child:
        assert child.wait() == 0
    made, found = map(int, Path(f"{folder}.counts").read_text().split())
    return found, made


def files_of(folder: Path) -> dict[str, bytes]:
    """The content of every file of a build, without its lock."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def prove(place: Path, rows: int, kills: int, levels: str = "hard") -> list[str]:
    """Build and compare below `place`; returns the lines to print. Raises AssertionError on a difference."""
    from mmdbench.builds.manifest import read_build
    from mmdbench.builds.source_benches import find_source_benches
    from mmdbench.builds.verify import verify_build

    source = place / "photographs.tsv"
    write_source(source, rows)
    lines = [f"{rows} rows, {source.stat().st_size / 1e6:.0f} MB"]
    for workers in (1, 2, 7):
        seconds = build_whole(source, place / f"workers{workers}", workers, levels)
        lines.append(f"{workers} workers: {seconds:.1f} s")
    found, made = build_killed(source, place / "killed", rows, kills, levels)
    lines.append(f"killed {kills} times: {found} rows survived to the last start, {made} were left")
    expected = files_of(place / "workers1")
    for name in ("workers2", "workers7", "killed"):
        assert files_of(place / name) == expected, f"{name} differs"
    lines.append(f"{len(expected)} files are equal byte for byte in all four")
    sources = find_source_benches(read_build(place / "killed"), place / "killed", files=[source])
    result = verify_build(place / "killed", sources)
    assert not result.problems, result.problems[:5]
    assert result.rows == rows * len(levels.split(","))
    lines.append(f"verified: {result.rows} rows, {result.remade} pictures made anew and equal")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--levels", default="hard")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        print("\n".join(prove(Path(place), arguments.rows, arguments.kills, arguments.levels)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

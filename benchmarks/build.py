"""Time and memory of building a degraded benchmark, against the plain pipeline.

`python benchmarks/build.py` measures 60 photographs × 48 variants, TSV in, TSV out. `--smoke` takes
a minute at most and fails if something is far slower than expected. `--without-fast` builds 4 photographs
without numba and pybase64, as an installation without the extra `fast` does. Times are CPU seconds, user
and system, of each side's own process, so that other work on the machine hardly matters.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import processor

SIZES = ((500, 400), (640, 480), (1024, 768))
FULL, SMOKE, WITHOUT_FAST = 60, 2, 4
LARGE_MB, LARGE_MB_SMOKE = 400, 60
GUARDS = {"build": 8.0, "reading": 5.0, "writing": 15.0, "with SHA-256": 5.0, "two workers": 1.8}
SMOKE_GUARDS = {"reading": 4.4, "writing": 11.0, "with SHA-256": 3.0, "two workers": 0.4}
"""Half of the least that was measured, on a machine with four times as much work as cores."""
SMOKE_BUILD_GUARDS = {"avx512bw": 3.3, "avx2": 3.0, "": 2.3}
"""The same for a build by the widest feature in use: 6.7, 6.1 and 4.6 were measured."""
MOST_MEMORY_MB = 450


def photographs(count: int) -> list[bytes]:
    """JPEGs of the photographs that come with mmdbench, enlarged to the three sizes in turn."""
    import cv2

    from mmdbench.benches import decode_image, open_bench

    questions = open_bench("mini").questions
    found = []
    for number in range(count):
        image = questions[number * 7 % len(questions)].images[0]
        size = SIZES[number % len(SIZES)]
        pixels = cv2.resize(decode_image(image.read(), image.where), size, interpolation=cv2.INTER_CUBIC)
        found.append(cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())
    return found


def write_source(path: Path, pictures: list[bytes], rows: int) -> None:
    """Write a TSV with some number of rows, which show the pictures in turn."""
    cells = [base64.b64encode(picture).decode() for picture in pictures]
    with path.open("w") as file:
        file.write("index\tquestion\tA\tB\tanswer\tcategory\timage\n")
        for number in range(rows):
            texts = f"What is shown in picture {number}?\tA thing\tAnother\tA\tcat{number % 4}"
            file.write(f"{number}\t{texts}\t{cells[number % len(cells)]}\n")


def build_ours(source: Path, folder: Path, workers: int) -> None:
    from mmdbench.benches import open_bench
    from mmdbench.builds import BuildPlan, BuildSettings, run_build

    bench = open_bench(source)
    run_build(BuildPlan((str(source),), design="grid"), [bench], folder, BuildSettings(workers=workers))


def build_reference(source: Path, folder: Path, _workers: int) -> None:
    import reference_pipeline

    reference_pipeline.build(source, folder)


def read_ours(source: Path, _folder: Path, _workers: int) -> None:
    from mmdbench.benches import open_bench

    bench = open_bench(source)
    assert all(len(bench.rows[question.index].raw("image")) > 64 for question in bench.questions)


def read_reference(source: Path, _folder: Path, _workers: int) -> None:
    import reference_pipeline

    assert all(len(cell) > 64 for cell in reference_pipeline.read(source)["image"])


def write_ours(source: Path, folder: Path, _workers: int) -> float:
    """CPU seconds of writing rows whose cells are ready, with the SHA-256 of the file."""
    from mmdbench.benches import open_bench
    from mmdbench.builds.output_format import OutputRow, SinkPlan
    from mmdbench.builds.plan import Output, RowPlan, Target
    from mmdbench.builds.row_images import MadeRow, RowImages
    from mmdbench.builds.tsv_output import TsvSink
    from mmdbench.records import Cell

    bench = open_bench(source)
    cell = base64.b64encode(bench.questions[0].images[0].read())
    rows = [
        MadeRow(RowPlan(number, question, ()), *bench.rows[question.index].split_at("image"), ())
        for number, question in enumerate(bench.questions)
    ]
    started = time.process_time()
    sink = TsvSink(SinkPlan(Output(bench.name, "hard"), bench, folder), None)
    target = Target(0, Cell(bench.name, 0, "hard", None))
    for row in rows:
        sink.add(OutputRow(row, target, RowImages((), cell, ())))
    sink.finish()
    return time.process_time() - started


def write_plain_ours(source: Path, folder: Path, workers: int) -> float:
    """CPU seconds of writing without a digest, which `to_csv` does not compute either."""
    from mmdbench.builds import part_files

    class NoDigest:
        def update(self, data: bytes) -> None:
            pass

        def hexdigest(self) -> str:
            return ""

    part_files.hashlib = argparse.Namespace(sha256=NoDigest)
    return write_ours(source, folder, workers)


def write_reference(source: Path, folder: Path, _workers: int) -> float:
    import pandas as pd

    table = pd.read_csv(source, sep="\t")
    table["image"] = [table["image"][0]] * len(table)
    started = time.process_time()
    table.to_csv(folder / "out.tsv", sep="\t", index=False)
    return time.process_time() - started


TASKS = {
    f.__name__: f
    for f in (
        build_ours,
        build_reference,
        read_ours,
        read_reference,
        write_ours,
        write_plain_ours,
        write_reference,
    )
}


def compare_without_fast() -> tuple[float, float]:
    """CPU seconds of the plain and of our build of a few photographs, without the extra `fast`."""
    with tempfile.TemporaryDirectory() as place:
        for package in ("numba", "pybase64"):
            Path(place, f"{package}.py").write_text("raise ImportError\n")
        source = Path(place) / "small.tsv"
        write_source(source, pictures := photographs(WITHOUT_FAST), len(pictures))
        os.environ["PYTHONPATH"] = place
        plain, own = measure("build_reference", source), measure("build_ours", source, 1)
    return plain["cpu"], own["cpu"]


def run_task(name: str, source: Path, folder: Path, workers: int) -> None:
    """Run a task in this process and print its CPU seconds, wall seconds and peak memory as JSON."""
    import mmdbench.builds  # noqa: F401 - its import is not measured
    from mmdbench.benches import open_bench  # noqa: F401 - nor is that of the reader, which comes at first use

    if name.endswith("reference"):
        import reference_pipeline  # noqa: F401 - nor is this
    wall, cpu = time.perf_counter(), time.process_time()
    measured = TASKS[name](source, folder, workers)
    cpu_seconds = time.process_time() - cpu if measured is None else measured
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        1 << 20 if sys.platform == "darwin" else 1 << 10
    )
    print(json.dumps({"cpu": cpu_seconds, "wall": time.perf_counter() - wall, "peak": peak}))


def measure(name: str, source: Path, workers: int = 2) -> dict[str, float]:
    """CPU seconds, wall seconds and peak MiB of a task in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--task", name, str(source), folder, str(workers)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(*, smoke: bool) -> list[tuple[str, float, str, float]]:
    """Every ratio: its name, its value, the figures it is made of, and the guard."""
    with tempfile.TemporaryDirectory() as place:
        pictures = photographs(SMOKE if smoke else FULL)
        small, warm, large = (Path(place) / f"{name}.tsv" for name in ("small", "warm", "large"))
        write_source(small, pictures, len(pictures))
        write_source(warm, pictures[:1], 1)
        size = sum(map(len, pictures)) / len(pictures) * 4 / 3
        write_source(large, pictures, int((LARGE_MB_SMOKE if smoke else LARGE_MB) * 1e6 / size))
        measure("build_ours", warm)  # numba compiles once per installation
        one, ours = measure("build_ours", small, 1), measure("build_ours", small, 2)
        reference = measure("build_reference", small)
        to_csv = measure("write_reference", large)
        pairs = {
            "build": (reference, ours),
            "reading": (measure("read_reference", large), measure("read_ours", large)),
            "writing": (to_csv, measure("write_plain_ours", large)),
            "with SHA-256": (to_csv, measure("write_ours", large)),
        }
    guards = {"build": processor.guard(SMOKE_BUILD_GUARDS), **SMOKE_GUARDS} if smoke else GUARDS
    rows = [
        (
            name,
            plain["cpu"] / own["cpu"],
            f"{plain['cpu']:.2f} s / {own['cpu']:.2f} s CPU",
            guards[name],
        )
        for name, (plain, own) in pairs.items()
    ]
    walls = f"{one['wall']:.1f} s / {ours['wall']:.1f} s wall"
    rows.append(("two workers", one["wall"] / ours["wall"], walls, guards["two workers"]))
    memory = f"{reference['peak']:.0f} MiB / {ours['peak']:.0f} MiB"
    rows.append(("memory", reference["peak"] / ours["peak"], memory, reference["peak"] / MOST_MEMORY_MB))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a few pictures, loose guards")
    parser.add_argument("--without-fast", action="store_true", help="4 photographs without the extra `fast`")
    parser.add_argument("--task", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        name, source, folder, workers = arguments.task
        run_task(name, Path(source), Path(folder), int(workers))
        return 0
    if arguments.without_fast:
        plain, own = compare_without_fast()
        print(f"{WITHOUT_FAST} photographs × 48 variants, without the extra `fast`")
        print(f"build        {plain / own:6.2f} ×   plain / ours: {plain:.1f} s / {own:.1f} s CPU")
        return 0
    feature = processor.widest_feature() or "neither AVX2 nor AVX-512"
    print(f"{SMOKE if arguments.smoke else FULL} photographs × 48 variants, {os.cpu_count()} CPUs, {feature}")
    failed = 0
    for name, ratio, how, least in compare(smoke=arguments.smoke):
        verdict = "" if ratio >= least else f"  BELOW {least:.1f}"
        failed += ratio < least
        print(f"{name:<12} {ratio:6.1f} ×   plain / ours: {how}{verdict}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""An evaluation from a function to a table, a page and a gate, with every public name of mmdbench once.

Run it: python evaluation_in_python.py FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

import mmdbench


def bright(images: list[Image.Image], prompt: str) -> str:
    """Answer A for bright pictures and B for dark ones."""
    return "A" if "?" in prompt and images[0].resize((1, 1)).convert("L").tobytes()[0] > 100 else "B"


async def first(images: list[Image.Image], prompt: str) -> str:
    """Answer the first letter; a function that waits for a server looks like this."""
    return "A" if images and "A. " in prompt else "yes"


@mmdbench.batched(8)
def second(images: list[list[Image.Image]], prompts: list[str]) -> list[str]:
    """Answer B, eight questions in one call."""
    return ["B" if pictures else "no" for pictures, _ in zip(images, prompts, strict=True)]


class Own:
    """A model with a fingerprint of its own."""

    def fingerprint(self) -> Mapping[str, object]:
        """Everything that could change a reply."""
        return {"name": "own", "version": "1"}

    def generate(self, requests: Sequence[mmdbench.Request]) -> list[mmdbench.Outcome]:
        """Answer each request."""
        return [mmdbench.Outcome(next(iter(request.options), "A")) for request in requests]


def show(progress: mmdbench.Progress) -> None:
    """Print the end of each task."""
    if progress.done == progress.total:
        print(f"{progress.task}: {progress.total}")


def log(numbers: dict[str, float], step: int) -> None:
    """Print the drop at a step of a training; "wandb", "mlflow", "trackio" or "tensorboard" log it there."""
    print(f"step {step}: drop {numbers['robustness/mini/drop_hard']:.1f} points")


def main(folder: Path) -> int:
    """Evaluate four models, compare two of them, and gate one."""
    options: mmdbench.EvaluateOptions = {
        "levels": ["clean", "hard"],
        "sample": 8,
        "out": folder / "bright",
        "version": "1",
    }
    work: mmdbench.Forecast = mmdbench.forecast(bright, "mini", **options)
    print(work.to_ask, "requests")
    run: mmdbench.Run = mmdbench.evaluate(bright, "mini", progress=show, **options)
    scores: mmdbench.ShownTable = run.scores()
    print(scores, run.drops(by="corruption"), sep="\n")
    tables: mmdbench.TableSet = run.tables
    print(*tables)
    value: mmdbench.Value | None = scores["mini", "hard"]
    print(value.value if value else "no score", len(run.frame()), len(run.rows()))
    run.page(folder / "bright.html")
    mmdbench.evaluate(first, "mini", levels=["clean"], sample=8, out=folder / "first", canary=False)
    mmdbench.evaluate(second, "mini", levels=["clean"], sample=8, out=folder / "second", progress=False)
    own: mmdbench.Model = Own()
    mmdbench.evaluate(own, "mini", levels=["clean", "hard"], sample=8, out=folder / "own")
    card = mmdbench.ModelCard("guesses", "chance")
    mmdbench.evaluate(card, "mini", levels=["hard"], sample=8, out=folder / "guesses")

    monitor = mmdbench.DropMonitor(bright, "mini", out=folder / "training", log_to=log, sample=4)
    for step in (0, 500):  # in a training loop, every 500 steps
        monitor(step)
    monitor.close()

    report: mmdbench.Report = mmdbench.load_report(folder / "bright", folder / "own")
    (folder / "table.md").write_text(report.text("markdown", ["levels"]), "utf-8")
    found: mmdbench.RunComparison = mmdbench.compare(mmdbench.load_run(folder / "bright"), folder / "own")
    print(found.title, *found.tables)
    print(mmdbench.cite(run).count("@"), "entries of BibTeX")

    run.accept(folder / "baseline.json")
    verdict: mmdbench.CheckResult = run.check(folder / "baseline.json", ["macro-hard:1.0"])
    rows: tuple[mmdbench.CheckRow, ...] = verdict.rows
    print(verdict.outcome, *(f"{row.name}: {row.loss:.1f} points lost" for row in rows), sep="\n")

    plan: mmdbench.BuildOptions = {"levels": ["hard"], "sample": 4}
    built: mmdbench.BuildSummary = mmdbench.build("mini", folder / "degraded", **plan)
    print(built.made, "rows built")
    photo = Image.new("RGB", (64, 48), "teal")
    for name in mmdbench.get_corruption_names()[:2]:
        mmdbench.corrupt(photo, name, level="hard").save(folder / f"{name}.png")
    mmdbench.Chain()(photo, seed=1).save(folder / "chain.png")
    return verdict.exit_code


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1])))
    except mmdbench.errors.MmdbenchError as error:
        sys.exit(str(error))

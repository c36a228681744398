"""Runs with pictures for the page's tests: a benchmark on disk, and replies that get worse by level."""

from __future__ import annotations

import base64
import csv
from pathlib import Path

from mmdbench.corruptions.spec_file import load_spec
from mmdbench.records import Cell, RunPlan
from mmdbench.report.tables.collect import make_tables
from mmdbench.results.graded_run import load_results
from mmdbench.system.digest import bytes_digest
from mmdbench.variants.recipes import clean_image, make_variant, recipe_for
from pictures import picture, png
from run_folders import question, write_run

HOSTILE = '</script><script>window.pwned=1</script><img src=x onerror="window.pwned=2"> & ]]> <!-- \' \u2028'
SHOWN = HOSTILE.replace("\u2028", r"\u2028")  # the page shows control characters as Python writes them
CORRUPTIONS = ("graffiti", "lens_blur", "scan_lines", "gaussian_noise")


def hard_to_see(q, level, corruption):
    """Right when clean; one question in two is lost at mid, and most at hard; some say nothing readable."""
    number = int(q.index)
    lost = {"clean": number % 7 == 6, "low": number % 7 == 6, "mid": number % 2 == 0, "hard": number % 5 != 1}
    if not lost[level]:
        return q.answer
    return "I cannot tell." if number % 3 == 0 else "ABCD"[("ABCD".index(q.answer) + 1) % 4]


def questions(count=12, bench="toy", text=HOSTILE):
    """Questions, the first of them with hostile text in every place."""
    found = [question(n, bench, "ABCD"[n % 4]) for n in range(count)]
    found[0] = question(0, bench, "A", question=text, A=text, hint=text)
    return found


def write_bench(folder: Path, asked) -> Path:
    """Write the questions as a benchmark's TSV, each with a picture of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = ["index", "question", "hint", "A", "B", "C", "D", "answer", "category"]
    path = folder / f"{asked[0].bench}.tsv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow([*columns, "image"])
        for q in asked:
            image = base64.b64encode(png(picture(int(q.index)))).decode()
            writer.writerow([q.index, *(q.fields.get(c, "") for c in columns[1:]), image])
    return path


def recorded(q, level, corruption):
    """A run's record of the picture that it showed."""
    plan = RunPlan("m", (q.bench,))
    clean = clean_image(png(picture(int(q.index))), "a test")
    recipe = recipe_for(Cell(q.bench, q.index, level, corruption), clean.digest, plan, load_spec())
    variant = make_variant(clean, recipe)
    return {"recipe": recipe.as_dict(), "pixels": variant.pixels, "no_op": variant.no_op}


def write_pictured_run(folder: Path, asked=None, answer=hard_to_see, **changes) -> Path:
    """A run's folder whose replies note their pictures; question 1 has CLEAR's thoughts and picture."""
    asked = asked or questions()

    def reply(q, level, corruption):
        got = answer(q, level, corruption)
        if got is None:
            return None
        fields = dict(got) if isinstance(got, dict) else {"text": got}
        fields["images"] = (recorded(q, level, corruption),)
        if q.index == 1 and level == "hard":
            kept = base64.b64encode(png(picture(99))).decode()
            texts = [f"It is blurred. {HOSTILE}", "<answer>B</answer>"]
            fields["details"] = {"texts": texts, "restorations": 1, "images": [kept]}
        return fields

    changes.setdefault("corruptions", CORRUPTIONS)
    return write_run(folder, asked, reply, **changes)


def graded(*folders: Path):
    """The runs, graded, and their tables."""
    runs = [load_results(folder) for folder in folders]
    return runs, make_tables(runs, load_spec())


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    return bytes_digest(path.read_bytes())

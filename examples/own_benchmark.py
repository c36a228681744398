"""A benchmark of your own: `own_benchmark.py PHOTOS questions.csv mine.tsv`.

questions.csv has a line for each question: `file,question,A,B,C,D,answer` and optionally
`category`, for the breakdown of results. Then: `mmdbench eval --model baseline --bench mine.tsv`.
"""

import base64
import csv
import sys
from pathlib import Path


def main(photos: Path, questions: Path, target: Path) -> None:
    """Write one row for each question, with its picture as base64."""
    with questions.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = ["index", *(name for name in rows[0] if name != "file"), "image"]
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        for index, row in enumerate(rows):
            picture = (photos / row.pop("file")).read_bytes()
            writer.writerow({"index": index, **row, "image": base64.b64encode(picture).decode()})
    print(f"{len(rows)} questions in {target}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))

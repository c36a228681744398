"""Build the embedded benchmark from its hand-written questions and a folder of photographs.

    python tools/mini/build_mini.py PHOTOS_DIR

`PHOTOS_DIR` holds the photographs; `photos.csv` (file, source, original, licence) lies in it or
beside it. Written: `mmdbench/benches/data/mini.tsv` and `mini_NOTICE.md`. The same sources and the
same Pillow give the same bytes.
"""

from __future__ import annotations

import base64
import csv
import io
import sys
from collections import defaultdict
from pathlib import Path

from PIL import Image

from mmdbench.errors import DataError

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "mmdbench" / "benches" / "data"
LETTERS = ("A", "B", "C", "D")
QUESTION_COLUMNS = (
    "index", "photo", "question", *LETTERS, "answer", "category", "l2-category", "pair",
)  # fmt: skip
TSV_COLUMNS = (
    "index", "question", *LETTERS, "answer", "category", "l2-category", "pair", "photo", "image",
)  # fmt: skip
GROUPS = {
    "presence": "object",
    "counting": "object",
    "position": "attribute",
    "colour": "attribute",
    "reading": "text",
    "scene": "scene",
}
LONG_SIDE = 512
QUALITY = 88
MOST_BYTES = 6_000_000

Row = dict[str, str]

NOTICE_HEAD = """\
# Photographs in mini.tsv

The benchmark `mini` is made of the {n} photographs listed here. Each was resized to at most
{side} pixels on its long side and compressed again as JPEG; nothing else was changed. The
questions and answers were written for mmdbench by looking at the photographs.

Licences named in the table: [CC0 1.0](https://creativecommons.org/publicdomain/zero/1.0/),
[CC BY 2.0](https://creativecommons.org/licenses/by/2.0/),
[CC BY 4.0](https://creativecommons.org/licenses/by/4.0/),
[Apache 2.0](https://www.apache.org/licenses/LICENSE-2.0), [MIT](https://opensource.org/license/mit).
PD is the public domain. "Not itemised" says that the licence is the one of the package which
carries the file and that the package names no other for this file.

| File | Shows | Source package | Original name | Licence | Credit |
| --- | --- | --- | --- | --- | --- |
"""


def read_table(path: Path, delimiter: str) -> list[Row]:
    """Read a table with a header line into one dict of cells for each row."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter=delimiter, strict=True))


def check_row(row: Row, position: int, photos: dict[str, Row], credit_of: dict[str, Row]) -> None:
    """Raise DataError unless one question is complete and its photograph has licence and credit."""
    where = f"questions.tsv, index {row['index']}"
    options = [row[letter] for letter in LETTERS]
    filled = [option for option in options if option]
    if row["index"] != str(position):
        raise DataError(f"{where}: expected index {position}.", hint="Number the rows 0, 1, 2, ...")
    if not row["question"] or len(filled) < 2 or options[: len(filled)] != filled:
        raise DataError(f"{where}: question or options are missing.", hint="Fill A, B, ... from the left.")
    if len(set(filled)) != len(filled):
        raise DataError(f"{where}: two options are equal.")
    if row["answer"] not in LETTERS[: len(filled)]:
        raise DataError(f"{where}: answer {row['answer']!r} is not one of the options.")
    if GROUPS.get(row["category"]) != row["l2-category"]:
        raise DataError(f"{where}: {row['category']!r} does not belong to {row['l2-category']!r}.")
    if row["photo"] not in photos or not photos[row["photo"]]["licence"]:
        raise DataError(f"{where}: {row['photo']} has no licence in photos.csv.")
    if row["photo"] not in credit_of:
        raise DataError(f"{where}: {row['photo']} has no line in credits.tsv.")


def check_pairs(rows: list[Row]) -> None:
    """Raise DataError unless each pair is two neighbours, same words, other photo, other answer."""
    pairs: dict[str, list[int]] = defaultdict(list)
    for position, row in enumerate(rows):
        if row["pair"]:
            pairs[row["pair"]].append(position)
    same = ("question", *LETTERS, "category")
    for name, places in pairs.items():
        if len(places) != 2 or places[1] != places[0] + 1:
            raise DataError(f"questions.tsv: pair {name} is not two rows in a row.")
        one, two = (rows[place] for place in places)
        if any(one[column] != two[column] for column in same) or one["C"]:
            raise DataError(f"questions.tsv: pair {name} differs in question or options.")
        if one["answer"] == two["answer"] or one["photo"] == two["photo"]:
            raise DataError(f"questions.tsv: pair {name} needs two photographs and opposite answers.")


def encode_photo(path: Path) -> str:
    """Return the photograph as base64 JPEG, 4:2:0, no metadata, at most LONG_SIDE pixels long."""
    with Image.open(path) as opened:
        photo = opened.convert("RGB")
    scale = LONG_SIDE / max(photo.size)
    if scale < 1:
        width, height = (max(1, round(side * scale)) for side in photo.size)
        photo = photo.resize((width, height), Image.Resampling.LANCZOS)
    photo.info.clear()
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=QUALITY, subsampling="4:2:0", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def with_images(rows: list[Row], folder: Path) -> list[Row]:
    """Add the column image: base64 in a photograph's first row, that row's index in later ones."""
    first: dict[str, str] = {}
    complete = []
    for row in rows:
        seen = first.get(row["photo"])
        first.setdefault(row["photo"], row["index"])
        complete.append({**row, "image": seen or encode_photo(folder / row["photo"])})
    return complete


def tsv_text(rows: list[Row]) -> str:
    """Write rows in the layout of TSV_COLUMNS, minimal quoting, LF line ends."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, TSV_COLUMNS, delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def notice_text(used: list[str], photos: dict[str, Row], credit_of: dict[str, Row]) -> str:
    """Write the table of the photographs used, in alphabetical order."""
    lines = []
    for name in sorted(used):
        photo, credit = photos[name], credit_of[name]
        cells = (
            name,
            credit["shows"],
            photo["source"],
            photo["original"],
            photo["licence"],
            credit["credit"],
        )
        lines.append("| " + " | ".join(cells) + " |\n")
    return NOTICE_HEAD.format(n=len(used), side=LONG_SIDE) + "".join(lines)


def read_photos(folder: Path) -> dict[str, Row]:
    """Read photos.csv in `folder` or beside it, keyed by file name."""
    for place in (folder, folder.parent):
        if (place / "photos.csv").is_file():
            return {row["file"]: row for row in read_table(place / "photos.csv", ",")}
    raise DataError(f"No photos.csv in {folder} or beside it.", hint="It names each file's licence.")


def build(folder: Path) -> None:
    """Check all sources, then write mini.tsv and mini_NOTICE.md."""
    rows = read_table(HERE / "questions.tsv", "\t")
    if not rows or tuple(rows[0]) != QUESTION_COLUMNS:
        raise DataError("questions.tsv: the columns differ.", hint=f"Expected {QUESTION_COLUMNS}.")
    photos = read_photos(folder)
    credit_of = {row["file"]: row for row in read_table(HERE / "credits.tsv", "\t")}
    for position, row in enumerate(rows):
        check_row(row, position, photos, credit_of)
    check_pairs(rows)
    text = tsv_text(with_images(rows, folder))
    if len(text.encode()) > MOST_BYTES:
        raise DataError(f"mini.tsv would be {len(text.encode())} bytes.", hint="Lower QUALITY or LONG_SIDE.")
    used = sorted({row["photo"] for row in rows})
    DATA.mkdir(parents=True, exist_ok=True)
    (DATA / "mini.tsv").write_bytes(text.encode())
    (DATA / "mini_NOTICE.md").write_bytes(notice_text(used, photos, credit_of).encode())
    sys.stdout.write(f"{len(rows)} questions on {len(used)} photographs, {len(text.encode())} bytes\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: build_mini.py PHOTOS_DIR")
    build(Path(sys.argv[1]))

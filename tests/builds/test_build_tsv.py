"""TSV builds: the benchmark's own bytes around new pictures."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from build_samples import build, contents, opened, photograph, text, write_tsv
from mmdbench.benches import decode_image
from mmdbench.builds.plan import BuildPlan, plan_benches
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.system.digest import bytes_digest
from mmdbench.variants.recipes import clean_image, make_variant, recipe_for


def cut(line: bytes, column: int) -> list[bytes]:
    return line.split(b"\t")[:column] + line.split(b"\t")[column + 1 :]


def log_rows(folder: Path, name: str) -> list[dict]:
    lines = (folder / "manifests" / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines[1:]]


def test_one_file_for_each_level_when_mixed(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv")
    build(source, tmp_path / "out", levels=("clean", "low", "hard"))
    assert sorted(p.name for p in (tmp_path / "out").glob("*.tsv")) == [
        "own_clean.tsv",
        "own_hard.tsv",
        "own_low.tsv",
    ]


def test_one_file_for_each_corruption_in_a_grid(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv")
    build(
        source,
        tmp_path / "out",
        levels=("recoded", "hard"),
        design="grid",
        corruptions=("graffiti", "lens_flare"),
    )
    assert sorted(p.name for p in (tmp_path / "out").glob("*.tsv")) == [
        "own_hard_graffiti.tsv",
        "own_hard_lens_flare.tsv",
        "own_recoded.tsv",
    ]


@pytest.mark.parametrize("codec", ["jpeg:95", "png", "webp:70"])
def test_disk_holds_what_is_made_on_the_fly(tmp_path: Path, codec: str) -> None:
    source = write_tsv(tmp_path / "own.tsv", 3)
    levels = ("clean", "recoded", "mid", "hard")
    names = ("motion_blur", "gaussian_noise", "hsv_saturation")
    build(source, tmp_path / "out", levels=levels, design="grid", corruptions=names, codec=codec)
    plan = BuildPlan((str(source),), levels=levels, design="grid", corruptions=names, codec=codec)
    bench = opened(source)
    (planned,) = plan_benches(plan, [bench], load_spec())
    checked = 0
    for question, cells in planned.questions:
        clean = clean_image(question.images[0].read(), "here")
        for cell in cells:
            name = planned.output_of(cell).name
            variant = make_variant(clean, recipe_for(cell, clean.digest, plan.as_run_plan(), load_spec()))
            copy = opened(tmp_path / "out" / f"{name}.tsv")
            stored = next(q for q in copy.questions if q.index == question.index).images[0].read()
            assert stored == variant.image.data
            assert (decode_image(stored, "") == decode_image(variant.image.data, "")).all()
            (logged,) = next(r for r in log_rows(tmp_path / "out", name) if r["index"] == question.index)[
                "images"
            ]
            assert logged["pixels"] == variant.pixels
            assert logged["recipe"] == variant.recipe.as_dict()
            checked += 1
    assert checked == 3 * (2 + 2 * 3)


def test_clean_pictures_are_the_benchmarks_own(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv")
    build(source, tmp_path / "out", levels=("clean",))
    assert (tmp_path / "out" / "own_clean.tsv").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_other_columns_stay_byte_for_byte(tmp_path: Path, newline: str, bom: bytes) -> None:
    rows = [
        'index\tQuestion\timage\tA\tB\t"odd ""name"""\tanswer',
        f'007\t"two\nlines, a ""quote"" and a\ttab"\t{text(photograph(1))}\tNA\tNone\t\tA',
        f"8\t spaces kept \t{text(photograph(2))}\t0.50\tÄ→\t'\tB",
    ]
    source = tmp_path / "own.tsv"
    source.write_bytes(bom + newline.join(rows).encode())
    build(source, tmp_path / "out", levels=("hard",))
    built = (tmp_path / "out" / "own_hard.tsv").read_bytes()
    assert built.startswith(bom + rows[0].encode() + newline.encode())
    assert built.endswith(f"\t0.50\tÄ→\t'\tB{newline}".encode())
    before, _, after = rows[1].encode().partition(text(photograph(1)).encode())
    assert before in built
    assert after + newline.encode() in built
    assert text(photograph(1)).encode() not in built


def test_references_stay_where_the_recipe_is_the_same(tmp_path: Path) -> None:
    rows = [
        f"index\tg_index\tquestion\tA\tB\tanswer\timage\n0\t0\tQ?\ta\tb\tA\t{text(photograph(0))}",
        "1000000\t0\tQ?\tb\ta\tB\t0",
        "5\t5\tOther?\ta\tb\tA\t0",
    ]
    source = tmp_path / "own.tsv"
    source.write_text("\n".join(rows) + "\n")
    build(source, tmp_path / "grid", levels=("hard",), design="grid", corruptions=("graffiti",))
    lines = (tmp_path / "grid" / "own_hard_graffiti.tsv").read_bytes().splitlines()
    assert lines[2] == b"1000000\t0\tQ?\tb\ta\tB\t0"
    assert lines[3] == b"5\t5\tOther?\ta\tb\tA\t0"
    summary = build(source, tmp_path / "mixed", levels=("hard",), seed=1)
    logged = {row["index"]: row for row in log_rows(tmp_path / "mixed", "own_hard")}
    assert logged[0]["corruption"] == logged[1000000]["corruption"] != logged[5]["corruption"]
    assert logged[1000000].get("refers")
    assert not logged[5].get("refers")
    assert summary.outputs[0].references == 1
    built = opened(tmp_path / "mixed" / "own_hard.tsv").questions
    assert built[0].images[0].read() == built[1].images[0].read() != built[2].images[0].read()


def test_a_reference_to_a_row_outside_the_sample_is_written_out(tmp_path: Path) -> None:
    lines = ["index\tquestion\tA\tB\tanswer\timage", f"0\tQ?\ta\tb\tA\t{text(photograph(0))}"]
    lines += [f"{n}\tQ{n}?\ta\tb\tA\t0" for n in range(1, 8)]
    source = tmp_path / "own.tsv"
    source.write_text("\n".join(lines) + "\n")
    outside = []
    for seed in range(6):
        build(
            source,
            tmp_path / str(seed),
            levels=("hard",),
            design="grid",
            corruptions=("graffiti",),
            sample="2",
            seed=seed,
        )
        questions = opened(tmp_path / str(seed) / "own_hard_graffiti.tsv").questions
        assert len(questions) == 2
        assert len({bytes_digest(q.images[0].read()) for q in questions}) == 1
        outside.append(0 not in {q.index for q in questions})
    assert any(outside)


def test_a_reference_to_a_later_row_is_written_out(tmp_path: Path) -> None:
    source = tmp_path / "own.tsv"
    source.write_text(f"index\tquestion\timage\n3\tQ?\t4\n4\tQ?\t{text(photograph(0))}\n")
    summary = build(source, tmp_path / "out", levels=("hard",), design="grid", corruptions=("graffiti",))
    assert summary.outputs[0].references == 0
    first, second = opened(tmp_path / "out" / "own_hard_graffiti.tsv").questions
    assert first.images[0].read() == second.images[0].read()


@pytest.mark.parametrize("quote", ['"', "'"])
def test_lists_of_pictures_stay_lists(tmp_path: Path, quote: str) -> None:
    body = ", ".join(f"{quote}{text(photograph(n))}{quote}" for n in (0, 1))
    cell = '"[' + body.replace('"', '""') + ']"' if quote == '"' else f"[{body}]"
    source = tmp_path / "own.tsv"
    source.write_text(
        f"index\tquestion\timage\n1\tBoth?\t{cell}\n2\tOne?\t[{quote}{text(photograph(3))}{quote}]\n"
    )
    build(source, tmp_path / "out", levels=("hard",))
    row = opened(tmp_path / "out" / "own_hard.tsv").table.rows[0]
    value = row.text("image")
    assert value.startswith(f"[{quote}")
    pictures = json.loads(value.replace("'", '"'))
    assert len(pictures) == 2
    logged = log_rows(tmp_path / "out", "own_hard")[0]["images"]
    assert [bytes_digest(base64.b64decode(p)) for p in pictures] == [image["bytes"] for image in logged]
    assert opened(tmp_path / "out" / "own_hard.tsv").table.rows[1].text("image").startswith("[")


def test_a_data_uri_becomes_plain_base64(tmp_path: Path) -> None:
    source = tmp_path / "own.tsv"
    source.write_text(f"index\tquestion\timage\n1\tQ?\tdata:image/jpeg;base64,{text(photograph(0))}\n")
    build(source, tmp_path / "out", levels=("hard",))
    cell = opened(tmp_path / "out" / "own_hard.tsv").table.rows[0].text("image")
    assert base64.b64decode(cell, validate=True)[:2] == b"\xff\xd8"


def test_a_picture_so_short_that_it_looks_like_an_index(tmp_path: Path) -> None:
    source = tmp_path / "own.tsv"
    source.write_text(f"index\tquestion\timage\n1\tQ?\t{text(photograph(0, 1, 1))}\n")
    build(
        source,
        tmp_path / "out",
        levels=("hard",),
        codec="webp:1",
        design="grid",
        corruptions=("dark_illumination",),
    )
    (question,) = opened(tmp_path / "out" / "own_hard_dark_illumination.tsv").questions
    assert decode_image(question.images[0].read(), "").shape == (1, 1, 3)


def test_picture_files_are_put_into_the_table(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photograph(0))
    (tmp_path / "b.png").write_bytes(photograph(1, codec="png"))
    source = tmp_path / "own.tsv"
    source.write_text('index\timage_path\tquestion\n1\ta.jpg\tOne?\n2\t"[""a.jpg"", ""b.png""]"\tTwo?\n')
    build(source, tmp_path / "out", levels=("hard",))
    lines = (tmp_path / "out" / "own_hard.tsv").read_text().splitlines()
    assert lines[0] == "index\timage\tquestion"
    assert lines[1].startswith("1\t/9j/")
    assert lines[1].endswith("\tOne?")
    assert lines[2].startswith("2\t['/9j/") or lines[2].startswith('2\t"[""/9j/')
    assert [len(q.images) for q in opened(tmp_path / "out" / "own_hard.tsv").questions] == [1, 2]


def test_long_files_are_split_and_references_never_cross(tmp_path: Path) -> None:
    lines = ["index\tquestion\timage"]
    for n in range(0, 12, 2):
        lines += [f"{n}\tQ?\t{text(photograph(n))}", f"{n + 1}\tQ?\t0"]
    source = tmp_path / "own.tsv"
    source.write_text("\n".join(lines) + "\n")
    plan = {"levels": ("hard",), "design": "grid", "corruptions": ("graffiti",)}
    summary = build(source, tmp_path / "out", max_file_bytes=20_000, **plan)
    files = summary.outputs[0].files
    assert [f.file for f in files[:2]] == ["own_hard_graffiti.tsv", "own_hard_graffiti_part2.tsv"]
    assert len(files) > 2
    whole = build(source, tmp_path / "whole", **plan)
    assert whole.outputs[0].references == 6
    expected = {
        q.index: q.images[0].read() for q in opened(tmp_path / "whole" / "own_hard_graffiti.tsv").questions
    }
    found = {}
    for record in files:
        assert (tmp_path / "out" / record.file).stat().st_size == record.bytes <= 20_000
        found.update({q.index: q.images[0].read() for q in opened(tmp_path / "out" / record.file).questions})
    assert found == expected
    assert build(source, tmp_path / "one", workers=1, max_file_bytes=20_000, **plan).outputs[0].files == files


def test_a_row_longer_than_a_file_may_be_gets_its_own(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 3)
    summary = build(source, tmp_path / "out", max_file_bytes=100, levels=("clean",))
    assert [f.file for f in summary.outputs[0].files] == [
        "own_clean.tsv",
        "own_clean_part2.tsv",
        "own_clean_part3.tsv",
    ]


def test_the_manifest_names_everything_and_nothing_of_this_machine(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv")
    build(source, tmp_path / "out", levels=("hard",))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["complete"]
    assert manifest["plan"]["benches"] == ["own"]
    assert manifest["benches"][0]["sha256"] == bytes_digest(source.read_bytes())
    (output,) = manifest["outputs"]
    for record in (output["log"], *output["files"]):
        data = (tmp_path / "out" / record["file"]).read_bytes()
        assert (record["bytes"], record["sha256"]) == (len(data), bytes_digest(data))
    everything = b"".join(data for name, data in contents(tmp_path / "out").items() if "json" in name)
    assert str(tmp_path).encode() not in everything


def test_no_ops_are_counted(tmp_path: Path) -> None:
    grey = cv2_grey()
    source = tmp_path / "own.tsv"
    source.write_text(f"index\tquestion\timage\n1\tGrey?\t{text(grey)}\n2\tColour?\t{text(photograph(1))}\n")
    summary = build(
        source, tmp_path / "out", levels=("hard",), design="grid", corruptions=("hsv_saturation",)
    )
    assert summary.outputs[0].no_ops == 1
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["no_ops"] == 1
    assert [row["images"][0]["no_op"] for row in log_rows(tmp_path / "out", "own_hard_hsv_saturation")] == [
        True,
        False,
    ]


def cv2_grey() -> bytes:
    import numpy as np

    from mmdbench.variants.codec import encode, parse_codec

    grey = np.repeat(np.arange(64 * 48, dtype=np.uint8).reshape(48, 64, 1), 3, axis=2)
    return encode(grey, parse_codec("png")).data


def test_balanced_builds_hold_the_rows_that_met_the_corruption(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 8)
    names = ("graffiti", "lens_flare", "scan_lines", "motion_blur")
    summary = build(source, tmp_path / "out", levels=("hard",), design="balanced:2", corruptions=names)
    assert sum(built.rows for built in summary.outputs) == 16
    assert {built.rows for built in summary.outputs} == {4}
    for built in summary.outputs:
        rows = log_rows(tmp_path / "out", built.output.name)
        assert {row["corruption"] for row in rows} == {built.output.corruption}


def test_a_plan_that_cannot_be_built_is_refused_at_once(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 2)
    with pytest.raises(UsageError, match="nothing to build"):
        build(source, tmp_path / "out", design="released")
    with pytest.raises(UnknownNameError, match="format"):
        build(source, tmp_path / "out", format="csv")
    with pytest.raises(UnknownNameError, match="motion_blur"):
        build(source, tmp_path / "out", corruptions=("motionblur",))
    assert not (tmp_path / "out").exists()

"""Names, spellings and sets of the catalogue, and what the catalogue refuses."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mmdbench.benches import expand_benches, find_bench, get_bench_names
from mmdbench.benches.catalog import parse_catalog
from mmdbench.errors import DataError, UnknownNameError, UsageError
from mmdbench.scoring.families import get_family

STANZA = '[New]\nfamily = "plain"\nurl = "https://example.org/New.tsv"\n'


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("MMBench", "MMBench_DEV_EN_V11"),
        ("mmbench_dev_en", "MMBench_DEV_EN"),
        ("MM-Vet", "MMVet"),
        ("mmvet", "MMVet"),
        ("CV-Bench-2D", "CV-Bench-2D"),
        ("cvbench 3d", "CV-Bench-3D"),
        ("realworldqa", "RealWorldQA"),
        ("MMMB", "MMMB_en"),
        ("R-Bench-Dis", "R-Bench-Dis"),
        ("MINI", "mini"),
    ],
)
def test_spellings(spelling: str, name: str) -> None:
    assert find_bench(spelling).name == name
    assert expand_benches(spelling) == (name,)


def test_mmd_is_six_benchmarks_in_seven_files() -> None:
    names = expand_benches("mmd")
    assert names == (
        "MMBench_DEV_EN_V11", "MMVet", "MMVP", "CV-Bench-2D", "CV-Bench-3D", "MMStar", "RealWorldQA",
    )  # fmt: skip
    assert len({find_bench(name).part_of or find_bench(name).benchmark for name in names}) == 6


def test_expand_keeps_order_and_paths_and_drops_repeats() -> None:
    assert expand_benches(["CV-Bench,mini", "some/File.tsv", "mini"]) == (
        "CV-Bench-2D",
        "CV-Bench-3D",
        "mini",
        "some/File.tsv",
    )


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean 'MMStar'.*mmdbench list benches") as caught:
        find_bench("MMStr")
    assert caught.value.exit_code == 2
    with pytest.raises(UnknownNameError):
        expand_benches("mini,nothing-like-it")


def test_a_name_of_several_files_is_not_silently_one_of_them() -> None:
    with pytest.raises(UsageError, match="CV-Bench-2D, CV-Bench-3D"):
        find_bench("CV-Bench")


def test_every_stanza_is_complete() -> None:
    for name in get_bench_names():
        info = find_bench(name)
        assert info.licence
        assert info.source
        assert {"index", "image"} <= set(info.columns)
        assert len(info.md5) == 32
        assert get_family(info.family).prompt_summary
        assert get_family(info.family).grading_summary
        assert "/blob/" not in info.url


def test_a_stanza_of_four_words_is_enough() -> None:
    info = parse_catalog(STANZA)["New"]
    assert (info.benchmark, info.title, info.family) == ("New", "New", "plain")
    assert (info.rows, info.licence) == (None, "unknown")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[New", "not valid TOML"),
        ("New = 1", "must be a table"),
        (STANZA + "colour = 'red'", "unknown key 'colour'"),
        (STANZA + "rows = -1", "rows cannot be -1"),
        (STANZA + "rows = true", "rows cannot be True"),
        (STANZA + "aliases = 'x'", "aliases"),
        (STANZA + "md5 = 'abc'", "MD5"),
        (STANZA.replace("plain", "odd"), "family must be one of"),
        (STANZA.replace("https", "ftp"), "https://"),
        (STANZA + "shipped = 'x.tsv'", "either a url or"),
        (STANZA + "\n[new_]\nfamily = 'plain'\nurl = 'https://example.org/x'", "is one of New already"),
        (STANZA + "sets = ['NEW']", "is the name of a benchmark"),
    ],
)
def test_a_wrong_catalogue_is_refused(text: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        parse_catalog(text)


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, mmdbench.benches as b; b.find_bench('mini')\n"
        "print([m for m in ('numpy', 'PIL', 'pandas', 'cv2', 'torch') if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"

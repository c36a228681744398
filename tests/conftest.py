"""Fixtures of several rooms; the helpers they use are in `support/`."""

from __future__ import annotations

import base64
import csv
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import typer
from typer import testing

from mmdbench.corruptions.spec_file import ADDED
from pictures import picture, png
from pip_installs import Installer

collect_ignore = ["fuzz", "support"]  # no tests, and packages that are not always there


def pytest_make_parametrize_id(val: object) -> str | None:
    """The id of a long text is its beginning; other values have pytest's own id."""
    return f"{val[:32]}..." if isinstance(val, str) and len(val) > 35 else None


@pytest.fixture(scope="session", autouse=True)
def _one_command_line() -> Iterator[None]:
    """Make the commands of the command line once: typer's runner makes them anew for each call, in 0.1 s."""
    whole = cache(typer.main.get_command)

    def command_of(app: typer.Typer) -> object:
        return whole(app) if app.info.name == "mmdbench" else typer.main.get_command(app)

    with pytest.MonkeyPatch.context() as patch:
        # Private: the runner has no public place for a command that is made already.
        patch.setattr(testing, "_get_command", command_of)
        yield


@pytest.fixture(autouse=True)
def _no_corruption_from_outside() -> Iterator[None]:
    """Forget the corruptions from outside that a test used."""
    yield
    ADDED.clear()


@pytest.fixture(scope="session")
def installer(tmp_path_factory: pytest.TempPathFactory) -> Installer:
    """Builds and installs projects with pip."""
    return Installer(tmp_path_factory.mktemp("build-requirements"))


@pytest.fixture
def make_tsv(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a multiple-choice TSV of `rows` questions, each with a picture of its own."""

    def make(rows: int = 12, name: str = "toy.tsv", categories: int = 3) -> Path:
        path = tmp_path / name
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerow(["index", "question", "A", "B", "C", "D", "answer", "category", "image"])
            for i in range(rows):
                image = base64.b64encode(png(picture(i))).decode()
                writer.writerow(
                    [
                        i,
                        f"Question {i}?",
                        "red",
                        "green",
                        "blue",
                        "grey",
                        "ABCD"[i % 4],
                        f"c{i % categories}",
                        image,
                    ]
                )
        return path

    return make

"""The figures of a report: sizes, fonts, and what each of them shows."""

from __future__ import annotations

import re

import pytest
from PIL import Image

from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import UsageError
from mmdbench.report.render.figures import draw_figures
from mmdbench.report.render.plots import draw_corruptions, draw_drops
from mmdbench.report.tables.collect import make_tables
from tests.support.run_folders import hit, results

mpl_figure = pytest.importorskip("matplotlib.figure")
SPEC = load_spec()
NAMES = tuple(SPEC.corruptions)


def made_tables(labels=("one",), benches=("MMStar",), levels=("clean", "low", "hard")):
    """The tables of runs in which every third question is lost at the hardest level."""
    runs = []
    for label in labels:
        hits = [
            hit(
                f"{bench}{i}",
                level,
                level != "hard" or i % 3 > 0,
                NAMES[i % 16] if level != "clean" else None,
                bench,
            )
            for bench in benches
            for i in range(32)
            for level in levels
        ]
        runs.append(results(hits, label=label, levels=levels))
    return make_tables(runs, SPEC)


def inches(path):
    """Width of an SVG in inches."""
    return float(re.search(r'<svg[^>]* width="([0-9.]+)pt"', path.read_text("utf-8"))[1]) / 72


@pytest.mark.parametrize(("columns", "width"), [(1, 3.35), (2, 6.9)])
def test_a_figure_is_as_wide_as_columns_of_a_paper(tmp_path, columns, width):
    paths = draw_figures(made_tables(), tmp_path, ["svg", "png"], columns)
    assert [path.name for path in paths[::2]] == ["levels.svg", "drops.svg", "corruptions.svg"]
    for path in paths[::2]:
        assert inches(path) == pytest.approx(width)
    for path in paths[1::2]:
        with Image.open(path) as picture:
            assert picture.width == pytest.approx(width * 300, abs=1)


def test_a_figure_of_three_columns_is_refused(tmp_path):
    with pytest.raises(UsageError, match="3 columns"):
        draw_figures(made_tables(), tmp_path, columns=3)


def test_vector_files_hold_their_fonts(tmp_path):
    svg, pdf = draw_figures(made_tables(), tmp_path, ["svg", "pdf"])[:2]
    assert "font-family: 'DejaVu Sans'; src: url(data:font/ttf;base64," in svg.read_text("utf-8")
    assert b"/FontFile2" in pdf.read_bytes()


def drawn(draw, tables, width=3.35):
    figure = mpl_figure.Figure(layout="constrained")
    assert draw(figure, tables, width)
    figure.draw_without_rendering()
    return figure


@pytest.mark.parametrize("count", [1, 4])
def test_the_legend_and_the_bars_of_one_benchmark_do_not_touch(count):
    figure = drawn(draw_drops, made_tables([f"run {i}" for i in range(count)]))
    (axes,) = figure.axes
    legend = figure.legends[0].get_window_extent()
    assert not legend.overlaps(axes.get_window_extent())
    low, high = sorted(axes.get_ylim())
    places = [y for bars in axes.containers for y in bars[0].get_ydata()]
    assert len(places) == count
    assert min(places) - low > 0.15
    assert high - max(places) > 0.15


def words(axes):
    return [text.get_text() for text in axes.texts]


def test_the_map_of_corruptions_has_names_counts_intervals_and_a_scale():
    figure = drawn(draw_corruptions, made_tables(["a model"]))
    axes, scale = figure.axes
    assert [text.get_text() for text in axes.child_axes[0].get_xticklabels()] == ["a model"]
    assert [text.get_text() for text in axes.get_yticklabels()] == [f"{name}, n 2" for name in NAMES]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["low", "hard"]
    assert len([word for word in words(axes) if re.fullmatch(r"\[-?\d+, -?\d+\]", word)]) == 32
    low, high = scale.get_ylim()
    assert low == -high


@pytest.mark.parametrize(("width", "levels"), [(3.35, 1), (6.9, 2)])
def test_the_map_shows_all_runs_and_as_many_levels_as_fit(width, levels):
    labels = ["first", "second", "third", "fourth"]
    axes = drawn(draw_corruptions, made_tables(labels), width).axes[0]
    assert len(words(axes)) == 2 * 16 * 4 * levels
    names = axes.get_xticklabels() if levels == 1 else axes.child_axes[0].get_xticklabels()
    assert [text.get_text() for text in names] == labels


def test_levels_name_the_benchmark_and_its_questions(tmp_path):
    one = draw_figures(made_tables(), tmp_path / "one", ["svg"])[0].read_text("utf-8")
    two = draw_figures(made_tables(benches=("MMStar", "MMVP")), tmp_path / "two", ["svg"])[0]
    assert ">MMStar, n 32<" in one
    assert ">AVG of 2 benchmarks, n 64<" in two.read_text("utf-8")

"""One hostile run through every rendering: what its names, questions and replies hold is only ever text."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
import sys
import unicodedata
import warnings
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt
from typer.testing import CliRunner

from mmdbench.check.output import (
    comment,
    failure_comment,
    failure_junit,
    github_lines,
    junit_xml,
    markdown_summary,
)
from mmdbench.check.verdicts import CheckReport, CheckRow
from mmdbench.cli import app
from mmdbench.errors import MmdbenchError
from mmdbench.library.progress import Bar
from mmdbench.library.run import load_run
from mmdbench.results.graded_arms import Judging
from mmdbench.results.judging.journal import JsonlJournal
from mmdbench.results.rescoring import record_judge, regrade, write_regraded
from mmdbench.scoring import OWN_HEADS, JudgeReply
from page_runs import write_bench
from run_folders import question, write_run
from verb_calls import call as call_verb

EVIL = (
    "=1+1 [/x] \x1b[31m\x1b]52;c;cHduZWQ=\x07\x9b2J\x7f \u202etxt.exe\u2066 \u2028\x85\ufffe\n"
    "::error::pwned\r\n  ::add-mask::pwned ##[error]pwned ##vso[task.x]y\t"
    "<b>x</b><script>alert(1)</script>[l](https://evil.example)![i](//evil.example/i.png) www.evil.example "
    "`code` | ~~a~~ **b** &lt; $\\input{/etc/passwd}$ ^^5c # % } _c_"
)
BENCH = "@b\x1b]52;c;eA==\x07\n::error::pwned <b>x \u202e[/x] <i>$\\frac{ |`".replace("/", "")
FOLDERS = ("-one \x1b[2J\n::error::x[b]", "_two \x9b2J\n##[error]x")
CORRUPTIONS = ("graffiti", "lens_blur", "mean_shift", "gaussian_noise")
COMMANDS = {f"\\{c}" for c in "&%$#_{}\\"} | {
    f"\\{name}"
    for name in (
        *("textbackslash", "rightarrow", "Delta", "ldots", "times", "textdagger", "textasciitilde"),
        *("textasciicircum", "begin", "end", "centering", "caption", "label", "toprule", "midrule"),
        *("bottomrule", "par", "parbox", "linewidth", "footnotesize", "emph", "textbf", "underline"),
    )
}
BIDI = {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}


def controls(text: str) -> set[str]:
    """The control characters of a text, line breaks left out."""
    found = {c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in BIDI}
    return found - {"\n"}


def require_plain(text: str) -> None:
    """No control character but line breaks, and no line that a CI service reads as a command."""
    assert not controls(text), text
    for line in text.split("\n"):
        assert not line.lstrip().startswith("::"), line
        assert not re.search(r"##\w*\[", line), line


def require_plain_markdown(text: str) -> None:
    """Nothing of a text becomes a link, a picture, HTML or code; a bare address is broken up."""
    allowed = re.sub(r"</?u>", "", text)  # ours, for the second best
    tokens = [
        inner
        for token in MarkdownIt().enable("table").parse(allowed)
        for inner in (token, *(token.children or ()))
    ]
    kinds = {token.type for token in tokens}
    assert not kinds & {"link_open", "image", "html_inline", "html_block", "code_inline", "fence", "s_open"}
    assert not re.search(r"https?://|www\.", text)
    assert any("pwned" in token.content for token in tokens)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with two runs, whose model, benchmark, categories, questions and replies are hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    rows = [
        question(i, BENCH, "A", question=EVIL, A=EVIL, hint=EVIL, category=f"{EVIL}{i % 2}") for i in range(8)
    ]
    for number, name in enumerate(FOLDERS):

        def answer(q, level, _, number=number):
            if level == "hard" and q.index == 0:
                return {"status": "error", "reason": EVIL}
            return {"text": f"A {EVIL}" if q.index > number + 1 else f"B {EVIL}"}

        write_run(
            folder / name,
            rows,
            answer,
            "plain",
            CORRUPTIONS,
            model=EVIL,
            max_error_rate=1.0,
            manifest={
                "model": {
                    "name": EVIL,
                    "adapter": "toy",
                    "generation": {"a": f"{EVIL}{number}"},
                    "fingerprint": {EVIL: EVIL},
                },
                "versions": {"opencv": EVIL, "mmdbench": EVIL},
            },
        )
    write_bench(folder / "data", rows)
    return folder


@pytest.fixture
def call(place, monkeypatch):
    """Call the command line with words, in the folder of the runs; its output must be plain."""
    monkeypatch.chdir(place)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, words, color=True)
        assert done.exit_code == code, (done.output, done.exception)
        require_plain(done.output)
        return done.stdout

    return run


ONE, TWO = (f"./{name}" for name in FOLDERS)


@pytest.mark.parametrize(
    "words",
    [
        ("report", ONE),
        ("report", ONE, TWO, "--table", "all"),
        ("report", ONE, TWO, "--latex", "--table", "all"),
        ("compare", ONE, TWO),
        ("compare", ONE, TWO, "--json"),
        ("cite", ONE, TWO),
        ("score", ONE),
        ("score", ONE, "--json"),
        ("show", f"data/{BENCH}.tsv:3", "--run", ONE, "-o", "sheet.png"),
        ("data", "list", "--data-dir", f"{FOLDERS[0]}"),
        ("data", "path", "mini"),
        ("export", ONE, "-o", "exported"),
        ("export", ONE, "-o", "exported", "--format", "jsonl"),
        ("list", "models"),
        ("list", "models", "--json"),
    ],
    ids=ascii,
)
def test_a_verb_prints_nothing_but_text(call, words):
    assert call(*words)


class Judge:
    """A judge with a hostile id and hostile replies."""

    id = f"{EVIL}@{EVIL}"

    def ask(self, _call):
        return JudgeReply(f"A {EVIL}")


@pytest.fixture(scope="module")
def judged(place):
    """A run of that folder whose replies no rule can read, so that the judge was asked about them."""
    rows = [question(i, BENCH, "A", question=EVIL, A=EVIL, category=EVIL) for i in range(4)]
    folder = write_run(place / "judged", rows, lambda *_: EVIL, "plain", CORRUPTIONS, model=EVIL)
    journal = JsonlJournal(folder / "judge.jsonl")
    made = regrade(folder, judging=Judging(Judge(), OWN_HEADS, journal, workers=1))
    record_judge(made)
    files = write_regraded(made)
    assert all(path.is_file() for path in files)
    return "judged"


@pytest.mark.parametrize("options", [(), ("--markdown",), ("--latex",), ("--csv",), ("--json",)], ids=ascii)
def test_a_judge_is_text_in_every_rendering(call, judged, options):
    text = call("report", judged, "--table", "all", *options)
    assert "add-mask" in text
    if options == ("--latex",):
        require_plain_latex(text)
    if options == ("--markdown",):
        require_plain_markdown(text)


def test_a_judge_is_text_where_it_is_cited_compared_and_checked(call, place, judged):
    call("compare", judged, ONE, code=2)  # it names both judges
    call("cite", judged)
    call("check", judged, "--baseline", "judged.json", "--accept")
    call("check", judged, "--baseline", "judged.json", "--junit", "judged.xml")
    call("report", judged, "--judge", EVIL, code=2)
    call("page", judged, "-o", "judged.html", "--quiet", "--data-dir", "data")
    page = (place / "judged.html").read_text("utf-8")
    assert controls(page) <= {"\t"}
    assert "<script>alert" not in page
    assert not controls("".join(ET.parse(place / "judged.xml").getroot().itertext()))


def test_errors_are_plain_lines(call, place):
    call("report", f"./{EVIL}", code=2)
    call("report", f"./{BENCH}", code=4)
    call("show", f"data/{BENCH}.tsv:{EVIL}", code=2)
    call("report", ONE, "--table", EVIL, code=2)


def test_markdown_holds_text_alone(call, place):
    require_plain_markdown(call("report", ONE, TWO, "--markdown", "--table", "all"))
    require_plain_markdown(call("compare", ONE, TWO, "--markdown"))
    call("report", ONE)
    require_plain_markdown((place / FOLDERS[0] / "report.md").read_text("utf-8"))


def test_csv_holds_no_formula_and_no_broken_row(call):
    text = call("report", ONE, TWO, "--csv", "--table", "all")
    rows = list(csv.reader(io.StringIO(text)))
    assert len({len(row) for row in rows}) == 1
    assert len(text.splitlines()) == len(rows)
    cells = [cell for row in rows for cell in row]
    formulas = [cell for cell in cells if cell.strip().startswith(("=", "+", "-", "@"))]
    assert all(re.fullmatch(r"-?[\d.]+(e-?\d+)?", cell) for cell in formulas)
    assert any(cell.startswith("-") for cell in formulas)  # a negative number is one
    assert any(cell.startswith("'@b") for cell in cells)
    assert any(cell.startswith("'=1+1") for cell in cells)


def test_latex_holds_no_command_of_a_name(call):
    require_plain_latex(call("report", ONE, TWO, "--latex", "--table", "all"))


def require_plain_latex(text: str) -> None:
    """No name in a text is a command, a comment or an argument."""
    assert r"\$\textbackslash{}input\{/etc/passwd\}\$" in text
    assert not re.search(r"\\\\\s*[\[*]", text)  # an argument of the line break
    body = "\n".join(line for line in text.split("\n") if not line.startswith("%"))
    assert set(re.findall(r"\\(?:[A-Za-z]+|.)", body)) <= COMMANDS
    for math in ("$\\rightarrow$", "$\\Delta$", "$\\times$", "$-$", "$<$"):
        body = body.replace(math, "")
    bare = re.sub(r"\\.", "", body)
    assert not set("%#$^~_") & set(bare)


def test_json_gives_back_the_very_names(call):
    found = json.loads(call("report", ONE, "--json"))
    assert found["header"]["model"] == EVIL
    (compared,) = json.loads(call("compare", ONE, TWO, "--json"))
    assert any(EVIL in difference["first"] for difference in compared["differences"])


def test_a_check_is_safe_on_github_in_junit_and_in_its_summary(place, call, monkeypatch):
    call("check", ONE, "--baseline", "baseline.json", "--accept")
    call("check", TWO, "--baseline", "baseline.json", "--junit", "junit.xml", "--json", code=3)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    words = ["check", TWO, "--baseline", "baseline.json", "--gate", "macro-hard:0"]
    done = CliRunner().invoke(app, words, color=True)
    commands = [line for line in done.output.split("\n") if line.startswith("::")]
    assert commands
    assert all(re.match(r"::(error|warning|notice) title=mmdbench%3A [^:]*::", line) for line in commands)
    require_plain("\n".join(line for line in done.output.split("\n") if line not in commands))
    require_plain("\n".join(line[2:].replace("::", " ", 1) for line in commands))
    suite = ET.parse(place / "junit.xml").getroot()
    assert not controls("".join(f"{x.text or ''} {' '.join(x.attrib.values())}" for x in suite.iter()))
    require_plain_markdown((place / "summary.md").read_text("utf-8"))


@pytest.mark.parametrize("problem", ["", EVIL], ids=["compared", "incomplete"])
def test_every_line_of_a_check_is_text(problem):
    rows = [
        CheckRow(f"{EVIL}/{verdict}", 1.0, 9, 50.0, 40.0, 10.0, 5.0, 15.0, 0.01, 0.02, 20.0, 400, verdict)
        for verdict in ("regressed", "cannot tell", "unchanged", "improved")
    ]
    report = CheckReport(EVIL, () if problem else tuple(rows), 1, (EVIL,), problem, run_notes=(EVIL,))
    for text in (markdown_summary(report), comment(report), failure_comment(EVIL)):
        require_plain_markdown(text)
    for text in (junit_xml(report), failure_junit(EVIL, EVIL)):
        suite = ET.fromstring(text)
        assert not controls("".join(suite.itertext()))
        assert not controls("".join(value for part in suite.iter() for value in part.attrib.values()))
    commands = github_lines(report)
    assert len(commands) == (2 if problem else 3)
    for line in commands:
        assert re.match(r"::(error|warning|notice) title=mmdbench(%3A|:) [^:]*::", line), line
        assert not controls(line)
        assert "\n" not in line


@pytest.mark.filterwarnings("ignore:constrained_layout not applied")  # a name this long
def test_figures_are_svg_with_the_names_as_text(place, call):
    pytest.importorskip("matplotlib")
    call("figures", ONE, TWO, "-o", "figures", "--format", "svg")
    made = sorted((place / "figures").glob("*.svg"))
    assert len(made) >= 2
    for path in made:
        text = path.read_text("utf-8")
        ET.fromstring(text)
        assert not controls(text)
        assert "_two" in text or path.stem == "corruptions"


def test_a_page_holds_no_control_character(place, call):
    call("page", ONE, TWO, "-o", "page.html", "--quiet", "--data-dir", "data")
    text = (place / "page.html").read_text("utf-8")
    assert controls(text) <= {"\t"}
    assert "<b>x</b>" not in text
    assert "<script>alert" not in text


@pytest.mark.parametrize("error", [MmdbenchError(EVIL), RuntimeError(EVIL)], ids=["expected", "unexpected"])
def test_errors_warnings_and_logs_are_plain(error, monkeypatch):
    """Whatever a server, a file or a plug-in writes into them."""
    monkeypatch.setattr(logging.getLogger("mmdbench"), "propagate", False)  # pytest has handlers

    def verb() -> None:
        sys.stderr.write(warnings.formatwarning(EVIL, UserWarning, "plugin.py", 1))
        logging.getLogger("mmdbench").warning(EVIL)
        raise error

    shown = call_verb(verb, code=4 if isinstance(error, MmdbenchError) else 70)
    assert shown.count("add-mask") >= 3
    require_plain(shown)


def test_a_notebook_shows_text_alone(place):
    table = load_run(place / FOLDERS[0]).tables["levels"]
    require_plain(repr(table))
    require_plain_markdown(table.markdown())
    html = table._repr_html_()  # what a notebook calls; it has no public name
    assert controls(html) <= {"\t"}
    assert "<b>x</b>" not in html
    assert "<script" not in html


class Terminal(io.StringIO):
    """A terminal in memory."""

    def isatty(self):
        return True


def test_the_live_bar_reads_no_markup_and_shows_no_control_character(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "300")
    with Bar(f"m[/x] [bold]{EVIL}") as bar:
        bar.update(1, 2, f"[/y] {EVIL}")
    own = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", screen.getvalue())
    require_plain(own)
    assert "m[/x] [bold]" in own
    assert "\x1b[31m\x1b" not in screen.getvalue()


def test_a_line_of_progress_is_plain(capsys):
    with Bar(EVIL) as bar:
        bar.update(2, 2, EVIL)
    require_plain(capsys.readouterr().err)

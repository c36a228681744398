"""Every command and snippet of README.md, CONTRIBUTING.md and docs/ runs, or is listed with a reason."""

from __future__ import annotations
import __future__

import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from batch_endpoint import BatchEndpoint
from canary_reader import answering
from docs_blocks import PAGES, ROOT, SHELLS, Block, blocks_of, commands_of
from docs_folder import environment, fill_folder, write_small_mini
from docs_names import missing_names
from faulty_server import FaultyServer, true_answer
from judge_server import serving
from mmdbench.benches import fetch
from mmdbench.cli import app
from mmdbench.cli._shared.lazy_verbs import MISUSE
from mmdbench.records import LEVEL_ORDER
from mmdbench.run.canary import PROMPT
from mmdbench.run.manifest import find_manifest
from torchvision_shim import why_not

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Commands that are parsed and not run, with the reason.
PARSED = {
    "demo": "takes a minute; it is the first thing that CI runs",
    "quality": "needs weights that must not be shipped; tests/results/test_quality.py runs it",
    "--to ": "needs a tracker's package; tests/library/test_trackers.py exports to each of them",
    "score --predictions": "needs a file of VLMEvalKit's; tests/cli/test_score_verb.py makes one",
    "--judge-heads": "needs VLMEvalKit's files; tests/results/test_judges.py reads them",
    "--model vlmeval:": "needs VLMEvalKit; tests/adapters/test_vlmevalkit.py runs one of its models",
    "--set served_by": "needs servers; tests/run/test_served_models.py asks two at one label",
    "--serve": "needs vLLM; tests/adapters/test_serve.py starts `transformers serve` with it",
    "--engine ray": "needs Ray; tests/run/test_ray_cluster.py runs it",
    "--restore my-net": "needs a network's weights; tests/variants/test_restoration.py makes one",
    "train ": "needs torch; tests/training/test_training_page.py runs the walk of its page",
    "report runs/small": "needs what was trained; tests/training/test_training_page.py runs it",
    "--model clear:": "needs torch; tests/training/test_clear_train_command.py asks what it trained",
    "--push ": "publishes; tests/library/test_publishing.py does it on a server that plays the Hub",
    "--bench hf:": "downloads; tests/benches/test_hub_dataset.py asks a server that plays the Hub",
    "data get": "downloads; tests/benches/test_fetch.py does it from a server of its own",
    "--model robust-r1": "needs weights; tests/adapters/test_robust_r1.py asks a server as its cards do",
    "data list --released": "asks the Hub; tests/variants/test_released_data.py plays it",
    "--corruption rain": "needs the package; tests/corruptions/test_corruption_package.py installs it",
    "--model brightness": "needs the package installed; tests/adapters/test_adapter_package.py installs it",
}
# Commands in text and tables that are only parsed, by tests/project/test_docs_options.py, with the reason.
IN_TEXT = {
    "--table KEY": "names no table",
    "--table quality": "needs measured pictures; tests/results/test_quality.py has them",
    "--table trigger": "needs a model that restores; tests/report/test_report.py has its replies",
    "--table phases": "needs an adapter that gives times; tests/report/test_report.py has its replies",
    "--protocol rbench/ours": "needs a run of R-Bench; tests/report/test_rbench_tables.py has one",
}
# Other programs that are not run, with the reason.
ELSEWHERE = {
    "hf": "downloads weights",
    "docker": "needs a daemon; the Dockerfile's own commands are run in test_packaging_recipes.py",
    "sbatch": "needs a Slurm cluster",
    "source": "enters a virtual environment",
    "cd": "walks through a copy of the repository",
}
SAMPLE = "16"
PYTHON_PACKAGES = (
    "albumentations",
    "datasets",
    "kornia",
    "lightning",
    "torchvision",
    "torch",
    "transformers",
    "skimage",
    "matplotlib",
)


@pytest.fixture(scope="module")
def servers():
    seeing = answering()

    def answer(prompt, images):
        return seeing(prompt, images) if prompt == PROMPT else true_answer(prompt, images)[:1]

    with FaultyServer(answer=answer, batches=BatchEndpoint()) as model, serving(judge) as judging:
        yield {"model": model.url, "judge": judging.url}


def judge(body):
    """A grade after a table's cell, a vote if it is asked for one, else an option, also as a trace."""
    content = body["messages"][-1]["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    text = "".join(part["text"] for part in parts if part["type"] == "text")
    return "0.5" if text.endswith(" | ") else "1" if text.endswith("Score: ") else "A"


@pytest.fixture(scope="module", autouse=True)
def _small_mini(tmp_path_factory):
    path = tmp_path_factory.mktemp("mini") / "mini.tsv"
    write_small_mini(path)
    with pytest.MonkeyPatch.context() as patch:
        found = fetch.find_bench_file
        patch.setattr(
            fetch,
            "find_bench_file",
            lambda info, *folders: path if info.name == "mini" else found(info, *folders),
        )
        yield


@pytest.fixture(scope="module")
def template(servers, tmp_path_factory):
    """A filled folder with a run in it, as RUN, runs/demo and run; made once and copied for each page."""
    folder = tmp_path_factory.mktemp("pages")
    fill_folder(folder, servers)
    with pytest.MonkeyPatch.context() as patch:
        enter(patch, folder)
        invoke(["eval", "--model", "baseline", "--bench", "mini", "--sample", SAMPLE, "-o", "RUN", "--quiet"])
    for name in ("runs/demo", "run"):
        shutil.copytree(folder / "RUN", folder / name)
    return folder


@pytest.fixture
def in_folder(template, tmp_path, monkeypatch):
    folder = tmp_path / "pages"
    shutil.copytree(template, folder)
    enter(monkeypatch, folder)
    return folder


def enter(patch, folder):
    patch.chdir(folder)
    for name, value in environment(folder).items():
        patch.setenv(name, value)


def invoke(words, code=0):
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == code, f"{words} ended with {result.exit_code}\n{result.output}"
    return result.output


# --- shell --------------------------------------------------------------------------------------


def pages_with_commands():
    return [p for p in PAGES if any(b.language in SHELLS for b in blocks_of(p))]


@pytest.mark.slow
@pytest.mark.parametrize("page", pages_with_commands(), ids=lambda p: str(p.relative_to(ROOT)))
def test_the_commands_of_a_page_run_one_after_the_other(page, in_folder, monkeypatch):
    blocks = blocks_of(page)
    for block in blocks:
        if block.title:
            Path(block.title).write_text(block.code, encoding="utf-8")
    commands = [c for block in blocks if block.language in SHELLS for c in commands_of(block)]
    assert commands
    for command in commands:
        run_command(command, monkeypatch)


@pytest.mark.slow
def test_whole_commands_in_text_and_tables_run(in_folder, monkeypatch):
    seen = 0
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        for code in re.findall(r"`(mmdbench [a-z][^`]*)`", text):
            line = " ".join(code.split())  # a line may end inside a command
            (command,) = commands_of(Block(page, 0, "sh", "", line))
            if is_whole(command.words[1:]) and not any(part in line for part in IN_TEXT):
                run_command(command, monkeypatch)
                seen += 1
    assert seen > 8


def is_whole(words):
    """True for a command with every argument and option that it needs, not for a verb's name alone."""
    group, names = verbs(), list(words)
    while hasattr(group, "commands") and names:
        if names[0] not in group.commands and hasattr(group, "default"):
            names.insert(0, group.default)
        group, name = group.commands[names[0]], names.pop(0)
    try:
        group.make_context(name, list(names))
    except MISUSE:
        return False
    return bool(names) and not hasattr(group, "commands")


@pytest.mark.parametrize(
    "line",
    [
        "mmdbench report nowhere",
        "mmdbench demo --colour blue",
        "python nothing.py",
        "pip install 'mmdbench[nonsense]'",
        "make nonsense",
        "nonsense --help",
    ],
)
def test_a_command_that_is_wrong_is_found(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (command,) = commands_of(Block(ROOT / "docs" / "none.md", 1, "sh", "", line))
    with pytest.raises(AssertionError):
        run_command(command, monkeypatch)


def run_command(command, monkeypatch):
    words = list(command.words)
    while re.match(r"[A-Z_a-z]+=", words[0]):
        name, _, value = words.pop(0).partition("=")
        monkeypatch.setenv(name, value)
    program = Path(words[0]).name
    if program == "mmdbench":
        run_mmdbench(command, [part for word in words[1:] for part in expanded(word)])
    elif program in ("python", "python3"):
        run_python(command, words[1:])
    elif program == "pytest":
        call = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words[1:]]
        done = subprocess.run(call, capture_output=True, text=True, check=False)
        assert done.returncode == command.code, done.stdout + done.stderr
    elif program == "pip":
        check_install(command, words[1:])
    elif program == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), command.where
    elif program == "export":
        for word in words[1:]:
            monkeypatch.setenv(*word.split("=", 1))
    elif program in ("jq", "cat", "ls", "mkdir"):
        if shutil.which(program):
            subprocess.run(["bash", "-c", command.line], check=True, capture_output=True)
    else:
        assert program in ELSEWHERE, f"{command.where}: no test covers {command.line!r}"


def expanded(word):
    """A word as a shell expands it."""
    if not any(sign in word for sign in "*?") or word.startswith("-") or ":" in word:
        return [os.path.expandvars(word)]
    return sorted(map(str, Path().glob(word))) or [word]


def run_mmdbench(command, words):
    line = " ".join(words)
    if any(line.startswith(part) or (part[0] == "-" and part in line) for part in PARSED):
        return parse(words)
    verb = words[0]
    if verb in ("eval", "build") and "--sample" not in words and "--dry-run" not in words:
        words = [*words, "--sample", SAMPLE]  # the same commands on fewer questions
    if verb == "eval" and "-o" in words and words[words.index("--model") + 1] != "baseline":
        # The folder that the page's other commands read is one of `baseline`; this command makes its own.
        out = Path(words[words.index("-o") + 1])
        if out.is_dir() and find_manifest(out)["model"]["name"] == "baseline":
            shutil.rmtree(out)
    output = invoke(words, command.code)
    if command.into:
        Path(command.into).write_text(output, encoding="utf-8")
    return None


@lru_cache(1)
def verbs():
    return typer.main.get_command(app)


def parse(words):
    """Check the verb and its options without running it."""
    group, names = verbs(), list(words)
    while hasattr(group, "commands"):
        group = group.commands[names.pop(0)]
    known = {name for option in group.params for name in (*option.opts, *option.secondary_opts)}
    for word in names:
        if word.startswith("-"):
            assert word.split("=")[0] in known, f"{word} is no option of mmdbench {words[0]}"


def run_python(command, words):
    if words[0] == "-m":
        assert words[1] in ("build", "http.server", "pip", "pytest", "ruff", "venv"), command.where
        return
    script = Path(words[0]) if Path(words[0]).exists() else ROOT / words[0]
    assert script.is_file(), f"{command.where}: there is no {words[0]}"
    if not words[0].startswith("tools/"):
        call = [sys.executable, str(script), *words[1:]]
        done = subprocess.run(call, capture_output=True, text=True, check=False)
        assert done.returncode == command.code, done.stderr


def check_install(command, words):
    """Check that the extras or the folder of an install exist."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for word in words:
        match = re.match(r"(?:mmdbench|\.)\[([\w,-]+)\]", word)
        if match:
            assert set(match[1].split(",")) <= set(declared), command.where
        elif word.startswith("./"):
            assert (ROOT / word).exists(), command.where


def test_commands_that_are_only_parsed_are_on_a_page():
    text = "\n".join(
        c.line for p in PAGES for b in blocks_of(p) if b.language in SHELLS for c in commands_of(b)
    )
    for part in (*PARSED, *ELSEWHERE):
        assert part in text, f"no page speaks of {part!r} any more: take it off the list"


def test_tables_that_pages_name_exist():
    source = "".join(p.read_text("utf-8") for p in (ROOT / "mmdbench" / "report").rglob("*.py"))
    named = {key for page in PAGES for key in re.findall(r"--table ([a-z-]+)", page.read_text("utf-8"))}
    assert len(named) > 5
    named -= {"all", *(f"scores-{level}" for level in LEVEL_ORDER)}  # the level is put into their key
    assert 'f"scores-{level}"' in source
    assert not [key for key in named if f'"{key}"' not in source]


@pytest.mark.parametrize("tool", ["spec_table.py", "corruption_gallery.py", "concept_figures.py"])
def test_generated_files_are_current(tool):
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / tool), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


# --- Python -------------------------------------------------------------------------------------

# A file of tests is run by the page's own pytest commands.
SNIPPETS = [
    block
    for page in PAGES
    for block in blocks_of(page)
    if block.language == "python" and not block.title.startswith("test_")
]


def missing(code):
    """The reason why a snippet cannot run in this environment; empty if it can."""
    for package in PYTHON_PACKAGES:
        wanted = rf"^\s*(from|import) (mmdbench\.integrations(\.| import ))?{package}\b"
        if re.search(wanted, code, re.MULTILINE):
            reason = why_not("torch", package) if package.startswith("torch") else _absent(package)
            if reason:
                return reason
    if "import Trainer" in code and _absent("accelerate"):
        return _absent("accelerate")
    return _absent("skimage") if "mmdbench.corruptions.severity" in code else ""


def _absent(package):
    return "" if find_spec(package) else f"{package} is not installed"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("block", SNIPPETS, ids=lambda b: b.where)
def test_a_snippet_runs(block, in_folder):
    if reason := missing(block.code):
        pytest.skip(reason)
    with warnings.catch_warnings():
        for category in (UserWarning, FutureWarning):  # what other packages say while they are imported
            warnings.simplefilter("ignore", category)
        names = {"__name__": "snippet"}
        exec(compile(block.code, block.where, "exec", __future__.annotations.compiler_flag), names)
    assert names.keys() - {"__name__", "__builtins__"}, "it defines nothing and imports nothing"


def test_the_library_page_shows_every_integration():
    for name in ("torchvision", "datasets", "albumentations"):
        wanted = (f"mmdbench.integrations import {name}", f"integrations.{name}")
        assert any(part in block.code for block in SNIPPETS for part in wanted), name


def test_the_library_page_begins_with_what_is_maintained():
    text = (ROOT / "docs" / "library.md").read_text("utf-8")
    names = ("torchvision", "kornia", "Hugging Face datasets", "albumentations")
    assert list(names) == sorted(names, key=lambda name: text.index(f"\n## {name}\n"))
    section = text.split("\n## albumentations\n")[1].split("\n## ")[0]
    assert "no longer maintained" in section
    assert "AGPL-3.0" in section


@pytest.mark.slow
def test_a_corruption_is_added_as_the_page_says(tmp_path):
    page = ROOT / "docs" / "add_corruption.md"
    code: dict[str, str] = {}
    for block in blocks_of(page):
        if "vignette" in block.code:
            code.setdefault(block.language, block.code)
    for name in ("mmdbench", "corruptions_spec.yaml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name, **({"symlinks": True} if (ROOT / name).is_dir() else {}))
    spec, module = tmp_path / "corruptions_spec.yaml", tmp_path / "mmdbench" / "corruptions" / "capture.py"
    place = "  jpeg_compression:\n"
    stanza = "".join(f"  {line}\n" for line in code["yaml"].splitlines())
    spec.write_text(spec.read_text("utf-8").replace(place, stanza + place, 1), encoding="utf-8")
    function = "@corruption" + code["python"].partition("@corruption")[2].partition("\n\nwhite =")[0]
    with module.open("a", encoding="utf-8") as file:
        file.write(f"\n\n{function}\n")
    check = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import numpy as np, mmdbench\n"
        "white = np.full((40, 60, 3), 255, np.uint8)\n"
        "made = [mmdbench.corrupt(white, 'vignette', level=l)[0, 0, 0] for l in ('low', 'mid', 'hard')]\n"
        "assert made == sorted(made, reverse=True) and made[-1] < 90, made\n"
        "assert 'vignette' in mmdbench.get_corruption_names('capture')\n"
        "assert len(mmdbench.get_corruption_names()) == 17\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr


# --- data, links and verbs ----------------------------------------------------------------------


READERS = {"toml": tomllib.loads, "json": json.loads, "yaml": yaml.safe_load, "yml": yaml.safe_load}


def test_the_data_of_the_pages_can_be_read():
    data = [block for page in PAGES for block in blocks_of(page) if block.language in READERS]
    assert len(data) > 10
    for block in data:
        assert READERS[block.language](block.code), block.where


def test_every_language_is_one_that_is_checked():
    known = {"python", "toml", "json", "yaml", "csv", "text", "", *SHELLS}
    blocks = [block for page in PAGES for block in blocks_of(page)]
    # Code marked "py" is a file, which the page's own commands run.
    unchecked = [b for b in blocks if b.language not in known and not (b.language == "py" and b.title)]
    assert not [block.where for block in unchecked]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_and_files_that_a_page_names_exist(page):
    assert missing_names(page.read_text("utf-8")) == []


def test_a_name_that_does_not_exist_is_found():
    text = "`mmdbench.corrupt` mmdbench.bild `mmdbench.stats.halves` run/plan.py tests/test_cli.py `spell.py`"
    assert missing_names(text) == ["mmdbench.bild", "mmdbench.stats.halves", "tests/test_cli.py", "spell.py"]


def test_the_reference_lists_every_transform_of_albumentations(monkeypatch):
    if reason := _absent("albumentations"):
        pytest.skip(reason)
    from mmdbench.integrations import albumentations as mmd

    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    from docs_reference import python_reference

    page = python_reference()["reference/python/integrations.md"]
    assert [name for name in mmd.__all__ if f"| `{name}` |" not in page] == ["MMDCorruption"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The folder that the site is built from."""
    folder = tmp_path_factory.mktemp("site") / "docs"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tools"))
        from docs_site import prepare

        prepare(folder)
    return folder


def test_every_verb_is_in_the_reference(prepared):
    text = (prepared / "reference" / "cli.md").read_text("utf-8")
    assert [verb for verb in verbs().commands if f"## mmdbench {verb}" not in text] == []


def test_every_link_of_the_prepared_pages_leads_to_a_file_beside_them(prepared):
    found = []
    for page in prepared.rglob("*.md"):
        if page.is_relative_to(prepared / "files"):
            continue  # files shown as they are
        text = re.sub(r"^(```|~~~).*?^\1", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        found += [(page, link) for link in re.findall(r"\]\((?![a-z]+:|#)([^)#\s]+)", text)]
    assert len(found) > 100
    assert [(page.name, link) for page, link in found if not (page.parent / link).is_file()] == []


def test_the_site_needs_no_hook_of_one_builder(prepared):
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
    assert "hooks" not in config
    assert config["docs_dir"] == "build/docs"
    pages, rest = set(), list(config["nav"])
    for entry in rest:
        if isinstance(entry, str):
            pages.add(entry)
        else:
            rest.extend(entry.values() if isinstance(entry, dict) else entry)
    assert [page for page in sorted(pages) if not (prepared / page).is_file()] == []
    assert "on_files" not in (ROOT / "tools" / "docs_site.py").read_text("utf-8")

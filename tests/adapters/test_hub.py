"""CLEAR's files from a server that plays the Hub, by the real client of the Hub."""

from __future__ import annotations

from clear_checkpoints import GOLDEN, RESTORE, write_speaker  # isort: skip

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner, Result

huggingface_hub = pytest.importorskip(
    "huggingface_hub", reason="huggingface_hub is not installed (extra: clear)"
)

from mmdbench.adapters import clear  # noqa: E402
from mmdbench.adapters._clear.prompts import INTERLEAVE  # noqa: E402
from mmdbench.adapters._clear.published import choose_weights  # noqa: E402
from mmdbench.adapters._local.hub import HubSource, parse_source  # noqa: E402

from local_hub import LocalHub, serve_hub  # noqa: E402
from mmdbench.bagel.checkpoint import AUTOENCODER, BASE_FILES  # noqa: E402
from mmdbench.cli import app  # noqa: E402
from mmdbench.cli._shared.terminal import Terminal  # noqa: E402
from mmdbench.errors import UsageError  # noqa: E402
from mmdbench.library.downloads import require_consent, size_text  # noqa: E402
from mmdbench.run.store import read_replies  # noqa: E402

BASE, CLEAR = "models/ByteDance-Seed/BAGEL-7B-MoT", "models/CUDAOUTOFMEMORY/CLEAR"
TEXT = "Restore with a tag, then answer."
TOKEN = "hf_secret"
PROMPT = "a/b/raw/abc/prompts.py"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a checkpoint that always asks for a restoration."""
    folder = write_speaker(tmp_path_factory.mktemp("published"), RESTORE)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def hub(files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """A hub with both repositories in the layout of the published ones, and an empty cache."""
    for name in (
        "MMDBENCH_BAGEL",
        "MMDBENCH_CLEAR",
        "MMDBENCH_CLEAR_PROMPT",
        "MMDBENCH_OFFLINE",
        "HF_HUB_OFFLINE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MMDBENCH_CACHE", str(tmp_path / "cache"))
    with serve_hub() as made:
        constants = huggingface_hub.constants
        monkeypatch.setattr(constants, "ENDPOINT", made.url)
        place = made.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", place)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        made.repositories[BASE] = files
        made.repositories[CLEAR] = {"README.md": b"hello", "model.safetensors": files["ema.safetensors"]}
        made.texts[PROMPT] = f"PROMPT = {TEXT!r}\n".encode()
        digest = hashlib.sha256(TEXT.encode()).hexdigest()
        changes = {
            "repository": f"{made.url}/a/b",
            "commit": "abc",
            "characters": len(TEXT),
            "sha256": digest,
        }
        monkeypatch.setattr(clear, "INTERLEAVE", replace(INTERLEAVE, **changes))
        yield made


SIZES = GOLDEN / "settings.json"


def call(*words: object, model: str = "clear-rl", **options: object) -> Result:
    settings = {"sizes_file": SIZES, "steps": 2, "max_new_tokens": 11, "device": "cpu", **options}
    given = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    return CliRunner().invoke(app, [str(word) for word in (words[0], "--model", model, *given, *words[1:])])


def evaluate(out: Path, *more: object, model: str = "clear-rl", **options: object) -> Result:
    words = ("eval", "--bench", "mini", "--level", "clean", "--sample", 2, "-o", out, "--quiet", *more)
    return call(*words, model=model, **options)


def wait_until(is_true: Callable[[], bool]) -> None:
    for _ in range(3000):
        if is_true():
            return
        time.sleep(0.01)
    pytest.fail("it did not happen within half a minute")


def test_one_command_downloads_all_and_a_second_needs_no_network(hub: LocalHub, tmp_path: Path) -> None:
    first = evaluate(tmp_path / "run")
    assert first.exit_code == 0, first.output
    assert len(read_replies(tmp_path / "run")) == 2
    fetched = {r.path.rpartition("/")[2] for r in hub.asked("GET", "", large=True)}
    assert fetched == {"ae.safetensors", "model.safetensors"}  # not the base model's own weights
    assert [r.path for r in hub.asked("GET", "prompts.py")] == [PROMPT]
    hub.seen.clear()
    assert evaluate(tmp_path / "again").exit_code == 0
    assert hub.seen == []
    assert read_replies(tmp_path / "again").keys() == read_replies(tmp_path / "run").keys()


def test_paths_win_over_the_hub(hub: LocalHub, files: dict[str, bytes], tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    for name, body in files.items():
        (folder / name).write_bytes(body)
    (folder / "prompt.txt").write_text(TEXT, "utf-8")
    monkeypatch.setenv("MMDBENCH_BAGEL", str(folder))
    monkeypatch.setenv("MMDBENCH_CLEAR_PROMPT", str(folder / "prompt.txt"))
    result = evaluate(tmp_path / "run", weights=folder / "ema.safetensors")
    assert (result.exit_code, hub.seen) == (0, []), result.output


def test_a_dry_run_and_doctor_say_what_is_missing(hub: LocalHub, tmp_path: Path) -> None:
    total = sum(len(hub.repositories[BASE][name]) for name in (*BASE_FILES, AUTOENCODER))
    total += len(hub.repositories[CLEAR]["model.safetensors"])
    dry = evaluate(tmp_path / "run", "--dry-run")
    assert dry.exit_code == 0, dry.output
    checked = call("doctor")
    assert checked.exit_code == 4
    for output in (dry.output, checked.output):
        assert f"8 files to download, {total / 1e6:.1f} MB." in output
        assert "model.safetensors  from hf:CUDAOUTOFMEMORY/CLEAR" in output
    assert "to ask  2" in dry.output
    assert not hub.asked("GET", "resolve")
    assert not hub.asked("GET", "prompts.py")


def test_more_than_a_gigabyte_needs_consent(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmdbench.library.downloads.ASKED_ABOVE_BYTES", 1000)
    refused = evaluate(tmp_path / "run")
    assert refused.exit_code == 2
    assert "would be downloaded" in refused.output
    assert "--yes" in refused.output
    assert not hub.asked("GET", "resolve")
    assert evaluate(tmp_path / "run", "--yes").exit_code == 0


@pytest.mark.parametrize("answer", [True, False])
def test_a_terminal_is_asked(answer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    asked: list[str] = []
    monkeypatch.setattr("typer.confirm", lambda text, **_: asked.append(text) or answer)
    if answer:
        require_consent(58_400_000_000, Terminal(), yes=False)
    else:
        with pytest.raises(UsageError, match="Nothing was downloaded"):
            require_consent(58_400_000_000, Terminal(), yes=False)
    assert asked == ["Download 58.4 GB?"]


def test_a_killed_download_resumes(hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prompt.txt").write_text(TEXT, "utf-8")
    body = hub.repositories[CLEAR]["model.safetensors"]
    half = len(body) // 2
    hub.cuts, hub.hang = {"model.safetensors": half}, threading.Event()
    environment = {"HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_TOKEN": TOKEN}
    environment["MMDBENCH_CLEAR_PROMPT"] = str(tmp_path / "prompt.txt")
    words = ["eval", "--model", "clear-rl", "--bench", "mini", "-o", str(tmp_path / "run")]
    process = subprocess.Popen(
        [sys.executable, "-m", "mmdbench", *words],
        env={**os.environ, **environment},
        stderr=subprocess.DEVNULL,
    )
    part = tmp_path / "hub/models--CUDAOUTOFMEMORY--CLEAR/blobs" / f"{hashlib.sha256(body).hexdigest()}.part"
    try:
        wait_until(lambda: part.is_file() and part.stat().st_size >= half - 2**18)
    finally:
        process.kill()
        process.wait()
    hub.hang.set()
    hub.cuts, hub.hang = {}, None
    hub.seen.clear()
    stored = part.stat().st_size
    assert f"to download, {size_text(len(body) - stored)}." in call("doctor").output
    assert evaluate(tmp_path / "run").exit_code == 0
    (large,) = hub.asked("GET", "", large=True)
    assert large.headers["Range"] == f"bytes={stored}-"
    assert not part.exists()


def test_a_damaged_file_is_not_kept(hub: LocalHub, tmp_path: Path) -> None:
    hub.damage = "model.safetensors"
    result = evaluate(tmp_path / "run")
    assert result.exit_code == 4
    assert "model.safetensors from" in result.output
    assert "is damaged" in result.output
    hub.damage = ""
    assert evaluate(tmp_path / "run").exit_code == 0


def test_a_listed_digest_is_no_path_out_of_the_cache(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large file is kept under its digest, which the host gives."""
    real = huggingface_hub.HfApi.model_info

    def forged(*words: object, **options: object) -> object:
        info = real(*words, **options)
        for file in info.siblings:
            if file.lfs:
                file.lfs.sha256 = f"../../{tmp_path.name}"
        return info

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", forged)
    result = evaluate(tmp_path / "run")
    assert (result.exit_code, "which is not inside" in result.output) == (4, True)
    assert hub.asked("GET", "", large=True) == []


def test_the_token_goes_to_the_hub_and_nowhere_else(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    result = evaluate(tmp_path / "run")
    assert result.exit_code == 0, result.output
    bearers = {
        r.large: r.headers.get("Authorization")
        for r in hub.seen
        if r.path not in (PROMPT, "api/agent-harnesses")
    }
    assert bearers == {False: f"Bearer {TOKEN}", True: None}
    stored = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(TOKEN.encode() in body for body in stored)
    assert TOKEN not in result.output


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        ((403, "GatedRepo"), ("is gated", "Accept its terms", "HF_TOKEN")),
        ((401, ""), ("HF_TOKEN",)),
        ((403, ""), ("403", "HF_TOKEN")),
        ((503, ""), ("503", "Run the same command again")),
    ],
)
def test_a_hub_that_refuses(
    hub: LocalHub,
    tmp_path: Path,
    refusal: tuple[int, str],
    words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.refusals[CLEAR] = refusal
    result = evaluate(tmp_path / "run")
    assert result.exit_code == 4, result.output
    for word in ("CUDAOUTOFMEMORY/CLEAR", *words):
        assert word in result.output
    assert TOKEN not in result.output


def test_a_repository_that_is_not_there_or_lacks_a_file(hub: LocalHub, tmp_path: Path) -> None:
    assert "has no revision 'v9'" in evaluate(tmp_path / "run", weights="hf:CUDAOUTOFMEMORY/CLEAR@v9").output
    hub.repositories[BASE] = {n: b for n, b in hub.repositories[BASE].items() if n != "vocab.json"}
    lacking = evaluate(tmp_path / "run")
    assert lacking.exit_code == 4
    assert "lacks vocab.json" in lacking.output
    del hub.repositories[BASE]
    gone = evaluate(tmp_path / "run")
    assert gone.exit_code == 4
    assert "The name may be wrong" in gone.output
    assert "no repository" in evaluate(tmp_path / "run", base_dir="hf:BAGEL").output


def test_offline_nothing_is_asked_for(hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = evaluate(tmp_path / "run", "--offline")
    assert refused.exit_code == 4
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    for result in (refused, evaluate(tmp_path / "run"), call("doctor")):
        assert "hf:ByteDance-Seed/BAGEL-7B-MoT are not on this machine" in result.output
        assert "--set base_dir=PATH" in result.output
    assert hub.seen == []


def test_files_that_another_program_put_into_the_cache_are_found_offline(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a cache may hold no listing of the repository."""
    for repo, names in ((BASE, [*BASE_FILES, AUTOENCODER]), (CLEAR, ["model.safetensors"])):
        for name in names:
            huggingface_hub.hf_hub_download(repo.removeprefix("models/"), name)
    (tmp_path / "prompt.txt").write_text(TEXT, "utf-8")
    monkeypatch.setenv("MMDBENCH_CLEAR_PROMPT", str(tmp_path / "prompt.txt"))
    hub.seen.clear()
    assert evaluate(tmp_path / "online").exit_code == 0
    assert not hub.asked("GET", "resolve")
    hub.seen.clear()
    assert evaluate(tmp_path / "offline", "--offline").exit_code == 0
    assert hub.seen == []


def test_a_disk_without_room_is_refused_before_anything_is_fetched(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    result = evaluate(tmp_path / "run")
    assert result.exit_code == 4
    assert "0.0 GB left" in result.output
    assert "set HF_HOME" in result.output
    assert not hub.asked("GET", "resolve")


def test_a_wrong_prompt_is_refused_before_the_weights_are_fetched(hub: LocalHub, tmp_path: Path) -> None:
    hub.texts[PROMPT] = f"PROMPT = {TEXT.upper()!r}\n".encode()
    result = evaluate(tmp_path / "run")
    assert result.exit_code == 4
    assert "was not found in" in result.output
    assert not hub.asked("GET", "", large=True)


LAYOUTS = {
    "none": ["README.md", "pytorch_model.bin"],
    "the other": ["ema.safetensors"],
    "two folders": ["sft/model.safetensors", "rl/model.safetensors"],
}


@pytest.mark.parametrize("names", LAYOUTS.values(), ids=list(LAYOUTS))
def test_what_a_repository_holds_is_listed_where_it_does_not_decide(
    hub: LocalHub, files: dict[str, bytes], tmp_path: Path, names: list[str]
) -> None:
    hub.repositories[CLEAR] = dict.fromkeys(names, files["ema.safetensors"])
    result = evaluate(tmp_path / "run")
    assert result.exit_code == 2, result.output
    for word in (*names, "--set weights=hf:CUDAOUTOFMEMORY/CLEAR:PATH"):
        assert word in result.output
    assert not hub.asked("GET", "resolve")


def test_a_folder_of_the_repository_is_chosen(hub: LocalHub, files: dict[str, bytes], tmp_path: Path) -> None:
    hub.repositories[CLEAR] = dict.fromkeys(LAYOUTS["two folders"], files["ema.safetensors"])
    for path in ("rl", "sft/model.safetensors"):
        result = evaluate(tmp_path / path, weights=f"hf:CUDAOUTOFMEMORY/CLEAR:{path}")
        assert result.exit_code == 0, result.output
    fetched = [r.path.partition("CLEAR/")[2] for r in hub.asked("GET", "CLEAR", large=True)]
    assert fetched == ["rl/model.safetensors"]  # both have the same bytes, which are fetched once


def test_sharded_weights_come_with_their_shards() -> None:
    source = HubSource("a/b")
    index = "model.safetensors.index.json"
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    names = ["ema.safetensors", *shards, index]
    assert choose_weights(source, "model", names) == (index, *shards)
    assert choose_weights(source, "model", [*names, "model.safetensors"]) == ("model.safetensors",)
    with pytest.raises(UsageError, match="several files with weights"):
        choose_weights(source, None, names)


def test_names_of_sources() -> None:
    assert parse_source("/data/hf:x") is None
    assert str(parse_source("hf:a/b@v1:rl/model.safetensors")) == "hf:a/b@v1:rl/model.safetensors"
    assert str(parse_source("hf:a/b@main")) == "hf:a/b"
    for wrong in ("hf:", "hf:a", "hf:a/b/c", "hf:a/b@", "hf:a/b:"):
        with pytest.raises(UsageError, match="no repository"):
            parse_source(wrong)

"""Texts of other authors come from a file, a cache or a repository, and only with the right checksum."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mmdbench.errors import DownloadError, ModelError, UsageError
from mmdbench.models.published_text import PublishedText, fetch_published_text, find_published_text

TEXT = "## Role\n`<image_restore>` cleans the picture.\n"
KNOWN = PublishedText("toy", len(TEXT), hashlib.sha256(TEXT.encode()).hexdigest(), commit="abc1234")
SOURCE = f"# the loop\nPROMPT = {TEXT!r}\nOTHER = 3\n"


def archive(files: dict[str, str]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"repo-abc1234/{name}")
            member.size = len(content.encode())
            tar.addfile(member, io.BytesIO(content.encode()))
    return file.getvalue()


class Repository:
    """An HTTP server that serves an archive and counts the requests."""

    def __init__(self) -> None:
        self.body, self.paths = b"", []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                owner.paths.append(self.path)
                if owner.body:
                    self.send_response(200)
                    self.end_headers()
                    self.wfile.write(owner.body)
                else:
                    self.send_error(404)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/owner/repo"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()


@pytest.fixture
def repository() -> Iterator[Repository]:
    made = Repository()
    yield made
    made.server.shutdown()
    made.server.server_close()
    made.thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MMDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MMDBENCH_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return tmp_path / "cache" / "prompts"


def test_fetched_once_at_the_commit_then_cached(repository: Repository, cache: Path) -> None:
    repository.body = archive({"readme.md": "nothing", "inference/loop.py": SOURCE})
    first = find_published_text(KNOWN, repository=repository.address)
    assert (first.text, first.exact) == (TEXT, True)
    assert repository.paths == ["/owner/repo/archive/abc1234.tar.gz"]
    second = find_published_text(KNOWN, repository=repository.address, offline=True)
    assert (second.text, second.source) == (TEXT, "cache")
    assert len(repository.paths) == 1
    (cache / f"{KNOWN.sha256}.txt").write_text("spoiled", "utf-8")
    assert find_published_text(KNOWN, repository=repository.address).text == TEXT
    assert len(repository.paths) == 2


def test_offline_and_unknown_repositories_are_refused_with_instructions() -> None:
    for offline, why in ((True, "nothing may be downloaded"), (False, "no repository is named")):
        with pytest.raises(ModelError, match=why) as caught:
            find_published_text(KNOWN, offline=offline)
        assert "--set system_prompt_file=PATH" in str(caught.value)
        assert KNOWN.sha256 in str(caught.value)


def test_an_archive_with_another_prompt_is_refused(repository: Repository, cache: Path) -> None:
    repository.body = archive({"inference/loop.py": SOURCE.replace("cleans", "cleaned")})
    with pytest.raises(ModelError, match="was not found in"):
        find_published_text(KNOWN, repository=repository.address)
    repository.body = archive({"inference/loop.py": SOURCE})[:-40]
    with pytest.raises(ModelError, match=r"not a complete archive|was not found in"):
        find_published_text(KNOWN, repository=repository.address)
    repository.body = b""
    with pytest.raises(DownloadError, match=r"Cannot download .*Not Found"):
        find_published_text(KNOWN, repository=repository.address)
    with pytest.raises(UsageError, match="https address"):
        find_published_text(KNOWN, repository="file:///etc")
    assert not cache.exists()


def test_a_file_with_the_prompt(tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    for content in (TEXT, TEXT.rstrip("\n"), TEXT + "\n", TEXT.replace("\n", "\r\n")):
        file.write_bytes(content.encode())
        found = find_published_text(KNOWN, file=file)
        assert (found.text, found.exact) == (TEXT, True)


def test_a_copy_of_the_repository(tmp_path: Path) -> None:
    (tmp_path / "inference").mkdir()
    (tmp_path / "broken.py").write_text("def (", "utf-8")
    (tmp_path / "inference" / "loop.py").write_text(SOURCE, "utf-8")
    assert find_published_text(KNOWN, file=tmp_path).text == TEXT
    assert find_published_text(KNOWN, file=tmp_path / "inference" / "loop.py").exact
    with pytest.raises(ModelError, match="was not found in"):
        find_published_text(KNOWN, file=tmp_path / "broken.py")


def test_another_prompt_is_used_and_said_to_be_another(tmp_path: Path) -> None:
    file = tmp_path / "own.txt"
    file.write_text("Be brief.", "utf-8")
    found = find_published_text(KNOWN, file=file)
    assert (found.text, found.exact) == ("Be brief.", False)
    assert found.sha256 == hashlib.sha256(b"Be brief.").hexdigest()
    file.write_text(" \n", "utf-8")
    with pytest.raises(UsageError, match="is empty"):
        find_published_text(KNOWN, file=file)
    with pytest.raises(UsageError, match="Cannot read"):
        find_published_text(KNOWN, file=tmp_path / "none.txt")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


SPOKEN = "Say the types,\n   then the answer.\n"
COLLAPSED = "Say the types, then the answer."
IN_FILE = PublishedText(
    "toy",
    len(COLLAPSED),
    digest(COLLAPSED),
    "abc1234",
    file="app/demo.py",
    collapsed=True,
    variable="TOY_TEXT",
)
PROGRAM = """raise SystemExit("this program must never run")
OTHER = "Say something else."
PROMPT = "Say the types,\\n" + "   then the answer.\\n"
"""


def test_one_file_at_the_commit_is_enough_where_it_is_known(repository: Repository, cache: Path) -> None:
    repository.body = PROGRAM.encode()
    found = find_published_text(IN_FILE, repository=f"{repository.address}.git")
    assert repository.paths == ["/owner/repo/raw/abc1234/app/demo.py"]
    assert (found.text, found.exact) == (SPOKEN, True), "as its authors wrote it, white space included"
    assert found.sha256 == digest(SPOKEN)
    assert [file.read_text("utf-8") for file in cache.iterdir()] == [SPOKEN]
    repository.body = PROGRAM.replace("types", "type").encode()
    with pytest.raises(ModelError, match="its white space collapsed"):
        fetch_published_text(IN_FILE, repository.address)


def test_the_environment_names_a_file_or_an_address(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "said.txt"
    file.write_text("  Say the types, then\nthe answer.", "utf-8")
    monkeypatch.setenv("TOY_TEXT", str(file))
    assert find_published_text(IN_FILE, offline=True).source == "said.txt"
    with pytest.raises(UsageError, match="Cannot read"):
        find_published_text(IN_FILE, file=tmp_path / "none.txt")
    repository.body = PROGRAM.encode()
    monkeypatch.setenv("TOY_TEXT", repository.address)
    assert find_published_text(IN_FILE).source == f"{repository.address}@abc1234"


@pytest.mark.parametrize("name", ["MMDBENCH_OFFLINE", "HF_HUB_OFFLINE"])
def test_the_environment_forbids_downloads(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(ModelError, match=r"nothing may be downloaded\..* TOY_TEXT may hold either"):
        find_published_text(IN_FILE, repository=repository.address)
    assert repository.paths == []


@pytest.mark.parametrize("place", ["user:hunter2pw@h.example/x", "h.example/x?token=hunter2pw"])
@pytest.mark.parametrize("named", ["option", "variable"])
def test_an_address_with_a_key_is_refused_and_not_shown(monkeypatch, place, named):
    known = replace(KNOWN, variable="MMDBENCH_TOY_PROMPT")
    if named == "variable":
        monkeypatch.setenv("MMDBENCH_TOY_PROMPT", f"https://{place}")
    with pytest.raises(UsageError, match="repository of the text 'toy' must hold no") as caught:
        find_published_text(known, repository=f"https://{place}" if named == "option" else "", offline=False)
    assert "hunter2pw" not in str(caught.value)

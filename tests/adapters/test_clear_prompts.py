"""System prompts come from a file, a cache or a repository, and only with the right checksum."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mmdbench.adapters._clear.prompts import INTERLEAVE, THINK, KnownPrompt, cache_folder, system_prompt

from mmdbench.errors import MmdbenchError, ModelError, UsageError

TEXT = "## Role\n`<image_restore>` cleans the picture.\n"
KNOWN = KnownPrompt("toy", len(TEXT), hashlib.sha256(TEXT.encode()).hexdigest(), commit="abc1234")
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
    return cache_folder()


def test_the_known_prompts() -> None:
    assert (INTERLEAVE.characters, INTERLEAVE.sha256[:8], INTERLEAVE.commit) == (1820, "f30b4828", "411d6bd")
    assert (THINK.characters, THINK.sha256[:8]) == (227, "5eff0088")


def test_fetched_once_at_the_commit_then_cached(repository: Repository, cache: Path) -> None:
    repository.body = archive({"readme.md": "nothing", "inference/loop.py": SOURCE})
    first = system_prompt(KNOWN, repository=repository.address)
    assert (first.text, first.exact) == (TEXT, True)
    assert repository.paths == ["/owner/repo/archive/abc1234.tar.gz"]
    second = system_prompt(KNOWN, repository=repository.address, offline=True)
    assert (second.text, second.source) == (TEXT, "cache")
    assert len(repository.paths) == 1
    (cache / f"{KNOWN.sha256}.txt").write_text("spoiled", "utf-8")
    assert system_prompt(KNOWN, repository=repository.address).text == TEXT
    assert len(repository.paths) == 2


def test_offline_and_unknown_repositories_are_refused_with_instructions() -> None:
    for offline, why in ((True, "nothing may be downloaded"), (False, "no repository is named")):
        with pytest.raises(ModelError, match=why) as caught:
            system_prompt(KNOWN, offline=offline)
        assert "--set system_prompt_file=PATH" in str(caught.value)
        assert KNOWN.sha256 in str(caught.value)


def test_an_archive_with_another_prompt_is_refused(repository: Repository, cache: Path) -> None:
    repository.body = archive({"inference/loop.py": SOURCE.replace("cleans", "cleaned")})
    with pytest.raises(ModelError, match="was not found in"):
        system_prompt(KNOWN, repository=repository.address)
    repository.body = archive({"inference/loop.py": SOURCE})[:-40]
    with pytest.raises(ModelError, match=r"not a complete archive|was not found in"):
        system_prompt(KNOWN, repository=repository.address)
    repository.body = b""
    with pytest.raises(MmdbenchError, match=r"Cannot download .*Not Found"):
        system_prompt(KNOWN, repository=repository.address)
    with pytest.raises(UsageError, match="https address"):
        system_prompt(KNOWN, repository="file:///etc")
    assert not cache.exists()


def test_a_file_with_the_prompt(tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    for content in (TEXT, TEXT.rstrip("\n"), TEXT + "\n", TEXT.replace("\n", "\r\n")):
        file.write_bytes(content.encode())
        found = system_prompt(KNOWN, file=file)
        assert (found.text, found.exact) == (TEXT, True)


def test_a_copy_of_the_repository(tmp_path: Path) -> None:
    (tmp_path / "inference").mkdir()
    (tmp_path / "broken.py").write_text("def (", "utf-8")
    (tmp_path / "inference" / "loop.py").write_text(SOURCE, "utf-8")
    assert system_prompt(KNOWN, file=tmp_path).text == TEXT
    assert system_prompt(KNOWN, file=tmp_path / "inference" / "loop.py").exact
    with pytest.raises(ModelError, match="was not found in"):
        system_prompt(KNOWN, file=tmp_path / "broken.py")


def test_another_prompt_is_used_and_said_to_be_another(tmp_path: Path) -> None:
    file = tmp_path / "own.txt"
    file.write_text("Be brief.", "utf-8")
    found = system_prompt(KNOWN, file=file)
    assert (found.text, found.exact) == ("Be brief.", False)
    assert found.sha256 == hashlib.sha256(b"Be brief.").hexdigest()
    file.write_text(" \n", "utf-8")
    with pytest.raises(UsageError, match="is empty"):
        system_prompt(KNOWN, file=file)
    with pytest.raises(UsageError, match="Cannot read"):
        system_prompt(KNOWN, file=tmp_path / "none.txt")

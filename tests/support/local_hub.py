"""A server on this machine that plays the Hugging Face Hub and the host of its large files."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_LARGE = (".safetensors", ".tsv", ".parquet")


@dataclass
class HubRequest:
    """A request as the server saw it; `large` is true for the host of large files."""

    method: str
    path: str
    headers: Mapping[str, str]
    large: bool


@dataclass
class LocalHub:
    """Repositories by `models/owner/name` or `datasets/owner/name`, each with its files by path.

    `texts` are further answers by path. `refusals` maps a repository to the status and error code that its
    files are refused with. `cuts` maps the name of a large file to the bytes after which the host stops: it
    hangs up, or, if `hang` is set, waits for that first. `damage` names a large file that it sends damaged.
    A listing has `page` files at once. Commits and uploads of the client are kept in `repositories`, and
    `commits` holds the summary of each; `private` names the repositories that were made private.
    """

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    cuts: dict[str, int] = field(default_factory=dict)
    hang: threading.Event | None = None
    damage: str = ""
    page: int = 1000
    seen: list[HubRequest] = field(default_factory=list)
    commit: str = COMMIT
    url: str = ""
    large_url: str = ""
    commits: list[str] = field(default_factory=list)
    private: list[str] = field(default_factory=list)
    uploads: dict[str, bytes] = field(default_factory=dict)

    def asked(self, method: str, part: str, *, large: bool = False) -> list[HubRequest]:
        """The requests of a method whose path holds a text."""
        return [r for r in self.seen if r.method == method and part in r.path and r.large == large]


@contextmanager
def serve_hub() -> Iterator[LocalHub]:
    """A hub on loopback: its API and small files under 127.0.0.1, large files under localhost."""
    hub = LocalHub()

    class Handler(_Handler):
        owner = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    hub.large_url = f"http://localhost:{server.server_port}"
    yield hub
    if hub.hang is not None:
        hub.hang.set()
    server.shutdown()
    thread.join()
    server.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: LocalHub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        large = self.headers.get("Host", "").startswith("localhost")
        path = unquote(urlsplit(self.path).path).lstrip("/")
        self.owner.seen.append(
            HubRequest(self.command, path, {k.title(): v for k, v in self.headers.items()}, large)
        )
        if path in self.owner.texts:
            self._send(self.owner.texts[path])
        elif large:
            self._send_large(path)
        elif path.startswith("api/"):
            self._send_listing(path.removeprefix("api/"))
        else:
            self._send_file(path)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def do_POST(self) -> None:
        body = self._body()
        path = unquote(urlsplit(self.path).path).lstrip("/")
        headers = {k.title(): v for k, v in self.headers.items()}
        self.owner.seen.append(HubRequest(self.command, path, headers, large=False))
        if path in self.owner.refusals:
            self._refuse(*self.owner.refusals[path])
        elif path == "api/validate-yaml":
            yaml.safe_load(json.loads(body)["content"].split("---\n")[1])
            self._send(b'{"errors": [], "warnings": []}')
        elif path == "api/repos/create":
            self._create(json.loads(body))
        elif found := re.fullmatch(r"api/(datasets/[^/]+/[^/]+)/(paths-info|preupload|commit)/[^/]+", path):
            {"paths-info": self._send_paths, "preupload": self._preupload, "commit": self._commit}[found[2]](
                found[1], body
            )
        elif path.endswith("/info/lfs/objects/batch"):
            self._batch(json.loads(body))
        else:
            self._refuse(404, "EntryNotFound")

    def do_PUT(self) -> None:
        body = self._chunks() if "chunked" in self.headers.get("Transfer-Encoding", "") else self._body()
        self.owner.uploads[self.path.rpartition("/")[2]] = body
        self._send(b"")

    def _create(self, wanted: dict[str, object]) -> None:
        name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
        repo = f"{wanted['type']}s/{name}"
        if repo in self.owner.repositories:
            self._send(json.dumps({"url": f"{self.owner.url}/{repo}"}).encode(), 409)
            return
        self.owner.repositories[repo] = {".gitattributes": b"*.parquet filter=lfs\n"}
        if wanted.get("private") or wanted.get("visibility") == "private":
            self.owner.private.append(repo)
        self._send(json.dumps({"url": f"{self.owner.url}/{repo}", "id": name}).encode())

    def _send_paths(self, repo: str, body: bytes) -> None:
        data = parse_qs(body.decode()) if not body.startswith(b"{") else json.loads(body)
        files = self.owner.repositories.get(repo, {})
        entries = [_tree_entry(path, files[path]) for path in data.get("paths", []) if path in files]
        self._send(json.dumps(entries).encode())

    def _preupload(self, repo: str, body: bytes) -> None:
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(_LARGE) else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(body)["files"]
        ]
        self._send(json.dumps({"files": modes}).encode())

    def _batch(self, wanted: dict[str, list[dict[str, object]]]) -> None:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.owner.url}/uploads/{one['oid']}"}}}
            for one in wanted["objects"]
        ]
        self._send(json.dumps({"transfer": "basic", "objects": objects}).encode())

    def _commit(self, repo: str, body: bytes) -> None:
        lines = [json.loads(line) for line in body.splitlines() if line]
        files = self.owner.repositories[repo]
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.owner.commits.append(value["summary"])
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.owner.uploads[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        url = f"{self.owner.url}/{repo}/commit/{self.owner.commit}"
        self._send(json.dumps({"commitOid": self.owner.commit, "commitUrl": url, "success": True}).encode())

    def _send_listing(self, path: str) -> None:
        found = re.fullmatch(r"(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+)(?:/(.+))?)?", path)
        repo = f"{found[1]}/{found[2]}" if found else ""
        files = self.owner.repositories.get(repo)
        if files is None:
            self._refuse(401, "RepoNotFound")
        elif found and found[4] not in (None, "main", self.owner.commit):
            self._refuse(404, "RevisionNotFound")
        elif found and found[3] == "tree":
            self._send_tree(path, _below(files, found[5] or "", recursive="recursive=true" in self.path))
        else:
            siblings = [_sibling(*item) for item in files.items()]
            record = {"id": repo.partition("/")[2], "sha": self.owner.commit, "siblings": siblings}
            if "README.md" in files:
                record["cardData"] = _card(files["README.md"])
            self._send(json.dumps(record).encode())

    def _send_tree(self, path: str, files: list[tuple[str, bytes | None]]) -> None:
        start = int(parse_qs(urlsplit(self.path).query).get("cursor", ["0"])[0])
        end = start + self.owner.page
        entries = [_tree_entry(*item) for item in files[start:end]]
        following = f'<{self.owner.url}/api/{path}?recursive=true&cursor={end}>; rel="next"'
        self._send(json.dumps(entries).encode(), **({"Link": following} if end < len(files) else {}))

    def _send_file(self, path: str) -> None:
        found = re.fullmatch(r"(datasets/)?([^/]+/[^/]+)/resolve/[^/]+/(.+)", path)
        repo = f"{(found[1] or 'models/')}{found[2]}" if found else ""
        if repo in self.owner.refusals:
            self._refuse(*self.owner.refusals[repo])
            return
        body = self.owner.repositories.get(repo, {}).get(found[3] if found else "")
        if found is None or body is None:
            self._refuse(404, "EntryNotFound")
        elif found[3].endswith(_LARGE):
            digest = _sha256(body)
            self._send(
                b"",
                302,
                Location=f"{self.owner.large_url}/{repo}/{found[3]}",
                X_Repo_Commit=self.owner.commit,
                X_Linked_Etag=f'"{digest}"',
                X_Linked_Size=str(len(body)),
            )
        else:
            self._send(body, X_Repo_Commit=self.owner.commit, ETag=f'"{_blob_id(body)}"')

    def _send_large(self, path: str) -> None:
        kind, owner, name, file = path.split("/", 3)
        body = self.owner.repositories[f"{kind}/{owner}/{name}"][file]
        if file == self.owner.damage:
            body = bytes(len(body))
        tag = f'"{_sha256(body)[:32]}"'
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if span and self.headers.get("If-Range", tag) == tag:
            start, last = int(span[1]), min(int(span[2] or len(body)), len(body) - 1)
            self._send(
                body[start : last + 1], 206, ETag=tag, Content_Range=f"bytes {start}-{last}/{len(body)}"
            )
        else:
            self._send(body, ETag=tag)

    def _refuse(self, status: int, code: str) -> None:
        self._send(b"{}", status, X_Error_Code=code, X_Error_Message="no")

    def _send(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "HEAD":
            return
        large = self.headers.get("Host", "").startswith("localhost")
        cut = self.owner.cuts.get(self.path.rpartition("/")[2]) if large else None
        self.wfile.write(body[:cut])
        self.wfile.flush()
        if cut is not None and self.owner.hang is not None:
            self.owner.hang.wait(30)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


def _sibling(path: str, body: bytes) -> dict[str, object]:
    entry = {"rfilename": path, "size": len(body), "blobId": _blob_id(body)}
    lfs = {"sha256": _sha256(body), "size": len(body), "pointerSize": 130}
    return entry | ({"lfs": lfs} if path.endswith(_LARGE) else {})


def _card(readme: bytes) -> object:
    head = readme.split(b"---\n")
    return yaml.safe_load(head[1]) if len(head) > 2 else {}


def _below(files: Mapping[str, bytes], folder: str, *, recursive: bool) -> list[tuple[str, bytes | None]]:
    """The files of a folder, and its folders, which have no bytes."""
    start = f"{folder}/" if folder else ""
    found: dict[str, bytes | None] = {}
    for path, body in files.items():
        if path.startswith(start):
            inner = path.removeprefix(start)
            if "/" in inner:
                found[start + inner.partition("/")[0]] = None
            if recursive or "/" not in inner:
                found[path] = body
    return list(found.items())


def _tree_entry(path: str, body: bytes | None) -> dict[str, object]:
    if body is None:
        return {"type": "directory", "path": path, "size": 0, "oid": _blob_id(b"")}
    entry = {"type": "file", "path": path, "size": len(body), "oid": _blob_id(body)}
    lfs = {"oid": _sha256(body), "size": len(body), "pointerSize": 130}
    return entry | ({"lfs": lfs} if path.endswith(_LARGE) else {})


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _blob_id(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()

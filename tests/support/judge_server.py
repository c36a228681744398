"""A judge on this machine: an OpenAI-style server that replies what a test scripts."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class JudgeServer(ThreadingHTTPServer):
    """Replies with `script(body)`: a text, or (status, headers, body bytes) sent as they are.

    `bodies` and `headers` hold every request; `most` is how many were under way at once.
    """

    daemon_threads = True

    def __init__(self, script: Callable[[dict], object]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script, self.bodies, self.headers, self.broken = script, [], [], []
        self.lock, self.now, self.most = threading.Lock(), 0, 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    @property
    def prompts(self) -> list[str]:
        return [body["messages"][0]["content"] for body in self.bodies]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.bodies.append(body)
            server.headers.append({name.lower(): value for name, value in self.headers.items()})
            server.now += 1
            server.most = max(server.most, server.now)
        try:
            made = server.script(body)
        except Exception as error:
            server.broken.append(error)
            raise
        finally:
            with server.lock:
                server.now -= 1
        if isinstance(made, str):
            choice = {"index": 0, "message": {"role": "assistant", "content": made}, "finish_reason": "stop"}
            answer = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
            made = (200, {"Content-Type": "application/json"}, json.dumps(answer).encode())
        status, headers, content = made
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(script: Callable[[dict], object]):
    """A server that runs while the block does."""
    with JudgeServer(script) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
        assert server.broken == [], "the script cannot reply to a request"


def error(status: int, message: str = "no", code: str = "", **headers: str):
    """An error as OpenAI writes one."""
    content = json.dumps({"error": {"message": message, "code": code or None, "type": "t"}}).encode()
    return status, {"Content-Type": "application/json", **headers}, content

"""Batch files of OpenAI-style APIs: uploaded, started, looked up and read through the one client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mmdbench.models.batches import BatchRow, BatchState
from mmdbench.models.failures import AttemptError, error_of
from mmdbench.models.tokens import token_count
from mmdbench.records import Request
from mmdbench.system.secrets import HIDDEN

from .access import Access
from .openai_client import OpenAIClient
from .response import outcome_of_json, read_json, reply_too_large
from .settings import ApiSettings

__all__ = ["OpenAIBatches"]

_URL = "/v1/chat/completions"
_WINDOW = "24h"  # the only one that the API knows
_NAME = "mmdbench_batch"
_LOOKED_THROUGH = 1000
_FILE_SECONDS = 3600.0  # a file of pictures may have hundreds of MB
_NOT_SENT = ("batch_expired", "batch_cancelled")

Body = Callable[[Request], tuple[dict[str, Any], list[dict[str, Any]]]]


class OpenAIBatches:
    """The batch endpoint of one server; see `mmdbench.models.batches.BatchService`.

    Args:
        settings: The settings of the server.
        access: Its key and headers.
        body: Makes the JSON of a chat completion, and the record of the pictures that it changed.
    """

    def __init__(self, settings: ApiSettings, access: Access, body: Body) -> None:
        self._settings, self._access, self._body = settings, access, body
        self._client = OpenAIClient(settings, access)

    async def check(self) -> None:
        """Raise AttemptError if the server has no batch endpoint, or the key may not use it."""
        await self._client.call(lambda client, extra: client.batches.list(limit=1, **extra))

    def line(self, request: Request) -> tuple[bytes, Mapping[str, Any]]:
        """A request as a line of a batch file, and details to store with its reply. Raises AttemptError."""
        body, sent = self._body(request)
        row = {"custom_id": request.key, "method": "POST", "url": _URL, "body": body}
        return json.dumps(row).encode() + b"\n", {"sent": sent} if sent else {}

    async def submit(self, path: Path, name: str) -> BatchState:
        """Upload a file and start its batch, which `find` then knows by its name. Raises AttemptError."""
        file = await self._client.call(
            lambda client, extra: client.files.create(file=path, purpose="batch", **extra), _FILE_SECONDS
        )
        return self._state(
            await self._client.call(
                lambda client, extra: client.batches.create(
                    input_file_id=file.id,
                    endpoint=_URL,
                    completion_window=_WINDOW,
                    metadata={_NAME: name},
                    **extra,
                )
            )
        )

    async def find(self, name: str) -> BatchState | None:
        """The batch of that name among the newest; None if there is none. Raises AttemptError."""

        async def search(client: Any, extra: Mapping[str, Any]) -> Any:
            seen = 0
            async for batch in client.batches.list(limit=100, **extra):
                seen += 1
                if (getattr(batch, "metadata", None) or {}).get(_NAME) == name:
                    return batch
                if seen >= _LOOKED_THROUGH:
                    break
            return None

        found = await self._client.call(search)
        return None if found is None else self._state(found)

    async def state(self, batch: str) -> BatchState:
        """The batch with that id. Raises AttemptError."""
        return self._state(
            await self._client.call(lambda client, extra: client.batches.retrieve(batch, **extra))
        )

    async def rows(self, state: BatchState) -> list[BatchRow]:
        """The rows of a batch's files; lines that are no row are left out. Raises AttemptError."""
        rows: list[BatchRow] = []
        for file in state.files:
            rows += self._read(await self._content(file))
        return rows

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _content(self, file: str) -> bytes:
        found = await self._client.call(
            lambda client, extra: client.files.content(file, **extra), _FILE_SECONDS
        )
        data = bytes(found.content)
        for value in self._access.values:
            data = data.replace(value.encode(), HIDDEN.encode())
        return data

    def _read(self, data: bytes) -> Iterator[BatchRow]:
        for line in data.splitlines():
            try:
                row = read_json(line)
                key = str(row["custom_id"])
                response, error = row.get("response") or {}, row.get("error")
                code = str((error or {}).get("code") or "")
                status = int(response.get("status_code") or 0)
            except (AttributeError, KeyError, OverflowError, TypeError, ValueError, RecursionError):
                continue
            if code in _NOT_SENT:
                yield BatchRow(key, None)
                continue
            try:
                if len(line) > self._settings.reply_mb * 1e6:
                    raise reply_too_large(self._settings.reply_mb)
                if not 200 <= status < 300:
                    body = response.get("body") or {"error": error}
                    raise error_of(status or 500, body, {}, self._access.key)
                yield BatchRow(key, outcome_of_json(response.get("body"), self._access.key))
            except AttemptError as failure:
                yield BatchRow(key, failure)

    def _state(self, batch: Any) -> BatchState:
        counts = getattr(batch, "request_counts", None)
        total, completed, failed = (
            token_count(getattr(counts, name, 0)) or 0 for name in ("total", "completed", "failed")
        )
        errors = getattr(getattr(batch, "errors", None), "data", None) or []
        files = (getattr(batch, f"{name}_file_id", None) for name in ("output", "error"))
        return BatchState(
            self._access.reason(str(batch.id)),
            self._access.reason(str(batch.status)),
            total,
            completed,
            failed,
            tuple(str(file) for file in files if file),
            self._access.reason("; ".join(str(getattr(error, "message", error)) for error in errors[:3])),
        )

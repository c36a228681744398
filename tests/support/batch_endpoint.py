"""A batch endpoint for the server of faulty_server.py: files and batches as OpenAI's API has them."""

from __future__ import annotations

import json
import re


class BatchEndpoint:
    """Answers each row of a batch as the server answers a live request.

    A batch is answered at its `looks`-th look and ends as `ends(number)` says: "completed", "expired" (with
    half of its rows answered), "failed". `row(name, number)` gives the (status, body) of a row's
    error, an error without a response as a str, or None for an answer; `name` is that of the toy question
    and `number` that of the batch.
    """

    def __init__(self, looks=1, ends=lambda number: "completed", row=lambda name, number: None):
        self.looks, self.ends, self.row = looks, ends, row
        self.files, self.batches, self.asked = {}, {}, {}
        self.drop_creations = 0

    def respond(self, method, path, body, complete):
        """(status, body), None to break the connection off; `complete(body)` is a live answer."""
        _, _, tail = path.partition("/v1")
        if (method, tail) == ("POST", "/files"):
            data = re.search(rb'filename="[^"]*"\r\n.*?\r\n\r\n(.*)\r\n--', body, re.DOTALL)[1]
            name = f"file-{len(self.files)}"
            self.files[name] = data
            return 200, {"id": name, "object": "file", "bytes": len(data), "purpose": "batch"}
        if (method, tail) == ("POST", "/batches"):
            return self._start(json.loads(body), complete)
        if tail.startswith("/files/"):
            return 200, self.files[tail.split("/")[2]]
        if tail == "/batches":
            return 200, {"object": "list", "data": list(self.batches.values()), "has_more": False}
        batch = self.batches.get(tail.split("/")[2])
        if batch is None:
            return 404, {"error": {"message": "no such batch"}}
        return 200, self._look(batch)

    def _start(self, asked, complete):
        number = len(self.batches)
        rows = [json.loads(line) for line in self.files[asked["input_file_id"]].splitlines()]
        batch = {
            "id": f"batch_{number}",
            "object": "batch",
            "endpoint": asked["endpoint"],
            "completion_window": asked["completion_window"],
            "created_at": 1,
            "input_file_id": asked["input_file_id"],
            "metadata": asked["metadata"],
            "status": "validating",
            "request_counts": {"total": len(rows), "completed": 0, "failed": 0},
        }
        self.batches[batch["id"]] = batch
        self.asked[batch["id"]] = [number, rows, complete, 0]
        if self.drop_creations:
            self.drop_creations -= 1
            return None
        return 200, batch

    def _look(self, batch):
        entry = self.asked[batch["id"]]
        entry[3] += 1
        if entry[3] < self.looks or batch["status"] in ("completed", "expired", "failed"):
            batch["status"] = "in_progress" if entry[3] < self.looks else batch["status"]
            return batch
        number, rows, complete, _ = entry
        batch["status"] = self.ends(number)
        if batch["status"] == "failed":
            batch["errors"] = {
                "object": "list",
                "data": [{"code": "x", "message": "too many tokens", "line": 1}],
            }
            return batch
        good, bad = [], []
        for place, row in enumerate(rows):
            if batch["status"] == "expired" and 2 * place >= len(rows):
                bad.append(_row(row, None, {"code": "batch_expired", "message": "not in time"}))
                continue
            asked = re.search(r"Question (\d+)\?", json.dumps(row["body"]))
            fault = self.row(int(asked[1]) if asked else place, number)
            if isinstance(fault, str):
                bad.append(_row(row, None, {"code": fault, "message": fault}))
            elif fault:
                bad.append(_row(row, {"status_code": fault[0], "body": fault[1]}, None))
            else:
                good.append(_row(row, {"status_code": 200, "body": complete(row["body"])}, None))
        batch["request_counts"] |= {"completed": len(good), "failed": len(bad)}
        for name, lines in (("output", good), ("error", bad)):
            if lines:
                self.files[f"{batch['id']}-{name}"] = b"\n".join(lines) + b"\n"
                batch[f"{name}_file_id"] = f"{batch['id']}-{name}"
        return batch


def _row(row, response, error):
    return json.dumps(
        {"id": "x", "custom_id": row["custom_id"], "response": response, "error": error}
    ).encode()

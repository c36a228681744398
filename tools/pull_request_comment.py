"""Write a file as one comment of a pull request; a later call replaces the text of that comment.

The action runs it: python tools/pull_request_comment.py PULL_REQUEST FILE NAME, with the variables
GITHUB_API_URL, GITHUB_REPOSITORY and GITHUB_TOKEN of a runner. Names tell several comments apart. A
token without the right to write gives a warning, not a failure.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

AUTHOR = "github-actions[bot]"  # whose comments a runner's token writes: others' are left alone
PAGE_SIZE = 100


def main(pull_request: str, file: str, name: str) -> None:
    """Create the comment of this name, or replace its text.

    Args:
        pull_request: The number of the pull request.
        file: A file of Markdown.
        name: The name of the comment, which a hidden first line holds.
    """
    marker = f"<!-- mmdbench: {name} -->"
    body = {"body": f"{marker}\n{Path(file).read_text('utf-8')}"}
    comments = f"issues/{pull_request}/comments"
    try:
        found = _find(comments, marker)
        if found:
            _call("PATCH", f"issues/comments/{found}", body)
        else:
            _call("POST", comments, body)
    except urllib.error.HTTPError as error:
        if error.code not in {401, 403, 404}:
            raise
        print(
            f"::warning title=mmdbench::No comment was written (HTTP {error.code}): "
            "the job needs the permission pull-requests: write"
        )


def _find(comments: str, marker: str) -> int | None:
    page = 1
    while True:
        listed = _call("GET", f"{comments}?per_page={PAGE_SIZE}&page={page}")
        for comment in listed:
            first = (comment["body"] or "").partition("\n")[0].strip()
            if first == marker and comment["user"]["login"] == AUTHOR:
                return int(comment["id"])
        if len(listed) < PAGE_SIZE:
            return None
        page += 1


def _call(method: str, path: str, body: dict[str, str] | None = None) -> list[dict]:
    request = urllib.request.Request(  # noqa: S310 - the runner's own address
        f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}/{path}",
        data=json.dumps(body).encode() if body else None,
        method=method,
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}",
        },
    )
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
        return json.load(response)


if __name__ == "__main__":
    main(*sys.argv[1:])

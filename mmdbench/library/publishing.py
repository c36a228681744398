"""Builds published as datasets of the Hugging Face Hub, with a card."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmdbench.benches import Bench
from mmdbench.benches.hub_dataset import hub_errors, load_hub
from mmdbench.benches.licences import CHANGED_COPIES, forbidden_by
from mmdbench.builds import BuildPlan, BuildSummary
from mmdbench.builds.manifest import Identity, read_build
from mmdbench.errors import UsageError
from mmdbench.library.dataset_card import dataset_card
from mmdbench.system.files import MANIFEST_FILE

__all__ = ["prepare_dataset", "push_build"]

_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_OWN = (".gitattributes",)


def prepare_dataset(repo: str, benches: Sequence[Bench], *, allow_no_derivatives: bool = False) -> None:
    """Check, before anything is built, that a build may be published; make the dataset, private.

    Args:
        repo: The dataset, `owner/name`.
        benches: The benchmarks of the build.
        allow_no_derivatives: Publish benchmarks too whose licence forbids sharing changed copies.

    Raises:
        UsageError: A licence forbids it, the name is none, or the dataset holds something else.
        DownloadError: The Hub cannot be reached, or refuses.
        MissingExtraError: `huggingface_hub` is not installed.
    """
    if not _REPO.fullmatch(repo):
        raise UsageError(f"--push takes owner/name, got {repo!r}.")
    for info in (bench.info for bench in benches):
        if CHANGED_COPIES in forbidden_by(info.licence) and not allow_no_derivatives:
            raise UsageError(
                f"The licence of {info.title or info.name} forbids {CHANGED_COPIES}: {info.licence}.",
                hint="A build of it is for your own use. If you have permission: --allow-no-derivatives",
            )
    hub = load_hub("huggingface_hub").HfApi()
    with hub_errors(repo):
        hub.create_repo(repo, repo_type="dataset", private=True, exist_ok=True)
        there = set(hub.list_repo_files(repo, repo_type="dataset")) - {*_OWN}
    if there and MANIFEST_FILE not in there:
        raise UsageError(
            f"The dataset {repo} holds files that are no build: {', '.join(sorted(there)[:3])}.",
            hint="Name a new one.",
        )


def push_build(
    folder: Path, repo: str, plan: BuildPlan, benches: Sequence[Bench], summary: BuildSummary
) -> str:
    """Publish a finished build, in one commit.

    Args:
        folder: The build's folder.
        repo: The dataset, prepared.
        plan: The plan of the build.
        benches: Its benchmarks.
        summary: Its outputs.

    Returns:
        The address of the dataset.

    Raises:
        UsageError: The dataset holds another build.
        DownloadError: The Hub cannot be reached, or refuses.
    """
    library = load_hub("huggingface_hub")
    hub, identity = library.HfApi(), Identity.from_manifest(read_build(folder))
    with hub_errors(repo):
        _refuse_other_build(hub, repo, identity)
        card = dataset_card(plan, benches, identity, summary.outputs)
        files = [(MANIFEST_FILE, folder / MANIFEST_FILE), *_files(folder, summary)]
        add = library.CommitOperationAdd
        changes = [add("README.md", card.encode()), *(add(name, str(path)) for name, path in files)]
        names = ", ".join(bench.info.title or bench.name for bench in benches)
        hub.create_commit(repo, changes, commit_message=f"Add {names}, degraded", repo_type="dataset")
        return f"{hub.endpoint}/datasets/{repo}"


def _refuse_other_build(hub: Any, repo: str, identity: Identity) -> None:
    if MANIFEST_FILE not in hub.list_repo_files(repo, repo_type="dataset"):
        return
    path = hub.hf_hub_download(repo, MANIFEST_FILE, repo_type="dataset")
    there = read_build(Path(path).parent)
    same = ("plan", "spec", "benches")
    if {key: there[key] for key in same} != json.loads(json.dumps({k: identity.as_dict()[k] for k in same})):
        raise UsageError(f"The dataset {repo} holds another build.", hint="Name a new dataset.")


def _files(folder: Path, summary: BuildSummary) -> Iterator[tuple[str, Path]]:
    """The files of a build by their names; nothing else that is in its folder."""
    for output in summary.outputs:
        yield output.log.file, folder / output.log.file
        for name in dict.fromkeys(record.file.partition("/")[0] for record in output.files):
            place = folder / name
            inner = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
            yield from ((path.relative_to(folder).as_posix(), path) for path in inner)

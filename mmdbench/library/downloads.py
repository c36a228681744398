"""Files to download before long work: their sizes, the user's consent, and their progress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mmdbench.errors import DataError, DownloadError, ModelError, UsageError
from mmdbench.library.sources import download_progress
from mmdbench.library.user_interface import UserInterface

if TYPE_CHECKING:
    from pathlib import Path

    from mmdbench.benches import Bench
    from mmdbench.models.cards import ModelCard
    from mmdbench.models.registry import Fingerprinted, MissingFile
    from mmdbench.records import RunPlan
    from mmdbench.variants.released_data import PublishedFile

__all__ = [
    "ASKED_ABOVE_BYTES",
    "Fetching",
    "refuse_missing",
    "released_files",
    "require_consent",
    "show_missing",
    "size_text",
]

ASKED_ABOVE_BYTES = 10**9
"""Downloads of more bytes need the user's consent."""


@dataclass(frozen=True, slots=True)
class Fetching:
    """Fetches what is missing: asks above 1 GB unless `yes`, or only shows it in a dry run."""

    yes: bool = False
    offline: bool = False
    dry_run: bool = False
    interface: UserInterface = field(default_factory=UserInterface)

    def model(self, card: ModelCard) -> Fingerprinted | None:
        """Download the files of a card that are missing.

        In a dry run, returns a model without files if some are missing, so that its work can be counted.
        """
        from mmdbench.models.registry import fetch_files, missing_files
        from mmdbench.system.environment import is_offline

        if self.offline or is_offline():
            return None  # the model's own error says what is missing
        missing = missing_files(card)
        if not missing:
            return None
        show_missing(missing, self.interface)
        if self.dry_run:
            self.interface.note("Replies of earlier runs are not counted: that takes the model's files.")
            return _WithoutFiles()
        require_consent(sum(file.bytes or 0 for file in missing), self.interface, yes=self.yes)
        with download_progress(self.interface) as settings:
            fetch_files(card, settings)
        return None

    def released(self, plan: RunPlan, benches: Sequence[Bench], data_dir: Path | None) -> None:
        """Download the authors' degraded files that a plan shows and that are missing.

        Args:
            plan: The plan.
            benches: Its benchmarks, opened.
            data_dir: Folder of benchmark files.

        Raises:
            DataError: Some are missing in a dry run: its work cannot be counted without their pictures.
        """
        from mmdbench.system.environment import is_offline
        from mmdbench.variants.released_data import fetch_published, missing_published

        if self.offline or is_offline():
            return
        with download_progress(self.interface) as settings:
            # The Hub is asked for their sizes; a dry run does not wait for a host that cannot be reached.
            patience = replace(settings, retries=0) if self.dry_run else settings
            try:
                missing = missing_published(plan, benches, data_dir, patience)
            except DownloadError:
                if not self.dry_run:
                    raise
                raise _uncounted() from None
            if not missing:
                return
            show_missing(released_files(missing), self.interface)
            if self.dry_run:
                raise _uncounted()
            require_consent(sum(file.bytes for file in missing), self.interface, yes=self.yes)
            for state in fetch_published(missing, data_dir, settings):
                if state.checksum == "mismatch":
                    self.interface.note(f"{state.path} is not the file that was published. {state.note}")


def _uncounted() -> DataError:
    return DataError(
        "The work on released files cannot be counted before they are downloaded.",
        hint="Leave out --dry-run, or get them first: mmdbench data get NAME",
    )


@dataclass(frozen=True, slots=True)
class _WithoutFiles:
    """A model whose files are missing; its work can be counted, and no stored reply is its own."""

    def fingerprint(self) -> Mapping[str, Any]:
        return {"files": "missing"}


def refuse_missing(card: ModelCard, interface: UserInterface) -> None:
    """Raise ModelError, after a list with sizes, if files of a card's model are missing."""
    from mmdbench.models.registry import missing_files
    from mmdbench.system.environment import is_offline

    missing = () if is_offline() else missing_files(card)
    if missing:
        show_missing(missing, interface)
        raise ModelError(
            f"Files of the model {card.name} are missing.",
            hint="mmdbench eval downloads them before it starts.",
        )


def show_missing(missing: Sequence[MissingFile], interface: UserInterface) -> None:
    """Show the missing files with their sizes and their sum."""
    for file in missing:
        size = "small" if file.bytes is None else size_text(file.bytes)
        interface.note(f"  {size:>9}  {file.name}  from {file.source}")
    count, total = len(missing), sum(file.bytes or 0 for file in missing)
    interface.note(f"{count} file{'s' * (count != 1)} to download, {size_text(total)}.")


def released_files(files: Sequence[PublishedFile]) -> list[MissingFile]:
    """Files of the authors' dataset, for `show_missing`."""
    from mmdbench.models.registry import MissingFile
    from mmdbench.variants.released_data import DATASET

    return [MissingFile(f"{file.name}.tsv", f"hf:datasets/{DATASET}", file.bytes) for file in files]


def require_consent(total: int, interface: UserInterface, *, yes: bool) -> None:
    """Ask before more than 1 GB is downloaded.

    Args:
        total: The number of bytes.
        interface: Asks the user.
        yes: The user agreed already.

    Raises:
        UsageError: The user did not agree, or cannot be asked.
    """
    if yes or total <= ASKED_ABOVE_BYTES:
        return
    answer = interface.agree(f"Download {size_text(total)}?")
    if answer is None:
        raise UsageError(
            f"{size_text(total)} would be downloaded, and there is no terminal to ask on.",
            hint="Add --yes to agree (yes=True in Python).",
        )
    if not answer:
        raise UsageError("Nothing was downloaded.", hint="Name files of your own, or answer y.")


def size_text(count: int) -> str:
    """A number of bytes in the unit that suits it.

    >>> size_text(29_200_000_000), size_text(1_500_000), size_text(900)
    ('29.2 GB', '1.5 MB', '0.9 kB')
    """
    for unit, power in (("GB", 9), ("MB", 6)):
        if count >= 10**power:
            return f"{count / 10**power:.1f} {unit}"
    return f"{count / 1000:.1f} kB"

"""Pictures of a training set: clean and degraded, made from a question and kept in the set's folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdbench.corruptions.chain import Chain
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.records import Cell, ImageBytes, Question, Recipe, RunPlan
from mmdbench.system.digest import pixel_digest
from mmdbench.system.files import make_folder, write_atomic
from mmdbench.training.traces import PicturePair
from mmdbench.training.training_format import Conversation, TrainingRecord, human_turn
from mmdbench.variants.codec import decode_encoded, encode, parse_codec
from mmdbench.variants.recipes import CleanImage, clean_image, degrading, make_variant, recipe_for

__all__ = ["KeptPair", "PictureFolder"]

_PICTURES = "pictures"


@dataclass(frozen=True, slots=True)
class KeptPair:
    """The two pictures of a sample, their paths relative to the set, and the record of the degradation."""

    pair: PicturePair
    degraded: str
    clean: str
    made_by: Mapping[str, Any]
    no_op: bool = False

    def record(
        self,
        question: Question,
        own: Conversation,
        split: str,
        *,
        mode: str,
        text: str,
        about: Mapping[str, Any],
    ) -> TrainingRecord:
        """The record of a sample with these pictures.

        Args:
            question: Its question.
            own: The conversation that it came with, which is the record's for reinforcement learning.
            split: `sft` or `rl`.
            mode: `direct`, `generate` or empty.
            text: The trace or chain; where there is one it is the answer of the record.
            about: Further values for the record's details.

        Returns:
            The record.
        """
        conversation = own
        if text or split == "sft":
            answer = (("gpt", text),) if text else ()
            conversation = Conversation((human_turn(own.question), *answer))
        # Ids of rows repeat, the index does not.
        from_rows = "conversations" in question.fields
        name = question.fields["id"] if from_rows else f"{question.bench}:{question.index}"
        subset = question.category if from_rows else question.bench
        place = {"bench": question.bench, "index": question.index, "answer": own.solution}
        return TrainingRecord(
            name,
            subset,
            split,
            self.degraded,
            conversation,
            self.clean,
            mode,
            {**place, **about, **self.made_by},
        )


class PictureFolder:
    """The folder `pictures` of a training set; a picture is named by the digest of its pixels."""

    def __init__(self, folder: Path, max_pixels: int) -> None:
        self.folder = folder
        self.max_pixels = max_pixels
        make_folder(folder / _PICTURES)

    def read(self, question: Question) -> CleanImage:
        """The picture of a question. Raises ImageDecodeError."""
        (source,) = question.images
        return clean_image(source.read(), source.where, self.max_pixels)

    def from_recipe(self, clean: CleanImage, recipe: Recipe) -> KeptPair:
        """The pair of a recipe."""
        variant = make_variant(clean, recipe, self.max_pixels)
        return self._kept(clean, variant.image, variant.pixels, {"recipe": recipe.as_dict()}, variant.no_op)

    def from_cell(self, clean: CleanImage, cell: Cell, plan: RunPlan) -> KeptPair:
        """The pair of a cell.

        Args:
            clean: The clean picture.
            cell: Its corruption and level.
            plan: The seed, the profile and the codec.

        Returns:
            The pair, which is kept in the folder.
        """
        return self.from_recipe(clean, recipe_for(cell, clean.digest, plan, load_spec(), clean.icc_digest))

    def from_chain(self, clean: CleanImage, chain: Chain, plan: RunPlan) -> KeptPair:
        """The pair of a chain of degradations.

        Args:
            clean: The clean picture.
            chain: The chain.
            plan: The seed and the codec.

        Returns:
            The pair, which is kept in the folder.
        """
        with degrading(clean, "a chain", self.max_pixels):
            pixels, record = chain.recorded(clean.pixels, plan.seed)
            image = encode(pixels, parse_codec(plan.codec), clean.icc)
        same = bool((pixels == clean.pixels).all())
        return self._kept(clean, image, pixel_digest(decode_encoded(image)), {"chain": record}, same)

    def _kept(
        self, clean: CleanImage, image: ImageBytes, digest: str, made_by: Mapping[str, Any], no_op: bool
    ) -> KeptPair:
        names = [self._save(digest, image), self._save(clean.digest, clean.source)]
        return KeptPair(PicturePair(clean.source, image), names[0], names[1], made_by, no_op)

    def _save(self, digest: str, image: ImageBytes) -> str:
        name = f"{_PICTURES}/{digest}.{image.mime.partition('/')[2]}"
        if not (self.folder / name).exists():
            write_atomic(self.folder / name, image.data)
        return name

"""Prepares a request: the text and the pictures for a family's processor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from PIL import Image

from mmdbench.records import Question, Request
from mmdbench.system.images import NO_LIMIT, decode_image

from .families import ModelFamily

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["CLOSING", "PreparedRequest", "prepare", "render", "with_ending"]

CLOSING = "Please select the correct answer from the options above. \n"
"""The benchmarks' closing sentence, which a family's `mcq_ending` replaces."""


_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """One request for the processor; `altered` is True if a placeholder in its text was changed.

    `seed` is that of the request, for sampling.
    """

    text: str
    pictures: tuple[Picture, ...]
    altered: bool
    seed: int = 0

    def shape(self, *, sizes: bool) -> tuple[Any, ...]:
        """The key of requests that fit into one batch: number of pictures and, with `sizes`, their sizes."""
        return (len(self.pictures), *(p.size for p in self.pictures if sizes))


def with_ending(question: Question, default: str, ending: str) -> str:
    """The benchmark's prompt with another closing sentence, if it has the usual one."""
    if ending and question.options and default.endswith(CLOSING):
        return default[: -len(CLOSING)] + ending
    return default


def prepare(
    request: Request, family: ModelFamily, processor: Any, variables: Mapping[str, Any] = _NOTHING
) -> PreparedRequest:
    """Decode the request's images (RGB) and put its prompt into the family's template.

    Args:
        request: The request.
        family: The family of the checkpoint.
        processor: The checkpoint's processor.
        variables: Variables of its chat template.

    Returns:
        Text and pictures for the processor.

    Raises:
        ImageDecodeError: An image cannot be read.
    """
    pictures = tuple(
        Image.fromarray(decode_image(image.data, f"image {number} of the request", max_pixels=NO_LIMIT))
        for number, image in enumerate(request.images, 1)
    )
    text = _without_placeholders(request.prompt, processor)
    rendered = render(text, len(pictures), family, processor, variables)
    return PreparedRequest(rendered, pictures, text != request.prompt, request.seed)


def render(
    text: str,
    images: int,
    family: ModelFamily,
    processor: Any,
    variables: Mapping[str, Any] = _NOTHING,
) -> str:
    """The text of a turn, up to the beginning of the answer.

    Args:
        text: The prompt.
        images: The number of placeholders for images.
        family: The family of the checkpoint.
        processor: The checkpoint's processor.
        variables: Variables of its chat template.

    Returns:
        The text.
    """
    if family.template:
        return family.template.format(images=processor.image_token * images, text=text)
    shown: list[dict[str, str]] = [{"type": "image"}] * images
    said = [{"type": "text", "text": text}]
    content = shown + said if family.image_first else said + shown
    turn = [{"role": "user", "content": content}]
    made = processor.apply_chat_template(turn, add_generation_prompt=True, tokenize=False, **variables)
    return str(made)


def _without_placeholders(text: str, processor: Any) -> str:
    # A benchmark may quote "<image>", which would count as one more picture.
    for name in ("image_token", "video_token", "boi_token"):
        token = getattr(processor, name, None)
        if isinstance(token, str) and len(token) > 1:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    return text

"""Transforms for torchvision, datasets and albumentations; callbacks for transformers and Lightning.

Each module is imported by its name and needs its library (an extra of the same name, `hf` for transformers):
`mmdbench.integrations.albumentations`, `.torchvision`, `.datasets`, `.transformers`, `.lightning`.
"""

from __future__ import annotations

__all__: list[str] = []

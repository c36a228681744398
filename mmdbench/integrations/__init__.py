"""The corruptions for other libraries: albumentations, torchvision, Hugging Face datasets.

Each module is imported by its name and needs its library (an extra of the same name):
`mmdbench.integrations.albumentations`, `.torchvision`, `.datasets`.
"""

from __future__ import annotations

__all__: list[str] = []

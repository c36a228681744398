"""The 16 corruptions: `(image, params) → image`, pure, and the drawing of the params before it.

>>> import numpy as np
>>> image = np.full((40, 60, 3), 200, np.uint8)
>>> params = sample("dark_illumination", image.shape, level="mid")
>>> params
{'gain': 0.7975}
>>> int(apply("dark_illumination", image, params).max())
159
>>> bool((corrupt(image, "dark_illumination", level="mid") == 159).all())
True
"""

from __future__ import annotations

from mmdbench.corruptions._calls import apply, corrupt, get_corruption_names, image_seed, sample

__all__ = ["apply", "corrupt", "get_corruption_names", "image_seed", "sample"]

"""The library in ten lines: one picture, blurred; all 16 at their hardest; a chain, and the chain again."""

import sys

from PIL import Image

from mmdbench import corrupt, get_corruption_names
from mmdbench.corruptions.chain import Chain

photo = Image.open(sys.argv[1]).convert("RGB")
corrupt(photo, "motion_blur", level="hard").save("motion_blur.png")
for name in get_corruption_names():
    corrupt(photo, name, level="hard").save(f"{name}.png")
degraded, record = Chain().recorded(photo, seed=1)
degraded.save("chain.png")
print(" → ".join(f"{step['corruption']} at {step['intensity']:.2f}" for step in record["steps"]))
print("the same again:", Chain.replay(photo, record).tobytes() == degraded.tobytes())

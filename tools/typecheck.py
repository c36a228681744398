"""Run mypy over the package as it is installed (`adapters/` below `mmdbench/`), and over a file of a user.

mypy finds packages by their place in the file system and does not know setuptools' `package-dir`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "mmdbench"
        package.mkdir()
        for entry in (ROOT / "mmdbench").iterdir():
            (package / entry.name).symlink_to(entry)
        (package / "adapters").symlink_to(ROOT / "adapters")
        command = [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml"]
        command += ["--cache-dir", ROOT / ".mypy_cache"]
        environment = {**os.environ, "MYPYPATH": folder}
        wanted = (["-p", "mmdbench"], [ROOT / "examples" / "evaluation_in_python.py"])
        codes = [
            subprocess.run([*command, *what], cwd=folder, env=environment, check=False).returncode
            for what in wanted
        ]
        return max(codes)


if __name__ == "__main__":
    sys.exit(main())

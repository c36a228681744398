"""The features of the processor that a benchmark uses: ratios, and so their guards, depend on them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

# Numba uses the features of the processor it runs on unless they are named as well.
HASWELL = {
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "+avx2,+bmi,+bmi2,+fma",
    "OPENCV_CPU_DISABLE": "AVX512-SKX",
}
"""Variables of an environment in which numba and OpenCV use AVX2 and nothing wider."""

WIDEST = ("avx512bw", "avx2")


def is_limited() -> bool:
    """True in a process that is limited to AVX2."""
    return os.environ.get("NUMBA_CPU_NAME") == HASWELL["NUMBA_CPU_NAME"]


def widest_feature() -> str:
    """The widest vectors in use: `avx512bw`, `avx2`, or an empty text for neither, or without numba."""
    try:
        from llvmlite.binding import get_host_cpu_features
    except ImportError:
        return ""
    features = get_host_cpu_features()
    found = [name for name in WIDEST if features.get(name)]
    return found[-1] if found and is_limited() else (*found, "")[0]


def guard(guards: Mapping[str, float]) -> float:
    """The guard of the processor's widest feature: each is half of the ratio that was measured with it."""
    return guards[widest_feature()]


def again_limited(script: str, arguments: Sequence[str]) -> int:
    """Run a script in a fresh process limited to AVX2, with compiled code of its own; its exit code."""
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | HASWELL | {"NUMBA_CACHE_DIR": cache}
        return subprocess.run([sys.executable, script, *arguments], env=environment, check=False).returncode

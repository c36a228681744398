"""VLMEvalKit's own `evaluate`, extracted from an ms-vlmeval wheel so that it runs without torch."""

from __future__ import annotations

import ast
import importlib.util
import os
import os.path as osp
import string
import sys
import types
import warnings
import zipfile
from collections import defaultdict
from pathlib import Path

IMAGE_MCQ = "vlmeval/dataset/image_mcq.py"
FILE = "vlmeval/smp/file.py"


def load_fuzz():
    """The module benchmarks/scoring_fuzz.py, which extracts the matching rules from a wheel."""
    if "scoring_fuzz" not in sys.modules:
        path = Path(__file__).parents[2] / "benchmarks" / "scoring_fuzz.py"
        spec = importlib.util.spec_from_file_location("scoring_fuzz", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules["scoring_fuzz"] = module
        spec.loader.exec_module(module)
    return sys.modules["scoring_fuzz"]


class Evaluator:
    """`evaluate(dataset, family, file, tsv)` of one version: the function of VLMEvalKit's own class.

    What it imports from its own package is the wheel's too (`load`, `dump`, the matching rules, the
    tables); stand-ins are its progress bar, its log and its judge, which is never built.
    """

    def __init__(self, folder: Path, version: str, scratch: Path) -> None:
        self.version = version
        fuzz = load_fuzz()
        self.upstream = fuzz.load_upstream(folder, version)
        if self.upstream is None:
            return
        wheel = next(iter(sorted(folder.rglob(f"ms_vlmeval-{version}-*.whl"))), None)

        def code(name: str) -> str:
            if wheel is not None:
                with zipfile.ZipFile(wheel) as archive:
                    return archive.read(name).decode()
            return (
                next(p for p in sorted(folder.rglob(f"ms_vlmeval-{version}*")) if (p / name).is_file())
                .joinpath(name)
                .read_text("utf-8")
            )

        import numpy as np
        import pandas as pd

        names = {"np": np, "pd": pd, "os": os, "osp": osp, "string": string, "warnings": warnings}
        names |= {"defaultdict": defaultdict, "DEBUG_MESSAGE": "", "build_judge": None, "gpt_key_set": bool}
        for module in ("csv", "json", "pickle", "re", "shutil"):
            names[module] = __import__(module)
        names["logger"] = types.SimpleNamespace(warning=lambda *_: None)
        names["listinstr"] = lambda words, text: any(word in text for word in words)
        names["__name__"] = names["__package__"] = f"vlmevalkit_{version.replace('.', '_')}"
        _define(code(FILE), None, names)
        choices = vars(self.upstream.choices)
        choices |= {"osp": osp, "np": np, "string": string, "re": names["re"], "istype": _is_type}
        choices |= {name: names[name] for name in ("load", "dump", "get_pred_file_format") if name in names}
        choices["d2df"] = lambda record: pd.DataFrame({k: [v] for k, v in record.items()})
        choices["timestr"] = lambda: f"..{scratch}/main"
        choices["track_progress_rich"] = _in_order(names["dump"])
        self._package = {
            names["__package__"]: types.ModuleType(names["__package__"]),
            f"{names['__package__']}.utils": types.ModuleType("utils"),
            f"{names['__package__']}.utils.multiple_choice": self.upstream.choices,
            "validators": types.SimpleNamespace(url=lambda _: False),
        }
        self._methods = {
            family: _define(code(IMAGE_MCQ), cls, dict(names))
            for family, cls in (("", "ImageMCQDataset"), ("cvbench", "CVBench"))
        }

    def evaluate(self, dataset: str, family: str, file: Path, tsv: Path) -> list[dict[str, object]]:
        """The records of the table that VLMEvalKit makes of a prediction file, without a judge."""
        import pandas as pd

        methods = self._methods["cvbench" if family == "cvbench" else ""]
        meta = pd.read_csv(tsv, sep="\t")
        meta["index"] = [int(i) for i in meta["index"]]
        this = types.SimpleNamespace(dataset_name=dataset, data=meta)
        if "report_accuracy" in methods:
            this.report_accuracy = types.MethodType(methods["report_accuracy"], this)
        function = methods.get("evaluate_heuristic") or methods["evaluate"]
        saved = {name: sys.modules.get(name) for name in self._package}
        sys.modules.update(self._package)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of their pandas idioms
                made = function(this, str(file), model="exact_matching", nproc=1)
        finally:
            for name, module in saved.items():
                if module is None:
                    del sys.modules[name]
                else:
                    sys.modules[name] = module
        return [{k: None if v != v else v for k, v in r.items()} for r in made.to_dict("records")]  # NaN


def _define(code: str, cls: str | None, names: dict[str, object]) -> dict[str, object]:
    """The functions of a module, or the methods of one of its classes, defined among `names`."""
    tree = ast.parse(code)
    body = tree.body
    if cls is not None:
        body = next(n for n in body if isinstance(n, ast.ClassDef) and n.name == cls).body
    kept = [n for n in body if isinstance(n, ast.FunctionDef) and not n.decorator_list]
    for node in kept:
        node.returns = None
        for argument in [*node.args.args, *node.args.kwonlyargs]:
            argument.annotation = None
    exec(compile(ast.Module(kept, []), cls or "file", "exec"), names)
    return {node.name: names[node.name] for node in kept}


def _is_type(value: object, kind: type) -> bool:
    import numpy as np

    return isinstance(value, kind) or (kind is int and isinstance(value, np.integer))


def _in_order(dump):
    def track(function, tasks, nproc, chunksize, save, keys):
        del nproc, chunksize
        results = [function(**task) for task in tasks]
        dump(dict(zip(keys, results, strict=True)), save)
        return results

    return track

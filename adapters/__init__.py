"""Model adapters: one file for each model family. Reached by name, through `mmdbench.models`."""

from pathlib import Path

import mmdbench
from mmdbench.errors import MixedInstallationError

# In an installed copy this folder is within the package, in a source tree beside it. An editable install
# maps the name `mmdbench.adapters` to its own tree, also where `mmdbench` comes from another one.
_here, _package = Path(__file__).resolve().parent, Path(mmdbench.__file__).resolve().parent
if _here.parent not in (_package, _package.parent):
    raise MixedInstallationError(_package, _here)

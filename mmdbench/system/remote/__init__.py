"""Places that are reached by a URL through fsspec: `s3://`, `gs://`, `hf://`, `memory://` and others.

The rest of mmdbench works on paths of this machine. Inputs are copied into a cache once; builds and
runs are made in a working copy, whose whole files are uploaded; to read one is to copy it first.
"""

from mmdbench.system.remote.copies import reading_copy, working_copy
from mmdbench.system.remote.inputs import add_from_data_url, data_folder, fetch_file
from mmdbench.system.remote.urls import is_url, plain_url

__all__ = [
    "add_from_data_url",
    "data_folder",
    "fetch_file",
    "is_url",
    "plain_url",
    "reading_copy",
    "working_copy",
]

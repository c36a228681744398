"""Files and folders at a URL, through fsspec: `s3://`, `gs://`, `hf://`, `memory://` and others.

The rest of mmdbench works with paths on this machine. An input is copied to a cache once. A build or
run is written to a local working copy, whose files are uploaded, and is copied here to be read.
"""

from mmdbench.system.remote.copies import is_uploaded, reading_copy, working_copy
from mmdbench.system.remote.inputs import add_from_data_url, data_folder, fetch_file, no_downloads
from mmdbench.system.remote.urls import is_url, plain_url, remote_caches

__all__ = [
    "add_from_data_url",
    "data_folder",
    "fetch_file",
    "is_uploaded",
    "is_url",
    "no_downloads",
    "plain_url",
    "reading_copy",
    "remote_caches",
    "working_copy",
]

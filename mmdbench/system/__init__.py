"""Foundations of all rooms: files, locks, digests, images, child processes, secrets, remote storage.

Nothing here depends on what a benchmark, a model or a run is; each module can be read on its own.
"""

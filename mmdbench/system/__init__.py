"""What touches the machine: files, locks, digests, processes, pictures in files, remote storage."""

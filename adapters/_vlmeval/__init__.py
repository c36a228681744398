"""Parts of the adapter `vlmeval`."""

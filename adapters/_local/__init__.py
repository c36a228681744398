"""Parts that the adapters of local models share: devices, memory and headers of weights files."""

"""Model adapters: one file for each model family. Reached by name, through `mmdbench.models`."""

"""The parts of the adapter `hf`: families as data, settings, files, prompts, batches, answers."""

"""Perceptual quality of the pictures that a model was shown."""

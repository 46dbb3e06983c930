"""Detectors: from a photo's pixels to boxes of animals, people and vehicles, each a function of an image."""

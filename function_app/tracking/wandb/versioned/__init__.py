"""Versioned artifacts in W&B: datasets, models, files, and their uploads."""

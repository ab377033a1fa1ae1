"""Prepare Azure and Weights & Biases for fine-tuning jobs: `python -m provisioning setup`."""

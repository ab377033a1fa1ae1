"""Weights & Biases: users, projects, runs and artifacts, and the protocols of its SDK."""

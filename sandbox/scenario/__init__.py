"""Reads scenarios: YAML descriptions of a tenant, its jobs and its W&B."""

"""Reads scenarios: YAML descriptions of a tenant, its jobs and its W&B."""

from sandbox.scenario.reader import Scenario, read

__all__ = ["Scenario", "read"]

"""Tests of provisioning/: pure functions, the door to Azure, whole commands."""

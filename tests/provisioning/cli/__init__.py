"""Tests of provisioning/cli."""

"""Tests of provisioning/checks."""

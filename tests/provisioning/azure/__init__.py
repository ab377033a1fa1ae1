"""Tests of provisioning/azure."""

"""Tests of provisioning.planning, without any service."""

"""Reads the current state of the tenant into plain data. Writes nothing."""

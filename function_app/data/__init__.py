"""Parses what the services return: results files and datasets. Pure."""

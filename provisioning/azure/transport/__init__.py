"""Requests to Azure: the pipeline, refusals, and what was not found."""

"""Tests of whole executions against the sandbox, in this process."""

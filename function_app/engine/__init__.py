"""Decides which jobs need work and mirrors them. Knows jobs and runs, but no SDK."""

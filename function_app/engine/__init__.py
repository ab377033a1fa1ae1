"""Decide which jobs need work, and mirror them. The engine knows jobs and runs, but no SDK."""

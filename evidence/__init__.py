"""The project's claims, and the commands that prove them.

`python -m evidence crash|faults|canary` runs the real commands in the sandbox: killed at every request, with every kind of
failed request, and searched for secrets. `python -m evidence report` runs every claim and writes docs/evidence.md.
"""

"""Claims of this project with the commands that prove them: `python -m evidence.report` runs them and writes docs/evidence.md.

`python -m evidence.crash` and `python -m evidence.faults` are two of these: what happens when a process is killed, or a
request fails. Both run the real commands as processes of their own in the sandbox, and compare what is there in the end with
what an undisturbed run leaves.
"""

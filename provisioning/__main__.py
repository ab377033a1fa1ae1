"""`python -m provisioning` is the command line in cli.py."""

from .cli import main

main()

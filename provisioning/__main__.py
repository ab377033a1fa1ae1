"""`python -m provisioning` runs the command line in provisioning/cli."""

import sys

try:
    from provisioning.cli.commands import main
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] == __package__:
        raise  # a module of ours is missing: a bug
    sys.exit(
        f"{missing.name} is not installed for this Python ({sys.executable}).\n"
        "In the project's folder and its virtual environment: pip install -c constraints.txt -e '.[provisioning]'"
    )

main()

"""`python -m provisioning` is the command line in cli.py."""

import sys

try:
    from provisioning.cli.commands import main
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] == __package__:
        raise  # ours, so a defect
    sys.exit(
        f"{missing.name} is not installed for this Python ({sys.executable}).\n"
        "In the project's folder and its virtual environment: pip install -c constraints.txt -e '.[provisioning]'"
    )

main()

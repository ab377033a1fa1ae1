"""`python -m sandbox`."""

import sys

try:
    from sandbox.cli import main
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] == __package__:
        raise  # ours, so a defect
    sys.exit(
        f"{missing.name} is not installed for this Python ({sys.executable}).\n"
        "In the project's folder and its virtual environment: pip install -c constraints.txt -e '.[provisioning,sandbox]'"
    )

if __name__ == "__main__":
    main(prog_name="python -m sandbox")

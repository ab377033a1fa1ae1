"""`python -m sandbox`."""

import sys

try:
    from sandbox.cli import run
except KeyboardInterrupt:
    sys.stderr.write("Stopped.\n")
    sys.exit(130)
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] == __package__:
        raise  # one of our own modules is missing, which is a bug
    sys.exit(
        f"{missing.name} is not installed for this Python ({sys.executable}).\n"
        "The sandbox needs the extras `provisioning` and `sandbox`. In a clone, in its virtual environment:\n"
        "pip install -c constraints.txt -e '.[provisioning,sandbox]'"
    )

if __name__ == "__main__":
    run()

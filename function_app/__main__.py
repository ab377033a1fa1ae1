"""The console command `aoai-wandb`, and `python -m function_app`: the engine without Functions."""

import sys

from function_app.startup import importing


def run() -> None:
    """Run the command line and exit. Without the package's dependencies, say how to install them."""
    try:
        with importing():
            from function_app.cli.commands import run as run_commands
    except KeyboardInterrupt:
        sys.stderr.write("error    Interrupted.\nnext     Run the same command again.\n")
        sys.exit(130)
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] == __package__:
            raise  # one of our own modules is missing, which is a bug
        sys.exit(
            f"{missing.name} is not installed for this Python ({sys.executable}).\n"
            "Install the package: pip install azure-openai-wandb\n"
            "In a clone, in its virtual environment: pip install -c constraints.txt -e ."
        )
    run_commands()


if __name__ == "__main__":
    run()

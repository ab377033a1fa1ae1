"""The console command `aoai-wandb-provision`, and `python -m provisioning`: the command line in provisioning/cli."""

import signal
import sys
from typing import NoReturn


def run() -> NoReturn:
    """Run the command line and exit. Without the extra `provisioning`, say how to install it."""
    try:
        from provisioning.cli.commands import main

        _end_as_on_ctrl_c()
        main()  # it imports the SDKs
    except KeyboardInterrupt:  # during the imports; main reports it itself
        sys.stderr.write("error    Interrupted.\nnext     Run the same command again.\n")
        sys.exit(130)
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] == __package__:
            raise  # one of our own modules is missing, which is a bug
        sys.exit(
            f"{missing.name} is not installed for this Python ({sys.executable}).\n"
            "This command needs the extra `provisioning`: pip install 'azure-openai-wandb[provisioning]'\n"
            "In a clone, in its virtual environment: pip install -c constraints.txt -e '.[provisioning]'"
        )


def _end_as_on_ctrl_c() -> None:
    """Treat a closed terminal and `kill` as Ctrl-C, after which setup switches a vault back. `nohup` keeps its meaning."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


if __name__ == "__main__":
    run()

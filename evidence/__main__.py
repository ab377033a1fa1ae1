"""Entry point of `python -m evidence`."""

import sys

if sys.platform != "linux":
    sys.exit(
        "The evidence commands kill processes with everything that these have started, and find those in Linux's /proc.\n"
        "Run them on Linux, in WSL, or in the dev container (.devcontainer)."
    )

from evidence.runner import main

if __name__ == "__main__":
    main()

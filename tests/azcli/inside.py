"""What runs inside the sandbox: it does what it is told, a JSON line for each command, until its input ends."""

import json
import os
import subprocess
import sys


def main() -> None:
    """`{"argv": […], "env": {…}}` comes in, `{"status", "out", "err"}` goes out."""
    for line in sys.stdin:
        told = json.loads(line)
        done = subprocess.run(
            told["argv"], env=os.environ | told["env"], stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        print(json.dumps({"status": done.returncode, "out": done.stdout, "err": done.stderr}), flush=True)  # noqa: T201 - this is the protocol


if __name__ == "__main__":
    main()

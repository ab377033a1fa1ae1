"""A person signs in: starts `az login`, reads the code that it shows, and enters it as one would in a browser."""

import json
import os
import re
import subprocess
import sys
from urllib.request import ProxyHandler, build_opener


def main(az: str, person: str) -> int:
    """The exit status of `az login`; what it printed goes where it printed it."""
    with subprocess.Popen([az, "login", "--use-device-code"], stderr=subprocess.PIPE, text=True) as login:
        assert login.stderr is not None
        for line in login.stderr:
            sys.stderr.write(line)
            if shown := re.search(r"enter the code (\w+)", line):
                enter(shown[1], person)
    return login.returncode


def enter(code: str, person: str) -> None:
    """Approve the sign-in as this principal of the scenario, at the sandbox's loopback address."""
    body = json.dumps({"user_code": code, "principal": person}).encode()
    build_opener(ProxyHandler({})).open(f"{os.environ['SANDBOX_CONTROL']}/device", body).close()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""`python -m evidence.deliver LIBRARY ACCOUNT JOB`: deliver one message to the app in Microsoft's worker library.

Exit status 1 if the function fails, or if its log has a line that an alert reads: a failed job, or a poison message.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from evidence.processes import ROOT
from tests.worker import host


def message_order(function: str, account: str, job: str) -> dict[str, Any]:
    """Return the order to tests/worker/host.py to call a function with a message, as the Functions host sends it."""
    times = ("ExpirationTime", "InsertionTime", "NextVisibleTime")
    metadata = dict.fromkeys(times, "2026-03-02T08:00:00+00:00") | {"Id": "m-1", "DequeueCount": "1", "PopReceipt": "r"}
    data = {"string": json.dumps({"account": account, "job": job})}
    return {"function": function, "parameter": "message", "data": data, "metadata": metadata}


def main(library: str, account: str, job: str) -> int:
    """Deliver the message, and judge what the host would see."""
    with tempfile.TemporaryDirectory() as directory:
        orders, answers = Path(directory, "orders.json"), Path(directory, "answers.json")
        orders.write_text(json.dumps({"invocations": [message_order("sync_job", account, job)]}))
        sys.argv[1:] = [library, str(ROOT), str(orders), str(answers)]
        host.main()
        [invocation] = json.loads(answers.read_text())["invocations"]
    return _judged(invocation)


def _judged(invocation: dict[str, Any]) -> int:
    lines = [line for line in invocation["logs"] if line["logger"].startswith("function_app")]
    for line in lines:
        sys.stdout.write(f"{line['level']} {line['message']}\n")
    [result] = [line["message"].split()[1] for line in lines if line["message"].startswith("message ")]
    good = invocation["ok"] and result in ("result=synced", "result=current")
    return int(not good or any(line["level"] == "ERROR" for line in lines))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(f"Usage: {__doc__.partition(':')[0]}")
    sys.exit(main(*sys.argv[1:]))

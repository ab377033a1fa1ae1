"""What no run on a laptop can show, each with how somebody with a subscription would see it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Unproven:
    """`what` is taken from documentation, recordings or the SDKs' source; `how` would prove it."""

    what: str
    how: str


UNPROVEN: tuple[Unproven, ...] = (
    Unproven(
        "That the services answer as the sandbox does.",
        "It is built from API descriptions, documentation and recorded traffic. With a test resource group: "
        "`python -m provisioning setup` twice, where the second run has nothing to change, then `doctor`, `rotate-key` and "
        "`teardown`.",
    ),
    Unproven(
        "How long roles take to work, and that ten minutes before the switch are enough.",
        "Run `setup` on a vault that others use by access policy, and have one of them read a secret every few seconds.",
    ),
    Unproven(
        "That access policies count again when a vault is switched back.",
        "`python -m provisioning teardown --restore-access-policies`, then read a secret as somebody who has only a policy.",
    ),
    Unproven(
        "That every error reads as modelled.",
        "Some codes and wordings are from public reports (firewall, disabled secret, deleted vault, private endpoint): "
        "bring each about and see that `doctor` names it.",
    ),
    Unproven(
        "That Azure takes the template, also with private networking.",
        "`azd up`, once more with `PRIVATE_NETWORKING=true`, each time followed by `python -m provisioning doctor "
        "--function-app …`.",
    ),
    Unproven(
        "The Functions host: schedule, retries, poison queue, scaling, what it does to a process that is told to go.",
        "Here only Microsoft's worker library runs. Deployed, put `{}` into the queue `finetune-jobs` and wait for the poison "
        "alert; stop the app for an hour and see that the next tick catches up.",
    ),
    Unproven(
        "That alerts and workbook find their lines in Application Insights.",
        "Run each query of [observability.md](observability.md) there, and take the secret away until an alert comes.",
    ),
    Unproven(
        "That the portal's own integration is content with what `setup` leaves.",
        "Paste what `setup` prints into *Manage integrations* of the Foundry (classic) portal and start a job that opts in.",
    ),
    Unproven(
        "When W&B calls a silent run crashed, and that the next tick takes it back.",
        "Said to be about five minutes. Let a job train with `SYNC_SCHEDULE` at two and at ten minutes, and look at its "
        "run's state.",
    ),
    Unproven(
        "W&B's server: resume, rows below the last step, ids of deleted runs, filters of several parts, view-only seats.",
        "`python -m function_app sync --job ID` into a project of your own, killed half-way and run again: every step of the "
        "results file once. Delete the run: the next sync says so.",
    ),
    Unproven(
        "Speed on a real network, and W&B's rate limits.",
        "Figures here are of 50 ms a request. Sync fifty finished jobs with `-v` into an empty project and read the log's "
        "`seconds`.",
    ),
    Unproven(
        "Azure OpenAI's events, results files and job bodies beyond what was recorded.",
        "Columns of DPO and reinforcement, pausing, regions and training types of the v1 surface: train one small job of each "
        "method, with `SYNC_SCHEDULE` every minute, and compare its run with the portal's charts.",
    ),
    Unproven(
        "That `check` refuses what Azure refuses, and that Azure takes every parameter that `submit` sends.",
        "Some of both is OpenAI's description. `python -m function_app submit --unchecked` with a file that `check` refuses, and "
        "one that it lets through; with each method, a grader, and a training type.",
    ),
    Unproven(
        "Azure Government and Azure China.",
        "Host names are read from resources where they can be; sign in there and run `python -m provisioning plan`.",
    ),
    Unproven(
        "That people who did not save the dashboard find it by its name.",
        "`python -m function_app dashboard`, then ask a colleague to open the project.",
    ),
    Unproven(
        "The bill.", "[cost.md](cost.md) reckons with list prices; look at the resource group's costs after a month."
    ),
    Unproven("The sandbox on macOS and Windows.", "That takes no subscription: `python -m sandbox demo` there."),
)

"""The table of what `prove` does: each step with what it shows, how long it takes, what it costs and what it needs.

`evidence` is the beginning of an item of "Not proven without a real subscription" in docs/evidence.md; a test compares the two.
"""

from collections.abc import Callable
from dataclasses import dataclass

from provisioning.cli.proof import actions
from provisioning.cli.proof.actions import Measured
from provisioning.cli.proof.trial import Trial

NOTHING = "nothing"


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        minutes: how long it takes, about.
        needs: what has to be there besides the sign-in and the W&B key.
        after: the step without whose success this one is not tried.
        run: does it unattended; None if only the operator can.
    """

    name: str
    evidence: str
    run: Callable[[Trial], Measured] | None = None
    minutes: int = 1
    cost: str = NOTHING
    needs: str = ""
    after: str = "account"


_JOB = "the training of a small job"
_ANSWERS = "That the services answer as modelled."
_ROLES = "How long roles take to work, and that ten minutes before the switch are enough."
_BACK = "That access policies work again when a vault is switched back."
_ERRORS = "That every error looks as modelled."

UNATTENDED = (
    Step("account", _ANSWERS, actions.create, 2, after=""),
    Step("role", _ROLES, actions.role_takes_effect, 10),
    Step("setup twice", _ANSWERS, actions.setup_twice, 5),
    Step("doctor", _ANSWERS, actions.doctor_agrees, after="setup twice"),
    Step("sync", _ANSWERS, actions.sync, needs="the extra for the command line", after="setup twice"),
    Step("rotate-key", _ANSWERS, actions.rotate, needs="a second W&B key", after="setup twice"),
    Step("firewall of the vault", _ERRORS, actions.firewall, 3, after="setup twice"),
    Step("disabled secret", _ERRORS, actions.disabled_secret, after="setup twice"),
    Step("key that W&B refuses", _ERRORS, actions.refused_key, after="setup twice"),
    Step("deleted vault", _ERRORS, actions.deleted_vault, 4, after="setup twice"),
    Step(
        "template",
        "That Azure accepts the template, also with private networking.",
        actions.template,
        8,
        "below $1 for an hour",
        "the Azure CLI with Bicep, and infra/ in the current folder",
        after="setup twice",
    ),
    Step("teardown twice", _ANSWERS, actions.remove_twice, 2, after="setup twice"),
    Step("switch", _ROLES, actions.switch, 15),
    Step("switch back", _BACK, actions.switch_back, 3, after="switch"),
)
"""The steps that run unattended, in this order."""


BY_HAND = tuple(
    Step(evidence, evidence, None, cost=cost)
    for evidence, cost in (
        ("The template in a landing zone.", "about $0.10 an hour with private networking"),
        ("The code's deployment by the template (`onedeploy`).", NOTHING),
        ("That an update keeps the app settings of others.", NOTHING),
        ("That the custom roles in infra/roles are enough.", NOTHING),
        ("That Azure Resource Manager lists the field `packageVersion` of a binding.", NOTHING),
        ("What `preflight` may read with a role on the resource group alone, and how policies answer it.", NOTHING),
        ("The pipelines, and `func start`.", NOTHING),
        ("The Functions host: scaling, and how it stops a process.", NOTHING),
        ("That alerts and workbook find their lines in Application Insights.", "$9 a month, for the alert rules"),
        ("That the portal's integration works after `setup`.", _JOB),
        ("When W&B marks a silent run as crashed, and that the next tick corrects it.", _JOB),
        (
            "W&B's server: resume, rows below the last step, ids of deleted runs, filters of several parts, view-only seats.",
            NOTHING,
        ),
        ("Speed on a real network, and W&B's rate limits.", NOTHING),
        ("Azure OpenAI's events, results files and job bodies beyond what was recorded.", _JOB),
        ("That `check` refuses what Azure refuses, and that Azure accepts every parameter that `submit` sends.", _JOB),
        ("Azure Government and Azure China.", NOTHING),
        ("That people who did not save the dashboard find it by its name.", NOTHING),
        ("Who receives an alert of a service account, and what `success: false` in W&B's answer means.", _JOB),
        ("The bill.", NOTHING),
        ("The demo on macOS and Windows.", NOTHING),
    )
)
"""The steps that the operator tries by hand, as docs/evidence.md describes; `prove` asks for the results."""

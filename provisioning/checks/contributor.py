"""doctor's check of people who start fine-tuning jobs: the role that `submit` and the portal require of them."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from provisioning import shell
from provisioning.checks import access
from provisioning.checks.chain import Chain
from provisioning.checks.report import Finding, known, readable
from provisioning.errors import ProvisioningError
from provisioning.planning.access.contributors import ROLE


def checks(object_ids: Iterable[str]) -> Mapping[str, Callable[[Chain], Finding]]:
    """Return a check for each principal, by name."""
    return {f"contributor …{each[-4:]}": partial(contributor, each) for each in dict.fromkeys(object_ids)}


def contributor(object_id: str, chain: Chain) -> Finding:
    """The principal may upload files and start fine-tuning jobs."""
    account = known(chain.account, "the account")
    held = readable(lambda: access.to_submit(chain.azure, account, object_id))
    lacking = f"{object_id} may not start fine-tuning jobs in {account.name}"
    return held.finding(
        chain.clock.now(), lacking, shell.assign_role(object_id, _kind(chain, object_id), ROLE, account.id)
    )


def _kind(chain: Chain, object_id: str) -> str:
    """The principal's kind, which the command needs; a user's if the directory does not answer."""
    try:
        found = chain.azure.principals([object_id]).get(object_id.lower())
    except ProvisioningError:
        return "User"
    return (found.kind if found else None) or "User"

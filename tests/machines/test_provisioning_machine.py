"""After any mix of portal edits and commands, finished or not, and then setup, a plan is empty and nobody has lost access."""

import contextlib
import io
import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from azure.keyvault.secrets._shared import http_challenge_cache
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from evidence.refusals import troubles
from provisioning.cli import rotation, setup, teardown
from provisioning.cli.session import Session
from provisioning.errors import ProvisioningError
from provisioning.models import SECRETS_USER, Scope
from provisioning.planning.ownership import entries
from provisioning.planning.steps import Plan, Step
from sandbox.runtime.faults import Fault, Faults
from sandbox.scenario.events import EventScript
from sandbox.scenario.reader import Scenario, read
from tests.provisioning.bench import GOOD_KEY, Bench, Listener, VirtualClock

from .access import SECRET, Access, Right, comparable, ours, repeated, wrote
from .portal import PERMISSIONS, Portal
from .profiles import how

OTHER_KEY = "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c00009"
KEYS = (GOOD_KEY, OTHER_KEY)
WAIT = 600.0
"""Seconds that setup waits for roles before the switch: longer than any of them takes here."""

OPERATIONS = {
    "arm": """Subscriptions_List Accounts_Get Accounts_Update Vaults_Get Vaults_Update Vaults_UpdateAccessPolicy
        RoleAssignments_ListForScope RoleAssignments_Create RoleAssignments_Delete RoleDefinitions_Get
        Permissions_ListForResourceGroup""",
    "graph": "DirectoryObjects_GetByIds",
    "keyvault": "GetSecret SetSecret UpdateSecret DeleteSecret RecoverDeletedSecret GetSecretVersions",
}
SERVICES = {operation: service for service, names in OPERATIONS.items() for operation in names.split()}
_DEAR = ("429 s", "stall", "hang")
"""What takes seconds of real time."""

OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "accept_loss": st.just(True),
        "by_access_policy": st.just(True),
        "identity_role": st.just(SECRETS_USER),
        "identity_scope": st.just(Scope.SECRET),
        "readers": st.just(("function-app",)),
    },
)
LATE = {"vault": "kv-ml", "principal": "function-app", "secrets": ["get"]}
FREEZE = {"name": "freeze", "scope": "rg-ml", "level": "ReadOnly"}
ONLY_RBAC = {"name": "rbac-only", "definition": "Azure Key Vault should use RBAC permission model", "effect": "deny"}
TAGGED = {"name": "tags-owners", "effect": "modify", "type": "Microsoft.KeyVault/vaults", "set": {"tags.by": "policy"}}
ACTIONS: dict[str, dict[str, Any]] = {
    "an access policy": {"add_access_policy": LATE},
    "a tag": {"change_vault": {"vault": "kv-ml", "tags": {"owner": "finance"}}},
    "an identity": {"change_account": {"account": "aoai-ml", "attach": ["shared"]}},
    "a version": {"write_secret": {"vault": "kv-ml", "name": SECRET, "value": "somebody else's"}},
    "a lock": {"add_lock": FREEZE},
    "a policy": {"assign_policy": ONLY_RBAC},
    "a policy that changes what is written": {"assign_policy": TAGGED},
}
"""What others may do between any two requests of a command."""
VAULTS = st.sampled_from(("", "create_vault", "recover_vault"))


class ProvisioningMachine(Portal):
    """One account, one vault, people who edit both, and commands that are run, refused and interrupted."""

    @initialize(
        rbac=st.sampled_from((None, False, True)),
        policies=st.lists(
            st.tuples(st.sampled_from(("dana", "billing-api", "reports-job", "ml-team")), st.sampled_from(PERMISSIONS)),
            min_size=1,
            max_size=3,
            unique_by=lambda each: each[0],
        ),
        propagation=st.sampled_from((0, 90, 590)),
    )
    def a_new_world(
        self, rbac: bool | None, policies: list[tuple[str, dict[str, list[str]]]], propagation: int
    ) -> None:
        team = {"name": "ml-team", "kind": "group", "members": ["dana", "reports-job"]}
        stored = [{"principal": who, **given} for who, given in policies]
        vault = {"name": "kv-ml", "group": "rg-ml", "rbac": rbac, "policies": stored}
        world = {
            "extends": "contoso",
            "principals": [*read("contoso")["principals"], team],
            "vaults": [vault],
            "assignments": [{"principal": "operator", "role": "Owner"}],
            "transitions": {"rbac_propagation": propagation},
        }
        self.bench.cloud.load(Scenario.parse(world))
        http_challenge_cache.clear()
        self.operator = self._who("operator")

    # --- running a command ------------------------------------------------------------------------------------------------

    def _session(self, key: str, options: dict[str, Any]) -> Session:
        named = tuple(self._who(each) for each in options.get("readers", ()))
        self.bench.key, self.bench.ui = key, Listener()
        self.bench.clock = VirtualClock(self.bench.cloud)
        return self.bench.session(**{**options, "readers": named}, propagation_wait=timedelta(seconds=WAIT))

    def _run(self, session: Session, do: Callable[[Session], object]) -> ProvisioningError | None:
        """Run the command; return its error, if any. Its output never contains a key, and no version is written twice."""
        output, log = io.StringIO(), logging.StreamHandler(io.StringIO())
        refused: ProvisioningError | None = None
        users = set(self.account.user_identities)
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output), _logged_to(log):
            try:
                do(session)
            except ProvisioningError as error:
                refused = error
        assert refused is None or refused.hint
        whole = f"{output.getvalue()}{log.stream.getvalue()}{session.facts}{refused!r}{refused and refused.hint}"
        assert [key for key in KEYS if key in whole] == [], "the key is in the output"
        for vault in self.tenant.vaults.values():
            if SECRET in vault.secrets:
                assert repeated(vault.secrets[SECRET].versions) == [], "written twice"
        assert set(self.account.user_identities) >= users, "a user-assigned identity is lost"
        assert self.bench.cloud.world.unmodelled == []
        return refused

    def _set_up(self, key: str, options: dict[str, Any], stop_after: int | None = None) -> ProvisioningError | None:
        """setup; and that meanwhile and afterwards nobody has lost access, however it ended."""
        session = self._session(key, options)
        had = Access(self.tenant).now()

        def look(step: Step | None = None) -> None:
            lost = self._lost(session, had, Access(self.tenant).now())
            assert [each for each in lost if each[0] != self.operator] == [], "lost on the way"
            if step and stop_after is not None and len(self.bench.ui.steps) > stop_after:
                raise KeyboardInterrupt

        self.bench.ui.after, self.bench.clock.before = look, look
        refused = self._run(session, lambda session: setup.setup(session, yes=True, interactive=False))
        self.bench.ui.after, self.bench.clock.before = lambda step: None, lambda: None
        look()
        # The operator's own role may not work yet if setup was stopped at the switch.
        later = WAIT if refused else 0.0
        assert self._lost(session, had, Access(self.tenant).now(later)) == set(), "lost in the end"
        return refused

    def _lost(self, session: Session, had: frozenset[Right], have: frozenset[Right]) -> set[Right]:
        """Rights that are gone, except those whose loss was accepted."""
        accepted = (
            {each["object_id"] for each in session.facts.get("losses", ())} if session.target.accept_loss else set()
        )
        groups = self.tenant.rbac.groups
        return {each for each in had - have if not accepted & {each[0], *groups.get(each[0], ())}}

    def _in_place(self, key: str, options: dict[str, Any]) -> None:
        """After a setup that ended well: everything is there, and there is nothing left to do."""
        options = {name: value for name, value in options.items() if name not in ("create_vault", "recover_vault")}
        writes = self.bench.cloud.writes
        for look in (setup.plan, setup.status):
            made: list[Plan] = []
            assert self._run(self._session(key, options), partial(_note, look, made)) is None
            assert made[0].work == (), f"after setup {look.__name__} shows: {made[0].left}"
        assert self._set_up(key, options) is None
        assert self.bench.cloud.writes == writes, "an idle setup wrote"
        assert self.vault
        current = self.vault.secrets[SECRET].versions[-1]
        assert (current.value, current.enabled, self.vault.secrets[SECRET].deleted) == (key, True, None)
        who = [self.account.system_identity, self.operator, *map(self._who, options.get("readers", ()))]
        have = Access(self.tenant).now(WAIT)
        place = f"/secrets/{SECRET}"
        assert [each for each in who if each and (each, place, "secrets", "get") not in have] == []
        assert self.account.system_identity

    # --- commands ---------------------------------------------------------------------------------------------------------

    @rule(key=st.sampled_from(KEYS), options=OPTIONS, vault=VAULTS)
    def setup_is_run(self, key: str, options: dict[str, Any], vault: str) -> None:
        options = options | ({vault: True} if vault else {})
        if self._set_up(key, options) is None:
            self._in_place(key, options)

    @rule(key=st.sampled_from(KEYS), options=OPTIONS, vault=VAULTS, steps=st.integers(0, 6))
    def setup_is_interrupted(self, key: str, options: dict[str, Any], vault: str, steps: int) -> None:
        options = options | ({vault: True} if vault else {})
        refused = self._set_up(key, options, stop_after=steps)
        if refused is None:
            self._in_place(key, options)

    @rule(
        data=st.data(),
        operation=st.sampled_from(sorted(SERVICES)),
        nth=st.integers(1, 5),
        command=st.sampled_from(("setup", "setup", "setup", "rotate", "teardown")),
        options=OPTIONS,
    )
    def a_command_meets_trouble(
        self, data: st.DataObject, operation: str, nth: int, command: str, options: dict[str, Any]
    ) -> None:
        known = [each for each in troubles(SERVICES[operation], operation) if each.column not in _DEAR]
        do = data.draw(st.sampled_from(known)).do
        world = self.bench.cloud.world
        world.faults = Faults([Fault.model_validate({"op": operation, "when": {"nth": [nth]}, "do": do})])
        if command == "setup":
            self._set_up(GOOD_KEY, options)
        else:
            self._run(self._session(OTHER_KEY, options), _rotate if command == "rotate" else _tear_down)
        world.faults = Faults()

    @rule(
        moment=st.sampled_from(("before", "after")),
        nth=st.integers(1, 30),
        what=st.sampled_from(sorted(ACTIONS)),
        options=OPTIONS,
    )
    def setup_is_run_while_somebody_acts(self, moment: str, nth: int, what: str, options: dict[str, Any]) -> None:
        """Between any two requests. An access policy that is added before the switch keeps its access however setup ends."""
        world, models = self.bench.cloud.world, list[bool]()
        script = EventScript.model_validate({moment: "*", "nth": nth, "do": [ACTIONS[what]]})
        event = world.schedule(script)

        def act() -> None:
            models.append(bool(self.vault and not self.vault.rbac))
            script.apply(world.builder)

        event.act = act
        self._set_up(GOOD_KEY, options)
        world.events.events.remove(event)
        if what == "an access policy" and models == [True]:
            right = (self._who("function-app"), "", "secrets", "get")
            assert right in Access(self.tenant).now(WAIT), "access that was given during setup is lost"
        self.tenant.locks, self.tenant.policies = [], []

    @rule(key=st.sampled_from(KEYS))
    def the_key_is_rotated(self, key: str) -> None:
        had = Access(self.tenant).now()
        if self._run(self._session(key, {}), _rotate) is None:
            assert self.vault
            versions = self.vault.secrets[SECRET].versions
            assert [each.value for each in versions if each.enabled and wrote(each)] == [key]
            assert versions[-1].value == key
            writes = self.bench.cloud.writes
            assert self._run(self._session(key, {}), _rotate) is None
            assert self.bench.cloud.writes == writes, "an idle rotate-key wrote"
        assert had <= Access(self.tenant).now()

    @rule(restore=st.booleans(), options=OPTIONS)
    def it_is_torn_down(self, restore: bool, options: dict[str, Any]) -> None:
        """What people have given and written stays."""
        theirs, rights = self._theirs(), Access(self.tenant, people_only=True).now()
        session = self._session(GOOD_KEY, options)

        def do(session: Session) -> None:
            teardown.teardown(session, restore=restore, yes=True, interactive=False)

        if self._run(session, do) is None:
            writes = self.bench.cloud.writes
            assert self._run(self._session(GOOD_KEY, options), do) is None
            assert self.bench.cloud.writes == writes, "an idle teardown wrote"
        assert self._theirs() == theirs
        lost = self._lost(session, rights, Access(self.tenant).now())
        secret = self.vault.secrets.get(SECRET) if self.vault else None
        if secret is None or secret.deleted is not None:  # a role on what is gone gives nothing
            lost = {each for each in lost if each[1] != f"/secrets/{SECRET}"}
        assert lost == set()

    def _theirs(self) -> tuple[object, ...]:
        """What is people's: assignments, access policies, versions of the secret."""
        vault = self.vault
        assignments = sorted(each.name for each in self.tenant.rbac.assignments.values() if not ours(each))
        if vault is None:
            return (assignments,)
        noted = getattr(self, "_noted", frozenset[str]()) | frozenset(entries(vault.tags))
        self._noted = noted
        policies = comparable(each for each in vault.policies if each.object_id.lower() not in noted)
        secret = vault.secrets.get(SECRET)
        versions = [(each.version, each.enabled) for each in (secret.versions if secret else []) if not wrote(each)]
        return assignments, policies, versions, bool(versions) and secret is not None and secret.deleted is None

    def teardown(self) -> None:
        """At the end, one command puts everything in place, from any state."""
        if found := self.tenant.vaults.get("kv-ml"):
            found.firewall = False
        way = "create_vault" if found is None else "recover_vault"
        options: dict[str, Any] = {way: True, "accept_loss": True}
        refused = self._set_up(GOOD_KEY, options)
        if refused is not None:
            assert refused.code == "conditional-role", f"{refused.code}: {refused} {refused.hint}"
            return
        self._in_place(GOOD_KEY, {"accept_loss": True})


def _note(look: Callable[[Session], Plan], made: list[Plan], session: Session) -> None:
    made.append(look(session))


def _rotate(session: Session) -> None:
    rotation.rotate(session, yes=True, interactive=False)


def _tear_down(session: Session) -> None:
    teardown.teardown(session, restore=False, yes=True, interactive=False)


@contextlib.contextmanager
def _logged_to(handler: logging.Handler) -> Iterator[None]:
    """Everything that is logged, at the most talkative level."""
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.setLevel(before)
        root.removeHandler(handler)


@pytest.mark.timeout(0)  # the deep profile takes its time
@pytest.mark.usefixtures("part")
def test_after_setup_a_plan_is_empty_and_nobody_has_lost_access(bench: Bench) -> None:
    """No version is written twice, no output has the key, and teardown keeps what people gave."""
    machine = partial(ProvisioningMachine, bench)
    run_state_machine_as_test(machine, settings=how(examples=6, steps=14))  # type: ignore[arg-type]  # it is only called

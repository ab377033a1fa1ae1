"""Going along the chain: every check says how its link is, and a refusal in one is its finding and nobody else's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from provisioning.checks.diagnosis import Check, State
from provisioning.errors import MissingRightsError, ProvisioningError


@dataclass
class Walk:
    """Collects checks and tells each as soon as it is known."""

    tell: Callable[[Check], None]
    checks: list[Check] = field(default_factory=list)

    def ok(self, name: str, seen: str) -> None:
        """The link holds."""
        self._add(name, State.OK, seen)

    def warn(self, name: str, seen: str, remedy: str) -> None:
        """It holds, and somebody should look at it."""
        self._add(name, State.WARNING, seen, remedy)

    def fail(self, name: str, seen: str, remedy: str) -> None:
        """It is broken."""
        self._add(name, State.FAILED, seen, remedy)

    def skip(self, because: str, *names: str, remedy: str = "") -> None:
        """Nothing can be said of these."""
        for name in names:
            self._add(name, State.SKIPPED, f"because {because}", remedy)

    def _add(self, name: str, state: State, seen: str, remedy: str = "") -> None:
        check = Check(name, state, seen, remedy)
        self.checks.append(check)
        self.tell(check)

    @contextmanager
    def checking(self, name: str, *, hidden: bool = False) -> Iterator[None]:
        """What is refused in here is what this check has found, and the walk goes on.

        With `hidden`, the caller may lack the right to look, which is no finding about the link itself.
        """
        try:
            yield
        except ProvisioningError as error:
            if hidden and isinstance(error, MissingRightsError):
                self.skip(f"you may not look: {error.message}", name, remedy=error.hint)
            else:
                self.fail(name, error.message, error.hint)

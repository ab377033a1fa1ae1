"""Keep the list of accounts up to date: those that the settings name, and those in the subscriptions that they name."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from function_app.azure.accounts import SeveralAddresses, merged
from function_app.azure.openai import Account
from function_app.azure.subscriptions import FoundAccount, Subscriptions
from function_app.data.addresses import Endpoint, Scope
from function_app.errors import AccessError, AccountError

log = logging.getLogger(__name__)

EVERY = 3600.0
"""Seconds between two searches. New accounts appear within this time."""
_RETRY = 600.0
"""Seconds until a search that failed is repeated."""
_AGAIN = 60.0
"""Seconds after which an unknown account is searched for: another instance of the app may have found it."""
_ROLE = "Assign its identity 'Cognitive Services OpenAI User' at that scope, or correct AZURE_OPENAI_ENDPOINTS."


@dataclass
class _Known:
    """A discovered account. `missed` is True after one search that did not find it."""

    found: FoundAccount
    account: Account
    missed: bool = False


@dataclass
class AccountFinder:
    """The accounts to mirror. Discovered accounts that vanish are kept until a second search does not find them either.

    Attributes:
        named: the addresses in the settings.
        keys: the `Endpoint.account` of each of them, so an account that is also discovered counts once.
        scopes: where to search.
        subscriptions: lists the accounts of a scope.
        open_account: builds the client of a discovered account.
        clock: monotonic seconds.
    """

    named: Sequence[Account]
    keys: frozenset[str]
    scopes: Sequence[Scope]
    subscriptions: Subscriptions
    open_account: Callable[[Endpoint], Account]
    clock: Callable[[], float] = time.monotonic
    _known: dict[Scope, dict[str, _Known]] = field(default_factory=dict)
    _failures: dict[Scope, AccountError] = field(default_factory=dict)
    _opened: list[Account] = field(default_factory=list)
    _searched_at: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def accounts(self, name: str = "") -> list[Account | SeveralAddresses]:
        """Return all accounts. Search if the last search is an hour old, or if no account with this `name` is known."""
        with self._lock:
            if self._due(name):
                self._search()
            return merged([*self.named, *self.discovered])

    @property
    def discovered(self) -> list[Account]:
        """The accounts that the last search found and the settings do not name."""
        by_key = {key: known.account for found in self._known.values() for key, known in found.items()}
        names = {account.name for account in self.named}
        return [account for account in by_key.values() if account.name not in names]

    @property
    def failures(self) -> dict[str, AccountError]:
        """The scopes whose last search failed. The accounts that an earlier search found there are kept."""
        return {scope.text: error for scope, error in self._failures.items()}

    def close(self) -> None:
        """Close the connections."""
        for account in self._opened:
            account.close()
        self.subscriptions.close()

    def _due(self, name: str) -> bool:
        if self._searched_at is None:
            return True
        age = self.clock() - self._searched_at
        known = {account.name for account in (*self.named, *self.discovered)}
        return (
            age > EVERY
            or (bool(self._failures) and age > _RETRY)
            or (bool(name) and name not in known and age > _AGAIN)
        )

    def _search(self) -> None:
        self._searched_at = self.clock()
        self._failures = {}
        for scope in self.scopes:
            try:
                found = self.subscriptions.accounts(scope)
                if not found and not self._known.get(scope):
                    raise AccessError(f"This identity sees no Azure OpenAI account in {scope.text}.", _ROLE)
            except AccountError as error:
                self._failures[scope] = error
            else:
                self._update(self._known.setdefault(scope, {}), found)

    def _update(self, known: dict[str, _Known], found: Sequence[FoundAccount]) -> None:
        seen = {each.id.lower() for each in found}
        for each in found:
            if each.problem:
                log.warning("account needs attention account=%s reason=%s", each.name, each.problem)
            if each.endpoint and each.endpoint.account not in self.keys:
                self._add(known, each, each.endpoint)
        for key, kept in list(known.items()):
            if kept.found.id.lower() in seen:
                kept.missed = False
            elif not kept.missed:
                kept.missed = True
            else:
                del known[key]
                log.warning("account vanished account=%s reason=%s", kept.account.name, self._why_gone(kept.found))

    def _add(self, known: dict[str, _Known], found: FoundAccount, endpoint: Endpoint) -> None:
        before = known.get(endpoint.account)
        if before and before.found.id.lower() == found.id.lower():
            return
        account = self.open_account(endpoint)
        self._opened.append(account)
        known[endpoint.account] = _Known(found, account)
        log.info("account discovered account=%s id=%s", account.name, found.id)

    def _why_gone(self, found: FoundAccount) -> str:
        try:
            return "Azure no longer lists it" if self.subscriptions.exists(found) else "it was deleted"
        except AccessError:
            return "this identity may no longer see it"
        except AccountError as error:
            return error.message

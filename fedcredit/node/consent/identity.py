"""Who gives a consent, as the login of the region says; and how such a login is plugged in.

An authenticator is an object with `login(account, secret)`. The local one keeps a file of accounts. Another one comes
as an installed package that names a function in the entry point group `fedcredit.authenticators`; the function is
called once with the folder of the platform and its clock, and reads its own configuration there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Protocol, cast

from fedcredit.errors import ConfigError, Problem, RefusedError
from fedcredit.governance.consent.claims import ConsentBy
from fedcredit.governance.consent.subjects import is_person_number, is_sole_proprietor
from fedcredit.node.consent.accounts import LocalAccounts
from fedcredit.runtime.clock import Clock
from fedcredit.runtime.config import PartyFile

__all__ = ["GROUP", "Authenticator", "Identity", "authenticator_of", "check_login"]

GROUP = "fedcredit.authenticators"
"""The entry points of installed authenticators."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who has proved who he is. `kind`: an enterprise's representative, or a person for himself.

    `subjects` are the enterprises that he represents, or his own number and his own business.
    """

    account: str = field(repr=False)
    kind: ConsentBy
    subjects: frozenset[str] = field(repr=False)

    def check_speaks_for(self, subject: str) -> None:
        """Raises: RefusedError (CONSENT_REPRESENTATIVE; CONSENT_PERSON, CONSENT_ENTERPRISE: another kind's word)."""
        if subject not in self.subjects:
            problem = Problem(
                "CONSENT_REPRESENTATIVE", "login", "does not represent this subject", "log in as who does"
            )
            raise RefusedError(problem)
        personal = is_sole_proprietor(subject) or is_person_number(subject)
        if personal and self.kind is not ConsentBy.PERSON:
            what = "gives an enterprise's consent, and this takes the person's own"
            raise RefusedError(Problem("CONSENT_PERSON", "login", what, "log in as the person"))
        if not personal and self.kind is not ConsentBy.ENTERPRISE:
            what = "gives a person's consent, and this takes the enterprise's"
            raise RefusedError(Problem("CONSENT_ENTERPRISE", "login", what, "log in as its representative"))


class Authenticator(Protocol):
    """A login. Called from threads, several at a time."""

    def login(self, account: str, secret: str) -> Identity:
        """Who it is. Raises: RefusedError (LOGIN_REFUSED), one and the same for every reason."""


Make = Callable[[Path, Clock], Authenticator]


def authenticator_of(config: PartyFile, clock: Clock) -> Authenticator:
    """The login that the platform's configuration names. Raises: ConfigError (AUTHENTICATOR)."""
    name = config.consent.authenticator
    if name == "local":
        return _Local(LocalAccounts(config.path(config.consent.accounts), clock))
    found = [entry for entry in metadata.entry_points(group=GROUP) if entry.name == name]
    if len(found) != 1:
        what = f"{name!r} is no installed authenticator"
        raise ConfigError(
            Problem("AUTHENTICATOR", "consent.authenticator", what, f'"local", or install one of {GROUP}')
        )
    try:
        return cast(Make, found[0].load())(config.folder, clock)
    except Exception as error:
        what = f"{name!r} does not start: {type(error).__name__}"
        raise ConfigError(Problem("AUTHENTICATOR", "consent.authenticator", what)) from error


def check_login(config: PartyFile, clock: Clock) -> None:
    """See that somebody can log in at the platform of `config`. Raises: ConfigError (AUTHENTICATOR, ACCOUNTS_*)."""
    authenticator = authenticator_of(config, clock)
    if isinstance(authenticator, _Local):
        authenticator.accounts.check()


class _Local:
    def __init__(self, accounts: LocalAccounts) -> None:
        self.accounts = accounts

    def login(self, account: str, secret: str) -> Identity:
        """See `Authenticator.login`."""
        kind, subjects = self.accounts.login(account, secret)
        return Identity(account, ConsentBy(kind), frozenset(subjects))

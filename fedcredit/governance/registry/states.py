"""Which version of a model counts: the states of a version, the roles under a name, and what may follow what. Pure.

A name has at most one champion, whose scores count, and one challenger, which is scored beside it. A version that all
parties approve can be made either; the champion before stays as what to go back to. Every decision is the same when it
is asked for again, so that whoever had no answer may ask once more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from fedcredit.errors import Problem, RefusedError
from fedcredit.governance.registry.documents import Manifest, Word

__all__ = ["MAX_PAST", "Change", "Decision", "Role", "Roles", "State", "decide", "role_of", "state_of", "takes_word"]

MAX_PAST: Final = 32
"""Former champions that a name can go back to."""


class State(StrEnum):
    """Where a version stands. RETIRED is final."""

    PUBLISHED = "published"  # waits for parties that have said nothing
    APPROVED = "approved"  # all parties let their part be scored with
    WITHDRAWN = "withdrawn"  # a party does not, or not any more
    RETIRED = "retired"


class Role(StrEnum):
    """What a version is for under its name."""

    NONE = ""
    CHAMPION = "champion"
    CHALLENGER = "challenger"


class Change(StrEnum):
    """What can be asked of a name at the platform."""

    ACTIVATE = "activate"
    CHALLENGE = "challenge"
    ROLLBACK = "rollback"
    RETIRE = "retire"


@dataclass(frozen=True, slots=True)
class Roles:
    """The versions that count under a name. `past`: former champions, the last one last. `left`: the version that the
    last rollback took down, so that the same call again is known."""

    champion: int | None = None
    challenger: int | None = None
    past: tuple[int, ...] = ()
    left: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a change: the roles after it; `changed`: they, or the version, are not as before.

    `reasons`: why it is refused; empty when it is not.
    """

    roles: Roles
    changed: bool
    reasons: tuple[Problem, ...] = ()

    def check(self) -> None:
        """Raises: RefusedError (MODEL_STATE, MODEL_UNKNOWN) with every reason."""
        if self.reasons:
            raise RefusedError(self.reasons)


def state_of(manifest: Manifest, *, retired: bool) -> State:
    """Where a version stands."""
    if retired:
        return State.RETIRED
    if manifest.withdrawn:
        return State.WITHDRAWN
    return State.PUBLISHED if manifest.missing else State.APPROVED


def role_of(roles: Roles, version: int) -> Role:
    """What a version is for."""
    if version == roles.champion:
        return Role.CHAMPION
    return Role.CHALLENGER if version == roles.challenger else Role.NONE


def takes_word(kept: Word | None, stated: bytes | None, said: Word) -> bool:
    """Whether `said` counts beside the party's last word `kept`; False where it is that one again, or an older one.

    `stated`: the part that the party has named first. Raises: RefusedError (WORD_CONFLICT): two words under one number,
    or MODEL_PART_DIFFERS: another part. What all have approved stays what it was; a new part is a new version.
    """
    if said.part is not None and stated is not None and said.part != stated:
        what = f"is {said.part.hex()} now, and was {stated.hex()} when the party first named it"
        fix = "publish a new version of the model"
        raise RefusedError(Problem("MODEL_PART_DIFFERS", f"part of {said.party}", what, fix))
    if kept is None or said.number > kept.number:
        return True
    if said.number == kept.number and said != kept:
        what = f"has two words under number {said.number} on {said.name} {said.version}"
        raise RefusedError(Problem("WORD_CONFLICT", said.party, what, "approve or withdraw it anew"))
    return False


def decide(change: Change, name: str, version: int, roles: Roles, states: Mapping[int, State]) -> Decision:
    """What becomes of `change` to `version` of `name`; `states` are those of all its versions.

    For a rollback `version` is the champion that the caller wants to leave.
    """
    where = f"{name} {version}"
    if version not in states:
        fix = "see `fedcredit model list`"
        return Decision(roles, False, (Problem("MODEL_UNKNOWN", where, "is not known here", fix),))
    if change is Change.RETIRE:
        return _retire(version, roles, states)
    if change is Change.ROLLBACK:
        return _roll_back(where, version, roles, states)
    if role_of(roles, version) is (Role.CHAMPION if change is Change.ACTIVATE else Role.CHALLENGER):
        return Decision(roles, False)
    if states[version] is not State.APPROVED:
        fix = "every party approves it: `fedcredit model approve`; `model show` says who has not"
        return _refused(roles, where, f"is {states[version].value}, not approved", fix)
    if change is Change.CHALLENGE:
        if version == roles.champion:
            fix = "activate another version first, or roll back"
            return _refused(roles, where, "is the champion and cannot be its own challenger", fix)
        return Decision(replace(roles, challenger=version), True)
    past = _without(roles.past, version) + (() if roles.champion is None else (roles.champion,))
    challenger = None if roles.challenger == version else roles.challenger
    return Decision(Roles(version, challenger, past[-MAX_PAST:]), True)


def _roll_back(where: str, version: int, roles: Roles, states: Mapping[int, State]) -> Decision:
    if version == roles.left and version != roles.champion:
        return Decision(roles, False)  # the same call again: it has been left already
    if version != roles.champion:
        now = "there is none" if roles.champion is None else f"version {roles.champion} is"
        return _refused(roles, where, f"is not the champion: {now}", "look at `fedcredit model list` and ask again")
    past = list(roles.past)
    while past:
        if states.get(former := past.pop()) is State.APPROVED:
            challenger = None if roles.challenger == former else roles.challenger
            return Decision(Roles(former, challenger, tuple(past), version), True)
    what = "has no former champion that all parties still approve"
    return _refused(roles, where, what, "activate another version, or retire this one")


def _retire(version: int, roles: Roles, states: Mapping[int, State]) -> Decision:
    if states[version] is State.RETIRED:
        return Decision(roles, False)
    champion = None if roles.champion == version else roles.champion
    challenger = None if roles.challenger == version else roles.challenger
    return Decision(Roles(champion, challenger, _without(roles.past, version), roles.left), True)


def _without(past: tuple[int, ...], *versions: int) -> tuple[int, ...]:
    return tuple(one for one in past if one not in versions)


def _refused(roles: Roles, where: str, what: str, fix: str) -> Decision:
    return Decision(roles, False, (Problem("MODEL_STATE", where, what, fix),))

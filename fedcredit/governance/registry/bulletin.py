"""What the platform tells a party of its models: which versions there are, where they stand, what they are for.

Signed, numbered and dated. A party takes none with a smaller number than that of the one it has, so nobody brings a
version back that was retired or rolled back. What is not on it does not count. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from fedcredit.errors import PeerError, Problem, RefusedError
from fedcredit.governance.consent import canonical
from fedcredit.governance.registry.states import Role, State
from fedcredit.ids import PartyId

__all__ = ["MAX_BULLETIN_BYTES", "MAX_LIVE", "REGISTRY", "ModelBulletin", "Standing", "check_served"]

REGISTRY: Final = b"fedcredit/v1/model-registry"
"""The use of the platform's signature over a bulletin of models."""

MAX_LIVE: Final = 1000
"""Versions of a platform that are not retired."""

MAX_BULLETIN_BYTES: Final = 1 << 20
_FORMAT = "fedcredit-models/1"
_MAX_NUMBER: Final = 10**15 - 1
_HASH_BYTES: Final = 32
_LEEWAY_S: Final = 300


@dataclass(frozen=True, slots=True)
class Standing:
    """One version as the platform has it. `offer`: the digest of its offer; `manifest`: that of the version with all
    its parts, None until all approve. `withdrawn`: who does not approve it."""

    name: str
    version: int
    offer: bytes
    state: State
    role: Role
    manifest: bytes | None = None
    withdrawn: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As it stands in a bulletin."""
        return {
            "name": self.name,
            "version": self.version,
            "offer": self.offer.hex(),
            "state": self.state.value,
            "role": self.role.value,
            "manifest": None if self.manifest is None else self.manifest.hex(),
            "withdrawn": list(self.withdrawn),
        }

    @classmethod
    def from_json(cls, value: Any) -> Standing:
        """What `to_json` wrote. Raises: ValueError, TypeError, KeyError."""
        found = cls(
            value["name"],
            value["version"],
            bytes.fromhex(value["offer"]),
            State(value["state"]),
            Role(value["role"]),
            None if value["manifest"] is None else bytes.fromhex(value["manifest"]),
            tuple(value["withdrawn"]),
        )
        texts = (found.name, *found.withdrawn)
        if not all(isinstance(text, str) and 1 <= len(text) <= 32 for text in texts) or len(found.withdrawn) > 16:
            raise ValueError("name")
        if type(found.version) is not int or found.version < 1 or len(found.offer) != _HASH_BYTES:
            raise ValueError("version")
        if (found.manifest is None) == (found.state is State.APPROVED):
            raise ValueError("manifest")
        if found.manifest is not None and len(found.manifest) != _HASH_BYTES:
            raise ValueError("manifest")
        return found


@dataclass(frozen=True, slots=True)
class ModelBulletin:
    """All versions in which `to` takes part and that are not retired, by name and version.

    Units: `time` in seconds since 1970.
    """

    platform: PartyId
    to: PartyId
    number: int
    time: int
    models: tuple[Standing, ...] = field(repr=False)

    @classmethod
    def of(cls, platform: PartyId, to: PartyId, number: int, time: int, models: Iterable[Standing]) -> ModelBulletin:
        """A bulletin of `models`, in order."""
        return cls(platform, to, number, time, tuple(sorted(models, key=lambda one: (one.name, one.version))))

    def to_bytes(self) -> bytes:
        """What is signed."""
        return canonical.write(
            {
                "format": _FORMAT,
                "platform": self.platform,
                "to": self.to,
                "number": self.number,
                "time": self.time,
                "models": [one.to_json() for one in self.models],
            }
        )

    @classmethod
    def parse(cls, data: bytes, platform: PartyId, to: PartyId) -> ModelBulletin:
        """A bulletin of `platform` to `to`. Raises: PeerError (BULLETIN_INVALID) naming the platform."""
        try:
            value: Any = canonical.read(data) if len(data) <= MAX_BULLETIN_BYTES else None
            if not isinstance(value["models"], list) or len(value["models"]) > MAX_LIVE:
                raise ValueError("models")
            numbers = (value["number"], value["time"])
            if not all(type(number) is int and 0 <= number <= _MAX_NUMBER for number in numbers):
                raise ValueError("number")
            models = [Standing.from_json(one) for one in value["models"]]
            found = cls.of(platform, to, *numbers, models)
            if found.to_bytes() != data or len({(one.name, one.version) for one in models}) != len(models):
                raise ValueError("form")
        except (ValueError, TypeError, KeyError, AttributeError):
            what = "is not a bulletin of models of this platform to this party"
            raise PeerError(platform, "models", what, "BULLETIN_INVALID") from None
        return found

    def follows(self, last: ModelBulletin | None, now: int) -> bool:
        """Whether it says more than `last`, if only that this still holds.

        Raises: PeerError (BULLETIN_ROLLBACK, BULLETIN_FUTURE, BULLETIN_INVALID) naming the platform.
        """
        if self.time > now + _LEEWAY_S:
            raise PeerError(self.platform, "models", "is dated in the future", "BULLETIN_FUTURE")
        if last is None:
            return True
        if self.number < last.number:
            what = f"number {self.number} is older than {last.number}, which was seen before"
            raise PeerError(self.platform, "models", what, "BULLETIN_ROLLBACK")
        if self.number == last.number and self.models != last.models:
            what = f"says two things under number {self.number}"
            raise PeerError(self.platform, "models", what, "BULLETIN_INVALID")
        return self.number > last.number or self.time > last.time

    def standing(self, name: str, version: int) -> Standing | None:
        """A version, if it is on it."""
        return next((one for one in self.models if (one.name, one.version) == (name, version)), None)


def check_served(name: str, version: int, offer: bytes, heard: ModelBulletin | None) -> Standing:
    """A version that a party approves, as champion or challenger by the platform's last word: it may be scored with.

    `offer`: the digest of the offer that the party has approved. Raises: RefusedError (MODEL_STATE), and no score.
    """
    found = None if heard is None else heard.standing(name, version)
    where, fix = f"model {name} {version}", "see `fedcredit model show`"
    if found is None:
        raise RefusedError(Problem("MODEL_STATE", where, "is not published, or retired, as far as is known here", fix))
    if found.offer != offer:
        what = f"is {found.offer.hex()} at the platform, and {offer.hex()} was approved here"
        raise RefusedError(Problem("MODEL_STATE", where, what, "ask the platform's people"))
    if found.state is not State.APPROVED:
        who = f" by {', '.join(found.withdrawn)}" if found.withdrawn else ""
        raise RefusedError(Problem("MODEL_STATE", where, f"is {found.state.value}{who}, not approved by all", fix))
    if found.role is Role.NONE:
        raise RefusedError(Problem("MODEL_STATE", where, "is neither champion nor challenger", fix))
    return found

"""The small files beside a filter: which one it is, and the key it was made under."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from fedcredit.crypto.oprf import OprfKey
from fedcredit.errors import FedcreditError, Problem
from fedcredit.ids import PartyId
from fedcredit.protocols.intersect.filters import FilterKey, FilterLabel
from fedcredit.wire.intersect import FILTER_KEY_BYTES, FilterOffer
from fedcredit.wire.message import MessageInvalid

__all__ = ["KeptKey", "LentRecord", "read_label", "write_label"]

FORMAT = 1


@dataclass(frozen=True, slots=True)
class KeptKey:
    """A key and since when it has been in use."""

    key: FilterKey = field(repr=False)
    made: datetime

    def to_bytes(self) -> bytes:
        """As it stands in its owner's private file."""
        secret, name = self.key.oprf.to_bytes().hex(), self.key.name.hex()
        return _line({"format": FORMAT, "name": name, "secret": secret, "made": self.made.isoformat()})

    @classmethod
    def parse(cls, data: bytes, receiver: PartyId, holder: PartyId) -> KeptKey:
        """The key in `data`. Raises: FedcreditError (FILTER_DAMAGED)."""
        try:
            raw = _read(data)
            name, made = bytes.fromhex(raw["name"]), datetime.fromisoformat(raw["made"])
            oprf = OprfKey.from_bytes(bytes.fromhex(raw["secret"]))
            if len(name) != FILTER_KEY_BYTES or not any(name) or made.tzinfo is None:
                raise ValueError
        except (ValueError, KeyError, TypeError, RecursionError):
            raise _damaged("key") from None
        return cls(FilterKey(name, receiver, holder, oprf), made)


@dataclass(frozen=True, slots=True)
class LentRecord:
    """Which filter is lent: of the table with `fingerprint`; `rows` is the digest of what it was made from. `older` is
    the version before, which a receiver may still have."""

    label: FilterLabel
    fingerprint: bytes
    rows: bytes
    older: FilterLabel | None = None

    def to_bytes(self) -> bytes:
        """As it stands in its file."""
        older = None if self.older is None else _label(self.older)
        found = {"label": _label(self.label), "fingerprint": self.fingerprint.hex(), "rows": self.rows.hex()}
        return _line({"format": FORMAT, **found, "older": older})

    @classmethod
    def parse(cls, data: bytes) -> LentRecord:
        """The record in `data`. Raises: FedcreditError (FILTER_DAMAGED)."""
        try:
            raw = _read(data)
            older = None if raw["older"] is None else _of_label(raw["older"])
            fingerprint, rows = bytes.fromhex(raw["fingerprint"]), bytes.fromhex(raw["rows"])
            if len(fingerprint) != 32 or len(rows) != 32:
                raise ValueError
            return cls(_of_label(raw["label"]), fingerprint, rows, older)
        except (ValueError, KeyError, TypeError, RecursionError, MessageInvalid):
            raise _damaged("record") from None


def write_label(label: FilterLabel) -> bytes:
    """A label as it stands in its file."""
    return _line({"format": FORMAT, "label": _label(label)})


def read_label(data: bytes) -> FilterLabel:
    """The label in `data`. Raises: FedcreditError (FILTER_DAMAGED)."""
    try:
        return _of_label(_read(data)["label"])
    except (ValueError, KeyError, TypeError, RecursionError, MessageInvalid):
        raise _damaged("label") from None


def _label(label: FilterLabel) -> dict[str, Any]:
    return asdict(label) | {"key": label.key.hex(), "digest": label.digest.hex()}


def _of_label(raw: dict[str, Any]) -> FilterLabel:
    key, digest = bytes.fromhex(raw["key"]), bytes.fromhex(raw["digest"])
    # What may travel as an offer is a label, and nothing else is.
    offer = FilterOffer(key, raw["version"], raw["entries"], raw["bits"], digest, whole=True, removed=0, added=0)
    return FilterLabel(offer.key, offer.version, offer.entries, offer.bits, offer.digest)


def _line(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, sort_keys=True) + "\n").encode()


def _read(data: bytes) -> dict[str, Any]:
    raw = json.loads(data)
    if not isinstance(raw, dict) or raw["format"] != FORMAT:
        raise ValueError
    return raw


def _damaged(what: str) -> FedcreditError:
    return FedcreditError(Problem("FILTER_DAMAGED", f"filter: {what}", "cannot be read", "it is made anew"))

"""What a party says of the set of its subjects: the same in two jobs where the set is the same, and nothing else.

Two intersections of sets that differ in a few subjects tell about just these. So that every party can notice, each puts
a keyed hash of its identifiers into its offer, which all sign. The key never leaves the node and is kept for good:
without it the hash cannot be compared with a list that somebody guesses. A node that lost its key has, for others, a
changed set, which is on the safe side.
"""

from __future__ import annotations

import contextlib
import hmac
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.ids import PartyId
from fedcredit.kernels import digest
from fedcredit.node.durable_files import replace_file
from fedcredit.node.jobs import Premises
from fedcredit.node.own_secret import own_secret
from fedcredit.tables import Table
from fedcredit.tables.standing import identifiers_named

__all__ = ["KEY_FILE", "own_subjects", "set_key", "subjects_of"]

Ids: TypeAlias = npt.NDArray[np.bytes_]

KEY_FILE = "set.key"

_ROWS_AT_ONCE = 1 << 20
_DOMAIN = b"fedcredit/v1/subjects\0"


def set_key(folder: Path) -> bytes:
    """The key of a node, made when it is first needed. Raises: ConfigError (SECRET_INVALID)."""
    return own_secret(folder, KEY_FILE, fix="take it away: a new one is made")


def own_subjects(premises: Premises, table: Table) -> bytes:
    """What stands for the subjects of this party's `table`. Raises: ConfigError (SECRET_INVALID).

    Of a table that need not be read again it is kept beside the table's record.
    """
    key, place = set_key(premises.folder), premises.folder / "tables" / f"{table.spec.title}.set"
    mark = identifiers_named(table) + digest.derive("fedcredit v1 subjects kept", key + premises.me.encode())
    with contextlib.suppress(OSError):
        kept = place.read_bytes()
        if len(kept) == len(mark) + 32 and kept.startswith(mark):
            return kept[len(mark) :]
    found = subjects_of(key, premises.me, table.ids())
    if place.parent.exists():
        replace_file(place, mark + found)
    return found


def subjects_of(key: bytes, party: PartyId, ids: Ids) -> bytes:
    """32 bytes that stand for the set of `ids`, in whatever order they are.

    The pseudorandom values of all identifiers, as four numbers each, are added up; the sums and their number are
    hashed. Equal sums of different sets would be as unlikely as equal values, for whoever does not know the key.

    Shapes: ids (n,) of dtype S, whatever its width.
    """
    sums = np.zeros(4, np.uint64)
    inner = digest.derive("fedcredit v1 subjects", key)
    for start in range(0, len(ids), _ROWS_AT_ONCE):
        values = digest.keyed(inner, ids[start : start + _ROWS_AT_ONCE], 32)
        sums += values.view("<u8").sum(axis=0, dtype=np.uint64)
    body = _DOMAIN + party.encode() + b"\0" + len(ids).to_bytes(8, "big") + sums.astype("<u8").tobytes()
    return hmac.digest(key, body, "sha256")

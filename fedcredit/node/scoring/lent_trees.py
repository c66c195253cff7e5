"""What a bank lends a provider so that trees are scored: its key for vectors, and the map of its slots for the version.

A key serves the session in which it was shown. The first map of a version that a bank shows counts for good, by its
hash on the disk: with another one for each request it would learn something else of each subject.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fedcredit.crypto.elgamal_checks import BadKey
from fedcredit.crypto.rlwe_chain import Conditions, PublicKey
from fedcredit.errors import ConfigError, PeerError, Problem, RefusedError
from fedcredit.ids import PartyId
from fedcredit.node.durable_files import create_file
from fedcredit.node.registry.parts import FOLDER
from fedcredit.wire.score_trees import TreesKey, TreesMap
from fedcredit.wire.scoring import unpack

__all__ = ["LentTrees"]

_LENT: Final = frozenset({TreesKey, TreesMap})
_SESSIONS: Final = 8
"""Keys that a bank has at a time: it may ask from several places at once. Each is half a MiB."""

_MOST: Final = 64
"""Maps that are kept in memory; whoever shows its map again has it back."""


@dataclass(slots=True)
class LentTrees:
    """Of each bank its newest keys, and its maps by version. From any thread. `folder`: the node's."""

    folder: Path
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _keys: dict[PartyId, list[PublicKey]] = field(default_factory=dict, repr=False)
    _maps: dict[tuple[PartyId, bytes], Conditions] = field(default_factory=dict, repr=False)

    def learn(self, bank: PartyId, manifest: bytes, splits: int, data: bytes) -> None:
        """Take what `bank` shows for a version, of which this party has so many splits.

        Raises: PeerError (KEY_INVALID, MESSAGE_INVALID) naming the bank; RefusedError (SCORE_MAP) for another map than
        before; ConfigError (STATE_UNKEPT).
        """
        shown = unpack(data, _LENT)
        keys = [one for one in shown if isinstance(one, TreesKey)]
        maps = [one for one in shown if isinstance(one, TreesMap)]
        if len(keys) != 1 or len(maps) != 1 or maps[0].model != manifest:
            raise PeerError(bank, "score", "does not show one key and one map of this version", "MESSAGE_INVALID")
        if maps[0].splits.size and int(maps[0].splits.max()) >= splits:
            raise RefusedError(_bad_map("names splits that this party has not", "publish the version anew"))
        try:
            key = keys[0].key()
        except BadKey as bad:
            raise bad.of_peer(bank, "score") from None
        if key.owner != bank:
            raise PeerError(bank, "score", "shows another's key", "KEY_INVALID")
        self._bind(bank, manifest, maps[0])
        with self._lock:
            self._keys[bank] = [*self._keys.get(bank, []), key][-_SESSIONS:]
            if len(self._maps) >= _MOST:
                self._maps.clear()
            self._maps[bank, manifest] = maps[0].conditions()

    def keys(self, bank: PartyId) -> Mapping[bytes, PublicKey]:
        """The bank's keys, by their fingerprints."""
        with self._lock:
            keys = list(self._keys.get(bank, []))
        return {key.fingerprint: key for key in keys}

    def conditions(self, bank: PartyId, manifest: bytes) -> Conditions:
        """The bank's map of a version. Raises: RefusedError (SCORE_MAP) where it has shown none since the start."""
        with self._lock:
            found = self._maps.get((bank, manifest))
        if found is None:
            raise RefusedError(_bad_map("was not shown since this node has started", "meet, then ask anew"))
        return found

    def _bind(self, bank: PartyId, manifest: bytes, shown: TreesMap) -> None:
        path = self.folder / FOLDER / f"{manifest.hex()}.{bank}.map"
        digest = hashlib.sha256(shown.encode()).hexdigest().encode() + b"\n"
        try:
            if not path.exists():
                create_file(path, digest)
            kept = path.read_bytes()
        except ConfigError:  # somebody else has made it just now
            kept = path.read_bytes()
        except OSError as error:
            what = f"cannot be written: {error.strerror}"
            raise ConfigError(Problem("STATE_UNKEPT", str(path), what, "make room")) from None
        if kept != digest:
            raise RefusedError(_bad_map("is another than this bank has shown before", "publish the version anew"))


def _bad_map(what: str, fix: str) -> Problem:
    return Problem("SCORE_MAP", "map of slots", what, fix)

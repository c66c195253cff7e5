"""What both sides of a group-by-sum know beforehand: sizes, rounds, and the public keys of the hash.

Reveals: nothing that is not in it already; all of it is public to the pair.
"""

from __future__ import annotations

from dataclasses import dataclass

from fedcredit.ids import PartyId
from fedcredit.kernels import digest
from fedcredit.kernels.onehot import KEY_BYTES, MAX_GROUPS, Forest, Round
from fedcredit.protocols.transfers import Transfers
from fedcredit.wire.groupsum import MAX_FEATURES, MAX_ROUND, MAX_ROWS

__all__ = ["CHUNK_BYTES", "Grouping"]

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Grouping:
    """The public shape of one pair's group-by-sum.

    `session` is 32 bytes that no other run shares: the hash of the job's specification with the step's name. Keys of
    the hash derive from it and from who asks whom, so that no two sessions, pairs or rounds share a permutation.

    Range: n_rows in [1, 2^32); groups[f] in [2, 256]. Raises: ValueError.
    """

    session: bytes
    asker: PartyId
    holder: PartyId
    n_rows: int
    groups: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.session) != digest.KEY_BYTES:
            raise ValueError("Grouping: a session is 32 bytes")
        if not 1 <= self.n_rows <= MAX_ROWS:
            raise ValueError(f"Grouping: {self.n_rows} rows are not in [1, 2^32)")
        if not 1 <= len(self.groups) <= MAX_FEATURES or not all(2 <= b <= MAX_GROUPS for b in self.groups):
            raise ValueError(f"Grouping: features need 2 to {MAX_GROUPS} groups each, and there must be one")

    @property
    def step(self) -> str:
        """How errors name this session."""
        return f"groupsum {self.asker} over {self.holder}"

    def transfers(self) -> Transfers:
        """The base transfers of the session: the holder plants, the asker chooses."""
        return Transfers(self.session, self.holder, self.asker, "groupsum", self.step)

    def forest(self) -> Forest:
        """The trees of the session."""
        return Forest(self.n_rows, self.groups, self._key("expand", 0, 0))

    def round(self, number: int, features: tuple[int, ...], n_values: int) -> Round:
        """Round `number`: a number is used once, since its masks are. Raises: ValueError."""
        if not 0 <= number <= MAX_ROUND or n_values < 1:
            raise ValueError(f"Grouping: round {number} of {n_values} values")
        if not all(0 <= f < len(self.groups) for f in features) or len(set(features)) != len(features):
            raise ValueError("Grouping: a round's features are distinct and exist")
        keys = b"".join(self._key("mask", number, pair) for pair in range((n_values + 1) // 2))
        return Round(features, n_values, keys)

    def of(self, features: tuple[int, ...]) -> tuple[int, ...]:
        """The groups of `features`."""
        return tuple(self.groups[f] for f in features)

    def cells(self, features: tuple[int, ...]) -> int:
        """Groups of `features` together."""
        return sum(self.groups[f] for f in features)

    def setup_rows(self, feature: int) -> int:
        """Rows of a set-up chunk: whole columns of 128 transfers, and blocks of about 1 MiB to send."""
        depth = (self.groups[feature] - 1).bit_length()
        return max(128, CHUNK_BYTES // (KEY_BYTES * depth) // 128 * 128)

    def round_pieces(self, n_rows: int, n_features: int, n_values: int) -> list[slice]:
        """The rows of a block in runs whose corrections fit a chunk, at least one row each."""
        step = max(1, CHUNK_BYTES // (8 * max(1, n_features) * n_values))
        return [slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]

    def _key(self, use: str, number: int, pair: int) -> bytes:
        names = f"{self.asker}/{self.holder}/{use}".encode()
        material = self.session + number.to_bytes(4, "big") + pair.to_bytes(4, "big") + names
        return digest.derive("fedcredit v1 groupsum hash key", material, KEY_BYTES)

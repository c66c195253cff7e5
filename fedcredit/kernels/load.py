"""Calls to a gRPC server on a schedule, natively: how long each took from when it was due, and how it ended.

Arrivals do not wait for answers. A call that is due while the server stalls counts from when it was due, so that a
stall is seen by all who would have met it (no coordinated omission). Everything runs without the GIL.
Units: latencies in nanoseconds, other times in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from fedcredit import _native

__all__ = ["OK", "RESOURCE_EXHAUSTED", "Buckets", "Load", "Outcome", "Target", "quantile", "run"]

OK: Final = 0
RESOURCE_EXHAUSTED: Final = 8
"""gRPC's codes."""

_MAX_CONNECTIONS = 1024
_MAX_SECONDS = 7 * 86_400.0

Buckets: TypeAlias = tuple[tuple[int, int], ...]
"""Durations up to the first number, in nanoseconds, occurred so many times; in order, each at most 1 % wide."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server at `address` (IP:PORT) that shows `certificate` and nothing else, and the method that is called.

    `chain` and `key` (PKCS #8) are the caller's. All in DER. `name` is the authority that calls are addressed to.
    """

    address: str
    name: str
    certificate: bytes
    chain: tuple[bytes, ...]
    key: bytes = field(repr=False)
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How calls come: `rate` a second on a schedule; or, without a rate, `under_way` at once on each connection.

    Calls that are due in the first `warm_up_s` are made and not measured. Every `check_every`'th answer of verification
    is checked to the root of trust, which is `provider`: its name, that of its log, and the key that signs its heads.
    `patience_s` bounds how long connections and the last answers are waited for.
    """

    measured_s: float
    rate: float | None = None
    poisson: bool = True
    under_way: int = 1
    connections: int = 16
    threads: int = 1
    seed: int = 1
    warm_up_s: float = 0.0
    patience_s: float = 10.0
    check_every: int = 0
    provider: tuple[str, str, bytes] | None = None

    def __post_init__(self) -> None:
        for name in ("measured_s", "warm_up_s", "patience_s"):
            if not 0.0 <= getattr(self, name) <= _MAX_SECONDS:
                raise ValueError(f"{name}: not from 0 to {_MAX_SECONDS:g} seconds")
        if self.rate is not None and not 0.0 < self.rate <= 1e9:
            raise ValueError("rate: not a positive number of calls a second")
        if not 1 <= self.connections <= _MAX_CONNECTIONS or not 1 <= self.threads <= _MAX_CONNECTIONS:
            raise ValueError(f"connections and threads: not from 1 to {_MAX_CONNECTIONS}")
        if not 1 <= self.under_way <= 1 << 20 or not 0 <= self.seed < 1 << 64:
            raise ValueError("under_way or seed: out of range")
        if self.check_every < 0 or (self.check_every > 0) != (self.provider is not None):
            raise ValueError("check_every: takes the provider whose answers are checked, and the other way round")
        if self.provider is not None and len(self.provider[2]) != 32:
            raise ValueError("provider: its key is not 32 bytes long")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a load. `latencies`: by gRPC's code, of the calls that are measured; `ended`: of all of them.

    `delays`: from when calls were due to when they were sent. `unsent`: were due and never sent, since the server took
    no more at once; `lost`: were under way when their connection ended. `wrong`: of the `checked` answers, those that
    did not prove what they say. `bytes_out` and `bytes_in`: on the wire, with TLS, without the handshakes.
    """

    latencies: Mapping[int, Buckets]
    delays: Buckets
    ended: Mapping[int, int]
    unsent: int
    lost: int
    broken: int
    checked: int
    wrong: int
    bytes_out: int
    bytes_in: int
    seconds: float

    @property
    def answered(self) -> int:
        """How many calls were answered well, measured or not."""
        return self.ended.get(OK, 0)


def run(target: Target, pool: Sequence[bytes], load: Load) -> Outcome:
    """Make the calls of `load`, each with one of the messages in `pool`, picked at random.

    Returns at the latest `2 * patience_s` after the time that is measured. Raises: ValueError; ConnectionError if a
    connection is refused.
    """
    if not pool:
        raise ValueError("pool: holds no message")
    there = _native.LoadTarget(
        target.address,
        target.name,
        target.certificate,
        list(target.chain),
        target.key,
        target.path,
        round(1000 * max(load.patience_s, 1.0)),
    )
    found = _native.load_run(
        there,
        list(pool),
        rate=load.rate,
        poisson=load.poisson,
        under_way=load.under_way,
        seed=load.seed,
        connections=load.connections,
        threads=load.threads,
        warm_up_s=load.warm_up_s,
        measured_s=load.measured_s,
        patience_s=load.patience_s,
        check_every=load.check_every,
        provider=load.provider,
    )
    return _outcome(found)


def quantile(buckets: Buckets, share: float) -> float:
    """The duration that `share` of all do not exceed; nan if there is none. Units: nanoseconds, rounded up by < 1 %."""
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share: {share} is not from 0 to 1")
    left = share * sum(count for _, count in buckets)
    for longest, count in buckets:
        left -= count
        if left <= 0:
            return float(longest)
    return float(buckets[-1][0]) if buckets else float("nan")


def _outcome(found: dict[str, Any]) -> Outcome:
    latencies = {status: tuple(buckets) for status, buckets in found.pop("latencies").items()}
    return Outcome(latencies=latencies, delays=tuple(found.pop("delays")), **found)

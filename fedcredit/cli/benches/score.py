"""`fedcredit bench score`: encrypted scores of an additive model, bank and providers in one process, and other schemes.

`score` runs the whole protocol of three providers over an in-memory link: one subject at a time, with the median and
the 99th percentile of many requests, and a batch, with its rate. Every total is compared with the sum in the clear.
`processor` is the processor time of each side of a batch, of all sides of a single request. `bytes` go both ways,
between the bank and all providers; consent tokens, TLS and audit are not in it.
`scheme` is what one part takes under each cryptosystem, on kernels alone: `encrypt` at a provider, `open` at the bank
with all parts, in processor microseconds a subject, and `bytes_each`, those of a part a subject. Packed, Paillier takes
many subjects a ciphertext.
`bands` is the protocol by which the bank learns the band of a total alone: single requests and batches, over 1,000
totals in ten bands. `bands by elgamal` is the same by a ciphertext for each total: its difference from the subject's,
times a random scalar, which `multiply` takes at the last provider and `open` at the bank, in microseconds a subject and
total.
`nodes` is the service: a bank's client and three departments' nodes, each a process of its own, with TLS, consents,
store and audit log, for a card and for boosted trees; `processor` is that of each process, `bytes` what its calls hold.
With `--set kind=nodes` the service is all that is measured; with `--set kind=trees` it is scores of boosted trees alone
(`benches.score_trees`).
Settings: kind, providers, requests (single ones), nodes (0: none), trees and depth (of the nodes' model).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.cli.bench import Options
from fedcredit.cli.benches import score_trees
from fedcredit.cli.benches.jobs import median
from fedcredit.cli.benches.roles import timed
from fedcredit.cli.benches.score_nodes import Wish, measured
from fedcredit.crypto import paillier
from fedcredit.crypto.elgamal import PointTable, PrivateKey, Validity
from fedcredit.crypto.randomness import KeyedRandomness, SystemRandomness
from fedcredit.crypto.word_packing import WordPacking
from fedcredit.crypto.zero_sum import Member, PairKey
from fedcredit.errors import FedcreditError
from fedcredit.ids import PartyId
from fedcredit.kernels import elgamal, group
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.score import (
    BandedCard,
    BandsProvider,
    BandsRequester,
    BandTerms,
    ScoreCard,
    ScoreProvider,
    ScoreRequester,
    ScoresAsked,
    ScoreTerms,
)
from fedcredit.transport.memory import run_network

__all__ = ["run"]

I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
Spent: TypeAlias = dict[str, float]

BATCH, NODES_BATCH = 10_000, 20_000
_TREES = ("trees", 50), ("depth", 5)
_BANK, _NOW, _MODEL = PartyId("bank"), 1_800_000_000, bytes(32)
_PART = (-100, 100)
_OWN = (300, 900)
_TOTALS, _BANDS = 1000, 10


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield one row a case."""
    if options.settings.get("kind") == "trees":
        yield from score_trees.run(options)
        return
    providers, requests = int(options.number("providers", 3)), int(options.number("requests", 300))
    if options.settings.get("kind") == "nodes":
        yield from _through_nodes(options, requests)
        return
    town = _Town(providers)
    for _ in range(10):
        town.score(1, apart=False)
    begun = time.process_time()
    runs = [town.score(1, apart=False) for _ in range(requests)]
    processor = (time.process_time() - begun) / requests
    walls = sorted(wall for wall, _, _ in runs)
    yield {
        "case": {"case": "score", "rows": 1, "providers": providers, "requests": requests},
        "seconds": {"p50": median(walls), "p99": round(walls[int(0.99 * len(walls))], 4)},
        "processor": {"all": round(processor, 6)},
        "bytes": runs[-1][2],
    }
    for rows in options.rows or (BATCH,):
        runs = [town.score(rows, apart=True) for _ in range(options.repeat)]
        wall, spent = median([wall for wall, _, _ in runs]), _medians([spent for _, spent, _ in runs])
        yield {
            "case": {"case": "score", "rows": rows, "providers": providers},
            "seconds": {"total": wall},
            "processor": spent,
            "rate": round(rows / wall),
            "rate_cpu": round(rows / (spent["bank"] + providers * spent["provider"])),
            "bytes": runs[-1][2],
            "bytes_each": round(runs[-1][2] / rows, 1),
        }
    for name, scheme in _SCHEMES.items():
        yield _measured(name, scheme, providers, options.repeat)
    yield from _bands(options, providers, requests)
    yield _bands_by_elgamal(options.repeat)
    if options.number("nodes", 1):
        yield from _through_nodes(options, requests)


def _through_nodes(options: Options, requests: int) -> Iterator[dict[str, Any]]:
    sizes, model = options.rows or (NODES_BATCH,), [int(options.number(*of)) for of in _TREES]
    yield from measured(Wish(requests, sizes, options.repeat, *model))


def _bands(options: Options, providers: int, requests: int) -> Iterator[dict[str, Any]]:
    town = _BandTown(providers)
    runs = [town.score(1, apart=False) for _ in range(10 + requests)][10:]
    walls = sorted(wall for wall, _, _ in runs)
    shape = {"providers": providers, "totals": town.totals, "bands": town.banded.n_bands}
    yield {
        "case": {"case": "bands", "rows": 1, "requests": requests} | shape,
        "seconds": {"p50": median(walls), "p99": round(walls[int(0.99 * len(walls))], 4)},
        "bytes": runs[-1][2],
    }
    for rows in options.rows or (BATCH,):
        runs = [town.score(rows, apart=True) for _ in range(options.repeat)]
        wall, spent = median([wall for wall, _, _ in runs]), _medians([spent for _, spent, _ in runs])
        micros = {name: round(1e6 * seconds / rows, 2) for name, seconds in spent.items()}
        yield {
            "case": {"case": "bands", "rows": rows} | shape,
            "seconds": {"total": wall},
            "processor_us": micros | {"last, a total": round(micros["last"] / town.totals, 4)},
            "rate": round(rows / wall),
            "bytes": runs[-1][2],
            "bytes_each": round(runs[-1][2] / rows, 1),
        }


class _Town:
    """A bank and providers with keys, and points that are drawn."""

    def __init__(self, providers: int, own: tuple[int, int] = _OWN) -> None:
        source, self.own = SystemRandomness(), own
        self.names = tuple(PartyId(f"provider{place}") for place in range(providers))
        pairs = {name: PairKey.generate(source) for name in (_BANK, *self.names)}
        key = PrivateKey.generate(_BANK, "bench", Validity(_NOW - 1, _NOW + 1), source)
        low, high = (most + providers * part for most, part in zip(own, _PART, strict=True))
        self.card = ScoreCard(_MODEL, low, high, *own)
        members = tuple(Member(name, pairs[name].public) for name in self.names)
        self.requester = ScoreRequester(_BANK, self.card, members, key, pairs[_BANK], self.card.table())
        terms = ScoreTerms(
            _MODEL,
            _PART,
            {key.public.fingerprint: key.public},
            {name: frozenset({pair.public}) for name, pair in pairs.items()},
            min_providers=1,
        )
        self.providers = {
            name: ScoreProvider(name, _BANK, terms, {pairs[name].public: pairs[name]}) for name in self.names
        }

    def score(self, n: int, *, apart: bool) -> tuple[float, Spent, int]:
        """Seconds of a request over n subjects, processor seconds of the bank and of a provider, and bytes.

        Asking for processor time takes most of a millisecond on some machines, so not where it is not told `apart`.
        """
        random = np.random.default_rng(n)
        own, parts = random.integers(*self.own, n), random.integers(*_PART, (len(self.names), n))
        codes = np.array([b"9132%014d" % row for row in range(n)], "S18").view(np.uint8).reshape(n, 18)
        asked = ScoresAsked("financing", _NOW, codes, np.zeros((len(self.names), n, 32), np.uint8), own)
        spent: Spent = dict.fromkeys(self.kinds.values(), 0.0) | {"bank": 0.0}
        roles: dict[PartyId, Steps[Any]] = {_BANK: self._asking(asked)}
        for name, part in zip(self.names, parts, strict=True):
            roles[name] = self._answering(name, part)
        if apart:
            roles = {name: timed(steps, self.kinds.get(name, "bank"), spent) for name, steps in roles.items()}
        begun = time.perf_counter()
        outcome = run_network(roles, insecure_in_process=True)
        wall = time.perf_counter() - begun
        self._check(outcome.results[_BANK], own + parts.sum(axis=0))
        for kind in spent:
            spent[kind] /= max(1, list(self.kinds.values()).count(kind))
        return wall, spent, sum(size for *_, size in outcome.traffic)

    @property
    def kinds(self) -> dict[PartyId, str]:
        """Whose processor time is told together."""
        return dict.fromkeys(self.names, "provider")

    def _check(self, scores: Any, totals: I64) -> None:
        if not (scores.scored.all() and (scores.totals == totals).all()):
            raise FedcreditError("bench score: totals are not the sums of points")

    def _asking(self, asked: ScoresAsked) -> Steps[Any]:
        return self.requester.steps(asked, SystemRandomness())

    def _answering(self, name: PartyId, part: I64) -> Steps[Any]:
        released = np.ones(len(part), np.bool_)
        return self.providers[name].steps(lambda _: True, lambda *_: (part, released), SystemRandomness())


class _BandTown(_Town):
    """The same, where the bank learns bands: those of equal width."""

    def __init__(self, providers: int) -> None:
        super().__init__(providers, (300, 300 + _TOTALS - 1 - providers * (_PART[1] - _PART[0])))
        low, high = self.card.low, self.card.high
        self.totals = high - low + 1
        self.banded = BandedCard.of(self.card, tuple(low + self.totals * band // _BANDS for band in range(1, _BANDS)))

    @property
    def kinds(self) -> dict[PartyId, str]:
        """Whose processor time is told together."""
        return super().kinds | {self.names[-1]: "last"}

    def _check(self, scores: Any, totals: I64) -> None:
        bands = np.searchsorted(self.banded.bounds[1:-1], totals, side="right")
        if not (scores.scored.all() and (scores.bands == bands).all()):
            raise FedcreditError("bench score: bands are not those of the sums of points")

    def _asking(self, asked: ScoresAsked) -> Steps[Any]:
        of = self.requester
        role = BandsRequester(_BANK, self.banded, of.providers, of.key.public, of.pair)
        return role.steps(asked, SystemRandomness())

    def _answering(self, name: PartyId, part: I64) -> Steps[Any]:
        released, of = np.ones(len(part), np.bool_), self.providers[name]
        role = BandsProvider(name, _BANK, of.terms, BandTerms((self.card.low, self.card.high)), of.keys)
        return role.steps(lambda _: True, lambda *_: (part, released), SystemRandomness())


def _bands_by_elgamal(repeat: int) -> dict[str, Any]:
    source, wanted = SystemRandomness(), _TOTALS // 3
    key = PrivateKey.generate(_BANK, "bench", Validity(0, 1), source)
    differences = key.public.encrypt_numbers(wanted - np.arange(_TOTALS), source)
    times: dict[str, list[float]] = {"multiply": [], "open": []}
    for _ in range(repeat + 1):
        begun = time.process_time()
        scalars = np.repeat(source.scalars(_TOTALS), 2, axis=0)
        blinded = group.multiply_each(differences.reshape(-1, group.POINT_BYTES), scalars).reshape(differences.shape)
        middle = time.process_time()
        opened = elgamal.open_sums(key.to_bytes(), blinded[None])
        times["multiply"].append((middle - begun) / _TOTALS)
        times["open"].append((time.process_time() - middle) / _TOTALS)
        if np.flatnonzero(~opened.any(axis=1)).tolist() != [wanted]:
            raise FedcreditError("bench score: the difference of zero is not found")
    return {
        "case": {"case": "scheme", "scheme": "bands by elgamal", "rows": 1, "totals": _TOTALS},
        "processor_us": {what: round(1e6 * sorted(values[1:])[repeat // 2], 3) for what, values in times.items()},
        "bytes_each": differences.size,
    }


def _medians(spent: list[Spent]) -> Spent:
    return {name: median([one[name] for one in spent]) for name in spent[0]}


Made: TypeAlias = tuple[Callable[[I64], Any], Callable[[list[Any]], I64], int]
"""What encrypts a part, what opens all of them, and bytes of a part."""


def _elgamal(n: int) -> Callable[[], Made]:
    def make() -> Made:
        source = SystemRandomness()
        key, table = PrivateKey.generate(_BANK, "bench", Validity(0, 1), source), PointTable(-1000, 1000)
        return (
            lambda points: key.public.encrypt_numbers(points, source),
            lambda parts: key.open(np.stack(parts), table)[0],
            64 * n,
        )

    return make


def _paillier(n: int, packing: bool) -> Callable[[], Made]:
    def make() -> Made:
        private = paillier.PrivateKey.generate()
        public = private.public
        encryptor, pack = paillier.PublicEncryptor(public, SystemRandomness()), WordPacking(public, 16)
        slots = pack.slots if packing else 1
        rows = -(-n // slots)

        def encrypt(points: I64) -> U8:
            words = np.zeros(rows * slots, np.uint64)
            words[:n] = points.astype(np.uint64)
            return encryptor.encrypt(pack.pack(words.reshape(rows, slots))).sent()

        def opened(parts: list[U8]) -> I64:
            total, *others = (public.received(part, count=rows, key_id=public.id) for part in parts)
            for other in others:
                total = public.add(total, other)
            return pack.unpack(private.decrypt(total), slots).reshape(-1)[:n].view(np.int64)

        return encrypt, opened, rows * 2 * public.width

    return make


def _pads(n: int) -> Callable[[], Made]:
    def make() -> Made:
        key = SystemRandomness().bytes(32)

        def masked(points: I64) -> I64:
            return points + KeyedRandomness(key, "bench").words(n).view(np.int64)

        def opened(parts: list[I64]) -> I64:
            total: I64 = np.sum(parts, axis=0)
            for _ in parts:
                total -= KeyedRandomness(key, "bench").words(n).view(np.int64)
            return total

        return masked, opened, 8 * n

    return make


_SCHEMES: dict[str, tuple[int, Callable[[], Made]]] = {
    "elgamal": (BATCH, _elgamal(BATCH)),
    "elgamal one": (1, _elgamal(1)),
    "paillier": (64, _paillier(64, packing=False)),
    "paillier packed": (2_000, _paillier(2_000, packing=True)),
    "paillier one": (1, _paillier(1, packing=False)),
    "pads": (BATCH, _pads(BATCH)),
}


def _measured(name: str, scheme: tuple[int, Callable[[], Made]], providers: int, repeat: int) -> dict[str, Any]:
    n, make = scheme
    encrypt, opened, size = make()
    points = np.random.default_rng(n).integers(*_PART, (providers, n))
    times: dict[str, list[float]] = {"encrypt": [], "open": []}
    for _ in range(repeat + 1):
        begun = time.process_time()
        parts = [encrypt(part) for part in points]
        middle = time.process_time()
        sums = opened(parts)
        times["encrypt"].append((middle - begun) / providers / n)
        times["open"].append((time.process_time() - middle) / n)
        if not (sums == points.sum(axis=0)).all():
            raise FedcreditError(f"bench score: sums under {name} are not the sums of points")
    # The first run makes tables.
    micros = {what: round(1e6 * sorted(values[1:])[len(values[1:]) // 2], 3) for what, values in times.items()}
    return {
        "case": {"case": "scheme", "scheme": name, "rows": n, "providers": providers},
        "processor_us": micros,
        "bytes_each": round(size / n, 1),
    }

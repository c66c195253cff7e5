"""`fedcredit bench score --set kind=trees`: encrypted scores of boosted trees, bank and providers in one process.

The whole protocol over an in-memory link: one subject at a time, with the median and the 99th percentile of many
requests, and a batch, in requests of `chunk` subjects, with its rate. Every score is compared with the trees in the
clear, and the largest difference of a probability is `error`. `processor` is the processor time of each side of a
batch, of all sides of a single request. `bytes` go both ways, between the bank and all providers; consent tokens, TLS
and audit are not in it.
Trees are full; the owner of each split is drawn, as are weights and sides.
Settings: providers, requests (single ones), trees, depth, chunk.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.cli.bench import Options
from fedcredit.cli.benches.jobs import median
from fedcredit.cli.benches.roles import timed
from fedcredit.credit.binary import probability
from fedcredit.credit.trees import Tree
from fedcredit.crypto.elgamal import Validity
from fedcredit.crypto.randomness import SystemRandomness
from fedcredit.crypto.rlwe_chain import SecretKey
from fedcredit.crypto.zero_sum import Member, PairKey
from fedcredit.errors import FedcreditError
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.score import (
    LeafMap,
    TreesAsked,
    TreesModel,
    TreesProvider,
    TreesRequester,
    TreesScores,
    TreesTerms,
)
from fedcredit.protocols.score.trees import MAX_ERROR
from fedcredit.transport.memory import run_network

__all__ = ["run"]

Bools: TypeAlias = npt.NDArray[np.bool_]
F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
Spent: TypeAlias = dict[str, float]

BATCH, CHUNK = 1_024, 128
_BANK, _NOW, _MODEL = PartyId("bank"), 1_800_000_000, bytes(32)
_INITIAL, _SPREAD = -1.5, 0.1


@dataclass(frozen=True, slots=True)
class _Run:
    """What requests took: seconds, processor seconds of each side, bytes, and the largest error of a probability."""

    wall: float
    spent: Spent
    bytes: int
    error: float


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield one row a case."""
    numbers = {"providers": 3, "requests": 50, "trees": 50, "depth": 5, "chunk": CHUNK}
    given = {name: int(options.number(name, default)) for name, default in numbers.items()}
    town = _Town(given["providers"], given["trees"], given["depth"])
    given["chunk"] = min(given["chunk"], town.requester.most_rows)
    shape = {name: given[name] for name in ("providers", "trees", "depth")} | {"slots": len(town.model.leaves)}
    shape["degree"] = town.model.parameters.degree
    for _ in range(3):
        town.score(1, 1, apart=False)
    begun = time.process_time()
    runs = [town.score(1, 1, apart=False) for _ in range(given["requests"])]
    processor = (time.process_time() - begun) / len(runs)
    walls = sorted(run.wall for run in runs)
    yield {
        "case": {"case": "trees", "rows": 1, "requests": len(runs)} | shape,
        "seconds": {"p50": median(walls), "p99": round(walls[int(0.99 * len(walls))], 4)},
        "processor": {"all": round(processor, 6)},
        "bytes": runs[-1].bytes,
        "error": float(f"{max(run.error for run in runs):.1e}"),
    }
    for rows in options.rows or (BATCH,):
        runs = [town.score(rows, given["chunk"], apart=True) for _ in range(options.repeat)]
        wall = median([run.wall for run in runs])
        spent = {name: median([run.spent[name] for run in runs]) for name in runs[0].spent}
        yield {
            "case": {"case": "trees", "rows": rows, "chunk": given["chunk"]} | shape,
            "seconds": {"total": wall},
            "processor": spent,
            "rate": round(rows / wall),
            "rate_cpu": round(rows / (spent["bank"] + given["providers"] * spent["provider"])),
            "bytes": runs[-1].bytes,
            "bytes_each": round(runs[-1].bytes / rows, 1),
            "error": float(f"{max(run.error for run in runs):.1e}"),
        }


class _Town:
    """A bank and providers with keys, and trees that are drawn."""

    def __init__(self, providers: int, trees: int, depth: int) -> None:
        source, rng = SystemRandomness(), np.random.default_rng(trees)
        self.names = tuple(PartyId(f"provider{place}") for place in range(providers))
        self.trees = tuple(_tree(depth, providers, rng) for _ in range(trees))
        counts = np.zeros(providers + 1, np.int64)
        self.foreign = tuple(_numbered(tree, counts) for tree in self.trees)
        self.counts = [int(count) for count in counts]
        leaves = LeafMap.of(self.trees, self.foreign, providers, source.bytes(32))
        self.model = TreesModel(_MODEL, leaves, _INITIAL)
        pairs = {name: PairKey.generate(source) for name in (_BANK, *self.names)}
        validity = Validity(_NOW - 1, _NOW + 1)
        key = SecretKey.generate(_BANK, "bench", validity, self.model.parameters, source)
        members = tuple(Member(name, pairs[name].public) for name in self.names)
        self.requester = TreesRequester(_BANK, self.model, members, key, pairs[_BANK])
        self.providers = {}
        for place, name in enumerate(self.names):
            terms = TreesTerms(
                _MODEL,
                self.counts[place + 1],
                leaves.conditions[place],
                {key.public.fingerprint: key.public},
                {name: frozenset({pair.public}) for name, pair in pairs.items()},
                min_providers=1,
            )
            self.providers[name] = TreesProvider(name, _BANK, terms, {pairs[name].public: pairs[name]})

    def score(self, n: int, chunk: int, *, apart: bool) -> _Run:
        """Score n subjects, `chunk` of them a request."""
        spent: Spent = {"bank": 0.0, "provider": 0.0}
        wall, size, error = 0.0, 0, 0.0
        rng = np.random.default_rng(n)
        for first in range(0, n, chunk):
            rows = min(chunk, n - first)
            sides = [rng.random((count, rows)) < 0.5 for count in self.counts]
            took, traffic, raw = self._request(sides, spent, apart)
            wall, size = wall + took, size + traffic
            error = max(error, float(np.abs(probability(raw) - probability(self._clear(sides))).max()))
        if error > MAX_ERROR:
            raise FedcreditError("bench score: scores are not those of the trees in the clear")
        spent["provider"] /= len(self.names)
        return _Run(wall, spent, size, error)

    def _request(self, sides: list[Bools], spent: Spent, apart: bool) -> tuple[float, int, F64]:
        n = sides[0].shape[1]
        codes = np.array([b"9132%014d" % row for row in range(n)], "S18").view(np.uint8).reshape(n, 18)
        consents = np.zeros((len(self.names), n, 32), np.uint8)
        asked = TreesAsked("financing", _NOW, codes, consents, sides[0])
        roles: dict[PartyId, Steps[Any]] = {_BANK: self.requester.steps(asked, SystemRandomness())}
        for name, own in zip(self.names, sides[1:], strict=True):
            roles[name] = self._answering(name, own)
        if apart:
            roles = {
                name: timed(steps, "bank" if name == _BANK else "provider", spent) for name, steps in roles.items()
            }
        begun = time.perf_counter()
        outcome = run_network(roles, insecure_in_process=True)
        wall = time.perf_counter() - begun
        scores: TreesScores = outcome.results[_BANK]
        if not scores.scored.all():
            raise FedcreditError("bench score: a row has no score")
        return wall, sum(size for *_, size in outcome.traffic), scores.raw

    def _answering(self, name: PartyId, own: Bools) -> Steps[Any]:
        released = np.ones(own.shape[1], np.bool_)
        return self.providers[name].steps(lambda _: True, lambda *_: (own, released), SystemRandomness())

    def _clear(self, sides: list[Bools]) -> F64:
        score = np.full(sides[0].shape[1], _INITIAL)
        for tree, numbers in zip(self.trees, self.foreign, strict=True):
            left = np.array([sides[owner][number] for owner, number in zip(tree.owner, numbers, strict=True)])
            score += tree.leaf_value[tree.leaf_of(left)]
        return score


def _tree(depth: int, providers: int, rng: np.random.Generator) -> Tree:
    """A full tree; whose each split is, is drawn."""
    splits = (1 << depth) - 1
    children = 2 * np.arange(splits, dtype=np.int32)[:, None] + np.array([1, 2], np.int32)
    children = np.where(children < splits, children, ~(children - splits))
    none = np.zeros(splits, np.int32)
    owner = rng.integers(0, providers + 1, splits).astype(np.int32)
    values = rng.normal(0, _SPREAD, splits + 1)
    return Tree(owner, none, none, none > 0, children[:, 0], children[:, 1], np.zeros(splits), values)


def _numbered(tree: Tree, counts: I64) -> I64:
    """Each party numbers its splits in order; the bank's own numbers are those of `LeafMap.cuts`."""
    numbers = np.empty(tree.n_splits, np.int64)
    for split, owner in enumerate(tree.owner):
        numbers[split], counts[owner] = counts[owner], counts[owner] + 1
    return numbers

"""A bank and providers that score trees together: random trees, random sides, and what the clear gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fedcredit.credit.trees import Tree
from fedcredit.crypto.elgamal import Validity
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.crypto.rlwe_chain import PARAMETERS, SecretKey
from fedcredit.crypto.zero_sum import Member, PairKey
from fedcredit.ids import PartyId, party_id
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.score import (
    LeafMap,
    ScoreAnswered,
    TreesAsked,
    TreesModel,
    TreesProvider,
    TreesRequester,
    TreesTerms,
)
from fedcredit.transport.memory import Link, Outcome, run_network
from fedcredit.wire.message import Message
from fedcredit.wire.score import ScoreRequest

Bools = npt.NDArray[np.bool_]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
Tamper = Callable[[Link, int, bytes], tuple[int, bytes]]

BANK = party_id("bank")
NAMES = tuple(map(party_id, ("tax", "social", "water", "power", "customs")))
NOW = 1_800_000_000
MODEL = b"t" * 32
HOLDS = Validity(NOW - 10, NOW + 10)
KEYS = {
    name: SecretKey.generate("bank", name, HOLDS, parameters, insecure_seeded(1, name))
    for name, parameters in PARAMETERS.items()
}
PAIRS = {name: PairKey.generate(insecure_seeded(2, name)) for name in (BANK, *NAMES)}


def codes(n: int) -> U8:
    return np.array([b"9132%014d" % i for i in range(n)], "S18").view(np.uint8).reshape(n, 18)


def random_tree(splits: int, parties: int, rng: np.random.Generator) -> Tree:
    """A tree of any form: each split replaces a leaf that is there."""
    left, right = np.empty(splits, np.int32), np.empty(splits, np.int32)
    open_ends: list[tuple[int, bool] | None] = [None]
    for split in range(splits):
        end = open_ends.pop(int(rng.integers(len(open_ends))))
        if end is not None:
            (left if end[1] else right)[end[0]] = split
        open_ends += [(split, True), (split, False)]
    for leaf, end in enumerate(open_ends):
        if end is not None:
            (left if end[1] else right)[end[0]] = ~leaf
    none = np.zeros(splits, np.int32)
    owner = rng.integers(0, parties + 1, splits).astype(np.int32)
    values = rng.normal(0, 0.2, splits + 1)
    return Tree(owner, none, none, np.zeros(splits, bool), left, right, np.zeros(splits), values)


def numbered(trees: tuple[Tree, ...], parties: int) -> tuple[I64, ...]:
    """Each provider numbers its splits in order."""
    counts, foreign = np.zeros(parties + 1, np.int64), []
    for tree in trees:
        numbers = np.empty(tree.n_splits, np.int64)
        for split, owner in enumerate(tree.owner):
            numbers[split] = counts[owner]
            counts[owner] += 1
        foreign.append(numbers)
    return tuple(foreign)


@dataclasses.dataclass
class Town:
    """Trees of `k` providers over `n` subjects, and on which sides they fall: for each party, the bank first."""

    trees: tuple[Tree, ...]
    foreign: tuple[I64, ...]
    sides: list[Bools]
    released: list[Bools]
    initial: float = -1.5
    seed: int = 1
    fresh: Callable[[ScoreRequest], bool] = lambda request: True
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)
    key: SecretKey | None = None

    @classmethod
    def random(cls, k: int = 3, n: int = 6, *, trees: int = 8, splits: int = 15, seed: int = 1, **more: Any) -> Town:
        rng = np.random.default_rng(seed)
        grown = tuple(random_tree(splits, k, rng) for _ in range(trees))
        counts = np.bincount(np.concatenate([tree.owner for tree in grown]), minlength=k + 1)
        sides = [rng.random((count, n)) < 0.5 for count in counts]
        return cls(grown, numbered(grown, k), sides, [np.ones(n, bool)] * k, seed=seed, **more)

    @property
    def n(self) -> int:
        return int(self.sides[0].shape[1])

    @property
    def names(self) -> tuple[PartyId, ...]:
        return NAMES[: len(self.released)]

    @property
    def leaves(self) -> LeafMap:
        return LeafMap.of(self.trees, self.foreign, len(self.names), bytes(32))

    @property
    def model(self) -> TreesModel:
        return TreesModel(MODEL, self.leaves, self.initial)

    def in_the_clear(self) -> F64:
        """The raw score of every row, tree by tree."""
        score = np.full(self.n, self.initial)
        for tree, numbers in zip(self.trees, self.foreign, strict=True):
            left = np.array([self.sides[p][s] for p, s in zip(tree.owner, numbers, strict=True)], bool)
            score += tree.leaf_value[tree.leaf_of(left.reshape(tree.n_splits, self.n))]
        return score

    def asked(self, **changes: Any) -> TreesAsked:
        consents = np.stack([np.full((self.n, 32), place, np.uint8) for place in range(len(self.names))])
        fields: dict[str, Any] = {"purpose": "financing", "issued_at": NOW, "codes": codes(self.n)}
        return TreesAsked(**fields | {"consents": consents, "sides": self.sides[0]} | changes)

    def secret(self) -> SecretKey:
        return self.key or KEYS[self.model.parameters.name]

    def requester(self) -> TreesRequester:
        members = tuple(Member(name, PAIRS[name].public) for name in self.names)
        return TreesRequester(BANK, self.model, members, self.secret(), PAIRS[BANK])

    def terms(self, place: int) -> TreesTerms:
        fields: dict[str, Any] = {
            "model": MODEL,
            "splits": len(self.sides[place + 1]),
            "conditions": self.leaves.conditions[place],
            "bank_keys": {self.secret().public.fingerprint: self.secret().public},
            "pair_keys": {name: frozenset({pair.public}) for name, pair in PAIRS.items()},
            "min_providers": 1,
        }
        return TreesTerms(**fields | self.changes)

    def provider(self, place: int) -> Steps[ScoreAnswered]:
        name = self.names[place]

        def answer(request: ScoreRequest, of: U8, consents: U8) -> tuple[Bools, Bools]:
            assert (of == codes(self.n)).all()
            assert (consents == place).all()
            return self.sides[place + 1], self.released[place]

        role = TreesProvider(name, BANK, self.terms(place), {PAIRS[name].public: PAIRS[name]})
        return role.steps(self.fresh, answer, insecure_seeded(self.seed, name))

    def run(self, asked: TreesAsked | None = None, tamper: Tamper | None = None) -> Outcome:
        roles: dict[PartyId, Steps[Any]] = {name: self.provider(place) for place, name in enumerate(self.names)}
        roles[BANK] = self.requester().steps(asked or self.asked(), insecure_seeded(self.seed, "bank"))
        return run_network(roles, insecure_in_process=True, tamper=tamper)


def changing(kind: type[Message], change: Callable[[Any], Any], *, who: PartyId | None = None) -> Tamper:
    """Messages of `kind`, those that `who` sends or gets, as `change` leaves them."""

    def tamper(link: Link, tag: int, body: bytes) -> tuple[int, bytes]:
        if tag == kind.tag and (who is None or who in link):
            return tag, change(kind.decode(body)).encode()
        return tag, body

    return tamper

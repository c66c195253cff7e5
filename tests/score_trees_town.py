"""The town of scores with a version of boosted trees: a bank's, with splits of its own and of two departments."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from score_town import BANK, SOCIAL, TAX, N, ScoreTown
from scorecard_sample import sample

from fedcredit.credit.binary import probability
from fedcredit.credit.params import TreeParams
from fedcredit.credit.points import PointScale
from fedcredit.credit.trees import Tree
from fedcredit.estimators.columns import ColumnBins
from fedcredit.estimators.parts import FeaturePart, LabelPart
from fedcredit.governance.registry.documents import Offer, TreeFacts, Word
from fedcredit.governance.registry.states import Role
from fedcredit.ids import PartyId
from fedcredit.node.registry.held import Served
from fedcredit.node.scoring.asking_trees import cuts_of, leaf_map
from fedcredit.node.scoring.sides import SidesOfTable
from fedcredit.node.scoring.version import OwnVersion, bands_of
from fedcredit.node.store.model_parts import OwnPart
from fedcredit.protocols.boosting import BinnedColumns, OwnSplit

__all__ = ["TreesTown"]

PARTIES = (BANK, TAX, SOCIAL)
MANIFEST = hashlib.sha256(b"trees").digest()
_LEFT, _RIGHT = [1, 3, 5, ~0, ~2, ~4, ~6], [2, 4, 6, ~1, ~3, ~5, ~7]


@dataclass
class Trees:
    """What a node has of its models, in place of `HeldModels`."""

    offer: Offer
    part: bytes
    bulletin: object = None

    def served(self, name: str, version: int) -> Served:
        """See `HeldModels`."""
        return Served(self.offer, Role.CHAMPION, MANIFEST, self.part)


@dataclass
class Sides:
    """A table's sides that are read already."""

    read: SidesOfTable

    def current(self) -> SidesOfTable:
        """See `KeptTable`."""
        return self.read


@dataclass
class TreesTown(ScoreTown):
    """As `ScoreTown`, but what is scored with is `trees`, version 1."""

    trees: tuple[Tree, ...] = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.columns = {name: self._binned(name) for name in PARTIES}
        self.trees, self.foreign, splits = self._grown()
        bins = {name: found[0] for name, found in self.columns.items()}
        self.label = LabelPart(TreeParams(), PARTIES, bins[BANK], -2.0, self.trees, self.foreign, (0, 3, 6))
        leaves = sum(tree.n_splits + 1 for tree in self.trees)
        self.offer = replace(self.made.offer, name="trees", kind="gbdt", facts=TreeFacts(len(self.trees), leaves))
        for place, name in enumerate((TAX, SOCIAL), start=1):
            part = FeaturePart(BANK, bins[name], tuple(splits[place]))
            self._lend(name, part)
        self.tables_own = self._own_table()

    def own_version(self, **changes: Any) -> OwnVersion:
        """The version as the bank has it."""
        if not hasattr(self, "label"):
            return super().own_version(**changes)
        fields: dict[str, Any] = {"number": 1, "role": "champion", "manifest": MANIFEST, "offer": self.offer}
        fields |= {"ranges": {TAX: (0, 0), SOCIAL: (0, 0)}, "part": self.label, "bands": bands_of(PointScale())}
        return OwnVersion(**fields | changes)

    def in_the_clear(self) -> np.ndarray:
        """Every subject's probability of default."""
        raw = np.full(N, self.label.initial)
        for tree in self.trees:
            left = np.stack(
                [
                    self.columns[PARTIES[int(tree.owner[s])]][1].sides(
                        int(tree.feature[s]), int(tree.bin[s]), bool(tree.missing_left[s])
                    )
                    for s in range(tree.n_splits)
                ]
            )
            raw += tree.leaf_value[tree.leaf_of(left)]
        return probability(raw)

    def _binned(self, name: PartyId) -> tuple[ColumnBins, BinnedColumns]:
        columns = {key: column for key, column in sample().columns[name].items() if column.kind == "numeric"}
        some = {key: replace(columns[key], values=columns[key].values[:N]) for key in list(columns)[:3]}
        bins = ColumnBins.fit(some, TreeParams(max_bin=8, min_data_in_bin=5))
        return bins, bins.code(some, N)

    def _grown(self) -> tuple[tuple[Tree, ...], tuple[np.ndarray, ...], dict[int, list[OwnSplit]]]:
        random, splits = np.random.default_rng(3), dict[int, list[OwnSplit]]({1: [], 2: []})
        trees, foreign = [], []
        for number in range(6):
            owner = random.integers(0, 3, 7).astype(np.int32)
            groups = [self.columns[PARTIES[o]][1].groups for o in owner]
            feature = np.array([random.integers(len(g)) for g in groups], np.int32)
            cut = np.array([random.integers(g[f] - 1) for g, f in zip(groups, feature, strict=True)], np.int32)
            missing, numbers = random.random(7) < 0.5, np.zeros(7, np.int64)
            for s in np.flatnonzero(owner):
                own = splits[int(owner[s])]
                numbers[s] = len(own)
                own.append(OwnSplit(number, int(feature[s]), int(cut[s]), bool(missing[s])))
            left, right = np.array(_LEFT, np.int32), np.array(_RIGHT, np.int32)
            values = random.normal(0, 0.3, 8)
            trees.append(Tree(owner, feature, cut, missing, left, right, np.ones(7), values))
            foreign.append(numbers)
        return tuple(trees), tuple(foreign), splits

    def _lend(self, name: PartyId, part: FeaturePart) -> None:
        """Have a department serve its part."""
        desk, at = self.desks[name], self.models.parties[name]
        word = Word(
            platform=self.offer.platform,
            party=name,
            name="trees",
            version=1,
            offer=self.offer.digest,
            number=1,
            time=1,
            part=bytes(32),
        )
        at.store.model_parts.put(OwnPart(self.offer, word, bytes(32), bytes(32)), {})
        desk.models = Trees(self.offer, part.to_bytes())  # type: ignore[assignment]
        cuts = tuple((s.feature, s.bin, s.missing_left) for s in part.splits)
        read = Sides(SidesOfTable(*self._ordered(name, cuts)))
        desk.tables = lambda served: read

    def _own_table(self) -> SidesOfTable:
        cuts = tuple(cuts_of(leaf_map(self.models.parties[BANK].folder, self.label, MANIFEST)))
        return SidesOfTable(*self._ordered(BANK, cuts))

    def _ordered(self, name: PartyId, cuts: Any) -> tuple[Any, Any, BinnedColumns]:
        ids = np.array([code.encode() for code in self.subjects], "S32")
        order, columns = np.argsort(ids), self.columns[name][1]
        ordered = BinnedColumns(np.ascontiguousarray(columns.codes[:, order]), columns.groups, columns.missing)
        return ids[order], cuts, ordered

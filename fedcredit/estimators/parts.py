"""A trained model's parts. Each party stores its own: the label party the trees, the others their splits."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.params import TreeParams
from fedcredit.credit.trees import Tree
from fedcredit.errors import DataError, FedcreditError, Problem
from fedcredit.estimators.columns import ColumnBins
from fedcredit.ids import PartyId, party_id
from fedcredit.protocols.boosting import OwnSplit

__all__ = ["FeaturePart", "LabelPart", "part_from_bytes"]

I64: TypeAlias = npt.NDArray[np.int64]

FORMAT = 1


@dataclass(frozen=True, slots=True)
class LabelPart:
    """The label party's part: trees, own thresholds, and for each foreign split its number at its owner."""

    params: TreeParams
    parties: tuple[PartyId, ...]
    columns: ColumnBins = field(repr=False)
    initial: float
    trees: tuple[Tree, ...] = field(repr=False)
    foreign: tuple[I64, ...] = field(repr=False)
    first_feature: tuple[int, ...] = field(repr=False)

    def splits_of(self, party: int) -> int:
        """How many splits of the model party number `party` owns."""
        return sum(int((tree.owner == party).sum()) for tree in self.trees)

    def importance(self) -> list[dict[str, Any]]:
        """Total gain and number of splits of each feature used, by gain; others' features by opaque name."""
        found: dict[tuple[int, int], tuple[float, int]] = {}
        for tree in self.trees:
            for owner, feature, gain in zip(tree.owner, tree.feature, tree.gain, strict=True):
                total, splits = found.get((int(owner), int(feature)), (0.0, 0))
                found[int(owner), int(feature)] = (total + float(gain), splits + 1)
        rows = [
            {"party": self.parties[owner], "feature": self._name(owner, feature), "gain": gain, "splits": splits}
            for (owner, feature), (gain, splits) in found.items()
        ]
        return sorted(rows, key=lambda row: -float(str(row["gain"])))

    def to_bytes(self) -> bytes:
        """JSON, the same bytes for the same model."""
        return _dump(
            {
                "kind": "gbdt",
                "role": "label",
                "params": asdict(self.params),
                "parties": list(self.parties),
                "first_feature": list(self.first_feature),
                "columns": self.columns.to_json(),
                "initial": self.initial,
                "trees": [tree.to_json() for tree in self.trees],
                "foreign": [numbers.tolist() for numbers in self.foreign],
            }
        )

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The part that `to_bytes` wrote. Raises: KeyError, TypeError, ValueError, FedcreditError."""
        trees = tuple(Tree.from_json(tree) for tree in data["trees"])
        foreign = tuple(np.array(numbers, np.int64) for numbers in data["foreign"])
        part = cls(
            TreeParams.from_mapping(data["params"]),
            tuple(party_id(name) for name in data["parties"]),
            ColumnBins.from_json(data["columns"]),
            float(data["initial"]),
            trees,
            foreign,
            tuple(int(f) for f in data["first_feature"]),
        )
        if len(part.first_feature) != len(part.parties) or [t.n_splits for t in trees] != [n.size for n in foreign]:
            raise ValueError("parts of different models")
        return part

    def _name(self, owner: int, feature: int) -> str:
        number = feature - self.first_feature[owner]
        return self.columns.names[number] if owner == 0 else f"{self.parties[owner]}.f{number}"


@dataclass(frozen=True, slots=True)
class FeaturePart:
    """A feature party's part: its bins, and its splits of the model in the order that numbers them."""

    label_party: PartyId
    columns: ColumnBins = field(repr=False)
    splits: tuple[OwnSplit, ...] = field(repr=False)

    def to_bytes(self) -> bytes:
        """JSON; `column` and `threshold` are there for the owner's own people to read."""
        return _dump(
            {
                "kind": "gbdt",
                "role": "feature",
                "label_party": self.label_party,
                "columns": self.columns.to_json(),
                "splits": [
                    asdict(split)
                    | {
                        "column": self.columns.names[split.feature],
                        "threshold": _finite(self.columns.bins[split.feature].threshold(split.bin)),
                    }
                    for split in self.splits
                ],
            }
        )

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The part that `to_bytes` wrote. Raises: KeyError, TypeError, ValueError, FedcreditError."""
        columns = ColumnBins.from_json(data["columns"])
        splits = tuple(
            OwnSplit(int(s["tree"]), int(s["feature"]), int(s["bin"]), bool(s["missing_left"])) for s in data["splits"]
        )
        if any(not 0 <= s.feature < len(columns.bins) or s.bin >= columns.bins[s.feature].n_bins for s in splits):
            raise ValueError("a split of a column that the part does not have")
        return cls(party_id(data["label_party"]), columns, splits)


def part_from_bytes(data: bytes) -> LabelPart | FeaturePart:
    """The part in `data`. Raises: DataError (MODEL_INVALID)."""
    try:
        raw = json.loads(data)
        if raw["format"] != FORMAT or raw["kind"] != "gbdt":
            raise ValueError("another format")
        return LabelPart.from_json(raw) if raw["role"] == "label" else FeaturePart.from_json(raw)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, FedcreditError):
        what = "is not the part of a model of this version"
        raise DataError(Problem("MODEL_INVALID", "model part", what, "train the model again")) from None


def _finite(threshold: float) -> float | None:
    """JSON has no infinity: None where every value goes left and only missing ones go right."""
    return threshold if math.isfinite(threshold) else None


def _dump(data: dict[str, Any]) -> bytes:
    return json.dumps({"format": FORMAT} | data, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"

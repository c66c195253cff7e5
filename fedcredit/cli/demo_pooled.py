"""What only a demonstration can know: all rows in one place, the model they give, and every party's own figures.

It may read all tables since it made them up. On real nodes a party has its own rows and its own `own.json`, and nobody
has this comparison.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.glm import fit_logistic
from fedcredit.credit.logistic_params import LogisticParams
from fedcredit.credit.metrics import rank_curve
from fedcredit.credit.params import TreeParams
from fedcredit.credit.scorecard_params import ScorecardParams
from fedcredit.estimators import Federation, HeldOut
from fedcredit.estimators.horizontal_boosting import code_rows
from fedcredit.estimators.horizontal_columns import agreed_cuts
from fedcredit.estimators.horizontal_scorecard import HorizontalScorecard
from fedcredit.estimators.horizontal_within import own_figures
from fedcredit.estimators.lightgbm_check import pooled
from fedcredit.estimators.lightgbm_engine import CodedRows
from fedcredit.estimators.lightgbm_model import model_text
from fedcredit.estimators.logistic_part import numeric_table
from fedcredit.estimators.sums import Sums
from fedcredit.ids import PartyId
from fedcredit.node.specification import JobSpecification
from fedcredit.node.split import holdout_key
from fedcredit.runtime.config import JobFile
from fedcredit.tables import Column, open_table
from fedcredit.tables.split import holdout_mask
from fedcredit.transport.memory import MemoryNetwork

__all__ = ["Compared", "Pool", "compare"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U64: TypeAlias = npt.NDArray[np.uint64]
U8: TypeAlias = npt.NDArray[np.uint8]

_POOL = PartyId("pool")


@dataclass(frozen=True, slots=True)
class Compared:
    """AUC on the rows that a party holds out: of the model of its own rows, of the joint one, of one of pooled rows.

    `party` None: over all pairs of a good and a bad row of the same party. None: it holds out no good or no bad rows.
    """

    model: str
    party: str | None
    rows: int
    bads: int
    alone: float | None
    joint: float | None
    pooled: float | None


class _One(Sums):
    """Sums over one member: what it has."""

    def __init__(self) -> None:
        network = MemoryNetwork([_POOL], insecure_in_process=True)
        alone = Federation(
            me=_POOL, label_party=_POOL, feature_parties=(), transport=network.transport(_POOL), ssid=bytes(32)
        )
        super().__init__(alone, "pool", None, 1)

    async def words(self, label: str, values: U64, *, sensitivity: float | None = None) -> U64:
        """The values themselves."""
        return values


@dataclass(frozen=True, slots=True)
class Pool:
    """The tables of all parties one below the other, split as the job has split them.

    Shapes: label, city (n,), columns of n rows each; `city` counts parties in the job's order.
    """

    parties: tuple[PartyId, ...]
    train: Mapping[str, Column] = field(repr=False)
    test: Mapping[str, Column] = field(repr=False)
    train_label: U8 = field(repr=False)
    test_label: U8 = field(repr=False)
    test_city: I64 = field(repr=False)

    @classmethod
    def of(cls, job: JobFile, specification: JobSpecification) -> Pool:
        """Read them. Raises: DataError, ConfigError."""
        assert specification.split is not None, "a model is judged by rows held out"
        assert specification.split.holdout is not None, "the demonstration holds out a share"
        sides: dict[bool, list[tuple[int, dict[str, Column], U8]]] = {True: [], False: []}
        for k, party in enumerate(job.parties):
            with open_table(job.file_table(party).spec(job.path.parent, None)) as table:
                held = holdout_mask(table.ids(), specification.split.holdout, holdout_key(specification))
                for side, found in sides.items():
                    rows = table.read(np.flatnonzero(held == side))
                    assert rows.label is not None, "every party has labels"
                    found.append((k, rows.columns, rows.label))
        train, test = _below(sides[False]), _below(sides[True])
        city = np.concatenate([np.full(label.size, k, np.int64) for k, _, label in sides[True]])
        return cls(tuple(job.parties), train[0], test[0], train[1], test[1], city)

    def scores(self, kind: str, params: Mapping[str, Any], seed: int) -> F64:
        """Of the rows held out, higher for bad ones, by a model of all rows to train on. Raises: DataError."""
        if kind == "gbdt":
            return self._boosted(TreeParams.from_mapping({"seed": seed, **params}))
        if kind == "logistic":
            return self._logistic(LogisticParams.from_mapping(params))
        return self._card(ScorecardParams.from_mapping(params))

    def _boosted(self, params: TreeParams) -> F64:
        """LightGBM itself, cut where the members' cuts are: they are made of the rows of all, whoever has which."""
        import lightgbm

        train = {name: self.train[name] for name in sorted(self.train)}
        edges = asyncio.run(
            agreed_cuts(
                _One(), train, max_bin=params.max_bin, min_rows=params.min_data_in_bin, special={}, label="cuts"
            )
        )
        rows = CodedRows(code_rows(train, edges), self.train_label, tuple(len(of) for of in edges.values()))
        text = model_text(pooled(rows, params, params.num_trees), edges, params)
        table = np.stack([self.test[name].values for name in edges], axis=1)
        return np.asarray(lightgbm.Booster(model_str=text).predict(table), np.float64)

    def _logistic(self, params: LogisticParams) -> F64:
        fills = {name: float(np.nanmean(column.values)) for name, column in self.train.items()}
        train, test = (numeric_table(of, y.size, fills) for of, y in self._both())
        mean, spread = train.mean(axis=0), train.std(axis=0)
        fit = fit_logistic((train - mean) / spread, self.train_label, l2=params.l2)
        return fit.log_odds((test - mean) / spread)

    def _card(self, params: ScorecardParams) -> F64:
        """The card of one member that has all rows."""
        sums = _One()
        held = HeldOut(dict(self.test), self.test_label.size, self.test_label)
        card = HorizontalScorecard(params).fit(sums.federation, self.train, self.train_label, sums=sums, held_out=held)
        # More points are a better risk.
        return -asyncio.run(card).outcome_.own_points[1].astype(np.float64)

    def _both(self) -> tuple[tuple[Mapping[str, Column], U8], ...]:
        return (self.train, self.train_label), (self.test, self.test_label)


def compare(job: JobFile, out: Path) -> list[Compared]:
    """Each party alone, all together, and pooled, for every model of the run of `job` that lies in `out`.

    The first two are what the parties wrote down themselves, in `parties/NAME/model/MODEL/own.json`; over all parties
    they are `within` in metrics.json. Raises: DataError, ConfigError.
    """
    specification = JobSpecification.parse((out / "specification.json").read_bytes())
    within = {m["name"]: m.get("within") or {} for m in json.loads((out / "metrics.json").read_bytes())["models"]}
    pool, found = Pool.of(job, specification), list[Compared]()
    for model in specification.models:
        scores = pool.scores(model.kind, model.params, specification.job.seed)
        pairs, ordered, rows, bads = 0, 0.0, 0, 0
        for k, party in enumerate(pool.parties):
            own = json.loads((out / "parties" / party / "model" / model.name / "own.json").read_bytes())
            mine = pool.test_city == k
            in_one_place = own_figures(pool.test_label[mine], scores[mine], scores[mine])["auc"]
            found.append(
                Compared(model.name, party, own["rows"], own["bads"], own["auc_alone"], own["auc"], in_one_place)
            )
            if in_one_place is not None:
                curve = rank_curve(pool.test_label[mine], scores[mine])
                here = int(curve.bad[-1]) * int(curve.good[-1])
                pairs, ordered = pairs + here, ordered + here * curve.auc
            rows, bads = rows + own["rows"], bads + own["bads"]
        of_all = within[model.name]
        alone, joint = of_all.get("auc_alone"), of_all.get("auc")
        found.append(Compared(model.name, None, rows, bads, alone, joint, ordered / pairs if pairs else None))
    return found


def _below(parts: Sequence[tuple[int, dict[str, Column], U8]]) -> tuple[dict[str, Column], U8]:
    """The rows of all parts, one part below the other."""
    first = parts[0][1]
    columns = {
        name: replace(column, values=np.concatenate([part[name].values for _, part, _ in parts]))
        for name, column in first.items()
    }
    return columns, np.concatenate([label for _, _, label in parts])

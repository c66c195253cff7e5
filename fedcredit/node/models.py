"""What a job asks of a kind of model: run your stages, hand back your part and, where the label is, figures.

A kind is an entry of `RUNNERS`; its module is loaded when a job first names it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from fedcredit.errors import ConfigError, FedcreditError, Problem
from fedcredit.estimators.mixed_frame import BankRows
from fedcredit.estimators.noised_sums import PrivacySpend
from fedcredit.ids import PartyId
from fedcredit.node.specification import ModelEntry
from fedcredit.protocols.groupsum.choice import Choice
from fedcredit.runtime.meter import Meter
from fedcredit.runtime.model_file import Layout
from fedcredit.runtime.state import StageRunner
from fedcredit.tables import Rows
from fedcredit.transport.channel import Transport

__all__ = ["HORIZONTAL_RUNNERS", "MIXED_RUNNERS", "RUNNERS", "ModelContext", "ModelResult", "ModelRunner", "runner_of"]

RUNNERS: dict[str, str] = {
    "binning": "fedcredit.node.binning:BinningRunner",
    "gbdt": "fedcredit.node.gbdt:GbdtRunner",
    "logistic": "fedcredit.node.logistic:LogisticRunner",
    "scorecard": "fedcredit.node.scorecard:ScorecardRunner",
    "statistics": "fedcredit.node.statistics:StatisticsRunner",
}
"""Kind of model -> `module:class` of its runner."""

HORIZONTAL_RUNNERS: dict[str, str] = {
    "binning": "fedcredit.node.horizontal.binning:HorizontalBinningRunner",
    "gbdt": "fedcredit.node.horizontal.gbdt:HorizontalGbdtRunner",
    "logistic": "fedcredit.node.horizontal.logistic:HorizontalLogisticRunner",
    "scorecard": "fedcredit.node.horizontal.scorecard:HorizontalScorecardRunner",
    "statistics": "fedcredit.node.horizontal.statistics:HorizontalStatisticsRunner",
}
"""The same of models whose parties have the same columns for different subjects."""

MIXED_RUNNERS: dict[str, str] = {"scorecard": "fedcredit.node.mixed.scorecard:MixedScorecardRunner"}
"""The same of models of several label parties and columns of others."""

_BY_LAYOUT: dict[Layout, dict[str, str]] = {
    "vertical": RUNNERS,
    "horizontal": HORIZONTAL_RUNNERS,
    "mixed": MIXED_RUNNERS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelContext:
    """Everything a model may use at one party. `train` and `test` are aligned: row i is the same subject everywhere.

    Stages of the model are called `f"{entry.name}/{phase}"`, e.g. `gbdt.0/tree.7`; `transport.open(ssid, stage,
    peers=..., epoch=...)` gives their channels, `session_id(ssid, epoch, name)` the sessions of protocols, `step` keeps
    their states, `progress(stage, done, total)` shows how far they are. `groupsum` is the backend of its sums.
    `number` is the model's place in the job. `secret` is this party's own, the same in all starts of the job. `purpose`
    and `leakage`, the ids of what is shown, are the job's. `aligned` is how many rows `train` and `test` have together.
    `members` are the parties with a label, the label party first, `feature_parties` all others but that one; of
    `threshold` members a sum may come. `finished`: all stages are kept, and others may have published and gone.
    `two_parties_accepted`: all parties have let in that two add up. `banks` are, of a mixed model, the rows of each
    label party that this one knows of: at a party without a label those of all, one after the other. `privacy`: what
    the job's sums may spend, where they have noise.
    """

    me: PartyId
    label_party: PartyId
    feature_parties: tuple[PartyId, ...]
    members: tuple[PartyId, ...]
    threshold: int
    ssid: bytes = field(repr=False)
    epoch: int
    seed: int
    number: int
    entry: ModelEntry
    groupsum: Choice
    secret: bytes = field(repr=False)
    purpose: str
    leakage: tuple[str, ...]
    aligned: int
    banks: BankRows
    train: Rows = field(repr=False)
    test: Rows = field(repr=False)
    transport: Transport = field(repr=False)
    meter: Meter = field(repr=False)
    step: StageRunner = field(repr=False)
    progress: Callable[[str, int, int], None] = field(repr=False)
    peer_timeout_s: float
    threads: int
    finished: bool = False
    two_parties_accepted: bool = False
    privacy: PrivacySpend | None = field(default=None, repr=False)

    @property
    def peers(self) -> tuple[PartyId, ...]:
        """All other parties of the job."""
        return tuple(party for party in (self.label_party, *self.feature_parties) if party != self.me)

    @property
    def is_label_party(self) -> bool:
        """Whether the label is here."""
        return self.me == self.label_party

    def count(self, rows: Rows) -> int:
        """How many rows these are. Raises: FedcreditError where nothing says so."""
        if rows.label is not None:
            return rows.label.size
        for column in rows.columns.values():
            return column.values.size
        raise FedcreditError(f"{self.entry.name}: {self.me} has neither a label nor a column")


@dataclass(frozen=True, slots=True)
class ModelResult:
    """What is left of a model at one party.

    `files` are this party's part, by name below `model/`; `figures` is the model's entry in metrics.json, at the label
    party only.
    """

    files: Mapping[str, bytes] = field(repr=False)
    figures: Mapping[str, Any] | None = None


class ModelRunner(Protocol):
    """One kind of model at one party."""

    async def run(self, context: ModelContext) -> ModelResult:
        """Train, predict and evaluate. Raises FedcreditError."""


def runner_of(entry: ModelEntry) -> ModelRunner:
    """A runner of such a model. Raises ConfigError (MODEL_KIND)."""
    kinds = _BY_LAYOUT[entry.split]
    if entry.kind not in kinds:
        raise ConfigError(Problem("MODEL_KIND", f"{entry.split} model of kind {entry.kind}", "is not in this build"))
    module, _, name = kinds[entry.kind].partition(":")
    runner: ModelRunner = getattr(importlib.import_module(module), name)()
    return runner

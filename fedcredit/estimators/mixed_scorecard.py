"""Mixed scorecards as a modeller calls them: banks have labels of rows of their own, departments columns of all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.scorecard_params import ScorecardParams
from fedcredit.errors import ConfigError, DataError, Problem
from fedcredit.estimators.bin_records import LentBatch
from fedcredit.estimators.binning import Binning, OwnColumns
from fedcredit.estimators.card_columns import CardColumns
from fedcredit.estimators.card_label import CardRows, LabelOutcome
from fedcredit.estimators.card_table import CardTable
from fedcredit.estimators.federation import Federation
from fedcredit.estimators.horizontal_binning import HorizontalBinning
from fedcredit.estimators.horizontal_scorecard import HorizontalScorecard
from fedcredit.estimators.mixed_bank import BankCard, BankOutcome
from fedcredit.estimators.mixed_columns import BankColumns
from fedcredit.estimators.mixed_department import DepartmentCard
from fedcredit.estimators.mixed_frame import BankRows, MixedFrame
from fedcredit.estimators.mixed_leader import LeaderCard
from fedcredit.estimators.mixed_records import Batches
from fedcredit.estimators.scorecard import HeldOut
from fedcredit.estimators.sums import Sums
from fedcredit.estimators.training import Stages
from fedcredit.ids import PartyId
from fedcredit.protocols.mixed import MixedBinningBank, MixedBinningDepartment, MixedBinningLeader
from fedcredit.protocols.tally import Tally
from fedcredit.runtime.state import StageRunner, run_at_once
from fedcredit.tables import Column

__all__ = ["MixedScorecard"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]

Progress: TypeAlias = Callable[[str, int, int], None]


class MixedScorecard:
    """A points table over the common columns of several banks and the columns of departments, from all banks' rows.

    Parameters are those of `credit.scorecard_params.ScorecardParams`, by name or as one value. Sums are under ring-LWE
    and masks; there are no weights, offsets and periods.

    Learned, after `fit`: `part_`, at a department its part of the card, at every bank the banks' part, which is one
    document in the leader's name; `columns_`, this party's binned columns, at a bank with rows and bad rows of all
    banks; `seconds_`, of each stage run here and now; at banks `tallies_`, how scores are spread over all banks, and
    `own_tallies_` over its own rows, as far as these are 50 at least; `alone_`, what the banks' columns give without
    departments by the same rules, None where none stays or `alone` was not asked for; at the leader `outcome_`
    (selection, fit), and `binning_` with what it knows of departments' columns; `stability_` there, of each column its
    name, party and stability index (-1 for none).

    Reveals: `docs/protocols/mixed.md`.
    """

    def __init__(self, params: ScorecardParams | None = None, **names: Any) -> None:
        if params is not None and names:
            what = "give ScorecardParams or parameters by name, not both"
            raise ConfigError(Problem("CONFIG_CONFLICT", "MixedScorecard", what))
        self.params = params
        self._names = dict(names)
        self._checked = ScorecardParams.from_mapping(names) if params is None else params
        given = self._checked
        unknown = [key for key in ("weight", "offset", "time") if getattr(given, key) is not None]
        if unknown:
            what = "is not for labels at several banks"
            raise ConfigError([Problem("CONFIG_CONFLICT", key, what, "leave it out") for key in unknown])
        HorizontalBinning(given.bins)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments that make an equal, unfitted card."""
        return ({} if self.params is None else {"params": self.params}) | self._names

    def set_params(self, **names: Any) -> Self:
        """Change some arguments. Raises: ConfigError."""
        MixedScorecard.__init__(self, **(self.get_params() | names))
        return self

    async def fit(
        self,
        federation: Federation,
        columns: Mapping[str, Column],
        label: U8 | None = None,
        *,
        banks: tuple[PartyId, ...],
        rows: BankRows | None = None,
        sums: Sums | None = None,
        held_out: HeldOut | None = None,
        alone: bool = True,
        name: str = "scorecard",
        run_stage: StageRunner = run_at_once,
        progress: Progress = lambda _phase, _done, _all: None,
    ) -> Self:
        """Make a card with the other parties, who call it with the same parameters, banks and departments.

        `federation.label_party` is the leader, the first of `banks`; `federation.feature_parties` are the departments.
        A bank gives `label` and `sums` over the banks; a department gives `rows`, and has its columns with the rows of
        one bank after those of another, in the order of `banks`, each in the order that it and that bank agreed on.
        `alone`, the same at all banks: whether they also make the card that they would without departments.

        Shapes: columns of n rows each; label (n,) 0 or 1.
        Raises: ConfigError; DataError (LABEL_*, VALUE_*, COLUMNS_DIFFER, NO_COLUMNS_LEFT, the fit's); PeerLost;
        PeerError.
        """
        if sums is not None and sums.members != banks:
            raise ConfigError(Problem("CONFIG_VALUE", "banks", "are not those that add up, in their order"))
        if federation.label_party != banks[0] or set(banks) & set(federation.feature_parties):
            raise ConfigError(Problem("CONFIG_VALUE", "banks", "are led by another party, or are departments too"))
        stages = Stages(federation, name, run_stage)
        held = held_out or HeldOut({}, 0, None if label is None else np.zeros(0, np.uint8))
        model = f"{federation.ssid.hex()}/{name}"
        if federation.me not in banks:
            if rows is None or label is not None:
                what = "are those of each bank, at a department, which has no label"
                raise DataError(Problem("LABEL_PARTY", "rows", what, "give the label where the job says it is"))
            await self._lend(
                federation, columns, held, MixedFrame(banks, rows, sum(rows.train.values())), stages, model
            )
        else:
            if label is None or held.label is None or sums is None:
                raise DataError(Problem("LABEL_PARTY", "label", "or what adds up is missing at a bank"))
            await self._at_bank(federation, columns, label, held, sums, stages, model, run_stage, progress)
            self.alone_: HorizontalScorecard | None = None
            if alone and columns:
                self.alone_ = await self._alone(columns, label, held, sums, stages.channel("alone"), run_stage)
        self.seconds_ = stages.seconds
        return self

    async def _lend(
        self,
        federation: Federation,
        columns: Mapping[str, Column],
        held: HeldOut,
        frame: MixedFrame,
        stages: Stages,
        model: str,
    ) -> None:
        """A department's way."""
        params, total = self._checked, frame.total
        if held.n_rows != sum(frame.rows.held_out.values()):
            raise DataError(Problem("LABEL_PARTY", "rows", "held out are not as many as those of the banks"))
        own = await asyncio.to_thread(OwnColumns.cut, columns, params.bins, total)
        binning = _binning(params)
        party = MixedBinningDepartment(
            federation.me,
            frame.leader,
            own.prebinned(),
            params.bins,
            rows=frame.shape(federation.feature_parties).slices(),
        )
        await binning.lend(party, own, stages, frame.banks)
        self.columns_ = binning.columns_
        numbered = binning.columns_[: len(own.columns)]
        made = await asyncio.to_thread(CardColumns.of, numbered, held.columns, total, held.n_rows)
        self.part_ = await DepartmentCard(params, made, stages, frame=frame).run(model)

    async def _at_bank(
        self,
        federation: Federation,
        columns: Mapping[str, Column],
        label: U8,
        held: HeldOut,
        sums: Sums,
        stages: Stages,
        model: str,
        run_stage: StageRunner,
        progress: Progress,
    ) -> None:
        """A bank's way."""
        params, me = self._checked, federation.me
        own = HorizontalBinning(params.bins)
        name = stages.channel("own")
        await own.fit(federation, columns, label, sums=sums, name=name, run_stage=run_stage, progress=progress)
        self.columns_, total = own.columns_, own.total_
        frame = MixedFrame(sums.members, BankRows({me: label.size}, {me: held.n_rows}), total.rows, sums)
        binning = _binning(params)
        to_leader = frame.to_leader(stages.channel("counts"))
        if me == frame.leader:
            settles = MixedBinningLeader(
                me,
                federation.feature_parties,
                label,
                params.bins,
                banks=frame.banks,
                rows=total.rows,
                bad=total.bads,
                to_leader=to_leader,
            )
            await binning.settle(settles, stages, (*federation.feature_parties, *frame.banks[1:]))
        else:
            lends = MixedBinningBank(frame.leader, federation.feature_parties, label, to_leader)
            await binning.follow(lends, stages, (frame.leader, *federation.feature_parties))
        made = await asyncio.to_thread(CardColumns.of, own.columns_, held.columns, label.size, held.n_rows)
        bank = await BankColumns.pooled(made, own.missing_, total.rows, sums, stages)
        assert held.label is not None, "checked before"
        train, test = CardRows(label), CardRows(held.label)
        self.own_tallies_: dict[str, Tally] = {}
        if me == frame.leader:
            table = CardTable(me, own.columns_, binning.foreign_)
            card = LeaderCard(
                params=params,
                columns=bank,
                table=table,
                train=train,
                test=test,
                stages=stages,
                frame=frame,
                bad=total.bads,
                own_tallies=self.own_tallies_,
            )
            self.outcome_: LabelOutcome = await card.run(model)
            self.binning_, self.part_, self.tallies_ = binning, self.outcome_.part, self.outcome_.tallies
            listed = zip(table.columns, self.outcome_.stability.tolist(), strict=True)
            self.stability_ = [(column.name, column.party, index) for column, index in listed]
        else:
            outcome: BankOutcome = await BankCard(params, bank, train, test, stages, frame).run(model)
            self.part_, self.tallies_, self.own_tallies_ = outcome.part, outcome.tallies, outcome.own_tallies
        stages.seconds.update(own.seconds_)

    async def _alone(
        self,
        columns: Mapping[str, Column],
        label: U8,
        held: HeldOut,
        sums: Sums,
        name: str,
        run_stage: StageRunner,
    ) -> HorizontalScorecard | None:
        """What the banks' columns give without departments: all banks come to the same."""
        card = HorizontalScorecard(replace(self._checked, merged_card=False))
        try:
            return await card.fit(
                sums.federation, columns, label, sums=sums, held_out=held, name=name, run_stage=run_stage
            )
        except DataError as error:
            if error.code not in ("NO_COLUMNS_LEFT", "LABEL_SEPARABLE"):
                raise
            return None

    def transform(self, columns: Mapping[str, Column], n_rows: int) -> F64:
        """Weights of evidence of this party's columns of the card. Shapes: returns (n, columns of the part).

        Raises: DataError (COLUMN_MISSING, COLUMN_KIND, VALUE_INFINITE).
        """
        return self.part_.woe_of(columns, n_rows)

    def points(self, columns: Mapping[str, Column], n_rows: int) -> I64:
        """Points of each row in each of this party's columns of the card. Raises: as `transform`."""
        return self.part_.points_of(columns, n_rows)


class _Binning(Binning):
    """`Binning` with the roles of a mixed job."""

    async def lend(
        self, party: MixedBinningDepartment, own: OwnColumns, stages: Stages, banks: tuple[PartyId, ...]
    ) -> None:
        await self._lend(party, own, stages, _silent, peers=banks)

    async def settle(self, party: MixedBinningLeader, stages: Stages, peers: tuple[PartyId, ...]) -> None:
        await self._settle(party, stages, _silent, peers=peers)

    async def follow(self, party: MixedBinningBank, stages: Stages, peers: tuple[PartyId, ...]) -> None:
        """A bank's that does not lead."""
        federation = stages.federation

        async def learn() -> Batches:
            steps = party.batches()
            return Batches(await federation.run(stages.channel("declare"), steps, peers=peers[:1]))

        async def lend(batch: int) -> LentBatch:
            await federation.run(stages.channel(f"counts.{batch}"), party.lend(federation.randomness), peers=peers)
            return LentBatch(0)

        known = await stages.run("declare", Batches, learn)
        for batch in range(known.batches):
            await stages.run(f"counts.{batch}", LentBatch, partial(lend, batch))


def _binning(params: ScorecardParams) -> _Binning:
    return _Binning(params.bins, band=(params.iv_min, params.iv_max))


def _silent(_phase: str, _done: int, _all: int) -> None:
    pass

"""The feature party's side of binning: it cuts its columns, lends them to be counted, and is told its bins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedcredit.credit.bin_params import BinParams
from fedcredit.credit.settling import canonical
from fedcredit.credit.woe import TELL_EVIDENCE, TELL_VALUES
from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.kernels.onehot import Assignment
from fedcredit.protocols.binning.columns import (
    I64,
    NOT_TOLD,
    REFUSALS,
    STYLES,
    Batches,
    Counting,
    PrebinnedColumns,
    ToldColumn,
    keeps,
)
from fedcredit.protocols.binning.counts import LentColumns
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.groupsum import Grouping, Holder, onehot, paillier, plain
from fedcredit.wire.binning import COLUMNS_AT_ONCE, CountPlan, Prebins, SettledBins

__all__ = ["BinningFeature"]


@dataclass(frozen=True, slots=True)
class BinningFeature:
    """Has the columns of this party binned by the label party, which learns counts of opaque pre-bins.

    Every pre-bin has at least `params.min_rows` rows, so that no count is about fewer.

    Reveals: to this party, what `params.iv_disclosure` says. "none": nothing. "coarse": which of its columns say more
    of the label than chance does; of these, bins and coarse weights of evidence. Else which of its pre-bins were joined
    into bins, each with rows of both classes; which of its columns have no bins within the limits; and with "bins"
    nothing more, with "rank" the order of its columns by information value, with "rounded" these values rounded, with
    "exact" these values and the weight of evidence of each bin, from which the bad rows of each bin follow.
    Assumes: semi-honest parties; what the way of counting assumes.
    """

    me: PartyId
    label_party: PartyId
    columns: PrebinnedColumns
    params: BinParams
    backend: Counting = "rlwe"
    insecure_plain: bool = False

    @property
    def step(self) -> str:
        """How errors name this session."""
        return f"binning of {self.label_party} over {self.me}"

    @property
    def batches(self) -> Batches:
        """Which of the columns are counted together."""
        return Batches(self.columns.shapes, self.columns.n_rows, self.backend)

    def declare(self) -> Steps[int]:
        """Say how many pre-bins each column has; gives the number of batches, over all parties. Raises: PeerError."""
        shapes = self.columns.shapes
        yield from send(
            self.label_party,
            Prebins(
                np.array([shape.n_values for shape in shapes], np.uint16),
                np.array([shape.missing for shape in shapes], np.uint8),
                np.array([shape.n_special for shape in shapes], np.uint8),
                np.array([STYLES.index(shape.style) for shape in shapes], np.uint8),
            ),
        )
        plan = yield from recv(self.label_party, CountPlan)
        if plan.batches < len(self.batches):
            raise self._broke("counts fewer batches than there are columns for")
        return plan.batches

    def lend(self, batch: int, session: bytes, randomness: Randomness) -> Steps[None]:
        """Have the columns of one batch counted. `session` serves this batch alone. Raises: PeerError."""
        features = self.batches[batch]
        if not features:
            return
        rows = self.columns.n_rows
        groups = self.batches.groups(batch)
        codes = np.ascontiguousarray(self.columns.codes[list(features)])
        if self.backend == "rlwe":
            yield from LentColumns(self.label_party, codes, groups).lend(randomness)
            return
        shape = Grouping(session, self.label_party, self.me, rows, groups)
        holder: Holder
        if self.backend == "plain":
            holder = yield from plain.set_up_holder(shape, codes, insecure_plain=self.insecure_plain)
        elif self.backend == "paillier":
            holder = yield from paillier.set_up_holder(shape, codes, randomness)
        else:
            holder = yield from onehot.set_up_holder(shape, codes, randomness)
        everything = tuple(range(len(features)))
        held = yield from holder.take(0, everything, 1, Assignment.whole(rows), keep=False)
        yield from holder.show(held, held.sums)

    def hear(self) -> Steps[tuple[ToldColumn, ...]]:
        """Receive what became of each column. Raises: PeerError."""
        told: list[ToldColumn] = []
        shapes = self.columns.shapes
        for first in range(0, len(shapes), COLUMNS_AT_ONCE):
            run = shapes[first : first + COLUMNS_AT_ONCE]
            got = yield from recv(self.label_party, SettledBins)
            sizes = [shape.n_bins for shape in run]
            if got.first != first or got.refused.size != len(run) or got.labels.size != sum(sizes):
                raise self._broke("settled other columns than were due")
            told += self._columns(got, sizes)
        return tuple(told)

    def _columns(self, got: SettledBins, sizes: list[int]) -> list[ToldColumn]:
        how = self.params.iv_disclosure
        if (got.iv.size > 0) != (how in TELL_VALUES and got.refused.size > 0):
            raise self._broke("told other information values than the job says")
        found, at, woe_at = [], 0, 0
        for k, size in enumerate(sizes):
            labels = got.labels[at : at + size].astype(np.int64)
            at += size
            refused = REFUSALS[int(got.refused[k])]
            n_bins = 0 if refused else int(labels.max()) + 1
            self._check(labels, k, got, refused)
            woe = None
            if how in TELL_EVIDENCE and not refused:
                woe = tuple(got.woe[woe_at : woe_at + n_bins].tolist())
                woe_at += n_bins
                if len(woe) != n_bins:
                    raise self._broke("told other weights of evidence than there are bins")
            iv = None if refused or not got.iv.size else float(got.iv[k])
            found.append(ToldColumn(labels, refused, iv, woe))
        if woe_at != got.woe.size:
            raise self._broke("told other weights of evidence than the job says")
        return found

    def _check(self, labels: I64, k: int, got: SettledBins, refused: str | None) -> None:
        shape = self.columns.shapes[got.first + k]
        apart = shape.style != "levels" and bool((np.diff(labels[: shape.n_values]) < 0).any())
        if (canonical(labels) != labels).any() or apart or (refused and labels.any()):
            raise self._broke("joined pre-bins in a way that there is not")
        # With "none" nothing may follow from what came, and with "coarse" not why a column is left out.
        how = self.params.iv_disclosure
        if (how == "none" and (refused or labels[-1] != labels.size - 1)) or (
            refused is not None and (refused == NOT_TOLD) != (how == "coarse")
        ):
            raise self._broke("told other bins than the job says")
        if not got.iv.size:
            return
        iv = float(got.iv[k])
        if refused:
            if iv:
                raise self._broke("told an information value of a column without bins")
        elif not keeps(iv, self.params.iv_disclosure, len(self.columns.shapes)):
            raise self._broke("told other information values than the job says")

    def _broke(self, how: str) -> PeerError:
        return PeerError(self.label_party, self.step, how, "SHAPE")

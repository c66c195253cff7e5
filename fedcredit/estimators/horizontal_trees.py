"""The loop that grows a horizontal model, the same at every member: tree after tree, each a stage of its own.

A stage gives a record, and the record is all that the loop goes on with, whether it was just made or thawed from the
store: also the scores of rows come from trees as they are kept. LightGBM is set up when the first tree that is not
thawed begins, on the scores of those before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.params import TreeParams
from fedcredit.credit.schedule import EarlyStopping
from fedcredit.estimators.horizontal_boosting_records import AgreedColumns, BoostedTree
from fedcredit.estimators.lightgbm_engine import CodedRows, LightGBMEngine, Place
from fedcredit.estimators.lightgbm_model import coded_model, with_leaf_count
from fedcredit.estimators.lightgbm_payloads import Bounds, FixedPoint
from fedcredit.estimators.sums import Sums
from fedcredit.estimators.training import Stages
from fedcredit.protocols.collectives import Collective, EngineMember, Reply, Summed

__all__ = ["HorizontalTraining"]

F64: TypeAlias = npt.NDArray[np.float64]

MOST_LOSS = 64.0
"""Of a row: more than any score that a model of ours gives; beyond it a row counts as this much."""


class HorizontalTraining:
    """Grows the model. `rows`: this member's own, of which `n_train` come first and are learnt from.

    Learned: `learning`, the losses over all members' rows, tree by tree.
    """

    def __init__(
        self,
        rows: CodedRows,
        n_train: int,
        agreed: AgreedColumns,
        params: TreeParams,
        sums: Sums,
        stages: Stages,
    ) -> None:
        self._rows, self._n_train, self._agreed, self._params = rows, n_train, agreed, params
        self._sums, self._stages = sums, stages
        self._stopping = EarlyStopping(params.early_stopping_round if agreed.held_rows else 0)
        self._scores: F64 = np.zeros(rows.label.size)
        self._trees: list[str] = []
        self._engine: LightGBMEngine | None = None
        self._tried: tuple[int, str, F64] | None = None
        self.learning: dict[str, list[float]] = {"tree": [], "train_logloss": []}
        if agreed.held_rows:
            self.learning["valid_logloss"] = []

    async def run(self) -> list[str]:
        """The trees of the model, over bin numbers. Raises: PeerLost, PeerError, FedcreditError (ENGINE_*)."""
        try:
            while len(self._trees) < self._params.num_trees:
                record = await self._stages.run(f"tree.{len(self._trees)}", BoostedTree, self._grow)
                if not record.tree:
                    break
                self._scores = await asyncio.to_thread(self._scores_with, record.tree)
                self._trees.append(record.tree)
                if self._learn(record):
                    break
        finally:
            if self._engine is not None:
                # Even if nobody is left to wait until it has.
                self._engine.release()
                await asyncio.to_thread(self._engine.close)
        return self._trees[: self._stopping.best_tree] if self._agreed.held_rows else self._trees

    def _learn(self, record: BoostedTree) -> bool:
        """Note the losses; whether to stop."""
        self.learning["tree"].append(len(self._trees))
        self.learning["train_logloss"].append(record.train_loss)
        if record.held_loss is None:
            return False
        self.learning["valid_logloss"].append(record.held_loss)
        return self._stopping.update(record.held_loss)

    async def _grow(self) -> BoostedTree:
        if self._engine is None:
            self._engine = self._begin()
        rows = (self._n_train, self._rows.label.size - self._n_train)
        turn = _Turn(self._engine, self._agreed, self._losses, rows)
        label = self._stages.channel(f"tree.{len(self._trees)}")
        role = EngineMember(self._sums.group, label, self._rows.bins, turn)
        others = [member for member in self._sums.members if member != self._sums.me]
        try:
            await self._sums.federation.run(label, role.steps(), peers=others)
        except BaseException:
            # LightGBM may wait for an answer that does not come any more.
            self._engine.release()
            raise
        assert turn.record is not None, "the role ran to its end"
        return turn.record

    def _begin(self) -> LightGBMEngine:
        members, n = self._sums.members, self._n_train
        bounds = Bounds(self._agreed.rows, max(1.0, self._params.scale_pos_weight), len(members))
        learnt = CodedRows(self._rows.codes[:n], self._rows.label[:n], self._rows.edges)
        scores = self._scores[:n] if self._trees else None
        place = Place(members.index(self._sums.me), bounds)
        return LightGBMEngine(learnt, self._params, place, number=len(self._trees), scores=scores)

    def _losses(self, tree: str) -> F64:
        """Summed losses of this member's rows with one more tree: of those learnt from, and of those held. (2,)."""
        scores, label, n = self._scores_with(tree), self._rows.label, self._n_train
        losses = np.minimum(np.logaddexp(0.0, np.where(label > 0, -scores, scores)), MOST_LOSS)
        return np.array([losses[:n].sum(), losses[n:].sum()])

    def _scores_with(self, tree: str) -> F64:
        """Raw scores of all own rows, added up in LightGBM's own order: one tree after the other.

        Asked for the losses with a tree, and again when it is kept: the last tree's are at hand then.
        """
        import lightgbm

        if self._tried is None or self._tried[:2] != (len(self._trees), tree):
            booster = lightgbm.Booster(model_str=coded_model([tree], len(self._rows.edges)))
            more = booster.predict(self._rows.codes, raw_score=True)
            self._tried = len(self._trees), tree, self._scores + np.asarray(more, np.float64)
        return self._tried[2]


class _Turn:
    """An `Engine` for one tree, and one sum more than LightGBM asks for: the losses with it. Then there is `record`."""

    def __init__(
        self, engine: LightGBMEngine, agreed: AgreedColumns, losses: Callable[[str], F64], rows: tuple[int, int]
    ) -> None:
        self.record: BoostedTree | None = None
        self._tree = ""
        self._engine, self._losses, self._rows, self._in_tree = engine, losses, agreed.rows, True
        self._own_rows = np.array(rows, np.uint64)
        self._scale = FixedPoint.below(MOST_LOSS * (agreed.rows + agreed.held_rows))

    def resume(self, reply: Reply | None) -> Collective | None:
        """See `Engine`."""
        if not self._in_tree:
            assert isinstance(reply, np.ndarray), "the role answers what was asked"
            train, held = self._scale.values(reply[:2]).tolist()
            n_train, n_held = reply[2:].tolist()
            self.record = BoostedTree(self._tree, train / n_train, held / n_held if n_held else None)
            return None
        if (request := self._engine.resume(reply)) is not None:
            return request
        if self._engine.tree is None:
            self.record = BoostedTree("", 0.0, None)
            return None
        self._in_tree, self._tree = False, with_leaf_count(self._engine.tree, self._rows)
        return Summed(np.concatenate([self._scale.words(self._losses(self._tree)), self._own_rows]))

"""One request for scores at a provider: what is released is decided, kept and written down before it is computed.

A role asks for what goes into its messages (`points`, `sides`); here that is looked up, and held back where a consent,
the rule or what was answered before says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit import failpoints
from fedcredit.governance.audit import Event, listed
from fedcredit.governance.registry.rules import ModelRule
from fedcredit.governance.scoring.decisions import Outcome, ScoreRow, decide_rows
from fedcredit.governance.scoring.ledger import hash_of_rows
from fedcredit.kernels import digest
from fedcredit.node.recorder import Recorder
from fedcredit.node.scoring.consents import ConsentedRows
from fedcredit.node.scoring.points import PointsOfTable
from fedcredit.node.scoring.sides import SidesOfTable
from fedcredit.node.store import Store
from fedcredit.node.store.scores import NONCE_S, ScoreUse
from fedcredit.protocols.score import request_hash
from fedcredit.wire.score import ScoreRequest
from fedcredit.wire.scoring import ScoreCall

__all__ = ["Answering"]

Bools: TypeAlias = npt.NDArray[np.bool_]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]

_BOUND_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """What the rule `rule` has let in at `moment`. `zone` says where the policy's days begin."""

    call: ScoreCall = field(repr=False)
    rule: ModelRule
    consented: ConsentedRows
    moment: datetime
    zone: Callable[[], tzinfo]
    store: Store = field(repr=False)
    recorder: Recorder = field(repr=False)

    @property
    def now(self) -> int:
        """The time of the request here, in seconds since 1970."""
        return int(self.moment.timestamp())

    def fresh(self, request: ScoreRequest) -> bool:
        """Whether it was made lately enough for its nonce to be remembered; that it is new, the store says."""
        return abs(self.now - request.issued_at) <= NONCE_S

    def points(self, table: PointsOfTable, request: ScoreRequest, codes: U8, hashes: U8) -> tuple[I64, Bools]:
        """The points of each subject, and which rows are released. Shapes: codes (n, w); hashes (n, 32); (n,) each."""
        points, known = table.look(codes)
        released = self._released(request, codes, hashes, known)
        return np.where(released, points, 0), released

    def sides(self, table: SidesOfTable, request: ScoreRequest, codes: U8, hashes: U8) -> tuple[Bools, Bools]:
        """Who goes left at each own split, and which rows are released. Shapes: as `points`; (splits, n), (n,)."""
        rows, known = table.rows_of(codes)
        released = self._released(request, codes, hashes, known)
        sides = table.sides(rows) if len(table.codes) else np.zeros((len(table.cuts), len(codes)), np.bool_)
        return sides & released, released

    def _released(self, request: ScoreRequest, codes: U8, hashes: U8, known: Bools) -> Bools:
        rows = self.consented.rows(codes, self.call.tokens(), hashes, known, self.now)
        use = self._use(request)
        grant, now = self.rule.score, self.now
        outcomes = self.store.scores.settle(use, rows, lambda prior: decide_rows(rows, use.bound, grant, prior, now))
        self._record(request, use, rows, outcomes)
        return np.fromiter((outcome is Outcome.ANSWERED for outcome in outcomes), np.bool_, len(outcomes))

    def _use(self, request: ScoreRequest) -> ScoreUse:
        return ScoreUse(
            requester=self.consented.requester,
            model=self.call.model,
            version=self.call.version,
            purpose=request.purpose,
            nonce=request.nonce,
            request=request_hash(request),
            bound=digest.derive("fedcredit v1 score list", request.model + request.providers.encode(), _BOUND_BYTES),
            at=self.now,
            day=None if self.rule.score.per_day is None else self._day(),
        )

    def _day(self) -> int:
        """When the day of the policy's zone began, in seconds since 1970."""
        begun = self.moment.astimezone(self.zone()).replace(hour=0, minute=0, second=0, microsecond=0)
        return int(begun.timestamp())

    def _record(
        self, request: ScoreRequest, use: ScoreUse, rows: Sequence[ScoreRow], outcomes: Sequence[Outcome]
    ) -> None:
        settled = [
            (row.subject, row.consent, outcome, row.why_of(outcome))
            for row, outcome in zip(rows, outcomes, strict=True)
        ]
        self.recorder.record(
            Event.SCORE_ANSWERED,
            "",
            requester=use.requester,
            model=use.model,
            version=use.version,
            purpose=use.purpose,
            **listed("providers", request.names()),
            request=use.request.hex(),
            asked=len(rows),
            answered=sum(outcome is Outcome.ANSWERED for outcome in outcomes),
            rows=hash_of_rows(use.at, use.bound, settled).hex(),
            rule=self.rule.name,
        )
        failpoints.hit("score.recorded", use.requester)

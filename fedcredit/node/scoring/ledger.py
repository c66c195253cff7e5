"""A department's ledger of scores: its store's rows, after they were compared with what its audit log says of them.

What a crash left between the two is told to the log at the next start: it was decided on, and nothing was let have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from fedcredit.errors import DataError, Problem
from fedcredit.governance.audit import Event
from fedcredit.governance.scoring.ledger import INTERRUPTED, ScoreEntry, ScoreLine, entry_of, hash_of_rows, row_problems
from fedcredit.node.audit_places import LogPlace, find_one
from fedcredit.node.own_store import store_url
from fedcredit.node.recorder import Recorder
from fedcredit.node.store import Store
from fedcredit.node.store.scores import KeptRequest, ScoreUsed
from fedcredit.node.verification.log_key import log_key, subject_tag
from fedcredit.runtime.config import PartyFile

__all__ = ["LoggedScores", "lines_of", "own_log", "problems_of", "record_interrupted", "scores_about", "scores_of"]


class LoggedScores:
    """What a log says of requests for scores; hand `see` to its scan."""

    def __init__(self) -> None:
        self.entries: dict[str, ScoreEntry] = {}
        self.twice: set[str] = set()

    @classmethod
    def of(cls, log: LogPlace) -> LoggedScores:
        """Those of a log, after checking it. Raises: AuditBroken, ConfigError (AUDIT_UNAVAILABLE)."""
        found = cls()
        log.scan(see=found.see)
        return found

    def see(self, block: bytes, _first: int) -> None:
        """Take what stands in a block of checked lines."""
        if b'{"event":"score_' not in block:
            return
        for line in block.split(b"\n"):
            if (said := entry_of(line)) is not None:
                self.twice |= {said[0]} & self.entries.keys()
                self.entries[said[0]] = said[1]


def own_log(config: PartyFile) -> LogPlace | None:
    """The node's own log, in which scores stand; None where it has never run. Raises: ConfigError (KEY_*)."""
    if not (config.folder / "audit" / "checkpoint").exists():
        return None
    return find_one(config.folder, config.path(config.identity.signing_certificate))


def scores_of(config: PartyFile) -> list[ScoreLine]:
    """All that was asked of the node's parts of scores, in the order of time, after checking it.

    Raises: AuditBroken, ConfigError (AUDIT_*, STORE_*), DataError (AUDIT_SCORES).
    """
    if (log := own_log(config)) is None:
        return []
    logged = LoggedScores.of(log)  # before the store: what is in the log has been in the store by then
    store = Store.look(store_url(config))
    try:
        return lines_of(store, logged)
    finally:
        store.close()


def scores_about(config: PartyFile, subject: str) -> list[ScoreLine]:
    """All scores that were asked for about a subject, by its code. Raises: as `scores_of`."""
    found = scores_of(config)
    tag = subject_tag(log_key(config.folder), subject) if found else ""
    return [line for line in found if line.subject == tag]


def lines_of(store: Store, logged: LoggedScores) -> list[ScoreLine]:
    """The ledger's lines, in the order of time. Raises: DataError (AUDIT_SCORES) with every difference."""
    lines: list[ScoreLine] = []
    kept: dict[str, ScoreEntry] = {}
    for request in store.scores.requests():
        name, rows = request.request.hex(), store.scores.of(request.request)
        kept[name] = _entry(request, rows)
        said = logged.entries.get(name)
        lines += _lines(request, rows, INTERRUPTED if said is None else said.code)
    if problems := _differences(store, kept, logged):
        raise DataError(problems)
    return lines


def problems_of(store: Store, logged: LoggedScores) -> list[Problem]:
    """Where the store's rows are not those of the log. Raises: ConfigError (STORE_*)."""
    kept = {one.request.hex(): _entry(one, store.scores.of(one.request)) for one in store.scores.requests()}
    return _differences(store, kept, logged)


def record_interrupted(store: Store, recorder: Recorder, log: LogPlace) -> int:
    """Tell the log of requests that were decided on when the node ended, before anything of them was let have.

    Returns how many. Raises: AuditBroken, ConfigError (AUDIT_*, STORE_*).
    """
    fresh = store.scores.remembered()
    if not fresh:
        return 0
    logged = LoggedScores.of(log).entries
    lost = [one for one in store.scores.requests() if one.request in fresh and one.request.hex() not in logged]
    for request in lost:
        said = _entry(request, store.scores.of(request.request))
        recorder.record(
            Event.SCORE_REFUSED,
            "",
            requester=said.requester,
            model=said.model,
            version=said.version,
            purpose=said.purpose,
            request=request.request.hex(),
            rows=said.rows,
            asked=request.rows,
            code=INTERRUPTED,
        )
    return len(lost)


def _differences(store: Store, kept: Mapping[str, ScoreEntry], logged: LoggedScores) -> list[Problem]:
    fresh = {request.hex() for request in store.scores.remembered()}
    return row_problems(kept, logged.entries, fresh) + _twice(logged)


def _lines(request: KeptRequest, rows: Sequence[ScoreUsed], code: str) -> Iterator[ScoreLine]:
    at = datetime.fromtimestamp(request.at, UTC)
    for row in rows:
        outcome, reason = ScoreLine.outcome_of(row.outcome, row.why, code)
        yield ScoreLine(
            at=at,
            requester=row.requester,
            model=row.model,
            version=row.version,
            purpose=row.purpose,
            outcome=outcome,
            reason=reason,
            subject=row.subject.hex(),
            consent=row.consent.hex(),
        )


def _entry(request: KeptRequest, rows: Sequence[ScoreUsed]) -> ScoreEntry:
    """What the log has to say of a request by the store's rows of it; rows that are of no one request differ."""
    first, digest = rows[0], hash_of_rows(request.at, request.bound, (row.settled for row in rows)).hex()
    same = {(row.requester, row.model, row.version, row.purpose, row.at, row.bound) for row in rows}
    return ScoreEntry(
        requester=first.requester,
        model=first.model,
        version=first.version,
        purpose=first.purpose,
        rows=digest if len(same) == 1 else "",
    )


def _twice(logged: LoggedScores) -> list[Problem]:
    entries: Mapping[str, ScoreEntry] = logged.entries
    what = "stands in the log twice"
    return [
        Problem("AUDIT_SCORES", f"score request {request[:16]} of {entries[request].requester}", what)
        for request in sorted(logged.twice)
    ]

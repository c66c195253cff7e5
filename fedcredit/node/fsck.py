"""Whether a node's folder is whole: its store, its audit logs against the store and against what peers have signed of
them, what it let have of scores against the log, the heads that it has signed itself, its results on disk against the
store.

Reads everything and changes nothing. Not while the node runs: what is between two writes then would look broken.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from fedcredit.errors import ConfigError, DataError, FedcreditError, Problem
from fedcredit.governance.audit import VERIFY_LOG, AuditBroken, Head, continues, origin_of
from fedcredit.governance.audit_proof import check_signature
from fedcredit.ids import PartyId
from fedcredit.node.audit_checks import BatchChecks
from fedcredit.node.audit_places import read_witnessed
from fedcredit.node.audit_scan import CHECKPOINT, WITNESSED, Verifier, scan_log
from fedcredit.node.own_store import lock_folder, store_url
from fedcredit.node.registry.parts import part_problems
from fedcredit.node.scoring.ledger import LoggedScores, problems_of
from fedcredit.node.signing import verify_audit_head
from fedcredit.node.specification import JobSpecification
from fedcredit.node.store import JobRow, JobState, Store
from fedcredit.node.store.witness import SeenHead
from fedcredit.runtime.config import PartyFile
from fedcredit.transport.identity import CERTIFICATE_ERRORS

__all__ = [
    "Checked",
    "check_audit",
    "check_folder",
    "check_heads",
    "check_models",
    "check_results",
    "check_scores",
    "check_store",
]

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Checked:
    """How much was looked at and found whole. `entries` are those of all audit logs, `heads` those of peers."""

    jobs: int
    stages: int
    files: int
    entries: int
    heads: int


def check_folder(config: PartyFile, verifier: Callable[[], Verifier]) -> Checked:
    """Check all that the node of `config` keeps; `verifier` checks its signature of an audit log's head.

    Raises: DataError with every problem found; ConfigError (LOCKED) while the node runs.
    """
    with lock_folder(config.folder):
        try:
            store = Store.look(store_url(config))
        except ConfigError as error:
            raise DataError(error.problems) from None
        try:
            problems = check_store(store) + check_results(store, config.folder / "jobs")
            entries = 0
            for log, folder in (("", config.folder), (VERIFY_LOG, config.folder / VERIFY_LOG)):
                found, wrong = check_audit(store, folder / "audit", origin_of(config.me, log), verifier)
                entries, problems = entries + found, problems + wrong
            problems = problems or check_scores(store, config.folder / "audit", config.me, verifier)
            heads, wrong = check_heads(store)
            problems += wrong + check_models(store, config.me, config.folder)
            if problems:
                raise DataError(problems)
            jobs = store.jobs.all()
            stages = sum(len(store.stages.all(job.id)) for job in jobs)
            files = sum(len(store.results.files(job.id)) for job in jobs)
            return Checked(len(jobs) + len(store.platform.all()), stages, files, entries, heads)
        finally:
            store.close()


def check_store(store: Store) -> list[Problem]:
    """What is wrong within the store, and with the specifications in it."""
    if problems := store.problems():
        return problems
    return [problem for job in store.jobs.all() for problem in _specification(job)]


def check_audit(store: Store, folder: Path, origin: str, verifier: Callable[[], Verifier]) -> tuple[int, list[Problem]]:
    """The number of entries in an audit log, and what is wrong with it, with it beside the head in the store, with the
    checks of its batches, or with what peers have signed of it."""
    kept = store.heads.of(origin)
    if kept is None and not any((folder / name).exists() for name in ("checkpoint", "entries.jsonl")):
        return 0, []  # a node that never ran, or not long enough to begin its log
    try:
        known, verify, checks = None if kept is None else Head(origin, *kept), verifier(), BatchChecks(folder)
        found = scan_log(folder, origin, verify, known, see=checks.see)
        for one in read_witnessed(folder).heads:
            if one.signed.head.origin != origin:
                raise AuditBroken("AUDIT_WITNESS", f"{folder / WITNESSED}", f"heads of another log than {origin}")
            continues(found.leaves, check_signature(one.signed, verify))
    except (AuditBroken, ConfigError) as error:
        return 0, list(error.problems)
    except OSError as error:
        return 0, [Problem("AUDIT_UNAVAILABLE", str(folder), error.strerror or "cannot be read")]
    return found.tree.size, []


def check_heads(store: Store) -> tuple[int, list[Problem]]:
    """The number of peers' logs whose heads this node has signed, and what is wrong with what it keeps of them."""
    problems, seen = list[Problem](), 0
    try:
        for head in store.witness.all():
            seen += 1
            problems += _signature(head)
        for fork in store.witness.forks():
            problems += [*_signature(fork.shown), *_signature(fork.kept)]
    except FedcreditError as error:
        problems += error.problems
    return seen, problems


def check_scores(store: Store, folder: Path, origin: str, verifier: Callable[[], Verifier]) -> list[Problem]:
    """Where what was let have of scores is another in the store than in the node's own audit log, in `folder`."""
    logged = LoggedScores()
    try:
        if (folder / CHECKPOINT).exists():
            scan_log(folder, origin, verifier(), see=logged.see)
        return problems_of(store, logged)
    except FedcreditError as error:
        return list(error.problems)
    except OSError as error:
        return [Problem("AUDIT_UNAVAILABLE", str(folder), error.strerror or "cannot be read")]


def check_models(store: Store, me: PartyId, folder: Path) -> list[Problem]:
    """What is wrong with the registry of models, and with the own parts that are scored with."""
    try:
        store.models.all()
        store.model_changes.unrecorded()
        return list(part_problems(store, me, folder))
    except FedcreditError as error:
        return list(error.problems)


def check_results(store: Store, folder: Path) -> list[Problem]:
    """Results that are not on disk as they were published."""
    try:
        jobs = store.jobs.all()
        return [problem for job in jobs for problem in _result(store, job, folder / job.id / "result")]
    except FedcreditError as error:
        return list(error.problems)


def _signature(seen: SeenHead) -> Iterator[Problem]:
    try:
        certificate = x509.load_der_x509_certificate(seen.certificate)
        check_signature(seen.signed, lambda signature, body: verify_audit_head(certificate, signature, body))
    except (*CERTIFICATE_ERRORS, AuditBroken):
        where = f"head of {seen.signed.head.origin}"
        yield Problem("STORE_INCONSISTENT", where, "is not signed by the key that was kept with it")


def _specification(job: JobRow) -> Iterator[Problem]:
    if job.specification is None:
        return
    try:
        wrong = JobSpecification.parse(job.specification).hash != job.ssid
    except FedcreditError:
        wrong = True
    if wrong:
        yield Problem("STORE_INCONSISTENT", f"job {job.id}", "its specification is not the one that was signed")


def _result(store: Store, job: JobRow, folder: Path) -> Iterator[Problem]:
    noted = {path: (digest, size) for path, digest, size in store.results.files(job.id)}
    if job.state is JobState.SUCCEEDED and not noted:
        yield Problem("RESULT_MISSING", f"job {job.id}", "succeeded, and no result was noted")
    if not noted:
        return  # a result whose job did not get to note it is made again when the job goes on
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    for name in sorted(noted.keys() | there):
        where = f"job {job.id}, result/{name}"
        if name not in there:
            yield Problem("RESULT_MISSING", where, "is not there")
        elif name not in noted:
            yield Problem("RESULT_DAMAGED", where, "was not published by the job")
        elif _digest(folder / name) != noted[name]:
            yield Problem("RESULT_DAMAGED", where, "is not as it was published")


def _digest(path: Path) -> tuple[bytes, int] | None:
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
    except OSError:
        return None
    return digest.digest(), size

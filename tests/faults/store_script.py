"""Everything that a node writes into its store, one thing after the other, in a process that may die at a failpoint.

    python tests/faults/store_script.py FOLDER

For every failpoint of the store a copy of this process does it all and is killed there. What it had said to be done,
and what its store then holds, is printed as JSON, beside what the store holds after each thing when nobody dies.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[n]) for n in (1, 2)]

from fedcredit import failpoints
from fedcredit.governance.audit import Head, SignedHead
from fedcredit.governance.registry.documents import CardFacts, Offer, Word
from fedcredit.governance.registry.states import Change
from fedcredit.governance.scoring.decisions import Outcome, ScoreRow
from fedcredit.governance.verification.ledger import Report
from fedcredit.governance.verification.outcomes import Standing
from fedcredit.governance.witness import Judgement, Verdict
from fedcredit.ids import PartyId
from fedcredit.node.store import ConsentRow, JobState, KeyRow, RevocationRow, Store
from fedcredit.node.store.model_parts import OwnPart
from fedcredit.node.store.registry import Signed
from fedcredit.node.store.scores import ScoreUse
from fedcredit.node.store.witness import SeenHead
from fedcredit.runtime.clock import ManualClock

CLOCK = ManualClock()
LATER = CLOCK.now() + timedelta(days=1)
LOAN = Standing(reference="L-1", subject="91320100MA1MTQ0X09", status="granted", day=CLOCK.now().date())
SHOWN = SeenHead(SignedHead(Head("tax", 3, bytes(32)), bytes(64)), b"certificate")
TOKEN, DIGEST = hashlib.sha256(b"token").digest(), hashlib.sha256(b"x").digest()
CONSENT = ConsentRow("jti", "ann", "request", DIGEST, "a.b.c", "subject", "notice", "zh", 100, 900, recorded=False)
OFFER = Offer(
    platform=PartyId("platform"),
    publisher=PartyId("bank"),
    name="sme",
    kind="scorecard",
    model="scorecard.0",
    job="a",
    specification=DIGEST,
    purpose="financing",
    parties=(PartyId("bank"), PartyId("tax")),
    facts=CardFacts(600.0, 20.0, 50.0, 4),
)


def word(party: str, number: int = 1, part: bytes | None = DIGEST) -> Word:
    """A party's word on the first version of the offer."""
    reach = (0, 64) if part else (None, None)
    return Word(
        platform=OFFER.platform,
        party=PartyId(party),
        name="sme",
        version=1,
        offer=OFFER.digest,
        number=number,
        time=1,
        part=part,
        least=reach[0],
        most=reach[1],
    )


def signed(document: Offer | Word) -> Signed:
    """As it would be kept; nobody checks the signature here."""
    return Signed(document.to_bytes(), bytes(64), b"certificate")


PART = OwnPart(OFFER, word("tax"), DIGEST, bytes(32))

SCORES = ScoreUse(
    requester="bank",
    model="sme",
    version=1,
    purpose="financing",
    nonce=bytes(32),
    request=DIGEST,
    bound=bytes(16),
    at=1_800_000_000,
    day=1_799_990_000,
)
SCORE_ROWS = [ScoreRow(subject=bytes([k]) * 16, consent=bytes([k]) * 16, known=k == 1, max_uses=1) for k in (1, 2)]

WRITES: list[Callable[[Store], object]] = [
    lambda s: s.jobs.pend("pending", b"p", submitter="operator", reason="rows"),
    lambda s: s.jobs.approve("pending", "somebody"),
    lambda s: s.jobs.propose("a", b"p", bytes(32), bytes(32)),
    lambda s: s.calls.keep("a", "Propose", b"request", b"reply"),
    lambda s: s.jobs.sign("a", b"spec", DIGEST),
    lambda s: s.jobs.start("a", b"signatures"),
    lambda s: s.stages.begin("a", "align"),
    lambda s: s.stages.finish("a", "align", b"state" * 100, CLOCK.now()),
    lambda s: s.stages.finish("a", "split", b"other" * 100, CLOCK.now()),
    lambda s: s.jobs.wait("a", "PEER_LOST", "tax"),
    lambda s: s.jobs.resume("a", 1, 1),
    lambda s: s.events.add("a", 1, b"event"),
    lambda s: s.heads.put("a", 3, bytes(32)),
    lambda s: s.budgets.spend("a", "operator/table"),
    lambda s: s.results.add("a", [("model.json", DIGEST, 4)]),
    lambda s: s.jobs.end("a", JobState.SUCCEEDED),
    lambda s: s.platform.submit("b", "request", DIGEST, definition=b"d", proposal=b"p", submitter="operator"),
    lambda s: s.platform.update("b", JobState.RUNNING, epoch=1),
    lambda s: s.tokens.add(TOKEN, "tax", "provider", LATER),
    lambda s: s.tokens.use(TOKEN, DIGEST),
    lambda s: s.members.put(PartyId("tax"), "provider", b"record", "member", "01"),
    lambda s: s.usage.put(Report("tax", CLOCK.now().date(), CLOCK.now().date(), ()), b"{}"),
    lambda s: s.outcomes.put("bank", [LOAN]),
    lambda s: s.consents.keep(CONSENT),
    lambda s: s.consents.revoke(RevocationRow("0f" * 16, 200, 900, "ann", "changed my mind", recorded=False)),
    lambda s: s.consent_keys.add(KeyRow("ab" * 16, "enterprise", "subject", DIGEST, 0, 1000, 1000, recorded=False)),
    lambda s: s.consent_keys.number(DIGEST, 1),
    lambda s: s.witness.take(SHOWN, lambda _kept: Judgement(Verdict.KEEP)),
    lambda s: s.models.publish(OFFER, signed(OFFER), {"change": "publish"}),
    lambda s: s.models.take(word("bank"), signed(word("bank")), {"change": "approve"}),
    lambda s: s.models.take(word("tax"), signed(word("tax")), {"change": "approve"}),
    lambda s: s.models.change(Change.ACTIVATE, "sme", 1, {"change": "activate"}),
    lambda s: s.model_parts.put(PART, {"change": "approve"}),
    lambda s: s.scores.settle(SCORES, SCORE_ROWS, lambda prior: [Outcome.ANSWERED, Outcome.NO_RECORD]),
]


def content(path: Path) -> str:
    """The hash of all that the store at `path` holds but for who has it, which must be whole."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as store:
        assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        names = [name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {
            name: sorted(map(repr, store.execute(f"SELECT * FROM {name}")))
            for name in sorted(names)
            if name != "leases"
        }
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def write_all(path: Path, done: Path, plan: str) -> None:
    """Do it all, note what was acknowledged; dies where `plan` says."""
    environment = {failpoints.ALLOW: "1", failpoints.PLAN: plan}
    if reached := os.environ.get(failpoints.REACHED):
        environment[failpoints.REACHED] = reached
    failpoints.load(environment)
    store = Store.at(path, CLOCK)
    handle = os.open(done, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for write in WRITES:
        write(store)
        os.write(handle, b".")
    store.close()


def main(folder: Path) -> None:
    """The command line."""
    fresh, clean = folder / "fresh.sqlite", []
    Store.at(fresh, CLOCK).close()
    path = Path(shutil.copy(fresh, folder / "clean.sqlite"))
    store = Store.at(path, CLOCK)
    clean.append(content(path))
    for write in WRITES:
        write(store)
        clean.append(content(path))
    store.close()
    names = [name for name in failpoints.NAMES if name.startswith("store.")]
    report: dict[str, object] = {"clean": clean, "killed": {}}
    for name in names:
        for at in (1, 4):
            path, done = Path(shutil.copy(fresh, folder / f"{name}{at}.sqlite")), folder / f"{name}{at}.done"
            pid = os.fork()
            if pid == 0:
                write_all(path, done, f"{name}=kill@{at}")
                os._exit(0)
            _, status = os.waitpid(pid, 0)
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
                acknowledged = done.stat().st_size if done.exists() else 0
                Store.at(path, CLOCK).close()  # the next process gets it at once: its holder is dead
                report["killed"][f"{name}@{at}"] = [acknowledged, content(path)]  # type: ignore[index]
            elif status != 0:
                report["killed"][f"{name}@{at}"] = [-1, f"status {status}"]  # type: ignore[index]
    print(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Named places where a test makes this process fail: die, stand still, be refused by the disk, or meet a bug.

A store that survives a crash is believed when a crash was made at each place that matters. Those places are named here
and nowhere else; `hit` marks them in the code. Nothing happens at one unless the environment says so, twice:

    FEDCREDIT_INSECURE_FAILPOINTS=1                              this process is a test's
    FEDCREDIT_FAILPOINTS="job.stage.computed=kill@3"             SIGKILL itself at the third time there
                         "store.commit=error(ENOSPC);relay.pump=sleep(5)"
                         "job.stage.computed=raise"          an exception that nobody expects
                         "job.stage.computed=panic"          what a panic of the native kernels looks like here
    FEDCREDIT_FAILPOINTS_REACHED=FILE                            a line for each name that was reached

so that a test run can report which of them no test ever reached. A name with a condition, `job.stage.computed[align]`,
acts only where `hit` is called with that detail.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from fedcredit.errors import ConfigError, Problem

__all__ = ["NAMES", "hit", "parse"]

NAMES: dict[str, str] = {
    "node.drain.begun": "A node that was told to stop takes no new work.",
    "node.drain.jobs_stopped": "Its jobs stand at what they have kept; peers are still owed.",
    "store.lease.written": "The lease of a node is taken in the transaction; not yet committed.",
    "store.lease.committed": "The lease of a node is taken; the node does not run yet.",
    "table.snapshot.written": "The rows of a database or interface are in a file; not yet durable, nor under its name.",
    "table.snapshot.kept": "The snapshot of a table is durable under its name; no job knows of it yet.",
    "job.proposed.kept": "A party has kept what it offers; the platform does not know yet.",
    "job.signed.kept": "A party has kept what it agrees to; its signature is not given yet.",
    "job.start.kept": "A job is to run from here on; nothing runs yet.",
    "job.stage.begun": "A stage was begun; its detail is the stage.",
    "job.stage.computed": "A stage's state is made and in memory alone.",
    "job.stage.kept": "A stage's state is a checkpoint; nothing was told of it.",
    "job.waiting.kept": "A job waits; nobody was told.",
    "job.damage.kept": "A damaged checkpoint is in a file of its own; the store still has it.",
    "job.recovered": "A job that an earlier process left running waits to be resumed.",
    "job.resume.kept": "A job is in a new epoch; nothing runs yet, the platform does not know.",
    "job.result.written": "All files of a result are on the disk, under another name.",
    "job.result.recorded": "The release of a result is in the audit log; nobody can see it yet.",
    "job.result.renamed": "A result can be seen; the store does not know.",
    "job.result.noted": "A result is noted in the store; the job has not ended.",
    "job.end.recorded": "The end of a job is in the audit log; the store has it running.",
    "job.end.kept": "A job has ended; nobody was told.",
    "job.wait.ended": "A job that waited was ended without running again.",
    "filter.piece.kept": "A part of the values of a filter is on disk; nobody was told.",
    "filter.version.kept": "A filter has a new version; files of older ones are still there.",
    "node.stop.begun": "A node takes nothing new; what runs goes on to its next checkpoint.",
    "node.stop.done": "Nothing runs at the node any more; its store is still open.",
    "platform.submit.kept": "A job is the platform's; its submitter does not know yet.",
    "platform.job.recovered": "A platform that was restarted takes a job up again.",
    "platform.specification.kept": "All offers are in; nobody has signed.",
    "platform.signatures.kept": "All have signed; nobody was told to start.",
    "platform.start.kept": "All parties have started; nobody is watched yet.",
    "platform.epoch.kept": "The number of a new start is the platform's; no party has heard of it.",
    "platform.resume.sent": "All parties go on with a job in a new epoch.",
    "platform.end.kept": "A job has ended at the platform; nobody was told.",
    "link.stream.accepted": "A peer has let a stream in; nothing was written to it yet.",
    "store.job.written": "A job's new state is in the transaction; not yet committed.",
    "store.job.committed": "A job's new state is durable; the caller does not know yet.",
    "store.stage.written": "A checkpoint is in the transaction; not yet committed.",
    "store.stage.committed": "A checkpoint is durable; the caller does not know yet.",
    "store.result.written": "The files of a result are in the transaction; not yet committed.",
    "store.result.committed": "The files of a result are noted; the caller does not know yet.",
    "store.reply.written": "A reply is in the transaction; not yet committed.",
    "store.reply.committed": "A reply is kept; it has not been given.",
    "store.head.written": "The head of the audit log is in the transaction; the log itself is durable.",
    "store.head.committed": "The head of the audit log is kept; the caller does not know yet.",
    "store.event.written": "An event is in the transaction; not yet committed.",
    "store.event.committed": "An event is durable; nobody was told.",
    "store.budget.written": "A spending is in the transaction; not yet committed.",
    "store.budget.committed": "A budget is spent; the caller does not know yet.",
    "store.submission.written": "A submitted job is in the transaction; not yet committed.",
    "store.submission.committed": "A submitted job is durable; its submitter does not know yet.",
    "store.platform.written": "A platform job's new state is in the transaction; not yet committed.",
    "store.platform.committed": "A platform job's new state is durable; the caller does not know yet.",
    "store.token.written": "A token of enrolment is in the transaction; not yet committed.",
    "store.token.committed": "A token of enrolment is durable; nobody has its secret yet.",
    "store.use.written": "The use of a token is in the transaction; not yet committed.",
    "store.use.committed": "A token is used up; its party has got nothing for it yet.",
    "store.member.written": "A member's record is in the transaction; not yet committed.",
    "store.member.committed": "A member's record is durable; the caller does not know yet.",
    "store.consent.written": "A consent is in the transaction; not yet committed.",
    "store.consent.committed": "A consent is durable; nobody has its token yet.",
    "store.revocation.written": "A revocation is in the transaction; not yet committed.",
    "store.revocation.committed": "A revocation is durable; nobody was told.",
    "store.usage.written": "A provider's report is in the transaction; not yet committed.",
    "store.usage.committed": "A provider's report is durable; it does not know yet.",
    "store.outcomes.written": "Standings of loans are in the transaction; not yet committed.",
    "store.outcomes.committed": "Standings of loans are durable; the institution does not know yet.",
    "store.witness.written": "A peer's head, or the evidence of a fork, is in the transaction; not yet committed.",
    "store.witness.committed": "A peer's head is durable; it has not got our signature yet.",
    "store.model.written": "A change of the registry of models is in the transaction; not yet committed.",
    "store.model.committed": "A change of the registry of models is durable; nobody was told.",
    "store.part.written": "A party's word on a model is in the transaction; not yet committed.",
    "store.part.committed": "A party's word on a model is durable; the platform does not know yet.",
    "store.scores.written": "A request for scores and what came of it are in the transaction; not yet committed.",
    "store.scores.committed": "A request for scores and what came of it are durable; nothing is in the audit log yet.",
    "store.issuer.written": "A change of an issuer's key is in the transaction; not yet committed.",
    "store.issuer.committed": "A change of an issuer's key is durable; nobody was told.",
    "store.bulletin.written": "A new number of the bulletin is in the transaction; not yet committed.",
    "store.bulletin.committed": "A new number of the bulletin is durable; no bulletin has it yet.",
    "consent.key.written": "The authority has a new private key; its store does not know of it.",
    "consent.grant.recorded": "A consent is in the audit log; its subject has no token yet.",
    "consent.revocation.recorded": "A revocation is in the audit log; the bulletin does not have it yet.",
    "consent.bulletin.kept": "A party has kept a newer bulletin; it does not act on it yet.",
    "witness.fork.recorded": "The audit log has a peer's fork; the store does not know yet.",
    "witness.line.made": "A witness has signed our head; its signature is in memory alone.",
    "model.change.recorded": "The audit log has a change of a model; the store does not know yet that it has.",
    "model.part.kept": "A party has kept its part of a model as it will serve it; it has not said that it approves.",
    "model.word.told": "The platform has a party's word on a model; the party does not know yet that it has.",
    "model.bulletin.kept": "A party has kept a newer bulletin of models; it does not act on it yet.",
    "score.recorded": "The audit log has what came of a request for scores; nothing is encrypted yet.",
    "score.answered": "The parts of scores are encrypted; the bank does not have them yet.",
    "watch.batch.kept": "The scores of one request for borrowers are on disk; the next is not asked for yet.",
    "policy.change.recorded": "The audit log has a changed policy; the node does not know yet that it has.",
    "policy.decision.written": "A decision on a job is on disk under another name.",
    "policy.approval.recorded": "The audit log has a person's yes; the store does not know yet.",
    "policy.refusal.recorded": "The audit log has a person's no; the store does not know yet.",
    "init.authority.written": "A new party has its authority's key; nothing else yet.",
    "trust.pin.written": "A party is pinned; the caller does not know yet.",
    "trust.distrust.written": "A party is distrusted; the node has not read it yet.",
    "trust.change.recorded": "The audit log has a change of trust; the node does not know yet that it has.",
    "trust.platform.kept": "Which platform was joined is kept; its directory is not yet.",
    "trust.directory.kept": "A newer directory is kept; its new members are not pinned yet.",
    "trust.withdrawal.kept": "The party has withdrawn its certificates; the platform does not know yet.",
    "rotation.key.written": "A new key is in place; its certificate is still the old one.",
    "rotation.certificate.renamed": "A new certificate is in place; the node does not show it yet.",
    "enrol.order.left": "A command has left an order for the node.",
    "enrol.order.done": "The node has done what a command asked; the order is still there.",
    "enrol.request.kept": "A party has kept its request to join; it is not sent yet.",
    "enrol.token.used": "A token is used up; its party is no member yet.",
    "enrol.member.kept": "A new member is kept; the directory does not list it yet.",
    "enrol.directory.signed": "A new directory is kept; nobody was told.",
    "enrol.reply.kept": "A party has pinned the platform and its members; the request is still there.",
    "relay.joined": "The relay has let this member in.",
    "relay.called": "The member has heard of a call; not taken yet.",
    "relay.dial.taken": "The relay has told the called member; no answer yet.",
    "relay.dial.accepted": "Both ends of a call are there; nothing has been carried yet.",
    "relay.pump": "A piece has been read; not passed on yet.",
}
"""Every failpoint and what has just happened there. A test compares them with the calls of `hit` in the code."""

ALLOW, PLAN, REACHED = "FEDCREDIT_INSECURE_FAILPOINTS", "FEDCREDIT_FAILPOINTS", "FEDCREDIT_FAILPOINTS_REACHED"

_RULE = re.compile(
    r"(?P<name>[a-z_.]+)(\[(?P<detail>[^\]]+)\])?=(?P<action>kill|error|sleep|raise|panic)(\((?P<argument>[A-Z0-9.]+)\))?(@(?P<at>\d+))?"
)


TELLTALE = "something-that-must-stay-inside"
"""Stands in the text of what `raise` and `panic` raise: it must not leave the process, nor be logged."""


class Panic(BaseException):
    """As PyO3's PanicException: not an Exception, so that nothing takes it for one by accident."""


@dataclass(slots=True)
class Rule:
    """What happens at a failpoint, at the `at`-th time there (0: each time)."""

    name: str
    detail: str | None
    action: str
    argument: str
    at: int
    seen: int = field(default=0)

    def act(self) -> None:
        """Fail. Raises OSError for the action `error`, ArithmeticError for `raise`, Panic for `panic`."""
        if self.action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.action == "sleep":
            time.sleep(float(self.argument))
        elif self.action == "raise":
            raise ArithmeticError(TELLTALE)
        elif self.action == "panic":
            raise Panic(TELLTALE)
        else:
            number = getattr(errno, self.argument)
            raise OSError(number, os.strerror(number))


class _Plan:
    """The rules of this process, and the names that it has reached so far."""

    def __init__(self, rules: list[Rule], reached: str | None) -> None:
        self._rules, self._reached = rules, reached
        self._noted: set[str] = set()
        self._lock = threading.Lock()

    def hit(self, name: str, detail: str) -> None:
        with self._lock:
            self._note(name)
            due = [rule for rule in self._rules if rule.name == name and rule.detail in (None, detail)]
            for rule in due:
                rule.seen += 1
        for rule in due:
            if rule.at in (0, rule.seen):
                rule.act()

    def _note(self, name: str) -> None:
        if name in self._noted or self._reached is None:
            return
        self._noted.add(name)
        file = os.open(self._reached, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(file, f"{name}\n".encode())
        finally:
            os.close(file)


def parse(text: str) -> list[Rule]:
    """The rules in `text`, separated by semicolons. Raises: ConfigError (FAILPOINT)."""
    rules = []
    for part in filter(None, (part.strip() for part in text.split(";"))):
        found = _RULE.fullmatch(part)
        if found is None or found["name"] not in NAMES:
            raise ConfigError(
                Problem(
                    "FAILPOINT",
                    PLAN,
                    f"{part[:80]!r} is no rule",
                    "NAME[DETAIL]=kill|error(ENOSPC)|sleep(S)|raise|panic, @N",
                )
            )
        argument = found["argument"] or {"error": "EIO", "sleep": "1"}.get(found["action"], "")
        if found["action"] == "error" and not hasattr(errno, argument):
            raise ConfigError(Problem("FAILPOINT", PLAN, f"{argument} is no error of the system", "e.g. error(ENOSPC)"))
        rules.append(Rule(found["name"], found["detail"], found["action"], argument, int(found["at"] or 0)))
    return rules


def hit(name: str, detail: str = "") -> None:
    """Say that failpoint `name` is reached. Raises: what a test asked for; may not return."""
    if _plan is not None:
        if name not in NAMES:
            raise ConfigError(Problem("FAILPOINT", name, "is not listed"))
        _plan.hit(name, detail)


def _load(environment: Mapping[str, str]) -> _Plan | None:
    if environment.get(ALLOW) != "1":
        if environment.get(PLAN):
            what = "would make this process fail on purpose"
            raise ConfigError(
                Problem("CONFIG_INSECURE", f"environment: {PLAN}", what, f"unset it; tests set {ALLOW}=1")
            )
        return None
    return _Plan(parse(environment.get(PLAN, "")), environment.get(REACHED))


_plan: _Plan | None = None


def load(environment: Mapping[str, str] | None = None) -> None:
    """Take the plan from the environment; a node does so when it starts. Raises: ConfigError (CONFIG_INSECURE)."""
    global _plan
    _plan = _load(os.environ if environment is None else environment)

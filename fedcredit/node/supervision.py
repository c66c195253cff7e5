"""The platform's eye on a job that was started: follow it at every party, and have it go on after an interruption.

A party that cannot be reached is named, and asked again until it can. Nothing is done as long as every party runs in
the same epoch: a partition during which all processes stayed alive is a delay and no more. As soon as one waits, and
all answer and could go on, all are told to: in a new epoch, from the longest list of checkpoints that all share.
Parties that have published already are left alone; the others then need nobody.

Where the job says that a sum may come from fewer parties, one that is away for longer than it says is left out for
good: the others go on without it. When it is back it is told so, and its part ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Mapping, Sequence

from fedcredit import failpoints
from fedcredit.errors import FedcreditError, PeerError, PeerLost, Problem, RefusedError
from fedcredit.ids import PartyId
from fedcredit.node.events import EventLog
from fedcredit.node.holdups import Holdups
from fedcredit.node.jobs.checkpoints import common, digest_of
from fedcredit.node.jobs.peers import NAME_AFTER_S
from fedcredit.node.jobs.present import NOBODY, left_out_bytes
from fedcredit.node.jobs.run import LEFT_OUT, NOT_BELIEVED
from fedcredit.node.jobs.waits import INTERRUPTED, PASSING
from fedcredit.node.rpc import ControlClient, backoff, remote_error
from fedcredit.node.specification import JobSpecification
from fedcredit.node.standing import Standing
from fedcredit.node.store import JobState, Store
from fedcredit.runtime.clock import Clock
from fedcredit.wire.control import Accepted, CancelJob, JobEvent, StartJob, WatchJob
from fedcredit.wire.resume import ResumeJob, StandingReply, StandingRequest

__all__ = ["Supervision", "nearest_to_cause"]

JOB_TIMEOUT_S = 30 * 86_400.0
ASK_S = 30.0
"""A question and its answer may take 20 s on the way."""

LOOK_S = 1.0

RESUME_S = 90.0
"""A party may first have to write its result, which is not interrupted."""

MOST_RESTARTS = 16
"""Without a new checkpoint. Each comes later than the one before; however short the jitter makes the rests, they add up
to more than half an hour, so that two parties may be cut off from each other for that long."""

LONGEST_REST_S = 240.0


class Supervision:
    """One started job. `clients` reach its parties, `addresses` tell them where the others are."""

    def __init__(
        self,
        specification: JobSpecification,
        start: StartJob,
        clients: Mapping[PartyId, ControlClient],
        addresses: bytes,
        log: EventLog,
        store: Store,
        clock: Clock,
        peer_timeout_s: float,
    ) -> None:
        self._specification, self._job = specification, specification.id
        self._start, self._clients, self._addresses = start, clients, addresses
        self._log, self._store, self._clock, self._timeout_s = log, store, clock, peer_timeout_s
        self._stages: dict[PartyId, str] = {}
        self._away: dict[PartyId, float] = {}
        self._left_out: frozenset[PartyId] = NOBODY
        self._attention = asyncio.Event()
        self._attention.set()
        self._restarts = self._most_kept = 0
        self._own_want: FedcreditError | None = None
        self._holdups = Holdups(clients)
        self._held_up: dict[str, int] = {}

    async def run(self) -> list[FedcreditError | None]:
        """Follow the job until all parties have ended it, or one has failed it or is given up; the ends so far."""
        follows = {asyncio.create_task(self._follow(party)): party for party in self._clients}
        mending = asyncio.create_task(self._mend())
        try:
            running = {*follows, mending}
            while True:
                # Looked at again when nothing ends, too: who is left out is not waited for any more.
                done, running = await asyncio.wait(running, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                ends = [task.result() for task in done]
                needed = {task for task in running - {mending} if follows[task] not in self._left_out}
                if mending in done or any(ends) or not needed:
                    return [task.result() for task in (*follows, mending) if task.done()]
        finally:
            for task in (*follows, mending):
                task.cancel()
            await asyncio.gather(*follows, mending, return_exceptions=True)

    async def ends(self, timeout_s: float) -> list[FedcreditError | None]:
        """The ends that the parties report within a while of having been told to stop."""
        follows = [asyncio.create_task(self._follow(party)) for party in self._clients]
        try:
            done, _ = await asyncio.wait(follows, timeout=timeout_s)
            return [task.result() for task in done]
        finally:
            for task in follows:
                task.cancel()
            await asyncio.gather(*follows, return_exceptions=True)

    async def _follow(self, party: PartyId) -> FedcreditError | None:
        """Copy `party`'s events into the job's log until its end there; the error it ended with."""
        pauses = backoff()
        while True:
            if (end := self._log.ends.get(party)) is not None:
                return _error_of(end, party, self._stages.get(party, "start"))
            request = WatchJob(self._job, self._log.origins.get(party, 0))
            try:
                stream = self._clients[party].stream("Watch", request, JobEvent, timeout_s=JOB_TIMEOUT_S)
                async with contextlib.aclosing(stream) as events:
                    async for event in events:
                        if event.party != party:
                            return PeerError(party, "Watch", "reported events of another party", "EVENT_INVALID")
                        self._note(party, event)
                        if party in self._log.ends:
                            break
                if party not in self._log.ends:
                    # It has told us all that it knows, and that was no end: it is not asked again at once.
                    await asyncio.sleep(next(pauses))
            except PeerLost:
                pass
            except FedcreditError as error:
                if error.code not in PASSING:
                    return error
            if party in self._log.ends:
                continue
            try:
                await self._wait_for(party)
            except FedcreditError as error:
                return error
            if party in self._left_out:
                await self._dismiss(party)
                return None

    async def _dismiss(self, party: PartyId) -> None:
        """Tell a party that is back that the job went on without it; if it does not hear it, it gives up by itself."""
        with contextlib.suppress(FedcreditError):
            await self._clients[party].call("Cancel", CancelJob(self._job, LEFT_OUT), Accepted, timeout_s=ASK_S)

    def _note(self, party: PartyId, event: JobEvent) -> None:
        self._log.copy(event)
        if event.kind == "begun":
            self._stages[party] = event.stage
        if event.kind == "state" and event.stage == JobState.WAITING:
            self._attention.set()
        if self._holdups.take(event):
            self._say_whom_all_wait_for()

    def _say_whom_all_wait_for(self) -> None:
        found = {holdup.peer: holdup for holdup in self._holdups.found()}
        for peer in self._held_up.keys() - found.keys():
            del self._held_up[peer]
            self._log.slow(self._stages.get(PartyId(peer), "start"), peer, 0)
        for peer, holdup in found.items():
            if holdup.seconds >= 2 * self._held_up.get(peer, 0):
                self._held_up[peer] = holdup.seconds
                self._log.slow(holdup.stage, peer, holdup.seconds)

    async def _wait_for(self, party: PartyId) -> None:
        """Until `party` answers again. It is named when that takes a while. Raises what else it answers."""
        since, pauses = self._clock.monotonic(), backoff()
        named = False
        self._away[party] = since
        self._attention.set()
        try:
            while True:
                asking = asyncio.create_task(self._ask(party), name=f"ask {party}")
                try:
                    if not named:
                        # A question that nobody answers takes longer than the name may.
                        await asyncio.wait({asking}, timeout=since + NAME_AFTER_S - self._clock.monotonic())
                    seconds = self._clock.monotonic() - since
                    if not named and seconds >= NAME_AFTER_S:
                        self._log.waiting(self._stages.get(party, "start"), party, seconds)
                        named = True
                    await asking
                    if named:
                        self._log.back(self._stages.get(party, "start"), party, self._clock.monotonic() - since)
                    return
                except PeerLost:
                    pass
                except FedcreditError as error:
                    if error.code not in PASSING:
                        raise
                finally:
                    asking.cancel()
                await asyncio.sleep(next(pauses))
        finally:
            del self._away[party]

    async def _mend(self) -> FedcreditError | None:
        """Have the job go on whenever a party waits; the error for which it is given up."""
        pauses, stuck_since = backoff(), None
        while True:
            await self._attention.wait()
            self._attention.clear()
            found = await self._ask_all()
            for answer in found.values():
                if isinstance(answer, FedcreditError) and not _passes(answer):
                    return answer
            standings = {party: answer for party, answer in found.items() if isinstance(answer, Standing)}
            self._leave_out_as_before(standings)
            if self._is_well(standings, found):
                stuck_since = None
                if not self._away.keys() - self._left_out:
                    pauses = backoff()
                    continue
            else:
                stuck_since = self._clock.monotonic() if stuck_since is None else stuck_since
                away = [since for party, since in self._away.items() if party not in self._left_out]
                since = min([stuck_since, *away])
                if self._clock.monotonic() - since > self._timeout_s:
                    return self._given_up(found)
                self._own_want = None
                if self._has_enough(standings, found) and all(s.ready or not s.live for s in standings.values()):
                    if self._restarts >= MOST_RESTARTS:
                        return self._given_up(found)
                    try:
                        await self._resume(standings)
                    except FedcreditError as error:
                        if not _passes(error):
                            raise
                        # A party that did not hear it is asked again; what this node lacks itself may pass, too.
                        self._own_want = None if isinstance(error, PeerLost) else error
            # Asked again soon, whether or not anybody reports anything meanwhile.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(next(pauses)):
                    await self._attention.wait()
            self._attention.set()

    def _leave_out_as_before(self, standings: Mapping[PartyId, Standing]) -> None:
        """Who was left out stays so; a platform that was started again hears of it from the parties."""
        known = frozenset[PartyId]().union(*(s.left_out for s in standings.values()))
        self._left_out |= known & frozenset(self._clients)

    def _has_enough(
        self, standings: Mapping[PartyId, Standing], found: Mapping[PartyId, Standing | FedcreditError]
    ) -> bool:
        """Whether those that answered can go on: all of them; or as many as the job needs, without those that have been
        away for as long as it says, who are left out from here on."""
        missing = frozenset(found) - frozenset(standings)
        if not missing:
            return True
        section, now = self._specification.aggregate, self._clock.monotonic()
        if section is None or any(now - self._away.get(party, now) < section.wait_s for party in missing):
            return False
        left_out = self._left_out | missing
        if left_out - set(self._specification.members):
            return False
        if len(self._specification.members) - len(left_out) < self._specification.threshold:
            return False
        for party in sorted(missing):
            self._log.state("left_out", detail={"party": party, "away_s": int(now - self._away.get(party, now))})
        self._left_out = left_out
        return True

    def _is_well(
        self, standings: Mapping[PartyId, Standing], found: Mapping[PartyId, Standing | FedcreditError]
    ) -> bool:
        """Whether there is nothing to mend: all that can be asked run in one epoch, or have ended."""
        live = [s for s in standings.values() if s.live]
        if any(s.state is JobState.WAITING for s in live) or len({s.epoch for s in live}) > 1:
            return False
        if any(not s.live and not s.state.final for s in standings.values()):
            return False
        # One that is away is missed by those that run; where nobody runs any more, by us.
        return len(standings) == len(found) or bool(live)

    async def _resume(self, standings: Mapping[PartyId, Standing]) -> None:
        """Tell all parties that have not ended to go on. Raises: PeerLost when one does not hear it, STORE_*."""
        unstarted = [party for party, s in standings.items() if not s.live and not s.state.final]
        if unstarted:
            await asyncio.gather(*(self._tell(party, "Start", self._start) for party in unstarted))
            self._attention.set()
            return
        live = {party: s for party, s in standings.items() if s.live}
        if not live:
            return  # all that were waited for have published
        kept = common([s.listing for s in live.values()])
        if len(kept) > self._most_kept:
            self._restarts, self._most_kept = 0, len(kept)
        self._restarts += 1
        await self._rest()
        epoch = max(s.epoch for s in standings.values()) + 1
        if (row := await asyncio.to_thread(self._store.platform.job, self._job)) is not None:
            epoch = max(epoch, row.epoch + 1)
        # The number is ours before anybody hears it: it is never told twice for different starts.
        await asyncio.to_thread(self._store.platform.update, self._job, epoch=epoch, attempts=self._restarts)
        failpoints.hit("platform.epoch.kept", self._job)
        finished = any(s.state is JobState.SUCCEEDED for s in standings.values())
        without = left_out_bytes(self._left_out)
        order = ResumeJob(self._job, epoch, len(kept), digest_of(kept), finished, self._addresses, without)
        self._log.state("resuming", detail={"epoch": epoch, "kept": len(kept)})
        await asyncio.gather(*(self._tell(party, "Resume", order) for party in live))
        failpoints.hit("platform.resume.sent", self._job)
        self._log.state("running", detail={"epoch": epoch})
        self._attention.set()

    async def _rest(self) -> None:
        """A start that brought nothing new is not repeated at once."""
        if self._restarts > 1:
            rest = min(LONGEST_REST_S, 2.0**self._restarts)
            await asyncio.sleep(rest * random.uniform(0.75, 1.0))  # noqa: S311

    async def _tell(self, party: PartyId, method: str, order: ResumeJob | StartJob) -> None:
        try:
            await self._clients[party].call(method, order, Accepted, timeout_s=RESUME_S)
        except FedcreditError as error:
            # Whatever it is, the parties are asked again how they stand, and told again.
            raise PeerLost(party, method, error.code) from error

    async def _ask(self, party: PartyId) -> Standing:
        request = StandingRequest(self._job)
        reply = await self._clients[party].call("Standing", request, StandingReply, timeout_s=ASK_S, attempts=1)
        return Standing.of(party, reply)

    async def _ask_all(self) -> dict[PartyId, Standing | FedcreditError]:
        async def ask(party: PartyId) -> Standing | FedcreditError:
            try:
                return await self._ask(party)
            except FedcreditError as error:
                return error

        parties = [party for party in self._clients if party not in self._left_out]
        answers = await asyncio.gather(*map(ask, parties))
        return dict(zip(parties, answers, strict=True))

    def _given_up(self, found: Mapping[PartyId, Standing | FedcreditError]) -> FedcreditError:
        """Why the job does not go on: for who is away, for what this node lacks itself, for what a party waits for."""
        for party, answer in found.items():
            if isinstance(answer, FedcreditError):
                return PeerLost(party, self._stages.get(party, "start"), f"was not back within {self._timeout_s:g} s")
        if self._own_want is not None:
            what = f"was not settled within {self._timeout_s:g} s"
            return RefusedError(Problem(self._own_want.code, "platform", what))
        waiting = {party: s for party, s in found.items() if isinstance(s, Standing) and s.live}
        for party, standing in waiting.items():
            if standing.code not in ("", "PEER_LOST", INTERRUPTED):
                what = f"was not settled within {self._timeout_s:g} s"
                return RefusedError(Problem(standing.code, f"{party} at {self._stages.get(party, 'start')}", what))
        # A node that stops again and again is lost like one that does not come back; what others miss is an echo.
        for party, standing in sorted(waiting.items(), key=lambda found: found[1].code != INTERRUPTED):
            culprit = PartyId(standing.culprit or party)
            how = "stops" if culprit == party else f"is lost to {party}"
            return PeerLost(culprit, self._stages.get(party, "start"), f"{how} again and again")
        return FedcreditError(Problem("INTERNAL", "platform", "a job was given up without a reason"))


def _passes(error: FedcreditError) -> bool:
    return isinstance(error, PeerLost) or error.code in PASSING


def _error_of(event: JobEvent, party: PartyId, stage: str) -> FedcreditError | None:
    if event.stage == "succeeded":
        return None
    if event.stage == "cancelled":
        return RefusedError(Problem("CANCELLED", f"{party} at {stage}", "was cancelled"))
    return remote_error(party, stage, event.code or "INTERNAL", event.exit_status, event.culprit)


def nearest_to_cause(errors: Sequence[BaseException]) -> FedcreditError:
    """Of what parties reported, the likely cause: first their own faults, then losses, then echoes of an abort."""

    def distance(error: BaseException) -> int:
        if not isinstance(error, FedcreditError):
            return 0
        if error.code == "CANCELLED" or (error.code in NOT_BELIEVED and not isinstance(error, PeerError)):
            return 4  # whoever says so was told by us
        if isinstance(error, PeerLost):
            return 2 if not error.reason.startswith(("no longer", "silent or")) else 3
        return 3 if isinstance(error, PeerError) else 1

    nearest = min(errors, key=distance)
    if isinstance(nearest, FedcreditError):
        return nearest
    return FedcreditError(Problem("INTERNAL", "platform", type(nearest).__name__))

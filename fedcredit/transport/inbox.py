"""What has arrived and nobody has taken yet, for every job, stage and sender. No I/O.

Frames of one sender in one stage form a flow: sequence numbers from 0, without a gap, each body once. The inbox keeps
the frames of stages that are not open yet within the same bounds as those that are, tells each sender how far we are,
and turns a sender's fault into the failure of the job it concerns, leaving other jobs alone.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import TypeVar

from fedcredit.errors import FedcreditError, PeerError, Problem
from fedcredit.ids import PartyId
from fedcredit.transport.arrivals import Flow, Held, Job, Stage
from fedcredit.transport.channel import Packet, error_of_abort
from fedcredit.transport.limits import Limits
from fedcredit.wire.frame import ABORT_TAG, Abort, Frame, Receipt
from fedcredit.wire.message import MessageInvalid

__all__ = ["Inbox", "OpenStage"]

_CORRUPT_LIMIT = 3
_MEMORY_LIMIT = 4096  # of short notes: jobs that are over, faults in jobs that have not begun

K = TypeVar("K")
V = TypeVar("V")

Acknowledge = Callable[[PartyId, Receipt, bool], None]
"""Send a receipt to a peer: at once if the last argument says so, else soon. Must not block."""


class OpenStage:
    """The receiving half of a channel."""

    def __init__(self, inbox: Inbox, job: Job, stage: Stage) -> None:
        self._inbox, self._job, self._stage = inbox, job, stage

    async def take(self, sender: PartyId) -> Packet:
        """The next packet of `sender`. Raises why the job ended, if it has."""
        while True:
            self.raise_failure()
            if (flow := self._stage.flows.get(sender)) and flow.queue:
                return self._inbox._take(self._stage, sender, flow)
            if error := self._stage.lost.get(sender):
                raise error
            self._stage.changed.clear()
            await self._stage.changed.wait()

    def arrived(self, peer: PartyId) -> int:
        """How many frames of `peer` have arrived."""
        flow = self._stage.flows.get(peer)
        return flow.next_seq if flow else 0

    def refuse_lost(self, peer: PartyId) -> None:
        """Raise why nothing can be sent to `peer`, if it gave up, or why the job ended, if it has."""
        self.raise_failure()
        if self._stage.survives and (error := self._stage.lost.get(peer)):
            raise error

    def lose(self, peer: PartyId) -> None:
        """Go on without `peer`: what it sent or sends is taken and thrown away."""
        self._stage.without.add(peer)
        if flow := self._stage.flows.get(peer):
            self._inbox._throw_away(self._stage, peer, flow)

    def end_job(self, error: FedcreditError) -> None:
        """End the job here, in all its stages."""
        self._job.end(error)

    def raise_failure(self) -> None:
        """Raise why the job ended, if it has."""
        if self._job.ended is not None:
            raise self._job.ended

    def close(self) -> PartyId | None:
        """Take no more. Returns a peer whose frames nobody read, if there is one.

        In a job that has ended unread frames are nobody's fault: they are dropped, and an abort tells their senders.
        """
        self._stage.closed = True
        if self._job.ended is not None:
            self._inbox._drop(self._stage)
            return None
        unread = [peer for peer, flow in self._stage.flows.items() if flow.queue]
        for peer in unread:
            self._inbox._refuse(self._stage, peer, self._stage.flows[peer], "UNEXPECTED_MESSAGE")
        return unread[0] if unread else None


class Inbox:
    """All frames of all peers at one party. Lives on one event loop. `on_end` hears that some job has ended."""

    def __init__(self, limits: Limits, acknowledge: Acknowledge, on_end: Callable[[], None]) -> None:
        self._limits, self._acknowledge, self._on_end = limits, acknowledge, on_end
        self._jobs: dict[bytes, Job] = {}
        self._held: dict[PartyId, Held] = {}
        self._over: OrderedDict[bytes, None] = OrderedDict()
        self._early: OrderedDict[tuple[bytes, int, PartyId], FedcreditError | Abort] = OrderedDict()

    def open(
        self, ssid: bytes, stage: str, peers: frozenset[PartyId], epoch: int, *, survives: bool = False
    ) -> OpenStage:
        """Start to hand out what `peers` send to `stage`. Raises FedcreditError (STAGE_REUSED, STALE_EPOCH)."""
        self._over.pop(ssid, None)
        job = self._jobs.setdefault(ssid, Job(self._on_end, epoch))
        if epoch < job.epoch:
            raise FedcreditError(Problem("STALE_EPOCH", stage, f"the job is at start {job.epoch}, not {epoch}"))
        if epoch > job.epoch:
            job = self._restart(ssid, job, epoch)
        state = job.stages.setdefault((epoch, stage), Stage(ssid, epoch, stage))
        if state.peers is not None:
            raise FedcreditError(Problem("STAGE_REUSED", stage, "a stage is opened once in each start of a job"))
        state.peers, state.survives, job.survives = peers, survives, survives
        job.peers |= peers
        for peer, flow in state.flows.items():
            if peer not in peers:
                self._refuse(state, peer, flow, "NOT_A_PEER")
        for peer in sorted(peers):
            early = self._early.pop((ssid, epoch, peer), None) or job.left.get(peer)
            if isinstance(early, FedcreditError):
                job.end(early)
            elif early is not None and not job.leave(peer, early):
                job.end(error_of_abort(peer, early))
        return OpenStage(self, job, state)

    def accept(self, peer: PartyId, frame: Frame) -> None:
        """Take in a frame that arrived from `peer`.

        Raises: MessageInvalid when the stream must end: DATA_CORRUPT (to be sent again) or QUEUE_OVERFLOW. Other
        faults end the job they concern, and the sender is told by a refusing receipt.
        """
        job = self._jobs.get(frame.ssid)
        if job is not None and frame.epoch < job.epoch:
            self._refuse_frame(peer, frame, "STALE_EPOCH")
        elif frame.tag == ABORT_TAG:
            self._abort(job, peer, frame)
        elif frame.ssid in self._over:
            self._refuse_frame(peer, frame, "JOB_ENDED")
        elif job is None or job.ended is None or frame.epoch > job.epoch:
            # What comes for a job that has ended here is dropped: its sender is being told so by an abort.
            self._deliver(peer, frame)

    def forget(self, ssid: bytes) -> None:
        """Drop a job's state; later frames for it are refused (JOB_ENDED)."""
        if job := self._jobs.pop(ssid, None):
            for stage in job.stages.values():
                self._drop(stage)
            job.end(FedcreditError(Problem("JOB_ENDED", "job", "its state was dropped")))
        _remember(self._over, ssid, None)

    def lose(self, peer: PartyId, error_at: Callable[[str], FedcreditError]) -> None:
        """`peer` went away; `error_at` makes the error for a stage. Roles that wait for it, now or later, end by that.

        Others go on: a peer that has done its part may leave before we are done with ours.
        """
        for job in self._jobs.values():
            for stage in job.stages.values():
                if stage.peers is not None and peer in stage.peers and not stage.closed:
                    stage.lost[peer] = error_at(stage.name)
                    stage.changed.set()

    def fail(self, ssid: bytes, epoch: int, stage: str, error: FedcreditError) -> None:
        """End a job whose `stage` is still at work; one whose stage is over has nothing more to lose."""
        job = self._jobs.get(ssid)
        state = job.stages.get((epoch, stage)) if job else None
        if job and state and state.peers is not None and not state.closed and epoch == job.epoch:
            job.end(error)

    def receipts(self, peer: PartyId) -> Iterator[Receipt]:
        """How far we are in every flow of `peer` that is at work, for a peer that comes back."""
        for job in self._jobs.values():
            for stage in job.stages.values():
                if not stage.closed and (flow := stage.flows.get(peer)):
                    yield stage.receipt(flow)

    def held_bytes(self, peer: PartyId) -> int:
        """How much of `peer` lies here untaken."""
        return self._held.get(peer, Held()).size

    def _deliver(self, peer: PartyId, frame: Frame) -> None:
        job = self._jobs.get(frame.ssid) or Job(self._on_end)
        stage = job.stages.get((frame.epoch, frame.stage)) or Stage(frame.ssid, frame.epoch, frame.stage)
        flow = stage.flows.get(peer) or Flow(deque(maxlen=self._limits.stage_frames))
        if stage.peers is not None and peer not in stage.peers:
            self._refuse_frame(peer, frame, "NOT_A_PEER")
        elif flow.refused:
            self._acknowledge(peer, stage.receipt(flow), True)
        elif self._intact(job, stage, peer, flow, frame) and self._due(job, stage, peer, flow, frame):
            self._check_room(job, stage, peer, flow, frame)
            # Only a frame that is kept leaves a trace of its job and stage.
            job = self._jobs.setdefault(frame.ssid, job)
            job.stages.setdefault((frame.epoch, frame.stage), stage).flows[peer] = flow
            self._keep(stage, peer, flow, frame)

    def _intact(self, job: Job, stage: Stage, peer: PartyId, flow: Flow, frame: Frame) -> bool:
        held = self._held.setdefault(peer, Held())
        try:
            frame.check_body()
        except MessageInvalid as corrupt:
            # The stream ends, the sender comes back and sends again what has no receipt.
            held.corrupt += 1
            if held.corrupt < _CORRUPT_LIMIT:
                raise
            self._fault(job, stage, peer, flow, corrupt.code, "the hash does not fit the body, three times over")
            return False
        finally:
            held.corrupt %= _CORRUPT_LIMIT
        held.corrupt = 0
        return True

    def _due(self, job: Job, stage: Stage, peer: PartyId, flow: Flow, frame: Frame) -> bool:
        """Whether `frame` is the next one; if it is an old one, it gets its receipt again."""
        again = flow.next_seq - frame.seq
        if again < 0 and stage.peers is None and flow.next_seq == 0:
            # An earlier process of ours took the beginning and is no more. That is nobody's fault; the sender waits.
            self._refuse_frame(peer, frame, "INTERRUPTED")
        elif again < 0:
            self._fault(job, stage, peer, flow, "SEQUENCE", f"frame {frame.seq} where {flow.next_seq} was due")
        elif again > len(flow.hashes):
            self._fault(job, stage, peer, flow, "SEQUENCE", f"frame {frame.seq} again, long after it was taken")
        elif again > 0 and flow.hashes[-again] != frame.body_hash:
            self._fault(job, stage, peer, flow, "CONFLICT", f"frame {frame.seq} again with other bytes")
        elif again > 0:
            self._acknowledge(peer, stage.receipt(flow), True)
        elif stage.closed:
            stage.flows[peer] = flow
            self._refuse(stage, peer, flow, "MESSAGE_AFTER_END")
        else:
            return True
        return False

    def _check_room(self, job: Job, stage: Stage, peer: PartyId, flow: Flow, frame: Frame) -> None:
        held, limits, size = self._held[peer], self._limits, len(frame.encoded)
        too_much = (
            (flow.queue and flow.queued_bytes + size > limits.stage_bytes)
            or len(flow.queue) >= limits.stage_frames
            or (held.size and held.size + size > limits.peer_bytes)
            or (not flow.queue and held.stages >= limits.peer_stages)
        )
        if too_much:
            self._fault(job, stage, peer, flow, "QUEUE_OVERFLOW", "sent more than a link may hold")
            raise MessageInvalid("frame", "more than a link may hold", "QUEUE_OVERFLOW")

    def _keep(self, stage: Stage, peer: PartyId, flow: Flow, frame: Frame) -> None:
        held, size = self._held[peer], len(frame.encoded)
        held.stages += not flow.queue
        held.size += size
        flow.next_seq += 1
        flow.queued_bytes += size
        flow.hashes.append(frame.body_hash)
        flow.queue.append(Packet(peer, frame.tag, frame.body, size))
        stage.lost.pop(peer, None)
        stage.changed.set()
        if peer in stage.without:
            self._throw_away(stage, peer, flow)

    def _throw_away(self, stage: Stage, peer: PartyId, flow: Flow) -> None:
        while flow.queue:
            self._take(stage, peer, flow)

    def _take(self, stage: Stage, peer: PartyId, flow: Flow) -> Packet:
        packet = flow.queue.popleft()
        self._release(peer, flow, packet.wire_bytes)
        flow.taken += 1
        flow.unreported_bytes += packet.wire_bytes
        due = 4 * flow.unreported_bytes >= self._limits.stage_bytes
        if due:
            flow.unreported_bytes = 0
        self._acknowledge(peer, stage.receipt(flow), due)
        return packet

    def _abort(self, job: Job | None, peer: PartyId, frame: Frame) -> None:
        frame.check_body()
        abort = Abort.decode(frame.body)
        self._drop_start(job, peer, frame.epoch)
        if job is not None and frame.epoch == job.epoch and peer in job.peers:
            if not job.leave(peer, abort):
                job.end(error_of_abort(peer, abort))
        elif frame.ssid not in self._over:
            _remember(self._early, (frame.ssid, frame.epoch, peer), abort)
        self._acknowledge(peer, Receipt(frame.ssid, frame.epoch, frame.stage, frame.seq + 1), True)

    def _fault(self, job: Job, stage: Stage, peer: PartyId, flow: Flow, code: str, what: str) -> None:
        error = PeerError(peer, stage.name, what, code)
        self._refuse(stage, peer, flow, code)
        if stage.peers is not None:
            job.end(error)
        else:
            stage.flows.pop(peer, None)
            _remember(self._early, (stage.ssid, stage.epoch, peer), error)

    def _refuse(self, stage: Stage, peer: PartyId, flow: Flow, code: str) -> None:
        if flow.queue:
            self._release(peer, flow, flow.queued_bytes, emptied=True)
        flow.refused = code
        self._acknowledge(peer, stage.receipt(flow), True)

    def _refuse_frame(self, peer: PartyId, frame: Frame, code: str) -> None:
        self._acknowledge(peer, Receipt(frame.ssid, frame.epoch, frame.stage, frame.seq + 1, code), True)

    def _restart(self, ssid: bytes, old: Job, epoch: int) -> Job:
        """The job at its new start, with what peers that are ahead have sent for it."""
        new = self._jobs[ssid] = Job(self._on_end, epoch)
        for key, stage in old.stages.items():
            if key[0] < epoch:
                self._drop(stage)
            else:
                new.stages[key] = stage
        old.end(FedcreditError(Problem("STALE_EPOCH", "job", f"was started again as {epoch}")))
        return new

    def _drop_start(self, job: Job | None, peer: PartyId, epoch: int) -> None:
        """Let go of what `peer` sent in a start of the job that it has given up, also to stages not open here."""
        for (begun, _), stage in job.stages.items() if job is not None else ():
            if begun == epoch and (flow := stage.flows.get(peer)) and flow.queue:
                self._release(peer, flow, flow.queued_bytes, emptied=True)

    def _drop(self, stage: Stage) -> None:
        for peer, flow in stage.flows.items():
            if flow.queue:
                self._release(peer, flow, flow.queued_bytes, emptied=True)

    def _release(self, peer: PartyId, flow: Flow, size: int, *, emptied: bool = False) -> None:
        if emptied:
            flow.queue.clear()
        flow.queued_bytes -= size
        held = self._held[peer]
        held.size -= size
        held.stages -= not flow.queue


def _remember(notes: OrderedDict[K, V], key: K, value: V) -> None:
    notes.setdefault(key, value)
    while len(notes) > _MEMORY_LIMIT:
        notes.popitem(last=False)

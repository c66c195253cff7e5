"""Random stories: a job of three parties and everything that happens to it, from a seed; and what must come of it.

    python tests/faults/sim_story.py 7 8 9               tell the stories with these seeds
    python tests/faults/sim_story.py --first 100 --count 50     and 50 more, in each of which something happens
    python tests/faults/sim_story.py --deed hold:150:bank:tax:1800      tell the story of these deeds, and how it went

A story is a list of deeds, each done when a given number of messages has been carried, or at a given failpoint of a
given node. What must hold at the end of every story:

* the job ends, by the clock of the story, at the platform and at every party, and nothing is stuck;
* it ends with the very bytes of a run that nothing happened to, or in a failure with a code;
* a story of which every deed is one that the job has to survive ends well;
* a party that said it had succeeded has its result, and every node starts again from what lies on its disk.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import itertools
import json
import os
import random
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[n]) for n in (1, 2)]

from faults import sim_world
from faults.sim_grpc import Wire
from faults.sim_loop import SimLoop, Stalled
from faults.sim_world import NODES, PARTIES, Template, World
from faults.store_view import jobs_in

from fedcredit.errors import FedcreditError, PeerLost
from fedcredit.node.local import OPERATOR, PLATFORM
from fedcredit.node.operator import Operator
from fedcredit.node.own_node import OwnNode
from fedcredit.node.pki import load_credentials
from fedcredit.runtime.config import load_party
from fedcredit.wire.control import JobEvent
from fedcredit.wire.frame import Frame

HORIZON_S = 4000.0
"""By then every story has ended: the longest wait for a peer is 600 s, and a story takes at most two of them."""
SETTLE_S, LOOK_S = 3700.0, 20.0
"""A party that the platform does not speak of any more waits for 600 s, for a start of what it has signed for an hour.
It is looked at so often meanwhile."""
MAX_STEPS = 2_000_000
RESTART_S = 2.0
"""After which the unit files in `parties/` start a node again that has failed."""
MINUTE_S = 60.0
"""A clock that jumped is set right after as many minutes as other deeds have seconds: up to a day."""
ENDS = ("succeeded", "failed", "cancelled")
FAILURES = frozenset(
    {"PEER_LOST", "CANCELLED", "DISK_FULL", "STORE_FULL", "CLOCK_SKEW", "DATA_CORRUPT", "PEER_TIMEOUT", "DEADLINE"}
)
"""What a job may end with that was hurt more than it has to survive."""


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that happens. `at` counts messages, or the failpoints that `who` has passed."""

    what: str
    at: int
    who: str
    other: str = ""
    seconds: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Deed:
        """A deed as it is written on the command line."""
        what, at, who, other, seconds = text.split(":")
        return cls(what, int(at), who, other, float(seconds))

    @property
    def survivable(self) -> bool:
        """Whether a job has to end well in spite of it."""
        long = {"hold": 60.0, "hold one way": 60.0} | dict.fromkeys(
            ("kill", "kill there", "vanish", "terminate"), 120.0
        )
        return self.what not in ("cancel", "jump", "full", "refuse") and self.seconds <= long.get(self.what, 1e9)


@dataclass(slots=True)
class Outcome:
    """What came of a story. `problems` is empty if all that must hold did hold."""

    seed: int
    deeds: list[Deed]
    done: int = 0
    end: str = ""
    code: str = ""
    seconds: float = 0.0
    messages: int = 0
    problems: list[str] = field(default_factory=list)
    chronicle: list[str] = field(default_factory=list, repr=False)

    def line(self, *, chronicle: bool = False) -> str:
        """One JSON object."""
        told = dataclasses.asdict(self)
        return json.dumps({name: value for name, value in told.items() if chronicle or name != "chronicle"})


@dataclass(frozen=True, slots=True)
class Measure:
    """An uninterrupted run: how long it is, in messages and failpoints, and what it gives."""

    messages: int
    hits: dict[str, int]
    result: dict[str, bytes]


KINDS: dict[str, int] = {
    "kill": 6,
    "kill there": 6,
    "vanish": 2,
    "terminate": 2,
    "cut": 4,
    "hold": 3,
    "hold one way": 2,
    "slow": 2,
    "repeat": 3,
    "spoil": 2,
    "double": 2,
    "full": 1,
    "jump": 1,
    "cancel": 1,
}


def invent(seed: int, measure: Measure) -> list[Deed]:
    """The deeds of a story."""
    rng = random.Random(seed)
    # Half of the stories hold only what a job has to survive, so that their end is known.
    kinds = dict(KINDS)
    gentle = rng.random() < 0.5
    if gentle:
        for kind in ("cancel", "jump", "full"):
            del kinds[kind]
    deeds = []
    for what in rng.choices(list(kinds), list(kinds.values()), k=rng.choice((1, 2, 3, 4, 6, 9))):
        who, other = rng.sample(NODES if what != "spoil" else PARTIES, 2)
        at = rng.randint(1, max(measure.hits.get(who, 1), 1) if what == "kill there" else measure.messages)
        seconds = rng.choice((0.2, 1.0, 5.0, 25.0, 50.0))
        if not gentle and rng.random() < 0.15:
            seconds = rng.choice((90.0, 300.0, 1500.0))
        deeds.append(Deed(what, at, who, other, seconds))
    # In a quarter of the stories a person decides. A story that is kept because it failed once must stay as it was.
    if seed % 8 in (2, 7):
        word = "refuse" if not gentle and rng.random() < 0.3 else "approve"
        deeds.append(Deed(word, 0, *rng.sample(PARTIES, 2), rng.choice((0.0, 1.0, 20.0, 100.0, 1000.0))))
    return deeds


class Story:
    """Tells one story. Create in the loop's own thread; `tell` once."""

    def __init__(self, template: Template, folder: Path, deeds: list[Deed]) -> None:
        self.loop = SimLoop()
        self.world = World(template, folder, self.loop)
        self._template, self._deeds = template, deeds
        self._words = [deed for deed in deeds if deed.what in ("approve", "refuse")]
        elsewhere = ("kill there", "approve", "refuse")
        self._due = sorted((d for d in deeds if d.what not in elsewhere), key=lambda deed: -deed.at)
        self._passed: Counter[str] = Counter()
        self._operator: Operator | None = None
        self.job = ""
        self.done: list[Deed] = []
        self.refusals: list[str] = []
        """Of nodes that ended by themselves, or refused their people, though nothing was wrong with their machines."""
        self._settling = False
        self.chronicle: list[str] = []

    def tell(self) -> JobEvent:
        """The platform's last word. Raises Stalled, TimeoutError, or what went wrong with the story itself."""
        sim_world.enter(self.world)
        asyncio.set_event_loop(self.loop)
        self.world.fabric.carried = self._carried
        self.world.at_failpoint = self._at_failpoint
        self.world.ended = self._ended
        task = self.loop.create_task(self._run(), context=self.world.outside("operator"))
        return self.loop.run_until_complete(task)

    @property
    def messages(self) -> int:
        """How many were carried."""
        return sum(wire.carried for wire in self.world.fabric.wires.values())

    def result(self) -> dict[str, bytes]:
        """The files of the models."""
        found = {}
        for party in PARTIES:
            folder = self.world.folder / party / "jobs" / self.job / "result"
            found |= {f"{party}/{f.name}": f.read_bytes() for f in (folder / "model").rglob("*") if f.is_file()}
        return found

    def states(self) -> dict[str, str]:
        """The job's state in every party's store."""
        return {party: jobs_in(self.world.folder / party / "store.sqlite").get(self.job, "") for party in PARTIES}

    async def _run(self) -> JobEvent:
        for word in self._words:
            self.world.let_a_person_decide(word.who)
        for node in NODES:
            self.world.start(node)
        keys = self.world.folder / "operator" / "keys"
        credentials = load_credentials(keys / "tls.key", keys / "tls.crt", keys / "authorities.pem", me=OPERATOR)
        address = f"127.0.0.1:{self._template.ports[PLATFORM]}"
        self._operator = Operator(OPERATOR, credentials, PLATFORM, address)
        async with asyncio.timeout(HORIZON_S + sum(word.seconds for word in self._words)):
            self.job = await self._submit(self._operator)
            for word in self._words:
                context = self.world.outside(f"people of {word.who}")
                self.loop.create_task(self._decide(word), context=context)
            end = await self._watch(self._operator)
        await self._settle()
        return end

    async def _decide(self, word: Deed) -> None:
        """A person says yes or no after a while, at the own desk of a party, and again until that has heard it."""
        await asyncio.sleep(word.seconds)
        while not self._settling:
            try:
                async with OwnNode(load_party(self.world.folder / word.who)) as own:
                    await own.approve(self.job, "somebody", refuse=word.what == "refuse")
                self._note(f"{word.what.upper()} {word.who}")
                self.done.append(word)
                return
            except FedcreditError as error:
                if error.code == "JOB_STATE":
                    return  # it has ended
                # Away, without room, or the job has not come yet: all of it passes.
                if error.code not in ("NODE_DOWN", "DRAINING", "STORE_FULL", "JOB_UNKNOWN"):
                    self.refusals.append(f"{word.who} answered its people with {error.code}")
                    return
            await asyncio.sleep(1)

    async def _submit(self, operator: Operator) -> str:
        while True:
            try:
                return await operator.submit(self._template.definition.shared(), "the-one-request")
            except FedcreditError as refused:
                # Away, or without room: both pass.
                if refused.code not in ("PEER_LOST", "STORE_FULL", "DISK_FULL"):
                    raise
            await asyncio.sleep(1)

    async def _watch(self, operator: Operator) -> JobEvent:
        seen = 0
        while True:
            with contextlib.suppress(PeerLost):
                async for event in operator.watch(self.job, seen):
                    seen = event.seq
                    if event.kind != "progress":
                        self._note(f"{event.party} {event.kind} {event.stage} {event.code} {event.culprit}".rstrip())
                    if event.party == PLATFORM and event.kind == "state" and event.stage in ENDS:
                        return event
            await asyncio.sleep(1)

    async def _settle(self) -> None:
        """Let everybody come back and agree, then stop all nodes as one stops nodes, and start them once more."""
        self._settling = True
        self._due.clear()
        self._deeds.clear()
        world = self.world
        world.skew.clear()
        world.full.clear()
        for one in (*NODES, "operator"):
            for other in NODES:
                world.fabric.release(one, other)
        for _ in range(2):
            for node in NODES:
                if node not in world.alive:
                    world.start(node)
            for _ in range(int(SETTLE_S / LOOK_S)):
                await asyncio.sleep(LOOK_S)
                if set(self.states().values()) <= {*ENDS, ""}:
                    break
            for node in NODES:
                world.terminate(node)
            await asyncio.sleep(15)

    def _note(self, text: str) -> None:
        self.chronicle.append(f"{self.loop.now - 1000:.3f} {self.messages} {text}")

    # -- deeds ----------------------------------------------------------------------------------------------------

    def _carried(self) -> None:
        while self._due and self._due[-1].at <= self.messages:
            self.loop.in_world(0, self._do, self._due.pop())

    def _at_failpoint(self, process: str, name: str, count: int) -> str | None:
        self._passed[process] += 1
        for deed in self._deeds:
            if deed.what == "kill there" and deed.who == process and deed.at == self._passed[process]:
                self._deeds.remove(deed)
                self.done.append(deed)
                self._note(f"KILLED {process} at {name}")
                self._restart_later(deed)
                return "kill"
        return "ENOSPC" if process in self.world.full else None

    def _do(self, deed: Deed) -> None:
        world, fabric, who, other = self.world, self.world.fabric, deed.who, deed.other
        pair = (fabric.wire(who, other), fabric.wire(other, who))
        after: Callable[[], None] | None = None
        match deed.what:
            case "kill" | "vanish":
                if who not in world.alive:
                    return
                world.kill(who, silent=deed.what == "vanish")
                self._restart_later(deed)
            case "terminate":
                if who not in world.alive:
                    return
                world.terminate(who)
                self._restart_later(deed)
            case "cut":
                fabric.cut(who, other)
            case "hold" | "hold one way":
                fabric.hold(who, other, both=deed.what == "hold")
                after = lambda: fabric.release(who, other)  # noqa: E731
            case "slow":
                for wire in pair:
                    wire.latency_s = min(deed.seconds, 2.0)
            case "repeat":
                for wire in pair:
                    wire.repeat += 3
            case "spoil":
                pair[0].spoil.append(partial(spoil_body, pair[0]))
            case "double":
                pair[0].spoil.extend([lambda data: [data, data]] * 3)
            case "full":
                world.full.add(who)
                after = lambda: world.full.discard(who)  # noqa: E731
            case "jump":
                self._turn_clock(who, by := random.choice((-3600, -300, 300)))
                self.loop.in_world(MINUTE_S * deed.seconds, self._turn_clock, who, -by)
            case "cancel":
                self.loop.create_task(self._cancel(), context=self.world.context_of("operator"))
        self.done.append(deed)
        self._note(f"{deed.what.upper()} {who} {other} {deed.seconds}")
        if after is not None:
            self.loop.in_world(deed.seconds, after)

    def _turn_clock(self, who: str, by: float) -> None:
        if not self._settling:
            self.world.skew[who] = self.world.skew.get(who, 0.0) + by
            self._note(f"CLOCK of {who} {by:+}")

    def _ended(self, who: str, how: str) -> None:
        """A machine starts a node again that refused to start, as the unit files in `parties/` do."""
        if how == "done":
            return
        self._note(f"REFUSED {who} {how}")
        if not may_refuse(how, self.world.skew.get(who, 0.0), full=who in self.world.full):
            self.refusals.append(f"{who} ended with {how}")
        self.loop.in_world(RESTART_S, self._start, who)

    async def _cancel(self) -> None:
        with contextlib.suppress(FedcreditError):
            assert self._operator is not None
            await self._operator.cancel(self.job)

    def _restart_later(self, deed: Deed) -> None:
        def restart() -> None:
            if not self._start(deed.who) and deed.what == "terminate":
                self.loop.in_world(1, restart)

        self.loop.in_world(deed.seconds, restart)

    def _start(self, who: str) -> bool:
        """Start a node that does not run; whether there was need of it."""
        if who in self.world.alive:
            return False
        self._note(f"START {who}")
        self.world.start(who)
        return True


def spoil_body(wire: Wire, frame: bytes) -> list[bytes]:
    """Flip a bit of the body of this frame, or of the next one that has a body: F8, a chunk that does not fit its hash.

    Below TLS nothing but a body can be spoilt: an envelope that cannot be read is no accident, and is refused at once.
    """
    if not Frame.decode(frame).body:
        wire.spoil.appendleft(partial(spoil_body, wire))
        return [frame]
    return [frame[:-1] + bytes([frame[-1] ^ 1])]


def measure(template: Template, folder: Path) -> Measure:
    """An uninterrupted run."""
    story = Story(template, folder, [])
    try:
        end = story.tell()
    except TimeoutError:
        raise AssertionError(f"nodes did not come up: {story.world.exits}") from None
    assert end.stage == "succeeded", end
    hits = Counter[str]()
    for (process, _), count in story.world.hits.items():
        hits[process] += count
    return Measure(story.messages, dict(hits), story.result())


def tell(
    seed: int, template: Template, folder: Path, uninterrupted: Measure, deeds: list[Deed] | None = None
) -> Outcome:
    """Invent a story, unless its `deeds` are given; tell it, judge it."""
    deeds = deeds or invent(seed, uninterrupted)
    outcome = Outcome(seed, list(deeds))
    random.seed(seed)
    story = Story(template, folder, deeds)
    try:
        end = story.tell()
    except (Stalled, TimeoutError) as stuck:
        outcome.problems.append(f"stuck: {type(stuck).__name__} with states {story.states()}")
        outcome.problems.append(f"{story.world.exits} {story.loop.unhandled} {list(story.world.alive)}")
    except Exception:  # noqa: BLE001 - whatever it was, the story had it
        outcome.problems.append(traceback.format_exc())
    else:
        outcome.end, outcome.code = end.stage, end.code
        outcome.problems += judge(story, outcome, uninterrupted)
    outcome.done, outcome.seconds = len(story.done), round(story.loop.now - 1000, 1)
    outcome.messages, outcome.chronicle = story.messages, story.chronicle
    return outcome


def judge(story: Story, outcome: Outcome, uninterrupted: Measure) -> list[str]:
    """What does not hold."""
    problems = [f"nobody caught: {what}" for what in story.loop.unhandled]
    problems += story.refusals
    states = story.states()
    if stuck := {party: state for party, state in states.items() if state not in (*ENDS, "")}:
        problems.append(f"not ended: {stuck}")
    if outcome.end == "succeeded":
        if story.result() != uninterrupted.result:
            problems.append("another result")
        if set(states.values()) != {"succeeded"}:
            problems.append(f"the platform has it as succeeded, parties as {states}")
    elif outcome.code not in FAILURES | {"POLICY_REFUSED" for deed in story.done if deed.what == "refuse"}:
        problems.append(f"ended with {outcome.code or 'no code'}")
    elif all(deed.survivable for deed in story.done):
        problems.append(f"had to end well, and ended with {outcome.code}")
    for party, state in states.items():
        if state == "succeeded" and not (story.world.folder / party / "jobs" / story.job / "result").is_dir():
            problems.append(f"{party} succeeded and has no result")
    return problems


def may_refuse(code: str, skew: float, *, full: bool) -> bool:
    """Whether a node may end by itself with `code`, whose clock is off by `skew` seconds, and whose disk may be full.

    F11 and F12: by a clock that has jumped back, its own certificate is not valid yet. It shows nobody such a one, and
    says so. F9: on a full disk it cannot note that the store is its own. Either way it starts once that is over.
    """
    return (code == "CERT_EXPIRED" and skew < 0) or (code == "STORE_FULL" and full)


def main() -> int:
    """Tell the stories asked for and print one line for each. Returns how many had problems."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seeds", type=int, nargs="*")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--deed", type=Deed.parse, action="append", default=[], metavar="WHAT:AT:WHO:OTHER:SECONDS")
    parser.add_argument("--set", action="append", default=[], metavar="VARIABLE=VALUE", help="a setting of all nodes")
    chosen = parser.parse_args()
    sim_world.play(setattr)
    bad = counted = 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as name:
        folder = Path(name)
        template = Template(folder / "template")
        template.environment = dict(setting.split("=", 1) for setting in chosen.set)
        uninterrupted = measure(template, folder / "uninterrupted")
        if chosen.deed:
            outcome = tell(chosen.first, template, folder / "story", uninterrupted, chosen.deed)
            print(outcome.line(chronicle=True), flush=True)
            return len(outcome.problems)
        for seed in itertools.chain(chosen.seeds, itertools.count(chosen.first)):
            if seed not in chosen.seeds and counted >= chosen.count:
                break
            outcome = tell(seed, template, folder / "story", uninterrupted)
            print(outcome.line(), flush=True)
            if outcome.problems:
                print("\n".join(outcome.chronicle), file=sys.stderr, flush=True)
            bad += bool(outcome.problems)
            # A story in which nothing happened to the job proves nothing.
            counted += seed not in chosen.seeds and outcome.done > 0
            shutil.rmtree(folder / "story")
    return bad


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(min(status, 100))  # the tasks of killed processes are not cleaned up: nobody cleans up after a kill

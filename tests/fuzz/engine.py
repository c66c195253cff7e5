"""Throw changed inputs at a decoder and see that it takes them or says no, quickly and in little memory.

What a decoder may do with any bytes: return a value, or raise one of its typed errors with a short text, within 100 ms
of processor time, without taking more than 64 MiB. Everything else is a finding. An input that makes a decoder say
something new joins the pool that is changed further, so a run works its way in without tracing the code.
"""

from __future__ import annotations

import contextlib
import mmap
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from fuzz.mutate import Mutate, blind

from fedcredit.errors import FedcreditError

__all__ = ["Finding", "Outcome", "Slate", "Target", "fuzz", "try_once"]

MAX_SECONDS = 0.1
MAX_MEMORY_KIB = 64 << 10
MAX_TEXT, MAX_PROBLEMS = 1000, 101
MAX_POOL = 512
BATCH = 1000


@dataclass(frozen=True)
class Target:
    """A decoder: valid inputs, how to change them, what it may raise. It gets `share` of the inputs asked for."""

    name: str
    seeds: tuple[bytes, ...]
    decode: Callable[[bytes], object]
    mutate: Mutate = blind
    errors: tuple[type[Exception], ...] = (FedcreditError,)
    share: float = 1.0


@dataclass(frozen=True)
class Finding:
    """An input that a decoder did not stand."""

    target: str
    what: str
    data: bytes = field(repr=False)


@dataclass
class Outcome:
    """A run: how many inputs, how many were taken, how many different answers, and what was found."""

    target: str
    inputs: int = 0
    taken: int = 0
    seconds: float = 0.0
    slowest_ms: float = 0.0
    answers: set[tuple[str, ...]] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)


class Slate:
    """The input under test, in a file that outlives this process."""

    SIZE = 1 << 23
    MOST_BYTES = SIZE - 16
    """Of an input; messages of a node are shorter."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(self.SIZE))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), self.SIZE)
        self._count = 0

    def put(self, data: bytes) -> None:
        """Note `data` before it is tried."""
        self._count += 1
        self._map[0:16] = self._count.to_bytes(8, "big") + len(data).to_bytes(8, "big")
        self._map[16 : 16 + len(data)] = data

    @classmethod
    def read(cls, path: Path) -> bytes:
        """What was tried last."""
        raw = path.read_bytes()
        return raw[16 : 16 + int.from_bytes(raw[8:16], "big")]

    @classmethod
    def tried(cls, path: Path) -> int:
        """How many inputs were noted; 0 if none was, or the file is not there."""
        try:
            with path.open("rb") as file:
                return int.from_bytes(file.read(8), "big")
        except OSError:
            return 0


def inputs_of(target: Target, seed: int, count: int, pool: list[bytes]) -> Iterator[bytes]:
    """`count` inputs, the same for the same seed and the same answers. The valid ones come first."""
    yield from target.seeds[:count]
    rng = Random()
    for number in range(len(target.seeds), count):
        if number % BATCH == 0 or number == len(target.seeds):
            rng = Random(f"{target.name}/{seed}/{number // BATCH}")
        # Half of the time from a valid input: what joined the pool later is mostly refused early.
        chosen = rng.choice(target.seeds) if rng.randrange(2) else rng.choice(pool)
        data = target.mutate(rng, chosen, pool)
        data = data if rng.randrange(4) else target.mutate(rng, data, pool)
        # Inputs that joined the pool grow from one to the next where a target's own mutator knows no bound.
        yield data[: Slate.MOST_BYTES]


def fuzz(target: Target, *, seed: int, count: int, slate: Slate | None = None, max_findings: int = 20) -> Outcome:
    """Try `count` inputs, or stop at `max_findings`."""
    outcome, pool = Outcome(target.name), list(target.seeds)
    kinds: set[str] = set()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # forget the highest memory so far, which would hide a new one
    start = time.monotonic()
    for data in inputs_of(target, seed, count, pool):
        if slate is not None:
            slate.put(data)
        answer, what, seconds = try_once(target, data)
        outcome.inputs += 1
        outcome.taken += answer == ("",)
        outcome.slowest_ms = max(outcome.slowest_ms, 1000 * seconds)
        # One input for each kind of fault is enough to mend it by.
        if what and what[:60] not in kinds:
            kinds.add(what[:60])
            outcome.findings.append(Finding(target.name, what, data))
            if len(outcome.findings) >= max_findings:
                break
        if answer not in outcome.answers:
            outcome.answers.add(answer)
            if len(pool) < MAX_POOL and len(data) <= 1 << 14:
                pool.append(data)
    outcome.seconds = time.monotonic() - start
    return outcome


def try_once(target: Target, data: bytes) -> tuple[tuple[str, ...], str, float]:
    """The decoder's answer to `data`, what is wrong with it ("" if nothing), and its processor time in seconds."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    what, answer = "", ("",)
    try:
        target.decode(data)
    except target.errors as error:
        problems = [str(problem) for problem in getattr(error, "problems", (error,))]
        answer = (getattr(error, "code", type(error).__name__), problems[0][-80:])
        if len(problems) > MAX_PROBLEMS or max(map(len, problems)) > MAX_TEXT:
            what = f"{len(problems)} problems, the longest of {max(map(len, problems))} characters"
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        answer = (type(error).__name__,)
        what = f"untyped {type(error).__name__}: {str(error)[:200]}"
    seconds = time.process_time() - start
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    if seconds > MAX_SECONDS:
        # Once may be the garbage collector's or another's doing.
        seconds = min(seconds, *(_seconds(target, data) for _ in range(3)))
    if seconds > MAX_SECONDS:
        what += f" {1000 * seconds:.0f} ms"
    if grown > MAX_MEMORY_KIB:
        what += f" {grown >> 10} MiB"
    return answer, what.strip(), seconds


def _seconds(target: Target, data: bytes) -> float:
    start = time.process_time()
    with contextlib.suppress(Exception):
        target.decode(data)
    return time.process_time() - start

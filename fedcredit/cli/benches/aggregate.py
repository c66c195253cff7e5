"""`fedcredit bench aggregate`: sums that survive the loss of parties, and Flower's SecAgg+ beside them.

Every party has a vector of real numbers, which are rounded to fixed point, masked, added up by the leader, unmasked and
sent to all that are left; each of them compares the sum with that of the vectors in the clear. `before` parties are
lost before they send their masked vector, `after` others when they are asked to unmask.
`together` has all parties in one process over an in-memory link, where every message is encoded and decoded; `apart`
has a process for each party, over gRPC with mutual TLS on loopback. There, who is lost says so as it ends, so that no
deadline is in the figures. `seconds` is the median of all runs, from the vectors to the sum at the last party;
`processor` that of all parties together.
`bytes`: all messages of all parties; over TLS with their envelopes. `plain`: the bytes of the same vectors to the
leader and of the sum back, with nothing around them; `over`: bytes above that for each pair of parties.
`peer` is Flower's SecAgg+ with the same parties, length, threshold and drop-outs, in one process without a network, in
turns with ours (`benchmarks/peers/flower_secagg.py` says what its figures hold); words are 8 bytes at both, Flower's
result stays at the server. `ratio` is the median over the turns of our time to its `serialised`, which like ours has
every message encoded and decoded; `ratio_bare` that to its `seconds`, without. Not there where Flower is not installed.
Settings: parties, before, after (one case), kind (together or apart), peer (0: none).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

from fedcredit.cli.bench import Options
from fedcredit.cli.benches.aggregate_case import Case
from fedcredit.cli.benches.jobs import load, median
from fedcredit.errors import FedcreditError, Problem, UsageError
from fedcredit.node.pki import Authority

__all__ = ["run"]

Found: TypeAlias = dict[str, Any]
Once: TypeAlias = Callable[[], Found]
"""Runs a case once, in processes that are up."""

LENGTHS: Final = (100_000, 1_000_000)
LOST: Final = ((0, 0), (2, 0), (0, 2))
PARTIES: Final = (3, 10, 100)
MOST_APART: Final = 10
"""Parties that have a process each: a hundred would measure this machine's memory."""

_MODULE: Final = "fedcredit.cli.benches.aggregate_main"
_PEERS: Final = Path(__file__).resolve().parents[3] / "benchmarks" / "peers"
_FLOWER: Final = _PEERS / ".flower" / "bin" / "python"
_STOP_S: Final = 60.0


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield one row a case and kind."""
    kinds = {"together": _together, "apart": _apart}
    wanted = options.settings.get("kind")
    if wanted is not None and wanted not in kinds:
        raise UsageError(Problem("USAGE", f"--set kind={wanted}", "no such kind", "together or apart"))
    peered = bool(options.number("peer", 1)) and _FLOWER.exists()
    for case in _cases(options):
        for kind, measure in kinds.items():
            if wanted in (None, kind) and (kind == "together" or case.parties <= MOST_APART):
                with ExitStack() as stack:
                    ours = stack.enter_context(measure(case))
                    peer = stack.enter_context(_flower(case)) if peered else None
                    # What takes minutes at the peer is run once.
                    yield _row(kind, case, ours, peer, options.repeat if case.parties <= MOST_APART else 1)


def _cases(options: Options) -> Iterator[Case]:
    lengths = options.rows or LENGTHS
    if "parties" in options.settings:
        lost = (int(options.number("before", 0)), int(options.number("after", 0)))
        yield from (Case(int(options.number("parties", 0)), length, *lost) for length in lengths)
        return
    for parties in PARTIES:
        for length in lengths:
            # Three are the least that a sum may be over.
            for before, after in LOST if parties > PARTIES[0] else LOST[:1]:
                yield Case(parties, length, before, after)


def _row(kind: str, case: Case, ours: Once, peer: Once | None, repeat: int) -> dict[str, Any]:
    """Ours and the peer's, a run of each in turn, so that both meet the same load."""
    # The first run dials links, and has the system hand out memory.
    ours()
    turns = [(ours(), peer() if peer is not None else None) for _ in range(repeat)]
    found = turns[-1][0]
    shape = {"parties": case.parties, "rows": case.length, "before": case.before, "after": case.after}
    row: dict[str, Any] = {
        "case": {"case": kind, **shape, "threshold": case.threshold, "runs": repeat},
        "seconds": {"total": median([own["seconds"] for own, _ in turns])},
        "processor": median([own["processor"] for own, _ in turns]),
        "bytes": found["bytes"],
        "plain": case.plain_bytes,
        "of_plain": round(found["bytes"] / case.plain_bytes, 4),
        "over": round((found["bytes"] - case.plain_bytes) / case.pairs),
        "rounds": found["rounds"],
        "rss_mib": found["rss_mib"],
        "load": load(),
    }
    pairs = [(own, other) for own, other in turns if other is not None]
    if pairs:
        timed = ("seconds", "serialised", "processor")
        last = {name: pairs[-1][1][name] for name in ("bytes", "error", "rss_mib")}
        row["peer"] = {name: median([other[name] for _, other in pairs]) for name in timed} | last
        for ratio, of in (("ratio", "serialised"), ("ratio_bare", "seconds")):
            row[ratio] = median([own["seconds"] / other[of] for own, other in pairs])
    return row


@contextmanager
def _together(case: Case) -> Iterator[Once]:
    with _Child([sys.executable, "-m", _MODULE, "together", case.to_json()]) as child:
        yield child.once


@contextmanager
def _flower(case: Case) -> Iterator[Once]:
    numbers = (case.parties, case.length, case.threshold, case.before, case.after)
    with _Child([str(_FLOWER), str(_PEERS / "flower_secagg.py"), *map(str, numbers)]) as child:
        yield child.once


@contextmanager
def _apart(case: Case) -> Iterator[Once]:
    authority = Authority.create()
    with tempfile.TemporaryDirectory(prefix="fedcredit-bench-") as folder, ExitStack() as stack:
        for name in case.names:
            own = authority.credentials(name)
            parts = {part: getattr(own, part).decode() for part in ("private_key", "certificate", "authorities")}
            (Path(folder) / f"{name}.json").write_text(json.dumps(parts))
        command = [sys.executable, "-m", _MODULE, "apart", case.to_json(), folder]
        parties = [stack.enter_context(_Child([*command, str(place)])) for place in range(case.parties)]
        ports = [party.hear() for party in parties]
        for party in parties:
            party.say(ports)

        def once() -> Found:
            for party in parties:
                party.say("go")
            said = [party.hear() for party in parties]
            return {
                "seconds": max(one["seconds"] for place, one in enumerate(said) if case.stays(place)),
                "processor": sum(one["processor"] for one in said),
                "bytes": sum(one["bytes"] for one in said),
                "rounds": max(one["rounds"] for one in said),
                "rss_mib": max(one["rss_mib"] for one in said),
            }

        yield once


class _Child:
    """A process that runs its part once for each line it is sent, and says what that took; it ends with its input."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command

    def __enter__(self) -> _Child:
        self._log = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        return self

    def __exit__(self, *error: object) -> None:
        self._input.close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()
        self._log.close()

    @property
    def _input(self) -> IO[str]:
        assert self._process.stdin is not None, "standard input is a pipe"
        return self._process.stdin

    @property
    def _output(self) -> IO[str]:
        assert self._process.stdout is not None, "standard output is a pipe"
        return self._process.stdout

    def say(self, what: object) -> None:
        """Send it a line of JSON."""
        self._input.write(json.dumps(what) + "\n")
        self._input.flush()

    def hear(self) -> Any:
        """Its next line of JSON. Raises: FedcreditError."""
        if line := self._output.readline():
            return json.loads(line)
        self._log.seek(0)
        said = self._log.read().decode(errors="replace").strip().splitlines()
        what = said[-1] if said else "ended without a word"
        raise FedcreditError(Problem("BENCH_FAILED", "bench aggregate: a process", what))

    def once(self) -> Found:
        """Have it run once."""
        self.say("go")
        found: Found = self.hear()
        return found

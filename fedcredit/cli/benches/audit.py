"""`fedcredit bench audit`: entries into a node's audit log, and a whole log checked.

Every append is durable before its caller goes on: the entry and the signed head are synced, and the head is noted in
the store. `append`, one caller, has a write to itself; `append`, many callers, share writes (group commit); `stream`
is callers that keep many entries under way and wait for the oldest, as a service does; `verify` checks a log of `rows`
entries from disk: form, order, tree and signature; `prove` makes one inclusion proof of it, reading it anew.
Settings: callers, window (entries under way per caller of `stream`), appends (of each append case).
`rate` is per second of wall-clock; `rate_cpu` per second of processor time of this process, callers included.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedcredit.cli.bench import Options
from fedcredit.cli.benches.jobs import median, scratch
from fedcredit.governance.audit import MAX_BATCH, Draft, Event
from fedcredit.governance.merkle import verify_inclusion
from fedcredit.node.audit_file import AuditFile
from fedcredit.node.audit_scan import scan_log
from fedcredit.node.recorder import Receipt, Recorder
from fedcredit.node.store import Store
from fedcredit.runtime.clock import SystemClock

__all__ = ["run"]

ENTRIES = 1_000_000
_ORIGIN = "bench"
_HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield one row a case."""
    callers, window = int(options.number("callers", 64)), int(options.number("window", 512))
    appends = int(options.number("appends", 40_000))
    yield _appends({"case": "append", "callers": 1, "appends": 200}, options.repeat, _each_waits)
    yield _appends({"case": "append", "callers": callers, "appends": appends}, options.repeat, _each_waits)
    streams = {"case": "stream", "callers": 4, "window": window, "appends": appends}
    yield _appends(streams, options.repeat, partial(_stream, window=window))
    for rows in options.rows or (ENTRIES,):
        yield from _whole_log(rows, options.repeat)


def _appends(case: dict[str, Any], repeat: int, caller: Callable[[Recorder, int, int], object]) -> dict[str, Any]:
    walls, processor = [], []
    for _ in range(repeat):
        with scratch() as folder, _recorder(folder) as recorder:
            begun, cpu = time.perf_counter(), time.process_time()
            _at_once(partial(caller, recorder, _share(case)), case["callers"])
            walls.append(time.perf_counter() - begun)
            processor.append(time.process_time() - cpu)
            if recorder.entries != case["callers"] * _share(case):
                raise RuntimeError("an acknowledged entry is missing")
    n, seconds = case["callers"] * _share(case), {"total": median(walls), "cpu": median(processor)}
    rates = {"rate": round(n / median(walls)), "rate_cpu": round(n / median(processor))}
    return {"case": case, "seconds": seconds} | rates


def _share(case: dict[str, Any]) -> int:
    return int(case["appends"]) // int(case["callers"])


def _each_waits(recorder: Recorder, n: int, me: int) -> None:
    for i in range(n):
        recorder.record(Event.RESULT_RELEASED, f"bench-{me}", subject=_HASH, rows=i)


def _stream(recorder: Recorder, n: int, me: int, *, window: int) -> None:
    under_way: list[Receipt] = []
    for i in range(n):
        under_way.append(recorder.submit(Event.RESULT_RELEASED, f"bench-{me}", {"subject": _HASH, "rows": i}))
        if len(under_way) == window:
            under_way.pop(0).wait()
    for receipt in under_way:
        receipt.wait()


def _whole_log(rows: int, repeat: int) -> Iterator[dict[str, Any]]:
    key = Ed25519PrivateKey.generate()
    with scratch() as folder:
        with _log(folder, key) as log:
            for first in range(0, rows, MAX_BATCH):
                numbers = range(first, min(first + MAX_BATCH, rows))
                log.append_all([Draft(Event.RESULT_RELEASED, "bench", {"subject": _HASH, "rows": i}) for i in numbers])
        walls, processor = [], []
        for _ in range(repeat):
            begun, cpu = time.perf_counter(), time.process_time()
            found = scan_log(folder, _ORIGIN, key.public_key().verify)
            walls.append(time.perf_counter() - begun)
            processor.append(time.process_time() - cpu)
        yield {
            "case": {"case": "verify", "rows": rows},
            "seconds": {"total": median(walls), "cpu": median(processor)},
            "rate": round(rows / median(walls)),
            "bytes": found.entry_bytes,
        }
        walls = []
        for i in range(repeat):
            begun, index = time.perf_counter(), rows * i // repeat
            found = scan_log(folder, _ORIGIN, key.public_key().verify)
            proof = found.leaves.inclusion(index)
            walls.append(time.perf_counter() - begun)
            head = found.signed.head
            verify_inclusion(found.leaves.rows[index].tobytes(), index, head.size, proof, head.root)
        yield {"case": {"case": "prove", "rows": rows}, "seconds": {"total": median(walls)}, "bytes": 32 * len(proof)}


def _at_once(work: Callable[[int], object], threads: int) -> None:
    failed: list[BaseException] = []

    def guarded(me: int) -> None:
        try:
            work(me)
        except BaseException as error:  # noqa: BLE001 - raised below, in the bench's own thread
            failed.append(error)

    workers = [threading.Thread(target=guarded, args=(me,)) for me in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failed:
        raise failed[0]


@contextmanager
def _recorder(folder: Path) -> Iterator[Recorder]:
    store = Store.at(folder / "store.sqlite")
    try:
        with _log(folder, Ed25519PrivateKey.generate()) as log:
            yield Recorder(log, store)
    finally:
        store.close()


def _log(folder: Path, key: Ed25519PrivateKey) -> AuditFile:
    return AuditFile(folder, _ORIGIN, sign=key.sign, verify=key.public_key().verify, clock=SystemClock())

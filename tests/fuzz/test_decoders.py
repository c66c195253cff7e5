"""A short run of `make fuzz`, the same inputs every time, and proof that the fuzzer finds what it looks for."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable

import pytest
from fuzz import mutate, watch
from fuzz.engine import Slate, Target, fuzz, try_once
from fuzz.report import Ledger
from fuzz.run import main
from fuzz.samples import messages, sample
from fuzz.targets import targets

FEW, SOME = 200, 2_000
TARGETS = {target.name: target for target in targets()}


@pytest.mark.parametrize(
    ("seed", "inputs"),
    [pytest.param(3, FEW, id="few"), pytest.param(4, SOME, id="some", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("name", TARGETS)
def test_a_decoder_takes_any_bytes_or_says_no(name: str, seed: int, inputs: int) -> None:
    target = TARGETS[name]
    outcome = fuzz(target, seed=seed, count=max(20, int(inputs * target.share)))
    assert [(finding.what, finding.data[:200]) for finding in outcome.findings] == []
    # A run that is refused at the door, or never refused, tests nothing.
    assert outcome.taken > 0
    assert len(outcome.answers) > 1


def test_every_message_has_a_valid_sample() -> None:
    assert [kind.__name__ for kind in messages() if kind.decode(sample(kind).encode()) is None] == []
    assert {f"wire.{kind.__name__}" for kind in messages()} <= TARGETS.keys()


def explode(data: bytes) -> None:
    if b"\xff" in data:
        raise ValueError("untyped")


def dawdle(data: bytes) -> None:
    if b"\xff" in data:
        sum(range(20_000_000))


def swallow(data: bytes) -> None:
    if b"\xff" in data:
        len(b"\1" * (150 << 20))


@pytest.mark.parametrize(
    ("decode", "what"),
    [(explode, "untyped ValueError"), (dawdle, "ms"), (swallow, "MiB")],
    ids=["raises", "takes long", "takes much"],
)
def test_what_a_decoder_must_not_do_is_found(decode: Callable[[bytes], None], what: str) -> None:
    target = Target("toy", (b"abc",), decode)
    outcome = fuzz(target, seed=1, count=2000, max_findings=1)
    assert [what in finding.what for finding in outcome.findings] == [True]
    assert b"\xff" in outcome.findings[0].data
    assert try_once(target, b"abc")[1] == ""


def test_the_same_seed_gives_the_same_inputs() -> None:
    def inputs(seed: int) -> list[bytes]:
        seen: list[bytes] = []
        fuzz(Target("toy", (b'{"a":[1,2]}',), seen.append, mutate.canonical_json), seed=seed, count=1500)
        return seen

    assert inputs(1) == inputs(1)
    assert inputs(1) != inputs(2)


def test_a_run_keeps_what_it_found(tmp_path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    names = ["fuzz", "frame.abort", "--inputs", "300", "--out", str(tmp_path), "--jobs", "1"]
    monkeypatch.setattr("sys.argv", names)
    assert main() == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["total"]["inputs"], report["total"]["findings"]) == (300, 0)
    assert report["decoders"][0]["taken"] > 0
    assert report["total"]["commit"] == report["decoders"][0]["commit"]
    assert "1 decoders, 300 inputs, 0 findings" in capfd.readouterr().out
    slate = Slate(tmp_path / "slate")
    slate.put(b"last words")
    assert (Slate.read(tmp_path / "slate"), Slate.tried(tmp_path / "slate")) == (b"last words", 1)


def test_what_is_done_at_a_commit_is_not_done_again(tmp_path) -> None:
    path = tmp_path / "results.jsonl"
    line = {"decoder": "frame", "inputs": 300, "findings": []}
    Ledger(path, "abc", 1).add(dict(line))
    assert Ledger(path, "abc", 1).done("frame", 300) is not None
    for ledger, decoder, count in (
        (Ledger(path, "abc", 1), "frame", 301),
        (Ledger(path, "abc", 1), "frame.abort", 300),
        (Ledger(path, "abd", 1), "frame", 300),
        (Ledger(path, "abc", 2), "frame", 300),
    ):
        assert ledger.done(decoder, count) is None
    # Files that differ from the commit may differ from those of the last run, too.
    changed = Ledger(tmp_path / "changed.jsonl", "abc+", 1)
    changed.add(dict(line))
    assert changed.done("frame", 300) is None
    # What was found stays found until the code changes.
    Ledger(path, "abc", 1).add({"decoder": "wire.Sides", "inputs": 7, "findings": [{"what": "x", "input": "y"}]})
    assert Ledger(path, "abc", 1).done("wire.Sides", 300) is not None


def test_a_decoder_that_hangs_or_dies_is_a_finding(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "INPUT_HANGS_S", 1.0)
    hang = "from fuzz.engine import Slate; import pathlib, sys, time, faulthandler; faulthandler.enable()"
    hang += "; Slate(pathlib.Path(sys.argv[1])).put(b'x'); time.sleep(300)"
    slate = tmp_path / "toy.slate"
    with watch.Board(tmp_path, {"toy": 5}, 60.0) as board:
        status, _, errors = watch.child([sys.executable, "-c", hang, str(slate)], slate, board)
    assert status == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in errors
    assert Slate.read(slate) == b"x"


def test_the_rates_of_a_run_are_of_the_time_since_the_last_look(tmp_path) -> None:
    Slate(tmp_path / "late.slate").put(b"of a run that was stopped")
    now = 100.0
    board = watch.Board(tmp_path, {"toy": 5000, "late": 5000}, 60.0, clock=lambda: now)
    assert board.progress() == "0 findings; starting"
    slate, said = Slate(tmp_path / "toy.slate"), []
    for inputs, seconds in ((1000, 60), (500, 10), (0, 20), (0, 0)):
        for _ in range(inputs):
            slate.put(b"x")
        now += seconds
        said.append(board.progress())
    assert said == [
        "toy 1000/5000; 0 findings; about 9 min left",
        "toy 1500/5000 50/s; 0 findings; about 7 min left",
        "toy 1500/5000 0/s; 0 findings; about 8 min left",
        "toy 1500/5000; 0 findings; about 8 min left",
    ]

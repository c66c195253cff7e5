"""Drift of published versions: the index, who may tell it and when, two versions side by side, and the commands."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_town import BANK, PARTIES, PLATFORM, RIVAL, TAX, ModelTown, run
from model_words import OFFER

from fedcredit.cli import model_drift
from fedcredit.cli.main import main
from fedcredit.cli.model_display import show_model
from fedcredit.errors import DataError, FedcreditError, PeerError, UsageError
from fedcredit.governance.registry.drift import DRIFT, DriftWord, check_month
from fedcredit.ids import PartyId
from fedcredit.node.registry.answers import read_answer
from fedcredit.node.trust.founding import NewParty, found
from fedcredit.node.watching.drift import compared, drift, drift_of_months
from fedcredit.node.watching.score_files import FileScore, read_scores
from fedcredit.node.watching.state import SCORED, Batch, Watched, WatchState
from fedcredit.wire.message import MessageInvalid
from fedcredit.wire.registry import DriftOrder, ModelDocument, ModelDrift

WORD = DriftWord(
    platform=PLATFORM,
    party=BANK,
    name="sme",
    version=1,
    offer=OFFER.digest,
    month="2026-05",
    index=123_456,
    scores=1200,
    time=1_777_000_000,
)


def code(call: Callable[[], object]) -> str:
    with pytest.raises(FedcreditError) as caught:
        call()
    return caught.value.code


# -- the word ---------------------------------------------------------------------------------------------------------


def test_a_word_on_drift_reads_back() -> None:
    assert DriftWord.parse(WORD.to_bytes(), BANK) == WORD
    assert WORD.stability().index == pytest.approx(0.123456)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", "fedcredit-drift/2"),
        ("month", "2026-13"),
        ("month", 5),
        ("index", -1),
        ("index", 100_000_001),
        ("index", True),
        ("scores", 1234),
        ("scores", 0),
        ("version", 0),
        ("time", 0),
        ("offer", "ab"),
        ("more", 1),
        ("party", None),
    ],
)
def test_another_word_is_none(key: str, value: object) -> None:
    said = json.loads(WORD.to_bytes())
    data = json.dumps(said | {key: value}, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(PeerError, match="DRIFT_INVALID"):
        DriftWord.parse(data, BANK)
    for raw in (b"", b"[]", b"x" * 2000, WORD.to_bytes() + b" "):
        with pytest.raises(PeerError, match="DRIFT_INVALID"):
            DriftWord.parse(raw, BANK)


@pytest.mark.parametrize(
    ("now", "month", "fine"),
    [
        ("2026-06-30T09:59", "2026-07", False),
        ("2026-06-30T10:01", "2026-07", True),  # it is July in Kiritimati
        ("2026-06-30T12:00", "2026-05", True),
        ("2026-06-30T12:00", "2026-04", True),  # published when it was April in Baker Island
        ("2026-06-30T12:00", "2026-03", False),
    ],
)
def test_a_month_is_one_of_the_versions_life_wherever_its_publisher_is(now: str, month: str, fine: bool) -> None:
    published = datetime(2026, 5, 1, 3, tzinfo=UTC)

    def check() -> None:
        check_month(month, published, datetime.fromisoformat(now).replace(tzinfo=UTC))

    if fine:
        check()
    else:
        assert code(check) == "DRIFT_MONTH"


@pytest.mark.parametrize("change", [{"name": ""}, {"month": "2026"}, {"index": 10**9}, {"scores": 0}, {"version": 0}])
def test_an_order_to_tell_it_names_a_month_of_a_version(change: dict[str, Any]) -> None:
    fields = {"name": "sme", "version": 1, "month": "2026-05", "index": 1, "scores": 100, "by": "ann"}
    assert DriftOrder.decode(DriftOrder(**fields).encode()) == DriftOrder(**fields)  # type: ignore[arg-type]
    with pytest.raises(MessageInvalid):
        DriftOrder(**fields | change)


# -- from the bank's people to the registry ---------------------------------------------------------------------------


@pytest.fixture
def town(tmp_path: Path) -> Iterator[ModelTown]:
    made = ModelTown(tmp_path)
    made.version()
    yield made
    made.close()


def tell(town: ModelTown, who: PartyId = BANK, **change: Any) -> dict[str, Any]:
    """What comes of it when a party's people order it."""
    fields = {"name": "sme", "version": 1, "month": "2026-05", "index": 123_456, "scores": 1200, "by": "ann"}
    order = DriftOrder.decode(DriftOrder(**fields | change).encode())
    return read_answer(who, run(town.parties[who].desk._drift(who, order)).document)


def send(town: ModelTown, who: PartyId, word: DriftWord, *, signer: PartyId | None = None, use: bytes = DRIFT) -> Any:
    """A word that is made up, straight to the platform."""
    signing, data = town.parties[signer or who].signing, word.to_bytes()
    message = ModelDrift(data, signing.sign(use, data), signing.certificate)
    reply = run(town.served(who, "Drift", message))
    assert isinstance(reply, ModelDocument)
    return read_answer(PLATFORM, reply.document)


def word_of(town: ModelTown, **change: Any) -> DriftWord:
    offer = town.platform.store.models.version("sme", 1).manifest.offer
    return replace(WORD, offer=offer.digest, **change)


def test_who_has_published_tells_it_once_and_everybody_sees_it(
    town: ModelTown, capsys: pytest.CaptureFixture[str]
) -> None:
    told = tell(town)
    assert told == {
        "name": "sme",
        "version": 1,
        "month": "2026-05",
        "new": True,
        "index": 0.123456,
        "scores": 1200,
        "says": "watch",
    }
    assert tell(town)["new"] is False
    with pytest.raises(FedcreditError, match="DRIFT_SAID"):
        tell(town, index=1)
    for name in PARTIES:
        (row,) = town.parties[name].shown("sme", 1)["stability"]
        assert row == {"month": "2026-05", "index": 0.123456, "scores": 1200, "says": "watch"}
    show_model(town.parties[TAX].shown("sme", 1))
    assert "2026-05: stability index 0.1235 of 1,200 scores, watch" in capsys.readouterr().out
    (noted,) = [change for change in town.platform.changes() if change["change"] == "drift"]
    assert (noted["party"], noted["month"], noted["index"], noted["scores"]) == (BANK, "2026-05", 123_456, 1200)
    own = [change for change in town.parties[BANK].changes() if change["change"] == "drift"]
    assert [change["by"] for change in own] == ["ann", "ann"]


def test_nobody_else_tells_it(town: ModelTown) -> None:
    assert code(lambda: tell(town, TAX)) == "DRIFT_PUBLISHER"
    assert code(lambda: tell(town, RIVAL)) == "MODEL_UNKNOWN"
    assert code(lambda: send(town, TAX, word_of(town, party=TAX))) == "DRIFT_PUBLISHER"
    assert code(lambda: send(town, RIVAL, word_of(town, party=RIVAL))) == "MODEL_UNKNOWN"
    # Another's word, with one's own signature or with none of its kind.
    assert code(lambda: send(town, TAX, word_of(town))) == "DRIFT_INVALID"
    assert code(lambda: send(town, BANK, word_of(town), signer=TAX)) in ("SIGNER_INVALID", "SIGNATURE_INVALID")
    assert code(lambda: send(town, BANK, word_of(town), use=b"fedcredit/v1/model-word")) == "SIGNATURE_INVALID"
    assert town.platform.store.models.stability("sme", 1) == []


def test_a_word_on_another_version_platform_or_time_is_none(town: ModelTown) -> None:
    assert code(lambda: send(town, BANK, word_of(town, version=2))) == "MODEL_UNKNOWN"
    assert code(lambda: send(town, BANK, replace(word_of(town), offer=bytes(32)))) == "DRIFT_INVALID"
    assert code(lambda: send(town, BANK, word_of(town, platform=PartyId("other")))) == "DRIFT_INVALID"
    assert code(lambda: tell(town, month="2026-06")) == "DRIFT_MONTH"
    assert code(lambda: tell(town, month="2026-04")) == "DRIFT_MONTH"
    assert code(lambda: tell(town, month="2026-99")) == "STABILITY_INVALID"
    assert code(lambda: tell(town, scores=150)) == "STABILITY_INVALID"
    assert code(lambda: tell(town, version=7)) == "MODEL_UNKNOWN"
    assert town.platform.store.models.stability("sme", 1) == []
    assert send(town, BANK, word_of(town))["new"] is True


# -- the index --------------------------------------------------------------------------------------------------------


def by_hand(before: list[int], now: list[int]) -> float:
    """The index by its definition; an empty band counts as half a row."""
    total = 0.0
    for old, new in zip(before, now, strict=True):
        e, a = max(old, 0.5) / sum(before), max(new, 0.5) / sum(now)
        total += (a - e) * math.log(a / e)
    return total


def test_the_index_is_that_of_the_bands_that_are_shown() -> None:
    random = np.random.default_rng(7)
    before = random.normal(600, 40, 3000).round().astype(np.int64)
    same, moved = (random.normal(mean, 40, 2000).round().astype(np.int64) for mean in (600, 640))
    found = drift(before, moved)
    assert found.index == pytest.approx(by_hand(*(list(rows) for rows in zip(*found.rows, strict=True))), abs=1e-6)
    assert (len(found.rows), found.scores, found.before) == (10, 2000, 3000)
    assert max(old for old, _ in found.rows) < 400
    assert (found.says, drift(before, same).says) == ("shifted", "stable")
    assert found.shift == pytest.approx(moved.mean() - before.mean())
    cut = drift(before, moved, (560.0, 640.0))
    assert [old for old, _ in cut.rows] == [
        int((before < 560).sum()),
        int(((before >= 560) & (before < 640)).sum()),
        int((before >= 640).sum()),
    ]


@pytest.mark.parametrize(("before", "now", "part"), [(99, 500, "99 scores before"), (500, 3, "3 scores now")])
def test_of_few_scores_there_is_none(before: int, now: int, part: str) -> None:
    with pytest.raises(DataError, match=f"DRIFT_FEW.*{part}"):
        drift(np.arange(before), np.arange(now))


def months(folder: Path, **scores: list[tuple[int, list[int]]]) -> WatchState:
    """A folder of borrowers with scores of versions, month by month."""
    state = WatchState.open(folder, "sme", make=True)
    for month, batches in scores.items():
        number = 0
        for version, points in batches:
            rows = []
            for one in points:
                number += 1
                said = {"outcome": SCORED, "points": one, "probability": 0.5, "band": 1}
                rows.append(Watched(subject=f"s{number}", **said))  # type: ignore[arg-type]
            batch = Batch(model="sme", version=version, cutoffs=(1.0,), at=1, rows=tuple(rows))
            state.add(month.replace("m", "2026-"), batch)
    return state


def test_months_are_held_against_the_first_of_their_version(tmp_path: Path) -> None:
    low, high, few = list(range(200)), list(range(50, 250)), list(range(50))
    state = months(tmp_path / "w", m03=[(1, few)], m04=[(1, low)], m05=[(1, high), (2, few)], m06=[(1, high)])
    number, first, rows = drift_of_months(state, None, None)
    assert (number, first, [month for month, _ in rows]) == (1, "2026-04", ["2026-05", "2026-06"])
    assert rows[0][1].index == drift(np.array(low), np.array(high)).index
    assert [month for month, _ in drift_of_months(state, 1, "2026-05")[2]] == ["2026-06"]
    assert drift_of_months(state, 1, "2026-05")[2][0][1].index == 0.0
    for call in (lambda: drift_of_months(state, 2, None), lambda: drift_of_months(state, 1, "2026-03")):
        assert code(call) == "DRIFT_FEW"
    mixed = months(tmp_path / "v", m05=[(1, low), (2, low)])
    with pytest.raises(UsageError, match="scores of 1, 2"):
        drift_of_months(mixed, None, None)
    assert code(lambda: drift_of_months(WatchState.open(tmp_path / "e", "sme", make=True), None, None)) == "DRIFT_FEW"


# -- files ------------------------------------------------------------------------------------------------------------


def write(path: Path, scores: dict[str, tuple[int, int]], *more: str) -> Path:
    lines = [f"{subject},scored,{points},0.1,{band},," for subject, (points, band) in scores.items()]
    path.write_text("\n".join(["uscc,outcome,score,probability,band,reasons,without", *lines, *more]) + "\n")
    return path


def test_two_versions_side_by_side(tmp_path: Path) -> None:
    one = {"a": FileScore(600, 5), "b": FileScore(500, 2), "c": FileScore(520, 3), "d": FileScore(1, 1)}
    other = {"a": FileScore(610, 5), "b": FileScore(560, 4), "c": FileScore(500, 2)}
    found = compared(one, other)
    assert (found.only, found.up, found.down, found.drift) == ((1, 0), 1, 1, None)
    assert found.same_band == pytest.approx(1 / 3)
    assert found.shift == pytest.approx(50 / 3)
    assert found.absolute == pytest.approx(30.0)
    assert found.rows[1] == ("b", 500, 2, 560, 4)
    assert code(lambda: compared(one, {"x": FileScore(1, 1)})) == "COMPARE_NONE"


def test_a_file_of_scores_is_read_as_it_was_written_and_nothing_else_for_one(tmp_path: Path) -> None:
    path = write(tmp_path / "s.csv", {"a": (600, 5), "b": (-3, 1)}, "c,refused,,,,,", "d,not asked,,,,,")
    assert read_scores(path) == {"a": FileScore(600, 5), "b": FileScore(-3, 1)}
    for line in ("a,scored,1,0,1,,", "e,scored,x,0,1,,", "e,scored,1,0,0,,", "e,scored,1,0,1,,tax", ",scored,1,0,1,,"):
        with pytest.raises(DataError, match=r"SCORE_FILE.*line 3") as caught:
            read_scores(write(tmp_path / "w.csv", {"a": (600, 5)}, line))
        assert "600" not in str(caught.value)
    bands = write(tmp_path / "o.csv", {"a": (600, 5)}, "e,scored,,,3,,")
    assert read_scores(bands, only_bands=True) == {"a": FileScore(600, 5), "e": FileScore(None, 3)}
    assert code(lambda: read_scores(bands)) == "SCORE_FILE"
    (tmp_path / "n.csv").write_text("uscc,outcome\n")
    assert code(lambda: read_scores(tmp_path / "n.csv")) == "COLUMN_MISSING"
    assert code(lambda: read_scores(tmp_path / "none.csv")) == "CSV_FILE"
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\xff")
    assert code(lambda: read_scores(tmp_path / "b.csv")) == "CSV_STRUCTURE"


# -- the commands -----------------------------------------------------------------------------------------------------


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    table = tmp_path / "bank.csv"
    table.write_text("uscc,x,y\n91320100MA1MTQ0X09,1,0\n", encoding="utf-8")
    kind = (BANK, "institution", "127.0.0.1", 7443, (), table, "uscc", "y", PLATFORM, None, False)
    found(tmp_path / "bank", NewParty(*kind))
    return tmp_path / "bank"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def call(*arguments: object) -> tuple[int, str]:
        try:
            status = main(["model", *map(str, arguments)])
        except SystemExit as left:
            status = int(left.code or 0)
        out, err = capsys.readouterr()
        return status, out or err

    return call


def test_drift_from_the_command_line(
    bank: Path, command: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    low, high = list(range(250)), list(range(100, 350))
    (bank / "watch").mkdir()
    months(bank / "watch" / "sme", m05=[(1, low)], m06=[(1, low)], m07=[(1, high)])
    sent: list[tuple[Any, ...]] = []

    def telling(config: Any, name: str, version: int, month: str, of: Any) -> dict[str, Any]:
        sent.append((config.me, name, version, month, of.index, of.scores))
        return {"month": month, "new": True}

    monkeypatch.setattr(model_drift, "_sent", telling)
    status, said = command("drift", "sme", "--node", bank)
    assert (status, sent) == (0, [])
    assert "2026-06: stability index 0.0000, stable; 250 scores beside 250, +0.0 points" in said
    status, said = command("drift", "sme", "--node", bank, "--send", "--json")
    told = json.loads(said)
    assert (status, told["version"], told["against"], told["told"]["month"]) == (0, 1, "2026-05", "2026-07")
    assert [row["says"] for row in told["months"]] == ["stable", "shifted"]
    assert sent == [(BANK, "sme", 1, "2026-07", told["months"][1]["index"], 250)]
    assert command("drift", "sme", "--node", bank, "--send", "--month", "2026-08")[0] == 65
    files = [write(bank / f"{name}.csv", {f"s{k}": (k, 1) for k in rows}) for name, rows in (("a", low), ("b", high))]
    both = ("--before", files[0], "--now", files[1])
    status, said = command("drift", "sme", "--node", bank, *both, "--month", "2026-07", "--json")
    assert json.loads(said)["months"][0]["index"] == told["months"][1]["index"]
    for wrong in ((*both[:2],), (*both, "--against", "2026-05"), (*both, "--send"), (*both, "--month", "7")):
        status, said = command("drift", "sme", "--node", bank, *wrong)
        assert (status, "USAGE" in said) == (2, True)


def test_compare_from_the_command_line(tmp_path: Path, command: Callable[..., tuple[int, str]]) -> None:
    one = write(tmp_path / "a.csv", {f"s{k}": (k, 1 + k // 100) for k in range(200)})
    other = write(tmp_path / "b.csv", {f"s{k}": (k + 50, 1 + (k + 50) // 100) for k in range(150)})
    status, said = command("compare", one, other, "--out", tmp_path / "both.csv", "--json")
    told = json.loads(said)
    assert (status, told["both"], told["only_champion"], told["same_band_share"]) == (0, 150, 50, round(100 / 150, 6))
    assert (told["mean_shift"], told["bands_up"], told["bands_down"]) == (50.0, 50, 0)
    rows = list(csv.DictReader((tmp_path / "both.csv").read_text().splitlines()))
    assert (len(rows), {row["shift"] for row in rows}) == (150, {"50"})
    status, said = command("compare", one, other)
    assert (status, "Same band: 66.7%; higher: 50, lower: 0" in said) == (0, True)
    assert "Stability index between the two" in said

"""Borrowers watched by the month: nobody asked for twice, alerts of what has changed, a folder for its owner alone."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_town import OPEN, run
from score_town import BANK, RULE, SOCIAL, TAX, ScoreTown

from fedcredit.cli import watch_running
from fedcredit.cli.main import main
from fedcredit.errors import ConfigError, DataError, FedcreditError, PeerLost
from fedcredit.governance.scoring.decisions import Outcome
from fedcredit.ids import PartyId
from fedcredit.node.scoring.client import NotScored, Score, Wanted
from fedcredit.node.scoring.version import OwnVersion, bands_of
from fedcredit.node.trust.founding import NewParty, found
from fedcredit.node.watching.alerts import Alert, find, write_findings
from fedcredit.node.watching.run import Round
from fedcredit.node.watching.state import LEFT, Batch, WatchState
from fedcredit.observe import logs


@dataclass
class Watch:
    """A bank that watches borrowers with the town's desks."""

    town: ScoreTown
    state: WatchState
    dies_after: int = 1 << 30
    calls: int = 0
    version: OwnVersion = field(init=False)

    def __post_init__(self) -> None:
        self.version = self.town.made

    def run(
        self, wanted: Sequence[Wanted], month: str = "2026-05", batch: int = 8, **more: Any
    ) -> FedcreditError | None:
        """A month's round; the process ends after `dies_after` requests."""
        town = self.town
        for node in (town.models.platform, *town.models.parties.values()):
            node.clock.advance(1)
        now = int(town.models.platform.clock.now().timestamp())
        work = Round(state=self.state, version=self.version, me=BANK, month=month, now=now, batch=batch, **more)

        async def asked() -> FedcreditError | None:
            async with town.client(self.version) as client:

                async def score(part: Sequence[Wanted]) -> Sequence[Score | NotScored]:
                    self.calls += 1
                    if self.calls > self.dies_after:
                        raise RuntimeError("the process ends here")
                    return await client.score(part, town.tables[BANK])

                return await work.work(wanted, score, lambda done: None)

        return run(asked())

    def points(self, month: str) -> dict[str, int]:
        """The scores of a month."""
        rows = self.state.rows(month).values()
        return {row.subject: row.points for row, _ in rows if row.points is not None}

    def outcomes(self, month: str) -> dict[str, str]:
        """Who has none, and why."""
        return {row.subject: row.outcome for row, _ in self.state.rows(month).values() if not row.scored}

    def alerts(self, month: str, least: int = 1) -> dict[str, Alert]:
        """Those of a month, by borrower."""
        return {alert.subject: alert for alert in find(self.state, month, least).alerts}


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    (tmp_path / "town").mkdir()
    town = ScoreTown(tmp_path / "town")
    yield Watch(town, WatchState.open(tmp_path / "watch", "sme", make=True))
    town.close()


def moved(town: ScoreTown, rows: Sequence[int], other: Sequence[int]) -> None:
    """Let tax have for some subjects what it had for others."""
    table = town.tables[TAX]
    at = {code.decode(): number for number, code in enumerate(table.codes.tolist())}
    columns = table.columns.copy()
    columns[[at[town.subjects[row]] for row in rows]] = table.columns[[at[town.subjects[row]] for row in other]]
    town.desks[TAX].tables(None).read = replace(table, columns=columns)  # type: ignore[arg-type,attr-defined]


def goes_down(after: int) -> Callable[[PartyId, str, bytes], bytes]:
    """A department that takes so many requests and then is gone."""
    calls = 0

    def sent(provider: PartyId, method: str, data: bytes) -> bytes:
        nonlocal calls
        if method == "Score" and provider == SOCIAL:
            calls += 1
            if calls > after:
                raise PeerLost(SOCIAL, method, "cannot be reached")
        return data

    return sent


def answered(town: ScoreTown, name: PartyId) -> int:
    return sum(row.outcome is Outcome.ANSWERED for row in town.kept(name))


def test_the_first_month_is_what_the_card_says_and_no_news(watch: Watch) -> None:
    assert watch.run(watch.town.wanted(*range(20))) is None
    town = watch.town
    assert watch.points("2026-05") == dict(zip(town.subjects[:20], town.totals()[:20].tolist(), strict=True))
    found = find(watch.state, "2026-05")
    assert (found.scored, found.fresh, found.alerts, found.without) == (20, 20, (), {})


def test_who_moved_is_told_from_where_to_where(watch: Watch) -> None:
    town = watch.town
    totals, bands = town.totals(), town.made.bands
    wanted = town.wanted(*range(40))
    watch.run(wanted)
    moved(town, range(40), range(40, 80))
    watch.run(wanted, "2026-06")
    now = watch.points("2026-06")
    then = {subject: int(total) for subject, total in zip(town.subjects[:40], totals[:40], strict=True)}
    changes = {
        subject: int(bands.bands(np.array([float(now[subject])]))[0])
        - int(bands.bands(np.array([float(then[subject])]))[0])
        for subject in then
    }
    alerts = watch.alerts("2026-06")
    assert {subject: alert.change for subject, alert in alerts.items()} == {s: c for s, c in changes.items() if c}
    assert {alert.kind for alert in alerts.values()} == {"fell", "rose"}
    for subject, alert in alerts.items():
        assert alert.kind == ("fell" if changes[subject] < 0 else "rose")
        assert (alert.since, alert.month) == ("2026-05", "2026-06")
        assert (alert.score_from, alert.score_to) == (then[subject], now[subject])
        assert alert.band_from is not None
        assert alert.band_to == alert.band_from + changes[subject]
    # The worst falls stand first, and small ones are left out where that is wanted.
    order = [alert.change for alert in find(watch.state, "2026-06").alerts if alert.kind == "fell"]
    assert order == sorted(order, key=lambda change: change or 0)
    assert set(watch.alerts("2026-06", 2)) == {s for s, c in changes.items() if abs(c) >= 2}


def test_a_run_that_died_goes_on_and_uses_no_consent_twice(watch: Watch) -> None:
    town = watch.town
    wanted = town.wanted(*range(20), max_uses=1)
    watch.dies_after = 2
    with pytest.raises(RuntimeError):
        watch.run(wanted, batch=5)
    kept = watch.points("2026-05")
    assert len(kept) == answered(town, TAX) == answered(town, SOCIAL) == 10
    watch.dies_after = 1 << 30
    assert watch.run(wanted, batch=5) is None
    assert len(watch.points("2026-05")) == answered(town, TAX) == answered(town, SOCIAL) == 20
    assert watch.outcomes("2026-05") == {}
    calls = watch.calls
    assert watch.run(wanted, batch=5) is None
    assert watch.calls == calls
    assert kept.items() <= watch.points("2026-05").items()


def test_a_provider_that_goes_down_ends_the_run_and_what_was_scored_is_kept(watch: Watch) -> None:
    town = watch.town
    wanted = town.wanted(*range(12))

    town.sent = goes_down(after=2)
    ended = watch.run(wanted, batch=4)
    assert isinstance(ended, PeerLost)
    assert len(watch.points("2026-05")) == 8
    # Nobody counts as gone from the file because the run did not come to it.
    assert watch.outcomes("2026-05") == {}
    town.sent = lambda provider, method, data: data
    assert watch.run(wanted, batch=4) is None
    assert len(watch.points("2026-05")) == 12


def test_a_consent_that_cannot_hold_is_told_apart_before_anybody_hears_of_its_subject(watch: Watch) -> None:
    town = watch.town
    now = int(town.models.platform.clock.now().timestamp())
    old = {"not_before": now - 7200, "issued_at": now - 7200, "expires": now - 3600}
    made = town.subjects
    wanted = [
        Wanted(made[0], ""),
        Wanted(made[1], town.consent(made[1], **old)),
        Wanted(made[2], town.consent(made[2], models=("other",))),
        Wanted(made[3], town.consent(made[3], requester="rival")),
        Wanted(made[4], town.consent(made[5])),
        Wanted(made[6], "no.token.atall"),
        *town.wanted(7),
    ]
    assert watch.run(wanted) is None
    assert watch.outcomes("2026-05") == {
        made[0]: "no consent",
        made[1]: "consent ended",
        made[2]: "consent for something else",
        made[3]: "consent for something else",
        made[4]: "consent for something else",
        made[6]: "consent unreadable",
    }
    assert len(town.kept(TAX)) == len(town.kept(SOCIAL)) == 1


def test_who_was_refused_is_asked_for_again_with_a_new_consent_or_when_that_is_wanted(watch: Watch) -> None:
    town = watch.town
    refused = [Wanted(town.subjects[1], town.consent(town.subjects[1], region="jining"))]
    watch.run([*refused, *town.wanted(2)])
    assert watch.outcomes("2026-05") == {town.subjects[1]: "refused"}
    asked = len(town.kept(TAX))
    watch.run(refused)
    assert len(town.kept(TAX)) == asked
    watch.run(refused, again=True)
    assert len(town.kept(TAX)) == asked + 1
    watch.run(town.wanted(1))
    assert watch.outcomes("2026-05") == {}
    assert town.subjects[1] in watch.points("2026-05")


def test_who_has_no_score_any_more_is_told_once_and_why_and_when_it_is_back(watch: Watch) -> None:
    town = watch.town
    made = town.subjects
    watch.run(town.wanted(1, 2, 3, 4))
    june = [*town.wanted(1), Wanted(made[2], ""), Wanted(made[3], town.consent(made[3], region="jining"))]
    watch.run(june, "2026-06")
    alerts = watch.alerts("2026-06")
    assert {subject: (alert.kind, alert.why) for subject, alert in alerts.items()} == {
        made[2]: ("lost", "no consent"),
        made[3]: ("lost", "refused"),
        made[4]: ("lost", LEFT),
    }
    assert alerts[made[2]].score_from == town.totals()[2]
    assert (alerts[made[2]].band_to, alerts[made[2]].change) == (None, None)
    watch.run(june, "2026-07")
    assert watch.alerts("2026-07") == {}
    watch.run(town.wanted(1, 2, 3, 4), "2026-08")
    back = watch.alerts("2026-08")
    assert {subject: (alert.kind, alert.since, alert.change) for subject, alert in back.items()} == {
        made[k]: ("back", "2026-05", 0) for k in (2, 3, 4)
    }


def test_who_is_taken_off_and_put_on_again_within_a_month_is_scored_once(watch: Watch) -> None:
    town = watch.town
    watch.run(town.wanted(1, 2), "2026-04")
    watch.run(town.wanted(1, 2))
    watch.run(town.wanted(1))
    watch.run(town.wanted(1, 2))
    assert answered(town, TAX) == 4
    watch.run(town.wanted(1), "2026-06")
    assert watch.outcomes("2026-06") == {town.subjects[2]: LEFT}
    watch.run(town.wanted(1, 2), "2026-06")
    assert watch.outcomes("2026-06") == {}


def test_scores_by_other_bands_are_not_compared(watch: Watch) -> None:
    town = watch.town
    wanted = town.wanted(1, 2)
    watch.run(wanted)
    watch.version = replace(watch.town.made, bands=bands_of(watch.town.made.part.scale, (500.0, 600.0)))
    watch.run(wanted, "2026-06")
    found = find(watch.state, "2026-06")
    assert (found.uncompared, found.alerts, found.scored) == (2, (), 2)
    assert watch.state.scores("2026-06")[town.version].tolist() == town.totals()[1:3].tolist()
    assert watch.state.scores("2026-07") == {}


def test_bands_alone_are_watched_as_well(watch: Watch) -> None:
    town = watch.town
    watch.version = replace(town.made, only_bands=True)
    for name in (TAX, SOCIAL):
        town.rule(name, RULE + "only_bands = true\n")
    watch.run(town.wanted(*range(12)), batch=12)
    rows = [row for row, _ in watch.state.rows("2026-05").values()]
    bands = town.made.bands.bands(town.totals()[:12].astype(np.float64)).astype(int) + 1
    assert [row.band for row in rows] == bands.tolist()
    assert {(row.points, row.probability) for row in rows} == {(None, None)}
    assert watch.state.scores("2026-05") == {}
    moved(town, range(12), range(40, 52))
    watch.run(town.wanted(*range(12)), "2026-06", batch=12)
    alerts = watch.alerts("2026-06")
    assert alerts
    assert all(alert.change and alert.score_from is alert.score_to is None for alert in alerts.values())


def test_a_code_that_is_none_or_stands_twice_is_told_before_anybody_is_asked(watch: Watch) -> None:
    town = watch.town
    with pytest.raises(DataError, match=r"(?s)subject 2.*subject 3"):
        watch.run([*town.wanted(1), Wanted("9132", "x"), *town.wanted(1)])
    assert town.kept(TAX) == []
    assert watch.state.months() == []


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """All that this process logs, as a node writes it."""
    root, ours, stream = logging.getLogger(), logging.getLogger("fedcredit"), io.StringIO()
    before = root.handlers[:], root.level, ours.level
    logs.set_up(party="tax", level="debug", form="json", stream=stream)
    yield stream
    root.handlers[:], root.level = before[0], before[1]
    ours.setLevel(before[2])


def test_departments_have_borrowers_under_a_key_of_their_own_in_stores_and_logs(
    watch: Watch, written: io.StringIO
) -> None:
    town = watch.town
    refused = Wanted(town.subjects[1], town.consent(town.subjects[1], region="jining"))
    watch.run([refused, *town.wanted(2, 3)])
    for name in (TAX, SOCIAL):
        town.rule(name, OPEN.replace('"bank"', '"rival"'))
    with pytest.raises(FedcreditError):
        watch.run(town.wanted(4))
    assert "score.refused" in written.getvalue()
    codes = [town.subjects[row].encode() for row in (1, 2, 3, 4)]
    for name in (TAX, SOCIAL, PartyId("platform")):
        folder = watch.town.folder / name
        held = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
        assert held
        assert not any(code in held for code in codes)
    assert not any(code.decode() in written.getvalue() for code in codes)
    tags = [{row.subject for row in town.kept(name)} for name in (TAX, SOCIAL)]
    assert [len(one) for one in tags] == [3, 3]
    assert not tags[0] & tags[1]
    # What the bank keeps has them, for its owner alone.
    files = list(watch.state.folder.rglob("*.json"))
    assert files
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files)
    assert {path.stat().st_mode & 0o777 for path in (watch.state.folder, watch.state.folder / "2026-05")} == {0o700}


def test_what_was_not_written_whole_or_can_be_read_by_others_is_told(watch: Watch) -> None:
    watch.run(watch.town.wanted(1))
    (path,) = (watch.state.folder / "2026-05").glob("*.json")
    whole = path.read_bytes()
    digest, data = whole.split(b"\n")
    for wrong in (whole[:-1], whole.replace(b"scored", b"scoreD"), b"", digest + b"\n[]", b"\xff" * 80):
        path.write_bytes(wrong)
        with pytest.raises(DataError, match="WATCH_STATE"):
            watch.state.rows("2026-05")
    assert json.loads(data)["model"] == "sme"
    path.write_bytes(whole)
    with pytest.raises(DataError, match="is of model sme"):
        WatchState.open(watch.state.folder, "other").rows("2026-05")
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="WATCH_EXPOSED"):
        watch.state.rows("2026-05")
    watch.state.folder.chmod(0o750)
    with pytest.raises(ConfigError, match="WATCH_EXPOSED"):
        WatchState.open(watch.state.folder, "sme")
    with pytest.raises(ConfigError, match="WATCH_MISSING"):
        WatchState.open(watch.state.folder / "none", "sme")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", "fedcredit-watch/2"),
        ("version", "1"),
        ("model", 7),
        ("cutoffs", [2.0, 1.0]),
        ("cutoffs", ["a"]),
        ("at", 1.5),
        ("rows", [["9", "scored", "", None, None, None, []]]),
        ("rows", [["9", "refused", "", 1, 0.5, 1, []]]),
        ("rows", [["9", "scored", "", 1, 0.5, 0, []]]),
        ("rows", [["9", "scored"]]),
    ],
)
def test_a_batch_with_something_else_in_it_is_none(key: str, value: object) -> None:
    batch = Batch(model="sme", version=1, cutoffs=(1.0, 2.0), at=3, rows=())
    said = json.loads(batch.to_bytes().split(b"\n")[1])
    data = json.dumps(said | {key: value}).encode()
    assert Batch.parse(batch.to_bytes()) == batch
    with pytest.raises((ValueError, TypeError, FedcreditError)):
        Batch.parse(hashlib.sha256(data).hexdigest().encode() + b"\n" + data)


def test_alerts_are_files_for_people_and_for_programs(watch: Watch, tmp_path: Path) -> None:
    town = watch.town
    watch.run(town.wanted(*range(30)))
    moved(town, range(30), range(40, 70))
    watch.run(town.wanted(*range(29)), "2026-06")
    found = find(watch.state, "2026-06")
    table, document = write_findings(tmp_path, found)
    told = json.loads(document.read_text())
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert (told["fell"], told["lost"], told["rose"]) == tuple(found.count(kind) for kind in ("fell", "lost", "rose"))
    assert told["without"] == {LEFT: 1}
    assert [row["uscc"] for row in rows] == [alert["uscc"] for alert in told["alerts"]]
    assert rows[0]["change"] == str(told["alerts"][0]["change"])
    assert table.stat().st_mode & 0o777 == document.stat().st_mode & 0o777 == 0o600


# -- the command ------------------------------------------------------------------------------------------------------

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def command(watch: Watch, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`fedcredit watch` at a bank whose ways lead to the town's desks."""
    town = watch.town
    table = tmp_path / "bank.csv"
    table.write_text(f"uscc,x,y\n{town.subjects[0]},1,0\n", encoding="utf-8")
    kind = (BANK, "institution", "127.0.0.1", 7443, (), table, "uscc", "y", PartyId("platform"), None, False)
    found(tmp_path / "bank", NewParty(*kind))

    async def version(config: object, name: str, number: int | None, cutoffs: tuple[float, ...]) -> OwnVersion:
        return replace(town.made, bands=bands_of(town.made.part.scale, cutoffs))

    monkeypatch.setattr(watch_running, "find_version", version)
    monkeypatch.setattr(watch_running, "own_points", lambda config, made: town.tables[BANK])
    monkeypatch.setattr(watch_running.ScoreClient, "of", lambda config, made: town.client(made))
    monkeypatch.setattr(watch_running, "SystemClock", lambda: town.models.platform.clock)

    def call(*arguments: object) -> tuple[int, str]:
        for node in (town.models.platform, *town.models.parties.values()):
            node.clock.advance(1)
        try:
            status = main(["watch", *map(str, arguments), "--node", str(tmp_path / "bank"), "--model", "sme"])
        except SystemExit as left:
            status = int(left.code or 0)
        out, err = capsys.readouterr()
        return status, out or err

    return call


def borrowers(town: ScoreTown, path: Path, rows: Sequence[int]) -> Path:
    lines = [f"{one.subject},{one.consent}" for one in town.wanted(*rows)]
    path.write_text("uscc,consent\n" + "\n".join(lines) + "\n")
    return path


def test_two_months_from_the_command_line(command: Run, watch: Watch, tmp_path: Path) -> None:
    town = watch.town
    file = borrowers(town, tmp_path / "borrowers.csv", range(30))
    status, said = command("run", "--file", file, "--batch", 10, "--month", "2026-04")
    assert (status, "30 have scores, 30 were asked for now" in said) == (0, True)
    status, said = command("run", "--file", file, "--month", "2026-04", "--json")
    assert (status, json.loads(said)["asked"], json.loads(said)["scored"]) == (0, 0, 30)
    moved(town, range(30), range(40, 70))
    file = borrowers(town, tmp_path / "borrowers.csv", range(29))
    status, said = command("run", "--file", file, "--exit-code", "--json")
    told = json.loads(said)
    assert (status, told["lost"], told["asked"]) == (1, 1, 29)
    assert told["fell"] > 0
    assert len(json.loads(Path(told["alerts"]).read_text())["alerts"]) == told["fell"] + told["rose"] + 1
    rows = json.loads(command("list", "--json")[1])["rows"]
    assert [(row["month"], row["borrowers"], row["scored"]) for row in rows] == [
        ("2026-04", 30, 30),
        ("2026-05", 30, 29),
    ]
    assert rows[1]["fell"] == told["fell"]
    listed = tmp_path / "june.csv"
    status, said = command("list", "--month", "2026-05", "--csv", listed)
    assert (status, "30 borrowers" in said) == (0, True)
    bands = [int(row["band"]) for row in csv.DictReader(listed.read_text().splitlines()) if row["band"]]
    assert bands == sorted(bands)
    assert len(bands) == 29
    kept = [path.read_bytes() for path in (tmp_path / "bank/watch/sme/2026-04").glob("0*.json")]
    assert len(kept) == 3
    assert sum(town.subjects[0].encode() in one for one in kept) == 1


@pytest.mark.parametrize(
    ("arguments", "status", "part"),
    [
        (("list",), 78, "WATCH_MISSING"),
        (("list", "--month", "May"), 78, "WATCH_MISSING"),
        (("run", "--file", "none.csv"), 65, "CSV_FILE"),
    ],
)
def test_what_cannot_be_watched_is_said(command: Run, arguments: tuple[str, ...], status: int, part: str) -> None:
    found_status, said = command(*arguments)
    assert (found_status, part in said) == (status, True)


def test_a_run_that_is_ended_by_a_provider_says_how_far_it_came(command: Run, watch: Watch, tmp_path: Path) -> None:
    town = watch.town
    file = borrowers(town, tmp_path / "borrowers.csv", range(12))

    town.sent = goes_down(after=2)
    status, said = command("run", "--file", file, "--batch", 4)
    assert status == 69
    assert "8 borrowers have scores of 2026-05; run it again" in said
    assert not (tmp_path / "bank/watch/sme/2026-05/alerts.json").exists()
    for month in ("05", "2026-06"):
        status, said = command("run", "--file", file, "--month", month)
        assert (status, "--month" in said) == (2, True)

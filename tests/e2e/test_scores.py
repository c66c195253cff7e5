"""Scores over real processes and real records: those of the whole card, on consents alone, whatever is killed."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from card_readers import score_json
from e2e.conftest import run_cli
from e2e.score_example import BANK, EMPLOYMENT, GUARANTEE, MODEL, REGISTRY, ScoreExample, score_example

from fedcredit.credit.binary import probability
from fedcredit.credit.trees import goes_left
from fedcredit.errors import FedcreditError, PeerLost
from fedcredit.estimators.parts import FeaturePart, LabelPart, part_from_bytes
from fedcredit.governance.consent.terms import Terms
from fedcredit.ids import PartyId
from fedcredit.node.local import PLATFORM
from fedcredit.node.scoring.client import Score, Wanted
from fedcredit.node.town import models
from fedcredit.node.town.consents import Representative
from fedcredit.tables import open_table
from fedcredit.wire.registry import ModelOrder

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.shared]

ROOT = Path(__file__).resolve().parents[2]
TREES = "sme-trees"
PARTIES = (BANK, REGISTRY, EMPLOYMENT, GUARANTEE)


class Office:
    """The town after the scripts up to `publish`; `due` is every enterprise's score by the card in one piece."""

    def __init__(self, town: ScoreExample, said: dict[str, str]) -> None:
        self.town, self.said = town, said
        self.due = _centralised(town)
        self._fresh = iter(sorted(self.due)[10:])

    def codes(self, n: int) -> list[str]:
        """Enterprises that no test has asked about."""
        return [next(self._fresh) for _ in range(n)]


@pytest.fixture(scope="module")
async def office(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    async with score_example(tmp_path_factory.mktemp("scores")) as town:
        said = {name: await town.types(f"{name}.sh") for name in ("align", "train", "publish")}
        await asyncio.gather(*(models.served(town, party, MODEL, 1) for party in PARTIES))
        yield Office(town, said)


@pytest.fixture(autouse=True)
async def _all_are_up(office: Office) -> AsyncIterator[None]:
    """Whatever a test has ended runs again for the next one."""
    yield
    for party in PARTIES:
        if office.town.children[party].status is not None:
            await office.town.up(party)


async def test_the_scripts_of_the_example_lead_from_tables_to_scores_and_their_traces(office: Office) -> None:
    town, said = office.town, office.said
    assert f"{len(office.due):,} subjects are at all parties" in said["align"]
    assert "sme-default: champion 1" in said["publish"]
    await town.types("authorise.sh")
    scores, verified = await asyncio.gather(town.types("score.sh"), town.types("verify.sh"))
    with (town.out / "data" / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["score"]) for row in rows] == [office.due[row["uscc"]] for row in rows]
    assert len(rows) == 2
    first = rows[0]["uscc"]
    assert f"{first}: {office.due[first]} points" in scores
    with (town.out / "data" / "employment.csv").open(newline="") as file:
        (employees,) = (int(row["employees"]) for row in csv.DictReader(file) if row["uscc"] == first)
    assert ("yes" if employees >= 5 else "no") in verified
    usage = await town.types("usage.sh")
    assert "sme-default" in usage
    assert "hf_contributors_at_least" in usage


async def test_scores_are_those_of_the_card_in_one_piece_and_nobody_is_scored_without_a_consent(
    office: Office, tmp_path: Path
) -> None:
    town, codes = office.town, office.codes(520)
    wanted = town.tokens(codes)
    lines = [f"{one.subject},{one.consent}" for one in wanted[:500]]
    lines += [f"{code}," for code in codes[500:510]]
    # The consent of another enterprise, and one to another model.
    (elsewhere,) = town.tokens([codes[512]], model="other")
    lines += [f"{codes[510]},{wanted[511].consent}", f"{codes[512]},{elsewhere.consent}"]
    (tmp_path / "clients.csv").write_text("uscc,consent\n" + "\n".join([*lines, "91320100MA1MTQ0X09,"]) + "\n")
    done = await asyncio.to_thread(
        run_cli,
        "score",
        "--node",
        town.folder(BANK),
        "--model",
        MODEL,
        "--file",
        tmp_path / "clients.csv",
        "--out",
        tmp_path / "scores.csv",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["scored"], told["refused"], told["not in the own table"]) == (500, 12, 1)
    with (tmp_path / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["outcome"] for row in rows] == ["scored"] * 500 + ["refused"] * 12 + ["not in the own table"]
    assert [int(row["score"]) for row in rows[:500]] == [office.due[code] for code in codes[:500]]
    assert len({row["score"] for row in rows[:500]}) > 20
    # What was used up is refused, alone as in a file.
    (tmp_path / "consent").write_text(wanted[0].consent)
    again = await asyncio.to_thread(
        run_cli,
        "score",
        "--node",
        town.folder(BANK),
        "--model",
        MODEL,
        "--subject",
        codes[0],
        "--consent",
        tmp_path / "consent",
    )
    assert (again.returncode, "SCORE_REFUSED" in again.stderr) == (77, True)


async def test_the_program_of_the_manual_has_the_same_scores(office: Office, tmp_path: Path) -> None:
    manual = (ROOT / "docs" / "scores.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", manual, re.DOTALL)
    (wanted,) = office.town.tokens(office.codes(1))
    (tmp_path / "consent.jwt").write_text(wanted.consent)
    for said, here in (
        ('"parties/bank"', repr(str(office.town.folder(BANK)))),
        ('"sme-default"', repr(MODEL)),
        ("91320100MA1MK00057", wanted.subject),
        ('"consent.jwt"', repr(str(tmp_path / "consent.jwt"))),
    ):
        assert said in program
        program = program.replace(said, here)
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await running.communicate()
    assert running.returncode == 0
    assert out.decode().startswith(f"('{wanted.subject}', {office.due[wanted.subject]}, ")


async def test_a_consent_that_is_taken_back_lets_no_score_be_had_within_seconds(office: Office) -> None:
    town, (code,) = office.town, office.codes(1)
    terms = Terms(
        subject=code,
        requester="bank",
        providers=("employment", "guarantee", "registry"),
        purpose="financing",
        region="nanjing",
        models=(MODEL,),
        max_uses=100,
    )
    owner = Representative.with_account(town, "owner", [code])
    granted = await owner.grant(terms)
    wanted = Wanted(code, granted["token"])
    (found,) = await town.scores([wanted])
    assert isinstance(found, Score)
    assert found.points == office.due[code]
    await owner.revoke(granted["consent"])
    async with asyncio.timeout(10):
        while await town.scores([wanted]) != ["refused"]:  # noqa: ASYNC110 - the platform tells the departments
            await asyncio.sleep(0.1)


async def test_a_department_that_is_down_is_named_and_its_part_is_missed_only_where_all_agree(office: Office) -> None:
    town, codes = office.town, office.codes(2)
    whole, other = town.tokens(codes, uses=5)
    (before,) = await town.scores([whole])
    assert isinstance(before, Score)
    await town.end(GUARANTEE)
    with pytest.raises(PeerLost, match="guarantee"):
        await town.scores([other])
    (less,) = await town.scores([other], without=["guarantee"])
    assert isinstance(less, Score)
    assert less.without == (GUARANTEE,)
    assert less.points == _centralised(town, without=GUARANTEE)[codes[1]]
    # The difference of the two would be the guarantor's part.
    assert await town.scores([whole], without=["guarantee"]) == ["refused"]
    await town.up(GUARANTEE)
    assert await town.scores([other]) == ["refused"]


async def test_a_department_that_is_killed_loses_no_use_of_a_consent(office: Office) -> None:
    town = office.town
    plans = ("store.scores.written", "store.scores.committed", "score.recorded", "score.answered")
    codes = office.codes(len(plans))
    wanted = town.tokens(codes, uses=2)
    (kept,) = await town.scores(town.tokens(office.codes(1)))
    assert isinstance(kept, Score)
    acknowledged = Counter(town.answered(REGISTRY))
    await town.end(REGISTRY, signal.SIGTERM)
    with pytest.raises(FedcreditError, match="SCORE_PROVIDERS"):  # no policy lets a score lack its part
        await town.scores(wanted[:1], without=["registry"])
    for plan, one in zip(plans, wanted, strict=True):
        await town.dying(REGISTRY, f"{plan}=kill@1")
        with pytest.raises(PeerLost, match="registry"):
            await town.scores([one])
        assert await town.ended(REGISTRY) == -signal.SIGKILL
    await town.up(REGISTRY)
    uses = Counter(town.answered(REGISTRY))
    assert all(uses[consent] == times for consent, times in acknowledged.items())
    # Durable is what was committed; then the second use is the last one, and nobody has a third.
    assert sum((uses - acknowledged).values()) == len(plans) - 1
    second = await town.scores(wanted)
    assert [one.points if isinstance(one, Score) else one for one in second] == [office.due[code] for code in codes]
    assert await town.scores(wanted) == ["refused"] * len(plans)
    assert max(Counter(town.answered(REGISTRY)).values()) <= 2
    report = await asyncio.to_thread(run_cli, "usage", "report", "--node", town.folder(REGISTRY), "--json")
    assert report.returncode == 0, report.stderr
    assert "score_interrupted" in await _uses(town, codes[1])


async def test_a_band_is_that_of_the_total_and_comes_without_it(office: Office) -> None:
    town, codes = office.town, office.codes(100)
    found = await town.scores(town.tokens(codes), only_bands=True)
    scale = json.loads((town.out / "data" / "card.json").read_bytes())["scale"]
    cuts = [scale["base_score"] + scale["pdo"] * k for k in range(-6, 3)]
    told = [one.band if isinstance(one, Score) else None for one in found]
    assert told == [1 + sum(office.due[code] >= cut for cut in cuts) for code in codes]
    assert all(isinstance(one, Score) and one.points is None for one in found)


async def test_trees_of_the_job_are_scored_as_in_one_piece(office: Office) -> None:
    town, codes = office.town, office.codes(200)
    job = (town.out / "data" / "job").read_text().strip()
    await models.activate(town, TREES, await models.publish(town, job, "gbdt.1", TREES))
    found = await town.scores(town.tokens(codes, model=TREES), model=TREES)
    due = _ensemble(town, codes)
    told = [one.probability if isinstance(one, Score) else np.nan for one in found]
    assert told == pytest.approx(due, abs=1e-6)
    assert len(set(told)) > 20
    assert await town.scores(town.tokens(codes[:2]), model=TREES) == ["refused"] * 2  # consents to the card


async def test_a_version_that_is_retired_is_scored_with_no_more(office: Office) -> None:
    town, codes = office.town, office.codes(1)
    await models.order(town, PLATFORM, ModelOrder("retire", MODEL, 1, "", "", models.WHO))
    await asyncio.gather(*(models.served(town, party, MODEL, 1, "") for party in PARTIES))
    with pytest.raises(FedcreditError) as refused:
        await town.scores(town.tokens(codes), version=1)
    assert refused.value.code == "MODEL_STATE"


async def test_afterwards_every_log_is_whole_and_names_no_enterprise(office: Office) -> None:
    town = office.town
    audit = await town.types("audit.sh")
    assert audit.count("score_answered") > 10
    seen = re.compile("|".join(sorted(office.due)[:600]))
    for party in (PLATFORM, REGISTRY, EMPLOYMENT, GUARANTEE):
        said = (town.folder(party) / "audit" / "entries.jsonl").read_text()
        assert not seen.search(said + audit + (town.out / "logs" / f"{party}.log").read_text())


async def _uses(town: ScoreExample, subject: str) -> str:
    done = await asyncio.to_thread(
        run_cli, "usage", "report", "--node", town.folder(REGISTRY), "--subject", subject, "--json"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _part_files(town: ScoreExample, file: str = "scorecard.0/scorecard.json") -> dict[PartyId, Path]:
    job = (town.out / "data" / "job").read_text().strip()
    return {party: town.folder(party) / "jobs" / job / "result" / "model" / file for party in PARTIES}


def _rows(town: ScoreExample) -> dict[str, dict[str, str]]:
    """All columns of all parties, of the enterprises that all have."""
    tables = []
    for party in PARTIES:
        with (town.out / "data" / f"{party}.csv").open(newline="") as file:
            tables.append({row["uscc"]: row for row in csv.DictReader(file)})
    common = set.intersection(*(set(table) for table in tables))
    return {code: {k: v for table in tables for k, v in table[code].items()} for code in common}


def _ensemble(town: ScoreExample, codes: list[str]) -> list[float]:
    """The probabilities that the trees give of all tables in one place, split by split."""
    parts = {
        party: part_from_bytes(file.read_bytes()) for party, file in _part_files(town, "gbdt.1/model.json").items()
    }
    label = parts[BANK]
    assert isinstance(label, LabelPart)
    coded = {}
    for party, part in parts.items():
        with open_table(town.job.file_table(party).spec(town.job.path.parent, None)) as table:
            place = {code: row for row, code in enumerate(np.asarray(table.ids()).astype("U18").tolist())}
            rows = table.read(np.array([place[code] for code in codes], np.int64))
        coded[party] = part.columns.code(rows.columns, len(codes))
    raw = np.full(len(codes), label.initial)
    for tree, numbers in zip(label.trees, label.foreign, strict=True):
        sides = np.empty((tree.n_splits, len(codes)), np.bool_)
        for split in range(tree.n_splits):
            owner = label.parties[tree.owner[split]]
            feature, at_bin, missing_left = tree.feature[split], tree.bin[split], tree.missing_left[split]
            if isinstance(part := parts[owner], FeaturePart):
                own = part.splits[numbers[split]]
                feature, at_bin, missing_left = own.feature, own.bin, own.missing_left
            missing = coded[owner].missing[feature]
            sides[split] = goes_left(coded[owner].codes[feature], int(at_bin), bool(missing_left), missing)
        raw += tree.leaf_value[tree.leaf_of(sides)]
    return [float(one) for one in probability(raw)]


def _centralised(town: ScoreExample, without: str = "") -> dict[str, int]:
    """The scores that another program gives by the exported card, from all tables in one place."""
    out = town.out / "data" / "card.json"
    if not out.exists():
        done = run_cli("card", "export", *_part_files(town).values(), "--out", out)
        assert done.returncode == 0, done.stderr
    card = json.loads(out.read_bytes())
    assert len({one["party"] for one in card["variables"]}) >= 3, "most parties have a column of the card"
    card["variables"] = [one for one in card["variables"] if one["party"] != without]
    document = json.dumps(card).encode()
    found = {}
    for code, row in _rows(town).items():
        typed: dict[str, float | str | None] = {}
        for one in card["variables"]:
            text = row[one["column"]]
            typed[one["variable"]] = None if not text else float(text) if one["kind"] == "numeric" else text
        found[code] = score_json(document, typed)
    return found

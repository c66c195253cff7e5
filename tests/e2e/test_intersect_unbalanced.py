"""Mode `unbalanced` between running nodes: a filter that is made once, follows its table, and has a quota."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal
from e2e.conftest import run_cli, write_job, write_tables
from midday import midday_zone

from fedcredit.ids import PartyId
from fedcredit.node.local import PLATFORM, Consortium
from fedcredit.runtime.config import load_job, load_party

BANK, TAX = PartyId("bank"), PartyId("tax")

pytestmark = pytest.mark.slow


@pytest.fixture
def consortium(tmp_path: Path) -> Iterator[Consortium]:
    write_tables(tmp_path, {"bank": (0, 400), "tax": (100, 40_100)})
    nodes = Consortium(load_job(write_job(tmp_path, ["bank", "tax"])), tmp_path / "out")
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(nodes):
        with (nodes.folder(BANK) / "party.toml").open("a") as file:
            file.write(f'\n[peers]\nplatform = "{nodes.children[PLATFORM].address}"\n')
        yield nodes


def intersect(nodes: Consortium, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run_cli("intersect", "--node", nodes.folder(BANK), "--peer", "tax", *arguments)


def unbalanced(nodes: Consortium) -> tuple[set[str], Path]:
    """The common identifiers, and the result's folder."""
    done = intersect(nodes, "--mode", "unbalanced", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["mode"], found["why"]) == ("unbalanced", "the job names it")
    _, *ids = Path(found["aligned"]).read_text().splitlines()
    assert len(ids) == found["rows"]
    return set(ids), Path(found["aligned"]).parent


def file_of(nodes: Consortium, party: PartyId) -> Path:
    config = load_party(nodes.folder(party))
    return config.path(config.tables["main"].table or "")


def ids_of(nodes: Consortium, party: PartyId) -> set[str]:
    _, *lines = file_of(nodes, party).read_text().splitlines()
    return {line.split(",")[0] for line in lines}


def lent(nodes: Consortium) -> Path:
    return nodes.folder(TAX) / "filters" / "lent" / "bank" / "main"


def label(path: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(path.read_text())["label"]
    return found


def subjects(result: Path) -> dict[str, str]:
    """What each party says of its set."""
    parties = json.loads((result / "specification.json").read_text())["parties"]
    return {party["id"]: party["subjects"] for party in parties}


def aligned_bytes(result: Path) -> int:
    rows = json.loads((result / "traffic.json").read_text())
    return sum(row["bytes"] for row in rows if row["phase"] == "align")


def test_a_filter_is_made_once_and_follows_its_table(consortium: Consortium) -> None:
    common, first = unbalanced(consortium)
    assert common == ids_of(consortium, BANK) & ids_of(consortium, TAX)
    assert len(common) == 300
    made = label(lent(consortium) / "record.json")
    assert (made["version"], made["entries"]) == (1, 40_000)

    # The second time nothing of the filter travels, and nothing is evaluated but what is asked.
    again, second = unbalanced(consortium)
    assert again == common
    assert label(lent(consortium) / "record.json") == made
    assert aligned_bytes(second) < 64 * 400 + 2_000 < aligned_bytes(first)
    assert subjects(second) == subjects(first)

    # A job that leaves the mode open takes it too, now that there is a filter; where both are to learn, it cannot.
    for arguments, mode in ((["--receiver-only"], "unbalanced"), ([], "ecdh")):
        done = intersect(consortium, "--json", *arguments)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert (found["mode"], found["rows"]) == (mode, 300)
        shown = {row["id"] for row in json.loads((Path(found["aligned"]).parent / "leakage.json").read_text())}
        assert ("align.filter" in shown) == (mode == "unbalanced")
        assert ("a filter of 40,000 rows is kept" in found["why"]) == (mode == "unbalanced")

    # A few rows come and go.
    path = file_of(consortium, TAX)
    header, *lines = path.read_text().splitlines()
    fewer = [line for line in lines if not line.startswith("0000000001")]
    path.write_text("\n".join([header, *fewer, "000000000007,0.5,3", "000000000009,0.5,4"]) + "\n")
    changed, third = unbalanced(consortium)
    assert changed == ids_of(consortium, BANK) & ids_of(consortium, TAX)
    assert changed != common
    assert [subjects(third)[party] == subjects(first)[party] for party in (BANK, TAX)] == [True, False]
    now = label(lent(consortium) / "record.json")
    assert (now["key"], now["version"], now["entries"]) == (made["key"], 2, 39_902)
    assert aligned_bytes(second) < aligned_bytes(third) < aligned_bytes(first) / 2
    held = consortium.folder(BANK) / "filters" / "held" / "tax" / "main"
    assert label(held / "label.json") == now

    # Whoever learns the result is the bank alone, and what is kept is for its owner alone.
    result = consortium.folder(TAX) / "jobs" / third.parent.name / "result"
    assert not (result / "aligned.csv").exists()
    kept = [path for folder in (lent(consortium), held) for path in folder.iterdir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600}
    for identifier in sorted(ids_of(consortium, TAX))[:50]:
        assert not any(identifier.encode() in path.read_bytes() for path in kept)


def test_what_is_asked_is_counted_and_bounded(consortium: Consortium) -> None:
    policy = consortium.folder(TAX) / "policy.toml"
    open_to_all, zone = policy.read_text(), midday_zone()

    def grant(terms: str) -> None:
        days = f'[policy]\ntime_zone = "{zone}"\n'
        policy.write_text(days + re.sub(r"evaluations_per_day = .*\n", terms, open_to_all))

    grant("evaluations_per_day = 1000\n")
    for _ in range(2):
        unbalanced(consortium)
    audit = b"".join(p.read_bytes() for p in sorted((consortium.folder(TAX) / "audit").rglob("*")) if p.is_file())
    assert len(re.findall(rb'"asked":400', audit)) == 2

    # 800 are spent: another 400 would be too many.
    for terms in ("evaluations_per_day = 1000\n", "", "evaluations_per_day = 9999\nevaluations_per_hour = 399\n"):
        grant(terms)
        done = intersect(consortium, "--mode", "unbalanced")
        assert (done.returncode, "POLICY_REFUSED" in done.stderr) == (77, True), done.stderr
        assert "evaluations" not in done.stderr, "the reason is the department's own"
    failures = [json.loads(path.read_text()) for path in consortium.folder(TAX).glob("jobs/*/failure.json")]
    codes = {problem["code"] for failure in failures for problem in failure["problems"]}
    assert {"POLICY_BUDGET", "POLICY_EVALUATIONS"} <= codes
    # Other modes are none of its business.
    assert intersect(consortium, "--mode", "ecdh").returncode == 0


def test_a_damaged_copy_is_fetched_again_and_a_forgotten_key_means_a_new_one(consortium: Consortium) -> None:
    common, first = unbalanced(consortium)
    held = consortium.folder(BANK) / "filters" / "held" / "tax" / "main"
    (copy,) = held.glob("filter.*")
    data = bytearray(copy.read_bytes())
    data[1234] ^= 1
    copy.write_bytes(data)
    again, second = unbalanced(consortium)
    assert again == common
    assert aligned_bytes(second) == pytest.approx(aligned_bytes(first), rel=0.01)
    before = label(lent(consortium) / "record.json")["key"]
    assert (
        "lent to bank: table main: version 1, 40,000 entries"
        in run_cli("filter", "list", consortium.folder(TAX)).stdout
    )
    assert "held of tax: table main: version 1" in run_cli("filter", "list", consortium.folder(BANK)).stdout
    assert run_cli("filter", "forget", consortium.folder(TAX), "--peer", "insurer").returncode == 78
    assert run_cli("filter", "forget", consortium.folder(TAX), "--peer", "bank").returncode == 0
    assert not (lent(consortium) / "key.json").exists()
    again, third = unbalanced(consortium)
    assert again == common
    assert label(lent(consortium) / "record.json")["key"] != before
    assert aligned_bytes(third) == pytest.approx(aligned_bytes(first), rel=0.01)

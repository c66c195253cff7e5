"""Lists of enterprises of good standing: who is on them by whose consent, and that only the recipient reads them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from score_town import BANK, REGION, RIVAL, SOCIAL, TAX, ScoreTown

from fedcredit.cli import whitelist_making
from fedcredit.cli.main import main
from fedcredit.errors import ConfigError, FedcreditError, PeerError
from fedcredit.governance.consent.decision import Premises
from fedcredit.governance.scoring.whitelist import Listed, ListHeader, ListRule, Whitelist, region_of, split
from fedcredit.ids import PartyId
from fedcredit.node.scoring.own_keys import OwnKeys, own_keys, renewed_keys
from fedcredit.node.scoring.whitelists import Candidate, Maker, believed_word, open_list, own_word
from fedcredit.node.trust.founding import NewParty, found
from fedcredit.node.watching.score_files import FileScore
from fedcredit.transport.trust import Trust

RULE = ListRule(3)


@dataclass
class Offices:
    """A bank that makes lists, and others whom they may be for."""

    town: ScoreTown

    @property
    def now(self) -> int:
        """The town's time."""
        return int(self.town.models.platform.clock.now().timestamp())

    def keys(self, name: PartyId) -> OwnKeys:
        """A party's own."""
        return own_keys(self.town.models.parties[name].folder, name, self.now)

    def word(self, name: PartyId) -> Any:
        """A party's word on its keys, as the bank believes it."""
        data = own_word(self.keys(name), self.town.models.parties[name].signing)
        return believed_word(data, self.town.models.parties[BANK].signing, self.now)

    def maker(self, **change: Any) -> Maker:
        """The bank's."""
        town = self.town
        fields: dict[str, Any] = {
            "signing": town.models.parties[BANK].signing,
            "trust": Trust(town.models.pins),
            "keys": self.keys(BANK),
            "premises": town._premises("bank", REGION),
            "log_key": bytes(32),
            "model": "sme",
            "version": town.version,
            "purpose": "financing",
            "now": self.now,
        }
        return Maker(**fields | change)

    def consent(self, row: int, recipient: PartyId = RIVAL, **change: Any) -> str:
        """An enterprise's consent that the recipient may hear of it from the bank."""
        authority = self.town.models.authorities[recipient].certificate.fingerprint(hashes.SHA256())
        same: dict[str, Any] = {"requester": str(recipient), "providers": ("bank",), "authority": authority}
        return self.town.consent(self.town.subjects[row], **same | change)

    def candidates(self, *rows: int, **change: Any) -> list[Candidate]:
        """Enterprises with such a consent."""
        return [Candidate(self.town.subjects[row], self.consent(row, **change), "C26") for row in rows]

    def scores(self, **bands: int) -> dict[str, FileScore]:
        """Bands by the numbers of enterprises, r1=5."""
        return {self.town.subjects[int(row[1:])]: FileScore(600, band) for row, band in bands.items()}

    def opened(self, name: PartyId, data: bytes) -> tuple[ListHeader, Whitelist]:
        """A list at a party."""
        return open_list(data, self.keys(name).every, self.town.models.parties[name].signing)


@pytest.fixture(scope="module")
def offices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Offices]:
    town = ScoreTown(tmp_path_factory.mktemp("lists"))
    yield Offices(town)
    town.close()


def code(call: Callable[[], object]) -> str:
    with pytest.raises(FedcreditError) as caught:
        call()
    return caught.value.code


def subjects(found: Whitelist) -> list[str]:
    return [row.subject for row in found.rows]


# -- who is on it -----------------------------------------------------------------------------------------------------


def test_those_from_a_band_on_that_consent_to_just_this_recipient(offices: Offices) -> None:
    made = offices.town.subjects
    scores = offices.scores(r1=3, r2=2, r3=9, r4=5, r5=5)
    candidates = [*offices.candidates(1, 2, 3), *offices.candidates(4, recipient=TAX), *offices.candidates(6)]
    candidates.append(Candidate(made[5], ""))
    found = offices.maker().listed(RIVAL, RULE, candidates, scores)
    assert subjects(found) == sorted([made[1], made[3]])
    assert subjects(offices.maker().listed(TAX, RULE, candidates, scores)) == [made[4]]
    assert offices.maker().listed(SOCIAL, RULE, candidates, scores).rows == ()
    assert offices.maker().listed(RIVAL, RULE, [], scores).rows == ()


@pytest.mark.parametrize(
    "change",
    [
        {"requester": "bank"},
        {"providers": ("tax",)},
        {"models": ("other",)},
        {"models": (), "items": ("water_fee",)},
        {"purpose": "research"},
        {"region": "jining"},
        {"authority": bytes(32)},
        {"issued_at": 1, "not_before": 1, "expires": 3600},
    ],
)
def test_a_consent_to_something_else_puts_nobody_on_it(offices: Offices, change: dict[str, Any]) -> None:
    scores = offices.scores(r1=9, r2=9)
    candidates = [*offices.candidates(1, **change), *offices.candidates(2)]
    assert subjects(offices.maker().listed(RIVAL, RULE, candidates, scores)) == [offices.town.subjects[2]]


def test_a_consent_of_another_one_that_was_revoked_or_known_from_old_news_puts_nobody_on_it(offices: Offices) -> None:
    town, scores = offices.town, offices.scores(r1=9)
    other = [Candidate(town.subjects[1], offices.consent(2))]
    revoked = offices.candidates(1, jti="Q" * 22)
    town.revoke("Q" * 22)
    assert offices.maker().listed(RIVAL, RULE, [*other, *revoked], scores).rows == ()
    old = replace(town._premises("bank", REGION), revocations_at=offices.now - 301)
    assert offices.maker(premises=old).listed(RIVAL, RULE, offices.candidates(1), scores).rows == ()
    unheard = Premises("bank", REGION, old.issuers)
    assert offices.maker(premises=unheard).listed(RIVAL, RULE, offices.candidates(1), scores).rows == ()


def test_by_division_and_by_industry(offices: Offices) -> None:
    here = region_of(offices.town.subjects[1])
    assert here == "320100"
    for rule, count in (
        (ListRule(3, "3201"), 1),
        (ListRule(3, "3202"), 0),
        (ListRule(3, "", ("C26", "F51")), 1),
        (ListRule(3, "", ("F51",)), 0),
        (ListRule(10), 0),
    ):
        assert len(offices.maker().listed(RIVAL, rule, offices.candidates(1), offices.scores(r1=9)).rows) == count
    for wrong in ((0, ""), (3, "32x"), (3, "3201000"), (257, "")):
        with pytest.raises(ValueError, match="rule"):
            ListRule(*wrong)


# -- who reads it -----------------------------------------------------------------------------------------------------


def sealed(offices: Offices, *rows: int) -> bytes:
    scores = {offices.town.subjects[row]: FileScore(600, 9) for row in rows}
    found = offices.maker().listed(RIVAL, RULE, offices.candidates(*rows), scores)
    return offices.maker().sealed(offices.word(RIVAL), found)


def test_the_recipient_reads_it_and_who_carries_it_does_not(offices: Offices) -> None:
    data = sealed(offices, 1, 2, 3)
    header, found = offices.opened(RIVAL, data)
    assert (header.sender, header.recipient, header.model, header.version) == (BANK, RIVAL, "sme", offices.town.version)
    assert found.rule == RULE
    assert subjects(found) == sorted(offices.town.subjects[row] for row in (1, 2, 3))
    assert not any(subject.encode() in data or subject.encode().hex().encode() in data for subject in subjects(found))
    assert b"C26" not in data
    # Neither another party nor the sender itself, whose key it is not for.
    for name in (TAX, BANK):
        with pytest.raises(ConfigError, match="WHITELIST_KEY"):
            offices.opened(name, data)
    # How long it is tells little: lists of one and of sixty have one length.
    assert len(sealed(offices, 1)) == len(data) == len(sealed(offices, *range(60)))
    assert sealed(offices, 1) != sealed(offices, 1)


def test_what_was_changed_on_the_way_or_comes_from_another_is_none(offices: Offices) -> None:
    data = sealed(offices, 1)
    header, content = split(data, BANK)
    line = header.to_bytes()
    assert code(lambda: offices.opened(RIVAL, data[:-1] + bytes([data[-1] ^ 1]))) == "SEAL_INVALID"
    for change in ({"version": 9}, {"model": "other"}, {"nonce": bytes(32)}, {"made": header.made + 1}):
        other = replace(header, **change).to_bytes() + b"\n" + content  # type: ignore[arg-type]
        assert code(lambda data=other: offices.opened(RIVAL, data)) == "SEAL_INVALID"  # type: ignore[misc]
    renamed = replace(header, sender=TAX).to_bytes() + b"\n" + content
    assert code(lambda: offices.opened(RIVAL, renamed)) == "KEY_INVALID"
    tax = own_word(offices.keys(TAX), offices.town.models.parties[TAX].signing)
    claimed = replace(header, sender=TAX, words=tax).to_bytes() + b"\n" + content
    assert code(lambda: offices.opened(RIVAL, claimed)) == "SEAL_INVALID"
    late = replace(header, made=header.made + 400 * 86_400).to_bytes() + b"\n" + content
    assert code(lambda: offices.opened(RIVAL, late)) == "KEY_EXPIRED"
    for raw in (b"", line, line + b"\n", line + b"\n" + bytes(16), b"{}\n" + content, b"\xff\n", b" " + data):
        assert code(lambda data=raw: offices.opened(RIVAL, data)) == "WHITELIST_INVALID"  # type: ignore[misc]


def test_a_list_for_a_key_before_is_read_while_that_is_kept(offices: Offices) -> None:
    data = sealed(offices, 1)
    renewed_keys(offices.town.models.parties[RIVAL].folder, RIVAL, offices.now)
    assert subjects(offices.opened(RIVAL, data)[1]) == [offices.town.subjects[1]]
    assert offices.opened(RIVAL, sealed(offices, 2))[0].key == offices.keys(RIVAL).newest.word.pair


def test_a_key_that_is_not_its_partys_is_sealed_for_by_nobody(offices: Offices) -> None:
    town = offices.town
    bank = town.models.parties[BANK].signing
    word = own_word(offices.keys(RIVAL), town.models.parties[TAX].signing)  # another's signature
    assert code(lambda: believed_word(word, bank, offices.now)) in ("SIGNER_INVALID", "SIGNATURE_INVALID")
    fine = own_word(offices.keys(RIVAL), town.models.parties[RIVAL].signing)
    assert code(lambda: believed_word(fine, bank, offices.now + 400 * 86_400)) == "KEY_EXPIRED"
    assert code(lambda: believed_word(b"[]", bank, offices.now)) == "KEY_INVALID"


def test_a_sender_that_seals_something_else_than_a_list_is_named() -> None:
    whole = Whitelist(RULE, (Listed("91", "化学"), Listed("92")))
    data = whole.to_bytes()
    assert (Whitelist.parse(data, BANK), len(data) % 4096) == (whole, 0)

    def wrapped(said: object) -> bytes:
        body = json.dumps(said).encode()
        return len(body).to_bytes(8, "big") + body

    rule = {"band": 3, "region": "", "industries": []}
    for wrong in (
        b"",
        data[:-4096],
        data + b"\1",
        (1 << 40).to_bytes(8, "big") + data[8:],
        wrapped([]),
        wrapped({"rule": rule, "rows": [["91", ""], ["91", ""]]}),
        wrapped({"rule": rule, "rows": [["91"]]}),
        wrapped({"rule": rule, "rows": [["9\n1", ""]]}),
        wrapped({"rule": rule, "rows": [["", ""]]}),
        wrapped({"rule": rule | {"band": 0}, "rows": []}),
        wrapped({"rule": rule | {"industries": [7]}, "rows": []}),
    ):
        with pytest.raises(PeerError, match=r"bank.*WHITELIST_INVALID|WHITELIST_INVALID.*bank"):
            Whitelist.parse(wrong, BANK)


# -- the command ------------------------------------------------------------------------------------------------------


def test_from_key_to_list_on_the_command_line(
    offices: Offices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    town = offices.town
    table = tmp_path / "own.csv"
    table.write_text(f"uscc,x,y\n{town.subjects[0]},1,0\n", encoding="utf-8")
    for name in (BANK, RIVAL):
        kind = (name, "institution", "127.0.0.1", 7443, (), table, "uscc", "y", PartyId("platform"), None, False)
        found(tmp_path / name, NewParty(*kind))

    class Held:
        def __init__(self, *unused: object) -> None: ...
        def load(self) -> None: ...
        def premises(self, provider: str, region: str) -> Premises:
            return town._premises(provider, region)

    monkeypatch.setattr(whitelist_making, "_signing", lambda config: town.models.parties[config.me].signing)
    monkeypatch.setattr(whitelist_making, "_now", lambda: offices.now)
    monkeypatch.setattr(whitelist_making, "_version", lambda config, model, version: (town.version, "financing"))
    monkeypatch.setattr(whitelist_making, "load_trust", lambda config: Trust(town.models.pins))
    monkeypatch.setattr(whitelist_making, "platform_address", lambda config: ("platform", "127.0.0.1:1"))
    monkeypatch.setattr(whitelist_making, "HeldConsents", Held)

    def call(*arguments: object) -> tuple[int, str]:
        try:
            status = main(["whitelist", *map(str, arguments)])
        except SystemExit as left:
            status = int(left.code or 0)
        out, err = capsys.readouterr()
        return status, out or err

    bank, rival = tmp_path / BANK, tmp_path / RIVAL
    assert call("key", "--node", rival, "--out", tmp_path / "rival.key")[0] == 0
    lines = [f"{town.subjects[row]},scored,600,0.1,{band},," for row, band in ((1, 9), (2, 2), (3, 8))]
    (tmp_path / "scores.csv").write_text(
        "\n".join(["uscc,outcome,score,probability,band,reasons,without", *lines]) + "\n"
    )
    rows = [f"{one.subject},{one.consent},{one.industry}" for one in offices.candidates(1, 2, 3)]
    (tmp_path / "consents.csv").write_text("\n".join(["uscc,consent,industry", *rows]) + "\n")
    files = ("--scores", tmp_path / "scores.csv", "--consents", tmp_path / "consents.csv")
    same = ("make", "--node", bank, "--model", "sme", *files, "--consent-region", REGION, "--out", tmp_path / "lists")
    status, said = call(*same, "--to", tmp_path / "rival.key", "--band", 5, "--region", "3201", "--json")
    (made,) = json.loads(said)["lists"]
    assert (status, made["to"], made["subjects"]) == (0, "rival", 2)
    status, said = call("open", made["file"], "--node", rival, "--out", tmp_path / "good.csv", "--json")
    assert (status, json.loads(said)["from"], json.loads(said)["rule"]["region"]) == (0, "bank", "3201")
    good = list(csv.DictReader((tmp_path / "good.csv").read_text().splitlines()))
    assert [row["uscc"] for row in good] == sorted([town.subjects[1], town.subjects[3]])
    assert {(row["region"], row["industry"]) for row in good} == {("320100", "C26")}
    status, said = call("open", made["file"], "--node", bank, "--out", tmp_path / "bad.csv")
    assert (status, "WHITELIST_KEY" in said, (tmp_path / "bad.csv").exists()) == (78, True, False)
    for wrong in (("--to", tmp_path / "rival.key") * 2, ("--to", tmp_path / "rival.key", "--region", "x")):
        assert call(*same, "--band", 5, *wrong)[0] == 2
    assert call(*same, "--band", 5, "--to", tmp_path / "none.key")[0] == 78
    (tmp_path / "consents.csv").write_text("uscc,consent\n9132,x\n")
    status, said = call(*same, "--band", 5, "--to", tmp_path / "rival.key")
    assert (status, "line 2" in said) == (65, True)

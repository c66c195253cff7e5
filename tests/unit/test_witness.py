"""Peers that sign each other's heads: what is signed, what is refused and kept, and what an auditor finds of it."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from head_nodes import BANK, LAND, NOW, PINS, TAX, Node, forged, identity, show, shown
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedcredit import failpoints
from fedcredit.cli.main import main
from fedcredit.errors import FedcreditError, PeerError, PeerLost, RefusedError
from fedcredit.governance.audit import VERIFY_LOG, AuditBroken, Head, SignedHead
from fedcredit.governance.merkle import consistency_proof, leaf_hash, tree_of
from fedcredit.governance.witness import Judgement, Verdict, Witnessed, WitnessedHeads, judge
from fedcredit.ids import PartyId
from fedcredit.kernels.log import first_bad
from fedcredit.node.audit_places import LogPlace, read_witnessed
from fedcredit.node.pki import Authority
from fedcredit.node.signing import AUDIT_HEAD, AUDIT_WITNESS, verify_with
from fedcredit.node.store import Store
from fedcredit.node.store.witness import MAX_FORKS, SeenHead
from fedcredit.node.witness.desk import BURST, WitnessDesk
from fedcredit.node.witness.shower import DAY_S, HeadShower
from fedcredit.runtime.clock import ManualClock
from fedcredit.transport.trust import Pin
from fedcredit.wire.message import MessageInvalid
from fedcredit.wire.witness import MAX_SIZE, HeadSeen, HeadShown

NUMBERS = itertools.count()


@pytest.fixture
def bank(store_url: str, tmp_path: Path) -> Iterator[Node]:
    """A witness, over each of the databases that a node can use."""
    store = Store.open(store_url, ManualClock(NOW))
    made = Node(BANK, tmp_path / "bank", store)
    yield made
    made.close()
    store.close()


@pytest.fixture
def tax(tmp_path: Path) -> Iterator[Node]:
    """A party whose log is shown."""
    store = Store.at(tmp_path / "tax.sqlite", ManualClock(NOW))
    made = Node(TAX, tmp_path / "tax", store)
    made.add(3)
    yield made
    made.close()
    store.close()


def refused(bank: Node, message: HeadShown, caller: PartyId = TAX) -> str:
    with pytest.raises(FedcreditError) as found:
        bank.see(caller, message)
    return found.value.code


def test_a_head_that_only_grew_is_signed_and_its_line_is_kept(tax: Node, bank: Node) -> None:
    for n in (0, 1, 5, 300):
        tax.add(n) if n else None
        reply = show(tax, bank)
        size = tax.logs[""].head.size
        kept = bank.store.witness.of(TAX)
        assert kept is not None
        assert kept.signed.head == tax.logs[""].head
        found = read_witnessed(tax.place()).of(BANK)
        assert found is not None
        assert (found.signed.head.size, dict(found.by)) == (size, {BANK: reply.signature})
        certificate = x509.load_der_x509_certificate(reply.certificate)
        verify_with(certificate, AUDIT_WITNESS, reply.signature, found.signed.head.body())
    assert bank.store.witness.forks() == []
    # A signature for one use stands for no other.
    with pytest.raises(Exception):  # noqa: B017 - the library's own
        verify_with(certificate, AUDIT_HEAD, reply.signature, found.signed.head.body())


def test_the_same_head_gets_the_same_answer_and_each_log_stands_for_itself(tax: Node, bank: Node) -> None:
    _, message = tax.own[""].for_witness(BANK)
    assert bank.see(TAX, message) == bank.see(TAX, message)
    tax.add(40, VERIFY_LOG)
    show(tax, bank, VERIFY_LOG)
    show(tax, bank)
    assert bank.store.witness.forks() == []
    sizes = [found.signed.head.size for log in (TAX, f"{TAX}/verify") if (found := bank.store.witness.of(log))]
    assert sizes == [3, 40]
    assert read_witnessed(tax.place(VERIFY_LOG)).witnesses == (BANK,)


def test_two_roots_at_one_size_convict_and_both_heads_are_kept(
    tax: Node, bank: Node, caplog: pytest.LogCaptureFixture
) -> None:
    show(tax, bank)
    other = forged(3)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            assert refused(bank, shown(other)) == "AUDIT_FORK"
    assert sum("witness.fork" in record.getMessage() for record in caplog.records) == 3
    (fork,) = bank.store.witness.forks()
    assert (fork.how, fork.shown.signed, fork.kept.signed.head) == ("two_roots", other, tax.logs[""].head)
    (facts,) = bank.entries()
    assert (facts["log"], facts["how"], facts["kept_size"], facts["shown_size"]) == (TAX, "two_roots", 3, 3)
    # From the entry alone, anybody who knows tax's certificate can check that tax has signed both.
    certificate = x509.load_der_x509_certificate(identity(TAX).certificate)
    for which in ("kept", "shown"):
        head = Head(facts["log"], facts[f"{which}_size"], bytes.fromhex(facts[f"{which}_root"]))
        verify_with(certificate, AUDIT_HEAD, bytes.fromhex(facts[f"{which}_signature"]), head.body())
    assert bank.store.witness.of(TAX) == fork.kept
    tax.add()
    show(tax, bank)  # the honest log goes on


@pytest.mark.parametrize(
    ("size", "since", "path", "how"),
    [(2, 3, b"", "shorter"), (0, 0, b"", "shorter"), (9, 3, b"", "rewritten"), (9, 3, bytes(32) * 130, "rewritten")],
)
def test_a_head_that_does_not_follow_is_refused(
    tax: Node, bank: Node, size: int, since: int, path: bytes, how: str
) -> None:
    show(tax, bank)
    assert refused(bank, shown(forged(size), since, path)) == "AUDIT_FORK"
    assert [fork.how for fork in bank.store.witness.forks()] == [how]
    assert [facts["how"] for facts in bank.entries()] == [how]


def test_a_replayed_older_head_is_no_news(tax: Node, bank: Node) -> None:
    """What was signed stays as it is: the newest one counts, whatever is shown after it."""
    _, old = tax.own[""].for_witness(BANK)
    show(tax, bank)
    tax.add(4)
    newest = show(tax, bank)
    assert refused(bank, old) == "AUDIT_FORK"
    kept = bank.store.witness.of(TAX)
    assert kept is not None
    assert kept.signed.head.size == 7
    assert show(tax, bank) == newest


def test_evidence_of_one_log_has_an_end(tax: Node, bank: Node) -> None:
    show(tax, bank)
    for number in range(MAX_FORKS + 5):
        assert refused(bank, shown(forged(3, bytes([number]) * 32))) == "AUDIT_FORK"
    assert len(bank.store.witness.forks()) == len(bank.entries()) == MAX_FORKS


def test_a_head_of_another_log_is_none_of_the_callers(tax: Node, bank: Node) -> None:
    for origin in ("land", "tax/other", "tax/", "tax/verify/verify", "", "tax\0"):
        assert refused(bank, shown(forged(3, origin=origin))) == "AUDIT_HEAD", origin
    _, message = tax.own[""].for_witness(BANK)
    assert refused(bank, message, LAND) == "AUDIT_HEAD"
    assert bank.store.witness.of(TAX) is None


def test_signatures_are_the_callers_own_and_over_this(tax: Node, bank: Node) -> None:
    signed, good = tax.own[""].for_witness(BANK)
    bad = SignedHead(Head(TAX, 4, signed.head.root), signed.signature)
    assert refused(bank, shown(bad)) == "SIGNATURE_INVALID"
    land = HeadShown(good.head, identity(LAND).certificate, 0, b"")
    assert refused(bank, land) == "SIGNER_INVALID"
    assert refused(bank, HeadShown(good.head, b"\x30\x00", 0, b"")) == "SIGNER_INVALID"
    # For another use, the same key's signature is worth nothing.
    head = Head(TAX, 3, bytes(32))
    other = SignedHead(head, identity(TAX).sign(AUDIT_WITNESS, head.body()))
    assert refused(bank, shown(other)) == "SIGNATURE_INVALID"
    assert bank.store.witness.of(TAX) is None


@pytest.mark.parametrize("size", [-1, MAX_SIZE + 1, 10**400])
def test_sizes_that_no_log_has_are_refused(bank: Node, size: int) -> None:
    with pytest.raises((MessageInvalid, PeerError)):
        bank.see(TAX, shown(forged(size)))
    assert bank.store.witness.of(TAX) is None
    assert refused(bank, shown(forged(5)), LAND) == "AUDIT_HEAD"


def test_the_largest_size_is_kept_and_counted(bank: Node) -> None:
    bank.see(TAX, shown(forged(MAX_SIZE)))
    kept = bank.store.witness.of(TAX)
    assert kept is not None
    assert kept.signed.head.size == MAX_SIZE
    assert refused(bank, shown(forged(3))) == "AUDIT_FORK"
    assert bank.entries()[0]["kept_size"] == MAX_SIZE
    # The reader for long logs takes such a number, too.
    line = (bank.place() / "entries.jsonl").read_bytes().splitlines()[-1]
    assert first_bad(line + b"\n", 0, max_line=1 << 14, max_text=256, max_batch=4096, events=[b"head_forked"]) is None


def test_messages_are_small_and_whole() -> None:
    good = shown(forged(3), 2, bytes(32 * 3))
    assert HeadShown.decode(good.encode()).hashes == (bytes(32),) * 3
    assert len(HeadShown(bytes(512), bytes(3072), MAX_SIZE, bytes(130 * 32)).encode()) < 8192
    for change in ({"path": bytes(33)}, {"path": bytes(131 * 32)}, {"head": bytes(513)}, {"certificate": bytes(3073)}):
        values = {name: getattr(good, name) for name in ("head", "certificate", "since", "path")}
        with pytest.raises(MessageInvalid):
            HeadShown(**{**values, **change})
    for signature, certificate, known in (
        (b"", b"", b""),
        (bytes(64), b"x", b"y"),
        (bytes(63), b"x", b""),
        (bytes(64), b"", b""),
    ):
        with pytest.raises(MessageInvalid):
            HeadSeen(signature, certificate, known)


def test_who_shows_too_many_is_told_to_come_back(tax: Node, bank: Node) -> None:
    _, message = tax.own[""].for_witness(BANK)
    # The desk's own rule is looked at, not what each answer costs a disk.
    bank.desk._answer = lambda caller, request: HeadSeen(bytes(64), b"c", b"")  # type: ignore[method-assign]
    for _ in range(BURST):
        bank.see(TAX, message)
    assert refused(bank, message) == "QUOTA"
    bank.see(LAND, message)
    bank.clock.advance(60)
    bank.see(TAX, message)


def test_a_crash_between_keeping_and_answering_changes_nothing(
    tax: Node, bank: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failpoints, "_plan", None)
    for place, kept in (("written", None), ("committed", 3)):
        failpoints.load({failpoints.ALLOW: "1", failpoints.PLAN: f"store.witness.{place}=raise@1"})
        with pytest.raises(ArithmeticError):
            show(tax, bank)
        found = bank.store.witness.of(TAX)
        assert (None if found is None else found.signed.head.size) == kept, place
    tax.add(2)
    # Tax never heard of a signature, so it proves nothing; the witness asks for the proof from what it has kept.
    reply = show(tax, bank)
    assert SignedHead.decode(reply.known).head.size == 3
    assert not show(tax, bank, known=tax.own[""].check_known(BANK, reply)).known


def test_a_fork_that_a_crash_left_unrecorded_is_recorded_at_the_next_start(
    tax: Node, bank: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failpoints, "_plan", None)
    show(tax, bank)
    failpoints.load({failpoints.ALLOW: "1", failpoints.PLAN: "store.witness.committed=raise@1"})
    with pytest.raises(ArithmeticError):
        bank.see(TAX, shown(forged(3)))
    assert bank.entries() == []
    bank.desk.recover()
    bank.desk.recover()
    assert len(bank.entries()) == 1


def test_a_party_that_is_founded_anew_has_a_new_log(tax: Node, bank: Node) -> None:
    tax.add(6)
    show(tax, bank)
    assert refused(bank, shown(forged(2))) == "AUDIT_FORK"
    anew = Authority.create(now=NOW)
    key = Ed25519PrivateKey.from_private_bytes(b"n" * 32)
    certificate = x509.load_pem_x509_certificate(anew.certify_signer(TAX, key.public_key(), now=NOW))
    # A person at the bank has pinned tax's new authority.
    bank.signing = identity(BANK, PINS | {TAX: Pin((anew.certificate,))})
    bank.desk = WitnessDesk(bank.signing, bank.store, bank.recorder, bank.clock)
    head = Head(TAX, 1, bytes(32))
    framed = len(AUDIT_HEAD).to_bytes(2, "big") + AUDIT_HEAD + head.body()
    signed = SignedHead(head, key.sign(framed))
    der = certificate.public_bytes(Encoding.DER)
    assert not bank.see(TAX, HeadShown(signed.encode(), der, 0, b"")).known
    assert len(bank.entries()) == 1  # the one of before


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_whatever_is_shown_what_is_signed_is_one_log(witness_store: Store, data: st.DataObject) -> None:
    """Branches of a log that forked anywhere, shown in any order and at any size, with proofs true and false: every
    head that was signed is a beginning of the next, and an honest step from the last one is never refused."""
    origin = f"o{next(NUMBERS)}"
    branches: list[list[bytes]] = [[f"e{i}".encode() for i in range(data.draw(st.integers(0, 5)))]]
    signed: list[list[bytes]] = []
    for step in range(data.draw(st.integers(1, 12))):
        log = data.draw(st.sampled_from(branches))
        if data.draw(st.booleans()):
            at = data.draw(st.integers(0, len(log)))
            log = log[:at] + [f"s{step}.{i}".encode() for i in range(data.draw(st.integers(0, 9)))]
            branches.append(log)
        log = log[: data.draw(st.sampled_from((len(log), len(log) // 2)))]
        last = signed[-1] if signed else None
        leaves = [leaf_hash(entry) for entry in log]
        since = data.draw(st.sampled_from((0, 1, len(log), len(last or ()))))
        true = 0 < since <= len(log) and data.draw(st.booleans())
        path = consistency_proof(leaves, since) if true else (bytes(32),) * data.draw(st.integers(0, 3))
        head = SignedHead(Head(origin, len(log), tree_of(leaves).root), bytes(64))

        def compare(kept: SeenHead | None, head: SignedHead = head, since: int = since, path: Any = path) -> Judgement:
            return judge(None if kept is None else kept.signed.head, head.head, since, path)

        judgement, _ = witness_store.witness.take(SeenHead(head, b"c"), compare)
        follows = last is None or log[: len(last)] == last
        if judgement.verdict in (Verdict.KEEP, Verdict.SAME):
            assert follows
            signed.append(log)
        elif judgement.verdict is Verdict.FORK:
            assert not follows or not true
        else:
            assert last is not None
            assert since != len(last)
        if follows and (last is None or not last or log == last or (true and since == len(last))):
            assert judgement.verdict in (Verdict.KEEP, Verdict.SAME)


@pytest.fixture(scope="module")
def witness_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store.at(tmp_path_factory.mktemp("heads") / "store.sqlite", ManualClock(NOW))
    yield store
    store.close()


def test_the_file_of_signed_heads_reads_back_and_has_one_form() -> None:
    heads = WitnessedHeads()
    for size, names in ((3, ("bank", "land")), (7, ("bank", "platform")), (5, ("tea",))):
        for name in names:
            heads = heads.signed_by(name, forged(size), name.encode().ljust(64))
    assert [(one.signed.head.size, [name for name, _ in one.by]) for one in heads.heads] == [
        (7, ["bank", "platform"]),
        (5, ["tea"]),
        (3, ["land"]),
    ]
    data = heads.encode()
    assert WitnessedHeads.decode(data) == heads
    assert WitnessedHeads.decode(b"") == WitnessedHeads()
    for bad in (b"\n", data + b"\n", data[:-1], data.replace(b"bank", b"zink"), data + b"\n" + data, data * 9000):
        with pytest.raises(AuditBroken, match="AUDIT_WITNESS"):
            WitnessedHeads.decode(bad)
    with pytest.raises(AuditBroken):
        Witnessed.decode(forged(3).encode())  # nobody has signed it
    for at in range(0, len(data), 7):
        changed = bytearray(data)
        changed[at] ^= 1
        try:
            assert WitnessedHeads.decode(bytes(changed)) != heads
        except AuditBroken:
            continue


def test_a_log_that_does_not_follow_is_not_shown(tax: Node, bank: Node) -> None:
    show(tax, bank)
    other = forged(2)
    reply = HeadSeen(b"", b"", other.encode())
    known = tax.own[""].check_known(BANK, reply)
    assert tax.own[""].is_ours(known)
    with pytest.raises(AuditBroken, match="AUDIT_ROLLED_BACK"):
        tax.own[""].for_witness(BANK, known)
    for size in (4, 9):
        with pytest.raises(AuditBroken, match="AUDIT_ROLLED_BACK"):
            tax.own[""].for_witness(BANK, forged(size))
    for bad in (forged(3, origin="land").encode(), b"x", forged(-1).encode()):
        with pytest.raises(PeerError):
            tax.own[""].check_known(BANK, HeadSeen(b"", b"", bad))


def test_a_witness_that_signs_something_else_is_not_believed(tax: Node) -> None:
    signed, _ = tax.own[""].for_witness(BANK)
    bank = identity(BANK)
    for signature, certificate in (
        (bank.sign(AUDIT_WITNESS, b"another"), bank.certificate),
        (bank.sign(AUDIT_HEAD, signed.head.body()), bank.certificate),
        (identity(LAND).sign(AUDIT_WITNESS, signed.head.body()), identity(LAND).certificate),
    ):
        with pytest.raises(PeerError):
            tax.own[""].keep(BANK, signed, HeadSeen(signature, certificate, b""))
    assert not read_witnessed(tax.place()).heads


class Way:
    """A peer's service, without a network: away as often as `away` says."""

    def __init__(self, caller: PartyId, peer: Node, away: int = 0) -> None:
        self._caller, self._peer, self.away, self.calls = caller, peer, away, 0
        self.answered = asyncio.Event()

    async def call(self, method: str, request: HeadShown, reply: type[HeadSeen], **_: object) -> HeadSeen:
        self.calls += 1
        assert method == "Show"
        if self.away:
            self.away -= 1
            raise PeerLost(self._peer.name, method, "is away")
        try:
            return await self._peer.desk._show(self._caller, request)
        finally:
            self.answered.set()


def shower(tax: Node, ways: dict[PartyId, Way], members: Callable[[], set[PartyId]] = set) -> HeadShower:
    def reach(peer: PartyId) -> Any:
        return ways[peer]

    return HeadShower(tax.own, reach, members, tax.clock)


async def settled(one: HeadShower) -> None:
    async with asyncio.timeout(60):
        while one._tasks:
            await asyncio.gather(*one._tasks.values())


def test_a_peer_that_is_away_is_asked_again_and_holds_up_nobody(
    tax: Node, bank: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedcredit.node.witness.shower.FIRST_PAUSE_S", 0.01)

    async def story() -> None:
        ways = {BANK: Way(TAX, bank, away=3), LAND: Way(TAX, bank)}
        one = shower(tax, ways)
        one.show([BANK, LAND])
        await settled(one)
        # Land answers with the bank's signature, which is not taken for its own, nor asked for again.
        assert (ways[BANK].calls, ways[LAND].calls) == (4, 1)
        tax.add()
        one.show([BANK])
        await settled(one)
        assert ways[BANK].calls == 5
        await one.stop()

    asyncio.run(story())
    found = read_witnessed(tax.place())
    assert [(one.signed.head.size, [name for name, _ in one.by]) for one in found.heads] == [(4, ["bank"])]


def test_what_was_lost_on_the_way_is_proved_from_where_the_witness_is(tax: Node, bank: Node) -> None:
    _, message = tax.own[""].for_witness(BANK)
    bank.see(TAX, message)  # whose answer never came
    tax.add(5)

    async def story() -> None:
        ways = {BANK: Way(TAX, bank)}
        one = shower(tax, ways)
        one.show([BANK])
        await settled(one)
        assert ways[BANK].calls == 2
        await one.stop()

    asyncio.run(story())
    found = read_witnessed(tax.place()).of(BANK)
    assert found is not None
    assert found.signed.head.size == 8


def test_members_are_shown_every_log_once_a_day(tax: Node, bank: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedcredit.node.witness.shower.LOOK_S", 0.01)
    tax.add(2, VERIFY_LOG)

    async def story() -> None:
        ways = {BANK: Way(TAX, bank)}
        one = shower(tax, ways, lambda: {BANK})
        one.start()
        await asyncio.wait_for(ways[BANK].answered.wait(), 60)
        await settled(one)
        assert ways[BANK].calls == 2
        looked = asyncio.Event()
        one._members = lambda: looked.set() or {BANK}  # type: ignore[func-returns-value]
        await asyncio.wait_for(looked.wait(), 60)
        await settled(one)
        assert ways[BANK].calls == 2, "the day has not gone by"
        ways[BANK].answered.clear()
        tax.clock.advance(DAY_S)
        await asyncio.wait_for(ways[BANK].answered.wait(), 60)
        await settled(one)
        assert ways[BANK].calls == 4
        await one.stop()

    asyncio.run(story())


def test_many_witnesses_cost_one_reading(tax: Node, bank: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    own, read = tax.own[""], list[int]()
    scan = LogPlace.scan

    def counted(place: LogPlace, *arguments: Any) -> Any:
        found = scan(place, *arguments)
        read.append(found.tree.size)
        return found

    monkeypatch.setattr(LogPlace, "scan", counted)
    names = [PartyId(f"bank{number}") for number in range(9)]

    async def story() -> None:
        one = shower(tax, {name: Way(TAX, bank) for name in names})
        one.show(names)
        await settled(one)
        assert read == [3]
        # What was due for something later is read later.
        tax.add()
        tax.signing.clock.advance(1)  # type: ignore[attr-defined]
        tax.clock.advance(1)
        one.show(names[:2])
        await settled(one)
        assert read == [3, 4]
        await one.stop()

    asyncio.run(story())
    assert own._read is None


def test_a_rolled_back_log_is_refused_and_its_owner_is_told(
    tax: Node, bank: Node, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever brings back an older log together with its store is found by who has seen the newer one."""
    show(tax, bank)
    # The bank has a head that tax's log does not have any more.
    tax.add(4)
    show(tax, bank)
    kept = bank.store.witness.of(TAX)
    assert kept is not None
    older = Node(TAX, tax.folder.parent / "older", tax.store)
    older.add(3)

    async def story() -> None:
        one = shower(older, {BANK: Way(TAX, bank)})
        one.show([BANK])
        await settled(one)
        await one.stop()

    with caplog.at_level(logging.WARNING):
        asyncio.run(story())
    older.close()
    said = " ".join(record.getMessage() for record in caplog.records)
    assert "witness.refused" in said
    assert "AUDIT_FORK" in said
    assert bank.store.witness.of(TAX) == kept
    assert [fork.how for fork in bank.store.witness.forks()] == ["shorter"]
    assert not read_witnessed(older.place()).heads


def certificates(folder: Path) -> dict[str, Path]:
    found = {}
    for name in (TAX, BANK, LAND):
        found[name] = folder / f"{name}.crt"
        der = x509.load_der_x509_certificate(identity(name).certificate)
        found[name].write_bytes(der.public_bytes(Encoding.PEM))
    return found


def audit(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    try:
        status = main(["audit", *map(str, arguments)])
    except SystemExit as left:
        status = int(left.code or 0)
    said = capsys.readouterr()
    return status, said.out, said.err


def test_an_auditor_asks_for_witnesses(
    tax: Node, bank: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    show(tax, bank)
    tax.add(2)
    certs = certificates(tmp_path)
    log = ("verify", tax.place(), "--certificate", certs[TAX])
    status, out, _ = audit(capsys, *log, "--witness", f"bank={certs[BANK]}", "--json")
    row = json.loads(out)
    assert (status, row["entries"], row["witnesses"]) == (0, 5, [{"witness": "bank", "entries": 3}])
    both = ("--witness", f"bank={certs[BANK]}", "--witness", f"land={certs[LAND]}")
    status, _, errors = audit(capsys, *log, *both)
    assert (status, "AUDIT_WITNESS" in errors, "land" in errors) == (65, True, True)
    assert audit(capsys, *log, *both, "--witnesses-needed", 1)[0] == 0
    assert audit(capsys, *log, *both, "--witnesses-needed", 3)[0] == 2
    assert audit(capsys, *log, "--witness", "bank")[0] == 2
    assert audit(capsys, *log, "--witness", f"bank={certs[LAND]}")[0] == 78
    _, out, _ = audit(capsys, "show", tax.place(), "--certificate", certs[TAX])
    assert "first 3 entries signed by bank" in out
    # Another's signature in the bank's place.
    kept = read_witnessed(tax.place())
    false = WitnessedHeads().signed_by(BANK, kept.heads[0].signed, identity(LAND).sign(AUDIT_WITNESS, b""))
    (tax.place() / "witnessed").write_bytes(false.encode())
    status, _, errors = audit(capsys, *log, "--witness", f"bank={certs[BANK]}")
    assert (status, "does not fit" in errors) == (65, True)
    # A head that peers have signed and that the log does not have: it was rolled back.
    newer = WitnessedHeads().signed_by(BANK, forged(9), identity(BANK).sign(AUDIT_WITNESS, b""))
    (tax.place() / "witnessed").write_bytes(newer.encode())
    status, _, errors = audit(capsys, *log)
    assert (status, "AUDIT_ROLLED_BACK" in errors) == (65, True)
    (tax.place() / "witnessed").write_bytes(base64.b64encode(newer.encode()))
    status, _, errors = audit(capsys, *log)
    assert (status, "AUDIT_WITNESS" in errors) == (65, True)


def test_a_refusal_says_its_code_alone(tax: Node, bank: Node) -> None:
    show(tax, bank)
    with pytest.raises(RefusedError) as found:
        bank.see(TAX, shown(forged(3)))
    assert found.value.exit_status == 77

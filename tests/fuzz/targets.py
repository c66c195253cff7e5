"""Every decoder that reads a peer's bytes or a disk's, with valid inputs and the way to change them."""

from __future__ import annotations

import atexit
import dataclasses
import importlib
import json
import pkgutil
import shutil
import struct
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from fuzz import mutate
from fuzz.consents import consents
from fuzz.engine import Target
from fuzz.kept import kept
from fuzz.models import models
from fuzz.questions import questions
from fuzz.registry import registry
from fuzz.remote import remote
from fuzz.samples import messages, sample
from fuzz.scoring import scoring
from fuzz.serving import serving
from fuzz.trusted import trusted
from fuzz.verification import verification

import fedcredit.node
from fedcredit.crypto.elgamal import PrivateKey, Validity
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.errors import DataError, Problem
from fedcredit.governance.audit import Entry, Event, Head, SignedHead
from fedcredit.governance.audit_proof import ConsistencyProof, InclusionProof, decode_proof
from fedcredit.governance.policy_rules import Action
from fedcredit.governance.witness import WitnessedHeads, judge, log_of
from fedcredit.ids import PartyId
from fedcredit.kernels import elgamal, group
from fedcredit.kernels import filter as compact
from fedcredit.kernels.digest import blake3
from fedcredit.node.audit_journal import tail_in
from fedcredit.node.canonical_json import parse_canonical
from fedcredit.node.coordinator import addresses_of
from fedcredit.node.party import _signatures
from fedcredit.node.platform import make_proposal
from fedcredit.node.policy.record import FILE_NAME, DecisionRecord
from fedcredit.node.processes import read_failure
from fedcredit.node.signing import SigningIdentity
from fedcredit.node.specification import JobSpecification, PartyEntry
from fedcredit.runtime.clock import ManualClock
from fedcredit.runtime.config import load_job, load_party
from fedcredit.runtime.policy_file import load_policy
from fedcredit.runtime.policy_template import template
from fedcredit.runtime.state import StageState
from fedcredit.tables import TableSpec, open_table
from fedcredit.tables.header import csv_names
from fedcredit.tables.problems import Problems
from fedcredit.tables.source import Utf8Check
from fedcredit.tables.spec import Limits
from fedcredit.tables.structure import CsvScan
from fedcredit.transport.identity import party_of_certificate
from fedcredit.transport.trust import Trust
from fedcredit.wire import relay
from fedcredit.wire.frame import Abort, Frame, Receipt
from fedcredit.wire.message import Message
from fedcredit.wire.score import ScoreKey
from fedcredit.wire.witness import HeadShown

__all__ = ["targets"]

SSID, TAX, BANK = bytes(range(32)), PartyId("tax"), PartyId("bank")


def targets() -> list[Target]:
    """All of them, in the order of their names."""
    found = [*_wire(), *_control(), *_disk(), *_files(), *_kernels()]
    found += [*trusted(_folder()), *kept(_folder()), *remote(_folder()), *verification(), *consents(_folder())]
    found += [*serving(_folder()), *registry(), *scoring()]
    return sorted(found, key=lambda target: target.name)


def _wire() -> Iterator[Target]:
    for kind in messages():
        seeds = (sample(kind).encode(), kind.proto().SerializeToString())
        yield Target(f"wire.{kind.__name__}", seeds, _again(kind), mutate.protobuf)

    def frame(data: bytes) -> None:
        Frame.decode(data).check_body()

    frames = [Frame(SSID, "gbdt.0/tree.7", TAX, seq, tag, body) for seq, tag, body in ((0, 17, b"x" * 40), (3, 9, b""))]
    yield Target("frame", tuple(f.encode() for f in frames), frame, mutate.frame)
    yield Target("frame.abort", (Abort("align", "DATA_CORRUPT", 76).encode(),), Abort.decode, mutate.protobuf)
    receipts = (Receipt(SSID, 1, "align", 7, "STALE_EPOCH"), Receipt.hanging_up("PEER_LEFT"))
    yield Target("frame.receipt", tuple(r.encode() for r in receipts), Receipt.decode, mutate.protobuf)
    pieces = (
        relay.piece_to(TAX),
        relay.piece_for_call(bytes(range(relay.CALL_BYTES))),
        relay.piece_of(b"x" * 300),
        relay.END,
    )
    for read in (relay.target_of, relay.call_of, relay.data_of):
        yield Target(f"relay.{read.__name__}", pieces, read, mutate.protobuf)


def _again(kind: type[Message]) -> Callable[[bytes], object]:
    def decode(data: bytes) -> None:
        message = kind.decode(data)
        # What was taken is valid: it can be written and read again.
        written = message.encode()
        if kind.decode(written).encode() != written:
            raise AssertionError("does not read back")

    return decode


def definition() -> dict[str, Any]:
    """What an operator submits."""
    return {
        "job": {"name": "sme", "purpose": "financing", "seed": 7, "trust": "semi-honest"},
        "parties": [{"id": "bank", "role": "label"}, {"id": "tax", "role": "feature"}],
        "intersect": {"mode": "auto", "min_size": 100, "receiver_only": False},
        "split": {"holdout": 0.2},
        "models": [
            {"kind": "gbdt", "name": "gbdt.0", "groupsum": "auto", "hide_nodes": False, "params": {"num_trees": 5}}
        ],
    }


def _control() -> Iterator[Target]:
    proposal = make_proposal(definition(), PartyId("platform"))
    # A proposal's name and nonce are random; a run with a seed is not.
    proposal = proposal.model_copy(update={"id": "sme-1", "nonce": "ab" * 32})
    offers = {
        party: PartyEntry(
            id=party,
            role=proposal.party(party).role,
            rows=1000,
            features=3,
            commitment="0f" * 32,
            certificate="30" * 400,
        )
        for party in (BANK, TAX)
    }
    seeds = (proposal.to_bytes(), proposal.with_offers(offers).to_bytes())

    def specification(data: bytes) -> None:
        found = JobSpecification.parse(data)
        found.derive_leakage()
        found.proposal().to_bytes()

    yield Target("control.specification", seeds, specification, mutate.canonical_json)

    def submitted(data: bytes) -> None:
        make_proposal(parse_canonical(data), PartyId("platform"))

    submission = json.dumps(definition(), sort_keys=True, separators=(",", ":")).encode()
    yield Target("control.definition", (submission,), submitted, mutate.canonical_json)
    addresses = b'{"bank":"127.0.0.1:7001","tax":"[::1]:7002"}'
    parties = (PartyId("bank"), PartyId("tax"))
    yield Target("control.addresses", (addresses, b"{}"), lambda data: addresses_of(data, parties), mutate.json_text)
    signatures = b'{"bank":"' + b"0f" * 64 + b'","tax":"00"}'
    yield Target("control.signatures", (signatures,), lambda data: _signatures(TAX, data), mutate.canonical_json)
    seeds_folder = Path(__file__).parent / "seeds"

    def named(data: bytes) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            party_of_certificate(data)
            trust.check_link(data, ManualClock().now())

    link = (seeds_folder / "link.crt").read_bytes()
    signer = (seeds_folder / "signer.crt").read_bytes()
    trust = Trust.one_for_all(signer + link)
    yield Target("control.certificate", (link,), named, mutate.text)
    identity = SigningIdentity(TAX, Ed25519PrivateKey.generate(), b"", lambda: trust, ManualClock())
    der = x509.load_pem_x509_certificate(signer).public_bytes(Encoding.DER)

    def signed(data: bytes) -> None:
        with warnings.catch_warnings():
            # Of serial numbers that a later version of the library will refuse; until then, they name nobody else.
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            identity.key_of(TAX, data)

    yield Target("control.signer", (der,), signed, mutate.blind)


def _disk() -> Iterator[Target]:
    for kind in _states():
        yield Target(f"state.{kind.__name__}", (_state(kind).freeze(),), _thawed(kind), mutate.state)
    entry = Entry(
        sequence=3,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        event=Event.STAGE_DONE,
        job="sme-1",
        facts={"rows": 5, "ok": True, "hash": "0f" * 32},
    )
    yield Target("audit.entry", (entry.encode(),), Entry.decode, mutate.canonical_json)
    head = SignedHead(Head("tax", 5, bytes(32)), bytes(64))
    yield Target("audit.head", (head.encode(),), SignedHead.decode, mutate.text)
    signed = WitnessedHeads().signed_by("bank", head, bytes(64)).signed_by("land", head, bytes(64))
    both = signed.signed_by("bank", SignedHead(Head("tax", 9, bytes(32)), bytes(64)), bytes(range(64)))
    yield Target("audit.witnessed", (signed.encode(), both.encode()), WitnessedHeads.decode, mutate.text)

    def shown(data: bytes) -> None:
        message = HeadShown.decode(data)
        found = SignedHead.decode(message.head)
        log_of(found, TAX)
        judge(head.head, found.head, message.since, message.hashes)

    seen = HeadShown(head.encode(), b"c", 5, bytes(64)), HeadShown(both.heads[0].signed.encode(), b"c", 5, bytes(96))
    yield Target("audit.shown", tuple(message.encode() for message in seen), shown, mutate.protobuf)
    inclusion, consistency = InclusionProof(entry.encode(), 3, head, (bytes(32),)), ConsistencyProof(head, head, ())
    lines = entry.encode() + b"\n"
    numbers = struct.pack(">5Q", 7, 4, 900, len(lines), len(head.encode()))
    record = b"\x89FCJRNL\x01" + numbers + lines + head.encode()

    def journal(data: bytes) -> None:
        # Whatever the record is, its hash fits.
        if tail_in(data + blake3(data), "tax", lambda _signature, _body: None) is None:
            raise DataError(Problem("AUDIT_TAMPERED", "journal", "holds no record"))

    yield Target("audit.journal", (record,), journal)
    yield Target("audit.proof", (inclusion.encode(), consistency.encode()), decode_proof, mutate.text)
    yield from models()


def _states() -> list[type[StageState]]:
    for module in pkgutil.iter_modules(fedcredit.node.__path__, "fedcredit.node."):
        importlib.import_module(module.name)
    # A class with slots is made twice; the second one is the one in its module.
    found = {
        kind.__qualname__: kind for kind in StageState.__subclasses__() if kind.__module__.startswith("fedcredit.")
    }
    return [getattr(sys.modules[kind.__module__], name) for name, kind in sorted(found.items())]


def _state(kind: type[StageState]) -> StageState:
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        text = str(field.type)
        kinds = {"int64": np.int64, "bool_": np.bool_, "F64": np.float64, "uint8": np.uint8}
        array = next((dtype for name, dtype in kinds.items() if name in text), None)
        values[field.name] = np.ones(5, array) if array else (3 if "int" in text else "name")
    return kind(**values)


def _thawed(kind: type[StageState]) -> Callable[[bytes], object]:
    def thaw(data: bytes) -> None:
        kind.thaw(data).freeze()

    return thaw


JOB = b"""[job]
name = "sme-default"
purpose = "financing"
seed = 7
[parties.bank]
table = "t.csv"
id = "uscc"
label = "default"
drop = ["year"]
[parties.tax]
table = "t.csv"
id = "uscc"
missing = ["NA"]
[parties.tax.columns.state]
kind = "categorical"
levels = ["CA", "NY"]
[intersect]
min_size = 100
[split]
holdout = 0.2
[[model]]
kind = "gbdt"
num_trees = 50
learning_rate = 0.1
hide_nodes = true
"""

PARTY = b"""[party]
id = "tax"
kind = "provider"
[listen]
host = "127.0.0.1"
port = 7443
[identity]
key = "k"
certificate = "k"
authorities = "k"
signing_key = "k"
signing_certificate = "k"
[trust]
platform = "platform"
operators = ["operator"]
[table]
table = "t.csv"
id = "uscc"
[limits]
peer_timeout_s = 600.0
[peers]
bank = "127.0.0.1:7001"
"""

WIDE_PARTY = b"""[party]
id = "tax"
kind = "provider"
[identity]
key = "k"
certificate = "k"
authorities = "k"
signing_key = "k"
signing_certificate = "k"
[relay]
via = "platform"
outbound = "relay"
[store]
url_file = "k"
[peers]
platform = "platform.example:7443"
bank = "relay://bank"
[tables.registry]
table = "t.csv"
id = "uscc"
[tables.enterprise_tax]
id = "uscc"
updated = "updated_on"
max_age_days = 40
[tables.enterprise_tax.postgresql]
relation = "gov.enterprise_tax"
url_file = "k"
where = [{ column = "year", op = ">=", value = 2020 }]
[tables.permits]
id = "uscc"
[tables.permits.http]
url = "https://share.example.gov.cn/permits"
records = "data.list"
paging = "page"
auth = "bearer"
secret_file = "k"
"""

CSV = (
    b'id,x,"y z",label\na,1.5,0,1\nb,2,"1 ""2"" 3",0\nc,,1,1\n\n',
    b"\xef\xbb\xbfid;x\r\n1;2\r\n3;4\r\n",
    "编号,x,y,label\n甲,1,2,0\n乙,３,4,1".encode(),
)


def _files() -> Iterator[Target]:
    folder = _folder()
    job, party, table = folder / "JOB.toml", folder / "party.toml", folder / "table.csv"
    (folder / "t.csv").write_text("uscc\n")
    (folder / "k").write_text("postgresql://tax@db.example/credit\n")
    (folder / "k").chmod(0o600)

    def read(path: Path, load: Callable[[], object]) -> Callable[[bytes], object]:
        def decode(data: bytes) -> None:
            path.write_bytes(data)
            load()

        return decode

    yield Target("file.job", (JOB,), read(job, lambda: load_job(job)), mutate.text)
    yield from questions(folder, read)
    policy = folder / "policy.toml"
    rules = tuple(template(kind).encode() for kind in ("provider", "institution"))
    yield Target("file.policy", rules, read(policy, lambda: load_policy(folder)), mutate.text)
    decision = folder / FILE_NAME
    decided = json.dumps(
        DecisionRecord(
            action=Action.ADMIT,
            rule="r",
            terms="0f",
            policy="0f",
            columns=("x",),
            decided="2026",
            reasons=(Problem("A", "b", "c"),),
        ).to_dict()
    ).encode()
    yield Target("file.decision", (decided,), read(decision, lambda: DecisionRecord.read(folder)), mutate.json_text)
    yield Target("file.party", (PARTY, WIDE_PARTY), read(party, lambda: load_party(folder, {})), mutate.text)
    failure = json.dumps(
        {"exit_status": 76, "problems": [{"code": "X", "where": "tax at align", "what": "y"}]}
    ).encode()
    failed = folder / "failure.json"

    def failed_how() -> None:
        if read_failure(folder) is None:
            raise DataError(Problem("FAILURE_UNREADABLE", "failure.json", "is none"))

    yield Target("file.failure", (failure,), read(failed, failed_how), mutate.json_text)
    yield Target("table.structure", CSV, _scan, mutate.text)

    def opened() -> None:
        with open_table(TableSpec(path=table, id="id", id_type="text", useless="keep")) as found:
            found.read()

    # The engine takes milliseconds to start; the scan before it, which sees every byte, gets the full number.
    yield Target("table.opened", CSV, read(table, opened), mutate.text, share=0.01)


def _scan(data: bytes) -> None:
    limits = Limits()
    for size in (len(data) or 1, 7) if len(data) < 1000 else (len(data),):
        scan = CsvScan("t.csv", ",", limits)
        text = Utf8Check("t.csv", "utf-8", scan.feed)
        pieces = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
        for number, piece in enumerate(pieces):
            text.feed(piece, last=number == len(pieces) - 1)
        start, end = scan.finish().header
    csv_names(data[start:end], ",")
    Problems("t.csv").check()


def _kernels() -> Iterator[Target]:
    points = group.multiply_base(np.array([[k] + [0] * 31 for k in (1, 2, 3)], np.uint8))

    def checked(data: bytes) -> None:
        rows = np.frombuffer(data[: len(data) // 32 * 32], np.uint8).reshape(-1, 32)[:64]
        group.check_points(rows)
        group.add(rows, rows)

    yield Target("kernel.points", (points.tobytes(), bytes(32), b""), checked, mutate.blind, (group.BadPoint,))

    def opened(data: bytes) -> None:
        rows = np.frombuffer(data[: len(data) // 64 * 64], np.uint8).reshape(1, -1, 64)[:, :64]
        elgamal.open_sums(bytes([7]) + bytes(31), rows)

    pairs = (np.concatenate([points, points[::-1]]).tobytes(), bytes(64), b"")
    yield Target("kernel.ciphertexts", pairs, opened, mutate.blind, (elgamal.BadPoint,))

    def published(data: bytes) -> None:
        ScoreKey.decode(data).key()

    bank = PrivateKey.generate("bank", "scores", Validity(1, 2), insecure_seeded(1)).public
    yield Target("score.key", (ScoreKey.of(bank).encode(),), published, mutate.protobuf)

    def scalars(data: bytes) -> None:
        group.multiply(points[:1], data)

    shared = compact.encode(np.frombuffer(bytes(range(256)) * 2, np.uint8).reshape(-1, 16), 84)

    def filter_of(data: bytes) -> None:
        n = data[0] if data else 0
        found = np.resize(np.frombuffer(data[1:] or b"x", np.uint8), compact.size(n, 84))
        # Answers to no purpose, but answers.
        compact.contains(found, n, 84, points[:1, :16])
        change = compact.Change(n, found, n, found)
        compact.check(found, n, 84)
        if compact.apply(found, n, change, 84).tobytes() != found.tobytes():
            raise AssertionError("what goes and comes again is not there")

    seeds = (bytes([32]) + shared.tobytes(), b"")
    yield Target("kernel.filter", seeds, filter_of, mutate.blind, (compact.BadFilter,))

    yield Target("kernel.scalar", (bytes([7]) + bytes(31),), scalars, mutate.blind, (ValueError,))


def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="fedcredit-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder

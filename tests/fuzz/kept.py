"""What a node keeps beside its tables and reads again: rows of its store, small files, documents about jobs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fuzz import mutate
from fuzz.engine import Target

from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.errors import DataError, Problem
from fedcredit.ids import PartyId
from fedcredit.node.address_book import AddressBook
from fedcredit.node.canonical_json import canonical
from fedcredit.node.documents import document_of
from fedcredit.node.filters.records import KeptKey, LentRecord, read_label, write_label
from fedcredit.node.jobs.checkpoints import common, digest_of, parse_listing
from fedcredit.node.jobs.result import listed
from fedcredit.node.own_node import ready_address
from fedcredit.node.store.jobs import JobRow, job_row
from fedcredit.node.store.platform import PlatformJob, platform_row
from fedcredit.protocols.intersect.filters import FilterKey, FilterLabel
from fedcredit.runtime.config import load_job
from fedcredit.tables.remote.secret import Secret

__all__ = ["kept"]

BANK, TAX = PartyId("bank"), PartyId("tax")
PROBLEMS = json.dumps([{"code": "PEER_LOST", "where": "bank at align", "what": "is silent", "fix": "look there"}])

JOB_FOR_NODES = b"""[job]
name = "sme-default"
purpose = "financing"
seed = 7
[parties.bank]
table = "loans"
role = "label"
[parties.tax]
table = "registry"
[intersect]
min_size = 100
[split]
holdout = 0.2
[[model]]
kind = "gbdt"
num_trees = 50
"""


def kept(folder: Path) -> Iterator[Target]:
    """The targets; files that are read lie in `folder`."""
    yield from _rows()
    yield from _small_files(folder)
    yield from _filters()
    job = folder / "JOB.toml"

    def declared(data: bytes) -> None:
        job.write_bytes(data)
        load_job(job, declared=True)

    yield Target("file.job_for_nodes", (JOB_FOR_NODES,), declared, mutate.text)
    listing = canonical([["align", 0], ["gbdt.0/tree.3", 2]])

    def standing(data: bytes) -> None:
        digest_of(common([parse_listing(TAX, data)]))

    yield Target("control.checkpoints", (listing, b"[]"), standing, mutate.json_text)
    document = json.dumps({"id": "sme-1", "state": "running", "parties": {"tax": {"epoch": 1}}}).encode()
    yield Target("control.document", (document,), lambda data: document_of(TAX, data, dict), mutate.json_text)


def _rows() -> Iterator[Target]:
    seeds = (PROBLEMS.encode(), b"[]")

    def read(kind: type[JobRow | PlatformJob], of: Callable[[Any], object]) -> Callable[[bytes], object]:
        row = {field.name: "running" if field.name == "state" else "x" for field in fields(kind)}
        return lambda data: of({**row, "problems": data.decode(errors="replace")})

    yield Target("store.job", seeds, read(JobRow, job_row), mutate.json_text)
    yield Target("store.platform_job", seeds, read(PlatformJob, platform_row), mutate.json_text)


def _filters() -> Iterator[Target]:
    label = FilterLabel(b"k" * 16, 3, 20_000, 75, bytes(range(32)))
    record = LentRecord(label, bytes(32), bytes(32), label)
    key = KeptKey(FilterKey.generate(BANK, TAX, insecure_seeded(1)), datetime(2026, 3, 1, tzinfo=UTC))

    def key_of(data: bytes) -> None:
        KeptKey.parse(data, BANK, TAX)

    yield Target("file.filter_record", (record.to_bytes(),), LentRecord.parse, mutate.json_text)
    yield Target("file.filter_label", (write_label(label),), read_label, mutate.json_text)
    yield Target("file.filter_key", (key.to_bytes(),), key_of, mutate.json_text)


def _small_files(folder: Path) -> Iterator[Target]:
    ready = folder / "ready.json"

    def address(data: bytes) -> None:
        ready.write_bytes(data)
        if ready_address(folder) is None:
            raise DataError(Problem("NODE_DOWN", "ready.json", "names no address"))

    seed = json.dumps({"party": "tax", "address": "127.0.0.1:7443", "local": "127.0.0.1:7444", "pid": 7}).encode()
    yield Target("file.ready", (seed,), address, mutate.json_text)
    book = folder / "peers.json"

    def known(data: bytes) -> None:
        book.write_bytes(data)
        found: list[str] = []
        AddressBook(book, lambda peer, where: found.append(where)).recall(lambda peer: None)
        if not found:
            raise DataError(Problem("ADDRESSES_UNREADABLE", "peers.json", "names nobody"))

    yield Target("file.peers", (b'{"bank": "127.0.0.1:7001", "tax": "[::1]:7002"}',), known, mutate.json_text)
    result = folder / "result"
    result.mkdir()

    def manifest(data: bytes) -> None:
        (result / "manifest.json").write_bytes(data)
        listed(result)

    entries = json.dumps([{"path": "model/tree.json", "sha256": "0f" * 32, "bytes": 7}]).encode()
    yield Target("file.manifest", (entries,), manifest, mutate.json_text)
    secret = folder / "secret"
    secret.touch(mode=0o600)

    def credential(data: bytes) -> None:
        secret.write_bytes(data)
        Secret(file=secret).read()

    yield Target("file.secret", (b"s3cret\n", "密码".encode()), credential, mutate.text)

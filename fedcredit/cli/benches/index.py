"""`fedcredit bench index`: index files of verification, and rulings on batches of checks; without a network.

`build`: an index of `rows` subjects with a record each (a number, a date, a flag, a text of a few, a record day), from
chunks of columns to a file on disk; `rss_mib` is this process's peak until then. `open`: checksum and every place.
`lookup`, `evaluate`: by one thread, of subjects in random order, one in ten of whom is not there; `alone` is one after
the other, `together` many at a time, `found` the program alone. `batch`: a desk rules on checks of random subjects;
with `consents`, ten questions about each of ten times fewer subjects, with a token for each that was read before.
Settings: lookups, checks. `rate` is per second of wall clock; `rate_cpu` per second of processor time.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fedcredit.cli.bench import Options
from fedcredit.cli.benches.identifiers import identifiers, identifiers_of
from fedcredit.cli.benches.jobs import median, scratch
from fedcredit.governance.consent.claims import Consent, ConsentBy, Scope
from fedcredit.governance.consent.issuers import Issuer
from fedcredit.governance.consent.token import encode, fresh_jti
from fedcredit.governance.predicates.compiler import Type, compile_tree
from fedcredit.governance.predicates.grammar import parse
from fedcredit.kernels import index
from fedcredit.kernels.desk import NO_CONSENT, Caller, Desk
from fedcredit.node.figures import peak_memory_mib

__all__ = ["run"]

SUBJECTS = (1_000_000, 10_000_000)
TODAY = 20_600
NOW = TODAY * 86_400
TYPES: dict[str, Type] = {"months": "number", "paid_on": "date", "arrears": "flag", "grade": "text"}
BANK = Caller("bank", bytes(32))
_CHUNK = 1 << 20


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield one row a case."""
    lookups, checks = int(options.number("lookups", 1_000_000)), int(options.number("checks", 200_000))
    for rows in options.rows or SUBJECTS:
        with scratch() as folder:
            path = folder / "bench.index"
            yield _build(path, rows, options.repeat)
            found = index.Index(path)
            codes = _drawn(rows, lookups)
            yield from _speeds(found, rows, codes, options.repeat)
            yield from _batches(path, rows, codes[:checks], options.repeat)


def _build(path: Path, rows: int, repeat: int) -> dict[str, Any]:
    walls, processor, opened = [], [], []
    for _ in range(repeat):
        # The chunks are made beforehand as far as memory allows: what is measured is the builder.
        begun, cpu, apart = time.perf_counter(), time.process_time(), [0.0, 0.0]
        builder = index.Builder("bench", "uscc", TYPES)
        for first in range(0, rows, _CHUNK):
            own, own_cpu = time.perf_counter(), time.process_time()
            keys, columns, days = _chunk(first, min(_CHUNK, rows - first))
            apart[0] += time.perf_counter() - own
            apart[1] += time.process_time() - own_cpu
            builder.push(keys, columns, days=days)
        size = builder.finish(path)
        walls.append(time.perf_counter() - begun - apart[0])
        processor.append(time.process_time() - cpu - apart[1])
        begun = time.perf_counter()
        index.Index(path)
        opened.append(time.perf_counter() - begun)
    return {
        "case": {"case": "build", "rows": rows},
        "seconds": {"total": median(walls), "cpu": median(processor), "open": median(opened)},
        "rate": round(rows / median(walls)),
        "bytes": size,
        "rss_mib": peak_memory_mib(),
    }


def _chunk(first: int, n: int) -> tuple[index.TextColumn, dict[str, index.Values], Any]:
    numbers = np.arange(first, first + n)
    starts = np.arange(n + 1, dtype=np.int64)
    keys = index.TextColumn(starts * 18, identifiers(first, n).view(np.uint8))
    columns: dict[str, index.Values] = {
        "months": (index.Numbers((numbers % 25).astype(np.float64)), numbers % 10 != 0),
        "paid_on": (index.Dates((TODAY - numbers % 500).astype(np.int32)), None),
        "arrears": (index.Flags(numbers % 7 == 0), None),
        "grade": (index.TextColumn(starts, (65 + numbers % 5).astype(np.uint8)), None),
    }
    return keys, columns, (TODAY - numbers % 50).astype(np.int32)


def _drawn(rows: int, n: int) -> list[str]:
    numbers = np.random.default_rng(7).integers(0, rows + rows // 9, n)
    return [code.decode() for code in identifiers_of(numbers).tolist()]


def _program(text: str, **parameters: Type) -> dict[str, Any]:
    return compile_tree(
        parse(text), item="bench", printed={"bench": TYPES}, assumed={}, parameters=parameters
    ).to_dict()


def _speeds(found: index.Index, rows: int, codes: Sequence[str], repeat: int) -> Iterator[dict[str, Any]]:
    for name, text, given in (
        ("threshold", "months >= $k", {"k": 6.0}),
        ("any of records, a date", "any(arrears and months_since(paid_on) <= 12)", {}),
    ):
        kinds: dict[str, Type] = dict.fromkeys(given, "number")
        speeds = index.Program(_program(text, **kinds), {"bench": found}).measure(codes, given, TODAY, repeat)
        if name == "threshold":
            seconds = {"alone": speeds.alone, "together": speeds.together}
            case = {"case": "lookup", "rows": rows, "lookups": len(codes)}
            yield {"case": case, "seconds": seconds, "rate": round(len(codes) / speeds.together)}
        case = {"case": "evaluate", "rows": rows, "lookups": len(codes), "predicate": name}
        seconds = {"found": speeds.found, "all": speeds.all}
        yield {"case": case, "seconds": seconds, "rate": round(len(codes) / speeds.found)}


def _batches(path: Path, rows: int, codes: Sequence[str], repeat: int) -> Iterator[dict[str, Any]]:
    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"bench").digest())
    issuer = Issuer(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw), "authority", name="platform")
    free = Desk(bytes(32), _snapshot(path, issuer, no_consent=True))
    checks = [(code, 0, NO_CONSENT) for code in codes]
    yield _batch({"consents": 0}, free, rows, [], checks, repeat)
    subjects = codes[: len(codes) // 10]
    tokens = [_token(subject, issuer, key) for subject in subjects]
    checks = [(subject, kind, place) for place, subject in enumerate(subjects) for kind in range(10)]
    for budget in (None, {"questions": 10, "days": 30}):
        desk = Desk(bytes(32), _snapshot(path, issuer, no_consent=False, budget=budget))
        case = {"consents": len(tokens), "budget": budget is not None}
        yield _batch(case, desk, rows, tokens, checks, repeat)


def _batch(
    case: dict[str, Any], desk: Desk, rows: int, tokens: list[str], checks: list[tuple[str, int, int]], repeat: int
) -> dict[str, Any]:
    kinds = [("at_least", {"k": float(k)}) for k in range(1, 11)]
    # The first time tokens are read, and budgets and uses begin.
    first = desk.rule_batch(BANK, "financing", consents=tokens, kinds=kinds, checks=checks, now_ms=NOW * 1000)
    if np.count_nonzero(first.outcomes == 4):
        raise RuntimeError("a check was refused")
    cpu = time.process_time()
    found = desk.rule_batch(
        BANK, "financing", consents=tokens, kinds=kinds, checks=checks, now_ms=NOW * 1000, repeat=repeat
    )
    # Handing over the lists is in this, though not in `total`.
    processor = (time.process_time() - cpu) / repeat
    return {
        "case": {"case": "batch", "rows": rows, "checks": len(checks), **case},
        "seconds": {"first": first.seconds, "total": found.seconds, "cpu": processor},
        "rate": round(len(checks) / found.seconds),
        "rate_cpu": round(len(checks) / processor),
    }


def _token(subject: str, issuer: Issuer, key: Ed25519PrivateKey) -> str:
    scope = Scope(requester="bank", purpose="financing", region="bench", items=("bench",), max_uses=1_000_000)
    said = Consent(
        issuer="platform",
        subject=subject,
        providers=("city",),
        jti=fresh_jti(),
        issued_at=NOW,
        not_before=NOW,
        expires=NOW + 86_400,
        authority=BANK.authority,
        by=ConsentBy.ENTERPRISE,
        disclosure=bytes(32),
        scope=scope,
    )
    return encode(said, issuer.public_key, key.sign)


def _snapshot(path: Path, issuer: Issuer, *, no_consent: bool, budget: dict[str, int] | None = None) -> str:
    keys = ["requesters", "purposes", "predicates", "items", "minutes", "level_max", "per_second", "per_day"]
    rule = {"name": "bench", "action": "admit", **dict.fromkeys(keys), "budget": budget, "no_consent": no_consent}
    question = {
        "predicate": "at_least",
        "item": "bench",
        "program": _program("months >= $k", k="number"),
        "parameters": {"k": {"type": "number", "ladder": list(range(1, 11)), "match": False}},
        "keys": {"bench": ["uscc", "subject"]},
        "complete": False,
        "max_age_days": None,
        "consent_of": [] if no_consent else ["enterprise"],
        "level": 1,
    }
    return json.dumps(
        {
            "schema": "fedcredit-serving/1",
            "provider": "city",
            "region": "bench",
            "catalog_version": 1,
            "predicates_version": 1,
            "zone_minutes": 0,
            "indexes": {"bench": str(path.absolute())},
            "questions": [question],
            "rules": [rule],
            "issuers": [issuer.to_json()],
            "revoked": [],
            "revocations_at": NOW,
            "revocations_max_age_s": 300,
        }
    )

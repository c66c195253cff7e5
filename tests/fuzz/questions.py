"""What a department writes itself: catalogs, predicates, their expressions, and records to try them on."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from fuzz import mutate
from fuzz.engine import Target

from fedcredit.errors import DataError, Problem
from fedcredit.governance.predicates.answers import Enquiry
from fedcredit.governance.predicates.compiler import Type, compile_tree
from fedcredit.governance.predicates.grammar import parse
from fedcredit.governance.predicates.single import evaluate_one
from fedcredit.runtime.catalog_file import as_toml, load_catalog, shipped_catalogs
from fedcredit.runtime.predicate_file import load_predicates, printed_fields, shipped_predicates
from fedcredit.tables.records import read_records, typed

_FIELDS: dict[str, Type] = {"n": "number", "t": "text", "f": "flag", "d": "date", "s": "texts"}

_CATALOG = b"""schema = "fedcredit-catalog/1"
version = 1
region = "x"
name = "x"
source = "x"
platform = { name = "x", operator = "x", operator_stated = false }
rules = [{ id = "r", section = "1", quote = "x", effect = "x" }]

[[item]]
id = "water_fee"
row = 1
name = "x"
name_en = "x"
category = "x"
provider = { id = "p", name = "x" }
sharing = ["interface_call"]
authorization = "enterprise"
authorization_basis = "x"
publicity = "non_public"
publicity_basis = "x"
release_authorization = "enterprise"
subject = "enterprise"
subject_key = "uscc"
doc_field_count = 2
fields = [
  { id = "uscc", name = "x", type = "uscc" },
  { id = "currently_in_arrears", name = "y", type = "boolean", release_authorization = "person" },
]
"""

_PREDICATES = """schema = "fedcredit-predicates/1"
version = 1
title = "x"

[[predicate]]
id = "p"
item = "water_fee"
expression = "any(currently_in_arrears) and sum(avg_monthly_usage_3m) >= $x"
en = "x"
zh = "甲"
subject = "enterprise"
no_record = "unknown"
parameters = { x = { type = "number", ladder = [0, 10] } }
regions = [
  { id = "jining", fields = "printed", authorization = "enterprise", asked = "call" },
]
""".encode()


def questions(
    folder: Path, read: Callable[[Path, Callable[[], object]], Callable[[bytes], object]]
) -> Iterator[Target]:
    """The decoders of what a department writes for verification; `read` puts bytes into a file first."""
    catalogs = shipped_catalogs()
    printed = {**printed_fields(catalogs.values()), "a": _FIELDS, "b": _FIELDS}
    own = [compiled.predicate for compiled in shipped_predicates().values()]
    texts = tuple(predicate.expression.encode() for predicate in own[::6])
    texts += (b"any(t in {'p', 'q'} and n between 1 and 2) or latest(t by d) == 'p' and not b.all(f is null)",)

    def expression(data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        item = next((predicate.item for predicate in own if predicate.expression.encode() == data), "a")
        program = compile_tree(parse(text), item=item, printed=printed, assumed={}, parameters={})
        json.dumps(program.to_dict())
        # What compiles runs, whatever it is.
        row = {"n": 1.0, "t": "p", "f": True, "d": datetime.date(2024, 2, 29), "s": ("p",)}
        given = {"subject": "p", "subject_name": "q", "institution": "r"}
        enquiry = Enquiry(asof=datetime.date(2025, 1, 1), parameters=given, complete=True)
        evaluate_one(program, {"a": [row, {}], "b": [row]}, enquiry)

    yield Target("predicate.expression", texts, expression, mutate.text)
    catalog, predicates, table = folder / "catalog.toml", folder / "predicates.toml", folder / "records.csv"

    def catalog_again() -> None:
        found = load_catalog(catalog)
        catalog.write_text(as_toml(found), encoding="utf-8")
        if load_catalog(catalog) != found:
            raise AssertionError("another catalog than was written")

    yield Target("file.catalog", (_CATALOG,), read(catalog, catalog_again), mutate.text)
    load = read(predicates, lambda: load_predicates(predicates, catalogs))
    yield Target("file.predicates", (_PREDICATES,), load, mutate.text)
    rows = b"n,t,f,d,s\n1.5,p,true,2024-02-29,p;q\n,,,,\n"
    yield Target("table.records", (rows,), read(table, lambda: read_records(table, _FIELDS, {"x": "n"})), mutate.text)

    def record(data: bytes) -> None:
        try:
            raw = json.loads(data)
        except (ValueError, RecursionError):
            raise DataError(Problem("VALUE_TYPE", "record", "is no JSON")) from None
        typed(raw, _FIELDS, "record")

    seed = json.dumps({"n": 1.5, "t": "p", "f": True, "d": "2024-02-29", "s": ["p"]}).encode()
    yield Target("table.record", (seed,), record, mutate.json_text)

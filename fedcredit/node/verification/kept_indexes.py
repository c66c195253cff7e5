"""Index files that outlive the process that made them: a record beside them says all that they were made from.

A node that is started anew answers from them while it reads its tables again, if nothing of that has changed: the
declaration, the catalog and the predicates, this package, and what the kernel says of each table's file. Of a table
that is elsewhere nobody says so; its index counts as long as one of a running node does.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fedcredit import __version__
from fedcredit.errors import FedcreditError
from fedcredit.governance.verification.rules import VerifyPolicy
from fedcredit.kernels import digest
from fedcredit.kernels.index import Index
from fedcredit.node.durable_files import replace_file
from fedcredit.node.verification.building import Built, check_fresh
from fedcredit.node.verification.members import MEMBERS
from fedcredit.node.verification.serving import NAMES, Offer, offer_of
from fedcredit.observe import logs
from fedcredit.runtime.predicate_file import shipped_version
from fedcredit.runtime.verify_file import VerifyItemSection, VerifySection
from fedcredit.tables.spec import Limits
from fedcredit.tables.standing import SETTLED_NS, file_seen

__all__ = ["KeptIndexes", "keep", "recall", "sources_seen"]

FORMAT: Final = 1
_RECORD: Final = "kept.json"
_MAX_BYTES: Final = 1 << 20

Seen = Mapping[str, Sequence[int]]
"""Of each item what the kernel says of its table's file, or of the file with the address of one that is elsewhere."""

_log = logs.get("verify")


@dataclass(frozen=True, slots=True)
class KeptIndexes:
    """What was read of all tables, from `read_at` on: their columns by item, and the indexes made of them."""

    columns: Mapping[str, tuple[str, ...]]
    built: tuple[Built, ...]
    read_at: datetime.datetime


def sources_seen(section: VerifySection, node: Path) -> Seen | None:
    """What the sources look like now; None where they might change and look the same, or cannot be looked at."""
    seen: dict[str, Sequence[int]] = {}
    try:
        for item, entry in _entries(section):
            looks = _looks(item, entry, node)
            if looks is None or max(looks[-2:], default=0) + SETTLED_NS > time.time_ns():
                return None
            seen[item] = looks
    except (OSError, FedcreditError):
        return None  # reading them says what is wrong
    return seen


def keep(folder: Path, section: VerifySection, offer: Offer, found: KeptIndexes, seen: Seen) -> None:
    """Record beside the index files in `folder` what they were made from. A disk that is full costs the record."""
    built = [
        dataclasses.asdict(one)
        | {
            "path": one.path.name,
            "latest": None if one.latest is None else str(one.latest),
            "members": _digest(one.members),
        }
        for one in found.built
    ]
    raw = {
        "declared": _declared(section, offer),
        "seen": {item: list(looks) for item, looks in seen.items()},
        "columns": {item: list(names) for item, names in found.columns.items()},
        "read_at": found.read_at.timestamp(),
        "built": built,
    }
    try:
        replace_file(folder / _RECORD, json.dumps(raw).encode() + b"\n")
    except OSError:
        _log.warning("verify.unkept", code="INDEXES")


def recall(
    folder: Path, section: VerifySection, node: Path, policy: VerifyPolicy, now: datetime.datetime
) -> KeptIndexes | None:
    """What the record in `folder` says, if it holds at `now`: nothing has changed, and every index file is whole."""
    try:
        raw = json.loads((folder / _RECORD).read_bytes()[:_MAX_BYTES])
        columns = {str(item): tuple(map(str, names)) for item, names in raw["columns"].items()}
        offer = offer_of(section, policy, columns)
        if raw["declared"] != _declared(section, offer) or raw["seen"] != _plain(sources_seen(section, node)):
            return None
        read_at = datetime.datetime.fromtimestamp(raw["read_at"], datetime.UTC)
        built = tuple(_built(folder, one) for one in raw["built"])
        if tuple(one.item for one in built) != tuple(offer.registers) or not _is_young(section, read_at, now):
            return None
        for one in built:
            check_fresh(offer.registers[one.item], section, one.latest, now.date())
            about = Index(one.path).about()
            if (about.item, about.subjects, about.records) != (one.item, one.subjects, one.records):
                return None
        if [_digest(one.members) for one in built] != [one["members"] for one in raw["built"]]:
            return None
    except (OSError, OverflowError, ValueError, LookupError, TypeError, AttributeError, RecursionError, FedcreditError):
        return None  # reading the tables says what is wrong, if anything is
    return KeptIndexes(columns, built, read_at)


def _declared(section: VerifySection, offer: Offer) -> str:
    """Names all that decides what becomes of a table's cells, and which of them are kept."""
    registers = [(register, offer.matches(item)) for item, register in offer.registers.items()]
    said = section.model_dump_json(exclude={"listen", "refresh_hours", "institutions"})
    versions = FORMAT, __version__, section.catalog.version, shipped_version()
    return hashlib.sha256(repr((versions, said, registers)).encode()).hexdigest()


def _is_young(section: VerifySection, read_at: datetime.datetime, now: datetime.datetime) -> bool:
    if all(entry.table is not None for _, entry in _entries(section)) or not section.refresh_hours:
        return True
    return datetime.timedelta() <= now - read_at <= datetime.timedelta(hours=section.refresh_hours)


def _built(folder: Path, raw: dict[str, Any]) -> Built:
    name, latest = raw["path"], raw["latest"]
    if Path(name).name != name:
        raise ValueError(name)
    day = None if latest is None else datetime.date.fromisoformat(latest)
    members = None if raw["members"] is None else (folder / name).with_suffix(MEMBERS)
    return Built(**(raw | {"path": folder / name, "latest": day, "members": members}))


def _digest(members: Path | None) -> str | None:
    """Of a file that has no checksum of its own, as an index has."""
    return None if members is None else digest.blake3(members.read_bytes()).hex()


def _entries(section: VerifySection) -> Iterable[tuple[str, VerifyItemSection]]:
    yield from section.items.items()
    if section.names is not None:
        yield NAMES, section.names


def _looks(item: str, entry: VerifyItemSection, node: Path) -> Sequence[int] | None:
    """Of a table's file, or of the file that says more of a table elsewhere; None where the environment does."""
    if entry.table is not None:
        return file_seen(entry.spec(node, item, "-", ()), Limits())
    file = variable = None
    if entry.postgresql is not None:
        file, variable = entry.postgresql.url_file, entry.postgresql.url_env
    elif entry.http is not None:
        file, variable = entry.http.secret_file, entry.http.secret_env
    if file is None:
        return () if variable is None else None
    found = (node / file).stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _plain(seen: Seen | None) -> dict[str, list[int]] | None:
    return None if seen is None else {item: list(looks) for item, looks in seen.items()}

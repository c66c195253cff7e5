"""From a department's tables to index files: streamed column by column, whole or not at all, each under a new name.

A file is never changed. What is served goes on being served until a new one is complete and its snapshot was taken;
then the old file goes.
"""

from __future__ import annotations

import contextlib
import datetime
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fedcredit.errors import DataError, FedcreditError, Problem
from fedcredit.governance.verification.rules import VerifyPolicy
from fedcredit.kernels.index import Builder, Index, Values
from fedcredit.node.verification.members import MEMBERS, MembersFile
from fedcredit.node.verification.serving import NAMES, Register, offer_of
from fedcredit.runtime.verify_file import VerifyItemSection, VerifySection
from fedcredit.tables import Resources
from fedcredit.tables.register import Piece, column_names, open_register
from fedcredit.tables.register import Register as Opened

__all__ = ["Built", "GivenUp", "build", "check_fresh", "columns_of", "look", "remove_others", "resources_of"]

SUFFIX = ".index"


class GivenUp(Exception):
    """A table was not read to its end, since nobody waits for it any more."""


@dataclass(frozen=True, slots=True)
class Built:
    """An index file and what is in it. `left_out`: records without a key that could be anybody's; `members`: the codes
    of its subjects, where they may be asked for privately."""

    item: str
    path: Path
    subjects: int
    records: int
    left_out: int
    bytes: int
    latest: datetime.date | None
    members: Path | None = None


def columns_of(folder: Path, section: VerifySection, resources: Resources) -> dict[str, tuple[str, ...]]:
    """The columns of each item's table. Raises: DataError of all tables that cannot be read."""
    names: dict[str, tuple[str, ...]] = {}
    unread: list[Problem] = []
    fields = offer_of(section, VerifyPolicy()).registers
    for item, entry in section.items.items():
        try:
            found = column_names(entry.spec(folder, item, "-", ()), resources)
        except FedcreditError as error:
            unread.extend(error.problems)
            continue
        if found is None:
            # An interface says its columns with its records: each that could be there is asked for, and missed then.
            register = fields.get(item)
            found = () if register is None else (register.key_column, *register.used)
        names[item] = found
    if unread:
        raise DataError(unread)
    return names


def build(
    register: Register,
    section: VerifySection,
    node: Path,
    folder: Path,
    resources: Resources,
    today: datetime.date,
    *,
    matched: bool,
    give_up: Callable[[], bool] = lambda: False,
) -> Built:
    """Make the index of an item in `folder`. `matched`: whether texts are compared in their normal form.

    Raises: DataError with all that is wrong with the table; VERIFY_STALE where it is too old to be taken. GivenUp
    once `give_up` says so; then there is no file.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key, by = register.key
    texts = frozenset(field for field, kind in register.types.items() if kind in ("text", "texts"))
    builder = Builder(
        register.item,
        key,
        dict(register.types),
        normal_keys=by == "subject_name",
        plain=frozenset() if matched else texts,
        max_bytes=max(resources.memory_limit_bytes, 1 << 30),
    )
    members = MembersFile() if register.item in section.private and by == "subject" and register.codes else None
    with _opened(register, section, node, resources) as opened:
        for piece in opened.pieces():
            if give_up():
                raise GivenUp
            _push(builder, piece)
            if members is not None:
                members.push(piece.keys)
        check_fresh(register, section, opened.latest, today)
        left_out, latest = opened.left_out, opened.latest
    if give_up():
        raise GivenUp
    path = folder / f"{register.item}.{secrets.token_hex(6)}{SUFFIX}"
    builder.finish(path)
    about = Index(path).about()
    held = None if members is None else members.write(path.with_suffix(MEMBERS))
    return Built(register.item, path, about.subjects, about.records, left_out, about.bytes, latest, held)


def look(register: Register, section: VerifySection, node: Path, resources: Resources, today: datetime.date) -> int:
    """Read an item's table as `build` does, and make nothing of it; how many records it has. Raises: as `build`."""
    with _opened(register, section, node, resources) as opened:
        for _piece in opened.pieces():
            pass
        check_fresh(register, section, opened.latest, today)
        return opened.n_rows - opened.left_out


def check_fresh(register: Register, section: VerifySection, latest: datetime.date | None, today: datetime.date) -> None:
    """Raises: DataError (VERIFY_STALE) where a table whose latest record is of `latest` is too old to be taken."""
    days = _entry(register, section).fresh_days
    if days is not None and (latest is None or (today - latest).days > days):
        what = "has no record with a day" if latest is None else f"has no record later than {latest}"
        fix = f"load a newer one, or raise fresh_days = {days}"
        raise DataError(Problem("VERIFY_STALE", f"verify.items.{register.item}", what, fix))


def remove_others(folder: Path, kept: Iterable[Path]) -> None:
    """Remove index files that nobody is answered from any more; one that is mapped stays until it is let go."""
    names = {name for path in kept for name in (path.name, path.with_suffix(MEMBERS).name)}
    # ... and what a process that was killed had begun to write
    for path in (*folder.glob(f"*{SUFFIX}*"), *folder.glob(f"*{MEMBERS}")):
        if path.name not in names:
            with contextlib.suppress(OSError):
                path.unlink()


def resources_of(node: Path, memory_mib: int, threads: int) -> Resources:
    """What reading a table may use; what does not fit goes to the folder that a node sweeps before it starts."""
    spill = node / "spill"
    spill.mkdir(mode=0o700, exist_ok=True)
    return Resources(memory_limit_bytes=memory_mib << 20, threads=threads or 2, spill_dir=spill)


def _opened(register: Register, section: VerifySection, node: Path, resources: Resources) -> Opened:
    entry = _entry(register, section)
    spec = entry.spec(node, register.item, register.key_column, register.used)
    columns = {field: (register.columns[field], register.types[field]) for field in register.columns}
    return open_register(spec, columns, recorded=register.recorded, codes=register.codes, resources=resources)


def _entry(register: Register, section: VerifySection) -> VerifyItemSection:
    if register.item == NAMES and section.names is not None:
        return section.names
    return section.items[register.item]


def _push(builder: Builder, piece: Piece) -> None:
    columns: Mapping[str, Values] = piece.columns
    days, known = (None, None) if piece.days is None else piece.days
    builder.push(piece.keys, columns, days=days, days_known=known)

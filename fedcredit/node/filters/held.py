"""The copy of another party's filter: kept from job to job, mapped, and checked whenever it is used."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from fedcredit.errors import FedcreditError
from fedcredit.ids import PartyId
from fedcredit.node.durable_files import replace_file
from fedcredit.node.filters.mapped import MappedRoom, alone_in, mapped
from fedcredit.node.filters.records import read_label, write_label
from fedcredit.observe import logs
from fedcredit.protocols.intersect.filters import FilterLabel, SharedFilter

__all__ = ["HeldFilter", "held_filters"]

_log = logs.get("filter")


class HeldFilter:
    """This party's copy of what `holder` lends of its table of that name."""

    def __init__(self, folder: Path, holder: PartyId, table: str) -> None:
        self._folder = folder / "filters" / "held" / holder / table
        self._holder = holder

    def alone(self) -> AbstractContextManager[None]:
        """Hold the copy against other jobs. Raises: FedcreditError (FILTER_BUSY)."""
        return alone_in(self._folder)

    @property
    def is_there(self) -> bool:
        """Whether there is a copy; whether it is whole is seen when it is used."""
        return (self._folder / "label.json").exists()

    def current(self) -> SharedFilter | None:
        """The copy, if it is whole; a damaged one is as good as none, since another can be had."""
        try:
            label = read_label((self._folder / "label.json").read_bytes())
        except FileNotFoundError:
            return None
        except FedcreditError as damaged:
            _log.warning("filter.damaged", code=damaged.code, peer=self._holder)
            return None
        content = mapped(self._folder / f"filter.{label.digest.hex()}", label.size)
        found = None if content is None else SharedFilter(label, content)
        if found is None or not found.intact:
            _log.warning("filter.damaged", code="FILTER_DAMAGED", peer=self._holder)
            return None
        return found

    def room(self) -> MappedRoom:
        """Room for another version."""
        return MappedRoom(self._folder)

    def keep(self, shared: SharedFilter, room: MappedRoom) -> None:
        """Make `shared`, which lies in `room` unless it is the copy there is, the copy. Durable when this returns."""
        name = f"filter.{shared.label.digest.hex()}"
        room.keep(self._folder / name)
        replace_file(self._folder / "label.json", write_label(shared.label))
        for path in self._folder.iterdir():
            if path.name not in (name, "label.json", ".lock"):
                path.unlink()


def held_filters(folder: Path) -> list[tuple[PartyId, str, FilterLabel]]:
    """What the party with this folder holds: of whom, of which of their tables. Raises: FedcreditError."""
    places = sorted((folder / "filters" / "held").glob("*/*/label.json"))
    return [(PartyId(path.parent.parent.name), path.parent.name, read_label(path.read_bytes())) for path in places]

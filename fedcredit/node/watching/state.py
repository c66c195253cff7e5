"""What a bank keeps of its borrowers' scores: a folder a month, a file for each request, whole or not there.

It is for its owner alone. A run that was cut short goes on behind the last file, so nobody is scored twice in a month.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit import failpoints
from fedcredit.credit.bands import ScoreBands
from fedcredit.errors import ConfigError, DataError, FedcreditError, Problem
from fedcredit.node.durable_files import create_file, sync_folder

__all__ = ["LEFT", "MONTH", "SCORED", "Batch", "WatchState", "Watched", "before"]

I64: TypeAlias = npt.NDArray[np.int64]

SCORED: Final = "scored"
LEFT: Final = "not in the file"
"""A borrower of before that is not watched any more."""

MONTH: Final = re.compile(r"2\d{3}-(0[1-9]|1[0-2])")
_FORMAT: Final = "fedcredit-watch/1"
_NAME: Final = re.compile(r"\d{6}\.json")
_MOST_BYTES: Final = 16 << 20
_MOST_FILES: Final = 999_999


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A borrower in a month. `outcome`: "scored", or why it is not.

    `consent`: what tells its consent from others, a hash; empty for none. `band` is from 1, the worst. Where the band
    alone was asked for, there are neither points nor probability.
    """

    subject: str
    outcome: str
    consent: str = field(default="", repr=False)
    points: int | None = None
    probability: float | None = None
    band: int | None = None
    reasons: tuple[str, ...] = ()

    @property
    def scored(self) -> bool:
        """Whether there is a score."""
        return self.outcome == SCORED

    def row(self) -> list[object]:
        """As it is kept."""
        score: list[object] = [self.points, self.probability, self.band]
        return [self.subject, self.outcome, self.consent, *score, list(self.reasons)]

    @classmethod
    def of(cls, row: Any) -> Self:
        """What `row` gave. Raises: ValueError, TypeError."""
        subject, outcome, consent, points, probability, band, reasons = row
        texts = (subject, outcome, consent, *reasons)
        total = (type(points) is int and type(probability) is float) or (points, probability) == (None, None)
        whole = total and type(band) is int and band >= 1
        none = (points, probability, band) == (None,) * 3
        if not all(type(text) is str for text in texts) or not (whole if outcome == SCORED else none):
            raise ValueError("row")
        return cls(
            subject=subject,
            outcome=outcome,
            consent=consent,
            points=points,
            probability=probability,
            band=band,
            reasons=tuple(reasons),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What came of some borrowers at once, under one version. `cutoffs`: of the bands; `at`: in seconds since 1970."""

    model: str
    version: int
    cutoffs: tuple[float, ...]
    at: int
    rows: tuple[Watched, ...] = field(repr=False)

    def to_bytes(self) -> bytes:
        """A line with the SHA-256 of all that follows, then JSON."""
        said = {"format": _FORMAT, "model": self.model, "version": self.version, "cutoffs": list(self.cutoffs)}
        rows = [row.row() for row in self.rows]
        data = json.dumps({**said, "at": self.at, "rows": rows}, ensure_ascii=False, separators=(",", ":")).encode()
        return hashlib.sha256(data).hexdigest().encode() + b"\n" + data

    @classmethod
    def parse(cls, written: bytes) -> Self:
        """What `to_bytes` wrote. Raises: ValueError, TypeError, KeyError, FedcreditError."""
        digest, _, data = written.partition(b"\n")
        if hashlib.sha256(data).hexdigest().encode() != digest:
            raise ValueError("digest")
        value = json.loads(data)
        if value["format"] != _FORMAT or not all(type(value[key]) is int for key in ("version", "at")):
            raise ValueError("format")
        if type(value["model"]) is not str or not all(type(cut) is float for cut in value["cutoffs"]):
            raise ValueError("model")
        return cls(
            model=value["model"],
            version=value["version"],
            cutoffs=ScoreBands(tuple(value["cutoffs"])).cutoffs,
            at=value["at"],
            rows=tuple(Watched.of(row) for row in value["rows"]),
        )


class WatchState:
    """The folder of one model's borrowers. Hold it with `folder_locked` while writing."""

    def __init__(self, folder: Path, model: str) -> None:
        self.folder, self.model = folder, model

    @classmethod
    def open(cls, folder: Path, model: str, *, make: bool = False) -> Self:
        """Raises: ConfigError (WATCH_MISSING, WATCH_EXPOSED)."""
        if make:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not folder.is_dir():
            what, fix = "is not there", "fedcredit watch run makes it; --state names another"
            raise ConfigError(Problem("WATCH_MISSING", str(folder), what, fix))
        if folder.stat().st_mode & 0o077:
            what = "can be read by others: it has borrowers and their scores"
            raise ConfigError(Problem("WATCH_EXPOSED", str(folder), what, f"chmod 700 {folder}"))
        return cls(folder, model)

    def months(self) -> list[str]:
        """The months that there is something of, in order."""
        return sorted(path.name for path in self.folder.iterdir() if MONTH.fullmatch(path.name) and path.is_dir())

    def batches(self, month: str) -> list[Batch]:
        """What was kept of a month, in its order. Raises: DataError (WATCH_STATE) naming the file."""
        return [self._read(path) for path in self._files(month)]

    def rows(self, month: str) -> dict[str, tuple[Watched, Batch]]:
        """Of each borrower the last word of a month. Raises: DataError (WATCH_STATE)."""
        return {row.subject: (row, batch) for batch in self.batches(month) for row in batch.rows}

    def add(self, month: str, batch: Batch) -> None:
        """Keep a batch; it is durable when this returns. Raises: ConfigError (EXISTS) if another run writes here."""
        place = self.folder / month
        if not place.exists():
            place.mkdir(mode=0o700)
            sync_folder(self.folder)
        last = max((int(path.stem) for path in self._files(month)), default=0)
        if last >= _MOST_FILES:
            raise ConfigError(Problem("WATCH_STATE", str(place), "holds as many files as it may", "take a new folder"))
        create_file(place / f"{last + 1:06}.json", batch.to_bytes())
        failpoints.hit("watch.batch.kept", self.model)

    def scores(self, month: str) -> dict[int, I64]:
        """A month's scores, in whole points, by the version that they are of; bands alone are none.

        Raises: DataError (WATCH_STATE).
        """
        found: dict[int, list[int]] = {}
        for row, batch in self.rows(month).values():
            if row.points is not None:
                found.setdefault(batch.version, []).append(row.points)
        return {version: np.array(points, np.int64) for version, points in sorted(found.items())}

    def _files(self, month: str) -> Sequence[Path]:
        place = self.folder / month
        return sorted(path for path in place.iterdir() if _NAME.fullmatch(path.name)) if place.is_dir() else []

    def _read(self, path: Path) -> Batch:
        fix = "restore it from the backup; without it its borrowers count as not scored then"
        problem = DataError(Problem("WATCH_STATE", str(path), "is not as a run wrote it", fix))
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_mode & 0o077:
                    raise ConfigError(Problem("WATCH_EXPOSED", str(path), "can be read by others", f"chmod 600 {path}"))
                data = file.read(_MOST_BYTES + 1)
            batch = Batch.parse(data if len(data) <= _MOST_BYTES else b"")
        except ConfigError:
            raise
        except (FedcreditError, OSError, ValueError, TypeError, KeyError, RecursionError):
            raise problem from None
        if batch.model != self.model:
            what, fix = f"is of model {batch.model[:32]}", f"--state of {self.model}, a folder of its own"
            raise DataError(Problem("WATCH_STATE", str(path), what, fix))
        return batch


def before(state: WatchState, month: str) -> Iterator[tuple[str, dict[str, tuple[Watched, Batch]]]]:
    """The months before one, in order, with what is kept of each. Raises: DataError (WATCH_STATE)."""
    for earlier in state.months():
        if earlier < month:
            yield earlier, state.rows(earlier)

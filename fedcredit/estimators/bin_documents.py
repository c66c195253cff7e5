"""What a party keeps of a binning: the document of its own columns, and the rows of tables and charts over them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fedcredit.credit.bin_params import BinParams
from fedcredit.credit.scorecard_bins import ScorecardBins
from fedcredit.estimators.binning import BinnedColumn, ForeignColumn
from fedcredit.ids import PartyId
from fedcredit.tables import Column

__all__ = ["bin_names", "bins_document", "column_rows"]

FORMAT = 1
_LEVELS_SHOWN = 6


def bins_document(me: PartyId, label_party: PartyId, params: BinParams, columns: Sequence[BinnedColumn]) -> bytes:
    """This party's part, `bins.json`: bins, rows and, where they are known here, weights of evidence of its columns.

    `iv` is a value or, with `iv_disclosure = "rank"` at a feature party, a rank. The same bytes for the same bins.
    """
    document = {
        "format": FORMAT,
        "kind": "binning",
        "role": "label" if me == label_party else "feature",
        "params": asdict(params),
        "columns": [
            {
                "name": column.column.name,
                "kind": column.column.kind,
                "refused": column.refused,
                "iv": column.iv,
                "levels": list(column.column.levels),
                "bins": None if column.bins is None else column.bins.to_json(),
                "rows": list(column.rows),
                "events": None if column.table is None else column.table.counts.events.tolist(),
            }
            for column in columns
        ],
    }
    return json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1).encode()


def column_rows(
    me: PartyId, params: BinParams, columns: Sequence[BinnedColumn], foreign: Sequence[ForeignColumn] = ()
) -> list[dict[str, Any]]:
    """A row for each column, as it stands in metrics.json: own ones by name and with their bins, others by number.

    Columns with the largest information value come first, those without bins last. `iv_decimals` stands where the
    value was rounded to so many before it was told.
    """
    at_label = any(column.table is not None for column in columns) or bool(foreign)
    ranks = params.iv_disclosure == "rank"
    told = {"iv_decimals": 2} if params.iv_disclosure == "rounded" else {}
    rows = [_own(me, column, ranked=ranks and not at_label) | ({} if at_label else told) for column in columns]
    rows += [
        {
            "party": column.party,
            "column": f"{column.party}.f{column.number}",
            "bins": column.bins,
            "refused": column.refused,
            "iv": None if ranks else column.iv,
            "rank": int(column.iv) if ranks and column.iv is not None else None,
            **told,
        }
        for column in foreign
    ]
    return sorted(rows, key=_order)


def bin_names(column: Column, bins: ScorecardBins) -> list[str]:
    """What each bin is called, with all that goes into it."""
    if bins.groups is not None:
        names = [_group_name(column, bins, k) for k in range(bins.n_values)]
    else:
        points = [f"{point:.6g}" for point in bins.splits]
        names = [_interval(points, k) for k in range(bins.n_values)]
    names += [""] * (bins.n_bins - len(names))
    if bins.values.missing:
        code = bins.values.missing_code
        names[code] = f"{names[code]}, missing" if names[code] else "missing"
    for value, code in zip(bins.special, bins.special_codes, strict=True):
        if code != bins.values.missing_code or bins.values.missing:
            names[code] = f"{names[code]}, {value:g}" if names[code] else f"{value:g}"
    return names


def _order(row: dict[str, Any]) -> tuple[bool, bool, float, float]:
    unknown = row["iv"] is None
    return row["refused"] is not None, unknown, -(row["iv"] or 0.0), row["rank"] or 0.0


def _own(me: PartyId, column: BinnedColumn, *, ranked: bool) -> dict[str, Any]:
    bins = column.bins
    row: dict[str, Any] = {
        "party": me,
        "column": column.column.name,
        "bins": 0 if bins is None else bins.n_bins,
        "refused": column.refused,
        "iv": None if ranked else column.iv,
        "rank": int(column.iv) if ranked and column.iv is not None else None,
    }
    if bins is None:
        return row
    names = bin_names(column.column, bins)
    row["table"] = [{"bin": name, "rows": rows} for name, rows in zip(names, column.rows, strict=True)]
    for k, cell in enumerate(row["table"]):
        if bins.evidence is not None:
            cell["woe"] = bins.evidence[k]
        if column.table is not None:
            cell["bads"] = int(column.table.counts.events[k])
            cell["bad_rate"] = float(column.table.counts.bad_rate[k])
            cell["iv"] = float(column.table.iv[k])
    return row


def _interval(points: Sequence[str], k: int) -> str:
    if not points:
        return "all values"
    if k == 0:
        return f"below {points[0]}"
    return f"from {points[-1]}" if k == len(points) else f"{points[k - 1]} to {points[k]}"


def _group_name(column: Column, bins: ScorecardBins, k: int) -> str:
    assert bins.groups is not None
    edges = [-0.5, *bins.values.edges, len(bins.groups)]
    places = [place for place in range(len(bins.groups)) if edges[k] < place <= edges[k + 1]]
    levels = [level for place in places for level in bins.groups[place]]
    known = [column.levels[level] if level < len(column.levels) else str(level) for level in levels]
    shown = known[:_LEVELS_SHOWN]
    if len(known) > len(shown):
        shown.append(f"{len(known) - len(shown)} more")
    if bins.other in places:
        shown.append("all others")
    return ", ".join(shown) or "none"

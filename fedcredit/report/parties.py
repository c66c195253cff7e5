"""The parties of a report: their names, their colours, and which of them holds the label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fedcredit.report.figures import mapping, records

__all__ = ["Parties"]

_COLOURS: Final = 8  # party colours in report.css; more parties than that share them


class Parties:
    """Every party named anywhere, each with one colour throughout the report; the label party comes first.

    `horizontal`: whether all have the same columns, for rows of their own. `mixed`: whether several have labels, and
    others columns of their rows.
    """

    def __init__(self, metrics: Mapping[str, Any]) -> None:
        declared = records(mapping(metrics.get("job")).get("parties"))
        names = [str(party.get("id")) for party in declared]
        self.label = next((str(party.get("id")) for party in declared if party.get("role") == "label"), None)
        self.declared = frozenset(names)
        roles = {str(party.get("role")) for party in declared}
        self.horizontal = "member" in roles and "feature" not in roles
        self.mixed = {"member", "feature"} <= roles
        for row in records(metrics.get("leakage")):
            names += self.split(str(row.get("party")))
        for row in records(metrics.get("traffic")):
            names += [str(row.get("sender")), str(row.get("receiver"))]
        for model in records(metrics.get("models")):
            for kept in ("importance", "columns", "selection", "coefficients", "points", "contribution"):
                names += [str(row.get("party")) for row in records(model.get(kept))]
        self.names = tuple(dict.fromkeys(sorted(names, key=lambda name: name != self.label)))

    def colour(self, name: object) -> int:
        """The number of the party's colour."""
        return self.names.index(str(name)) % _COLOURS if str(name) in self.names else _COLOURS - 1

    def split(self, group: str) -> list[str]:
        """The parties that a text such as "bank, tax" names together; any other text is one name."""
        together = group.split(", ")
        return together if self.declared.issuperset(together) else [group]

    @property
    def alone(self) -> str:
        """What to call the comparison without the other parties."""
        if self.horizontal:
            return "each party alone"
        if self.mixed:
            return "all label parties without others"
        return f"{self.label} alone" if self.label else "label party alone"

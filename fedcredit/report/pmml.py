"""A merged scorecard as a PMML 4.4 `Scorecard`, which scoring engines of banks load.

Source: Data Mining Group, PMML 4.4, Scorecard (dmg.org). The first attribute of a characteristic whose predicate holds
gives the points, so missing and special values, which are asked first here too, come before intervals and levels.
"""

from __future__ import annotations

import re
from typing import Final
from xml.etree import ElementTree  # writes only: nothing here parses XML

from fedcredit.credit.bin_rules import BinRule
from fedcredit.errors import DataError, Problem
from fedcredit.report.card import MergedCard, Variable

__all__ = ["card_pmml"]

Element = ElementTree.Element

NAMESPACE: Final = "http://www.dmg.org/PMML-4_4"
SCORE: Final = "score"
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def card_pmml(card: MergedCard) -> bytes:
    """The card as a PMML document: fields are the variables of the merged card, the predicted value is the score.

    A bin that holds several things (numbers, a special value, missing ones) is several attributes of equal points.
    Reasons are the variables with the largest shortfall from their references (`pointsBelow`). `probability_bad` is
    what the score means. The same bytes for the same card.

    Raises: DataError CARD_TEXT for text that XML cannot hold; CARD_EMPTY for a card without columns.
    """
    if not card.variables:
        raise DataError(Problem("CARD_EMPTY", "card", "has no columns, and a PMML scorecard has one at least"))
    _check_text(card)
    root = Element("PMML", {"xmlns": NAMESPACE, "version": "4.4"})
    header = _add(root, "Header", description=f"Scorecard {card.model}: a higher score is a better risk")
    _add(header, "Application", name="fedcredit")
    fields = _add(root, "DataDictionary", numberOfFields=len(card.variables))
    for variable in card.variables:
        numeric = variable.column.kind == "numeric"
        kind = (
            {"optype": "continuous", "dataType": "double"}
            if numeric
            else {"optype": "categorical", "dataType": "string"}
        )
        _add(fields, "DataField", name=variable.name, **kind)
    model = _add(
        root,
        "Scorecard",
        modelName="scorecard",
        functionName="regression",
        initialScore=card.base_points,
        useReasonCodes="true",
        reasonCodeAlgorithm="pointsBelow",
        baselineMethod="other",
    )
    schema = _add(model, "MiningSchema")
    for variable in card.variables:
        # A level that training did not see is no error: it goes where the others went.
        _add(schema, "MiningField", name=variable.name, usageType="active", invalidValueTreatment="asIs")
    _outputs(model, card)
    characteristics = _add(model, "Characteristics")
    for variable in card.variables:
        _characteristic(characteristics, variable)
    ElementTree.indent(root, " ")
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _outputs(model: Element, card: MergedCard) -> None:
    outputs = _add(model, "Output")
    number = {"optype": "continuous", "dataType": "double"}
    _add(outputs, "OutputField", name=SCORE, feature="predictedValue", **number)
    chance = _add(outputs, "OutputField", name="probability_bad", feature="transformedValue", **number)
    # 1 / (1 + exp((score - offset) / factor))
    over = _apply(chance, "/")
    _constant(over, 1.0)
    total = _apply(over, "+")
    _constant(total, 1.0)
    slope = _apply(_apply(total, "exp"), "/")
    difference = _apply(slope, "-")
    _add(difference, "FieldRef", field=SCORE)
    _constant(difference, card.scale.offset)
    _constant(slope, card.scale.factor)
    for rank in range(1, min(card.n_reasons, len(card.variables)) + 1):
        kind = {"optype": "categorical", "dataType": "string"}
        _add(outputs, "OutputField", name=f"reason_{rank}", feature="reasonCode", rank=rank, **kind)


def _characteristic(parent: Element, variable: Variable) -> None:
    column = variable.column
    entry = _add(
        parent, "Characteristic", name=variable.name, reasonCode=variable.name, baselineScore=_text(column.reference)
    )
    pairs = list(zip(variable.rules, column.points, strict=True))
    for rule, points in pairs:
        if rule.missing:
            _add(_attribute(entry, points), "SimplePredicate", field=variable.name, operator="isMissing")
    for rule, points in pairs:
        if rule.special:
            _equals(_attribute(entry, points), variable, [_text(value) for value in rule.special])
    for rule, points in pairs:
        if rule.values:
            _interval(_attribute(entry, points), variable, rule)
        elif rule.levels:
            _equals(_attribute(entry, points), variable, variable.levels_of(rule))
    for rule, points in pairs:
        if rule.other:
            _add(_attribute(entry, points), "True")


def _attribute(entry: Element, points: int) -> Element:
    return _add(entry, "Attribute", partialScore=points)


def _interval(attribute: Element, variable: Variable, rule: BinRule) -> None:
    bounds = [("greaterOrEqual", rule.low), ("lessThan", rule.high)]
    tests = [(operator, _text(value)) for operator, value in bounds if value is not None]
    if not tests:
        _add(attribute, "True")
        return
    parent = attribute if len(tests) == 1 else _add(attribute, "CompoundPredicate", booleanOperator="and")
    for operator, value in tests:
        _add(parent, "SimplePredicate", field=variable.name, operator=operator, value=value)


def _equals(attribute: Element, variable: Variable, values: list[str]) -> None:
    """Equal to one of `values`. Not PMML's arrays: programs differ in how they read quotes within them."""
    parent = attribute if len(values) == 1 else _add(attribute, "CompoundPredicate", booleanOperator="or")
    for value in values:
        _add(parent, "SimplePredicate", field=variable.name, operator="equal", value=value)


def _apply(parent: Element, function: str) -> Element:
    return _add(parent, "Apply", function=function)


def _constant(parent: Element, value: float) -> None:
    _add(parent, "Constant", dataType="double").text = _text(value)


def _text(value: float) -> str:
    """The shortest decimal that is this number and no other."""
    return repr(float(value))


def _add(parent: Element, tag: str, **attributes: str | int) -> Element:
    return ElementTree.SubElement(parent, tag, {name: str(value) for name, value in attributes.items()})


def _check_text(card: MergedCard) -> None:
    texts = [("model", card.model)]
    texts += [(variable.name, variable.name) for variable in card.variables]
    texts += [(variable.name, level) for variable in card.variables for level in variable.column.levels]
    wrong = dict.fromkeys(where for where, text in texts if _NOT_XML.search(text))
    if wrong:
        what = "holds characters that XML has no way to write"
        raise DataError([Problem("CARD_TEXT", _shown(name), what, "export the card as json or csv") for name in wrong])


def _shown(name: str) -> str:
    return _NOT_XML.sub("?", name)

"""From a tree to a program: names resolved against a catalog's fields, types checked, and a flat list of steps.

A program is plain data. Each step says an operation, the type of its result, what it ranges over (`""`: one value a
subject; an item: one value a record), and which earlier steps it takes, so that running it is one walk along the list.
docs/predicates.md lists the operations; `vector` runs a program over columns, `single` over one subject's records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

from fedcredit.errors import ConfigError, Problem
from fedcredit.governance.predicates import grammar
from fedcredit.governance.predicates.grammar import Node

__all__ = ["BROUGHT", "SCHEMA", "Program", "Step", "Type", "compile_tree"]

SCHEMA = "fedcredit-program/1"

Type = Literal["number", "text", "flag", "date", "texts"]

BROUGHT: Mapping[str, Type] = {"subject": "text", "subject_name": "text", "institution": "text"}
"""Parameters that every enquiry has: whom it is about, by code and by name, and who asks."""

_ORDERED = ("number", "date")


@dataclass(frozen=True, slots=True)
class Step:
    """One operation. `value`: the constant, the column's name, or the parameter's."""

    op: str
    type: Type
    over: str
    args: tuple[int, ...] = ()
    value: float | str | bool | tuple[float | str | bool, ...] | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled predicate.

    `keys`: of each item, the field by which the expression itself finds the subject's records, and the parameter it is
    compared with; for an item that is not among them the catalog's `subject_key` counts.
    """

    item: str
    items: tuple[str, ...]
    fields: Mapping[str, tuple[str, ...]]
    assumed: Mapping[str, tuple[str, ...]]
    parameters: tuple[str, ...]
    keys: Mapping[str, tuple[str, str]]
    steps: tuple[Step, ...]

    def to_dict(self) -> dict[str, Any]:
        """The program as JSON has it, for an evaluator in another language."""
        steps = []
        for step in self.steps:
            said: dict[str, Any] = {"op": step.op, "type": step.type, "over": step.over, "args": list(step.args)}
            if step.value is not None:
                said["value"] = list(step.value) if isinstance(step.value, tuple) else step.value
            steps.append(said)
        return {
            "schema": SCHEMA,
            "item": self.item,
            "items": list(self.items),
            "fields": {item: list(names) for item, names in self.fields.items()},
            "parameters": list(self.parameters),
            "keys": {item: list(key) for item, key in self.keys.items()},
            "steps": steps,
        }


def compile_tree(
    tree: Node,
    *,
    item: str,
    printed: Mapping[str, Mapping[str, Type]],
    assumed: Mapping[str, Type],
    parameters: Mapping[str, Type],
    where: str = "expression",
) -> Program:
    """The program of `tree`, a predicate on `item`.

    `printed`: the fields of each item that a catalog prints, with their types; `assumed`: of fields that none prints,
    written with `?`; `parameters`: those the predicate declares, beside BROUGHT.

    Raises: ConfigError (PREDICATE_NAME: no such field, item or parameter; PREDICATE_TYPE; PREDICATE_RANGE: a record's
    value where a subject's is needed, or records of two items side by side; PREDICATE_KEY: two ways to find a subject).
    """
    compiler = _Compiler(item, printed, assumed, {**BROUGHT, **parameters}, where)
    last = compiler.value(tree, None)
    if compiler.steps[last].type != "flag":
        compiler.fail("PREDICATE_TYPE", tree.at, "is not a yes or no")
    unused = sorted(set(parameters) - compiler.used)
    if unused:
        compiler.fail("PREDICATE_NAME", 0, f"does not use the parameter {unused[0]}")
    if left := sorted(set(assumed) - compiler.assumed_used):
        compiler.fail("PREDICATE_NAME", 0, f"does not use the assumed field {left[0]}")
    return Program(
        item=item,
        items=(item, *sorted(set(compiler.fields) - {item})),
        fields={name: tuple(sorted(found)) for name, found in sorted(compiler.fields.items())},
        assumed={item: tuple(sorted(compiler.assumed_used))} if compiler.assumed_used else {},
        parameters=tuple(sorted(compiler.used)),
        keys=dict(sorted(compiler.keys.items())),
        steps=tuple(compiler.steps),
    )


@dataclass(slots=True)
class _Compiler:
    item: str
    printed: Mapping[str, Mapping[str, Type]]
    assumed: Mapping[str, Type]
    parameters: Mapping[str, Type]
    where: str
    steps: list[Step] = field(default_factory=list)
    fields: dict[str, set[str]] = field(default_factory=dict)
    assumed_used: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    keys: dict[str, tuple[str, str]] = field(default_factory=dict)

    def fail(self, code: str, at: int, what: str) -> NoReturn:
        raise ConfigError(Problem(code, f"{self.where}, character {at + 1}", what))

    def value(self, node: Node, over: str | None) -> int:
        """The step that computes `node`; `over`: the item whose records are being looked at, None outside of any."""
        match node:
            case grammar.Literal(value=value):
                kind: Type = "flag" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"
                return self._step("constant", kind, "", value=value)
            case grammar.Asof():
                return self._step("asof", "date", "")
            case grammar.Parameter(name=name):
                if name not in self.parameters:
                    self.fail("PREDICATE_NAME", node.at, f"${name} is not declared")
                self.used.add(name)
                return self._step("parameter", self.parameters[name], "", value=name)
            case grammar.Field():
                return self._field(node, over)
            case grammar.Not(of=of):
                return self._step("not", "flag", self._over(inner := self._flag(of, over)), inner)
            case grammar.IsNull(of=of):
                inner = self.value(of, over)
                return self._step("is_null", "flag", self._over(inner), inner)
            case grammar.Call():
                return self._call(node, over)
            case grammar.Binary():
                return self._binary(node, over)
            case grammar.Among():
                return self._among(node, over)
            case grammar.Aggregate():
                return self._aggregate(node, over)
            case grammar.SetOf():
                self.fail("PREDICATE_TYPE", node.at, "a set can only stand after 'in'")

    def _step(self, op: str, kind: Type, over: str, *args: int, value: Any = None) -> int:
        step = Step(op, kind, over, args, value)
        # The same computation twice is the same step. True and 1 are equal in Python, but steps have their type beside.
        if step not in self.steps:
            self.steps.append(step)
        return self.steps.index(step)

    def _over(self, *steps: int) -> str:
        return next((over for step in steps if (over := self.steps[step].over)), "")

    def _together(self, node: Node, *steps: int) -> str:
        ranges = {self.steps[step].over for step in steps} - {""}
        if len(ranges) > 1:
            self.fail("PREDICATE_RANGE", node.at, "records of two items stand side by side")
        return next(iter(ranges), "")

    def _flag(self, node: Node, over: str | None) -> int:
        step = self.value(node, over)
        if self.steps[step].type != "flag":
            self.fail("PREDICATE_TYPE", node.at, f"is a {self.steps[step].type}, not a yes or no")
        return step

    def _field(self, node: grammar.Field, over: str | None) -> int:
        if node.item is not None:
            self.fail("PREDICATE_RANGE", node.at, "another item's field can only stand after 'in'")
        column = self._column(node, over or self.item)
        if over is not None:
            return column
        # Outside of an aggregate a field is that of the subject's only record.
        return self._step("only", self.steps[column].type, "", column)

    def _column(self, node: grammar.Field, item: str) -> int:
        known = self.assumed if node.assumed else self.printed.get(item, {})
        if node.assumed and (item != self.item or node.name in self.printed.get(item, {})):
            self.fail("PREDICATE_NAME", node.at, f"{node.name} cannot be assumed: {item} prints it or is another item")
        if node.name not in known:
            what = (
                f"no catalog prints a field {node.name} of {item}" if not node.assumed else f"?{node.name} has no type"
            )
            self.fail("PREDICATE_NAME", node.at, what)
        if node.assumed:
            self.assumed_used.add(node.name)
        self.fields.setdefault(item, set()).add(node.name)
        return self._step("column", known[node.name], item, value=node.name)

    def _call(self, node: grammar.Call, over: str | None) -> int:
        inner = self.value(node.of, over)
        wanted = "number" if node.name == "abs" else "date"
        if self.steps[inner].type != wanted:
            self.fail("PREDICATE_TYPE", node.at, f"{node.name} takes a {wanted}, not a {self.steps[inner].type}")
        return self._step(node.name, "number", self._over(inner), inner)

    def _binary(self, node: grammar.Binary, over: str | None) -> int:
        if node.sign in ("and", "or"):
            left, right = self._flag(node.left, over), self._flag(node.right, over)
            return self._step(node.sign, "flag", self._together(node, left, right), left, right)
        left, right = self.value(node.left, over), self.value(node.right, over)
        first, second = self.steps[left].type, self.steps[right].type
        name = {
            "==": "eq",
            "!=": "ne",
            "<": "lt",
            "<=": "le",
            ">": "gt",
            ">=": "ge",
            "+": "add",
            "-": "sub",
            "*": "mul",
        }
        arithmetic = node.sign in ("+", "-", "*")
        allowed = (
            ("number",) if arithmetic else _ORDERED if node.sign not in ("==", "!=") else (*_ORDERED, "text", "flag")
        )
        if first != second or first not in allowed:
            self.fail("PREDICATE_TYPE", node.at, f"a {first} {node.sign} a {second} means nothing")
        if node.sign == "==":
            self._note_key(node, left, right)
        kind: Type = "number" if arithmetic else "flag"
        return self._step(name[node.sign], kind, self._together(node, left, right), left, right)

    def _note_key(self, node: grammar.Binary, left: int, right: int) -> None:
        for column, brought in ((self.steps[left], self.steps[right]), (self.steps[right], self.steps[left])):
            if column.op == "column" and brought.op == "parameter" and brought.value in ("subject", "subject_name"):
                key = (str(column.value), str(brought.value))
                if self.keys.setdefault(column.over, key) != key:
                    self.fail("PREDICATE_KEY", node.at, f"finds records of {column.over} by two fields")

    def _among(self, node: grammar.Among, over: str | None) -> int:
        value = self.value(node.value, over)
        kind = self.steps[value].type
        match node.among:
            case grammar.SetOf(values=values):
                found: Type = (
                    "flag" if isinstance(values[0], bool) else "text" if isinstance(values[0], str) else "number"
                )
                self._same(node, kind, found)
                return self._step("one_of", "flag", self._over(value), value, value=values)
            case grammar.Field(item=str(other)):
                if other not in self.printed:
                    self.fail("PREDICATE_NAME", node.among.at, f"no catalog has an item {other}")
                column = self._column(grammar.Field(node.among.name, False, None, node.among.at), other)
                self._same(node, kind, self.steps[column].type)
                return self._step("among_records", "flag", self._over(value), value, column)
            case among:
                several = self.value(among, over)
                if self.steps[several].type != "texts":
                    self.fail("PREDICATE_TYPE", among.at, "is not several values")
                self._same(node, kind, "text")
                return self._step("contains", "flag", self._together(node, value, several), several, value)

    def _same(self, node: Node, first: Type, second: Type) -> None:
        if first != second or first == "texts":
            self.fail("PREDICATE_TYPE", node.at, f"a {first} is not among {second} values")

    def _aggregate(self, node: grammar.Aggregate, over: str | None) -> int:
        if over is not None:
            self.fail("PREDICATE_RANGE", node.at, f"{node.name} cannot stand inside another")
        item = node.item or self.item
        if item not in self.printed:
            self.fail("PREDICATE_NAME", node.at, f"no catalog has an item {item}")
        self.fields.setdefault(item, set())
        if node.of is None:
            return self._step("exists", "flag", "", value=item)
        if node.name in ("any", "all", "count"):
            inner = self._flag(node.of, item)
            return self._step(node.name, "number" if node.name == "count" else "flag", "", inner, value=item)
        inner = self.value(node.of, item)
        kind = self.steps[inner].type
        if kind not in {"sum": ("number",), "min": _ORDERED, "max": _ORDERED}.get(
            node.name, (*_ORDERED, "text", "flag")
        ):
            self.fail("PREDICATE_TYPE", node.at, f"{node.name} of a {kind} means nothing")
        if self.steps[inner].over != item:
            self.fail("PREDICATE_RANGE", node.at, f"{node.name} of what is no field of a record")
        args = [inner]
        if node.by is not None:
            args.append(by := self.value(node.by, item))
            if self.steps[by].type not in _ORDERED or self.steps[by].over != item:
                self.fail("PREDICATE_TYPE", node.by.at, "is not a date or number of a record")
        if node.where is not None:
            args.append(self._flag(node.where, item))
        return self._step(node.name, kind, "", *args, value=item)

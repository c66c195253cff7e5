"""A slow evaluator of predicates: straight from the tree, for one subject. It knows nothing of programs and steps.

Written from docs/predicates.md, without a look at the product's evaluators: unknown is a value that goes up through
everything that it could change.
"""

from __future__ import annotations

import itertools
from datetime import date
from typing import Any

from fedcredit.governance.predicates import grammar as g

UNKNOWN = object()


class Oracle:
    def __init__(
        self, item: str, records: dict[str, list[dict[str, Any]]], brought: dict[str, Any], asof: date
    ) -> None:
        self.item, self.records, self.brought, self.asof = item, records, brought, asof

    def answer(self, tree: Any) -> bool | None:
        found = self.value(tree, None)
        return None if found is UNKNOWN else bool(found)

    def value(self, node: Any, row: dict[str, Any] | None) -> Any:
        match node:
            case g.Literal():
                return node.value
            case g.Asof():
                return self.asof
            case g.Parameter():
                return self.brought[node.name]
            case g.Field():
                if row is None:
                    own = self.records.get(self.item, [])
                    row = own[0] if len(own) == 1 else {}
                found = row.get(node.name)
                return UNKNOWN if found is None else found
            case g.Not():
                inner = self.value(node.of, row)
                return UNKNOWN if inner is UNKNOWN else not inner
            case g.IsNull():
                return self.value(node.of, row) is UNKNOWN
            case g.Call():
                inner = self.value(node.of, row)
                return UNKNOWN if inner is UNKNOWN else self.call(node.name, inner)
            case g.Binary(sign="and" | "or"):
                # What could it be? If every way to fill in the unknown gives the same, it is known.
                sides = [self.value(side, row) for side in (node.left, node.right)]
                ways = itertools.product(*([True, False] if side is UNKNOWN else [side] for side in sides))
                results = {all(way) if node.sign == "and" else any(way) for way in ways}
                return results.pop() if len(results) == 1 else UNKNOWN
            case g.Binary():
                left, right = self.value(node.left, row), self.value(node.right, row)
                return UNKNOWN if UNKNOWN in (left, right) else self.sign(node.sign, left, right)
            case g.Among():
                return self.among(node, row)
            case g.Aggregate():
                return self.aggregate(node)
        raise AssertionError(node)

    def call(self, name: str, value: Any) -> float:
        if name == "abs":
            return value if value >= 0 else -value
        if name == "year":
            return value.year
        if name == "days_since":
            return (self.asof - value).days
        if name == "months_since":
            # The least n such that n months after the day are not before asof, by counting.
            n = (self.asof.year - value.year) * 12 + self.asof.month - value.month - 2
            while (value.year * 12 + value.month + n, value.day) < (
                self.asof.year * 12 + self.asof.month,
                self.asof.day,
            ):
                n += 1
            return n
        n = self.asof.year - value.year + 2
        while (value.year + n, value.month, value.day) > (self.asof.year, self.asof.month, self.asof.day):
            n -= 1
        return n

    def sign(self, sign: str, left: Any, right: Any) -> Any:
        signs = {
            "==": lambda: left == right,
            "!=": lambda: left != right,
            "<": lambda: left < right,
            "<=": lambda: left <= right,
            ">": lambda: left > right,
            ">=": lambda: left >= right,
            "+": lambda: left + right,
            "-": lambda: left - right,
            "*": lambda: left * right,
        }
        return signs[sign]()

    def among(self, node: g.Among, row: dict[str, Any] | None) -> Any:
        value = self.value(node.value, row)
        if isinstance(node.among, g.SetOf):
            several: Any = node.among.values
        elif isinstance(node.among, g.Field) and node.among.item is not None:
            held = [other.get(node.among.name) for other in self.records.get(node.among.item, [])]
            if not held:
                return False
            if value is not UNKNOWN and value in held:
                return True
            return UNKNOWN if value is UNKNOWN or None in held else False
        else:
            several = self.value(node.among, row)
        return UNKNOWN if UNKNOWN in (value, several) else any(value == one for one in several)

    def aggregate(self, node: g.Aggregate) -> Any:
        rows = self.records.get(node.item or self.item, [])
        if node.name == "exists":
            return bool(rows)
        values = [self.value(node.of, row) for row in rows]
        if node.name in ("any", "all"):
            decisive = node.name == "any"
            if any(value is decisive for value in values):
                return decisive
            return UNKNOWN if UNKNOWN in values else not decisive
        if node.name == "count":
            return UNKNOWN if UNKNOWN in values else values.count(True)
        if node.name == "latest":
            days = [self.value(node.by, row) for row in rows]
            if not rows or UNKNOWN in days:
                return UNKNOWN
            last = [value for value, day in zip(values, days, strict=True) if day == max(days)]
            return last[0] if all(value is last[0] or value == last[0] for value in last) else UNKNOWN
        if node.where is not None:
            flags = [self.value(node.where, row) for row in rows]
            if UNKNOWN in flags:
                return UNKNOWN
            values = [value for value, flag in zip(values, flags, strict=True) if flag]
        if UNKNOWN in values or (node.name != "sum" and not values):
            return UNKNOWN
        return {"sum": sum, "min": min, "max": max}[node.name](values)

"""The language of predicates: from text to a tree. Total and small: no loops, nothing to call, bounded in every way.

    expression := conjunction ("or" conjunction)*
    conjunction := negation ("and" negation)*
    negation   := "not" negation | comparison
    comparison := sum [("==" | "!=" | "<" | "<=" | ">" | ">=") sum
                       | ["not"] "in" (set | parameter | field | item "." field)
                       | "between" sum "and" sum | "is" ["not"] "null"]
    sum        := product (("+" | "-") product)*
    product    := atom ("*" atom)*
    atom       := number | 'text' | "true" | "false" | "asof" | "$" name | ["?"] name | "exists" | "(" expression ")"
                | ("abs" | "year" | "days_since" | "months_since" | "years_since") "(" sum ")"
                | [item "."] ("any" | "all" | "count" | "sum" | "min" | "max" | "latest") "(" ... ")"
    set        := "{" literal ("," literal)* "}"

`sum(f where condition)` and so for `min` and `max`; `latest(f by d)`. What a tree means is in `compiler`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from fedcredit.errors import ConfigError, Problem

__all__ = [
    "AGGREGATES",
    "FUNCTIONS",
    "MAX_CHARACTERS",
    "MAX_DEPTH",
    "MAX_TOKENS",
    "Aggregate",
    "Among",
    "Asof",
    "Binary",
    "Call",
    "Field",
    "IsNull",
    "Literal",
    "Node",
    "Not",
    "Parameter",
    "SetOf",
    "parse",
]

MAX_CHARACTERS, MAX_TOKENS, MAX_DEPTH = 1000, 256, 24

AGGREGATES = ("any", "all", "count", "sum", "min", "max", "latest")
FUNCTIONS = ("abs", "year", "days_since", "months_since", "years_since")
COMPARISONS = ("==", "!=", "<=", ">=", "<", ">")
_WORDS = {"and", "or", "not", "in", "between", "is", "null", "where", "by", "true", "false", "asof", "exists"}
_RESERVED = {*_WORDS, *AGGREGATES, *FUNCTIONS}

_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9]{1,15}(?:\.[0-9]{1,9})?(?![\w.]))|(?P<name>[a-z][a-z0-9_]{0,63}(?!\w))"
    r"|(?P<text>'[^'\x00-\x1f\x7f]{0,100}')|(?P<sign>==|!=|<=|>=|[<>+\-*(){},.$?]))",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, a text or a truth value. `at`, here and below: the character of the expression that it begins at."""

    value: float | str | bool
    at: int


@dataclass(frozen=True, slots=True)
class SetOf:
    """Literals of one type."""

    values: tuple[float | str | bool, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Asof:
    """The date of evaluation."""

    at: int


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value that the enquirer brings."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a record. `assumed`: no document prints it. `item`: of another item's records."""

    name: str
    assumed: bool
    item: str | None
    at: int


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite; unknown stays unknown."""

    of: Node
    at: int


@dataclass(frozen=True, slots=True)
class Binary:
    """Two values and a sign between them: `and`, `or`, a comparison, or arithmetic."""

    sign: str
    left: Node
    right: Node
    at: int


@dataclass(frozen=True, slots=True)
class Among:
    """Whether a value is one of several."""

    value: Node
    among: Node
    at: int


@dataclass(frozen=True, slots=True)
class IsNull:
    """Whether a record says nothing here."""

    of: Node
    at: int


@dataclass(frozen=True, slots=True)
class Call:
    """A function of one value."""

    name: str
    of: Node
    at: int


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One value of all records of a subject. `name`: one of AGGREGATES, or `exists`."""

    name: str
    item: str | None
    of: Node | None
    where: Node | None
    by: Node | None
    at: int


Node = Literal | SetOf | Asof | Parameter | Field | Not | Binary | Among | IsNull | Call | Aggregate


def parse(text: str, where: str = "expression") -> Node:
    """The tree of an expression; `where` says in errors whose it is.

    Raises: ConfigError (PREDICATE_SYNTAX with the character; PREDICATE_LIMIT for more than MAX_CHARACTERS, MAX_TOKENS
    or MAX_DEPTH levels).
    """
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(Problem("PREDICATE_LIMIT", where, f"has more than {MAX_CHARACTERS} characters"))
    parser = _Parser(text, where)
    tree = parser.expression(0)
    parser.end()
    return tree


class _Parser:
    def __init__(self, text: str, where: str) -> None:
        self._where = where
        self._tokens: list[tuple[str, str, int]] = []
        at = 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if found is None:
                at += len(text[at:]) - len(text[at:].lstrip())
                self._fail(at, "nothing can begin like this")
            kind = str(found.lastgroup)
            self._tokens.append((kind, found.group(kind), found.start(kind)))
            at = found.end()
            if len(self._tokens) > MAX_TOKENS:
                raise ConfigError(Problem("PREDICATE_LIMIT", where, f"has more than {MAX_TOKENS} words and signs"))
        self._tokens.append(("end", "", len(text)))
        self._next = 0

    def expression(self, depth: int) -> Node:
        left = self._conjunction(depth)
        while (at := self._accept("or")) is not None:
            left = Binary("or", left, self._conjunction(depth), at)
        return left

    def end(self) -> None:
        kind, word, at = self._tokens[self._next]
        if kind != "end":
            self._fail(at, f"{word!r} does not belong here")

    def _conjunction(self, depth: int) -> Node:
        left = self._negation(depth)
        while (at := self._accept("and")) is not None:
            left = Binary("and", left, self._negation(depth), at)
        return left

    def _negation(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise ConfigError(Problem("PREDICATE_LIMIT", self._where, f"is nested more than {MAX_DEPTH} levels deep"))
        if (at := self._accept("not")) is not None:
            return Not(self._negation(depth + 1), at)
        return self._comparison(depth)

    def _comparison(self, depth: int) -> Node:
        left = self._sum(depth)
        _, word, at = self._tokens[self._next]
        if self._peek(*COMPARISONS):
            self._next += 1
            return Binary(word, left, self._sum(depth), at)
        if self._accept("between") is not None:
            low = self._sum(depth)
            self._expect("and")
            high = self._sum(depth)
            return Binary("and", Binary(">=", left, low, at), Binary("<=", left, high, at), at)
        if self._accept("is") is not None:
            negated = self._accept("not") is not None
            self._expect("null")
            return Not(IsNull(left, at), at) if negated else IsNull(left, at)
        negated = self._peek("not")
        if negated:
            self._next += 1
            self._expect("in")
        elif self._accept("in") is None:
            return left
        found = Among(left, self._collection(depth), at)
        return Not(found, at) if negated else found

    def _collection(self, depth: int) -> Node:
        at = self._accept("{")
        if at is None:
            return self._atom(depth)
        values = [self._literal()]
        while self._accept(",") is not None:
            values.append(self._literal())
        self._expect("}")
        if len({type(value) for value in values}) != 1:
            self._fail(at, "values of more than one type in a set")
        return SetOf(tuple(values), at)

    def _literal(self) -> float | str | bool:
        node = self._atom(MAX_DEPTH)
        if not isinstance(node, Literal):
            self._fail(node.at, "only literals can stand in a set")
        return node.value

    def _sum(self, depth: int) -> Node:
        left = self._product(depth)
        while self._peek("+", "-"):
            _, sign, at = self._tokens[self._next]
            self._next += 1
            left = Binary(sign, left, self._product(depth), at)
        return left

    def _product(self, depth: int) -> Node:
        left = self._atom(depth)
        while (at := self._accept("*")) is not None:
            left = Binary("*", left, self._atom(depth), at)
        return left

    def _atom(self, depth: int) -> Node:
        kind, word, at = self._tokens[self._next]
        self._next += 1
        if kind == "number":
            return Literal(float(word), at)
        if kind == "text":
            return Literal(word[1:-1], at)
        if word in ("true", "false"):
            return Literal(word == "true", at)
        if word == "asof":
            return Asof(at)
        if word == "exists":
            return Aggregate("exists", None, None, None, None, at)
        if word == "$":
            return Parameter(self._name(), at)
        if word == "?":
            return Field(self._name(), True, None, at)
        if word == "(":
            inner = self.expression(depth + 1)
            self._expect(")")
            return inner
        if word in FUNCTIONS:
            self._expect("(")
            inner = self.expression(depth + 1)
            self._expect(")")
            return Call(word, inner, at)
        if word in AGGREGATES:
            return self._aggregate(word, None, at, depth)
        if kind == "name" and word not in _RESERVED:
            if self._accept(".") is None:
                return Field(word, False, None, at)
            _, name, _ = self._tokens[self._next]
            if name in AGGREGATES:
                self._next += 1
                return self._aggregate(name, word, at, depth)
            return Field(self._name(), False, word, at)
        self._next -= 1
        self._fail(at, f"a value is missing before {word!r}" if word else "a value is missing at the end")

    def _aggregate(self, name: str, item: str | None, at: int, depth: int) -> Node:
        self._expect("(")
        of = self.expression(depth + 1)
        where = by = None
        if name == "latest":
            self._expect("by")
            by = self.expression(depth + 1)
        elif name in ("sum", "min", "max") and self._accept("where") is not None:
            where = self.expression(depth + 1)
        self._expect(")")
        return Aggregate(name, item, of, where, by, at)

    def _name(self) -> str:
        kind, word, at = self._tokens[self._next]
        if kind != "name" or word in _RESERVED:
            self._fail(at, "a name is missing")
        self._next += 1
        return word

    def _peek(self, *words: str) -> bool:
        kind, word, _ = self._tokens[self._next]
        return kind in ("name", "sign") and word in words

    def _accept(self, word: str) -> int | None:
        if not self._peek(word):
            return None
        self._next += 1
        return self._tokens[self._next - 1][2]

    def _expect(self, word: str) -> None:
        if self._accept(word) is None:
            self._fail(self._tokens[self._next][2], f"{word!r} is missing")

    def _fail(self, at: int, what: str) -> NoReturn:
        raise ConfigError(
            Problem(
                "PREDICATE_SYNTAX", f"{self._where}, character {at + 1}", what, "docs/predicates.md has the grammar"
            )
        )

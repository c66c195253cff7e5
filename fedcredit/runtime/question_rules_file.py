"""`[verify]` and `[[verify.rule]]` of policy.toml: who may have which questions answered. Closed by default.

```toml
[verify.levels]                         # GB/T 43697: 1 to 4 of general data, "important", "core"; undeclared: 4
water_fee = 2
"water_fee.usage_m3" = 3

[[verify.rule]]                         # the first rule that is about a question decides; if none is, it is refused
name = "city-bank"
action = "admit"                        # admit | refuse
requesters = ["city_bank"]              # which questions the rule is about; ["*"] for any
purposes = ["financing"]
items = ["water_fee"]                   # and or instead: predicates = ["water_no_arrears"]
hours = ["mon-fri 08:00-20:00"]
level_max = 3                           # what such a question has to keep
per_second = 1000
per_day = 100_000
budget = { questions = 2, days = 30 }   # different ones about one subject and item; no_budget = true for none
private = { per_day = 20_000, key_days = 30 }   # may ask privately, of so many subjects a day; left out: may not
```

A rule that admits says something for each of requesters, purposes, items or predicates, level_max and budget: a key
left out is an error there and never an opening.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import tzinfo
from typing import Annotated, Any, Literal

from pydantic import Field

from fedcredit.governance.verification.levels import CORE, LEVELS, Classification, level_name
from fedcredit.governance.verification.rules import Action, Budget, Private, VerifyPolicy, VerifyRule
from fedcredit.ids import Purpose
from fedcredit.runtime.catalog_file import shipped_catalogs
from fedcredit.runtime.hours import parse_window, window_of
from fedcredit.runtime.predicate_file import printed_fields, shipped_predicates
from fedcredit.runtime.toml import Reader, Section, nearest

__all__ = ["BudgetSection", "PrivateSection", "QuestionRuleSection", "read_questions"]

ANY = "*"
_SCOPE = ("requesters", "purposes", "predicates", "items")
_TERMS = ("level_max", "per_second", "per_day", "budget", "no_budget", "no_consent", "private")
_MAX_RULES = 1000

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,63}$")]
Names = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=64)], ...], Field(strict=False, max_length=10_000)
]
Count = Annotated[int, Field(ge=1, le=2**31)]


class BudgetSection(Section):
    """`budget`: how many different questions about one subject and item, within how many days."""

    questions: Annotated[int, Field(ge=1, le=1000)]
    days: Annotated[int, Field(ge=1, le=366)]


class PrivateSection(Section):
    """`private`: subjects that a requester may ask of in a day through the oblivious function, and a key's life."""

    per_day: Annotated[int, Field(ge=1, le=2**28)]
    key_days: Annotated[int, Field(ge=1, le=366)] = 30


class QuestionRuleSection(Section):
    """`[[verify.rule]]`: one rule. Keys up to `hours` say which questions it is about, the others what they keep."""

    name: Name
    action: Literal["admit", "refuse"]
    requesters: Names | None = None
    purposes: Names | None = None
    predicates: Names | None = None
    items: Names | None = None
    hours: Names = ()
    level_max: int | str | None = None
    per_second: Count | None = None
    per_day: Count | None = None
    budget: BudgetSection | None = None
    no_budget: bool = False
    no_consent: bool = False
    private: PrivateSection | None = None

    def rule(self) -> VerifyRule:
        """The rule as it is decided by."""
        return VerifyRule(
            name=self.name,
            action=Action(self.action),
            **{key: _set(getattr(self, key)) for key in _SCOPE},
            hours=tuple(window_of(text) for text in self.hours),
            level_max=None if self.level_max is None else LEVELS[self.level_max],
            per_second=self.per_second,
            per_day=self.per_day,
            budget=None if self.budget is None else Budget(self.budget.questions, self.budget.days),
            no_consent=self.no_consent,
            private=None if self.private is None else Private(self.private.per_day, self.private.key_days),
        )


def read_questions(reader: Reader, zone: tzinfo) -> VerifyPolicy:
    """The `[verify]` part of a policy; without one no question is answered. Problems are noted at `reader`."""
    raw = reader.raw.get("verify", {})
    if not isinstance(raw, Mapping):
        reader.report("CONFIG_TYPE", "verify", "must be a table", "write [[verify.rule]] above each rule")
        return VerifyPolicy(zone=zone)
    if not raw:
        return VerifyPolicy(zone=zone)
    reader.known("verify", raw, ("levels", "rule"))
    known = {name: tuple(fields) for name, fields in printed_fields(shipped_catalogs().values()).items()}
    return VerifyPolicy(
        rules=tuple(_read_rules(reader, raw.get("rule", []), known)),
        classification=Classification(_read_levels(reader, raw.get("levels", {}), known)),
        zone=zone,
    )


def _read_levels(reader: Reader, raw: object, known: Mapping[str, Iterable[str]]) -> dict[str, int]:
    if not isinstance(raw, Mapping):
        reader.report("CONFIG_TYPE", "verify.levels", "must be a table", "write item = level below [verify.levels]")
        return {}
    names = {*known, *(f"{item}.{field}" for item, fields in known.items() for field in fields)}
    levels: dict[str, int] = {}
    for name, value in raw.items():
        key = f"verify.levels.{name}"
        if isinstance(value, Mapping):
            reader.report("CONFIG_TYPE", key, "is a table", 'quote the name of a field: "item.field" = 3')
        elif name not in names:
            _unknown(reader, key, "names no item or field of a catalog", name, names)
        elif (level := _level(value)) is None:
            reader.report("CONFIG_VALUE", key, "is no level", '1, 2, 3, 4, "general", "important" or "core"')
        else:
            levels[name] = level
    return levels


def _read_rules(reader: Reader, raw: object, items: Iterable[str]) -> list[VerifyRule]:
    if not isinstance(raw, list) or len(raw) > _MAX_RULES:
        what = f"must be a list of up to {_MAX_RULES} tables"
        reader.report("CONFIG_TYPE", "verify.rule", what, "write [[verify.rule]] with two brackets")
        return []
    known = {
        "purposes": tuple(purpose.value for purpose in Purpose),
        "items": tuple(items),
        "predicates": tuple(shipped_predicates()),
    }
    sections = [_read_rule(reader, f"verify.rule.{index}", entry, known) for index, entry in enumerate(raw)]
    names = [section.name for section in sections if section is not None]
    for name in sorted({name for name in names if names.count(name) > 1}):
        reader.report("CONFIG_CONFLICT", "verify.rule", f"two rules are called {name!r}", "give each its own name")
    return [section.rule() for section in sections if section is not None]


def _read_rule(
    reader: Reader, key: str, value: object, known: Mapping[str, tuple[str, ...]]
) -> QuestionRuleSection | None:
    before = len(reader.problems)
    section = reader.section(key, value, QuestionRuleSection)
    if section is None or not isinstance(value, Mapping):
        return None
    for name, code, why, fix in _conflicts(value):
        reader.report(code, f"{key}.{name}", why, fix)
    for name in _SCOPE:
        given = getattr(section, name)
        if given is None:
            continue
        if not given or (ANY in given and len(given) > 1):
            reader.report("CONFIG_VALUE", f"{key}.{name}", 'is empty, or has "*" beside others', 'or write ["*"] alone')
        for entry in given:
            if entry != ANY and name in known and entry not in known[name]:
                _unknown(reader, f"{key}.{name}", "names something unknown", entry, known[name])
    for text in section.hours:
        if parse_window(text) is None:
            reader.report("CONFIG_VALUE", f"{key}.hours", "is not hours of days", 'e.g. "mon-fri 08:30-17:30"')
    if section.level_max is not None:
        level = _level(section.level_max)
        if level is None or level >= CORE:
            fix = f'1, 2, 3, 4, "general" or "important"; about data of level {level_name(CORE)} nothing is answered'
            reader.report("CONFIG_VALUE", f"{key}.level_max", "is no level that answers may rest on", fix)
    return section if len(reader.problems) == before else None


def _conflicts(value: Mapping[str, Any]) -> Iterable[tuple[str, str, str, str]]:
    missing, conflict = "CONFIG_MISSING_KEY", "CONFIG_CONFLICT"
    if value.get("action") == "refuse":
        for key in _TERMS:
            if key in value:
                yield key, conflict, "stands in a rule that refuses, which grants nothing to bound", "drop it"
        return
    for key in ("requesters", "purposes"):
        if key not in value:
            yield key, missing, "is missing in a rule that admits", 'name them, or ["*"] for any'
    if "items" not in value and "predicates" not in value:
        yield "items", missing, "is missing in a rule that admits", "name items, or predicates"
    if "level_max" not in value:
        yield "level_max", missing, "is missing in a rule that admits", "say how sensitive data may be: level_max = 3"
    if "private" in value and value.get("no_consent") is True:
        yield "private", conflict, "stands beside no_consent, and needs consents", "drop one of the two"
    if "budget" in value and value.get("no_budget") is True:
        yield "no_budget", conflict, "stands beside a budget", "drop one of the two"
    elif "budget" not in value and value.get("no_budget") is not True:
        fix = "budget = { questions = 2, days = 30 }; or no_budget = true, and every rung of a ladder may be asked"
        yield "budget", missing, "is missing in a rule that admits", fix


def _level(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return LEVELS.get(value)


def _unknown(reader: Reader, key: str, what: str, name: str, known: Iterable[str]) -> None:
    close = nearest(name, list(known))
    reader.report("CONFIG_VALUE", key, what, f"did you mean {close!r}?" if close else "fedcredit catalog list")


def _set(names: tuple[str, ...] | None) -> frozenset[str] | None:
    return None if names is None or ANY in names else frozenset(names)

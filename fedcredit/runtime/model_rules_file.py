"""`[[model.rule]]` of policy.toml: who may publish, approve, activate, retire and see models. Closed by default.

```toml
[[model.rule]]                          # the first rule that is about a request decides; if none is, it is refused
name = "sme-models"
action = "admit"                        # admit | refuse
callers = ["bank"]                      # who asks; at a party that is to approve: who has published; ["*"] for any
acts = ["publish", "activate"]          # publish approve activate challenge rollback retire show score
models = ["sme-default"]                # by the name under which they are published
kinds = ["scorecard", "gbdt"]
purposes = ["financing"]

[[model.rule]]                          # at a department: who may have scores
name = "city-bank-scores"
action = "admit"
callers = ["bank"]
acts = ["score"]
models = ["sme-default"]
kinds = ["scorecard"]
purposes = ["financing"]
per_day = 1000                          # subjects of one model in a day; left out: any number
again_days = 20                         # a subject at most once in so many days; 0: as its consent says
without = ["water"]                     # a score may lack the part of these while they are down
only_bands = true                       # of a card the band of a total is told, and never the total
after = ["water"]                       # of trees: who may be asked after this party; left out: any department
```

A rule that admits says something for each of the first five: a key left out is an error there and never an opening.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from fedcredit.governance.registry.documents import KINDS
from fedcredit.governance.registry.rules import ACTS, Act, ModelPolicy, ModelRule, ScoreGrant
from fedcredit.ids import Purpose
from fedcredit.runtime.toml import Reader, Section, nearest

__all__ = ["ModelRuleSection", "read_model_rules"]

ANY = "*"
_SCOPE = ("callers", "acts", "models", "kinds", "purposes")
_KNOWN = {"acts": ACTS, "kinds": KINDS, "purposes": tuple(purpose.value for purpose in Purpose)}
_GRANT = ("per_day", "again_days", "without", "only_bands", "after")
_MAX_RULES = 1000

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,63}$")]
Names = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=64)], ...], Field(strict=False, max_length=10_000)
]


class ModelRuleSection(Section):
    """`[[model.rule]]`: one rule."""

    name: Name
    action: Literal["admit", "refuse"]
    callers: Names | None = None
    acts: Names | None = None
    models: Names | None = None
    kinds: Names | None = None
    purposes: Names | None = None
    per_day: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    again_days: Annotated[int, Field(ge=0, le=3660)] | None = None
    without: Names | None = None
    only_bands: bool | None = None
    after: Names | None = None

    def rule(self) -> ModelRule:
        """The rule as it is decided by."""
        scope = {key: _set(getattr(self, key)) for key in _SCOPE}
        grant = ScoreGrant(
            self.per_day,
            self.again_days or 0,
            frozenset(self.without or ()),
            bool(self.only_bands),
            _set(self.after) if self.after is not None else None,
        )
        return ModelRule(name=self.name, admits=self.action == "admit", score=grant, **scope)


def read_model_rules(reader: Reader) -> ModelPolicy:
    """The `[model]` part of a policy; without one nobody may do anything. Problems are noted at `reader`."""
    raw = reader.raw.get("model", {})
    if not isinstance(raw, Mapping):
        reader.report("CONFIG_TYPE", "model", "must be a table", "write [[model.rule]] above each rule")
        return ModelPolicy()
    reader.known("model", raw, ("rule",))
    entries = raw.get("rule", [])
    if not isinstance(entries, list) or len(entries) > _MAX_RULES:
        what = f"must be a list of up to {_MAX_RULES} tables"
        reader.report("CONFIG_TYPE", "model.rule", what, "write [[model.rule]] with two brackets")
        return ModelPolicy()
    sections = [_read_rule(reader, f"model.rule.{index}", entry) for index, entry in enumerate(entries)]
    names = [section.name for section in sections if section is not None]
    for name in sorted({name for name in names if names.count(name) > 1}):
        reader.report("CONFIG_CONFLICT", "model.rule", f"two rules are called {name!r}", "give each its own name")
    return ModelPolicy(tuple(section.rule() for section in sections if section is not None))


def _read_rule(reader: Reader, key: str, value: object) -> ModelRuleSection | None:
    before = len(reader.problems)
    section = reader.section(key, value, ModelRuleSection)
    if section is None or not isinstance(value, Mapping):
        return None
    for name in _SCOPE:
        given = getattr(section, name)
        if given is None:
            if section.action == "admit":
                fix = 'name them, or ["*"] for any'
                reader.report("CONFIG_MISSING_KEY", f"{key}.{name}", "is missing in a rule that admits", fix)
            continue
        if not given or (ANY in given and len(given) > 1):
            reader.report("CONFIG_VALUE", f"{key}.{name}", 'is empty, or has "*" beside others', 'or write ["*"] alone')
        for entry in given:
            if entry != ANY and name in _KNOWN and entry not in _KNOWN[name]:
                close = nearest(entry, _KNOWN[name])
                fix = f"did you mean {close!r}?" if close else f"known: {', '.join(_KNOWN[name])}"
                reader.report("CONFIG_VALUE", f"{key}.{name}", "names something unknown", fix)
    scores = section.action == "admit" and section.acts is not None and {ANY, Act.SCORE.value} & set(section.acts)
    for name in _GRANT:
        if getattr(section, name) is not None and not scores:
            fix = 'add "score" to acts, or take it out'
            reader.report("CONFIG_CONFLICT", f"{key}.{name}", "is for rules that admit to scores", fix)
    return section if len(reader.problems) == before else None


def _set(names: tuple[str, ...] | None) -> frozenset[str] | None:
    return None if names is None or ANY in names else frozenset(names)

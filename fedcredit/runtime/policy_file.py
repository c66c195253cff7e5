"""policy.toml: who may ask what of a party's tables, for which purpose, under which terms. Closed by default.

```toml
[policy]
time_zone = "Asia/Shanghai"             # where hours, days and months are counted; UTC unless told otherwise
show_heads_to = ["*"]                   # who signs the head of the audit log once a day, and learns its length by it
[[rule]]                                # the first rule that is about a job decides; if none is, it is refused
name = "financing-models"
action = "approve"                      # admit | approve | refuse
submitters = ["bank"]                   # which jobs the rule is about; ["*"] for any
peers = ["bank", "social_insurance"]
purposes = ["financing"]
tables = ["enterprise_tax"]
kinds = ["gbdt"]                        # or "scorecard", "logistic", "binning", "statistics", "intersection"
hide_nodes = true
columns = ["vat_paid", "arrears"]       # what such a job has to keep
accept_leakage = ["agreement.sizes", "align.rows"]
min_intersection = 1000
per_month = 20
```

`[verify]` is about single questions: see fedcredit.runtime.question_rules_file; `[model]` about published models: see
fedcredit.runtime.model_rules_file.

A rule that grants says for each of submitters, peers, purposes, tables, kinds, columns and accept_leakage what it
grants: a key left out is an error there and never an opening. `docs/policy.md` explains every key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from fedcredit.errors import ConfigError, Problem
from fedcredit.governance.policy import INTERSECTION, Action, Policy, Rule, Scope, Terms
from fedcredit.governance.policy_rules import CHANGED_SET_DAYS, PRIVACY_DAYS
from fedcredit.governance.registry.rules import ModelPolicy
from fedcredit.governance.verification.rules import VerifyPolicy
from fedcredit.ids import PartyId
from fedcredit.protocols.intersect.choice import ALL_MODES
from fedcredit.runtime.aggregate_file import MAX_MEMBERS
from fedcredit.runtime.hours import parse_window, window_of, zone_named
from fedcredit.runtime.job_file import MIN_INTERSECTION_FLOOR, MIN_ROWS_FLOOR, JobSection
from fedcredit.runtime.model_rules_file import read_model_rules
from fedcredit.runtime.question_rules_file import read_questions
from fedcredit.runtime.toml import Reader, Section

__all__ = ["POLICY_FILE", "PolicyFile", "PolicySection", "RuleSection", "digest_of", "load_policy"]

POLICY_FILE = "policy.toml"

ANY = "*"
GRANTS_SAY = ("submitters", "peers", "purposes", "tables", "kinds", "columns", "accept_leakage")
"""What a rule that grants has to say. Leaving one out must not mean "whatever"."""

PURPOSES: tuple[str, ...] = get_args(JobSection.model_fields["purpose"].annotation)
CHOICES: dict[str, tuple[str, ...]] = {
    "purposes": PURPOSES,
    "kinds": (INTERSECTION, "binning", "gbdt", "logistic", "scorecard", "statistics"),
    "intersect_modes": ALL_MODES,
    "groupsum": ("rlwe", "onehot", "paillier"),
}

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,63}$")]
Names = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=256)], ...], Field(strict=False, max_length=10_000)
]
Count = Annotated[int, Field(ge=1, le=2**40)]
Cell = Annotated[int, Field(ge=MIN_ROWS_FLOOR, le=2**40)]


class PolicySection(Section):
    """`[policy]`: what holds for all rules."""

    time_zone: Annotated[str, Field(min_length=1, max_length=64)] = "UTC"
    show_heads_to: Annotated[Names, Field(max_length=1000)] = ()

    @model_validator(mode="after")
    def _exists(self) -> PolicySection:
        if zone_named(self.time_zone) is None:
            _refuse("CONFIG_VALUE", "time_zone is not one that this machine knows", 'e.g. "Asia/Shanghai"')
        return self


class RuleSection(Section):
    """`[[rule]]`: one rule. The keys up to `valid_until` say which jobs it is about, the others what they keep."""

    name: Name
    action: Literal["admit", "approve", "refuse"]
    submitters: Names | None = None
    peers: Names | None = None
    purposes: Names | None = None
    tables: Names | None = None
    kinds: Names | None = None
    intersect_modes: Names | None = None
    groupsum: Names | None = None
    hide_nodes: bool | None = None
    receiver_only: bool | None = None
    size_only: bool | None = None
    hours: Names = ()
    valid_until: date | None = None
    columns: Names | None = None
    accept_leakage: Names | None = None
    min_rows: Cell | None = None
    min_intersection: Annotated[int, Field(ge=MIN_INTERSECTION_FLOOR, le=2**40)] | None = None
    min_parties: Annotated[int, Field(ge=2, le=MAX_MEMBERS)] | None = None
    min_data_in_leaf: Cell | None = None
    min_data_in_bin: Cell | None = None
    max_bin: Annotated[int, Field(ge=2, le=65_536)] | None = None
    max_trees: Count | None = None
    per_day: Count | None = None
    per_month: Count | None = None
    per_submitter_per_month: Count | None = None
    max_runs: Count | None = None
    min_change_rows: Count | None = None
    per_pair_per_day: Count | None = None
    per_pair_per_month: Count | None = None
    changed_set: Literal["approve", "refuse"] | None = None
    changed_set_days: Annotated[int, Field(ge=1, le=36_500)] | None = None
    evaluations_per_day: Count | None = None
    evaluations_per_hour: Count | None = None
    filter_key_days: Annotated[int, Field(ge=1, le=366)] | None = None
    privacy_epsilon: Annotated[float, Field(ge=0.001, le=1000)] | None = None
    privacy_delta: Annotated[float, Field(gt=0, le=1e-3)] | None = None
    privacy_days: Annotated[int, Field(ge=1, le=36_500)] | None = None

    def rule(self) -> Rule:
        """The rule as it is decided by."""
        scope = Scope(
            **{key: _set(getattr(self, key)) for key in _SCOPE_SETS},
            hide_nodes=self.hide_nodes,
            receiver_only=self.receiver_only,
            size_only=self.size_only,
            hours=tuple(window_of(text) for text in self.hours),
            valid_until=self.valid_until,
        )
        terms = Terms(
            columns=None if self.columns is None or ANY in self.columns else self.columns,
            accept_leakage=frozenset(self.accept_leakage or ()),
            **{key: getattr(self, key) for key in _BOUNDS},
            changed_set=self.changed_set,
            changed_set_days=self.changed_set_days or CHANGED_SET_DAYS,
            privacy_days=self.privacy_days or PRIVACY_DAYS,
        )
        return Rule(name=self.name, action=Action(self.action), scope=scope, terms=terms)


_SCOPE_SETS = ("submitters", "peers", "purposes", "tables", "kinds", "intersect_modes", "groupsum")
_BOUNDS = (
    "min_rows",
    "min_intersection",
    "min_parties",
    "min_data_in_leaf",
    "min_data_in_bin",
    "max_bin",
    "max_trees",
    "per_day",
    "per_month",
    "per_submitter_per_month",
    "max_runs",
    "min_change_rows",
    "per_pair_per_day",
    "per_pair_per_month",
    "evaluations_per_day",
    "evaluations_per_hour",
    "filter_key_days",
    "privacy_epsilon",
    "privacy_delta",
)
_TERMS = ("columns", "accept_leakage", *_BOUNDS, "changed_set", "changed_set_days", "privacy_days")


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """A policy that holds together, and the SHA-256 of the file that it was read from.

    `policy` is about jobs, `questions` about what institutions ask of single subjects, `show_heads_to` about peers that
    sign the heads of the audit log once a day, `models` about who may do what with published models.
    """

    path: Path
    policy: Policy
    digest: str
    questions: VerifyPolicy
    show_heads_to: tuple[str, ...] = ()
    models: ModelPolicy = ModelPolicy()

    def shown_heads(self, known: Collection[PartyId]) -> frozenset[PartyId]:
        """Of the parties that are `known`, those to whom the audit log's heads are shown daily."""
        return frozenset(known if ANY in self.show_heads_to else set(known) & set(self.show_heads_to))


def load_policy(folder: Path) -> PolicyFile:
    """Read and check `folder/policy.toml`. Raises: ConfigError with every problem found, or POLICY_MISSING."""
    path = folder / POLICY_FILE
    before = digest_of(path)
    if not path.exists():
        fix = "write one; fedcredit party init makes a restrictive one"
        raise ConfigError(Problem("POLICY_MISSING", str(path), "does not exist, so every job is refused", fix))
    reader = Reader(path)
    reader.known("", reader.raw, ("policy", "rule", "verify", "model"))
    section = reader.section("policy", reader.raw.get("policy", {}), PolicySection)
    zone = None if section is None else zone_named(section.time_zone)
    rules = _read_rules(reader)
    questions, models = read_questions(reader, zone or UTC), read_model_rules(reader)
    reader.finish()
    assert zone is not None, "a section that could not be read has noted a problem"
    if digest_of(path) != before:
        raise ConfigError(Problem("POLICY_CHANGED", str(path), "changed while it was read", "ask again"))
    shown = () if section is None else section.show_heads_to
    return PolicyFile(path, Policy(rules=tuple(rules), zone=zone), before, questions, shown, models)


def digest_of(path: Path) -> str:
    """The SHA-256 of a policy file, in hexadecimal; empty while there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _read_rules(reader: Reader) -> list[Rule]:
    value = reader.raw.get("rule", [])
    if not isinstance(value, list):
        reader.report("CONFIG_TYPE", "rule", "must be a list of tables", "write [[rule]] with two brackets")
        return []
    sections = [_read_rule(reader, f"rule.{index}", entry) for index, entry in enumerate(value)]
    names = [section.name for section in sections if section is not None]
    for name in sorted({name for name in names if names.count(name) > 1}):
        reader.report("CONFIG_CONFLICT", "rule", f"two rules are called {name!r}", "give each its own name")
    return [section.rule() for section in sections if section is not None]


def _read_rule(reader: Reader, key: str, value: object) -> RuleSection | None:
    before = len(reader.problems)
    section = reader.section(key, value, RuleSection)
    if section is None or not isinstance(value, Mapping):
        return None
    for name, why, fix in _conflicts(value):
        reader.report("CONFIG_CONFLICT" if name in value else "CONFIG_MISSING_KEY", f"{key}.{name}", why, fix)
    for name, known in CHOICES.items():
        for entry in getattr(section, name) or ():
            if entry != ANY and entry not in known:
                reader.report("CONFIG_VALUE", f"{key}.{name}", "names something unknown", f"known: {', '.join(known)}")
    for name in (*_SCOPE_SETS, "columns"):
        given = getattr(section, name)
        if given is not None and ANY in given and len(given) > 1:
            reader.report("CONFIG_CONFLICT", f"{key}.{name}", 'names "*" beside others', 'write ["*"] alone')
        if given is not None and not given:
            reader.report("CONFIG_VALUE", f"{key}.{name}", "is empty", 'name at least one, or write ["*"] for any')
    for text in section.hours:
        if parse_window(text) is None:
            reader.report("CONFIG_VALUE", f"{key}.hours", "is not hours of days", 'e.g. "mon-fri 08:30-17:30"')
    return section if len(reader.problems) == before else None


def _conflicts(value: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    if value.get("action") == "refuse":
        for key in _TERMS:
            if key in value:
                yield key, "stands in a rule that refuses, which grants nothing to bound", "drop it"
        return
    for key in GRANTS_SAY:
        if key not in value:
            fix = "list the ids of what others may learn" if key == "accept_leakage" else 'name them, or ["*"] for any'
            yield key, "is missing in a rule that grants", fix
    if "changed_set_days" in value and "changed_set" not in value:
        yield "changed_set_days", "says nothing without changed_set", 'add changed_set = "approve" or "refuse"'
    for key, other in (
        ("privacy_epsilon", "privacy_delta"),
        ("privacy_delta", "privacy_epsilon"),
        ("privacy_days", "privacy_epsilon"),
    ):
        if key in value and other not in value:
            yield key, f"says nothing without {other}", f"add {other}, e.g. privacy_epsilon = 4.0, privacy_delta = 1e-6"
    if ANY in _listed(value.get("accept_leakage")):
        yield "accept_leakage", 'is "*"', "list each id: what may be learned is accepted one by one"


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _set(names: tuple[str, ...] | None) -> frozenset[str] | None:
    return None if names is None or ANY in names else frozenset(names)


def _refuse(code: str, what: str, fix: str) -> None:
    raise PydanticCustomError(code, "{text}", {"text": f"{what} -> {fix}"})

"""`[[model]]` of a job file: which kinds of models there are, and what each may be told."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from pydantic import Field

from fedcredit.credit.bin_params import BinParams
from fedcredit.credit.logistic_params import LogisticParams
from fedcredit.credit.params import TreeParams
from fedcredit.credit.scorecard_params import ScorecardParams
from fedcredit.credit.statistics_params import StatisticsParams
from fedcredit.errors import ConfigError
from fedcredit.runtime.table_file import Name
from fedcredit.runtime.toml import Reader, Section

__all__ = [
    "MIN_ROWS_FLOOR",
    "BinningSection",
    "GbdtSection",
    "Layout",
    "LogisticSection",
    "ModelSection",
    "ScorecardSection",
    "StatisticsSection",
    "check_names",
    "check_statistics",
    "layout_of",
    "model_mapping",
    "read_models",
]

Layout: TypeAlias = Literal["vertical", "horizontal", "mixed"]
"""How the rows and columns of a model lie: one label party and columns of others for the same subjects; the same
columns and a label at every party, for different subjects; labels of different subjects at several parties, and columns
of others."""

MIN_ROWS_FLOOR = 10
"""No bin and no leaf of a joint model may stand on fewer rows (security: bin statistics, leaf purity)."""


class GbdtSection(Section):
    """`[[model]] kind = "gbdt"`: our own keys; LightGBM's are in `params`."""

    kind: Literal["gbdt"] = "gbdt"
    name: Name | None = None
    groupsum: Literal["auto", "onehot", "paillier"] = "auto"
    hide_nodes: bool = True
    split: Literal["vertical", "horizontal"] = "vertical"
    params: dict[str, Any] = Field(default_factory=dict)

    @property
    def trains(self) -> bool:
        """Whether it is fitted to rows and judged by others, which are held out for it."""
        return True


class _NoTrees(Section):
    """A model that grows no trees."""

    @property
    def hide_nodes(self) -> bool:
        """There are no nodes, so nobody learns which rows sit in one."""
        return True


class BinningSection(_NoTrees):
    """`[[model]] kind = "binning"`: our own keys; how columns are binned is in `params` (`credit.bin_params`)."""

    kind: Literal["binning"] = "binning"
    name: Name | None = None
    groupsum: Literal["auto", "rlwe", "onehot", "paillier"] = "auto"
    split: Literal["vertical", "horizontal"] = "vertical"
    params: dict[str, Any] = Field(default_factory=dict)

    @property
    def trains(self) -> bool:
        """It describes the rows that it is given, and is judged by none."""
        return False


class StatisticsSection(_NoTrees):
    """`[[model]] kind = "statistics"`: our own keys; the tables are in `params` (`credit.statistics_params`)."""

    kind: Literal["statistics"] = "statistics"
    name: Name | None = None
    groupsum: Literal["auto", "onehot", "paillier"] = "auto"
    split: Literal["vertical", "horizontal"] = "vertical"
    params: dict[str, Any] = Field(default_factory=dict)

    @property
    def trains(self) -> bool:
        """It describes the rows that it is given, and is judged by none."""
        return False


class ScorecardSection(_NoTrees):
    """`[[model]] kind = "scorecard"`: our own keys; how it is made is in `params` (`credit.scorecard_params`)."""

    kind: Literal["scorecard"] = "scorecard"
    name: Name | None = None
    groupsum: Literal["auto", "rlwe", "onehot", "paillier"] = "auto"
    split: Literal["vertical", "horizontal", "mixed"] = "vertical"
    params: dict[str, Any] = Field(default_factory=dict)

    @property
    def trains(self) -> bool:
        """Whether it is fitted to rows and judged by others, which are held out for it."""
        return True


class LogisticSection(_NoTrees):
    """`[[model]] kind = "logistic"`: our own keys; how it is fitted is in `params` (`credit.logistic_params`)."""

    kind: Literal["logistic"] = "logistic"
    name: Name | None = None
    groupsum: Literal["auto", "rlwe", "paillier"] = "auto"
    split: Literal["vertical", "horizontal"] = "vertical"
    params: dict[str, Any] = Field(default_factory=dict)

    @property
    def trains(self) -> bool:
        """Whether it is fitted to rows and judged by others, which are held out for it."""
        return True


ModelSection: TypeAlias = GbdtSection | BinningSection | LogisticSection | ScorecardSection | StatisticsSection
Params: TypeAlias = TreeParams | BinParams | LogisticParams | ScorecardParams | StatisticsParams


@dataclasses.dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of model: its section, and its parameters, by which names and how they are read."""

    section: type[ModelSection]
    names: tuple[str, ...]
    parse: Callable[[dict[str, Any]], Params]


_KINDS: dict[str, _Kind] = {
    "gbdt": _Kind(GbdtSection, tuple(f.name for f in dataclasses.fields(TreeParams)), TreeParams.from_mapping),
    "binning": _Kind(BinningSection, tuple(f.name for f in dataclasses.fields(BinParams)), BinParams.from_mapping),
    "logistic": _Kind(LogisticSection, LogisticParams.names(), LogisticParams.from_mapping),
    "scorecard": _Kind(ScorecardSection, ScorecardParams.names(), ScorecardParams.from_mapping),
    "statistics": _Kind(
        StatisticsSection, tuple(f.name for f in dataclasses.fields(StatisticsParams)), StatisticsParams.from_mapping
    ),
}


def model_mapping(model: ModelSection, index: int) -> dict[str, Any]:
    """One model of the job as JSON; its stages are called after `name`."""
    return {
        "kind": model.kind,
        "name": model.name or f"{model.kind}.{index}",
        "groupsum": model.groupsum,
        "hide_nodes": model.hide_nodes,
        "split": model.split,
        "params": model.params,
    }


def read_models(reader: Reader) -> list[ModelSection | None]:
    """The models of the file; None for one that cannot be read, whose problems are noted."""
    value = reader.raw.get("model", [])
    if not isinstance(value, list):
        reader.report("CONFIG_TYPE", "model", "must be a list of tables", "write [[model]] with two brackets")
        return []
    return [_read_model(reader, f"model.{index}", entry) for index, entry in enumerate(value)]


def layout_of(reader: Reader, models: Sequence[ModelSection | None]) -> Layout:
    """How the tables of the job lie to each other, the same for all its models; else a problem is noted."""
    found = {model.split for model in models if model is not None}
    if len(found) > 1:
        what, fix = "models of one job need the same split", "hand in a job for each"
        reader.report("CONFIG_CONFLICT", "model", what, fix)
    return found.pop() if found else "vertical"


def check_names(reader: Reader, models: Sequence[ModelSection | None]) -> None:
    """Note models of one name."""
    names = [model.name or f"{model.kind}.{i}" for i, model in enumerate(models) if model is not None]
    for name in sorted({name for name in names if names.count(name) > 1}):
        reader.report("CONFIG_CONFLICT", "model", f"two models are called {name!r}", "give each its own name")


def check_statistics(
    reader: Reader, models: Sequence[ModelSection | None], asker: str | None, parties: Sequence[str]
) -> None:
    """Note tables of statistics that are not of these parties; `asker` is the one that learns the figures."""
    for index, model in enumerate(models):
        if isinstance(model, StatisticsSection) and asker is not None:
            for problem in StatisticsParams.from_mapping(model.params).misfits(asker, parties):
                reader.report(problem.code, f"model.{index}.{problem.where}", problem.what, problem.fix)


def _read_model(reader: Reader, key: str, value: object) -> ModelSection | None:
    if not isinstance(value, Mapping):
        reader.report("CONFIG_TYPE", key, "must be a table", "write [[model]] above its keys")
        return None
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        if kind is None:
            reader.report("CONFIG_MISSING_KEY", f"{key}.kind", "is missing", 'add kind = "gbdt"')
        else:
            reader.report("CONFIG_VALUE", f"{key}.kind", "is not a kind of model", f"known kinds: {', '.join(_KINDS)}")
        return None
    if value.get("groupsum") == "plain":
        what = "has no cryptography and is for tests only"
        reader.report("CONFIG_INSECURE", f"{key}.groupsum", what, "set 'auto', 'onehot' or 'paillier'")
        value = {name: inner for name, inner in value.items() if name != "groupsum"}
    known = _KINDS[kind]
    own = tuple(name for name in known.section.model_fields if name != "params")
    names = known.names
    reader.known(key, value, (*own, *names))
    section = reader.section(key, {name: inner for name, inner in value.items() if name in own}, known.section)
    params = {name: inner for name, inner in value.items() if name in names}
    if not _sound(reader, key, params, known.parse) or section is None:
        return None
    return section.model_copy(update={"params": params})


def _sound(reader: Reader, key: str, value: dict[str, Any], parse: Callable[[dict[str, Any]], Params]) -> bool:
    """Whether these are parameters of the kind. What keeps them from being any is noted, and what is below a floor."""
    try:
        params = parse(value)
    except ConfigError as error:
        for problem in error.problems:
            reader.report(problem.code, f"{key}.{problem.where}", problem.what, problem.fix)
        return False
    if isinstance(params, TreeParams):
        for name in ("min_data_in_leaf", "min_data_in_bin"):
            if getattr(params, name) < MIN_ROWS_FLOOR:
                fix = "statistics of fewer rows single people out"
                reader.report("CONFIG_FLOOR", f"{key}.{name}", f"is below {MIN_ROWS_FLOOR}", fix)
    return True

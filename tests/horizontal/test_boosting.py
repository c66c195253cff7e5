"""Horizontal boosting as a modeller calls it: masked, and yet LightGBM's model of all rows in one place."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import lightgbm
import numpy as np
import pytest
from horizontal.boosting_cases import (
    Killed,
    columns_of,
    fit_all,
    leaf_difference,
    pooled_model,
    recorded,
    same_structure,
    table,
    threads,
    trees_of,
)
from horizontal.plain_sums import federations

from fedcredit.credit.metrics import log_loss
from fedcredit.credit.params import TreeParams
from fedcredit.errors import ConfigError, DataError, FedcreditError, PeerError
from fedcredit.estimators import GradientBoosting, HorizontalGradientBoosting
from fedcredit.estimators.horizontal_boosting import code_rows
from fedcredit.estimators.horizontal_boosting_records import AgreedColumns, BoostedModel, BoostedTree
from fedcredit.estimators.lightgbm_engine import LightGBMEngine
from fedcredit.estimators.sums import Sums
from fedcredit.runtime.state import StageState
from fedcredit.tables import Column
from fedcredit.wire.aggregate import MaskedWords

S = TypeVar("S", bound=StageState)
PARAMS = TreeParams(num_trees=3, max_depth=3, min_data_in_leaf=1, min_sum_hessian_in_leaf=2.0, max_bin=16)
STOPPING = replace(PARAMS, num_trees=30, early_stopping_round=2, learning_rate=0.8)


@pytest.mark.parametrize("members", [3, 5, pytest.param(10, marks=pytest.mark.slow)])
def test_the_model_is_lightgbms_of_all_rows_and_equal_at_all_members(members: int) -> None:
    values, y, owner = table(members=members)
    models = fit_all(PARAMS, values, y, owner)
    alone = pooled_model(PARAMS, models[0].edges_, values, y)
    assert {model.model_ for model in models} == {models[0].model_}
    assert same_structure(models[0].model_, alone)
    assert leaf_difference(models[0].model_, alone) < 1e-8
    assert {model.rows_ for model in models} == {y.size}
    assert len(trees_of(alone)) == 3
    assert not threads()


def test_the_model_loads_and_predicts_from_raw_rows_what_it_does_from_bin_numbers() -> None:
    values, y, owner = table()
    model = fit_all(PARAMS, values, y, owner)[1]
    columns = columns_of(values, np.ones(y.size, bool))
    booster = lightgbm.Booster(model_str=model.model_)
    raw = np.column_stack([values[name] for name in booster.feature_name()])
    assert np.array_equal(model.predict(columns), booster.predict(raw))
    trees = [f"num_leaves={block.split('num_leaves=')[1]}" for block in model.model_.split("\nTree=")[1:]]
    by_hand = raw.copy()
    assert booster.num_trees() == len(trees)
    # The losses were summed from bin numbers, under masks.
    scores = booster.predict(by_hand, raw_score=True)
    assert abs(np.logaddexp(0, np.where(y > 0, -scores, scores)).mean() - model.learning_["train_logloss"][-1]) < 1e-12
    assert log_loss(y, model.predict(columns)) == pytest.approx(model.learning_["train_logloss"][-1])


def test_values_beyond_all_edges_and_next_to_zero_go_where_lightgbm_sends_them() -> None:
    edges = {"x": (-1e-40, 0.0, 0.1, 2.5)}
    values = np.array([-1e300, -1e-40, 0.0, 1e-40, 0.1, np.nextafter(0.1, 1), 2.5, 1e300, np.nan])
    codes = code_rows({"x": Column("x", "numeric", values)}, edges)[:, 0]
    assert codes[:-1].tolist() == [0, 1, 1, 1, 2, 3, 3, 4]
    assert np.isnan(codes[-1])


def test_early_stopping_goes_by_the_loss_over_all_members_and_stops_all_at_one_tree() -> None:
    values, y, owner = table(1200)
    models = fit_all(STOPPING, values, y, owner)
    learning = models[0].learning_
    best = int(np.argmin(learning["valid_logloss"])) + 1
    assert {model.model_ for model in models} == {models[0].model_}
    assert [model.learning_ for model in models] == [learning] * 3
    assert len(learning["tree"]) == best + 2 < 30
    assert len(trees_of(models[0].model_)) == best
    held = np.zeros(y.size, bool)
    for k in range(3):
        held[owner == k] = GradientBoosting(STOPPING).validation_rows(int((owner == k).sum()))
    kept = columns_of(values, held)
    assert log_loss(y[held], models[0].predict(kept)) == pytest.approx(learning["valid_logloss"][best - 1])
    alone = pooled_model(replace(PARAMS, num_trees=best, learning_rate=0.8), models[0].edges_, *_at(values, y, ~held))
    assert same_structure(models[0].model_, alone)
    assert leaf_difference(models[0].model_, alone) < 1e-8


def _at(values: dict[str, np.ndarray], y: np.ndarray, rows: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    return {name: column[rows] for name, column in values.items()}, y[rows]


def test_nothing_to_split_gives_the_same_constant_everywhere() -> None:
    values, y, owner = table(300)
    models = fit_all(replace(PARAMS, min_gain_to_split=1e9), values, y, owner)
    assert {model.model_ for model in models} == {models[0].model_}
    assert f"leaf_count={y.size}\n" in models[0].model_
    assert models[0].predict(columns_of(values, owner == 0)) == pytest.approx(y.mean())


def test_levels_are_numbers_in_their_order_and_have_to_be_the_same() -> None:
    values, y, owner = table(600)

    async def member(federation: Any, k: int, levels: tuple[str, ...]) -> Any:
        columns = columns_of(values, owner == k)
        columns["years"] = replace(columns["years"], kind="categorical", levels=levels)
        sums = await Sums.begin(federation, "sums")
        return await HorizontalGradientBoosting(PARAMS).fit(federation, columns, y[owner == k], sums=sums)

    async def everybody(levels: list[tuple[str, ...]]) -> list[Any]:
        each = (member(f, k, levels[k]) for k, f in enumerate(federations(3)))
        return await asyncio.gather(*each, return_exceptions=True)

    same = tuple("abcd")
    models = asyncio.run(everybody([same] * 3))
    assert models[0].edges_["years"] == (0.5, 1.5, 2.5)
    other = replace(Column("years", "categorical", np.zeros(3)), levels=("b", "a", "c", "d"))
    with pytest.raises(DataError, match="COLUMN_LEVELS"):
        models[0].predict(columns_of(values, np.arange(y.size) < 3) | {"years": other})
    errors = asyncio.run(everybody([same, same, ("b", "a", "c", "d")]))
    assert all(isinstance(error, PeerError) for error in errors)
    assert "SETTINGS_DIFFER" in {error.code for error in errors}


def test_members_with_other_parameters_are_told_before_anything_is_summed() -> None:
    values, y, owner = table(300)
    made = recorded(3)

    async def member(federation: Any, k: int) -> Any:
        sums = await Sums.begin(federation, "sums")
        params = replace(PARAMS, learning_rate=0.1 if k else 0.2)
        model = HorizontalGradientBoosting(params)
        return await model.fit(federation, columns_of(values, owner == k), y[owner == k], sums=sums)

    async def everybody() -> list[Any]:
        return await asyncio.gather(*(member(f, k) for k, f in enumerate(made)), return_exceptions=True)

    errors = asyncio.run(everybody())
    assert all(isinstance(error, PeerError) for error in errors)
    assert "SETTINGS_DIFFER" in {error.code for error in errors}
    stages = {stage for f in made for stage, *_ in f.transport.sent}
    assert stages <= {"sums/keys", "gbdt/settings"}


def test_a_member_with_another_model_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from fedcredit.estimators import horizontal_boosting

    real, calls = horizontal_boosting.model_text, []

    def odd(*args: Any) -> str:
        calls.append(args)
        return real(*args) + ("\n" if len(calls) == 1 else "")

    monkeypatch.setattr(horizontal_boosting, "model_text", odd)
    values, y, owner = table(300)
    errors: list[Any] = fit_all(PARAMS, values, y, owner)
    assert all(isinstance(error, PeerError) for error in errors)
    assert "MODEL_DIFFERS" in {error.code for error in errors}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda v, y: (v, y * 0), "LABEL_ONE_CLASS"),
        (lambda v, y: (v, y * 0 + 1), "LABEL_ONE_CLASS"),
        (lambda v, y: (v, y + 1), "LABEL_VALUE"),
        (lambda v, y: (v | {"own": v["own"][:-1]}, y), "ROWS"),
        (lambda v, y: ({}, y), "ROWS"),
        (lambda v, y: (v | {"a b": v["own"], "a_b": v["own"]}, y), "COLUMN_NAME"),
    ],
)
def test_tables_that_cannot_be_learnt_from_are_refused(change: Callable[..., Any], code: str) -> None:
    values, y, _ = table(120)
    values, y = change(values, y)
    columns = {name: Column(name, "numeric", column) for name, column in values.items()}

    async def member(federation: Any) -> Any:
        sums = await Sums.begin(federation, "sums")
        return await HorizontalGradientBoosting(PARAMS).fit(federation, columns, y, sums=sums)

    async def everybody() -> list[Any]:
        return await asyncio.gather(*map(member, federations(3)), return_exceptions=True)

    errors = asyncio.run(everybody())
    assert {error.code for error in errors if isinstance(error, DataError)} == {code}
    assert all(isinstance(error, FedcreditError) for error in errors)


@pytest.mark.parametrize("edges", [(1.0, 1.0), (2.0, 1.0), (np.nan,), (np.inf,), tuple(map(float, range(256))), None])
def test_edges_that_are_none_are_refused(edges: Any) -> None:
    values, y, owner = table(120)
    given = dict.fromkeys(values, (0.0,)) | ({} if edges is None else {"own": edges})
    if edges is None:
        del given["own"]
    errors: list[Any] = fit_all(PARAMS, values, y, owner, edges=given)
    assert "COLUMN_EDGES" in {error.code for error in errors}


def test_edges_may_be_agreed_on_beforehand() -> None:
    values, y, owner = table(300)
    edges = dict.fromkeys(values, (-0.5, 0.25, 1.0, 1.5))
    model = fit_all(PARAMS, values, y, owner, edges=edges)[2]
    assert model.edges_ == edges
    assert same_structure(model.model_, pooled_model(PARAMS, dict(sorted(edges.items())), values, y))


def test_rows_are_not_sampled_and_parameters_come_one_way() -> None:
    with pytest.raises(ConfigError, match="bagging_freq"):
        HorizontalGradientBoosting(bagging_freq=1, bagging_fraction=0.5)
    with pytest.raises(ConfigError, match="CONFIG_CONFLICT"):
        HorizontalGradientBoosting(PARAMS, num_trees=3)
    with pytest.raises(ConfigError, match="CONFIG_UNKNOWN_KEY"):
        HorizontalGradientBoosting(use_quantized_grad=True)


@dataclass
class Keeper:
    """A member's checkpoints; it is killed once it has kept stage `last`."""

    kept: dict[str, bytes] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    last: str = ""

    async def __call__(self, stage: str, kind: type[S], work: Callable[[], Awaitable[S]]) -> S:
        if stage in self.kept:
            return kind.thaw(self.kept[stage])
        state = await work()
        self.kept[stage] = state.freeze()
        self.made.append(stage)
        if stage == self.last:
            raise Killed
        return state


@pytest.mark.parametrize("last", ["gbdt/setup", "gbdt/tree.0", "gbdt/tree.1", "gbdt/model"])
@pytest.mark.parametrize(
    "params", [PARAMS, replace(STOPPING, feature_fraction=0.6, num_trees=6)], ids=["all", "stopped"]
)
def test_a_job_goes_on_from_its_last_tree_to_the_same_model_byte_for_byte(last: str, params: TreeParams) -> None:
    values, y, owner = table(300)
    whole = fit_all(params, values, y, owner)
    keepers = [Keeper(last=last) for _ in range(3)]
    killed: list[Any] = fit_all(params, values, y, owner, run_stage=keepers)
    assert all(isinstance(error, Killed) for error in killed)
    assert not threads()
    again = [Keeper(keeper.kept) for keeper in keepers]
    models = fit_all(params, values, y, owner, made=federations(3, epoch=1), run_stage=again)
    assert [model.model_ for model in models] == [model.model_ for model in whole]
    assert models[0].learning_ == whole[0].learning_
    assert not {last, "gbdt/setup"} & set(again[0].made)
    assert keepers[0].kept == keepers[1].kept == keepers[2].kept, "nothing that is kept is of one member's rows"


def test_records_survive_their_bytes_and_other_columns_are_refused() -> None:
    agreed = AgreedColumns.of({"a": (0.5, 1.5), "b": ()}, 10, 3)
    assert AgreedColumns.thaw(agreed.freeze()).cuts(["a", "b"]) == {"a": (0.5, 1.5), "b": ()}
    for record in (BoostedTree("num_leaves=1\n", 0.5, None), BoostedModel("tree\n")):
        assert type(record).thaw(record.freeze()) == record
    with pytest.raises(FedcreditError, match="STATE_INVALID"):
        agreed.cuts(["b", "a"])


@pytest.mark.parametrize("lost", [0, 2])
@pytest.mark.parametrize(
    ("stage", "message"), [("gbdt/tree.1", 1), ("gbdt/tree.1", 9), ("gbdt/tree.0", 6), ("gbdt/model", 1)]
)
def test_a_member_lost_in_the_middle_ends_all_with_an_error_and_leaves_no_thread(
    lost: int, stage: str, message: int
) -> None:
    values, y, owner = table(300)
    made = recorded(3, {lost: lambda at, count: at == stage and count == message})
    ends: list[Any] = fit_all(PARAMS, values, y, owner, made=made)
    assert isinstance(ends[lost], Killed)
    assert all(isinstance(end, PeerError) for k, end in enumerate(ends) if k != lost)
    assert not threads()


def test_a_member_that_is_cancelled_in_the_middle_leaves_no_thread() -> None:
    values, y, owner = table(300)

    async def member(federation: Any, k: int) -> Any:
        sums = await Sums.begin(federation, "sums")
        model = HorizontalGradientBoosting(replace(PARAMS, num_trees=500))
        return await model.fit(federation, columns_of(values, owner == k), y[owner == k], sums=sums)

    async def everybody() -> list[Any]:
        made = recorded(3)
        tasks = [asyncio.create_task(member(f, k)) for k, f in enumerate(made)]
        made[1].transport.fail = lambda stage, _: stage == "gbdt/tree.2" and tasks[1].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    ends = asyncio.run(everybody())
    assert isinstance(ends[1], asyncio.CancelledError)
    assert all(isinstance(ends[k], PeerError) for k in (0, 2))
    assert not threads()


def test_no_number_of_a_member_is_in_what_it_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every 8 bytes that LightGBM handed over are looked for in every message: as they are, and in fixed point."""
    raw: list[bytes] = []
    gather, scatter = LightGBMEngine._gather, LightGBMEngine._scatter

    def gathered(self: LightGBMEngine, data: bytes) -> tuple[bytes, ...]:
        # Splits are of the totals; what else lies in that payload is in histograms, too.
        raw.extend([data] if len(data) in (8, 24) else [])
        return gather(self, data)

    def scattered(self: LightGBMEngine, data: bytes, *how: Any) -> bytes:
        raw.append(data)
        return scatter(self, data, *how)

    monkeypatch.setattr(LightGBMEngine, "_gather", gathered)
    monkeypatch.setattr(LightGBMEngine, "_scatter", scattered)
    values, y, _ = table(2000)
    # So that no leaf has rows of one member alone: the total would be its own sum.
    owner = np.arange(2000) % 3
    made = recorded(3)
    models = fit_all(replace(PARAMS, min_sum_hessian_in_leaf=20.0), values, y, owner, made=made)
    assert len({model.model_ for model in models}) == 1
    sent: list[tuple[Any, ...]] = [one for f in made for one in f.transport.sent]
    bodies = b"\n".join(body for stage, _, _, body in sent if "/tree." in stage)
    numbers = {data[k : k + 8] for data in raw for k in range(0, len(data), 8)}
    # Which are short, and may lie anywhere: noughts, and whole numbers and other sums with few digits.
    numbers = {number for number in numbers if number.count(0) <= 3}
    assert len(numbers) > 500
    assert not [number for number in numbers if number in bodies]
    words = np.concatenate([MaskedWords.decode(body).words for _, _, tag, body in sent if tag == MaskedWords.tag])
    bits = np.unpackbits(words.view(np.uint8).reshape(-1, 8), axis=1)
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 5 * 0.5 / np.sqrt(words.size), "each bit of a masked word is a coin"
    assert np.unique(words).size == words.size, "and no word comes twice"


def test_what_a_tree_costs_depends_on_no_value() -> None:
    """The same rows with other values that fall into the same bins: the same messages of the same sizes."""
    values, y, owner = table(300)
    edges = dict.fromkeys(values, (-0.5, 0.25, 1.0))
    shapes = []
    for shift in (0.0, 1e-3):
        made = recorded(3)
        kept = {
            n: np.where(np.searchsorted(edges[n], v) == np.searchsorted(edges[n], v + shift), v + shift, v)
            for n, v in values.items()
        }
        fit_all(PARAMS, kept, y, owner, made=made, edges=edges)
        shapes.append([[(stage, to, tag, len(body)) for stage, to, tag, body in f.transport.sent] for f in made])
    assert shapes[0] == shapes[1]

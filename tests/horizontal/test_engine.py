"""LightGBM as an engine: what it says on its network, told apart and answered, without any other member."""

from __future__ import annotations

import ctypes
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
from horizontal.boosting_cases import coded, leaf_difference, machines, same_structure, threads
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.credit.params import TreeParams
from fedcredit.errors import ConfigError, FedcreditError
from fedcredit.estimators import lightgbm_check, lightgbm_engine
from fedcredit.estimators.lightgbm_check import answered, check_engine, grown, pooled
from fedcredit.estimators.lightgbm_engine import CodedRows, LightGBMEngine, Place
from fedcredit.estimators.lightgbm_model import coded_model, model_text, tree_of
from fedcredit.estimators.lightgbm_network import Network
from fedcredit.estimators.lightgbm_payloads import Bounds, FixedPoint, Payloads
from fedcredit.protocols.collectives import Scattered, Splits, Summed
from fedcredit.wire.collectives import NO_SPLIT
from fedcredit.wire.message import MessageInvalid

PARAMS = TreeParams(num_trees=4, max_depth=4, min_data_in_leaf=1, min_sum_hessian_in_leaf=3.0)


def engines(rows: CodedRows, params: TreeParams = PARAMS, machines: int = 3, **how: Any) -> list[LightGBMEngine]:
    """One for each machine; each has every so-many-th row."""
    bounds = Bounds(rows.label.size, max(1.0, params.scale_pos_weight), machines)
    scores = how.pop("scores", None)
    return [
        LightGBMEngine(
            CodedRows(rows.codes[k::machines], rows.label[k::machines], rows.edges),
            params,
            Place(k, bounds),
            scores=None if scores is None else scores[k::machines],
            **how,
        )
        for k in range(machines)
    ]


@pytest.mark.parametrize("n", [2, 3, pytest.param(10, marks=pytest.mark.slow)])
def test_trees_are_those_of_all_rows_in_one_place(n: int) -> None:
    rows = coded()
    together, alone = grown(engines(rows, machines=n), 4), pooled(rows, PARAMS, 4)
    one, other = coded_model([str(tree) for tree in together], 4), coded_model(alone, 4)
    assert same_structure(one, other)
    assert leaf_difference(one, other) < 1e-12
    assert not threads()


@pytest.mark.parametrize("names", [{"num_leaves": 5}, {"scale_pos_weight": 3.0}, {"min_sum_hessian_in_leaf": 9.0}])
def test_parameters_mean_what_they_mean_in_one_place(names: dict[str, Any]) -> None:
    rows, params = coded(), replace(PARAMS, **names)
    one, other = coded_model([str(tree) for tree in grown(engines(rows, params), 3)], 4), pooled(rows, params, 3)
    assert same_structure(one, coded_model(other, 4))
    assert leaf_difference(one, coded_model(other, 4)) < 1e-8


@pytest.mark.parametrize(
    "names",
    [
        {"lambda_l1": 0.5, "lambda_l2": 2.0},
        {"min_gain_to_split": 5.0},
        {"min_data_in_leaf": 30},
        {"feature_fraction": 0.5},
    ],
    ids=lambda names: next(iter(names)),
)
def test_parameters_mean_what_they_mean_where_lightgbm_itself_is_distributed(names: dict[str, Any]) -> None:
    """Which looks for splits where LightGBM in one place has given up on a feature higher in the tree."""
    rows, params = coded(), replace(PARAMS, **names)
    trees = 1 if "feature_fraction" in names else 3
    one, other = (
        coded_model([str(tree) for tree in grown(engines(rows, params), trees)], 4),
        machines(rows, params, trees),
    )
    assert same_structure(one, other)
    assert leaf_difference(one, other) < 1e-8


@pytest.mark.parametrize("fraction", [1.0, 0.5])
def test_training_goes_on_from_any_tree_to_the_same_ones(fraction: float) -> None:
    rows = coded()
    params = TreeParams(num_trees=5, max_depth=3, min_data_in_leaf=1, feature_fraction=fraction, seed=3)
    whole = grown(engines(rows, params), 5)
    scores = np.zeros(rows.label.size)
    for number, tree in enumerate(whole):
        assert (
            grown(engines(rows, params, number=number, scores=scores if number else None), 5 - number) == whole[number:]
        )
        scores += lightgbm.Booster(model_str=coded_model([str(tree)], 4)).predict(rows.codes, raw_score=True)
    assert fraction == 1.0 or len({tuple(sorted(t.split("split_feature=")[1].split("\n")[0])) for t in whole if t}) > 1


def test_nothing_left_to_split_ends_it_but_the_start_of_all_rows_is_kept() -> None:
    rows = coded()
    params = TreeParams(num_trees=3, min_gain_to_split=1e9)
    first, second = grown(engines(rows, params), 2)
    assert first is not None
    assert "num_leaves=1\n" in first
    assert f"leaf_count={rows.label[::3].size}\n" in first, "which is why it is written over"
    assert second is None


class Spy(LightGBMEngine):
    """Keeps what LightGBM really handed to its network."""

    def __init__(self, *args: Any, **how: Any) -> None:
        super().__init__(*args, **how)
        self.raw: list[bytes] = []

    def _gather(self, data: bytes) -> tuple[bytes, ...]:
        self.raw.append(data)
        return super()._gather(data)

    def _scatter(self, data: bytes, *how: Any) -> bytes:
        self.raw.append(data)
        return super()._scatter(data, *how)


def test_what_lightgbm_shows_of_splits_holds_words_of_its_own_histograms_and_ours_does_not() -> None:
    """The room for categories of a split is never cleared: as it is, the payload would show single members' sums."""
    rows = coded(3000)
    bounds = Bounds(rows.label.size, 1.0, 3)
    # Gradients of which no two are alike: else sums over different rows may be.
    scores = np.random.default_rng(0).normal(size=3000)
    own = [CodedRows(rows.codes[k::3], rows.label[k::3], rows.edges) for k in range(3)]
    spies = [Spy(own[k], PARAMS, Place(k, bounds), scores=scores[k::3]) for k in range(3)]
    shown: list[bytes] = []
    try:
        replies: list[Any] = [None] * 3
        while (asked := [spy.resume(reply) for spy, reply in zip(spies, replies, strict=True)])[0] is not None:
            if isinstance(asked[0], Splits):
                shown += [request.message.encode() for request in asked]  # type: ignore[union-attr]
            replies = answered(asked)  # type: ignore[arg-type]
    finally:
        for spy in spies:
            spy.close()
    stale, sent = 0, 0
    for spy in spies:
        # Those of all rows: in a small leaf a bin may have rows of one member alone, and the total is its own sum.
        histograms = [then for data, then in pairwise(spy.raw) if len(data) == 24]
        words = {data[k : k + 8] for data in histograms for k in range(0, len(data), 8)} - {bytes(8)}
        stale += sum(word in data for data in spy.raw if len(data) == 444 for word in words)
        sent += sum(word in data for data in shown for word in words)
    assert stale > 50
    assert sent == 0


def fresh(machines: int = 3) -> Payloads:
    payloads = Payloads(Bounds(1000, 1.0, machines))
    payloads.begin_booster()
    return payloads


def in_tree() -> Payloads:
    payloads = fresh()
    payloads.gathered(bytes(4))
    payloads.gathered(bytes(4))
    payloads.begin_tree(scores_given=True)
    payloads.gathered(bytes(24))
    return payloads


@pytest.mark.parametrize("size", [0, 3, 5, 8, 24, 444, 2700])
def test_a_payload_of_another_size_is_refused_where_a_count_is_due(size: int) -> None:
    with pytest.raises(FedcreditError) as caught:
        fresh().gathered(bytes(size))
    assert caught.value.code == "ENGINE_PAYLOAD"


@pytest.mark.parametrize("size", [4, 8, 24, 32, 240, 444])
def test_nothing_is_gathered_before_histograms_were_added_up(size: int) -> None:
    with pytest.raises(FedcreditError, match="ENGINE_PAYLOAD"):
        in_tree().gathered(bytes(size))


@pytest.mark.parametrize(
    ("size", "type_bytes", "starts", "sizes"),
    [
        (96, 4, (0, 32, 64), (32, 32, 32)),  # quantised training
        (96, 2, (0, 32, 64), (32, 32, 32)),
        (96, 8, (0, 32), (32, 64)),
        (96, 8, (0, 48, 64), (32, 32, 32)),
        (96, 8, (0, 32, 64), (32, 32, 16)),
        (96, 8, (0, 24, 64), (24, 40, 32)),
    ],
)
def test_blocks_that_are_no_histograms_of_doubles_are_refused(
    size: int, type_bytes: int, starts: tuple[int, ...], sizes: tuple[int, ...]
) -> None:
    with pytest.raises(FedcreditError, match="ENGINE_PAYLOAD"):
        in_tree().scattered(bytes(size), type_bytes, starts, sizes)


def test_histograms_outside_a_tree_and_twice_in_a_row_are_refused() -> None:
    blocks = (bytes(96), 8, (0, 32, 64), (32, 32, 32))
    with pytest.raises(FedcreditError, match="ENGINE_PAYLOAD"):
        fresh().scattered(*blocks)
    payloads = in_tree()
    request, answer = payloads.scattered(*blocks)
    assert isinstance(request, Scattered)
    assert request.sizes == (4, 4, 4)
    assert answer(np.zeros(4, np.uint64)) == (bytes(32),)
    with pytest.raises(FedcreditError, match="ENGINE_PAYLOAD"):
        payloads.scattered(*blocks)


def test_a_tree_that_ends_too_early_or_begins_too_early_is_refused() -> None:
    payloads = fresh()
    with pytest.raises(FedcreditError, match="ENGINE_PAYLOAD"):
        payloads.begin_tree(scores_given=False)
    payloads = in_tree()
    payloads.scattered(bytes(96), 8, (0, 32, 64), (32, 32, 32))
    with pytest.raises(FedcreditError, match="ENGINE_PAYLOAD"):
        payloads.end_tree()


def splits(**of: float) -> bytes:
    from fedcredit.estimators.lightgbm_payloads import _SPLIT

    made = np.zeros(2, _SPLIT)
    for name, value in of.items():
        made[name][0] = value
    made["gain"][1], made["feature"][1] = -np.inf, NO_SPLIT
    return made.tobytes()


@pytest.mark.parametrize("of", [{"num_cat_threshold": 1}, {"monotone_type": 1}])
def test_splits_by_categories_or_under_constraints_are_refused(of: dict[str, float]) -> None:
    payloads = in_tree()
    payloads.scattered(bytes(96), 8, (0, 32, 64), (32, 32, 32))
    with pytest.raises(FedcreditError, match="ENGINE_PAYLOAD"):
        payloads.gathered(splits(**of))


def test_splits_come_back_as_lightgbm_writes_them() -> None:
    payloads = in_tree()
    payloads.scattered(bytes(96), 8, (0, 32, 64), (32, 32, 32))
    data = splits(feature=2, threshold=7, gain=1.5, left_sum_hessian=3.25, default_left=1, right_count=9)
    request, answer = payloads.gathered(data)
    assert isinstance(request, Splits)
    assert answer((request,)) == (data,)
    assert request.fault((9, 9, 9)) is None
    assert request.fault((9, 9)) is not None
    assert request.fault((9, 9, 7)) is not None


def test_a_split_that_is_no_number_makes_no_message() -> None:
    payloads = in_tree()
    payloads.scattered(bytes(96), 8, (0, 32, 64), (32, 32, 32))
    request, _ = payloads.gathered(splits(feature=1, gain=1.0, left_output=np.nan))
    assert isinstance(request, Splits)
    with pytest.raises(MessageInvalid):
        _ = request.message


@given(bound=st.floats(1e-3, 2.0**31), shares=st.lists(st.floats(-1, 1), min_size=1, max_size=9), n=st.integers(2, 9))
def test_fixed_point_holds_totals_within_its_bound(bound: float, shares: list[float], n: int) -> None:
    scale = FixedPoint.below(bound)
    values = np.array(shares) * bound / n
    total = sum((scale.words(values) for _ in range(n)), np.zeros(len(shares), np.uint64))
    assert np.abs(scale.values(total) - n * values).max() <= bound * 2.0**-50


@pytest.mark.parametrize("value", [1001.0, -1001.0, np.nan, np.inf])
def test_what_is_no_number_or_beyond_the_bound_is_not_summed(value: float) -> None:
    with pytest.raises(FedcreditError, match="SUM_RANGE"):
        FixedPoint.below(1000.0).words(np.array([1.0, value]))


@pytest.mark.parametrize("after", [0, 1, 4, 6, 8, 9])
def test_an_engine_that_is_closed_in_the_middle_leaves_no_thread(after: int) -> None:
    made = engines(coded())
    replies: list[Any] = [None] * 3
    for _ in range(after):
        replies = answered([engine.resume(reply) for engine, reply in zip(made, replies, strict=True)])  # type: ignore[arg-type]
    for engine in made:
        engine.close()
    assert not threads()
    with pytest.raises(FedcreditError, match="ENGINE_CLOSED"):
        made[0].resume(None)


def test_a_payload_that_is_not_known_ends_training_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if LightGBM had room for other numbers of categories than it had when this was tested."""
    settings = lightgbm_engine.booster_settings
    monkeypatch.setattr(lightgbm_engine, "booster_settings", lambda *a: settings(*a) | {"max_cat_threshold": 16})
    engine = engines(coded(), machines=2)[0]
    asked: list[Any] = []

    def pull() -> None:
        reply: Any = None
        while (request := engine.resume(reply)) is not None:
            asked.append(request)
            reply = request.words[: request.sizes[0]] if isinstance(request, Scattered) else request.words

    try:
        with pytest.raises(FedcreditError, match="ENGINE_PAYLOAD"):
            pull()
    finally:
        engine.close()
    assert asked
    assert all(isinstance(request, Summed | Scattered) for request in asked)
    assert not threads()


@pytest.mark.parametrize(
    "more",
    [{"use_quantized_grad": True}, {"tree_learner": "voting"}, {"tree_learner": "feature"}, {"tree_learner": "serial"}],
)
def test_the_check_finds_a_lightgbm_that_says_something_else(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    distributed = lightgbm_engine._distributed
    monkeypatch.setattr(lightgbm_engine, "_distributed", lambda *a: distributed(*a) | more)
    check_engine.cache_clear()
    try:
        with pytest.raises(FedcreditError, match="ENGINE_"):
            check_engine()
    finally:
        check_engine.cache_clear()
    assert not threads()


@pytest.mark.parametrize("version", ["4.5.0", "4.8.0", "5.0.0", "4.60.1"])
def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(lightgbm, "__version__", version)
    check_engine.cache_clear()
    try:
        with pytest.raises(ConfigError, match="ENGINE_VERSION"):
            check_engine()
    finally:
        check_engine.cache_clear()


def test_the_version_that_is_installed_passes_and_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    check_engine.cache_clear()
    assert check_engine() == lightgbm.__version__
    monkeypatch.setattr(lightgbm_check, "_train_a_little", lambda: pytest.fail("checked twice"))
    check_engine()


@pytest.mark.parametrize(
    "name", ["use_quantized_grad", "tree_learner", "categorical_feature", "monotone_constraints", "max_cat_threshold"]
)
def test_parameters_that_would_change_payloads_are_none_of_ours(name: str) -> None:
    with pytest.raises(ConfigError, match="CONFIG_UNKNOWN_KEY"):
        TreeParams.from_mapping({name: 1})


def test_what_a_function_of_the_network_raises_is_kept_and_zeros_are_read() -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    network = Network(0, 2, broken, broken)
    room = ctypes.create_string_buffer(b"x" * 16, 16)
    data = ctypes.create_string_buffer(8)
    starts, sizes = (ctypes.c_int * 2)(0, 8), (ctypes.c_int * 2)(8, 8)
    network._allgather(ctypes.addressof(data), 8, starts, sizes, 2, ctypes.addressof(room), 16)
    assert isinstance(network.error, ZeroDivisionError)
    assert room.raw == bytes(16)


def test_a_model_file_is_as_lightgbm_writes_it() -> None:
    rows = coded()
    settings = {"verbosity": -1, "num_threads": 1, "num_leaves": 6}
    booster = lightgbm.train({"objective": "binary", **settings}, lightgbm.Dataset(rows.codes, rows.label), 3)
    theirs = booster.model_to_string()
    trees = [tree_of(booster.model_to_string(start_iteration=k, num_iteration=1)) for k in range(3)]
    ours = coded_model(trees, 4)
    head = slice(None, theirs.index("feature_infos=")), slice(theirs.index("tree_sizes="), theirs.index("parameters:"))
    assert ours.startswith(theirs[head[0]])
    assert theirs[head[1]] in ours
    assert lightgbm.Booster(model_str=ours).feature_name() == booster.feature_name()


def test_a_model_with_real_thresholds_sends_rows_where_bin_numbers_went() -> None:
    rows = coded()
    edges = {
        "a b": (),
        "c": (0.1,),
        "d": tuple(np.cumsum([0.1] * 6)),
        "e": tuple(-1e-9 * 2.0**k for k in range(40, 0, -1)),
    }
    text = model_text(pooled(rows, PARAMS, 4), edges, PARAMS)
    model = lightgbm.Booster(model_str=text)
    raw = np.full(rows.codes.shape, np.nan)
    for f, cuts in enumerate(edges.values()):
        # On an edge itself, which is the last value of its bin.
        last = np.array([*cuts, 1e299])
        there = ~np.isnan(rows.codes[:, f])
        raw[there, f] = last[rows.codes[there, f].astype(int)]
    by_codes = lightgbm.Booster(model_str=coded_model(pooled(rows, PARAMS, 4), 4)).predict(rows.codes)
    assert model.feature_name() == ["a_b", "c", "d", "e"]
    assert np.array_equal(model.predict(raw), by_codes)
    assert model.model_to_string().split("tree_sizes=")[1] != ""


def test_nothing_here_tells_lightgbm_how_many_threads_to_use() -> None:
    """The number is one for the process, and a booster that is at work writes out of bounds when it grows."""
    sources = Path(lightgbm_engine.__file__).parents[1].rglob("*.py")
    assert not [file for file in sources if re.search(r"num_threads\"|num_threads\s*=", file.read_text())]

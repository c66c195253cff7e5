"""Boosting against LightGBM, and the bookkeeping of growth on its own."""

from __future__ import annotations

import numpy as np
import pytest
from credit_oracle import differences, table, train_lightgbm, with_nan

from fedcredit.credit.binary import gradients, initial_score, log_loss, probability
from fedcredit.credit.centralised import histograms, train_centralised
from fedcredit.credit.growth import TreeGrowth
from fedcredit.credit.metrics import auc
from fedcredit.credit.params import TreeParams
from fedcredit.credit.quantise import pack, unpack
from fedcredit.credit.schedule import EarlyStopping, features_of_tree, rows_of_tree
from fedcredit.credit.splits import find_best_splits, leaf_value
from fedcredit.credit.trees import Tree, goes_left
from fedcredit.errors import DataError

CASES = {
    "default": {},
    "large leaves": {"min_data_in_leaf": 100},
    "l2": {"lambda_l2": 3.0},
    "l1": {"lambda_l1": 1.5},
    "few leaves": {"num_leaves": 11},
    "deep, few leaves": {"max_depth": 8, "num_leaves": 20, "min_data_in_leaf": 5},
    "minimum gain": {"min_gain_to_split": 1.0},
    "minimum hessian": {"min_sum_hessian_in_leaf": 20.0},
    "weighted": {"scale_pos_weight": 4.0},
    "deep, tiny leaves": {"max_depth": 8, "min_data_in_leaf": 1, "min_sum_hessian_in_leaf": 0.0},
    "depth 1": {"max_depth": 1},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", [0, 1])
def test_trees_are_those_of_lightgbm(case: str, seed: int) -> None:
    codes, n_bins, missing, y = table(seed)
    params = TreeParams(num_trees=10, **CASES[case])
    model = train_centralised(codes, n_bins, missing, y, params)
    X = with_nan(codes, n_bins, missing)
    booster = train_lightgbm(X, y, params)
    assert differences(model, booster) == []
    np.testing.assert_allclose(model.predict(codes), booster.predict(X), rtol=0, atol=1e-9)


def test_trees_are_those_of_lightgbm_at_256_bins() -> None:
    codes, n_bins, missing, y = table(5, n=12_000, features=3, max_values=255)
    params = TreeParams(num_trees=5, max_depth=6)
    model = train_centralised(codes, n_bins, missing, y, params)
    assert differences(model, train_lightgbm(with_nan(codes, n_bins, missing), y, params)) == []


def test_boosting_ends_where_lightgbm_ends() -> None:
    codes, n_bins, missing, y = table(1, n=300)
    params = TreeParams(num_trees=60, min_data_in_leaf=70, learning_rate=1.0, min_gain_to_split=0.5)
    model = train_centralised(codes, n_bins, missing, y, params)
    assert 0 < len(model.trees) < 60
    assert differences(model, train_lightgbm(with_nan(codes, n_bins, missing), y, params)) == []


@pytest.mark.parametrize("seed", [0, 1])
def test_fixed_point_costs_no_accuracy(seed: int) -> None:
    codes, n_bins, missing, y = table(seed, n=6000)
    params = TreeParams(num_trees=40)
    train, test = slice(0, 4500), slice(4500, None)
    exact, fixed = (
        train_centralised(codes[train], n_bins, missing, y[train], params, quantised=q).predict(codes[test])
        for q in (False, True)
    )
    assert abs(auc(y[test], exact) - auc(y[test], fixed)) < 1e-3


def test_histograms_of_packed_gradients_are_those_of_unpacked_ones() -> None:
    codes, n_bins, _, y = table(3)
    g, h = gradients(y, np.random.default_rng(0).normal(size=y.size))
    packed, scale = pack(g, h)
    slots = np.random.default_rng(1).integers(-1, 3, y.size, dtype=np.int32)
    B = int(n_bins.max())
    sums = np.zeros((3, codes.shape[1], B), np.uint64)
    rows = slots >= 0
    for f in range(codes.shape[1]):
        np.add.at(sums, (slots[rows], f, codes[rows, f]), packed[rows])
    G, H = unpack(sums, scale)
    row_g, row_h = unpack(packed, scale)
    assert (histograms(codes, slots, 3, B, row_g) == G).all()
    assert (histograms(codes, slots, 3, B, row_h) == H).all()


def grow(params: TreeParams, seed: int = 0, in_bag: np.ndarray | None = None) -> tuple[Tree, np.ndarray, list[int]]:
    """One tree on a random table, with the number of nodes summed at each level."""
    codes, n_bins, missing, y = table(seed)
    g, h = gradients(y, np.full(y.size, initial_score(y)))
    weight = np.ones(y.size) if in_bag is None else in_bag
    growth = TreeGrowth(
        totals=(float((g * weight).sum()), float((h * weight).sum())),
        n_rows=y.size,
        n_bins=n_bins,
        missing=missing,
        owner=np.arange(n_bins.size, dtype=np.int32) % 2,
        params=params,
        in_bag=in_bag,
    )
    summed = []
    while (plan := growth.plan) is not None:
        summed.append(len(plan.summed))
        counts = np.bincount(plan.slot_of_row[plan.slot_of_row >= 0], minlength=len(plan.summed))
        assert plan.depth == 0 or (counts <= y.size / 2).all()
        B = int(n_bins.max())
        planned = growth.absorb(*(histograms(codes, plan.slot_of_row, len(plan.summed), B, v) for v in (g, h)))
        assert all(p.owner == p.feature % 2 for p in planned)
        if planned:
            growth.split(
                [
                    goes_left(
                        codes[:, p.feature],
                        p.bin,
                        p.missing_left,
                        n_bins[p.feature] - 1 if missing[p.feature] else None,
                    )
                    for p in planned
                ]
            )
    tree, leaf = growth.finish()
    return tree, leaf, summed


def test_only_the_smaller_sibling_is_summed() -> None:
    tree, leaf, summed = grow(TreeParams(max_depth=4, min_data_in_leaf=10))
    assert summed == [1, 1, 2, 4]
    assert tree.leaf_value.size == 16
    assert set(leaf) == set(range(16))


def test_nodes_that_cannot_be_chosen_are_not_summed() -> None:
    full, few = grow(TreeParams(max_depth=7, min_data_in_leaf=5)), grow(TreeParams(max_depth=7, num_leaves=6))
    assert few[0].leaf_value.size == 6
    # A tree of 6 leaves has 5 splits; no level may look at more candidates than that.
    assert max(few[2]) <= 5
    assert sum(few[2]) < sum(full[2]) / 2
    # Best-first by gain: what the small tree has is the beginning of the large one.
    assert few[0].gain.tolist() == full[0].gain[:5].tolist()


def test_rows_outside_the_bag_are_routed_but_not_counted() -> None:
    in_bag = np.random.default_rng(0).random(3000) < 0.5
    tree, leaf, _ = grow(TreeParams(max_depth=3), in_bag=in_bag)
    assert leaf.shape == (3000,)
    assert leaf.min() >= 0
    assert (np.bincount(leaf[in_bag], minlength=tree.leaf_value.size) > 0).all()


def test_growth_refuses_to_be_driven_out_of_step() -> None:
    arrays = {"n_bins": np.array([3]), "missing": np.array([False]), "owner": np.zeros(1, np.int32)}
    growth = TreeGrowth(totals=(0.0, 3.0), n_rows=100, params=TreeParams(), **arrays)
    with pytest.raises(ValueError, match="still growing"):
        growth.finish()
    with pytest.raises(ValueError, match="absorb"):
        growth.absorb(np.zeros((2, 1, 3)), np.zeros((2, 1, 3)))
    with pytest.raises(ValueError, match="split"):
        growth.split([np.zeros(100, bool)])
    assert growth.absorb(np.zeros((1, 1, 3)), np.ones((1, 1, 3))) == []
    tree, leaf = growth.finish()
    assert tree.n_splits == 0
    assert not leaf.any()


def test_a_split_never_looks_at_features_that_are_not_allowed() -> None:
    rng = np.random.default_rng(0)
    G, H = rng.normal(size=(4, 5, 8)), rng.random((4, 5, 8)) * 50
    # Histograms of one node have the same totals in every feature.
    G[:, :, 0] += G[:, :1].sum(axis=2) - G.sum(axis=2)
    H[:, :, 0] += np.maximum(0, H.sum(axis=2).max(axis=1, keepdims=True) - H.sum(axis=2))
    allowed = np.array([False, True, False, True, False])
    shape = np.full(5, 8), np.zeros(5, bool)
    splits = find_best_splits(G, H, np.full(4, 1000), *shape, allowed, TreeParams(min_data_in_leaf=1))
    assert set(splits.feature) <= {1, 3}
    assert not splits.splittable[:, ~allowed].any()
    none = find_best_splits(G, H, np.full(4, 1000), *shape, np.zeros(5, bool), TreeParams())
    assert (none.feature == -1).all()
    assert (none.gain == -np.inf).all()


def test_splits_are_found_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    G, H = rng.normal(size=(9, 3, 8)), rng.random((9, 3, 8)) * 50
    arguments = (G, H, np.full(9, 1000), np.array([8, 5, 2]), np.array([True, False, True]), np.ones(3, bool))
    whole = find_best_splits(*arguments, TreeParams())
    monkeypatch.setattr("fedcredit.credit.splits._BLOCK_CELLS", 3 * 8 * 2)
    parts = find_best_splits(*arguments, TreeParams())
    for name in whole.__slots__:
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))


def test_leaf_value_is_the_regularised_newton_step() -> None:
    assert leaf_value(3.0, 4.0, TreeParams()) == pytest.approx(-0.75)
    assert leaf_value(3.0, 4.0, TreeParams(lambda_l1=1.0, lambda_l2=4.0)) == pytest.approx(-0.25)
    assert leaf_value(np.array([-0.5]), np.array([1.0]), TreeParams(lambda_l1=1.0))[0] == 0.0


def test_the_objective_at_extreme_scores() -> None:
    y, raw = np.array([1, 0, 1, 0], np.uint8), np.array([1000.0, -1000.0, -1000.0, 1000.0])
    g, h = gradients(y, raw)
    assert g.tolist() == [0.0, 0.0, -1.0, 1.0]
    assert h.tolist() == [0.0, 0.0, 0.0, 0.0]
    assert log_loss(y, raw) == 500.0
    assert probability(raw).tolist() == [1.0, 0.0, 0.0, 1.0]
    with pytest.raises(DataError) as error:
        initial_score(np.zeros(5, np.uint8))
    assert error.value.code == "LABEL_ONE_CLASS"


def test_trees_survive_json_and_refuse_what_is_not_a_tree() -> None:
    tree, _, _ = grow(TreeParams(max_depth=3))
    again = Tree.from_json(tree.to_json())
    for name in tree.__slots__:
        np.testing.assert_array_equal(getattr(again, name), getattr(tree, name))
    good = tree.to_json()
    bad: list[dict[str, object]] = [
        good | {"left": [0, *good["left"][1:]]},
        good | {"right": good["right"][:-1]},
        good | {"leaf_value": good["leaf_value"][:-1]},
        good | {"bin": [0.5, *good["bin"][1:]]},
        good | {"owner": ["bank", *good["owner"][1:]]},
        good | {"left": good["right"]},
        good | {"more": []},
        {},
    ]
    for data in bad:
        with pytest.raises(DataError) as error:
            Tree.from_json(data)
        assert error.value.code == "MODEL_INVALID"


def test_a_tree_of_one_leaf() -> None:
    none, whole = np.empty(0, np.int32), np.empty(0)
    tree = Tree(none, none, none, np.empty(0, bool), none, none, whole, np.array([0.5]))
    assert tree.leaf_of(np.empty((0, 3), bool)).tolist() == [0, 0, 0]
    assert Tree.from_json(tree.to_json()).n_splits == 0


def test_samples_depend_on_seed_and_tree_alone() -> None:
    params = TreeParams(feature_fraction=0.5, bagging_fraction=0.7, bagging_freq=2, seed=7)
    masks = [features_of_tree(9, params, t) for t in range(20)]
    assert all(mask.sum() == 5 for mask in masks)
    assert len({mask.tobytes() for mask in masks}) > 10
    assert features_of_tree(9, TreeParams(feature_fraction=0.01), 0).sum() == 2
    bags = [rows_of_tree(10_000, params, t) for t in range(4)]
    assert (bags[0] == bags[1]).all()
    assert (bags[0] != bags[2]).any()
    assert 6800 < bags[0].sum() < 7200
    assert rows_of_tree(10, TreeParams(), 0) is None
    # Pinned: parties and versions must draw alike.
    assert np.flatnonzero(masks[0]).tolist() == [1, 2, 3, 5, 6]
    assert np.flatnonzero(~bags[0])[:5].tolist() == [2, 9, 16, 21, 23]


def test_early_stopping_keeps_the_best_tree() -> None:
    stopping = EarlyStopping(3)
    assert [stopping.update(loss) for loss in (5.0, 4.0, 4.5, 4.0, 4.2)] == [False, False, False, False, True]
    assert stopping.best_tree == 2
    never = EarlyStopping(0)
    assert not any(never.update(1.0) for _ in range(10))


def test_early_stopping_ends_training_on_other_rows() -> None:
    codes, n_bins, missing, y = table(4, n=1500)
    params = TreeParams(num_trees=200, learning_rate=0.5, early_stopping_round=5)
    train, valid = slice(0, 1000), slice(1000, None)
    model = train_centralised(codes[train], n_bins, missing, y[train], params, valid=(codes[valid], y[valid]))
    assert 0 < len(model.trees) < 100


def test_sampled_training_learns() -> None:
    codes, n_bins, missing, y = table(2, n=4000)
    params = TreeParams(num_trees=30, feature_fraction=0.6, bagging_fraction=0.6, bagging_freq=1)
    model = train_centralised(codes[:3000], n_bins, missing, y[:3000], params)
    plain = train_centralised(codes[:3000], n_bins, missing, y[:3000], TreeParams(num_trees=30))
    scores = [auc(y[3000:], m.predict(codes[3000:])) for m in (model, plain)]
    assert scores[0] > scores[1] - 0.03

"""The estimator over in-process links: all parties make the same calls; the result is LightGBM's on pooled data."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from fedcredit.credit.metrics import auc
from fedcredit.credit.params import TreeParams
from fedcredit.errors import ConfigError, DataError
from fedcredit.estimators import Federation, GradientBoosting
from fedcredit.estimators.alone import train_lightgbm
from fedcredit.estimators.parts import FeaturePart, LabelPart, part_from_bytes
from fedcredit.ids import PartyId
from fedcredit.protocols.boosting import BinnedColumns
from fedcredit.tables import Column
from fedcredit.transport.memory import MemoryNetwork

BANK, TAX, WATER = PartyId("bank"), PartyId("tax"), PartyId("water")
PARTIES = (BANK, TAX, WATER)


def table(seed: int, n: int) -> tuple[dict[PartyId, dict[str, Column]], Any]:
    rng = np.random.default_rng(seed)
    raw = {party: {f"{party}_{k}": rng.normal(size=n) for k in range(3)} for party in PARTIES}
    score = sum(
        np.where(values > 0.3, 1.0, -0.5) * (k + 1) for of in raw.values() for k, values in enumerate(of.values())
    )
    y = (rng.random(n) < 1 / (1 + np.exp(-score / 2))).astype(np.uint8)
    raw[TAX]["tax_1"][rng.random(n) < 0.2] = np.nan
    columns = {p: {c: Column(c, "numeric", v) for c, v in of.items()} for p, of in raw.items()}
    grade = Column("grade", "categorical", rng.integers(0, 4, n).astype(float), ("A", "B", "C", "D"))
    columns[WATER]["grade"] = grade
    columns[WATER]["constant"] = Column("constant", "numeric", np.ones(n))
    return columns, y


async def together(columns: Any, y: Any, fresh: Any, **params: Any) -> tuple[dict[PartyId, GradientBoosting], Any]:
    network = MemoryNetwork(PARTIES, insecure_in_process=True)
    federations = {
        p: Federation(
            me=p, label_party=BANK, feature_parties=(TAX, WATER), transport=network.transport(p), ssid=b"j" * 32
        )
        for p in PARTIES
    }
    models = {p: GradientBoosting(**params) for p in PARTIES}
    await asyncio.gather(*(models[p].fit(federations[p], columns[p], y if p == BANK else None) for p in PARTIES))
    scores = await asyncio.gather(*(models[p].predict(federations[p], fresh[p]) for p in PARTIES))
    return models, scores


def pooled(models: dict[PartyId, GradientBoosting], columns: Any, n: int) -> BinnedColumns:
    coded = [models[p].part_.columns.code(columns[p], n) for p in PARTIES]
    return BinnedColumns(
        np.concatenate([c.codes for c in coded]),
        tuple(b for c in coded for b in c.groups),
        tuple(m for c in coded for m in c.missing),
    )


@pytest.mark.parametrize("extra", [{}, {"hide_nodes": True}, {"num_leaves": 6}], ids=["shown", "hidden", "best-first"])
def test_the_joint_model_is_lightgbms_on_the_pooled_table(extra: dict[str, Any]) -> None:
    params = {"num_trees": 8, "max_depth": 3, "learning_rate": 0.3, "max_bin": 16} | extra
    columns, y = table(1, 2000)
    fresh, fresh_y = table(2, 1000)
    models, (probability, *nothing) = asyncio.run(together(columns, y, fresh, **params))
    assert nothing == [None, None]
    tree_params = TreeParams.from_mapping({k: v for k, v in params.items() if k != "hide_nodes"})
    oracle = train_lightgbm(pooled(models, columns, 2000), y, tree_params)
    wanted = oracle.predict(pooled(models, fresh, 1000))
    assert abs(auc(fresh_y, probability) - auc(fresh_y, wanted)) < 0.003
    assert np.corrcoef(probability, wanted)[0, 1] > 0.999
    assert auc(y, models[BANK].train_probability_) > 0.8


def test_parts_hold_what_their_owners_may_know_and_survive_their_files() -> None:
    columns, y = table(3, 800)
    models, (probability, *_) = asyncio.run(together(columns, y, columns, num_trees=3, max_depth=3))
    label, tax = models[BANK].part_, models[TAX].part_
    assert isinstance(label, LabelPart)
    assert isinstance(tax, FeaturePart)
    assert b"tax_" not in label.to_bytes()
    assert b"bank_" not in tax.to_bytes()
    assert b"leaf" not in tax.to_bytes()
    assert "constant" not in models[WATER].part_.columns.names
    owners = {row["party"] for row in label.importance()}
    assert owners <= set(PARTIES)
    assert all(row["feature"].startswith(f"{row['party']}.f") for row in label.importance() if row["party"] != BANK)
    for p in PARTIES:
        again = part_from_bytes(models[p].part_.to_bytes())
        assert again.to_bytes() == models[p].part_.to_bytes()
        models[p].part_ = again
    network = MemoryNetwork(PARTIES, insecure_in_process=True)

    async def predict() -> Any:
        return await asyncio.gather(
            *(
                models[p].predict(
                    Federation(
                        me=p,
                        label_party=BANK,
                        feature_parties=(TAX, WATER),
                        transport=network.transport(p),
                        ssid=b"k" * 32,
                    ),
                    columns[p],
                )
                for p in PARTIES
            )
        )

    assert np.array_equal(asyncio.run(predict())[0], probability)


def test_early_stopping_keeps_the_best_trees_and_ends_all_parties() -> None:
    columns, y = table(4, 1500)
    params = {"num_trees": 60, "max_depth": 4, "learning_rate": 0.5, "early_stopping_round": 3, "min_data_in_leaf": 5}
    models, (probability, *_) = asyncio.run(together(columns, y, columns, **params))
    assert np.allclose(probability, models[BANK].train_probability_, rtol=0, atol=1e-12)
    part = models[BANK].part_
    assert isinstance(part, LabelPart)
    losses = models[BANK].learning_["valid_logloss"]
    assert len(losses) < 60
    assert len(part.trees) == int(np.argmin(losses)) + 1 == len(losses) - 3
    held = models[BANK].validation_rows(1500)
    assert np.array_equal(held, models[TAX].validation_rows(1500))
    assert 0.15 < held.mean() < 0.25


@pytest.mark.parametrize("data", [b"{}", b"", b"[]", b'{"format": 1, "kind": "gbdt", "role": "label"}'])
def test_a_damaged_part_is_refused(data: bytes) -> None:
    with pytest.raises(DataError, match="MODEL_INVALID"):
        part_from_bytes(data)


def test_wrong_use_is_refused() -> None:
    columns, y = table(5, 100)
    network = MemoryNetwork(PARTIES, insecure_in_process=True)
    federation = Federation(
        me=TAX, label_party=BANK, feature_parties=(TAX, WATER), transport=network.transport(TAX), ssid=b"j" * 32
    )
    with pytest.raises(DataError, match="LABEL_PARTY"):
        asyncio.run(GradientBoosting().fit(federation, columns[TAX], y))
    with pytest.raises(DataError, match="ROWS"):
        asyncio.run(GradientBoosting().fit(federation, {}))
    with pytest.raises(ConfigError, match="num_trees"):
        GradientBoosting(num_treees=3)
    with pytest.raises(ConfigError, match="groupsum"):
        GradientBoosting(groupsum="plain")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="CONFIG_CONFLICT"):
        GradientBoosting(TreeParams(), num_trees=3)


def test_lightgbm_is_the_version_that_the_oracle_was_checked_with() -> None:
    # Imported here: it takes a second, which each process that collects the tests would wait.
    import lightgbm

    assert lightgbm.__version__.startswith(("4.6", "4.7"))

"""Rows split among members who train trees together, and the same rows in one place."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import lightgbm
import numpy as np
from horizontal.plain_sums import federations, parties

from fedcredit.credit.params import TreeParams
from fedcredit.estimators.federation import Federation
from fedcredit.estimators.horizontal_boosting import HorizontalGradientBoosting, code_rows
from fedcredit.estimators.lightgbm_check import pooled
from fedcredit.estimators.lightgbm_engine import CodedRows, Place, _dataset
from fedcredit.estimators.lightgbm_model import model_text
from fedcredit.estimators.lightgbm_network import Network
from fedcredit.estimators.lightgbm_payloads import Bounds
from fedcredit.estimators.sums import Sums
from fedcredit.ids import PartyId
from fedcredit.tables import Column
from fedcredit.transport.memory import MemoryChannel, MemoryNetwork, MemoryTransport

__all__ = [
    "Killed",
    "Recorded",
    "coded",
    "columns_of",
    "fields",
    "fit_all",
    "leaf_difference",
    "machines",
    "pooled_model",
    "recorded",
    "same_structure",
    "table",
    "threads",
    "trees_of",
]

T = TypeVar("T")
Columns = dict[str, Column]
SAME_BITS = ("split_feature", "threshold", "decision_type", "left_child", "right_child", "num_leaves")


def table(n: int = 900, members: int = 3, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Values by column, labels, and the member that has each row; members' rows are not alike."""
    rng = np.random.default_rng(seed)
    values = {
        "income": rng.exponential(size=n),
        "own": rng.normal(size=n),
        "pressure": np.round(rng.normal(size=n), 1),
        "years": rng.integers(0, 4, n).astype(float),
    }
    values["income"][rng.random(n) < 0.1] = np.nan
    z = values["own"] + np.nan_to_num(values["income"]) - 1.5 + 0.8 * (values["years"] == 2)
    y = (rng.random(n) < 1 / (1 + np.exp(-z))).astype(np.uint8)
    owner = np.clip((values["own"] + rng.normal(size=n) + 1.5) / 3 * members, 0, members - 1).astype(int)
    return values, y, owner


def columns_of(values: Mapping[str, np.ndarray], rows: np.ndarray) -> Columns:
    return {name: Column(name, "numeric", column[rows]) for name, column in values.items()}


def coded(n: int = 600, seed: int = 1) -> CodedRows:
    """Bin numbers: a column of one bin, two bins and many, with rows missing."""
    rng = np.random.default_rng(seed)
    edges = (0, 1, 6, 40)
    codes = np.stack([rng.integers(0, e + 1, n) for e in edges], axis=1).astype(np.float32)
    codes[rng.random(codes.shape) < 0.1] = np.nan
    z = np.nan_to_num(codes[:, 2]) * 0.4 - np.nan_to_num(codes[:, 3]) * 0.05 + np.isnan(codes[:, 0]) - 0.5
    return CodedRows(codes, (rng.random(n) < 1 / (1 + np.exp(-z))).astype(np.uint8), edges)


def machines(rows: CodedRows, params: TreeParams, trees: int, n: int = 3) -> str:
    """The model of LightGBM's own distributed training: its bytes are handed over and added up as they are."""
    barrier, laid, models = threading.Barrier(n), [b""] * n, [""] * n

    def exchange(rank: int, data: bytes) -> list[bytes]:
        laid[rank] = data
        barrier.wait(60)
        found = list(laid)
        barrier.wait(60)
        return found

    def machine(rank: int) -> None:
        def scatter(data: bytes, _: int, starts: tuple[int, ...], sizes: tuple[int, ...]) -> bytes:
            total = np.sum([np.frombuffer(one) for one in exchange(rank, data)], axis=0).tobytes()
            return total[starts[rank] : starts[rank] + sizes[rank]]

        own = CodedRows(rows.codes[rank::n], rows.label[rank::n], rows.edges)
        place = Place(rank, Bounds(rows.label.size, 1.0, n))
        data = _dataset(own, params, place, None)
        with Network(rank, n, lambda data: tuple(exchange(rank, data)), scatter).installed():
            booster = lightgbm.Booster(data.params, data)
            for _ in range(trees):
                booster.update()
        models[rank] = booster.model_to_string()

    running = [threading.Thread(target=machine, args=(rank,)) for rank in range(n)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert len(set(models)) == 1
    return models[0]


def fit_all(
    params: TreeParams,
    values: Mapping[str, np.ndarray],
    y: np.ndarray,
    owner: np.ndarray,
    made: list[Federation] | None = None,
    **how: Any,
) -> list[HorizontalGradientBoosting]:
    """The model of each member, all trained at once. `how[...]` may be a list, one for each."""
    at = made or federations(int(owner.max()) + 1)

    async def member(federation: Federation, k: int) -> HorizontalGradientBoosting:
        own = {key: value[k] if isinstance(value, list) else value for key, value in how.items()}
        sums = await Sums.begin(federation, "sums", two_parties_accepted=True)
        model = HorizontalGradientBoosting(params)
        return await model.fit(federation, columns_of(values, owner == k), y[owner == k], sums=sums, **own)

    async def everybody() -> list[Any]:
        return await asyncio.gather(*(member(f, k) for k, f in enumerate(at)), return_exceptions=True)

    return asyncio.run(everybody())


def pooled_model(params: TreeParams, edges: Mapping[str, Any], values: Mapping[str, np.ndarray], y: np.ndarray) -> str:
    """LightGBM's own model of all rows in one place, cut at the same edges."""
    columns = columns_of({name: values[name] for name in edges}, np.ones(y.size, bool))
    rows = CodedRows(code_rows(columns, edges), y, tuple(len(of) for of in edges.values()))
    return model_text(pooled(rows, params, params.num_trees), edges, params)


def trees_of(model: str) -> list[dict[str, str]]:
    """The fields of each tree of a model file."""
    return [fields(block) for block in model.partition("\nend of trees")[0].split("\nTree=")[1:]]


def fields(tree: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in tree.splitlines() if "=" in line)


def same_structure(one: str, other: str) -> bool:
    """Whether two models split the same features at the same thresholds in the same order."""
    mine, theirs = ([[tree[name] for name in SAME_BITS] for tree in trees_of(model)] for model in (one, other))
    return mine == theirs


def leaf_difference(one: str, other: str) -> float:
    """The largest difference between leaves of two models of the same structure."""
    pairs = zip(trees_of(one), trees_of(other), strict=True)
    return max(float(np.abs(_leaves(a) - _leaves(b)).max()) for a, b in pairs)


def _leaves(tree: dict[str, str]) -> np.ndarray:
    return np.array(tree["leaf_value"].split(), float)


def threads() -> list[str]:
    """Of LightGBM, those that run."""
    return [thread.name for thread in threading.enumerate() if thread.name == "lightgbm"]


class Recorded(MemoryTransport):
    """Keeps every body that it sends, with the stage; after `most` messages of stage `until` it fails as one killed."""

    def __init__(self, network: MemoryNetwork, me: PartyId, fail: Callable[[str, int], bool] | None = None) -> None:
        super().__init__(network, me)
        self.sent: list[tuple[str, PartyId, int, bytes]] = []
        self.fail = fail

    def open(self, ssid: bytes, stage: str, **how: Any) -> MemoryChannel:
        channel = super().open(ssid, stage, **how)
        real: Callable[[PartyId, int, bytes], Awaitable[int]] = channel.send
        count = 0

        async def send(to: PartyId, tag: int, body: bytes) -> int:
            nonlocal count
            count += 1
            if self.fail is not None and self.fail(stage, count):
                raise Killed
            self.sent.append((stage, to, tag, body))
            return await real(to, tag, body)

        channel.send = send  # type: ignore[method-assign]
        return channel


class Killed(Exception):
    """A member is gone, in the middle of whatever it did."""


def recorded(n: int, fail: Mapping[int, Callable[[str, int], bool]] | None = None, **more: Any) -> list[Federation]:
    """Members whose transports are `Recorded`."""
    members = parties(n)
    network = MemoryNetwork(members, insecure_in_process=True)
    return [
        Federation(
            me=me,
            label_party=members[0],
            feature_parties=members[1:],
            transport=Recorded(network, me, (fail or {}).get(k)),
            ssid=b"s" * 32,
            deadline_s=60,
            **more,
        )
        for k, me in enumerate(members)
    ]

"""Whether the LightGBM that is installed does what was tested: once in a process, before anything is sent.

What LightGBM tells its network is no public interface. So besides the version, a small model is trained by three
machines in this process, through the same classification as a real one, and has to come out as LightGBM alone makes it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.params import TreeParams
from fedcredit.errors import ConfigError, FedcreditError, Problem
from fedcredit.estimators.lightgbm_engine import CodedRows, LightGBMEngine, Place, booster_settings, reference_table
from fedcredit.estimators.lightgbm_model import coded_model, tree_of
from fedcredit.estimators.lightgbm_payloads import Bounds
from fedcredit.protocols.collectives import Collective, Reply, Scattered, Splits, Summed

__all__ = ["TESTED", "answered", "check_engine", "grown", "pooled"]

TESTED: Final = ((4, 6), (4, 7))
"""Versions of LightGBM whose payloads were looked at; setup.cfg names the same."""

F64: TypeAlias = npt.NDArray[np.float64]

_MACHINES: Final = 3
_ROWS: Final = 240
_TREES: Final = 2
_CLOSE: Final = 1e-8


@functools.cache
def check_engine() -> str:
    """The version that is installed, if it may be used.

    Raises: ConfigError ENGINE_VERSION; FedcreditError ENGINE_PAYLOAD, ENGINE_FAILED.
    """
    import lightgbm

    version = str(lightgbm.__version__)
    if tuple(version.split(".")[:2]) not in {tuple(map(str, tested)) for tested in TESTED}:
        known = " and ".join(f"{major}.{minor}" for major, minor in TESTED)
        what = f"LightGBM {version} is installed; what members send each other was tested with {known}"
        raise ConfigError(Problem("ENGINE_VERSION", "LightGBM", what, "install one of these"))
    _train_a_little()
    return version


def grown(engines: Sequence[LightGBMEngine], trees: int) -> list[str | None]:
    """Trees of engines that are all in this process, without masks: for tests and for the check.

    Raises: FedcreditError ENGINE_FAILED if they do not all have the same; what an engine raises.
    """
    made = []
    try:
        for _ in range(trees):
            replies: Sequence[Reply | None] = [None] * len(engines)
            while None not in (asked := [e.resume(r) for e, r in zip(engines, replies, strict=True)]):
                replies = answered([request for request in asked if request is not None])
            if len({engine.tree for engine in engines}) != 1 or any(request is not None for request in asked):
                raise _failed("machines came to different trees")
            made.append(engines[0].tree)
    finally:
        for engine in engines:
            engine.close()
    return made


def answered(asked: Sequence[Collective]) -> list[Reply]:
    """The replies to the same request of all members."""
    if all(isinstance(request, Splits) for request in asked):
        return [tuple(request for request in asked if isinstance(request, Splits))] * len(asked)
    summed: Any = np.sum([r.words for r in asked if isinstance(r, Summed | Scattered)], axis=0, dtype=np.uint64)
    first = asked[0]
    if isinstance(first, Scattered):
        return list(np.split(summed, np.cumsum(first.sizes)[:-1]))
    return [summed] * len(asked)


def pooled(rows: CodedRows, params: TreeParams, trees: int) -> list[str]:
    """The trees of LightGBM alone on `rows`, cut into the same bins."""
    import lightgbm

    settings = booster_settings(params, max(rows.edges))
    table = reference_table(rows.edges)
    reference = lightgbm.Dataset(table, np.zeros(len(table)), params=settings, free_raw_data=False)
    data = lightgbm.Dataset(rows.codes, rows.label.astype(np.float64), reference=reference, params=settings)
    booster = lightgbm.train(settings, data, trees)
    numbers = range(booster.num_trees())
    return [tree_of(booster.model_to_string(start_iteration=k, num_iteration=1)) for k in numbers]


def _train_a_little() -> None:
    random = np.random.Philox(key=1).random_raw(_ROWS * 4).reshape(_ROWS, 4)
    edges = (3, 1, 6)
    codes = (random[:, :3] % (np.array(edges, np.uint64) + np.uint64(1))).astype(np.float32)
    label = ((codes.sum(axis=1) + (random[:, 3] % np.uint64(5))) > 6).astype(np.uint8)
    codes[random[:, 3] % np.uint64(11) == 0, 0] = np.nan
    params = TreeParams(num_trees=_TREES, max_depth=3, min_data_in_leaf=1, min_sum_hessian_in_leaf=1.0)
    bounds = Bounds(_ROWS, 1.0, _MACHINES)
    engines = [
        LightGBMEngine(CodedRows(codes[k::_MACHINES], label[k::_MACHINES], edges), params, Place(k, bounds))
        for k in range(_MACHINES)
    ]
    together, alone = grown(engines, _TREES), pooled(CodedRows(codes, label, edges), params, _TREES)
    if not np.allclose(_scores(together, codes), _scores(alone, codes), rtol=0, atol=_CLOSE):
        raise _failed("three machines do not train the model that one does")


def _scores(trees: Sequence[str | None], codes: npt.NDArray[np.float32]) -> F64:
    import lightgbm

    text = coded_model([tree for tree in trees if tree is not None], codes.shape[1])
    scores = lightgbm.Booster(model_str=text).predict(codes, raw_score=True)
    return np.asarray(scores, np.float64)


def _failed(what: str) -> FedcreditError:
    return FedcreditError(Problem("ENGINE_FAILED", "LightGBM", what, "install a version that is named in setup.cfg"))

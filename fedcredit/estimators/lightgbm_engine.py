"""LightGBM itself as an engine that is pulled from collective to collective.

LightGBM asks for a collective by calling a function, and does not come back before it has the answer; a protocol must
not wait inside a call. So LightGBM runs on a thread of its own, one for a model, because its network is one thread's;
whoever pulls waits for its next request as for a kernel.

**Nothing in this process may tell LightGBM how many threads to use.** The number is one for the process: if it grows
while a model trains, that model writes beyond the end of what it set aside for each thread. `OMP_NUM_THREADS` in the
environment sets it for good.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.params import TreeParams
from fedcredit.errors import FedcreditError, Problem
from fedcredit.estimators.lightgbm_model import tree_of
from fedcredit.estimators.lightgbm_network import Network
from fedcredit.estimators.lightgbm_payloads import MAX_CAT_THRESHOLD, Answer, Bounds, Payloads
from fedcredit.protocols.collectives import Collective, Reply

__all__ = ["CodedRows", "LightGBMEngine", "Place", "booster_settings", "reference_table"]

F32: TypeAlias = npt.NDArray[np.float32]
F64: TypeAlias = npt.NDArray[np.float64]
U8: TypeAlias = npt.NDArray[np.uint8]

_COPIES = 8
"""Of each bin in the reference table: any number that is the same for all bins."""


@dataclass(frozen=True, slots=True, eq=False)
class CodedRows:
    """A member's own rows as bin numbers.

    Shapes: codes (n, F) float32, whole numbers up to `edges[f]`, NaN where missing; label (n,) 0 or 1; edges (F,), how
    many edges each column was cut at: column f has `edges[f] + 1` bins, and one for missing values.
    """

    codes: F32 = field(repr=False)
    label: U8 = field(repr=False)
    edges: tuple[int, ...]

    @property
    def bins(self) -> tuple[int, ...]:
        """How many bins each column has, that of missing values included."""
        return tuple(n + 2 for n in self.edges)


@dataclass(frozen=True, slots=True)
class Place:
    """This member is machine `rank`, in the order of members."""

    rank: int
    bounds: Bounds


@dataclass(frozen=True, slots=True)
class _Ended:
    """The end of a tree: its text, None where nothing was left to split."""

    tree: str | None


@dataclass(frozen=True, slots=True)
class _Failed:
    error: BaseException


class _Begin:
    """Grow a tree."""


class _Release:
    """End the thread."""


class LightGBMEngine:
    """Grows trees one after the other, each pulled by `resume` to its end; then `tree` has its text.

    `number`: of the first tree to grow; `scores` (n,): the raw scores of the rows under the trees before it, or None.
    `close` ends the thread in any case, also in the middle of a tree.
    """

    def __init__(
        self, rows: CodedRows, params: TreeParams, place: Place, *, number: int = 0, scores: F64 | None = None
    ) -> None:
        self.tree: str | None = None
        self._rows, self._params, self._place, self._number, self._scores = rows, params, place, number, scores
        self._payloads = Payloads(place.bounds)
        self._requests: SimpleQueue[Collective | _Ended | _Failed] = SimpleQueue()
        self._replies: SimpleQueue[Reply | _Begin | _Release] = SimpleQueue()
        self._released = threading.Event()
        self._thread: threading.Thread | None = None

    def resume(self, reply: Reply | None) -> Collective | None:
        """See `protocols.collectives.Engine`: with None the next tree begins.

        Raises: FedcreditError ENGINE_PAYLOAD, ENGINE_FAILED, ENGINE_CLOSED; what went wrong on the thread.
        """
        if self._released.is_set():
            raise _closed()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="lightgbm", daemon=True)
            self._thread.start()
        self._replies.put(_Begin() if reply is None else reply)
        got = self._requests.get()
        if isinstance(got, _Failed):
            self._released.set()
            raise got.error
        if isinstance(got, _Ended):
            self.tree = got.tree
            return None
        return got

    def release(self) -> None:
        """Have the thread end, wherever it is, without waiting for it."""
        self._released.set()
        self._replies.put(_Release())

    def close(self) -> None:
        """Have the thread end, and wait until it has."""
        self.release()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            self._train()
        except BaseException as error:  # noqa: BLE001 - the end of the line: who pulls has to hear of it
            self._requests.put(_Failed(_typed(error)))

    def _train(self) -> None:
        if not self._told_to_begin():
            return
        data = _dataset(self._rows, self._params, self._place, self._scores)
        network = Network(self._place.rank, self._place.bounds.machines, self._gather, self._scatter)
        with network.installed():
            self._payloads.begin_booster()
            booster = self._guarded(network, lambda: _booster(data))
            grown = 0
            while True:
                self._payloads.begin_tree(scores_given=grown > 0 or self._scores is not None)
                if self._params.feature_fraction < 1 and (number := self._number + grown):
                    # Which features a tree may use follows from its number, wherever training began.
                    booster.reset_parameter({"feature_fraction_seed": self._params.seed + number})
                nothing_left = self._guarded(network, booster.update)
                self._payloads.end_tree()
                tree = None
                # A tree that splits nothing adds nothing, unless it holds where all rows begin.
                if not nothing_left or (grown == 0 and self._scores is None):
                    tree = tree_of(booster.model_to_string(start_iteration=grown, num_iteration=1))
                grown += 1
                self._requests.put(_Ended(tree))
                if not self._told_to_begin():
                    return

    def _told_to_begin(self) -> bool:
        return isinstance(self._replies.get(), _Begin) and not self._released.is_set()

    def _guarded(self, network: Network, work: Callable[[], Any]) -> Any:
        """The result of `work`; what went wrong in a collective comes before what LightGBM then made of zeros."""
        try:
            return work()
        finally:
            if network.error is not None:
                raise network.error

    def _gather(self, data: bytes) -> tuple[bytes, ...]:
        return self._asked(*self._payloads.gathered(data))

    def _scatter(self, data: bytes, type_bytes: int, starts: tuple[int, ...], sizes: tuple[int, ...]) -> bytes:
        return self._asked(*self._payloads.scattered(data, type_bytes, starts, sizes))[0]

    def _asked(self, request: Collective, answer: Answer) -> tuple[bytes, ...]:
        if self._released.is_set():
            raise _closed()
        self._requests.put(request)
        reply = self._replies.get()
        if isinstance(reply, _Begin | _Release):
            raise _closed()
        return answer(reply)


def booster_settings(params: TreeParams, most_edges: int) -> dict[str, Any]:
    """LightGBM's parameters for `params` over bins that are given, on one machine; pooled rows would be trained so.

    Rows are summed in an order that does not change from run to run.
    """
    same = (
        *("learning_rate", "max_depth", "min_data_in_leaf", "min_sum_hessian_in_leaf", "min_gain_to_split"),
        *("lambda_l1", "lambda_l2", "feature_fraction", "scale_pos_weight", "seed"),
    )
    return {
        "objective": "binary",
        "boosting": "gbdt",
        "boost_from_average": True,
        "num_leaves": params.max_leaves,
        # Zero is a bin of its own to LightGBM, and so are missing values.
        "max_bin": most_edges + 3,
        "min_data_in_bin": 1,
        "bin_construct_sample_cnt": 10_000_000,
        "max_cat_threshold": MAX_CAT_THRESHOLD,
        "feature_fraction_seed": params.seed,
        "feature_pre_filter": False,
        "enable_bundle": False,
        "use_quantized_grad": False,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
        **{name: getattr(params, name) for name in same},
    }


def reference_table(edges: tuple[int, ...]) -> F64:
    """Rows that nobody has: from them LightGBM makes the bins, so that they follow from the numbers of edges alone.

    Shapes: edges (F,); returns (8 (m + 2), F) for the most edges m: each bin number of each column, and missing.
    """
    most = max(edges)
    table = np.empty((most + 2, len(edges)))
    for f, n in enumerate(edges):
        table[:-1, f] = np.arange(most + 1) % (n + 1)
        table[-1, f] = np.nan
    return np.tile(table, (_COPIES, 1))


def _dataset(rows: CodedRows, params: TreeParams, place: Place, scores: F64 | None) -> Any:
    """The rows in LightGBM's form. No network is installed yet, so nothing of the bins is ever sent."""
    import lightgbm

    settings = _distributed(rows, params, place)
    table = reference_table(rows.edges)
    reference = lightgbm.Dataset(table, np.zeros(len(table)), params=settings, free_raw_data=False).construct()
    # A part of an array would have LightGBM warn of the copy that it makes of it.
    scores = None if scores is None else scores.copy()
    data = lightgbm.Dataset(
        rows.codes, rows.label.astype(np.float64), reference=reference, init_score=scores, params=settings
    ).construct()
    if [data.feature_num_bin(f) for f in range(len(rows.edges))] != list(rows.bins):
        raise FedcreditError(Problem("ENGINE_FAILED", "LightGBM", "it cut columns into other bins than were agreed"))
    return data


def _booster(data: Any) -> Any:
    import lightgbm

    return lightgbm.Booster(data.params, data)


def _distributed(rows: CodedRows, params: TreeParams, place: Place) -> dict[str, Any]:
    settings = booster_settings(params, max(rows.edges))
    # No `machines` among them: LightGBM would open sockets of its own.
    return settings | {"tree_learner": "data", "num_machines": place.bounds.machines}


def _closed() -> FedcreditError:
    return FedcreditError(Problem("ENGINE_CLOSED", "LightGBM", "training was ended"))


def _typed(error: BaseException) -> BaseException:
    if isinstance(error, FedcreditError):
        return error
    # Its text may quote values.
    return FedcreditError(Problem("ENGINE_FAILED", "LightGBM", f"it ended with {type(error).__name__}"))

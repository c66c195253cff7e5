"""Row 1: labels, from which rows share the nodes of trees (ID2Graph, arXiv 2307.10318; ICA, arXiv 2404.04490).

The adversary is a feature party of joint boosting whose own columns say nothing of labels, so that a guess is one half
and all it finds comes from others' splits. It embeds rows by the nodes that they were named in; rows of one node have
like labels. Two attackers know forty labels: one clusters rows and asks the labels which end is bad, one spreads them
from row to row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from attacks.measures import Finding, auc, read
from attacks.views import View, recorded

from fedcredit.credit.params import TreeParams
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.ids import PartyId
from fedcredit.protocols.boosting import BinnedColumns, FeatureParty, FeatureState, LabelParty, LabelState
from fedcredit.protocols.effects import Steps
from fedcredit.wire.boosting import NodeSlots
from fedcredit.wire.groupsum import Corrections, LevelSums

__all__ = ["BANK", "TAX", "Trees", "choices", "labels_from_nodes"]

BANK, TAX = PartyId("bank"), PartyId("tax")
KNOWN = 40


class Trees:
    """A bank and a department over the same rows; `informative` says which of the department's columns tell of labels.

    With `own` columns the bank has a model of its own beside. `view` is by party.
    """

    def __init__(
        self,
        n: int,
        informative: tuple[bool, ...],
        *,
        params: TreeParams,
        hide_nodes: bool = False,
        own: int = 3,
        bins: int = 16,
        seed: int = 0,
    ) -> None:
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(n, own + len(informative)))
        weights = np.array([1.0] * own + [float(tells) for tells in informative])
        logit = X @ (1.5 * weights / max(1.0, np.sqrt(weights.sum()))) - 1.7
        self.y = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(np.uint8)
        self.n, self.bins, self.params = n, bins, params
        self.codes = np.ascontiguousarray((X.argsort(axis=0).argsort(axis=0) * bins // n).astype(np.uint8).T)
        self.own, self.theirs = self.codes[:own], self.codes[own:]
        how: dict[str, Any] = {"hide_nodes": hide_nodes}
        session = b"a" * 32
        label = LabelParty(BANK, (TAX,), session, _columns(self.own, bins), self.y, params, **how)
        feature = FeatureParty(TAX, BANK, session, _columns(self.theirs, bins), n, params, **how)
        roles = {BANK: lambda: _grow(label, params, seed), TAX: lambda: _lend(feature, seed)}
        self.view, self.outcome = recorded(roles)


def _columns(codes: Any, bins: int) -> BinnedColumns:
    return BinnedColumns(np.ascontiguousarray(codes), (bins,) * len(codes), (False,) * len(codes))


def _grow(party: LabelParty, params: TreeParams, seed: int) -> Steps[LabelState]:
    state = yield from party.set_up(insecure_seeded(seed, "bank"))
    while not state.finished:
        keep = params.num_trees if len(state.trees) + 1 == params.num_trees else None
        state = state.absorb((yield from party.grow(state, stop=lambda _, keep=keep: keep)))
    return state


def _lend(party: FeatureParty, seed: int) -> Steps[FeatureState]:
    state = yield from party.set_up(insecure_seeded(seed, "tax"))
    while state.more:
        state = state.absorb((yield from party.grow(state)))
    return state


def memberships(view: View, n: int) -> Any:
    """Of each row, the nodes that it was named in: (n, nodes) of 0 and 1. Without a named node none."""
    levels, run = [], np.empty(n, np.uint16)
    for message in view.of(NodeSlots):
        run[message.first : message.first + message.slots.size] = message.slots
        if message.first + message.slots.size == n:
            levels.append(run.copy())
    columns = [level == slot for level in levels for slot in np.unique(level) if len(np.unique(level)) > 1]
    return np.stack(columns, axis=1).astype(np.float64) if columns else np.zeros((n, 0))


def clustered(nodes: Any, y: Any, known: Any) -> Any:
    """A score of each row by the first direction in which memberships differ, which labels only turn round."""
    if not nodes.shape[1]:
        return np.zeros(len(nodes))
    centred = nodes - nodes.mean(axis=0)
    direction = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    score = centred @ direction
    return score * np.sign((score[known] - score[known].mean()) @ y[known])


def propagated(features: Any, y: Any, known: Any) -> Any:
    """A score of each row from the labels of a few: ridge regression over how alike rows are."""
    if not features.shape[1]:
        return np.zeros(len(features))
    centred = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 0.05)
    alike = centred @ centred[known].T / features.shape[1]
    return alike @ np.linalg.solve(alike[known] + 0.3 * np.eye(known.size), y[known] - y[known].mean())


def wire_numbers(view: View, n: int) -> list[Any]:
    """Numbers that came for each row, beside nodes: corrections of every round and column."""
    found: list[Any] = []
    for kind, name in ((Corrections, "words"), (LevelSums, "blocks")):
        for message in view.of(kind):  # type: ignore[type-abstract]
            flat = np.ascontiguousarray(getattr(message, name)).view(np.uint64).reshape(-1)
            if flat.size >= n:
                found += list(flat[: flat.size // n * n].reshape(n, -1).T.astype(np.float64))
    return found


def labels_from_nodes(n: int, *, hide_nodes: bool, trees: int = 15, depth: int = 4, seed: int = 0) -> list[Finding]:
    """What a feature party without a column of use finds out about labels."""
    params = TreeParams(num_trees=trees, max_depth=depth, learning_rate=0.3)
    case = Trees(n, (False, False), params=params, hide_nodes=hide_nodes, seed=seed)
    view, mode = case.view[TAX], f"gbdt, hide_nodes = {str(hide_nodes).lower()}"
    nodes = memberships(view, n)
    known = np.random.default_rng(seed).permutation(n)[:KNOWN]
    rest = np.setdiff1d(np.arange(n), known)
    own = case.theirs.T.astype(np.float64)
    # A view that leaks: the leaf of every row in the true trees, which the label party has.
    state: LabelState = case.outcome.results[BANK]
    leaky = np.stack([state.scores > np.quantile(state.scores, q) for q in np.linspace(0.1, 0.9, 9)], axis=1)
    leaky = leaky.astype(np.float64)

    def finding(attack: str, guess: float, score: Any, control: Any) -> Finding:
        success, shown = auc(case.y[rest], score[rest]), auc(case.y[rest], control[rest])
        return Finding(1, "labels", "feature party", mode, attack, "AUC", n, guess, success, shown)

    guess = auc(case.y[rest], propagated(own, case.y, known)[rest])
    found = [
        finding(
            "clustering of rows by node",
            0.5,
            clustered(nodes, case.y, known),
            clustered(leaky, case.y, known),
        ),
        finding(
            "40 known labels, spread by node",
            guess,
            propagated(np.concatenate([own, nodes], axis=1), case.y, known),
            propagated(np.concatenate([own, leaky], axis=1), case.y, known),
        ),
    ]
    if numbers := wire_numbers(view, n):
        clear = [*numbers[:4], state.scores]
        found.append(
            Finding(
                2,
                "labels",
                "feature party",
                mode,
                "numbers on the wire, read with half the labels",
                "AUC",
                n,
                0.5,
                read(numbers[:60], case.y),
                read(clear, case.y),
            )
        )
    return found


def choices(n: int, *, hide_nodes: bool, trees: int = 15, depth: int = 3, seed: int = 0) -> Finding:
    """Labels from a party's own splits: one column of four tells, and it knows the direction of all."""
    params = TreeParams(num_trees=trees, max_depth=depth, learning_rate=0.3)
    case = Trees(n, (True, False, False, False), params=params, hide_nodes=hide_nodes, seed=seed)
    splits = case.outcome.results[TAX].splits
    weights = np.bincount([s.feature for s in splits], minlength=4).astype(np.float64)
    return Finding(
        1,
        "labels",
        "feature party",
        f"gbdt, hide_nodes = {str(hide_nodes).lower()}",
        "own columns, weighed by how often they split",
        "AUC",
        n,
        auc(case.y, case.theirs.astype(np.float64).sum(axis=0)),
        auc(case.y, weights @ case.theirs),
        auc(case.y, case.theirs[0]),
    )

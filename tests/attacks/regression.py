"""Row 4: columns, scores and labels, from joint logistic regression (reverse multiplication, arXiv 2011.09290; forward
partial sums, arXiv 2206.07975).

Three adversaries. The label party wants others' partial scores, the partner and a further party labels and others'
partial scores. Each has, over the whole fit: numbers of each row (shares, ciphertexts), and gradients of its own
columns, which are equations in the residuals of all rows. The equations of one column are two, over its upper and its
lower digits, and the same ones at every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from attacks.measures import Finding, above_median, auc, read
from attacks.views import Call, View, noting, recorded
from scipy.special import expit

from fedcredit.credit.glm import fit_logistic
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.ids import PartyId
from fedcredit.protocols.linear import LinearFeature, LinearLabel, LinearPartner, LinearShape, feature, gradients, label
from fedcredit.protocols.linear.columns import ALL, OwnColumns
from fedcredit.protocols.linear.fixed import centred
from fedcredit.protocols.linear.information import InformationParty
from fedcredit.wire.encryption import Encrypted

__all__ = [
    "BANK",
    "PARTIES",
    "TAX",
    "WATER",
    "Fit",
    "columns_from_correlations",
    "labels_from_gradients",
    "numbers_of_rows",
    "scores_from_gradients",
]

BANK, TAX, WATER = PARTIES = tuple(map(PartyId, ("bank", "tax", "water")))
CONTROLLED = 2000
"""Rows up to which the control is run: it solves for half as many equations."""
NAMES = {BANK: "label party", TAX: "partner", WATER: "further party"}


class Fit:
    """One fit over columns that say nothing of each other; `tells` says of each party whether its columns tell of
    labels, `shared` how far the first column of the partner correlates with that of the label party. `view` is by
    party, `partial` each party's own part of the final log-odds."""

    def __init__(
        self,
        n: int,
        widths: Sequence[int],
        tells: Sequence[float],
        *,
        inference: bool,
        seed: int = 0,
        shared: float = 0.0,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.n, self.parties = n, PARTIES[: len(widths)]
        self.X = {p: rng.normal(size=(n, d)) for p, d in zip(self.parties, widths, strict=True)}
        if shared:
            first = self.X[TAX][:, 0]
            self.X[TAX][:, 0] = shared * self.X[BANK][:, 0] + np.sqrt(1 - shared**2) * first
        logit = sum(w * x.sum(axis=1) / np.sqrt(x.shape[1]) for w, x in zip(tells, self.X.values(), strict=True)) - 1.2
        self.y = (rng.random(n) < expit(logit)).astype(np.uint8)
        self.shape = LinearShape(BANK, self.parties[1:], n, inference)
        roles = {
            BANK: lambda: LinearLabel(self.shape, self.X[BANK], self.y).steps(insecure_seeded(seed, BANK)),
            TAX: lambda: LinearPartner(self.shape, self.X[TAX]).steps(insecure_seeded(seed, TAX)),
            WATER: lambda: LinearFeature(self.shape, WATER, self.X[WATER]).steps(insecure_seeded(seed, WATER)),
        }
        self.view, outcome = recorded({party: roles[party] for party in self.parties})
        coefficients = {p: outcome.results[p].estimates.values for p in self.parties}
        self.intercept, coefficients[BANK] = coefficients[BANK][0], coefficients[BANK][1:]
        self.partial = {p: self.X[p] @ coefficients[p] for p in self.parties}

    def equations(self, party: PartyId) -> tuple[Any, list[Any]]:
        """The limbs of a party's columns (k, n), and of every gradient the sums of residuals over them (k,)."""
        with noting((gradients, "_real")) as calls:
            self.view[party].replay()
        columns = OwnColumns.of(self.shape, self.X[party], ones=party == BANK)
        bits = self.shape.bits.probability
        return columns.limbs(ALL).astype(np.float64), [
            np.ldexp(centred(c.args[1]).astype(np.float64), -bits) for c in calls
        ]


def numbers_of_rows(fit: Fit) -> list[Finding]:
    """Everything that a party holds about each row, read with the truth about half of the rows."""
    with noting(
        (label, "ask_curve"), (label, "receive_scores"), (label, "label_gradient"), (InformationParty, "_weigh")
    ) as at_bank:
        fit.view[BANK].replay()
    with noting(
        (feature, "serve_curve"),
        (feature, "receive_scores"),
        (feature, "partner_gradient"),
        (InformationParty, "_weigh"),
    ) as at_tax:
        fit.view[TAX].replay()
    with noting((InformationParty, "_weigh")) as at_water:
        fit.view[WATER].replay()
    seen = dict(zip(fit.parties, (at_bank, at_tax, at_water), strict=True))
    # What leaks: both shares of the log-odds, and of the residuals, of the last step, put together.
    odds = centred(_last(at_bank, "ask_curve")[4] + _last(at_tax, "serve_curve")[4])
    residual = centred(_last(at_bank, "label_gradient")[5] + _last(at_tax, "partner_gradient")[5])
    found, mode = [], f"linear, inference = {str(fit.shape.inference).lower()}"
    for me in fit.parties:
        channels = _channels(fit, fit.view[me], seen[me])
        targets = {f"partial scores of the {NAMES[p]}": above_median(fit.partial[p]) for p in fit.parties if p != me}
        if me != BANK:
            targets["labels"] = fit.y
        for asset, target in targets.items():
            clear = [odds, residual, *fit.partial.values()] if asset == "labels" else [odds, fit.partial[me]]
            guess = 0.5
            if me == BANK:
                guess = max(0.5, read([_alone(fit)], target))
                channels, clear = [*channels, _alone(fit)], [*clear, _alone(fit)]
            found.append(
                Finding(
                    4, asset, NAMES[me], mode, "shares and ciphertexts, read with half the truth", "AUC", fit.n,
                    guess, read(channels, target), read(clear, target),
                )
            )  # fmt: skip
    return found


def _last(calls: Sequence[Call], name: str) -> tuple[Any, ...]:
    """The arguments of the last call that was for residuals, not for weights or the likelihood."""
    return [c.args for c in calls if c.name == name and (c.args[2] == "probability" or "gradient" in name)][-1]


def _channels(fit: Fit, view: View, calls: Sequence[Call]) -> list[Any]:
    """Numbers of each row: what functions of the role gave, and ciphertexts as they came, by place."""
    found: list[Any] = []
    for call in calls:
        if isinstance(call.result, np.ndarray) and call.result.shape[-1:] == (fit.n,):
            found += list(call.result.reshape(-1, fit.n))
    words = np.concatenate([np.frombuffer(m.data[: len(m.data) // 8 * 8], np.uint64) for m in view.of(Encrypted)[:40]])
    blocks = words[: words.size // fit.n * fit.n].reshape(-1, fit.n)
    return [*found[:40], *blocks[:: max(1, len(blocks) // 20)][:20].astype(np.float64)]


def _alone(fit: Fit) -> Any:
    """What the label party has without the run: how far labels are off its own model, which others' columns explain."""
    alone = fit_logistic(fit.X[BANK], fit.y)
    return fit.y - expit(alone.log_odds(fit.X[BANK]))


def labels_from_gradients(n: int, columns: int, *, inference: bool, seeds: Sequence[int]) -> list[Finding]:
    """Labels, by a partner whose columns say nothing of them: by its coefficients alone, which are the result, and by
    the shortest residuals that its first gradient allows; at the start all rows have one probability."""
    by_result, by_gradient, control = [], [], []
    for seed in seeds:
        fit = Fit(n, (3, columns), (0.6, 0.0), inference=inference, seed=seed)
        limbs, sums = fit.equations(TAX)
        by_result.append(auc(fit.y, fit.partial[TAX]))
        by_gradient.append(auc(fit.y, -(np.linalg.pinv(limbs) @ sums[0])))
        if n <= CONTROLLED:
            residual = fit.y.mean() - fit.y
            many = np.random.default_rng(seed).normal(size=(n // 2, n))
            control.append(auc(fit.y, -(np.linalg.pinv(many) @ (many @ residual))))
    mode = f"linear, inference = {str(inference).lower()}, {n // columns} rows a column"
    of_result = Finding(
        4, "labels", "partner", mode, "its coefficients, which are the result", "AUC", n, 0.5, float(np.mean(by_result))
    )
    success, shown = float(np.mean(by_gradient)), float(np.mean(control)) if control else None
    return [of_result, replace(of_result, attack="solving gradients for residuals", success=success, control=shown)]


def scores_from_gradients(n: int, columns: int, *, inference: bool, seeds: Sequence[int]) -> Finding:
    """Partial scores of the partner, by the label party: what its own gradients say of how far probabilities are from
    those that its own columns give, read with the truth about half of the rows."""
    guesses, found, control = [], [], []
    for seed in seeds:
        fit = Fit(n, (columns, 3), (0.6, 0.8), inference=inference, seed=seed)
        limbs, sums = fit.equations(BANK)
        solve = np.linalg.pinv(limbs)
        own = expit(fit.intercept + fit.partial[BANK])
        channels = [solve @ (of_step + limbs @ (fit.y - own)) for of_step in sums[1:]]
        target = above_median(fit.partial[TAX])
        guesses.append(read([_alone(fit)], target))
        found.append(read([_alone(fit), channels[0], channels[-1]], target))
        clear = expit(fit.intercept + fit.partial[BANK] + fit.partial[TAX]) - own
        control.append(read([_alone(fit), clear, own], target))
    mode = f"linear, inference = {str(inference).lower()}, {n // columns} rows a column"
    return Finding(
        4, "partial scores of the partner", "label party", mode, "solving gradients for probabilities", "AUC", n,
        float(np.mean(guesses)), float(np.mean(found)), float(np.mean(control)),
    )  # fmt: skip


def columns_from_correlations(n: int, shared: float, seed: int = 0) -> Finding:
    """The partner's column of each row, by the label party, from the information matrix, which is part of the result:
    with its own columns it makes the best linear estimate of another's. Without it the label party has its labels."""
    fit = Fit(n, (2, 2), (0.6, 0.8), inference=True, seed=seed, shared=shared)
    matrix = fit.view[BANK].replay().information
    own = (fit.X[BANK] - fit.X[BANK].mean(axis=0)) / fit.X[BANK].std(axis=0)
    estimate = own @ np.linalg.solve(matrix[1:3, 1:3], matrix[1:3, 3])
    target, alone = above_median(fit.X[TAX][:, 0]), _alone(fit)
    return Finding(
        4, "a column of the partner", "label party", f"linear, inference = true, correlation {shared:g}",
        "best linear estimate from the information matrix", "AUC", n, auc(target, alone),
        auc(target, estimate + 0.3 * alone / alone.std()), auc(target, fit.X[TAX][:, 0]),
    )  # fmt: skip

"""What the page shows of one model: headline, tables, and the series of its charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fedcredit.report.bins import bin_series, show_columns
from fedcredit.report.decisions import (
    decision_series,
    show_bands,
    show_column_stability,
    show_contribution,
    show_cutoffs,
)
from fedcredit.report.figures import (
    NONE,
    auc_margin,
    count,
    duration,
    fixed,
    mapping,
    number,
    percent,
    records,
    signed,
    size,
    text,
    total,
    width,
)
from fedcredit.report.parties import Parties
from fedcredit.report.scorecard import show_card, show_coefficients, show_costs, show_points, show_selection
from fedcredit.report.stability import period_series, show_periods, show_stability
from fedcredit.report.statistics import show_tables, table_series

__all__ = ["chart_series", "outcomes", "show_model"]

Section = dict[str, Any]

_FEATURES_SHOWN: Final = 20
_KINDS: Final = {
    "binning": "Binning 变量分箱",
    "gbdt": "Boosted trees 梯度提升树",
    "logistic": "Logistic regression 逻辑回归",
    "scorecard": "Scorecard 评分卡",
    "statistics": "Statistics 联合统计",
}
_CHARTS: Final = ("roc", "ks_curve", "lift", "calibration", "score_distribution", "stability", "confusion", "learning")


def show_model(model: Mapping[str, Any], index: int, parties: Parties) -> Section:
    """Everything about one model but its charts; `index` ties it to its tab and to its charts."""
    kind = text(model.get("kind"))
    return {
        "index": index,
        "name": text(model.get("name") or kind),
        "kind": _KINDS.get(kind, kind),
        "alone_name": parties.alone,
        "headline": _headline(model, parties),
        "within": _within(model),
        "resolution": _resolution(model),
        "checks": _checks(model, parties),
        "params": [(str(key), text(value)) for key, value in mapping(model.get("params")).items()],
        "lift": _lift(model),
        "confusion": _confusion(model) if records(model.get("confusion")) else [],
        "stability": show_stability(mapping(model.get("stability"))),
        "importance": _importance(records(model.get("importance")), parties),
        "columns": show_columns(model, parties),
        "card": show_card(model, parties),
        "bands": show_bands(model),
        "cutoffs": show_cutoffs(model),
        "contribution": show_contribution(model, parties),
        "points": show_points(model, parties),
        "coefficients": show_coefficients(model, parties),
        "selection": show_selection(model, parties),
        "column_stability": show_column_stability(model, parties),
        "periods": show_periods(model),
        "statistics": show_tables(model, parties),
        "phases": _phases(records(model.get("phases"))),
        "cost": {
            "seconds": duration(_seconds(model.get("seconds"))),
            "bytes": size(model.get("bytes")),
            "rounds": count(model.get("rounds")),
            "trees": count(model.get("trees")),
            "parts": show_costs(model),
        },
        "has": {chart: bool(model.get(chart)) for chart in _CHARTS},
        "compared": {key: fixed(model.get(key)) for key in ("auc", "ks", "gini", "auc_alone", "ks_alone")},
    }


def chart_series(model: Mapping[str, Any], parties: Parties) -> Section:
    """What charts.js draws of one model."""
    return {
        "alone": parties.alone,
        "ks": number(model.get("ks")),
        "bins": bin_series(model),
        **decision_series(model),
        **period_series(model),
        "tables": table_series(model),
        **{key: model.get(key) for key in _CHARTS if model.get(key)},
        **({"roc": _joint_roc(model)} if model.get("within") and model.get("roc") else {}),
    }


def _within(model: Mapping[str, Any]) -> Section | None:
    """The comparison over pairs of rows of one party, where each party has a model of its own."""
    within = mapping(model.get("within"))
    if number(within.get("auc")) is None:
        return None
    return {key: fixed(within.get(key)) for key in ("auc", "auc_alone")} | {"pairs": count(within.get("pairs"))}


def _resolution(model: Mapping[str, Any]) -> Section | None:
    """How far AUC and KS that were counted in steps may be from those of single rows."""
    auc, ks = number(model.get("auc_resolution")), number(model.get("ks_resolution"))
    return None if auc is None else {"auc": fixed(auc, 4), "ks": None if ks is None else fixed(ks, 4)}


def _joint_roc(model: Mapping[str, Any]) -> object:
    """Over rows of several parties the curve of their own models would be that of their bad rates as well."""
    return {key: curve for key, curve in mapping(model.get("roc")).items() if key != "alone"}


def _seconds(value: object) -> object:
    """Seconds of a model, given as one number or part by part."""
    return value.get("total", value.get("binning")) if isinstance(value, Mapping) else value


def outcomes(model: Mapping[str, Any]) -> tuple[float, float]:
    """Bads and goods of the hold-out, from the lift table; zero when there is none."""
    lift = records(model.get("lift"))
    bads = total(lift, "bads")
    return bads, total(lift, "rows") - bads


def _headline(model: Mapping[str, Any], parties: Parties) -> list[Section]:
    cards = []
    names = (
        ("auc", "AUC", "曲线下面积", "chance that a defaulter is ranked above a payer"),
        ("ks", "KS", "区分度", "largest distance between the two score distributions"),
        ("gini", "Gini", "基尼系数", "2 × AUC − 1"),
    )
    for key, english, chinese, meaning in names:
        joint = number(model.get(key))
        if joint is None:
            continue
        within = mapping(model.get("within"))
        compared = (within if key == "auc" else {}) if within else model
        shared, alone = number(compared.get(key)), number(compared.get(f"{key}_alone"))
        shared = joint if shared is None else shared
        difference = None if alone is None else shared - alone
        margin = auc_margin(joint, *outcomes(model)) if key == "auc" else None
        cards.append(
            {
                "name": english,
                "chinese": chinese,
                "meaning": meaning + (", over the rows of all parties" if within else ""),
                "value": fixed(joint),
                "joint": fixed(shared),
                "joint_width": width(shared),
                "within": within and difference is not None,
                "alone": fixed(alone),
                "alone_width": width(alone),
                "alone_name": "alone" if within else parties.alone,
                "difference": signed(difference) if difference is not None else None,
                "sense": "up" if (difference or 0) > 0 else "down" if (difference or 0) < 0 else "same",
                "margin": f"± {fixed(margin)}" if margin is not None else None,
            }
        )
    return cards


def _checks(model: Mapping[str, Any], parties: Parties) -> list[Section]:
    """Figures a committee asks for next: over-fitting, calibration in the large, stability."""
    found = []
    auc, train = number(model.get("auc")), number(model.get("auc_train"))
    if auc is not None and train is not None:
        found.append(("AUC on training rows 训练集", f"{fixed(train)} (held out {signed(auc - train)})"))
    if number(model.get("ks_train")) is not None:
        found.append(("KS on training rows 训练集", fixed(model["ks_train"])))
    if number(model.get("logloss")) is not None:
        found.append(("Log-loss 对数损失", fixed(model["logloss"], 4)))
    if number(model.get("logloss_alone")) is not None:
        found.append((f"Log-loss, {parties.alone}", fixed(model["logloss_alone"], 4)))
    bands = records(model.get("calibration"))
    if rows := total(bands, "rows"):
        predicted = sum((number(b.get("predicted")) or 0) * (number(b.get("rows")) or 0) for b in bands) / rows
        observed = sum((number(b.get("observed")) or 0) * (number(b.get("rows")) or 0) for b in bands) / rows
        found.append(
            ("Predicted and observed default rate 预测与实际违约率", f"{percent(predicted)} / {percent(observed)}")
        )
    return [{"name": name, "value": value} for name, value in found]


def _lift(model: Mapping[str, Any]) -> Section:
    rows = records(model.get("lift"))
    worst = max((number(row.get("bad_rate")) or 0.0 for row in rows), default=0.0)
    bads, goods = outcomes(model)
    return {
        "rows": [
            {
                "band": text(row.get("band")),
                "scores": _range(row),
                "rows": count(row.get("rows")),
                "bads": count(row.get("bads")),
                "bad_rate": percent(row.get("bad_rate")),
                "width": width((number(row.get("bad_rate")) or 0.0) / worst) if worst else 0,
                "cum_bads_share": percent(row.get("cum_bads_share")),
                "lift": fixed(row.get("lift"), 2),
                "cum_lift": fixed(row.get("cum_lift"), 2),
            }
            for row in rows
        ],
        "total": {"rows": count(bads + goods), "bads": count(bads), "bad_rate": percent(bads / (bads + goods))}
        if bads + goods
        else None,
    }


def _range(row: Mapping[str, Any]) -> str:
    low, high = number(row.get("score_min")), number(row.get("score_max"))
    return NONE if low is None or high is None else f"{percent(low)} to {percent(high)}"


def _confusion(model: Mapping[str, Any]) -> list[Section]:
    """Cut-offs from lenient to strict, after what refusing nobody would give."""
    table = []
    bads, goods = outcomes(model)
    if bads + goods:
        everyone = {
            "cutoff": "no cut-off",
            "approval_rate": percent(1.0),
            "bad_rate": percent(bads / (bads + goods), 2),
        }
        table.append(
            {**everyone, "bads_refused": percent(0.0), "goods_refused": percent(0.0), "approved_bads": count(bads)}
        )
    for row in sorted(records(model.get("confusion")), key=lambda row: -(number(row.get("cutoff")) or 0.0)):
        tp, fp, tn, fn = (number(row.get(key)) or 0.0 for key in ("tp", "fp", "tn", "fn"))
        table.append(
            {
                "cutoff": percent(row.get("cutoff")),
                "approval_rate": percent(row.get("approval_rate")),
                "bad_rate": percent(row.get("bad_rate"), 2),
                "bads_refused": percent(tp / (tp + fn)) if tp + fn else NONE,
                "goods_refused": percent(fp / (fp + tn)) if fp + tn else NONE,
                "approved_bads": count(fn),
            }
        )
    return table


def _importance(rows: Sequence[Mapping[str, Any]], parties: Parties) -> Section | None:
    gain = total(rows, "gain")
    if gain <= 0:
        return None
    ranked = sorted(rows, key=lambda row: -(number(row.get("gain")) or 0.0))
    largest = number(ranked[0].get("gain")) or 1.0
    by_party = {name: total([row for row in rows if str(row.get("party")) == name], "gain") for name in parties.names}
    return {
        "features": [
            {
                "feature": text(row.get("feature")),
                "party": text(row.get("party")),
                "colour": parties.colour(row.get("party")),
                "share": percent((number(row.get("gain")) or 0.0) / gain),
                "width": width((number(row.get("gain")) or 0.0) / largest),
                "splits": count(row.get("splits")),
            }
            for row in ranked[:_FEATURES_SHOWN]
        ],
        "left_out": max(len(ranked) - _FEATURES_SHOWN, 0),
        "parties": [
            {"id": name, "colour": parties.colour(name), "share": percent(part / gain), "width": width(part / gain)}
            for name, part in by_party.items()
            if part > 0
        ],
    }


def _phases(rows: Sequence[Mapping[str, Any]]) -> list[Section]:
    longest = max((number(row.get("seconds")) or 0.0 for row in rows), default=0.0)
    return [
        {
            "phase": text(row.get("phase")),
            "seconds": duration(row.get("seconds")),
            "width": width((number(row.get("seconds")) or 0.0) / longest) if longest else 0,
            "sent": size(row.get("bytes_sent")),
            "received": size(row.get("bytes_received")),
            "rounds": count(row.get("rounds")),
        }
        for row in rows
    ]

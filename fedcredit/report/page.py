"""From `metrics.json` to what the page shows: every table row and every chart series, ready to print.

The page has no arithmetic of its own. A key that is absent gives an absent section, never an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

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
)
from fedcredit.report.flow import draw_flow

__all__ = ["STABLE_BELOW", "WATCH_BELOW", "build_page"]

Page = dict[str, Any]

# The usual reading of the population stability index.
STABLE_BELOW: Final = 0.10
WATCH_BELOW: Final = 0.25

_COLOURS: Final = 8  # party colours in report.css; more parties than that share them
_FEATURES_SHOWN: Final = 20
_KINDS: Final = {"gbdt": "Boosted trees 梯度提升树", "scorecard": "Scorecard 评分卡"}
_ROLES: Final = {
    "label": "holds the label 标签方",
    "feature": "holds features 数据方",
    "coordinator": "coordinates 协调方",
    "platform": "coordinates 协调方",
}
_CHARTS: Final = ("roc", "ks_curve", "lift", "calibration", "score_distribution", "stability", "confusion", "learning")


def build_page(metrics: Mapping[str, Any]) -> Page:
    """All that the templates need; strings are plain text and are escaped where they are printed."""
    job, rows = mapping(metrics.get("job")), mapping(metrics.get("rows"))
    parties = _Parties(metrics)
    models = [_model(model, index, parties) for index, model in enumerate(records(metrics.get("models")))]
    return {
        "title": text(job.get("name")) if job.get("name") else "Joint credit model",
        "job": {
            "purpose": text(job.get("purpose")),
            "started": _moment(job.get("started")),
            "hash": text(job.get("hash")),
            "seed": text(job.get("seed")),
            "split": _split(mapping(job.get("split"))),
        },
        "rows": {key: count(rows.get(key)) for key in ("aligned", "train", "test")},
        "parties": [_party(party, parties) for party in records(job.get("parties"))],
        "models": models,
        "summary": _summary(records(metrics.get("models")), parties),
        "leakage": _leakage(records(metrics.get("leakage")), parties),
        "traffic": _traffic(records(metrics.get("traffic")), parties),
        "environment": [(str(key), text(value)) for key, value in mapping(metrics.get("environment")).items()],
        "charts": [_charts(model, parties) for model in records(metrics.get("models"))],
    }


class _Parties:
    """Every party named anywhere, each with one colour throughout the report; the label party comes first."""

    def __init__(self, metrics: Mapping[str, Any]) -> None:
        declared = records(mapping(metrics.get("job")).get("parties"))
        names = [str(party.get("id")) for party in declared]
        self.label = next((str(party.get("id")) for party in declared if party.get("role") == "label"), None)
        for row in records(metrics.get("leakage")):
            names.append(str(row.get("party")))
        for row in records(metrics.get("traffic")):
            names += [str(row.get("sender")), str(row.get("receiver"))]
        for model in records(metrics.get("models")):
            names += [str(row.get("party")) for row in records(model.get("importance"))]
        self.names = tuple(dict.fromkeys(sorted(names, key=lambda name: name != self.label)))

    def colour(self, name: object) -> int:
        """The number of the party's colour."""
        return self.names.index(str(name)) % _COLOURS if str(name) in self.names else _COLOURS - 1

    @property
    def alone(self) -> str:
        """What to call the comparison without the other parties."""
        return f"{self.label} alone" if self.label else "label party alone"


def _moment(value: object) -> str:
    """An ISO time to the minute, with its zone; anything else as it is."""
    shown = text(value)
    if len(shown) >= 16 and shown[10:11] == "T":
        return f"{shown[:10]} {shown[11:16]}" + (" UTC" if shown.endswith(("Z", "+00:00")) else "")
    return shown


def _split(split: Mapping[str, Any]) -> str:
    if (share := number(split.get("holdout"))) is not None:
        return f"{percent(share, 0)} held out, chosen by keyed hash of the identifier"
    if split.get("time"):
        return f"out of time: {text(split['time'])} from {text(split.get('from'))} on is held out"
    return ", ".join(f"{key} {text(value)}" for key, value in split.items()) or NONE


def _party(party: Mapping[str, Any], parties: _Parties) -> Page:
    role = str(party.get("role", ""))
    return {
        "id": text(party.get("id")),
        "colour": parties.colour(party.get("id")),
        "role": _ROLES.get(role, role or NONE),
        "rows": count(party.get("rows")) if party.get("rows") else NONE,
        "features": count(party.get("features")) if party.get("features") else NONE,
    }


def _outcomes(model: Mapping[str, Any]) -> tuple[float, float]:
    """Bads and goods of the hold-out, from the lift table; zero when there is none."""
    lift = records(model.get("lift"))
    bads = total(lift, "bads")
    return bads, total(lift, "rows") - bads


def _summary(models: Sequence[Mapping[str, Any]], parties: _Parties) -> Page | None:
    """The first sentence of the report: what joining was worth, on how many held-out rows."""
    scored = [model for model in models if number(model.get("auc")) is not None]
    if not scored:
        return None
    best = max(scored, key=lambda model: float(model["auc"]))
    bads, goods = _outcomes(best)
    alone = number(best.get("auc_alone"))
    difference = None if alone is None else float(best["auc"]) - alone
    margin = auc_margin(best["auc"], bads, goods)
    first = next(iter(records(best.get("lift"))), {})
    worst = number(first.get("rows")) or 0.0
    caught = number(first.get("cum_bads_share"))
    return {
        "auc": fixed(best["auc"]),
        "alone": fixed(alone),
        "alone_name": parties.alone,
        "difference": signed(difference),
        "verdict": "none" if difference is None else "better" if difference > 0 else "not better",
        "margin": fixed(margin) if margin is not None else None,
        "bads": count(bads) if bads else None,
        "test": count(bads + goods) if bads + goods else None,
        "worst_share": percent(worst / (bads + goods), 0) if bads + goods else None,
        "caught": percent(caught, 0) if caught is not None and (number(first.get("lift")) or 0) > 1 else None,
        "one_of_many": text(best.get("name") or best.get("kind")) if len(models) > 1 else None,
    }


def _model(model: Mapping[str, Any], index: int, parties: _Parties) -> Page:
    kind = text(model.get("kind"))
    return {
        "index": index,
        "name": text(model.get("name") or kind),
        "kind": _KINDS.get(kind, kind),
        "alone_name": parties.alone,
        "headline": _headline(model, parties),
        "checks": _checks(model),
        "params": [(str(key), text(value)) for key, value in mapping(model.get("params")).items()],
        "lift": _lift(model),
        "confusion": _confusion(model) if records(model.get("confusion")) else [],
        "stability": _stability(mapping(model.get("stability"))),
        "importance": _importance(records(model.get("importance")), parties),
        "phases": _phases(records(model.get("phases"))),
        "cost": {
            "seconds": duration(model.get("seconds")),
            "bytes": size(model.get("bytes")),
            "rounds": count(model.get("rounds")),
            "trees": count(model.get("trees")),
        },
        "has": {chart: bool(model.get(chart)) for chart in _CHARTS},
        "compared": {key: fixed(model.get(key)) for key in ("auc", "ks", "gini", "auc_alone", "ks_alone")},
    }


def _headline(model: Mapping[str, Any], parties: _Parties) -> list[Page]:
    cards = []
    names = (
        ("auc", "AUC", "曲线下面积", "chance that a defaulter is ranked above a payer"),
        ("ks", "KS", "区分度", "largest distance between the two score distributions"),
        ("gini", "Gini", "基尼系数", "2 × AUC − 1"),
    )
    for key, english, chinese, meaning in names:
        joint, alone = number(model.get(key)), number(model.get(f"{key}_alone"))
        if joint is None:
            continue
        difference = None if alone is None else joint - alone
        margin = auc_margin(joint, *_outcomes(model)) if key == "auc" else None
        cards.append(
            {
                "name": english,
                "chinese": chinese,
                "meaning": meaning,
                "joint": fixed(joint),
                "joint_width": _width(joint),
                "alone": fixed(alone),
                "alone_width": _width(alone),
                "alone_name": parties.alone,
                "difference": signed(difference) if difference is not None else None,
                "sense": "up" if (difference or 0) > 0 else "down" if (difference or 0) < 0 else "same",
                "margin": f"± {fixed(margin)}" if margin is not None else None,
            }
        )
    return cards


def _checks(model: Mapping[str, Any]) -> list[Page]:
    """Figures a committee asks for next: over-fitting, calibration in the large, stability."""
    found = []
    auc, train = number(model.get("auc")), number(model.get("auc_train"))
    if auc is not None and train is not None:
        found.append(("AUC on training rows 训练集", f"{fixed(train)} (held out {signed(auc - train)})"))
    if number(model.get("ks_train")) is not None:
        found.append(("KS on training rows 训练集", fixed(model["ks_train"])))
    if number(model.get("logloss")) is not None:
        found.append(("Log-loss 对数损失", fixed(model["logloss"], 4)))
    bands = records(model.get("calibration"))
    if rows := total(bands, "rows"):
        predicted = sum((number(b.get("predicted")) or 0) * (number(b.get("rows")) or 0) for b in bands) / rows
        observed = sum((number(b.get("observed")) or 0) * (number(b.get("rows")) or 0) for b in bands) / rows
        found.append(
            ("Predicted and observed default rate 预测与实际违约率", f"{percent(predicted)} / {percent(observed)}")
        )
    return [{"name": name, "value": value} for name, value in found]


def _lift(model: Mapping[str, Any]) -> Page:
    rows = records(model.get("lift"))
    worst = max((number(row.get("bad_rate")) or 0.0 for row in rows), default=0.0)
    bads, goods = _outcomes(model)
    return {
        "rows": [
            {
                "band": text(row.get("band")),
                "scores": _range(row),
                "rows": count(row.get("rows")),
                "bads": count(row.get("bads")),
                "bad_rate": percent(row.get("bad_rate")),
                "width": _width((number(row.get("bad_rate")) or 0.0) / worst) if worst else 0,
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


def _confusion(model: Mapping[str, Any]) -> list[Page]:
    """Cut-offs from lenient to strict, after what refusing nobody would give."""
    table = []
    bads, goods = _outcomes(model)
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


def _stability(stability: Mapping[str, Any]) -> Page | None:
    index = number(stability.get("index"))
    if index is None:
        return None
    if index < STABLE_BELOW:
        light, meaning = "stable", "stable: no action"
    elif index < WATCH_BELOW:
        light, meaning = "watch", "some shift: watch"
    else:
        light, meaning = "shifted", "marked shift: review the model"
    return {
        "index": fixed(index, 4),
        "light": light,
        "meaning": meaning,
        "at": _width(index / 0.35),
        "bands": [
            {
                "band": text(row.get("band")),
                "train": percent(row.get("train_share")),
                "test": percent(row.get("test_share")),
            }
            for row in records(stability.get("bands"))
        ],
    }


def _importance(rows: Sequence[Mapping[str, Any]], parties: _Parties) -> Page | None:
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
                "width": _width((number(row.get("gain")) or 0.0) / largest),
                "splits": count(row.get("splits")),
            }
            for row in ranked[:_FEATURES_SHOWN]
        ],
        "left_out": max(len(ranked) - _FEATURES_SHOWN, 0),
        "parties": [
            {"id": name, "colour": parties.colour(name), "share": percent(part / gain), "width": _width(part / gain)}
            for name, part in by_party.items()
            if part > 0
        ],
    }


def _phases(rows: Sequence[Mapping[str, Any]]) -> list[Page]:
    longest = max((number(row.get("seconds")) or 0.0 for row in rows), default=0.0)
    return [
        {
            "phase": text(row.get("phase")),
            "seconds": duration(row.get("seconds")),
            "width": _width((number(row.get("seconds")) or 0.0) / longest) if longest else 0,
            "sent": size(row.get("bytes_sent")),
            "received": size(row.get("bytes_received")),
            "rounds": count(row.get("rounds")),
        }
        for row in rows
    ]


def _leakage(rows: Sequence[Mapping[str, Any]], parties: _Parties) -> list[Page]:
    """What each party learned, grouped by party in order of first mention."""
    grouped: dict[str, list[Page]] = {}
    for row in rows:
        fact = {key: text(row.get(key)) for key in ("learns", "about", "through")}
        grouped.setdefault(text(row.get("party")), []).append(fact)
    return [{"party": name, "colour": parties.colour(name), "facts": facts} for name, facts in grouped.items()]


def _traffic(rows: Sequence[Mapping[str, Any]], parties: _Parties) -> Page | None:
    if not rows:
        return None
    pairs: dict[tuple[str, str], tuple[float, float]] = {}
    for row in rows:
        pair = (str(row.get("sender")), str(row.get("receiver")))
        sent, messages = pairs.get(pair, (0.0, 0.0))
        pairs[pair] = (sent + (number(row.get("bytes")) or 0.0), messages + (number(row.get("messages")) or 0.0))
    heaviest = max(sent for sent, _ in pairs.values()) or 1.0
    ranked = sorted(pairs.items(), key=lambda item: -item[1][0])
    return {
        "pairs": [
            {
                "sender": sender,
                "receiver": receiver,
                "sender_colour": parties.colour(sender),
                "receiver_colour": parties.colour(receiver),
                "bytes": size(sent),
                "messages": count(messages),
                "width": _width(sent / heaviest),
            }
            for (sender, receiver), (sent, messages) in ranked
        ],
        "bytes": size(total(rows, "bytes")),
        "messages": count(total(rows, "messages")),
        "flow": draw_flow({pair: sent for pair, (sent, _) in pairs.items()}, parties.colour),
    }


def _charts(model: Mapping[str, Any], parties: _Parties) -> Page:
    return {
        "alone": parties.alone,
        "ks": number(model.get("ks")),
        **{key: model.get(key) for key in _CHARTS if model.get(key)},
    }


def _width(share: float | None) -> float:
    """A share of one as a CSS percentage, kept within the bar."""
    return round(100.0 * min(max(share or 0.0, 0.0), 1.0), 1)

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
from fedcredit.report.flow import draw_flow
from fedcredit.report.models import chart_series, outcomes, show_model
from fedcredit.report.parties import Parties

__all__ = ["build_page"]

Page = dict[str, Any]

_ROLES: Final = {
    "label": "holds the label 标签方",
    "member": "holds the label of rows of its own 标签方",
    "feature": "holds features 数据方",
    "coordinator": "coordinates 协调方",
    "platform": "coordinates 协调方",
}


_ROLES_OF_MEMBERS: Final = _ROLES | {
    "label": "has rows of its own, and adds up 牵头方",
    "member": "has rows of its own 成员方",
}
_ROLES_OF_STATISTICS: Final = _ROLES | {"label": "asks 查询方", "feature": "lends columns 数据方"}


def build_page(metrics: Mapping[str, Any]) -> Page:
    """All that the templates need; strings are plain text and are escaped where they are printed."""
    job, rows = mapping(metrics.get("job")), mapping(metrics.get("rows"))
    parties, learned = Parties(metrics), records(metrics.get("leakage"))
    kinds = {str(model.get("kind")) for model in records(metrics.get("models"))}
    counted = kinds == {"statistics"}
    models = [show_model(model, index, parties) for index, model in enumerate(records(metrics.get("models")))]
    return {
        "title": text(job.get("name")) if job.get("name") else "Joint credit model",
        "part": text(metrics["part_of"]) if metrics.get("part_of") else None,
        "job": {
            "purpose": text(job.get("purpose")),
            "started": _moment(job.get("started")),
            "hash": text(job.get("hash")),
            "seed": text(job.get("seed")),
            "split": _split(mapping(job.get("split"))),
        },
        "rows": {key: count(rows.get(key)) for key in ("aligned", "train", "test")},
        "horizontal": parties.horizontal,
        # Whose a column is, is worth a column of its own only where there are several owners, and several pages.
        "whose": not parties.horizontal and not metrics.get("part_of"),
        "within": any(model["within"] for model in models),
        "own": _own(metrics, parties),
        "intersect": {key: text(value) for key, value in mapping(metrics.get("intersect")).items()},
        "parties": [_party(party, parties, counted) for party in records(job.get("parties"))],
        "counted": counted,
        "models": models,
        "summary": _summary(records(metrics.get("models")), parties),
        "leakage": _leakage([row for row in learned if not _is_formal(row)], parties),
        "formal": _leakage([row for row in learned if _is_formal(row)], parties),
        "traffic": _traffic(records(metrics.get("traffic")), parties),
        "environment": [(str(key), text(value)) for key, value in mapping(metrics.get("environment")).items()],
        "charts": [chart_series(model, parties) for model in records(metrics.get("models"))],
    }


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


def _party(party: Mapping[str, Any], parties: Parties, counted: bool) -> Page:
    role = str(party.get("role", ""))
    roles = _ROLES_OF_MEMBERS if parties.horizontal else _ROLES_OF_STATISTICS if counted else _ROLES
    return {
        "id": text(party.get("id")),
        "colour": parties.colour(party.get("id")),
        "role": roles.get(role, role or NONE),
        "rows": count(party.get("rows")) if party.get("rows") else NONE,
        "features": count(party.get("features")) if party.get("features") else NONE,
    }


def _summary(models: Sequence[Mapping[str, Any]], parties: Parties) -> Page | None:
    """The first sentence of the report: what joining was worth, on how many held-out rows."""
    scored = [model for model in models if number(model.get("auc")) is not None]
    if not scored:
        return None
    best = max(scored, key=lambda model: float(model["auc"]))
    bads, goods = outcomes(best)
    # Where each party has a model of its own, only rows of one party are compared with one another.
    compared = mapping(best.get("within")) or best
    alone = number(compared.get("auc_alone"))
    joint = number(compared.get("auc"))
    difference = None if alone is None or joint is None else joint - alone
    margin = auc_margin(best["auc"], bads, goods)
    first = next(iter(records(best.get("lift"))), {})
    worst = number(first.get("rows")) or 0.0
    caught = number(first.get("cum_bads_share"))
    return {
        "auc": fixed(joint),
        "within": bool(best.get("within")),
        "overall": fixed(best["auc"]),
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


def _own(metrics: Mapping[str, Any], parties: Parties) -> Page | None:
    """What joining is worth to one party on its own rows, which is that party's alone to see."""
    own = mapping(metrics.get("own"))
    models = mapping(own.get("models"))
    if not models:
        return None
    order = [str(model.get("name")) for model in records(metrics.get("models"))]
    rows = []
    for name in sorted(models, key=lambda name: order.index(name) if name in order else len(order)):
        figures = mapping(models[name])
        joint, alone = number(figures.get("auc")), number(figures.get("auc_alone"))
        bads = number(figures.get("bads")) or 0.0
        margin = auc_margin(joint, bads, (number(figures.get("rows")) or 0.0) - bads)
        row = {key: fixed(figures.get(key)) for key in ("auc", "auc_alone", "ks", "ks_alone")}
        row |= {"model": text(name), "rows": count(figures.get("rows")), "bads": count(figures.get("bads"))}
        row["gained"] = NONE if joint is None or alone is None else signed(joint - alone)
        rows.append(row | {"margin": NONE if margin is None else f"± {fixed(margin)}"})
    return {"party": text(own.get("party")), "colour": parties.colour(own.get("party")), "rows": rows}


def _leakage(rows: Sequence[Mapping[str, Any]], parties: Parties) -> list[Page]:
    """What each party learned, grouped by party in order of first mention.

    The same fact about several parties is one line that names them all; parties of a horizontal job that learned the
    same of each other are one group.
    """
    facts: dict[str, dict[tuple[str, str], list[str]]] = {}
    for row in rows:
        fact = text(row.get("learns")), text(row.get("through"))
        facts.setdefault(text(row.get("party")), {}).setdefault(fact, []).append(text(row.get("about")))
    alike: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for group, told in facts.items():
        alike.setdefault(tuple(told) if parties.horizontal else ((group, ""),), []).append(group)
    return [
        {
            "parties": [
                {"id": name, "colour": parties.colour(name)} for group in groups for name in parties.split(group)
            ],
            "facts": [
                {"learns": learns, "about": _about(groups, (learns, through), facts, parties), "through": through}
                for learns, through in facts[groups[0]]
            ],
        }
        for groups in alike.values()
    ]


def _about(
    groups: Sequence[str],
    fact: tuple[str, str],
    facts: Mapping[str, Mapping[tuple[str, str], Sequence[str]]],
    parties: Parties,
) -> str:
    """Whom a fact that all `groups` learned is about."""
    told = list(dict.fromkeys(about for group in groups for about in facts[group][fact]))
    if len(groups) == 1:
        return ", ".join(told)
    names = list(dict.fromkeys(name for about in told for name in parties.split(about)))
    return "each other" if set(names) <= set(groups) else ", ".join(names)


def _is_formal(row: Mapping[str, Any]) -> bool:
    """Whether the row is a protocol role's own statement, in the words of the protocol: `through` is its class."""
    return str(row.get("through")).startswith("fedcredit.")


def _traffic(rows: Sequence[Mapping[str, Any]], parties: Parties) -> Page | None:
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
                "width": width(sent / heaviest),
            }
            for (sender, receiver), (sent, messages) in ranked
        ],
        "bytes": size(total(rows, "bytes")),
        "messages": count(total(rows, "messages")),
        "flow": draw_flow({pair: sent for pair, (sent, _) in pairs.items()}, parties.colour),
    }

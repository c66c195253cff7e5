"""The parties of a job as an estimator knows them."""

from __future__ import annotations

from fedcredit.estimators import Federation
from fedcredit.node.models import ModelContext

__all__ = ["federation_of"]


def federation_of(context: ModelContext) -> Federation:
    """All that a model of this job needs to reach its peers."""
    return Federation(
        me=context.me,
        label_party=context.label_party,
        feature_parties=context.feature_parties,
        transport=context.transport,
        ssid=context.ssid,
        epoch=context.epoch,
        deadline_s=context.peer_timeout_s,
        meter=context.meter,
        kept_secret=context.secret,
    )

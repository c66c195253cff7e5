"""What a node's policy would say to a request about a published model, and why. Nothing is asked or spent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fedcredit.errors import ConfigError, Problem, RefusedError, UsageError
from fedcredit.governance.registry.documents import Offer
from fedcredit.governance.registry.rules import Act, Asked, ModelRule, RuleSaid, admit, said_of
from fedcredit.governance.scoring.decisions import Outcome
from fedcredit.ids import PartyId
from fedcredit.node.own_store import store_url
from fedcredit.node.store import Store
from fedcredit.node.verification.log_key import log_key, subject_tag
from fedcredit.runtime.config import PartyFile
from fedcredit.runtime.policy_file import PolicyFile, load_policy

__all__ = ["ModelExplained", "ScoresUsed", "explain_model"]

_ASKED_OF_PARTIES = frozenset({Act.APPROVE, Act.SCORE})
_KIND = "scorecard"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoresUsed:
    """What of a grant is used up. `today`: subjects of this model that the requester was answered on in the day of the
    policy's zone.

    Of one subject, where one was named: `scored`, how often under this version; `last`, when; `again`, from when on the
    rule lets it be scored again; `lists`, with how many different lists of providers; `consents`, how often each of its
    consents was used here, in any order.
    """

    today: int
    scored: int | None = None
    last: datetime | None = None
    again: datetime | None = None
    lists: int = 0
    consents: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelExplained:
    """A decision with what it was made from. `version` is None where the node knows none of that name, `used` where
    the request is not for scores, or no rule lets it. `notes` say what else a score takes, or what was assumed."""

    policy: PolicyFile
    asked: Asked
    version: int | None
    said: tuple[RuleSaid, ...]
    rule: ModelRule | None
    reasons: tuple[Problem, ...]
    used: ScoresUsed | None
    notes: tuple[str, ...]

    @property
    def admits(self) -> bool:
        """Whether the policy lets it be."""
        return not self.reasons


def explain_model(
    config: PartyFile,
    *,
    act: Act,
    model: str,
    version: int | None,
    requester: PartyId,
    purpose: str | None,
    subject: str | None,
    now: datetime,
) -> ModelExplained:
    """What the policy in the node's folder makes of the request at `now`. Reads the policy and the store.

    Without `version` it is the last one that the node knows. `purpose`: of a model that it does not know.
    Raises: ConfigError for a policy that cannot be used; UsageError (USAGE, MODEL_UNKNOWN).
    """
    is_platform = config.party.kind == "platform"
    if is_platform and act in _ASKED_OF_PARTIES:
        what, fix = f"is a platform, and {act.value} is asked of parties", "give --node DIR of a party of the model"
        raise UsageError(Problem("USAGE", str(config.folder), what, fix))
    if subject is not None and act is not Act.SCORE:
        raise UsageError(Problem("USAGE", "--subject", f"is for scores, and {act.value} is about no subject"))
    source, store = load_policy(config.folder), _store(config)
    try:
        known = dict(_known(store, model, is_platform))
        number = max(known, default=None) if version is None else version
        if version is not None and version not in known:
            fix = f"known here: {', '.join(map(str, sorted(known))) or 'none'}; leave --version out"
            raise UsageError(Problem("MODEL_UNKNOWN", f"model {model[:32]} {version}", "is not known here", fix))
        offer = None if number is None else known[number]
        asked = Asked(
            caller=requester,
            act=act,
            model=model,
            kind=_KIND if offer is None else offer.kind,
            purpose=(purpose or "financing") if offer is None else offer.purpose,
        )
        rule, reasons = _decided(source, asked)
        used = None
        if act is Act.SCORE and rule is not None and not reasons:
            used = _used(config, source, store, rule, asked, number, subject, now)
        return ModelExplained(
            policy=source,
            asked=asked,
            version=number,
            said=tuple(said_of(source.models, asked)),
            rule=rule,
            reasons=reasons,
            used=used,
            notes=tuple(_notes(config, store, asked, number, offer, purpose)),
        )
    finally:
        if store is not None:
            store.close()


def _store(config: PartyFile) -> Store | None:
    """None where the node has never run."""
    try:
        return Store.look(store_url(config))
    except ConfigError as error:
        if error.code != "STORE_MISSING":
            raise
        return None


def _known(store: Store | None, model: str, is_platform: bool) -> Iterator[tuple[int, Offer]]:
    if store is None:
        return
    if is_platform:
        yield from ((kept.version, kept.manifest.offer) for kept in store.models.all(model))
    else:
        yield from ((part.word.version, part.offer) for part in store.model_parts.all() if part.word.name == model)


def _decided(source: PolicyFile, asked: Asked) -> tuple[ModelRule | None, tuple[Problem, ...]]:
    try:
        return admit(source.models, asked), ()
    except RefusedError as refused:
        deciding = [one.rule for one in said_of(source.models, asked) if not one.misses]
        return (deciding[0] if deciding else None), tuple(refused.problems)


def _used(
    config: PartyFile,
    source: PolicyFile,
    store: Store | None,
    rule: ModelRule,
    asked: Asked,
    version: int | None,
    subject: str | None,
    now: datetime,
) -> ScoresUsed:
    if store is None:
        return ScoresUsed(today=0, scored=None if subject is None else 0)
    day = now.astimezone(source.policy.zone).replace(hour=0, minute=0, second=0, microsecond=0)
    today = store.scores.answered(asked.caller, asked.model, int(day.timestamp()))
    if subject is None:
        return ScoresUsed(today=today)
    tag = bytes.fromhex(subject_tag(log_key(config.folder), subject))
    every = [row for row in store.scores.about(tag) if row.outcome is Outcome.ANSWERED]
    uses = [row.consent for row in every]
    same = [row for row in every if (row.requester, row.model, row.version) == (asked.caller, asked.model, version)]
    last = datetime.fromtimestamp(same[-1].at, UTC) if same else None
    again = None if last is None or not rule.score.again_days else last + timedelta(days=rule.score.again_days)
    return ScoresUsed(
        today=today,
        scored=len(same),
        last=last,
        again=again,
        lists=len({row.bound for row in same}),
        consents=tuple(uses.count(consent) for consent in sorted(set(uses))),
    )


def _notes(
    config: PartyFile, store: Store | None, asked: Asked, version: int | None, offer: Offer | None, purpose: str | None
) -> Iterator[str]:
    if offer is None:
        yield f"no version of {asked.model} is known here: taken for a {asked.kind} for {asked.purpose}"
    elif purpose is not None and purpose != offer.purpose:
        yield f"{asked.model} {version} is for {offer.purpose}: a request for {purpose} is refused"
    if asked.act is not Act.SCORE:
        return
    if config.score is None:
        yield "this node answers no requests for scores: party.toml has no [score]"
    else:
        yield f"at least {config.score.min_providers} providers have to answer together"
    part = None if store is None or version is None else store.model_parts.of(asked.model, version)
    if part is not None and not part.word.approves:
        yield f"this party has withdrawn its part of {asked.model} {version}"
    yield "each subject has to consent, and its version has to count: fedcredit model show"

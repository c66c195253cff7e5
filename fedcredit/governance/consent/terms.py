"""What a subject is asked to agree to, before there is a token: the terms, and the text that is shown of them.

The text is a function of the terms and of the shipped catalogs and predicates alone. The authority makes it again and
compares the hash, so that a token cannot say that another text was shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Literal

from fedcredit.errors import Problem, UsageError
from fedcredit.governance.consent import canonical
from fedcredit.governance.consent.claims import (
    MAX_LIFETIME_S,
    MAX_NAMES,
    MAX_PROVIDERS,
    ConsentBy,
    Scope,
    are_models,
    are_providers,
)
from fedcredit.governance.consent.refusal import ConsentRefused
from fedcredit.governance.consent.subjects import is_enterprise_code, is_person_number
from fedcredit.governance.consent.token import moment
from fedcredit.ids import Purpose

__all__ = ["LANGUAGES", "MAX_DAYS", "MAX_TERMS_BYTES", "Language", "Terms", "Wording", "disclosure", "disclosure_hash"]

Language = Literal["zh", "en"]
LANGUAGES: tuple[Language, ...] = ("zh", "en")

DAY_S = 86_400
MAX_DAYS = MAX_LIFETIME_S // DAY_S
MAX_TERMS_BYTES = 16 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is asked of a subject. `starts`: seconds since 1970, 0 for the moment of the grant; `days`: how long.

    Either `items` and `predicates` say which questions, or `models` of which published models scores may be computed.
    Names stand in order, each once. Raises: UsageError (CONSENT_TERMS).
    """

    subject: str
    requester: str
    providers: tuple[str, ...]
    purpose: str
    region: str
    items: tuple[str, ...] = ()
    predicates: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    max_uses: int = 1
    starts: int = 0
    days: int = 30
    language: Language = "zh"

    def __post_init__(self) -> None:
        problems = [Problem("CONSENT_TERMS", f"terms: {where}", what, fix) for where, what, fix in self._wrong()]
        if problems:
            raise UsageError(problems)

    def _wrong(self) -> list[tuple[str, str, str]]:
        found = []
        if not isinstance(self.subject, str) or not (
            is_enterprise_code(self.subject) or is_person_number(self.subject)
        ):
            fix = "18 characters with the right check character"
            found.append(("subject", "is neither an enterprise's code nor a person's number", fix))
        if self.purpose not in list(Purpose):
            found.append(("purpose", "is none that there is", "one of " + ", ".join(Purpose)))
        if self.language not in LANGUAGES:
            found.append(("language", "is not one of zh, en", ""))
        if type(self.days) is not int or not 1 <= self.days <= MAX_DAYS:
            found.append(("days", f"is not from 1 to {MAX_DAYS}", ""))
        if type(self.starts) is not int or not 0 <= self.starts < 1 << 33:
            found.append(("starts", "is no time in seconds since 1970", ""))
        if not are_providers(self.providers):
            found.append(("providers", "are none, or not in order, or not spelt as names are", _FIX))
        if self.models and (self.items or self.predicates):
            found.append(("models", "stand beside questions", "ask for a consent to scores and one to questions"))
        elif self.models and not are_models(self.models):
            found.append(("models", "are too many, not in order, or not spelt as published models are", _MODELS_FIX))
        else:
            try:
                self.scope()
            except ConsentRefused:
                found.append(("requester, region, items, predicates or max_uses", "are not as a token has them", _FIX))
        return found

    def scope(self) -> Scope:
        """The part that goes into the token as it is. Raises: ConsentRefused (CONSENT_CLAIM)."""
        return Scope(
            requester=self.requester,
            purpose=self.purpose,
            region=self.region,
            items=self.items,
            predicates=self.predicates,
            models=self.models,
            max_uses=self.max_uses,
        )

    def to_bytes(self) -> bytes:
        """As they travel, and are compared when a grant is repeated."""
        value = {field.name: getattr(self, field.name) for field in fields(self)}
        if not self.models:
            # As before there were scores, so that a grant of then, asked for again, is the same.
            del value["models"]
        return canonical.write({name: list(part) if isinstance(part, tuple) else part for name, part in value.items()})

    @classmethod
    def parse(cls, data: bytes) -> Terms:
        """The terms that `to_bytes` wrote. Raises: UsageError (CONSENT_TERMS)."""
        try:
            value = canonical.read(data) if len(data) <= MAX_TERMS_BYTES else None
            if not isinstance(value, dict):
                raise canonical.NotCanonical
            found = cls(**{name: _listed(name, part) for name, part in value.items()})
            if found.to_bytes() != data:
                raise canonical.NotCanonical
        except (canonical.NotCanonical, TypeError, AttributeError):
            raise UsageError(Problem("CONSENT_TERMS", "terms", "cannot be read")) from None
        return found


@dataclass(frozen=True, slots=True)
class Wording:
    """Names that people read, in one language, by identifier; what has none is shown as it is."""

    region: str
    items: Mapping[str, str]
    predicates: Mapping[str, str]


def disclosure(terms: Terms, by: ConsentBy, wording: Wording) -> str:
    """The text that is shown before a subject agrees, in the language of the terms."""
    subject = terms.subject
    lines = _TEXTS[terms.language] | (_SCORE_TEXTS[terms.language] if terms.models else {})
    covered = [f"{wording.items.get(name, name)} [{name}]" for name in terms.items]
    asked = [f"{wording.predicates.get(name, name)} [{name}]" for name in terms.predicates]
    asked += terms.models
    said = {
        "subject": subject,
        "requester": terms.requester,
        "providers": _joined(terms.providers, terms.language),
        "purpose": _PURPOSES[terms.language][Purpose(terms.purpose)],
        "region": f"{wording.region} [{terms.region}]",
        "days": str(terms.days),
        "start": lines["now"] if terms.starts == 0 else lines["later"].format(time=moment(terms.starts).isoformat()),
        "uses": str(terms.max_uses),
    }
    text = [lines["title"], lines["who"], lines["by_person" if by is ConsentBy.PERSON else "by_enterprise"]]
    text += [lines["what"], *(f"- {line}" for line in [*covered, *asked]), lines["how"], lines["rights"]]
    # Line by line, so that a brace in a name of a catalog stays a brace.
    return "\n".join(line.format(**said) if not line.startswith("- ") else line for line in text) + "\n"


def disclosure_hash(text: str) -> bytes:
    """What stands in the token for the text."""
    return hashlib.sha256(text.encode()).digest()


def _joined(names: Sequence[str], language: Language) -> str:
    return ("、" if language == "zh" else ", ").join(names)


def _listed(name: str, part: Any) -> Any:
    return tuple(part) if name in ("providers", "items", "predicates", "models") and isinstance(part, list) else part


_FIX = f"1 to {MAX_PROVIDERS} providers, items or predicates, each name once and in the order of the alphabet"

_MODELS_FIX = f"1 to {MAX_NAMES} names, each once and in the order of the alphabet, as `fedcredit model list` has them"

_PURPOSES: Mapping[Language, Mapping[Purpose, str]] = MappingProxyType(
    {
        "zh": {Purpose.FINANCING: "融资服务", Purpose.RESEARCH: "研究", Purpose.SUPERVISION: "监督管理"},
        "en": {
            Purpose.FINANCING: "financing",
            Purpose.RESEARCH: "research",
            Purpose.SUPERVISION: "supervision",
        },
    }
)

_TEXTS: Mapping[Language, dict[str, str]] = MappingProxyType(
    {
        "zh": {
            "title": "信用信息核验授权书",
            "who": (
                "授权主体:{subject}。被授权查询机构:{requester}。数据提供单位:{providers}。"
                "地区:{region}。用途:仅限{purpose}。"
            ),
            "by_enterprise": "本授权由企业作出,不代替任何自然人的同意。",
            "by_person": "本授权由自然人就其个人信息单独作出,不因企业授权而视为已同意。",
            "what": "允许核验的事项:",
            "how": (
                "方式:数据提供单位在本单位内核对,每次只向查询机构回答“是”“否”或“未知”,不提供原始数据。"
                "有效期:自{start}起{days}天。次数:向每个数据提供单位最多{uses}次。每次核验均有记录。"
            ),
            "rights": (
                "权利:可随时免费撤回;撤回前已作的核验不受影响,撤回后不再作答。可免费查询谁核验过什么,并可提出异议。"
            ),
            "now": "授权之时",
            "later": "{time}",
        },
        "en": {
            "title": "Consent to the verification of credit information",
            "who": (
                "Subject: {subject}. Institution that may ask: {requester}. Departments that answer: {providers}. "
                "Region: {region}. For {purpose} only."
            ),
            "by_enterprise": "This consent is the enterprise's. It does not stand for that of any natural person.",
            "by_person": (
                "This consent is a natural person's own, given separately for personal information. An enterprise's "
                "consent does not stand for it."
            ),
            "what": "What may be verified:",
            "how": (
                "How: each department looks at its own records and answers yes, no or unknown; no record leaves it. "
                "Valid for {days} days from {start}. At most {uses} times at each department. Each time is recorded."
            ),
            "rights": (
                "Rights: it can be withdrawn free of charge at any time; what was verified before stays lawful, and "
                "nothing is answered afterwards. You may see free of charge who asked what, and object."
            ),
            "now": "the moment of consent",
            "later": "{time}",
        },
    }
)

_SCORE_TEXTS: Mapping[Language, dict[str, str]] = MappingProxyType(
    {
        "zh": {
            "title": "信用评分授权书",
            "what": "允许计算评分的模型(含经全体参与方批准的各版本):",
            "how": (
                "方式:数据提供单位在本单位内以自有记录计算,结果加密后发给查询机构;查询机构只能解密各单位结果之和,"
                "即上列模型的评分,任何原始数据均不出本单位。评分会反映这些记录的情况,单位越少越能从中推知。"
                "有效期:自{start}起{days}天。次数:在每个数据提供单位最多{uses}次。每次计算均有记录。"
            ),
            "rights": (
                "权利:可随时免费撤回;撤回前已作的评分不受影响,撤回后不再计算。可免费查询谁要求过评分,并可提出异议。"
            ),
        },
        "en": {
            "title": "Consent to encrypted credit scores",
            "what": "Models of which a score may be computed, in every version that all their parties have approved:",
            "how": (
                "How: each department computes from its own records and sends the result encrypted. The institution "
                "can read only what all results add up to, a score of a model named above; no record leaves a "
                "department. A score reflects the records behind it, the more plainly the fewer departments there are. "
                "Valid for {days} days from {start}. At most {uses} times at each department. Each time is recorded."
            ),
            "rights": (
                "Rights: it can be withdrawn free of charge at any time; what was computed before stays lawful, and "
                "nothing is computed afterwards. You may see free of charge who asked for scores, and object."
            ),
        },
    }
)

"""`fedcredit audit verify --witness`: whose signatures over a log's heads are asked for, and whether they are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedcredit.governance.witness import WitnessedHeads

__all__ = ["Asked", "asked_witnesses", "check_witnesses"]


@dataclass(frozen=True, slots=True)
class Asked:
    """Certificates by the witnesses' names, and how many of them have to have signed."""

    certificates: Mapping[str, Path]
    needed: int


def asked_witnesses(given: Sequence[str], needed: int | None) -> Asked:
    """What NAME=CERT arguments ask for. Raises: UsageError."""
    from fedcredit.errors import Problem, UsageError

    found: dict[str, Path] = {}
    for text in given:
        name, _, path = text.partition("=")
        if not name or not path or name in found:
            what = "is given twice" if name in found else "is not NAME=CERT"
            raise UsageError(Problem("USAGE", f"--witness {text[:100]}", what, "e.g. --witness bank=bank/signing.crt"))
        found[name] = Path(path)
    if needed is not None and needed > len(found):
        what = f"{needed} are needed and {len(found)} are named"
        raise UsageError(Problem("USAGE", "--witnesses-needed", what, "name them with --witness NAME=CERT"))
    return Asked(found, len(found) if needed is None else needed)


def check_witnesses(asked: Asked, origin: str, heads: WitnessedHeads) -> list[dict[str, Any]]:
    """Of the witnesses that are asked for, those that have signed, and how many entries.

    Raises: AuditBroken (AUDIT_WITNESS) if a signature does not fit, or fewer are there than are needed; ConfigError.
    """
    from fedcredit.governance.audit import AuditBroken
    from fedcredit.node.audit_places import check_witness

    rows, missing = list[dict[str, Any]](), list[str]()
    for name, certificate in asked.certificates.items():
        found = check_witness(certificate, name, heads)
        if found is None:
            missing.append(name)
        else:
            rows.append({"witness": name, "entries": found.signed.head.size})
    if len(rows) < asked.needed:
        what = f"{len(rows)} of {asked.needed} witnesses have signed it; not {', '.join(missing)}"
        raise AuditBroken("AUDIT_WITNESS", f"audit log of {origin}", what, "ask them whether they were shown it")
    return rows

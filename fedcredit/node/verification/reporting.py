"""Reports between a member and its platform: sent by a command of the member, looked at by one of the platform."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from pydantic import ValidationError

from fedcredit.errors import ConfigError, DataError, Problem
from fedcredit.governance.verification.ledger import Report, combined
from fedcredit.governance.verification.outcomes import OutcomeRow, OutcomeSet, Standing, summary
from fedcredit.node.own_node import OwnNode
from fedcredit.node.own_store import store_url
from fedcredit.node.store import Store
from fedcredit.runtime.config import PartyFile
from fedcredit.wire.usage import LoanOutcomes, UsageReport

__all__ = ["platform_outcomes", "platform_report", "read_outcomes", "send_outcomes", "send_report"]

_MAX_FILE_BYTES = 8 << 20
_MAX_PROBLEMS = 20


def send_report(config: PartyFile, report: Report) -> None:
    """Send a provider's report to its platform. Raises: FedcreditError where it does not take it."""
    asyncio.run(_send(config, UsageReport(json.dumps(report.document()).encode())))


def send_outcomes(config: PartyFile, outcomes: Sequence[Standing]) -> None:
    """Send an institution's standings of loans to its platform. Raises: FedcreditError where it does not take them."""
    asyncio.run(_send(config, LoanOutcomes(OutcomeSet.of(outcomes).encode())))


def platform_report(config: PartyFile, since: date, until: date) -> Report:
    """What providers have sent to this platform, in one. Raises: ConfigError (STORE_*)."""
    store = Store.look(store_url(config))
    try:
        found = store.usage.between(since, until)
    finally:
        store.close()
    return combined(config.me, found) if found else Report(config.me, since, until, ())


def platform_outcomes(config: PartyFile) -> list[OutcomeRow]:
    """How the loans that were reported to this platform stand. Raises: ConfigError (STORE_*, PLATFORM_ONLY)."""
    if config.party.kind != "platform":
        what = f"is a {config.party.kind}; outcomes are reported to platforms"
        raise ConfigError(Problem("PLATFORM_ONLY", f"node {config.me}", what, "name the platform's folder"))
    store = Store.look(store_url(config))
    try:
        return summary(store.outcomes.latest())
    finally:
        store.close()


def read_outcomes(path: Path) -> list[Standing]:
    """The standings in a CSV file with a header. Raises: DataError with row and column, never a value."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
        lines = data.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(Problem("CSV_FILE", str(path), f"cannot be read ({error.strerror})")) from None
    except UnicodeDecodeError:
        raise DataError(Problem("CSV_ENCODING", str(path), "is not UTF-8", "save it as UTF-8")) from None
    if len(data) > _MAX_FILE_BYTES:
        raise DataError(Problem("CSV_FILE", str(path), f"is larger than {_MAX_FILE_BYTES} bytes", "split it"))
    found, problems = list[Standing](), list[Problem]()
    try:
        for number, row in enumerate(csv.DictReader(lines, strict=True), 2):
            try:
                found.append(Standing.model_validate(_typed(row)))
            except (ValidationError, ValueError) as invalid:
                errors = invalid.errors() if isinstance(invalid, ValidationError) else []
                column = str(errors[0]["loc"][0]) if errors else "amount_yuan or rate_bp"
                problems.append(
                    Problem("OUTCOME_REPORT", f"{path}, line {number}: {column[:64]}", "is not what it has to be")
                )
            if len(problems) >= _MAX_PROBLEMS:
                break
    except csv.Error:
        raise DataError(Problem("CSV_STRUCTURE", str(path), "is not CSV")) from None
    if problems:
        raise DataError(problems)
    return found


def _typed(row: dict[str, str | None]) -> dict[str, object]:
    typed: dict[str, object] = {str(name): value for name, value in row.items()}
    for name in ("amount_yuan", "rate_bp"):
        text = typed.pop(name, None)
        if text:
            typed[name] = int(str(text))
    return typed


async def _send(config: PartyFile, report: UsageReport | LoanOutcomes) -> None:
    async with OwnNode(config) as node:
        await node.platform().report(report)

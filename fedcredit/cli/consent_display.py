"""What the commands of `fedcredit consent` print and write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from fedcredit.errors import ConfigError, Problem, UsageError
from fedcredit.governance.consent.decision import lapsed
from fedcredit.governance.consent.explain import explained
from fedcredit.governance.consent.refusal import ConsentRefused, Why
from fedcredit.governance.consent.token import Envelope
from fedcredit.node.consent.held import HeldConsents
from fedcredit.node.consent.wording import wording_of
from fedcredit.node.durable_files import create_file
from fedcredit.node.own_node import node_of
from fedcredit.node.signing import load_signing
from fedcredit.node.trust.keys import load_trust, platform_address
from fedcredit.runtime.clock import SystemClock

__all__ = ["explain", "lines_of", "verify_at", "write_grant", "write_text"]


def explain(token: str) -> Iterator[str]:
    """What `token` says, line by line. Raises: ConsentRefused (TOKEN_MALFORMED, CONSENT_CLAIM, CONSENT_LIFETIME)."""
    envelope = Envelope.read(token)
    consent = envelope.claims()
    now = int(SystemClock().now().timestamp())
    for name, text in explained(consent, envelope.kid, now, wording_of(consent.scope.region, "en")):
        yield f"{name:<13} {text}"


def verify_at(node: Path | None, token: str) -> Iterator[str]:
    """What the node of a department would say of `token`, whoever asks. Raises: ConsentRefused."""
    config, clock = node_of(node), SystemClock()
    known = platform_address(config)
    if known is None or config.party.kind == "platform":
        fix = "give --node DIR of a department that has joined a platform"
        raise UsageError(Problem("USAGE", str(config.folder), "is no folder of a party with a platform", fix))
    trust = load_trust(config)
    held = HeldConsents(config.folder, known[0], load_signing(config, clock, lambda: trust))
    held.load()
    if held.bulletin is None:
        fix = f"fedcredit node up {config.folder}"
        raise ConfigError(Problem("CONSENT_STALE", f"node {config.me}", "has never heard of its platform", fix))
    now, head = int(clock.now().timestamp()), held.bulletin.head
    consent = Envelope.read(token).claims_for(held.bulletin.issuers())
    # The region is the question's, and there is none here.
    refused = lapsed(consent, now, held.premises(config.me, consent.scope.region))
    if refused is not None:
        what = f"it is {now - head.time} s old" if refused.why is Why.STALE else ""
        raise ConsentRefused(refused.why, what=what)
    yield f"holds: issued by {consent.issuer}, not revoked as of {now - head.time} s ago (bulletin {head.number})"


def lines_of(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each consent."""
    for row in rows:
        state = f"revoked {row['revoked']}" if row["revoked"] else f"until {row['expires']}"
        providers = ", ".join(row["providers"])
        what = f" for scores of {', '.join(row['models'])}" if row["models"] else ""
        yield f"{row['consent']}  {row['requester']} asks {providers}{what}  {row['purpose']}  {state}"
    if not rows:
        yield "none"


def write_grant(made: Mapping[str, Any], out: Path | None, receipt: Path | None) -> None:
    """The token, and the receipt where it is wanted. Raises: ConfigError (EXISTS)."""
    if receipt is not None:
        create_file(receipt, str(made["receipt"]).encode())
    write_text(str(made["token"]) + "\n", out)
    typer.echo(f"consent {made['consent']}", err=True)


def write_text(text: str, out: Path | None) -> None:
    """`text` into a file for its owner alone, or to standard output. Raises: ConfigError (EXISTS)."""
    if out is None:
        typer.echo(text, nl=not text.endswith("\n"))
    else:
        create_file(out, text.encode())

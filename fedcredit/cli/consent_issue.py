"""What the commands of `fedcredit consent` do: log in, show the text, ask, and talk to the platform's desk."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from cryptography.hazmat.primitives import hashes

from fedcredit.errors import ConfigError, Problem, RefusedError
from fedcredit.governance.consent.claims import Consent, ConsentBy
from fedcredit.governance.consent.issuers import BY_ENTERPRISE, Issuer
from fedcredit.governance.consent.receipt import make_receipt
from fedcredit.governance.consent.subjects import is_person_number, is_sole_proprietor
from fedcredit.governance.consent.terms import DAY_S, Terms, disclosure_hash
from fedcredit.governance.consent.token import MAX_TOKEN_BYTES, fresh_jti
from fedcredit.governance.consent.token import issue as sign_token
from fedcredit.node.consent.counter import ConsentCounter
from fedcredit.node.consent.issuing import load_key
from fedcredit.node.consent.wording import check_terms, notice_of
from fedcredit.node.own_node import node_of
from fedcredit.node.pki import load_certificate, read_secret
from fedcredit.runtime.clock import SystemClock
from fedcredit.wire.consent import GrantConsent
from fedcredit.wire.message import Message

__all__ = ["PASSWORD_VARIABLE", "Login", "ask", "issue_at_platform", "issue_with_key", "read_token"]

PASSWORD_VARIABLE = "FEDCREDIT_CONSENT_PASSWORD"  # noqa: S105 - the name of a variable, not a password

_MAX_NAME = 255


@dataclass(frozen=True, slots=True)
class Login:
    """An account, and where its password comes from: a file, the environment, or whoever sits there."""

    account: str
    password_file: Path | None

    def secret(self) -> str:
        """The password. Raises: ConfigError (KEY_MISSING, KEY_EXPOSED)."""
        if self.password_file is not None:
            return read_secret(self.password_file).decode(errors="replace").removesuffix("\n")
        if (password := os.environ.get(PASSWORD_VARIABLE)) is not None:
            return password
        return str(typer.prompt(f"Password of {self.account}", hide_input=True, err=True))


def ask(node: Path | None, method: str, request: Message) -> dict[str, Any]:
    """The answer of the running platform of `node`. Raises what it refuses with, ConfigError (NODE_DOWN)."""

    async def call() -> dict[str, Any]:
        async with ConsentCounter(node_of(node)) as counter:
            return await counter.ask(method, request)

    return asyncio.run(call())


def issue_at_platform(
    node: Path | None, login: Login, terms: Terms, request: str | None, *, agreed: bool
) -> dict[str, Any]:
    """What the platform gives: token, receipt, name. Raises: RefusedError (CONSENT_REFUSED) if nobody agrees."""
    by = _whose(terms.subject)
    notice = notice_of(terms, by)
    _agree(notice, agreed)
    name = request or secrets.token_hex(16)
    if request is None:
        typer.echo(f"request {name} (give it with --request to ask again)", err=True)
    message = GrantConsent(login.account, login.secret(), name, terms.to_bytes(), disclosure_hash(notice))
    return ask(node, "Grant", message)


def issue_with_key(terms: Terms, key_file: Path, authority: Path, *, agreed: bool) -> dict[str, Any]:
    """A token that the holder of the subject's own key signs here. Raises: as `issue_at_platform`, ConfigError."""
    key, certificate = load_key(key_file), load_certificate(authority)
    by = _whose(terms.subject)
    check_terms(terms, by)
    notice = notice_of(terms, by)
    _agree(notice, agreed)
    now = int(SystemClock().now().timestamp())
    consent = Consent(
        issuer=BY_ENTERPRISE,
        subject=terms.subject,
        providers=terms.providers,
        jti=fresh_jti(),
        issued_at=now,
        not_before=now,
        expires=now + terms.days * DAY_S,
        authority=certificate.fingerprint(hashes.SHA256()),
        by=by,
        disclosure=disclosure_hash(notice),
        scope=terms.scope(),
    )
    public = key.public_key().public_bytes_raw()
    token = sign_token(consent, Issuer(public, "enterprise", subject=terms.subject), key.sign)
    made = make_receipt(consent, notice=notice, language=terms.language, public_key=public, sign=key.sign)
    return {"token": token, "receipt": made.decode(), "consent": consent.jti}


def read_token(text: str) -> str:
    """A token as it is given on the command line: itself, a file that holds it, or - for standard input.

    Raises: ConfigError (FILE_UNREADABLE). Of what is longer than any token no more is read than shows that.
    """
    if text == "-":
        found = sys.stdin.read(MAX_TOKEN_BYTES + 2)
    else:
        # No name of a file is as long as a token.
        found = text if len(text) > _MAX_NAME else _file(Path(text)) or text
    return found.removesuffix("\n")


def _file(path: Path) -> str | None:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(MAX_TOKEN_BYTES + 2)
    except (FileNotFoundError, ValueError):
        return None
    except OSError as error:
        raise ConfigError(Problem("FILE_UNREADABLE", str(path), error.strerror or "cannot be read")) from None


def _whose(subject: str) -> ConsentBy:
    """Whose word such terms take; the platform compares it with who logs in."""
    personal = is_person_number(subject) or is_sole_proprietor(subject)
    return ConsentBy.PERSON if personal else ConsentBy.ENTERPRISE


def _agree(notice: str, agreed: bool) -> None:
    typer.echo(notice, err=True)
    if not agreed and not typer.confirm("Agree?", err=True):
        raise RefusedError(Problem("CONSENT_REFUSED", "consent", "nobody agreed"))

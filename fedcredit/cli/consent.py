"""`fedcredit consent`: give, take back and look at what an enterprise or a person has agreed to."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fedcredit.cli import consent_account, consent_key

__all__ = ["app"]

app = typer.Typer(help="Consents: give one, take it back, see what a token says.", no_args_is_help=True)
app.add_typer(consent_key.app, name="key")
app.add_typer(consent_account.app, name="account")

Node = Annotated[Path | None, typer.Option("--node", help="The platform's folder; else $FEDCREDIT_NODE, else here.")]
Account = Annotated[str, typer.Option(help="The account that logs in.", show_default=False)]
PasswordFile = Annotated[
    Path | None, typer.Option(help="A file with its password; else $FEDCREDIT_CONSENT_PASSWORD, else you are asked.")
]
Name = Annotated[str, typer.Argument(help="The consent's name, as `consent list` has it.", show_default=False)]
Token = Annotated[str, typer.Argument(help="The token, a file with it, or - for standard input.", show_default=False)]


class Language(StrEnum):
    """Of the text that is shown."""

    ZH = "zh"
    EN = "en"


@app.command("issue")
def issue(
    subject: Annotated[str, typer.Option(help="Whom it is about: a code, or a person's number.", show_default=False)],
    requester: Annotated[str, typer.Option(help="The institution that may ask.", show_default=False)],
    provider: Annotated[list[str], typer.Option(help="A department that may answer; repeatable.", show_default=False)],
    region: Annotated[str, typer.Option(help="The region, e.g. nanjing.", show_default=False)],
    node: Node = None,
    account: Annotated[str | None, typer.Option(help="The account that logs in.")] = None,
    password_file: PasswordFile = None,
    purpose: Annotated[str, typer.Option(help="What for.")] = "financing",
    predicate: Annotated[list[str] | None, typer.Option(help="A question; repeatable.")] = None,
    item: Annotated[list[str] | None, typer.Option(help="An item of the catalog; repeatable.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="A published model, for encrypted scores, not questions; repeatable.")
    ] = None,
    uses: Annotated[int, typer.Option(help="How often at each department.")] = 1,
    days: Annotated[int, typer.Option(help="How long it holds.")] = 30,
    language: Annotated[Language, typer.Option(help="Of the text that is shown.")] = Language.ZH,
    request: Annotated[
        str | None, typer.Option(help="Your name for this: the same again gives the same token.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="Issue it without the platform, with the subject's own key.")] = None,
    authority: Annotated[Path | None, typer.Option(help="With --key: the institution's authority, PEM.")] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Agree without being asked: the text was shown elsewhere.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write the token here, not to standard output.")] = None,
    receipt: Annotated[Path | None, typer.Option(help="Write the receipt here.")] = None,
) -> None:
    """Show what is agreed to, ask, and issue a token: for questions (--predicate, --item), or for scores (--model).

    At the platform behind a login (--account), or with a key that the subject holds itself (--key).
    """
    from fedcredit.cli.consent_display import write_grant
    from fedcredit.cli.consent_issue import Login, issue_at_platform, issue_with_key
    from fedcredit.errors import Problem, UsageError
    from fedcredit.governance.consent.terms import Terms

    terms = Terms(
        subject=subject,
        requester=requester,
        providers=tuple(sorted(set(provider))),
        purpose=purpose,
        region=region,
        items=tuple(sorted(set(item or ()))),
        predicates=tuple(sorted(set(predicate or ()))),
        models=tuple(sorted(set(model or ()))),
        max_uses=uses,
        days=days,
        language=language.value,
    )
    if (key is None) == (account is None) or (key is None) != (authority is None):
        what = "give --account for the platform, or --key and --authority without it"
        raise UsageError(Problem("USAGE", "consent issue", what))
    if key is not None and authority is not None:
        made = issue_with_key(terms, key, authority, agreed=yes)
    else:
        made = issue_at_platform(node, Login(account or "", password_file), terms, request, agreed=yes)
    write_grant(made, out, receipt)


@app.command("revoke")
def revoke(
    consent: Annotated[str | None, typer.Argument(help="The consent's name, as `consent list` has it.")] = None,
    node: Node = None,
    account: Annotated[str | None, typer.Option(help="The account that logs in; without: the platform itself.")] = None,
    password_file: PasswordFile = None,
    token: Annotated[Path | None, typer.Option(help="A file with the token, if the subject issued it itself.")] = None,
    reason: Annotated[str, typer.Option(help="For the record.")] = "",
) -> None:
    """Take a consent back for good. Every department refuses it within seconds, at the latest within five minutes."""
    from fedcredit.cli.consent_issue import Login, ask, read_token
    from fedcredit.errors import Problem, UsageError
    from fedcredit.wire.consent import RevokeConsent

    if (consent is None) == (token is None):
        raise UsageError(Problem("USAGE", "consent revoke", "give the consent's name, or --token FILE"))
    login = Login(account or "", password_file)
    text = "" if token is None else read_token(str(token))
    secret = login.secret() if account else ""
    made = ask(node, "Revoke", RevokeConsent(login.account, secret, consent or "", text, reason[:200]))
    typer.echo(f"{made['consent']}: revoked at {made['revoked']}")


@app.command("list")
def show_all(
    node: Node = None,
    account: Annotated[str | None, typer.Option(help="The account that logs in; without: those of all.")] = None,
    password_file: PasswordFile = None,
) -> None:
    """List the consents of an account, newest first."""
    from fedcredit.cli.consent_display import lines_of
    from fedcredit.cli.consent_issue import Login, ask
    from fedcredit.wire.consent import ShowConsents

    login = Login(account or "", password_file)
    found = ask(node, "Consents", ShowConsents(login.account, login.secret() if account else "", ""))
    for line in lines_of(found["consents"]):
        typer.echo(line)


@app.command("receipt")
def receipt(
    consent: Name,
    account: Account,
    node: Node = None,
    password_file: PasswordFile = None,
    out: Annotated[Path | None, typer.Option(help="Write it here, not to standard output.")] = None,
) -> None:
    """Get the receipt of a consent: a signed record with the fields of ISO/IEC TS 27560."""
    from fedcredit.cli.consent_display import write_text
    from fedcredit.cli.consent_issue import Login, ask
    from fedcredit.wire.consent import ShowConsents

    login = Login(account, password_file)
    found = ask(node, "Consents", ShowConsents(login.account, login.secret(), consent))
    write_text(str(found["receipt"]), out)


@app.command("show")
def show(token: Token) -> None:
    """Say in words what TOKEN allows. Nothing is believed of it: see `consent verify`."""
    from fedcredit.cli.consent_display import explain
    from fedcredit.cli.consent_issue import read_token

    for line in explain(read_token(token)):
        typer.echo(line)


@app.command("verify")
def verify(
    token: Token,
    node: Annotated[Path | None, typer.Option("--node", help="A department's folder; else $FEDCREDIT_NODE.")] = None,
) -> None:
    """Say whether TOKEN holds now, by what a department's node knows of keys and revocations.

    Whether it covers a question, for its caller and its uses so far, is decided when it is asked.
    """
    from fedcredit.cli.consent_display import verify_at
    from fedcredit.cli.consent_issue import read_token

    for line in verify_at(node, read_token(token)):
        typer.echo(line)

"""`fedcredit consent key`: the authority's keys, and those that subjects hold themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="Keys that consents are signed with.", no_args_is_help=True)

Node = Annotated[Path | None, typer.Option("--node", help="The platform's folder; else $FEDCREDIT_NODE, else here.")]


@app.command("new")
def new(
    out: Annotated[Path, typer.Argument(help="The key's file, written with mode 0600.", show_default=False)],
) -> None:
    """Make a key with which a subject can issue consents itself. It never leaves OUT; register it next."""
    from fedcredit.governance.consent.issuers import kid_of
    from fedcredit.node.consent.issuing import new_key

    typer.echo(f"{out}: key {kid_of(new_key(out).public_key().public_bytes_raw())}")


@app.command("register")
def register(
    subject: Annotated[str, typer.Option(help="Whom the key may speak for.", show_default=False)],
    key: Annotated[Path, typer.Option(help="The key's file; its public part alone is sent.", show_default=False)],
    account: Annotated[str, typer.Option(help="The account that logs in.", show_default=False)],
    node: Node = None,
    password_file: Annotated[Path | None, typer.Option(help="A file with its password.")] = None,
) -> None:
    """Let SUBJECT issue consents with KEY: all members of the platform hear of it within seconds."""
    from fedcredit.cli.consent_issue import Login, ask
    from fedcredit.node.consent.authority import key_proof
    from fedcredit.node.consent.issuing import load_key
    from fedcredit.node.own_node import node_of
    from fedcredit.wire.consent import RegisterConsentKey

    private = load_key(key)
    public = private.public_key().public_bytes_raw()
    proof = private.sign(key_proof(node_of(node).me, subject, public))
    secret = Login(account, password_file).secret()
    made = ask(node, "RegisterKey", RegisterConsentKey(account, secret, subject, public, proof))
    typer.echo(f"{made['kid']}: may issue consents of {made['subject']}")


@app.command("list")
def show_all(node: Node = None) -> None:
    """List the keys there are, and which one signs."""
    _change(node, rotate=False, retire="")


@app.command("rotate")
def rotate(node: Node = None) -> None:
    """Make the authority's next key. It signs two minutes later; consents that the old one signed go on."""
    _change(node, rotate=True, retire="")


@app.command("retire")
def retire(
    kid: Annotated[str, typer.Argument(help="The key's name.", show_default=False)],
    node: Node = None,
) -> None:
    """Believe key KID no more, and no consent that it ever signed: for one that was lost or stolen."""
    _change(node, rotate=False, retire=kid)


def _change(node: Path | None, *, rotate: bool, retire: str) -> None:
    from fedcredit.cli.consent_issue import ask
    from fedcredit.governance.consent.token import moment
    from fedcredit.wire.consent import ChangeConsentKeys

    for key in ask(node, "Keys", ChangeConsentKeys(rotate, retire))["keys"]:
        state = "signs" if key["signs"] else "believed" if key["believed"] else "ended"
        until = f" until {moment(key['ends']):%F %T} UTC" if key["ends"] and key["believed"] else ""
        typer.echo(f"{key['kid']}  {key['kind']}  {key['subject']}{'  ' if key['subject'] else ''}{state}{until}")

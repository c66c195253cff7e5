"""`fedcredit consent account`: accounts of the local login, where a region has none of its own yet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="Accounts of the local login.", no_args_is_help=True)


@app.callback()
def _accounts() -> None:
    """Accounts of the local login."""


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="The account's name.", show_default=False)],
    kind: Annotated[str, typer.Option(help="enterprise (a representative), or person.", show_default=False)],
    subject: Annotated[list[str], typer.Option(help="Whom it speaks for; repeatable.", show_default=False)],
    node: Annotated[
        Path | None, typer.Option("--node", help="The platform's folder; else $FEDCREDIT_NODE, else here.")
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(help="A file with its password; else $FEDCREDIT_CONSENT_PASSWORD, else you are asked."),
    ] = None,
) -> None:
    """Make an account, or give it another password. Look at papers first: whoever has it speaks for SUBJECT."""
    from fedcredit.cli.consent_issue import Login
    from fedcredit.node.consent.accounts import LocalAccounts
    from fedcredit.node.own_node import node_of
    from fedcredit.runtime.clock import SystemClock

    config = node_of(node)
    accounts = LocalAccounts(config.path(config.consent.accounts), SystemClock())
    accounts.add(name, kind, subject, Login(name, password_file).secret())
    typer.echo(f"{name}: {kind}, speaks for {', '.join(sorted(set(subject)))}")

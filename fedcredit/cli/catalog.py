"""`fedcredit catalog`: what a region's departments share, how, and with whose authorisation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fedcredit.governance.catalog import Catalog, Item

__all__ = ["app", "catalog_named"]

app = typer.Typer(
    help=(
        "Sharing catalogs: which records a region's departments share, how, and with whose authorisation.\n\n"
        "Try [bold]fedcredit catalog list[/bold], then [bold]fedcredit catalog show nanjing water_fee[/bold] and "
        "[bold]fedcredit catalog show jining water_fee[/bold]: the same records, under different rules."
    ),
    no_args_is_help=True,
)

Region = Annotated[
    str, typer.Argument(help="A region that came with the package, or the path of a catalog file.", metavar="REGION")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, for another program.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the catalogs that came with the package: region, version, items, and what they ask for."""
    from fedcredit.runtime.catalog_file import shipped_catalogs

    rows = [_summary(catalog) for catalog in shipped_catalogs().values()]
    if as_json:
        for row in rows:
            _json(row)
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for name, justify in (
        ("catalog", "left"),
        ("items", "right"),
        ("fields", "right"),
        ("ask before sharing", "right"),
        ("ask before release", "right"),
        ("platform", "left"),
    ):
        table.add_column(name, justify="right" if justify == "right" else "left")
    for row in rows:
        keys = ("catalog", "items", "fields", "ask_before_sharing", "ask_before_release", "platform")
        table.add_row(*(str(row[key]) for key in keys))
    Console(highlight=False).print(table)


@app.command("show")
def show(
    region: Region,
    item: Annotated[str | None, typer.Argument(help="One item, with its fields.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Show the items of REGION, or one ITEM with its fields and whose authorisation each takes.

    "before sharing" is what the department asks before the platform gets a record; "before release" is what the
    platform needs before an institution gets it. Nobody's word stands for another's.
    """
    from fedcredit.errors import Problem, UsageError
    from fedcredit.runtime.toml import nearest

    catalog = catalog_named(region)
    if item is None:
        _show_catalog(catalog, as_json)
        return
    entry = catalog.item(item)
    if entry is None:
        close = nearest(item, [known.id for known in catalog.items])
        fix = f"did you mean {close!r}?" if close else f"fedcredit catalog show {region} lists the items"
        raise UsageError(Problem("CATALOG_NO_ITEM", f"catalog {catalog.label}", f"has no item {item[:64]!r}", fix))
    if as_json:
        _json({"catalog": catalog.label, "item": entry.model_dump(mode="json", exclude_defaults=True)})
    else:
        _show_item(catalog, entry, item)


@app.command("check")
def check(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Catalog files; those of the package if none.", show_default=False)
    ] = None,
) -> None:
    """Check catalog FILES, and list every problem with the file, the item and the field it is about.

    docs/catalogs.md says what each key means. Raise a catalog's version whenever it changes: answers carry it.
    """
    from fedcredit.errors import ConfigError, Problem
    from fedcredit.runtime.catalog_file import load_catalog, shipped_catalogs

    problems: list[Problem] = []
    found: list[tuple[str, Catalog]] = []
    if not files:
        found = [(catalog.region, catalog) for catalog in shipped_catalogs().values()]
    for file in files or ():
        try:
            found.append((str(file), load_catalog(file)))
        except ConfigError as error:
            problems.extend(error.problems)
    for name, catalog in found:
        fields = sum(len(item.fields) for item in catalog.items)
        typer.echo(f"{name}: ok, {catalog.label}, {len(catalog.items)} items, {fields} fields")
    if problems:
        raise ConfigError(problems)


def catalog_named(region: str) -> Catalog:
    """The catalog that came for `region`, or the one in the file of that name. Raises: ConfigError, UsageError."""
    from fedcredit.errors import Problem, UsageError
    from fedcredit.runtime.catalog_file import load_catalog, shipped_catalogs
    from fedcredit.runtime.toml import nearest

    shipped = shipped_catalogs()
    if region in shipped:
        return shipped[region]
    if region.endswith(".toml"):
        return load_catalog(Path(region))
    close = nearest(region, shipped)
    fix = f"did you mean {close!r}?" if close else f"known: {', '.join(shipped)}; or give a path ending in .toml"
    raise UsageError(Problem("CATALOG_UNKNOWN", "region", f"no catalog {region[:64]!r}", fix))


def asked(names: Iterable[str]) -> str:
    """Who is asked, in words: `enterprise`, or `nobody`."""
    return ", ".join(sorted(names)) or "nobody"


def _summary(catalog: Catalog) -> dict[str, Any]:
    return {
        "catalog": catalog.label,
        "region": catalog.region,
        "version": catalog.version,
        "items": len(catalog.items),
        "fields": sum(len(item.fields) for item in catalog.items),
        "ask_before_sharing": sum(item.authorization != "none" for item in catalog.items),
        "ask_before_release": sum(item.release_authorization != "none" for item in catalog.items),
        "platform": catalog.platform.name,
    }


def _show_catalog(catalog: Catalog, as_json: bool) -> None:
    if as_json:
        _json(catalog.model_dump(mode="json", by_alias=True, exclude_defaults=True))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    out = Console(highlight=False)
    out.print(f"{catalog.label}  {catalog.name}\n{catalog.source}", markup=False)
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("item", "name", "sharing", "before sharing", "before release", "fields"):
        table.add_column(name, overflow="fold")
    for item in catalog.items:
        allowed = catalog.permission(item.id)
        modes = ", ".join(item.sharing) or "not said"
        table.add_row(
            item.id, item.name, modes, asked(allowed.share), asked(allowed.release), str(len(item.fields) or "-")
        )
    out.print(table)


def _show_item(catalog: Catalog, item: Item, asked_for: str) -> None:
    from rich.console import Console

    out = Console(highlight=False, soft_wrap=True)

    def line(text: str) -> None:
        out.print(text, markup=False)

    allowed = catalog.permission(item.id)
    line(f"{catalog.label} {item.id}: {item.name} ({item.name_en})")
    if item.id != asked_for:
        line(f"  {asked_for} is part of this wider item here")
    line(f"  provider: {item.provider.name} ({item.provider.id})")
    line(f"  shared by: {', '.join(item.sharing) or 'not said'}")
    line(f"  authorisation before sharing: {asked(allowed.share)} ({item.authorization_basis})")
    line(f"  authorisation before release: {asked(allowed.release)} (publicity: {item.publicity})")
    if item.subject_key is not None:
        line(f"  found by: {item.subject_key}")
    for subset in item.subsets:
        part = catalog.permission(item.id, subset=subset.id)
        line(
            f"  subset {subset.id} ({subset.name}): {', '.join(subset.sharing)}; "
            f"before sharing {asked(part.share)}, before release {asked(part.release)}"
        )
    for field in item.fields:
        extra = [field.unit] if field.unit else []
        extra += ["personal"] if field.personal else []
        if field.release_authorization is not None:
            extra.append(f"before release: {asked(catalog.permission(item.id, fields=(field.id,)).release)}")
        line(f"    {field.id}  {field.name}  {field.type}{'  (' + '; '.join(extra) + ')' if extra else ''}")
    if not item.fields:
        line("  the document prints no fields")


def _json(value: Any) -> None:
    import json

    typer.echo(json.dumps(value, ensure_ascii=False))

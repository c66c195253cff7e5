"""Sharing catalogs: what came with the package is whole, and a file that is wrong is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fedcredit.cli.main import app
from fedcredit.errors import ConfigError, UsageError
from fedcredit.governance.catalog import Catalog, Permission
from fedcredit.runtime import catalog_file
from fedcredit.runtime.catalog_file import REGIONS, as_toml, load_catalog, shipped_catalogs

FOLDER = catalog_file._FOLDER
NOBODY: frozenset[str] = frozenset()
ENTERPRISE, PERSON = frozenset({"enterprise"}), frozenset({"person"})


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """What a command says, and its exit status where it is not that of an error."""
    try:
        app(args=arguments, prog_name="fedcredit")
    except SystemExit as done:
        return int(done.code or 0), capsys.readouterr().out
    return 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("region", "items", "fields"),
    [("beijing", 11, 0), ("jilin", 39, 0), ("jining", 15, 135), ("nanjing", 27, 249), ("zhengzhou", 22, 0)],
)
def test_a_catalog_has_what_its_document_prints(region: str, items: int, fields: int) -> None:
    catalog = shipped_catalogs()[region]
    assert (len(catalog.items), sum(len(item.fields) for item in catalog.items)) == (items, fields)
    assert catalog.region == region
    assert catalog.label == f"{region}/1"


@pytest.mark.parametrize("region", REGIONS)
def test_a_catalog_goes_to_text_and_back(region: str, tmp_path: Path) -> None:
    path = FOLDER / f"{region}.toml"
    catalog = load_catalog(path)
    # The file is the text that the catalog makes: nothing in it is without meaning.
    assert as_toml(catalog) == path.read_text(encoding="utf-8")
    (tmp_path / "copy.toml").write_text(as_toml(catalog), encoding="utf-8")
    assert load_catalog(tmp_path / "copy.toml") == catalog


def test_no_other_catalog_lies_among_them() -> None:
    assert {path.stem for path in FOLDER.glob("*.toml")} == set(REGIONS) == set(shipped_catalogs())


def permission(region: str, item: str, **more: object) -> Permission:
    return shipped_catalogs()[region].permission(item, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("item", ["water_fee", "gas_fee", "tech_research"])
def test_the_same_records_are_under_different_rules_in_nanjing_and_jining(item: str) -> None:
    """Nanjing collects them without asking, and may not hand them on without; Jining asks at each call."""
    assert permission("nanjing", item) == Permission(NOBODY, ENTERPRISE)
    assert permission("jining", item) == Permission(ENTERPRISE, ENTERPRISE)
    nanjing, jining = (shipped_catalogs()[region].item(item) for region in ("nanjing", "jining"))
    assert nanjing is not None
    assert jining is not None
    assert (nanjing.sharing, jining.sharing) == (("physical_collection",), ("interface_call",))


def test_a_field_may_ask_for_more_than_its_item() -> None:
    for item in ("admin_licence", "admin_penalty", "admin_enforcement"):
        assert permission("jining", item) == Permission(NOBODY, NOBODY)
        assert permission("jining", item, fields=["enterprise_name"]) == Permission(NOBODY, NOBODY)
        for field in ("legal_rep_id_type", "legal_rep_id_number"):
            assert permission("jining", item, fields=["uscc", field]) == Permission(NOBODY, ENTERPRISE)
    # Nanjing's list says nothing of the kind about the same fields.
    assert permission("nanjing", "admin_enforcement", fields=["legal_rep_id_number"]) == Permission(NOBODY, NOBODY)


def test_a_subset_may_ask_for_less_than_its_item() -> None:
    assert permission("jining", "tax_credit_rating") == Permission(ENTERPRISE, ENTERPRISE)
    assert permission("jining", "tax_credit_rating", subset="a_list") == Permission(NOBODY, NOBODY)


def test_an_authorisation_is_that_of_whom_the_record_is_about() -> None:
    assert permission("nanjing", "person_property_registration") == Permission(PERSON, PERSON)
    # Jilin has one item for both: who is asked depends on whom it is about.
    assert permission("jilin", "person_property_registration", subject="person") == Permission(NOBODY, PERSON)
    assert permission("jilin", "enterprise_property_registration", subject="enterprise") == Permission(
        NOBODY, ENTERPRISE
    )


def test_a_wider_item_stands_for_what_it_covers() -> None:
    zhengzhou = shipped_catalogs()["zhengzhou"]
    found = zhengzhou.item("water_fee")
    assert found is not None
    assert found.id == "utilities"
    assert zhengzhou.item("no_such_item") is None


@pytest.mark.parametrize(("item", "subset"), [("no_such_item", None), ("water_fee", "no_such_subset")])
def test_a_name_that_is_not_there_grants_nothing(item: str, subset: str | None) -> None:
    with pytest.raises(UsageError) as refused:
        permission("nanjing", item, subset=subset)
    assert refused.value.code == ("CATALOG_NO_SUBSET" if subset else "CATALOG_NO_ITEM")


def test_sharing_never_asks_for_more_than_release() -> None:
    for catalog in shipped_catalogs().values():
        for item in catalog.items:
            allowed = catalog.permission(item.id)
            assert allowed.share <= allowed.release, item.id
            if item.publicity in ("non_public", "mixed"):
                assert allowed.release, item.id


WATER = '{ id = "currently_in_arrears", name = "当前是否欠费", type = "boolean" }'


def replaced(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change


@pytest.mark.parametrize(
    ("change", "code", "where"),
    [
        (replaced("version = 1", "version = 0"), "CONFIG_VALUE", "version"),
        (replaced("version = 1", "version = true"), "CONFIG_TYPE", "version"),
        (replaced("version = 1\n", ""), "CONFIG_MISSING_KEY", "version"),
        (replaced("fedcredit-catalog/1", "fedcredit-catalog/2"), "CONFIG_VALUE", "schema"),
        (replaced("version = 1", "version = 1\nversionn = 1"), "CONFIG_UNKNOWN_KEY", "versionn"),
        (replaced("version = 1", "version = 1\nversion = 1"), "CONFIG_DUPLICATE_KEY", ""),
        (replaced('id = "jn_r2"', 'id = "jn_r1"'), "CATALOG_DUPLICATE", "rules.jn_r1"),
        (replaced('id = "gas_fee"', 'id = "water_fee"'), "CATALOG_DUPLICATE", "item.water_fee"),
        (replaced("row = 13", "row = 11"), "CATALOG_DUPLICATE", "item.11"),
        (replaced('id = "gas_fee"', 'id = "Gas Fee"'), "CONFIG_VALUE", "item.Gas Fee.id"),
        (replaced('id = "gas_fee"', "id = 7"), "CONFIG_TYPE", ".id"),
        (
            replaced('id = "abnormal_taxpayer", name = "是否非正常纳税户"', 'id = "uscc", name = "是否"'),
            "CATALOG_DUPLICATE",
            "item.abnormal_taxpayer.fields.uscc",
        ),
        (
            replaced(WATER, WATER.replace("boolean", "bool")),
            "CONFIG_VALUE",
            "water_fee.fields.currently_in_arrears.type",
        ),
        (replaced(WATER, WATER.replace("name", "nam")), "CONFIG_UNKNOWN_KEY", "fields.currently_in_arrears.nam"),
        (replaced(WATER, WATER.replace('"当前是否欠费"', "1")), "CONFIG_TYPE", "fields.currently_in_arrears.name"),
        (replaced(f"  {WATER},\n", ""), "CATALOG_COUNT", "item.water_fee.doc_field_count"),
        (
            replaced('subject_key = "uscc"', 'subject_key = "code"'),
            "CATALOG_SUBJECT_KEY",
            "tax_credit_rating.subject_key",
        ),
        (
            replaced('release_authorization = "enterprise"', 'release_authorization = "none"'),
            "CATALOG_RELEASE",
            "item.tax_credit_rating.release_authorization",
        ),
        (
            replaced('authorization = "enterprise"\nauthorization_basis', "authorization_basis"),
            "CONFIG_MISSING_KEY",
            "item.tax_credit_rating.authorization",
        ),
        (replaced('authorization = "enterprise"', 'authorization = "anyone"'), "CONFIG_VALUE", "authorization"),
        (replaced('sharing = ["interface_call"]\nsharing_note', "sharing = []\nnote"), "CATALOG_SHARING", "sharing"),
        (replaced('["interface_call"]', '["fax"]'), "CONFIG_VALUE", "item.abnormal_taxpayer.sharing"),
        (replaced('subject_key = "uscc"', 'covers = ["gas_fee"]\nsubject_key = "uscc"'), "CATALOG_COVERS", "covers"),
        (replaced("[[item]]", "[[items]]"), "CONFIG_UNKNOWN_KEY", "items"),
        (lambda text: text.partition("[[item]]")[0], "CONFIG_MISSING_KEY", "item"),
        (lambda text: text.partition("[[item]]")[0] + 'item = "all"\n', "CONFIG_TYPE", "item"),
        (lambda text: "[" * 5000, "CONFIG_TOML", ""),
    ],
)
def test_a_catalog_that_is_wrong_is_refused_by_name(
    change: Callable[[str], str], code: str, where: str, tmp_path: Path
) -> None:
    path = tmp_path / "region.toml"
    path.write_text(change((FOLDER / "jining.toml").read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        load_catalog(path)
    found = [(problem.code, problem.where) for problem in refused.value.problems]
    assert any(said == code and at.startswith(str(path)) and where in at for said, at in found), found


def test_all_problems_are_said_at_once(tmp_path: Path) -> None:
    text = (FOLDER / "jining.toml").read_text(encoding="utf-8")
    path = tmp_path / "region.toml"
    path.write_text(text.replace('type = "boolean"', 'type = "flag"').replace("version = 1", "version = 0"))
    with pytest.raises(ConfigError) as refused:
        load_catalog(path)
    assert len(refused.value.problems) == text.count('type = "boolean"') + 1


def test_the_command_lists_shows_and_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out = run(["catalog", "list", "--json"], capsys)
    assert status == 0
    assert [json.loads(line)["catalog"] for line in out.splitlines()] == [f"{region}/1" for region in REGIONS]
    for region, before in (("nanjing", "nobody"), ("jining", "enterprise")):
        status, out = run(["catalog", "show", region, "water_fee"], capsys)
        assert f"authorisation before sharing: {before} " in out
        assert "authorisation before release: enterprise " in out
    status, out = run(["catalog", "show", "jilin", "--json"], capsys)
    raw = json.loads(out)
    assert Catalog.model_validate(raw) == shipped_catalogs()["jilin"]
    status, out = run(["catalog", "check"], capsys)
    assert (status, out.count(": ok, ")) == (0, len(REGIONS))
    own = tmp_path / "own.toml"
    own.write_text((FOLDER / "jining.toml").read_text(encoding="utf-8").replace("version = 1", "version = 2"))
    assert run(["catalog", "check", str(own)], capsys)[1].startswith(f"{own}: ok, jining/2, 15 items")
    assert "jining/2" in run(["catalog", "show", str(own)], capsys)[1]


def test_the_command_names_what_was_meant() -> None:
    for arguments, close in ((["show", "nanjin"], "'nanjing'"), (["show", "nanjing", "water_fees"], "'water_fee'")):
        with pytest.raises(UsageError) as refused:
            app(args=["catalog", *arguments], prog_name="fedcredit", standalone_mode=False)
        assert close in refused.value.problems[0].fix

"""Tables in a party file: files, databases and interfaces under names; credentials only pointed at."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedcredit.errors import ConfigError
from fedcredit.runtime.config import PartyFile, load_party
from fedcredit.tables.remote.sources import Condition, HttpSource, PostgresqlSource

HEAD = '[party]\nid = "tax"\nkind = "provider"\n[identity]\n'
DATABASE = """
[tables.enterprise_tax]
id = "uscc"
updated = "updated_on"
max_age_days = 40
[tables.enterprise_tax.postgresql]
relation = "gov.enterprise_tax"
url_file = "keys/tax.url"
ca = "keys/ca.pem"
where = [
    { column = "year", op = ">=", value = 2020 },
    { column = "paid", op = "=", value = true },
    { column = "registered", op = "<", value = 2024-01-31 },
    { column = "district", op = "in", values = ["330106", "330108"] },
    { column = "closed", op = "is null" },
]
"""
INTERFACE = """
[tables.permits]
id = "uscc"
[tables.permits.http]
url = "https://share.example.gov.cn/permits"
records = "data.list"
paging = "page"
size_parameter = "size"
page_size = 500
total = "data.total"
auth = "bearer"
secret_file = "keys/share.token"
[tables.permits.http.parameters]
region = "330106"
"""
FILE = '[table]\ntable = "tax.csv"\nid = "uscc"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tax.csv").write_text("uscc\n")
    (tmp_path / "keys").mkdir()
    names = ("tls.crt", "tls.key", "authorities.pem", "signing.key", "signing.crt", "ca.pem", "tax.url", "share.token")
    for name in names:
        path = tmp_path / "keys" / name
        path.write_text("-")
        path.chmod(0o600)
    return tmp_path


def load(folder: Path, text: str) -> PartyFile:
    (folder / "party.toml").write_text(HEAD + text)
    return load_party(folder, {})


def problems(folder: Path, text: str) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as refused:
        load(folder, text)
    return [(problem.where.rpartition(": ")[2], problem.code) for problem in refused.value.problems]


def test_tables_of_all_kinds_stand_side_by_side(folder: Path) -> None:
    party = load(folder, FILE + DATABASE + INTERFACE)
    assert list(party.tables) == ["enterprise_tax", "permits", "main"]
    database = party.tables["enterprise_tax"].spec(folder, name="enterprise_tax").source
    assert isinstance(database, PostgresqlSource)
    assert (database.schema, database.relation, database.tls) == ("gov", "enterprise_tax", "verify-full")
    assert database.where == (
        Condition("year", ">=", "integer", ("2020",)),
        Condition("paid", "=", "boolean", ("true",)),
        Condition("registered", "<", "date", ("2024-01-31",)),
        Condition("district", "in", "text", ("330106", "330108")),
        Condition("closed", "is null"),
    )
    interface = party.tables["permits"].spec(folder, name="permits").source
    assert isinstance(interface, HttpSource)
    assert interface.records == ("data", "list")
    assert interface.paging.total == ("data", "total")
    assert interface.parameters == (("region", "330106"),)
    assert party.tables["main"].spec(folder).path == folder / "tax.csv"


def test_the_short_form_is_the_main_table(folder: Path) -> None:
    assert load(folder, FILE).tables.keys() == {"main"}
    assert load(folder, FILE.replace("[table]", "[tables.main]")).tables == load(folder, FILE).tables
    assert ("table", "CONFIG_CONFLICT") in problems(folder, FILE + FILE.replace("[table]", "[tables.main]"))


@pytest.mark.parametrize(
    ("old", "new", "where", "code"),
    [
        ("[tables.permits]", "[tables.Permits]", "tables.Permits", "CONFIG_NAME"),
        ('url_file = "keys/tax.url"', 'url = "x"', "tables.enterprise_tax.postgresql.url", "CONFIG_UNKNOWN_KEY"),
        ('url_file = "keys/tax.url"', "", "tables.enterprise_tax.postgresql", "CONFIG_CONFLICT"),
        ('"keys/tax.url"', '"keys/none.url"', "tables.enterprise_tax.postgresql.url_file", "CONFIG_PATH"),
        ('"keys/ca.pem"', '"keys/none.pem"', "tables.enterprise_tax.postgresql.ca", "CONFIG_PATH"),
        ('"gov.enterprise_tax"', '"enterprise_tax"', "tables.enterprise_tax.postgresql.relation", "CONFIG_VALUE"),
        ('"gov.enterprise_tax"', '"a.b.c"', "tables.enterprise_tax.postgresql.relation", "CONFIG_VALUE"),
        ('op = ">="', 'op = "like"', "tables.enterprise_tax.postgresql.where.0.op", "CONFIG_VALUE"),
        ("value = 2020", "values = [2020]", "tables.enterprise_tax.postgresql.where.0", "CONFIG_CONFLICT"),
        ('["330106", "330108"]', "[]", "tables.enterprise_tax.postgresql.where.3", "CONFIG_CONFLICT"),
        ('["330106", "330108"]', '["330106", 1]', "tables.enterprise_tax.postgresql.where.3", "CONFIG_CONFLICT"),
        ("https://share", "http://share", "tables.permits.http", "CONFIG_INSECURE"),
        ("/permits", "/permits?access_token=x", "tables.permits.http", "CONFIG_SECRET"),
        ('secret_file = "keys/share.token"', "", "tables.permits.http", "CONFIG_CONFLICT"),
        ('auth = "bearer"', 'auth = "basic"', "tables.permits.http", "CONFIG_CONFLICT"),
        ('paging = "page"', 'paging = "cursor"', "tables.permits.http", "CONFIG_CONFLICT"),
        ("page_size = 500", "page_size = 0", "tables.permits.http.page_size", "CONFIG_VALUE"),
        ("page_size = 500", "pagesize = 500", "tables.permits.http.pagesize", "CONFIG_UNKNOWN_KEY"),
        ("max_age_days = 40", 'format = "csv"', "tables.enterprise_tax", "CONFIG_CONFLICT"),
        ('updated = "updated_on"\n', "", "tables.enterprise_tax", "CONFIG_CONFLICT"),
        (
            "[tables.enterprise_tax]",
            '[tables.enterprise_tax]\ntable = "tax.csv"',
            "tables.enterprise_tax",
            "CONFIG_SOURCE",
        ),
    ],
)
def test_a_bad_table_is_refused_where_it_stands(folder: Path, old: str, new: str, where: str, code: str) -> None:
    text = DATABASE + INTERFACE
    assert old in text
    assert (where, code) in problems(folder, text.replace(old, new, 1))


def test_a_credential_that_others_may_read_is_refused(folder: Path) -> None:
    (folder / "keys" / "tax.url").chmod(0o640)
    (folder / "keys" / "share.token").chmod(0o604)
    assert problems(folder, DATABASE + INTERFACE) == [
        ("tables.enterprise_tax.postgresql.url_file", "SECRET_READABLE"),
        ("tables.permits.http.secret_file", "SECRET_READABLE"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        'url = "postgresql://tax:geheim@db/gov"',
        'password = "geheim"',
        'token = "geheim"',
        'url_env = "geheim"',
        "[tables.permits.http.parameters]\ntoken = 'geheim'",
    ],
)
def test_a_credential_in_the_file_is_refused_and_never_repeated(folder: Path, line: str) -> None:
    text = DATABASE.replace('ca = "keys/ca.pem"', line) if "http" not in line else INTERFACE.rpartition("[")[0] + line
    with pytest.raises(ConfigError) as refused:
        load(folder, text)
    assert "geheim" not in str(refused.value) + repr(refused.value.problems)


def test_the_names_of_variables_are_no_secrets(folder: Path) -> None:
    text = INTERFACE.replace('secret_file = "keys/share.token"', 'secret_env = "SHARE_TOKEN"')
    source = load(folder, text).tables["permits"].spec(folder).source
    assert isinstance(source, HttpSource)
    assert source.authentication is not None
    assert source.authentication.secret.env == "SHARE_TOKEN"


def test_the_examples_of_the_documentation_are_read(folder: Path) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "tables.md").read_text()
    blocks = [block.partition("```")[0] for block in text.split("```toml\n")[1:]]
    assert len(blocks) == 4
    for name in (
        "registry.csv",
        "people.csv",
        "keys/tax-db.url",
        "keys/db-ca.pem",
        "keys/share.token",
        "keys/share-ca.pem",
    ):
        (folder / name).write_text("-")
        (folder / name).chmod(0o600)
    party = load(folder, "\n".join(blocks))
    assert party.tables.keys() == {"registry", "people", "enterprise_tax", "permits"}
    for name, table in party.tables.items():
        table.spec(folder, name=name)
    assert party.tables["people"].spec(folder).key_types == ("text", "digits")

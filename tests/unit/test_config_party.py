"""Party files: unsafe settings keep a node from starting, and every reason is given at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from fedcredit.errors import ConfigError
from fedcredit.runtime.clock import clock_synchronised
from fedcredit.runtime.config import PartyFile, load_party

GOOD = """
[party]
id = "tax"
kind = "provider"
[listen]
host = "127.0.0.1"
port = 7443
[identity]
key = "keys/tls.key"
[trust]
platform = "platform"
[table]
table = "tax.csv"
id = "uscc"
[peers]
bank = "127.0.0.1:7001"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tax.csv").write_text("uscc\n")
    (tmp_path / "keys").mkdir()
    for name in ("tls.crt", "tls.key", "authorities.pem", "signing.key", "signing.crt"):
        path = tmp_path / "keys" / name
        path.write_text("-")
        path.chmod(0o600)
    return tmp_path


def load(folder: Path, text: str, environment: Mapping[str, str] | None = None) -> PartyFile:
    (folder / "party.toml").write_text(text)
    return load_party(folder, environment or {})


def problems(folder: Path, text: str, environment: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as refused:
        load(folder, text, environment)
    return [(problem.where.rpartition(": ")[2], problem.code) for problem in refused.value.problems]


def test_a_good_party_is_read_whole(folder: Path) -> None:
    party = load(folder, GOOD)
    assert party.me == "tax"
    assert party.peers == {"bank": "127.0.0.1:7001"}
    assert party.path(party.identity.key) == folder / "keys" / "tls.key"
    assert party.listen.loopback


def test_a_platform_has_no_table(folder: Path) -> None:
    text = GOOD.replace('"provider"', '"platform"')
    assert problems(folder, text) == [("table", "CONFIG_CONFLICT")]
    assert load(folder, text[: text.index("[table]")]).tables == {}


@pytest.mark.parametrize(
    ("old", "new", "where", "code"),
    [
        ("[party]", "[praty]", "praty", "CONFIG_UNKNOWN_KEY"),
        ('id = "tax"', "", "party.id", "CONFIG_MISSING_KEY"),
        ('id = "tax"', 'id = "Tax Office"', "party.id", "CONFIG_VALUE"),
        ('kind = "provider"', 'kind = "admin"', "party.kind", "CONFIG_VALUE"),
        ("port = 7443", "port = 74430", "listen.port", "CONFIG_VALUE"),
        ("port = 7443", 'port = "7443"', "listen.port", "CONFIG_TYPE"),
        ("port = 7443", "prot = 7443", "listen.prot", "CONFIG_UNKNOWN_KEY"),
        ('[identity]\nkey = "keys/tls.key"', "", "identity", "CONFIG_MISSING_KEY"),
        ('key = "keys/tls.key"', 'key = "keys/none.key"', "identity.key", "CONFIG_PATH"),
        ('key = "keys/tls.key"', 'key = "keys"', "identity.key", "CONFIG_PATH"),
        ('key = "keys/tls.key"', 'key = """-----BEGIN PRIVATE KEY-----\nMC4"""', "identity.key", "CONFIG_SECRET"),
        ('key = "keys/tls.key"', 'passphrase = "hunter2"', "identity.passphrase", "CONFIG_SECRET"),
        ("[table]\n", "", "trust.table", "CONFIG_UNKNOWN_KEY"),
        ('table = "tax.csv"', 'table = "none.csv"', "table.table", "CONFIG_PATH"),
        ('bank = "127.0.0.1:7001"', 'bank = "http://bank"', "peers.bank", "CONFIG_VALUE"),
        ('bank = "127.0.0.1:7001"', "bank = 7001", "peers.bank", "CONFIG_TYPE"),
        ("[peers]", "[limits]\npeer_timeout_s = 0\n[peers]", "limits.peer_timeout_s", "CONFIG_VALUE"),
        ("[peers]", "[limits]\nmin_rows = 1\n[peers]", "limits.min_rows", "CONFIG_VALUE"),
        ("[peers]", "[limits]\npeer_timeout_ms = 5\n[peers]", "limits.peer_timeout_ms", "CONFIG_UNKNOWN_KEY"),
        ("[peers]", "[score]\nmax_rows = 5\n[peers]", "score.region", "CONFIG_MISSING_KEY"),
        ("[peers]", '[score]\nregion = "nanjin"\n[peers]', "score.region", "CONFIG_VALUE"),
        ("[peers]", '[score]\nregion = "nanjing"\nmax_rows = 5000\n[peers]', "score.max_rows", "CONFIG_VALUE"),
        ("[peers]", '[score]\nregion = "nanjing"\nmin_providers = 0\n[peers]', "score.min_providers", "CONFIG_VALUE"),
        ("[peers]", '[score]\nregion = "nanjing"\ntable = "other"\n[peers]', "score.table", "CONFIG_CONFLICT"),
    ],
)
def test_a_bad_setting_is_refused_where_it_stands(folder: Path, old: str, new: str, where: str, code: str) -> None:
    assert old in GOOD
    assert (where, code) in problems(folder, GOOD.replace(old, new, 1))


def test_every_problem_is_listed_at_once(folder: Path) -> None:
    text = GOOD.replace("port = 7443", "port = -1").replace("tax.csv", "none.csv").replace("[trust]", "[turst]")
    assert sorted(problems(folder, text)) == [
        ("listen.port", "CONFIG_VALUE"),
        ("table.table", "CONFIG_PATH"),
        ("turst", "CONFIG_UNKNOWN_KEY"),
    ]


def test_a_port_for_all_without_tls_is_refused(folder: Path) -> None:
    text = GOOD.replace("127.0.0.1", "0.0.0.0", 1).replace('[identity]\nkey = "keys/tls.key"', "")
    assert ("listen.host", "CONFIG_INSECURE") in problems(folder, text)


def test_a_port_for_all_with_tls_is_meant(folder: Path) -> None:
    assert not load(folder, GOOD.replace("127.0.0.1", "0.0.0.0", 1)).listen.loopback


def test_a_key_that_others_may_read_is_refused(folder: Path) -> None:
    (folder / "keys" / "tls.key").chmod(0o644)
    (folder / "keys" / "signing.key").chmod(0o640)
    assert problems(folder, GOOD) == [
        ("identity.key", "TLS_KEY_READABLE"),
        ("identity.signing_key", "TLS_KEY_READABLE"),
    ]


def test_the_environment_overrides_known_keys(folder: Path) -> None:
    party = load(folder, GOOD, {"FEDCREDIT_LISTEN__PORT": "7999", "FEDCREDIT_LISTEN__HOST": "::1", "PATH": "/bin"})
    assert (party.listen.port, party.listen.host) == (7999, "::1")


def test_an_unknown_override_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        load(folder, GOOD, {"FEDCREDIT_LISTEN__PROT": "7999"})
    (problem,) = refused.value.problems
    assert problem.code == "CONFIG_UNKNOWN_ENV"
    assert "FEDCREDIT_LISTEN__PORT" in problem.fix


def test_secrets_are_never_repeated(folder: Path) -> None:
    text = GOOD.replace('key = "keys/tls.key"', 'key = """-----BEGIN PRIVATE KEY-----\nhunter2"""')
    with pytest.raises(ConfigError) as refused:
        load(folder, text)
    assert "hunter2" not in str(refused.value)


MEMBER = (
    GOOD.replace('[listen]\nhost = "127.0.0.1"\nport = 7443\n', "")
    + """platform = "platform.example:7443"
registry = "relay://registry"
[relay]
via = "platform"
"""
)
PLATFORM = """
[party]
id = "platform"
kind = "platform"
[identity]
[peers]
bank = "127.0.0.1:7001"
tax = "relay://tax"
[relay]
serve = true
may_dial = { bank = ["tax"], tax = ["bank", "platform"] }
"""


def test_a_party_that_joins_a_relay_listens_only_if_it_says_so(folder: Path) -> None:
    member = load(folder, MEMBER)
    assert (member.listens, member.relay.via, member.relay.outbound) == (False, "platform", "relay")
    assert member.peers["registry"] == "relay://registry"
    assert load(folder, MEMBER, {"FEDCREDIT_LISTEN__PORT": "7444"}).listens
    assert load(folder, GOOD).listens
    platform = load(folder, PLATFORM)
    assert platform.listens
    assert platform.relay.may_dial == {"bank": ("tax",), "tax": ("bank", "platform")}


@pytest.mark.parametrize(
    ("text", "where", "code"),
    [
        (MEMBER.replace('platform = "platform.example:7443"', ""), "peers.platform", "CONFIG_MISSING_KEY"),
        (MEMBER.replace("platform.example:7443", "relay://platform"), "peers.platform", "CONFIG_CONFLICT"),
        (MEMBER.replace("relay://registry", "relay://bank"), "peers.registry", "CONFIG_CONFLICT"),
        (MEMBER.replace("relay://registry", "relay://registry:1"), "peers.registry", "CONFIG_VALUE"),
        (MEMBER + "serve = true", "relay.serve", "CONFIG_CONFLICT"),
        (MEMBER + "may_dial = {}", "relay.may_dial", "CONFIG_CONFLICT"),
        (MEMBER + 'outbound = "both"', "relay.outbound", "CONFIG_VALUE"),
        (MEMBER + "connections = 0", "relay.connections", "CONFIG_VALUE"),
        (MEMBER + "serves = true", "relay.serves", "CONFIG_UNKNOWN_KEY"),
        (PLATFORM.replace("serve = true", ""), "peers.tax", "CONFIG_CONFLICT"),
        (PLATFORM.replace("serve = true", 'serve = true\nvia = "bank"'), "relay.via", "CONFIG_CONFLICT"),
        (PLATFORM.replace('["tax"]', '["tax", "housing"]'), "relay.may_dial.bank", "CONFIG_CONFLICT"),
    ],
)
def test_a_relay_that_does_not_fit_is_refused(folder: Path, text: str, where: str, code: str) -> None:
    assert (where, code) in problems(folder, text)


URL = "postgresql://fedcredit:hunter2@db.example:5432/fedcredit?sslmode=verify-full"


def test_the_stores_address_stands_in_a_file_or_in_the_environment(folder: Path) -> None:
    text = GOOD + '[store]\nurl_file = "keys/store.url"\n'
    (folder / "keys" / "store.url").write_text(URL + "\n")
    (folder / "keys" / "store.url").chmod(0o600)
    party = load(folder, text)
    assert party.store_url == URL
    assert "hunter2" not in f"{party!r} {party}"
    assert load(folder, text, {"FEDCREDIT_STORE__URL": "sqlite:////var/store"}).store_url == "sqlite:////var/store"
    assert load(folder, GOOD).store_url is None
    (folder / "keys" / "store.url").chmod(0o640)
    assert problems(folder, text) == [("store.url_file", "SECRET_READABLE")]


@pytest.mark.parametrize("content", ["", "mysql://u:hunter2@h/d", f"{URL}\n{URL}", "hunter2", "\0", "x" * 5000])
def test_an_address_that_is_none_is_refused_and_not_repeated(folder: Path, content: str) -> None:
    (folder / "keys" / "store.url").write_text(content)
    (folder / "keys" / "store.url").chmod(0o600)
    for text, environment in (
        (GOOD + '[store]\nurl_file = "keys/store.url"\n', {}),
        (GOOD, {"FEDCREDIT_STORE__URL": content}),
    ):
        with pytest.raises(ConfigError) as refused:
            load(folder, text, environment)
        assert [problem.code for problem in refused.value.problems] == ["CONFIG_VALUE"]
        assert "hunter2" not in str(refused.value)


HERE = "postgresql://u:hunter2@127.0.0.1:5432/d"
ELSEWHERE = "postgresql://u:hunter2@db.example:5432/d"


@pytest.mark.parametrize(
    ("url", "by_default", "by_choice"),
    [
        (HERE, True, True),
        ("postgresql:///d?host=/run/postgresql", True, True),
        (f"{ELSEWHERE}?sslmode=verify-full", True, True),
        (f"{ELSEWHERE}?sslmode=verify-ca", False, True),
        (f"{ELSEWHERE}?sslmode=require", False, True),
        (f"{ELSEWHERE}?sslmode=prefer", False, False),
        (f"{ELSEWHERE}?sslmode=disable", False, False),
        (ELSEWHERE, False, False),
        (f"{HERE}?hostaddr=192.0.2.1", False, False),
        ("postgresql://u:hunter2@127.0.0.1,db.example/d", False, False),
        ("postgresql://u:hunter2@/d?service=elsewhere", False, False),
        (f"{HERE}?unknown=1", False, False),
    ],
)
def test_a_store_on_another_machine_is_reached_over_tls_that_proves_it(
    folder: Path, url: str, by_default: bool, by_choice: bool
) -> None:
    for text, taken in ((GOOD, by_default), (GOOD + '[store]\ntls = "require"\n', by_choice)):
        environment = {"FEDCREDIT_STORE__URL": url}
        if taken:
            assert load(folder, text, environment).store_url == url
            continue
        with pytest.raises(ConfigError) as refused:
            load(folder, text, environment)
        assert [problem.code for problem in refused.value.problems] == ["CONFIG_INSECURE"]
        assert "hunter2" not in str(refused.value)


def test_what_the_environment_adds_to_a_stores_address_counts(folder: Path) -> None:
    given = {"FEDCREDIT_STORE__URL": "postgresql://u:hunter2@/d", "PGHOST": "db.example"}
    with pytest.raises(ConfigError, match="CONFIG_INSECURE"):
        load(folder, GOOD, given)


def test_the_stores_address_does_not_belong_into_the_party_file(folder: Path) -> None:
    found = problems(folder, GOOD + f'[store]\nurl = "{URL}"\n')
    assert ("store.url", "CONFIG_SECRET") in found
    assert ("store.url_file", "CONFIG_PATH") in problems(folder, GOOD + '[store]\nurl_file = "keys/none"\n')


def test_a_clock_that_nobody_keeps_is_refused_where_that_is_asked_for(folder: Path) -> None:
    text = GOOD.replace("[peers]", "[limits]\nrequire_synchronised_clock = true\n[peers]").replace("7443", "-1")
    (folder / "party.toml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_party(folder, {}, synchronised=lambda: False)
    assert [problem.code for problem in refused.value.problems] == ["CONFIG_VALUE", "CLOCK_UNSYNCHRONISED"]
    (folder / "party.toml").write_text(text.replace("-1", "7443"))
    assert load_party(folder, {}, synchronised=lambda: True).limits.require_synchronised_clock
    assert isinstance(clock_synchronised(), bool)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for folder, what in ((tmp_path / "none", "does not exist"), (tmp_path, "does not exist")):
        with pytest.raises(ConfigError, match=what) as refused:
            load_party(folder, {})
        assert refused.value.code == "CONFIG_FILE"


def test_a_key_twice_and_numbers_without_end_are_refused(folder: Path) -> None:
    for old, new, code in (
        ("port = 7443", "port = 7443\nport = 7444", "CONFIG_DUPLICATE_KEY"),
        ("port = 7443", f"port = {'9' * 5000}", "CONFIG_TOML"),
    ):
        with pytest.raises(ConfigError) as refused:
            load(folder, GOOD.replace(old, new))
        assert [problem.code for problem in refused.value.problems] == [code]
    assert "FEDCREDIT_LISTEN__PORT" not in str(refused.value)
    assert problems(folder, GOOD, {"FEDCREDIT_LISTEN__PORT": "9" * 5000}) == [("listen.port", "CONFIG_TYPE")]


def test_what_is_said_of_a_file_is_bounded(folder: Path) -> None:
    text = GOOD + "".join(f"\n[{'k' * 3000}{number}]" for number in range(300))
    with pytest.raises(ConfigError) as refused:
        load(folder, text)
    assert len(refused.value.problems) == 101
    assert refused.value.problems[-1].code == "MORE_PROBLEMS"
    assert max(len(str(problem)) for problem in refused.value.problems) < 500

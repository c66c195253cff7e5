"""The ready-to-run folders: fresh, complete, and accepted by the very code that reads them."""

from __future__ import annotations

import configparser
import importlib.util
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from fedcredit.cli.main import app
from fedcredit.governance.policy import Action
from fedcredit.governance.verification.rules import VerifyPolicy
from fedcredit.node.verification.serving import offer_of
from fedcredit.runtime.config import load_job, load_party
from fedcredit.runtime.consent_file import ConsentSection
from fedcredit.runtime.identity_file import EnrolSection, IdentitySection, TrustSection
from fedcredit.runtime.observe_file import LogSection, MetricsSection
from fedcredit.runtime.party_file import LimitsSection, ListenSection, PartySection
from fedcredit.runtime.policy_file import load_policy
from fedcredit.runtime.relay_file import RelaySection
from fedcredit.runtime.store_file import StoreSection
from fedcredit.runtime.table_file import ColumnSection, HttpSection, PostgresqlSection, TableSection
from fedcredit.runtime.toml import Section
from fedcredit.runtime.verify_file import VerifyItemSection, VerifySection

ROOT = Path(__file__).resolve().parents[2]
PARTIES = ROOT / "parties"
FOLDERS = sorted(path.parent.name for path in PARTIES.glob("*/party.toml"))
WITH_TABLES = [name for name in FOLDERS if name != "platform"]

COMMON: tuple[type[Section], ...] = (
    PartySection,
    ListenSection,
    IdentitySection,
    TrustSection,
    LimitsSection,
    StoreSection,
    LogSection,
    MetricsSection,
    RelaySection,
)
"""Sections that every node has; the others are a platform's or a data party's."""


def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_parties", PARTIES / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["make_parties"] = importlib.util.module_from_spec(spec)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def ready(name: str, folder: Path, file: str = "party.toml") -> Path:
    """A copy of a shipped folder with keys and a table, so that everything it names is there."""
    made = folder / name
    made.mkdir()
    for source in (PARTIES / name).iterdir():
        if source.is_file():
            shutil.copy(source, made)
    shutil.copy(PARTIES / name / file, made / "party.toml")
    ran = CliRunner().invoke(app, ["party", "init", str(made)])
    assert ran.exit_code == 0, ran.output
    if name != "platform":
        (made / "table.csv").write_text("uscc,default_12m,observation_month,x\n")
    return made


def test_there_is_a_folder_for_each_kind_of_party() -> None:
    assert set(FOLDERS) == {"platform", "bank", "tax", "social_insurance", "housing_fund", "utilities"}


def test_the_folders_are_as_they_are_written(tmp_path: Path) -> None:
    for made in maker().write(tmp_path):
        shipped = PARTIES / made.relative_to(tmp_path)
        assert shipped.read_text(encoding="utf-8") == made.read_text(encoding="utf-8"), "run: python parties/make.py"


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("file", ["party.toml", "party.full.toml"])
def test_both_configurations_are_read_without_a_problem(name: str, file: str, tmp_path: Path) -> None:
    config = load_party(ready(name, tmp_path, file), environment={})
    assert config.me == name
    assert config.listen.loopback, "nothing is open to a network unless its people say so"
    assert config.identity.authority == "keys/authority.crt"


def test_the_short_and_the_full_configuration_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "short").mkdir()
    (tmp_path / "full").mkdir()
    for name in FOLDERS:
        short = load_party(ready(name, tmp_path / "short"), environment={})
        full = load_party(ready(name, tmp_path / "full", "party.full.toml"), environment={})
        assert short.model_copy(update={"folder": full.folder}) == full


@pytest.mark.parametrize("name", FOLDERS)
def test_the_full_configuration_has_every_setting_there_is(name: str) -> None:
    text = (PARTIES / name / "party.full.toml").read_text(encoding="utf-8")
    own = (
        (EnrolSection, ConsentSection)
        if name == "platform"
        else (TableSection, ColumnSection, PostgresqlSection, HttpSection)
    )
    elsewhere = {"columns", "postgresql", "http"}  # tables of their own
    elsewhere |= {"via", "outbound"} if name == "platform" else {"serve", "connections", "bytes_per_s", "may_dial"}
    for section in (*COMMON, *own):
        for key in section.model_fields.keys() - elsewhere:
            assert re.search(rf"^(# )?{key} = ", text, re.MULTILINE), f"{section.__name__}.{key}"


@pytest.mark.parametrize("name", [name for name in WITH_TABLES if name != "bank"])
def test_a_department_can_switch_its_questions_on(name: str, tmp_path: Path) -> None:
    text = (PARTIES / name / "party.full.toml").read_text(encoding="utf-8")
    for section in (VerifySection, VerifyItemSection):
        for key in section.model_fields.keys() - {"items", "postgresql", "http", "names", "institutions"}:
            assert re.search(rf"^# {key} = ", text, re.MULTILINE), f"{section.__name__}.{key}"
    head, _, questions = text.partition("# [verify]\n")
    switched_on = re.sub(r"^# ", "", "# [verify]\n" + questions, flags=re.MULTILINE)
    made = ready(name, tmp_path, "party.full.toml")
    for file in ("register.csv", "names.csv"):
        (made / file).write_text("uscc\n", encoding="utf-8")
    (made / "party.toml").write_text(
        head + re.sub(r"^fields = .*$", "", switched_on, flags=re.MULTILINE), encoding="utf-8"
    )
    config = load_party(made, environment={})
    assert config.verify is not None
    assert offer_of(config.verify, VerifyPolicy()).questions


@pytest.mark.parametrize("name", WITH_TABLES)
def test_every_policy_asks_a_person(name: str) -> None:
    policy = load_policy(PARTIES / name).policy
    assert policy.rules
    assert all(rule.action is not Action.ADMIT for rule in policy.rules)


def test_the_banks_job_is_one_for_nodes() -> None:
    job = load_job(PARTIES / "bank" / "sme-default.toml", declared=True)
    assert job.label_party == "bank"
    assert set(job.parties) <= set(FOLDERS)


def test_ports_of_one_machine_do_not_collide(tmp_path: Path) -> None:
    ports = [load_party(ready(name, tmp_path), environment={}).listen.port for name in FOLDERS]
    enrol = load_party(tmp_path / "platform", environment={}).enrol.listen
    assert enrol is not None
    assert len({*ports, int(enrol.rpartition(":")[2])}) == len(FOLDERS) + 1


@pytest.mark.parametrize("name", FOLDERS)
def test_a_service_is_ended_in_good_order_and_kept_apart(name: str) -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(PARTIES / name / "fedcredit.service")
    service = unit["Service"]
    assert service["ExecStart"].endswith(f"fedcredit node up /etc/fedcredit/{name}")
    assert int(service["TimeoutStopSec"]) > 10, "a node may take ten seconds to end"
    assert service["NoNewPrivileges"] == "true"
    assert service["ProtectSystem"] == "strict"
    compose = (PARTIES / name / "compose.yaml").read_text(encoding="utf-8")
    port = load_port(name)
    for line in (f'- "{port}:{port}"', "read_only: true", 'cap_drop: ["ALL"]', "stop_grace_period: 15s"):
        assert line in compose


def load_port(name: str) -> int:
    found = re.search(r"^port = (\d+)", (PARTIES / name / "party.toml").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def test_keys_are_made_once_and_never_anew(tmp_path: Path) -> None:
    folder = ready("tax", tmp_path)
    kept = {path: path.read_bytes() for path in (folder / "keys").iterdir()}
    again = CliRunner().invoke(app, ["party", "init", str(folder)])
    assert again.exit_code != 0
    assert {path: path.read_bytes() for path in (folder / "keys").iterdir()} == kept
    assert (folder / "keys" / "authority.key").stat().st_mode & 0o077 == 0


def test_an_example_table_is_written_once_and_is_of_enterprises_that_others_have_too(tmp_path: Path) -> None:
    ids = {}
    for party in ("tax", "electricity"):
        path = tmp_path / f"{party}.csv"
        ran = CliRunner().invoke(app, ["table", "example", party, "--rows", "200", "--out", str(path)])
        assert ran.exit_code == 0, ran.output
        ids[party] = {line.split(",")[0] for line in path.read_text().splitlines()[1:]}
    assert len(ids["tax"] & ids["electricity"]) > 50
    again = CliRunner().invoke(app, ["table", "example", "tax", "--out", str(tmp_path / "tax.csv")])
    assert again.exit_code != 0

"""A town's files, before any process: what nodes read in them, and that its ports are its own."""

from __future__ import annotations

import pytest

from fedcredit.governance.registry.rules import Act
from fedcredit.ids import PartyId
from fedcredit.node.local import PLATFORM
from fedcredit.node.town.town import Register, Services, Town, free_port
from fedcredit.runtime.config import load_job
from fedcredit.runtime.policy_file import load_policy
from fedcredit.synth import write_demo

TAX, SOCIAL = PartyId("tax"), PartyId("social_insurance")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    folder = tmp_path_factory.mktemp("town")
    job = load_job(write_demo(folder / "data", 500, 7))
    records = Register("tax_payment", folder / "data" / "tax.csv")
    made = Town(job, folder, Services("jining", {TAX: [records]}, without=[SOCIAL]))
    for party in (PLATFORM, *job.parties):
        made._found(party)
    return made


def test_each_party_is_its_own_authority_and_answers_what_it_has_records_of(town: Town) -> None:
    configs = {party: town.config(party) for party in (PLATFORM, *town.job.parties)}
    authorities = {(town.folder(party) / "keys" / "authority.crt").read_bytes() for party in configs}
    assert len(authorities) == len(configs) == 4
    assert (town.bank, town.departments) == ("bank", (TAX, SOCIAL))
    assert {party for party, config in configs.items() if config.score is not None} == {TAX, SOCIAL}
    assert {party for party, config in configs.items() if config.verify is not None} == {TAX}
    ports = [config.listen.port for config in configs.values()]
    assert len(set(ports)) == 4


def test_policies_let_everything_be_and_scores_lack_whom_the_services_name(town: Town) -> None:
    for party in town.departments:
        policy = load_policy(town.folder(party))
        (rule,) = [rule for rule in policy.models.rules if Act.SCORE in (rule.acts or ())]
        assert rule.score.without == frozenset({SOCIAL})
        assert bool(policy.questions.rules) is (party == TAX)


def test_a_score_that_may_lack_a_part_never_comes_of_one_department_alone(town: Town) -> None:
    sections = [town.config(party).score for party in town.departments]
    assert [section.min_providers for section in sections if section is not None] == [2, 2]


def test_ports_are_given_once() -> None:
    assert len({free_port() for _ in range(50)}) == 50

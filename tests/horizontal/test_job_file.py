"""A job whose parties have the same columns: what its file may say, and what all sign."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from fedcredit.errors import ConfigError, FedcreditError, RefusedError
from fedcredit.governance.leakage import leakage_of
from fedcredit.governance.policy_rules import Terms
from fedcredit.governance.privacy import epsilon_at
from fedcredit.ids import PartyId
from fedcredit.node.canonical_json import canonical
from fedcredit.node.horizontal.noise import ROWS, ROWS_SENSITIVITY, privacy_of
from fedcredit.node.jobs.present import Present, goes_on_without, left_out_bytes, left_out_of
from fedcredit.node.platform import make_proposal
from fedcredit.node.policy.asked import request_of
from fedcredit.node.specification import JobSpecification
from fedcredit.runtime.config import JobFile, load_job
from fedcredit.runtime.policy_template import known_leakage

A, B, C, D = (PartyId(name) for name in ("a", "b", "c", "d"))
PLATFORM = PartyId("platform")
NOISE = "[aggregate]\nepsilon = 2.0\ndelta = 1e-6"
BINS = 'kind = "binning"\nsplit = "horizontal"\n'
NO_SCORECARD = "CONFIG_NOISE model.1.kind"


def write(folder: Path, parties: str = "abcd", extra: str = "", model: str = "", label: str = "abcd") -> Path:
    text = '[job]\nname = "cities"\npurpose = "financing"\nseed = 7\n'
    for name in parties:
        (folder / f"{name}.csv").write_text("uscc,default,x\n")
        text += f'[parties.{name}]\ntable = "{name}.csv"\nid = "uscc"\n'
        text += 'label = "default"\n' if name in label else ""
    text += f"{extra}\n[[model]]\n" + (model or 'kind = "gbdt"\nsplit = "horizontal"\nnum_trees = 3\n')
    (folder / "job.toml").write_text(text)
    return folder / "job.toml"


def job_of(folder: Path, **what: str) -> JobFile:
    return load_job(write(folder, **what))


def refused(folder: Path, **what: str) -> set[str]:
    with pytest.raises(ConfigError) as found:
        job_of(folder, **what)
    return {f"{problem.code} {problem.where.rpartition(': ')[2]}" for problem in found.value.problems}


def specification(folder: Path, **what: str) -> JobSpecification:
    return make_proposal(job_of(folder, **what).shared(), PLATFORM)


def test_every_party_has_the_label_and_the_first_leads(tmp_path: Path) -> None:
    job = job_of(tmp_path)
    assert [entry["role"] for entry in job.shared()["parties"]] == ["label", "member", "member", "member"]
    made = specification(tmp_path)
    assert made.layout == "horizontal"
    assert made.members == (A, B, C, D)
    assert made.other_parties == (B, C, D)
    assert made.feature_parties == ()
    assert made.threshold == 4
    assert made.intersect_modes == frozenset()
    assert JobSpecification.parse(made.to_bytes()) == made


def test_a_job_for_nodes_names_its_parties_and_no_more(tmp_path: Path) -> None:
    parties = "".join(f"[parties.{name}]\n" for name in "abc")
    model = '[[model]]\nkind = "logistic"\nsplit = "horizontal"\n'
    (tmp_path / "job.toml").write_text(f'[job]\nname = "cities"\npurpose = "financing"\n{parties}{model}')
    made = make_proposal(load_job(tmp_path / "job.toml", declared=True).shared(), PLATFORM)
    assert made.members == (A, B, C)


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ({"label": "abc"}, "CONFIG_LABEL parties"),
        ({"parties": "ab"}, "CONFIG_PARTIES parties"),
        ({"extra": "[intersect]\nmin_size = 10"}, "CONFIG_CONFLICT intersect"),
        ({"extra": "[aggregate]\nthreshold = 5"}, "CONFIG_VALUE aggregate.threshold"),
        ({"extra": "[aggregate]\nthreshold = 2"}, "CONFIG_VALUE aggregate.threshold"),
        ({"extra": "[aggregate]\ntreshold = 3"}, "CONFIG_UNKNOWN_KEY aggregate.treshold"),
        ({"model": 'kind = "gbdt"\nsplit = "mixed"\n'}, "CONFIG_VALUE model.0.split"),
        ({"model": 'kind = "scorecard"\nsplit = "mixed"\n'}, "CONFIG_PARTIES parties"),
        ({"model": 'kind = "gbdt"\n', "extra": "[aggregate]"}, "CONFIG_CONFLICT aggregate"),
        ({"model": 'kind = "gbdt"\n'}, "CONFIG_LABEL parties"),
        ({"extra": NOISE}, "CONFIG_NOISE model.0.kind"),
        ({"extra": NOISE, "model": BINS + '[[model]]\nkind = "scorecard"\nsplit = "horizontal"\n'}, NO_SCORECARD),
        ({"extra": f"{NOISE}\nthreshold = 3", "model": BINS}, "CONFIG_NOISE aggregate.threshold"),
        ({"extra": "[aggregate]\nepsilon = 2.0", "model": BINS}, "CONFIG_CONFLICT aggregate"),
        ({"extra": "[aggregate]\ndelta = 1e-6", "model": BINS}, "CONFIG_CONFLICT aggregate"),
        ({"extra": "[aggregate]\nepsilon = 21.0\ndelta = 1e-6", "model": BINS}, "CONFIG_VALUE aggregate.epsilon"),
        ({"extra": "[aggregate]\nepsilon = 0.0\ndelta = 1e-6", "model": BINS}, "CONFIG_VALUE aggregate.epsilon"),
        ({"extra": "[aggregate]\nepsilon = 2.0\ndelta = 0.01", "model": BINS}, "CONFIG_VALUE aggregate.delta"),
        ({"extra": "[aggregate]\nepsilon = 2.0\ndelta = 0.0", "model": BINS}, "CONFIG_VALUE aggregate.delta"),
        ({"extra": f"{NOISE}\ntwo_parties = 'accept'", "model": BINS, "parties": "ab"}, "CONFIG_CONFLICT aggregate"),
        (
            {"model": 'kind = "gbdt"\nsplit = "horizontal"\n[[model]]\nkind = "logistic"\n'},
            "CONFIG_CONFLICT model",
        ),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, what: dict[str, str], found: str) -> None:
    assert found in refused(tmp_path, **what)


def test_two_parties_add_up_only_where_the_job_and_every_policy_say_so(tmp_path: Path) -> None:
    made = specification(tmp_path, parties="ab", label="ab", extra='[aggregate]\ntwo_parties = "accept"')
    ids = {row.id for row in made.leakage}
    assert "aggregate.two" in ids
    assert {row.party for row in made.leakage if row.id == "aggregate.two"} == {"a", "b"}
    assert "aggregate.two" not in {row.id for row in specification(tmp_path).leakage}


def test_two_parties_add_up_with_noise_and_what_they_see_is_named(tmp_path: Path) -> None:
    made = specification(tmp_path, parties="ab", label="ab", extra=NOISE, model=BINS)
    ids = {row.id for row in made.leakage}
    assert "aggregate.noised" in ids
    assert "aggregate.two" not in ids
    assert ids <= known_leakage()
    assert made.aggregate is not None
    assert made.aggregate.noise == (2.0, 1e-6)
    assert JobSpecification.parse(made.to_bytes()) == made
    # An id stands for one text, whatever the numbers are.
    other = specification(tmp_path, parties="ab", label="ab", extra=NOISE.replace("2.0", "0.5"), model=BINS)
    assert other.leakage == made.leakage
    assert other.hash != made.hash


def test_a_kind_without_noise_is_refused_by_name_also_in_a_proposal(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"CONFIG_NOISE.*a gbdt is not made of sums with noise.*binning"):
        job_of(tmp_path, parties="ab", label="ab", extra=NOISE)
    shared = job_of(tmp_path, parties="ab", label="ab", extra=NOISE, model=BINS).shared()
    shared["models"][0] |= {"kind": "gbdt", "name": "gbdt.0", "params": {"num_trees": 3}}
    with pytest.raises(RefusedError, match="SPEC_INVALID"):
        make_proposal(shared, PLATFORM)


def test_what_all_sums_of_a_job_may_spend_is_the_same_at_all_and_within_its_epsilon(tmp_path: Path) -> None:
    made = specification(
        tmp_path, extra=NOISE, model=BINS + '[[model]]\nkind = "binning"\nsplit = "horizontal"\nname = "b"\n'
    )
    privacy = privacy_of(made)
    assert privacy is not None
    plan = privacy.plan
    assert set(plan.releases) == {ROWS, "binning.0", "b"}
    assert plan.releases["b"]["b/counts"] == plan.releases["binning.0"]["binning.0/counts"]
    assert 1.999 < epsilon_at(plan.rho, 1e-6) <= 2.0
    assert plan.sigma(ROWS, "count", ROWS_SENSITIVITY) < 100
    assert privacy_of(specification(tmp_path)) is None


def test_a_job_that_may_leave_parties_out_says_what_their_leaving_tells(tmp_path: Path) -> None:
    assert "aggregate.departure" not in {row.id for row in specification(tmp_path).leakage}
    made = specification(tmp_path, extra="[aggregate]\nthreshold = 3")
    assert "aggregate.departure" in {row.id for row in made.leakage}
    assert made.threshold == 3


def test_nothing_is_intersected_and_all_that_is_shown_has_an_id_that_a_policy_knows(tmp_path: Path) -> None:
    kinds = ("gbdt", "logistic", "scorecard", "binning")
    for kind in kinds:
        made = specification(tmp_path, model=f'kind = "{kind}"\nsplit = "horizontal"\n')
        ids = {row.id for row in leakage_of(_public(made))}
        assert not {name for name in ids if name.startswith(("align.", "gbdt.", "binning.", "scorecard."))}
        assert {"horizontal.columns", "horizontal.rows"} <= ids
        assert ids <= known_leakage()


def _public(made: JobSpecification) -> object:
    from fedcredit.governance.public_job import PublicJob

    return PublicJob(
        platform=PLATFORM,
        label_party=made.label_party,
        feature_parties=made.feature_parties,
        members=made.members[1:],
        threshold=made.threshold,
        models=tuple(model.public() for model in made.models),
    )


def test_a_policy_is_asked_of_how_few_a_sum_may_come_and_of_no_intersection(tmp_path: Path) -> None:
    made = specification(tmp_path, extra="[aggregate]\nthreshold = 3")
    asked = request_of(made, B, datetime(2026, 1, 1, tzinfo=UTC))
    assert asked.fewest_parties == 3
    assert not list(Terms(accept_leakage=known_leakage(), min_intersection=10_000, min_parties=3).breaches("r", asked))
    (breach,) = Terms(accept_leakage=known_leakage(), min_parties=4).breaches("r", asked)
    assert breach.code == "POLICY_MIN_PARTIES"


def test_who_is_left_out_is_within_what_was_signed(tmp_path: Path) -> None:
    made = specification(tmp_path, extra="[aggregate]\nthreshold = 3")
    assert Present.of(made, {A}) == Present(B, (C, D), (B, C, D))
    assert Present.of(made).parties == (A, B, C, D)
    for left_out in ({A, B}, {PartyId("e")}):
        with pytest.raises(FedcreditError) as found:
            Present.of(made, left_out)
        assert found.value.code == "LEFT_OUT_INVALID"
    with pytest.raises(FedcreditError) as found:
        goes_on_without(made, left_out_bytes({B}), B)
    assert found.value.code == "LEFT_OUT_INVALID"
    assert goes_on_without(made, left_out_bytes({B}), C) == {B}
    assert left_out_of(left_out_bytes({D, B})) == {B, D}


@pytest.mark.parametrize("data", [b"", b"{}", b'["a", 1]', b"[" * 100_000, b'["A B"]'])
def test_what_is_no_list_of_parties_is_refused(data: bytes) -> None:
    with pytest.raises(FedcreditError):
        left_out_of(data)


@pytest.mark.parametrize(
    "change",
    [
        {"aggregate": None},
        {"aggregate": {"threshold": 2}},
        {"aggregate": {"threshold": 9}},
        {"intersect": {"min_size": 50}},
        {"parties": [{"id": "a", "role": "label"}, {"id": "b", "role": "feature"}, {"id": "c", "role": "member"}]},
        {"parties": [{"id": "a", "role": "label"}, {"id": "b", "role": "member"}]},
    ],
)
def test_a_proposal_that_no_file_could_make_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    shared = job_of(tmp_path).shared() | change
    with pytest.raises(RefusedError) as found:
        make_proposal({key: value for key, value in shared.items() if value is not None}, PLATFORM)
    assert found.value.code == "SPEC_INVALID"
    assert canonical(job_of(tmp_path).shared()), "the unchanged one is a job"

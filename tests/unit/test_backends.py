"""Which backend a job's models have: before its parties have said how much they bring, and after."""

from __future__ import annotations

from typing import Any

import pytest

from fedcredit.errors import RefusedError
from fedcredit.ids import PartyId
from fedcredit.node.backends import backends_of, check_hours, choice_of
from fedcredit.node.platform import make_proposal
from fedcredit.node.policy.asked import _models
from fedcredit.node.specification import JobSpecification

BANK, TAX = PartyId("bank"), PartyId("tax")
BOTH = frozenset({"onehot", "paillier"})


def proposal(groupsum: str, line_mbit: float | None) -> JobSpecification:
    model = {"kind": "gbdt", "name": "gbdt.0", "groupsum": groupsum, "hide_nodes": True, "params": {"num_trees": 100}}
    definition: dict[str, Any] = {
        "job": {"name": "sme", "purpose": "financing"},
        "parties": [{"id": "bank", "role": "label"}, {"id": "tax", "role": "feature"}],
        "intersect": {} if line_mbit is None else {"line_mbit": line_mbit},
        "split": {"holdout": 0.2},
        "models": [model],
    }
    return make_proposal(definition, PartyId("platform"))


def offered(bare: JobSpecification, features: int) -> JobSpecification:
    offer = {"rows": 20_000, "features": features, "commitment": b"n" * 32, "subjects": b"s" * 32, "certificate": b"c"}
    return bare.with_offers({party: bare.party(party).offering(**offer) for party in (BANK, TAX)})


@pytest.mark.parametrize(
    ("groupsum", "line_mbit", "before", "few", "many"),
    [
        ("onehot", 10.0, {"onehot"}, "onehot", "onehot"),
        ("paillier", None, {"paillier"}, "paillier", "paillier"),
        ("auto", None, {"onehot"}, "onehot", "onehot"),
        ("auto", 10.0, BOTH, "onehot", "paillier"),
        ("auto", 1000.0, BOTH, "onehot", "onehot"),
    ],
)
def test_sizes_settle_what_a_stated_line_leaves_open(
    groupsum: str, line_mbit: float | None, before: set[str], few: str, many: str
) -> None:
    bare = proposal(groupsum, line_mbit)
    (model,) = bare.models
    assert backends_of(bare, model) == before
    assert [ask.groupsum for ask in _models(bare)] == [before]
    for features, wanted in ((3, few), (300, many)):
        specification = offered(bare, features)
        assert backends_of(specification, model) == {wanted}
        assert choice_of(specification, model).backend == wanted
        # Both sides work the table out from what was offered, and sign it.
        assert specification.leakage == specification.derive_leakage()
        roles = {row.id.partition(".")[0] for row in specification.leakage}
        assert ("PaillierHolder" in roles, "Holder" in roles) == (wanted == "paillier", wanted == "onehot")
        assert JobSpecification.parse(specification.to_bytes()) == specification
        assert specification.proposal().to_bytes() == bare.to_bytes() or before == BOTH


def test_hours_are_checked_of_what_was_chosen_alone() -> None:
    bare = proposal("onehot", None)
    offer = {"features": 3000, "commitment": b"n" * 32, "subjects": b"s" * 32, "certificate": b"c"}
    check_hours(bare.with_offers({p: bare.party(p).offering(rows=10**6, **offer) for p in (BANK, TAX)}))


@pytest.mark.parametrize(
    ("groupsum", "line_mbit", "wanted"),
    [
        ("auto", None, "rlwe"),
        ("auto", 0.5, "rlwe"),
        ("auto", 100.0, "rlwe"),
        ("rlwe", None, "rlwe"),
        ("onehot", 0.5, "onehot"),
        ("paillier", 100.0, "paillier"),
    ],
)
def test_binning_counts_under_ring_lwe_unless_the_job_names_another(
    groupsum: Any, line_mbit: float | None, wanted: str
) -> None:
    bare = proposal("onehot", line_mbit)
    changes = {"kind": "binning", "groupsum": groupsum, "hide_nodes": False, "params": {}}
    model = bare.models[0].model_copy(update=changes)
    asked = bare.model_copy(update={"models": (model,)})
    specification = offered(asked, 300)
    assert backends_of(asked, model) == backends_of(specification, model) == {wanted}
    assert choice_of(specification, model).backend == wanted
    roles = {row.id.partition(".")[0] for row in specification.derive_leakage()}
    names = {"rlwe": "LentColumns", "onehot": "Holder", "paillier": "PaillierHolder"}
    assert {backend for backend, role in names.items() if role in roles} == {wanted}


@pytest.mark.parametrize("kind", ["logistic", "scorecard"])
@pytest.mark.parametrize(("groupsum", "wanted"), [("auto", "rlwe"), ("rlwe", "rlwe"), ("paillier", "paillier")])
def test_fits_are_made_under_ring_lwe_unless_the_job_names_paillier(kind: Any, groupsum: Any, wanted: str) -> None:
    bare = proposal("onehot", 0.5)
    changes = {"kind": kind, "groupsum": groupsum, "hide_nodes": False, "params": {}}
    asked = bare.model_copy(update={"models": (bare.models[0].model_copy(update=changes),)})
    specification = offered(asked, 10)
    (model,) = specification.models
    assert backends_of(asked, model) == backends_of(specification, model) == {wanted}
    choice = choice_of(specification, model)
    assert (choice.backend, choice.why != "") == (wanted, True)
    if groupsum == "auto":
        assert "under paillier" in choice.why
    check_hours(specification)
    roles = {row.id.partition(".")[0] for row in specification.derive_leakage()}
    assert {"LinearLabel", "LinearPartner", "Holder"} <= roles
    assert ({"PaillierOwnKey", "PaillierPeerKey"} <= roles) == (wanted == "paillier")
    assert ("LentColumns" in roles) == (kind == "scorecard" and wanted == "rlwe")
    # Two fits of a million rows would take days under Paillier: nobody signs that.
    offer = {"features": 10, "commitment": b"n" * 32, "subjects": b"s" * 32, "certificate": b"c"}
    large = asked.with_offers({p: asked.party(p).offering(rows=10**6, **offer) for p in (BANK, TAX)})
    if wanted == "paillier" and kind == "scorecard":
        with pytest.raises(RefusedError) as caught:
            check_hours(large)
        assert caught.value.code == "GROUPSUM_HOURS"
    else:
        check_hours(large)


def test_a_regression_is_not_made_of_one_hot_vectors() -> None:
    text = proposal("onehot", None).to_bytes().replace(b'"gbdt"', b'"logistic"')
    with pytest.raises(RefusedError, match="SPEC_INVALID"):
        JobSpecification.parse(text)


def test_gradients_are_not_summed_under_ring_lwe() -> None:
    text = proposal("onehot", None).to_bytes()
    with pytest.raises(RefusedError, match="SPEC_INVALID"):
        JobSpecification.parse(text.replace(b'"onehot"', b'"rlwe"'))

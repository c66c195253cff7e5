"""The leakage table: complete, in plain words, and asked for again when a word of it changes."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterator

import pytest

import fedcredit.protocols
import fedcredit.wire
from fedcredit.errors import FedcreditError, RefusedError
from fedcredit.governance.leakage import (
    Disclosure,
    PublicJob,
    PublicModel,
    leakage_of,
    refuse_unaccepted,
    statement_of,
)
from fedcredit.ids import PartyId, party_id
from fedcredit.wire.message import Message

BANK, TAX, SOCIAL, PLATFORM = map(party_id, ("bank", "tax", "social", "platform"))


def job(**changes: object) -> PublicJob:
    shape: dict[str, object] = {"models": (PublicModel(name="gbdt.0"),)} | changes
    return PublicJob(platform=PLATFORM, label_party=BANK, feature_parties=(TAX, SOCIAL), **shape)  # type: ignore[arg-type]


def learned(table: tuple[Disclosure, ...], party: PartyId, about: PartyId) -> set[str]:
    return {row.id for row in table if (party,) == row.parties and about in row.about}


def test_boosting_says_who_learns_what_of_whom() -> None:
    table = leakage_of(job())
    assert learned(table, BANK, TAX) == {
        "agreement.sizes",
        "agreement.subjects",
        "coordination.watch",
        "coordination.waits",
        "audit.entries",
        "align.rows",
        "gbdt.shape",
        "gbdt.bins",
        "gbdt.sides",
    }
    assert learned(table, TAX, BANK) == {
        "agreement.sizes",
        "agreement.subjects",
        "coordination.watch",
        "coordination.waits",
        "audit.entries",
        "align.rows",
        "gbdt.choices",
        "gbdt.nodes",
    }
    # A node another feature party split shows on which side its rows fell.
    assert learned(table, TAX, SOCIAL) == {
        "agreement.sizes",
        "agreement.subjects",
        "coordination.watch",
        "coordination.waits",
        "audit.entries",
        "align.rows",
        "gbdt.nodes",
    }
    assert learned(table, PLATFORM, TAX) == {
        "agreement.sizes",
        "agreement.subjects",
        "coordination.progress",
        "coordination.waits",
        "audit.entries",
    }


def test_hidden_nodes_take_the_memberships_out_of_the_table() -> None:
    table = leakage_of(job(models=(PublicModel(name="gbdt.0", hide_nodes=True),)))
    assert learned(table, TAX, BANK) == {
        "agreement.sizes",
        "agreement.subjects",
        "coordination.watch",
        "coordination.waits",
        "audit.entries",
        "align.rows",
        "gbdt.choices",
        "gbdt.counts",
    }
    assert learned(table, TAX, SOCIAL) == {
        "agreement.sizes",
        "agreement.subjects",
        "coordination.watch",
        "coordination.waits",
        "audit.entries",
        "align.rows",
    }
    assert "gbdt.sides" in learned(table, BANK, TAX)


def test_an_intersection_for_the_receiver_alone_shows_the_others_no_rows() -> None:
    table = leakage_of(job(models=(), receiver_only=True))
    assert "align.rows" in learned(table, BANK, TAX)
    assert learned(table, TAX, BANK) == {
        "agreement.sizes",
        "agreement.subjects",
        "coordination.watch",
        "coordination.waits",
        "audit.entries",
        "align.minimum",
    }


def test_the_size_alone_shows_no_rows() -> None:
    for alone in (False, True):
        table = leakage_of(
            dataclasses.replace(job(models=(), size_only=True, receiver_only=alone), feature_parties=(TAX,))
        )
        shown = {row.id for row in table}
        assert "align.rows" not in shown
        assert "align.size" in learned(table, BANK, TAX)
        assert ("align.size" in learned(table, TAX, BANK)) != alone
        assert [name for name in shown if name.startswith("Intersect")] == []
        assert sum(name.startswith(("SizeReceiver.", "SizeHolder.")) for name in shown) == 2


def test_a_split_by_time_tells_the_feature_parties_the_period() -> None:
    assert "split.time" in learned(leakage_of(job(time_split=True)), TAX, BANK)


@pytest.mark.parametrize("backends", [{"onehot"}, {"paillier"}, {"onehot", "paillier"}])
def test_what_has_to_be_believed_of_the_sums_is_that_of_their_backend(backends: set[str]) -> None:
    """Opened sums are the same; what hides the rest is not. Where the job leaves it open, both are to be accepted."""
    table = leakage_of(job(models=(PublicModel(name="gbdt.0", groupsum=frozenset(backends)),)))
    roles = {row.id.partition(".")[0]: row.learns for row in table}
    assert ({"Asker", "Holder"} <= roles.keys()) == ("onehot" in backends)
    assert ({"PaillierAsker", "PaillierHolder"} <= roles.keys()) == ("paillier" in backends)
    assert "paillier" not in backends or "composite residuosity" in roles["PaillierAsker"]


def test_rows_are_plain_text_for_the_report() -> None:
    rows = [disclosure.row() for disclosure in leakage_of(job())]
    assert json.loads(json.dumps(rows)) == rows
    assert all(set(row) == {"id", "party", "learns", "about", "through"} and all(row.values()) for row in rows)


# Each id stands for one text. Who changes a text changes what was accepted: give it a new id and an entry in the
# changelog, then this table.
PINNED = {
    "align.minimum": "a6ee30c18a70",
    "agreement.sizes": "a21201767eec",
    "agreement.subjects": "e5bc38ede873",
    "align.rows": "80329e8d3c9b",
    "align.size": "c6b48b9dc48a",
    "coordination.progress": "3b01484254f3",
    "coordination.watch": "cd4f1ad91bd9",
    "coordination.waits": "98a67a3a8f9f",
    "audit.entries": "2b0c973b5f15",
    "gbdt.choices": "00712fab3026",
    "gbdt.counts": "40c13c2cd07e",
    "gbdt.bins": "99ec9feecedc",
    "gbdt.nodes": "c9346b1c4fd5",
    "gbdt.shape": "2df23ddb26eb",
    "gbdt.sides": "e7b874f06258",
    "split.time": "6c38347ab1b2",
}


def test_accepted_texts_do_not_change_under_their_ids() -> None:
    models = PublicModel(name="a"), PublicModel(name="b", hide_nodes=True)
    tables = [leakage_of(job(models=models, time_split=True, receiver_only=alone), []) for alone in (False, True)]
    tables.append(leakage_of(job(models=(), size_only=True), []))
    texts = {(row.id, row.learns) for table in tables for row in table}
    assert {name: hashlib.sha256(text.encode()).hexdigest()[:12] for name, text in texts} == PINNED
    assert len(texts) == len(PINNED)


class Sender:
    """Sends. Reveals: how many
    rows there are. Assumes: a semi-honest peer.

    Raises: PeerError.
    """


class Paragraphs:
    """Sends.

    Reveals: to the label party,
        the sums.

    This is no part of it.

    Assumes: an authenticated link.
    Source: a paper: "Reveals nothing".
    """


class Silent:
    """Reveals: something."""


def test_statements_are_read_from_docstrings() -> None:
    assert dataclasses.astuple(statement_of(Sender)) == ("how many rows there are.", "a semi-honest peer.")
    assert dataclasses.astuple(statement_of(Paragraphs)) == ("to the label party, the sums.", "an authenticated link.")


def test_a_role_that_does_not_say_what_it_assumes_cannot_run() -> None:
    for kind in (Silent, type("Nothing", (Sender,), {})):  # a docstring is not inherited
        with pytest.raises(FedcreditError, match="does not say"):
            leakage_of(job(), [kind])


def test_what_a_role_says_becomes_a_row() -> None:
    (row,) = (row for row in leakage_of(job(), [Sender]) if row.through.endswith("Sender"))
    assert row.parties == row.about == (BANK, TAX, SOCIAL)
    assert row.learns == "how many rows there are. (assuming: a semi-honest peer.)"
    changed = type("Sender", (), {"__doc__": (Sender.__doc__ or "").replace("how many", "which")})
    assert row.id not in {row.id for row in leakage_of(job(), [changed])}, "another statement is accepted anew"


def test_a_role_that_reveals_nothing_makes_no_row() -> None:
    mute = type("Mute", (), {"__doc__": "Listens. Reveals: nothing. Assumes: an authenticated link."})
    assert leakage_of(job(), [mute]) == leakage_of(job(), [])


def test_the_roles_of_a_job_speak_for_themselves() -> None:
    spoken = {row.id.split(".")[0] for row in leakage_of(job(time_split=True)) if row.id[0].isupper()}
    assert {"IntersectReceiver", "IntersectHolder", "LabelParty", "FeatureParty", "Asker", "SplitLeader"} <= spoken
    without = {row.id.split(".")[0] for row in leakage_of(job(models=())) if row.id[0].isupper()}
    assert without == {"IntersectReceiver", "IntersectHolder"}


def test_a_policy_refuses_what_it_has_not_accepted_about_its_own_party() -> None:
    table = leakage_of(job())
    accepted = {row.id for row in table if TAX in row.about}
    refuse_unaccepted(table, TAX, accepted)
    with pytest.raises(RefusedError) as caught:
        refuse_unaccepted(table, TAX, accepted - {"gbdt.sides"})
    assert caught.value.code == "LEAKAGE_NOT_ACCEPTED"
    assert caught.value.exit_status == 77
    assert "gbdt.sides" in str(caught.value)
    assert "gbdt.choices" not in accepted, "what tax learns about the bank is for the bank to accept"


def classes(package: object) -> Iterator[type]:
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):  # type: ignore[attr-defined]
        if "._gen" in info.name:
            continue
        module = importlib.import_module(info.name)
        yield from (kind for _, kind in inspect.getmembers(module, inspect.isclass) if kind.__module__ == info.name)


def test_every_message_and_every_role_says_what_it_reveals_and_assumes() -> None:
    messages = [kind for kind in classes(fedcredit.wire) if issubclass(kind, Message) and kind is not Message]
    roles = [kind for kind in classes(fedcredit.protocols) if is_role(kind)]
    assert messages
    silent = []
    for kind in {*messages, *roles}:
        try:
            statement_of(kind)
        except FedcreditError as error:
            silent.append(str(error))
    assert not silent


def is_role(kind: type) -> bool:
    """A dataclass with a public method that is a protocol: a generator of effects."""
    methods = [method for name, method in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")]
    return dataclasses.is_dataclass(kind) and any(inspect.isgeneratorfunction(method) for method in methods)

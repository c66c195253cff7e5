"""Policies that are written for a folder: the closed one of a new node, and the open one of a run on one machine."""

from __future__ import annotations

import itertools
import json
import textwrap
from collections.abc import Mapping
from typing import Literal, get_args

from fedcredit.credit.woe import IvDisclosure
from fedcredit.governance.leakage import Disclosure, PublicJob, PublicModel, leakage_of
from fedcredit.governance.public_job import STATISTICS_SHOW, ModelKind
from fedcredit.ids import PartyId

__all__ = ["known_leakage", "open_policy", "template"]

_HEAD = """\
# policy.toml: what this party lets others compute over its tables. docs/policy.md explains every key.
# The first rule that is about a job decides. A job that no rule is about is refused.
# Read again whenever it changes; a file with a mistake in it refuses every job until it is mended.
# Try it out:  fedcredit policy check DIR   and   fedcredit policy explain JOB.toml --node DIR

[policy]
time_zone = "Asia/Shanghai"             # where hours, days and months are counted
show_heads_to = ["*"]                   # members that sign the head of the audit log once a day: they learn how many
                                        # entries it has, and a rewritten log shows; docs/audit.md. [] for nobody

# Joint models for financing in which nobody learns which rows sit in a node of a tree. A person of this party has to
# say yes to each one:  fedcredit job list   then   fedcredit job approve ID
[[rule]]
name = "financing-models"
action = "approve"                      # admit | approve | refuse
submitters = ["*"]                      # better: the institutions that you have an agreement with
peers = ["*"]                           # the other parties whose tables take part; better: name them
purposes = ["financing"]
tables = ["*"]                          # names of tables in party.toml
kinds = ["gbdt"]
hide_nodes = true
columns = ["*"]                         # better: the columns that you lend; all others stay out of the job
min_rows = 1000                         # of your own table
min_intersection = 1000                 # fewer subjects in common end the job before anything is shown
min_data_in_leaf = 50
min_data_in_bin = 50
max_bin = 32
max_trees = 200
per_submitter_per_month = 10
max_runs = 50                           # over one table with the same peers, ever
min_change_rows = 50                    # 1 to 49 rows more than last time would tell about just these
per_pair_per_month = 10                 # over one table with each of the other parties
changed_set = "approve"                 # another set than in jobs with the same peers: a person is asked anew
changed_set_days = 30                   # how far that looks back
# hours = ["mon-fri 08:00-18:00"]
# valid_until = 2027-12-31
"""


def template(kind: Literal["provider", "institution"]) -> str:
    """The policy of a new node: financing models that hide rows, after approval by a person; nothing else.

    What others would learn is accepted id by id, each with its text beside it, so that it is read before it is kept.
    """
    me, others = PartyId("me"), (PartyId("others"),)
    label, features = (me, others) if kind == "institution" else (others[0], (me,))
    job = PublicJob(
        platform=PartyId("platform"),
        label_party=label,
        feature_parties=features,
        models=(PublicModel(name="model", hide_nodes=True),),
    )
    about = {row.id: row for row in leakage_of(job) if me in row.about}
    return f"{_HEAD}{_accepted(about)}"


def open_policy() -> str:
    """A policy that admits every job that this version can run: for parties that one person runs to try out."""
    ids = "\n".join(f"    {_text(name)}," for name in sorted(known_leakage()))
    every = "\n".join(f'{key} = ["*"]' for key in ("submitters", "peers", "purposes", "tables", "kinds", "columns"))
    return (
        "# Written for a run of all parties on one machine: whoever runs it owns every table.\n"
        f'[[rule]]\nname = "all-on-one-machine"\naction = "admit"\n{every}\naccept_leakage = [\n{ids}\n]\n'
        "evaluations_per_day = 1_000_000_000\nprivacy_epsilon = 1000\nprivacy_delta = 1e-6\n"
    )


def known_leakage() -> frozenset[str]:
    """The ids of everything that a job of this version can show about a party."""
    ids: set[str] = set()
    backends = frozenset({"onehot", "paillier"})
    others = [
        PublicModel(name=how, kind="binning", iv_disclosure=how, groupsum=backends | {"rlwe"})
        for how in get_args(IvDisclosure)
    ]
    others.append(PublicModel(name="logistic", kind="logistic"))
    others.append(PublicModel(name="card", kind="scorecard", merged_card=True, fixed_signs=True, period_scores=True))
    others.append(PublicModel(name="statistics", kind="statistics", hide_nodes=True, tables=STATISTICS_SHOW))
    for hide_nodes, receiver_only, time_split, size_only, unbalanced in itertools.product((False, True), repeat=5):
        job = PublicJob(
            platform=PartyId("platform"),
            label_party=PartyId("label"),
            feature_parties=(PartyId("one"), PartyId("two")),
            receiver_only=receiver_only,
            size_only=size_only,
            unbalanced=unbalanced,
            time_split=time_split,
            models=(PublicModel(name="model", hide_nodes=hide_nodes, groupsum=backends), *others),
        )
        ids |= {row.id for row in leakage_of(job)}
    kinds: tuple[ModelKind, ...] = ("gbdt", "binning", "logistic", "scorecard", "statistics")
    for kind, few, noised in itertools.product(kinds, (False, True), (False, True)):
        job = PublicJob(
            platform=PartyId("platform"),
            label_party=PartyId("label"),
            feature_parties=(),
            members=(PartyId("one"),) if few else (PartyId("one"), PartyId("two")),
            noised=noised,
            models=(PublicModel(name="model", kind=kind, split="horizontal"),),
        )
        ids |= {row.id for row in leakage_of(job)}
    for how, time_split in itertools.product(get_args(IvDisclosure), (False, True)):
        card = PublicModel(
            name="card", kind="scorecard", split="mixed", merged_card=True, fixed_signs=True, iv_disclosure=how
        )
        job = PublicJob(
            platform=PartyId("platform"),
            label_party=PartyId("label"),
            feature_parties=(PartyId("one"), PartyId("two")),
            members=(PartyId("second"), PartyId("third")),
            time_split=time_split,
            models=(card,),
        )
        ids |= {row.id for row in leakage_of(job)}
    return frozenset(ids)


def _accepted(about: Mapping[str, Disclosure]) -> str:
    lines = ["# What others may learn about this party's subjects. Each text is the one of the job's leakage table."]
    lines.append("accept_leakage = [")
    for name, row in about.items():
        lines += [f"    # {line}" for line in textwrap.wrap(row.learns, 112)]
        lines.append(f"    {_text(name)},")
    return "\n".join([*lines, "]", ""])


def _text(value: str) -> str:
    return json.dumps(value)

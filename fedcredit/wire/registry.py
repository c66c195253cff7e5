"""Messages about published models: between a party's own people, its node, and the platform. No row travels here."""

from __future__ import annotations

from dataclasses import dataclass

from fedcredit.wire._gen import registry_pb2
from fedcredit.wire.message import Message, MessageInvalid, blob, count, text

__all__ = [
    "CHANGES",
    "ORDERS",
    "DriftOrder",
    "FollowModels",
    "ModelBulletin",
    "ModelChange",
    "ModelDocument",
    "ModelDrift",
    "ModelOffer",
    "ModelOrder",
    "ModelWord",
    "ShowModels",
]

CHANGES = ("activate", "challenge", "rollback", "retire")
ORDERS = ("publish", "approve", "withdraw", *CHANGES)

MAX_NAME = 32
MAX_JOB = 64
MAX_BY = 128
MAX_VERSION = 1_000_000
MAX_OFFER = 4 << 10
MAX_WORD = 1 << 10
MAX_MONTH = 7
MAX_INDEX = 100_000_000
MAX_SCORES = 10**12
MAX_CERTIFICATE = 3072
MAX_DOCUMENT = 2 << 20
"""A thousand versions, a line each; or one with everything that its parties have signed."""

MAX_BULLETIN = 1 << 20
_SIGNATURE = 64


@dataclass(frozen=True, slots=True, repr=False)
class ModelOffer(Message, tag=0x1B0, proto=registry_pb2.ModelOffer):
    """A party offers a model of a job.

    Reveals: to the platform, the model's parties and whoever its policy shows it to: the job's name and hash, its
    parties and purpose, the kind of model, of a scorecard the scale and the number of reasons, of trees how many they
    and their leaves are. No point, bin, threshold or coefficient.
    Assumes: mutual TLS, from the publisher; its Ed25519 signing key.
    """

    offer: bytes = blob(2, MAX_OFFER)
    signature: bytes = blob(_SIGNATURE)
    certificate: bytes = blob(1, MAX_CERTIFICATE)


@dataclass(frozen=True, slots=True, repr=False)
class ModelWord(Message, tag=0x1B1, proto=registry_pb2.ModelWord):
    """A party approves a version with its own part, or does not any more.

    Reveals: to the platform, the model's parties and whoever the platform's policy shows it to: that it does, when, a
    hash of its part that is keyed with a secret of its own, and of a scorecard how much the part can add to a score at
    least and at most, rounded out to 32 points.
    Assumes: mutual TLS, from the party itself; its Ed25519 signing key; HMAC-SHA-256 hides a part from who has no key.
    """

    word: bytes = blob(2, MAX_WORD)
    signature: bytes = blob(_SIGNATURE)
    certificate: bytes = blob(1, MAX_CERTIFICATE)


@dataclass(frozen=True, slots=True, repr=False)
class ModelChange(Message, tag=0x1B2, proto=registry_pb2.ModelChange):
    """Which version counts. Reveals: to the platform, who orders it: a party, and the name of its user.

    Assumes: mutual TLS, from a member or an operator; the platform's policy decides whether it may.
    """

    change: str = text(MAX_NAME)
    name: str = text(MAX_NAME)
    version: int = count(MAX_VERSION, 1)
    by: str = text(MAX_BY)

    def validate(self) -> None:
        """One of the changes that there are, to something."""
        if self.change not in CHANGES or not self.name:
            raise MessageInvalid("ModelChange.change", "not a change of a model")


@dataclass(frozen=True, slots=True, repr=False)
class ModelOrder(Message, tag=0x1B3, proto=registry_pb2.ModelOrder):
    """What a person of a party orders its node. Reveals: who, to the node's audit log.

    Assumes: mutual TLS, from the node's own operator.
    """

    order: str = text(MAX_NAME)
    name: str = text(MAX_NAME)
    version: int = count(MAX_VERSION)
    job: str = text(MAX_JOB)
    model: str = text(MAX_NAME)
    by: str = text(MAX_BY)

    def validate(self) -> None:
        """A job and its model are published; anything else is about a version."""
        publishes = self.order == "publish"
        if self.order not in ORDERS or not self.name:
            raise MessageInvalid("ModelOrder.order", "not an order about a model")
        if publishes != (self.version == 0) or publishes != bool(self.job) or publishes != bool(self.model):
            raise MessageInvalid("ModelOrder", "neither publishes a job's model nor names a version")


@dataclass(frozen=True, slots=True, repr=False)
class ShowModels(Message, tag=0x1B4, proto=registry_pb2.ShowModels):
    """Which models are there? Reveals: to the platform, who asks for which. Assumes: mutual TLS, an allowed caller."""

    name: str = text(MAX_NAME)
    version: int = count(MAX_VERSION)

    def validate(self) -> None:
        """A version is one of a name."""
        if self.version and not self.name:
            raise MessageInvalid("ShowModels.version", "of no name")


@dataclass(frozen=True, slots=True, repr=False)
class ModelDocument(Message, tag=0x1B5, proto=registry_pb2.ModelDocument):
    """What is known of models. Reveals: to a caller that takes part in one, or whom the platform's policy shows it:
    its offer, its parties' words, where it stands and who ordered that. To a node's own people also what it serves.

    Assumes: mutual TLS, an allowed caller.
    """

    document: bytes = blob(2, MAX_DOCUMENT)


@dataclass(frozen=True, slots=True, repr=False)
class FollowModels(Message, tag=0x1B6, proto=registry_pb2.FollowModels):
    """Is there news? Reveals: which bulletin the caller has. Assumes: mutual TLS, from a member."""

    number: int = count(2**53)
    wait_ms: int = count(60_000)


@dataclass(frozen=True, slots=True, repr=False)
class ModelBulletin(Message, tag=0x1B7, proto=registry_pb2.ModelBulletin):
    """Where a party's models stand. Reveals: to that party, the state and role of each version it has a part in, and
    how many changes the platform's registry has had. Assumes: mutual TLS; the platform's Ed25519 signing key.
    """

    body: bytes = blob(2, MAX_BULLETIN)
    signature: bytes = blob(_SIGNATURE)
    certificate: bytes = blob(1, MAX_CERTIFICATE)


@dataclass(frozen=True, slots=True, repr=False)
class DriftOrder(Message, tag=0x1B8, proto=registry_pb2.DriftOrder):
    """A person of the party that has published a version has its node tell the platform how far its scores have
    drifted. Reveals: who, to the node's audit log. Assumes: mutual TLS, from the node's own operator.
    """

    name: str = text(MAX_NAME)
    version: int = count(MAX_VERSION, 1)
    month: str = text(MAX_MONTH)
    index: int = count(MAX_INDEX)
    scores: int = count(MAX_SCORES, 1)
    by: str = text(MAX_BY)

    def validate(self) -> None:
        """A month of a version of a name."""
        if not self.name or len(self.month) != MAX_MONTH:
            raise MessageInvalid("DriftOrder", "names no month of a version")


@dataclass(frozen=True, slots=True, repr=False)
class ModelDrift(Message, tag=0x1B9, proto=registry_pb2.ModelDrift):
    """How far a version's scores have drifted in a month.

    Reveals: to the platform, the model's parties and whoever its policy shows it to: the stability index of the
    publisher's scores of a month, and in whole hundreds how many there were. No score, no band's count, no subject.
    Assumes: mutual TLS, from the version's publisher; its Ed25519 signing key. That the index is true is its word.
    """

    word: bytes = blob(2, MAX_WORD)
    signature: bytes = blob(_SIGNATURE)
    certificate: bytes = blob(1, MAX_CERTIFICATE)

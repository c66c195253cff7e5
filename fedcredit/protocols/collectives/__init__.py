"""LightGBM's engine at every member, its collectives over masked sums: `docs/protocols/collectives.md`."""

from fedcredit.protocols.collectives.agreement import Agreement
from fedcredit.protocols.collectives.member import EngineMember
from fedcredit.protocols.collectives.requests import Collective, Engine, Reply, Scattered, Splits, Summed

__all__ = [
    "Agreement",
    "Collective",
    "Engine",
    "EngineMember",
    "Reply",
    "Scattered",
    "Splits",
    "Summed",
]

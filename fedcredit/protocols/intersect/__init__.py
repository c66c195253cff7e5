"""Which subjects all parties hold, in one common order, and nothing about the others.

One protocol for two and more parties: `IntersectReceiver` and any number of `IntersectHolder`s around it. Another for a
few subjects of one party and many of a second: `UnbalancedReceiver` and `UnbalancedHolder`. Where two want to know how
many they have in common and not which: `SizeReceiver` and `SizeHolder`.
See `docs/protocols/intersect.md`.
"""

from fedcredit.protocols.intersect.alignment import Alignment, Mode
from fedcredit.protocols.intersect.holder import IntersectHolder, Lent
from fedcredit.protocols.intersect.receiver import IntersectReceiver, Sieved
from fedcredit.protocols.intersect.sizing import SizeHolder, SizeReceiver
from fedcredit.protocols.intersect.unbalanced import UnbalancedHolder, UnbalancedReceiver

__all__ = [
    "Alignment",
    "IntersectHolder",
    "IntersectReceiver",
    "Lent",
    "Mode",
    "Sieved",
    "SizeHolder",
    "SizeReceiver",
    "UnbalancedHolder",
    "UnbalancedReceiver",
]

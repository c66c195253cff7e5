"""Vector oblivious linear evaluation: a and c for one party, Delta and b for the other, c = a Delta + b in GF(2^128).

`shape` says what both sides know beforehand, `sender` and `receiver` are the two roles. Read `docs/protocols/vole.md`
beside them. The fast intersection stands on it.
"""

from fedcredit.protocols.vole.receiver import VoleReceiver, set_up_receiver
from fedcredit.protocols.vole.sender import VoleSender, set_up_sender
from fedcredit.protocols.vole.shape import Correlation

__all__ = ["Correlation", "VoleReceiver", "VoleSender", "set_up_receiver", "set_up_sender"]

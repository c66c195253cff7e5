"""Group-by-sum: the sum of one party's private values over another party's private groups.

Everything a joint model needs of another party's columns is such a sum: counts and bads per bin, gradient histograms.
`roles` says what the two sides can do, `shape` what both know beforehand; `onehot` and `paillier` are the protocols, of
which `choice` takes one, `plain` is their twin for tests.
"""

from fedcredit.protocols.groupsum.roles import Asker, Backend, Held, Holder, Part, Shared
from fedcredit.protocols.groupsum.shape import Grouping

__all__ = ["Asker", "Backend", "Grouping", "Held", "Holder", "Part", "Shared"]

"""The slow twin of `kernels.group`: ristretto255 word for word from RFC 9496, the OPRF from RFC 9497. For tests only.

Integers modulo p instead of limbs, one value at a time, not constant time. Names of functions and variables are those
of the RFCs.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

__all__ = [
    "IDENTITY",
    "L",
    "Point",
    "decode",
    "encode",
    "expand_message_xmd",
    "from_uniform_bytes",
    "generator",
    "hash_to_group",
    "oprf_evaluate",
    "oprf_finalize",
]

P: Final = 2**255 - 19
L: Final = 2**252 + 27742317777372353535851937790883648493
"""The order of the group."""

# RFC 9496, section 4.1.
D: Final = 37095705934669439343138083508754565189542113879843219016388785533085940283555
SQRT_M1: Final = 19681161376707505956807079304988542015446066515923890162744021073123829784752
SQRT_AD_MINUS_ONE: Final = 25063068953384623474111414158702152701244531502492656460079210482610430750235
INVSQRT_A_MINUS_D: Final = 54469307008909316920995813868745141605393597292927456921205312896311721017578
ONE_MINUS_D_SQ: Final = 1159843021668779879193775521855586647937357759715417654439879720876111806838
D_MINUS_ONE_SQ: Final = 40440834346308536858101042469323190826248399146238708352240133220865137265952


@dataclass(frozen=True, slots=True)
class Point:
    """An element in extended Edwards coordinates; several of them stand for one element of the group."""

    x: int
    y: int
    z: int
    t: int

    def __add__(self, other: Point) -> Point:
        # RFC 8032, section 5.1.4: the complete addition formula for a = -1.
        a = (self.y - self.x) * (other.y - other.x) % P
        b = (self.y + self.x) * (other.y + other.x) % P
        c = 2 * self.t * other.t * D % P
        d = 2 * self.z * other.z % P
        e, f, g, h = b - a, d - c, d + c, b + a
        return Point(e * f % P, g * h % P, f * g % P, e * h % P)

    def __neg__(self) -> Point:
        return Point(-self.x % P, self.y, self.z, -self.t % P)

    def __mul__(self, scalar: int) -> Point:
        total, power = IDENTITY, self
        while scalar:
            if scalar & 1:
                total += power
            power += power
            scalar >>= 1
        return total

    def __eq__(self, other: object) -> bool:
        # RFC 9496, section 4.3.3.
        if not isinstance(other, Point):
            return NotImplemented
        return (self.x * other.y - self.y * other.x) % P == 0 or (self.y * other.y - self.x * other.x) % P == 0

    def __hash__(self) -> int:
        return hash(encode(self))


IDENTITY: Final = Point(0, 1, 1, 0)


def decode(data: bytes) -> Point:
    """RFC 9496, section 4.3.1. Raises ValueError on every encoding the RFC refuses; the identity decodes."""
    s = int.from_bytes(data, "little")
    if len(data) != 32 or s >= P or s & 1:
        raise ValueError("not a canonical, non-negative field element")
    ss = s * s % P
    u1, u2 = (1 - ss) % P, (1 + ss) % P
    u2_sqr = u2 * u2 % P
    v = (-(D * u1 * u1) - u2_sqr) % P
    was_square, invsqrt = _sqrt_ratio_m1(1, v * u2_sqr % P)
    den_x = invsqrt * u2 % P
    den_y = invsqrt * den_x * v % P
    x = _ct_abs(2 * s * den_x % P)
    y = u1 * den_y % P
    t = x * y % P
    if not was_square or t & 1 or y == 0:
        raise ValueError("not an encoding of a group element")
    return Point(x, y, 1, t)


def encode(point: Point) -> bytes:
    """RFC 9496, section 4.3.2."""
    x0, y0, z0, t0 = point.x, point.y, point.z, point.t
    u1 = (z0 + y0) * (z0 - y0) % P
    u2 = x0 * y0 % P
    _, invsqrt = _sqrt_ratio_m1(1, u1 * u2 * u2 % P)
    den1, den2 = invsqrt * u1 % P, invsqrt * u2 % P
    z_inv = den1 * den2 * t0 % P
    rotate = (t0 * z_inv % P) & 1
    x = y0 * SQRT_M1 % P if rotate else x0
    y = x0 * SQRT_M1 % P if rotate else y0
    den_inv = den1 * INVSQRT_A_MINUS_D % P if rotate else den2
    if (x * z_inv % P) & 1:
        y = -y % P
    return _ct_abs(den_inv * (z0 - y) % P).to_bytes(32, "little")


def generator() -> Point:
    """The generator of RFC 9496, appendix A.1."""
    return decode(bytes.fromhex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76"))


def from_uniform_bytes(data: bytes) -> Point:
    """RFC 9496, section 4.3.4: an element from 64 uniform bytes."""
    halves = (data[:32], data[32:64])
    first, second = (_map(int.from_bytes(half, "little") % 2**255 % P) for half in halves)
    return first + second


def expand_message_xmd(message: bytes, dst: bytes, length: int) -> bytes:
    """RFC 9380, section 5.3.1, with SHA-512."""
    if len(dst) > 255:
        dst = hashlib.sha512(b"H2C-OVERSIZE-DST-" + dst).digest()
    dst_prime = dst + len(dst).to_bytes(1, "big")
    msg_prime = bytes(128) + message + length.to_bytes(2, "big") + b"\0" + dst_prime
    b_0 = hashlib.sha512(msg_prime).digest()
    blocks = [hashlib.sha512(b_0 + b"\1" + dst_prime).digest()]
    for i in range(2, -(-length // 64) + 1):
        mixed = bytes(a ^ b for a, b in zip(b_0, blocks[-1], strict=True))
        blocks.append(hashlib.sha512(mixed + i.to_bytes(1, "big") + dst_prime).digest())
    return b"".join(blocks)[:length]


def hash_to_group(message: bytes, dst: bytes) -> Point:
    """RFC 9497, section 4.1."""
    return from_uniform_bytes(expand_message_xmd(message, dst, 64))


def oprf_finalize(message: bytes, blind: int, evaluated: Point) -> bytes:
    """RFC 9497, section 3.3.1, `Finalize`."""
    unblinded = encode(evaluated * pow(blind, -1, L))
    prefix = len(message).to_bytes(2, "big") + message + len(unblinded).to_bytes(2, "big") + unblinded
    return hashlib.sha512(prefix + b"Finalize").digest()


def oprf_evaluate(message: bytes, key: int, dst: bytes) -> bytes:
    """RFC 9497, section 3.3.1, `Evaluate`."""
    return oprf_finalize(message, 1, hash_to_group(message, dst) * key)


def _map(t: int) -> Point:
    # RFC 9496, section 4.3.4, MAP.
    r = SQRT_M1 * t * t % P
    u = (r + 1) * ONE_MINUS_D_SQ % P
    v = (-1 - r * D) * (r + D) % P
    was_square, s = _sqrt_ratio_m1(u, v)
    if not was_square:
        s = -_ct_abs(s * t % P) % P
    c = P - 1 if was_square else r
    n = (c * (r - 1) * D_MINUS_ONE_SQ - v) % P
    w0, w1 = 2 * s * v % P, n * SQRT_AD_MINUS_ONE % P
    w2, w3 = (1 - s * s) % P, (1 + s * s) % P
    return Point(w0 * w3 % P, w2 * w1 % P, w1 * w3 % P, w0 * w2 % P)


def _sqrt_ratio_m1(u: int, v: int) -> tuple[bool, int]:
    # RFC 9496, section 4.2, SQRT_RATIO_M1.
    r = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    check = v * r * r % P
    correct, flipped, flipped_i = check == u % P, check == -u % P, check == -u * SQRT_M1 % P
    if flipped or flipped_i:
        r = r * SQRT_M1 % P
    return correct or flipped, _ct_abs(r)


def _ct_abs(value: int) -> int:
    return -value % P if value & 1 else value

"""Ed25519: signatures (section 3.4) and the check of public keys (section 5, [S-key-1]).

Signatures are checked by OpenSSL, which accepts exactly as [S-sig-2] says, each alone [S-sig-3]. The check of public keys is
written out here over Python's integers.
"""

from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

P = 2 ** 255 - 19
L = 2 ** 252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


@lru_cache(maxsize=8192)
def _openssl_key(public):
    return Ed25519PublicKey.from_public_bytes(public)


def verify(public, message, signature):
    """[S-sig-2]"""
    if len(public) != 32 or len(signature) != 64:
        return False
    try:
        _openssl_key(public).verify(signature, message)
        return True
    except (InvalidSignature, ValueError):
        return False


def _decompress(public):
    """The point (x, y) that the 32 bytes encode canonically, or None."""
    y = int.from_bytes(public, "little")
    sign = y >> 255
    y &= (1 << 255) - 1
    if y >= P:
        return None
    u = (y * y - 1) % P
    v = (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P != u:
        x = x * SQRT_M1 % P
        if v * x * x % P != u:
            return None
    if x == 0 and sign:
        return None  # -0 is no canonical encoding
    if x & 1 != sign:
        x = P - x
    return x, y


def _add(p, q):
    """Extended twisted Edwards coordinates, complete for this curve."""
    x1, y1, z1, t1 = p
    x2, y2, z2, t2 = q
    a = (y1 - x1) * (y2 - x2) % P
    b = (y1 + x1) * (y2 + x2) % P
    c = 2 * t1 * t2 * D % P
    d = 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _is_identity(p):
    x, y, z, _ = p
    return x % P == 0 and (y - z) % P == 0


@lru_cache(maxsize=65536)
def acceptable(public):
    """[S-key-1]: canonical, not of small order, in the subgroup of prime order.

    The subgroup has prime order L, so a point of it other than the identity is not of small order.
    """
    if len(public) != 32:
        return False
    affine = _decompress(public)
    if affine is None:
        return False
    x, y = affine
    point = (x, y, 1, x * y % P)
    if _is_identity(point):
        return False
    total = (0, 1, 1, 0)
    for bit in bin(L)[2:]:
        total = _add(total, total)
        if bit == "1":
            total = _add(total, point)
    return _is_identity(total)

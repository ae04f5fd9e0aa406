"""Signing keys as the core sees them: a view of the stored rows, one list per use.

Keys rotate with overlap: the newest issues, all live ones read. A key serves one use only (threat 25).
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key
from joserfc.jwk import ECKey, OctKey
from msgspec import Struct

from dragoman.core import base64url
from dragoman.core.ports import Random
from dragoman.model import Millis

ALGORITHMS = ("ES256", "HS256", "A256GCM", "HMAC-SHA256")
MOST_TRIED = 3
"""How many keys a token without a key id is tried against at most (decision 22)."""

_ORDER_OF_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class NoKey(LookupError):
    """There is no such key. For a use without any key the remedy is `dragoman keys rotate`."""


class SigningKey(Struct, frozen=True, dict=True):
    """One key: its row and what the libraries make of it. Never prints its material."""

    id: int
    use: str
    """What it serves and nothing else, for example `flashback.access`."""
    algorithm: str
    """`ES256`, `HS256`, `A256GCM` or `HMAC-SHA256`."""
    material: bytes
    """PKCS #8 DER for ES256, else 32 bytes."""
    created_at: Millis
    retired_at: Millis | None = None
    """When it stopped being good for anything; None while it lives."""

    def __repr__(self) -> str:
        return f"SigningKey(id={self.id}, use={self.use!r}, algorithm={self.algorithm!r})"

    @cached_property
    def private(self) -> ec.EllipticCurvePrivateKey:
        """The private key of ES256."""
        key = load_der_private_key(self.material, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise NoKey(f"{self!r} holds no P-256 key")
        return key

    @cached_property
    def ec(self) -> ECKey:
        """The key as joserfc wants it, for ES256."""
        return ECKey.import_key(self.private)

    @cached_property
    def octets(self) -> OctKey:
        """The key as joserfc wants it, for the symmetric algorithms."""
        return OctKey.import_key(self.material)

    @cached_property
    def jws_header(self) -> str:
        """The one protected header that tokens of this key have, encoded.

        Only a published key has a public name in it; Probe's clients know the header without one.
        """
        named = f'"kid":"{self.kid}",' if self.algorithm == "ES256" else ""
        return base64url.encode(f'{{"alg":"{self.algorithm}",{named}"typ":"JWT"}}'.encode())

    @cached_property
    def keyed(self) -> hmac.HMAC:
        """HMAC-SHA-256 begun with the key, to be copied: setting a key up costs more than a short text."""
        return hmac.new(self.material, digestmod="sha256")

    @cached_property
    def kid(self) -> str:
        """The public name of an ES256 key: its thumbprint (RFC 7638)."""
        return self.ec.thumbprint()


class KeySet:
    """The keys of an installation at one moment. Replaced as a whole when the rows change."""

    def __init__(self, keys: Iterable[SigningKey]) -> None:
        live: dict[str, list[SigningKey]] = {}
        for key in sorted(keys, key=lambda key: key.id, reverse=True):
            if key.retired_at is None:
                live.setdefault(key.use, []).append(key)
        self._live: Mapping[str, tuple[SigningKey, ...]] = {use: tuple(found) for use, found in live.items()}
        self._by_id = {(key.use, key.id): key for found in live.values() for key in found}

    def current(self, use: str) -> SigningKey:
        """Return the newest live key of a use: the one that issues. Raises NoKey."""
        found = self._live.get(use)
        if not found:
            raise NoKey(f"no key for {use!r}; run: dragoman keys rotate")
        return found[0]

    def live(self, use: str) -> tuple[SigningKey, ...]:
        """Return the live keys of a use, newest first; none for an unknown use."""
        return self._live.get(use, ())

    def by_id(self, use: str, key_id: int) -> SigningKey:
        """Return one live key. Raises NoKey."""
        found = self._by_id.get((use, key_id))
        if found is None:
            raise NoKey(f"no key {key_id} for {use!r}")
        return found

    def jwks(self) -> dict[str, list[dict[str, Any]]]:
        """Return the public keys of all asymmetric uses as a JWK set (RFC 7517); never a symmetric key."""
        keys = [key for found in self._live.values() for key in found if key.algorithm == "ES256"]
        return {
            "keys": [
                {**key.ec.as_dict(private=False), "kid": key.kid, "use": "sig", "alg": "ES256"}
                for key in sorted(keys, key=lambda key: key.id, reverse=True)
            ]
        }


def make(algorithm: str, random: Random) -> bytes:
    """Return fresh key material for an algorithm of `ALGORITHMS`. Raises NoKey for any other."""
    if algorithm not in ALGORITHMS:
        raise NoKey(f"unknown algorithm {algorithm!r}, expected one of {', '.join(ALGORITHMS)}")
    if algorithm != "ES256":
        return random.bytes(32)
    # 16 bytes more than the order has: what the reduction favours is beyond notice (FIPS 186-5, appendix A.2.1).
    number = 1 + int.from_bytes(random.bytes(48), "big") % (_ORDER_OF_P256 - 1)
    private = ec.derive_private_key(number, ec.SECP256R1())
    return private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

"""Judging ID tokens of outside providers (OpenID Connect Core 1.0, section 3.1.3.7; decision 24, threats 14 and 26).

Pure: keys and time are given. The keys come from the configured provider alone; nothing that a token's header names is
fetched, and no algorithm is taken that the operator did not allow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from msgspec import Struct

from dragoman.core import base64url, identifiers
from dragoman.core.ports import Whose
from dragoman.model import Millis

MOST_CHARACTERS = 16_384
OLDEST_SECONDS = 600
AHEAD_SECONDS = 60
"""How far a provider's clock may be ahead of ours."""
LEAST_BITS = 2048
SUBJECT_LENGTH = 255
_TENANT = "{tenantid}"
_KEYS: Mapping[str, tuple[type[RSAKey | ECKey | OKPKey], str, str | None]] = {
    "RS256": (RSAKey, "RSA", None), "RS384": (RSAKey, "RSA", None), "RS512": (RSAKey, "RSA", None),
    "PS256": (RSAKey, "RSA", None), "ES256": (ECKey, "EC", "P-256"), "ES384": (ECKey, "EC", "P-384"),
    "EdDSA": (OKPKey, "OKP", "Ed25519"), "Ed25519": (OKPKey, "OKP", "Ed25519"),
}  # fmt: skip
ALGORITHMS = frozenset(_KEYS)
"""What an operator may allow: signatures with a private key that only the provider has."""


class BadIdToken(Exception):
    """Not an ID token for us, or not any more. `reason` is a word for events, never for the client."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnknownKey(BadIdToken):
    """Signed with a key that is not among those known. `id` is what the token calls it."""

    def __init__(self, id: str) -> None:
        super().__init__("unknown_key")
        self.id = id


class Demand(Struct, frozen=True):
    """What an ID token has to be."""

    issuer: str
    """As discovered; `{tenantid}` in it stands for the token's own `tid`."""
    clients: tuple[str, ...]
    """Client ids that are ours."""
    algorithms: tuple[str, ...]
    nonce: str | None = None
    """Where we started the flow; None: not asked for."""


class IdToken(Struct, frozen=True):
    """A good ID token."""

    issuer: str
    whose: Whose
    spent: bytes
    """What it is remembered by once it is used: a hash of what is signed, since a signature has several spellings."""
    ends_at: Millis
    """When it would be refused for its age anyway."""


class _Header(Struct, frozen=True):
    alg: str
    kid: str | None = None
    typ: str | None = None
    crit: Any = None
    b64: Any = None


class _Claims(Struct, frozen=True):
    iss: str
    sub: str
    aud: str | list[str]
    exp: float
    iat: float
    nbf: float = 0
    azp: str | None = None
    nonce: str | None = None
    tid: str = ""
    hd: str = ""
    email: str | None = None
    email_verified: bool | str | None = None
    given_name: str | None = None
    family_name: str | None = None
    name: str | None = None
    picture: str | None = None


def looks_like_one(token: str) -> bool:
    """Tell whether a provider's token is meant as an ID token: three parts, as access tokens of none of ours have."""
    return token.count(".") == 2


def read(token: str, keys: Sequence[Mapping[str, Any]], demand: Demand, now: Millis) -> IdToken:
    """Return what an ID token says. Raises BadIdToken; UnknownKey where newer keys might help."""
    header = _header(token)
    if header.alg not in demand.algorithms or header.alg not in ALGORITHMS:
        raise BadIdToken("algorithm")
    key = _key(header, keys)
    try:
        signed = jws.deserialize_compact(token.encode(), key, algorithms=[header.alg])
        claims = msgspec.json.decode(signed.payload, type=_Claims)
    except (JoseError, ValueError, TypeError, RecursionError):
        raise BadIdToken("signature_or_shape") from None
    issuer = _judged(claims, demand, now // 1000)
    said = Whose(
        subject=claims.sub, audience=_audience(claims), email=claims.email or "",
        email_verified=claims.email_verified in (True, "true"), domain=claims.hd, first_name=claims.given_name or "",
        last_name=claims.family_name or "", name=claims.name or "", picture=claims.picture or "",
    )  # fmt: skip
    ends_at = int(claims.iat + OLDEST_SECONDS + AHEAD_SECONDS) * 1000
    return IdToken(issuer, said, sha256(token.rpartition(".")[0].encode()).digest(), ends_at)


def _header(token: str) -> _Header:
    if len(token) > MOST_CHARACTERS or not token.isascii() or not looks_like_one(token):
        raise BadIdToken("shape")
    try:
        header = msgspec.json.decode(base64url.decode(token.partition(".")[0]) or b"", type=_Header)
    except (ValueError, RecursionError):
        raise BadIdToken("shape") from None
    if header.crit is not None or header.b64 is not None or (header.typ or "JWT").upper() != "JWT":
        raise BadIdToken("header")
    return header


def _key(header: _Header, keys: Sequence[Mapping[str, Any]]) -> RSAKey | ECKey | OKPKey:
    """Return the one key that the token can mean, made for its algorithm and for signing."""
    kind, family, curve = _KEYS[header.alg]
    fitting = [
        key for key in keys
        if key.get("kty") == family and key.get("use", "sig") == "sig" and key.get("alg", header.alg) == header.alg
        and (curve is None or key.get("crv") == curve) and (header.kid is None or key.get("kid") == header.kid)
    ]  # fmt: skip
    if len(fitting) != 1:
        raise UnknownKey(header.kid or "")
    public = {name: value for name, value in fitting[0].items() if name in ("kty", "crv", "n", "e", "x", "y")}
    try:
        key = kind.import_key(public)
        bits = key.public_key.key_size if isinstance(key, RSAKey) else LEAST_BITS
    except (JoseError, ValueError, TypeError):
        raise BadIdToken("provider_key") from None
    if bits < LEAST_BITS:
        raise BadIdToken("provider_key")
    return key


def _judged(claims: _Claims, demand: Demand, now: int) -> str:
    """Return who issued it, after everything that it claims was judged. Raises BadIdToken."""
    issuer = demand.issuer
    if _TENANT in issuer:
        if not claims.tid or not all(c in "0123456789abcdef-" for c in claims.tid.lower()):
            raise BadIdToken("issuer")
        issuer = issuer.replace(_TENANT, claims.tid)
    # Google's older tokens leave the scheme out; they are the same issuer's.
    if claims.iss not in (issuer, issuer.removeprefix("https://")):
        raise BadIdToken("issuer")
    if not _audience(claims) or any(one not in demand.clients for one in _audience(claims)):
        raise BadIdToken("audience")
    if claims.azp is not None and claims.azp not in demand.clients:
        raise BadIdToken("authorized_party")
    if claims.exp <= now:
        raise BadIdToken("expired")
    if claims.iat > now + AHEAD_SECONDS or claims.nbf > now + AHEAD_SECONDS:
        raise BadIdToken("not_yet")
    if claims.iat < now - OLDEST_SECONDS:
        raise BadIdToken("too_old")
    if demand.nonce is not None and claims.nonce != demand.nonce:
        raise BadIdToken("nonce")
    if not 0 < len(claims.sub) <= SUBJECT_LENGTH or not identifiers.storable(claims.sub):
        raise BadIdToken("subject")
    return issuer


def _audience(claims: _Claims) -> tuple[str, ...]:
    return (claims.aud,) if isinstance(claims.aud, str) else tuple(claims.aud)

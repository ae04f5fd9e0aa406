"""The token forms behind one interface: opaque, signed (JWS), sealed (JWE) and API token.

A form is data that a door declares. Reading is strict: the header must be, character for character, one that we write,
so `alg` tricks, `zip`, `crit`, `jku`, `x5u`, `jwk` and PBES2 are refused before anything is computed; then the form's
own key, audience, type and end are demanded (threats 25 and 26). Reading tells which session a token names; whether
that session lives is the row's to say.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jwe, jws
from joserfc.errors import JoseError
from msgspec import UNSET, Struct, UnsetType

from dragoman.core import base64url
from dragoman.core.keys import MOST_TRIED, KeySet, NoKey, SigningKey
from dragoman.core.ports import Clock, Random, text
from dragoman.model import Id, Millis, Person, Session, uuid_text

MOST_CHARACTERS = 8192
REMEMBERED = 20_000
"""Verified tokens kept until they end, about 300 bytes each."""
RESERVED = frozenset(("jti", "iat", "exp", "nbf", "aud", "type", "gen"))
"""Claims that a form's own claims cannot replace."""

API_TOKEN_BYTES = 32
_LOWER_HEX = frozenset("0123456789abcdef")
_SEALED_HEADER = {"alg": "dir", "enc": "A256GCM"}
_SEALED_START = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0"
"""The 39 characters that Pocketm8's clients know (contract of Pocketm8, section 2.3)."""
_SEALED_PARTS = 5
_ECDSA = ec.ECDSA(SHA256())


class BadToken(Exception):
    """Not a token of this form, use and audience."""


class TokenExpired(BadToken):
    """A token of ours that has reached its end."""


Claims = dict[str, Any]
MakeClaims = Callable[[Person, Session | None], Claims]
"""Makes a form's own claims; the session is None in a token that names an attempt."""


def no_claims(person: Person, session: Session | None) -> Claims:
    """Add nothing to the claims that every token has."""
    return {}


class Opaque(Struct, frozen=True):
    """Random characters, looked up by (use, SHA-256)."""

    use: str
    alphabet: str
    length: int


class ApiToken(Struct, frozen=True):
    """32 random bytes in lower-case hex, looked up by (use, SHA-256) (decision 22)."""

    use: str


class Signed(Struct, frozen=True):
    """A JWT in the JWS compact form (RFC 7519, RFC 7515)."""

    use: str
    algorithm: Literal["ES256", "HS256"]
    """ES256 where others verify with the published key, HS256 where only we do."""
    kind: str
    """Its `type` claim: what the token is for."""
    life_seconds: int | None = None
    """None: it lives as long as what it names."""
    claims: MakeClaims = no_claims
    chained: bool = False
    """Whether it carries the generation of the session's refresh chain as `gen` (decision 19)."""


class Sealed(Struct, frozen=True):
    """A JWT in the JWE compact form, `dir` with A256GCM: nobody but us reads it (RFC 7516)."""

    use: str
    kind: str = "access"
    life_seconds: int | None = None
    claims: MakeClaims = no_claims
    chained: bool = False
    algorithm: Literal["A256GCM"] = "A256GCM"


Looked = Opaque | ApiToken
Named = Signed | Sealed
Form = Looked | Named


class Presented(Struct, frozen=True, gc=False):
    """What a token says. Exactly one of `session_id` and `token_hash` is there."""

    session_id: Id | None
    """What a signed or sealed token names: a session, or an attempt for a form that is for attempts."""
    token_hash: bytes | None
    """SHA-256 of an opaque or API token, to look up together with its use."""
    generation: int | None
    """Of the refresh chain, where the form carries it."""


class _Demanded(Struct, frozen=True):
    """The claims that every token of ours has."""

    sub: str
    jti: str
    iat: int
    exp: int
    aud: str
    type: str
    gen: int | UnsetType = UNSET


_read_claims = msgspec.json.Decoder(_Demanded).decode
_write = msgspec.json.Encoder().encode


class Tokens:
    """Draws, issues and reads tokens.

    `keys` returns the current KeySet; when it returns another one, everything remembered is forgotten, so that a
    retired key reads nothing from then on.
    """

    def __init__(self, clock: Clock, random: Random, keys: Callable[[], KeySet], remembered: int = REMEMBERED) -> None:
        self._clock = clock
        self._random = random
        self._keys = keys
        self._most = remembered
        self._known: dict[tuple[str, str, str, bytes], tuple[Millis, Presented]] = {}
        self._known_under: KeySet | None = None

    def draw(self, form: Looked) -> tuple[str, bytes]:
        """Return a fresh opaque or API token and the SHA-256 under which it is stored."""
        if isinstance(form, ApiToken):
            token = self._random.bytes(API_TOKEN_BYTES).hex()
        else:
            token = text(self._random, form.alphabet, form.length)
        return token, _hash(token)

    def end(self, form: Named, ends_at: Millis | None) -> Millis:
        """Return when a token issued now stops working: the end of its form's life or of what it names, whichever is
        first, in whole seconds. Pass the answer to `issue` to have exactly this end in the token.

        Raises ValueError when neither ends: no token of ours is without an end.
        """
        ends = [] if ends_at is None else [ends_at]
        if form.life_seconds is not None:
            ends.append(self._clock.now() + form.life_seconds * 1000)
        if not ends:
            raise ValueError(f"a token of use {form.use!r} needs an end: give the form a life or the session an end")
        return min(ends) // 1000 * 1000

    def issue(
        self, form: Named, audience: str, session: Session, person: Person, ends_at: Millis | None, *,
        more: Claims | None = None,
    ) -> str:  # fmt: skip
        """Return a signed or sealed token that names a session.

        Claims: `sub` (the account's UUID, unless the form's own claims say otherwise), `jti` (the session's UUID),
        `iat`, `exp` (see `end`), `aud`, `type`, then the form's own, and `more`, which replace none of these. Raises
        keys.NoKey.
        """
        claims = {**(more or {}), "sub": uuid_text(session.account), **form.claims(person, session)}
        generation = session.generation if form.chained else None
        return self.issue_for(form, audience, session.id, claims, ends_at, generation=generation)

    def issue_for(
        self,
        form: Named,
        audience: str,
        named: Id,
        claims: Claims,
        ends_at: Millis | None,
        *,
        generation: int | None = None,
    ) -> str:
        """Return a token that names anything with an id, for example an attempt (decision 4). `claims` hold `sub`."""
        if taken := RESERVED & claims.keys():
            raise ValueError(f"claims {sorted(taken)} of use {form.use!r} are the core's to set")
        whole = {
            **claims,
            "jti": uuid_text(named),
            "iat": self._clock.now() // 1000,
            "exp": self.end(form, ends_at) // 1000,
            "aud": audience,
            "type": form.kind,
        }
        if generation is not None:
            whole["gen"] = generation
        key = self._keys().current(form.use)
        if key.algorithm != form.algorithm:
            raise NoKey(f"{key!r} does not serve {form.algorithm}")
        if isinstance(form, Sealed):
            return jwe.encrypt_compact(dict(_SEALED_HEADER), _write(whole), key.octets, ["dir", "A256GCM"])
        return _sign(key, _write(whole))

    def read(self, form: Form, audience: str, token: str) -> Presented:
        """Return what a presented token says. Raises BadToken, TokenExpired.

        Opaque and API tokens are only checked for their shape; whether they exist is for the look-up to say.
        """
        if len(token) > MOST_CHARACTERS:
            raise BadToken("too long")
        if isinstance(form, (Signed, Sealed)):
            return self._read_named(form, audience, token)
        if isinstance(form, ApiToken):
            right = len(token) == 2 * API_TOKEN_BYTES and _LOWER_HEX.issuperset(token)
        else:
            right = len(token) == form.length and _letters(form.alphabet).issuperset(token)
        if not right:
            raise BadToken("not of this shape")
        return Presented(None, _hash(token), None)

    def _read_named(self, form: Named, audience: str, token: str) -> Presented:
        keys = self._keys()
        if keys is not self._known_under:
            self._known.clear()
            self._known_under = keys
        try:
            place = (form.use, form.kind, audience, hashlib.sha256(token.encode("ascii")).digest())
        except UnicodeEncodeError:
            raise BadToken("not ASCII") from None
        known = self._known.get(place)
        if known is None:
            known = self._verify(form, audience, token, keys)
            self._remember(place, known)
        ends_at, presented = known
        if self._clock.now() >= ends_at:
            self._known.pop(place, None)
            raise TokenExpired("past its end")
        return presented

    def _remember(self, place: tuple[str, str, str, bytes], known: tuple[Millis, Presented]) -> None:
        if len(self._known) >= self._most:
            # The oldest entry goes: a dictionary keeps the order of insertion.
            self._known.pop(next(iter(self._known)), None)
        self._known[place] = known

    def _verify(self, form: Named, audience: str, token: str, keys: KeySet) -> tuple[Millis, Presented]:
        payload = _open_sealed(form, token, keys) if isinstance(form, Sealed) else _open_signed(form, token, keys)
        try:
            claims = _read_claims(payload)
            named = uuid.UUID(claims.jti)
        except ValueError:
            raise BadToken("not our claims") from None
        if claims.aud != audience or claims.type != form.kind or str(named) != claims.jti:
            raise BadToken("of another audience or purpose")
        generation = None if claims.gen is UNSET else claims.gen
        if form.chained is (generation is None):
            raise BadToken("of another form")
        return claims.exp * 1000, Presented(named.bytes, None, generation)


def _open_signed(form: Signed, token: str, keys: KeySet) -> bytes:
    """Return the payload of a JWS whose header is one of ours and whose signature holds. Raises BadToken."""
    head, _, rest = token.partition(".")
    if rest.count(".") != 1:
        raise BadToken("not three parts")
    live = [key for key in keys.live(form.use)[:MOST_TRIED] if key.algorithm == form.algorithm]
    tried = [key for key in live if key.jws_header == head]
    if not tried:
        raise BadToken("not a header of ours")
    for key in tried:
        try:
            public = key.ec if form.algorithm == "ES256" else key.octets
            return jws.deserialize_compact(token, public, [form.algorithm]).payload
        except (JoseError, ValueError):
            continue
    raise BadToken("no key of ours made it")


def _open_sealed(form: Sealed, token: str, keys: KeySet) -> bytes:
    """Return the plaintext of a JWE with the one header we write. Raises BadToken."""
    parts = token.split(".")
    if len(parts) != _SEALED_PARTS or parts[0] != _SEALED_START:
        raise BadToken("not the header")
    _, wrapped, nonce, body, tag = parts
    if wrapped or len(nonce) != 16 or len(tag) != 22 or not body:
        raise BadToken("not the lengths")
    for key in keys.live(form.use)[:MOST_TRIED]:
        if key.algorithm != form.algorithm:
            continue
        try:
            opened = jwe.decrypt_compact(token, key.octets, ["dir", "A256GCM"]).plaintext
        except (JoseError, ValueError):
            continue
        if opened is not None:
            return opened
    raise BadToken("no key of ours made it")


def _sign(key: SigningKey, payload: bytes) -> str:
    # Written out because a refresh signs each time, and the library spends more on its registries than on the
    # signature (40 of 70 µs). Reading, where the danger is, stays with the library.
    signed = f"{key.jws_header}.{base64url.encode(payload)}"
    if key.algorithm == "ES256":
        r, s = decode_dss_signature(key.private.sign(signed.encode(), _ECDSA))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    else:
        signature = hmac.digest(key.material, signed.encode(), "sha256")
    return f"{signed}.{base64url.encode(signature)}"


@cache
def _letters(alphabet: str) -> frozenset[str]:
    return frozenset(alphabet)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()

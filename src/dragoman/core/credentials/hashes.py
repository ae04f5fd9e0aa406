"""Stored password hashes: the canonical form and the imported ones, what each costs, and their verification.

A stored hash is `scheme:text`. The canonical form is Argon2id over the lower-case hex SHA-256 of the password
(design 6), written `canonical:$argon2id$v=19$m=19456,t=2,p=1$salt$hash`. Imported hashes keep their own text:

| scheme | over | text |
| --- | --- | --- |
| `bcrypt` | the password, cut at 72 bytes | `$2b$12$...` (also `$2a$`, `$2y$`) |
| `bcrypt-sha256` | the hex SHA-256 (Rocket.Chat) | the same |
| `argon2` | the password | `$argon2id$`, `$argon2i$`, `$argon2d$`, PHC format |
| `scrypt` | the password | passlib `$scrypt$`, Werkzeug `scrypt:` |
| `pbkdf2` | the password | passlib `$pbkdf2-sha256$`, Django `pbkdf2_sha256$`, Werkzeug `pbkdf2:`, `{PKCS5S2}` |

`verify` computes: call it through `core.hashing.HashPool`, never on the event loop.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping

import argon2.low_level as argon2
import bcrypt
import nacl.bindings
from argon2.exceptions import VerificationError
from msgspec import Struct
from nacl.exceptions import InvalidkeyError

from dragoman.model import Password, Secret

MOST_MEMORY_KIB = 256 * 1024
MOST_SECONDS = 1.0
BCRYPT_TAKES = 72
SALT_SIZE = 16
_HASH_SIZE = 32
_SODIUM_TAKES = 127
_MOST_LANES = 8
_MOST_TEXT = 1024


class NoMatch(Exception):
    """The password was not accepted against the stored hash."""

    computed: str = ""
    """Form and cost of the hash that the pool computed before it said so."""


class NeedsPlainPassword(NoMatch):
    """A digest cannot verify a hash over the plain password (decision 27). Nothing was computed."""


class UnreadableHash(NoMatch):
    """The stored text is no hash of a known form. Nothing was computed."""


class TooCostly(NoMatch):
    """The stored hash asks for more memory or time than one sign-in may take. Nothing was computed."""


class Parameters(Struct, frozen=True):
    """Cost of new hashes; OWASP's figures for Argon2id by default."""

    memory_kib: int = 19456
    passes: int = 2


class Match(Struct, frozen=True):
    """The password belongs to the stored hash."""

    label: str
    """Form and cost, see `Examined.label`."""
    outdated: bool
    """The hash should be rewritten: imported, or weaker than the setting."""


class Examined(Struct, frozen=True):
    """What a stored hash is, without computing it."""

    scheme: str
    label: str
    """Form and cost as text, for example `bcrypt:cost=12`. Tells nothing of the password; may be stored in clear."""
    over_digest: bool
    """Whether it is over the hex SHA-256, so that a digest suffices."""
    memory_kib: int
    seconds: float
    """Estimated time of one evaluation on a common machine of 2026."""
    check: Callable[[bytes], None]
    """Compute and compare; raises NoMatch."""


_Check = Callable[[bytes], None]
_Found = tuple[dict[str, str], _Check]
"""Cost parameters for the label, and the computation."""


def examine(stored: str) -> Examined:
    """Read a stored hash (`scheme:text`). Raises UnreadableHash, or TooCostly above the ceilings of memory and time."""
    scheme, _, text = stored.partition(":")
    read = _READERS.get(scheme)
    if read is None or len(text) > _MOST_TEXT:
        raise UnreadableHash(f"no hash of a known form: {scheme[:20]!r}")
    try:
        found = read(text)
    except ValueError:
        found = None
    if found is None:
        raise UnreadableHash(f"not a {scheme} hash")
    cost, check = found
    memory, seconds = _cost(cost)
    label = f"{scheme}:" + ",".join(f"{name}={value}" for name, value in cost.items())
    if memory > MOST_MEMORY_KIB or seconds > MOST_SECONDS:
        raise TooCostly(label)
    return Examined(scheme, label, scheme in _OVER_DIGEST, memory, seconds, check)


def verify(stored: str, password: Password, parameters: Parameters) -> Match:
    """Compute the stored hash once over the password and return a Match.

    Raises NoMatch, or one of its kinds when nothing was computed (NeedsPlainPassword, UnreadableHash, TooCostly).
    """
    found = examine(stored)
    found.check(secret_bytes(found, password))
    return Match(found.label, needs_rehash(stored, parameters))


def secret_bytes(found: Examined, password: Password) -> bytes:
    """Return what the hash is computed over. Raises NeedsPlainPassword when only a digest came."""
    if found.over_digest:
        return password.hexdigest.reveal().encode()
    if password.plain is None:
        raise NeedsPlainPassword(found.label)
    return password.plain.reveal().encode("utf-8", "surrogatepass")


def make(hexdigest: Secret, salt: bytes, parameters: Parameters) -> str:
    """Return the canonical hash of a password's hex SHA-256. `salt` is 16 random bytes."""
    digest = nacl.bindings.crypto_pwhash_alg(
        _HASH_SIZE,
        hexdigest.reveal().encode(),
        salt,
        parameters.passes,
        parameters.memory_kib * 1024,
        nacl.bindings.crypto_pwhash_ALG_ARGON2ID13,
    )
    cost = f"m={parameters.memory_kib},t={parameters.passes},p=1"
    return f"canonical:$argon2id$v=19${cost}${_unpadded(salt)}${_unpadded(digest)}"


def needs_rehash(stored: str, parameters: Parameters) -> bool:
    """Tell whether a good sign-in should rewrite this hash: not canonical, or weaker than the setting."""
    found = _ARGON2.fullmatch(stored.partition(":")[2])
    if not stored.startswith("canonical:") or found is None:
        return True
    memory, passes = int(found["m"]), int(found["t"])
    return memory < parameters.memory_kib or memory * passes < parameters.memory_kib * parameters.passes


def recognise(text: str, *, over_digest: bool = False) -> str:
    """Return the stored form of a foreign hash for an import.

    `over_digest` says that a bcrypt hash is over the hex SHA-256, which its text does not tell.
    Raises UnreadableHash, TooCostly.
    """
    if over_digest:
        return _accepted(f"bcrypt-sha256:{text}")
    starts = (("$2", "bcrypt"), ("$argon2", "argon2"), ("$scrypt$", "scrypt"), ("scrypt:", "scrypt"))
    scheme = next((name for start, name in starts if text.startswith(start)), "pbkdf2")
    return _accepted(f"{scheme}:{text}")


def _accepted(stored: str) -> str:
    examine(stored)
    return stored


def estimated_seconds(label: str) -> float:
    """Return the estimated time of one evaluation of a form, from its label. Raises UnreadableHash."""
    _, _, text = label.partition(":")
    try:
        return _cost(dict(part.split("=", 1) for part in text.split(",")))[1]
    except (ValueError, KeyError):
        raise UnreadableHash(f"not a label: {label[:40]!r}") from None


def too_costly(label: str) -> bool:
    """Tell from its label whether a form asks for more memory or time than one sign-in may take."""
    _, _, text = label.partition(":")
    try:
        memory, seconds = _cost(dict(part.split("=", 1) for part in text.split(",")))
    except (ValueError, KeyError):
        return False
    return memory > MOST_MEMORY_KIB or seconds > MOST_SECONDS


# Seconds per unit of work, measured on one core of a common virtual machine; they only have to be right within a factor
# of two, since the ceiling they serve is ten times what any sensible hash takes.
_ARGON2_BY_SODIUM = 3.1e-7
_ARGON2_BY_CFFI = 5.2e-7
_BCRYPT_ROUND = 6.0e-5
_SCRYPT_BLOCK = 3.3e-7
_PBKDF2_ROUND = {"sha1": 3.2e-7, "sha256": 3.6e-7, "sha512": 7.5e-7}


def _cost(cost: Mapping[str, str]) -> tuple[int, float]:
    """Return memory in KiB and estimated seconds of the cost parameters of a label."""
    if "cost" in cost:
        return 8, 2 ** int(cost["cost"]) * _BCRYPT_ROUND
    if "rounds" in cost:
        return 1, int(cost["rounds"]) * int(cost["blocks"]) * _PBKDF2_ROUND[cost["hash"]]
    if "n" in cost:
        n, r, p = int(cost["n"]), int(cost["r"]), int(cost["p"])
        return n * r // 8, n * r * p * _SCRYPT_BLOCK
    memory, passes = int(cost["m"]), int(cost["t"])
    by_sodium = cost["type"] in ("i", "id") and cost["p"] == "1"
    return memory, memory * passes * (_ARGON2_BY_SODIUM if by_sodium else _ARGON2_BY_CFFI)


# ---------------------------------------------------------------- argon2

_ARGON2 = re.compile(
    r"\$argon2(?P<type>id|i|d)\$(?:v=(?P<v>16|19)\$)?m=(?P<m>\d{1,8}),t=(?P<t>\d{1,4}),p=(?P<p>\d{1,3})"
    r"\$(?P<salt>[A-Za-z0-9+/]{11,128})\$(?P<hash>[A-Za-z0-9+/]{16,256})",
    re.ASCII,
)


def _read_canonical(text: str) -> _Found | None:
    found = _ARGON2.fullmatch(text)
    if found is None or found["type"] != "id" or found["v"] != "19" or found["p"] != "1":
        return None
    return _read_argon2(text)


def _read_argon2(text: str) -> _Found | None:
    found = _ARGON2.fullmatch(text)
    if found is None:
        return None
    lanes = int(found["p"])
    if not 1 <= lanes <= _MOST_LANES or int(found["m"]) < 8 * lanes or int(found["t"]) < 1:
        return None
    stored = text.encode()
    by_sodium = found["type"] != "d" and lanes == 1 and found["v"] == "19" and len(stored) <= _SODIUM_TAKES
    cost = {name: found[name] for name in ("type", "m", "t", "p")}
    if by_sodium:
        return cost, lambda secret: _check_by_sodium(stored, secret)
    kind = {"id": argon2.Type.ID, "i": argon2.Type.I, "d": argon2.Type.D}[found["type"]]
    return cost, lambda secret: _check_by_cffi(stored, secret, kind)


def _check_by_sodium(stored: bytes, secret: bytes) -> None:
    try:
        nacl.bindings.crypto_pwhash_str_verify(stored, secret)
    except InvalidkeyError:
        raise NoMatch from None


def _check_by_cffi(stored: bytes, secret: bytes, kind: argon2.Type) -> None:
    # libsodium knows neither Argon2d nor several lanes (decision 28).
    try:
        argon2.verify_secret(stored, secret, kind)
    except VerificationError:
        raise NoMatch from None


# ---------------------------------------------------------------- bcrypt

_BCRYPT = re.compile(r"\$2[aby]\$(?P<cost>\d\d)\$[./A-Za-z0-9]{53}", re.ASCII)


def _read_bcrypt(text: str) -> _Found | None:
    found = _BCRYPT.fullmatch(text)
    if found is None or not 4 <= int(found["cost"]) <= 31:
        return None
    stored = text.encode()
    return {"cost": str(int(found["cost"]))}, lambda secret: _check_bcrypt(stored, secret)


def _check_bcrypt(stored: bytes, secret: bytes) -> None:
    # Every older bcrypt ignored what follows byte 72; the library refuses it, so imported hashes need the cut here.
    if not bcrypt.checkpw(secret[:BCRYPT_TAKES], stored):
        raise NoMatch


# ---------------------------------------------------------------- scrypt

_SCRYPT_PASSLIB = re.compile(
    r"\$scrypt\$ln=(?P<ln>\d{1,2}),r=(?P<r>\d{1,4}),p=(?P<p>\d{1,4})"
    r"\$(?P<salt>[A-Za-z0-9+/.]{0,128})\$(?P<hash>[A-Za-z0-9+/.]{22,128})",
    re.ASCII,
)
_SCRYPT_WERKZEUG = re.compile(
    r"scrypt:(?P<n>\d{1,8}):(?P<r>\d{1,4}):(?P<p>\d{1,4})\$(?P<salt>[A-Za-z0-9]{1,128})\$(?P<hash>[0-9a-f]{32,256})",
    re.ASCII,
)


def _read_scrypt(text: str) -> _Found | None:
    if found := _SCRYPT_PASSLIB.fullmatch(text):
        n, salt, expected = 2 ** int(found["ln"]), _adapted(found["salt"]), _adapted(found["hash"])
    elif found := _SCRYPT_WERKZEUG.fullmatch(text):
        n, salt, expected = int(found["n"]), found["salt"].encode(), bytes.fromhex(found["hash"])
    else:
        return None
    r, p = int(found["r"]), int(found["p"])
    if n < 2 or n & (n - 1) or r < 1 or p < 1:
        return None

    def check(secret: bytes) -> None:
        memory = 128 * r * (n + p + 2) + 4096
        got = hashlib.scrypt(secret, salt=salt, n=n, r=r, p=p, maxmem=memory, dklen=len(expected))
        _compare(got, expected)

    return {"n": str(n), "r": str(r), "p": str(p)}, check


# ---------------------------------------------------------------- PBKDF2

_PBKDF2_PASSLIB = re.compile(
    r"\$pbkdf2(?:-(?P<hash>sha256|sha512))?\$(?P<rounds>\d{1,8})\$(?P<salt>[A-Za-z0-9+/.]{0,256})\$(?P<key>[A-Za-z0-9+/.]{16,128})",
    re.ASCII,
)
_PBKDF2_DJANGO = re.compile(
    r"pbkdf2_(?P<hash>sha1|sha256)\$(?P<rounds>\d{1,8})\$(?P<salt>[^$]{1,128})\$(?P<key>[A-Za-z0-9+/=]{20,128})"
)
_PBKDF2_WERKZEUG = re.compile(
    r"pbkdf2:(?P<hash>sha1|sha256|sha512):(?P<rounds>\d{1,8})\$(?P<salt>[A-Za-z0-9]{1,128})\$(?P<key>[0-9a-f]{40,256})",
    re.ASCII,
)
_PBKDF2_ATLASSIAN = re.compile(r"\{PKCS5S2\}(?P<both>[A-Za-z0-9+/]{64})", re.ASCII)


def _read_pbkdf2(text: str) -> _Found | None:
    if found := _PBKDF2_PASSLIB.fullmatch(text):
        name = found["hash"] or "sha1"
        return _pbkdf2(name, int(found["rounds"]), _adapted(found["salt"]), _adapted(found["key"]))
    if found := _PBKDF2_DJANGO.fullmatch(text):
        key = base64.b64decode(found["key"], validate=True)
        return _pbkdf2(found["hash"], int(found["rounds"]), found["salt"].encode(), key)
    if found := _PBKDF2_WERKZEUG.fullmatch(text):
        return _pbkdf2(found["hash"], int(found["rounds"]), found["salt"].encode(), bytes.fromhex(found["key"]))
    if found := _PBKDF2_ATLASSIAN.fullmatch(text):
        both = base64.b64decode(found["both"], validate=True)
        return _pbkdf2("sha1", 10_000, both[:16], both[16:])
    return None


def _pbkdf2(name: str, rounds: int, salt: bytes, expected: bytes) -> _Found | None:
    if rounds < 1 or not expected:
        return None
    blocks = -(-len(expected) // hashlib.new(name).digest_size)

    def check(secret: bytes) -> None:
        _compare(hashlib.pbkdf2_hmac(name, secret, salt, rounds, len(expected)), expected)

    return {"hash": name, "rounds": str(rounds), "blocks": str(blocks)}, check


# ---------------------------------------------------------------- shared

_READERS: dict[str, Callable[[str], _Found | None]] = {
    "canonical": _read_canonical,
    "bcrypt": _read_bcrypt,
    "bcrypt-sha256": _read_bcrypt,
    "argon2": _read_argon2,
    "scrypt": _read_scrypt,
    "pbkdf2": _read_pbkdf2,
}
_OVER_DIGEST = frozenset(("canonical", "bcrypt-sha256"))


def _compare(got: bytes, expected: bytes) -> None:
    if not hmac.compare_digest(got, expected):
        raise NoMatch


def _adapted(text: str) -> bytes:
    """Read passlib's base64: no padding, and in some forms a point for the plus."""
    return base64.b64decode(text.replace(".", "+") + "=" * (-len(text) % 4), validate=True)


def _unpadded(value: bytes) -> str:
    return base64.b64encode(value).decode().rstrip("=")

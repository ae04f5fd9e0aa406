"""Passkeys (WebAuthn level 2): challenges, what a browser is asked, and judging what it answers.

A challenge is ours by its MAC, which binds it to what it was made for and to its time, so none is stored. What makes
an answer good once is spent with it: the attempt of a sign-in, the new key's id.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from dragoman.core import base64url
from dragoman.core.policy import PasskeyPlace
from dragoman.model import Id, Millis
from dragoman.storage.passkeys import Passkey
from dragoman.storage.sealing import Sealer

CHALLENGE_LIFE: Millis = 10 * 60_000
NAME_LENGTH = 64
_MAC = "passkey challenge"
_TIME_BYTES = 8


class NotProved(Exception):
    """What the browser answered proves nothing. Says no more: the reasons are the library's."""


class Signed(Struct, frozen=True, gc=False):
    """A passkey of the account signed our challenge."""

    id: bytes
    count: int
    """How often it has signed, by its own count."""


def challenge(sealer: Sealer, bound: bytes, now: Millis) -> bytes:
    """Return a challenge of 40 bytes for what `bound` names: a session, or an attempt."""
    at = now.to_bytes(_TIME_BYTES, "big")
    return at + sealer.mac(_MAC, at + bound)[:32]


class Naming(Struct, frozen=True):
    """For whom a passkey is made, as browsers and authenticators show it."""

    site: str
    account: Id
    name: str
    display_name: str


def to_register(place: PasskeyPlace, naming: Naming, held: Iterable[Passkey], wanted: bytes) -> dict[str, Any]:
    """Return what `navigator.credentials.create` is given, as JSON: no attestation, no key of the account twice."""
    from webauthn import generate_registration_options, options_to_json
    from webauthn.helpers.structs import AuthenticatorSelectionCriteria, ResidentKeyRequirement

    options = generate_registration_options(
        rp_id=place.rp, rp_name=naming.site, user_name=naming.name, user_id=naming.account,
        user_display_name=naming.display_name, challenge=wanted,
        exclude_credentials=[_descriptor(key) for key in held],
        authenticator_selection=AuthenticatorSelectionCriteria(resident_key=ResidentKeyRequirement.PREFERRED),
    )  # fmt: skip
    return dict(msgspec.json.decode(options_to_json(options)))


def to_sign(place: PasskeyPlace, held: Iterable[Passkey], wanted: bytes) -> dict[str, Any]:
    """Return what `navigator.credentials.get` is given, as JSON."""
    from webauthn import generate_authentication_options, options_to_json

    keys = [_descriptor(key) for key in held if key.rp == place.rp]
    options = generate_authentication_options(rp_id=place.rp, challenge=wanted, allow_credentials=keys)
    return dict(msgspec.json.decode(options_to_json(options)))


def register(
    sealer: Sealer, place: PasskeyPlace, credential: Mapping[str, Any], *, bound: bytes, now: Millis, name: str
) -> Passkey:  # fmt: skip
    """Return the passkey that a browser made for our challenge. Raises NotProved."""
    from webauthn import verify_registration_response

    try:
        made = verify_registration_response(
            credential=dict(credential), expected_challenge=_ours(sealer, credential, bound, now),
            expected_rp_id=place.rp, expected_origin=list(place.origins),
        )  # fmt: skip
    except Exception as why:  # of malformed answers the library raises whatever its parsers do
        raise NotProved from why
    return Passkey(
        made.credential_id, place.rp, made.credential_public_key, made.sign_count, _transports(credential),
        name[:NAME_LENGTH], now, None,
    )  # fmt: skip


def signed(
    sealer: Sealer, place: PasskeyPlace, credential: Mapping[str, Any], held: Iterable[Passkey], *, bound: bytes,
    now: Millis,
) -> Signed:  # fmt: skip
    """Return which of the account's passkeys signed our challenge. Raises NotProved."""
    from webauthn import verify_authentication_response

    try:
        raw = base64url.decode(str(credential["rawId"]))
        key = next(key for key in held if key.id == raw)
        proved = verify_authentication_response(
            credential=dict(credential), expected_challenge=_ours(sealer, credential, bound, now),
            expected_rp_id=key.rp, expected_origin=list(place.origins), credential_public_key=key.public_key,
            credential_current_sign_count=key.sign_count,
        )  # fmt: skip
    except Exception as why:  # as above
        raise NotProved from why
    return Signed(key.id, proved.new_sign_count)


class _Said(Struct):
    challenge: str


def _ours(sealer: Sealer, credential: Mapping[str, Any], bound: bytes, now: Millis) -> bytes:
    """Return the challenge that was answered, if we made it for this and not long ago. Raises NotProved."""
    said = msgspec.json.decode(base64url.decode(credential["response"]["clientDataJSON"]) or b"", type=_Said)
    shown = base64url.decode(said.challenge) or b""
    at = shown[:_TIME_BYTES]
    fresh = 0 <= now - int.from_bytes(at, "big") <= CHALLENGE_LIFE
    macs = [hmac.compare_digest(mac[:32], shown[_TIME_BYTES:]) for mac in sealer.macs(_MAC, at + bound)]
    if not (fresh and any(macs)):
        raise NotProved
    return shown


def _transports(credential: Mapping[str, Any]) -> str:
    said = credential["response"].get("transports") or ()
    known = ("usb", "nfc", "ble", "smart-card", "internal", "cable", "hybrid")
    return ",".join(one for one in known if one in said)


def _descriptor(key: Passkey) -> Any:
    from webauthn.helpers.structs import AuthenticatorTransport, PublicKeyCredentialDescriptor

    transports = [AuthenticatorTransport(one) for one in key.transports.split(",") if one]
    return PublicKeyCredentialDescriptor(id=key.id, transports=transports or None)

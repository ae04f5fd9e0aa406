"""The shapes of Flashback's calls about second factors (contract section 7, "MFA")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from dragoman.dialects.flashback.wire import MailedToken
from dragoman.http import Invalid, Problem
from dragoman.model import Millis, Person

MfaType = Literal["GOOGLE_AUTH", "MAGIC_LINK", "PASSKEY"]

FACTORS: Mapping[MfaType, str] = {"GOOGLE_AUTH": "totp", "MAGIC_LINK": "email", "PASSKEY": "passkey"}
"""What the core calls each method."""
_WORDS: Mapping[MfaType, tuple[str, str]] = {
    "GOOGLE_AUTH": ("Authenticator app", "A code of six digits from an app such as Google Authenticator"),
    "MAGIC_LINK": ("Magic link", "A link, with a code, to the verified e-mail address"),
    "PASSKEY": ("Passkey", "A key of this device or of a security token"),
}


class OfType(Struct, frozen=True, rename="camel"):
    """Which method is meant."""

    mfa_type: MfaType


class Prove(Struct, frozen=True, rename="camel", kw_only=True):
    """The body of `/mfa/verify-setup` and `/mfa/verify-login`: what proves the method."""

    mfa_type: MfaType
    code: Annotated[str, Meta(max_length=64)] | None = None
    token: MailedToken | None = None
    """Of a magic link."""
    credential: dict[str, Any] | None = None
    """What `navigator.credentials` answered, as JSON."""
    email_code: Annotated[str, Meta(max_length=64)] | None = None
    """Of the mail that goes out while a sign-in waits for the first factor to be set up."""
    name: Annotated[str, Meta(max_length=64)] = "Passkey"
    """What the owner calls a passkey."""

    def given(self, field: Literal["code", "token", "credential", "email_code"]) -> Any:
        """Return a field that the method needs. Raises Invalid when it was not sent."""
        value = getattr(self, field)
        if not value:
            raise Invalid((Problem("emailCode" if field == "email_code" else field, "required", "is required"),))
        return value


class Registration(Struct, frozen=True):
    """The body of `/mfa/passkey/complete-registration`."""

    credential: dict[str, Any]
    name: Annotated[str, Meta(max_length=64)] = "Passkey"


class LinkToken(Struct, frozen=True):
    """The body of `/mfa/magic-link/activate`."""

    token: MailedToken


class Reset(Struct, frozen=True, rename="camel"):
    """The body of `/mfa/reset`; what else the client sends (`enable`) changes nothing."""

    reset_user_id: Annotated[str, Meta(max_length=64)] | None = None


class Enforce(Struct, frozen=True):
    """The body of `/mfa/organization/enforce`."""

    enforced: bool


# ---------------------------------------------------------------- what goes out


class StatusData(Struct, frozen=True, rename="camel", kw_only=True):
    """How things stand with one's second factors."""

    is_enabled: bool
    is_required: bool
    """Whether the next sign-in asks for one."""
    is_enforced: bool
    """Whether the organization wants one."""
    enabled_methods: tuple[MfaType, ...]
    primary_method: MfaType | None
    session_verified: bool
    """False with the limited token of a sign-in that waits."""


class Status(Struct, frozen=True, kw_only=True):
    """The answer of `GET /mfa/status`."""

    success: bool = True
    data: StatusData


class Method(Struct, frozen=True, rename="camel", kw_only=True):
    """One method, and whether it is offered and in use."""

    type: MfaType
    name: str
    description: str
    is_available: bool
    is_configured: bool
    is_enabled: bool


class Methods(Struct, frozen=True, kw_only=True):
    """The answer of `GET /mfa/methods`."""

    success: bool = True
    data: tuple[Method, ...]


class Relying(Struct, frozen=True):
    """Whom a passkey is made for."""

    id: str
    name: str


class Owner(Struct, frozen=True, rename="camel"):
    """Whose passkey it is; binary values are base64url, here and below."""

    id: str
    name: str
    display_name: str


class Algorithm(Struct, frozen=True):
    """A kind of key that is taken."""

    type: str
    alg: int


class Descriptor(Struct, frozen=True):
    """A passkey that is known."""

    id: str
    type: str
    transports: tuple[str, ...] | UnsetType = UNSET


class Selection(Struct, frozen=True, rename="camel"):
    """Which authenticators are asked for."""

    resident_key: str
    require_resident_key: bool | UnsetType = UNSET
    user_verification: str | UnsetType = UNSET


class Options(Struct, frozen=True, rename="camel", kw_only=True):
    """What `navigator.credentials.create` or `.get` is given, as `PublicKeyCredential.parse...FromJSON` takes it."""

    challenge: str
    timeout: int
    rp: Relying | UnsetType = UNSET
    user: Owner | UnsetType = UNSET
    pub_key_cred_params: tuple[Algorithm, ...] | UnsetType = UNSET
    exclude_credentials: tuple[Descriptor, ...] | UnsetType = UNSET
    authenticator_selection: Selection | UnsetType = UNSET
    attestation: str | UnsetType = UNSET
    rp_id: str | UnsetType = UNSET
    allow_credentials: tuple[Descriptor, ...] | UnsetType = UNSET
    user_verification: str | UnsetType = UNSET


def options(given: dict[str, Any]) -> Options:
    """Return the core's options as the wire shows them."""
    return msgspec.convert(given, Options)


class SetupData(Struct, frozen=True, rename="camel", kw_only=True):
    """What the owner is shown once: of an app its secret, of a passkey what the browser is to be given."""

    secret: str | UnsetType = UNSET
    qr_code: str | UnsetType = UNSET
    """An SVG picture as a data URL."""
    otpauth_url: str | UnsetType = UNSET
    backup_codes: tuple[str, ...] | UnsetType = UNSET
    options: Options | UnsetType = UNSET
    expires_at: int | UnsetType = UNSET


class Setup(Struct, frozen=True, kw_only=True):
    """The answer of `POST /mfa/setup`, `/mfa/verify-setup` and `/mfa/passkey/...`."""

    success: bool = True
    message: str
    data: SetupData


def types_of(person: Person) -> tuple[MfaType, ...]:
    """Return the methods that a person has enabled, best first."""
    return tuple(each for each, factor in FACTORS.items() if factor in person.factors)


def status(person: Person, primary: str | None, now: Millis, *, verified: bool) -> Status:
    """Return how things stand. `primary` is what the owner chose, if anything."""
    enabled, since = types_of(person), person.account.factor_from
    chosen = next((each for each in enabled if FACTORS[each] == primary), enabled[0] if enabled else None)
    return Status(
        data=StatusData(
            is_enabled=bool(enabled), is_required=bool(enabled) or (since is not None and since <= now),
            is_enforced=since is not None, enabled_methods=enabled, primary_method=chosen, session_verified=verified,
        )
    )  # fmt: skip


def methods(person: Person, *, links: bool, passkeys: bool) -> Methods:
    """Return every method: whether this installation offers it, and whether the person has it."""
    enabled = types_of(person)
    offered = {"GOOGLE_AUTH": True, "MAGIC_LINK": links and person.proved_email is not None, "PASSKEY": passkeys}
    return Methods(
        data=tuple(
            Method(
                type=each, name=name, description=about, is_available=offered[each], is_configured=each in enabled,
                is_enabled=each in enabled,
            )
            for each, (name, about) in _WORDS.items()
        )
    )  # fmt: skip

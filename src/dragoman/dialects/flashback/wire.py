"""The shapes of Flashback's wire: camelCase, flat success answers, `data` for the profile (contract sections 1 and 4).

Input classes check shape only. Fields that nobody here reads are left out of them, since unknown fields are ignored.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from dragoman.core.identifiers import TYPED_LENGTH
from dragoman.http import Invalid, Problem
from dragoman.model import Millis, Pending, Person, SignedIn, uuid_text

Unit = Literal["ms", "s"]
"""In what `expiresAt` counts since 1970 (contract, open point 4)."""

DEVICE_SIZE = 4096
"""Bytes of `deviceInfo` that a session keeps."""

ROLES: tuple[tuple[int, str], ...] = (
    (0, "USER"),
    (1, "BILLING"),
    (2, "WORKSPACES"),
    (254, "ADMINISTRATORS"),
    (255, "OWNER"),
)
"""The defined roles, lowest first (contract section 3)."""


def role_of(rank: int) -> tuple[str, tuple[int, ...]]:
    """Return the label of a rank of 0 to 255 and the defined roles it includes; a reserved rank counts as the next
    lower defined one (contract section 3).
    """
    held = [(role, label) for role, label in ROLES if role <= rank]
    return held[-1][1], tuple(role for role, _ in held)


_ROLE_OF = tuple(role_of(rank) for rank in range(256))

# ---------------------------------------------------------------- what arrives

Short = Annotated[str, Meta(max_length=1024)]


class DeviceInfo(Struct, rename="camel", omit_defaults=True, kw_only=True):
    """What the client says of its device (contract section 4.1). None of it is believed."""

    user_agent: Short | None = None
    device_type: Literal["DESKTOP", "MOBILE", "TABLET"] | None = None
    os: Short | None = None
    browser: Short | None = None
    ip_address: Short | None = None
    screen_resolution: Short | None = None
    timezone: Short | None = None
    language: Short | None = None
    platform: Short | None = None
    hardware_concurrency: float | None = None
    device_memory: float | None = None


class Device(Struct, rename="camel", kw_only=True):
    """What bodies of sign-ins have in common."""

    device_info: DeviceInfo | None = None

    def device(self) -> str | None:
        """Return `deviceInfo` as the JSON text to keep. Raises Invalid beyond 4 KiB."""
        if self.device_info is None:
            return None
        text = msgspec.json.encode(self.device_info)
        if len(text) > DEVICE_SIZE:
            raise Invalid((Problem("deviceInfo", "too_long", f"must not be larger than {DEVICE_SIZE} bytes"),))
        return text.decode()


class Login(Device, rename="camel", kw_only=True):
    """The body of `POST /user/login`."""

    email: Annotated[str, Meta(min_length=1, max_length=TYPED_LENGTH)]
    password: Annotated[str, Meta(min_length=1, max_length=1024)]


class Refresh(Struct, kw_only=True):
    """The body of `POST /user/refresh` and `/user/logout`: the page spells it one way, the client the other."""

    refreshToken: str | None = None  # noqa: N815
    refresh_token: str | None = None

    def sent(self) -> str | None:
        """Return the token, however spelt, or None. Raises Invalid when both are there and differ (section 4.2)."""
        if self.refreshToken is None or self.refresh_token is None:
            return self.refresh_token if self.refreshToken is None else self.refreshToken
        if self.refreshToken != self.refresh_token:
            raise Invalid((Problem("refresh_token", "not_allowed", "differs from refreshToken: send one of them"),))
        return self.refreshToken

    def token(self) -> str:
        """Return the token. Raises Invalid when none was sent."""
        token = self.sent()
        if not token:
            raise Invalid((Problem("refreshToken", "required", "is required"),))
        return token


MailedToken = Annotated[str, Meta(min_length=1, max_length=1024)]
NewPassword = Annotated[str, Meta(max_length=1024)]
"""How long one may be is the policy's to say."""


class PreVerify(Struct, frozen=True):
    """The body of `POST /user/pre-verify-email`."""

    token: MailedToken


class Verify(Struct, frozen=True):
    """The body of `POST /user/verify-email`; the password is for invited people who have none yet (section 4.11)."""

    token: MailedToken
    password: NewPassword | None = None


class RequestReset(Struct, frozen=True):
    """The body of `POST /user/request-reset-password`."""

    email: Annotated[str, Meta(min_length=1, max_length=TYPED_LENGTH)]


class Reset(Struct, frozen=True, rename="camel"):
    """The body of `POST /user/reset-password`."""

    token: MailedToken
    new_password: NewPassword


# ---------------------------------------------------------------- what goes out


class Failure(Struct, frozen=True, kw_only=True):
    """Every failure: one body in which callers of all three documented families find their key (section 1)."""

    success: bool = False
    error_code: str
    message: str
    error: str


class User(Struct, frozen=True, rename="camel", kw_only=True):
    """The signed-in person in login-shaped answers."""

    id: str
    email: str | None
    name: str
    """The display name here, the first name in the profile (open point 21)."""
    org_id: str
    org_role: int


class LoggedIn(Struct, frozen=True, rename="camel", kw_only=True):
    """A sign-in. One that waits for a second factor has a limited `accessToken` and neither `refreshToken` nor
    `tokenId` (open point 23).
    """

    success: bool = True
    access_token: str
    refresh_token: str | UnsetType = UNSET
    token_id: str | UnsetType = UNSET
    expires_at: int
    message: str | UnsetType = UNSET
    verification_token_id: str | UnsetType = UNSET
    """While the address is not verified and a mail to verify it is out: what `/user/resend-verification` takes."""
    user: User


class Refreshed(Struct, frozen=True, rename="camel", kw_only=True):
    """New tokens. `token` repeats `accessToken`: the client's type demands both (section 4.2)."""

    success: bool = True
    access_token: str
    refresh_token: str
    expires_at: int
    token: str


class Done(Struct, frozen=True, kw_only=True):
    """Nothing but success, and a text for people."""

    success: bool = True
    message: str


class PreVerified(Struct, frozen=True, rename="camel", kw_only=True):
    """What a page has to ask for before it verifies an address (section 4.10)."""

    success: bool = True
    message: str
    auth_method: Literal["LOCAL", "GOOGLE", "GITHUB", "MICROSOFT"] = "LOCAL"
    has_password: bool


class Verified(Struct, frozen=True, rename="camel", kw_only=True):
    """A sign-in finished by its second factor (section 7)."""

    success: bool = True
    message: str
    full_access_token: str
    refresh_token: str


class ProfileData(Struct, frozen=True, rename="camel", kw_only=True):
    """One's own account."""

    id: str
    name: str
    last_name: str
    email: str | None
    org_id: str | None
    org_role: int | None
    org_role_description: str
    org_roles: tuple[int, ...]
    validated: bool
    mfa_required: bool
    is_business: bool


class Profile(Struct, frozen=True, kw_only=True):
    """The answer of `GET /user/profile`."""

    success: bool = True
    data: ProfileData


# ---------------------------------------------------------------- from the core's values


def instant(at: Millis | None, unit: Unit) -> int:
    """Return an instant in the configured unit."""
    return (at or 0) // (1000 if unit == "s" else 1)


def user(person: Person) -> User:
    """Return a person as login-shaped answers show it."""
    account = person.account
    return User(
        id=uuid_text(account.id),
        email=person.email,
        name=person.name,
        org_id=uuid_text(account.organization),
        org_role=account.rank,
    )


def logged_in(outcome: SignedIn | Pending, unit: Unit, verification: str | None = None) -> LoggedIn:
    """Return the answer of a sign-in, finished or waiting for a second factor.

    :param verification: the id of the mail that would verify the person's address, where one is out.
    """
    if isinstance(outcome, Pending):
        return LoggedIn(
            access_token=outcome.attempt or "",
            expires_at=instant(outcome.ends_at, unit),
            message="Second factor required",
            verification_token_id=verification or UNSET,
            user=user(outcome.person),
        )
    return LoggedIn(
        access_token=outcome.token,
        refresh_token=outcome.refresh_token or UNSET,
        token_id=uuid_text(outcome.session.id),
        expires_at=instant(outcome.token_ends_at, unit),
        verification_token_id=verification or UNSET,
        user=user(outcome.person),
    )


def refreshed(outcome: SignedIn, unit: Unit) -> Refreshed:
    """Return the answer of a refresh."""
    return Refreshed(
        access_token=outcome.token,
        refresh_token=outcome.refresh_token or "",
        expires_at=instant(outcome.token_ends_at, unit),
        token=outcome.token,
    )


def verified(outcome: SignedIn) -> Verified:
    """Return the answer of a second factor."""
    return Verified(
        message="Second factor verified",
        full_access_token=outcome.token,
        refresh_token=outcome.refresh_token or "",
    )


def profile(person: Person) -> Profile:
    """Return a person as its own profile shows it (section 4.4)."""
    account = person.account
    label, roles = _ROLE_OF[account.rank]
    address = next((each for each in person.identifiers if each.kind == "email"), None)
    return Profile(
        data=ProfileData(
            id=uuid_text(account.id),
            name=account.first_name,
            last_name=account.last_name,
            email=address.shown if address is not None else None,
            org_id=uuid_text(account.organization),
            org_role=account.rank,
            org_role_description=label,
            org_roles=roles,
            validated=address is not None and address.state == "verified",
            mfa_required=person.has_second_factor,
            is_business=account.business,
        )
    )

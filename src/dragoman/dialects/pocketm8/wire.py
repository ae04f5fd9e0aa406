"""Pocketm8's JSON: what its clients send and what they get, field for field (contract sections 2.4 and 3).

Every field of an answer is always there; what is not set is null (section 2.8).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, ClassVar

from msgspec import UNSET, Meta, Struct, UnsetType
from ulid import ULID

from dragoman import model
from dragoman.model import Account, Millis, Pending, Person

ADDRESS = r"^[ \t\r\n\f\v]*[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+[ \t\r\n\f\v]*$"
"""One @ with something on both sides: as strict as the core is, no stricter (decision 15)."""
CODE_DIGITS = 6
ACCESS_TOKEN_DOTS = 4

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FACTORS = {"totp": "totp", "email": "email", "recovery": "totp"}
"""The contract's words for what is asked; a recovery code is typed where a TOTP code is."""


# ---------------------------------------------------------------- asked


class SignIn(Struct, frozen=True):
    """Credentials. The address may be surrounded by space and in any letter case."""

    email: Annotated[str, Meta(max_length=254, pattern=ADDRESS)]
    password: Annotated[str, Meta(min_length=1, max_length=1024)]


class ResetPassword(Struct, frozen=True):
    """Whom a reset link is for, typed as at the sign-in."""

    email: Annotated[str, Meta(max_length=254, pattern=ADDRESS)]


class VerifyToken(Struct, frozen=True):
    """The token of a mailed link, with the new password or without; `secret` is another name for `token`."""

    other_names: ClassVar[dict[str, str]] = {"secret": "token"}

    token: Annotated[str, Meta(min_length=1, max_length=4096)]
    password: Annotated[str, Meta(min_length=1, max_length=1024)] | None = None

    @property
    def is_access_token(self) -> bool:
        """Whether the value has the four dots of an access token (section 4.1, number 5, second reading)."""
        return self.token.count(".") == ACCESS_TOKEN_DOTS


class VerifyChallenge(Struct, frozen=True, rename="camel"):
    """The second step of a sign-in; `otp` is another name for `code`."""

    other_names: ClassVar[dict[str, str]] = {"otp": "code"}

    challenge_id: Annotated[str, Meta(min_length=1, max_length=64)]
    code: Annotated[str, Meta(min_length=1, max_length=64)] | Annotated[int, Meta(ge=0, le=99_999_999)]
    """Six digits, from an app or a mail, or a recovery code. A number lost its leading zeros; they are put back."""

    @property
    def typed(self) -> str:
        """The code as its owner read it."""
        return self.code if isinstance(self.code, str) else f"{self.code:0{CODE_DIGITS}d}"


# ---------------------------------------------------------------- answered


class SessionUser(Struct, frozen=True, rename="camel"):
    """The person as a session shows it: exactly seven fields (section 3.1)."""

    app_write_id: str
    id: str
    first_name: str
    last_name: str
    role_id: str
    avatar: str | None
    core_data: str | None


class Chat(Struct, frozen=True):
    """Credentials for the chat backend; three nulls where there is none."""

    id: str | None
    username: str | None
    token: str | None


NO_CHAT = Chat(None, None, None)


class SessionData(Struct, frozen=True, rename="camel"):
    """A finished sign-in."""

    access_token: str
    user: SessionUser
    chat: Chat


class Session(Struct, frozen=True):
    """The answer to a finished sign-in."""

    data: SessionData


class Challenge(Struct, frozen=True, rename="camel"):
    """A sign-in that waits for its second factor."""

    mfa_required: bool
    challenge_id: str
    user_id: str
    """The appWriteId, as in all of the sign-in calls."""
    factor: str
    """`totp`; `email`: a code has been mailed."""
    expires_at: str


class MfaRequired(Struct, frozen=True):
    """The answer to a sign-in that waits. A client tells it by the absent `data.accessToken`."""

    message: str
    data: Challenge


class Done(Struct, frozen=True):
    """The answer to what has nothing to show but its message."""

    message: str


EMAIL_SENT = Done("EMAIL_WITH_RESET_LINK_SENT")
PASSWORD_UPDATED = Done("PASSWORD_HAS_BEEN_UPDATED")


class Whose(Struct, frozen=True, rename="camel"):
    """Whose a token is."""

    user_id: str
    """The appWriteId, as in all of the sign-in calls."""


class TokenIsValid(Struct, frozen=True):
    """The answer to a token that is good and stays so."""

    message: str
    data: Whose


class ProfileUser(Struct, frozen=True, rename="camel"):
    """The person as the profile shows it (section 3.2)."""

    id: str
    app_write_id: str
    chat_id: str | None
    chat_username: str | None
    first_name: str
    last_name: str
    role_id: str
    location_id: str | None
    birthdate: str | None
    email: str | None
    phone: str | None
    avatar: str | None
    core_data: str | None
    created_at: str
    updated_at: str


class ProfileData(Struct, frozen=True):
    """The caller."""

    user: ProfileUser


class Profile(Struct, frozen=True):
    """The answer to Get Profile."""

    data: ProfileData


class FieldError(Struct, frozen=True):
    """One field that does not fit."""

    field: str
    """Dotted path from the top of the body."""
    code: str


class Error(Struct, frozen=True):
    """Every error. `errors` comes with VALIDATION_FAILED only."""

    message: str
    errors: tuple[FieldError, ...] | UnsetType = UNSET


# ---------------------------------------------------------------- from the core's values


def session(signed_in: model.SignedIn) -> Session:
    """Show a finished sign-in; its child session is the chat block (decision 20)."""
    person, child = signed_in.person, signed_in.child
    account = person.account
    user = SessionUser(
        app_write_id=person.aliases["pocketm8"],
        id=ulid(account.id),
        first_name=account.first_name,
        last_name=account.last_name,
        role_id=role_id(account),
        avatar=None,
        core_data=None,
    )
    chat = NO_CHAT if child is None else Chat(person.aliases["rocketchat"], person.username, child.token)
    return Session(SessionData(signed_in.token, user, chat))


def mfa_required(pending: Pending) -> MfaRequired:
    """Show a sign-in that waits."""
    return MfaRequired(
        "MFA_REQUIRED",
        Challenge(
            mfa_required=True,
            challenge_id=pending.attempt or "",
            user_id=pending.person.aliases["pocketm8"],
            factor=_FACTORS[pending.offers[0]],
            expires_at=instant(pending.ends_at),
        ),
    )


def token_is_valid(person: Person) -> TokenIsValid:
    """Show whose a good token is."""
    return TokenIsValid("TOKEN_IS_VALID", Whose(person.aliases["pocketm8"]))


def profile(person: Person, *, chat: bool) -> Profile:
    """Show the caller; `chat` says whether there is a chat backend."""
    account = person.account
    return Profile(
        ProfileData(
            ProfileUser(
                id=ulid(account.id),
                app_write_id=person.aliases["pocketm8"],
                chat_id=person.aliases["rocketchat"] if chat else None,
                chat_username=person.username if chat else None,
                first_name=account.first_name,
                last_name=account.last_name,
                role_id=role_id(account),
                location_id=None,
                birthdate=None,
                email=person.email,
                phone=person.phone,
                avatar=None,
                core_data=None,
                created_at=instant(account.created_at),
                updated_at=instant(account.updated_at),
            )
        )
    )


def role_id(account: Account) -> str:
    """Return the word for the account's role (table B)."""
    return "admin" if account.administrator else "user"


@lru_cache(maxsize=4096)
def ulid(id: bytes) -> str:
    """Return a 16-byte id as the contract writes it: 26 characters of Crockford base32 (section 2.7)."""
    return str(ULID(id))


@lru_cache(maxsize=4096)
def instant(at: Millis) -> str:
    """Return milliseconds since 1970 as `YYYY-MM-DDTHH:MM:SS.mmmZ` (section 2.8)."""
    return (_EPOCH + timedelta(milliseconds=at)).isoformat(timespec="milliseconds")[:-6] + "Z"

"""Rocket.Chat's tokens beside a login's: personal access tokens, tokens for others (its contract, sections 8.4, 8.5).

Without the permission the calls that change something say so in words of their own.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Annotated, cast

from msgspec import UNSET, Meta, Struct, UnsetType

from dragoman.core.refusals import NotActive, NotAdmitted, NotAllowed, NotOffered, NoUsableFactor
from dragoman.core.tokens import Opaque
from dragoman.dialects.rocketchat import permissions, wire
from dragoman.dialects.rocketchat.accounts import meant
from dragoman.dialects.rocketchat.config import Config
from dragoman.dialects.rocketchat.errors import failure
from dragoman.dialects.rocketchat.wire_accounts import Who
from dragoman.http import Answer, Call, operation
from dragoman.model import Key, NewKey

Name = Annotated[str, Meta(min_length=1, max_length=255)]


class NewToken(Struct, rename="camel"):
    """What a new personal access token is called."""

    token_name: Name
    bypass_two_factor: bool = False
    """Whether it stands for the second factor of protected operations, too."""


class TokenName(Struct, rename="camel"):
    """Which personal access token is meant."""

    token_name: Name


class NewPersonalToken(Struct, frozen=True):
    """A personal access token, shown this once."""

    token: str
    success: bool


class PersonalToken(Struct, frozen=True, rename="camel"):
    """A personal access token as it is listed."""

    name: str
    created_at: str
    last_token_part: str
    bypass_two_factor: bool


class PersonalTokens(Struct, frozen=True):
    """All personal access tokens of an account."""

    tokens: tuple[PersonalToken, ...]
    success: bool


def listed(keys: Iterable[Key]) -> PersonalTokens:
    """Dress an account's keys."""
    shown = [PersonalToken(key.name, wire.time_of(key.created_at), key.hint, key.bypass) for key in keys]
    return PersonalTokens(tuple(shown), True)


_NOT_AUTHORIZED = failure(400, "Not Authorized", "not-authorized")


async def _may(call: Call) -> bool:
    return await permissions.has(call, "create-personal-access-tokens")


def _form(call: Call) -> Opaque:
    """Return the form of personal access tokens: that of a login's, so that they go wherever those go."""
    return cast("Opaque", call.door.token)


@operation(
    "POST",
    "/api/v1/users.generatePersonalAccessToken",
    body=NewToken,
    answers={200: NewPersonalToken},
    fresh=True,
    tag="personal access tokens",
    examples={"plain": {"tokenName": "ci"}, "for protected operations": {"tokenName": "ci", "bypassTwoFactor": True}},
)
async def generate_personal_token(call: Call, body: NewToken) -> NewPersonalToken | Answer:
    """Make a personal access token, which never expires. It is shown this once, and its owner is told by mail."""
    if not await _may(call):
        return _NOT_AUTHORIZED
    key = NewKey(body.token_name, body.bypass_two_factor)
    minted = await call.core.access_keys.add(call.signed_in, _form(call), key, call.client)
    return NewPersonalToken(minted.token, True)


@operation(
    "POST",
    "/api/v1/users.regeneratePersonalAccessToken",
    body=TokenName,
    answers={200: NewPersonalToken},
    fresh=True,
    tag="personal access tokens",
    examples={"by name": {"tokenName": "ci"}},
)
async def regenerate_personal_token(call: Call, body: TokenName) -> NewPersonalToken | Answer:
    """Make a personal access token anew: the one that had the name stops working."""
    if not await _may(call):
        return _NOT_AUTHORIZED
    minted = await call.core.access_keys.replace(call.signed_in, _form(call), body.token_name, call.client)
    return NewPersonalToken(minted.token, True)


@operation(
    "GET",
    "/api/v1/users.getPersonalAccessTokens",
    answers={200: PersonalTokens},
    access="any",
    tag="personal access tokens",
)
async def personal_tokens(call: Call) -> PersonalTokens:
    """List one's personal access tokens by name, with the last characters of each."""
    await permissions.needs(call, "create-personal-access-tokens")
    return listed(await call.core.access_keys.of(call.signed_in.account, _form(call)))


@operation(
    "POST",
    "/api/v1/users.removePersonalAccessToken",
    body=TokenName,
    answers={200: wire.Done},
    fresh=True,
    tag="personal access tokens",
    examples={"by name": {"tokenName": "ci"}},
)
async def remove_personal_token(call: Call, body: TokenName) -> wire.Done | Answer:
    """Remove a personal access token: it stops working at once, and its connections are closed."""
    if not await _may(call):
        return _NOT_AUTHORIZED
    await call.core.access_keys.remove(call.signed_in, _form(call), body.token_name, call.client)
    return wire.DONE


# ---------------------------------------------------------------- tokens for others


class TokenFor(Who, rename="camel"):
    """Who is to be signed in, and the secret that the server's configuration has, too."""

    secret: str | UnsetType = UNSET


class TokenOf(Struct, frozen=True, rename="camel"):
    """A token of a session."""

    user_id: str
    auth_token: str


class CreatedToken(Struct, frozen=True):
    """A session that was opened for somebody."""

    data: TokenOf
    success: bool


_NO_TOKEN = failure(400, "Not authorized", "error-not-authorized")
_NO_USER = failure(
    400, 'The required "userId" or "username" param was not provided', "error-user-param-not-provided"
)  # fmt: skip


@operation(
    "POST",
    "/api/v1/users.createToken",
    body=TokenFor,
    answers={200: CreatedToken},
    fresh=True,
    tag="personal access tokens",
    examples={"by name": {"username": "bob", "secret": "what the configuration says"}},
)
async def create_token(call: Call, body: TokenFor) -> CreatedToken | Answer:
    """Open a session of somebody else; for administrators who know the configured secret.

    It is signed in like by a password: not past a second factor, and not into an account that is not active.
    """
    if not _knows_the_secret(call, body.secret):
        return _NO_TOKEN
    account = await meant(call, body)
    if account is None:
        return _NO_USER
    try:
        outcome = await call.core.on_behalf.sign_in(call.signed_in, account, call.door, call.client)
    except (NotAllowed, NotActive, NotAdmitted, NoUsableFactor, NotOffered):
        return _NO_TOKEN
    return CreatedToken(TokenOf(outcome.person.aliases[wire.ALIAS], outcome.token), True)


def _knows_the_secret(call: Call, sent: str | UnsetType) -> bool:
    """Compare in a time that tells nothing of the secret."""
    configured = call.config(Config).create_tokens_secret
    if configured is None or sent is UNSET:
        return False
    ours, theirs = configured.reveal(), sent
    return hmac.compare_digest(ours.encode(), theirs.encode("utf-8", "surrogatepass"))


OPERATIONS = (generate_personal_token, regenerate_personal_token, personal_tokens, remove_personal_token, create_token)

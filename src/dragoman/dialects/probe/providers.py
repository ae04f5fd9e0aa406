"""Signing in with the token of an outside provider (contract section 3.2, decision 24).

The token decides who it is, and is judged by the provider's keys or by the provider itself; name and address that come
along, in the body or in cookies, choose and narrow and prove nothing.
"""

from __future__ import annotations

from typing import Annotated, ClassVar
from urllib.parse import unquote

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from dragoman.core import refusals
from dragoman.core.upstream import MOST_TOKEN, Arrival
from dragoman.dialects.probe import carriers, errors, routes, wire
from dragoman.dialects.probe.door import BASE, DOOR, SHORT_LIFE
from dragoman.http import Answer, Call, Invalid, Operation, Problem, operation
from dragoman.model import Pending, Secret, Wish

NAME_COOKIE, EMAIL_COOKIE, TOKEN_COOKIE = carriers.PROVIDER_COOKIES


class OwnToken(Struct):
    """A token of a connected account."""

    provider: Annotated[str, Meta(min_length=1, max_length=64)]
    token: Annotated[str, Meta(min_length=1, max_length=MOST_TOKEN)]


class OAuthSignIn(Struct, rename="kebab"):
    """What a sign-in with a provider's token sends, as JSON or as a form; all of it may come in cookies instead."""

    other_names: ClassVar[dict[str, str]] = {"oauth-token": "oauth-provider-token"}
    may_be_absent: ClassVar[bool] = True
    email: wire.Address | None = None
    oauth_provider_token: OwnToken | None = None
    """In a form its name is `oauth-token` (contract section 3.2); both are taken in both."""
    check_auth: bool = False
    long_term_token: bool = True
    logout_other: bool = False
    current_user: wire.Hint | None = None
    ret_url: wire.Hint | None = None
    code: Annotated[str, Meta(max_length=64)] | None = None
    """A code of the second factor (decision 3)."""


class Checked(Struct, frozen=True):
    """What a dry run found."""

    ok: bool
    message: str


class OAuthAnswer(Struct, frozen=True, rename="kebab"):
    """Who signed in, and with what. A pending account gets no token of ours, a dry run nothing but its result."""

    check_auth_result: Checked
    user_id: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    status: wire.UserStatus | UnsetType = UNSET
    api_token: str | UnsetType = UNSET
    jwt_token: wire.JwtToken | UnsetType = UNSET
    email: str | UnsetType = UNSET
    current_user: str | None = None
    ret_url: str | None = None
    oauth_provider_tokens: tuple[wire.ProviderToken, ...] = ()


class Presented(Struct, frozen=True):
    """A provider's token and what came with it."""

    provider: str
    token: Secret
    address: str | None


@operation(
    "POST", f"{BASE}/auth/oauth-sign-in", body=OAuthSignIn, answers={200: OAuthAnswer}, access="open", tag="Auth",
    headers=("X-2FA-Code",), cookies=(*carriers.PROVIDER_COOKIES, carriers.JWT_COOKIE),
    examples={"example": {"oauth-provider-token": {"provider": "google", "token": "ya29.a0AfH6SMBx"}}},
)  # fmt: skip
async def oauth_sign_in(call: Call, body: OAuthSignIn) -> OAuthAnswer | Answer:
    """Sign in with the token of an OAuth provider, from the body or from the cookies of a login begun in the browser.

    With `check-auth` the token is judged and nobody is signed in: `check-auth-result` says whether it would do. A
    second factor is asked for as by `sign-in`; send the same again with a `code`.
    """
    if carriers.from_foreign_page(call):
        raise refusals.NotAllowed("a page of another origin signs in")
    found, url = _presented(call, body), carriers.return_url(call, body.ret_url)
    if body.check_auth:
        return OAuthAnswer(await _checked(call, body, found), ret_url=url)
    current_user = await carriers.confirmed_user(call, body.current_user)  # before `logout-other` ends its session
    try:
        arrival = await _arrived(call, found, body)
    except refusals.NotVerified as refusal:
        return _dressed(await routes.pending(call, refusal.person), found, url=url)
    if isinstance(arrival.outcome, Pending):
        return errors.second_factor(call, arrival.outcome.offers)
    carriers.set_cookies(call, arrival.outcome, call.core.clock.now())
    carriers.clear_provider_cookies(call)
    return _dressed(wire.signed_in(arrival.outcome, current_user, None), found, url=url)


async def _arrived(call: Call, found: Presented, body: OAuthSignIn) -> Arrival:
    wish = Wish(life=None if body.long_term_token else SHORT_LIFE, end_others=body.logout_other)
    code = body.code or call.header(routes.CODE_HEADER) or None
    try:
        return await call.core.upstream.with_token(
            DOOR, found.provider, found.token, call.client, address=found.address, code=code, wish=wish
        )
    except refusals.NotOffered:
        raise _unknown(call, body) from None


async def _checked(call: Call, body: OAuthSignIn, found: Presented) -> Checked:
    """Judge a token as a sign-in would, up to the gate. A provider that gives no answer is no verdict: 503."""
    try:
        await call.core.upstream.try_token(DOOR, found.provider, found.token, call.client, address=found.address)
    except refusals.NotOffered:
        raise _unknown(call, body) from None
    except (refusals.ProviderRefused, refusals.NotLinked) as no:
        return Checked(False, errors.REFUSALS[type(no)].error)
    return Checked(True, "")


def _presented(call: Call, body: OAuthSignIn) -> Presented:
    """Return what was presented: the body goes before the cookies, field by field. Raises Invalid."""
    cookies = {name: unquote(call.cookies[name]) for name in carriers.PROVIDER_COOKIES if call.cookies.get(name)}
    own, address = body.oauth_provider_token, body.email or cookies.get(EMAIL_COOKIE)
    if own is None and (NAME_COOKIE not in cookies or TOKEN_COOKIE not in cookies):
        raise Invalid((errors.body_problem(call, _field(call), "required", "is required"),))
    name, token = (own.provider, own.token) if own is not None else (cookies[NAME_COOKIE], cookies[TOKEN_COOKIE])
    if address is not None:
        try:
            msgspec.convert(address, wire.Address)
        except msgspec.ValidationError:
            raise Invalid((Problem(EMAIL_COOKIE, "format", "is no email address", "cookie"),)) from None
    return Presented(name.lower(), Secret(token), address)


def _unknown(call: Call, body: OAuthSignIn) -> Invalid:
    """Return the fault of a provider that is not configured, where it was named."""
    if body.oauth_provider_token is None:
        return Invalid((Problem(NAME_COOKIE, "not_allowed", "is not a known provider", "cookie"),))
    return Invalid((errors.body_problem(call, _field(call, ".provider"), "not_allowed", "is not a known provider"),))


def _field(call: Call, inner: str = "") -> str:
    return ("oauth-token" if errors.is_form(call) else "oauth-provider-token") + inner


def _dressed(answer: wire.SignInAnswer, found: Presented, url: str | None) -> OAuthAnswer:
    """Put what a sign-in answers together with what is the provider's: the token that came, which is kept nowhere."""
    used = wire.ProviderToken(found.provider, found.token.reveal())
    return OAuthAnswer(
        Checked(True, ""), answer.user_id, answer.status, answer.api_token, answer.jwt_token, answer.email,
        answer.current_user, url, (used,),
    )  # fmt: skip


OPERATIONS: tuple[Operation, ...] = (oauth_sign_in,)

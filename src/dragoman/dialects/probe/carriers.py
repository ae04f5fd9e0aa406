"""What carries a credential to Probe and back: header, query string, cookies; and which pages may use the cookies."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Literal

from msgspec import Struct

from dragoman.core import identifiers, refusals
from dragoman.core.tokens import ApiToken, Signed
from dragoman.dialects.probe.door import API_TOKEN, DOOR, JWT, MARK_COOKIE, MARK_LIFE, Config
from dragoman.dialects.probe.wire import CAPTCHA_LENGTH
from dragoman.http import Call, Invalid, Problem
from dragoman.model import Caller, Millis, SignedIn

JWT_COOKIE = "jwt"
PROVIDER_COOKIES = ("oauth-provider-name", "oauth-email", "oauth-provider-token")
CAPTCHA_HEADER = "X-Recaptcha-Token"
_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
_URL = re.compile(r"(?i:(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?)(?=[/?#]|\Z)[^\s\\\x00-\x1f\x7f]*")
_USUAL_PORT = {"http": "80", "https": "443"}


class Presented(Struct, frozen=True):
    """The credential that decides."""

    form: Signed | ApiToken
    token: str
    carrier: Literal["header", "query", "cookie"]


def presented(call: Call) -> Presented | None:
    """Return the first credential that is there, in the order of contract section 2.1; good or bad, it decides."""
    scheme, _, token = (call.header("authorization") or "").partition(" ")
    if scheme.lower() == "bearer":
        token = token.strip()
        return Presented(JWT if token.count(".") == 2 else API_TOKEN, token, "header")
    if call.config(Config).query_tokens:
        if "token" in call.query:
            return Presented(API_TOKEN, call.query["token"], "query")
        if "jwt" in call.query:
            return Presented(JWT, call.query["jwt"], "query")
    if JWT_COOKIE in call.cookies:
        return Presented(JWT, call.cookies[JWT_COOKIE], "cookie")
    return None


async def authenticate(call: Call) -> Caller:
    """Return who is signed in. Raises NotSignedIn; NotAllowed for a write with the cookie from a foreign page."""
    found = presented(call)
    if found is None:
        raise refusals.NotSignedIn
    caller = await call.core.sessions.authenticate(DOOR, found.token, found.form)
    if from_foreign_page(call):
        raise refusals.NotAllowed("the cookie came from a page of another origin")
    return caller


def from_foreign_page(call: Call) -> bool:
    """Judge the origin where a cookie counts (threat 45).

    A write that the cookie authenticates needs an allowed `Origin`, which every browser sends. A sign-in, which sets
    the cookie, needs one only if it comes from a page at all: programs send none.
    """
    if call.method in _SAFE:
        return False
    origin = call.header("origin")
    if call.operation is not None and call.operation.access == "open":
        return origin is not None and not _allowed(call, origin)
    found = presented(call)
    return found is not None and found.carrier == "cookie" and (origin is None or not _allowed(call, origin))


def _allowed(call: Call, origin: str) -> bool:
    return call.origin_allowed or origin in call.config(Config).origins


async def confirmed_user(call: Call, address: str | None) -> str | None:
    """Return `current-user` as sent, if a live JWT of that very user came along; it grants nothing (section 3.1)."""
    found = presented(call) if address else None
    if address is None or found is None or found.form is not JWT:
        return None
    try:
        caller = await call.core.sessions.authenticate(DOOR, found.token)
    except refusals.NotSignedIn:
        return None
    person = await call.core.accounts.person(caller.account)
    wanted = identifiers.fold("email", address)
    return address if any(identifiers.fold("email", own.shown) == wanted for own in person.emails) else None


async def captcha(call: Call) -> None:
    """Demand the captcha header (contract section 2.7). Raises Invalid without 6 characters in it, CaptchaRefused, and
    Busy or Unavailable where the verifier gives no answer; without a verifier anything of that length passes.
    """
    answer = call.header("x-recaptcha-token") or ""
    if len(answer) < CAPTCHA_LENGTH:
        raise Invalid((Problem(CAPTCHA_HEADER, "too_short", f"length must be >= {CAPTCHA_LENGTH}", "header"),))
    await call.core.captchas.check(DOOR, answer, call.client)


def return_url(call: Call, url: str | None) -> str | None:
    """Return `ret-url` as sent, if its origin is a configured one, for the client to go to; else None (section 3.1)."""
    found = _URL.fullmatch(url) if url is not None else None
    if found is None:
        return None
    scheme, host, port = found.group(1).lower(), found.group(2).lower(), found.group(3)
    origin = f"{scheme}://{host}" + (f":{port}" if port and port != _USUAL_PORT[scheme] else "")
    return url if origin in call.config(Config).ret_url_origins else None


def set_cookies(call: Call, outcome: SignedIn, now: Millis) -> None:
    """Leave the session's token with the browser, and the mark by which it is known to the account (decision 36)."""
    life = max(0, (outcome.token_ends_at or now) - now) // 1000
    _set(call, JWT_COOKIE, outcome.token, life)
    if outcome.mark is not None:
        _set(call, MARK_COOKIE, outcome.mark, MARK_LIFE)


def clear_cookie(call: Call) -> None:
    """Make the browser forget the session's token. The mark stays: it signs nobody in."""
    _set(call, JWT_COOKIE, "", 0)


def clear_provider_cookies(call: Call) -> None:
    """Make the browser forget a login that began with a provider, once it is done (contract section 3.2)."""
    for name in PROVIDER_COOKIES:
        if name in call.cookies:
            _set(call, name, "", 0)


def _set(call: Call, name: str, value: str, life: int) -> None:
    site = call.config(Config).cookie_site
    # Browsers drop a cookie that says SameSite=None without Secure; on this machine they take both without TLS.
    call.set_cookie(name, value, max_age=life, secure=site == "none" or _secure(call), same_site=site)


def _secure(call: Call) -> bool:
    """Tell whether cookies say `Secure`: always, but for plain HTTP from this machine to itself.

    Not every browser, and no curl, sends a `Secure` cookie back over `http://127.0.0.1`. A client whose address cannot
    be trusted (an unconfigured proxy) has no network and is not taken for a local one.
    """
    client = call.client
    return call.scheme != "http" or not client.network or not ip_address(client.address).is_loopback

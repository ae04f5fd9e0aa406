"""One small client per dialect: sign in, go on with a code, who am I, sign out, is this token live.

The stories tell the same things to each of them, so what differs between the wires is written here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import httpx2

from kit.house import PASSWORD

Ask = Callable[..., Awaitable[httpx2.Response]]
"""`await ask(method, path, address=..., headers=..., json=...)`: the house's own requests, or those to a server."""

EMAIL = "ada@example.com"
Said = tuple[int, object]
"""Status and the dialect's own word for an outcome."""


@dataclass(frozen=True)
class Held:
    """What a client holds once it is signed in."""

    headers: Mapping[str, str]
    user: str
    """The account's id in this dialect's words."""
    answer: httpx2.Response
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def token(self) -> str:
        """The token itself, without what stands before it in the header."""
        return next(reversed(self.headers.values())).rpartition(" ")[2]


@dataclass(frozen=True)
class Asked:
    """A sign-in that waits for a second factor; `go_on` is what the client needs for it."""

    said: Said
    answer: httpx2.Response
    go_on: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Refused:
    """A refusal in the dialect's own words."""

    said: Said
    answer: httpx2.Response


Outcome = Held | Asked | Refused


class Driver:
    """The calls that every story makes. `words` translates a story's word into what the wire says."""

    name: str
    words: ClassVar[Mapping[str, Said]]
    can_sign_out = True

    async def sign_in(
        self, ask: Ask, email: str = EMAIL, password: str = PASSWORD, *, address: str = "192.0.2.1"
    ) -> Outcome:
        """Send an address and a password."""
        raise NotImplementedError

    async def with_code(
        self, ask: Ask, asked: Asked, code: str, *, email: str = EMAIL, password: str = PASSWORD,
        address: str = "192.0.2.1",
    ) -> Outcome:  # fmt: skip
        """Go on with a code, as this wire does it."""
        raise NotImplementedError

    async def who_am_i(self, ask: Ask, held: Held, *, address: str = "192.0.2.1") -> httpx2.Response:
        """Ask for what only somebody signed in gets."""
        raise NotImplementedError

    async def sign_out(self, ask: Ask, held: Held) -> httpx2.Response:
        """End the session, where the wire has an operation for it (`can_sign_out`)."""
        raise NotImplementedError

    def said(self, answer: httpx2.Response) -> Said:
        """Return status and word of a refusal."""
        raise NotImplementedError

    def yields_token(self, answer: httpx2.Response) -> bool:
        """Tell whether an answer holds something that signs in."""
        raise NotImplementedError

    async def live(self, ask: Ask, held: Held, *, address: str = "192.0.2.1") -> bool:
        """Tell whether what the client holds still counts. Anything but yes and the wire's own no is a failure."""
        answer = await self.who_am_i(ask, held, address=address)
        if answer.status_code == 200:
            return True
        assert self.said(answer) == self.words["signed_out"], answer.text
        return False

    async def held(self, ask: Ask, *args: Any, **kwargs: Any) -> Held:
        """Sign in, which must succeed."""
        outcome = await self.sign_in(ask, *args, **kwargs)
        assert isinstance(outcome, Held), outcome.answer.text
        return outcome

    async def refused(self, ask: Ask, word: str, *args: Any, **kwargs: Any) -> Refused:
        """Sign in, which must be refused with this word."""
        outcome = await self.sign_in(ask, *args, **kwargs)
        assert isinstance(outcome, Refused), outcome.answer.text
        assert outcome.said == self.words[word], (self.name, word, outcome.said)
        return outcome

    def __repr__(self) -> str:
        return self.name


class RocketChat(Driver):
    """`POST /api/v1/login`; the whole login again with a code; two headers."""

    name = "rocketchat"
    words: ClassVar[Mapping[str, Said]] = {
        "wrong": (401, "Unauthorized"),
        "unknown": (401, "Unauthorized"),
        "locked": (401, "error-login-blocked-for-user"),
        "inactive": (401, "error-user-is-not-activated"),
        "not_admitted": (401, 403),
        "asked": (401, "totp-required"),
        "wrong_code": (401, "totp-invalid"),
        "codes_closed": (401, "totp-max-attempts"),
        "signed_out": (401, "You must be logged in to do this."),
    }

    async def _login(self, ask: Ask, body: dict[str, Any], address: str) -> Outcome:
        answer = await ask("POST", "/api/v1/login", json=body, address=address)
        if self.yields_token(answer):
            data = answer.json()["data"]
            return Held({"X-User-Id": data["userId"], "X-Auth-Token": data["authToken"]}, data["userId"], answer)
        said = self.said(answer)
        return Asked(said, answer) if said == self.words["asked"] else Refused(said, answer)

    async def sign_in(
        self, ask: Ask, email: str = EMAIL, password: str = PASSWORD, *, address: str = "192.0.2.1"
    ) -> Outcome:
        return await self._login(ask, {"user": email, "password": password}, address)

    async def with_code(
        self, ask: Ask, asked: Asked, code: str, *, email: str = EMAIL, password: str = PASSWORD,
        address: str = "192.0.2.1",
    ) -> Outcome:  # fmt: skip
        login = {"user": {"email": email}, "password": password}
        return await self._login(ask, {"totp": {"login": login, "code": code}}, address)

    async def resume(self, ask: Ask, token: str) -> Outcome:
        """Sign in with a kept token."""
        return await self._login(ask, {"resume": token}, "192.0.2.1")

    async def who_am_i(self, ask: Ask, held: Held, *, address: str = "192.0.2.1") -> httpx2.Response:
        return await ask("GET", "/api/v1/me", headers=held.headers, address=address)

    async def sign_out(self, ask: Ask, held: Held) -> httpx2.Response:
        return await ask("POST", "/api/v1/logout", headers=held.headers)

    def said(self, answer: httpx2.Response) -> Said:
        return answer.status_code, answer.json().get("error")

    def yields_token(self, answer: httpx2.Response) -> bool:
        return answer.status_code == 200 or "authToken" in answer.text


class Pocketm8(Driver):
    """`POST /api/auth/user/sign-in`, a challenge, a bearer; a session ends at its end or elsewhere."""

    name = "pocketm8"
    can_sign_out = False
    words: ClassVar[Mapping[str, Said]] = {
        "wrong": (400, "INVALID_CREDENTIALS"),
        "unknown": (400, "INVALID_CREDENTIALS"),
        "locked": (429, "TOO_MANY_REQUESTS"),
        "inactive": (400, "INVALID_CREDENTIALS"),
        "not_admitted": (400, "INVALID_CREDENTIALS"),
        "asked": (200, "MFA_REQUIRED"),
        "wrong_code": (400, "INVALID_OR_EXPIRED_CODE"),
        "codes_closed": (429, "TOO_MANY_REQUESTS"),
        "signed_out": (401, "UNAUTHORIZED"),
    }

    def _outcome(self, answer: httpx2.Response) -> Outcome:
        if self.yields_token(answer):
            data = answer.json()["data"]
            return Held({"Authorization": f"Bearer {data['accessToken']}"}, data["user"]["id"], answer, data["chat"])
        said = self.said(answer)
        if said == self.words["asked"]:
            return Asked(said, answer, {"challengeId": answer.json()["data"]["challengeId"]})
        return Refused(said, answer)

    async def sign_in(
        self, ask: Ask, email: str = EMAIL, password: str = PASSWORD, *, address: str = "192.0.2.1"
    ) -> Outcome:
        body = {"email": email, "password": password}
        return self._outcome(await ask("POST", "/api/auth/user/sign-in", json=body, address=address))

    async def with_code(
        self, ask: Ask, asked: Asked, code: str, *, email: str = EMAIL, password: str = PASSWORD,
        address: str = "192.0.2.1",
    ) -> Outcome:  # fmt: skip
        body = {**asked.go_on, "code": code}
        return self._outcome(await ask("POST", "/api/auth/user/verify-challenge", json=body, address=address))

    async def who_am_i(self, ask: Ask, held: Held, *, address: str = "192.0.2.1") -> httpx2.Response:
        return await ask("GET", "/api/profile", headers=held.headers, address=address)

    def said(self, answer: httpx2.Response) -> Said:
        return answer.status_code, answer.json().get("message")

    def yields_token(self, answer: httpx2.Response) -> bool:
        return "accessToken" in answer.text

    def chat(self, held: Held) -> Held:
        """Return the chat block as Rocket.Chat's client holds it."""
        headers = {"X-User-Id": held.more["id"], "X-Auth-Token": held.more["token"]}
        return Held(headers, held.more["id"], held.answer)


class Probe(Driver):
    """`POST auth/sign-in`, the same again with a code, a JWT and an API token."""

    name = "probe"
    base = "/frontend/api/v1"
    words: ClassVar[Mapping[str, Said]] = {
        "wrong": (401, "unauthenticated: wrong email or password"),
        "unknown": (401, "unauthenticated: wrong email or password"),
        "locked": (429, "resource exhausted: too many attempts, try again later"),
        "inactive": (403, "permission denied: account is suspended"),
        "asked": (401, "unauthenticated: second factor required"),
        "wrong_code": (401, "unauthenticated: wrong second factor code"),
        "codes_closed": (429, "resource exhausted: too many attempts, try again later"),
        "signed_out": (401, "unauthenticated: session is not active"),
    }

    async def _sign_in(self, ask: Ask, body: dict[str, Any], address: str) -> Outcome:
        answer = await ask("POST", f"{self.base}/auth/sign-in", json=body, address=address)
        if self.yields_token(answer):
            found = answer.json()
            headers = {"Authorization": f"Bearer {found['jwt-token']['token']}"}
            return Held(headers, str(found["user-id"]), answer, {"key": found["api-token"]})
        said = self.said(answer)
        return Asked(said, answer) if said == self.words["asked"] else Refused(said, answer)

    async def sign_in(
        self, ask: Ask, email: str = EMAIL, password: str = PASSWORD, *, address: str = "192.0.2.1"
    ) -> Outcome:
        return await self._sign_in(ask, {"email": email, "password": password}, address)

    async def with_code(
        self, ask: Ask, asked: Asked, code: str, *, email: str = EMAIL, password: str = PASSWORD,
        address: str = "192.0.2.1",
    ) -> Outcome:  # fmt: skip
        return await self._sign_in(ask, {"email": email, "password": password, "code": code}, address)

    async def who_am_i(self, ask: Ask, held: Held, *, address: str = "192.0.2.1") -> httpx2.Response:
        return await ask("GET", f"{self.base}/auth/session", headers=held.headers, address=address)

    async def sign_out(self, ask: Ask, held: Held) -> httpx2.Response:
        return await ask("DELETE", f"{self.base}/auth/sign-out", headers=held.headers)

    def said(self, answer: httpx2.Response) -> Said:
        return answer.status_code, answer.json().get("error")

    def yields_token(self, answer: httpx2.Response) -> bool:
        return any(word in answer.text for word in ('"jwt-token"', '"api-token"')) or "jwt" in answer.cookies

    def key(self, held: Held) -> Held:
        """Return the account's API token as its user holds it."""
        return Held({"Authorization": f"Bearer {held.more['key']}"}, held.user, held.answer)


class Flashback(Driver):
    """`POST /user/login`, a limited token while a code is due, a refresh chain."""

    name = "flashback"
    words: ClassVar[Mapping[str, Said]] = {
        "wrong": (401, "INVALID_PASSWORD"),
        "unknown": (401, "USER_NOT_FOUND"),
        "locked": (429, "RATE_LIMITED"),
        "inactive": (401, "USER_INACTIVE"),
        "asked": (200, "Second factor required"),
        "wrong_code": (401, "INVALID_MFA_CODE"),
        "codes_closed": (429, "RATE_LIMITED"),
        "signed_out": (401, "NO_AUTH_USER"),
        "limited": (403, "MFA_REQUIRED"),
        "chain_ended": (401, "INVALID_REFRESH_TOKEN"),
    }

    def _held(self, answer: httpx2.Response, token: str) -> Held:
        found = answer.json()
        user = found["user"]["id"] if "user" in found else ""
        more = {"refresh": found["refreshToken"], "session": found.get("tokenId")}
        return Held({"Authorization": f"Bearer {token}"}, user, answer, more)

    async def sign_in(
        self, ask: Ask, email: str = EMAIL, password: str = PASSWORD, *, address: str = "192.0.2.1"
    ) -> Outcome:
        answer = await ask("POST", "/user/login", json={"email": email, "password": password}, address=address)
        if self.yields_token(answer):
            return self._held(answer, answer.json()["accessToken"])
        if answer.status_code == 200:
            return Asked(self.said(answer), answer, {"limited": answer.json()["accessToken"]})
        return Refused(self.said(answer), answer)

    async def with_code(
        self, ask: Ask, asked: Asked, code: str, *, email: str = EMAIL, password: str = PASSWORD,
        address: str = "192.0.2.1",
    ) -> Outcome:  # fmt: skip
        headers = {"Authorization": f"Bearer {asked.go_on['limited']}"}
        body = {"mfaType": "GOOGLE_AUTH", "code": code}
        answer = await ask("POST", "/mfa/verify-login", json=body, headers=headers, address=address)
        if self.yields_token(answer):
            return self._held(answer, answer.json()["fullAccessToken"])
        return Refused(self.said(answer), answer)

    async def refresh(self, ask: Ask, token: str, *, address: str = "192.0.2.1") -> Outcome:
        """Exchange a refresh token."""
        answer = await ask("POST", "/user/refresh", json={"refreshToken": token}, address=address)
        if self.yields_token(answer):
            return self._held(answer, answer.json()["accessToken"])
        return Refused(self.said(answer), answer)

    async def who_am_i(self, ask: Ask, held: Held, *, address: str = "192.0.2.1") -> httpx2.Response:
        return await ask("GET", "/user/profile", headers=held.headers, address=address)

    async def sign_out(self, ask: Ask, held: Held) -> httpx2.Response:
        return await ask("POST", "/user/logout", json={"refresh_token": held.more["refresh"]}, headers=held.headers)

    def said(self, answer: httpx2.Response) -> Said:
        found = answer.json()
        return answer.status_code, found.get("error_code") or found.get("message")

    def yields_token(self, answer: httpx2.Response) -> bool:
        return '"refreshToken"' in answer.text or '"fullAccessToken"' in answer.text


ROCKETCHAT, POCKETM8, PROBE, FLASHBACK = RocketChat(), Pocketm8(), Probe(), Flashback()
DRIVERS: tuple[Driver, ...] = (ROCKETCHAT, POCKETM8, PROBE, FLASHBACK)

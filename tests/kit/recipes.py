"""How to call every declared operation with valid input, in every form it takes: the rows of the gate's matrix.

A new operation needs a row here; tests/rules fails until it has one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import httpx2
import msgspec

from dragoman.app import mounts
from dragoman.core.accounts import NewAccount
from dragoman.core.recovery import Changed
from dragoman.core.tickets import Purpose
from dragoman.http.operation import Operation
from dragoman.model import Person
from dragoman.storage import tickets
from dragoman.storage.engine import Tx
from dragoman.web import pages
from kit import provided as kit_provided
from kit.authenticator import Authenticator
from kit.house import CREATE_TOKENS_SECRET, PASSWORD, House, Totp

Proves = Literal["password", "code", "refresh", "session", "confirm", "proof", "ticket", "provider", "nothing"]
"""What decides: a password, a code of a paused sign-in, a refresh token, a live session, the password within a live
session, the same beside what the call is about, a mailed link, an outside provider's word, nothing at all."""


@dataclass
class Guest:
    """One account with the clients its owner has, each signed in before anything changed."""

    house: House
    person: Person
    email: str
    username: str
    address: str
    password: str = PASSWORD
    totp: Totp | None = None
    held: dict[str, str] = field(default_factory=dict)
    """What its clients keep: `rc`, `rc_user`, `p8`, `p8_challenge`, `probe`, `probe_api`, `probe_session`, `fb`,
    `fb_refresh`, `fb_limited`. Missing where the door gave none."""

    async def call(self, method: str, path: str, **wanted: Any) -> httpx2.Response:
        """Send a request from the guest's own network."""
        return await self.house.request(method, path, address=self.address, **wanted)

    async def arrive(self) -> None:
        """Sign in at every door that lets the guest in."""
        flat = {"email": self.email, "password": self.password}
        chat = await self.call("POST", "/api/v1/login", json={"user": self.username, "password": self.password})
        if chat.status_code == 200:
            self.held |= {"rc": chat.json()["data"]["authToken"], "rc_user": chat.json()["data"]["userId"]}
        mobile = (await self.call("POST", "/api/auth/user/sign-in", json=flat)).json().get("data", {})
        if "accessToken" in mobile:
            self.held["p8"] = mobile["accessToken"]
        probe = (await self.call("POST", "/frontend/api/v1/auth/sign-in", json=flat)).json()
        if "jwt-token" in probe:
            self.held |= {"probe": probe["jwt-token"]["token"], "probe_api": probe["api-token"]}
            listed = await self.call("GET", "/frontend/api/v1/auth/session", headers=bearer(self.held["probe"]))
            self.held["probe_session"] = listed.json()["sessions"][0]["id"]
        described = {**flat, "deviceInfo": {"os": "Linux", "browser": "test"}}
        flash = (await self.call("POST", "/user/login", json=described)).json()
        if "refreshToken" in flash:
            self.held |= {"fb": flash["accessToken"], "fb_refresh": flash["refreshToken"]}

    async def pause(self) -> None:
        """Enrol TOTP and begin a sign-in at each door that names attempts; both wait for a code."""
        self.totp = await self.house.enrol_totp(self.person)
        flat = {"email": self.email, "password": self.password}
        mobile = await self.call("POST", "/api/auth/user/sign-in", json=flat)
        self.held["p8_challenge"] = mobile.json()["data"].get("challengeId", "")
        self.held["rc_challenge"] = await self.house.pause_at("rocketchat", self.person)
        flash = await self.call("POST", "/user/login", json=flat)
        self.held["fb_limited"] = flash.json()["accessToken"]

    def code(self) -> str:
        """Return the next code of the second factor."""
        return self.totp.code() if self.totp is not None else "000000"


NEW_PASSWORD = "Another horse battery 7"
Send = Callable[[Guest], Awaitable[httpx2.Response]]


@dataclass(frozen=True)
class Recipe:
    """One form of one operation."""

    dialect: str
    method: str
    path: str
    """The template, as declared."""
    form: str
    proves: Proves
    send: Send
    makes: int = 0
    """Sessions and keys that a guest's first success inserts."""
    full_only: bool = False
    """Whether a key is refused where a session passes (decision 17)."""
    administrator: bool = False
    """Whether the guest has to be one."""
    verified: bool = False
    """Whether an account that was never verified is refused."""
    ends_in: int = 0
    """The status of the no that is said in the house of the tests to whoever gets through; 0: it works."""

    @property
    def works(self) -> tuple[int, ...]:
        """The statuses that say that a call got through."""
        return (self.ends_in,) if self.ends_in else (200, 201, 204, 307, 308)

    def __str__(self) -> str:
        return f"{self.dialect} {self.method} {self.path} {self.form}".strip()


def bearer(token: str) -> dict[str, str]:
    """Return the header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


def _rc(guest: Guest) -> dict[str, str]:
    return {"X-Auth-Token": guest.held.get("rc", ""), "X-User-Id": guest.held.get("rc_user", "")}


def _digest(guest: Guest) -> dict[str, str]:
    return {"digest": hashlib.sha256(guest.password.encode()).hexdigest(), "algorithm": "sha-256"}


def _login(form: str, make: Callable[[Guest], dict[str, Any]], **more: Any) -> Recipe:
    async def send(guest: Guest) -> httpx2.Response:
        return await guest.call("POST", "/api/v1/login", json=make(guest))

    return Recipe("rocketchat", "POST", "/api/v1/login", form, **{"proves": "password", "makes": 1, **more}, send=send)


def _chat(method: str, path: str, proves: Proves = "session", query: str = "") -> Recipe:
    async def send(guest: Guest) -> httpx2.Response:
        return await guest.call(method, path + query, headers=_rc(guest))

    return Recipe("rocketchat", method, path, "", proves, send)


async def _login_as_form(guest: Guest) -> httpx2.Response:
    return await guest.call("POST", "/api/v1/login", data={"user": guest.username, "password": guest.password})


CAPTCHA = {"X-Recaptcha-Token": "a-captcha"}


def _asks(dialect: str, path: str) -> Recipe:
    """Ask for a mail."""

    async def send(guest: Guest) -> httpx2.Response:
        return await guest.call("POST", path, json={"email": guest.email}, headers=CAPTCHA)

    return Recipe(dialect, "POST", path, "", "nothing", send)


def _mailed(dialect: str, path: str, purpose: Purpose, form: str = "", *, makes: int = 0, **body: str) -> Recipe:
    """Use what a mail brought; in the body, `{token}` stands for it."""

    async def send(guest: Guest) -> httpx2.Response:
        own = guest.house.core.doors[dialect]
        token = await guest.house.ticket(purpose, guest.person, door=own)
        filled = {name.replace("_", "-"): text.replace("{token}", token) for name, text in body.items()}
        return await guest.call("POST", path, json=filled, headers=CAPTCHA)

    return Recipe(dialect, "POST", path, form, "ticket", send, makes)


async def _send_email_code(guest: Guest) -> httpx2.Response:
    return await guest.call("POST", "/api/v1/users.2fa.sendEmailCode", json={"emailOrUsername": guest.username})


PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""A PNG of one pixel."""


async def _set_avatar(guest: Guest) -> httpx2.Response:
    files = {"image": ("ada.png", PICTURE, "image/png")}
    return await guest.call("POST", "/api/v1/users.setAvatar", headers=_rc(guest), files=files)


async def _avatar(guest: Guest) -> httpx2.Response:
    return await guest.call("GET", f"/avatar/{guest.username}")


def _policy_of_reset() -> Recipe:
    """Ask what a password has to be, with the link that resets it, which is not used up."""

    async def send(guest: Guest) -> httpx2.Response:
        token = await guest.house.ticket("reset", guest.person)
        return await guest.call("GET", "/api/v1/pw.getPolicyReset", params={"token": token})

    return Recipe("rocketchat", "GET", "/api/v1/pw.getPolicyReset", "", "ticket", send)


def _ldap(act: str, **body: str) -> Recipe:
    """Try the directory out, where there is none; `syncNow` wants a proof in the call, besides."""

    async def send(guest: Guest) -> httpx2.Response:
        return await guest.call("POST", f"/api/v1/ldap.{act}", headers=_rc(guest), json=body)

    return Recipe("rocketchat", "POST", f"/api/v1/ldap.{act}", "", "session", send, administrator=True, ends_in=400)


LDAP = (_ldap("testConnection"), _ldap("testSearch", username="ada"))
AVATARS = (
    Recipe("rocketchat", "GET", "/avatar/{username}", "", "nothing", _avatar),
    _chat("GET", "/api/v1/users.getAvatar"),
    Recipe("rocketchat", "POST", "/api/v1/users.setAvatar", "", "session", _set_avatar),
    _chat("POST", "/api/v1/users.resetAvatar"),
)


_TOKEN = "PersonalAccessToken"


def _personal_token(act: str) -> Recipe:
    """Make a personal access token; then, unless that is all, do something with it."""

    async def send(guest: Guest) -> httpx2.Response:
        made: httpx2.Response | None = None
        for each in ("generate", act):
            if made is None or act != "generate":
                body = {"tokenName": "ci"}
                made = await guest.call("POST", f"/api/v1/users.{each}{_TOKEN}", headers=_rc(guest), json=body)
        assert made is not None
        return made

    makes = {"generate": 1, "regenerate": 2}.get(act, 1)
    return Recipe("rocketchat", "POST", f"/api/v1/users.{act}{_TOKEN}", "", "session", send, makes, full_only=True)


async def _create_token(guest: Guest) -> httpx2.Response:
    body = {"username": guest.username, "secret": CREATE_TOKENS_SECRET}
    return await guest.call("POST", "/api/v1/users.createToken", headers=_rc(guest), json=body)


_CREATE_TOKEN = Recipe(
    "rocketchat", "POST", "/api/v1/users.createToken", "", "session", _create_token, 1, full_only=True,
    administrator=True,
)  # fmt: skip


def _setting(method: str, name: str = "", **more: Any) -> Recipe:
    template = "/api/v1/settings/{setting_id}" if name else "/api/v1/settings"

    async def send(guest: Guest) -> httpx2.Response:
        return await guest.call(method, template.format(setting_id=name), headers=_rc(guest), **more)

    return Recipe("rocketchat", method, template, name, "session", send, administrator=True)


async def _register(guest: Guest) -> httpx2.Response:
    body = {"username": f"new-{guest.username}", "email": f"rc-{guest.email}", "pass": NEW_PASSWORD, "name": "New"}
    return await guest.call("POST", "/api/v1/users.register", json=body)


def _chatted(method: str, path: str, make: Callable[[Guest], dict[str, Any]], **more: Any) -> Recipe:
    """A call of somebody signed in; `make` gives what is sent: `json`, `params`."""

    async def send(guest: Guest) -> httpx2.Response:
        return await guest.call(method, path, headers=_rc(guest), **make(guest))

    return Recipe("rocketchat", method, path, **{"form": "", "proves": "session", **more}, send=send)


def _new_user(guest: Guest) -> dict[str, Any]:
    name = f"new-{guest.username}-{len(guest.held)}-{guest.house.clock.now()}"
    return {"email": f"{name}@example.com", "name": "New User", "username": name[:60], "password": NEW_PASSWORD}


def _upon(name: str, make: Callable[[str], dict[str, Any]]) -> Recipe:
    """An administrator's act on somebody made for it; `make` gives the body for his id."""
    path = f"/api/v1/{name}"

    async def send(guest: Guest) -> httpx2.Response:
        target = await guest.house.add(username=f"upon-{name[6:]}-{guest.username}")
        return await guest.call("POST", path, headers=_rc(guest), json=make(target.aliases["rocketchat"]))

    return Recipe("rocketchat", "POST", path, "upon another", "session", send, administrator=True)


_PERMISSIONS = {"permissions": [{"_id": "logout-other-user", "roles": ["admin"]}]}
ROCKETCHAT_ACCOUNTS = (
    _chatted("GET", "/api/v1/permissions.listAll", lambda _: {}),
    _chatted("POST", "/api/v1/permissions.update", lambda _: {"json": _PERMISSIONS}, administrator=True),
    _chatted("POST", "/api/v1/users.create", lambda g: {"json": _new_user(g)}, administrator=True),
    _chatted("POST", "/api/v1/users.create", lambda g: {"json": {**_new_user(g), "roles": ["bot"], "active": False}},
             form="bot", administrator=True),
    _chatted("GET", "/api/v1/users.info", lambda g: {"params": {"username": g.username}}),
    _upon("users.update", lambda id: {"userId": id, "data": {"name": "New Name"}}),
    _upon("users.setActiveStatus", lambda id: {"userId": id, "activeStatus": False}),
    _upon("users.delete", lambda id: {"userId": id}),
    _upon("users.logout", lambda id: {"userId": id}),
    _chatted("POST", "/api/v1/users.logout", lambda _: {"json": {}}, form="oneself"),
    _chatted("POST", "/api/v1/users.logoutOtherClients", lambda _: {}),
    _chatted("POST", "/api/v1/users.removeOtherTokens", lambda _: {}),
    _chatted("POST", "/api/v1/users.updateOwnBasicInfo", lambda _: {"json": {"data": {"name": "New Name"}}}),
    _chatted("POST", "/api/v1/users.updateOwnBasicInfo", lambda g: {"json": {"data": {
        "currentPassword": _digest(g)["digest"], "newPassword": NEW_PASSWORD}}}, form="password", proves="confirm"),
    _chatted("POST", "/api/v1/users.deleteOwnAccount", lambda g: {"json": {"password": _digest(g)["digest"]}},
             proves="confirm"),
    _chatted("GET", "/api/v1/users.checkUsernameAvailability", lambda g: {"params": {"username": g.username}}),
    _chatted("GET", "/api/v1/users.getAvatarSuggestion", lambda _: {}),
    _chatted("GET", "/api/v1/users.getPresence", lambda _: {}),
    _chatted("GET", "/api/v1/users.presence", lambda g: {"params": {"ids": g.held.get("rc_user", "")}}),
)  # fmt: skip


def _proved(path: str, **more: Any) -> Recipe:
    """Call what wants a proof in each call; the guest has no second factor, so the password is one."""
    administrator = bool(more.get("administrator"))

    async def send(guest: Guest) -> httpx2.Response:
        proof = {"x-2fa-code": hashlib.sha256(guest.password.encode()).hexdigest(), "x-2fa-method": "password"}
        body = {}
        if administrator:
            other = await guest.house.add(email=f"of-{guest.email}", username=f"of-{guest.username}")
            await guest.house.enrol_totp(other)
            body = {"username": other.username}
        return await guest.call("POST", path, headers={**_rc(guest), **proof}, json=body)

    return Recipe("rocketchat", "POST", path, "", "proof", send, **more)


def _method(name: str, proves: Proves, *params: Any, makes: int = 0, to: str = "method.call") -> Recipe:
    """Call a method over REST; among the parameters, `{token}` stands for what a mail brought."""

    async def send(guest: Guest) -> httpx2.Response:
        token = await guest.house.ticket("reset", guest.person) if "{token}" in params else ""
        filled = [token if each == "{token}" else each for each in params]
        message = json.dumps({"msg": "method", "id": "1", "method": name, "params": filled})
        return await guest.call("POST", f"/api/v1/{to}/{name}", headers=_rc(guest), json={"message": message})

    return Recipe("rocketchat", "POST", f"/api/v1/{to}/{{method}}", name, proves, send, makes)


def _challenge(path: str, proves: Proves, **more: Any) -> Recipe:
    async def send(guest: Guest) -> httpx2.Response:
        body = {"challengeId": guest.held.get("rc_challenge", "x"), "code": guest.code()}
        return await guest.call("POST", f"/api/v1/twoFactorChallenges.{path}", json=body)

    return Recipe("rocketchat", "POST", f"/api/v1/twoFactorChallenges.{path}", "", proves, send, **more)


async def _redeem(guest: Guest) -> httpx2.Response:
    return await guest.call("POST", "/api/v1/loginCode.redeem", json={"code": "c" * 64})


ROCKETCHAT = (
    _login("user", lambda g: {"user": g.username, "password": g.password}),
    _login("user as address", lambda g: {"user": g.email, "password": g.password}),
    _login("username", lambda g: {"username": g.username, "password": g.password}),
    _login("email", lambda g: {"email": g.email, "password": g.password}),
    _login("user object", lambda g: {"user": {"username": g.username}, "password": g.password}),
    _login("digest", lambda g: {"user": {"email": g.email}, "password": _digest(g)}),
    _login("directory", lambda g: {"ldap": True, "username": g.username, "ldapPass": g.password, "ldapOptions": {}}),
    _login("resume", lambda g: {"resume": g.held.get("rc", "")}, proves="session", makes=0),
    Recipe("rocketchat", "POST", "/api/v1/login", "form-encoded", "password", _login_as_form, 1),
    Recipe("rocketchat", "POST", "/api/v1/users.2fa.sendEmailCode", "", "nothing", _send_email_code),
    _chat("POST", "/api/v1/logout"),
    _chat("GET", "/api/v1/logout"),
    _chat("GET", "/api/v1/me"),
    _chat("GET", "/api/info", "nothing"),
    _chat("GET", "/api/v1/info", "nothing"),
    _chat("GET", "/api/v1/settings.public", "nothing", "?_id=Site_Name"),
    _chat("GET", "/api/v1/settings.oauth", "nothing"),
    _asks("rocketchat", "/api/v1/users.forgotPassword"),
    _asks("rocketchat", "/api/v1/users.sendConfirmationEmail"),
    _mailed("rocketchat", "/api/v1/users.verifyEmail", "verify", token="{token}"),
    Recipe("rocketchat", "POST", "/api/v1/users.register", "", "nothing", _register),
    _setting("GET"),
    _setting("GET", "Site_Url"),
    _setting("POST", "Accounts_TwoFactorAuthentication_Max_Invalid_Email_Code_Attempts", json={"value": 5}),
    _setting("POST", "LDAP_Enable", json={"value": False}),
    *AVATARS,
    *LDAP,
    _proved("/api/v1/ldap.syncNow", ends_in=400, administrator=True),
    _chat("GET", "/api/v1/service.configurations", "nothing"),
    _chat("GET", "/api/v1/pw.getPolicy", "nothing"),
    _policy_of_reset(),
    _chat("POST", "/api/v1/users.2fa.enableEmail"),
    _proved("/api/v1/users.2fa.disableEmail"),
    _proved("/api/v1/users.resetTOTP", administrator=True),
    _proved("/api/v1/users.resetE2EKey", ends_in=400),
    _method("2fa:enable", "session"),
    _method("removeOtherTokens", "session"),
    _method("logout", "session"),
    _method("sendForgotPasswordEmail", "nothing", "ada@example.com", to="method.callAnon"),
    _method("resetPassword", "ticket", "{token}", NEW_PASSWORD, makes=1, to="method.callAnon"),
    _challenge("verifyChallenge", "code", makes=1),
    _challenge("sendEmailCode", "nothing", ends_in=400),
    Recipe("rocketchat", "POST", "/api/v1/loginCode.redeem", "", "nothing", _redeem, ends_in=400),
    _CREATE_TOKEN,
    _personal_token("generate"),
    _personal_token("regenerate"),
    _personal_token("remove"),
    _chat("GET", f"/api/v1/users.get{_TOKEN}s"),
)


async def _p8_sign_in(guest: Guest) -> httpx2.Response:
    body = {"email": guest.email, "password": guest.password}
    return await guest.call("POST", "/api/auth/user/sign-in", json=body)


async def _p8_verify(guest: Guest) -> httpx2.Response:
    body = {"challengeId": guest.held.get("p8_challenge", "x"), "code": guest.code()}
    return await guest.call("POST", "/api/auth/user/verify-challenge", json=body)


async def _p8_check(guest: Guest) -> httpx2.Response:
    return await guest.call("POST", "/api/auth/user/verify-token", json={"token": guest.held.get("p8", "a.b.c.d.e")})


async def _p8_profile(guest: Guest) -> httpx2.Response:
    return await guest.call("GET", "/api/profile", headers=bearer(guest.held.get("p8", "x")))


POCKETM8 = (
    Recipe("pocketm8", "POST", "/api/auth/user/sign-in", "", "password", _p8_sign_in, 2),
    Recipe("pocketm8", "POST", "/api/auth/user/verify-challenge", "", "code", _p8_verify, 2),
    Recipe("pocketm8", "GET", "/api/profile", "", "session", _p8_profile),
    _asks("pocketm8", "/api/auth/user/reset-password"),
    _mailed("pocketm8", "/api/auth/user/verify-token", "reset", "check", token="{token}"),
    _mailed("pocketm8", "/api/auth/user/verify-token", "reset", "set", secret="{token}", password=NEW_PASSWORD),
    Recipe("pocketm8", "POST", "/api/auth/user/verify-token", "access token", "session", _p8_check),
)

_PROBE = "/frontend/api/v1/auth"


def _probe_sign_in(form: str, **how: Any) -> Recipe:
    async def send(guest: Guest) -> httpx2.Response:
        body = {"email": guest.email, "password": guest.password, **how.get("more", {})}
        return await guest.call("POST", f"{_PROBE}/sign-in", **{how.get("as_", "json"): body})

    return Recipe("probe", "POST", f"{_PROBE}/sign-in", form, "password", send, 1)


def _probe_password(form: str, query: str = "") -> Recipe:
    async def send(guest: Guest) -> httpx2.Response:
        body = {"old-password": guest.password, "new-password": NEW_PASSWORD}
        named = bearer(guest.held.get("probe", "x"))
        return await guest.call("PUT", f"{_PROBE}/current/password{query}", headers=named, **{form: body})

    return Recipe("probe", "PUT", f"{_PROBE}/current/password", f"{form}{query}", "confirm", send, full_only=True)


def _probe(method: str, path: str, *, full_only: bool = False, query: str = "") -> Recipe:
    async def send(guest: Guest) -> httpx2.Response:
        sent = path.replace("{session_id}", guest.held.get("probe_session", str(uuid.UUID(int=1))))
        return await guest.call(method, sent + query, headers=bearer(guest.held.get("probe", "x")))

    return Recipe("probe", method, path, query, "session", send, full_only=full_only)


def _probe_provider(form: str, provider: str) -> Recipe:
    """Sign in with a provider's token, which comes in a JSON body, a form, or cookies."""
    path = f"{_PROBE}/oauth-sign-in"

    async def send(guest: Guest) -> httpx2.Response:
        await kit_provided.link(guest.house, guest.person, provider)
        token = kit_provided.token(guest.house, guest.person)
        sent: dict[str, dict[str, Any]] = {
            "JSON": {"json": {"oauth-provider-token": {"provider": provider, "token": token}}},
            "form": {"data": {"oauth-token[provider]": provider, "oauth-token[token]": token}},
            "cookies": {"headers": {"Cookie": f"oauth-provider-name={provider}; oauth-provider-token={token}"}},
        }
        return await guest.call("POST", path, **sent[form])

    return Recipe("probe", "POST", path, form, "provider", send, 1)


async def _probe_sign_up(guest: Guest) -> httpx2.Response:
    body = {"email": f"pr-{guest.email}", "password": NEW_PASSWORD, "first-name": "New"}
    return await guest.call("POST", f"{_PROBE}/sign-up", json=body, headers=CAPTCHA)


async def _probe_update(guest: Guest) -> httpx2.Response:
    token = await guest.house.ticket("update", guest.person, door=guest.house.core.doors["probe"])
    body = {"password-update-token": token, "new-password": NEW_PASSWORD}
    return await guest.call("PUT", f"{_PROBE}/current/password", json=body)


def _probe_token(method: str, query: str = "", **how: Any) -> Recipe:
    """Call with the guest's own API token in the path; a key names itself."""

    async def send(guest: Guest) -> httpx2.Response:
        held = guest.held
        sent = {} if "body" not in how else {"json": how["body"]}
        where = f"{_PROBE}/api-token/{held.get('probe_api', '0' * 64)}{query}"
        return await guest.call(method, where, headers=bearer(held.get("probe", "x")), **sent)

    path, full_only = f"{_PROBE}/api-token/{{token}}", method != "GET"
    return Recipe("probe", method, path, query, "session", send, full_only=full_only)


def _probe_post(path: str, form: str = "", **body: Any) -> Recipe:
    async def send(guest: Guest) -> httpx2.Response:
        return await guest.call("POST", path, headers=bearer(guest.held.get("probe", "x")), json=body)

    return Recipe("probe", "POST", path, form, "session", send, makes=1, full_only=True)


_USER = "/frontend/api/v1/user"


async def _probe_child(guest: Guest) -> str:
    """Add a sub user of the guest, where he belongs by now; return its number."""
    parent = await guest.house.core.accounts.by_id(guest.person.account.id)
    name = f"sub{guest.house.core.random.bytes(4).hex()}-{guest.username}"
    child = await guest.house.add(username=name, parent=parent.id, organization=parent.organization, verified=True)
    return child.aliases["probe"]


def _probe_user(method: str, path: str, *, own: bool = False, full_only: bool = False, **body: Any) -> Recipe:
    """A call about an account: the guest's own, or that of a sub user made for it."""

    async def send(guest: Guest) -> httpx2.Response:
        sent = path.replace("{user_id}", guest.person.aliases["probe"] if own else "{user_id}")
        if "{user_id}" in sent:
            sent = sent.replace("{user_id}", await _probe_child(guest))
        filled = {name.replace("_", "-"): text.replace("{email}", guest.email) for name, text in body.items()}
        more = {"json": filled} if filled else {}
        return await guest.call(method, sent, headers=bearer(guest.held.get("probe", "x")), **more)

    return Recipe("probe", method, path, "own" if own else "", "session", send, full_only=full_only)


async def _probe_own_password(guest: Guest) -> httpx2.Response:
    body = {"old-password": guest.password, "new-password": NEW_PASSWORD}
    path = f"{_PROBE}/{guest.person.aliases['probe']}/password"
    return await guest.call("PUT", path, headers=bearer(guest.held.get("probe", "x")), data=body)


async def _probe_sub_sessions(guest: Guest) -> httpx2.Response:
    path = f"{_PROBE}/session?user-id={await _probe_child(guest)}&user-id={guest.person.aliases['probe']}"
    return await guest.call("GET", path, headers=bearer(guest.held.get("probe", "x")))


PROBE_USERS = (
    _probe_user("GET", f"{_USER}/current"),
    _probe_user("PUT", f"{_USER}/current", first_name="New"),
    _probe_user("DELETE", f"{_USER}/current", full_only=True),
    _probe_user("POST", f"{_USER}/current", full_only=True, email="sub-of-{email}"),
    _probe_user("GET", _USER),
    _probe_user("GET", f"{_USER}/{{user_id}}"),
    _probe_user("GET", f"{_USER}/{{user_id}}", own=True),
    _probe_user("PUT", f"{_USER}/{{user_id}}", last_name="New"),
    _probe_user("POST", f"{_USER}/{{user_id}}", full_only=True, email="sub-of-sub-of-{email}"),
    Recipe(
        "probe", "PUT", f"{_PROBE}/{{user_id}}/password", "own", "confirm", _probe_own_password, full_only=True
    ),
    Recipe("probe", "GET", f"{_PROBE}/session", "of sub users", "session", _probe_sub_sessions),
)  # fmt: skip

PROBE = (
    *PROBE_USERS,
    _probe_sign_in("JSON"),
    _probe_sign_in("form", as_="data"),
    _probe_sign_in("short", more={"long-term-token": False}),
    _probe_sign_in("logout-other", more={"logout-other": True}),
    _probe("GET", f"{_PROBE}/session"),
    _probe("DELETE", f"{_PROBE}/session", full_only=True),
    _probe("GET", f"{_PROBE}/session/{{session_id}}"),
    _probe("DELETE", f"{_PROBE}/session/{{session_id}}", full_only=True),
    _probe("GET", f"{_PROBE}/api-token", full_only=True),
    _probe("GET", f"{_PROBE}/api-token", full_only=True, query="?include-expired=true"),
    _probe_post(f"{_PROBE}/api-token", "plain"),
    _probe_post(f"{_PROBE}/api-token", "held", permissions=["read:media"], ttl=3600),
    _probe_token("GET"),
    _probe_token("PUT", body={"ttl": 3600}),
    _probe_token("DELETE"),
    _probe_post(f"{_PROBE}/jwt", "plain"),
    _probe_post(f"{_PROBE}/jwt", "held", permissions=["read:media"], claims={"player": "lobby"}),
    _probe("DELETE", f"{_PROBE}/sign-out"),
    _probe("DELETE", f"{_PROBE}/sign-out", query="?logout-all=true"),
    _probe_password("data"),
    _probe_password("json", "?logout-all=true"),
    _mailed("probe", f"{_PROBE}/verify", "verify", verify_token="{token}"),
    _probe_provider("JSON", "google"),
    _probe_provider("form", "microsoft"),
    _probe_provider("cookies", "google"),
    Recipe("probe", "POST", f"{_PROBE}/sign-up", "", "nothing", _probe_sign_up),
    _asks("probe", f"{_PROBE}/password-restore"),
    _mailed("probe", f"{_PROBE}/password-restore-verify", "reset", password_restore_token="{token}"),
    Recipe("probe", "PUT", f"{_PROBE}/current/password", "update token", "ticket", _probe_update),
)


async def _fb_login(guest: Guest) -> httpx2.Response:
    body = {"email": guest.email, "password": guest.password, "deviceInfo": {"platform": "test"}}
    return await guest.call("POST", "/user/login", json=body)


async def _fb_verify(guest: Guest) -> httpx2.Response:
    body = {"mfaType": "GOOGLE_AUTH", "code": guest.code()}
    return await guest.call("POST", "/mfa/verify-login", json=body, headers=bearer(guest.held.get("fb_limited", "x")))


def _fb_refresh(spelling: str) -> Recipe:
    async def send(guest: Guest) -> httpx2.Response:
        return await guest.call("POST", "/user/refresh", json={spelling: guest.held.get("fb_refresh", "x")})

    return Recipe("flashback", "POST", "/user/refresh", spelling, "refresh", send)


async def _fb_logout(guest: Guest) -> httpx2.Response:
    return await guest.call("POST", "/user/logout", headers=bearer(guest.held.get("fb", "x")))


async def _fb_logout_by_refresh(guest: Guest) -> httpx2.Response:
    return await guest.call("POST", "/user/logout", json={"refreshToken": guest.held.get("fb_refresh", "x")})


async def _fb_profile(guest: Guest) -> httpx2.Response:
    return await guest.call("GET", "/user/profile", headers=bearer(guest.held.get("fb", "x")))


def _fb(method: str, path: str, form: str = "", *, sent: str = "") -> Recipe:
    """Call with Flashback's bearer; `{own}` in `sent` is the guest's own session, `{device}` the guest's device."""

    async def send(guest: Guest) -> httpx2.Response:
        token = guest.held.get("fb", "")
        where = (sent or path).replace("{own}", _fb_session(token))
        if "{device}" in where:
            where = where.replace("{device}", (await _fb_device(guest))["id"])
        return await guest.call(method, where, headers=bearer(token))

    return Recipe("flashback", method, path, form, "session", send)


def _fb_session(token: str) -> str:
    """Return the id of the session that an access token names."""
    if not token:
        return str(uuid.UUID(int=1))
    shown = token.split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(shown + "=" * (-len(shown) % 4)))["jti"])


async def _fb_device(guest: Guest) -> dict[str, str]:
    """Return id and fingerprint of the device the guest signed in with; those of none where it may not be seen."""
    for device in await guest.house.core.devices.list_own(guest.person.account.id):
        return {"id": str(uuid.UUID(bytes=device.id)), "fingerprint": device.fingerprint.hex()}
    return {"id": str(uuid.UUID(int=1)), "fingerprint": "00"}


async def _fb_trust(guest: Guest) -> httpx2.Response:
    token = guest.held.get("fb", "")
    body = {"fingerprint": (await _fb_device(guest))["fingerprint"]}
    return await guest.call("POST", "/devices/trust", json=body, headers=bearer(token))


async def _fb_resend(guest: Guest) -> httpx2.Response:
    house, person = guest.house, guest.person
    await house.ticket("verify", person)
    id = await tickets.newest_live(house.db, person.account.id, "verify", house.clock.now())
    house.clock.move(61)
    return await guest.call("POST", f"/user/resend-verification/{uuid.UUID(bytes=id)}")


ABOUT = {
    "password": NEW_PASSWORD, "firstName": "New", "lastName": "Example", "companyName": "Example", "isBusiness": False,
}  # fmt: skip


async def _fb_quota(guest: Guest) -> httpx2.Response:
    return await guest.call("GET", "/user/quota", headers=bearer(guest.held.get("fb", "x")))


async def _fb_register(guest: Guest) -> httpx2.Response:
    return await guest.call("POST", "/user/register", json={"email": f"new-{guest.email}", **ABOUT})


async def _link_to_register(guest: Guest) -> tuple[str, str, str]:
    """Make a link in the name of whoever set the house up; return address, id and token."""
    house, address = guest.house, f"linked-{guest.email}"
    root = await house.core.accounts.named("root")
    tickets_of = house.core.recovery._t.tickets
    draft = tickets_of.draft("activate", root.id, about=address)

    async def fn(tx: Tx) -> None:
        await tickets_of.put(tx, draft)

    await house.db.transaction(fn)
    return address, str(uuid.UUID(bytes=draft.ticket.id)), draft.token


async def _fb_activate(guest: Guest) -> httpx2.Response:
    address, id, token = await _link_to_register(guest)
    body = {"uid": id, "token": token, "registrationInfo": {"email": address, **ABOUT}}
    return await guest.call("POST", "/user/activate", json=body)


async def _fb_link(guest: Guest) -> httpx2.Response:
    _, id, token = await _link_to_register(guest)
    return await guest.call("GET", f"/links/{id}?token={token}")


async def _fb_make_link(guest: Guest) -> httpx2.Response:
    named = bearer(guest.held.get("fb", "x"))
    return await guest.call("POST", "/links", headers=named, json={"email": f"linked-{guest.email}"})


def _fb_on(method: str, path: str, *, administrator: bool = False, body: Any = None, fate: str = "") -> Recipe:
    """Act on somebody: on oneself, or as an administrator on a colleague to whom `fate` was dealt before."""

    async def send(guest: Guest) -> httpx2.Response:
        target = await _colleague(guest, fate) if administrator else guest.person
        sent = path.replace("{user_id}", str(uuid.UUID(bytes=target.account.id)))
        more = {} if body is None else {"json": body(guest)}
        return await guest.call(method, sent, headers=bearer(guest.held.get("fb", "x")), **more)

    return Recipe(
        "flashback", method, path, fate, "session", send, administrator=administrator, verified=method != "GET"
    )  # fmt: skip


async def _colleague(guest: Guest, fate: str) -> Person:
    core, new = guest.house.core, NewAccount(email=f"colleague-of-{guest.email}", verified=fate != "invited")
    if fate == "invited":
        new = msgspec.structs.replace(new, status="invited")
    person = await core.accounts.add(new, None)
    if fate == "deleted":
        await core.life.delete(person.account)
    return person


_MEMBER = "/organization/users/{user_id}"

ORGANIZATION = (
    _fb_on("GET", "/user/{user_id}"),
    _fb_on("PUT", "/user/{user_id}", body=lambda g: {"name": "Another", "password": NEW_PASSWORD}),
    _fb_on("PUT", "/user/{user_id}/role", body=lambda g: {"orgRole": 0}),
    _fb_on("POST", "/user/deactivate"),
    _fb_on("GET", "/organization/users", administrator=True),
    _fb_on(
        "POST", "/organization/users", administrator=True,
        body=lambda g: {"email": f"new-{g.email}", "firstName": "New", "lastName": "Example", "orgRole": 1},
    ),
    _fb_on("GET", _MEMBER, administrator=True),
    _fb_on("PUT", _MEMBER, administrator=True, body=lambda g: {"lastName": "Another", "orgRole": 2}),
    _fb_on("DELETE", _MEMBER, administrator=True),
    _fb_on("POST", f"{_MEMBER}/activate", administrator=True, fate="deleted"),
    _fb_on("POST", f"{_MEMBER}/resend-invitation", administrator=True, fate="invited"),
    *(
        _fb_on(method, path, administrator=administrator, body=body)
        for path, administrator in (("/settings/user", False), ("/settings/organization", True))
        for method, body in (
            ("GET", None),
            ("POST", lambda g: {"settings": {"theme": "dark", "of": g.username}}),
            ("PUT", lambda g: {"theme": "light", "of": {"whom": g.username}}),
            ("DELETE", lambda g: {"keys": ["theme", "of.whom"]}),
        )
    ),
)  # fmt: skip


def _fb_provider(provider: str, path: str, field: str) -> Recipe:
    async def send(guest: Guest) -> httpx2.Response:
        await kit_provided.link(guest.house, guest.person, provider)
        given = {"token": kit_provided.token, "code": kit_provided.code}[field](guest.house, guest.person)
        return await guest.call("POST", path, json={field: given}, headers=bearer("the.providers.own"))

    return Recipe("flashback", "POST", path, "", "provider", send, 1)


def _fb_provider_refresh(path: str) -> Recipe:
    async def send(guest: Guest) -> httpx2.Response:
        return await guest.call("POST", path, json={"refresh_token": guest.held.get("fb_refresh", "x")})

    return Recipe("flashback", "POST", path, "", "refresh", send)


async def _fb_wallet(guest: Guest) -> httpx2.Response:
    return await guest.call("POST", "/auth/web3", json={"address": "G", "network": "stellar"})


PROVIDERS = (
    _fb_provider("google", "/auth/google", "token"),
    _fb_provider("google", "/auth/google/exchange", "code"),
    _fb_provider_refresh("/auth/google/refresh"),
    _fb_provider("github", "/auth/github", "code"),
    _fb_provider_refresh("/auth/github/refresh"),
    _fb_provider("microsoft", "/auth/microsoft", "token"),
    _fb_provider("microsoft", "/auth/microsoft/exchange", "code"),
    _fb_provider_refresh("/auth/microsoft/refresh"),
    Recipe("flashback", "POST", "/auth/web3", "", "nothing", _fb_wallet, ends_in=400),
)


def _mfa(method: str, path: str, form: str = "", *, verified: bool = False, ends_in: int = 0, **body: Any) -> Recipe:
    """A call about second factors of somebody signed in, who has none."""
    path = f"/mfa/{path}"

    async def send(guest: Guest) -> httpx2.Response:
        sent = {"json": body} if method == "POST" else {}
        return await guest.call(method, path, headers=bearer(guest.held.get("fb", "x")), **sent)

    return Recipe("flashback", method, path, form, "session", send, verified=verified, ends_in=ends_in)


async def _fb_set_up(guest: Guest) -> httpx2.Response:
    """Set an app up, and verify a code of it."""
    token = bearer(guest.held.get("fb", "x"))
    begun = await guest.call("POST", "/mfa/setup", headers=token, json={"mfaType": "GOOGLE_AUTH"})
    secret = begun.json().get("data", {}).get("secret", "A" * 32)
    body = {"mfaType": "GOOGLE_AUTH", "code": Totp(guest.house, secret, ()).code()}
    return await guest.call("POST", "/mfa/verify-setup", headers=token, json=body)


async def _fb_make_passkey(guest: Guest) -> httpx2.Response:
    token = bearer(guest.held.get("fb", "x"))
    begun = await guest.call("POST", "/mfa/setup", headers=token, json={"mfaType": "PASSKEY"})
    options = begun.json().get("data", {}).get("options", {"rp": {"id": "x"}, "challenge": "x"})
    body = {"credential": Authenticator().create(options)}
    return await guest.call("POST", "/mfa/passkey/complete-registration", headers=token, json=body)


async def _fb_use_link(guest: Guest) -> httpx2.Response:
    return await guest.call("POST", "/mfa/magic-link/activate", json={"token": await guest.house.magic(guest.person)})


async def _fb_reset_factors(guest: Guest) -> httpx2.Response:
    """Let an owner reset the factors of a member."""
    member = await guest.house.add(username=f"member-of-{guest.username}-{guest.house.clock.now()}")
    await guest.house.enrol_totp(member)
    body = {"resetUserId": str(uuid.UUID(bytes=member.account.id))}
    return await guest.call("POST", "/mfa/reset", headers=bearer(guest.held.get("fb", "x")), json=body)


_ENFORCE = _mfa("POST", "organization/enforce", verified=True, enforced=False)
MFA = (
    _mfa("GET", "status"),
    _mfa("GET", "methods"),
    _mfa("POST", "setup", "app", verified=True, mfaType="GOOGLE_AUTH"),
    _mfa("POST", "setup", "passkey", verified=True, mfaType="PASSKEY"),
    Recipe("flashback", "POST", "/mfa/verify-setup", "", "session", _fb_set_up, verified=True),
    Recipe("flashback", "POST", "/mfa/passkey/complete-registration", "", "session", _fb_make_passkey, verified=True),
    _mfa("POST", "passkey/auth-options", ends_in=401),
    _mfa("POST", "magic-link/send", ends_in=401),
    Recipe("flashback", "POST", "/mfa/magic-link/activate", "", "nothing", _fb_use_link),
    _mfa("POST", "enable", verified=True, mfaType="MAGIC_LINK"),
    _mfa("POST", "disable", verified=True, ends_in=400, mfaType="GOOGLE_AUTH"),
    _mfa("POST", "primary", verified=True, ends_in=400, mfaType="GOOGLE_AUTH"),
    Recipe("flashback", "POST", "/mfa/reset", "", "session", _fb_reset_factors, verified=True, administrator=True),
    replace(_ENFORCE, administrator=True),
)

FLASHBACK = (
    *ORGANIZATION,
    *PROVIDERS,
    *MFA,
    Recipe("flashback", "POST", "/user/login", "", "password", _fb_login, 1),
    Recipe("flashback", "POST", "/mfa/verify-login", "", "code", _fb_verify, 1),
    _fb_refresh("refreshToken"),
    _fb_refresh("refresh_token"),
    Recipe("flashback", "POST", "/user/logout", "by token", "nothing", _fb_logout),
    Recipe("flashback", "POST", "/user/logout", "by refresh token", "nothing", _fb_logout_by_refresh),
    Recipe("flashback", "GET", "/user/profile", "", "session", _fb_profile),
    _fb("GET", "/token"),
    _fb("DELETE", "/token/{token_id}", sent="/token/{own}"),
    _fb("GET", "/sessions"),
    _fb("POST", "/sessions/{session_id}/revoke", sent="/sessions/{own}/revoke"),
    _fb("POST", "/sessions/revoke-all"),
    _fb("POST", "/sessions/{session_id}/heartbeat", sent="/sessions/{own}/heartbeat"),
    _fb("GET", "/devices"),
    _fb("GET", "/devices/{device_id}", sent="/devices/{device}"),
    Recipe("flashback", "POST", "/devices/trust", "", "session", _fb_trust, verified=True),
    _fb("POST", "/devices/{device_id}/untrust", sent="/devices/{device}/untrust"),
    _fb("DELETE", "/devices/{device_id}", sent="/devices/{device}"),
    _mailed("flashback", "/user/pre-verify-email", "verify", token="{token}"),
    _mailed("flashback", "/user/verify-email", "verify", token="{token}", makes=1),
    Recipe("flashback", "POST", "/user/resend-verification/{verification_token_id}", "", "ticket", _fb_resend),
    _asks("flashback", "/user/request-reset-password"),
    _mailed("flashback", "/user/reset-password", "reset", token="{token}", newPassword=NEW_PASSWORD),
    Recipe("flashback", "GET", "/user/quota", "", "session", _fb_quota),
    Recipe("flashback", "POST", "/user/register", "", "nothing", _fb_register, 1),
    Recipe("flashback", "POST", "/user/activate", "", "nothing", _fb_activate, 1),
    Recipe("flashback", "GET", "/links/{link_id}", "", "nothing", _fb_link),
    Recipe("flashback", "POST", "/links", "", "session", _fb_make_link, administrator=True, verified=True),
)


def _page(path: str, sent: str) -> Recipe:
    async def send(guest: Guest) -> httpx2.Response:
        return await guest.call("GET", sent)

    return Recipe("web", "GET", path, "", "nothing", send)


async def _static(guest: Guest) -> httpx2.Response:
    """Follow the front page's link, whose name changes with the file's content."""
    linked = re.search(r'"(/static/[^"]+)"', (await guest.call("GET", "/")).text)
    return await guest.call("GET", linked[1] if linked else "/static/none")


_BOTH = {"password": NEW_PASSWORD, "again": NEW_PASSWORD}


async def _ask_for_reset(guest: Guest) -> httpx2.Response:
    return await guest.call("POST", "/reset-password", data={"email": guest.email})


def _link(method: str, path: str, purpose: Purpose, **form: Any) -> Recipe:
    """A page behind a link that was mailed to the guest."""

    async def send(guest: Guest) -> httpx2.Response:
        change = Changed("email", guest.email, f"another-{guest.email}")
        about = msgspec.json.encode(change).decode() if purpose == "undo" else guest.email
        token = await guest.house.ticket(purpose, guest.person, about)
        return await guest.call(method, path.replace("{token}", token), **form)

    return Recipe("web", method, path, "", "ticket", send)


def _invitation(method: str, **form: Any) -> Recipe:
    """The page behind an invitation, for somebody of its own: the guest has been here for long."""

    async def send(guest: Guest) -> httpx2.Response:
        address = f"{method.lower()}-{guest.email}"
        invited = await guest.house.core.accounts.add(NewAccount(email=address, status="invited"), None)
        token = await guest.house.ticket("invite", invited)
        return await guest.call(method, f"/invite/{token}", **form)

    return Recipe("web", method, "/invite/{token}", "", "nothing", send)


async def _magic_page(guest: Guest) -> httpx2.Response:
    return await guest.call("GET", f"/magic/{await guest.house.magic(guest.person)}")


LINKS = (
    _page("/reset-password", "/reset-password"),
    Recipe("web", "POST", "/reset-password", "", "nothing", _ask_for_reset),
    _link("GET", "/reset-password/{token}", "reset"),
    _link("POST", "/reset-password/{token}", "reset", data=_BOTH),
    _link("GET", "/verify/{token}", "verify"),
    _link("POST", "/verify/{token}", "verify"),
    _link("GET", "/undo/{token}", "undo"),
    _link("POST", "/undo/{token}", "undo"),
    _link("GET", "/open/{token}", "open"),
    _link("POST", "/open/{token}", "open"),
    _invitation("GET"),
    _invitation("POST", data=_BOTH),
    Recipe("web", "GET", "/magic/{token}", "", "nothing", _magic_page),
)

WEB = (
    _page("/", "/"),
    _page("/docs", "/docs"),
    _page("/docs/{dialect}", "/docs/probe"),
    _page("/docs/{dialect}/openapi.json", "/docs/probe/openapi.json"),
    Recipe("web", "GET", "/static/{file}", "", "nothing", _static),
    *LINKS,
)

RECIPES: tuple[Recipe, ...] = (*ROCKETCHAT, *ROCKETCHAT_ACCOUNTS, *POCKETM8, *PROBE, *FLASHBACK, *WEB)


def declared(house: House) -> list[tuple[str, Operation]]:
    """Return every operation of every dialect and of the pages, with its dialect's name."""
    placed = mounts(house.settings)
    dialects = [*(mount.dialect for mount in placed), pages(placed)]
    return [(dialect.name, operation) for dialect in dialects for operation in dialect.operations]

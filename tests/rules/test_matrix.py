"""The gate's matrix: every operation, in every form, against every reason to say no (threats 1 and 5, decision 5)."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import httpx2
import msgspec
import pytest

from dragoman.app import mounts
from dragoman.core import chain, refusals
from dragoman.core.doors import Door
from dragoman.model import Password, Status
from dragoman.settings import load
from dragoman.storage.engine import Statement, Tx
from kit.engines import ENGINES
from kit.house import PASSWORD, House, open_house_of
from kit.postgres import Cluster
from kit.provided import provided
from kit.recipes import RECIPES, Guest, Proves, Recipe, declared

ACCOUNT_LIMIT, NETWORK_LIMIT = 2, 3
OPEN = {
    "dialects__flashback__plan__name": "Trial",
    "accounts__registration": "public",
    "dialects__flashback__link_activate": "https://app.example.com/a/{id}?t={token}",
}
"""What has to be configured for every operation to be offered."""
WEEK = 7 * 24 * 60 * 60


@pytest.fixture(params=ENGINES)
async def house(request: pytest.FixtureRequest, tmp_path: Path, postgres_cluster: Cluster) -> AsyncIterator[House]:
    """A house on either engine that locks soon."""
    limits = {"limits__account_5_minutes": ACCOUNT_LIMIT, "limits__network_5_minutes": NETWORK_LIMIT}
    async with open_house_of(request.param, tmp_path, postgres_cluster, **limits, **OPEN, **provided()) as opened:
        yield opened


# ---------------------------------------------------------------- reasons to say no

_MOVE = Statement("update account set organization = :organization where id = :id")


async def lock_account(guest: Guest) -> None:
    for _ in range(ACCOUNT_LIMIT):
        body = {"email": guest.email, "password": "wrong"}
        assert (await guest.call("POST", "/user/login", json=body)).status_code == 401


async def block_network(guest: Guest) -> None:
    for n in range(NETWORK_LIMIT):
        body = {"email": f"nobody{n}-of-{guest.email}", "password": "wrong"}
        assert (await guest.call("POST", "/user/login", json=body)).status_code == 401


def become(status: Status) -> Callable[[Guest], Awaitable[None]]:
    async def impose(guest: Guest) -> None:
        await guest.house.core.life.set_status(guest.person.account, status)

    return impose


async def move_elsewhere(guest: Guest) -> None:
    organization = await guest.house.core.accounts.organization("Elsewhere")

    async def fn(tx: Tx) -> None:
        await tx.run(_MOVE, organization=organization, id=guest.person.account.id)

    await guest.house.db.transaction(fn)


async def enrol_factor(guest: Guest) -> None:
    if guest.totp is not None:
        await guest.house.core.factors.disable_totp(guest.person.account)
    await guest.house.enrol_totp(guest.person)


async def end_everything(guest: Guest) -> None:
    await guest.house.core.sessions.end_everything(guest.person.account, "test")


async def forget_password(guest: Guest) -> None:
    guest.password = "not the password"


async def let_initial_password_die(guest: Guest) -> None:
    """The operator's initial password was never replaced (threat 16)."""
    given = Password.from_plain(PASSWORD)
    await guest.house.core.accounts.set_password(guest.person.account, given, initial=True, allow_weak=True)
    guest.house.clock.move(WEEK + 1)


async def nothing(guest: Guest) -> None:
    """Nobody was ever verified."""


IMPOSE: dict[str, Callable[[Guest], Awaitable[None]]] = {
    "locked account": lock_account,
    "blocked network": block_network,
    "suspended": become("suspended"),
    "deactivated": become("deactivated"),
    "deleted": become("deleted"),
    "invited": become("invited"),
    "another organization": move_elsewhere,
    "second factor enrolled": enrol_factor,
    "never verified": nothing,
    "sessions ended": end_everything,
    "wrong password": forget_password,
    "initial password died": let_initial_password_die,
}

# ---------------------------------------------------------------- what is said

NO: dict[str, dict[str, tuple[int, Any]]] = {
    "locked": {
        "rocketchat": (401, "error-login-blocked-for-user"),
        "pocketm8": (429, "TOO_MANY_REQUESTS"),
        "probe": (429, "resource exhausted: too many attempts, try again later"),
        "flashback": (429, "RATE_LIMITED"),
    },
    "blocked": {
        "rocketchat": (401, "error-login-blocked-for-ip"),
        "pocketm8": (429, "TOO_MANY_REQUESTS"),
        "probe": (429, "resource exhausted: too many attempts, try again later"),
        "flashback": (429, "RATE_LIMITED"),
    },
    "not active": {
        "rocketchat": (401, "error-user-is-not-activated"),
        "pocketm8": (400, "INVALID_CREDENTIALS"),
        "probe": (403, "permission denied: account is suspended"),
        "flashback": (401, "USER_INACTIVE"),
    },
    "not admitted": {"rocketchat": (401, 403), "pocketm8": (400, "INVALID_CREDENTIALS")},
    "code wanted": {
        "rocketchat": (401, "totp-required"),
        "pocketm8": (200, "MFA_REQUIRED"),
        "probe": (401, "unauthenticated: second factor required"),
        "flashback": (200, "Second factor required"),
    },
    "wrong": {
        "rocketchat": (401, "Unauthorized"),
        "pocketm8": (400, "INVALID_CREDENTIALS"),
        "probe": (401, "unauthenticated: wrong email or password"),
        "flashback": (401, "INVALID_PASSWORD"),
    },
    "no password": {
        "rocketchat": (401, "Unauthorized"),
        "pocketm8": (400, "INVALID_CREDENTIALS"),
        "probe": (401, "unauthenticated: wrong email or password"),
        "flashback": (401, "NO_PASSWORD_SET"),
    },
    "pending": {"probe": (200, "pending")},
    "write block": {"flashback": (403, "EMAIL_NOT_VERIFIED")},
    "no session": {
        "rocketchat": (401, "You must be logged in to do this."),
        "pocketm8": (401, "UNAUTHORIZED"),
        "probe": (401, "unauthenticated: session is not active"),
        "flashback": (401, "NO_AUTH_USER"),
    },
    "no attempt": {
        "rocketchat": (400, "Challenge not found [error-challenge-not-found]"),
        "pocketm8": (400, "INVALID_OR_EXPIRED_CODE"),
        "flashback": (401, "NO_AUTH_USER"),
    },
    "no chain": {"flashback": (401, "INVALID_REFRESH_TOKEN")},
    "bad link": {
        "rocketchat": (404, "Token expired or invalid [error-invalid-token]"),
        "pocketm8": (400, "INVALID_OR_EXPIRED_TOKEN"),
        "probe": (200, None),
        "flashback": (400, "INVALID_VERIFICATION_TOKEN"),
        "web": (404, "This link does not work"),
    },
    "closed": {"rocketchat": (400, "TOTP Maximun Failed Attempts Reached [totp-max-attempts]")},
    "wrong proof": {"rocketchat": (400, "TOTP Invalid [totp-invalid]")},
    "wrong old": {
        "probe": (403, "permission denied: wrong old password"),
        "rocketchat": (400, "Invalid password [error-invalid-password]"),
    },
}
"""The documented answers, by reason and dialect. The contract decides these, not our own tables."""

_NOT_ACTIVE: dict[Proves, str] = {
    "password": "not active", "code": "no attempt", "refresh": "not active", "session": "no session",
    "confirm": "no session", "proof": "no session", "ticket": "bad link", "provider": "not active",
}  # fmt: skip
REASONS: dict[str, dict[Proves, str]] = {
    "locked account": {"password": "locked", "code": "locked", "confirm": "locked", "proof": "closed"},
    "blocked network": {"password": "blocked", "code": "blocked", "confirm": "blocked", "proof": "closed",
                        "provider": "blocked"},
    "suspended": _NOT_ACTIVE,
    "deactivated": _NOT_ACTIVE,
    "deleted": _NOT_ACTIVE,
    "invited": _NOT_ACTIVE,
    "another organization": {
        "password": "not admitted", "code": "not admitted", "session": "no session", "confirm": "no session",
        "proof": "no session", "ticket": "not admitted",
    },
    "second factor enrolled": {
        "password": "code wanted", "code": "no attempt", "refresh": "no chain", "session": "no session",
        "confirm": "no session", "proof": "no session", "ticket": "code wanted", "provider": "code wanted",
    },
    "never verified": {"password": "pending", "provider": "pending", "session": "write block"},
    "sessions ended": {
        "code": "no attempt", "refresh": "no chain", "session": "no session", "confirm": "no session",
        "proof": "no session",
    },
    "wrong password": {"password": "wrong", "confirm": "wrong old", "proof": "wrong proof"},
    "initial password died": {
        "password": "no password", "code": "no attempt", "refresh": "no chain", "session": "no session",
        "confirm": "no session", "proof": "no session",
    },
}  # fmt: skip
"""Which no a proof meets; where there is none, the operation works: possession of a live session or of a
mailed link is never refused by locks, budgets or an unproved address."""

INSIDE = {"bad link": "error-invalid-token", "code wanted": "totp-required", "not admitted": 403}
"""What methods over REST are told within their answer (contract section 7.5)."""
ADMITS_ALL = ("probe", "flashback")


_WRITES = frozenset(
    (mount.dialect.name, each.method, each.path)
    for mount in mounts(load(None, {})) for each in mount.dialect.operations if each.verified
)  # fmt: skip


def writes(recipe: Recipe) -> bool:
    """Tell whether the operation is declared for accounts that were verified once."""
    return (recipe.dialect, recipe.method, recipe.path) in _WRITES


def expected(policy: str, recipe: Recipe) -> tuple[int, Any] | None:
    """Return status and word of the refusal, None where the operation works."""
    if policy == "another organization" and recipe.dialect in ADMITS_ALL:
        return None
    reason = REASONS[policy].get(recipe.proves)
    if reason is None or recipe.proves == "nothing":
        return None
    if recipe.proves == "ticket" and reason in ("code wanted", "not admitted") and not recipe.makes:
        return None  # it signs nobody in, so no code is asked for
    if "/method.call" in recipe.path and reason in INSIDE:
        return (200, INSIDE[reason])
    if reason == "bad link" and recipe.path == "/api/v1/pw.getPolicyReset":
        return (403, "unauthorized")
    if reason == "bad link" and recipe.path == "/user/reset-password":
        return (400, "INVALID_RESET_TOKEN")
    if reason == "bad link" and recipe.form == "update token":
        return (400, "invalid argument: the token is not valid")
    if reason == "no session" and recipe.form == "access token":
        return (400, "INVALID_OR_EXPIRED_TOKEN")
    if policy == "never verified" and recipe.dialect != "probe" and not writes(recipe):
        return None
    if reason == "no session" and recipe.form == "resume":
        return (401, "Unauthorized")
    return NO[reason][recipe.dialect]


def word(dialect: str, answer: httpx2.Response) -> Any:
    """Return the word by which a client tells what an answer means."""
    if not answer.content:
        return None
    if dialect == "web":
        heading = re.search("<h1>(.*?)</h1>", answer.text)
        return heading and heading[1]
    body = answer.json()
    if dialect == "flashback":
        return body.get("error_code", body.get("message"))
    if dialect == "pocketm8":
        return body.get("message")
    if dialect == "probe":
        return body.get("error", body.get("status"))
    if isinstance(body.get("message"), str) and "success" in body and body["success"]:
        body = json.loads(body["message"]).get("error", {})
    return body.get("error")


def texts(answer: httpx2.Response) -> Iterator[str]:
    """Return every text of an answer that could be a token: in the body, in headers, in cookies."""

    def inside(value: Any) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            for each in value.values():
                yield from inside(each)
        elif isinstance(value, list):
            for each in value:
                yield from inside(each)

    if answer.content and answer.headers["content-type"].startswith("application/json"):
        yield from inside(json.loads(answer.content))
    for value in answer.headers.values():
        yield from value.replace(";", "=").split("=")


async def opens(house: House, text: str) -> str | None:
    """Return the door that a text opens, None where it opens none."""
    for door in house.core.doors.values():
        for form in (door.token, door.key):
            if form is not None:
                try:
                    await house.core.sessions.authenticate(door, text, form)
                except refusals.NotSignedIn:
                    continue
                return door.name
    return "a refresh chain" if chain.parse(text) is not None else None


_SESSIONS = Statement("select count(*) from session")
_SIGNED_IN = Statement(
    """select s.id, s.door, s.kind, s.parent, e.door, e.detail from session s
       left join event e on e.session = s.id and e.kind = 'signed_in'"""
)
_EVENTS = Statement("select count(*) from event where kind = 'signed_in'")


async def rows(house: House) -> int:
    return int((await house.db.scan(_SESSIONS))[0][0])


async def guest_for(house: House, number: int, recipe: Recipe, *, verified: bool = True) -> Guest:
    """Return an account of its own for one row, with everything that the row's proof needs."""
    name = f"guest{number}"
    email = f"{name}@example.com"
    person = await house.add(email=email, username=name, verified=verified, administrator=recipe.administrator)
    guest = Guest(house, person, email, name, f"10.{number >> 8}.{number & 255}.1")
    if recipe.proves == "code":
        await guest.pause()
    elif recipe.proves != "password" or recipe.makes == 0:
        await guest.arrive()
    elif recipe.dialect == "probe" and verified:
        await guest.arrive()  # so that the key is there already
    return guest


async def test_every_operation_has_a_recipe(house: House) -> None:
    known = {(r.dialect, r.method, r.path) for r in RECIPES}
    operations = {(name, o.method, o.path) for name, o in declared(house)}
    assert operations == known
    for name, operation in declared(house):
        asked = {r.proves for r in RECIPES if (r.dialect, r.method, r.path) == (name, operation.method, operation.path)}
        if operation.access in ("client", "any"):
            assert asked <= {"session", "code", "confirm", "proof"}, operation
        blocked = {
            r.verified for r in RECIPES if (r.dialect, r.method, r.path) == (name, operation.method, operation.path)
        }
        assert blocked == {operation.verified}, operation
        full = {
            r.full_only for r in RECIPES if (r.dialect, r.method, r.path) == (name, operation.method, operation.path)
        }
        if name == "probe" and operation.access in ("client", "any"):
            assert full == {operation.access == "client"}, operation


def test_every_reason_names_a_documented_answer() -> None:
    assert set(REASONS) == set(IMPOSE)
    assert {reason for row in REASONS.values() for reason in row.values()} == set(NO)


@pytest.mark.slow
@pytest.mark.parametrize("policy", list(IMPOSE))
async def test_no_operation_gets_past(house: House, policy: str) -> None:
    for number, recipe in enumerate(RECIPES):
        if policy == "never verified" and recipe.dialect == "probe" and recipe.proves in ("session", "confirm"):
            continue  # an account that was never verified has no session there
        guest = await guest_for(house, number, recipe, verified=policy != "never verified")
        await IMPOSE[policy](guest)
        before, worked = await rows(house), house.hash_evaluations()
        answer = await recipe.send(guest)
        what = f"{recipe} x {policy}: {answer.status_code} {answer.text[:300]}"
        assert answer.status_code < 500, what
        no = expected(policy, recipe)
        if no is None:
            assert answer.status_code in recipe.works, what
            ended = policy in ("sessions ended", "initial password died")  # the key, too, which is made anew
            made_anew = ended and recipe.dialect == "probe" and recipe.makes
            assert await rows(house) == before + recipe.makes + int(bool(made_anew)), what
            continue
        assert (answer.status_code, word(recipe.dialect, answer)) == no, what
        assert await rows(house) == before, what
        assert [t for t in texts(answer) if await opens(house, t)] == [], what
        judged = recipe.proves == "password" and policy not in ("locked account", "blocked network")
        judged |= recipe.proves in ("confirm", "proof") and policy == "wrong password"
        assert house.hash_evaluations() - worked == int(judged), what
        stale = await house.core.accounts.by_id(guest.person.account.id)
        assert await house.core.accounts.person(stale) == await fresh_person(house, guest), what


async def fresh_person(house: House, guest: Guest) -> Any:
    """Return the person as the database has it now, whatever is remembered."""
    from dragoman.storage import accounts

    account = await accounts.by_id(house.db, guest.person.account.id)
    assert account is not None
    return await accounts.person(house.db, account)


KEYS: dict[str, tuple[str, tuple[int, Any]]] = {
    "rocketchat": ("/api/v1/me", (403, "unauthorized")),
    "probe": ("/frontend/api/v1/auth/session", (403, "permission denied: not with an API token")),
}
"""Dialects whose doors take keys: where one still works, and what is said where it does not."""
ENDS_ITSELF = ("/api/v1/logout",)
"""Where a key signs itself out; over method.call it is the form of that name."""


def access_of(house: House, recipe: Recipe) -> str:
    """Return who may call the operation of a recipe, as it declares."""
    wanted = (recipe.dialect, recipe.method, recipe.path)
    return next(o.access for name, o in declared(house) if (name, o.method, o.path) == wanted)


async def hand_over(guest: Guest, dialect: str) -> dict[str, str]:
    """Put a key in the place of the guest's session, one that stands for the second factor too; return its headers."""
    if dialect == "probe":
        guest.held["probe"] = guest.held["probe_api"]
        return {"Authorization": f"Bearer {guest.held['probe']}"}
    own = {"X-Auth-Token": guest.held["rc"], "X-User-Id": guest.held["rc_user"]}
    named = {"tokenName": "every operation", "bypassTwoFactor": True}
    made = await guest.call("POST", "/api/v1/users.generatePersonalAccessToken", headers=own, json=named)
    guest.held["rc"] = made.json()["token"]
    return {"X-Auth-Token": guest.held["rc"], "X-User-Id": guest.held["rc_user"]}


async def test_a_key_does_what_it_may_and_no_more(house: House) -> None:
    """A key in the place of a session (decision 17, threat 18): it opens what declares that, and makes nothing."""
    for number, recipe in enumerate(RECIPES):
        if recipe.dialect not in KEYS or recipe.proves not in ("session", "confirm") or recipe.form == "resume":
            continue
        path, no = KEYS[recipe.dialect]
        guest = await guest_for(house, number, recipe)
        headers = await hand_over(guest, recipe.dialect)
        before, live = await rows(house), len(await house.sessions())
        answer = await recipe.send(guest)
        assert await rows(house) == before, recipe
        if access_of(house, recipe) == "client" or recipe.full_only:
            assert (answer.status_code, word(recipe.dialect, answer)) == no, recipe
            assert len(await house.sessions()) == live, recipe
        else:
            assert answer.status_code in recipe.works, f"{recipe}: {answer.text}"
        again = await guest.call("GET", path, headers=headers)
        assert again.status_code == (401 if recipe.path in ENDS_ITSELF or recipe.form == "logout" else 200), (
            f"{recipe} ended the key"
        )


async def test_where_no_door_takes_keys_no_operation_opens_to_one(house: House) -> None:
    for name, operation in declared(house):
        assert name in KEYS or operation.access != "any", f"{name} {operation.method} {operation.path}"


Kind = Literal["client", "key"]


@pytest.mark.slow
async def test_after_everything_each_session_has_its_event(house: House) -> None:
    """Every declared operation with valid input, with and without a second factor: sessions = `signed_in` events."""
    for number, recipe in enumerate(RECIPES):
        guest = await guest_for(house, number, recipe)
        before = await rows(house)
        answer = await recipe.send(guest)
        assert answer.status_code in recipe.works, f"{recipe}: {answer.status_code} {answer.text[:300]}"
        assert await rows(house) == before + recipe.makes, f"{recipe}"
    guest = await guest_for(house, len(RECIPES), RECIPES[0])
    await guest.pause()
    for form in ({"code": guest.code()}, {}):
        chat = {"user": guest.username, "password": guest.password, **form}
        headers = {} if form else {"x-2fa-code": guest.code()}
        assert (await guest.call("POST", "/api/v1/login", json=chat, headers=headers)).status_code == 200
    inner = {"totp": {"login": {"user": guest.username, "password": guest.password}, "code": guest.code()}}
    assert (await guest.call("POST", "/api/v1/login", json=inner)).status_code == 200
    flat = {"email": guest.email, "password": guest.password}
    probe = "/frontend/api/v1/auth/sign-in"
    assert (await guest.call("POST", probe, json={**flat, "code": guest.code()})).status_code == 200
    assert (await guest.call("POST", probe, json=flat, headers={"X-2FA-Code": guest.code()})).status_code == 200

    found = await house.db.scan(_SIGNED_IN)
    assert len(found) == await rows(house) == (await house.db.scan(_EVENTS))[0][0]
    assert len({row[0] for row in found}) == len(found)
    policies: Counter[tuple[Any, Any]] = Counter()
    for _, door, kind, parent, event_door, detail in found:
        said = msgspec.json.decode(detail, type=dict[str, str])
        assert set(said) == {"proof", "policy"}
        assert said["proof"].split(",")[0] in ("password", "mail", "administrator", "registration", "upstream")
        assert set(said["proof"].split(",")[1:]) <= {"totp", "recovery"}
        assert said["policy"] == ("key" if kind == "key" else "child" if parent is not None else "client")
        assert event_door in house.core.doors
        policies[door, said["policy"]] += 1
        if said["policy"] == "client":
            assert event_door == door
    assert {door for door, _ in policies} == set(house.core.doors)
    assert policies["rocketchat", "child"] == policies["pocketm8", "client"] > 0


async def test_every_sign_in_event_names_a_door_of_the_house(house: House) -> None:
    doors: dict[str, Door] = dict(house.core.doors)
    assert set(doors) == {r.dialect for r in RECIPES if r.proves not in ("ticket", "nothing")}

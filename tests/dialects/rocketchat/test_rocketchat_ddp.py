"""DDP, row by row: the contract's section 13."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dragoman.dialects.rocketchat.ddp import connection
from dragoman.model import Password
from kit.ddp import Ddp, dialled, digest, listening
from kit.house import PASSWORD, House, Totp, client, open_house

pytestmark = pytest.mark.slow

ID = re.compile(r"[23456789ABCDEFGHJKLMNPQRSTWXYZabcdefghijkmnopqrstuvwxyz]{17}\Z")
TOKEN = re.compile(r"[a-zA-Z0-9_-]{43}\Z")
NEW = "another good passphrase"
DAYS_90 = 90 * 86_400_000
NOT_FOUND = {"error": 401, "reason": "User not found"}


@pytest.fixture
async def server(house: House) -> AsyncIterator[str]:
    """A house with Ada and Bob in it behind a real server."""
    await house.ada()
    await house.add(email="bob@example.com", username="bob")
    async with listening(house.app) as base:
        yield base


@pytest.fixture
async def ddp(server: str) -> AsyncIterator[Ddp]:
    """A client that has connected."""
    async with dialled(server) as opened:
        yield opened


def core(error: dict[str, Any]) -> dict[str, Any]:
    """Return the two fields that clients look at."""
    return {"error": error["error"], "reason": error["reason"]}


async def rest(house: House, result: dict[str, Any]) -> int:
    """Return the status that REST answers to a token from DDP."""
    pair = {"X-Auth-Token": result["token"], "X-User-Id": result["id"]}
    return (await house.get("/api/v1/me", headers=pair)).status_code


# ---------------------------------------------------------------- 13.1 opening


@pytest.mark.parametrize(
    ("version", "support"),
    [
        ("1", ["1", "pre2", "pre1"]),
        ("1", ["1"]),
        ("pre2", ["pre2"]),
        ("pre1", ["pre1"]),
        ("1", ["2", "1"]),
        ("pre2", ["pre2", "1"]),
    ],
)
async def test_connect(server: str, version: str, support: list[str]) -> None:
    async with dialled(server, version=None) as ddp:
        answer = await ddp.open(version, *support)
        assert answer.keys() == {"msg", "session"}
        assert answer["msg"] == "connected"
        assert ID.match(answer["session"])


@pytest.mark.parametrize(
    ("message", "version"),
    [
        ({"version": "pre2", "support": ["1", "pre2"]}, "1"),
        ({"version": "1", "support": ["pre2", "1"]}, "pre2"),
        ({"version": "1", "support": ["pre2"]}, "1"),
        ({"version": "2", "support": ["2"]}, "1"),
        ({"version": "1"}, "1"),
        ({"support": ["1"]}, "1"),
        ({"version": 1, "support": [1]}, "1"),
        ({"version": "1", "support": "1"}, "1"),
        ({"version": "1", "support": []}, "1"),
        ({"version": "1", "support": [None, {"1": 1}]}, "1"),
    ],
)
async def test_connect_that_fails(server: str, message: dict[str, Any], version: str) -> None:
    async with dialled(server, version=None) as ddp:
        assert await ddp.ask(msg="connect", **message) == {"msg": "failed", "version": version}
        assert await ddp.closed() == 1000


async def test_a_session_in_connect_is_ignored(server: str) -> None:
    async with dialled(server, version=None) as ddp:
        answer = await ddp.ask(msg="connect", version="1", support=["1"], session="W8a8rpnEDwMgPNPpN")
        assert answer["msg"] == "connected"
        assert answer["session"] != "W8a8rpnEDwMgPNPpN"


async def test_messages_before_connect(server: str) -> None:
    async with dialled(server, version=None) as ddp:
        for early in (
            {"msg": "ping"},
            {"msg": "method", "method": "login", "id": "1", "params": [{"resume": "x"}]},
            {"msg": "sub", "id": "1", "name": "userData"},
            {"msg": "nonsense"},
        ):
            answer = await ddp.ask(**early)
            assert answer == {"msg": "error", "reason": "Must connect first", "offendingMessage": early}
        await ddp.raw("not JSON")
        assert await ddp.next() == {"msg": "error", "reason": "Parse error"}
        assert (await ddp.open())["msg"] == "connected"


async def test_connection_stays_open_after_messages_that_are_none(ddp: Ddp) -> None:
    again = {"msg": "connect", "version": "1", "support": ["1"]}
    assert await ddp.ask(**again) == {"msg": "error", "reason": "Already connected", "offendingMessage": again}
    for frame, offending in (
        ("{}", {}), ('{"msg":""}', {"msg": ""}), ('{"msg":5}', {"msg": 5}), ('{"msg":"fly"}', {"msg": "fly"}),
        ("[1]", [1]), ('"ping"', "ping"), ("7", 7),
    ):  # fmt: skip
        await ddp.raw(frame)
        assert await ddp.next() == {"msg": "error", "reason": "Bad request", "offendingMessage": offending}
    await ddp.raw("null")
    assert await ddp.next() == {"msg": "error", "reason": "Bad request"}
    assert await ddp.ask(msg="ping") == {"msg": "pong"}


async def test_login_may_be_sent_before_connected_has_come(server: str) -> None:
    async with dialled(server, version=None) as ddp:
        await ddp.say(msg="connect", version="1", support=["1"])
        await ddp.say(
            msg="method", method="login", id="1", params=[{"user": {"username": "ada"}, "password": digest()}]
        )
        await ddp.say(msg="ping", id="2")
        said = [await ddp.next() for _ in range(5)]
    assert [each["msg"] for each in said] == ["connected", "added", "result", "updated", "pong"]


@pytest.mark.parametrize("origin", [None, "ws://127.0.0.1", "https://elsewhere.example", "null"])
async def test_no_origin_is_asked_for(server: str, origin: str | None) -> None:
    async with dialled(server, headers={} if origin is None else {"Origin": origin}) as ddp:
        assert TOKEN.match((await ddp.sign_in())["token"])


# ---------------------------------------------------------------- 13.2 heartbeat


async def test_ping_is_answered_with_its_id(ddp: Ddp) -> None:
    assert await ddp.ask(msg="ping") == {"msg": "pong"}
    assert await ddp.ask(msg="ping", id="5") == {"msg": "pong", "id": "5"}


async def test_the_server_pings_and_closes_after_silence(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEARTBEAT_SECONDS", 0.2)
    async with dialled(server) as ddp:
        for answer in ({"msg": "pong"}, {"msg": "sub", "id": "1", "name": "x"}):
            assert await ddp.next() == {"msg": "ping"}
            await ddp.say(**answer)
        assert (await ddp.next())["msg"] == "nosub"
        assert await ddp.next() == {"msg": "ping"}
        assert await ddp.closed(2) == 1000


async def test_pre1_knows_no_ping(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(connection, "SILENT_SECONDS", 0.5)
    async with dialled(server, version="pre1") as ddp:
        with pytest.raises(Exception, match=r"1000"):
            await ddp.next()


async def test_a_connection_that_never_connects_is_closed(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "OPENING_SECONDS", 0.3)
    async with dialled(server, version=None) as ddp:
        assert await ddp.ask(msg="ping") == {
            "msg": "error", "reason": "Must connect first", "offendingMessage": {"msg": "ping"}
        }  # fmt: skip
        assert await ddp.closed(2) == 1000


# ---------------------------------------------------------------- 13.3 signing in


@pytest.mark.parametrize("id", ["1", "ddp-1", "rc-ddp-client-1", ""])
async def test_login(house: House, ddp: Ddp, id: str) -> None:
    await ddp.say(msg="method", method="login", id=id, params=[{"user": {"username": "ada"}, "password": digest()}])
    added, result, updated = [await ddp.next() for _ in range(3)]
    token = result["result"].pop("token")
    ada = added["id"]
    assert TOKEN.match(token)
    assert ID.match(ada)
    assert added == {
        "msg": "added", "collection": "users", "id": ada,
        "fields": {"username": "ada", "emails": [{"address": "ada@example.com", "verified": True}]},
    }  # fmt: skip
    ends_at = {"$date": house.clock.now() + DAYS_90}
    assert result == {"msg": "result", "id": id, "result": {"id": ada, "tokenExpires": ends_at, "type": "password"}}
    assert updated == {"msg": "updated", "methods": [id]}
    assert await rest(house, {"id": ada, "token": token}) == 200


@pytest.mark.parametrize(
    "form",
    [
        {"user": {"username": "ada"}, "password": PASSWORD},
        {"user": {"email": "Ada@example.com"}, "password": PASSWORD},
        {"user": {"email": "ada@example.com"}, "password": digest()},
        {"user": {"username": "ada"}, "password": {**digest(), "digest": digest()["digest"].upper()}},
        {"ldap": True, "username": "ada", "ldapPass": PASSWORD, "ldapOptions": {}},
    ],
)
async def test_forms_of_login(house: House, ddp: Ddp, form: dict[str, Any]) -> None:
    result = await ddp.done("login", form)
    assert result["type"] == "password"
    assert await rest(house, result) == 200


async def test_resume_gives_the_same_token(house: House, server: str, ddp: Ddp) -> None:
    first = await ddp.sign_in()
    house.clock.move(3600)
    async with dialled(server) as other:
        before, message = await other.call("login", {"resume": first["token"]})
        assert [each["msg"] for each in before] == ["added"]
        assert message["result"] == {**first, "type": "resume"}
    assert len(await house.sessions()) == 1


async def test_resume_of_a_token_from_rest(house: House, ddp: Ddp) -> None:
    data = (await house.post("/api/v1/login", json={"user": "ada", "password": PASSWORD})).json()["data"]
    result = await ddp.done("login", {"resume": data["authToken"]})
    assert (result["id"], result["token"]) == (data["userId"], data["authToken"])


async def test_another_user_on_the_same_socket(house: House, ddp: Ddp) -> None:
    ada = await ddp.sign_in()
    before, _ = await ddp.call("login", {"user": {"username": "ada"}, "password": PASSWORD})
    assert before == []
    before, message = await ddp.call("login", {"user": {"username": "bob"}, "password": PASSWORD})
    assert [each["msg"] for each in before] == ["removed", "added"]
    assert before[0] == {"msg": "removed", "collection": "users", "id": ada["id"]}
    assert before[1]["id"] == message["result"]["id"] != ada["id"]
    assert await rest(house, ada) == 200


# ---------------------------------------------------------------- 13.4 errors


@pytest.mark.parametrize(
    "form",
    [
        {"user": {"username": "ada"}, "password": digest("wrong")},
        {"user": {"username": "ada"}, "password": "wrong"},
        {"user": {"username": "nobody"}, "password": digest()},
        {"user": {"email": "nobody@example.com"}, "password": PASSWORD},
        {"resume": "x" * 43},
        {"resume": ""},
        {"ldap": True, "username": "ada", "ldapPass": ""},
        {"oauth": {"credentialToken": "x", "credentialSecret": "y"}},
        {"saml": True, "credentialToken": "x"},
        {"cas": {"credentialToken": "x"}},
        {"user": "ada", "password": PASSWORD},
        {"username": "ada", "password": PASSWORD},
        {"email": "ada@example.com", "password": PASSWORD},
        {"totp": {"code": "123456", "login": {"user": "ada", "password": PASSWORD}}},
        {"user": {"username": "ada"}, "password": PASSWORD, "resume": "x" * 43},
        {},
    ],
)
async def test_wrong_and_unknown_are_told_alike(house: House, ddp: Ddp, form: dict[str, Any]) -> None:
    assert core(await ddp.refused("login", form)) == NOT_FOUND
    assert await house.sessions() == []


@pytest.mark.parametrize(
    "params",
    [
        [], [None], ["ada"], [[]],
        [{"user": {"username": "ada"}, "password": {"digest": "short", "algorithm": "sha-256"}}],
        [{"user": {"username": "ada"}, "password": {**digest(), "algorithm": "md5"}}],
        [{"user": {"username": {"$ne": None}}, "password": PASSWORD}], [{"user": {"username": "ada"}, "password": 5}],
        [{"resume": {"$ne": None}}],
        [{"totp": {"code": 1, "login": {}}}], [{"totp": {"code": "1", "login": {"password": 7}}}],
    ],
)  # fmt: skip
async def test_wrong_types_are_no_match(house: House, ddp: Ddp, params: list[Any]) -> None:
    assert core(await ddp.refused("login", *params)) == {"error": 400, "reason": "Match failed"}
    assert await house.sessions() == []


async def test_second_factor(house: House, ddp: Ddp) -> None:
    totp = await enrolled(house)
    form = {"user": {"username": "ada"}, "password": digest()}
    wanted = {"method": "totp", "codeGenerated": False, "availableMethods": ["totp"]}
    error = await ddp.refused("login", form)
    assert core(error) == {"error": "totp-required", "reason": "TOTP Required"}
    assert error["details"] == wanted
    error = await ddp.refused("login", {"totp": {"code": totp.wrong(), "login": form}})
    assert core(error) == {"error": "totp-invalid", "reason": "TOTP Invalid"}
    assert error["details"] == wanted
    assert await house.sessions() == []
    result = await ddp.done("login", {"totp": {"code": totp.code(), "login": form}})
    assert result["type"] == "password"


async def test_a_resume_asks_for_no_second_factor(house: House, server: str) -> None:
    totp = await enrolled(house)
    form = {"user": {"username": "ada"}, "password": digest(), "code": totp.code()}
    async with dialled(server) as ddp:
        token = (await ddp.done("login", form))["token"]
    async with dialled(server) as ddp:
        assert (await ddp.done("login", {"resume": token}))["type"] == "resume"


async def enrolled(house: House) -> Totp:
    outcome = await house.core.signin.with_password(
        house.core.doors["rocketchat"], typed("ada"), Password.from_plain(PASSWORD), client()
    )
    return await house.enrol_totp(outcome.person)


def typed(name: str) -> Any:
    from dragoman.model import Typed

    return Typed("username", name)


async def test_lockout(house: House, server: str) -> None:
    for start in (0, 5):
        async with dialled(server) as ddp:
            for number in range(start, start + 5):
                error = await ddp.refused("login", {"user": {"username": "ada"}, "password": f"wrong {number}"})
                assert core(error) == NOT_FOUND
    async with dialled(server) as ddp:
        error = await ddp.refused("login", {"user": {"username": "ada"}, "password": digest()})
    assert core(error) == {
        "error": "error-login-blocked-for-user", "reason": "Login has been temporarily blocked For User"
    }  # fmt: skip
    assert error["details"] == {"function": "Accounts.validateLoginAttempt"}


async def test_an_account_that_is_not_active(house: House, ddp: Ddp) -> None:
    await suspend(house)
    error = await ddp.refused("login", {"user": {"username": "bob"}, "password": digest()})
    assert core(error) == {"error": "error-user-is-not-activated", "reason": "User is not activated"}
    assert core(await ddp.refused("login", {"user": {"username": "bob"}, "password": "wrong"})) == NOT_FOUND


async def suspend(house: House) -> None:
    await house.core.life.suspend(await house.core.accounts.named("bob"))


async def test_unknown_method(ddp: Ddp) -> None:
    assert core(await ddp.refused("rooms/get")) == {"error": 404, "reason": "Method 'rooms/get' not found"}


@pytest.mark.parametrize(
    "message",
    [
        {"method": "login"}, {"id": "1"}, {"method": 1, "id": "1"}, {"method": "login", "id": 1},
        {"method": "login", "id": "1", "params": {}}, {"method": "login", "id": "1", "params": None},
    ],
)  # fmt: skip
async def test_malformed_method(ddp: Ddp, message: dict[str, Any]) -> None:
    given = {"msg": "method", **message}
    answer = await ddp.ask(**given)
    assert answer == {"msg": "error", "reason": "Malformed method invocation", "offendingMessage": given}


# ---------------------------------------------------------------- 13.5 around it


async def test_logout(house: House, ddp: Ddp) -> None:
    result = await ddp.sign_in()
    before, message = await ddp.call("logout")
    assert before == [{"msg": "removed", "collection": "users", "id": result["id"]}]
    assert message.keys() == {"msg", "id"}
    assert await rest(house, result) == 401
    assert await ddp.ask(msg="ping") == {"msg": "pong"}
    assert await ddp.done("logout") is None
    assert core(await ddp.refused("login", {"resume": result["token"]})) == NOT_FOUND
    assert (await ddp.sign_in())["id"] == result["id"]


async def test_get_new_token(house: House, ddp: Ddp) -> None:
    old = await ddp.sign_in()
    house.clock.move(86_400)
    new = await ddp.done("getNewToken")
    assert new == {"id": old["id"], "token": new["token"], "tokenExpires": old["tokenExpires"]}
    assert new["token"] != old["token"]
    assert [await rest(house, each) for each in (old, new)] == [200, 200]
    assert await ddp.done("logout") is None
    assert [await rest(house, each) for each in (old, new)] == [200, 401]


@pytest.mark.parametrize("method", ["removeOtherTokens", "logoutOtherClients"])
async def test_ending_others(house: House, server: str, ddp: Ddp, method: str) -> None:
    mine = await ddp.sign_in()
    flash = (await house.post("/user/login", json={"email": "ada@example.com", "password": PASSWORD})).json()
    async with dialled(server) as other, dialled(server) as bob:
        theirs = await other.sign_in()
        his = await bob.sign_in("bob")
        answer = await ddp.done(method)
        if method == "logoutOtherClients":
            assert answer == {"token": mine["token"], "tokenExpires": mine["tokenExpires"]}
        else:
            assert answer is None
        assert await other.closed(1) == 1000
        assert await bob.ask(msg="ping") == {"msg": "pong"}
        assert await ddp.ask(msg="ping") == {"msg": "pong"}
        assert [await rest(house, each) for each in (mine, theirs, his)] == [200, 401, 200]
    bearer = {"Authorization": f"Bearer {flash['accessToken']}"}
    assert (await house.get("/user/profile", headers=bearer)).status_code == 401


@pytest.mark.parametrize("method", ["getNewToken", "removeOtherTokens", "logoutOtherClients"])
async def test_methods_for_those_who_are_signed_in(ddp: Ddp, method: str) -> None:
    assert core(await ddp.refused(method)) == {"error": "error-invalid-user", "reason": "Invalid user"}


@pytest.mark.parametrize("method", ["getNewToken", "removeOtherTokens", "logoutOtherClients"])
async def test_a_session_is_asked_for_again_by_each_method(
    house: House, ddp: Ddp, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even before its end was heard of."""
    from dragoman.core import feed

    monkeypatch.setattr(feed, "EVERY_SECONDS", 30)
    result = await ddp.sign_in()
    pair = {"X-Auth-Token": result["token"], "X-User-Id": result["id"]}
    assert (await house.post("/api/v1/logout", headers=pair)).status_code == 200
    assert core(await ddp.refused(method)) == {"error": "error-invalid-user", "reason": "Invalid user"}
    assert await house.sessions() == []


NEWCOMER = {"email": "bob@example.org", "pass": NEW, "name": "Bob Example"}


async def test_register_user(ddp: Ddp) -> None:
    error = await ddp.refused("registerUser", {"email": "x@example.com", "pass": "x", "name": "x"})
    assert core(error) == {"error": "error-user-registration-disabled", "reason": "User registration is disabled"}
    for odd in ((), ({},), ("x",), ({**NEWCOMER, "pass": 5},)):
        assert core(await ddp.refused("registerUser", *odd)) == {"error": 400, "reason": "Match failed"}


async def test_register_user_where_people_may(tmp_path: Path) -> None:
    async with (
        open_house(tmp_path, accounts__registration="public") as house,
        listening(house.app) as server,
        dialled(server) as ddp,
    ):
        id = await ddp.done("registerUser", NEWCOMER)
        bob = await house.core.accounts.person(await house.core.accounts.named("bob"))
        assert id == bob.aliases["rocketchat"]
        assert core(await ddp.refused("registerUser", NEWCOMER)) == {"error": "403", "reason": "Email already exists."}
        assert (await ddp.refused("registerUser", {**NEWCOMER, "name": "<b>"}))["error"] == 400
        assert (await ddp.sign_in("bob", NEW))["id"] == id


@pytest.mark.parametrize("password", [NEW, digest(NEW)])
async def test_reset_password(house: House, server: str, ddp: Ddp, password: Any) -> None:
    async with dialled(server) as other:
        before = await other.sign_in()
        assert await ddp.done("sendForgotPasswordEmail", "ada@example.com") is True
        token = await house.token("reset")
        result = await ddp.done("resetPassword", token, password)
        assert result["type"] == "password"
        assert await other.closed(1) == 1000
    assert [await rest(house, each) for each in (before, result)] == [401, 200]
    assert core(await ddp.refused("resetPassword", token, password))["error"] == "error-invalid-token"
    assert (await ddp.sign_in(password=NEW))["id"] == result["id"]


async def test_a_reset_signs_nobody_in_past_a_second_factor(house: House, ddp: Ddp) -> None:
    totp = await enrolled(house)
    await ddp.done("sendForgotPasswordEmail", "ada@example.com")
    error = await ddp.refused("resetPassword", await house.token("reset"), digest(NEW))
    assert core(error) == {"error": "totp-required", "reason": "TOTP Required"}
    form = {"user": {"username": "ada"}, "password": digest(NEW)}
    assert (await ddp.done("login", {"totp": {"code": totp.code(), "login": form}}))["type"] == "password"


async def test_mail_to_nobody_is_answered_alike(house: House, ddp: Ddp) -> None:
    assert await ddp.done("sendForgotPasswordEmail", "nobody@example.com") is True
    assert await house.letters("reset") == []
    for params in ([], [5], [{"$ne": None}]):
        assert core(await ddp.refused("sendForgotPasswordEmail", *params)) == {"error": 400, "reason": "Match failed"}


@pytest.mark.parametrize("params", [[], ["token"], [5, "x"], ["token", {}], ["token", ""], ["token", None]])
async def test_reset_with_wrong_types(ddp: Ddp, params: list[Any]) -> None:
    assert core(await ddp.refused("resetPassword", *params)) == {"error": 400, "reason": "Match failed"}


async def test_verify_email(house: House, ddp: Ddp) -> None:
    await house.core.recovery.request_verification(house.core.doors["rocketchat"], "bob@example.com", client())
    result = await ddp.done("verifyEmail", await house.token("verify"))
    assert await rest(house, result) == 200
    bob = await house.core.accounts.person(await house.core.accounts.named("bob"))
    assert [each.state for each in bob.emails] == ["verified"]
    assert core(await ddp.refused("verifyEmail", "x" * 43))["error"] == "error-invalid-token"


@pytest.mark.parametrize("name", sorted(connection.SUBSCRIPTIONS))
async def test_subscriptions_that_are_ready(ddp: Ddp, name: str) -> None:
    assert await ddp.ask(msg="sub", id="s1", name=name, params=["__my_messages__", False]) == {
        "msg": "ready", "subs": ["s1"]
    }  # fmt: skip


async def test_other_subscriptions(ddp: Ddp) -> None:
    answer = await ddp.ask(msg="sub", id="s2", name="something")
    error = answer.pop("error")
    assert answer == {"msg": "nosub", "id": "s2"}
    assert core(error) == {"error": 404, "reason": "Subscription 'something' not found"}
    assert await ddp.ask(msg="unsub", id="s2") == {"msg": "nosub", "id": "s2"}
    for given in ({"id": "1"}, {"name": "x"}, {"id": 1, "name": "x"}, {"id": "1", "name": "x", "params": {}}):
        wrong = {"msg": "sub", **given}
        assert await ddp.ask(**wrong) == {
            "msg": "error", "reason": "Malformed subscription", "offendingMessage": wrong
        }  # fmt: skip


async def test_a_token_that_ends_closes_its_connections(house: House, server: str) -> None:
    async with dialled(server) as one, dialled(server) as two, dialled(server) as other:
        result = await one.sign_in()
        await two.done("login", {"resume": result["token"]})
        await other.sign_in()
        pair = {"X-Auth-Token": result["token"], "X-User-Id": result["id"]}
        assert (await house.post("/api/v1/logout", headers=pair)).status_code == 200
        assert [await one.closed(1), await two.closed(1)] == [1000, 1000]
        assert await other.ask(msg="ping") == {"msg": "pong"}


async def test_a_logout_on_one_connection_closes_the_others_of_its_token(server: str) -> None:
    async with dialled(server) as one, dialled(server) as two:
        result = await one.sign_in()
        await two.done("login", {"resume": result["token"]})
        await one.done("logout")
        assert await two.closed(1) == 1000
        assert await one.ask(msg="ping") == {"msg": "pong"}


async def test_a_personal_access_token_resumes_and_is_no_session_to_build_on(house: House, server: str) -> None:
    """Contract section 16, no. 25, and decision 17."""
    signed_in = await house.post("/api/v1/login", json={"user": "ada", "password": PASSWORD})
    own = signed_in.json()["data"]
    pair = {"X-Auth-Token": own["authToken"], "X-User-Id": own["userId"]}
    made = await house.post("/api/v1/users.generatePersonalAccessToken", headers=pair, json={"tokenName": "bot"})
    key = made.json()["token"]
    house.clock.move(200 * 86_400)
    async with dialled(server) as ddp:
        result = await ddp.done("login", {"resume": key})
        ends_at = {"$date": house.clock.now() + DAYS_90}
        assert result == {"id": own["userId"], "token": key, "tokenExpires": ends_at, "type": "resume"}
        for method in ("getNewToken", "removeOtherTokens", "logoutOtherClients"):
            assert core(await ddp.refused(method)) == {"error": 403, "reason": "unauthorized"}
        assert await rest(house, result) == 200
        pair["X-Auth-Token"] = key
        assert (await house.post("/api/v1/logout", headers=pair)).status_code == 200
        assert await ddp.closed(1) == 1000
    assert await rest(house, result) == 401


async def test_a_session_that_reaches_its_end_closes(house: House, server: str) -> None:
    async with dialled(server) as ddp:
        await ddp.sign_in()
        house.clock.move(90 * 86_400 - 1)
        assert await ddp.ask(msg="ping") == {"msg": "pong"}
        house.clock.move(1)
        assert await ddp.closed(1) == 1000


async def test_a_suspended_account_is_closed(house: House, server: str, ddp: Ddp) -> None:
    await ddp.sign_in("bob")
    await suspend(house)
    assert await ddp.closed(1) == 1000


# ---------------------------------------------------------------- 13.6 limits, and frames of every bad kind


async def test_calls_of_one_connection_are_limited(
    house: House, server: str, ddp: Ddp, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_time(house, monkeypatch)
    for _ in range(5):
        assert core(await ddp.refused("login", {"resume": "x" * 43})) == NOT_FOUND
    error = await ddp.refused("login", {"user": {"username": "ada"}, "password": digest()})
    assert error["error"] == "too-many-requests"
    seconds = -(-error["details"]["timeToReset"] // 1000)
    assert 1 <= seconds <= 10
    assert error["reason"] == (
        f"Error, too many requests. Please slow down. You must wait {seconds} seconds before trying again."
    )
    for _ in range(10):
        await ddp.done("logout")
    assert (await ddp.refused("logout"))["error"] == "too-many-requests"
    async with dialled(server) as other:
        assert TOKEN.match((await other.sign_in())["token"])


async def test_calls_are_let_through_again(house: House, ddp: Ddp, monkeypatch: pytest.MonkeyPatch) -> None:
    now = hold_time(house, monkeypatch)
    for _ in range(5):
        await ddp.refused("login", {"resume": "x" * 43})
    wait = (await ddp.refused("login", {"resume": "x" * 43}))["details"]["timeToReset"]
    now[0] += wait / 1000 - 0.01
    assert (await ddp.refused("login", {"resume": "x" * 43}))["error"] == "too-many-requests"
    now[0] += 0.02
    assert TOKEN.match((await ddp.sign_in())["token"])


async def test_calls_of_one_user_are_limited_over_connections(
    house: House, server: str, ddp: Ddp, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_time(house, monkeypatch)
    token = (await ddp.sign_in())["token"]
    async with dialled(server) as two, dialled(server) as three:
        await two.done("login", {"resume": token})
        await three.done("login", {"resume": token})
        for one in (ddp, two):
            for _ in range(10):
                assert (await one.refused("registerUser", NEWCOMER))["error"] == "error-user-registration-disabled"
        assert (await three.refused("registerUser", NEWCOMER))["error"] == "too-many-requests"
    async with dialled(server) as bob:
        await bob.sign_in("bob")
        assert (await bob.refused("registerUser", NEWCOMER))["error"] == "error-user-registration-disabled"


def hold_time(house: House, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let durations stand still, so that no window ends by itself; the list holds the seconds."""
    now = [1000.0]
    monkeypatch.setattr(house.clock, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    "frame",
    [
        "", "not JSON", "{", '{"msg":"ping"', "[" * 2000, '{"a":' * 40 + "1" + "}" * 40, b"\x00\x01", b"{}",
        '{"msg":"pi\\u0000ng"}', '{"msg":"ping","id":"\x00"}', '{"msg":NaN}', '{"msg":"ping","id":1' + "0" * 400 + "}",
        "\ufeff{}", '{"msg":"ping"} {"msg":"ping"}',
    ],
)  # fmt: skip
async def test_frames_that_are_no_json(ddp: Ddp, frame: str | bytes) -> None:
    await ddp.raw(frame)
    assert await ddp.next() == {"msg": "error", "reason": "Parse error"}
    assert await ddp.ask(msg="ping") == {"msg": "pong"}


async def test_odd_texts_in_a_login(house: House, ddp: Ddp) -> None:
    for name in ("\ud7ff", "ada\u202e", "x" * 5000):
        assert core(await ddp.refused("login", {"user": {"username": name}, "password": PASSWORD})) == NOT_FOUND
    assert core(await ddp.refused("login", {"user": {"username": "ada"}, "password": "x" * 2000})) == NOT_FOUND


async def test_a_frame_that_is_too_large(ddp: Ddp) -> None:
    await ddp.raw("x" * 70_000)
    assert await ddp.closed() == 1009


async def test_a_plain_request_finds_nothing(house: House) -> None:
    answer = await house.get("/websocket")
    assert (answer.status_code, answer.json()) == (404, {"success": False, "error": "Resource not found"})

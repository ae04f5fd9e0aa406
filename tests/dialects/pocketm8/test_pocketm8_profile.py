"""The profile, its token in every carrier, and the rest of /api in Pocketm8's clothes."""

import re

import pytest

from dialects.pocketm8.calls import INSTANT, SIGN_IN, sign_in
from dragoman.dialects.pocketm8 import DIALECT
from dragoman.model import Password
from kit.house import PASSWORD, client

PROFILE = "/api/profile"
UNAUTHORIZED = {"message": "UNAUTHORIZED"}


async def token_of(house, **more) -> str:
    return (await sign_in(house, **more)).json()["data"]["accessToken"]


async def profile(house, authorization: str | None, **more):
    headers = {} if authorization is None else {"authorization": authorization.encode("latin-1")}
    return await house.request("GET", PROFILE, headers=headers, **more)


def refused(answer) -> bool:
    return (answer.status_code, answer.json(), answer.headers.get("www-authenticate")) == (401, UNAUTHORIZED, "Bearer")


async def test_the_profile_has_the_contracts_fields(house):
    ada = await house.ada(phone="+41791234567", administrator=True)
    session = (await sign_in(house)).json()["data"]
    answer = await profile(house, f"Bearer {session['accessToken']}")
    assert answer.status_code == 200
    assert list(answer.json()) == ["data"]
    assert list(answer.json()["data"]) == ["user"]
    user = answer.json()["data"]["user"]
    assert list(user) == [
        "id", "appWriteId", "chatId", "chatUsername", "firstName", "lastName", "roleId", "locationId", "birthdate",
        "email", "phone", "avatar", "coreData", "createdAt", "updatedAt",
    ]  # fmt: skip
    for name in ("id", "appWriteId", "firstName", "lastName", "roleId"):
        assert user[name] == session["user"][name]
    assert (user["chatId"], user["chatUsername"]) == (session["chat"]["id"], session["chat"]["username"])
    assert user["appWriteId"] == ada.aliases["pocketm8"]
    assert (user["email"], user["phone"], user["roleId"]) == ("ada@example.com", "+41791234567", "admin")
    assert [user[name] for name in ("locationId", "birthdate", "avatar", "coreData")] == [None] * 4
    assert INSTANT.fullmatch(user["createdAt"])
    assert INSTANT.fullmatch(user["updatedAt"])


async def test_a_changed_name_shows_at_once(house):
    ada = await house.ada()
    token = await token_of(house)
    await house.core.accounts.rename(ada.account, "countess")
    assert (await profile(house, f"Bearer {token}")).json()["data"]["user"]["chatUsername"] == "countess"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_is_read_in_any_letter_case(house, scheme):
    await house.ada()
    assert (await profile(house, f"{scheme} {await token_of(house)}")).status_code == 200


async def test_no_other_carrier_and_no_other_shape_opens(house):
    await house.ada()
    token = await token_of(house)
    head, _, nonce, body, tag = token.split(".")
    forged = [
        None,
        "",
        "Bearer",
        "Bearer ",
        token,
        f"Basic {token}",
        f"Token {token}",
        f"Bearer {token}x",
        f"Bearer {token[:-1]}",
        f"Bearer {token} {token}",
        f"Bearer {head}..{nonce}.{body[:-4]}AAAA.{tag}",
        f"Bearer {head}..{nonce}.{body}.{'A' * 22}",
        f"Bearer {head}.QQ.{nonce}.{body}.{tag}",
        f"Bearer eyJhbGciOiJub25lIn0..{nonce}.{body}.{tag}",
        f"Bearer eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwiemlwIjoiREVGIn0..{nonce}.{body}.{tag}",
        "Bearer eyJhbGciOiJIUzI1NiJ9.e30.AAAA",
        "Bearer undefined",
        "Bearer \xe9",
        f"Bearer {'A' * 9000}",
    ]
    for value in forged:
        assert refused(await profile(house, value)), value
    assert refused(await house.request("GET", f"{PROFILE}?accessToken={token}&token={token}"))
    assert refused(await house.request("GET", PROFILE, headers={"cookie": f"accessToken={token}; token={token}"}))
    assert refused(await house.request("GET", PROFILE, headers={"x-auth-token": token}))
    assert (await profile(house, f"Bearer {token}")).status_code == 200


async def test_the_chat_token_and_the_challenge_open_nothing_here(house):
    ada = await house.ada()
    chat = (await sign_in(house)).json()["data"]["chat"]
    assert refused(await profile(house, f"Bearer {chat['token']}"))
    assert refused(
        await house.request("GET", PROFILE, headers={"x-user-id": chat["id"], "x-auth-token": chat["token"]})
    )
    await house.enrol_totp(ada)
    challenge = (await sign_in(house)).json()["data"]["challengeId"]
    assert refused(await profile(house, f"Bearer {challenge}"))


async def test_a_token_ends_after_thirty_days(house):
    await house.ada()
    token = await token_of(house)
    house.clock.move(30 * 24 * 3600 - 60)
    assert (await profile(house, f"Bearer {token}")).status_code == 200
    house.clock.move(61)
    assert refused(await profile(house, f"Bearer {token}"))


@pytest.mark.parametrize("act", ["password", "status", "factor"])
async def test_what_ends_sessions_ends_this_one_with_its_child_at_once(house, act):
    ada = await house.ada()
    token = await token_of(house)
    assert (await profile(house, f"Bearer {token}")).status_code == 200
    if act == "password":
        await house.core.accounts.set_password(ada.account, Password.from_plain("another horse battery"))
    elif act == "status":
        await house.core.life.set_status(ada.account, "deactivated")
    else:
        await house.enrol_totp(ada)
    assert refused(await profile(house, f"Bearer {token}"))
    assert await house.sessions() == []


async def test_budgets_never_refuse_a_live_token(house):
    await house.ada()
    token = await token_of(house)
    for _ in range(11):
        await sign_in(house, password="wrong horse")
    assert (await sign_in(house)).status_code == 429
    assert (await profile(house, f"Bearer {token}")).status_code == 200


# ---------------------------------------------------------------- the rest of /api


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/nothing", "/api/auth", "/api/profile/", "/api/v2/me"])
async def test_unknown_routes_wear_these_clothes(house, path):
    for method in ("GET", "POST"):
        answer = await house.request(method, path)
        assert (answer.status_code, answer.json()) == (404, {"message": "NOT_FOUND"})
        assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [("GET", SIGN_IN, "POST"), ("DELETE", "/api/auth/user/verify-challenge", "POST"), ("PUT", PROFILE, "GET")],
)
async def test_another_method_is_told_which_are_allowed(house, method, path, allow):
    answer = await house.request(method, path)
    assert (answer.status_code, answer.json()) == (405, {"message": "METHOD_NOT_ALLOWED"})
    assert answer.headers["allow"] == allow


async def test_the_example_signs_ada_in(house):
    await house.ada()
    line = DIALECT.example.replace("{base}", "http://127.0.0.1:8080")
    body = re.search(r"-d '([^']*)'", line).group(1)
    headers = dict(h.split(": ", 1) for h in re.findall(r"-H '([^']*)'", line))
    path = re.search(r"http://127.0.0.1:8080(\S+)", line).group(1)
    answer = await house.request("POST", path, content=body.encode(), headers=headers)
    assert answer.json()["data"]["accessToken"]
    assert PASSWORD in line


# ---------------------------------------------------------------- the chat block


async def test_the_chat_block_is_a_session_of_the_chat_dialect(house):
    await house.ada()
    session = (await sign_in(house)).json()["data"]
    chat = session["chat"]
    carried = {"x-user-id": chat["id"], "x-auth-token": chat["token"]}
    me = await house.get("/api/v1/me", headers=carried)
    assert (me.status_code, me.json()["_id"], me.json()["username"]) == (200, chat["id"], chat["username"])
    resumed = await house.post("/api/v1/login", json={"resume": chat["token"]})
    assert resumed.status_code == 200
    assert resumed.json()["data"]["userId"] == chat["id"]
    assert resumed.json()["data"]["authToken"] == chat["token"]
    foreign = await house.get("/api/v1/me", headers={**carried, "x-auth-token": session["accessToken"]})
    assert foreign.status_code == 401


async def test_signing_the_chat_out_leaves_its_parent_and_never_the_other_way(house):
    ada = await house.ada()
    first, second = [(await sign_in(house)).json()["data"] for _ in range(2)]
    chat = first["chat"]
    carried = {"x-user-id": chat["id"], "x-auth-token": chat["token"]}
    assert (await house.post("/api/v1/logout", headers=carried)).status_code == 200
    assert (await house.get("/api/v1/me", headers=carried)).status_code == 401
    assert (await profile(house, f"Bearer {first['accessToken']}")).status_code == 200

    caller = await house.core.sessions.authenticate(DIALECT.door, second["accessToken"])
    await house.core.sessions.sign_out(caller, client())
    chat = second["chat"]
    carried = {"x-user-id": chat["id"], "x-auth-token": chat["token"]}
    assert (await house.get("/api/v1/me", headers=carried)).status_code == 401
    assert refused(await profile(house, f"Bearer {second['accessToken']}"))
    assert [(door, account) for door, _, account in await house.sessions()] == [("pocketm8", ada.account.id)]


async def test_the_child_lives_no_longer_than_its_parent(house):
    await house.ada()
    chat = (await sign_in(house)).json()["data"]["chat"]
    carried = {"x-user-id": chat["id"], "x-auth-token": chat["token"]}
    house.clock.move(30 * 24 * 3600 - 60)
    assert (await house.get("/api/v1/me", headers=carried)).status_code == 200
    house.clock.move(61)
    assert (await house.get("/api/v1/me", headers=carried)).status_code == 401

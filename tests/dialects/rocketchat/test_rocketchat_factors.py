"""Managing second factors over Rocket.Chat's wire: the contract's sections 7.5 and 7.6, over REST and DDP."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from dragoman.model import Person
from dragoman.storage import accounts
from dragoman.storage.engine import Statement, Tx
from kit.ddp import dialled, listening
from kit.house import PASSWORD, House, Totp, open_house

pytestmark = pytest.mark.slow

LOGIN, ME = "/api/v1/login", "/api/v1/me"
MINUTES = 60
AGENT = {"User-Agent": "test"}
DIGEST = hashlib.sha256(PASSWORD.encode()).hexdigest()
Method = Callable[..., Awaitable[dict[str, Any]]]
"""Calls a method and returns what its result says: `result`, `error`, or nothing."""

_CLAIM = Statement("update identifier set state = 'claimed', verified_at = null where account = :account")


async def log_in(house: House, user: str = "ada", **more: Any) -> dict[str, str]:
    """Sign in; return the headers of that client."""
    body = {"user": user, "password": PASSWORD, **more}
    answer = await house.post(LOGIN, json=body, headers=AGENT, address="127.0.0.1")
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    return {"X-Auth-Token": data["authToken"], "X-User-Id": data["userId"], **AGENT}


async def send(house: House, path: str, headers: dict[str, str], **body: Any) -> httpx2.Response:
    return await house.post(f"/api/v1/{path}", headers=headers, json=body, address="127.0.0.1")


async def wrapped(house: House, headers: dict[str, str], name: str, *params: Any, to: str = "method.call") -> Any:
    """Call a method over REST; return the whole answer."""
    message = json.dumps({"msg": "method", "id": "1", "method": name, "params": params})
    return await send(house, f"{to}/{name}", headers, message=message)


@asynccontextmanager
async def over_rest(house: House, headers: dict[str, str]) -> AsyncIterator[Method]:
    async def call(name: str, *params: Any) -> dict[str, Any]:
        answer = await wrapped(house, headers, name, *params)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        body = answer.json()
        assert body.keys() == {"message", "success"}
        assert body["success"] is True
        said: dict[str, Any] = json.loads(body["message"])
        assert (said.pop("msg"), said.pop("id")) == ("result", "1")
        return said

    yield call


@asynccontextmanager
async def over_ddp(house: House, headers: dict[str, str]) -> AsyncIterator[Method]:
    async with listening(house.app) as base, dialled(base, headers=AGENT) as ddp:
        await ddp.done("login", {"resume": headers["X-Auth-Token"]})

        async def call(name: str, *params: Any) -> dict[str, Any]:
            _, said = await ddp.call(name, *params)
            return {key: value for key, value in said.items() if key in ("result", "error")}

        yield call


WAYS = {"REST": over_rest, "DDP": over_ddp}


@pytest.fixture(params=list(WAYS))
def way(request: pytest.FixtureRequest) -> Any:
    """Both ways in which methods are called."""
    return WAYS[request.param]


@pytest.fixture
async def ada(house: House) -> Person:
    """Ada, verified."""
    return await house.ada()


def code_of(said: dict[str, Any]) -> Any:
    """Return the error's code; every error has the fields that clients read."""
    error = said["error"]
    assert error.keys() >= {"isClientSafe", "error", "reason", "message", "errorType"}
    assert error["message"] == f"{error['reason']} [{error['error']}]"
    return error["error"]


async def enrolled(house: House, call: Method) -> Totp:
    """Enrol TOTP by the two methods."""
    device = Totp(house, (await call("2fa:enable"))["result"]["secret"], ())
    device.recovery = tuple((await call("2fa:validateTempToken", device.code()))["result"]["codes"])
    return device


# ---------------------------------------------------------------- 7.5 methods


async def test_enable_shows_a_secret_and_its_url(house: House, ada: Person, way: Any) -> None:
    async with way(house, await log_in(house)) as call:
        shown = (await call("2fa:enable"))["result"]
        assert shown.keys() == {"secret", "url"}
        assert len(shown["secret"]) == 32
        url = urlsplit(shown["url"])
        assert (url.scheme, url.netloc) == ("otpauth", "totp")
        assert parse_qs(url.query)["secret"] == [shown["secret"]]
        assert "totp" not in (await house.get(ME, headers=await log_in(house))).json()["services"]


async def test_validate_gives_twelve_codes_and_ends_other_logins_but_personal_tokens(
    house: House, ada: Person, way: Any
) -> None:
    here, other = await log_in(house), await log_in(house)
    key = (await send(house, "users.generatePersonalAccessToken", here, tokenName="ci")).json()["token"]
    async with way(house, here) as call:
        device = await enrolled(house, call)
        assert len(set(device.recovery)) == 12
        assert all(len(code) == 8 for code in device.recovery)
        assert (await call("2fa:checkCodesRemaining")) == {"result": {"remaining": 12}}
    tokens = (here["X-Auth-Token"], other["X-Auth-Token"], key)
    status = [(await house.get(ME, headers={**here, "X-Auth-Token": token})).status_code for token in tokens]
    assert status == [200, 401, 200]
    assert (await house.post(LOGIN, json={"user": "ada", "password": PASSWORD})).json()["error"] == "totp-required"
    me = (await house.get(ME, headers=await log_in(house, code=device.code()))).json()
    assert me["services"]["totp"] == {"enabled": True}


async def test_enable_twice(house: House, ada: Person, way: Any) -> None:
    async with way(house, await log_in(house)) as call:
        await enrolled(house, call)
        assert code_of(await call("2fa:enable")) == "error-2fa-already-enabled"


async def test_enable_without_a_verified_address(house: House, ada: Person, way: Any) -> None:
    async def fn(tx: Tx) -> None:
        await tx.run(_CLAIM, account=ada.account.id)
        await accounts.changed(tx, ada.account.id)

    await house.db.transaction(fn)
    headers = await log_in(house)
    async with way(house, headers) as call:
        assert code_of(await call("2fa:enable")) == "error-invalid-user"
    answer = await send(house, "users.2fa.enableEmail", headers)
    assert (answer.status_code, answer.json()["errorType"]) == (400, "error-invalid-user")


@pytest.mark.parametrize("code", ["000000", "", "x", "0" * 200])
async def test_a_code_that_is_not_of_the_app(house: House, ada: Person, way: Any, code: str) -> None:
    async with way(house, await log_in(house)) as call:
        assert code_of(await call("2fa:validateTempToken", code)) == "invalid-totp", "nothing was begun"
        device = Totp(house, (await call("2fa:enable"))["result"]["secret"], ())
        assert code_of(await call("2fa:validateTempToken", code.replace("000000", device.wrong()))) == "invalid-totp"
        assert code_of(await call("2fa:regenerateCodes", code)) == "invalid-totp", "nothing is enrolled"
        assert await call("2fa:disable", code) == {"result": False}
        assert code_of(await call("2fa:checkCodesRemaining")) == "not-authorized"
        assert "result" in await call("2fa:validateTempToken", device.code())


async def test_regenerate_and_disable(house: House, ada: Person, way: Any) -> None:
    async with way(house, await log_in(house)) as call:
        device = await enrolled(house, call)
        assert code_of(await call("2fa:regenerateCodes", device.wrong())) == "invalid-totp"
        fresh = (await call("2fa:regenerateCodes", device.code()))["result"]["codes"]
        assert len(set(fresh) - set(device.recovery)) == 12
        assert await call("2fa:disable", device.recovery[0]) == {"result": False}, "the codes before are void"
        assert await call("2fa:disable", device.wrong()) == {"result": False}
        assert await call("2fa:checkCodesRemaining") == {"result": {"remaining": 12}}
        assert await call("2fa:disable", fresh[0]) == {"result": True}
        assert code_of(await call("2fa:checkCodesRemaining")) == "not-authorized"
    await log_in(house)


@pytest.mark.parametrize("params", [[], [7], [None], [{"code": "1"}], [["1"]]])
@pytest.mark.parametrize("name", ["2fa:validateTempToken", "2fa:disable", "2fa:regenerateCodes"])
async def test_no_code_is_no_match(house: House, ada: Person, name: str, params: list[Any]) -> None:
    async with over_rest(house, await log_in(house)) as call:
        assert code_of(await call(name, *params)) == 400


NAMES = ("enable", "validateTempToken", "disable", "regenerateCodes", "checkCodesRemaining")


@pytest.mark.parametrize("name", [f"2fa:{name}" for name in NAMES])
async def test_methods_without_a_sign_in(house: House, ada: Person, name: str) -> None:
    answer = await wrapped(house, {}, name, "123456")
    assert (answer.status_code, answer.json()["error"]) == (401, "You must be logged in to do this.")
    inside = json.loads((await wrapped(house, {}, name, "123456", to="method.callAnon")).json()["message"])
    assert code_of(inside) == "not-authorized"
    headers = await log_in(house)
    inside = json.loads((await wrapped(house, headers, name, "123456", to="method.callAnon")).json()["message"])
    assert code_of(inside) == "not-authorized", "what is open to all asks nobody who he is"


# ---------------------------------------------------------------- proof among the parameters


async def test_a_method_that_is_protected_asks_and_takes_the_proof_in_each_form(
    house: House, ada: Person, way: Any
) -> None:
    async with way(house, await log_in(house)) as call:
        house.clock.move(11 * MINUTES)
        asked = await call("2fa:enable")
        assert code_of(asked) == "totp-required"
        assert asked["error"]["details"] == {"method": "password", "codeGenerated": False, "availableMethods": []}
        named = {"code": DIGEST, "method": "password", "ddpMethod": "2fa:enable", "params": []}
        wrong = {**named, "code": "0" * 64}
        assert code_of(await call("callWithTwoFactorRequired", wrong)) == "totp-invalid"
        assert "secret" in (await call("callWithTwoFactorRequired", named))["result"]
        house.clock.move(11 * MINUTES)
        assert "secret" in (await call("callWithTwoFactorRequired", [], "password", DIGEST, "2fa:enable"))["result"]
        house.clock.move(11 * MINUTES)
        options = {"twoFactorCode": DIGEST, "twoFactorMethod": "password"}
        assert "secret" in (await call("2fa:enable", options))["result"]
        house.clock.move(11 * MINUTES)
        assert code_of(await call("2fa:enable")) == "totp-required", "a code is for the call that it came with"


async def test_the_headers_of_rest_bring_it_too(house: House, ada: Person) -> None:
    headers = await log_in(house)
    house.clock.move(11 * MINUTES)
    proof = {"x-2fa-code": DIGEST, "x-2fa-method": "password"}
    said = json.loads((await wrapped(house, {**headers, **proof}, "2fa:enable")).json()["message"])
    assert "secret" in said["result"]


@pytest.mark.parametrize(
    "params",
    [
        [],
        [{}],
        [{"code": "1", "method": "totp", "ddpMethod": "nope"}],
        [{"code": "1", "method": "totp", "ddpMethod": "callWithTwoFactorRequired", "params": []}],
        [{"code": 1, "method": "totp", "ddpMethod": "2fa:enable"}],
        [{"code": "1", "method": "totp", "ddpMethod": "2fa:enable", "params": {}}],
        [[], "totp", "1", 7],
        ["1", "2"],
    ],
)
async def test_what_is_no_call_with_a_code(house: House, ada: Person, params: list[Any]) -> None:
    async with over_rest(house, await log_in(house)) as call:
        assert code_of(await call("callWithTwoFactorRequired", *params)) == 400
        options = {"twoFactorCode": 1, "twoFactorMethod": []}
        assert code_of(await call("2fa:enable", options)) == 400


# ---------------------------------------------------------------- the envelope


async def test_methods_that_speak_of_a_connection_are_not_there_over_rest(house: House, ada: Person) -> None:
    headers = await log_in(house)
    for name in ("login", "getNewToken", "nope", ""):
        for to in ("method.call", "method.callAnon"):
            message = json.dumps({"msg": "method", "id": "1", "method": name, "params": [{"resume": "x"}]})
            answer = await send(house, f"{to}/x", headers, message=message)
            said = json.loads(answer.json()["message"])
            assert code_of(said) == 404
            assert said["error"]["reason"] == f"Method '{name}' not found"


async def test_others_work_over_rest(house: House, ada: Person) -> None:
    here, other = await log_in(house), await log_in(house)
    async with over_rest(house, here) as call:
        shown = (await call("logoutOtherClients"))["result"]
        assert shown["token"] == here["X-Auth-Token"]
        assert (await house.get(ME, headers=other)).status_code == 401
        assert await call("sendForgotPasswordEmail", "ada@example.com") == {"result": True}
        assert await call("logout") == {}
    assert (await house.get(ME, headers=here)).status_code == 401
    token = await house.token("reset")
    answer = await wrapped(house, {}, "resetPassword", token, "another good passphrase", to="method.callAnon")
    held = json.loads(answer.json()["message"])["result"]
    pair = {"X-Auth-Token": held["token"], "X-User-Id": held["id"]}
    assert (await house.get(ME, headers=pair)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"message": None},
        {"message": {"msg": "method"}},
        {"message": ""},
        {"message": "x"},
        {"message": "[]"},
        {"message": '{"method":7}'},
        {"message": '{"method":"2fa:enable","params":{}}'},
        {"message": "[" * 1000},
        {"message": '"' + "x" * 1000 + '"'},
    ],
)
async def test_what_is_no_message(house: House, ada: Person, body: dict[str, Any]) -> None:
    answer = await send(house, "method.call/2fa:enable", await log_in(house), **body)
    assert (answer.status_code, answer.json()["errorType"]) == (400, "invalid-params")


async def test_the_path_names_the_method_where_the_message_does_not(house: House, ada: Person) -> None:
    answer = await send(house, "method.call/2fa:enable", await log_in(house), message="{}")
    said = json.loads(answer.json()["message"])
    assert said.keys() == {"msg", "result"}


async def test_errors_may_be_answered_as_the_newest_servers_do(tmp_path: Path) -> None:
    async with open_house(tmp_path, dialects__rocketchat__method_errors=400) as house:
        await house.ada()
        headers = await log_in(house)
        answer = await wrapped(house, headers, "2fa:checkCodesRemaining")
        assert answer.status_code == 400
        assert answer.json()["success"] is False
        assert code_of(json.loads(answer.json()["message"])) == "not-authorized"
        assert (await wrapped(house, headers, "2fa:enable")).status_code == 200


async def test_methods_over_rest_count_as_methods_do(house: House, ada: Person) -> None:
    headers = await log_in(house)
    async with over_rest(house, headers) as call:
        said = [await call("2fa:checkCodesRemaining") for _ in range(21)]
    assert [code_of(each) for each in said] == ["not-authorized"] * 20 + ["too-many-requests"]
    assert said[-1]["error"]["details"]["timeToReset"] > 0
    assert "x-ratelimit-limit" not in (await wrapped(house, headers, "nope")).headers


# ---------------------------------------------------------------- 7.5 endpoints


async def test_codes_by_mail_on_and_off(house: House, ada: Person) -> None:
    here, other = await log_in(house), await log_in(house)
    assert (await send(house, "users.2fa.enableEmail", here)).json() == {"success": True}
    assert (await send(house, "users.2fa.enableEmail", here)).json() == {"success": True}, "it is on, as wanted"
    assert (await house.get(ME, headers=other)).status_code == 401
    me = (await house.get(ME, headers=here)).json()
    assert me["services"]["email2fa"] == {"enabled": True}
    assert len(await house.letters("factor_added")) == 1
    asked = await send(house, "users.2fa.disableEmail", here)
    assert asked.json()["details"]["method"] == "email"
    proof = {"x-2fa-code": await house.mailed_code(), "x-2fa-method": "email"}
    assert (await send(house, "users.2fa.disableEmail", {**here, **proof})).json() == {"success": True}
    proof = {"x-2fa-code": DIGEST, "x-2fa-method": "password"}
    assert (await send(house, "users.2fa.disableEmail", {**here, **proof})).json() == {"success": True}
    assert len(await house.letters("factor_removed")) == 1
    await log_in(house)


async def test_no_codes_by_mail_where_none_can_be_sent(tmp_path: Path) -> None:
    async with open_house(tmp_path, mail__transport="off") as house:
        await house.ada()
        answer = await send(house, "users.2fa.enableEmail", await log_in(house))
        assert (answer.status_code, answer.json()["errorType"]) == (400, "error-not-allowed")


async def root(house: House) -> dict[str, str]:
    """Sign an administrator in, with the proof for each call."""
    await house.add(email="carol@example.com", username="carol", verified=True, administrator=True)
    return {**await log_in(house, "carol"), "x-2fa-code": DIGEST, "x-2fa-method": "password"}


@pytest.mark.parametrize("name", ["userId", "username", "user"])
async def test_an_administrator_resets_somebodys_app(house: House, ada: Person, name: str) -> None:
    here = await log_in(house)
    async with over_rest(house, here) as call:
        await enrolled(house, call)
    whose = ada.aliases["rocketchat"] if name == "userId" else "ada"
    assert (await send(house, "users.resetTOTP", await root(house), **{name: whose})).json() == {"success": True}
    assert (await house.get(ME, headers=here)).status_code == 401
    await log_in(house)
    assert (await house.letters("factor_removed"))[-1].to == "ada@example.com"


async def test_ones_own_app_is_reset_and_every_login_ends(house: House, ada: Person) -> None:
    for body in ({}, {"username": "ada"}, {"userId": ada.aliases["rocketchat"]}, {"user": "ada"}):
        here = await log_in(house)
        async with over_rest(house, here) as call:
            device = await enrolled(house, call)
        proof = {"x-2fa-code": device.code(), "x-2fa-method": "totp"}
        assert (await send(house, "users.resetTOTP", {**here, **proof}, **body)).json() == {"success": True}
        assert (await house.get(ME, headers=here)).status_code == 401


async def test_who_may_not_reset_and_whom(house: House, ada: Person) -> None:
    await house.add(email="bob@example.com", username="bob", verified=True)
    proof = {"x-2fa-code": DIGEST, "x-2fa-method": "password"}
    bob = {**await log_in(house, "bob"), **proof}
    for body in ({"username": "ada"}, {"username": "nobody"}, {"userId": "x"}):
        answer = await send(house, "users.resetTOTP", bob, **body)
        assert answer.status_code == 403, "strangers are not told apart from who is there"
    answer = await send(house, "users.resetTOTP", bob)
    assert (answer.status_code, answer.json()["errorType"]) == (400, "not-authorized"), "there is none"
    admin = await root(house)
    for body in ({"username": "nobody"}, {"userId": "x"}):
        answer = await send(house, "users.resetTOTP", admin, **body)
        assert (answer.status_code, answer.json()) == (400, {"success": False, "error": "User not found."})


async def test_there_are_no_keys_of_encrypted_rooms(house: House, ada: Person) -> None:
    answer = await send(house, "users.resetE2EKey", await root(house), username="ada")
    assert (answer.status_code, answer.json()["errorType"]) == (400, "error-not-allowed")


# ---------------------------------------------------------------- 7.6


async def challenge(house: House, person: Person) -> str:
    return await house.pause_at("rocketchat", person)


SENDS, VERIFIES = "twoFactorChallenges.sendEmailCode", "twoFactorChallenges.verifyChallenge"


async def test_a_challenge_is_verified_once(house: House, ada: Person) -> None:
    device = await house.enrol_totp(ada)
    waiting = await challenge(house, ada)
    answer = await send(house, VERIFIES, {}, challengeId=waiting, code=device.wrong())
    assert (answer.status_code, answer.json()["errorType"]) == (400, "error-invalid-code")
    answer = await send(house, VERIFIES, {}, challengeId=waiting, code=device.code())
    held = answer.json()
    assert held.keys() == {"loginToken", "userId", "success"}
    pair = {"X-Auth-Token": held["loginToken"], "X-User-Id": held["userId"]}
    assert (await house.get(ME, headers=pair)).json()["username"] == "ada"
    answer = await send(house, VERIFIES, {}, challengeId=waiting, code=device.code())
    assert answer.json()["errorType"] == "error-challenge-not-found"


async def test_a_challenge_takes_a_code_by_mail(house: House, ada: Person) -> None:
    await house.enrol_email(ada)
    waiting = await challenge(house, ada)
    assert (await send(house, SENDS, {}, challengeId=waiting)).json() == {"success": True}
    code = await house.mailed_code()
    assert (await send(house, SENDS, {}, challengeId=waiting)).json() == {"success": True}
    assert len(await house.letters("code")) == 1, "one a minute"
    wrong = f"{(int(code) + 1) % 10**6:06}"
    said = [(await send(house, VERIFIES, {}, challengeId=waiting, code=wrong)).json()["errorType"] for _ in range(6)]
    assert said == ["error-invalid-code"] * 4 + ["totp-max-attempts", "error-challenge-not-found"]


@pytest.mark.parametrize("path", [SENDS, VERIFIES])
async def test_what_is_wrong_with_a_challenge(house: House, ada: Person, path: str) -> None:
    async def said(**body: Any) -> tuple[int, str]:
        answer = await send(house, path, {}, **body)
        return answer.status_code, answer.json()["errorType"]

    device = await house.enrol_totp(ada)
    assert await said(code="123456") == (400, "error-parameter-required")
    assert await said(challengeId="", code="123456") == (400, "error-parameter-required")
    assert await said(challengeId="nope", code="123456") == (400, "error-challenge-not-found")
    elsewhere = await house.post("/api/auth/user/sign-in", json={"email": "ada@example.com", "password": PASSWORD})
    other = elsewhere.json()["data"]["challengeId"]
    assert await said(challengeId=other, code=device.code()) == (400, "error-challenge-not-found"), "another door's"
    waiting = await challenge(house, ada)
    if path == SENDS:
        assert await said(challengeId=waiting) == (400, "error-invalid-challenge-method")
    else:
        assert await said(challengeId=waiting) == (400, "error-parameter-required")
    house.clock.move(15 * MINUTES)
    assert await said(challengeId=waiting, code=device.code()) == (400, "error-challenge-expired")
    waiting = await challenge(house, ada)
    await house.core.life.set_status(ada.account, "suspended")
    assert await said(challengeId=waiting, code=device.code()) == (400, "error-challenge-not-found")


@pytest.mark.parametrize("code", [None, 7, "", "c" * 63, "c" * 65])
async def test_a_login_code_has_its_shape(house: House, code: Any) -> None:
    answer = await send(house, "loginCode.redeem", {}, code=code)
    assert (answer.status_code, answer.json()["errorType"]) == (400, "invalid-params")


async def test_no_login_code_is_good(house: House) -> None:
    answer = await send(house, "loginCode.redeem", {}, code="c" * 64)
    assert (answer.status_code, answer.json()["errorType"]) == (400, "error-invalid-code")

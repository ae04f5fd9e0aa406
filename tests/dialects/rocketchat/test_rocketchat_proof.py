"""Proof in the call: the contract's section 7.4, row by row (decision 25, threats 11 and 21)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import httpx2
import pytest

from dragoman.dialects.rocketchat import DIALECT
from dragoman.dialects.rocketchat.wire import time_of
from dragoman.model import Person
from kit.house import PASSWORD, House, Totp
from kit.recipes import RECIPES, Guest, Recipe

pytestmark = pytest.mark.slow

LOGIN, ME = "/api/v1/login", "/api/v1/me"
ENABLE, DISABLE, RESET = (f"/api/v1/users.{name}" for name in ("2fa.enableEmail", "2fa.disableEmail", "resetTOTP"))
MINUTES = 60
DIGEST = hashlib.sha256(PASSWORD.encode()).hexdigest()
PASSWORD_ASKED = {"method": "password", "codeGenerated": False, "availableMethods": []}
TOTP_ASKED = {"method": "totp", "codeGenerated": False, "availableMethods": ["totp"]}
TEXTS = {
    "totp-required": "TOTP Required",
    "totp-invalid": "TOTP Invalid",
    "totp-max-attempts": "TOTP Maximun Failed Attempts Reached",
}


def no(code: str, **details: Any) -> dict[str, Any]:
    """Return the body of a 400 as the contract writes it."""
    return {"success": False, "error": f"{TEXTS[code]} [{code}]", "errorType": code, "details": details}


class Client:
    """Ada's client, with the pair of headers it keeps."""

    def __init__(self, house: House, person: Person) -> None:
        self.house, self.person = house, person
        self.pair: dict[str, str] = {}
        self.address, self.agent = "192.0.2.1", "test"

    async def log_in(self, **more: Any) -> None:
        body = {"user": self.person.username, "password": PASSWORD, **more}
        answer = await self.house.post(LOGIN, json=body, headers={"User-Agent": self.agent}, address=self.address)
        assert answer.status_code == 200, answer.text
        data = answer.json()["data"]
        self.pair = {"X-Auth-Token": data["authToken"], "X-User-Id": data["userId"]}

    async def send(self, path: str, code: str | None = None, method: str | None = None, **body: Any) -> httpx2.Response:
        given = {"x-2fa-code": code, "x-2fa-method": method}
        headers = {**self.pair, "User-Agent": self.agent, **{k: v for k, v in given.items() if v is not None}}
        return await self.house.post(path, headers=headers, address=self.address, json=body)

    async def stays(self) -> bool:
        return (await self.house.get(ME, headers=self.pair, address=self.address)).status_code == 200


@pytest.fixture
async def ada(house: House) -> Client:
    """Ada, signed in eleven minutes ago."""
    client = Client(house, await house.ada())
    await client.log_in()
    house.clock.move(11 * MINUTES)
    return client


async def with_totp(client: Client) -> Totp:
    """Enrol TOTP, and let Ada be signed in eleven minutes ago once more."""
    device = await client.house.enrol_totp(client.person)
    await client.log_in(code=device.code())
    client.house.clock.move(11 * MINUTES)
    return device


# ---------------------------------------------------------------- which, and what is asked

PROTECTED = [each for each in DIALECT.operations if each.fresh]


def test_what_the_contract_protects_is_protected() -> None:
    named = {
        "users.create", "users.update", "users.createToken", "users.generatePersonalAccessToken",
        "users.regeneratePersonalAccessToken", "users.removePersonalAccessToken", "users.2fa.disableEmail",
        "users.resetTOTP", "users.resetE2EKey", "settings/{setting_id}",
    }  # fmt: skip
    assert {f"/api/v1/{name}" for name in named} <= {each.path for each in PROTECTED if each.method == "POST"}
    assert {each.path for each in PROTECTED if each.fresh == "always"} >= {DISABLE, RESET, "/api/v1/users.resetE2EKey"}


def _recipe(operation: Any) -> Recipe:
    wanted = ("rocketchat", operation.method, operation.path)
    return next(each for each in RECIPES if (each.dialect, each.method, each.path) == wanted)


@pytest.mark.parametrize("proof", [{}, {"x-2fa-code": DIGEST, "x-2fa-method": "password"}], ids=["none", "password"])
@pytest.mark.parametrize("operation", PROTECTED, ids=lambda each: each.path)
async def test_each_asks_when_the_proof_is_old(house: House, operation: Any, proof: dict[str, str]) -> None:
    recipe, email = _recipe(operation), "bob@example.com"
    person = await house.add(email=email, username="bob", verified=True, administrator=True)
    guest = Guest(house, person, email, "bob", "10.0.0.1")
    await guest.arrive()
    house.clock.move(11 * MINUTES)
    live = await house.sessions()

    async def call(method: str, path: str, **wanted: Any) -> httpx2.Response:
        kept = {name: value for name, value in wanted.pop("headers", {}).items() if not name.startswith("x-2fa")}
        return await house.request(method, path, address=guest.address, headers={**kept, **proof}, **wanted)

    guest.call = call  # type: ignore[method-assign]
    answer = await recipe.send(guest)
    if proof:
        assert answer.status_code in recipe.works, answer.text
        assert "totp-" not in answer.text
    else:
        assert (answer.status_code, answer.json()) == (400, no("totp-required", **PASSWORD_ASKED)), answer.text
        assert await house.sessions() == live


async def test_parameters_go_before_the_proof_and_the_sign_in_before_them(ada: Client) -> None:
    answer = await ada.house.post("/api/v1/users.generatePersonalAccessToken", headers=ada.pair, json={})
    assert (answer.status_code, answer.json()["errorType"]) == (400, "invalid-params")
    answer = await ada.house.post("/api/v1/users.generatePersonalAccessToken", json={})
    assert answer.status_code == 401


async def test_a_code_of_an_app_is_asked_for(ada: Client) -> None:
    device = await with_totp(ada)
    answer = await ada.send(ENABLE)
    assert (answer.status_code, answer.json()) == (400, no("totp-required", **TOTP_ASKED))
    assert (await ada.send(ENABLE, device.code(), "totp")).json() == {"success": True}


async def test_a_code_by_mail_is_mailed_and_asked_for(ada: Client) -> None:
    house = ada.house
    await house.enrol_email(ada.person)
    await house.post(LOGIN, json={"user": "ada", "password": PASSWORD})
    await ada.log_in(code=await house.mailed_code())
    house.clock.move(11 * MINUTES)
    mail = {"method": "email", "emailOrUsername": "ada", "availableMethods": ["email"]}
    assert (await ada.send(DISABLE)).json() == no("totp-required", **mail, codeGenerated=True)
    assert len(await house.letters("code")) == 2
    ends = time_of(house.clock.now() + 10 * MINUTES * 1000)
    assert (await ada.send(DISABLE)).json() == no("totp-required", **mail, codeGenerated=False, codeExpires=ends)
    code = await house.mailed_code()
    wrong = f"{(int(code) + 1) % 10**6:06}"
    assert (await ada.send(DISABLE, wrong, "email")).json() == no(
        "totp-invalid", **mail, codeGenerated=False, codeExpires=ends
    )
    assert (await ada.send(DISABLE, f"{code[:3]}-{code[3:]}", "email")).json() == {"success": True}
    assert "email2fa" not in (await house.get(ME, headers=ada.pair)).json()["services"]


async def test_with_both_the_app_goes_first_and_mail_may_be_named(ada: Client) -> None:
    house = ada.house
    await house.enrol_email(ada.person)
    device = await with_totp(ada)
    asked = no("totp-required", method="totp", codeGenerated=False, availableMethods=["totp", "email"])
    assert (await ada.send(RESET)).json() == asked
    assert len(await house.letters("code")) == 0
    await house.post("/api/v1/users.2fa.sendEmailCode", json={"emailOrUsername": "ada"})
    code = await house.mailed_code()
    refused = (await ada.send(RESET, code, "totp")).json()
    assert (refused["errorType"], refused["details"]["method"]) == ("totp-invalid", "totp")
    refused = (await ada.send(RESET, device.code(), "email")).json()
    assert (refused["errorType"], refused["details"]["method"]) == ("totp-invalid", "email")
    assert refused["details"]["emailOrUsername"] == "ada"
    assert (await ada.send(RESET, code, "email")).status_code == 200


# ---------------------------------------------------------------- the two headers


@pytest.mark.parametrize(
    ("code", "method"), [(DIGEST, None), (None, "password"), ("", "password"), (DIGEST, ""), (None, None)]
)
async def test_one_header_without_the_other_is_none(ada: Client, code: str | None, method: str | None) -> None:
    answer = await ada.send(ENABLE, code, method)
    assert (answer.status_code, answer.json()) == (400, no("totp-required", **PASSWORD_ASKED))


@pytest.mark.parametrize("code", [DIGEST, DIGEST.upper()])
@pytest.mark.parametrize("method", ["password", "whatever"])
async def test_the_password_as_digest_in_any_letter_case(ada: Client, code: str, method: str) -> None:
    assert (await ada.send(ENABLE, code, method)).json() == {"success": True}


@pytest.mark.parametrize("code", [PASSWORD, "0" * 64, "x", DIGEST[:-1], DIGEST * 100])
async def test_a_password_that_is_not_right(ada: Client, code: str) -> None:
    answer = await ada.send(ENABLE, code, "password")
    assert (answer.status_code, answer.json()) == (400, no("totp-invalid", **PASSWORD_ASKED))


async def test_the_password_stands_for_no_second_factor(ada: Client) -> None:
    device = await with_totp(ada)
    before = ada.house.hash_evaluations()
    answer = await ada.send(ENABLE, DIGEST, "password")
    assert (answer.status_code, answer.json()) == (400, no("totp-invalid", **TOTP_ASKED))
    assert ada.house.hash_evaluations() == before, "it is not even compared"
    assert (await ada.send(ENABLE, device.recovery[0], "password")).status_code == 200, "the first enrolled is meant"


@pytest.mark.parametrize("method", ["totp", "email"])
async def test_a_method_that_is_named_but_not_enrolled_fails(ada: Client, method: str) -> None:
    answer = (await ada.send(ENABLE, DIGEST, method)).json()
    assert (answer["errorType"], answer["details"]["method"]) == ("totp-invalid", method)
    assert answer["details"]["availableMethods"] == []


async def test_a_recovery_code_is_a_code_once(ada: Client) -> None:
    device = await with_totp(ada)
    assert (await ada.send(RESET, device.recovery[0], "totp")).status_code == 200
    await with_totp(ada)
    assert (await ada.send(RESET, device.recovery[0], "totp")).status_code == 400


# ---------------------------------------------------------------- what is remembered


async def test_a_proof_is_remembered_for_ten_minutes_for_its_client(ada: Client) -> None:
    removal, body = "/api/v1/users.removePersonalAccessToken", {"tokenName": "none"}
    await ada.send(ENABLE, DIGEST, "password")
    unknown = (await ada.send(removal, **body)).json()["errorType"]
    assert unknown == "error-token-does-not-exists", "no proof is asked for; that there is no such token is all"
    ada.house.clock.move(10 * MINUTES)
    assert (await ada.send(removal, **body)).json()["errorType"] == unknown
    ada.house.clock.move(1)
    assert (await ada.send(removal, **body)).json()["errorType"] == "totp-required"


@pytest.mark.parametrize("changed", ["address", "agent"])
async def test_another_client_with_the_same_token_is_asked(house: House, changed: str) -> None:
    ada = Client(house, await house.ada())
    await ada.log_in()
    setattr(ada, changed, "198.51.100.7" if changed == "address" else "another")
    answer = await ada.send(ENABLE)
    assert (answer.status_code, answer.json()) == (400, no("totp-required", **PASSWORD_ASKED))
    assert await ada.stays(), "it still is signed in"
    assert (await ada.send(ENABLE, DIGEST, "password")).status_code == 200


@pytest.mark.parametrize("path", [DISABLE, RESET, "/api/v1/users.resetE2EKey"])
async def test_some_never_remember(house: House, path: str) -> None:
    ada = Client(house, await house.ada())
    await ada.log_in()
    for _ in range(2):
        assert (await ada.send(path)).json() == no("totp-required", **PASSWORD_ASKED)
        assert "totp" not in (await ada.send(path, DIGEST, "password")).text


# ---------------------------------------------------------------- no end of trying


@pytest.mark.parametrize("kind", ["password", "totp"])
async def test_five_misses_in_a_row_end_the_session(ada: Client, kind: str) -> None:
    device = await with_totp(ada) if kind == "totp" else None
    wrong, right = ("0" * 64, DIGEST) if device is None else (device.wrong(), "")
    for _ in range(4):
        assert (await ada.send(RESET, wrong, kind)).json()["errorType"] == "totp-invalid"
    token = "/api/v1/users.generatePersonalAccessToken"
    right = right or device.code()  # type: ignore[union-attr]
    assert (await ada.send(token, right, kind, tokenName="ci")).status_code == 200
    wrong = wrong if device is None else device.wrong()
    said = [(await ada.send(RESET, wrong, kind)).json().get("errorType") for _ in range(6)]
    last = "totp-invalid" if kind == "password" else "totp-max-attempts"
    assert said == ["totp-invalid"] * 4 + [last, None]
    assert not await ada.stays()


async def test_a_lane_that_is_locked_takes_no_password_and_nobody_is_signed_out(ada: Client) -> None:
    for _ in range(10):
        await ada.house.post(LOGIN, json={"user": "ada", "password": "wrong"})
    answer = await ada.send(ENABLE, DIGEST, "password")
    assert (answer.status_code, answer.json()) == (400, no("totp-max-attempts", **PASSWORD_ASKED))
    assert await ada.stays()


async def test_codes_are_refused_where_the_budget_for_them_is_spent(ada: Client) -> None:
    device = await with_totp(ada)
    for _ in range(10):
        await ada.house.post(LOGIN, json={"user": "ada", "password": PASSWORD, "code": device.wrong()})
    answer = await ada.send(ENABLE, device.code(), "totp")
    assert (answer.status_code, answer.json()) == (400, no("totp-max-attempts", **TOTP_ASKED))
    assert await ada.stays()


async def test_whoever_is_asked_and_asked_is_told_to_wait(house: House) -> None:
    """An administrator, whom no rate of the contract holds, with a client that repeats for ever without a code."""
    root = Client(house, await house.add(email="bob@example.com", username="bob", verified=True, administrator=True))
    await root.log_in()
    house.clock.move(11 * MINUTES)
    said = [(await root.send(ENABLE)).status_code for _ in range(12)]
    assert said == [400] * 10 + [429] * 2
    answer = await root.send(ENABLE)
    assert "too many requests" in answer.json()["error"]
    assert "errorType" not in answer.json()
    house.clock.move(61)
    assert (await root.send(ENABLE)).status_code == 400


# ---------------------------------------------------------------- keys


async def test_a_personal_token_neither_needs_nor_gives_a_proof_where_it_may_not_go(house: House) -> None:
    ada = Client(house, await house.ada())
    await ada.log_in()
    for bypass in (False, True):
        made = await ada.send(
            "/api/v1/users.generatePersonalAccessToken", tokenName=str(bypass), bypassTwoFactor=bypass
        )  # fmt: skip
        key = Client(house, ada.person)
        key.pair = {**ada.pair, "X-Auth-Token": made.json()["token"]}
        for path in (ENABLE, DISABLE, RESET):
            answer = await key.send(path, DIGEST, "password")
            assert (answer.status_code, answer.json()) == (403, {"success": False, "error": "unauthorized"})
        said = json.dumps({"msg": "method", "id": "1", "method": "2fa:enable", "params": []})
        inside = (await key.send("/api/v1/method.call/2fa:enable", message=said)).json()["message"]
        assert json.loads(inside)["error"]["error"] == 403

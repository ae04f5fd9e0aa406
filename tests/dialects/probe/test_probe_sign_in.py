"""`POST auth/sign-in`: Probe's contract, section 3.1, with decision 3 for the second factor."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from dragoman.app import gateway
from dragoman.dialects import probe
from dragoman.http import Mount
from dragoman.model import Password
from kit.house import PASSWORD, House

SIGN_IN = "/frontend/api/v1/auth/sign-in"
SESSION = "/frontend/api/v1/auth/session"
ADA: dict[str, Any] = {"email": "ada@example.com", "password": PASSWORD}
WRONG = {"email": "ada@example.com", "password": "not her password"}


def text_of(millis: int) -> str:
    return datetime.fromtimestamp(millis // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def cookies(answer: httpx2.Response) -> dict[str, str]:
    return {line.partition("=")[0]: line for line in answer.headers.get_list("set-cookie")}


def error(answer: httpx2.Response) -> tuple[int, str, str]:
    body = answer.json()
    assert list(body) == ["status", "code", "error", "context"], body
    assert body["code"] == 0
    return answer.status_code, body["status"], body["error"]


async def test_the_documented_request_gets_the_documented_answer(house: House) -> None:
    person = await house.ada(password="correct horse")
    sent = (
        b'{"email": "ada@example.com", "password": "correct horse", "long-term-token": true,\n'
        b' "logout-other": false, "current-user": null, "ret-url": null}'
    )
    answer = await house.post(SIGN_IN, content=sent, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    api_token, token = body.pop("api-token"), body["jwt-token"].pop("token")
    assert re.fullmatch("[0-9a-f]{64}", api_token)
    assert body == {
        "current-user": None,
        "email": "ada@example.com",
        "jwt-token": {"expire": text_of(house.clock.now() + 1_209_600_000)},
        "oauth-provider-tokens": [],
        "ret-url": None,
        "status": "active",
        "user-id": int(person.aliases["probe"]),
    }
    header, claims, _ = (base64.urlsafe_b64decode(part + "==") for part in token.split("."))
    assert json.loads(header) == {"alg": "HS256", "typ": "JWT"}
    assert json.loads(claims)["sub"] == person.aliases["probe"]


async def test_a_form_signs_in_as_json_does(house: House) -> None:
    await house.ada()
    form = {**ADA, "long-term-token": "0", "logout-other": "false", "current-user": ""}
    answer = await house.post(SIGN_IN, data=form)
    assert answer.status_code == 200
    assert answer.json()["jwt-token"]["expire"] == text_of(house.clock.now() + 10_800_000)
    assert answer.json()["current-user"] is None


@pytest.mark.parametrize(("long", "life"), [(True, 1_209_600), (False, 10_800)])
async def test_the_length_of_a_token_is_the_client_s_to_choose(house: House, long: bool, life: int) -> None:
    await house.ada()
    answer = await house.post(SIGN_IN, json={**ADA, "long-term-token": long})
    token = answer.json()["jwt-token"]["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert answer.json()["jwt-token"]["expire"] == text_of(house.clock.now() + life * 1000)
    assert f"Max-Age={life}" in cookies(answer)["jwt"]
    (own,) = (await house.get(SESSION, headers=bearer)).json()["sessions"]
    assert own["expire"] == answer.json()["jwt-token"]["expire"]
    house.clock.move(life - 1)
    assert (await house.get(SESSION, headers=bearer)).status_code == 200
    house.clock.move(1)
    assert (await house.get(SESSION, headers=bearer)).status_code == 401


async def test_every_failed_sign_in_reads_the_same(house: House) -> None:
    await house.ada()
    await house.add(password=None, email="bob@example.com", username="bob", verified=True)
    await house.ada(email="sus@example.com", username="sus", status="suspended")
    tries: list[dict[str, Any]] = [
        WRONG,
        {"email": "nobody@example.com", "password": PASSWORD},
        {"email": "bob@example.com", "password": PASSWORD},
        {"email": "sus@example.com", "password": "not the password"},
        {"email": "ada@example.com"},
    ]
    for body in tries:
        before = house.hash_evaluations()
        answer = await house.post(SIGN_IN, json=body)
        assert error(answer) == (401, "UNAUTHENTICATED", "unauthenticated: wrong email or password"), body
        assert house.hash_evaluations() == before + 1
        assert answer.json()["context"] == {}
        assert cookies(answer) == {}
    assert await house.sessions() == []


async def test_a_missing_password_is_not_the_empty_one(house: House) -> None:
    ada = await house.ada()
    await house.core.accounts.set_password(ada.account, Password.from_plain(""), allow_weak=True)
    assert (await house.post(SIGN_IN, json={"email": "ada@example.com"})).status_code == 401


@pytest.mark.parametrize("status", ["suspended", "deactivated"])
async def test_who_was_switched_off_learns_it_after_the_right_password(house: House, status: str) -> None:
    await house.ada(status=status)
    assert error(await house.post(SIGN_IN, json=WRONG))[0] == 401
    answer = await house.post(SIGN_IN, json=ADA)
    assert error(answer) == (403, "PERMISSION_DENIED", "permission denied: account is suspended")
    assert await house.sessions() == []


async def test_a_pending_account_gets_its_status_and_no_token(house: House) -> None:
    person = await house.ada(verified=False)
    answer = await house.post(SIGN_IN, json=ADA)
    assert answer.status_code == 200
    assert answer.json() == {
        "current-user": None,
        "email": "ada@example.com",
        "oauth-provider-tokens": [],
        "ret-url": None,
        "status": "pending",
        "user-id": int(person.aliases["probe"]),
    }
    assert cookies(answer) == {}
    assert await house.sessions() == []


async def test_the_address_is_compared_in_any_case_and_shown_as_typed(house: House) -> None:
    await house.ada(email="Ada@Example.com")
    answer = await house.post(SIGN_IN, json={**ADA, "email": " aDA@eXAMPLE.com "})
    assert answer.json()["email"] == "Ada@Example.com"


# ---------------------------------------------------------------- second factor


@pytest.mark.parametrize("place", ["body", "form", "header"])
async def test_the_second_factor_is_asked_for_and_comes_with_the_whole_login(house: House, place: str) -> None:
    totp = await house.enrol_totp(await house.ada())
    asked = await house.post(SIGN_IN, json=ADA)
    assert error(asked) == (401, "UNAUTHENTICATED", "unauthenticated: second factor required")
    assert asked.json()["context"] == {"second-factor": ["totp"]}
    assert cookies(asked) == {}
    assert await house.sessions() == []
    wrong = await house.post(SIGN_IN, json={**ADA, "code": totp.wrong()})
    assert error(wrong) == (401, "UNAUTHENTICATED", "unauthenticated: wrong second factor code")
    assert wrong.json()["context"] == {"second-factor": ["totp"]}
    sent: dict[str, Any] = {
        "body": lambda code: {"json": {**ADA, "code": code}},
        "form": lambda code: {"data": {**ADA, "code": code}},
        "header": lambda code: {"json": ADA, "headers": {"X-2FA-Code": code}},
    }[place]
    code = totp.code()
    assert (await house.post(SIGN_IN, **sent(code))).status_code == 200
    assert error(await house.post(SIGN_IN, **sent(code)))[2] == "unauthenticated: wrong second factor code"


async def test_a_recovery_code_is_a_code_and_good_once(house: House) -> None:
    totp = await house.enrol_totp(await house.ada())
    body = {**ADA, "code": totp.recovery[0]}
    assert (await house.post(SIGN_IN, json=body)).status_code == 200
    assert (await house.post(SIGN_IN, json=body)).status_code == 401


async def test_a_code_does_not_stand_in_for_the_password(house: House) -> None:
    totp = await house.enrol_totp(await house.ada())
    answer = await house.post(SIGN_IN, json={**WRONG, "code": totp.code()})
    assert error(answer)[2] == "unauthenticated: wrong email or password"


async def test_the_code_in_the_body_goes_before_the_header(house: House) -> None:
    totp = await house.enrol_totp(await house.ada())
    headers = {"X-2FA-Code": totp.wrong()}
    assert (await house.post(SIGN_IN, json={**ADA, "code": totp.code()}, headers=headers)).status_code == 200


# ---------------------------------------------------------------- what comes with it


async def test_the_api_token_is_the_same_at_each_sign_in(house: House) -> None:
    await house.ada()
    first, second = [(await house.post(SIGN_IN, json=ADA)).json() for _ in range(2)]
    assert first["api-token"] == second["api-token"]
    assert first["jwt-token"]["token"] != second["jwt-token"]["token"]
    assert sorted(kind for _, kind, _ in await house.sessions()) == ["client", "client", "key"]


async def test_a_new_password_by_the_operator_replaces_the_api_token(house: House) -> None:
    ada = await house.ada()
    old = (await house.post(SIGN_IN, json=ADA)).json()["api-token"]
    await house.core.accounts.set_password(ada.account, Password.from_plain("another good password"))
    assert (await house.get(SESSION, headers={"Authorization": f"Bearer {old}"})).status_code == 401
    new = (await house.post(SIGN_IN, json={**ADA, "password": "another good password"})).json()["api-token"]
    assert new != old
    assert (await house.get(SESSION, headers={"Authorization": f"Bearer {new}"})).status_code == 200


async def test_logout_other_ends_the_others_and_leaves_the_api_token(house: House) -> None:
    await house.ada()
    old = (await house.post(SIGN_IN, json=ADA)).json()
    new = (await house.post(SIGN_IN, json={**ADA, "logout-other": True})).json()
    for token, status in (
        (old["jwt-token"]["token"], 401),
        (new["jwt-token"]["token"], 200),
        (old["api-token"], 200),
    ):
        assert (await house.get(SESSION, headers={"Authorization": f"Bearer {token}"})).status_code == status
    assert new["api-token"] == old["api-token"]


async def test_current_user_is_confirmed_to_a_live_token_of_that_user_only(house: House) -> None:
    await house.ada()
    await house.add(email="bob@example.com", username="bob", verified=True)
    ada = (await house.post(SIGN_IN, json=ADA)).json()
    bob = {"email": "bob@example.com", "password": PASSWORD, "current-user": "Ada@example.com", "logout-other": True}
    jwt = ada["jwt-token"]["token"]
    for carried, echoed in (
        ({"headers": {"Authorization": f"Bearer {jwt}"}}, "Ada@example.com"),
        ({"params": {"jwt": jwt}}, "Ada@example.com"),
        ({"headers": {"Cookie": f"jwt={jwt}"}}, "Ada@example.com"),
        ({"headers": {"Authorization": f"Bearer {ada['api-token']}"}}, None),
        ({"headers": {"Authorization": f"Bearer {jwt[:-4]}AAAA"}}, None),
        ({}, None),
    ):
        answer = await house.post(SIGN_IN, json=bob, **carried)
        assert answer.status_code == 200
        assert answer.json()["current-user"] == echoed, carried
    again = {**ADA, "current-user": "ada@example.com", "logout-other": True}
    answer = await house.post(SIGN_IN, json=again, headers={"Authorization": f"Bearer {jwt}"})
    assert answer.json()["current-user"] == "ada@example.com"
    answer = await house.post(SIGN_IN, json=again, headers={"Authorization": f"Bearer {jwt}"})
    assert answer.json()["current-user"] is None, "the token that came along was ended by the sign-in before"


@pytest.mark.parametrize(
    ("url", "echoed"),
    [
        ("https://app.example.com", True),
        ("https://app.example.com/after?x=1#y", True),
        ("https://APP.example.com:443/", True),
        ("https://app.example.com:444/", False),
        ("http://app.example.com/", False),
        ("https://app.example.com.evil.example/", False),
        ("https://app.example.com@evil.example/", False),
        ("https://app.example.com:443@evil.example/", False),
        ("https://app.example.com\\@evil.example/", False),
        ("https://app.example.com\n.evil.example/", False),
        ("//app.example.com/", False),
        ("javascript:alert(1)//https://app.example.com/", False),
        (" https://app.example.com/", False),
        ("", False),
    ],
)
async def test_a_return_address_comes_back_for_configured_origins_only(
    configured: House, url: str, echoed: bool
) -> None:
    await configured.ada()
    answer = await configured.post(SIGN_IN, json={**ADA, "ret-url": url})
    assert answer.json()["ret-url"] == (url if echoed else None)
    token = answer.json()["jwt-token"]["token"]
    out = await configured.delete("/frontend/api/v1/auth/sign-out", params={"ret-url": url, "jwt": token})
    assert out.json() == {"ret-url": url if echoed else None, "success": True}


async def test_without_configuration_no_return_address_comes_back(house: House) -> None:
    await house.ada()
    assert (await house.post(SIGN_IN, json={**ADA, "ret-url": "http://dragoman.test/"})).json()["ret-url"] is None


# ---------------------------------------------------------------- cookies


async def test_the_cookies_are_for_browsers_over_tls(house: House) -> None:
    await house.ada()
    answer = await house.post(SIGN_IN, json=ADA)
    found = cookies(answer)
    token = answer.json()["jwt-token"]["token"]
    assert found["jwt"] == f"jwt={token}; Path=/; Max-Age=1209600; HttpOnly; Secure; SameSite=Lax"
    assert found["dragoman-mark"].endswith("; Path=/; Max-Age=7776000; HttpOnly; Secure; SameSite=Lax")


@pytest.mark.parametrize(
    ("address", "headers", "secure"),
    [
        ("127.0.0.1", {}, False),
        ("::1", {}, False),
        ("192.0.2.1", {}, True),
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.1"}, True),
    ],
)
async def test_the_cookies_work_over_plain_http_on_this_machine(
    house: House, address: str, headers: dict[str, str], secure: bool
) -> None:
    await house.ada()
    answer = await house.post(SIGN_IN, json=ADA, address=address, headers=headers)
    assert [("Secure" in line) for line in cookies(answer).values()] == [secure, secure]


async def test_a_marked_browser_is_known_and_gets_no_new_mark(house: House) -> None:
    await house.ada()
    mark = cookies(await house.post(SIGN_IN, json=ADA))["dragoman-mark"].partition(";")[0]
    for number in range(40):
        await house.post(SIGN_IN, json=WRONG, address=f"203.0.113.{number}")
    assert error(await house.post(SIGN_IN, json=ADA, address="203.0.113.200"))[0] == 429
    answer = await house.post(SIGN_IN, json=ADA, address="203.0.113.201", headers={"Cookie": mark})
    assert answer.status_code == 200
    assert "dragoman-mark" not in cookies(answer)


async def test_cookies_for_pages_of_another_site_say_so(house: House) -> None:
    dialect = probe.dialect(probe.Config(cookie_site="none"))
    house.app = gateway(house.core, house.settings, (Mount(dialect=dialect),))
    await house.ada()
    for address, ending in (("192.0.2.1", "Secure; SameSite=None"), ("127.0.0.1", "Secure; SameSite=None")):
        answer = await house.post(SIGN_IN, json=ADA, address=address)
        assert cookies(answer)["jwt"].endswith(ending)


# ---------------------------------------------------------------- foreign pages


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://dragoman.test.evil.example", ""])
async def test_a_foreign_page_signs_nobody_in(house: House, origin: str) -> None:
    await house.ada()
    answer = await house.post(SIGN_IN, data=ADA, headers={"Origin": origin})
    assert error(answer) == (403, "PERMISSION_DENIED", "permission denied")
    assert answer.json()["context"] == {"header:Origin": ["#: is not an allowed origin"]}
    assert cookies(answer) == {}
    assert await house.sessions() == []


@pytest.mark.parametrize("origin", ["http://dragoman.test", "https://app.example.com"])
async def test_our_own_and_configured_pages_sign_in(configured: House, origin: str) -> None:
    await configured.ada()
    assert (await configured.post(SIGN_IN, json=ADA, headers={"Origin": origin})).status_code == 200


async def test_configured_pages_may_read_the_answers_and_send_the_cookie(configured: House) -> None:
    origin = {"Origin": "https://app.example.com"}
    wanted = {**origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "X-2FA-Code"}
    allowed = await configured.request("OPTIONS", SIGN_IN, headers=wanted)
    assert allowed.status_code == 204
    assert allowed.headers["access-control-allow-origin"] == "https://app.example.com"
    assert allowed.headers["access-control-allow-credentials"] == "true"
    assert "X-2FA-Code" in allowed.headers["access-control-allow-headers"]
    foreign = await configured.get(SESSION, headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in foreign.headers


# ---------------------------------------------------------------- budgets


async def test_a_locked_account_says_when_to_come_again(house: House) -> None:
    await house.ada()
    for _ in range(10):
        assert error(await house.post(SIGN_IN, json=WRONG))[0] == 401
    answer = await house.post(SIGN_IN, json=ADA)
    assert error(answer)[:2] == (429, "RESOURCE_EXHAUSTED")
    house.clock.move(int(answer.headers["retry-after"]))
    assert (await house.post(SIGN_IN, json=ADA)).status_code == 200

"""The limited token and POST /mfa/verify-login (contract section 7, open point 23; decisions 2, 4 and 8)."""

from __future__ import annotations

from typing import Any

import pytest

from dialects.flashback.talk import CREDENTIALS, assert_no, bearer, claims, log_in, profile, refresh
from dragoman.dialects.flashback import DIALECT
from dragoman.storage.engine import Statement
from kit.house import House, Totp

_DEVICES = Statement("select device from session where door = 'flashback'")


async def enrolled(house: House) -> Totp:
    return await house.enrol_totp(await house.ada())


async def verify(house: House, limited: str, **body: Any) -> Any:
    return await house.post("/mfa/verify-login", json={"mfaType": "GOOGLE_AUTH", **body}, headers=bearer(limited))


async def test_login_gives_a_limited_token_and_no_session(house: House) -> None:
    await enrolled(house)
    answer = await log_in(house)
    assert list(answer) == ["success", "accessToken", "expiresAt", "message", "user"]
    said = claims(answer["accessToken"])
    assert said["type"] == "mfa_pending"
    assert said["userId"] == answer["user"]["id"]
    assert answer["expiresAt"] == said["exp"] * 1000 == house.clock.now() + 15 * 60_000
    assert await house.sessions() == []


@pytest.mark.parametrize("kind", ["totp", "recovery"])
async def test_a_code_finishes_the_sign_in(house: House, kind: str) -> None:
    totp = await enrolled(house)
    limited = (await log_in(house, deviceInfo={"os": "Linux"}))["accessToken"]
    answer = await verify(house, limited, code=totp.code() if kind == "totp" else totp.recovery[0])
    body = answer.json()
    assert list(body) == ["success", "message", "fullAccessToken", "refreshToken"]
    assert claims(body["fullAccessToken"])["type"] == "access"
    shown = await profile(house, body["fullAccessToken"])
    assert shown.json()["data"]["mfaRequired"] is True
    assert (await refresh(house, body["refreshToken"])).status_code == 200
    assert await house.db.scan(_DEVICES) == [('{"os":"Linux"}',)]


async def test_a_code_is_good_once(house: House) -> None:
    totp = await enrolled(house)
    first, second = (await log_in(house))["accessToken"], (await log_in(house))["accessToken"]
    code = totp.code()
    assert (await verify(house, first, code=code)).status_code == 200
    assert_no(await verify(house, second, code=code), 401, "INVALID_MFA_CODE")
    assert_no(await verify(house, first, code=totp.code()), 401, "NO_AUTH_USER")
    recovery = totp.recovery[0]
    assert (await verify(house, second, code=recovery)).status_code == 200
    third = (await log_in(house))["accessToken"]
    assert_no(await verify(house, third, code=recovery), 401, "INVALID_MFA_CODE")


async def test_five_wrong_codes_end_the_attempt(house: House) -> None:
    totp = await enrolled(house)
    limited = (await log_in(house))["accessToken"]
    for _ in range(5):
        assert_no(await verify(house, limited, code=totp.wrong()), 401, "INVALID_MFA_CODE")
    assert_no(await verify(house, limited, code=totp.code()), 401, "NO_AUTH_USER")
    assert await house.sessions() == []


async def test_twenty_wrong_codes_a_day_close_the_second_step(house: House) -> None:
    totp = await enrolled(house)
    for _ in range(4):
        limited = (await log_in(house))["accessToken"]
        for _ in range(5):
            assert_no(await verify(house, limited, code=totp.wrong()), 401, "INVALID_MFA_CODE")
    limited = (await log_in(house))["accessToken"]
    answer = await verify(house, limited, code=totp.code())
    assert_no(answer, 429, "RATE_LIMITED")
    assert int(answer.headers["retry-after"]) > 0


async def test_the_limited_token_opens_nothing_else(house: House) -> None:
    await enrolled(house)
    limited = (await log_in(house))["accessToken"]
    tried = 0
    for each in DIALECT.operations:
        if each.access == "open" or each.accepts_limited:
            continue
        tried += 1
        answer = await house.request(each.method, each.path, json={}, headers=bearer(limited))
        assert (answer.status_code, answer.json()["error_code"]) == (403, "MFA_REQUIRED"), each.path
    assert tried >= 1
    assert_no(await refresh(house, limited), 401, "INVALID_REFRESH_TOKEN")
    assert (await house.post("/user/logout", headers=bearer(limited))).status_code == 200
    assert await house.sessions() == []


async def test_the_limited_token_dies(house: House) -> None:
    totp = await enrolled(house)
    limited = (await log_in(house))["accessToken"]
    house.clock.move(15 * 60)
    assert_no(await verify(house, limited, code=totp.code()), 401, "NO_AUTH_USER")
    assert_no(await profile(house, limited), 401, "NO_AUTH_USER")


async def test_a_new_password_ends_the_attempt(house: House) -> None:
    from dragoman.model import Password

    ada = await house.ada()
    totp = await house.enrol_totp(ada)
    limited = (await log_in(house))["accessToken"]
    await house.core.accounts.set_password(ada.account, Password.from_plain("another horse battery"))
    assert_no(await verify(house, limited, code=totp.code()), 401, "NO_AUTH_USER")


async def test_a_full_token_has_nothing_to_verify(house: House) -> None:
    ada = await house.ada()
    full = (await log_in(house))["accessToken"]
    totp = await house.enrol_totp(ada)
    assert_no(await verify(house, full, code=totp.code()), 401, "NO_AUTH_USER")


@pytest.mark.parametrize("token", ["x", "a.b.c", "A" * 75])
async def test_other_bearers(house: House, token: str) -> None:
    assert_no(await verify(house, token, code="123456"), 401, "NO_AUTH_USER")
    answer = await house.post("/mfa/verify-login", json={"mfaType": "GOOGLE_AUTH", "code": "123456"})
    assert_no(answer, 401, "NO_AUTH_USER")


NOTHING: list[dict[str, Any]] = [
    {},
    {"code": "123456"},
    {"mfaType": None},
    {"mfaType": 1, "code": "1"},
    {"mfaType": "SMS", "code": "1"},
    {"mfaType": "GOOGLE_AUTH"},
    *({"mfaType": "GOOGLE_AUTH", "code": code} for code in (None, "", 123456, ["1"], {"$ne": ""}, True, "1" * 65)),
]


async def test_bodies_that_are_nothing(house: House) -> None:
    await enrolled(house)
    limited = (await log_in(house))["accessToken"]
    for body in NOTHING:
        answer = await house.post("/mfa/verify-login", json=body, headers=bearer(limited))
        assert_no(answer, 400, "INVALID_REQUEST")


@pytest.mark.parametrize("codes", [["１２３４５６", "٠١٢٣٤٥", " ", "abcdef"], ["12345", "🐎", "null", "-00001"]])
async def test_odd_codes_are_wrong_codes(house: House, codes: list[str]) -> None:
    await enrolled(house)
    limited = (await log_in(house))["accessToken"]
    for code in codes:
        assert_no(await verify(house, limited, code=code), 401, "INVALID_MFA_CODE")


async def test_the_password_is_asked_before_the_factor(house: House) -> None:
    await enrolled(house)
    answer = await house.post("/user/login", json={**CREDENTIALS, "password": "wrong"})
    assert_no(answer, 401, "INVALID_PASSWORD")

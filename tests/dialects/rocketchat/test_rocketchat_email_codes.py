"""Codes by mail on Rocket.Chat's wire (contract section 7.3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dragoman.dialects.rocketchat.wire import time_of
from dragoman.storage import credentials
from dragoman.storage.engine import Tx
from kit.house import PASSWORD, House, open_house

LOGIN, SEND = "/api/v1/login", "/api/v1/users.2fa.sendEmailCode"
ADA = {"user": "ada", "password": PASSWORD}
MINUTE = 60


def asked(error: str = "totp-required", message: str = "TOTP Required", **details: Any) -> dict[str, Any]:
    """Return the 401 as the contract writes it."""
    return {
        "success": False, "status": "error", "error": error, "message": message,
        "details": {"method": "email", "emailOrUsername": "ada", "availableMethods": ["email"], **details},
    }  # fmt: skip


@pytest.fixture
async def enrolled(house: House) -> House:
    """Ada gets codes by mail."""
    await house.enrol_email(await house.ada())
    return house


async def test_the_first_login_mails_a_code_and_the_next_tells_until_when_it_is_good(enrolled: House) -> None:
    answer = await enrolled.post(LOGIN, json=ADA)
    assert (answer.status_code, answer.json()) == (401, asked(codeGenerated=True))
    ends = time_of(enrolled.clock.now() + 10 * MINUTE * 1000)
    enrolled.clock.move(2 * MINUTE)
    answer = await enrolled.post(LOGIN, json=ADA)
    assert (answer.status_code, answer.json()) == (401, asked(codeGenerated=False, codeExpires=ends))
    assert len(await enrolled.letters("code")) == 1


async def test_every_carrier_of_a_code_takes_it(enrolled: House) -> None:
    for number in range(3):
        await enrolled.post(LOGIN, json=ADA)
        code = await enrolled.mailed_code()
        spelt, headers = f"{code[:3]}-{code[3:]}", {}
        body: dict[str, Any] = {**ADA, "code": spelt}
        if number == 1:
            body, headers = ADA, {"x-2fa-code": spelt, "x-2fa-method": "totp"}
        elif number == 2:
            body = {"totp": {"login": {"user": {"username": "ada"}, "password": PASSWORD}, "code": code}}
        answer = await enrolled.post(LOGIN, json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["data"]["me"]["services"] == {
            "password": {"exists": True}, "email2fa": {"enabled": True},
        }  # fmt: skip
        enrolled.clock.move(13 * MINUTE)


async def test_a_wrong_code_says_the_same_and_the_fifth_that_there_were_too_many(enrolled: House) -> None:
    await enrolled.post(LOGIN, json=ADA)
    code = await enrolled.mailed_code()
    ends = time_of(enrolled.clock.now() + 10 * MINUTE * 1000)
    for number in range(1, 5):
        answer = await enrolled.post(LOGIN, json={**ADA, "code": f"{(int(code) + number) % 10**6:06d}"})
        assert answer.status_code == 401
        assert answer.json() == asked("totp-invalid", "TOTP Invalid", codeGenerated=False, codeExpires=ends)
    most = asked("totp-max-attempts", "TOTP Maximun Failed Attempts Reached", codeGenerated=False)
    answer = await enrolled.post(LOGIN, json={**ADA, "code": "000000" if code != "000000" else "000001"})
    assert (answer.status_code, answer.json()) == (401, most)
    answer = await enrolled.post(LOGIN, json={**ADA, "code": code})
    assert answer.json() == asked("totp-invalid", "TOTP Invalid", codeGenerated=False)
    enrolled.clock.move(MINUTE)
    assert (await enrolled.post(LOGIN, json=ADA)).json() == asked(codeGenerated=True)
    assert (await enrolled.post(LOGIN, json={**ADA, "code": await enrolled.mailed_code()})).status_code == 200


async def test_with_an_app_as_well_both_methods_are_named_and_nothing_is_mailed(house: House) -> None:
    ada = await house.ada()
    totp = await house.enrol_totp(ada)
    await house.enrol_email(ada)
    details = {"method": "totp", "codeGenerated": False, "availableMethods": ["totp", "email"]}
    assert (await house.post(LOGIN, json=ADA)).json()["details"] == details
    assert await house.letters("code") == []
    await house.post(SEND, json={"emailOrUsername": "ada"})
    code = await house.mailed_code()
    assert (await house.post(LOGIN, json={**ADA, "code": code})).status_code == 200
    answer = await house.post(LOGIN, json={**ADA, "code": totp.code()})
    services = {"password": {"exists": True}, "totp": {"enabled": True}, "email2fa": {"enabled": True}}
    assert answer.json()["data"]["me"]["services"] == services


async def test_switched_off_no_method_is_available(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts__email_codes=False) as house:
        ada = await house.ada()

        async def enrolled_before(tx: Tx) -> None:
            await credentials.put(tx, ada.account.id, "email", scheme="email", sealed=b"", now=house.clock.now())

        await house.db.transaction(enrolled_before)
        for body in (ADA, {**ADA, "code": "123456"}):
            answer = await house.post(LOGIN, json=body)
            assert answer.status_code == 401
            assert answer.json() == {
                "success": False, "status": "error", "error": "totp-required", "message": "TOTP Required",
                "details": {"method": "totp", "codeGenerated": False, "availableMethods": []},
            }  # fmt: skip
        assert (await house.post(SEND, json={"emailOrUsername": "ada"})).json() == {"success": True}
        assert await house.letters("code") == []


@pytest.mark.parametrize("name", ["ada", "ADA", "ada@example.com", "nobody", "nobody@example.com", "bob", "x" * 9000])
async def test_a_request_for_a_code_says_yes_whoever_is_named(enrolled: House, name: str) -> None:
    await enrolled.add(email="bob@example.com", username="bob")
    for form in ({"json": {"emailOrUsername": name}}, {"data": {"emailOrUsername": name}}):
        answer = await enrolled.post(SEND, **form)
        assert (answer.status_code, answer.json()) == (200, {"success": True})
    mailed = [letter.to for letter in await enrolled.letters("code")]
    assert mailed == (["ada@example.com"] if name.lower().startswith("ada") else [])


@pytest.mark.parametrize("body", [{}, {"emailOrUsername": ""}, {"emailOrUsername": None}, {"username": "ada"}])
async def test_a_request_names_somebody(enrolled: House, body: dict[str, Any]) -> None:
    answer = await enrolled.post(SEND, json=body)
    assert answer.status_code == 400
    assert answer.json() == {
        "success": False, "error": "emailOrUsername is required [error-parameter-required]",
        "errorType": "error-parameter-required",
    }  # fmt: skip
    wrong = await enrolled.post(SEND, json={"emailOrUsername": {"$ne": ""}})
    assert (wrong.status_code, wrong.json()["errorType"]) == (400, "invalid-params")
    assert await enrolled.letters("code") == []

"""Codes by mail on Pocketm8's wire (contract sections 4.1, Sign In and Verify Challenge)."""

from __future__ import annotations

import re

from dialects.pocketm8.calls import INSTANT, sign_in, verify
from kit.house import House


async def test_the_answer_names_the_factor_once_the_code_is_on_its_way(house: House) -> None:
    ada = await house.ada()
    await house.enrol_email(ada)
    answer = await sign_in(house)
    assert answer.status_code == 200
    data = answer.json()["data"]
    assert answer.json()["message"] == "MFA_REQUIRED"
    assert set(data) == {"mfaRequired", "challengeId", "userId", "factor", "expiresAt"}
    assert (data["mfaRequired"], data["factor"], data["userId"]) == (True, "email", ada.aliases["pocketm8"])
    assert re.fullmatch(r"[0-9a-f]{20}", data["challengeId"])
    assert INSTANT.fullmatch(data["expiresAt"])
    code = await house.mailed_code()
    assert code not in answer.text
    signed_in = await verify(house, data["challengeId"], int(code))
    assert signed_in.status_code == 200, signed_in.text
    assert signed_in.json()["data"]["accessToken"]
    assert (await verify(house, data["challengeId"], code)).json() == {"message": "INVALID_OR_EXPIRED_CODE"}


async def test_an_app_goes_before_mail(house: House) -> None:
    ada = await house.ada()
    totp = await house.enrol_totp(ada)
    await house.enrol_email(ada)
    data = (await sign_in(house)).json()["data"]
    assert data["factor"] == "totp"
    assert await house.letters("code") == []
    assert (await verify(house, data["challengeId"], totp.code())).status_code == 200


async def test_five_wrong_codes_void_challenge_and_code(house: House) -> None:
    await house.enrol_email(await house.ada())
    challenge = (await sign_in(house)).json()["data"]["challengeId"]
    code = await house.mailed_code()
    for number in range(1, 6):
        answer = await verify(house, challenge, f"{(int(code) + number) % 10**6:06d}")
        assert (answer.status_code, answer.json()) == (400, {"message": "INVALID_OR_EXPIRED_CODE"})
        assert "retry-after" not in answer.headers
    fresh = (await sign_in(house)).json()["data"]["challengeId"]
    for dead in (challenge, fresh):
        assert (await verify(house, dead, code)).status_code == 400
    house.clock.move(61)
    last = (await sign_in(house)).json()["data"]["challengeId"]
    assert (await verify(house, last, await house.mailed_code())).status_code == 200

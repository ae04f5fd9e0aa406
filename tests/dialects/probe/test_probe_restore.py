"""A forgotten password: mail, exchange, new password (contract section 7)."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx2
import pytest

from dialects.probe.conftest import BASE, SignIn
from kit.house import PASSWORD, House

CAPTCHA = {"X-Recaptcha-Token": "a-captcha"}
NEW = "another horse battery"
OWN = f"{BASE}/auth/current/password"


async def ask(house: House, email: str = "ada@example.com", **more: Any) -> httpx2.Response:
    return await house.post(f"{BASE}/auth/password-restore", json={"email": email}, headers=CAPTCHA, **more)


async def exchange(house: House, token: str) -> httpx2.Response:
    body = {"password-restore-token": token}
    return await house.post(f"{BASE}/auth/password-restore-verify", json=body, headers=CAPTCHA)


async def update(house: House, token: str, **more: Any) -> httpx2.Response:
    body = {"password-update-token": token, "new-password": NEW}
    return await house.request("PUT", OWN, json=body, **more)


async def sign_in(house: House, password: str) -> int:
    body = {"email": "ada@example.com", "password": password}
    return (await house.post(f"{BASE}/auth/sign-in", json=body)).status_code


def claims(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


async def test_the_whole_way(house: House) -> None:
    await house.ada()
    asked = await ask(house)
    assert (asked.status_code, asked.json()) == (200, {"success": True})
    letter = (await house.letters("reset"))[-1]
    assert letter.to == "ada@example.com"
    mailed = letter.values["link"].rpartition("/")[2]
    said = claims(mailed)
    assert (said["type"], said["aud"], said["exp"] - said["iat"]) == ("password-restore", "probe", 3600)
    done = await exchange(house, mailed)
    body = done.json()
    assert done.status_code == 200, done.text
    assert set(body) == {
        "success", "password-update-token", "password-update-token-created", "password-update-token-expire",
    }  # fmt: skip
    said = claims(body["password-update-token"])
    assert (said["type"], said["exp"] - said["iat"]) == ("password-update", 900)
    assert body["password-update-token-expire"].endswith("Z")
    changed = await update(house, body["password-update-token"])
    assert (changed.status_code, changed.content) == (204, b""), changed.text
    assert await sign_in(house, NEW) == 200
    assert await sign_in(house, PASSWORD) == 401


async def test_it_ends_sessions_and_the_api_token_is_another_then(house: House, sign_in: SignIn) -> None:
    ada = await house.ada()
    before = await sign_in()
    token = await house.ticket("update", ada, door=house.core.doors["probe"])
    assert (await update(house, token)).status_code == 204
    for held in (before["api-token"], before["jwt-token"]["token"]):
        answer = await house.get(f"{BASE}/auth/session", headers={"Authorization": f"Bearer {held}"})
        assert answer.status_code == 401
    after = await sign_in(password=NEW)
    assert after["api-token"] != before["api-token"]


async def test_nobody_is_told_who_has_an_account(house: House) -> None:
    await house.ada()
    await house.core.life.set_status((await house.add(email="bob@example.com", verified=True)).account, "suspended")
    answers = [await ask(house, email) for email in ("ada@example.com", "bob@example.com", "nobody@example.com")]
    assert {(a.status_code, a.text) for a in answers} == {(200, '{"success":true}')}
    assert [letter.to for letter in await house.letters("reset")] == ["ada@example.com"]


@pytest.mark.parametrize("step", ["exchange", "update"])
async def test_each_token_is_good_once(house: House, step: str) -> None:
    ada = await house.ada()
    probe = house.core.doors["probe"]
    if step == "exchange":
        token = await house.ticket("reset", ada, door=probe)
        assert (await exchange(house, token)).json()["success"] is True
        again = await exchange(house, token)
        assert (again.status_code, again.json()) == (200, {"success": False})
    else:
        token = await house.ticket("update", ada, door=probe)
        assert (await update(house, token)).status_code == 204
        again = await update(house, token)
        assert (again.status_code, again.json()["error"]) == (400, "invalid argument: the token is not valid")


async def test_both_end(house: House) -> None:
    ada, probe = await house.ada(), house.core.doors["probe"]
    mailed = await house.ticket("reset", ada, door=probe)
    house.clock.move(3601)
    assert (await exchange(house, mailed)).json() == {"success": False}
    token = await house.ticket("update", ada, door=probe)
    house.clock.move(901)
    late = await update(house, token)
    assert (late.status_code, late.json()["error"]) == (400, "invalid argument: the token has expired")


async def test_no_token_does_the_work_of_another(house: House, sign_in: SignIn) -> None:
    ada, probe = await house.ada(), house.core.doors["probe"]
    jwt = (await sign_in())["jwt-token"]["token"]
    reset, verify = await house.ticket("reset", ada, door=probe), await house.ticket("verify", ada, door=probe)
    fresh = await house.ticket("update", ada, door=probe)
    for wrong in (jwt, verify, fresh):
        assert (await exchange(house, wrong)).json() == {"success": False}
    for wrong in (jwt, verify, reset):
        assert (await update(house, wrong)).status_code == 400
    for wrong in (reset, fresh, verify):
        answer = await house.get(f"{BASE}/auth/session", headers={"Authorization": f"Bearer {wrong}"})
        assert answer.status_code == 401
    assert (await update(house, fresh)).status_code == 204, "none of it was used up"


async def test_a_new_password_voids_what_was_mailed_and_exchanged(house: House, sign_in: SignIn) -> None:
    ada, probe = await house.ada(), house.core.doors["probe"]
    bearer = {"Authorization": f"Bearer {(await sign_in())['jwt-token']['token']}"}
    token = await house.ticket("update", ada, door=probe)
    body = {"old-password": PASSWORD, "new-password": "a third horse battery"}
    assert (await house.request("PUT", OWN, json=body, headers=bearer)).status_code == 204
    assert (await update(house, token)).status_code == 400


async def test_somebody_else_signed_in_is_refused(house: House, sign_in: SignIn) -> None:
    ada = await house.ada()
    await house.add(email="bob@example.com", verified=True)
    bob = await sign_in(email="bob@example.com")
    token = await house.ticket("update", ada, door=house.core.doors["probe"])
    refused = await update(house, token, headers={"Authorization": f"Bearer {bob['jwt-token']['token']}"})
    assert refused.status_code == 400
    assert (await update(house, token)).status_code == 204, "it was not used up"


async def test_a_weak_password_is_named_and_leaves_the_token(house: House) -> None:
    ada = await house.ada()
    token = await house.ticket("update", ada, door=house.core.doors["probe"])
    weak = {"password-update-token": token, "new-password": "short"}
    answer = await house.request("PUT", OWN, json=weak)
    assert (answer.status_code, answer.json()["context"]) == (400, {"body": ["#/new-password: is too short"]})
    answer = await house.request("PUT", OWN, data=weak)
    assert (answer.status_code, answer.json()["context"]) == (400, {"formData:new-password": ["#: is too short"]})
    assert (await update(house, token)).status_code == 204


async def test_without_either_password_or_token(house: House, sign_in: SignIn) -> None:
    await house.ada()
    found = await sign_in()
    bearer = {"Authorization": f"Bearer {found['jwt-token']['token']}"}
    missing = await house.request("PUT", OWN, json={"new-password": NEW}, headers=bearer)
    assert (missing.status_code, missing.json()["context"]) == (400, {"body": ["#/old-password: is required"]})
    nobody = await house.request("PUT", OWN, json={"old-password": PASSWORD, "new-password": NEW})
    assert nobody.status_code == 401


async def test_the_mail_also_works_on_our_own_page(house: House) -> None:
    await house.ada()
    await ask(house)
    token = await house.token("reset")
    shown = await house.get(f"/reset-password/{token}")
    assert shown.status_code == 200
    fields = {"password": NEW, "again": NEW}
    done = await house.post(f"/reset-password/{token}", data=fields, headers={"Origin": "http://dragoman.test"})
    assert done.status_code == 200, done.text
    assert await sign_in(house, NEW) == 200


async def test_a_second_factor_stays(house: House) -> None:
    ada = await house.ada()
    await house.enrol_totp(ada)
    token = await house.ticket("update", ada, door=house.core.doors["probe"])
    assert (await update(house, token)).status_code == 204
    body = {"email": "ada@example.com", "password": NEW}
    answer = await house.post(f"{BASE}/auth/sign-in", json=body)
    assert (answer.status_code, answer.json()["context"]) == (401, {"second-factor": ["totp"]})


@pytest.mark.parametrize(
    ("path", "body", "context"),
    [
        ("password-restore", {}, {"body": ["#/email: is required"]}),
        ("password-restore", {"email": "a@b"}, {"body": ["#/email: length must be >= 5"]}),
        ("password-restore-verify", {}, {"body": ["#/password-restore-token: is required"]}),
        (
            "password-restore-verify", {"password-restore-token": "no-jwt"},
            {"body": ["#/password-restore-token: does not have the right format"]},
        ),
    ],
)  # fmt: skip
async def test_shapes(house: House, path: str, body: dict[str, Any], context: Any) -> None:
    answer = await house.post(f"{BASE}/auth/{path}", json=body, headers=CAPTCHA)
    assert (answer.status_code, answer.json()["context"]) == (400, context)


@pytest.mark.parametrize("path", ["password-restore", "password-restore-verify"])
async def test_the_captcha_header_is_demanded(house: House, path: str) -> None:
    body = {"email": "ada@example.com", "password-restore-token": "a.b.c"}
    for headers in ({}, {"X-Recaptcha-Token": "short"}):
        answer = await house.post(f"{BASE}/auth/{path}", json=body, headers=headers)
        expected = {"header:X-Recaptcha-Token": ["#: length must be >= 6"]}
        assert (answer.status_code, answer.json()["context"]) == (400, expected)


async def test_forms_are_taken(house: House) -> None:
    await house.ada()
    answer = await house.post(f"{BASE}/auth/password-restore", data={"email": "ada@example.com"}, headers=CAPTCHA)
    assert answer.json() == {"success": True}
    form = {"password-restore-token": await house.token("reset")}
    answer = await house.post(f"{BASE}/auth/password-restore-verify", data=form, headers=CAPTCHA)
    assert answer.json()["success"] is True


async def test_the_call_with_a_number_takes_it_for_that_user_alone(house: House, sign_in: SignIn) -> None:
    ada = await house.ada()
    sub = await house.add(
        email="sub@example.com", parent=ada.account.id, organization=ada.account.organization, verified=True
    )
    bearer = {"Authorization": f"Bearer {(await sign_in())['jwt-token']['token']}"}
    own, theirs = [await house.ticket("update", person, door=house.core.doors["probe"]) for person in (ada, sub)]
    path = f"{BASE}/auth/{sub.aliases['probe']}/password"

    async def put(token: str, path: str = path, **more: Any) -> int:
        body = {"password-update-token": token, "new-password": NEW}
        return (await house.request("PUT", path, json=body, **more)).status_code

    assert await put(theirs) == 401, "whoever forgot his own password has the other call"
    assert await put(own, headers=bearer) == 400
    assert await put(theirs, headers=bearer) == 204
    flat = {"email": "sub@example.com", "password": NEW}
    assert (await house.post(f"{BASE}/auth/sign-in", json=flat)).status_code == 200
    assert await put(own, f"{BASE}/auth/{ada.aliases['probe']}/password", headers=bearer) == 204
    missing = await house.request("PUT", path, json={"new-password": NEW}, headers=bearer)
    assert missing.status_code == 401, "her own session ended with the new password"

"""Signing in over Rocket.Chat's wire: every form of contract section 3.1, the answers of 3.2 and 3.3."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from typing import Any

import pytest

from dragoman.core.ports import SystemRandom, new_id
from dragoman.storage import accounts
from kit.house import PASSWORD, House

LOGIN = "/api/v1/login"
DIGEST = {"digest": hashlib.sha256(PASSWORD.encode()).hexdigest(), "algorithm": "sha-256"}
UNAUTHORIZED = {"success": False, "status": "error", "error": "Unauthorized", "message": "Unauthorized"}
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
ID = re.compile(r"[23456789ABCDEFGHJKLMNPQRSTWXYZabcdefghijkmnopqrstuvwxyz]{17}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def log_in(house: House, **more: Any) -> dict[str, str]:
    """Sign Ada in; return the two headers of her session."""
    answer = await house.post(LOGIN, json={"user": "ada", "password": PASSWORD, **more})
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    return {"X-Auth-Token": data["authToken"], "X-User-Id": data["userId"]}


# The contract's examples with Ada's own password put in, byte for byte.
ACCEPTED = {
    "name": b'{"user":"ada","password":"correct horse battery"}',
    "address as user": b'{"user":"ada@example.com","password":"correct horse battery"}',
    "username": b'{"username":"ada","password":"correct horse battery"}',
    "address": b'{"email":"ada@example.com","password":"correct horse battery"}',
    "object with username": b'{"user":{"username":"ada"},"password":"correct horse battery"}',
    "object with address": b'{"user":{"email":"ada@example.com"},"password":"correct horse battery"}',
    "digest": json.dumps({"user": "ada", "password": DIGEST}).encode(),
    "digest in capitals": json.dumps(
        {"user": "ada", "password": {"digest": DIGEST["digest"].upper(), "algorithm": "sha-256"}}
    ).encode(),
    "digest and object": json.dumps({"user": {"username": "ada"}, "password": DIGEST}).encode(),
    "needless code": b'{"user":"ada","password":"correct horse battery","code":"123456"}',
    "needless explicit code": (
        b'{"totp":{"code":"123456","login":{"user":{"username":"ada"},"password":"correct horse battery"}}}'
    ),
    "directory form": b'{"ldap":true,"username":"ada","ldapPass":"correct horse battery","ldapOptions":{}}',
    "directory form by address": b'{"ldap":true,"username":"ada@example.com","ldapPass":"correct horse battery"}',
    "unknown fields": b'{"user":"ada","password":"correct horse battery","device":{"os":"x"},"remember":true}',
    "nulls": b'{"user":"ada","password":"correct horse battery","code":null,"resume":null,"ldap":null}',
    "user first": b'{"user":"ada","username":"bob","email":"b@example.com","password":"correct horse battery"}',
    "letter case": b'{"user":"ADA@Example.COM","password":"correct horse battery"}',
    "repeated key": b'{"password":"wrong","user":"ada","password":"correct horse battery"}',
}


@pytest.mark.parametrize("body", ACCEPTED.values(), ids=ACCEPTED.keys())
async def test_a_documented_form_signs_in(house: House, body: bytes) -> None:
    ada = await house.ada()
    answer = await house.post(LOGIN, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert list(shown) == ["status", "data", "success"]
    assert (shown["status"], shown["success"]) == ("success", True)
    assert list(shown["data"]) == ["userId", "authToken", "me"]
    assert TOKEN.fullmatch(shown["data"]["authToken"])
    assert ID.fullmatch(shown["data"]["userId"])
    assert shown["data"]["me"]["_id"] == shown["data"]["userId"] == ada.aliases["rocketchat"]
    assert "success" not in shown["data"]["me"]
    assert [(door, kind) for door, kind, _ in await house.sessions()] == [("rocketchat", "client")]


async def test_a_form_encoded_body_signs_in(house: House) -> None:
    await house.ada()
    for data in (
        {"user": "ada@example.com", "password": PASSWORD},
        {"username": "ada", "password": PASSWORD},
        {"user[username]": "ada", "password": PASSWORD},
        {"user": "ada", "password[digest]": DIGEST["digest"], "password[algorithm]": "sha-256"},
        {"ldap": "true", "username": "ada", "ldapPass": PASSWORD, "ldapOptions": ""},
    ):
        answer = await house.post(LOGIN, data=data)
        assert answer.status_code == 200, (data, answer.text)


async def test_headers_of_a_login_are_exactly_the_originals(house: House) -> None:
    await house.ada()
    for password in (PASSWORD, "wrong"):
        answer = await house.post(LOGIN, json={"user": "ada", "password": password})
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["pragma"] == "no-cache"


async def test_old_headers_do_not_disturb_a_login(house: House) -> None:
    await house.ada()
    for headers in (
        {"X-Auth-Token": "undefined", "X-User-Id": "undefined"},
        {"X-Auth-Token": "a" * 43, "X-User-Id": "b" * 17},
        {"Authorization": "Bearer x"},
    ):
        answer = await house.post(LOGIN, json={"user": "ada", "password": PASSWORD}, headers=headers)
        assert answer.status_code == 200


# ---------------------------------------------------------------- resume


async def test_resume_gives_the_same_token_and_stores_nothing(house: House) -> None:
    await house.ada()
    headers = await log_in(house)
    house.clock.move(3600)
    answer = await house.post(LOGIN, json={"resume": headers["X-Auth-Token"]}, address="198.51.100.9")
    assert answer.status_code == 200
    data = answer.json()["data"]
    assert (data["authToken"], data["userId"]) == (headers["X-Auth-Token"], headers["X-User-Id"])
    assert data["me"]["status"] == "offline"
    assert len(await house.sessions()) == 1
    assert (await house.post(LOGIN, data={"resume": headers["X-Auth-Token"]})).status_code == 200


async def test_resume_does_not_ask_for_a_code_and_does_not_move_the_end(house: House) -> None:
    ada = await house.ada()
    totp = await house.enrol_totp(ada)
    headers = await log_in(house, code=totp.code())
    house.clock.move(89 * 86400)
    assert (await house.post(LOGIN, json={"resume": headers["X-Auth-Token"]})).status_code == 200
    house.clock.move(86400 + 1)
    answer = await house.post(LOGIN, json={"resume": headers["X-Auth-Token"]})
    assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)


async def test_resume_refuses_what_is_no_live_token_of_this_wire(house: House) -> None:
    ada = await house.ada()
    headers = await log_in(house)
    token = headers["X-Auth-Token"]
    turned = ("b" if token[0] == "a" else "a") + token[1:]
    odd = ("", "x", "a" * 43, turned, token + "a", token[:-1], " " + token, "ä" * 43, token.swapcase(), "a" * 5000)
    for text in (*odd, hashlib.sha256(token.encode()).hexdigest()):
        answer = await house.post(LOGIN, json={"resume": text})
        assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED), text
    await house.core.sessions.end_everything(ada.account, "operator")
    answer = await house.post(LOGIN, json={"resume": token})
    assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)


# ---------------------------------------------------------------- exactly one form


def _forms(token: str) -> dict[str, dict[str, Any]]:
    object_login = {"user": {"username": "ada"}, "password": PASSWORD}
    return {
        "password": {"user": "ada", "password": PASSWORD},
        "totp": {"totp": {"code": "123456", "login": object_login}},
        "resume": {"resume": token},
        "ldap": {"ldap": True, "username": "ada", "ldapPass": PASSWORD, "ldapOptions": {}},
        "oauth token": {"serviceName": "google", "accessToken": "x", "idToken": "y", "expiresIn": 3600},
        "oauth": {"oauth": {"credentialToken": "x", "credentialSecret": "y"}},
        "saml": {"saml": True, "credentialToken": "x"},
        "cas": {"cas": {"credentialToken": "x"}},
        "crowd": {"crowd": True, "username": "ada", "crowdPassword": PASSWORD},
    }


async def test_two_forms_in_one_body_are_none(house: House) -> None:
    await house.ada()
    forms = _forms((await log_in(house))["X-Auth-Token"])
    before, evaluations = await house.sessions(), house.hash_evaluations()
    for (one, first), (other, second) in itertools.permutations(forms.items(), 2):
        answer = await house.post(LOGIN, json={**first, **second})
        assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED), (one, other)
    assert await house.sessions() == before
    assert house.hash_evaluations() == evaluations, "nothing of a body with two forms may be judged"


async def test_forms_of_other_services_are_known_and_sign_nobody_in(house: House) -> None:
    await house.ada()
    forms = _forms("")
    for name in ("oauth token", "oauth", "saml", "cas", "crowd"):
        answer = await house.post(LOGIN, json=forms[name])
        assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED), name


async def test_a_login_nests_once_and_by_password_only(house: House) -> None:
    await house.ada()
    forms = _forms((await log_in(house))["X-Auth-Token"])
    before = await house.sessions()
    inner = [form for name, form in forms.items() if name not in {"password", "ldap"}]
    inner.append({"user": "ada", "password": PASSWORD, "code": "123456"})
    inner.append({"user": {"username": "ada", "email": "ada@example.com"}, "password": PASSWORD})
    inner.append({})
    for login in inner:
        answer = await house.post(LOGIN, json={"totp": {"code": "123456", "login": login}})
        assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED), login
    assert await house.sessions() == before


VALUES: tuple[Any, ...] = (1, 1.5, True, [], ["ada"], {}, {"$ne": None}, "", 10**30, "\x00", "a\x00b")
FIELDS = ("user", "username", "email", "password", "code", "resume", "totp", "ldap", "ldapPass", "ldapOptions", "oauth",
          "serviceName", "accessToken", "saml", "cas", "credentialToken", "crowd", "crowdPassword")  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
async def test_wrong_types_are_refused_like_a_wrong_password(house: House, field: str) -> None:
    await house.ada()
    for value in VALUES:
        harmless = value == "" and field in {"username", "email", "code"}
        body = {"user": "ada", "password": PASSWORD, field: value}
        answer = await house.post(LOGIN, json=body)
        assert answer.status_code == 401 or harmless, (value, answer.text)
        if answer.status_code == 401:
            assert answer.json() == UNAUTHORIZED


async def test_a_digest_that_is_none_is_refused_like_a_wrong_password(house: House) -> None:
    await house.ada()
    nothing = hashlib.sha256(b"").hexdigest()
    for digest in (
        {"digest": DIGEST["digest"]},
        {"algorithm": "sha-256"},
        {"digest": DIGEST["digest"], "algorithm": "sha-512"},
        {"digest": DIGEST["digest"][:-1], "algorithm": "sha-256"},
        {"digest": DIGEST["digest"] + "0", "algorithm": "sha-256"},
        {"digest": "g" * 64, "algorithm": "sha-256"},
        {"digest": DIGEST["digest"] + "\n", "algorithm": "sha-256"},
        {"digest": nothing, "algorithm": "sha-256"},
        {"digest": 5, "algorithm": "sha-256"},
        DIGEST["digest"],
    ):
        answer = await house.post(LOGIN, json={"user": "ada", "password": digest})
        assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED), digest


BROKEN = {
    "empty": b"",
    "no JSON": b"user=ada",
    "cut off": b'{"user":"ada","password":"correct horse',
    "array": b'["ada","correct horse battery"]',
    "string": b'"ada"',
    "null": b"null",
    "not UTF-8": b'{"user":"ada","password":"\xff\xfe"}',
    "lone surrogate": b'{"user":"\\ud800","password":"correct horse battery"}',
    "deep": b'{"user":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "deep inside": b'{"totp":{"code":"1","login":' * 40 + b"{}" + b"}}" * 40,
    "fields missing": b'{"user":"ada"}',
    "nobody": b'{"password":"correct horse battery"}',
    "nothing": b"{}",
    "empty password": b'{"user":"ada","password":""}',
    "long password": b'{"user":"ada","password":"' + b"a" * 1025 + b'"}',
    "long name": b'{"user":"' + b"a" * 5000 + b'","password":"correct horse battery"}',
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded", "text/plain", None])
async def test_a_body_that_nobody_recognises_is_unauthorized(
    house: House, body: bytes, content_type: str | None
) -> None:
    await house.ada()
    headers = {"Content-Type": content_type} if content_type else {}
    answer = await house.post(LOGIN, content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)


async def test_a_body_over_the_limit_has_its_own_answer(house: House) -> None:
    answer = await house.post(LOGIN, json={"user": "ada", "password": "a" * 1_000_000})
    assert (answer.status_code, answer.json()) == (413, {"success": False, "error": "Request entity too large"})


@pytest.mark.parametrize("password", [" correct horse battery", "pässwörd-Ω-🐎", "a" * 1024, "\u200fבראשית", "\t tab"])
async def test_a_password_is_taken_character_for_character(house: House, password: str) -> None:
    await house.ada()
    await house.add(password, username="bob", email="bob@example.com")
    assert (await house.post(LOGIN, json={"user": "bob", "password": password})).status_code == 200
    assert (await house.post(LOGIN, data={"user": "bob", "password": password})).status_code == 200
    digest = {"digest": hashlib.sha256(password.encode()).hexdigest(), "algorithm": "sha-256"}
    assert (await house.post(LOGIN, json={"user": "bob", "password": digest})).status_code == 200
    answer = await house.post(LOGIN, json={"user": "bob", "password": password.strip() + "."})
    assert answer.status_code == 401


# ---------------------------------------------------------------- refusals


async def test_unknown_account_wrong_password_and_no_password_are_alike(house: House) -> None:
    await house.ada()
    await house.add(None, username="bob", email="bob@example.com")
    for body in (
        {"user": "nobody", "password": PASSWORD},
        {"user": "nobody@example.com", "password": PASSWORD},
        {"user": "ada", "password": "wrong"},
        {"user": "bob", "password": PASSWORD},
        {"user": "ada", "password": {**DIGEST, "digest": "0" * 64}},
    ):
        before = house.hash_evaluations()
        answer = await house.post(LOGIN, json=body)
        assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED), body
        assert house.hash_evaluations() == before + 1, body


async def test_status_is_told_to_the_right_password_only(house: House) -> None:
    ada = await house.ada()
    await house.core.life.set_status(ada.account, "suspended")
    answer = await house.post(LOGIN, json={"user": "ada", "password": "wrong"})
    assert answer.json() == UNAUTHORIZED
    answer = await house.post(LOGIN, json={"user": "ada", "password": PASSWORD})
    assert (answer.status_code, answer.json()) == (
        401,
        {
            "success": False,
            "error": "error-user-is-not-activated",
            "status": "error",
            "message": "User is not activated",
        },
    )
    assert await house.sessions() == []


async def test_another_organization_is_not_admitted(house: House) -> None:
    organization, now = new_id(house.clock, SystemRandom()), house.clock.now()
    await house.db.transaction(
        lambda tx: accounts.insert_organization(tx, organization, "Other", now, business=False, default=False)
    )
    await house.ada(organization=organization)
    answer = await house.post(LOGIN, json={"user": "ada", "password": PASSWORD})
    assert (answer.status_code, answer.json()) == (
        401,
        {"success": False, "error": 403, "status": "error", "message": "Login forbidden"},
    )


async def test_failures_lock_the_account_for_strangers(house: House) -> None:
    await house.ada()
    for _ in range(10):
        answer = await house.post(LOGIN, json={"email": "ada@example.com", "password": "wrong"})
        assert answer.json() == UNAUTHORIZED
    answer = await house.post(LOGIN, json={"username": "ada", "password": PASSWORD})
    assert (answer.status_code, answer.json()) == (
        401,
        {
            "success": False,
            "error": "error-login-blocked-for-user",
            "status": "error",
            "message": "Login has been temporarily blocked For User",
            "details": {"function": "Accounts.validateLoginAttempt"},
        },
    )
    assert "retry-after" not in answer.headers
    house.clock.move(301)
    assert (await house.post(LOGIN, json={"username": "ada", "password": PASSWORD})).status_code == 200


async def test_failures_block_the_network(house: House) -> None:
    await house.ada()
    for number in range(50):
        await house.post(LOGIN, json={"user": f"nobody{number}", "password": "wrong"})
    answer = await house.post(LOGIN, json={"user": "ada", "password": PASSWORD})
    assert answer.status_code == 401
    assert answer.json()["error"] == "error-login-blocked-for-ip"
    assert answer.json()["message"] == "Login has been temporarily blocked For IP"
    assert answer.json()["details"] == {"function": "Accounts.validateLoginAttempt"}
    elsewhere = await house.post(LOGIN, json={"user": "ada", "password": PASSWORD}, address="198.51.100.7")
    assert elsewhere.status_code == 200


# ---------------------------------------------------------------- second factor

ASKED = {
    "success": False,
    "error": "totp-required",
    "status": "error",
    "message": "TOTP Required",
    "details": {"method": "totp", "codeGenerated": False, "availableMethods": ["totp"]},
}


async def test_a_code_is_asked_for_and_taken_in_every_form(house: House) -> None:
    totp = await house.enrol_totp(await house.ada())
    plain = {"user": "ada", "password": PASSWORD}
    by_object = {"user": {"username": "ada"}, "password": DIGEST}
    ldap = {"ldap": True, "username": "ada", "ldapPass": PASSWORD, "ldapOptions": {}}
    for body in (plain, by_object, ldap, {**plain, "code": ""}, {**plain, "code": None}):
        answer = await house.post(LOGIN, json=body)
        assert (answer.status_code, answer.json()) == (401, ASKED)
    assert await house.sessions() == []
    for body in (plain, by_object, ldap):
        assert (await house.post(LOGIN, json={**body, "code": totp.code()})).status_code == 200
        headers = {"X-2FA-Code": totp.code(), "X-2fa-Method": "email"}
        assert (await house.post(LOGIN, json=body, headers=headers)).status_code == 200
        explicit = {"totp": {"code": totp.code(), "login": body}}
        assert (await house.post(LOGIN, json=explicit)).status_code == 200
    assert (await house.post(LOGIN, data={**plain, "code": totp.code()})).status_code == 200
    assert (await house.post(LOGIN, json={**plain, "code": totp.recovery[0]})).status_code == 200
    assert len(await house.sessions()) == 11


async def test_a_wrong_code_is_told_after_the_right_password_only(house: House) -> None:
    totp = await house.enrol_totp(await house.ada())
    answer = await house.post(LOGIN, json={"user": "ada", "password": PASSWORD, "code": totp.wrong()})
    assert answer.status_code == 401
    assert answer.json() == {**ASKED, "error": "totp-invalid", "message": "TOTP Invalid"}
    answer = await house.post(LOGIN, json={"user": "ada", "password": "wrong", "code": totp.code()})
    assert answer.json() == UNAUTHORIZED
    for odd in ("abcdef", "12345", "1234567", "١٢٣٤٥٦", "-12345", "1e5", "\u200b", "a" * 60_000):
        answer = await house.post(LOGIN, json={"user": "ada", "password": PASSWORD, "code": odd})
        assert answer.status_code == 401, odd
        assert answer.json()["error"] in {"totp-invalid", "totp-max-attempts"}, odd


async def test_one_code_signs_a_published_tool_in_twice_and_nobody_else(house: House) -> None:
    totp = await house.enrol_totp(await house.ada())
    body = {"username": "ada", "password": PASSWORD, "code": totp.code()}
    assert (await house.post(LOGIN, json=body)).status_code == 200
    stranger = await house.post(LOGIN, json=body, address="203.0.113.5")
    assert stranger.json()["error"] == "totp-invalid"
    assert (await house.post(LOGIN, json=body)).status_code == 200
    assert (await house.post(LOGIN, json=body)).json()["error"] == "totp-invalid"


async def test_a_recovery_code_is_good_once(house: House) -> None:
    totp = await house.enrol_totp(await house.ada())
    body = {"username": "ada", "password": PASSWORD, "code": totp.recovery[0]}
    assert (await house.post(LOGIN, json=body)).status_code == 200
    assert (await house.post(LOGIN, json=body)).json()["error"] == "totp-invalid"


async def test_codes_are_not_guessed_for_ever(house: House) -> None:
    totp = await house.enrol_totp(await house.ada())
    seen = set()
    for number in range(25):
        answer = await house.post(
            LOGIN, json={"user": "ada", "password": PASSWORD, "code": totp.wrong()}, address=f"203.0.113.{number}"
        )
        assert answer.status_code == 401
        seen.add(answer.json()["error"])
        if answer.json()["error"] == "totp-max-attempts":
            assert answer.json() == {
                **ASKED,
                "error": "totp-max-attempts",
                "message": "TOTP Maximun Failed Attempts Reached",
            }
    assert seen == {"totp-invalid", "totp-max-attempts"}
    assert await house.sessions() == []

"""Signing in over Pocketm8's wire: the contract's examples, field for field, and every answer reachable there."""

import re

import pytest

from dialects.pocketm8.calls import INSTANT, SIGN_IN, VERIFY, bearer, sign_in, verify
from dragoman.app import core_over, gateway
from dragoman.core.newcomers import ALPHABET
from dragoman.dialects.pocketm8 import DIALECT
from dragoman.http import Mount
from kit.house import PASSWORD, House

WRONG = {"message": "INVALID_CREDENTIALS"}
BAD_CODE = {"message": "INVALID_OR_EXPIRED_CODE"}


def fields(answer) -> list[tuple[str, str]]:
    """The problems of a validation error."""
    body = answer.json()
    assert (answer.status_code, body["message"], set(body)) == (400, "VALIDATION_FAILED", {"message", "errors"})
    return [(error["field"], error["code"]) for error in body["errors"]]


# ---------------------------------------------------------------- the session


async def test_the_session_has_the_contracts_fields(house):
    ada = await house.ada()
    answer = await sign_in(house)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert list(body) == ["data"]
    assert list(body["data"]) == ["accessToken", "user", "chat"]
    assert list(body["data"]["user"]) == [
        "appWriteId", "id", "firstName", "lastName", "roleId", "avatar", "coreData"
    ]  # fmt: skip
    user, chat = body["data"]["user"], body["data"]["chat"]
    assert re.fullmatch(r"[0-9a-f]{20}", user["appWriteId"])
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", user["id"])
    assert (user["firstName"], user["lastName"], user["roleId"]) == ("Ada", "Example", "user")
    assert (user["avatar"], user["coreData"]) == (None, None)
    assert list(chat) == ["id", "username", "token"]
    assert re.fullmatch(f"[{ALPHABET}]{{17}}", chat["id"])
    assert chat["id"] == ada.aliases["rocketchat"]
    assert chat["username"] == "ada"
    assert chat["token"]
    assert chat["token"] != body["data"]["accessToken"]


async def test_ids_tell_when_the_account_was_made(house):
    now = house.clock.now()
    await house.ada()
    user = (await sign_in(house)).json()["data"]["user"]
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    made = sum(digits.index(c) * 32 ** (9 - at) for at, c in enumerate(user["id"][:10]))
    assert abs(made - now) < 60_000
    assert abs(int(user["appWriteId"][:8], 16) * 1000 + int(user["appWriteId"][8:13], 16) - now) < 60_000
    assert user["appWriteId"][8:13] < "003e8"


async def test_the_access_token_is_the_jwe_that_clients_know(house):
    await house.ada()
    token = (await sign_in(house)).json()["data"]["accessToken"]
    parts = token.split(".")
    assert len(parts) == 5
    assert parts[0] == "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0"
    assert (parts[1], len(parts[2]), len(parts[4])) == ("", 16, 22)
    assert "=" not in token


async def test_administrators_are_admin(house):
    await house.ada(administrator=True)
    answer = await sign_in(house)
    assert answer.json()["data"]["user"]["roleId"] == "admin"


@pytest.mark.parametrize("email", ["ADA@Example.COM", "  ada@example.com \t"])
async def test_letter_case_and_space_around_the_address_do_not_matter(house, email):
    await house.ada()
    assert (await sign_in(house, email)).status_code == 200


async def test_unknown_fields_are_ignored_and_of_duplicates_the_last_counts(house):
    await house.ada()
    body = b'{"device": {"os": "x"}, "email": "bob@example.com", "password": "%s", "email": "ada@example.com"}'
    answer = await house.request(
        "POST", SIGN_IN, content=body % PASSWORD.encode(), headers={"content-type": "application/json; charset=utf-8"}
    )
    assert answer.status_code == 200


@pytest.mark.parametrize("password", [" ", "pass\tword\r\n", "pässwörd ☃ 🂡", "e\u0301\u200b\u202e", "p" * 1024])
async def test_a_password_is_taken_exactly_as_it_came(house, password):
    await house.ada(password=password)
    assert (await sign_in(house, password=password)).status_code == 200
    assert (await sign_in(house, password="x" + password[1:])).json() == WRONG


async def test_each_sign_in_opens_a_session_with_one_child(house):
    await house.ada()
    first, second = [(await sign_in(house)).json()["data"] for _ in range(2)]
    assert first["accessToken"] != second["accessToken"]
    assert first["chat"]["token"] != second["chat"]["token"]
    assert first["chat"]["id"] == second["chat"]["id"]
    assert sorted(door for door, *_ in await house.sessions()) == ["pocketm8", "pocketm8", "rocketchat", "rocketchat"]


async def test_where_no_chat_is_served_its_fields_are_null(house):
    await house.ada()
    core = house.core
    async with core_over(
        house.db, core.sealer, house.settings, house.clock, core.random, doors=(DIALECT.door,)
    ) as alone:
        app = gateway(alone, house.settings, (Mount(dialect=DIALECT),))
        without = House(alone, app, house.clock, house.db, house.settings)
        data = (await sign_in(without)).json()["data"]
        user = (await without.get("/api/profile", headers=bearer(data["accessToken"]))).json()["data"]["user"]
    assert data["chat"] == {"id": None, "username": None, "token": None}
    assert (user["chatId"], user["chatUsername"]) == (None, None)
    assert [door for door, *_ in await house.sessions()] == ["pocketm8"]


# ---------------------------------------------------------------- refusals


async def test_who_may_not_enter_gets_one_answer_for_one_evaluation(house):
    await house.ada()
    bob = await house.add(email="bob@example.com", password=PASSWORD, username="bob", status="suspended")
    await house.add(email="carol@example.com", password=None, username="carol")
    for email, password in (
        ("ada@example.com", "wrong horse"),
        ("nobody@example.com", PASSWORD),
        ("bob@example.com", PASSWORD),
        ("bob@example.com", "wrong horse"),
        ("carol@example.com", PASSWORD),
        ("ada@example.org", PASSWORD),
    ):
        before = house.hash_evaluations()
        answer = await sign_in(house, email, password)
        assert (answer.status_code, answer.json()) == (400, WRONG), email
        assert "retry-after" not in answer.headers
        assert house.hash_evaluations() == before + 1, email
    assert bob.account.status == "suspended"
    assert await house.sessions() == []


async def test_locked_is_429_with_retry_after(house):
    await house.ada()
    for _ in range(10):
        assert (await sign_in(house, password="wrong horse")).json() == WRONG
    answer = await sign_in(house)
    assert (answer.status_code, answer.json()) == (429, {"message": "TOO_MANY_REQUESTS"})
    assert 1 <= int(answer.headers["retry-after"]) <= 300
    house.clock.move(301)
    assert (await sign_in(house)).status_code == 200


# ---------------------------------------------------------------- shapes


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        ({}, [("email", "REQUIRED"), ("password", "REQUIRED")]),
        ({"password": 5}, [("email", "REQUIRED"), ("password", "INVALID_TYPE")]),
        ({"email": None, "password": None}, [("email", "INVALID_TYPE"), ("password", "INVALID_TYPE")]),
        ({"email": ["ada@example.com"], "password": {}}, [("email", "INVALID_TYPE"), ("password", "INVALID_TYPE")]),
        ({"email": True, "password": 1.5}, [("email", "INVALID_TYPE"), ("password", "INVALID_TYPE")]),
        ({"email": "nope", "password": ""}, [("email", "INVALID_FORMAT"), ("password", "TOO_SHORT")]),
        ({"email": "", "password": "p" * 1025}, [("email", "INVALID_FORMAT"), ("password", "TOO_LONG")]),
        ({"email": "a@b@example.com", "password": "x"}, [("email", "INVALID_FORMAT")]),
        ({"email": "a da@example.com", "password": "x"}, [("email", "INVALID_FORMAT")]),
        ({"email": "ada@example.com\r\nX-Evil: 1", "password": "x"}, [("email", "INVALID_FORMAT")]),
        ({"email": "a" * 254 + "@example.com", "password": "x"}, [("email", "TOO_LONG")]),
        ({"email": "ada@example.com", "password": "nul\x00nul"}, [("password", "INVALID_FORMAT")]),
    ],
)
async def test_every_bad_field_is_named_in_order(house, body, problems):
    assert fields(await house.request("POST", SIGN_IN, json=body)) == problems
    assert house.hash_evaluations() == 0


@pytest.mark.parametrize(
    "email",
    ["ада@пример.рф", "🂡@🂡", "ﬀ@example.com", "İ@example.com", "a@" + "b" * 250, "'or''='@x", "%00@x", "a\u202e@x"],
)
async def test_absurd_addresses_are_nobodys(house, email):
    assert (await sign_in(house, email)).json() == WRONG


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("content", "headers", "status", "message"),
    [
        (b"", JSON, 400, "INVALID_JSON"),
        (b"", {}, 400, "INVALID_JSON"),
        (b"{", JSON, 400, "INVALID_JSON"),
        (b"hello", JSON, 400, "INVALID_JSON"),
        (b"[]", JSON, 400, "INVALID_JSON"),
        (b"null", JSON, 400, "INVALID_JSON"),
        (b'"ada"', JSON, 400, "INVALID_JSON"),
        (b'{"email": "\xff\xfe", "password": "x"}', JSON, 400, "INVALID_JSON"),
        (b'{"email": "\\ud800@x", "password": "x"}', JSON, 400, "INVALID_JSON"),
        (b"[" * 10_000, JSON, 400, "INVALID_JSON"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, JSON, 400, "INVALID_JSON"),
        (b'{"email": 1e999999, "password": 99999999999999999999999}', JSON, 400, None),
        (b"email=ada%40example.com&password=x", {"content-type": "application/x-www-form-urlencoded"}, 415, None),
        (b'{"email": "ada@example.com", "password": "x"}', {"content-type": "text/plain"}, 415, None),
        (b'{"email": "ada@example.com", "password": "x"}', {}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b'{"email": "ada@example.com", "password": "' + b"p" * 1_000_000 + b'"}', JSON, 413, "BODY_TOO_LARGE"),
    ],
)
async def test_bad_bodies_get_the_dialects_own_error(house, content, headers, status, message):
    for path in (SIGN_IN, VERIFY):
        answer = await house.request("POST", path, content=content, headers=headers)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/json"
        assert message in {answer.json()["message"], None}
    assert house.hash_evaluations() == 0


# ---------------------------------------------------------------- the second factor


async def challenged(house):
    """Ada with TOTP, after the right password."""
    ada = await house.ada()
    totp = await house.enrol_totp(ada)
    answer = await sign_in(house)
    return ada, totp, answer


async def test_a_second_factor_is_asked_in_the_contracts_form(house):
    ada, _, answer = await challenged(house)
    assert answer.status_code == 200
    body = answer.json()
    assert list(body) == ["message", "data"]
    assert body["message"] == "MFA_REQUIRED"
    data = body["data"]
    assert list(data) == ["mfaRequired", "challengeId", "userId", "factor", "expiresAt"]
    assert data["mfaRequired"] is True
    assert re.fullmatch(r"[0-9a-f]{20}", data["challengeId"])
    assert data["userId"] == ada.aliases["pocketm8"]
    assert data["factor"] == "totp"
    assert INSTANT.fullmatch(data["expiresAt"])
    assert await house.sessions() == []


async def test_the_right_code_finishes_the_sign_in_once(house):
    ada, totp, answer = await challenged(house)
    challenge = answer.json()["data"]["challengeId"]
    code = totp.code()
    finished = await verify(house, challenge, code)
    assert finished.status_code == 200
    assert list(finished.json()) == ["data"]
    assert finished.json()["data"]["chat"]["id"] == ada.aliases["rocketchat"]
    token = finished.json()["data"]["accessToken"]
    assert (await house.request("GET", "/api/profile", headers={"authorization": f"Bearer {token}"})).status_code == 200
    for again in (code, totp.code()):
        answer = await verify(house, challenge, again)
        assert (answer.status_code, answer.json()) == (400, BAD_CODE)
    assert sorted(door for door, *_ in await house.sessions()) == ["pocketm8", "rocketchat"]


@pytest.mark.parametrize("name", ["code", "otp"])
@pytest.mark.parametrize("form", [str, int])
async def test_a_code_comes_under_two_names_as_string_or_number(house, name, form):
    _, totp, answer = await challenged(house)
    body = {"challengeId": answer.json()["data"]["challengeId"], name: form(totp.code())}
    assert (await house.request("POST", VERIFY, json=body)).status_code == 200


async def test_a_number_gets_its_leading_zeros_back(house):
    ada = await house.ada()
    totp = await house.enrol_totp(ada)
    for _ in range(200):
        code = totp.code()
        if code.startswith("0"):
            break
    challenge = (await sign_in(house)).json()["data"]["challengeId"]
    assert code.startswith("0")
    assert (await verify(house, challenge, int(code))).status_code == 200


async def test_code_counts_before_its_other_name(house):
    _, totp, answer = await challenged(house)
    body = {"challengeId": answer.json()["data"]["challengeId"], "otp": "nothing", "code": totp.code()}
    assert (await house.request("POST", VERIFY, json=body)).status_code == 200


async def test_secret_is_no_name_of_this_code(house):
    _, totp, answer = await challenged(house)
    body = {"challengeId": answer.json()["data"]["challengeId"], "secret": totp.code()}
    assert fields(await house.request("POST", VERIFY, json=body)) == [("code", "REQUIRED")]


async def test_a_recovery_code_does_once(house):
    _, totp, answer = await challenged(house)
    assert (await verify(house, answer.json()["data"]["challengeId"], totp.recovery[0])).status_code == 200
    challenge = (await sign_in(house)).json()["data"]["challengeId"]
    assert (await verify(house, challenge, totp.recovery[0])).json() == BAD_CODE
    assert (await verify(house, challenge, totp.recovery[1])).status_code == 200


async def test_five_wrong_codes_use_the_challenge_up(house):
    _, totp, answer = await challenged(house)
    challenge = answer.json()["data"]["challengeId"]
    for _ in range(5):
        wrong = await verify(house, challenge, "nothing")
        assert (wrong.status_code, wrong.json()) == (400, BAD_CODE)
    assert (await verify(house, challenge, totp.code())).json() == BAD_CODE
    fresh = (await sign_in(house)).json()["data"]["challengeId"]
    assert (await verify(house, fresh, totp.code())).status_code == 200


async def test_twenty_wrong_codes_close_the_second_step(house):
    _, totp, _ = await challenged(house)
    for _ in range(4):
        challenge = (await sign_in(house)).json()["data"]["challengeId"]
        for _ in range(5):
            await verify(house, challenge, "nothing")
    challenge = (await sign_in(house)).json()["data"]["challengeId"]
    closed = await verify(house, challenge, totp.code())
    assert (closed.status_code, closed.json()) == (429, {"message": "TOO_MANY_REQUESTS"})
    assert int(closed.headers["retry-after"]) >= 1


async def test_a_challenge_lives_fifteen_minutes(house):
    _, totp, answer = await challenged(house)
    house.clock.move(15 * 60)
    assert (await verify(house, answer.json()["data"]["challengeId"], totp.code())).json() == BAD_CODE


async def test_a_challenge_dies_with_the_account(house):
    ada, totp, answer = await challenged(house)
    await house.core.life.set_status(ada.account, "suspended")
    assert (await verify(house, answer.json()["data"]["challengeId"], totp.code())).json() == BAD_CODE
    assert (await sign_in(house)).json() == WRONG


@pytest.mark.parametrize(
    "challenge", ["0" * 20, "x", "67C2CDBC0024AB122B59", "🂡" * 20, "../../profile", "\x7f", "a" * 64]
)
async def test_unknown_challenges_get_the_answer_of_wrong_codes(house, challenge):
    answer = await verify(house, challenge, "123456")
    assert (answer.status_code, answer.json()) == (400, BAD_CODE)


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        ({}, [("challengeId", "REQUIRED"), ("code", "REQUIRED")]),
        ({"challengeId": 5}, [("challengeId", "INVALID_TYPE"), ("code", "REQUIRED")]),
        ({"code": None}, [("challengeId", "REQUIRED"), ("code", "INVALID_TYPE")]),
        ({"otp": []}, [("challengeId", "REQUIRED"), ("code", "INVALID_TYPE")]),
        ({"challengeId": "a", "code": True}, [("code", "INVALID_TYPE")]),
        ({"challengeId": "a", "code": {}}, [("code", "INVALID_TYPE")]),
        ({"challengeId": "", "code": ""}, [("challengeId", "TOO_SHORT"), ("code", "TOO_SHORT")]),
        ({"challengeId": "a" * 65, "code": "1" * 65}, [("challengeId", "TOO_LONG"), ("code", "TOO_LONG")]),
        ({"challengeId": "a", "code": -1}, [("code", "INVALID_FORMAT")]),
        ({"challengeId": "a", "code": 10**8}, [("code", "INVALID_FORMAT")]),
        ({"challengeId": "a", "code": 10**30}, [("code", "INVALID_FORMAT")]),
        ({"challengeId": "a\x00", "code": "1"}, [("challengeId", "INVALID_FORMAT")]),
    ],
)
async def test_every_bad_field_of_the_second_step_is_named(house, body, problems):
    assert fields(await house.request("POST", VERIFY, json=body)) == problems

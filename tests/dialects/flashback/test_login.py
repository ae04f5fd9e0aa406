"""POST /user/login (contract section 4.1)."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from dialects.flashback.talk import CREDENTIALS, EMAIL, assert_no, bearer, claims, log_in, profile
from dragoman.storage.engine import Statement
from kit.house import PASSWORD, House

DEVICE = {"userAgent": "Mozilla/5.0", "deviceType": "DESKTOP", "os": "Linux", "browser": "Firefox"}
_DEVICES = Statement("select device from session order by id")


async def test_the_documented_answer(house: House) -> None:
    ada = await house.ada(rank=255)
    answer = await log_in(house)
    assert list(answer) == ["success", "accessToken", "refreshToken", "tokenId", "expiresAt", "user"]
    assert answer["success"] is True
    assert answer["expiresAt"] == house.clock.now() + 3_600_000
    assert answer["user"] == {
        "id": str(uuid.UUID(bytes=ada.account.id)),
        "email": EMAIL,
        "name": "Ada Example",
        "orgId": str(uuid.UUID(bytes=ada.account.organization)),
        "orgRole": 255,
    }
    said = claims(answer["accessToken"])
    assert said["exp"] - said["iat"] == 3600
    assert said["exp"] * 1000 == answer["expiresAt"]
    assert (said["type"], said["aud"], said["jti"]) == ("access", "flashback", answer["tokenId"])
    assert (said["userId"], said["email"], said["orgId"]) == (
        answer["user"]["id"],
        EMAIL,
        answer["user"]["orgId"],
    )
    assert [door for door, _, _ in await house.sessions()] == ["flashback"]


async def test_the_request_byte_for_byte_as_the_client_sends_it(house: House) -> None:
    await house.ada()
    content = b'{"email":"ada@example.com","password":"correct horse battery"}'
    answer = await house.post("/user/login", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"


async def test_the_access_token_opens_the_profile(house: House) -> None:
    await house.ada()
    assert (await profile(house, (await log_in(house))["accessToken"])).status_code == 200


async def test_a_username_is_no_address(house: House) -> None:
    await house.ada(email=None, verified=False)
    answer = await house.post("/user/login", json={"email": "ada", "password": PASSWORD})
    assert_no(answer, 401, "USER_NOT_FOUND")


# ---------------------------------------------------------------- the device


async def test_the_device_is_kept_with_the_session(house: House) -> None:
    await house.ada()
    more = {"screenResolution": "1920x1080", "hardwareConcurrency": 8, "deviceMemory": 7.5, "fingerprint": "unknown"}
    await log_in(house, deviceInfo={**DEVICE, **more})
    ((kept,),) = await house.db.scan(_DEVICES)
    assert json.loads(kept) == {
        **DEVICE,
        "screenResolution": "1920x1080",
        "hardwareConcurrency": 8.0,
        "deviceMemory": 7.5,
    }


async def test_no_device_is_kept_when_none_was_told(house: House) -> None:
    await house.ada()
    await log_in(house)
    await log_in(house, deviceInfo=None)
    await log_in(house, deviceInfo={"os": None})
    assert {kept for (kept,) in await house.db.scan(_DEVICES)} == {None, "{}"}


async def test_a_device_beyond_four_kib_is_refused(house: House) -> None:
    await house.ada()
    device = dict.fromkeys(("userAgent", "os", "browser"), "é" * 1000)
    assert_no(await house.post("/user/login", json={**CREDENTIALS, "deviceInfo": device}), 400, "INVALID_REQUEST")
    assert await house.sessions() == []


# ---------------------------------------------------------------- the four documented refusals


async def test_the_documented_codes(house: House) -> None:
    ada = await house.ada()
    await house.add(password=None, email="bob@example.com", username="bob")
    cases = [
        ({**CREDENTIALS, "email": "eve@example.com"}, "USER_NOT_FOUND"),
        ({**CREDENTIALS, "password": "wrong"}, "INVALID_PASSWORD"),
        ({**CREDENTIALS, "email": "bob@example.com"}, "NO_PASSWORD_SET"),
    ]
    for body, code in cases:
        before = house.hash_evaluations()
        assert_no(await house.post("/user/login", json=body), 401, code)
        assert house.hash_evaluations() == before + 1
    await house.core.life.set_status(ada.account, "suspended")
    assert_no(await house.post("/user/login", json=CREDENTIALS), 401, "USER_INACTIVE")
    assert_no(await house.post("/user/login", json={**CREDENTIALS, "password": "wrong"}), 401, "INVALID_PASSWORD")
    assert await house.sessions() == []


async def test_after_ten_telling_answers_an_hour_all_look_alike(house: House) -> None:
    await house.ada()
    codes = []
    for number in range(12):
        answer = await house.post("/user/login", json={**CREDENTIALS, "email": f"nobody{number}@example.com"})
        codes.append(answer.json()["error_code"])
    assert codes == ["USER_NOT_FOUND"] * 10 + ["INVALID_PASSWORD"] * 2
    unknown = await house.post("/user/login", json={**CREDENTIALS, "email": "eve@example.com"})
    wrong = await house.post("/user/login", json={**CREDENTIALS, "password": "wrong"})
    assert unknown.content == wrong.content
    elsewhere = {**CREDENTIALS, "email": "eve@example.com"}
    answer = await house.post("/user/login", json=elsewhere, address="198.51.100.7")
    assert answer.json()["error_code"] == "USER_NOT_FOUND"


async def test_too_many_failures_are_limited_with_a_time_to_wait(house: House) -> None:
    await house.ada()
    wrong = {**CREDENTIALS, "password": "wrong"}
    for _ in range(10):
        assert_no(await house.post("/user/login", json=wrong), 401, "INVALID_PASSWORD")
    before = house.hash_evaluations()
    answer = await house.post("/user/login", json=CREDENTIALS)
    assert_no(answer, 429, "RATE_LIMITED")
    assert 0 < int(answer.headers["retry-after"]) <= 300
    assert house.hash_evaluations() == before


@pytest.mark.parametrize("stale", ["Bearer x", "Bearer", "Basic YWRhOmFkYQ==", "", "Bearer a.b.c", "Bearer é".encode()])
async def test_whatever_bearer_comes_along_is_ignored(house: House, stale: str | bytes) -> None:
    await house.ada()
    answer = await house.post("/user/login", json=CREDENTIALS, headers={"Authorization": stale})
    assert answer.status_code == 200


async def test_an_ended_and_an_expired_bearer_are_ignored(house: House) -> None:
    await house.ada()
    first = await log_in(house)
    await house.post("/user/logout", json={"refresh_token": first["refreshToken"]})
    headers = bearer(first["accessToken"])
    assert (await house.post("/user/login", json=CREDENTIALS, headers=headers)).status_code == 200
    house.clock.move(7200)
    assert (await house.post("/user/login", json=CREDENTIALS, headers=headers)).status_code == 200


# ---------------------------------------------------------------- bad input

WRONG: list[Any] = [None, 1, True, 1.5, [], ["x"], {}, {"$gt": ""}]


async def test_wrong_types_and_empty_texts(house: House) -> None:
    for field in ("email", "password"):
        for value in (*WRONG, ""):
            answer = await house.post("/user/login", json={**CREDENTIALS, field: value})
            assert_no(answer, 400, "INVALID_REQUEST")
            assert field in answer.json()["message"]


async def test_wrong_types_in_the_device(house: House) -> None:
    for field in (*DEVICE, "ipAddress", "timezone", "language", "platform", "screenResolution"):
        for value in WRONG[1:]:
            answer = await house.post("/user/login", json={**CREDENTIALS, "deviceInfo": {**DEVICE, field: value}})
            assert_no(answer, 400, "INVALID_REQUEST")
            assert field in answer.json()["message"]
    for value in (*WRONG[1:-2], "x"):
        assert_no(await house.post("/user/login", json={**CREDENTIALS, "deviceInfo": value}), 400, "INVALID_REQUEST")
    for device in ({"deviceType": "desktop"}, {"hardwareConcurrency": "8"}, {"deviceMemory": True}):
        assert_no(await house.post("/user/login", json={**CREDENTIALS, "deviceInfo": device}), 400, "INVALID_REQUEST")


async def test_missing_fields_are_all_named(house: House) -> None:
    for body in ({}, {"email": EMAIL}, {"password": PASSWORD}, {"username": EMAIL, "pass": PASSWORD}):
        answer = await house.post("/user/login", json=body)
        assert_no(answer, 400, "INVALID_REQUEST")
        for field in {"email", "password"} - set(body):
            assert f"{field}: is required" in answer.json()["message"]


async def test_no_body_at_all_counts_as_an_empty_object(house: House) -> None:
    assert_no(await house.post("/user/login"), 400, "INVALID_REQUEST")


NOTHING = [
        b"{", b"null", b"[]", b'"x"', b"1", b'{"email": "a", "password": }', b"\xff\xfe", b'{"email":"\xc3\x28"}',
        b'{"email":"\\ud800","password":"x"}', b'{"email":"a@example.com","password":"\\udfff"}',
        b'{"email":"a\\u0000@example.com","password":"x"}', b'{"email":"a@example.com","password":"x\\u0000"}',
        b'{"email":' + b"[" * 2000 + b"]" * 2000 + b"}", b'{"email":' + b"9" * 400 + b',"password":"x"}',
        b'{"email":1e999,"password":"x"}', b'email=ada%40example.com&password=x',
    ]  # fmt: skip


async def test_bodies_that_are_nothing(house: House) -> None:
    for content in NOTHING:
        answer = await house.post("/user/login", content=content, headers={"Content-Type": "application/json"})
        assert_no(answer, 400, "INVALID_REQUEST")


async def test_other_content_types(house: House) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None):
        headers = {} if kind is None else {"Content-Type": kind}
        answer = await house.post("/user/login", content=json.dumps(CREDENTIALS), headers=headers)
        assert_no(answer, 415, "INVALID_REQUEST")


async def test_a_character_set_beside_the_content_type(house: House) -> None:
    await house.ada()
    headers = {"Content-Type": "application/json; charset=UTF-8"}
    assert (await house.post("/user/login", content=json.dumps(CREDENTIALS), headers=headers)).status_code == 200


async def test_a_password_of_a_megabyte(house: House) -> None:
    before = house.hash_evaluations()
    answer = await house.post("/user/login", json={**CREDENTIALS, "password": "x" * 2**20})
    assert_no(answer, 413, "INVALID_REQUEST")
    for password in ("x" * 1025, "é" * 1025):
        answer = await house.post("/user/login", json={**CREDENTIALS, "password": password})
        assert_no(answer, 400, "INVALID_REQUEST")
    assert house.hash_evaluations() == before


@pytest.mark.parametrize(
    "password", [" " * 8, "x" * 1024, "п" * 1024, "🐎" * 256, "a\tb\nc\rd", "e\u0301", "\u202etxt"]
)
async def test_any_password_up_to_1024_characters_is_judged_exactly(house: House, password: str) -> None:
    await house.add(password=password, email=EMAIL, username="ada")
    assert (await house.post("/user/login", json={"email": EMAIL, "password": password})).status_code == 200
    answer = await house.post("/user/login", json={"email": EMAIL, "password": password[:-1]})
    assert answer.status_code in (400, 401)


@pytest.mark.parametrize(
    "email",
    [
        "nobody", "@", "a@b@c", " ", "ada@example.com\r\nX: y", "ada@example.com,eve@example.com", "ада@example.com",
        "a" * 1024, "ada@xn--zckzah.example", "\u202eada@example.com", "🐎@example.com", "ada＠example.com",
        "' or 1=1 --", "\x7f", "ADA\u0130@example.com",
    ],
)  # fmt: skip
async def test_absurd_addresses_are_simply_not_known(house: House, email: str) -> None:
    await house.ada()
    before = house.hash_evaluations()
    assert_no(await house.post("/user/login", json={"email": email, "password": PASSWORD}), 401, "USER_NOT_FOUND")
    assert house.hash_evaluations() == before + 1


@pytest.mark.parametrize("email", ["ADA@Example.COM", " ada@example.com ", "ada@EXAMPLE.com"])
async def test_an_address_is_found_however_it_is_typed(house: House, email: str) -> None:
    await house.ada()
    answer = await house.post("/user/login", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 200
    assert answer.json()["user"]["email"] == EMAIL


async def test_of_repeated_fields_the_last_counts_and_unknown_ones_do_not(house: House) -> None:
    await house.ada()
    content = f'{{"email":"eve@example.com","email":"{EMAIL}","password":"{PASSWORD}","role":255,"orgRole":255}}'
    answer = await house.post("/user/login", content=content, headers={"Content-Type": "application/json"})
    assert answer.json()["user"]["orgRole"] == 0

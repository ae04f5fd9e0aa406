"""POST /user/refresh and /user/logout (contract sections 4.2 and 4.9). The chain itself: tests/core/test_refresh.py."""

from __future__ import annotations

from typing import Any

import pytest

from dialects.flashback.talk import assert_no, bearer, claims, log_in, profile, refresh
from dragoman.core.doors import DAY
from kit.house import House

WRONG: list[Any] = [1, True, [], {}, ["x"]]


@pytest.mark.parametrize("name", ["refreshToken", "refresh_token"])
async def test_both_spellings_and_the_documented_answer(house: House, name: str) -> None:
    await house.ada()
    first = await log_in(house)
    house.clock.move(60)
    answer = await house.post("/user/refresh", json={name: first["refreshToken"]})
    body = answer.json()
    assert list(body) == ["success", "accessToken", "refreshToken", "expiresAt", "token"]
    assert body["token"] == body["accessToken"] != first["accessToken"]
    assert body["refreshToken"] != first["refreshToken"]
    assert body["expiresAt"] == house.clock.now() + 3_600_000
    assert claims(body["accessToken"])["jti"] == first["tokenId"]
    for token in (body["accessToken"], first["accessToken"]):
        assert (await profile(house, token)).status_code == 200


async def test_the_session_is_the_same_after_three_refreshes(house: House) -> None:
    await house.ada()
    first = await log_in(house)
    token = first["refreshToken"]
    for _ in range(3):
        house.clock.move(3000)
        body = (await refresh(house, token)).json()
        token = body["refreshToken"]
        assert claims(body["accessToken"])["jti"] == first["tokenId"]
    assert len(await house.sessions()) == 1
    assert (await house.post("/user/logout", json={"refresh_token": first["refreshToken"]})).status_code == 200
    assert_no(await profile(house, body["accessToken"]), 401, "NO_AUTH_USER")


async def test_both_spellings_at_once(house: House) -> None:
    await house.ada()
    token = (await log_in(house))["refreshToken"]
    same = {"refreshToken": token, "refresh_token": token}
    assert (await house.post("/user/refresh", json=same)).status_code == 200
    for path in ("/user/refresh", "/user/logout"):
        answer = await house.post(path, json={"refreshToken": token, "refresh_token": "another"})
        assert_no(answer, 400, "INVALID_REQUEST")
    assert (await house.post("/user/refresh", json={"refreshToken": token, "refresh_token": None})).status_code == 200


async def test_no_token_is_an_invalid_request(house: House) -> None:
    for body in ({}, {"refreshToken": None}, {"refresh_token": ""}, {"token": "x"}):
        assert_no(await house.post("/user/refresh", json=body), 400, "INVALID_REQUEST")
    assert_no(await house.post("/user/refresh"), 400, "INVALID_REQUEST")


async def test_wrong_types(house: House) -> None:
    for path in ("/user/refresh", "/user/logout"):
        for name in ("refreshToken", "refresh_token"):
            for value in WRONG:
                assert_no(await house.post(path, json={name: value}), 400, "INVALID_REQUEST")


async def test_what_is_no_refresh_token(house: House) -> None:
    for token in ("x", "A" * 75, "é" * 75, "🐎", "A" * 60_000, " ", "eyJhbGciOiJub25lIn0.e30."):
        assert_no(await refresh(house, token), 401, "INVALID_REFRESH_TOKEN")
        assert (await house.post("/user/logout", json={"refresh_token": token})).status_code == 200


async def test_a_spent_token_ends_the_session_as_stolen(house: House) -> None:
    await house.ada()
    first = await log_in(house)
    second = (await refresh(house, first["refreshToken"])).json()
    third = (await refresh(house, second["refreshToken"])).json()
    assert_no(await refresh(house, first["refreshToken"]), 401, "INVALID_REFRESH_TOKEN")
    assert_no(await refresh(house, third["refreshToken"]), 401, "INVALID_REFRESH_TOKEN")
    assert_no(await profile(house, third["accessToken"]), 401, "NO_AUTH_USER")
    assert await house.sessions() == []


async def test_an_idle_session_has_run_out(house: House) -> None:
    await house.ada()
    first = await log_in(house)
    house.clock.move(30 * DAY)
    assert_no(await refresh(house, first["refreshToken"]), 401, "REFRESH_TOKEN_EXPIRED")


async def test_a_suspended_account(house: House) -> None:
    ada = await house.ada()
    first = await log_in(house)
    await house.core.life.set_status(ada.account, "suspended")
    assert_no(await refresh(house, first["refreshToken"]), 401, "USER_INACTIVE")
    assert_no(await profile(house, first["accessToken"]), 401, "NO_AUTH_USER")


async def test_each_token_is_refused_in_the_place_of_the_other(house: House) -> None:
    await house.ada()
    first = await log_in(house)
    assert_no(await refresh(house, first["accessToken"]), 401, "INVALID_REFRESH_TOKEN")
    assert_no(await profile(house, first["refreshToken"]), 401, "NO_AUTH_USER")
    await house.post("/user/logout", json={"refresh_token": first["accessToken"]})
    assert (await profile(house, first["accessToken"])).status_code == 200


async def test_a_stale_bearer_does_not_disturb_a_refresh(house: House) -> None:
    await house.ada()
    first = await log_in(house)
    house.clock.move(7200)
    for stale in (first["accessToken"], "x", first["refreshToken"]):
        body = {"refresh_token": first["refreshToken"]}
        assert (await house.post("/user/refresh", json=body, headers=bearer(stale))).status_code == 200


# ---------------------------------------------------------------- logout


async def test_logout_ends_the_session_and_says_yes_again(house: House) -> None:
    await house.ada()
    first, other = await log_in(house), await log_in(house)
    for _ in range(2):
        answer = await house.post("/user/logout", json={"refresh_token": first["refreshToken"]})
        assert answer.status_code == 200
        assert answer.json() == {"success": True, "message": "Signed out"}
    assert_no(await profile(house, first["accessToken"]), 401, "NO_AUTH_USER")
    assert_no(await refresh(house, first["refreshToken"]), 401, "INVALID_REFRESH_TOKEN")
    assert (await profile(house, other["accessToken"])).status_code == 200


async def test_logout_with_a_bearer_and_no_body(house: House) -> None:
    await house.ada()
    first = await log_in(house)
    assert (await house.post("/user/logout", headers=bearer(first["accessToken"]))).status_code == 200
    assert_no(await refresh(house, first["refreshToken"]), 401, "INVALID_REFRESH_TOKEN")


async def test_logout_with_a_dead_refresh_token_ends_the_session_of_the_bearer(house: House) -> None:
    await house.ada()
    first = await log_in(house)
    answer = await house.post("/user/logout", json={"refresh_token": "x"}, headers=bearer(first["accessToken"]))
    assert answer.status_code == 200
    assert await house.sessions() == []


async def test_logout_ends_only_what_the_refresh_token_names(house: House) -> None:
    await house.ada()
    first, second = await log_in(house), await log_in(house)
    body = {"refreshToken": second["refreshToken"]}
    assert (await house.post("/user/logout", json=body, headers=bearer(first["accessToken"]))).status_code == 200
    assert (await profile(house, first["accessToken"])).status_code == 200
    assert_no(await profile(house, second["accessToken"]), 401, "NO_AUTH_USER")


async def test_logout_with_nothing_at_all_or_a_stale_bearer(house: House) -> None:
    assert (await house.post("/user/logout")).status_code == 200
    assert (await house.post("/user/logout", json={}, headers=bearer("x"))).status_code == 200

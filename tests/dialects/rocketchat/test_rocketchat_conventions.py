"""What holds for every answer of this wire: contract section 1, row by row."""

from __future__ import annotations

import re
from typing import Any

import httpx2
import pytest

from dragoman.dialects.rocketchat import DIALECT
from kit.house import PASSWORD, House

LOGIN, ME, LOGOUT, INFO, TOKENS = (
    "/api/v1/login", "/api/v1/me", "/api/v1/logout", "/api/v1/settings", "/api/v1/users.generatePersonalAccessToken"
)  # fmt: skip
NOT_SIGNED_IN = "You must be logged in to do this."
FLAT = {"user": "ada", "password": PASSWORD}


async def log_in(house: House, user: str = "ada") -> dict[str, str]:
    data = (await house.post(LOGIN, json={"user": user, "password": PASSWORD})).json()["data"]
    return {"X-Auth-Token": data["authToken"], "X-User-Id": data["userId"]}


# (method, path, what is sent, who: "" nobody, "ada" an administrator, "bob" anybody) → (status, body)
ENVELOPES: dict[str, tuple[str, str, dict[str, Any], str, int, dict[str, Any]]] = {
    "success": ("GET", "/api/v1/settings.oauth", {}, "", 200, {"services": [], "success": True}),
    "logout success": (
        "POST", LOGOUT, {}, "bob", 200,
        {"status": "success", "data": {"message": "You've been logged out!"}, "success": True},
    ),
    "failure with a code": (
        "POST", "/api/v1/users.removePersonalAccessToken", {"json": {"tokenName": "x"}}, "bob", 400,
        {"success": False, "error": "Token does not exist [error-token-does-not-exists]",
         "errorType": "error-token-does-not-exists"},
    ),
    "failure by hand": (
        "GET", "/api/v1/users.info", {"params": {"username": "nobody"}}, "bob", 400,
        {"success": False, "error": "User not found."},
    ),
    "not signed in": (
        "GET", ME, {}, "", 401,
        {"success": False, "error": NOT_SIGNED_IN, "status": "error", "message": NOT_SIGNED_IN},
    ),
    "login failed": (
        "POST", LOGIN, {"json": {"user": "ada", "password": "wrong"}}, "", 401,
        {"success": False, "status": "error", "error": "Unauthorized", "message": "Unauthorized"},
    ),
    "missing permission": (
        "GET", INFO, {}, "bob", 403,
        {"success": False, "error": "User does not have the permissions required for this action [error-unauthorized]"},
    ),
    "refused inside": (
        "GET", "/api/v1/pw.getPolicyReset", {"params": {"token": "x"}}, "", 403,
        {"success": False, "error": "unauthorized"},
    ),
    "unknown route": ("GET", "/api/v1/no.such", {}, "", 404, {"success": False, "error": "Resource not found"}),
    "unknown app": ("GET", "/api/apps/x", {}, "ada", 404, {"success": False, "error": "Resource not found"}),
    "SockJS": ("GET", "/sockjs/info", {}, "", 404, {"success": False, "error": "Resource not found"}),
}  # fmt: skip


@pytest.mark.parametrize("row", ENVELOPES.values(), ids=ENVELOPES)
async def test_envelopes(house: House, row: tuple[str, str, dict[str, Any], str, int, dict[str, Any]]) -> None:
    method, path, sent, who, status, body = row
    await house.ada(administrator=True)
    await house.add(username="bob")
    headers = await log_in(house, who) if who else {}
    answer = await house.request(method, path, headers=headers, **sent)
    assert (answer.status_code, answer.json()) == (status, body)


async def test_every_answer_has_the_same_headers(house: House) -> None:
    await house.ada()
    own = await log_in(house)
    answers: list[httpx2.Response] = [
        await house.post(LOGIN, json=FLAT), await house.post(LOGIN, json={}), await house.get(ME, headers=own),
        await house.get(ME), await house.get("/api/info"), await house.get("/api/v1/no.such"),
        await house.post(LOGIN, content=b"x" * 70_000), await house.request("DELETE", ME),
    ]  # fmt: skip
    for answer in answers:
        assert answer.headers["content-type"] == "application/json", "without a charset, to the letter"
        assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
        assert re.fullmatch("[23456789A-HJKLMNP-TWXYZa-km-z]{17}", answer.headers["x-instance-id"])
    assert len({answer.headers["x-instance-id"] for answer in answers}) == 1


async def test_bodies_that_are_none_count_as_empty_objects(house: House) -> None:
    """An operation with a field that it needs tells what an empty object lacks, whatever did not come."""
    await house.ada()
    own = await log_in(house)
    sent: tuple[dict[str, Any], ...] = (
        {}, {"content": b""}, {"content": b"not json", "headers": {"Content-Type": "application/json"}},
        {"content": b'{"tokenName":"x"}'}, {"content": b'{"tokenName":"x"}', "headers": {"Content-Type": "text/plain"}},
        {"files": {"tokenName": (None, "x")}}, {"json": {}}, {"data": {}},
    )  # fmt: skip
    for each in sent:
        answer = await house.post(TOKENS, **{**each, "headers": {**own, **each.get("headers", {})}})
        said = answer.json()
        assert (answer.status_code, said["success"], said["errorType"]) == (400, False, "invalid-params"), each
        assert said["error"].endswith(" [invalid-params]")
        assert "tokenName" in said["error"]
    assert (await house.post(TOKENS, headers=own, data={"tokenName": "by form"})).status_code == 200
    assert (
        await house.post(TOKENS, headers=own, data={"tokenName": "y", "bypassTwoFactor": "true"})
    ).status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, {"X-Auth-Token": "undefined", "X-User-Id": "undefined"}, {"X-Auth-Token": "x"}]
)
async def test_open_operations_ignore_the_two_headers(house: House, headers: dict[str, str]) -> None:
    await house.ada()
    assert (await house.post(LOGIN, json=FLAT, headers=headers)).status_code == 200
    for operation in DIALECT.operations:
        if operation.access in ("open", "optional"):
            path = operation.path.replace("{username}", "ada")
            answers = [await house.request(operation.method, path, headers=each) for each in (headers, {})]
            assert answers[0].status_code == answers[1].status_code, path


async def test_the_sign_in_is_checked_before_the_parameters(house: House) -> None:
    """Contract section 16, no. 19."""
    for operation in DIALECT.operations:
        if operation.access in ("client", "any"):
            path = re.sub(r"\{\w+\}", "x", operation.path)
            answer = await house.request(operation.method, path, json={"nonsense": []})
            assert (answer.status_code, answer.json()["error"]) == (401, NOT_SIGNED_IN), path


async def test_times_are_iso_8601_with_milliseconds(house: House) -> None:
    await house.ada()
    shown = (await house.get(ME, headers=await log_in(house))).json()
    for name in ("createdAt", "lastLogin", "_updatedAt"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", shown[name])


@pytest.mark.parametrize("path", [ME, LOGIN, "/api/v1/no.such", "/api/apps/x"])
async def test_options_is_ok(house: House, path: str) -> None:
    answer = await house.request("OPTIONS", path)
    assert (answer.status_code, answer.text) == (200, "OK")

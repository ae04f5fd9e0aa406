"""What Flashback's client does, in a few words for the tests."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx2

from kit.house import PASSWORD, House

EMAIL = "ada@example.com"
CREDENTIALS = {"email": EMAIL, "password": PASSWORD}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def log_in(house: House, **more: Any) -> dict[str, Any]:
    answer = await house.post("/user/login", json={**CREDENTIALS, **more})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def profile(house: House, token: str) -> httpx2.Response:
    return await house.request("GET", "/user/profile", headers=bearer(token))


async def refresh(house: House, token: str) -> httpx2.Response:
    return await house.request("POST", "/user/refresh", json={"refresh_token": token})


def claims(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))


def assert_no(answer: httpx2.Response, status: int, code: str) -> None:
    """Assert that an answer is the dialect's own failure with this code, readable by all three families."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"success", "error_code", "message", "error"}
    assert body["error_code"] == code
    assert body["success"] is False
    assert body["message"] == body["error"] != ""
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert ("www-authenticate" in answer.headers) is (status == 401)

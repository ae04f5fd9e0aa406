"""The calls that try the directory out: contract section 9, against a real one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from kit.directory import READER, READER_PASSWORD, Slapd
from kit.house import PASSWORD, House, open_house

pytestmark = pytest.mark.slow

CONNECTION, SEARCH, SYNC = "/api/v1/ldap.testConnection", "/api/v1/ldap.testSearch", "/api/v1/ldap.syncNow"
MISSING = "User does not have the permissions required for this action [error-unauthorized]"
PROOF = {"x-2fa-code": hashlib.sha256(PASSWORD.encode()).hexdigest(), "x-2fa-method": "password"}


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd(tmp_path_factory.mktemp("slapd") / "d") as running:
        running.person("dora", "the directory's word", mail=["dora@example.com"])
        yield running


def settings(slapd: Slapd) -> dict[str, Any]:
    return {
        "directory__urls": [slapd.url], "directory__base": slapd.base, "directory__bind_name": READER,
        "directory__bind_password": READER_PASSWORD, "directory__timeout_seconds": 1.0,
    }  # fmt: skip


async def log_in(house: House, user: str) -> dict[str, str]:
    answer = await house.post("/api/v1/login", json={"user": user, "password": PASSWORD})
    data = answer.json()["data"]
    return {"X-Auth-Token": data["authToken"], "X-User-Id": data["userId"]}


def said(answer: httpx2.Response) -> tuple[int, str]:
    body = answer.json()
    return answer.status_code, body.get("message") if body["success"] else body["error"]


async def test_connection_and_search(tmp_path: Path, slapd: Slapd) -> None:
    async with open_house(tmp_path, **settings(slapd)) as house:
        await house.ada(administrator=True)
        own = await log_in(house, "ada")
        sessions = len(await house.sessions())
        assert said(await house.post(CONNECTION, headers=own)) == (200, "LDAP_Connection_successful")
        for name in ("dora", "dora@example.com"):
            found = await house.post(SEARCH, headers=own, json={"username": name})
            assert (found.status_code, found.json()) == (200, {"message": "LDAP_User_Found", "success": True})
        for name in ("nobody", "*", "d*", "dora)(uid=*", "x" * 256):
            answer = await house.post(SEARCH, headers=own, json={"username": name})
            assert said(answer) == (400, "LDAP_search_failed"), name
        for body in ({}, {"username": ""}, {"username": 5}, {"username": "x" * 257}):
            answer = await house.post(SEARCH, headers=own, json=body)
            assert (answer.status_code, answer.json()["errorType"]) == (400, "invalid-params")
        slapd.stop()
        try:
            assert said(await house.post(CONNECTION, headers=own)) == (400, "Connection_failed")
            assert said(await house.post(SEARCH, headers=own, json={"username": "dora"})) == (400, "LDAP_search_failed")
        finally:
            slapd.start()
        assert len(await house.sessions()) == sessions


async def test_where_there_is_no_directory(house: House) -> None:
    await house.ada(administrator=True)
    own = await log_in(house, "ada")
    assert said(await house.post(CONNECTION, headers=own)) == (400, "LDAP_disabled")
    assert said(await house.post(SEARCH, headers=own, json={"username": "dora"})) == (400, "LDAP_disabled")
    assert said(await house.post(SYNC, headers={**own, **PROOF})) == (400, "LDAP_disabled")


async def test_the_permission_is_needed(house: House) -> None:
    await house.add(username="bob")
    own = await log_in(house, "bob")
    for path in (CONNECTION, SEARCH):
        assert said(await house.post(path, headers=own, json={"username": "dora"})) == (403, MISSING)
        assert (await house.post(path)).status_code == 401
    assert said(await house.post(SYNC, headers={**own, **PROOF})) == (403, MISSING)


async def test_sync_wants_a_proof_in_every_call_and_is_not_offered(tmp_path: Path, slapd: Slapd) -> None:
    async with open_house(tmp_path, **settings(slapd)) as house:
        await house.ada(administrator=True)
        own = await log_in(house, "ada")
        answer = await house.post(SYNC, headers=own, json={})
        assert (answer.status_code, answer.json()["errorType"]) == (400, "totp-required")
        assert said(await house.post(SYNC, headers={**own, **PROOF})) == (400, "Not allowed [error-not-allowed]")
        again = await house.post(SYNC, headers=own, json={})
        assert again.json()["errorType"] == "totp-required"

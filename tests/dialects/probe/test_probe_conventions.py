"""What holds for every operation of Probe (contract sections 1, 2.5 and 2.6)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dragoman.dialects import probe
from dragoman.http import Operation
from dragoman.http.openapi import document
from kit.house import PASSWORD, House, open_house

KEBAB = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
CAPTCHA = {"X-Recaptcha-Token": "a-captcha"}
WITH_BODY = [each for each in probe.DIALECT.operations if each.body is not None]
BASE = "/frontend/api/v1"


def name_of(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


async def bearer(house: House) -> dict[str, str]:
    await house.ada()
    found = await house.post(f"{BASE}/auth/sign-in", json={"email": "ada@example.com", "password": PASSWORD})
    return {**CAPTCHA, "Authorization": f"Bearer {found.json()['jwt-token']['token']}"}


def path_of(operation: Operation) -> str:
    return re.sub(r"\{[a-z_]+\}", "7", operation.path)


@pytest.mark.parametrize("operation", WITH_BODY, ids=name_of)
async def test_bodies_are_json_or_forms(house: House, operation: Operation) -> None:
    held, path = await bearer(house), path_of(operation)

    async def send(content: bytes, kind: str) -> tuple[int, dict[str, Any]]:
        headers = {**held, "Content-Type": kind}
        answer = await house.request(operation.method, path, content=content, headers=headers)
        return answer.status_code, answer.json() if answer.content else {}

    for kind in (
        "text/plain",
        "application/xml",
        "multipart/form-data; boundary=x",
        "application/json; charset=latin1",
    ):
        status, said = await send(b'{"x": 1}', kind)
        assert (status, said["status"], said["code"], said["context"]) == (415, "INVALID_ARGUMENT", 0, {})
    status, said = await send(b"{", "application/json")
    assert (status, said["error"]) == (400, "invalid argument: body is not JSON")
    status, said = await send(b"[]", "application/json")
    assert (status, said["context"]) == (400, {"body": ["#: expected object"]})
    status, _ = await send(b"none=of+its+fields", "application/x-www-form-urlencoded")
    assert status not in (415, 500)
    status, said = await send(b"%FF=%FE&a[b]=%C3%28", "application/x-www-form-urlencoded")
    assert (status, list(said)) == (400, ["status", "code", "error", "context"])


def test_names_are_kebab_case() -> None:
    """Path values aside: their names are never sent."""
    shown = document(probe.DIALECT)
    names = [
        parameter["name"]
        for item in shown["paths"].values() for each in item.values() for parameter in each["parameters"]
        if parameter["in"] in ("query", "cookie")
    ]  # fmt: skip
    for schema in shown["components"]["schemas"].values():
        names += schema.get("properties", {})
    assert len(names) > 40
    assert [name for name in names if not KEBAB.fullmatch(name.replace("[", "-").replace("]", ""))] == []


def test_every_operation_is_in_the_readme() -> None:
    readme = (Path(probe.__file__).parent / "README.md").read_text(encoding="utf-8")
    for operation in probe.DIALECT.operations:
        path = operation.path.removeprefix(f"{BASE}/").replace("_", "-")
        assert f"`{operation.method} {path}`" in readme, operation.path


def test_objects_in_queries_are_shown_as_such() -> None:
    """`pagination[page]=2`: style deepObject wherever a query has an object."""
    shown = document(probe.DIALECT)
    for item in shown["paths"].values():
        for each in item.values():
            for parameter in each["parameters"]:
                if parameter["in"] == "query":
                    deep = "$ref" in parameter["schema"] or parameter["schema"].get("type") == "object"
                    assert (parameter.get("style") == "deepObject") is deep, parameter


@pytest.mark.parametrize(
    ("path", "setting", "body"),
    [
        ("sign-in", "limits__account_5_minutes", {"email": "ada@example.com", "password": "not her password"}),
        ("sign-up", "limits__registrations_hour", {"email": "bob@example.com", "password": "correct horse battery"}),
    ],
)
async def test_too_many_is_429_with_retry_after(tmp_path: Path, path: str, setting: str, body: dict[str, str]) -> None:
    async with open_house(tmp_path, **{setting: 2}) as house:
        await house.ada()
        answers = [await house.post(f"{BASE}/auth/{path}", json=body, headers=CAPTCHA) for _ in range(3)]
        assert [answer.status_code == 429 for answer in answers] == [False, False, True]
        last = answers[-1]
        assert last.headers["retry-after"].isdigit()
        assert msgspec.json.decode(last.content) == {
            "status": "RESOURCE_EXHAUSTED", "code": 0, "context": {},
            "error": "resource exhausted: too many attempts, try again later",
        }  # fmt: skip

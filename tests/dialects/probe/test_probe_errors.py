"""Probe's errors: the tables are total, bad input gets a clear answer, `/v1/probe` has a shape of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dragoman.core import refusals
from dragoman.core.refusals import Waiting
from dragoman.dialects import probe
from dragoman.dialects.probe.errors import FAULTS, REFUSALS
from dragoman.http import faults
from dragoman.http.openapi import document
from kit.house import PASSWORD, House

BASE = "/frontend/api/v1"
SIGN_IN = f"{BASE}/auth/sign-in"
ADA: dict[str, Any] = {"email": "ada@example.com", "password": PASSWORD}
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def test_every_refusal_and_every_fault_has_its_answer() -> None:
    assert set(REFUSALS) == refusals.catalogue()
    assert set(FAULTS) == faults.catalogue()
    assert {kind for kind, words in REFUSALS.items() if words.http in {429, 503}} == {
        kind for kind in refusals.catalogue() if issubclass(kind, Waiting)
    }


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("email", None, "must be str, got null"),
        ("email", 7, "must be str, got int"),
        ("email", "a@b", "length must be >= 5"),
        ("email", f"{'a' * 250}@example.com", "length must be <= 255"),
        ("email", "ada.example.com", "does not have the right format"),
        ("email", "ada@bob@example.com", "does not have the right format"),
        ("email", "ada\x00@example.com", "must not contain NUL"),
        ("password", None, "must be str, got null"),
        ("password", ["correct horse battery"], "must be str, got array"),
        ("password", "", "length must be >= 1"),
        ("password", "x" * 1025, "length must be <= 1024"),
        ("long-term-token", "true", "must be bool, got str"),
        ("long-term-token", None, "must be bool, got null"),
        ("logout-other", 1, "must be bool, got int"),
        ("current-user", 5, "must be str | null, got int"),
        ("ret-url", {}, "must be str | null, got object"),
        ("code", 123456, "must be str | null, got int"),
    ],
)
async def test_a_field_of_the_wrong_type_is_named(house: House, field: str, value: Any, message: str) -> None:
    await house.ada()
    answer = await house.post(SIGN_IN, json={**ADA, field: value})
    assert answer.status_code == 400
    assert answer.json() == {
        "status": "INVALID_ARGUMENT",
        "code": 0,
        "error": "invalid argument: validation failed",
        "context": {"body": [f"#/{field}: {message}"]},
    }
    assert await house.sessions() == []


async def test_all_wrong_fields_are_named_at_once(house: House) -> None:
    answer = await house.post(SIGN_IN, json={"password": 1, "logout-other": "yes"})
    assert sorted(answer.json()["context"]["body"]) == [
        "#/email: is required",
        "#/logout-other: must be bool, got str",
        "#/password: must be str, got int",
    ]


async def test_wrong_form_fields_are_named_one_by_one(house: House) -> None:
    answer = await house.post(SIGN_IN, data={"email": "a@b", "long-term-token": "perhaps"})
    assert answer.status_code == 400
    assert answer.json()["context"] == {
        "formData:email": ["#: length must be >= 5"],
        "formData:long-term-token": ["#: must be bool, got str"],
    }


@pytest.mark.parametrize("value", ["yes", "2", "", "null"])
async def test_a_bad_boolean_in_the_query_is_named(house: House, value: str) -> None:
    await house.ada()
    token = (await house.post(SIGN_IN, json=ADA)).json()["jwt-token"]["token"]
    answer = await house.delete(f"{BASE}/auth/sign-out", params={"logout-all": value, "jwt": token})
    assert answer.status_code == 400
    assert list(answer.json()["context"]) == ["query:logout-all"]


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"", JSON, 400),
        (b"", {}, 400),
        (b"{", JSON, 400),
        (b"[]", JSON, 400),
        (b'"text"', JSON, 400),
        (b"null", JSON, 400),
        (b'{"email": "\xff\xfe@example.com"}', JSON, 400),
        (b'{"email": "\\ud800@example.com", "password": "x"}', JSON, 400),
        (b'{"email": "ada@example.com", "password": "\\udfff"}', JSON, 400),
        (b'{"email": "ada@example.com", "password": "\\u0000"}', JSON, 400),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, JSON, 400),
        (b"email=%ff%40example.com&password=x", FORM, 400),
        (b"email=ada%40example.com&password=%00", FORM, 400),
        (json.dumps(ADA).encode(), {}, 415),
        (json.dumps(ADA).encode(), {"Content-Type": "text/plain"}, 415),
        (json.dumps(ADA).encode(), {"Content-Type": "multipart/form-data; boundary=x"}, 415),
        (json.dumps(ADA).encode(), {"Content-Type": "application/json; charset=utf-16"}, 415),
        (json.dumps({**ADA, "password": "x" * 1_000_000}).encode(), JSON, 413),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused_in_the_common_shape(
    house: House, content: bytes, headers: dict[str, str], status: int
) -> None:
    await house.ada()
    before = house.hash_evaluations()
    answer = await house.post(SIGN_IN, content=content, headers=headers)
    assert answer.status_code == status
    assert list(answer.json()) == ["status", "code", "error", "context"]
    assert answer.json()["status"] == "INVALID_ARGUMENT"
    assert house.hash_evaluations() == before
    assert await house.sessions() == []


@pytest.mark.parametrize(
    "email",
    [
        "ada@exämple.com",
        "ａｄａ@example.com",
        "ada\u200b@example.com",
        "ada\r\nBcc: x@example.com",
        "@" * 1 + "\U0001f600" * 5,
        "a" * 64 + "@" + "\u0131" * 100,
        "ada@xn--\u00e9",
        "\u202eada@example.com",
    ],
)
async def test_odd_addresses_are_just_wrong(house: House, email: str) -> None:
    await house.ada()
    answer = await house.post(SIGN_IN, json={**ADA, "email": email})
    assert answer.status_code in {400, 401}
    assert set(answer.headers) >= {"content-type", "x-request-id"}


async def test_unknown_fields_are_ignored_and_the_last_of_two_counts(house: House) -> None:
    await house.ada()
    sent = b'{"email":"bob@example.com","x":{"y":[1]},"password":"correct horse battery","email":"ada@example.com"}'
    assert (await house.post(SIGN_IN, content=sent, headers=JSON)).status_code == 200


async def test_unknown_paths_and_methods_have_the_common_shape(house: House) -> None:
    missing = await house.get(f"{BASE}/nothing")
    assert missing.json() == {"status": "NOT_FOUND", "code": 0, "error": "not found", "context": {}}
    assert missing.status_code == 404
    wrong = await house.request("PUT", SIGN_IN)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert wrong.json()["status"] == "UNIMPLEMENTED"


@pytest.mark.parametrize("path", ["/v1/probe", "/v1/probe/file", "/v1/probe/frontend/api/v1"])
async def test_media_paths_answer_in_their_own_shape(house: House, path: str) -> None:
    for method in ("GET", "POST"):
        answer = await house.request(method, path, params={"url": "https://media.example.com/a.mp4"})
        assert (answer.status_code, answer.json()) == (404, {"error": "not found"})


async def test_a_fault_of_ours_tells_the_request_and_nothing_else(house: House) -> None:
    call: Any = type("Call", (), {"scope": {"path": SIGN_IN}})()
    answer = probe.DIALECT.fault(faults.Unexpected("r1"), call)
    assert (answer.status, answer.body.error, answer.body.context) == (500, "internal", {"request-id": ["r1"]})


def test_the_document_names_the_five_carriers_and_closed_answers() -> None:
    made = document(probe.DIALECT)
    assert set(made["components"]["securitySchemes"]) == {"api_key_header", "api_key", "jwt-token", "jwt-cookie", "jwt"}
    assert set(made["paths"]) == {each.path for each in probe.DIALECT.operations}
    answer = made["components"]["schemas"]["SignInAnswer"]
    assert answer["additionalProperties"] is False
    assert set(answer["properties"]) == {
        "api-token", "current-user", "email", "jwt-token", "oauth-provider-tokens", "ret-url", "status", "user-id",
    }  # fmt: skip


@pytest.mark.parametrize(
    "origin", ["app.example.com", "https://app.example.com/", "https://app.example.com/x", "*", ""]
)
def test_a_setting_that_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(ValueError, match="is no origin"):
        probe.Config(ret_url_origins=(origin,))


def test_the_example_line_is_whole() -> None:
    assert probe.DIALECT.example.count("{base}") == 1
    assert PASSWORD in probe.DIALECT.example

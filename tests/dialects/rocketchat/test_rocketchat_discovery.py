"""What the server tells everybody: contract section 6, and the paths that have nothing yet."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
import pytest

from dragoman.app import gateway
from dragoman.dialects.rocketchat import DIALECT, Config, dialect
from dragoman.http.dialect import Mount
from dragoman.http.openapi import document
from kit.house import PASSWORD, House
from kit.served import served

ANONYMOUS = {"version": "8.8", "minimumClientVersions": {"desktop": "3.9.6", "mobile": "4.39.0"}, "success": True}


async def log_in(house: House, user: str) -> dict[str, str]:
    data = (await house.post("/api/v1/login", json={"user": user, "password": PASSWORD})).json()["data"]
    return {"X-Auth-Token": data["authToken"], "X-User-Id": data["userId"]}


@pytest.mark.parametrize("path", ["/api/info", "/api/info?", "/api/info/", "/api/v1/info"])
async def test_info_is_whole_for_administrators_only(house: House, path: str) -> None:
    await house.ada()
    await house.add(username="bob", administrator=True)
    stale = {"X-Auth-Token": "undefined", "X-User-Id": "undefined"}
    for headers in ({}, stale, await log_in(house, "ada")):
        assert (await house.get(path, headers=headers)).json() == ANONYMOUS
    shown = (await house.get(path, headers=await log_in(house, "bob"))).json()
    assert shown["version"] == "8.8.0"
    assert shown["info"]["version"] == "8.8.0"
    assert isinstance(shown["info"]["build"], dict)
    assert isinstance(shown["info"]["commit"], dict)
    assert isinstance(shown["info"]["marketplaceApiVersion"], str)
    assert shown["success"] is True


async def test_settings_are_listed_by_name_in_pages(house: House) -> None:
    every = (await house.get("/api/v1/settings.public", params={"count": 0})).json()
    names = [each["_id"] for each in every["settings"]]
    assert names == sorted(names)
    assert (every["count"], every["offset"], every["total"], every["success"]) == (len(names), 0, len(names), True)
    assert {"Site_Url", "Site_Name", "uniqueID", "LDAP_Enable", "CAS_enabled", "Accounts_ShowFormLogin"} <= {*names}
    page = (await house.get("/api/v1/settings.public", params={"count": 3, "offset": 2})).json()
    assert [each["_id"] for each in page["settings"]] == names[2:5]
    assert (page["count"], page["offset"], page["total"]) == (3, 2, len(names))
    beyond = (await house.get("/api/v1/settings.public", params={"offset": 500})).json()
    assert (beyond["settings"], beyond["count"], beyond["total"]) == ([], 0, len(names))


async def test_named_settings(house: House) -> None:
    answer = await house.get("/api/v1/settings.public", params={"_id": "Site_Url"})
    assert answer.json() == {
        "settings": [{"_id": "Site_Url", "value": "http://dragoman.test"}],
        "count": 1, "offset": 0, "total": 1, "success": True,
    }  # fmt: skip
    several = await house.get("/api/v1/settings.public?_id=LDAP_Enable, uniqueID,nothing,LDAP_Enable&query={}&sort={}")
    values = {each["_id"]: each["value"] for each in several.json()["settings"]}
    assert values == {"LDAP_Enable": False, "uniqueID": values["uniqueID"]}
    assert len(values["uniqueID"]) == 17


@pytest.mark.parametrize("query", [{"count": "many"}, {"count": -1}, {"offset": 1.5}, {"offset": 10**30}])
async def test_a_bad_page_is_told(house: House, query: dict[str, Any]) -> None:
    answer = await house.get("/api/v1/settings.public", params=query)
    assert answer.status_code == 400
    shown = answer.json()
    assert (shown["success"], shown["errorType"]) == (False, "error-invalid-params")
    assert next(iter(query)) in shown["error"]
    assert shown["error"].endswith(" [error-invalid-params]")


SETTINGS = "/api/v1/settings.public"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"query": '{"_id":"Site_Url"}'}, ["Site_Url"]),
        ({"query": '{"_id":{"$in":["Site_Url","LDAP_Enable","nothing"]}}'}, ["LDAP_Enable", "Site_Url"]),
        ({"query": '{"_id":{"$in":["Site_Url","LDAP_Enable"]}}', "sort": '{"_id":-1}'}, ["Site_Url", "LDAP_Enable"]),
        ({"query": '{"_id":"Site_Url"}', "_id": "Site_Name"}, []),
        ({"_id": "Site_Url,Site_Name", "sort": '{"_id":-1,"value":1}', "count": 1}, ["Site_Url"]),
        ({"query": '{"_id":"nothing"}'}, []),
    ],
)
async def test_settings_are_chosen_and_sorted(house: House, query: dict[str, Any], names: list[str]) -> None:
    shown = (await house.get(SETTINGS, params=query)).json()
    assert [each["_id"] for each in shown["settings"]] == names
    assert shown["count"] == len(names)


@pytest.mark.parametrize(
    ("fields", "keys"),
    [
        ("{}", {"_id", "value"}), ('{"value":1}', {"_id", "value"}), ('{"_id":1,"value":true}', {"_id", "value"}),
        ('{"value":0}', {"_id"}), ('{"_id":1}', {"_id"}), ('{"blocked":0}', {"_id", "value"}),
    ],
)  # fmt: skip
async def test_values_of_settings_can_be_left_out(house: House, fields: str, keys: set[str]) -> None:
    shown = (await house.get(SETTINGS, params={"_id": "Site_Url", "fields": fields})).json()
    assert [each.keys() for each in shown["settings"]] == [keys]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("query", "x"), ("query", "[]"), ("query", '{"_id":{"$regex":"(a+)+$"}}'), ("query", '{"value":true}'),
        ("query", '{"$where":"while(1);"}'), ("query", '{"_id":5}'), ("fields", '{"value":2}'), ("fields", '"value"'),
        ("sort", '{"_id":0}'), ("sort", "value"), ("query", "[" * 4000),
    ],
)  # fmt: skip
async def test_questions_that_are_not_understood_are_told(house: House, name: str, value: str) -> None:
    answer = await house.get(SETTINGS, params={name: value})
    code = f"error-invalid-{name}"
    said = {"success": False, "error": f"Invalid {name} parameter provided [{code}]", "errorType": code}
    assert (answer.status_code, answer.json()) == (400, said)


async def test_the_policy_of_passwords_and_no_services(house: House) -> None:
    ada = await house.ada()
    rules = [
        ["get-password-policy-minLength", {"minLength": 8}], ["get-password-policy-maxLength", {"maxLength": 256}],
    ]  # fmt: skip
    said = {"enabled": True, "policy": rules, "success": True}
    assert (await house.get("/api/v1/pw.getPolicy")).json() == said
    reset = "/api/v1/pw.getPolicyReset"
    for query in ({"token": "unknown"}, {"token": ""}):
        answer = await house.get(reset, params=query)
        assert (answer.status_code, answer.json()) == (403, {"success": False, "error": "unauthorized"})
    answer = await house.get(reset)
    assert (answer.status_code, answer.json()["errorType"]) == (400, "invalid-params")
    token = await house.ticket("reset", ada)
    assert [(await house.get(reset, params={"token": token})).json() for _ in range(2)] == [said, said], (
        "it is not used"
    )
    assert (await house.get(reset, params={"token": await house.ticket("verify", ada)})).status_code == 403
    answer = await house.get("/api/v1/service.configurations")
    assert answer.json() == {"configurations": [], "success": True}


async def test_no_login_services(house: House) -> None:
    answer = await house.get("/api/v1/settings.oauth", headers={"X-Auth-Token": "x", "X-User-Id": "y"})
    assert answer.json() == {"services": [], "success": True}


@pytest.mark.parametrize(
    "path", ["/api/v1", "/api/v1/", "/api/v1/nothing", "/api/apps", "/api/apps/x", "/sockjs/info", "/websocket",
             "/avatar", "/avatar/a/b", "/api/v1/me/x", "/api/info/x"]
)  # fmt: skip
async def test_a_path_with_nothing_is_not_found(house: House, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = await house.request(method, path)
        assert (answer.status_code, answer.json()) == (404, {"success": False, "error": "Resource not found"})
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"


async def test_a_method_that_is_not_there(house: House) -> None:
    answer = await house.get("/api/v1/login")
    assert (answer.status_code, answer.json()) == (405, {"success": False, "error": "Method not allowed"})
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/api/v1/login", "/api/v1/me", "/api/v1/nothing", "/api/info"])
async def test_options_is_ok_and_opens_nothing(house: House, path: str) -> None:
    answer = await house.request(
        "OPTIONS", path, headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    )
    assert (answer.status_code, answer.text) == (200, "OK")
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_a_strange_host_name_is_not_repeated(house: House) -> None:
    for host in ("x y", 'a"b', "a/b", "a@b", "<script>", ""):
        answer = await house.get("/api/v1/settings.public?_id=Site_Url", headers={"Host": host})
        assert answer.json()["settings"][0]["value"] == "http://localhost"
    for host in ("chat.example.com", "chat.example.com:8443", "[::1]:8080", "127.0.0.1:9"):
        answer = await house.get("/api/v1/settings.public?_id=Site_Url", headers={"Host": host})
        assert answer.json()["settings"][0]["value"] == f"http://{host}"


async def test_settings_of_the_operator_are_told(house: House) -> None:
    configured = dialect(Config(digest="never", site_url="https://chat.example.com/", version="7.3.1"))
    app = gateway(house.core, house.settings, (Mount(dialect=configured),))
    transport = httpx2.ASGITransport(app=app)
    await house.ada()
    async with httpx2.AsyncClient(transport=transport, base_url="http://dragoman.test") as client:
        assert (await client.get("/api/info")).json()["version"] == "7.3"
        answer = await client.post("/api/v1/login", json={"user": "ada", "password": PASSWORD})
        assert answer.json()["data"]["me"]["avatarUrl"] == "https://chat.example.com/avatar/ada"
        digest = {"digest": "c3c0" * 16, "algorithm": "sha-256"}
        assert (await client.post("/api/v1/login", json={"user": "ada", "password": digest})).status_code == 401


def test_the_document_describes_every_operation_with_closed_answers() -> None:
    shown = document(DIALECT)
    assert set(shown["paths"]) == {operation.path for operation in DIALECT.operations}
    assert "/api/v1/login" in shown["paths"]
    for name in ("LoggedIn", "Me", "Myself", "Failure", "Info", "PublicSettings"):
        schema = shown["components"]["schemas"][name]
        assert schema["properties"]
        assert schema["additionalProperties"] is False


async def test_answers_fit_the_document(house: House) -> None:
    shown = document(DIALECT)

    def fits(answer: httpx2.Response, method: str, path: str) -> None:
        responses = shown["paths"][path][method]["responses"]
        media = responses.get(str(answer.status_code), responses["default"])["content"]["application/json"]
        jsonschema.validate(answer.json(), {**media["schema"], "components": shown["components"]})

    totp = await house.enrol_totp(await house.ada(administrator=True))
    login = {"user": "ada", "password": PASSWORD}
    answer = await house.post("/api/v1/login", json={**login, "code": totp.code()})
    headers = {"X-Auth-Token": answer.json()["data"]["authToken"], "X-User-Id": answer.json()["data"]["userId"]}
    fits(answer, "post", "/api/v1/login")
    for body in (login, {**login, "code": "1"}, {**login, "password": "wrong"}, {}):
        refused = await house.post("/api/v1/login", json=body)
        assert refused.status_code == 401
        fits(refused, "post", "/api/v1/login")
    for path in (
        "/api/v1/me",
        "/api/info",
        "/api/v1/info",
        "/api/v1/settings.public",
        "/api/v1/settings.oauth",
        "/api/v1/settings",
    ):
        fits(await house.get(path, headers=headers), "get", path)
        fits(await house.get(path), "get", path)
    fits(await house.get("/api/v1/settings.public?count=x"), "get", "/api/v1/settings.public")
    fits(await house.post("/api/v1/logout", headers=headers), "post", "/api/v1/logout")
    fits(await house.post("/api/v1/logout", headers=headers), "post", "/api/v1/logout")


def test_the_example_works_as_pasted(tmp_path: Path) -> None:
    with served(tmp_path) as base:
        command = DIALECT.example.replace("{base}", base)
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30, check=True)
    assert '"status":"success"' in done.stdout

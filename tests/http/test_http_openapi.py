"""The OpenAPI document: valid, closed where it must be, true to what the gateway answers."""

import json
import re
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import HealthCheck, settings
from msgspec import Struct
from schemathesis import openapi as schemathesis_openapi
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from schemathesis.specs.openapi.definitions import OPENAPI_31

from dragoman.app import mounts
from dragoman.http import BodyRules, Dialect, operation
from dragoman.http.openapi import document, document_operation
from dragoman.settings import load
from kit import echo
from kit.server import ask


def everything(value):
    """Yield every object in a document."""
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from everything(item)
    elif isinstance(value, list):
        for item in value:
            yield from everything(item)


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return json.loads(json.dumps(document(echo.dialect())))


def test_valid(made):
    jsonschema.Draft202012Validator(OPENAPI_31).validate(made)
    for schema in made["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_always_on_is_valid():
    always = json.loads(json.dumps(document(echo.gateway().always)))
    jsonschema.Draft202012Validator(OPENAPI_31).validate(always)
    assert set(always["paths"]) == {"/health", "/ready", "/metrics", "/.well-known/jwks.json"}


def test_every_reference_leads_somewhere(made):
    for found in everything(made):
        if "$ref" in found:
            assert found["$ref"].rpartition("/")[2] in made["components"]["schemas"]


def test_operations(made):
    note = made["paths"]["/echo/note"]["post"]
    assert (note["operationId"], note["summary"], note["tags"]) == ("note", "Say back what was said.", ["notes"])
    assert note["description"] == "The second paragraph is the description."
    assert set(note["requestBody"]["content"]) == {"application/json", "application/x-www-form-urlencoded"}
    assert note["responses"]["201"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Echoed"}
    assert note["responses"]["default"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/Error"
    }
    assert "content" not in made["paths"]["/echo/me"]["delete"]["responses"]["204"]
    assert len(made["paths"]) == len({o.path for o in echo.OPERATIONS})


def test_parameters(made):
    shown = made["paths"]["/echo/{name}/of/{owner}"]["get"]["parameters"]
    assert [(p["name"], p["in"], p["required"]) for p in shown] == [("name", "path", True), ("owner", "path", True)]
    limit, word = made["paths"]["/echo/list"]["get"]["parameters"]
    assert (limit["name"], limit["in"], limit["required"]) == ("limit", "query", False)
    assert limit["schema"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 10}
    assert word["name"] == "word"
    assert "Page" not in made["components"]["schemas"]


def test_security(made):
    assert made["paths"]["/echo/me"]["get"]["security"] == [{"bearer": []}]
    assert made["paths"]["/echo/perhaps"]["get"]["security"] == [{"bearer": []}, {}]
    assert made["paths"]["/echo/list"]["get"]["security"] == []
    assert made["components"]["securitySchemes"] == {"bearer": {"type": "http", "scheme": "bearer"}}


def test_answers_are_closed_and_requests_open(made):
    schemas = made["components"]["schemas"]
    for name in ("Echoed", "Error", "Me", "Listed", "Device"):
        assert schemas[name]["additionalProperties"] is False
        assert schemas[name]["properties"]
    assert "additionalProperties" not in schemas["Note"]


def test_identities_are_unique(made):
    @operation("GET", "/echo/a", access="open")
    async def same(call):
        """Do it."""

    again = operation("POST", "/echo/b", access="open", hidden=False)(same.handler)
    hidden = operation("GET", "/echo/c", access="open", hidden=True)(same.handler)
    shown = document(echo.dialect(operations=(same, hidden, again)))
    assert shown["paths"]["/echo/a"]["get"]["operationId"] == "same"
    assert shown["paths"]["/echo/b"]["post"]["operationId"] == "same_2"
    assert "/echo/c" not in shown["paths"]
    ids = [o["operationId"] for item in made["paths"].values() for o in item.values()]
    assert len(ids) == len(set(ids))


def test_prefix_headers_examples_and_optional_bodies():
    class Loose(Struct):
        value: Any = None

    @operation(
        "POST", "/echo/loose", body=Loose, access="open", headers=("X-2FA-Code",), cookies=("jwt",),
        examples={"usual": {"value": 1}},
    )  # fmt: skip
    async def loose(call, body):
        """Take anything."""

    shown = document(echo.dialect(operations=(loose,), body=BodyRules(lenient=True)), prefix="/at")
    post = shown["paths"]["/at/echo/loose"]["post"]
    assert [(p["name"], p["in"]) for p in post["parameters"]] == [("X-2FA-Code", "header"), ("jwt", "cookie")]
    assert post["requestBody"]["required"] is False
    assert post["requestBody"]["content"]["application/json"]["examples"] == {"usual": {"value": {"value": 1}}}


async def test_served():
    dialect = echo.dialect()
    pages = echo.dialect("web", prefixes=("/",), operations=(document_operation([dialect]),))
    app = echo.gateway(dialect, pages=pages)
    answer = await ask(app, "GET", "/docs/echo/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert json.loads(answer.body) == json.loads(json.dumps(document(dialect)))
    assert (await ask(app, "GET", "/docs/other/openapi.json")).status == 404


TALKATIVE = echo.dialect(operations=echo.OPERATIONS[:-2])
SERVED = echo.gateway(
    TALKATIVE, pages=echo.dialect("web", prefixes=("/",), operations=(document_operation([TALKATIVE]),))
)
schema = schemathesis_openapi.from_asgi("/docs/echo/openapi.json", SERVED)


@schema.parametrize()
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_gateway_answers_as_documented(case):
    """Whatever the document allows and more: no 5xx, and every answer fits."""
    # Forms differ from the schema they share with JSON: booleans are 0 and 1 too, and an empty list cannot be said.
    case.call_and_validate(excluded_checks=[negative_data_rejection, positive_data_acceptance])


@pytest.mark.parametrize("dialect", [m.dialect for m in mounts(load(None, {}))], ids=lambda dialect: dialect.name)
def test_every_reference_of_a_document_leads_somewhere(dialect: Dialect) -> None:
    """Those of query objects as well, which no body has."""
    text = msgspec.json.encode(document(dialect)).decode()
    there = document(dialect)["components"]["schemas"]
    assert set(re.findall(r'"#/components/schemas/([^"]+)"', text)) <= set(there)

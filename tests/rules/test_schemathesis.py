"""Each dialect's OpenAPI document against a real server: no 5xx, and every answer is one that the document shows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import msgspec
import pytest
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, openapi
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from dragoman.app import mounts
from dragoman.http.openapi import document
from dragoman.settings import load
from journeys.drivers import DRIVERS, Driver
from kit.house import House
from kit.served import served

pytestmark = pytest.mark.slow

EXAMPLES = 30
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance,
]  # fmt: skip
DOCUMENTS = {
    mount.dialect.name: json.loads(msgspec.json.encode(document(mount.dialect))) for mount in mounts(load(None, {}))
}
OPERATIONS = [
    (name, path, method)
    for name, shown in DOCUMENTS.items()
    for path, item in shown["paths"].items()
    for method in item
]


async def furnish(house: House) -> None:
    """Add Ada, with a second factor's neighbour for good measure."""
    await house.ada()
    await house.enrol_totp(await house.add(email="factor@example.com", username="factor", verified=True))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A house behind a real server, without budgets: they would answer everything after a while."""
    names = ("account_5_minutes", "account_hour", "account_day", "network_5_minutes", "network_names_hour")
    unbounded = {f"limits__{name}": 1_000_000 for name in (*names, "account_closes")}
    with served(tmp_path_factory.mktemp("house"), furnish, **unbounded) as base:
        yield base


def credentials(base: str, driver: Driver) -> dict[str, str]:
    """Sign Ada in and return the headers that say so."""

    async def sign_in() -> dict[str, str]:
        async with httpx2.AsyncClient(base_url=base, timeout=60) as client:

            async def ask(method: str, path: str, *, address: str = "", **wanted: Any) -> httpx2.Response:
                return await client.request(method, path, **wanted)

            return dict((await driver.held(ask)).headers)

    return asyncio.run(sign_in())


@pytest.mark.parametrize("manner", ["signed in", "anonymous", "nonsense"])
@pytest.mark.parametrize(("name", "path", "method"), OPERATIONS, ids=lambda text: text)
def test_answers_are_as_documented(server: str, name: str, path: str, method: str, manner: str) -> None:
    """Whatever the document allows, and what it does not: the answer is one it shows."""
    driver = next(driver for driver in DRIVERS if driver.name == name)
    schema = openapi.from_dict(DOCUMENTS[name])
    schema.config.update(base_url=server)
    signed_in = manner != "anonymous"
    held = credentials(server, driver) if signed_in else {}
    mode = GenerationMode.NEGATIVE if manner == "nonsense" else GenerationMode.POSITIVE
    tried = 0

    @seed(20)
    @settings(
        max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None,
        phases=(Phase.explicit, Phase.generate), verbosity=Verbosity.quiet,
    )  # fmt: skip
    @given(case=schema[path][method.upper()].as_strategy(generation_mode=mode))
    def run(case: Any) -> None:
        nonlocal tried, held
        tried += 1
        answer = case.call(headers=held)
        case.validate_response(answer, checks=CHECKS)
        if signed_in and answer.status_code < 300 and method in {"delete", "post"}:
            held = credentials(server, driver)  # it may have signed out

    try:
        run()
    except Unsatisfiable:
        # Nothing wrong can be sent where nothing is read.
        assert manner == "nonsense"
        assert not DOCUMENTS[name]["paths"][path][method].keys() & {"requestBody"}
        return
    assert tried >= 1


def test_the_documents_are_served_and_are_these(server: str) -> None:
    for name, shown in DOCUMENTS.items():
        answer = httpx2.get(f"{server}/docs/{name}/openapi.json")
        assert (answer.status_code, answer.json()) == (200, shown)


def test_every_dialect_is_tried() -> None:
    assert {name for name, _, _ in OPERATIONS} == {driver.name for driver in DRIVERS}

"""docs/how-to/add-a-dialect.md, followed to the letter over a real core."""

import importlib
import re
import shutil
import sys
from pathlib import Path

import httpx2
import pytest

from dragoman.app import core_over
from dragoman.core.accounts import NewAccount
from dragoman.core.ports import SystemRandom
from dragoman.core.refusals import catalogue
from dragoman.http.openapi import document
from dragoman.http.server import Gateway
from dragoman.model import Password
from dragoman.storage.sealing import Ring, Sealer
from dragoman.storage.sqlite import SqliteEngine
from kit import echo
from kit.clock import MovableClock
from kit.house import empty_database, fast_settings

PAGE = Path(__file__).parents[2] / "docs/how-to/add-a-dialect.md"
BLOCK = re.compile(r"```python\n# parrot/(\S+)\n(.*?)```", re.DOTALL)
PASSWORD = "correct horse battery"


@pytest.fixture
def parrot(tmp_path, monkeypatch):
    """Write the page's blocks to files and import them."""
    blocks = BLOCK.findall(PAGE.read_text())
    assert {name for name, _ in blocks} == {"wire.py", "errors.py", "routes.py", "__init__.py"}
    (tmp_path / "parrot").mkdir()
    for name, text in blocks:
        (tmp_path / "parrot" / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("parrot")
    for name in [name for name in sys.modules if name.partition(".")[0] == "parrot"]:
        del sys.modules[name]


@pytest.fixture
async def client(parrot, tmp_path):
    settings = fast_settings(tmp_path)
    settings.database.parent.mkdir(parents=True)
    shutil.copy(empty_database(), settings.database)
    clock, random = MovableClock(), SystemRandom()
    db = await SqliteEngine.open(settings.database)
    try:
        sealer = Sealer(Ring.create(tmp_path / "master.keys", random), random)
        async with core_over(db, sealer, settings, clock, random, doors=[parrot.DIALECT.door]) as core:
            person = NewAccount(email="ada@example.com", username="ada", first_name="Ada", verified=True)
            await core.accounts.set_up(person, Password.from_plain(PASSWORD))
            app = Gateway(core, [parrot.DIALECT], echo.house())
            async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test") as client:
                yield client
    finally:
        await db.close()


async def test_sign_in_me_sign_out(client):
    answer = await client.post("/parrot/login", json={"name": "ada", "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    assert answer.json()["hello"] == "Ada"
    bearer = {"authorization": f"Bearer {answer.json()['token']}"}
    assert (await client.get("/parrot/me", headers=bearer)).json() == {"username": "ada", "email": "ada@example.com"}
    assert (await client.post("/parrot/logout", headers=bearer)).status_code == 204
    assert (await client.get("/parrot/me", headers=bearer)).status_code == 401
    assert (
        await client.post("/parrot/login", data={"name": "ada@example.com", "password": PASSWORD})
    ).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error"),
    [
        ("POST", "/parrot/login", {"name": "ada", "password": "wrong"}, 401, {"squawk": "who?", "fields": []}),
        ("POST", "/parrot/login", {"password": 1}, 400, {"squawk": "what?", "fields": ["name", "password"]}),
        ("GET", "/parrot/login", None, 405, {"squawk": "what?", "fields": []}),
        ("GET", "/parrot/nothing", None, 404, {"squawk": "what?", "fields": []}),
        ("GET", "/parrot/me", None, 401, {"squawk": "who?", "fields": []}),
    ],
)
async def test_errors_wear_its_clothes(client, method, path, body, status, error):
    answer = await client.request(method, path, json=body)
    assert (answer.status_code, answer.json()) == (status, error)


def test_the_table_of_the_page_is_total(parrot):
    assert set(parrot.errors.REFUSALS) == catalogue()


def test_its_document(parrot):
    assert set(document(parrot.DIALECT)["paths"]) == {"/parrot/login", "/parrot/me", "/parrot/logout"}

"""A fifth dialect beside the four, made by following docs/how-to/add-a-dialect.md: it gets all that they get."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from dialects.example import DIALECT, errors
from dragoman.core import refusals
from dragoman.http import faults
from dragoman.http.openapi import document
from dragoman.model import Password, Typed
from kit.house import PASSWORD, House, client, open_house

SIGN_IN = "/parley/sign-in"
ADA: dict[str, Any] = {"name": "ada", "secret": PASSWORD}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A house of five dialects."""
    async with open_house(tmp_path, also=(DIALECT,)) as opened:
        yield opened


async def who(house: House, token: str) -> httpx2.Response:
    return await house.get("/parley/whoami", headers={"X-Parley-Pass": token})


async def test_sign_in_and_whoami(house: House) -> None:
    await house.ada()
    for name in ("ada", "ada@example.com"):
        answer = await house.post(SIGN_IN, json={**ADA, "name": name})
        assert (answer.status_code, sorted(answer.json())) == (200, ["name", "pass"])
        shown = await who(house, answer.json()["pass"])
        assert (shown.status_code, shown.json()) == (200, {"name": "ada", "called": "Ada Example"})


async def test_its_errors_wear_its_clothes(house: House) -> None:
    await house.ada()
    for answer, status, word in (
        (await house.post(SIGN_IN, json={**ADA, "secret": "wrong"}), 401, "stranger"),
        (await house.post(SIGN_IN, json={**ADA, "name": "nobody"}), 401, "stranger"),
        (await house.post(SIGN_IN, json={"name": 1}), 400, "odd"),
        (await house.post(SIGN_IN, content=b"{", headers={"Content-Type": "application/json"}), 400, "odd"),
        (await house.post(SIGN_IN, data=ADA), 415, "odd"),
        (await house.post(SIGN_IN, json={**ADA, "secret": "x" * 100_000}), 413, "long"),
        (await house.get(SIGN_IN), 405, "none"),
        (await house.get("/parley/nothing"), 404, "none"),
        (await house.get("/parley/whoami"), 401, "stranger"),
        (await who(house, "a" * 32), 401, "stranger"),
    ):
        assert (answer.status_code, answer.json()) == (status, {"no": word})


async def test_the_second_factor_pauses_it(house: House) -> None:
    totp = await house.enrol_totp(await house.ada())
    asked = await house.post(SIGN_IN, json=ADA)
    assert (asked.status_code, asked.json()) == (401, {"no": "code"})
    wrong = await house.post(SIGN_IN, json={**ADA, "code": totp.wrong()})
    assert (wrong.status_code, wrong.json()) == (401, {"no": "code"})
    assert await house.sessions() == []
    assert (await house.post(SIGN_IN, json={**ADA, "code": totp.code()})).status_code == 200


async def test_wrong_passwords_count_whatever_the_dialect(house: House) -> None:
    await house.ada()
    probe = {"email": "ada@example.com", "password": "wrong"}
    for _ in range(5):
        await house.post("/frontend/api/v1/auth/sign-in", json=probe)
        await house.post(SIGN_IN, json={**ADA, "secret": "wrong"})
    answer = await house.post(SIGN_IN, json=ADA)
    assert (answer.status_code, answer.json()) == (429, {"no": "later"})
    assert int(answer.headers["retry-after"]) > 0


async def test_a_session_ended_elsewhere_is_ended_here(house: House) -> None:
    ada = await house.ada()
    token = (await house.post(SIGN_IN, json=ADA)).json()["pass"]
    await house.core.accounts.set_password(ada.account, Password.from_plain("another good password"))
    assert (await who(house, token)).status_code == 401


async def test_it_takes_no_token_of_another_dialect_and_none_takes_its_own(house: House) -> None:
    await house.ada()
    own = (await house.post(SIGN_IN, json=ADA)).json()["pass"]
    for mount in house.app.mounts:
        door = mount.dialect.door
        if door is None or mount.dialect is DIALECT:
            continue
        typed = Typed("email", "ada@example.com")
        outcome = await house.core.signin.with_password(door, typed, Password.from_plain(PASSWORD), client())
        assert (await who(house, outcome.token)).status_code == 401  # type: ignore[union-attr]
        with pytest.raises(refusals.NotSignedIn):
            await house.core.sessions.authenticate(door, own)
    assert (await who(house, own)).status_code == 200


def test_its_tables_are_total() -> None:
    assert set(errors.REFUSALS) == refusals.catalogue()
    assert set(errors.FAULTS) == faults.catalogue()


def test_its_document() -> None:
    made = document(DIALECT)
    assert set(made["paths"]) == {SIGN_IN, "/parley/whoami"}
    assert made["paths"]["/parley/whoami"]["get"]["security"] == [{"pass": []}]

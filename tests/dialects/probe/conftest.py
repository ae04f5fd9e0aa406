"""What the tests of this dialect share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dragoman.app import gateway
from dragoman.dialects import probe
from dragoman.http import Mount
from kit.house import PASSWORD, House

BASE = "/frontend/api/v1"
FRONT_END = "https://app.example.com"

SignIn = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def configured(house: House) -> House:
    """The house with this dialect set up for one front end of another origin."""
    dialect = probe.dialect(probe.Config(ret_url_origins=(FRONT_END,), origins=(FRONT_END,)))
    house.app = gateway(house.core, house.settings, (Mount(dialect=dialect, origins=(FRONT_END,)),))
    return house


@pytest.fixture
def sign_in(house: House) -> SignIn:
    """Sign Ada in and return the answer's body."""

    async def ada(**fields: Any) -> dict[str, Any]:
        body = {"email": "ada@example.com", "password": PASSWORD, **fields}
        answer = await house.post(f"{BASE}/auth/sign-in", json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    return ada

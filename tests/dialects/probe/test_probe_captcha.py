"""The captcha header, checked by a verifier of the siteverify shape (contract section 2.7)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from dialects.probe.conftest import BASE
from kit.captcha import SECRET, CaptchaPeer
from kit.house import House, open_house

pytestmark = pytest.mark.slow

HEADER = "header:X-Recaptcha-Token"
Ask = Callable[..., Awaitable[httpx2.Response]]
BODIES = {
    "verify": {"verify-token": "a.b.c"},
    "sign-up": {"email": "bob@example.com", "password": "correct horse battery"},
    "password-restore": {"email": "ada@example.com"},
    "password-restore-verify": {"password-restore-token": "a.b.c"},
}


@pytest.fixture(scope="module")
def started() -> Iterator[CaptchaPeer]:
    with CaptchaPeer() as peer:
        yield peer


@pytest.fixture
def peer(started: CaptchaPeer) -> CaptchaPeer:
    started.trouble()
    return started


@pytest.fixture
async def guarded(peer: CaptchaPeer, tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, **peer.settings()) as house:
        yield house


async def ask(house: House, answer: str, path: str = "password-restore") -> httpx2.Response:
    headers = {"X-Recaptcha-Token": answer}
    return await house.post(f"{BASE}/auth/{path}", json=BODIES[path], headers=headers)


def refused(answer: httpx2.Response) -> bool:
    return answer.status_code == 400 and answer.json()["context"] == {HEADER: ["#: was not accepted"]}


@pytest.mark.parametrize("path", list(BODIES))
async def test_each_call_has_its_captcha_checked_once(guarded: House, peer: CaptchaPeer, path: str) -> None:
    assert refused(await ask(guarded, "not-solved", path))
    answer = peer.solved(f"solved-{path}")
    assert (await ask(guarded, answer, path)).status_code == 200
    assert refused(await ask(guarded, answer, path)), "it is good once"
    assert peer.seen()[-1] == {
        "secret": SECRET, "response": answer, "remoteip": "192.0.2.1",
        "content-type": "application/x-www-form-urlencoded",
    }  # fmt: skip


async def test_sign_in_asks_for_none(guarded: House, peer: CaptchaPeer) -> None:
    await guarded.ada()
    before = len(peer.seen())
    body = {"email": "ada@example.com", "password": "correct horse battery"}
    assert (await guarded.post(f"{BASE}/auth/sign-in", json=body)).status_code == 200
    assert len(peer.seen()) == before


async def test_nothing_happens_without_it(guarded: House) -> None:
    await guarded.ada()
    assert refused(await ask(guarded, "not-solved"))
    assert await guarded.letters("reset") == []
    assert refused(await ask(guarded, "not-solved", "sign-up"))
    assert await guarded.letters("verify") == []


async def test_a_short_one_is_not_asked_about(guarded: House, peer: CaptchaPeer) -> None:
    before = len(peer.seen())
    for answer in ("", "short"):
        found = await ask(guarded, answer)
        assert (found.status_code, found.json()["context"]) == (400, {HEADER: ["#: length must be >= 6"]})
    assert refused(await ask(guarded, "x" * 8193))
    assert len(peer.seen()) == before


@pytest.mark.parametrize(
    ("wanted", "said", "good"),
    [
        ({"captcha_hosts": ["app.example.com"]}, {"hostname": "app.example.com"}, True),
        ({"captcha_hosts": ["app.example.com"]}, {"hostname": "evil.example"}, False),
        ({"captcha_hosts": ["app.example.com"]}, {}, False),
        ({"captcha_action": "signup"}, {"action": "signup"}, True),
        ({"captcha_action": "signup"}, {"action": "other"}, False),
        ({"captcha_score": 0.5}, {"score": 0.5}, True),
        ({"captcha_score": 0.5}, {"score": 0.4}, False),
        ({"captcha_score": 0.5}, {}, True),
        ({}, {"hostname": "anywhere.example", "score": 0.1}, True),
    ],
)
async def test_where_and_for_what_it_was_solved(
    peer: CaptchaPeer, tmp_path: Path, wanted: dict[str, Any], said: dict[str, Any], good: bool
) -> None:
    async with open_house(tmp_path, **peer.settings(**wanted)) as house:
        found = await ask(house, peer.solved("solved-somewhere", **said))
        assert found.status_code == 200 if good else refused(found)


@pytest.mark.parametrize(
    "body",
    [{"success": 1}, {"success": "true"}, {"success": None}, {}, {"success": False, "error-codes": "x"}],
)  # fmt: skip
async def test_only_true_is_true(guarded: House, peer: CaptchaPeer, body: dict[str, Any]) -> None:
    peer.trouble(body=body)
    assert refused(await ask(guarded, "whatever"))


@pytest.mark.parametrize(
    "trouble",
    [
        {"status": 500}, {"status": 403}, {"body": [True]}, {"body": "success"}, {"bytes": 300_000},
        {"location": "http://127.0.0.1:9/elsewhere"},
        {"body": {"success": False, "error-codes": ["invalid-input-secret"]}},
    ],
)  # fmt: skip
async def test_an_answer_that_cannot_be_judged_is_503(
    guarded: House, peer: CaptchaPeer, trouble: dict[str, Any]
) -> None:
    peer.trouble(**trouble)
    found = await ask(guarded, "whatever")
    assert (found.status_code, found.json()["status"]) == (503, "UNAVAILABLE")
    assert int(found.headers["retry-after"]) > 0
    assert all("path" not in seen for seen in peer.seen()), "no redirect was followed"


async def test_a_wrong_secret_is_ours_to_mend(peer: CaptchaPeer, tmp_path: Path) -> None:
    async with open_house(tmp_path, **peer.settings(captcha_secret="another secret")) as house:
        assert (await ask(house, peer.solved("solved-1"))).status_code == 503


async def test_a_dead_one_costs_a_bounded_time(tmp_path: Path) -> None:
    with CaptchaPeer() as peer:
        async with open_house(tmp_path, **peer.settings(captcha_seconds=0.5)) as house:
            await ask(house, "warm-up")  # libraries are imported at the first question
            peer.freeze()
            began = time.monotonic()
            found = await asyncio.gather(*(ask(house, f"answer-{n}") for n in range(4)))
            took = time.monotonic() - began
            assert [each.status_code for each in found] == [503] * 4
            assert took < 3.0
            began = time.monotonic()
            assert (await ask(house, "answer-5")).status_code == 503
            assert time.monotonic() - began < 0.3, "it is let rest"
            peer.thaw()
            peer.stop()
            await house.ada()
            body = {"email": "ada@example.com", "password": "correct horse battery"}
            assert (await house.post(f"{BASE}/auth/sign-in", json=body)).status_code == 200


async def test_the_secret_is_nowhere_to_be_read(guarded: House, peer: CaptchaPeer) -> None:
    peer.trouble(body={"success": False, "error-codes": ["invalid-input-secret"], "hostname": SECRET})
    assert SECRET not in (await ask(guarded, "whatever")).text
    assert SECRET not in repr(guarded.core.captchas._by_door["probe"]._site)  # type: ignore[attr-defined]

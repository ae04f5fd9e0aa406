"""A forgotten password and a proved address, asked for and used in every dialect that can (decisions 5, 15 and 43).

What one dialect did counts in all of them, and nothing tells who has an account (threats 15 and 36).
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from dragoman.core import recovery
from journeys.drivers import DRIVERS, EMAIL, FLASHBACK, PROBE, ROCKETCHAT, Asked, Held, Refused
from journeys.test_sign_in_everywhere import HOME, live, on_sqlite, signed_in_everywhere, stranger
from journeys.test_strangers import shown
from kit.house import PASSWORD, House

pytestmark = pytest.mark.slow

NEW = "Another horse battery 7"
CAPTCHA = {"X-Recaptcha-Token": "a-captcha"}


@dataclass(frozen=True)
class Call:
    """One dialect's call: where it is, and what its body holds of what is known."""

    name: str
    path: str
    body: Callable[[str], dict[str, str]]
    form: bool = False

    async def send(self, house: House, known: str, address: str = HOME) -> httpx2.Response:
        """Send it with an address or a token."""
        how: dict[str, Any] = {"data" if self.form else "json": self.body(known)}
        return await house.post(self.path, headers=CAPTCHA, address=address, **how)

    def __repr__(self) -> str:
        return self.name


def by_address(known: str) -> dict[str, str]:
    return {"email": known}


ASK_RESET = (
    Call("rocketchat", "/api/v1/users.forgotPassword", by_address),
    Call("pocketm8", "/api/auth/user/reset-password", by_address),
    Call("flashback", "/user/request-reset-password", by_address),
    Call("pages", "/reset-password", by_address, form=True),
)
USE_RESET = (
    Call("pocketm8", "/api/auth/user/verify-token", lambda known: {"token": known, "password": NEW}),
    Call("flashback", "/user/reset-password", lambda known: {"token": known, "newPassword": NEW}),
)
ASK_VERIFY = (
    Call("rocketchat", "/api/v1/users.sendConfirmationEmail", by_address),
    Call("probe", f"{PROBE.base}/auth/sign-in", lambda known: {"email": known, "password": PASSWORD}),
)
USE_VERIFY = (
    Call("rocketchat", "/api/v1/users.verifyEmail", lambda known: {"token": known}),
    Call("flashback", "/user/verify-email", lambda known: {"token": known}),
    Call("probe", f"{PROBE.base}/auth/verify", lambda known: {"verify-token": known}),
)


async def on_the_page(house: House, token: str) -> httpx2.Response:
    """Choose the new password on our own page."""
    return await house.post(f"/reset-password/{token}", data={"password": NEW, "again": NEW})


async def by(call: Call, house: House, token: str) -> httpx2.Response:
    return await call.send(house, token)


Use = Callable[[House, str], Awaitable[httpx2.Response]]
USES: list[tuple[str, Use]] = [
    ("pages", on_the_page),
    *((call.name, lambda house, token, call=call: by(call, house, token)) for call in USE_RESET),  # type: ignore[misc]
]


@pytest.mark.parametrize("ask", ASK_RESET, ids=str)
@pytest.mark.parametrize("use", [use for _, use in USES], ids=[name for name, _ in USES])
async def test_a_reset_ends_everything_and_the_new_password_signs_in_everywhere(
    house: House, ask: Call, use: Use
) -> None:
    await house.ada()
    held = await signed_in_everywhere(house)
    assert (await ask.send(house, EMAIL)).status_code == 200
    [letter] = await house.letters("reset")
    assert letter.to == EMAIL
    answer = await use(house, await house.token("reset"))
    assert answer.status_code == 200, answer.text
    assert await live(house, held) == set(), "table C: keys end, too"
    refreshed = await FLASHBACK.refresh(house.request, held["flashback"][1].more["refresh"])
    assert isinstance(refreshed, Refused)
    resumed = await ROCKETCHAT.resume(house.request, held["rocketchat"][1].token)
    assert isinstance(resumed, Refused)
    for driver in DRIVERS:
        await driver.refused(house.request, "wrong")
        await driver.held(house.request, EMAIL, NEW)
    assert [one.to for one in await house.letters("password_reset")] == [EMAIL]


async def in_probe(house: House, token: str) -> httpx2.Response:
    """Exchange the mail's token as Probe wants it, and set the password with what came for it."""
    restored = {"password-restore-token": token}
    found = await house.post(f"{PROBE.base}/auth/password-restore-verify", json=restored, headers=CAPTCHA, address=HOME)
    body = {"password-update-token": found.json()["password-update-token"], "new-password": NEW}
    return await house.request("PUT", f"{PROBE.base}/auth/current/password", json=body, address=HOME)


@pytest.mark.parametrize("use", [on_the_page, in_probe])
async def test_a_reset_asked_for_in_probe_does_the_same(house: House, use: Use) -> None:
    """Its mails hold a token of a form of its own, which our page takes and no other dialect does."""
    await house.ada()
    held = await signed_in_everywhere(house)
    asked = Call("probe", f"{PROBE.base}/auth/password-restore", by_address)
    assert (await asked.send(house, EMAIL)).json() == {"success": True}
    token = await house.token("reset")
    for other in USE_RESET:
        assert (await other.send(house, token)).status_code == 400
    assert (await use(house, token)).status_code in (200, 204)
    assert await live(house, held) == set()
    for driver in DRIVERS:
        await driver.refused(house.request, "wrong")
        await driver.held(house.request, EMAIL, NEW)


@pytest.mark.parametrize("use", [use for _, use in USES], ids=[name for name, _ in USES])
async def test_a_reset_leaves_the_second_factor_and_never_tells_of_it(house: House, use: Use) -> None:
    with_factor, without = await house.ada(), await house.add(email="bob@example.com", verified=True)
    totp = await house.enrol_totp(with_factor)
    answers = []
    for person in (with_factor, without):
        token = await house.ticket("reset", person)
        before = [await house.get(f"/reset-password/{token}")]
        before += [await house.post("/api/auth/user/verify-token", json={"token": token})]
        used = await use(house, token)
        assert used.status_code == 200
        told = [answer.text for answer in (*before, used)]
        for own in (token, person.aliases["pocketm8"], person.name, "Ada Example", "a••@", "b••@"):
            told = [text.replace(own, "") for text in told]
        answers.append([len(text.split()) for text in told])
        assert not any(word in text.lower() for text in told for word in ("factor", "totp", "authenticator", "mfa"))
    assert answers[0] == answers[1]
    for driver in DRIVERS:
        outcome = await driver.sign_in(house.request, EMAIL, NEW)
        assert isinstance(outcome, Asked), outcome.answer.text
        again = await driver.with_code(house.request, outcome, totp.code(), password=NEW)
        assert isinstance(again, Held)


async def test_a_reset_ends_sign_ins_under_way(house: House) -> None:
    ada = await house.ada()
    totp = await house.enrol_totp(ada)
    paused = [(driver, await driver.sign_in(house.request)) for driver in DRIVERS]
    await USE_RESET[0].send(house, await house.ticket("reset", ada))
    for driver, outcome in paused:
        assert isinstance(outcome, Asked)
        assert isinstance(await driver.with_code(house.request, outcome, totp.code()), Refused)


@pytest.mark.parametrize("use", USE_VERIFY, ids=str)
@pytest.mark.parametrize("ask", ASK_VERIFY, ids=str)
async def test_verified_in_one_dialect_is_verified_in_all(house: House, ask: Call, use: Call) -> None:
    ada = await house.ada(verified=False)
    assert (await ask.send(house, EMAIL)).status_code == 200
    [letter] = await house.letters("verify")
    assert letter.to == EMAIL
    token = await house.token("verify")
    if (ask.name == "probe") != (use.name == "probe"):  # each reads the form of its own mails
        assert (await use.send(house, token)).json() != {"success": True}
        token = await house.ticket("verify", ada, door=house.core.doors[use.name])
    pending = await house.post(f"{PROBE.base}/auth/sign-in", json={"email": EMAIL, "password": PASSWORD})
    assert pending.json()["status"] == "pending"
    flash = await FLASHBACK.held(house.request)
    assert (await FLASHBACK.who_am_i(house.request, flash)).json()["data"]["validated"] is False
    assert "verificationTokenId" in flash.answer.json()
    used = await use.send(house, token)
    assert used.status_code == 200, used.text
    assert used.json()["success"] is True
    assert isinstance(await PROBE.sign_in(house.request), Held)
    assert (await FLASHBACK.who_am_i(house.request, flash)).json()["data"]["validated"] is True
    assert "verificationTokenId" not in (await FLASHBACK.held(house.request)).answer.json()
    chat = await ROCKETCHAT.who_am_i(house.request, await ROCKETCHAT.held(house.request))
    assert chat.json()["emails"] == [{"address": EMAIL, "verified": True}]


async def test_an_own_change_of_password_ends_what_was_asked_and_the_links_that_are_out(house: House) -> None:
    ada = await house.ada()
    body = {"old-password": PASSWORD, "new-password": NEW}
    for everything in (False, True):
        held = await signed_in_everywhere(house)
        link = await house.ticket("reset", ada)
        query = {"logout-all": "true"} if everything else {}
        answer = await house.request(
            "PUT", f"{PROBE.base}/auth/current/password", headers=held["probe"][1].headers, json=body, params=query
        )
        assert answer.status_code == 204, answer.text
        left = {"probe", "key"} if everything else set(held)
        assert await live(house, held) == left
        assert (await USE_RESET[0].send(house, link)).status_code == 400
        for driver in DRIVERS:
            await driver.refused(house.request, "wrong", EMAIL, body["old-password"])
        await house.core.accounts.set_password(ada.account, _password(PASSWORD), allow_weak=True)


def _password(text: str) -> Any:
    from dragoman.model import Password

    return Password.from_plain(text)


async def people(house: House) -> list[str]:
    """Add accounts of every kind; return their addresses and two that nobody has."""
    await house.ada()
    await house.enrol_totp(await house.add(email="factor@example.com", verified=True))
    await house.add(None, email="silent@example.com", verified=True)
    gone = await house.add(email="gone@example.com", verified=True)
    await house.core.life.set_status(gone.account, "suspended")
    await house.add(email="claimed@example.com")
    organization = await house.core.accounts.organization("Elsewhere")
    await house.add(email="far@example.com", verified=True, organization=organization)
    return [
        "nobody@example.com", EMAIL, "factor@example.com", "silent@example.com", "gone@example.com",
        "claimed@example.com", "far@example.com", "another.nobody@example.org",
    ]  # fmt: skip


@pytest.mark.parametrize("ask", ASK_RESET, ids=str)
async def test_asking_is_answered_alike_whoever_is_meant(house: House, ask: Call) -> None:
    """Status, body, headers; within one slot; and as many rows."""
    answers, took = set(), []
    for number, email in enumerate(await people(house)):
        events = len(await house.core.newest_events(200))
        began = time.monotonic()
        answer = await ask.send(house, email, stranger(number))
        took.append(time.monotonic() - began)
        answers.add(repr(shown(answer)))
        assert len(await house.core.newest_events(200)) == events + 1, email
    assert len(answers) == 1
    assert min(took) >= recovery.SLOT_SECONDS
    assert {one.to for one in await house.letters()} == {
        EMAIL, "factor@example.com", "silent@example.com", "claimed@example.com", "far@example.com",
    }  # fmt: skip


@on_sqlite
async def test_a_slot_covers_the_work_of_every_group(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for ends the answer at the slot, whether or not anything was sent: the wait is what is left of it.

    The clock for durations stands still here, so a busy machine does not decide.
    """
    waited: list[float] = []

    async def written_down(seconds: float) -> None:
        waited.append(seconds)

    found = await people(house)
    monkeypatch.setattr(house.clock, "monotonic", lambda: 0.0)
    monkeypatch.setattr(recovery.asyncio, "sleep", written_down)
    for number, email in enumerate(found):
        for ask in ASK_RESET:
            await ask.send(house, email, stranger(number))
    assert waited == [recovery.SLOT_SECONDS] * len(found) * len(ASK_RESET)


@on_sqlite
async def test_requests_in_a_row_send_what_the_budget_allows_and_say_the_same(house: House) -> None:
    """Table D: one a minute, three an hour for strangers, twenty an hour for a network; in all dialects together."""
    await house.ada()
    for number, ask in enumerate(ASK_RESET):
        told = {repr(shown(await ask.send(house, EMAIL, stranger(number)))) for _ in range(4)}
        assert len(told) == 1
        house.clock.move(61)
    assert len(await house.letters("reset")) == 3, "four dialects asked, a minute between them"
    house.clock.move(3600)
    await ASK_RESET[0].send(house, EMAIL, stranger(9))
    assert len(await house.letters("reset")) == 4


@on_sqlite
async def test_a_network_has_twenty_mails_an_hour_whomever_they_are_for(house: House) -> None:
    await house.ada()
    for number in range(20):
        await ASK_RESET[number % 3].send(house, f"nobody{number}@example.com")
    answer = await ASK_RESET[1].send(house, EMAIL)
    assert (answer.status_code, await house.letters()) == (200, [])
    await ASK_RESET[1].send(house, EMAIL, stranger(3))
    assert len(await house.letters("reset")) == 1


@on_sqlite
async def test_no_request_decides_where_a_link_leads(house: House) -> None:
    """Threat 15: a forged host name is in no mail."""
    await house.ada()
    for ask in ASK_RESET:
        forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Origin": "https://evil.example"}
        await house.post(ask.path, headers=forged, **{"data" if ask.form else "json": {"email": EMAIL}})
        house.clock.move(3601)
    links = [one.values["link"] for one in await house.letters("reset")]
    assert len(links) >= 3
    assert all(link.startswith("http://dragoman.test/reset-password/") for link in links)

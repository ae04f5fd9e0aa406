"""Somebody registers Ada's address first and waits: the five stories of pre-hijacking, and what becomes of them.

Threat 12 and decision 15. Mallory registers over each wire that lets him; Ada comes later, from elsewhere, with nothing
but her mailbox. In the end she is alone in the account.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dragoman.core import refusals
from dragoman.model import Caller, Client
from journeys.drivers import FLASHBACK, PROBE, ROCKETCHAT, Held, Refused
from kit.house import House, Totp, client, open_house_of
from kit.postgres import Cluster

pytestmark = pytest.mark.slow

EMAIL, HERS, HIS = "ada@example.com", "Another horse battery 7", "Correct horse battery 9"
HOME, LAIR = "192.0.2.1", "203.0.113.66"
CAPTCHA = {"X-Recaptcha-Token": "a-captcha"}


@pytest.fixture(params=["sqlite", "postgres"])
async def house(request: pytest.FixtureRequest, tmp_path: Path, postgres_cluster: Cluster) -> AsyncIterator[House]:
    async with open_house_of(request.param, tmp_path, postgres_cluster, accounts__registration="public") as opened:
        yield opened


async def over_rocketchat(house: House, email: str = EMAIL) -> Held:
    """Register as Mallory does over Rocket.Chat's wire, and log in."""
    body = {"username": "mallory", "email": email, "pass": HIS, "name": "Mallory"}
    assert (await house.post("/api/v1/users.register", json=body, address=LAIR)).status_code == 200
    return await ROCKETCHAT.held(house.request, "mallory", HIS, address=LAIR)


async def over_flashback(house: House, email: str = EMAIL) -> Held:
    """The same over Flashback's, which signs in at once."""
    body = {"email": email, "password": HIS, "firstName": "Mallory", "lastName": "Example", "companyName": "M",
            "isBusiness": False}  # fmt: skip
    answer = await house.post("/user/register", json=body, address=LAIR)
    assert answer.status_code == 201
    found = answer.json()
    headers = {"Authorization": f"Bearer {found['accessToken']}"}
    return Held(headers, found["user"]["id"], answer, {"refresh": found["refreshToken"], "session": found["tokenId"]})


SQUATTERS = {"rocketchat": (ROCKETCHAT, over_rocketchat), "flashback": (FLASHBACK, over_flashback)}
over_each = pytest.mark.parametrize("over", SQUATTERS)


async def alone(house: House, over: str, his: Held) -> None:
    """Assert that Ada is in, with her password, and that nothing of Mallory's is."""
    driver = SQUATTERS[over][0]
    assert not await driver.live(house.request, his, address=LAIR)
    assert isinstance(await driver.sign_in(house.request, EMAIL, HERS), Held)
    assert isinstance(await driver.sign_in(house.request, EMAIL, HIS, address=LAIR), Refused)
    if "refresh" in his.more:
        assert isinstance(await FLASHBACK.refresh(house.request, his.more["refresh"], address=LAIR), Refused)


async def forget(house: House) -> None:
    """Let Ada set a password as if she had forgotten it."""
    house.clock.move(61)
    asked = await house.post("/user/request-reset-password", json={"email": EMAIL}, address=HOME)
    assert asked.status_code == 200
    body = {"token": await house.token("reset"), "newPassword": HERS}
    assert (await house.post("/user/reset-password", json=body, address=HOME)).status_code == 200


@over_each
async def test_unexpired_session(house: House, over: str) -> None:
    """Mallory stays signed in and hopes that a reset leaves him."""
    his = await SQUATTERS[over][1](house)
    await forget(house)
    await alone(house, over, his)


@over_each
@pytest.mark.parametrize("where", ["flashback", "page", "rocketchat"])
async def test_merging_by_mail(house: House, over: str, where: str) -> None:
    """Ada confirms the mail that Mallory's registration sent her, and would share his account."""
    his = await SQUATTERS[over][1](house)
    token = await house.token("verify")
    if where == "flashback":
        before = await house.post("/user/pre-verify-email", json={"token": token}, address=HOME)
        assert before.json()["hasPassword"] is False
        body = {"token": token, "password": HERS}
        assert (await house.post("/user/verify-email", json=body, address=HOME)).status_code == 200
    elif where == "page":
        shown = await house.get(f"/verify/{token}", address=HOME)
        assert 'name="password"' in shown.text
        empty = await house.post(f"/verify/{token}", address=HOME)
        assert empty.status_code == 400
        chosen = await house.post(f"/verify/{token}", data={"password": HERS, "again": HERS}, address=HOME)
        assert chosen.status_code == 200
    else:
        answer = await house.post("/api/v1/users.verifyEmail", json={"token": token}, address=HOME)
        assert answer.status_code == 200
        assert isinstance(await ROCKETCHAT.sign_in(house.request, EMAIL, HIS, address=LAIR), Refused)
        await forget(house)
    await alone(house, over, his)


@over_each
async def test_trojan_identifier(house: House, over: str) -> None:
    """Mallory plants what would outlive a reset: a phone number, a second factor, a key, a link to himself."""
    his = await SQUATTERS[over][1](house)
    core, account = house.core, await house.core.accounts.named(f"email:{EMAIL}")
    token = his.token
    caller = await core.sessions.authenticate(core.doors[SQUATTERS[over][0].name], token)
    for planting in (
        core.factors.enable_totp(account),
        core.factors.enable_email(account),
        core.addresses.change_phone(account, "+49 30 901820", by=caller, client=_client(LAIR, caller)),
    ):
        with pytest.raises(refusals.VerificationRequired):
            await planting
    made = await house.post("/links", json={"email": "mallory@example.net"}, headers=his.headers, address=LAIR)
    assert made.status_code in (401, 403)
    await forget(house)
    await alone(house, over, his)
    person = await core.accounts.person(await core.accounts.by_id(account.id))
    assert (person.phone, person.factors, [each.shown for each in person.emails]) == (None, frozenset(), [EMAIL])


@over_each
async def test_unexpired_change_of_address(house: House, over: str) -> None:
    """Mallory begins to change the address to his own, and confirms that after Ada has come."""
    his = await SQUATTERS[over][1](house)
    core = house.core
    account = await core.accounts.named(f"email:{EMAIL}")
    caller = await core.sessions.authenticate(core.doors[SQUATTERS[over][0].name], his.token)
    house.clock.move(1)
    await core.addresses.change_email(account, "mallory@example.net", by=caller, client=_client(LAIR, caller))
    late = await house.token("verify")
    # What was only claimed went with the change, so Ada registers like anybody else.
    assert (await over_flashback_as_ada(house)).status_code == 201
    await core.recovery.use("verify", late, _client(LAIR))
    assert isinstance(await FLASHBACK.sign_in(house.request, EMAIL, HERS), Held)
    hers = await core.accounts.named(f"email:{EMAIL}")
    assert hers.id != account.id
    assert (await core.accounts.named("email:mallory@example.net")).id == account.id


async def over_flashback_as_ada(house: House) -> Any:
    body = {"email": EMAIL, "password": HERS, "firstName": "Ada", "lastName": "Example", "companyName": "Example",
            "isBusiness": False}  # fmt: skip
    return await house.post("/user/register", json=body, address=HOME)


def _client(address: str, caller: Caller | None = None) -> Client:
    """Return a program at this address: the caller's own, where somebody is signed in with it."""
    return client(address, caller.session.user_agent if caller is not None else "test")


async def test_an_address_that_a_directory_or_operator_vouches_for_is_not_squatted(house: House) -> None:
    """The fifth story, an identity provider that verifies nothing: here whoever proves it takes it, nothing merges."""
    his = await over_rocketchat(house)
    carol = await house.add(email="carol@example.com", verified=True)
    await house.core.addresses.change_email(carol.account, EMAIL, state="verified")
    squatter = await house.core.accounts.person(await house.core.accounts.named("username:mallory"))
    assert squatter.emails == ()
    assert await ROCKETCHAT.live(house.request, his, address=LAIR), "it is another account, and stays"
    assert (await house.core.accounts.named(f"email:{EMAIL}")).id == carol.account.id


async def test_the_registrant_himself_loses_nothing(house: House) -> None:
    for over, (driver, register) in SQUATTERS.items():
        email = f"{over}@example.org"
        his = await register(house, email)
        letters = [each for each in await house.letters("verify") if each.to == email]
        token = letters[-1].values["link"].rpartition("/")[2]
        assert 'name="password"' not in (await house.get(f"/verify/{token}", address=LAIR)).text
        assert (await house.post(f"/verify/{token}", address=LAIR)).status_code == 200
        assert await driver.live(house.request, his, address=LAIR)
        assert isinstance(await driver.sign_in(house.request, email, HIS, address=LAIR), Held)
        person = await house.core.accounts.person(await house.core.accounts.named(f"email:{email}"))
        assert isinstance(await house.enrol_totp(person), Totp), "and may add what it could not before"


async def test_who_registered_in_one_dialect_signs_in_wherever_that_admits_him(house: House) -> None:
    """Decision 13: the default organization everywhere, one of one's own not where only that is admitted."""
    await over_rocketchat(house, "rc@example.org")
    await over_flashback(house, "fb@example.org")
    assert isinstance(await FLASHBACK.sign_in(house.request, "rc@example.org", HIS), Held)
    refused = await ROCKETCHAT.sign_in(house.request, "fb@example.org", HIS)
    assert isinstance(refused, Refused)
    assert refused.said == ROCKETCHAT.words["not_admitted"]
    for email in ("rc@example.org", "fb@example.org"):
        answer = await house.post(
            f"{PROBE.base}/auth/sign-in", json={"email": email, "password": HIS}, headers=CAPTCHA
        )  # fmt: skip
        assert answer.json()["status"] == "pending", "not before the address is verified"
        mails = [each.values["link"] for each in await house.letters("verify") if each.to == email]
        token = next(text for text in (link.rpartition("/")[2] for link in mails) if "." not in text)
        body = {"token": token}
        assert (await house.post("/user/verify-email", json=body, address=LAIR)).status_code == 200
        assert isinstance(await PROBE.sign_in(house.request, email, HIS, address=LAIR), Held)

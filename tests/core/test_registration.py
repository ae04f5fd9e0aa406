"""Registering and what a claimed address is worth (decisions 13, 15 and 29, threats 12, 31 and 36)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from dragoman.core import identifiers, recovery, refusals
from dragoman.core.accounts import NewAccount
from dragoman.core.registration import Company, Newcomer, Registered
from dragoman.model import NewKey, Password, Person, SignedIn
from dragoman.settings import BadSettings
from dragoman.storage.engine import Statement
from kit.house import House, client, fast_settings, open_house, open_house_of
from kit.postgres import Cluster

NEW = Password.from_plain("Correct horse battery 9")
ADA = Newcomer(email="ada@example.com", password=NEW, first_name="Ada", last_name="Example")
NEW_KEY = NewKey("ci")
OWN = replace(ADA, company=Company("Example", business=True))
HOME, ELSEWHERE = client(), client("203.0.113.66", "another program")
_ORGANIZATIONS = Statement("select count(*) from organization")
_ROWS = Statement(
    "select (select count(*) from account), (select count(*) from identifier), (select count(*) from organization)"
)


@pytest.fixture(params=["sqlite", "postgres"])
async def house(request: pytest.FixtureRequest, tmp_path: Path, postgres_cluster: Cluster) -> AsyncIterator[House]:
    """A house on either engine in which everybody may register."""
    async with open_house_of(request.param, tmp_path, postgres_cluster, accounts__registration="public") as opened:
        yield opened


async def register(house: House, new: Newcomer = ADA, door: str = "rocketchat", **more: Any) -> Registered:
    who = more.pop("client", HOME)
    return await house.core.registration.register(house.core.doors[door], new, who, **more)


async def squatted(house: House) -> tuple[Person, SignedIn]:
    """Let somebody elsewhere register Ada's address, and be signed in."""
    done = await register(house, OWN, "flashback", client=ELSEWHERE, sign_in=True)
    assert isinstance(done.outcome, SignedIn)
    return done.outcome.person, done.outcome


async def test_races_for_one_address_and_one_name(house: House) -> None:
    bodies = [replace(ADA, username="ada"), *(replace(ADA, email=f"ada{n}@example.com", username="ada") for n in "ab")]
    done = await asyncio.gather(*(register(house, body) for body in (*bodies, *bodies)), return_exceptions=True)
    made = [each for each in done if isinstance(each, Registered)]
    assert len(made) == 1
    refused = [each for each in done if not isinstance(each, Registered)]
    assert {type(each) for each in refused} <= {refusals.IdentifierTaken, refusals.Busy}


async def test_a_race_leaves_no_organization_behind(house: House) -> None:
    doors = [register(house, OWN, "flashback", sign_in=True) for _ in range(4)]
    done = await asyncio.gather(*doors, return_exceptions=True)
    assert sum(isinstance(each, Registered) for each in done) == 1
    assert (await house.db.scan(_ORGANIZATIONS))[0][0] == 2, "the default one and Ada's"


async def test_the_session_is_granted_by_the_gate_for_a_registration(house: House) -> None:
    done = await register(house, OWN, "flashback", sign_in=True)
    assert isinstance(done.outcome, SignedIn)
    assert done.outcome.session.methods == "registration"
    line = next(e for e in await house.core.newest_events(5) if e.kind == "signed_in")
    assert line.detail == {"proof": "registration", "policy": "client"}


async def test_the_mail_verifies_and_keeps_what_the_registrant_has(house: House) -> None:
    done = await register(house, OWN, "flashback", sign_in=True)
    assert isinstance(done.outcome, SignedIn)
    verified = await house.core.recovery.use("verify", await house.token("verify"), HOME)
    assert (verified.emails[0].state, verified.has_password) == ("verified", True)
    assert len(await house.sessions()) == 1


async def test_a_session_of_the_account_tells_who_registered(house: House) -> None:
    _, signed_in = await squatted(house)
    caller = await house.core.sessions.authenticate(house.core.doors["flashback"], signed_in.token)
    person = await house.core.recovery.use("verify", await house.token("verify"), client("198.51.100.9"), by=caller)
    assert person.has_password
    assert len(await house.sessions()) == 1


async def test_somebody_elses_session_tells_nothing(house: House) -> None:
    await squatted(house)
    other = await register(house, replace(OWN, email="bob@example.com"), "flashback", sign_in=True)
    assert isinstance(other.outcome, SignedIn)
    caller = await house.core.sessions.authenticate(house.core.doors["flashback"], other.outcome.token)
    [token] = [
        each.values["link"].rpartition("/")[2] for each in await house.letters("verify") if each.to == "ada@example.com"
    ]
    person = await house.core.recovery.use("verify", token, client("198.51.100.9"), by=caller)
    assert not person.has_password


async def test_while_networks_are_not_trusted_nobody_is_taken_for_the_registrant(house: House) -> None:
    nowhere = client("", "a browser")
    await register(house, OWN, "flashback", client=nowhere, sign_in=True)
    person = await house.core.recovery.use("verify", await house.token("verify"), nowhere)
    assert not person.has_password
    assert await house.sessions() == []


async def test_nothing_is_planted_in_an_account_that_only_claims(house: House) -> None:
    person, signed_in = await squatted(house)
    core, account = house.core, person.account
    caller = await core.sessions.authenticate(core.doors["flashback"], signed_in.token)
    with pytest.raises(refusals.VerificationRequired):
        await core.factors.enable_totp(account)
    with pytest.raises(refusals.VerificationRequired):
        await core.factors.enable_email(account)
    with pytest.raises(refusals.VerificationRequired):
        await core.addresses.change_phone(account, "+49 30 901820", by=caller, client=ELSEWHERE)
    form = core.doors["rocketchat"].token
    with pytest.raises(refusals.VerificationRequired):
        await core.signin.mint(caller, form, NEW_KEY, ELSEWHERE, allowed)  # type: ignore[arg-type]
    assert len(await house.sessions()) == 1
    await core.addresses.change_email(account, "ada@example.com", state="verified")
    await core.factors.enable_totp(account)


async def allowed(_: Any) -> None:
    """Nothing is in the way."""


async def test_links_that_change_hands_end_what_the_one_before_had(house: House) -> None:
    """Everything in `disown`: after it the registrant's password, session, links and network are worth nothing."""
    person, signed_in = await squatted(house)
    house.clock.move(61)
    await house.core.recovery.request_reset("flashback", "ada@example.com", ELSEWHERE)
    reset = await house.token("reset")
    await house.core.recovery.use("verify", await house.token("verify"), HOME)
    with pytest.raises(refusals.NotSignedIn):
        await house.core.sessions.authenticate(house.core.doors["flashback"], signed_in.token)
    with pytest.raises(refusals.BadTicket):
        await house.core.recovery.check("reset", reset)
    assert not await house.core.recovery.asks_password("verify", await fresh(house, person), ELSEWHERE, None)


async def fresh(house: House, person: Person) -> Person:
    return await house.core.accounts.person(await house.core.accounts.by_id(person.account.id))


async def test_an_invitation_takes_no_password_over(house: House) -> None:
    new = NewAccount(email="bob@example.com", status="invited")
    bob = await house.core.accounts.add(new, Password.from_plain("the inviter's own words"))
    await house.core.recovery.invite(bob.account)
    token = await house.token("invite")
    person = await house.core.recovery.use("invite", token, HOME)
    assert (person.account.status, person.has_password) == ("active", False)


# ---------------------------------------------------------------- who may


async def test_the_first_to_register_rules_under_the_test_switch_alone(tmp_path: Path) -> None:
    """Threat 31: the latch, and nobody where there is an administrator."""
    async with open_house(tmp_path, accounts__registration="public") as house:
        under_test(house)
        done = await register(house)
        assert done.person is not None
        assert not done.person.account.administrator
        root = await house.core.accounts.named("root")

        async def demote(tx: Any) -> None:
            await tx.run(_DEMOTE, id=root.id)

        await house.db.transaction(demote)
        second = (await register(house, replace(ADA, email="b@example.com"))).person
        third = (await register(house, replace(ADA, email="c@example.com"))).person
        assert second is not None
        assert third is not None
        assert (second.account.administrator, second.account.rank) == (True, 255)
        assert not third.account.administrator


_DEMOTE = Statement("update account set administrator = 0 where id = :id")


def under_test(house: House) -> None:
    """Let the policy say that the test switch is on."""
    tools = house.core.registration._t
    policy = replace(house.core.settings.latest(), test=True)

    async def current() -> Any:
        return policy

    tools.policy = current


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"accounts__registration": "secret"}, "accounts.registration_secret"),
        ({"accounts__sign_up": "secret", "accounts__registration_secret": "short"}, "accounts.registration_secret"),
        ({"accounts__registration": "private", "mail__transport": "off"}, "mail.transport"),
        ({"accounts__sign_up": "some"}, "accounts.sign_up"),
    ],
)
def test_settings_that_contradict_each_other(tmp_path: Path, given: dict[str, Any], named: str) -> None:
    with pytest.raises(BadSettings) as found:
        fast_settings(tmp_path, **given)
    assert named in str(found.value)
    assert "short" not in str(found.value).replace("shorter", "")


async def test_concealing_without_mail_closes_registration(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts__conceal=True, mail__transport="off") as house:
        with pytest.raises(refusals.RegistrationClosed):
            await register(house, OWN, "flashback")


async def test_without_mail_too_many_taken_addresses_close_it_for_an_hour(tmp_path: Path) -> None:
    async with open_house(tmp_path, mail__transport="off") as house:
        for _ in range(10):
            with pytest.raises(refusals.IdentifierTaken):
                await register(house, replace(OWN, email="root@example.com"), "flashback")
        for email in ("root@example.com", "ada@example.com"):
            with pytest.raises(refusals.TooSoon):
                await register(house, replace(OWN, email=email), "flashback")
        assert (await register(house, OWN, "flashback", client=ELSEWHERE)).person is not None


# ---------------------------------------------------------------- nothing told


async def test_concealed_registrations_take_their_slot_whosever_the_address_is(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts__sign_up="private") as house:
        for email in ("root@example.com", "ada@example.com"):
            began = time.monotonic()
            done = await register(house, replace(OWN, email=email), "flashback", sign_in=True)
            assert done == Registered(None)
            assert time.monotonic() - began >= recovery.SLOT_SECONDS
        assert await house.sessions() == []


async def test_a_concealed_registration_of_a_taken_address_adds_nothing(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts__sign_up="private") as house:
        before = (await house.db.scan(_ROWS))[0]
        await register(house, replace(OWN, email="root@example.com"), "flashback")
        assert (await house.db.scan(_ROWS))[0] == before
        assert [letter.kind for letter in await house.letters()] == ["registered_already"]


async def test_who_is_not_active_gets_no_word(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts__sign_up="private") as house:
        ada = await house.ada()
        await house.core.life.set_status(ada.account, "suspended")
        await register(house, OWN, "flashback")
        assert await house.letters("registered_already") == []


async def test_one_address_is_written_to_once_a_minute_whoever_registers(house: House) -> None:
    await register(house, replace(ADA, email="Ada@example.com"))
    with pytest.raises(refusals.IdentifierTaken):
        await register(house, ADA, client=ELSEWHERE)
    assert len(await house.letters("verify")) == 1


# ---------------------------------------------------------------- the strict address check


@pytest.mark.parametrize(
    "email",
    ["ada@example.com", "Ada.Example+tag@sub.example.com", "o'hara@example.co", "a_b-c@x-y.example", "ädä@example.com",
     "ada@bücher.example", "ada@xn--bcher-kva.example", f"{'a' * 64}@example.com"],
)  # fmt: skip
def test_ordinary_addresses(email: str) -> None:
    assert identifiers.check_strictly(f" {email} ") == email


@pytest.mark.parametrize(
    "email",
    ["", "@", "ada", "ada@", "@example.com", "ada@@example.com", ".ada@example.com", "ada.@example.com",
     "a..b@example.com", "ada@example", "ada@.example.com", "ada@example..com", "ada@-example.com", "ada@example-.com",
     "ada@exa_mple.com", "ada@192.0.2.1", "ada@[192.0.2.1]", "a da@example.com", "ada@exam\u0000ple.com",
     '"a b"@example.com', "ada(x)@example.com", "ada@example.com.", f"{'a' * 65}@example.com",
     f"ada@{'a' * 64}.com", "a\u0308da@example.com", "ada@\u202eexample.com"],
)  # fmt: skip
def test_addresses_that_are_none(email: str) -> None:
    with pytest.raises(refusals.BadIdentifier):
        identifiers.check_strictly(email)

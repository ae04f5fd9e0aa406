"""A directory's people through every dialect: made, refreshed, merged, let go; and what happens while it is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dragoman.core import refusals
from dragoman.model import Caller, Password, Person, Typed
from dragoman.storage.engine import Statement
from journeys.drivers import DRIVERS, FLASHBACK, POCKETM8, PROBE, ROCKETCHAT, Driver, Held, Refused
from kit.directory import READER, READER_PASSWORD, Slapd
from kit.engines import ENGINES
from kit.house import House, Totp, client, open_house, open_house_of
from kit.postgres import Cluster

pytestmark = pytest.mark.slow

SECRET = "the directory's word"
ADDRESS = "dora@example.com"
every_driver = pytest.mark.parametrize("driver", DRIVERS, ids=str)
SLOT = 0.3
Story = tuple[House, Slapd]
_KINDS = Statement("select kind, detail from event where account = :account order by number")
_NAMES = Statement("select kind, shown, state, is_primary from identifier where account = :account")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd(tmp_path_factory.mktemp("slapd") / "d") as running:
        yield running


@pytest.fixture
def slapd(shared: Slapd) -> Iterator[Slapd]:
    """A directory with Dora in it, and at the end with nobody."""
    if shared.process is None:
        shared.start()
    shared.thaw()
    shared.dora = shared.person(  # type: ignore[attr-defined]
        "dora", SECRET, mail=[ADDRESS, "d.example@example.com"], givenName="Dora", sn="Example", displayName="Dora E."
    )
    yield shared
    if shared.process is None:
        shared.start()
    shared.thaw()
    shared.clear()


def settings(slapd: Slapd, **changes: Any) -> dict[str, Any]:
    return {
        "directory__urls": [slapd.url], "directory__base": slapd.base, "directory__bind_name": READER,
        "directory__bind_password": READER_PASSWORD, "directory__timeout_seconds": 1.0, **changes,
    }  # fmt: skip


@asynccontextmanager
async def house_with(folder: Path, slapd: Slapd, **changes: Any) -> AsyncIterator[House]:
    folder.mkdir(exist_ok=True)
    async with open_house(folder, **settings(slapd, **changes)) as house:
        yield house


@pytest.fixture(params=ENGINES)
async def story(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_cluster: Cluster, slapd: Slapd
) -> AsyncIterator[Story]:
    async with open_house_of(request.param, tmp_path, postgres_cluster, **settings(slapd)) as house:
        yield house, slapd


async def person(house: House, name: str = "dora") -> Person:
    return await house.core.accounts.person(await house.core.accounts.named(name))


async def names(house: House, of: Person) -> list[tuple[str, str, str, bool]]:
    rows = await house.db.scan(_NAMES, account=of.account.id)
    return sorted((kind, shown, state, primary == 1) for kind, shown, state, primary in rows)


async def nobody(house: House, name: str) -> bool:
    try:
        await house.core.accounts.named(name)
    except refusals.NotFound:
        return True
    return False


async def held(house: House, driver: Driver, email: str = ADDRESS, password: str = SECRET, **more: Any) -> Held:
    return await driver.held(house.request, email, password, **more)


async def rc(house: House, body: dict[str, Any], address: str = "192.0.2.1") -> Any:
    return await house.post("/api/v1/login", json=body, address=address)


# ---------------------------------------------------------------- signing in


@every_driver
async def test_every_dialect_signs_in_through_it(story: Story, driver: Driver) -> None:
    house, _ = story
    assert await nobody(house, "dora")
    first = await held(house, driver)
    dora = await person(house)
    account = dora.account
    assert (account.first_name, account.last_name, account.display_name) == ("Dora", "Example", "Dora E.")
    assert (account.rank, account.administrator, account.status, account.kind) == (0, False, "active", "person")
    assert account.default_organization
    assert set(dora.aliases) == {"rocketchat", "probe", "pocketm8", "directory"}
    assert not dora.has_password
    assert await names(house, dora) == [
        ("email", "d.example@example.com", "vouched", False), ("email", ADDRESS, "vouched", True),
        ("username", "dora", "vouched", True),
    ]  # fmt: skip
    # The same person at every other door, and the same session rules.
    for each in DRIVERS:
        assert await each.live(house.request, await held(house, each))
        assert await each.live(house.request, await held(house, each, "d.example@example.com"))
    assert await driver.live(house.request, first)
    assert {a for _, _, a in await house.sessions()} == {account.id}
    listed = await house.core.sessions.list_own(account.id)
    assert {session.methods for session in listed} == {"directory"}


@every_driver
async def test_a_wrong_password_is_one_like_any_other(story: Story, driver: Driver) -> None:
    house, _ = story
    for _ in range(2):  # before the account is there, then after
        before = house.hash_evaluations()
        await driver.refused(house.request, "wrong", ADDRESS, "wrong", address="198.18.1.9")
        await driver.refused(house.request, "unknown", "carol@example.com", SECRET, address="198.18.1.9")
        assert house.hash_evaluations() == before + 2
        await held(house, driver)


async def test_a_name_and_an_address_count_together_and_lock_together(story: Story) -> None:
    """Before there is an account, too: failures count against the entry as well as against what was typed."""
    house, _ = story
    for number in range(10):
        body = {"user": ("dora", ADDRESS, "d.example@example.com")[number % 3], "password": "wrong"}
        answer = await rc(house, body, f"198.18.{number}.9")
        assert answer.json()["error"] == "Unauthorized"
    for name in ("dora", ADDRESS, "d.example@example.com"):
        answer = await rc(house, {"ldap": True, "username": name, "ldapPass": SECRET, "ldapOptions": {}}, "198.18.50.9")
        assert answer.json()["error"] == "error-login-blocked-for-user", name
    assert await nobody(house, "dora")
    house.clock.move(5 * 60 + 1)
    await held(house, PROBE)
    for number in range(10):
        await DRIVERS[number % 4].refused(house.request, "wrong", ADDRESS, "wrong", address=f"198.18.{number}.9")
    for each in DRIVERS:
        await each.refused(house.request, "locked", ADDRESS, SECRET, address="198.18.60.9")
        await held(house, each)  # from the network the owner uses


@pytest.mark.parametrize("shape", ["ldap form", "user", "username", "email", "object", "object email", "form-encoded"])
async def test_every_form_of_rocketchat_goes_to_the_directory(slapd: Slapd, tmp_path: Path, shape: str) -> None:
    bodies: dict[str, dict[str, Any]] = {
        "ldap form": {"ldap": True, "username": "dora", "ldapPass": SECRET, "ldapOptions": {}},
        "user": {"user": "dora", "password": SECRET},
        "username": {"username": "dora", "password": SECRET},
        "email": {"email": ADDRESS, "password": SECRET},
        "object": {"user": {"username": "dora"}, "password": SECRET},
        "object email": {"user": {"email": ADDRESS}, "password": SECRET},
        "form-encoded": {"user": "dora", "password": SECRET},
    }
    async with house_with(tmp_path / "h", slapd) as house:
        for _ in range(2):
            if shape == "form-encoded":
                answer = await house.post("/api/v1/login", data=bodies[shape])
            else:
                answer = await rc(house, bodies[shape])
            assert answer.status_code == 200, answer.text
            assert answer.json()["data"]["me"]["username"] == "dora"
        bad = dict(bodies[shape]) | {k: "" for k in ("password", "ldapPass") if k in bodies[shape]}
        assert (await rc(house, bad)).status_code == 401


async def test_the_directory_is_told_to_sign_in_screens(slapd: Slapd, tmp_path: Path, house: House) -> None:
    async with house_with(tmp_path / "h", slapd) as linked:
        for of, value in ((linked, True), (house, False)):
            found = (await of.get("/api/v1/settings.public?_id=LDAP_Enable")).json()["settings"]
            assert [(one["_id"], one["value"]) for one in found] == [("LDAP_Enable", value)]


async def test_a_digest_is_never_bound_and_never_enough(story: Story) -> None:
    house, _ = story
    await held(house, ROCKETCHAT)
    digest = {"digest": Password.from_plain(SECRET).hexdigest.reveal(), "algorithm": "sha-256"}
    for body in (
        {"user": {"username": "dora"}, "password": digest}, {"user": {"email": ADDRESS}, "password": digest},
        {"user": "dora", "password": digest}, {"ldap": True, "username": "dora", "ldapPass": digest["digest"]},
    ):  # fmt: skip
        answer = await rc(house, body, "198.18.1.9")
        assert answer.json()["error"] == "Unauthorized", body
    events = [e for e in await house.core.newest_events(4) if e.kind == "password_refused"]
    assert [e.detail["reason"] for e in events].count("needs_plain_password") == 3
    # A local account signs in by digest all the same.
    await house.ada()
    ada = {"digest": Password.from_plain("correct horse battery").hexdigest.reveal(), "algorithm": "sha-256"}
    assert (await rc(house, {"user": {"username": "ada"}, "password": ada})).status_code == 200


@every_driver
async def test_the_second_factor_applies(story: Story, driver: Driver) -> None:
    house, slapd = story
    await held(house, driver)
    totp: Totp = await house.enrol_totp(await person(house))
    asked = await driver.sign_in(house.request, ADDRESS, SECRET)
    assert not isinstance(asked, (Held, Refused))
    slapd.change(slapd.dora, displayName="Dora the Second")  # type: ignore[attr-defined]
    done = await driver.with_code(house.request, asked, totp.code(), email=ADDRESS, password=SECRET)
    assert isinstance(done, Held)
    listed = await house.core.sessions.list_own((await person(house)).account.id)
    assert "directory,totp" in {session.methods for session in listed}
    # A paused sign-in does not outlive the link.
    asked = await driver.sign_in(house.request, ADDRESS, SECRET)
    await house.core.linked.unlink((await person(house)).account)
    done = await driver.with_code(house.request, asked, totp.code(), email=ADDRESS, password=SECRET)
    assert isinstance(done, Refused)


# ---------------------------------------------------------------- the account


async def test_later_sign_ins_refresh_names_and_addresses_but_never_rank_or_status(story: Story) -> None:
    house, slapd = story
    await held(house, PROBE)
    dora = await person(house)
    facts = dora.account.facts
    await held(house, PROBE)
    assert (await person(house)).account.facts == facts, "nothing new, nothing written"
    renamed = slapd.rename(slapd.dora, "dorothea")  # type: ignore[attr-defined]
    slapd.change(renamed, displayName="Dorothea", givenName="Dorothea", mail=["dorothea@example.com", ADDRESS])
    await held(house, FLASHBACK, "dorothea@example.com")
    after = await person(house, "dorothea")
    assert after.account.id == dora.account.id
    assert (after.name, after.account.first_name, after.account.rank) == ("Dorothea", "Dorothea", 0)
    assert await names(house, after) == [
        ("email", ADDRESS, "vouched", False), ("email", "dorothea@example.com", "vouched", True),
        ("username", "dorothea", "vouched", True),
    ]  # fmt: skip
    assert await nobody(house, "d.example@example.com")
    # The old name finds the account no more, and the directory's entry neither.
    assert (await rc(house, {"user": "dora", "password": SECRET})).status_code == 401
    # Without any address the directory says nothing about addresses.
    slapd.change(renamed, mail=None)
    assert (await rc(house, {"user": "dorothea", "password": SECRET})).status_code == 200
    assert len((await person(house, "dorothea")).emails) == 2


async def test_a_name_typed_before_the_refresh_still_finds_the_renamed(story: Story) -> None:
    house, slapd = story
    await held(house, PROBE)
    dora = await person(house)
    slapd.rename(slapd.dora, "dorothea")  # type: ignore[attr-defined]
    assert (await rc(house, {"user": "dora", "password": SECRET})).status_code == 200
    assert (await person(house, "dorothea")).account.id == dora.account.id


async def test_a_name_given_to_somebody_else_makes_another_account(story: Story) -> None:
    house, slapd = story
    await held(house, PROBE)
    dora = await person(house)
    slapd.rename(slapd.dora, "dorothea")  # type: ignore[attr-defined]
    slapd.person("dora", "another's password", mail="dora2@example.com")
    answer = await rc(house, {"user": "dora", "password": "another's password"})
    assert answer.status_code == 200, answer.text
    other = answer.json()["data"]["me"]
    assert other["username"] != "dora", "the old account has the name until its owner comes"
    assert other["username"].startswith("dora-")
    assert other["_id"] != dora.aliases["rocketchat"]
    await held(house, PROBE)
    assert (await person(house, "dorothea")).account.id == dora.account.id
    answer = await rc(house, {"user": "dora", "password": "another's password"})
    assert (answer.json()["data"]["me"]["username"], answer.json()["data"]["me"]["_id"]) == ("dora", other["_id"])


async def test_somebody_made_anew_in_the_directory_is_somebody_else(story: Story) -> None:
    """The immutable id decides: the same name, address and password under another id open nothing of the old one."""
    house, slapd = story
    await held(house, PROBE)
    dora = await person(house)
    slapd.remove(slapd.dora)  # type: ignore[attr-defined]
    slapd.person("dora", SECRET, mail=ADDRESS)
    answer = await rc(house, {"user": "dora", "password": SECRET})
    assert answer.json()["data"]["userId"] != dora.aliases["rocketchat"]


async def test_addresses_go_over_only_from_whoever_merely_claimed_them(story: Story) -> None:
    house, _ = story
    claimed = await house.add(email=ADDRESS, username="squatter")
    vouched = await house.add(email="d.example@example.com", username="holder")
    await house.db.transaction(lambda tx: tx.run(_CLAIM, account=claimed.account.id))
    answer = await rc(house, {"user": "dora", "password": SECRET})
    assert answer.status_code == 200
    assert await names(house, await person(house)) == [
        ("email", ADDRESS, "vouched", True), ("username", "dora", "vouched", True),
    ]  # fmt: skip
    assert await names(house, claimed) == [("username", "squatter", "vouched", True)]
    assert (await person(house, "d.example@example.com")).account.id == vouched.account.id


_CLAIM = Statement("update identifier set state = 'claimed' where kind = 'email' and account = :account")


async def test_names_that_cannot_be_ours_are_made_fit(story: Story) -> None:
    house, slapd = story
    slapd.person(
        "Zoë Ünal (x)", SECRET, mail=["no address", "zoe@example.com"], displayName="Zoë\u0007", givenName="Z" * 300
    )
    answer = await rc(house, {"user": "zoe@example.com", "password": SECRET})
    assert answer.status_code == 200, answer.text
    zoe = await person(house, "zoe@example.com")
    assert zoe.username == "zo-nal-x"
    assert (zoe.account.display_name, len(zoe.account.first_name)) == (None, 255)
    assert (await rc(house, {"user": "Zoë Ünal (x)", "password": SECRET})).status_code == 200


async def test_two_first_sign_ins_at_once_make_one_account(story: Story) -> None:
    house, _ = story
    outcomes = await asyncio.gather(
        *(
            driver.sign_in(house.request, ADDRESS, SECRET, address=f"198.18.{n}.9")
            for n, driver in enumerate(DRIVERS * 2)
        )
    )
    assert sum(isinstance(outcome, Held) for outcome in outcomes) >= 2
    assert {account for _, _, account in await house.sessions()} == {(await person(house)).account.id}
    assert not [page for page in await house.core.accounts.page() if page.first_name == "Dora"][1:]


@every_driver
async def test_suspended_here_stays_out_and_only_after_the_right_password(story: Story, driver: Driver) -> None:
    house, slapd = story
    await held(house, driver)
    dora = await person(house)
    await house.core.life.set_status(dora.account, "suspended")
    slapd.change(slapd.dora, displayName="Not seen")  # type: ignore[attr-defined]
    await driver.refused(house.request, "wrong", ADDRESS, "wrong")
    await driver.refused(house.request, "inactive", ADDRESS, SECRET)
    after = await person(house)
    assert (after.account.status, after.name) == ("suspended", "Dora E.")


async def test_whoever_left_the_directory_is_refused_and_sessions_stay(story: Story) -> None:
    house, slapd = story
    kept = {driver: await held(house, driver) for driver in DRIVERS}
    slapd.remove(slapd.dora)  # type: ignore[attr-defined]
    for driver in DRIVERS:
        refused = await driver.sign_in(house.request, ADDRESS, SECRET)
        assert isinstance(refused, Refused)
        assert refused.said == driver.words["wrong"], "the account is known here, also where a contract tells"
        assert await driver.live(house.request, kept[driver])


async def test_first_sign_in_may_be_refused(slapd: Slapd, tmp_path: Path) -> None:
    async with house_with(tmp_path / "h", slapd, directory__first_sign_in="refuse") as house:
        for driver in DRIVERS:
            outcome = await driver.sign_in(house.request, ADDRESS, SECRET)
            assert isinstance(outcome, Refused)
        assert await nobody(house, "dora")
        reasons = [e.detail.get("reason") for e in await house.core.newest_events(10) if e.kind == "sign_in_refused"]
        assert reasons == ["directory_first_sign_in"] * 4


# ---------------------------------------------------------------- local accounts of the same name


async def test_a_local_account_of_the_same_name_is_never_taken_over_by_default(story: Story) -> None:
    house, _ = story
    local = await house.add(username="dora", email="local@example.com")
    for body in ({"user": "dora", "password": SECRET}, {"user": ADDRESS, "password": SECRET}):
        assert (await rc(house, body)).status_code == 401
    assert "directory" not in (await person(house)).aliases
    assert (await rc(house, {"user": "dora", "password": "correct horse battery"})).status_code == 200
    assert (await person(house)).account.id == local.account.id


async def test_merging_hands_the_account_over_and_leaves_nothing_to_its_holder_before(
    slapd: Slapd, tmp_path: Path
) -> None:
    async with house_with(tmp_path / "h", slapd, directory__merge="same-name") as house:
        local = await house.add(username="Dora", email="claimed@example.com")
        await house.db.transaction(lambda tx: tx.run(_CLAIM, account=local.account.id))
        before = await rc(house, {"user": "dora", "password": "correct horse battery"})
        assert before.status_code == 200, "his own password still counts, and the directory does not hear it"
        assert "directory" not in (await person(house)).aliases
        assert (await rc(house, {"user": "dora", "password": "neither"}, "198.18.1.9")).status_code == 401
        answer = await rc(house, {"user": "dora", "password": SECRET})
        assert answer.status_code == 200, answer.text
        assert answer.json()["data"]["userId"] == local.aliases["rocketchat"]
        dora = await person(house)
        assert "directory" in dora.aliases
        assert not dora.has_password
        assert [(e.shown, e.state) for e in dora.emails] == [(ADDRESS, "vouched"), ("d.example@example.com", "vouched")]
        assert (await rc(house, {"user": "dora", "password": "correct horse battery"})).status_code == 401
        old = {"X-User-Id": before.json()["data"]["userId"], "X-Auth-Token": before.json()["data"]["authToken"]}
        assert (await house.get("/api/v1/me", headers=old)).status_code == 401


async def administrator(house: House) -> Person:
    return await house.add(username="dora", administrator=True)


async def with_factor(house: House) -> Person:
    made = await house.add(username="dora")
    await house.enrol_totp(made)
    return made


async def bot(house: House) -> Person:
    return await house.add(username="dora", kind="bot")


async def of_another_name(house: House) -> Person:
    return await house.add(username="somebody", email=ADDRESS)


@pytest.mark.parametrize("make", [administrator, with_factor, bot, of_another_name], ids=lambda make: make.__name__)
async def test_whom_no_setting_merges(slapd: Slapd, tmp_path: Path, make: Callable[[House], Awaitable[Person]]) -> None:
    """Threat 13: the directory's word for a name does not reach administrators, factors, bots or other names."""
    async with house_with(tmp_path / "h", slapd, directory__merge="same-name") as house:
        made = await make(house)
        for name in ("dora", ADDRESS, "d.example@example.com"):
            await rc(house, {"user": name, "password": SECRET})
        after = await house.core.accounts.person(await house.core.accounts.by_id(made.account.id))
        assert "directory" not in after.aliases
        assert after.has_password
        assert not [door for door, _, account in await house.sessions() if account == made.account.id]


async def test_unlinking_leaves_a_local_account_that_the_directory_does_not_open(story: Story) -> None:
    house, _ = story
    kept = await held(house, ROCKETCHAT)
    dora = await person(house)
    assert await house.core.linked.count() == 1
    assert await house.core.linked.unlink(dora.account)
    assert not await house.core.linked.unlink(dora.account)
    assert await ROCKETCHAT.live(house.request, kept)
    for driver in DRIVERS:
        assert isinstance(await driver.sign_in(house.request, ADDRESS, SECRET), Refused)
    await house.core.accounts.set_password(dora.account, Password.from_plain("a local one, quite long"))
    await held(house, PROBE, ADDRESS, "a local one, quite long")
    assert await house.core.linked.count() == 0


async def test_without_a_directory_its_people_stay_out_until_they_are_unlinked(slapd: Slapd, tmp_path: Path) -> None:
    async with house_with(tmp_path / "h", slapd, directory__fallback="unreachable") as house:
        await held(house, ROCKETCHAT)
        await house.core._tools.background.drain()
        assert (await person(house)).has_password
        house.core.directory._port = None
        for driver in DRIVERS:
            refused = await driver.sign_in(house.request, ADDRESS, SECRET)
            assert isinstance(refused, Refused)
        await house.core.linked.unlink((await person(house)).account)
        await held(house, ROCKETCHAT)


# ---------------------------------------------------------------- passwords of linked accounts


async def test_the_password_is_the_directorys_to_change(story: Story) -> None:
    house, slapd = story
    await held(house, PROBE)
    dora = await person(house)
    session = (await house.core.sessions.list_own(dora.account.id))[0]
    caller, new = Caller(session, dora.account), Password.from_plain("a new and long one")
    with pytest.raises(refusals.NotOffered):
        await house.core.accounts.change_password(caller, Password.from_plain(SECRET), new, client())
    with pytest.raises(refusals.NotOffered):
        await house.core.accounts.set_password(dora.account, new)
    await house.core.recovery.request_reset("", ADDRESS, client())
    assert await house.letters("reset") == []
    # Proving it once more asks the directory.
    await house.core.signin.confirm(caller, Password.from_plain(SECRET), client())
    with pytest.raises(refusals.WrongPassword):
        await house.core.signin.confirm(caller, Password.from_plain("wrong"), client())
    slapd.change(slapd.dora, userPassword="changed there")  # type: ignore[attr-defined]
    with pytest.raises(refusals.WrongPassword):
        await house.core.signin.confirm(caller, Password.from_plain(SECRET), client())
    await house.core.signin.confirm(caller, Password.from_plain("changed there"), client())
    slapd.remove(slapd.dora)  # type: ignore[attr-defined]
    with pytest.raises(refusals.WrongPassword):
        await house.core.signin.confirm(caller, Password.from_plain("changed there"), client())


async def test_a_link_mailed_before_does_not_open_what_the_directory_answers_for(story: Story) -> None:
    """Whoever left the directory and still has the mailbox does not come back by it."""
    house, slapd = story
    await held(house, PROBE)
    dora = await person(house)
    await house.core.recovery.request_verification(house.core.doors["rocketchat"], ADDRESS, client())
    slapd.remove(slapd.dora)  # type: ignore[attr-defined]
    token = await house.token("verify")
    before = len(await house.sessions())
    with pytest.raises(refusals.NotOffered):
        await house.core.signin.with_ticket(house.core.doors["rocketchat"], "verify", token, client())
    assert len(await house.sessions()) == before
    assert (ADDRESS, "verified") in [(e.shown, e.state) for e in (await person(house)).emails]
    assert dora.account.id == (await person(house)).account.id


# ---------------------------------------------------------------- while it is away


@pytest.mark.parametrize("away", ["stopped", "frozen"])
async def test_while_it_is_away_nobody_waits_and_its_people_are_told_to_come_back(
    slapd: Slapd, tmp_path: Path, away: str
) -> None:
    async with house_with(tmp_path / "h", slapd) as house:
        await house.ada()
        flashback = await FLASHBACK.held(house.request)
        mine = {driver: await held(house, driver) for driver in DRIVERS}
        slapd.stop() if away == "stopped" else slapd.freeze()
        began = time.monotonic()
        waiting = [
            asyncio.create_task(rc(house, {"user": "dora", "password": SECRET}, f"198.18.{n}.9")) for n in range(4)
        ]
        await asyncio.sleep(0.05)
        # Everything else goes on meanwhile: other sign-ins, refreshes, whoever is signed in, its own people included.
        others = time.monotonic()
        await ROCKETCHAT.held(house.request)
        assert isinstance(await FLASHBACK.refresh(house.request, flashback.more["refresh"]), Held)
        for driver, one in mine.items():
            assert await driver.live(house.request, one)
        assert time.monotonic() - others < 0.9, "a silent directory kept others waiting"
        answers = await asyncio.gather(*waiting)
        assert {a.status_code for a in answers} == {503}, [a.text for a in answers]
        assert time.monotonic() - began < 3.0
        # Remembered for a moment: the next ones do not wait.
        began = time.monotonic()
        for driver in DRIVERS:
            outcome = await driver.sign_in(house.request, ADDRESS, SECRET)
            assert isinstance(outcome, Refused)
            assert outcome.answer.status_code == 503
            assert outcome.answer.headers["retry-after"]
        assert time.monotonic() - began < 1.5
        # Nothing was judged, hence nothing counted; who exists is not told.
        for name, password in (("dora", SECRET), ("nobody", SECRET), ("ada", "wrong")):
            assert (await rc(house, {"user": name, "password": password}, "198.18.99.9")).status_code == 503
        reasons = [e.detail.get("reason") for e in await house.core.newest_events(50) if e.kind == "password_refused"]
        assert reasons == ["wrong_password"], "Ada's, and no other"
        # When it has rested, whoever is not asked about tries it as well: time and answer stay alike.
        house.core.directory._rests_until = 0.0
        assert (await rc(house, {"user": "ada", "password": "wrong"}, "198.18.98.9")).status_code == 503
        slapd.thaw() if away == "frozen" else slapd.start()
        house.core.directory._rests_until = 0.0
        assert (await rc(house, {"user": "ada", "password": "wrong"}, "198.18.98.9")).status_code == 401
        await held(house, PROBE)


async def test_by_default_no_local_password_counts_while_it_is_away(slapd: Slapd, tmp_path: Path) -> None:
    async with house_with(tmp_path / "h", slapd) as house:
        await held(house, PROBE)
        await house.core._tools.background.drain()
        assert not (await person(house)).has_password
        slapd.stop()
        assert (await rc(house, {"user": "dora", "password": SECRET})).status_code == 503


async def test_the_fallback_counts_only_while_it_is_away_never_when_it_said_no(slapd: Slapd, tmp_path: Path) -> None:
    async with house_with(tmp_path / "h", slapd, directory__fallback="unreachable") as house:
        await held(house, PROBE)
        await house.core._tools.background.drain()
        dora = await person(house)
        assert dora.has_password
        facts = dora.account.facts
        await held(house, PROBE)
        await house.core._tools.background.drain()
        assert (await person(house)).account.facts == facts, "the same password is not kept twice"
        slapd.stop()
        for driver in DRIVERS:
            assert await driver.live(house.request, await held(house, driver))
            await driver.refused(house.request, "wrong", ADDRESS, "wrong", address="198.18.7.9")
            await driver.refused(house.request, "unknown", "nobody@example.com", SECRET, address="198.18.7.9")
        newest = (await house.core.sessions.list_own(dora.account.id))[0]
        assert {newest.methods} <= {"password", "directory"}
        slapd.start()
        house.core.directory._rests_until = 0.0
        slapd.change(slapd.dora, userPassword="changed there")  # type: ignore[attr-defined]
        # It says no: the kept one does not count, and is kept no longer.
        assert (await rc(house, {"user": "dora", "password": SECRET})).status_code == 401
        assert not (await person(house)).has_password
        await held(house, PROBE, ADDRESS, "changed there")
        await house.core._tools.background.drain()
        slapd.remove(slapd.dora)  # type: ignore[attr-defined]
        assert (await person(house)).has_password
        assert (await rc(house, {"user": "dora", "password": "wrong"})).status_code == 401
        assert not (await person(house)).has_password, "whoever left has none for later"
        slapd.stop()
        assert (await rc(house, {"user": "dora", "password": "changed there"})).status_code == 401


async def test_an_operator_may_set_a_password_for_the_time_it_is_away(slapd: Slapd, tmp_path: Path) -> None:
    async with house_with(tmp_path / "h", slapd, directory__fallback="unreachable") as house:
        await held(house, PROBE)
        await house.core._tools.background.drain()
        await house.core.accounts.set_password((await person(house)).account, Password.from_plain("for bad days only"))
        slapd.stop()
        await held(house, PROBE, ADDRESS, "for bad days only")


# ---------------------------------------------------------------- time, secrets, limits


async def test_time_tells_nothing(slapd: Slapd, tmp_path: Path) -> None:
    """Threat 36: unknown, known here, known there alone, local: refused at the same slot.

    The slot is set far above what anything takes here, so that whoever left before it would be seen on a busy machine.
    """
    async with house_with(tmp_path / "h", slapd) as house:
        await house.ada()
        slapd.person("eve", "eve's own", mail="eve@example.com")
        await held(house, PROBE)
        groups = {"unknown": "nobody", "linked": "dora", "there alone": "eve", "local": "ada", "odd": "a)(b*"}
        spent: dict[str, list[float]] = {name: [] for name in groups}
        house.core.directory._seconds.extend([SLOT] * 64)
        for round_ in range(5):
            for group, name in groups.items():
                began = time.monotonic()
                answer = await rc(house, {"user": name, "password": "wrong"}, f"198.{18 + round_ % 2}.{round_}.9")
                spent[group].append(time.monotonic() - began)
                assert answer.json()["error"] == "Unauthorized"
            house.core.directory._seconds.extend([SLOT] * 64)
        least = {name: min(times) for name, times in spent.items()}
        assert min(least.values()) > SLOT
        assert max(least.values()) - min(least.values()) < SLOT / 4, least


async def test_strangers_fill_half_of_the_places_at_most(slapd: Slapd, tmp_path: Path) -> None:
    async with house_with(tmp_path / "h", slapd, directory__connections=1) as house:
        await held(house, PROBE)
        slapd.freeze()
        storm = [
            asyncio.create_task(rc(house, {"user": f"name{n}", "password": "x"}, f"198.18.{n}.9")) for n in range(8)
        ]
        await asyncio.sleep(0.3)
        slapd.thaw()
        known = await held(house, PROBE)
        answers = await asyncio.gather(*storm)
        assert await PROBE.live(house.request, known)
        assert {a.status_code for a in answers} <= {401, 503}
        assert [a.status_code for a in answers].count(503) >= 4


async def test_the_directory_hears_no_local_password_and_no_operators(slapd: Slapd, tmp_path: Path) -> None:
    """By default it is asked about its own people and about names nobody has here."""
    asked: list[str] = []
    async with house_with(tmp_path / "h", slapd) as house:
        await house.ada()
        port = house.core.directory._port
        assert port is not None
        prove = port.prove

        async def heard(name: str, *rest: Any, **more: Any) -> Any:
            asked.append(name)
            return await prove(name, *rest, **more)

        port.prove = heard  # type: ignore[method-assign]
        for name in ("ada", "ada@example.com", "root", "root@example.com"):
            await rc(house, {"user": name, "password": "wrong"})
        assert asked == []
        await rc(house, {"user": "dora", "password": SECRET})
        await rc(house, {"user": "nobody", "password": "x"})
        await rc(house, {"user": "x" * 257, "password": "x"})
        assert asked == ["dora", "nobody"]


async def test_nothing_secret_is_stored_or_said(slapd: Slapd, tmp_path: Path) -> None:
    from rules.test_nothing_in_clear import everything_said, everything_stored, found

    secrets = {"password": SECRET.encode(), "reader": READER_PASSWORD.encode(), "wrong": b"canary-9c1f0-wrong"}
    with everything_said() as said:
        async with house_with(
            tmp_path / "h", slapd, directory__fallback="unreachable", log__access=True, log__level="debug"
        ) as house:
            await held(house, PROBE)
            await rc(house, {"user": "dora", "password": "canary-9c1f0-wrong"})
            await rc(house, {"user": "canary-9c1f0-wrong", "password": SECRET})
            await house.core._tools.background.drain()
            slapd.stop()
            await held(house, PROBE)
            await rc(house, {"user": "nobody", "password": "canary-9c1f0-wrong"})
            stored = await everything_stored(house)
            files = b"".join(path.read_bytes() for path in house.settings.database.parent.rglob("*") if path.is_file())
    assert any("out of reach" in line for line in said), "the log was not heard"
    assert found(secrets, stored) == []
    assert found(secrets, files) == []
    assert found(secrets, "\n".join(said).encode()) == []


async def test_a_sign_in_under_way_does_not_outlive_what_changes(slapd: Slapd, tmp_path: Path) -> None:
    """Threat 3: unlinked, suspended or erased between the directory's yes and our own decision."""

    async def unlink(house: House) -> None:
        await house.core.linked.unlink((await person(house)).account)

    async def suspend(house: House) -> None:
        await house.core.life.set_status((await person(house)).account, "suspended")

    async def end(house: House) -> None:
        await house.core.sessions.end_everything((await person(house)).account, "test")

    for number, change in enumerate((unlink, suspend, end)):
        async with house_with(tmp_path / f"h{number}", slapd) as house:
            await held(house, PROBE)
            linked = house.core.signin._linked
            plan = linked.plan

            async def meddle(entry: Any, plan: Any = plan, house: House = house, change: Any = change) -> Any:
                made = await plan(entry)
                await change(house)
                return made

            linked.plan = meddle  # type: ignore[method-assign]
            before = len(await house.sessions())
            for driver in (ROCKETCHAT, PROBE, FLASHBACK, POCKETM8)[:1]:
                assert isinstance(await driver.sign_in(house.request, ADDRESS, SECRET), Refused)
            assert len(await house.sessions()) <= before
            assert not [s for s in await house.sessions() if s[0] == "rocketchat"]


async def test_typed_phones_are_not_asked_about(slapd: Slapd, tmp_path: Path) -> None:
    async with house_with(tmp_path / "h", slapd) as house:
        door = house.core.doors["pocketm8"]
        with pytest.raises(refusals.WrongPassword):
            await house.core.signin.with_password(door, Typed("phone", "dora"), Password.from_plain(SECRET), client())
        assert await nobody(house, "dora")

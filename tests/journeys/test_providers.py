"""Whose account a provider's word opens: the matrix of linking, and ways to take an account over (threats 12 to 14)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dragoman.core import refusals
from dragoman.core.upstream import Arrival
from dragoman.model import AddressState, Caller, Pending, Person, Secret, SignedIn
from dragoman.storage import accounts
from dragoman.storage.engine import Statement, Tx
from kit.engines import ENGINES
from kit.house import PASSWORD, House, client, open_house, open_house_of
from kit.oidc import REDIRECT, OidcPeer, at_this_moment
from kit.postgres import Cluster

pytestmark = pytest.mark.slow

_EVENTS = Statement("select kind, detail from event where kind like 'provider%' order by id")
_ACCOUNTS = Statement("select count(*) from account")
_SPENT = Statement("select count(*) from spent_token")
EMAIL = "ada@example.com"
OWN = {"email": EMAIL, "email_verified": True}


@pytest.fixture(scope="module")
def peer() -> Iterator[OidcPeer]:
    with OidcPeer() as running:
        running.people(ada={**OWN, "name": "Ada Example"})
        yield running


Open = Callable[..., Any]


@pytest.fixture(params=ENGINES)
def opened(request: pytest.FixtureRequest, tmp_path: Path, postgres_cluster: Cluster, peer: OidcPeer) -> Open:
    """Opens a house on either engine that knows the provider, with settings as wanted."""

    @asynccontextmanager
    async def open_one(**more: Any) -> AsyncIterator[House]:
        given = {**peer.settings(), **peer.settings("oidc", client_id="dragoman", name="other", trust="never"), **more}
        async with open_house_of(request.param, tmp_path, postgres_cluster, **given) as house:
            yield at_this_moment(house)

    return open_one


@pytest.fixture
async def house(opened: Open) -> AsyncIterator[House]:
    async with opened() as one:
        yield one


async def arrive(house: House, token: str, *, door: str = "flashback", name: str = "google", **more: Any) -> Arrival:
    return await house.core.upstream.with_token(house.core.doors[door], name, Secret(token), client(), **more)


async def signed_in(house: House, token: str, **more: Any) -> SignedIn:
    outcome = (await arrive(house, token, **more)).outcome
    assert isinstance(outcome, SignedIn)
    return outcome


async def links(house: House, person: Person) -> list[tuple[str, str]]:
    return [(one.provider, one.subject) for one in await house.core.upstream.links(person.account)]


async def holder(house: House, state: AddressState, **fields: Any) -> Person:
    """Ada with her address in this state."""
    person = await house.ada(verified=state == "verified", **fields)
    if state == "claimed":

        async def fn(tx: Any) -> None:
            await tx.run(Statement("update identifier set state = 'claimed' where folded = :folded"), folded=EMAIL)

        await house.db.transaction(fn)
    return await house.core.accounts.person(await house.core.accounts.by_id(person.account.id))


# ---------------------------------------------------------------- the matrix


@pytest.mark.parametrize("trust", ["never", "owned", "verified", "all"])
@pytest.mark.parametrize("state", ["claimed", "vouched", "verified"])
@pytest.mark.parametrize("said", ["verified", "unverified", "none"])
async def test_linking_by_an_address(
    tmp_path: Path, peer: OidcPeer, trust: str, state: AddressState, said: str
) -> None:
    """An address links where the provider is trusted with it and it was proved here; a claimed one yields or stays."""
    async with open_house(tmp_path, **peer.settings(trust=trust, domains=["example.org"])) as house:
        at_this_moment(house)
        ada = await holder(house, state)
        words: dict[str, Any] = {"verified": OWN, "unverified": {"email": EMAIL, "email_verified": False}, "none": {}}
        proves = said != "none" and (trust == "all" or (trust == "verified" and said == "verified"))
        outcome = await signed_in(house, peer.mint(sub="107", **words[said]))
        arrived, before = (
            outcome.person,
            await house.core.accounts.person(await house.core.accounts.by_id(ada.account.id)),
        )
        if proves and state != "claimed":
            assert arrived.account.id == ada.account.id
            assert await links(house, ada) == [("google", "107")]
            assert [one.state for one in arrived.emails] == ["verified"]
        else:
            assert arrived.account.id != ada.account.id
            assert await links(house, ada) == []
            assert [one.shown for one in arrived.emails] == ([EMAIL] if proves else [])
            assert [one.shown for one in before.emails] == ([] if proves else [EMAIL])
            assert arrived.account.organization != ada.account.organization
        again = await signed_in(house, peer.mint(sub="107", jti="2"))
        assert again.person.account.id == arrived.account.id, "from now on the subject alone decides"


@pytest.mark.parametrize(("domain", "hd", "links"), [
    ("gmail.com", None, True), ("example.com", "example.com", True), ("example.com", "EXAMPLE.com", True),
    ("example.com", None, False), ("example.com", "evil.example.com", False), ("evilgmail.com", "gmail.com", False),
])  # fmt: skip
async def test_a_provider_is_trusted_with_its_own_domains(
    tmp_path: Path, peer: OidcPeer, domain: str, hd: str | None, links: bool
) -> None:
    given = peer.settings(trust="owned", domains=["gmail.com"])
    async with open_house(tmp_path, **given) as house:
        at_this_moment(house)
        ada = await house.ada(email=f"ada@{domain}")
        token = peer.mint(email=f"ada@{domain}", email_verified=True, hd=hd)
        assert ((await signed_in(house, token)).person.account.id == ada.account.id) is links


async def _administrator(house: House) -> Person:
    return await house.ada(administrator=True)


async def _with_factor(house: House) -> Person:
    person = await house.ada()
    await house.enrol_totp(person)
    return person


async def _bot(house: House) -> Person:
    return await house.ada(kind="bot")


async def _with_mailed_codes(house: House) -> Person:
    person = await house.ada()
    await house.enrol_email(person)
    return person


@pytest.mark.parametrize("who", [_administrator, _with_factor, _with_mailed_codes, _bot])
async def test_some_accounts_are_never_linked_by_an_address(house: House, peer: OidcPeer, who: Any) -> None:
    ada = await who(house)
    for number in range(2):
        with pytest.raises(refusals.LinkRequired):
            await arrive(house, peer.mint(sub="107", jti=str(number), **OWN))
    assert await links(house, ada) == []
    assert [account for _, _, account in await house.sessions()] == []


@pytest.mark.parametrize("status", ["suspended", "deactivated", "invited"])
async def test_nobody_is_linked_who_may_not_come_in(house: House, peer: OidcPeer, status: Any) -> None:
    ada = await house.ada()
    await house.core.life.set_status(ada.account, status)
    with pytest.raises(refusals.NotActive):
        await arrive(house, peer.mint(**OWN))
    assert await links(house, ada) == []


async def test_whoever_is_linked_is_judged_like_anybody(house: House, peer: OidcPeer) -> None:
    person = (await signed_in(house, peer.mint(**OWN))).person
    await house.core.life.set_status(person.account, "suspended")
    with pytest.raises(refusals.NotActive):
        await arrive(house, peer.mint(jti="2"))
    await house.core.life.set_status(person.account, "active")
    await house.enrol_totp(person)
    assert isinstance((await arrive(house, peer.mint(jti="3"))).outcome, Pending)
    for door in ("rocketchat", "pocketm8"):
        with pytest.raises(refusals.NotAdmitted):
            await arrive(house, peer.mint(jti=f"4-{door}"), door=door)
    assert await house.sessions() == []


async def test_a_new_account_belongs_where_the_door_puts_it(house: House, peer: OidcPeer) -> None:
    chat = (
        await signed_in(house, peer.mint(sub="c1", email="c1@example.com", email_verified=True), door="rocketchat")
    ).person
    assert (chat.account.default_organization, chat.account.rank) == (True, 0)
    own = (await signed_in(house, peer.mint(sub="c2", email="c2@example.com", email_verified=True))).person
    assert (own.account.default_organization, own.account.rank, own.account.business) == (False, 255, True)
    private = (await signed_in(house, peer.mint(sub="c3", email="c3@gmail.com", email_verified=True))).person
    assert private.account.business is False
    assert private.account.organization != own.account.organization
    assert {"rocketchat", "probe", "pocketm8"} <= set(private.aliases)
    assert private.has_password is False


async def test_names_that_are_taken_and_names_that_are_none(house: House, peer: OidcPeer) -> None:
    await house.add(email="x@example.org", username="ada")
    first = (await signed_in(house, peer.mint(**OWN))).person
    assert first.username.startswith("ada-")
    odd = (
        await signed_in(
            house, peer.mint(sub="2", name="\u202e\n" + "x" * 300, given_name="a\x07b", picture="javascript:x")
        )
    ).person
    assert odd.account.first_name == ""
    assert len(odd.name) <= 255
    nobody = (await signed_in(house, peer.mint(sub="3"))).person
    assert nobody.username.startswith("account-")
    assert nobody.email is None


@pytest.mark.parametrize(("first", "registration", "made"), [
    ("create", "disabled", True), ("create", "public", True), ("refuse", "public", False),
    ("refuse", "disabled", False),
])  # fmt: skip
async def test_who_may_come_for_the_first_time(
    tmp_path: Path, peer: OidcPeer, first: str, registration: str, made: bool
) -> None:
    given = peer.settings(first_sign_in=first)
    async with open_house(tmp_path, accounts__registration=registration, **given) as house:
        at_this_moment(house)
        await house.ada(email="bob@example.com", username="bob")
        if made:
            await signed_in(house, peer.mint(**OWN))
        else:
            with pytest.raises(refusals.NotLinked):
                await arrive(house, peer.mint(**OWN))
        assert (await house.db.scan(_ACCOUNTS))[0][0] == (3 if made else 2)
        linked = await signed_in(house, peer.mint(sub="b", email="bob@example.com", email_verified=True))
        assert linked.person.username == "bob", "whoever has an account is let in all the same"


@pytest.mark.parametrize(("sign_up", "registration", "door", "made"), [
    ("public", "disabled", "flashback", True), ("private", "disabled", "flashback", True),
    ("secret", "public", "flashback", False), ("disabled", "public", "flashback", False),
    ("disabled", "public", "rocketchat", True), ("public", "disabled", "rocketchat", False),
])  # fmt: skip
async def test_by_default_newcomers_come_as_others_register(
    tmp_path: Path, peer: OidcPeer, sign_up: str, registration: str, door: str, made: bool
) -> None:
    given = peer.settings(first_sign_in="policy")
    policy = {"accounts__sign_up": sign_up, "accounts__registration": registration}
    policy["accounts__registration_secret"] = "a secret to register with"
    async with open_house(tmp_path, **given, **policy) as house:
        at_this_moment(house)
        if made:
            await signed_in(house, peer.mint(**OWN), door=door)
        else:
            with pytest.raises(refusals.NotLinked):
                await arrive(house, peer.mint(**OWN), door=door)


async def test_where_newcomers_are_approved_they_wait(tmp_path: Path, peer: OidcPeer) -> None:
    async with open_house(tmp_path, accounts__approval=True, **peer.settings()) as house:
        at_this_moment(house)
        with pytest.raises(refusals.NotActive):
            await arrive(house, peer.mint(**OWN))
        ada = await house.core.accounts.named(EMAIL)
        await house.core.life.set_status(ada, "active")
        assert (await signed_in(house, peer.mint(jti="2"))).person.account.id == ada.id


async def test_trying_a_token_leaves_everything_as_it_was(house: House, peer: OidcPeer) -> None:
    token, door = Secret(peer.mint(**OWN)), house.core.doors["probe"]
    for _ in range(2):
        whose = await house.core.upstream.try_token(door, "google", token, client(), address=EMAIL)
        assert whose.email == EMAIL
    with pytest.raises(refusals.ProviderRefused):
        await house.core.upstream.try_token(door, "google", token, client(), address="bob@example.com")
    assert (await house.db.scan(_ACCOUNTS), await house.db.scan(_SPENT)) == ([(1,)], [(0,)])
    await signed_in(house, token.reveal())


# ---------------------------------------------------------------- taking accounts over


async def test_a_token_is_good_once(house: House, peer: OidcPeer) -> None:
    token = peer.mint(**OWN)
    await signed_in(house, token)
    for door in ("flashback", "probe"):
        with pytest.raises(refusals.ProviderRefused):
            await arrive(house, token, door=door)
    with pytest.raises(refusals.ProviderRefused):
        await arrive(house, token, name="other")
    assert len(await house.sessions()) >= 1


async def test_a_token_twice_at_once(house: House, peer: OidcPeer) -> None:
    await signed_in(house, peer.mint(**OWN))
    before = len(await house.sessions())
    token = peer.mint(jti="race")
    results = await asyncio.gather(*(arrive(house, token) for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(each, Arrival) for each in results) == 1
    assert sum(isinstance(each, refusals.ProviderRefused) for each in results) == 7
    assert len(await house.sessions()) == before + 1


async def test_somebody_new_twice_at_once_is_one_account(house: House, peer: OidcPeer) -> None:
    tokens = [peer.mint(sub="new", jti=str(n), **OWN) for n in range(4)]
    results = await asyncio.gather(*(arrive(house, token) for token in tokens), return_exceptions=True)
    found = {each.outcome.person.account.id for each in results if isinstance(each, Arrival)}
    assert len(found) == 1, results
    assert (await house.db.scan(_ACCOUNTS))[0][0] == 2


async def test_a_token_too_old_by_our_clock(house: House, peer: OidcPeer) -> None:
    token = peer.mint(**OWN)
    house.clock.move(601)
    with pytest.raises(refusals.ProviderRefused):
        await arrive(house, token)
    assert ("provider_refused", '{"provider":"google","reason":"expired"}') in await house.db.scan(_EVENTS)


async def test_an_address_in_the_request_only_narrows(house: House, peer: OidcPeer) -> None:
    """Threat 14: `email` in body or cookie picks no account."""
    ada = await house.ada()
    bob = await house.add(email="bob@example.com", username="bob")
    with pytest.raises(refusals.ProviderRefused):
        await arrive(house, peer.mint(sub="mallory"), address=EMAIL)
    with pytest.raises(refusals.ProviderRefused):
        await arrive(house, peer.mint(sub="b", email="bob@example.com", email_verified=True), address=EMAIL)
    assert (await links(house, ada), await links(house, bob)) == ([], [])
    found = await signed_in(house, peer.mint(**OWN), address=" ADA@Example.com ")
    assert found.person.account.id == ada.account.id
    with pytest.raises(refusals.ProviderRefused):
        await arrive(house, peer.mint(jti="2"), address="bob@example.com")
    assert (await signed_in(house, peer.mint(jti="3"), address=EMAIL)).person.account.id == ada.account.id


async def test_a_provider_that_names_addresses_at_will(house: House, peer: OidcPeer) -> None:
    """Threat 13: a tenant of one's own says "I am ada@". The other name of the provider here is one not trusted."""
    ada = await house.ada()
    mallory = (await signed_in(house, peer.mint(sub="mallory", **OWN), name="other")).person
    assert mallory.account.id != ada.account.id
    assert mallory.emails == ()
    assert await links(house, ada) == []


async def test_an_address_given_to_somebody_else_at_the_provider(house: House, peer: OidcPeer) -> None:
    """Who left is succeeded by somebody of the same address, another subject: the account is not the successor's."""
    ada = (await signed_in(house, peer.mint(sub="left", **OWN))).person
    with pytest.raises(refusals.LinkRequired):
        await arrive(house, peer.mint(sub="came", **OWN))
    assert await links(house, ada) == [("google", "left")]


async def test_registering_somebodys_address_and_waiting(house: House, peer: OidcPeer) -> None:
    """Threat 12: the registrant of a claimed address has nothing of the account that its owner gets by the provider."""
    squatter = await holder(house, "claimed", username="squatter")
    held = await house.post("/user/login", json={"email": EMAIL, "password": PASSWORD})
    ada = (await signed_in(house, peer.mint(**OWN))).person
    assert ada.account.id != squatter.account.id
    assert ada.email == EMAIL
    await house.get("/user/profile", headers={"Authorization": f"Bearer {held.json()['accessToken']}"})
    answer = await house.post("/user/login", json={"email": EMAIL, "password": PASSWORD})
    assert answer.status_code == 401, "the address opens the squatter's account no more"
    after = await house.core.accounts.person(await house.core.accounts.by_id(squatter.account.id))
    assert after.emails == ()


async def test_a_directorys_people_come_by_the_directory(house: House, peer: OidcPeer) -> None:
    """Whoever has left the directory must not come back another way."""
    ada = await house.ada()
    by = await caller(house, ada)
    await house.core.upstream.link(by, "google", Secret(peer.mint()), client())
    bob = await house.add(email="bob@example.com", username="bob")
    for number, person in enumerate((ada, bob)):
        await house.db.transaction(partial(_belongs, person, f"id-{number}"))
    for token in (peer.mint(jti="2"), peer.mint(sub="b", email="bob@example.com", email_verified=True)):
        with pytest.raises((refusals.LinkRequired, refusals.NotOffered)):
            await arrive(house, token)
    assert await links(house, bob) == []


async def _belongs(person: Person, id: str, tx: Tx) -> None:
    await accounts.insert_alias(tx, person.account.id, "directory", id)


async def test_who_claims_an_address_loses_what_was_linked_when_its_owner_proves_it(
    house: House, peer: OidcPeer
) -> None:
    """Threat 12: somebody of a provider that is not trusted claims Ada's address; then she proves it by mail."""
    squatter = (await signed_in(house, peer.mint(sub="squatter"), name="other")).person
    await house.core.addresses.change_email(squatter.account, EMAIL)
    person = await house.core.accounts.person(await house.core.accounts.by_id(squatter.account.id))
    ticket = await house.ticket("verify", person)
    await house.core.recovery.use("verify", ticket, client("203.0.113.9"))
    assert await links(house, squatter) == []
    assert (
        await signed_in(house, peer.mint(sub="squatter", jti="2"), name="other")
    ).person.account.id != squatter.account.id


async def test_an_address_that_is_about_to_be_replaced_links_nothing(house: House, peer: OidcPeer) -> None:
    ada = await house.ada()
    await house.core.addresses.change_email(ada.account, "new@example.com", state="verified")
    with pytest.raises(refusals.LinkRequired):
        await arrive(house, peer.mint(**OWN))
    assert await links(house, ada) == []


async def test_a_flow_belongs_to_the_browser_that_began_it(house: House, peer: OidcPeer) -> None:
    """A code or state of somebody else's browser signs nobody in: login CSRF."""
    upstream, door = house.core.upstream, house.core.doors["flashback"]
    mine, others = await upstream.begin("google", REDIRECT), await upstream.begin("google", REDIRECT)
    grant = peer.sign_in("ada", page=mine.page)
    code = Secret(grant.code)
    for ticket, state in ((others.ticket, grant.state), (mine.ticket, "x"), ("x", grant.state), ("", ""),
                          (mine.ticket[:-2] + "AA", grant.state), (mine.ticket, "\ud800")):  # fmt: skip
        with pytest.raises(refusals.ProviderRefused):
            await upstream.finish(door, ticket, state, code, client())
    arrival = await upstream.finish(door, mine.ticket, grant.state, code, client())
    assert arrival.outcome.person.email == EMAIL
    with pytest.raises(refusals.ProviderRefused):
        await upstream.finish(door, mine.ticket, grant.state, code, client())
    late = await upstream.begin("google", REDIRECT)
    grant = peer.sign_in("ada", page=late.page)
    house.clock.move(601)
    with pytest.raises(refusals.ProviderRefused):
        await upstream.finish(door, late.ticket, grant.state, Secret(grant.code), client())
    with pytest.raises(refusals.ProviderRefused):
        await upstream.begin("google", "https://evil.example.com/")


async def test_failures_count_against_the_network(opened: Open, peer: OidcPeer) -> None:
    async with opened(limits__network_5_minutes=3) as house:
        asked = peer.counted().get("/tokeninfo", 0)
        for _ in range(3):
            with pytest.raises(refusals.ProviderRefused):
                await arrive(house, "nobody's")
        for token in ("nobody's", peer.mint(**OWN)):
            with pytest.raises(refusals.NetworkBlocked):
                await arrive(house, token)
        assert peer.counted()["/tokeninfo"] == asked + 3, "the provider is not asked by whoever is blocked"


# ---------------------------------------------------------------- the whole call sent again


async def test_where_the_whole_call_is_sent_again_the_code_is_what_counts_once(house: House, peer: OidcPeer) -> None:
    person = (await signed_in(house, peer.mint(**OWN), door="probe")).person
    totp = await house.enrol_totp(person)
    token = peer.mint(jti="2")
    assert isinstance((await arrive(house, token, door="probe")).outcome, Pending)
    with pytest.raises(refusals.WrongCode):
        await arrive(house, token, door="probe", code=totp.wrong())
    code = totp.code()
    assert isinstance((await arrive(house, token, door="probe", code=code)).outcome, SignedIn)
    with pytest.raises(refusals.WrongCode):
        await arrive(house, token, door="probe", code=code)
    assert len(await house.sessions()) >= 1


# ---------------------------------------------------------------- by the owner


async def caller(house: House, person: Person) -> Caller:
    flat = {"email": person.email, "password": PASSWORD}
    body = (await house.post("/user/login", json=flat, headers={"User-Agent": client().user_agent})).json()
    return await house.core.sessions.authenticate(house.core.doors["flashback"], body["accessToken"])


async def test_an_owner_links_and_unlinks(house: House, peer: OidcPeer) -> None:
    ada = await _with_password(house)
    by = await caller(house, ada)
    await house.core.upstream.link(by, "google", Secret(peer.mint(sub="a")), client())
    assert await links(house, ada) == [("google", "a")]
    assert [letter.values["provider"] for letter in await house.letters("provider_linked")] == ["google"]
    assert (await signed_in(house, peer.mint(sub="a", jti="2"))).person.account.id == ada.account.id
    for sub in ("a", "b"):
        with pytest.raises(refusals.AlreadyEnrolled):
            await house.core.upstream.link(by, "google", Secret(peer.mint(sub=sub, jti=f"3{sub}")), client())
    await house.core.upstream.unlink(by, "google", client())
    assert await links(house, ada) == []
    assert len(await house.letters("provider_unlinked")) == 1
    with pytest.raises(refusals.NotEnrolled):
        await house.core.upstream.unlink(by, "google", client())
    assert (await signed_in(house, peer.mint(sub="a", jti="4"))).person.account.id != ada.account.id


async def _with_password(house: House) -> Person:
    return await house.ada()


async def test_linking_wants_a_fresh_proof(house: House, peer: OidcPeer) -> None:
    """Threat 11: a stolen session links nothing."""
    ada = await house.ada()
    by = await caller(house, ada)
    house.clock.move(11 * 60)
    fresh = OidcPeer.mint
    token = fresh(peer, sub="thief", iat=house.clock.now() // 1000, exp=house.clock.now() // 1000 + 60)
    with pytest.raises(refusals.FreshProofRequired):
        await house.core.upstream.link(by, "google", Secret(token), client())
    with pytest.raises(refusals.FreshProofRequired):
        await house.core.upstream.unlink(by, "google", client())
    assert await links(house, ada) == []


async def test_nothing_is_linked_where_an_address_is_only_claimed(house: House, peer: OidcPeer) -> None:
    squatter = await holder(house, "claimed")
    with pytest.raises(refusals.VerificationRequired):
        await house.core.upstream.link(await caller(house, squatter), "google", Secret(peer.mint()), client())


async def test_a_subject_opens_one_account(house: House, peer: OidcPeer) -> None:
    await signed_in(house, peer.mint(sub="a"))
    ada = await house.ada()
    with pytest.raises(refusals.AlreadyEnrolled):
        await house.core.upstream.link(
            await caller(house, ada), "google", Secret(peer.mint(sub="a", jti="2")), client()
        )


async def test_the_last_way_in_stays(house: House, peer: OidcPeer) -> None:
    outcome = await signed_in(house, peer.mint(sub="a"))
    by = await house.core.sessions.authenticate(house.core.doors["flashback"], outcome.token)
    with pytest.raises(refusals.NotAllowed):
        await house.core.upstream.unlink(by, "google", client())
    assert await links(house, outcome.person) == [("google", "a")]


async def test_an_operator_unlinks(house: House, peer: OidcPeer) -> None:
    person = (await signed_in(house, peer.mint(**OWN))).person
    await house.core.upstream.unlink_for(person.account, "google")
    assert await links(house, person) == []
    with pytest.raises(refusals.NotEnrolled):
        await house.core.upstream.unlink_for(person.account, "google")


async def test_what_is_kept_goes_with_the_account_and_in_time(house: House, peer: OidcPeer) -> None:
    person = (await signed_in(house, peer.mint(**OWN))).person
    held = await house.core.accounts.export(person.account) if hasattr(house.core.accounts, "export") else None
    assert held is None or held["providers"][0]["subject"] == "ada"
    assert (await house.db.scan(_SPENT))[0][0] == 1
    house.clock.move(2 * 86_400)
    await house.core.sweep()
    assert (await house.db.scan(_SPENT))[0][0] == 0

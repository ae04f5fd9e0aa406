"""Refresh chains over the real store: every promise of decision 19, through Core (threats 22 to 24)."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dragoman.core import base64url, refusals
from dragoman.core.doors import DAY, HOUR
from dragoman.dialects.flashback import DOOR
from dragoman.model import Client, Id, Password, Session, SignedIn, Typed
from kit.house import House

EMAIL, PASSWORD = "ada@example.com", "correct horse battery"
HOME = Client("192.0.2.1", "192.0.2.1/32", "browser")
ELSEWHERE = Client("198.51.100.9", "198.51.100.9/32", "browser")
OTHER_PROGRAM = Client("192.0.2.1", "192.0.2.1/32", "curl")
GRACE = 30
MINUTES_20 = 20 * 60


async def sign_in(house: House) -> SignedIn:
    outcome = await house.core.signin.with_password(DOOR, Typed("email", EMAIL), Password.from_plain(PASSWORD), HOME)
    assert isinstance(outcome, SignedIn)
    return outcome


async def refresh(house: House, token: str | None, client: Client = HOME) -> SignedIn:
    assert token is not None
    return await house.core.sessions.refresh(DOOR, token, client)


async def use(house: House, token: str) -> Session:
    """Make an authenticated call and wait until what it proves is written down."""
    caller = await house.core.sessions.authenticate(DOOR, token)
    await house.core.stop()
    return caller.session


async def is_live(house: House, id: Id) -> bool:
    owner = await house.core.accounts.named(EMAIL)
    return id in {session.id for session in await house.core.sessions.list_own(owner.id)}


async def stolen(house: House) -> list[str]:
    """Return the reasons of the thefts on the audit trail."""
    return [event.detail["reason"] for event in await house.core.newest_events(200) if event.kind == "chain_stolen"]


@pytest.fixture
async def ada(house: House) -> House:
    await house.add(email=EMAIL, password=PASSWORD, username="ada")
    return house


# ---------------------------------------------------------------- the usual day


async def test_each_refresh_gives_another_token_of_the_same_session(ada: House) -> None:
    first = await sign_in(ada)
    seen, token = {first.refresh_token}, first.refresh_token
    for _ in range(5):
        ada.clock.move(MINUTES_20)
        outcome = await refresh(ada, token)
        assert outcome.session.id == first.session.id
        assert (await use(ada, outcome.token)).id == first.session.id
        token = outcome.refresh_token
        seen.add(token)
    assert len(seen) == 6


async def test_nothing_of_a_refresh_token_is_stored(ada: House) -> None:
    first = await sign_in(ada)
    second = await refresh(ada, first.refresh_token)
    files = ada.settings.database.parent.iterdir()
    kept = b"".join(file.read_bytes() for file in files)
    for token in (first.refresh_token, second.refresh_token):
        assert token is not None
        mac = base64url.decode(token)
        assert mac is not None
        assert token.encode() not in kept
        assert mac[24:] not in kept


# ---------------------------------------------------------------- honest trouble


async def test_eight_at_once_get_the_same_child(ada: House) -> None:
    first = await sign_in(ada)
    answers = await asyncio.gather(*(refresh(ada, first.refresh_token) for _ in range(8)))
    assert len({answer.refresh_token for answer in answers}) == 1
    assert {answer.session.generation for answer in answers} == {1}
    for answer in answers:
        await use(ada, answer.token)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=st.lists(st.sets(st.integers(0, 7)), min_size=1, max_size=12), wait=st.sampled_from([1, 29, 1200]))
async def test_eight_tabs_that_lose_answers_stay_signed_in(house: House, rounds: list[set[int]], wait: int) -> None:
    """The tabs share the token they keep; in each round those of the set hear no answer, perhaps all of them."""
    await add_once(house)
    kept = (await sign_in(house)).refresh_token
    for lost in rounds:
        house.clock.move(wait)
        answers = await asyncio.gather(*(refresh(house, kept) for _ in range(8)))
        heard = [answer for number, answer in enumerate(answers) if number not in lost]
        if heard:
            kept = heard[0].refresh_token
            await use(house, heard[0].token)
    house.clock.move(wait)
    await refresh(house, kept)


async def test_a_client_that_loses_every_fifth_answer_is_never_signed_out(ada: House) -> None:
    kept = (await sign_in(ada)).refresh_token
    for number in range(60):
        ada.clock.move(MINUTES_20)
        answer = await refresh(ada, kept)
        if number % 5 == 4:
            ada.clock.move(2)
            assert (await refresh(ada, kept)).refresh_token == answer.refresh_token
        kept = answer.refresh_token
        await use(ada, answer.token)


@pytest.mark.parametrize("seconds", [GRACE + 1, HOUR, 20 * DAY])
async def test_the_parent_is_good_while_nothing_of_its_child_was_seen(ada: House, seconds: int) -> None:
    first = await sign_in(ada)
    lost = await refresh(ada, first.refresh_token)
    ada.clock.move(seconds)
    again = await refresh(ada, first.refresh_token)
    assert again.refresh_token == lost.refresh_token
    await use(ada, again.token)


async def test_the_parent_is_good_for_half_a_minute_after_its_child_was_used(ada: House) -> None:
    first = await sign_in(ada)
    second = await refresh(ada, first.refresh_token)
    await use(ada, second.token)
    ada.clock.move(GRACE)
    assert (await refresh(ada, first.refresh_token)).refresh_token == second.refresh_token
    assert await is_live(ada, first.session.id)


# ---------------------------------------------------------------- theft


async def test_a_late_parent_ends_the_session_once_the_access_token_of_its_child_was_used(ada: House) -> None:
    first = await sign_in(ada)
    second = await refresh(ada, first.refresh_token)
    await use(ada, second.token)
    ada.clock.move(GRACE + 1)
    with pytest.raises(refusals.ChainStolen):
        await refresh(ada, first.refresh_token)
    await assert_ended(ada, second)
    assert await stolen(ada) == ["confirmed"]


async def test_a_grandparent_ends_the_session_at_once(ada: House) -> None:
    first = await sign_in(ada)
    second = await refresh(ada, first.refresh_token)
    third = await refresh(ada, second.refresh_token)
    with pytest.raises(refusals.ChainStolen):
        await refresh(ada, first.refresh_token)
    await assert_ended(ada, third)
    assert await stolen(ada) == ["spent"]


async def test_leapfrog_the_thief_goes_on_and_the_owner_finds_out(ada: House) -> None:
    first = await sign_in(ada)
    taken = await refresh(ada, first.refresh_token, ELSEWHERE)
    ahead = await refresh(ada, taken.refresh_token, ELSEWHERE)
    with pytest.raises(refusals.ChainStolen):
        await refresh(ada, first.refresh_token)
    await assert_ended(ada, ahead)


async def test_leapfrog_within_one_generation_ends_when_either_falls_behind(ada: House) -> None:
    """Owner and thief hold the same child; whoever refreshes last with it is a generation behind."""
    first = await sign_in(ada)
    mine = await refresh(ada, first.refresh_token)
    theirs = await refresh(ada, first.refresh_token, ELSEWHERE)
    assert mine.refresh_token == theirs.refresh_token
    ada.clock.move(HOUR)
    further = await refresh(ada, theirs.refresh_token, ELSEWHERE)
    await use(ada, further.token)
    ada.clock.move(HOUR)
    with pytest.raises(refusals.ChainStolen):
        await refresh(ada, mine.refresh_token)
    await assert_ended(ada, further)


@pytest.mark.parametrize("order", ["owner first", "thief first"])
@pytest.mark.parametrize("thief", [ELSEWHERE, OTHER_PROGRAM], ids=["other network", "other program"])
@pytest.mark.parametrize("behind", [5, 20, 29, HOUR])
async def test_a_thief_in_step_is_found_within_eight_generations(
    ada: House, order: Literal["owner first", "thief first"], thief: Client, behind: int
) -> None:
    """The thief copied one token and refreshes whenever the owner does, `behind` seconds earlier or later."""
    first = await sign_in(ada)
    leader, follower = (HOME, thief) if order == "owner first" else (thief, HOME)
    ahead = after = first.refresh_token
    for _ in range(8):
        ada.clock.move(2 * HOUR)
        try:
            led = await refresh(ada, ahead, leader)
            await use(ada, led.token)
            ada.clock.move(behind)
            followed = await refresh(ada, after, follower)
            await use(ada, followed.token)
        except refusals.ChainStolen:
            break
        ahead, after = led.refresh_token, followed.refresh_token
    else:
        pytest.fail("nobody noticed the thief in eight generations")
    assert not await is_live(ada, first.session.id)
    assert len(await stolen(ada)) == 1


async def test_the_end_of_a_stolen_chain_is_on_the_trail_with_where_it_came_from(ada: House) -> None:
    first = await sign_in(ada)
    second = await refresh(ada, first.refresh_token)
    await refresh(ada, second.refresh_token)
    with pytest.raises(refusals.ChainStolen):
        await refresh(ada, first.refresh_token, ELSEWHERE)
    with pytest.raises(refusals.BadRefreshToken):
        await refresh(ada, first.refresh_token, ELSEWHERE)
    events = [event for event in await ada.core.newest_events(200) if event.kind == "chain_stolen"]
    assert [(event.session, event.address) for event in events] == [(first.session.id, ELSEWHERE.address)]


# ---------------------------------------------------------------- forgery


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 55), flip=st.integers(1, 255))
async def test_a_token_changed_anywhere_is_refused_and_ends_nothing(house: House, place: int, flip: int) -> None:
    token = await kept_token(house)
    raw = bytearray(base64url.decode(token) or b"")
    raw[place] ^= flip
    with pytest.raises(refusals.BadRefreshToken) as refused:
        await refresh(house, base64url.encode(bytes(raw)), ELSEWHERE)
    assert type(refused.value) is refusals.BadRefreshToken
    assert await is_live(house, (base64url.decode(token) or b"")[:16])
    assert await stolen(house) == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.one_of(st.text(max_size=100), st.text("AZaz09-_=", min_size=70, max_size=80), st.just("A" * 75)))
async def test_any_text_is_refused(house: House, text: str) -> None:
    await add_once(house)
    with pytest.raises(refusals.BadRefreshToken):
        await refresh(house, text)
    assert not await house.core.sessions.sign_out_chain(DOOR, text, HOME)


async def test_an_older_generation_with_a_forged_mac_ends_nothing(ada: House) -> None:
    """Session ids and generations are no secret: whoever invents a token must not be able to sign somebody out."""
    first = await sign_in(ada)
    token = first.refresh_token
    for _ in range(3):
        token = (await refresh(ada, token)).refresh_token
    head = first.session.id + (0).to_bytes(4, "big") + (base64url.decode(token or "") or b"")[20:24]
    with pytest.raises(refusals.BadRefreshToken) as refused:
        await refresh(ada, base64url.encode(head + bytes(32)))
    assert type(refused.value) is refusals.BadRefreshToken
    assert not await ada.core.sessions.sign_out_chain(DOOR, base64url.encode(head + bytes(32)), HOME)
    assert (await refresh(ada, token)).session.id == first.session.id


async def test_a_token_of_one_session_is_nothing_to_another(ada: House) -> None:
    one, two = await sign_in(ada), await sign_in(ada)
    raw = base64url.decode(one.refresh_token or "") or b""
    with pytest.raises(refusals.BadRefreshToken):
        await refresh(ada, base64url.encode(two.session.id + raw[16:]))
    assert await is_live(ada, one.session.id)
    assert await is_live(ada, two.session.id)


async def test_an_access_token_does_not_refresh(ada: House) -> None:
    first = await sign_in(ada)
    with pytest.raises(refusals.BadRefreshToken):
        await refresh(ada, first.token)
    assert await is_live(ada, first.session.id)


# ---------------------------------------------------------------- keys


async def test_a_retry_across_a_rotation_of_keys_gets_the_same_child(ada: House) -> None:
    first = await sign_in(ada)
    lost = await refresh(ada, first.refresh_token)
    await ada.core.keystore.rotate()
    again = await refresh(ada, first.refresh_token)
    assert again.refresh_token == lost.refresh_token
    fresh = await refresh(ada, lost.refresh_token)
    assert key_of(fresh) > key_of(lost)
    assert (await use(ada, fresh.token)).id == first.session.id


async def test_access_tokens_made_before_a_rotation_of_keys_still_work(ada: House) -> None:
    first = await sign_in(ada)
    await ada.core.keystore.rotate()
    assert (await use(ada, first.token)).id == first.session.id
    assert (await refresh(ada, first.refresh_token)).session.id == first.session.id


# ---------------------------------------------------------------- the end


async def test_ending_the_session_refuses_the_next_refresh(ada: House) -> None:
    first = await sign_in(ada)
    assert await ada.core.sessions.end_by_operator(first.session.id)
    await assert_ended(ada, first)


@pytest.mark.parametrize("ending", ["password", "status", "sign out", "chain", "everything"])
async def test_whatever_ends_a_session_ends_its_chain(ada: House, ending: str) -> None:
    first = await sign_in(ada)
    caller = await ada.core.sessions.authenticate(DOOR, first.token)
    second = await refresh(ada, first.refresh_token)
    if ending == "password":
        await ada.core.accounts.set_password(caller.account, Password.from_plain("another horse battery"))
    elif ending == "status":
        await ada.core.life.set_status(caller.account, "suspended")
    elif ending == "sign out":
        await ada.core.sessions.sign_out(caller, HOME)
    elif ending == "chain":
        assert await ada.core.sessions.sign_out_chain(DOOR, first.refresh_token or "", HOME)
    else:
        await ada.core.sessions.end_everything(caller.account, "test")
    with pytest.raises(refusals.NotSignedIn):
        await ada.core.sessions.authenticate(DOOR, second.token)
    with pytest.raises(refusals.NotActive if ending == "status" else refusals.BadRefreshToken):
        await refresh(ada, second.refresh_token)


async def test_a_chain_dies_when_it_lies_idle(ada: House) -> None:
    first = await sign_in(ada)
    ada.clock.move(30 * DAY - 1)
    second = await refresh(ada, first.refresh_token)
    ada.clock.move(30 * DAY)
    with pytest.raises(refusals.RefreshTokenExpired):
        await refresh(ada, second.refresh_token)


async def test_a_chain_dies_at_its_absolute_end_however_busy(ada: House) -> None:
    token = (await sign_in(ada)).refresh_token
    for _ in range(4):
        ada.clock.move(20 * DAY)
        token = (await refresh(ada, token)).refresh_token
    ada.clock.move(10 * DAY - 60)
    last = await refresh(ada, token)
    assert last.token_ends_at is not None
    assert last.token_ends_at <= ada.clock.now() + 60_000
    ada.clock.move(60)
    with pytest.raises(refusals.RefreshTokenExpired):
        await refresh(ada, last.refresh_token)
    with pytest.raises(refusals.NotSignedIn):
        await ada.core.sessions.authenticate(DOOR, last.token)


# ---------------------------------------------------------------- against a second telling of the rules

Step = tuple[Literal["refresh", "use", "forge"], int, bool, int]


class Rules:
    """Decision 19 in the fewest words, to hold the store against."""

    def __init__(self) -> None:
        self.now = self.made_at = self.generation = self.seen = self.odd = 0
        self.by = HOME
        self.over = False

    def refresh(self, generation: int, client: Client) -> int | None:
        """Return the generation handed out, or None for a refusal."""
        if self.over:
            return None
        if generation == self.generation:
            self.seen, self.generation = max(self.seen, generation), generation + 1
            self.odd, self.made_at, self.by = self.odd * 2 % 256, self.now, client
            return self.generation
        late = self.now - self.made_at > GRACE
        spent = generation < self.generation - 1 or (late and self.seen == self.generation)
        odd = self.odd | (late or client != self.by)
        self.over = spent or bin(odd).count("1") >= 6
        if self.over:
            return None
        self.odd = odd
        return self.generation

    def use(self, generation: int) -> bool:
        if not self.over:
            self.seen = max(self.seen, generation)
        return not self.over


steps = st.lists(
    st.tuples(
        st.sampled_from(["refresh", "refresh", "refresh", "use", "forge"]),
        st.sampled_from([0, 0, 0, 1, 1, 2]),
        st.booleans(),
        st.sampled_from([0, 1, 5, 29, 30, 31, 600]),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
async def test_any_course_of_refreshes_ends_as_the_rules_say(house: House, steps: list[Step]) -> None:
    """Each step: what is done, how many generations back its token is, from elsewhere or not, seconds waited."""
    await add_once(house)
    first = await sign_in(house)
    rules, held = Rules(), [first]
    for act, back, elsewhere, wait in steps:
        house.clock.move(wait)
        rules.now += wait
        generation = max(0, len(held) - 1 - back)
        client = ELSEWHERE if elsewhere else HOME
        if act == "refresh":
            token = held[generation].refresh_token
            expected = rules.refresh(generation, client)
            if expected is None:
                with pytest.raises(refusals.BadRefreshToken):
                    await refresh(house, token, client)
                continue
            got = await refresh(house, token, client)
            assert got.session.generation == expected
            if expected == len(held):
                held.append(got)
            assert got.refresh_token == held[expected].refresh_token
        elif act == "use":
            if rules.use(generation):
                await use(house, held[generation].token)
            else:
                with pytest.raises(refusals.NotSignedIn):
                    await use(house, held[generation].token)
        else:
            raw = base64url.decode(held[generation].refresh_token or "") or b""
            with pytest.raises(refusals.BadRefreshToken):
                await refresh(house, base64url.encode(raw[:-1] + bytes([raw[-1] ^ 1])), client)
    assert await is_live(house, first.session.id) is not rules.over


# ---------------------------------------------------------------- small things


async def add_once(house: House) -> None:
    """Add Ada unless an earlier example did: examples of one property share a house, each has its own session."""
    try:
        await house.core.accounts.named(EMAIL)
    except refusals.NotFound:
        await house.add(email=EMAIL, password=PASSWORD, username="ada")


async def kept_token(house: House) -> str:
    """Return the refresh token of a session that all examples of a property share."""
    await add_once(house)
    outcome = getattr(house, "_shared", None) or await sign_in(house)
    house._shared = outcome  # type: ignore[attr-defined]
    return str(outcome.refresh_token)


async def assert_ended(house: House, outcome: SignedIn) -> None:
    """Assert that neither token of an outcome does anything any more."""
    with pytest.raises(refusals.NotSignedIn):
        await house.core.sessions.authenticate(DOOR, outcome.token)
    with pytest.raises(refusals.BadRefreshToken):
        await refresh(house, outcome.refresh_token)
    assert not await is_live(house, outcome.session.id)


def key_of(outcome: SignedIn) -> int:
    return int.from_bytes((base64url.decode(outcome.refresh_token or "") or b"")[20:24], "big")

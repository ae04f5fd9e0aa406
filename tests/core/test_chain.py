from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core import base64url, chain
from dragoman.core.chain import ChainState, NoSuchGeneration, RefreshToken, Rotate, SameChild, Theft
from dragoman.core.keys import SigningKey

KEY = SigningKey(7, "refresh", "HMAC-SHA256", b"k" * 32, 0)
ids = st.binary(min_size=16, max_size=16)
numbers = st.integers(0, 2**32 - 1)


@given(st.binary(max_size=80))
def test_base64url_returns_what_it_was_given(value: bytes) -> None:
    assert base64url.decode(base64url.encode(value)) == value


@given(st.text(max_size=12))
def test_every_value_has_one_spelling(text: str) -> None:
    value = base64url.decode(text)
    assert value is None or base64url.encode(value) == text


@pytest.mark.parametrize("text", ["AA==", "AB", "A", "A A", "A+_-", "A/__", "é", "AAAA\n", "\ud800"])
def test_other_spellings_are_refused(text: str) -> None:
    assert base64url.decode(text) is None


@given(ids, numbers, ids, numbers)
def test_what_is_derived_is_parsed_and_holds(session: bytes, generation: int, seed: bytes, key_id: int) -> None:
    key = SigningKey(key_id, "refresh", "HMAC-SHA256", b"k" * 32, 0)
    text = chain.derive(key, session, generation, seed)
    assert len(text) == chain.LENGTH
    assert chain.derive(key, session, generation, seed) == text
    parsed = chain.parse(text)
    assert parsed is not None
    assert (parsed.session_id, parsed.generation, parsed.key_id) == (session, generation, key_id)
    assert chain.mac_holds(key, parsed, seed)


def test_the_token_is_what_decision_19_says() -> None:
    session, seed = b"S" * 16, b"s" * 16
    head = session + (3).to_bytes(4, "big") + (7).to_bytes(4, "big")
    mac = hmac.new(KEY.material, b"dragoman refresh token\x00" + head + seed, "sha256").digest()
    assert chain.derive(KEY, session, 3, seed) == base64url.encode(head + mac)


@given(st.data())
def test_a_token_with_any_bit_changed_does_not_hold(data: st.DataObject) -> None:
    raw = bytearray(base64url.decode(chain.derive(KEY, b"S" * 16, 3, b"s" * 16)) or b"")
    at = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[at // 8] ^= 1 << (at % 8)
    parsed = chain.parse(base64url.encode(bytes(raw)))
    assert parsed is not None
    assert not chain.mac_holds(KEY, parsed, b"s" * 16)


def test_another_seed_or_key_does_not_hold() -> None:
    parsed = chain.parse(chain.derive(KEY, b"S" * 16, 3, b"s" * 16))
    assert parsed is not None
    assert not chain.mac_holds(KEY, parsed, b"t" * 16)
    assert not chain.mac_holds(SigningKey(7, "refresh", "HMAC-SHA256", b"x" * 32, 0), parsed, b"s" * 16)
    assert not chain.mac_holds(SigningKey(8, "refresh", "HMAC-SHA256", b"k" * 32, 0), parsed, b"s" * 16)


@given(st.one_of(st.text(max_size=100), st.text("abcXYZ019-_=+/. ", min_size=70, max_size=80)))
def test_noise_is_parsed_to_nothing_or_to_what_it_spells(text: str) -> None:
    parsed = chain.parse(text)
    if parsed is not None:
        head = parsed.session_id + parsed.generation.to_bytes(4, "big") + parsed.key_id.to_bytes(4, "big")
        assert base64url.encode(head + parsed.mac) == text


def test_a_token_has_one_spelling() -> None:
    text = chain.derive(KEY, b"S" * 16, 3, b"s" * 16)
    for other in (text + "=", text + " ", " " + text, text[:-1], text + "A", text.replace(text[5], "+", 1), ""):
        assert chain.parse(other) is None
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twins = [text[:-1] + letter for letter in alphabet if chain.parse(text[:-1] + letter)]
    assert len(twins) == 16


# ---------------------------------------------------------------- the judgement

T0 = 1_000_000
HOME = ("192.0.2.1", "app/1")
AWAY = ("198.51.100.9", "curl")
STATE = ChainState(5, 4, T0, 0b0100, *HOME)


def judge(state: ChainState, presented: int, after: int, who: tuple[str, str] = HOME) -> chain.Judgement:
    return chain.judge(state, presented, T0 + after, *who)


@pytest.mark.parametrize("who", [HOME, AWAY])
def test_the_current_generation_rotates_for_whoever_holds_it(who: tuple[str, str]) -> None:
    assert judge(STATE, 5, 90_000, who) == Rotate(ChainState(6, 5, T0 + 90_000, 0b1000, *who))


def test_bits_older_than_eight_generations_are_forgotten() -> None:
    state = ChainState(5, 4, T0, 0b1000_0001, *HOME)
    found = judge(state, 5, 1)
    assert isinstance(found, Rotate)
    assert found.after.odd_bits == 0b0000_0010


@pytest.mark.parametrize(
    ("after", "confirmed", "who", "expected"),
    [
        (0, 4, HOME, SameChild(False, 0b100)),
        (30_000, 4, HOME, SameChild(False, 0b100)),
        (30_000, 5, HOME, SameChild(False, 0b100)),
        (-5_000, 5, HOME, SameChild(False, 0b100)),
        (30_001, 4, HOME, SameChild(True, 0b101)),
        (86_400_000, 4, HOME, SameChild(True, 0b101)),
        (5_000, 4, AWAY, SameChild(True, 0b101)),
        (5_000, 4, (HOME[0], AWAY[1]), SameChild(True, 0b101)),
        (5_000, 4, (AWAY[0], HOME[1]), SameChild(True, 0b101)),
        (5_000, 5, AWAY, SameChild(True, 0b101)),
        (30_001, 5, HOME, Theft("confirmed")),
        (30_001, 5, AWAY, Theft("confirmed")),
    ],
)
def test_the_parent(after: int, confirmed: int, who: tuple[str, str], expected: chain.Judgement) -> None:
    state = ChainState(5, confirmed, T0, 0b100, *HOME)
    assert judge(state, 4, after, who) == expected


def test_a_second_odd_retry_of_one_generation_leaves_no_second_bit() -> None:
    state = ChainState(5, 4, T0, 0b1, *HOME)
    assert judge(state, 4, 40_000, AWAY) == SameChild(False, 0b1)


def test_six_bits_end_the_chain_and_five_do_not() -> None:
    assert judge(ChainState(9, 8, T0, 0b1011_1000, *HOME), 8, 40_000) == SameChild(True, 0b1011_1001)
    assert judge(ChainState(9, 8, T0, 0b1111_1000, *HOME), 8, 40_000) == Theft("odd_retries")


@pytest.mark.parametrize("presented", [3, 2, 0])
@pytest.mark.parametrize("after", [0, 40_000])
def test_anything_older_than_the_parent_is_theft(presented: int, after: int) -> None:
    assert judge(STATE, presented, after) == Theft("spent")


@pytest.mark.parametrize("presented", [6, 7, 2**32 - 1])
def test_a_generation_to_come_ends_nothing(presented: int) -> None:
    assert judge(STATE, presented, 0) == NoSuchGeneration()


states = st.builds(
    ChainState,
    st.integers(0, 50),
    st.integers(0, 50),
    st.integers(0, 10**6),
    st.integers(0, 255),
    st.just(""),
    st.just(""),
)


@given(states, st.integers(0, 60), st.integers(0, 2 * 10**6), st.sampled_from(["", "192.0.2.1"]))
def test_every_judgement_is_one_of_the_four_and_rotates_once(
    state: ChainState, presented: int, now: int, network: str
) -> None:
    found = chain.judge(state, presented, now, network, "")
    assert isinstance(found, Rotate) is (presented == state.generation)
    assert isinstance(found, NoSuchGeneration) is (presented > state.generation)
    if isinstance(found, Rotate):
        assert found.after.generation == state.generation + 1
        assert 0 <= found.after.odd_bits <= 0xFE
        again = chain.judge(found.after, presented, now, network, "")
        assert not isinstance(again, (Rotate, NoSuchGeneration))
    if isinstance(found, SameChild):
        assert presented == state.generation - 1
        assert found.odd_bits.bit_count() < chain.MOST_ODD
        assert found.odd == (found.odd_bits != state.odd_bits)


def test_a_refresh_token_compares_by_its_parts() -> None:
    assert RefreshToken(b"a", 1, 2, b"m") == RefreshToken(b"a", 1, 2, b"m")

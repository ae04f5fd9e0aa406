from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.credentials import policy
from dragoman.core.refusals import WeakPassword
from dragoman.model import Password

GOOD = "violet kettle of the north"
NAMES = ("ada", "Ada", "Lovelace-Example", "ada.lovelace@example.com")


def reason(password: Password, names: tuple[str, ...] = ()) -> str | None:
    try:
        policy.check(password, names)
    except WeakPassword as weak:
        return weak.reason
    return None


def plain(text: str, names: tuple[str, ...] = ()) -> str | None:
    return reason(Password.from_plain(text), names)


def digest(text: str, names: tuple[str, ...] = ()) -> str | None:
    return reason(Password.from_digest(hashlib.sha256(text.encode()).hexdigest().upper()), names)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "too_short"),
        ("xk4!pqz", "too_short"),
        ("ééééééü", "too_short"),
        ("xk4!pqzr", None),
        ("ééüéaéâø", None),
        (" xk4pqz ", None),
        (GOOD, None),
        ("xy" * 128, None),
        ("xy" * 128 + "x", "too_long"),
        ("😀🎉" * 128, None),
    ],
)
def test_length_is_counted_in_code_points_and_nothing_is_trimmed(text: str, expected: str | None) -> None:
    assert plain(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "password",
        "Password",
        "PASSWORD",
        "passWORD",
        "Password1",
        "password123!",
        "P@ssw0rd",
        "p455w0rd",
        "12345678",
        "qwertyuiop",
        "1q2w3e4r5t",
        "iloveyou1",
        "Summer2026!",
        "!!password!!",
        "99dragoman99",
        "correct horse battery staple",
        "aaaaaaaaaaaa",
        "\x00" * 9,
        "😀" * 8,
    ],
)
def test_what_everybody_tries_first_is_refused(text: str) -> None:
    assert plain(text) == "common"


@pytest.mark.parametrize("text", ["", "123456", "qwerty", "password", "Password123", "12345678", "iloveyou!"])
def test_a_common_password_is_found_by_its_digest(text: str) -> None:
    assert digest(text) == "common"


def test_a_good_password_passes_as_a_digest() -> None:
    assert digest(GOOD) is None


@pytest.mark.parametrize(
    "text",
    [
        "lovelace1",
        "Lovelace2026",
        "LOVELACE!",
        "ada.lovelace",
        "ada.lovelace@example.com",
        "adalovelace",
        "L0v3l4c3123",
        "lovelace-example",
    ],
)
def test_the_accounts_own_names_are_refused_for_it_alone(text: str) -> None:
    assert plain(text, NAMES) == "common"
    assert plain(text) is None


@pytest.mark.parametrize("text", ["Lovelace2026", "lovelace", "ada.lovelace"])
def test_the_accounts_own_names_are_found_by_digest(text: str) -> None:
    assert digest(text, NAMES) == "common"
    assert digest(text) is None


def test_short_names_forbid_nothing_and_a_longer_password_may_hold_a_name() -> None:
    assert plain("ada1234x", NAMES) is None
    assert plain("lovelace danced on violet kettles", NAMES) is None


def test_the_list_holds_more_than_a_thousand_passwords_and_keeps_only_digests() -> None:
    known = policy._common()
    assert len(known) > 10_000
    assert known.itemsize == 8
    assert list(known) == sorted(set(known))


@given(st.text(max_size=300))
def test_any_text_is_judged(text: str) -> None:
    found = plain(text)
    if len(text) < 8:
        assert found == "too_short"
    elif len(text) > 256:
        assert found == "too_long"

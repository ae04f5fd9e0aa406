from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.credentials import recovery_codes, totp
from dragoman.core.ports import SystemRandom
from dragoman.storage.sealing import Ring, Sealer

RANDOM = SystemRandom()
RFC_SEED = b"12345678901234567890"
RFC_6238 = [
    (59, "94287082"),
    (1111111109, "07081804"),
    (1111111111, "14050471"),
    (1234567890, "89005924"),
    (2000000000, "69279037"),
    (20000000000, "65353130"),
]
"""RFC 6238, appendix B, SHA-1; codes of 6 digits are the last 6 of its 8."""
NOW = 1_700_000_000_000
STEP = NOW // 30_000


@pytest.mark.parametrize(("seconds", "code"), RFC_6238)
def test_the_vectors_of_rfc_6238(seconds: int, code: str) -> None:
    assert totp.matching_step(RFC_SEED, code[2:], seconds * 1000, window=0) == seconds // 30
    assert totp.matching_step(RFC_SEED, code[2:], seconds * 1000) == seconds // 30


@pytest.mark.parametrize(("offset", "found"), [(-2, None), (-1, -1), (0, 0), (1, 1), (2, None)])
def test_one_step_to_either_side_is_accepted_and_told(offset: int, found: int | None) -> None:
    code = pyotp.HOTP(totp.secret_text(RFC_SEED)).at(STEP + offset)
    assert totp.matching_step(RFC_SEED, code, NOW) == (None if found is None else STEP + found)


def test_the_beginning_of_time_has_no_step_before_it() -> None:
    assert totp.matching_step(RFC_SEED, "755224", 0) == 0


def test_spaces_are_typed_and_do_not_count() -> None:
    code = pyotp.HOTP(totp.secret_text(RFC_SEED)).at(STEP)
    assert totp.matching_step(RFC_SEED, f" {code[:3]} {code[3:]} ", NOW) == STEP


FULL_WIDTH = "".join(chr(0xFF10 + int(digit)) for digit in "287082")
ARABIC = "".join(chr(0x0660 + int(digit)) for digit in "287082")


@pytest.mark.parametrize(
    "code",
    [
        "",
        " ",
        "28708",
        "2870822",
        "28708x",
        "+87082",
        "-87082",
        "287082\n",
        "0x1234",
        FULL_WIDTH,
        ARABIC,
        "28708²",
        "28708\x00",
    ],
)
def test_only_six_ascii_digits_are_a_code(code: str) -> None:
    assert totp.matching_step(RFC_SEED, code, 59_000) is None
    assert not totp.is_code(code)


@given(st.text(max_size=10))
def test_noise_is_no_code_and_no_crash(text: str) -> None:
    found = totp.matching_step(RFC_SEED, text, NOW)
    assert found is None or totp.is_code(text)


def test_of_two_steps_with_one_code_the_later_counts() -> None:
    codes = pyotp.HOTP(totp.secret_text(RFC_SEED))
    seen: dict[str, int] = {}
    twin = next(step for step in range(20_000) if seen.setdefault(codes.at(step), step) < step)
    first = seen[codes.at(twin)]
    middle, reach = (first + twin) // 2, twin - first
    assert totp.matching_step(RFC_SEED, codes.at(twin), middle * 30_000, window=reach) == twin


def test_seeds_are_twenty_fresh_bytes() -> None:
    one, two = totp.new_seed(RANDOM), totp.new_seed(RANDOM)
    assert len(one) == len(two) == 20
    assert one != two


def test_the_url_is_what_apps_read() -> None:
    url = totp.otpauth_url(RFC_SEED, "ada@example.com", "Dragoman")
    parts, query = urlsplit(url), parse_qs(urlsplit(url).query)
    assert (parts.scheme, parts.netloc) == ("otpauth", "totp")
    assert unquote(parts.path) == "/Dragoman:ada@example.com"
    assert query["secret"] == [totp.secret_text(RFC_SEED)]
    assert query["issuer"] == ["Dragoman"]
    read = pyotp.parse_uri(url)
    assert isinstance(read, pyotp.TOTP)
    assert read.at(59) == "287082"


# ---------------------------------------------------------------- recovery codes

ADA, BOB = b"A" * 16, b"B" * 16
OLD, NEW = Ring(((1, b"1" * 32),)), Ring(((1, b"1" * 32), (2, b"2" * 32)))


def test_twelve_codes_of_eight_characters_are_drawn() -> None:
    codes = recovery_codes.draw(RANDOM)
    assert len(set(codes)) == 12
    assert all(recovery_codes.is_code(code) and len(code) == 8 for code in codes)
    assert recovery_codes.draw(RANDOM) != codes


class Stuck:
    """Draws every code twice before the next."""

    def __init__(self) -> None:
        self.drawn = 0

    def bytes(self, size: int) -> bytes:
        return bytes(size)

    def below(self, bound: int) -> int:
        self.drawn += 1
        return (self.drawn // 16) % bound


def test_twelve_different_codes_come_even_when_some_repeat() -> None:
    assert len(set(recovery_codes.draw(Stuck()))) == 12


def test_what_is_stored_is_found_by_its_code_and_by_no_other() -> None:
    sealer = Sealer(OLD, RANDOM)
    codes = recovery_codes.draw(RANDOM)
    stored = recovery_codes.macs(sealer, ADA, codes)
    assert len(set(stored)) == 12
    for code, mac in zip(codes, stored, strict=True):
        assert recovery_codes.candidates(sealer, ADA, f" {code[:4]} {code[4:]}") == (mac,)
        assert not set(recovery_codes.candidates(sealer, ADA, code.swapcase())) & set(stored)
        assert not set(recovery_codes.candidates(sealer, BOB, code)) & set(stored)
        assert code.encode() not in mac


def test_codes_outlive_a_new_master_key() -> None:
    codes = recovery_codes.draw(RANDOM)
    stored = recovery_codes.macs(Sealer(OLD, RANDOM), ADA, codes)
    found = recovery_codes.candidates(Sealer(NEW, RANDOM), ADA, codes[3])
    assert found[0] not in stored
    assert found[1] == stored[3]


@pytest.mark.parametrize(
    "typed", ["", "2345678", "234567890", "0OIl1UVo", "2345678é", "2345678\n", "\ud800" * 8, "12345678"]
)
def test_another_shape_is_looked_for_nowhere(typed: str) -> None:
    assert recovery_codes.candidates(Sealer(OLD, RANDOM), ADA, typed) == ()

from __future__ import annotations

import itertools
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.ports import SystemRandom
from dragoman.storage.sealing import Ring, RingBroken, SealBroken, Sealer, where

RANDOM = SystemRandom()
ADA, BOB = b"A" * 16, b"B" * 16


def make_sealer(*keys: int) -> Sealer:
    return Sealer(Ring(tuple((n, bytes([n]) * 32) for n in keys)), RANDOM)


def test_what_is_sealed_opens_in_its_own_place() -> None:
    sealer = make_sealer(1)
    place = where("password", "stored", ADA, ADA)
    sealed = sealer.seal("password", place, b"canonical:...")
    assert sealed[:3] == b"\x01\x00\x01"
    assert len(sealed) == 3 + 12 + len(b"canonical:...") + 16
    assert sealer.open("password", place, sealed) == b"canonical:..."
    assert sealer.seal("password", place, b"canonical:...") != sealed


def test_values_swapped_between_rows_columns_tables_accounts_and_purposes_do_not_open() -> None:
    sealer = make_sealer(1)
    places = [
        ("password", where("password", "stored", 1, ADA)),
        ("password", where("password", "stored", 2, ADA)),
        ("password", where("password", "stored", 1, BOB)),
        ("password", where("password", "stored", 1, None)),
        ("password", where("password", "stored", b"1", ADA)),
        ("password", where("password", "older", 1, ADA)),
        ("password", where("totp", "stored", 1, ADA)),
        ("totp", where("password", "stored", 1, ADA)),
    ]
    for (purpose, place), (other_purpose, other_place) in itertools.permutations(places, 2):
        sealed = sealer.seal(purpose, place, b"seed")
        with pytest.raises(SealBroken):
            sealer.open(other_purpose, other_place, sealed)


part = st.text(max_size=6)
row_id = st.one_of(st.integers(0, 300), st.binary(max_size=4))
place_parts = st.tuples(part, part, row_id, st.none() | st.binary(max_size=4))


@given(place_parts, place_parts)
def test_different_places_have_different_names(
    one: tuple[str, str, int | bytes, bytes | None], two: tuple[str, str, int | bytes, bytes | None]
) -> None:
    assert (where(*one) == where(*two)) == (one == two)


def test_a_part_that_runs_into_its_neighbour_is_told_apart() -> None:
    assert where("ab", "c", b"", None) != where("a", "bc", b"", None)
    assert where("t", "c", b"12", b"3") != where("t", "c", b"1", b"23")


@given(st.binary(max_size=40), st.data())
def test_any_altered_bit_breaks_the_seal(plaintext: bytes, data: st.DataObject) -> None:
    sealer = make_sealer(1, 2)
    sealed = bytearray(sealer.seal("p", b"place", plaintext))
    at = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[at // 8] ^= 1 << (at % 8)
    with pytest.raises(SealBroken):
        sealer.open("p", b"place", bytes(sealed))


@given(st.binary(max_size=60))
def test_noise_is_not_a_sealed_value(noise: bytes) -> None:
    with pytest.raises(SealBroken):
        make_sealer(1).open("p", b"", noise)


def test_a_new_key_seals_and_the_old_one_still_opens() -> None:
    old, both, new_only = make_sealer(1), make_sealer(1, 2), make_sealer(2)
    sealed = old.seal("p", b"x", b"kept")
    assert both.open("p", b"x", sealed) == b"kept"
    assert not both.is_current(sealed)
    anew = both.seal("p", b"x", b"kept")
    assert both.is_current(anew)
    assert new_only.open("p", b"x", anew) == b"kept"
    with pytest.raises(SealBroken, match="no key 1"):
        new_only.open("p", b"x", sealed)


def test_macs_differ_by_purpose_and_key_and_are_found_under_every_key() -> None:
    old, both = make_sealer(1), make_sealer(1, 2)
    assert old.mac("codes", b"data") == old.mac("codes", b"data")
    assert old.mac("codes", b"data") != old.mac("names", b"data")
    assert both.mac("codes", b"data") != old.mac("codes", b"data")
    assert both.macs("codes", b"data") == (both.mac("codes", b"data"), old.mac("codes", b"data"))


def test_a_ring_is_written_for_its_owner_only_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    before = os.umask(0)
    try:
        ring = Ring.create(path, RANDOM)
        grown = ring.add(RANDOM)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    again = Ring.load(path)
    assert (ring.ids, grown.ids, again.ids) == ((1,), (2, 1), (2, 1))
    assert again.check_value(1) == ring.check_value(1)
    assert again.check_value(2) == grown.check_value(2) != again.check_value(1)
    assert repr(again) == "Ring(ids=[2, 1])"


def test_a_ring_is_never_made_over_another(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    first = Ring.create(path, RANDOM).check_value(1)
    with pytest.raises(RingBroken, match="exists already"):
        Ring.create(path, RANDOM)
    assert Ring.load(path).check_value(1) == first


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o700])
def test_a_ring_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys.json"
    Ring.create(path, RANDOM)
    path.chmod(mode)
    with pytest.raises(RingBroken, match=r"expected 0600; run: chmod 600"):
        Ring.load(path)


KEY = "A" * 43 + "="


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "\x00",
        '{"keys":[]}',
        '{"keys":[{"id":1,"key":"AAAA"}]}',
        '{"keys":[{"id":1,"key":"?"}]}',
        '{"keys":[{"id":1,"key":"é"}]}',
        f'{{"keys":[{{"id":0,"key":"{KEY}"}}]}}',
        f'{{"keys":[{{"id":65536,"key":"{KEY}"}}]}}',
        f'{{"keys":[{{"id":1,"key":"{KEY}"}},{{"id":1,"key":"{KEY}"}}]}}',
    ],
)
def test_a_file_that_is_no_ring_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(text.encode())
    path.chmod(0o600)
    with pytest.raises(RingBroken, match=r"keys\.json"):
        Ring.load(path)


def test_a_missing_ring_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(RingBroken, match="restore the file"):
        Ring.load(tmp_path / "keys.json")
    assert not list(tmp_path.iterdir())

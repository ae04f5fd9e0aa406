"""Identifiers: one fold, done here alone (decision 15, threat 17)."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core import refusals
from dragoman.core.identifiers import check, fold, meant, storable, username_from
from dragoman.model import Typed
from kit.house import House

TEXT = st.text(max_size=80)


@given(st.sampled_from(("email", "username", "phone")), TEXT)
def test_folding_twice_is_folding_once(kind, text):
    assert fold(kind, fold(kind, text)) == fold(kind, text)


@given(TEXT)
def test_only_a_to_z_are_lowered_in_a_name(text):
    folded = fold("username", text)
    stripped = text.strip(" \t\r\n\f\v")
    assert len(folded) == len(stripped)
    for before, after in zip(stripped, folded, strict=True):
        assert after == (before.lower() if before in string.ascii_uppercase else before)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("K", "\u212a"),  # the Kelvin sign lowers to k
        ("i", "\u0130"),  # dotted capital I
        ("ss", "ß"),
        ("fi", "\ufb01"),
        ("a", "\u0430"),  # Cyrillic a
        ("a", "\uff41"),  # full width
    ],
)
def test_look_alikes_stay_apart(one, other):
    assert fold("username", one) != fold("username", other)
    assert fold("email", f"{one}@example.com") != fold("email", f"{other}@example.com")


@pytest.mark.parametrize(
    ("typed", "folded"),
    [
        (" Ada@Example.COM ", "ada@example.com"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
        ("ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
        ("a@b@c", "a@b@c"),
        ("@", "@"),
        ("", ""),
    ],
)
def test_addresses(typed, folded):
    assert fold("email", typed) == folded


@given(TEXT)
def test_whatever_is_typed_has_a_meaning(text):
    kind, folded = meant(Typed("any", text))
    assert kind == ("email" if "@" in text else "username")
    assert isinstance(folded, str)


@given(TEXT)
def test_what_is_accepted_can_be_stored_and_found_again(text):
    for kind in ("email", "username", "phone"):
        try:
            shown = check(kind, text)
        except refusals.BadIdentifier:
            continue
        assert storable(shown)
        assert fold(kind, shown) == fold(kind, check(kind, shown))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("email", "ada"), ("email", "@example.com"), ("email", "ada@"), ("email", "a@b@c"), ("email", "a b@c.example"),
        ("email", "ada\x00@example.com"), ("email", "ada\r\nbcc:x@example.com"), ("email", "\ud800@example.com"),
        ("email", "a" * 250 + "@example.com"), ("username", ""), ("username", "a b"), ("username", "ada@example.com"),
        ("username", "ädä"), ("username", "a" * 65), ("username", "ada\x00"), ("phone", "12345"), ("phone", "+1"),
        ("phone", "+41 44 668 18 00 00 00 00"), ("phone", "ada"),
    ],
)  # fmt: skip
def test_what_is_refused(kind, text):
    with pytest.raises(refusals.BadIdentifier):
        check(kind, text)


def test_a_phone_number_is_kept_in_its_international_form():
    assert check("phone", "+41 (44) 668-18.00") == "+41446681800"


@given(TEXT, TEXT)
def test_a_username_can_be_made_of_anything(one, other):
    assert check("username", username_from(one, other))


async def test_both_engines_keep_look_alikes_apart(any_house: House) -> None:
    """The databases compare bytes: what folds apart is two people, what folds together is one."""
    await any_house.ada()
    for spelling in ("ADA@example.com", " ada@EXAMPLE.com"):
        with pytest.raises(refusals.IdentifierTaken):
            await any_house.add(email=spelling, username="other")
    with pytest.raises(refusals.IdentifierTaken):
        await any_house.add(email="another@example.com", username="Ada")
    others = [
        await any_house.add(email=e) for e in ("\u0430da@example.com", "ada@example.com.", "ad\uff41@example.com")
    ]
    found = [await any_house.core.accounts.named(f"email:{o.email}") for o in others]
    assert [a.id for a in found] == [o.account.id for o in others]
    assert len({o.username for o in others}) == len(others)


async def test_a_name_that_is_another_systems_name_is_refused_with_the_candidates(house: House) -> None:
    ada = await house.ada()
    await house.add(email="bob@example.com", username=ada.aliases["probe"])
    with pytest.raises(refusals.Ambiguous) as refused:
        await house.core.accounts.named(ada.aliases["probe"])
    exact = {(await house.core.accounts.named(name)).id for name in refused.value.candidates}
    assert len(exact) == 2

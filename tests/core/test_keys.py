from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from dragoman.core import keys
from dragoman.core.keys import KeySet, NoKey, SigningKey
from dragoman.core.ports import SystemRandom

RANDOM = SystemRandom()


def key(number: int, use: str, algorithm: str = "HS256", retired_at: int | None = None) -> SigningKey:
    return SigningKey(number, use, algorithm, keys.make(algorithm, RANDOM), 1000 + number, retired_at)


def test_the_newest_live_key_issues_and_all_live_ones_read() -> None:
    old, new, gone, other = key(1, "a"), key(2, "a"), key(3, "a", retired_at=5), key(4, "b")
    found = KeySet([old, gone, other, new])
    assert found.current("a") is new
    assert found.live("a") == (new, old)
    assert found.by_id("a", 1) is old
    assert found.live("c") == ()


@pytest.mark.parametrize(("use", "number"), [("a", 3), ("a", 4), ("b", 1), ("c", 1)])
def test_a_retired_foreign_or_unknown_key_is_not_found(use: str, number: int) -> None:
    found = KeySet([key(1, "a"), key(3, "a", retired_at=5), key(4, "b")])
    with pytest.raises(NoKey):
        found.by_id(use, number)


def test_a_use_without_a_key_names_the_remedy() -> None:
    with pytest.raises(NoKey, match="dragoman keys rotate"):
        KeySet([]).current("a")


def test_only_public_halves_of_live_asymmetric_keys_are_published() -> None:
    old, new, gone = key(1, "a", "ES256"), key(2, "a", "ES256"), key(3, "a", "ES256", retired_at=5)
    published = KeySet([old, new, gone, key(4, "b"), key(5, "c", "A256GCM"), key(6, "d", "HMAC-SHA256")]).jwks()
    assert [entry["kid"] for entry in published["keys"]] == [new.kid, old.kid]
    for entry in published["keys"]:
        assert set(entry) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
        assert (entry["kty"], entry["crv"], entry["use"], entry["alg"]) == ("EC", "P-256", "sig", "ES256")


@pytest.mark.parametrize("algorithm", keys.ALGORITHMS)
def test_fresh_material_fits_its_algorithm_and_differs(algorithm: str) -> None:
    one, two = keys.make(algorithm, RANDOM), keys.make(algorithm, RANDOM)
    assert one != two
    if algorithm == "ES256":
        assert isinstance(SigningKey(1, "a", algorithm, one, 0).private.curve, ec.SECP256R1)
    else:
        assert len(one) == 32


@pytest.mark.parametrize("algorithm", ["none", "RS256", "", "es256"])
def test_other_algorithms_have_no_keys(algorithm: str) -> None:
    with pytest.raises(NoKey):
        keys.make(algorithm, RANDOM)


def test_a_key_never_prints_its_material() -> None:
    secret = SigningKey(1, "a", "HS256", b"S" * 32, 0)
    assert "SSSS" not in repr(secret)
    assert "SSSS" not in f"{secret} {secret.octets}"

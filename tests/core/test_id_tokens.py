"""Judging ID tokens: whatever is not exactly one for us, now, signed by its issuer, is refused (threats 14 and 26)."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from dragoman.core.id_tokens import BadIdToken, Demand, IdToken, UnknownKey, looks_like_one, read

NOW = 1_795_305_600
ISSUER, CLIENT = "https://id.example.com", "dragoman"
RSA = RSAKey.generate_key(2048, {"kid": "r"})
EC = ECKey.generate_key("P-256", {"kid": "e"})
OKP = OKPKey.generate_key("Ed25519", {"kid": "o"})
KEYS = [key.as_dict(private=False) for key in (RSA, EC, OKP)]
DEMAND = Demand(ISSUER, (CLIENT, "our-app"), ("RS256", "ES256", "EdDSA"))
NONE = object()


def mint(key: Any = RSA, header: dict[str, Any] | None = None, **claims: Any) -> str:
    said = {"iss": ISSUER, "aud": CLIENT, "sub": "107", "iat": NOW, "exp": NOW + 600, **claims}
    algorithm = {RSAKey: "RS256", ECKey: "ES256", OKPKey: "EdDSA"}[type(key)]
    head = {"alg": algorithm, "kid": key.kid, **(header or {})}
    head, said = ({n: v for n, v in each.items() if v is not NONE} for each in (head, said))
    return jws.serialize_compact(head, json.dumps(said).encode(), key, algorithms=[head["alg"]])


def judge(token: str, *, now: int = NOW, demand: Demand = DEMAND, keys: Any = KEYS) -> IdToken:
    return read(token, keys, demand, now * 1000)


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("key", [RSA, EC, OKP])
def test_a_good_one_says_who_it_is(key: Any) -> None:
    token = mint(key, email="Ada@example.com", email_verified=True, given_name="Ada", family_name="Example", hd="x.org")
    found = judge(token)
    assert found.issuer == ISSUER
    assert (found.whose.subject, found.whose.audience) == ("107", (CLIENT,))
    assert (found.whose.email, found.whose.email_verified, found.whose.domain) == ("Ada@example.com", True, "x.org")
    assert (found.whose.first_name, found.whose.last_name) == ("Ada", "Example")
    assert found.ends_at == (NOW + 660) * 1000


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"aud": "another-app"}, "audience"), ({"aud": [CLIENT, "another-app"]}, "audience"), ({"aud": []}, "audience"),
        ({"aud": ""}, "audience"), ({"azp": "another-app"}, "authorized_party"),
        ({"iss": "https://evil.example.com"}, "issuer"), ({"iss": ISSUER + "/"}, "issuer"), ({"iss": ""}, "issuer"),
        ({"iss": "http://id.example.com"}, "issuer"),
        ({"exp": NOW}, "expired"), ({"exp": NOW - 1, "iat": NOW - 60}, "expired"), ({"exp": 0}, "expired"),
        ({"iat": NOW - 601}, "too_old"), ({"iat": 0, "exp": NOW + 10**6}, "too_old"),
        ({"iat": NOW + 61}, "not_yet"), ({"nbf": NOW + 61}, "not_yet"),
        ({"sub": ""}, "subject"), ({"sub": "x" * 256}, "subject"), ({"sub": "a\x00b"}, "subject"),
        ({"sub": "a\nb"}, "subject"), ({"sub": 107}, "signature_or_shape"), ({"sub": NONE}, "signature_or_shape"),
        ({"aud": NONE}, "signature_or_shape"), ({"aud": {"x": 1}}, "signature_or_shape"),
        ({"exp": NONE}, "signature_or_shape"), ({"iat": NONE}, "signature_or_shape"),
        ({"exp": "never"}, "signature_or_shape"), ({"iss": NONE}, "signature_or_shape"),
        ({"email": ["ada@example.com"]}, "signature_or_shape"),
    ],
)  # fmt: skip
def test_claims_that_are_not_for_us_or_not_now(claims: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadIdToken) as no:
        judge(mint(**claims))
    assert no.value.reason == reason


@pytest.mark.parametrize("claims", [
    {"aud": [CLIENT]}, {"aud": [CLIENT, "our-app"]}, {"aud": "our-app"}, {"azp": "our-app"}, {"azp": CLIENT},
    {"iat": NOW - 600}, {"iat": NOW + 60}, {"exp": NOW + 1}, {"iss": "id.example.com"}, {"iat": NOW + 0.5},
    {"email": None, "email_verified": None},
])  # fmt: skip
def test_what_is_good_to_the_edge(claims: dict[str, Any]) -> None:
    assert judge(mint(**claims)).whose.subject == "107"


@pytest.mark.parametrize(("said", "verified"), [(True, True), ("true", True), (False, False), ("false", False),
                                                (None, False), ("yes", False)])  # fmt: skip
def test_an_address_is_verified_only_where_it_says_so(said: Any, verified: bool) -> None:
    assert judge(mint(email="ada@example.com", email_verified=said)).whose.email_verified is verified


def test_the_nonce_where_we_asked_for_one() -> None:
    demand = Demand(ISSUER, (CLIENT,), ("RS256",), nonce="n-1")
    assert judge(mint(nonce="n-1"), demand=demand).whose.subject == "107"
    for nonce in ("n-2", "", NONE):
        with pytest.raises(BadIdToken, match="nonce"):
            judge(mint(nonce=nonce), demand=demand)


# ---------------------------------------------------------------- signatures


def unsigned(algorithm: str) -> str:
    claims = {"iss": ISSUER, "aud": CLIENT, "sub": "107", "iat": NOW, "exp": NOW + 600}
    return f"{part({'alg': algorithm, 'kid': 'r'})}.{part(claims)}."


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", "HS256", "HS512", "RS1", "RS512", "ES512"])
def test_no_signature_and_algorithms_that_nobody_allowed(algorithm: str) -> None:
    for token in (unsigned(algorithm), unsigned(algorithm) + "AA"):
        with pytest.raises(BadIdToken, match="algorithm"):
            judge(token)


def test_a_public_key_is_no_secret() -> None:
    """The classical confusion: HS256 with what everybody can fetch as the key."""
    pem = RSA.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for secret in (pem, pem.strip(), json.dumps(KEYS[0]).encode(), KEYS[0]["n"].encode()):
        signed = f"{part({'alg': 'HS256', 'kid': 'r'})}.{mint().split('.')[1]}"
        mac = base64.urlsafe_b64encode(hmac.digest(secret, signed.encode(), "sha256")).rstrip(b"=").decode()
        forged = f"{signed}.{mac}"
        with pytest.raises(BadIdToken, match="algorithm"):
            judge(forged)
        loose = Demand(ISSUER, (CLIENT,), ("HS256", "RS256"))
        with pytest.raises(BadIdToken, match="algorithm"):
            judge(forged, demand=loose)


def test_another_key_under_the_same_name() -> None:
    for key in (RSAKey.generate_key(2048, {"kid": "r"}), ECKey.generate_key("P-256", {"kid": "e"})):
        with pytest.raises(BadIdToken, match="signature"):
            judge(mint(key))


def test_keys_that_the_token_brings_or_names() -> None:
    own = RSAKey.generate_key(2048, {"kid": "mine"})
    for header in ({"jwk": own.as_dict(private=False)}, {"jku": "https://evil.example.com/jwks"}, {"x5u": "http://x"}):
        with pytest.raises(UnknownKey):
            judge(mint(own, header))
        with pytest.raises(BadIdToken, match="signature"):
            judge(mint(own, {**header, "kid": "r"}))


@pytest.mark.parametrize(
    "header", [{"crit": ["exp"], "exp": 1}, {"b64": True}, {"typ": "at+jwt"}, {"typ": "logout+jwt"}]
)
def test_headers_that_mean_something_else(header: dict[str, Any]) -> None:
    good = mint()
    _, body, signature = good.split(".")
    with pytest.raises(BadIdToken, match="header"):
        judge(f"{part({'alg': 'RS256', 'kid': 'r', **header})}.{body}.{signature}")


def test_a_key_is_taken_only_for_what_it_is_for() -> None:
    token = mint()
    for change in ({"use": "enc"}, {"alg": "PS256"}, {"kid": "x"}, {"kty": "EC"}):
        with pytest.raises(UnknownKey):
            judge(token, keys=[{**KEYS[0], **change}])
    for broken in ({"n": "AAAA"}, {"n": 5}, {"e": ""}):
        with pytest.raises(BadIdToken):
            judge(token, keys=[{**KEYS[0], **broken}])
    with pytest.raises(UnknownKey):
        judge(token, keys=[KEYS[0], KEYS[0]])


def test_without_a_name_the_key_must_be_the_only_one() -> None:
    token = mint(header={"kid": NONE})
    assert judge(token, keys=KEYS).whose.subject == "107"
    other = RSAKey.generate_key(2048, {"kid": "r2"}).as_dict(private=False)
    with pytest.raises(UnknownKey):
        judge(token, keys=[*KEYS, other])


def test_a_weak_key_of_the_provider() -> None:
    weak = RSAKey.generate_key(1024, {"kid": "w"})
    with pytest.raises(BadIdToken, match="provider_key"):
        judge(mint(weak), keys=[weak.as_dict(private=False)])


def test_one_token_is_one_however_its_signature_is_spelt() -> None:
    """Of ECDSA's (r, s) the pair (r, n - s) is good as well: a token that is known by its signature is good twice."""
    token = mint(EC)
    signed, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    assert decode_dss_signature(encode_dss_signature(r, s)) == (r, s)
    twin = r.to_bytes(32, "big") + (order - s).to_bytes(32, "big")
    other = f"{signed}.{base64.urlsafe_b64encode(twin).rstrip(b'=').decode()}"
    assert other != token
    assert judge(other).spent == judge(token).spent
    assert judge(mint(EC, jti="another")).spent != judge(token).spent


# ---------------------------------------------------------------- tenants


def test_an_issuer_for_every_tenant_takes_the_tokens_own() -> None:
    demand = Demand("https://login.example.com/{tenantid}/v2.0", (CLIENT,), ("RS256",))
    tenant = "72f988bf-86f1-41af-91ab-2d7cd011db47"
    issuer = f"https://login.example.com/{tenant}/v2.0"
    assert judge(mint(iss=issuer, tid=tenant), demand=demand).issuer == issuer
    other = "https://login.example.com/00000000-0000-0000-0000-000000000000/v2.0"
    for claims in ({"iss": other, "tid": tenant}, {"iss": issuer}, {"iss": issuer, "tid": ""},
                   {"iss": "https://login.example.com/x/../y/v2.0", "tid": "x/../y"}):  # fmt: skip
        with pytest.raises(BadIdToken, match="issuer"):
            judge(mint(**claims), demand=demand)


# ---------------------------------------------------------------- anything at all

GOOD = mint(EC, email="ada@example.com")


ODD = [
    "", ".", "..", "a.b", "a.b.c.d.e", "é.b.c", "x" * 20_000, "." * 16_385, "e30.e30.e30", f"{part([1])}.e30.e30",
    f"{part({'alg': None})}.e30.e30",
]  # fmt: skip


@pytest.mark.parametrize("token", ODD)
def test_texts_that_are_none(token: str) -> None:
    with pytest.raises(BadIdToken):
        judge(token)


def test_deep_nesting() -> None:
    deep = "[" * 10_000
    head = base64.urlsafe_b64encode(f'{{"alg":{deep}'.encode()).rstrip(b"=").decode()
    with pytest.raises(BadIdToken):
        judge(f"{head[:12_000]}.e30.e30")


@given(st.text(max_size=200))
def test_no_text_breaks_it(text: str) -> None:
    for token in (text, f"{text}.{text}.{text}", f"{part({'alg': 'RS256', 'kid': text})}.{text}.{text}"):
        with pytest.raises(BadIdToken):
            judge(token)


@given(st.data())
def test_no_change_of_a_character_is_taken(data: st.DataObject) -> None:
    token = GOOD
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(codec="utf-8"))
    changed = token[:at] + other + token[at + 1 :]
    if changed != token:
        with pytest.raises(BadIdToken):
            judge(changed)


def test_what_is_meant_as_an_id_token() -> None:
    assert looks_like_one(mint())
    assert not looks_like_one("ya29.a0AfB_byC")
    assert not looks_like_one("gho_16C7e42F292c6912E7710c838347Ae178B4a")

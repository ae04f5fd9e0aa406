from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import time
import uuid
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwe, jws
from joserfc.jwk import ECKey

from dragoman.core import base64url, keys
from dragoman.core.keys import KeySet, NoKey, SigningKey
from dragoman.core.ports import SystemRandom
from dragoman.core.tokens import ApiToken, BadToken, Form, Opaque, Presented, Sealed, Signed, TokenExpired, Tokens
from dragoman.model import Account, Identifier, Person, Session

RANDOM = SystemRandom()
START = 1_700_000_000_000
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"


class MovableClock:
    def __init__(self) -> None:
        self.time = START

    def now(self) -> int:
        return self.time

    def monotonic(self) -> float:
        return self.time / 1000


def account_claims(person: Person, session: Session) -> dict[str, Any]:
    return {"userId": str(uuid.UUID(bytes=person.account.id)), "email": person.email}


ACCESS = Signed("flashback.access", "ES256", "access", 3600, account_claims, chained=True)
LIMITED = Signed("flashback.access", "ES256", "mfa_pending", 900)
JWT = Signed("probe.jwt", "HS256", "session")
VERIFY = Signed("probe.verify", "HS256", "verify", 86400)
SEALED = Sealed("pocketm8.access")
OTHER_SEALED = Sealed("pocketm8.other")
OPAQUE = Opaque("rocketchat.login", LETTERS, 43)
KEY = Opaque("rocketchat.key", LETTERS, 43)
API = ApiToken("probe.api")
NAMED = (ACCESS, LIMITED, JWT, VERIFY, SEALED, OTHER_SEALED)
ALGORITHM = {
    "flashback.access": "ES256",
    "probe.jwt": "HS256",
    "probe.verify": "HS256",
    "pocketm8.access": "A256GCM",
    "pocketm8.other": "A256GCM",
}


def make_key(number: int, use: str, algorithm: str | None = None) -> SigningKey:
    algorithm = algorithm or ALGORITHM[use]
    return SigningKey(number, use, algorithm, keys.make(algorithm, RANDOM), START)


class House:
    """Tokens over a key set that can be replaced, on a clock that can be moved."""

    def __init__(self, remembered: int = 100) -> None:
        self.clock = MovableClock()
        self.made = [make_key(number, use) for number, use in enumerate(ALGORITHM, 1)]
        self.set = KeySet(self.made)
        self.tokens = Tokens(self.clock, RANDOM, lambda: self.set, remembered)

    def rotate(self, use: str, drop: int | None = None) -> None:
        self.made = [key for key in self.made if key.id != drop]
        self.made.append(make_key(max(key.id for key in self.made) + 1, use))
        self.set = KeySet(self.made)

    def key(self, use: str) -> SigningKey:
        return self.set.current(use)


ADA = Account(
    id=b"A" * 16,
    organization=b"O" * 16,
    kind="person",
    status="active",
    administrator=False,
    root=False,
    parent=None,
    first_name="Ada",
    last_name="Example",
    display_name=None,
    auth_epoch=0,
    facts=0,
    first_verified_at=None,
    created_at=START,
    updated_at=START,
    signed_in_at=None,
    rank=0,
    default_organization=True,
    business=False,
)
PERSON = Person(ADA, (Identifier("email", "ada@example.com", "verified", True),), {}, frozenset(), True)


def session(ends_at: int | None = START + 10_000_000, generation: int = 4) -> Session:
    return Session(
        id=bytes(range(16)),
        account=ADA.id,
        organization=ADA.organization,
        door="any",
        kind="client",
        parent=None,
        token_use="any",
        created_at=START,
        seen_at=START,
        idle_until=None,
        ends_at=ends_at,
        address="192.0.2.1",
        user_agent="app/1",
        methods="password",
        proved_at=START,
        generation=generation,
        confirmed_generation=0,
    )


def issue(house: House, form: Signed | Sealed, audience: str = "here") -> str:
    return house.tokens.issue(form, audience, session(), PERSON, START + 10_000_000)


def part(token: str, number: int) -> dict[str, Any]:
    raw = base64url.decode(token.split(".")[number])
    assert raw is not None
    found: dict[str, Any] = json.loads(raw)
    return found


# ---------------------------------------------------------------- what is issued is read


@pytest.mark.parametrize("form", NAMED)
def test_what_is_issued_is_read_twice(form: Signed | Sealed) -> None:
    house = House()
    token = issue(house, form)
    expected = Presented(session().id, None, 4 if form.chained else None)
    assert house.tokens.read(form, "here", token) == expected
    assert house.tokens.read(form, "here", token) == expected


def test_a_signed_token_has_the_claims_and_the_header_of_decision_22() -> None:
    house = House()
    token = issue(house, ACCESS, "flashback")
    assert part(token, 0) == {"alg": "ES256", "kid": house.key(ACCESS.use).kid, "typ": "JWT"}
    assert part(token, 1) == {
        "sub": str(uuid.UUID(bytes=ADA.id)),
        "userId": str(uuid.UUID(bytes=ADA.id)),
        "email": "ada@example.com",
        "jti": str(uuid.UUID(bytes=session().id)),
        "iat": START // 1000,
        "exp": START // 1000 + 3600,
        "aud": "flashback",
        "type": "access",
        "gen": 4,
    }


def test_probes_header_has_the_36_characters_of_its_contract() -> None:
    token = issue(House(), JWT)
    assert token.split(".")[0] == base64url.encode(b'{"alg":"HS256","typ":"JWT"}')
    assert [len(each) for each in token.split(".")][::2] == [36, 43]


def test_pocketm8s_token_has_the_shape_of_its_contract() -> None:
    house = House()
    parts = issue(house, SEALED).split(".")
    assert parts[0] == "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0"
    assert [len(each) for each in (parts[0], parts[1], parts[2], parts[4])] == [39, 0, 16, 22]
    claims = json.loads(
        jwe.decrypt_compact(".".join(parts), house.key(SEALED.use).octets, ["dir", "A256GCM"]).plaintext or b""
    )
    assert {"sub", "jti", "iat", "exp"} < claims.keys()


def test_a_published_key_verifies_a_signed_token_elsewhere() -> None:
    house = House()
    token = issue(house, ACCESS)
    public = next(entry for entry in house.set.jwks()["keys"] if entry["kid"] == part(token, 0)["kid"])
    assert jws.deserialize_compact(token, ECKey.import_key(public), ["ES256"]).payload


def test_a_form_may_choose_its_subject_and_nothing_else_of_the_core() -> None:
    house = House()
    chosen = Signed("probe.jwt", "HS256", "session", 60, lambda person, session: {"sub": "17"})
    assert part(issue(house, chosen), 1)["sub"] == "17"
    for name in ("jti", "iat", "exp", "nbf", "aud", "type", "gen"):
        with pytest.raises(ValueError, match=name):
            issue(house, Signed("probe.jwt", "HS256", "session", 60, lambda person, session, n=name: {n: 1}))


def test_a_token_may_name_an_attempt() -> None:
    house = House()
    token = house.tokens.issue_for(LIMITED, "here", b"T" * 16, {"sub": "x"}, START + 60_000)
    assert house.tokens.read(LIMITED, "here", token).session_id == b"T" * 16
    with pytest.raises(BadToken):
        house.tokens.read(ACCESS, "here", token)


@pytest.mark.parametrize(
    ("life", "ends_at", "expected"),
    [(3600, None, 3_600_000), (3600, 5_000, 5_000), (None, 9_999, 9_000), (3600, 9_000_000, 3_600_000)],
)
def test_a_token_ends_with_its_life_or_with_what_it_names(life: int | None, ends_at: int | None, expected: int) -> None:
    house = House()
    form = Signed("probe.jwt", "HS256", "session", life)
    end = house.tokens.end(form, None if ends_at is None else START + ends_at)
    assert end == START + expected
    house.clock.time += 999
    token = house.tokens.issue(form, "here", session(), PERSON, end)
    assert part(token, 1)["exp"] * 1000 == end


def test_no_token_is_without_an_end() -> None:
    with pytest.raises(ValueError, match="needs an end"):
        House().tokens.issue(JWT, "here", session(None), PERSON, None)


@pytest.mark.parametrize("form", NAMED)
def test_a_token_ends_on_the_millisecond_remembered_or_not(form: Signed | Sealed) -> None:
    for warm in (True, False):
        house = House()
        token = house.tokens.issue(form, "here", session(), PERSON, START + 5_000)
        if warm:
            house.tokens.read(form, "here", token)
        house.clock.time = START + 4_999
        house.tokens.read(form, "here", token)
        house.clock.time = START + 5_000
        if not warm:
            house.tokens._known.clear()
        for _ in range(2):
            with pytest.raises(TokenExpired):
                house.tokens.read(form, "here", token)


# ---------------------------------------------------------------- the matrix of threat 25


def test_only_the_diagonal_of_forms_uses_and_audiences_passes() -> None:
    house = House()
    stored: dict[tuple[str, bytes], str] = {}
    forms: list[Form] = [*NAMED, OPAQUE, KEY, API]
    places = list(itertools.product(forms, ("here", "there")))
    tokens = {}
    for form, audience in places:
        if isinstance(form, (Opaque, ApiToken)):
            token, token_hash = house.tokens.draw(form)
            stored[form.use, token_hash] = audience
        else:
            token = issue(house, form, audience)
        tokens[form, audience] = token

    def passes(form: Form, audience: str, token: str) -> bool:
        try:
            found = house.tokens.read(form, audience, token)
        except BadToken:
            return False
        return found.token_hash is None or stored.get((form.use, found.token_hash)) == audience

    for _ in range(2):
        for (made, made_for), (asked, asked_for) in itertools.product(places, places):
            diagonal = (made, made_for) == (asked, asked_for)
            assert passes(asked, asked_for, tokens[made, made_for]) is diagonal, (made, made_for, asked, asked_for)


@pytest.mark.parametrize("form", [OPAQUE, API])
def test_a_drawn_token_has_its_shape_and_its_sha256(form: Opaque | ApiToken) -> None:
    tokens = House().tokens
    token, token_hash = tokens.draw(form)
    assert len(token) == (43 if form is OPAQUE else 64)
    assert token_hash == hashlib.sha256(token.encode()).digest()
    assert tokens.read(form, "any", token) == Presented(None, token_hash, None)
    assert tokens.draw(form)[0] != token
    for other in (
        token[:-1],
        token + "a",
        token[:-1] + "!",
        token[:-1] + "\n",
        token.upper() + "é",
        "",
        "é" * len(token),
    ):
        with pytest.raises(BadToken):
            tokens.read(form, "any", other)


# ---------------------------------------------------------------- the attack list of threat 26


def claims_of(house: House, form: Signed | Sealed, **changes: object) -> bytes:
    whole: dict[str, object] = {
        "sub": "x",
        "jti": str(uuid.UUID(bytes=session().id)),
        "iat": START // 1000,
        "exp": START // 1000 + 3600,
        "aud": "here",
        "type": form.kind,
    }
    if form.chained:
        whole["gen"] = 0
    whole.update(changes)
    return json.dumps({name: value for name, value in whole.items() if value is not ...}).encode()


def refused(house: House, form: Signed | Sealed, token: str, kind: type[BadToken] = BadToken) -> None:
    for _ in range(2):
        with pytest.raises(kind):
            house.tokens.read(form, "here", token)
    assert not house.tokens._known


def hs256(head: bytes, payload: bytes, secret: bytes) -> str:
    signed = base64url.encode(head) + "." + base64url.encode(payload)
    return signed + "." + base64url.encode(hmac.digest(secret, signed.encode(), "sha256"))


HEADERS = [
    b'{"alg":"none","typ":"JWT"}',
    b'{"alg":"None","typ":"JWT"}',
    b'{"alg":"","typ":"JWT"}',
    b'{"alg":"HS512","typ":"JWT"}',
    b'{"alg":"RS256","typ":"JWT"}',
    b'{"alg":"hs256","typ":"JWT"}',
    b'{"alg":["HS256"],"typ":"JWT"}',
    b'{"typ":"JWT","alg":"HS256"}',
    b'{"alg":"HS256"}',
    b'{"alg":"HS256","typ":"jwt"}',
    b'{"alg": "HS256","typ":"JWT"}',
    b'{"alg":"HS256","typ":"JWT"} ',
    b'{"alg":"none","alg":"HS256","typ":"JWT"}',
    b'{"alg":"HS256","typ":"JWT","kid":"../../dev/null"}',
    b'{"alg":"HS256","typ":"JWT","kid":"1 UNION SELECT 1"}',
    b'{"alg":"HS256","typ":"JWT","zip":"DEF"}',
    b'{"alg":"HS256","typ":"JWT","crit":["exp"],"exp":1}',
    b'{"alg":"HS256","typ":"JWT","crit":["b64"],"b64":false}',
    b'{"alg":"HS256","typ":"JWT","jku":"https://example.com/jwks"}',
    b'{"alg":"HS256","typ":"JWT","x5u":"https://example.com/x"}',
    b'{"alg":"HS256","typ":"JWT","x5c":["AAAA"]}',
    b'{"alg":"HS256","typ":"JWT","jwk":{"kty":"oct","k":"AAAA"}}',
    b'{"alg":"PBES2-HS256+A128KW","enc":"A256GCM","p2c":2147483647,"p2s":"AAAA"}',
    b"[]",
    b"null",
    b"",
    b"\xff",
]


@pytest.mark.parametrize("head", HEADERS)
def test_a_header_that_we_do_not_write_is_refused_even_under_our_key(head: bytes) -> None:
    house = House()
    payload = claims_of(house, JWT)
    refused(house, JWT, hs256(head, payload, house.key(JWT.use).material))
    refused(house, JWT, hs256(head, payload, house.key(JWT.use).material).rpartition(".")[0] + ".")
    refused(house, ACCESS, hs256(head, claims_of(house, ACCESS), house.key(JWT.use).material))


def test_a_public_key_is_no_shared_secret() -> None:
    house = House()
    key = house.key(ACCESS.use)
    for secret in (key.ec.as_pem(private=False), key.ec.as_der(private=False), json.dumps(house.set.jwks()).encode()):
        for head in (b'{"alg":"HS256","typ":"JWT"}', b'{"alg":"HS256","kid":"%s","typ":"JWT"}' % key.kid.encode()):
            refused(house, ACCESS, hs256(head, claims_of(house, ACCESS), secret))


def test_an_embedded_or_foreign_ec_key_signs_nothing() -> None:
    house = House()
    foreign = SigningKey(9, "x", "ES256", keys.make("ES256", RANDOM), 0)
    ours = house.key(ACCESS.use)
    payload = claims_of(house, ACCESS)
    for head in (
        {"alg": "ES256", "kid": ours.kid, "typ": "JWT"},
        {"alg": "ES256", "kid": foreign.kid, "typ": "JWT"},
        {"alg": "ES256", "kid": ours.kid, "typ": "JWT", "jwk": foreign.ec.as_dict(private=False)},
    ):
        refused(house, ACCESS, jws.serialize_compact(head, payload, foreign.ec, ["ES256"]))


@pytest.mark.parametrize(
    "raw", [bytes(64), bytes(31) + b"\x01" + bytes(31) + b"\x01", b"\xff" * 64, b"\x00" * 63, b"\x30" * 71]
)
def test_blank_and_odd_ecdsa_signatures_are_refused(raw: bytes) -> None:
    house = House()
    token = issue(house, ACCESS).rpartition(".")[0] + "." + base64url.encode(raw)
    refused(house, ACCESS, token)


BAD_CLAIMS: list[dict[str, object]] = [
    {"exp": ...},
    {"exp": None},
    {"exp": "4102444800"},
    {"exp": True},
    {"exp": 1e308},
    {"exp": [4102444800]},
    {"jti": ...},
    {"jti": "x"},
    {"jti": 7},
    {"jti": "00010203-0405-0607-0809-0A0B0C0D0E0F"},
    {"jti": "{00010203-0405-0607-0809-0a0b0c0d0e0f}"},
    {"aud": ...},
    {"aud": "there"},
    {"aud": ["here"]},
    {"aud": "HERE"},
    {"type": ...},
    {"type": "refresh"},
    {"sub": ...},
    {"iat": ...},
]


@pytest.mark.parametrize("changes", BAD_CLAIMS)
@pytest.mark.parametrize("form", [JWT, ACCESS, SEALED])
def test_missing_foreign_or_odd_claims_are_refused_even_under_our_key(
    form: Signed | Sealed, changes: dict[str, object]
) -> None:
    house = House()
    refused(house, form, under_our_key(house, form, claims_of(house, form, **changes)))


@pytest.mark.parametrize("form", [JWT, ACCESS, SEALED])
def test_a_generation_is_there_exactly_where_the_form_has_one(form: Signed | Sealed) -> None:
    house = House()
    refused(house, form, under_our_key(house, form, claims_of(house, form, gen=... if form.chained else 3)))


@pytest.mark.parametrize("payload", [b"", b"[]", b"null", b"{", b"\xff\xfe", b'"x"', b"1" * 4000, b"[" * 3000])
@pytest.mark.parametrize("form", [JWT, ACCESS, SEALED])
def test_a_payload_that_is_no_claim_set_is_refused(form: Signed | Sealed, payload: bytes) -> None:
    house = House()
    refused(house, form, under_our_key(house, form, payload))


def under_our_key(house: House, form: Signed | Sealed, payload: bytes) -> str:
    key = house.key(form.use)
    if isinstance(form, Sealed):
        return jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM"}, payload, key.octets, ["dir", "A256GCM"])
    if form.algorithm == "HS256":
        return jws.serialize_compact({"alg": "HS256", "typ": "JWT"}, payload, key.octets, ["HS256"])
    return jws.serialize_compact({"alg": "ES256", "kid": key.kid, "typ": "JWT"}, payload, key.ec, ["ES256"])


def test_a_right_payload_under_our_key_passes_so_that_the_list_above_means_something() -> None:
    house = House()
    for form in (JWT, ACCESS, SEALED):
        house.tokens.read(form, "here", under_our_key(house, form, claims_of(house, form)))


SEALED_HEADERS: list[dict[str, Any]] = [
    {"enc": "A256GCM", "alg": "dir"},
    {"alg": "dir", "enc": "A256GCM", "zip": "DEF"},
    {"alg": "dir", "enc": "A256GCM", "typ": "JWT"},
    {"alg": "dir", "enc": "A256GCM", "kid": "1"},
    {"alg": "dir", "enc": "A256GCM", "cty": "JWT"},
    {"alg": "A256KW", "enc": "A256GCM"},
    {"alg": "A256GCMKW", "enc": "A256GCM"},
    {"alg": "PBES2-HS256+A128KW", "enc": "A256GCM", "p2c": 1000},
]


@pytest.mark.parametrize("head", SEALED_HEADERS)
def test_a_sealed_token_with_another_header_is_refused_even_under_our_key(head: dict[str, Any]) -> None:
    house = House()
    allowed = ["dir", "A256GCM", "A256KW", "A256GCMKW", "PBES2-HS256+A128KW", "DEF"]
    token = jwe.encrypt_compact(head, claims_of(house, SEALED), house.key(SEALED.use).octets, allowed)
    refused(house, SEALED, token)


def test_a_compressed_bomb_and_a_costly_password_header_cost_nothing() -> None:
    house = House()
    bomb = base64url.encode(zlib.compress(bytes(4000))[2:-4])
    for head in (
        {"alg": "dir", "enc": "A256GCM", "zip": "DEF"},
        {"alg": "PBES2-HS512+A256KW", "enc": "A256GCM", "p2c": 10**9},
    ):
        token = ".".join((base64url.encode(json.dumps(head).encode()), "", "A" * 16, bomb, "A" * 22))
        began = time.perf_counter()
        refused(house, SEALED, token)
        assert time.perf_counter() - began < 0.05


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_sealed_parts_of_other_lengths_or_spellings_are_refused(number: int) -> None:
    house = House()
    parts = issue(house, SEALED).split(".")
    changed = ["A" * 22, parts[number] + "A", parts[number] + "=", parts[number][:-1], parts[number][:-1] + "+"]
    for text in changed + ([""] if number > 1 else []):
        if text != parts[number]:
            refused(house, SEALED, ".".join((*parts[:number], text, *parts[number + 1 :])))


@pytest.mark.parametrize("form", [JWT, ACCESS, SEALED])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_token_with_any_character_changed_is_refused(form: Signed | Sealed, data: st.DataObject) -> None:
    house = House()
    token = issue(house, form)
    at = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from(LETTERS + ".=+/ é\n\x00").filter(lambda c: c != token[at]))
    refused(house, form, token[:at] + letter + token[at + 1 :])


@pytest.mark.parametrize("form", NAMED)
@settings(max_examples=60, deadline=None)
@given(text=st.one_of(st.text(), st.text(LETTERS + ".", max_size=200)))
def test_noise_is_refused_never_a_crash(form: Signed | Sealed, text: str) -> None:
    refused(House(), form, text)


@pytest.mark.parametrize("form", NAMED)
def test_a_token_has_one_spelling(form: Signed | Sealed) -> None:
    house = House()
    token = issue(house, form)
    for letter in LETTERS + "=+/":
        if letter != token[-1]:
            refused(house, form, token[:-1] + letter)
    for at in (place for place, each in enumerate(token) if each in ".-_"):
        for letter in (".", "-", "_", "+", "/", "="):
            if letter != token[at]:
                refused(house, form, token[:at] + letter + token[at + 1 :])
    for at in range(len(token)):
        refused(house, form, token[:at] + "\n" + token[at:])


@pytest.mark.parametrize("form", NAMED)
def test_odd_texts_are_refused(form: Signed | Sealed) -> None:
    house = House()
    token = issue(house, form)
    texts = ["", ".", "..", "....", token + ".", "." + token, token + "=", token + " ", " " + token, token + "\n"]
    for text in [*texts, "\ud800", token + "\ud800", token * 2, "Bearer " + token, json.dumps({"payload": token})]:
        refused(house, form, text)


def test_a_text_over_8_kib_is_refused_before_any_work() -> None:
    house = House()
    big = issue(house, JWT) + "A" * 8192
    began = time.perf_counter()
    for form in (*NAMED, OPAQUE, API):
        with pytest.raises(BadToken, match="too long"):
            house.tokens.read(form, "here", big)
        with pytest.raises(BadToken, match="too long"):
            house.tokens.read(form, "here", "A" * 1_000_000)
    assert time.perf_counter() - began < 0.05


def test_standard_base64_and_padding_are_another_spelling() -> None:
    house = House()
    key = house.key(JWT.use)
    head, payload = b'{"alg":"HS256","typ":"JWT"}', claims_of(house, JWT, sub="??>>~~")
    signed = base64.b64encode(head).decode() + "." + base64.b64encode(payload).decode()
    refused(house, JWT, signed + "." + base64.b64encode(hmac.digest(key.material, signed.encode(), "sha256")).decode())


# ---------------------------------------------------------------- rotation and memory


@pytest.mark.parametrize("form", [JWT, ACCESS, SEALED])
def test_keys_overlap_and_at_most_three_read(form: Signed | Sealed) -> None:
    house = House()
    token = issue(house, form)
    for _ in range(2):
        house.rotate(form.use)
        house.tokens.read(form, "here", token)
        house.tokens.read(form, "here", issue(house, form))
    house.rotate(form.use)
    refused(house, form, token)


@pytest.mark.parametrize("form", [JWT, ACCESS, SEALED])
def test_a_key_that_is_gone_reads_nothing_not_even_what_was_remembered(form: Signed | Sealed) -> None:
    house = House()
    token = issue(house, form)
    house.tokens.read(form, "here", token)
    house.rotate(form.use, drop=house.key(form.use).id)
    refused(house, form, token)


def test_a_use_without_a_key_issues_and_reads_nothing() -> None:
    house = House()
    token = issue(house, JWT)
    stray = Signed("nobody", "HS256", "session", 60)
    with pytest.raises(NoKey):
        issue(house, stray)
    refused(house, stray, token)


def test_a_key_of_another_algorithm_under_the_same_use_reads_nothing() -> None:
    house = House()
    for form in (JWT, ACCESS, SEALED):
        token = issue(house, form)
        wrong = {"HS256": "ES256", "ES256": "HS256", "A256GCM": "HS256"}[ALGORITHM[form.use]]
        house.set = KeySet([make_key(50, form.use, wrong)])
        refused(house, form, token)
        with pytest.raises(NoKey, match="does not serve"):
            issue(house, form)
        house.set = KeySet(house.made)


def test_what_is_remembered_is_bounded_and_the_oldest_goes_first() -> None:
    house = House(remembered=3)
    tokens = [house.tokens.issue_for(JWT, "here", bytes([n]) * 16, {"sub": "x"}, START + 60_000) for n in range(5)]
    for n, token in enumerate(tokens):
        assert house.tokens.read(JWT, "here", token).session_id == bytes([n]) * 16
    assert len(house.tokens._known) == 3
    assert {known.session_id for _, known in house.tokens._known.values()} == {bytes([n]) * 16 for n in (2, 3, 4)}


def test_what_is_remembered_says_nothing_to_another_form_kind_or_audience() -> None:
    house = House()
    token = issue(house, ACCESS)
    house.tokens.read(ACCESS, "here", token)
    for form, audience in ((LIMITED, "here"), (ACCESS, "there"), (JWT, "here")):
        with pytest.raises(BadToken):
            house.tokens.read(form, audience, token)


def test_a_secret_of_another_house_reads_nothing() -> None:
    one, two = House(), House()
    for form in NAMED:
        refused(two, form, issue(one, form))

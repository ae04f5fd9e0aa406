from __future__ import annotations

import hashlib

import argon2.low_level as argon2
import bcrypt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from passlib import hash as passlib_hash

from dragoman.core.credentials import hashes
from dragoman.core.credentials.hashes import NeedsPlainPassword, NoMatch, Parameters, TooCostly, UnreadableHash
from dragoman.model import Password, Secret

CHEAP = Parameters(memory_kib=64, passes=1)
WORD = "correct horse battery staple"
HEX = hashlib.sha256(WORD.encode()).hexdigest()
SALT = b"0123456789abcdef"


def argon2_text(kind: argon2.Type, lanes: int = 1, version: int = 19, size: int = 32) -> str:
    return argon2.hash_secret(WORD.encode(), SALT, 1, 64 * lanes, lanes, size, kind, version).decode()


def werkzeug(method: str, key: bytes) -> str:
    return f"{method}$saltsalt${key.hex()}"


IMPORTED = {
    "bcrypt": "bcrypt:" + bcrypt.hashpw(WORD.encode(), bcrypt.gensalt(4)).decode(),
    "bcrypt 2y": "bcrypt:" + bcrypt.hashpw(WORD.encode(), bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$"),
    "argon2id": "argon2:" + argon2_text(argon2.Type.ID),
    "argon2i": "argon2:" + argon2_text(argon2.Type.I),
    "argon2d": "argon2:" + argon2_text(argon2.Type.D),
    "argon2id of three lanes": "argon2:" + argon2_text(argon2.Type.ID, lanes=3),
    "argon2i of version 16": "argon2:" + argon2_text(argon2.Type.I, version=16),
    "argon2id, long": "argon2:" + argon2_text(argon2.Type.ID, size=64),
    "scrypt of passlib": "scrypt:" + passlib_hash.scrypt.using(rounds=4).hash(WORD),
    "scrypt of Werkzeug": "scrypt:"
    + werkzeug("scrypt:16:8:1", hashlib.scrypt(WORD.encode(), salt=b"saltsalt", n=16, r=8, p=1, dklen=64)),
    "pbkdf2 of passlib, 1": "pbkdf2:" + passlib_hash.pbkdf2_sha1.using(rounds=10).hash(WORD),
    "pbkdf2 of passlib, 256": "pbkdf2:" + passlib_hash.pbkdf2_sha256.using(rounds=10).hash(WORD),
    "pbkdf2 of passlib, 512": "pbkdf2:" + passlib_hash.pbkdf2_sha512.using(rounds=10).hash(WORD),
    "pbkdf2 of Django, 1": "pbkdf2:" + passlib_hash.django_pbkdf2_sha1.using(rounds=10).hash(WORD),
    "pbkdf2 of Django, 256": "pbkdf2:" + passlib_hash.django_pbkdf2_sha256.using(rounds=10).hash(WORD),
    "pbkdf2 of Werkzeug": "pbkdf2:"
    + werkzeug("pbkdf2:sha256:10", hashlib.pbkdf2_hmac("sha256", WORD.encode(), b"saltsalt", 10)),
    "pbkdf2 of Atlassian": "pbkdf2:" + passlib_hash.atlassian_pbkdf2_sha1.hash(WORD),
}
CANONICAL = hashes.make(Secret(HEX), SALT, CHEAP)
OVER_HEX = "bcrypt-sha256:" + bcrypt.hashpw(HEX.encode(), bcrypt.gensalt(4)).decode()


@pytest.mark.parametrize("stored", IMPORTED.values(), ids=IMPORTED.keys())
def test_an_imported_hash_takes_its_password_and_no_other(stored: str) -> None:
    found = hashes.verify(stored, Password.from_plain(WORD), CHEAP)
    assert found.outdated
    for wrong in ("", "Correct horse battery staple", WORD + " ", HEX):
        with pytest.raises(NoMatch):
            hashes.verify(stored, Password.from_plain(wrong), CHEAP)


@pytest.mark.parametrize("stored", IMPORTED.values(), ids=IMPORTED.keys())
def test_a_digest_cannot_verify_a_hash_over_the_plain_password(stored: str) -> None:
    with pytest.raises(NeedsPlainPassword):
        hashes.verify(stored, Password.from_digest(HEX), CHEAP)


@pytest.mark.parametrize("stored", IMPORTED.values(), ids=IMPORTED.keys())
def test_an_import_recognises_the_form_by_its_text(stored: str) -> None:
    assert hashes.recognise(stored.partition(":")[2]) == stored


@pytest.mark.parametrize("stored", [CANONICAL, OVER_HEX], ids=["canonical", "bcrypt-sha256"])
def test_a_hash_over_the_digest_takes_plain_and_digest(stored: str) -> None:
    for password in (Password.from_plain(WORD), Password.from_digest(HEX), Password.from_digest(HEX.upper())):
        assert hashes.verify(stored, password, CHEAP).outdated is (stored is OVER_HEX)
    with pytest.raises(NoMatch):
        hashes.verify(stored, Password.from_plain(HEX), CHEAP)


def test_bcrypt_over_the_digest_must_be_said_at_import() -> None:
    assert hashes.recognise(OVER_HEX.partition(":")[2], over_digest=True) == OVER_HEX


def test_bcrypt_sees_72_bytes_and_every_one_of_them() -> None:
    long = "é" * 36 + "tail"
    stored = "bcrypt:" + bcrypt.hashpw(long.encode()[:72], bcrypt.gensalt(4)).decode()
    hashes.verify(stored, Password.from_plain(long), CHEAP)
    hashes.verify(stored, Password.from_plain("é" * 36 + "other"), CHEAP)
    with pytest.raises(NoMatch):
        hashes.verify(stored, Password.from_plain("é" * 35 + "ee"), CHEAP)


@given(st.text(max_size=80))
@example("a\x00b")
@example("\ud800")
@example(" padded ")
def test_the_canonical_form_keeps_exactly_the_characters_received(text: str) -> None:
    password = Password.from_plain(text)
    stored = hashes.make(password.hexdigest, SALT, CHEAP)
    assert hashes.verify(stored, password, CHEAP).outdated is False
    for other in (text + "\x00", text + " ", " " + text):
        with pytest.raises(NoMatch):
            hashes.verify(stored, Password.from_plain(other), CHEAP)


def test_a_canonical_hash_is_the_text_any_argon2_reads() -> None:
    text = CANONICAL.partition(":")[2]
    assert text.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert argon2.verify_secret(text.encode(), HEX.encode(), argon2.Type.ID)


@pytest.mark.parametrize(
    ("memory", "passes", "outdated"),
    [(19456, 2, False), (19456, 1, True), (12288, 3, True), (65536, 1, False), (65536, 3, False), (9728, 4, True)],
)
def test_a_hash_weaker_than_the_setting_is_rewritten(memory: int, passes: int, outdated: bool) -> None:
    stored = f"canonical:$argon2id$v=19$m={memory},t={passes},p=1${'A' * 22}${'A' * 43}"
    assert hashes.needs_rehash(stored, Parameters()) is outdated


TAIL = f"${'A' * 22}${'A' * 43}"
COSTLY = [
    f"argon2:$argon2id$v=19$m=262145,t=1,p=1{TAIL}",
    f"canonical:$argon2id$v=19$m=262145,t=1,p=1{TAIL}",
    f"argon2:$argon2id$v=19$m=99999999,t=9999,p=1{TAIL}",
    f"argon2:$argon2id$v=19$m=19456,t=400,p=1{TAIL}",
    f"argon2:$argon2d$v=19$m=262144,t=8,p=8{TAIL}",
    f"bcrypt:$2b$15${'a' * 53}",
    f"bcrypt-sha256:$2b$31${'a' * 53}",
    f"scrypt:$scrypt$ln=19,r=8,p=1{TAIL}",
    f"scrypt:$scrypt$ln=63,r=8,p=1{TAIL}",
    f"scrypt:$scrypt$ln=99,r=9999,p=9999{TAIL}",
    f"scrypt:$scrypt$ln=14,r=8,p=1000{TAIL}",
    "scrypt:scrypt:67108864:8:1$salt$" + "a" * 64,
    "pbkdf2:pbkdf2_sha256$99999999$salt$" + "A" * 43 + "=",
    "pbkdf2:$pbkdf2-sha512$1000000$AAAA$" + "A" * 128,
]


@pytest.mark.parametrize("stored", COSTLY)
def test_a_hash_above_the_ceilings_is_refused_before_it_is_computed(stored: str) -> None:
    with pytest.raises(TooCostly):
        hashes.verify(stored, Password.from_plain(WORD), CHEAP)
    with pytest.raises(TooCostly):
        hashes.examine(stored)


@pytest.mark.parametrize(
    "stored",
    [
        f"canonical:$argon2id$v=19$m=19456,t=2,p=1{TAIL}",
        f"argon2:$argon2id$v=19$m=65536,t=3,p=4{TAIL}",
        f"argon2:$argon2id$v=19$m=262144,t=3,p=1{TAIL}",
        f"bcrypt:$2b$14${'a' * 53}",
        f"scrypt:$scrypt$ln=17,r=8,p=1{TAIL}",
        "pbkdf2:pbkdf2_sha256$1500000$salt$" + "A" * 43 + "=",
    ],
)
def test_what_others_recommend_lies_under_the_ceilings(stored: str) -> None:
    assert hashes.examine(stored).seconds <= hashes.MOST_SECONDS


def test_a_label_gives_form_and_cost_and_the_same_estimate() -> None:
    for stored in (*IMPORTED.values(), CANONICAL, OVER_HEX):
        found = hashes.examine(stored)
        assert hashes.estimated_seconds(found.label) == found.seconds
    assert hashes.examine(OVER_HEX).label == "bcrypt-sha256:cost=4"
    assert hashes.examine(CANONICAL).label == "canonical:type=id,m=64,t=1,p=1"


@pytest.mark.parametrize("label", ["", "bcrypt", "bcrypt:cost=x", "pbkdf2:hash=md5,rounds=1,blocks=1", "a:b=1"])
def test_what_is_no_label_has_no_estimate(label: str) -> None:
    with pytest.raises(UnreadableHash):
        hashes.estimated_seconds(label)


BROKEN = [
    "",
    ":",
    "canonical:",
    "md5:5f4dcc3b5aa765d61d8327deb882cf99",
    "$2b$04$" + "a" * 53,
    "bcrypt:$2x$04$" + "a" * 53,
    "bcrypt:$2b$03$" + "a" * 53,
    "bcrypt:$2b$04$" + "a" * 52,
    "bcrypt:$2b$04$" + "a" * 53 + "\n",
    f"canonical:$argon2i$v=19$m=64,t=1,p=1{TAIL}",
    f"canonical:$argon2id$v=19$m=64,t=1,p=2{TAIL}",
    f"canonical:$argon2id$m=64,t=1,p=1{TAIL}",
    f"argon2:$argon2id$v=19$m=64,t=0,p=1{TAIL}",
    f"argon2:$argon2id$v=19$m=64,t=1,p=9{TAIL}",
    f"argon2:$argon2id$v=19$m=4,t=1,p=1{TAIL}",
    "scrypt:scrypt:15:8:1$salt$" + "a" * 64,
    "scrypt:scrypt:16:0:1$salt$" + "a" * 64,
    "scrypt:scrypt:16:8:1$salt$" + "a" * 63,
    "pbkdf2:pbkdf2_sha256$0$salt$" + "A" * 43 + "=",
    "pbkdf2:pbkdf2_md5$1$salt$" + "A" * 43 + "=",
    "pbkdf2:pbkdf2_sha256$1$salt$" + "A" * 41,
    "argon2:" + "A" * 5000,
]


@pytest.mark.parametrize("stored", BROKEN)
def test_what_is_no_hash_is_unreadable(stored: str) -> None:
    with pytest.raises(UnreadableHash):
        hashes.verify(stored, Password.from_plain(WORD), CHEAP)


@given(st.text(max_size=60), st.sampled_from(["canonical", "bcrypt", "argon2", "scrypt", "pbkdf2", ""]))
def test_noise_is_unreadable_never_a_crash(text: str, scheme: str) -> None:
    with pytest.raises(NoMatch):
        hashes.verify(f"{scheme}:{text}", Password.from_plain(WORD), CHEAP)

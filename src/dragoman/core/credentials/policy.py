"""What a new password must be (NIST SP 800-63B-4, decision 26): long enough and not one that everybody tries first.

No rules of composition. A dialect may add its own; none may weaken these. Signing in never asks this policy.
"""

from __future__ import annotations

import hashlib
import string
import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import resources

from dragoman.core.refusals import WeakPassword
from dragoman.model import Password

SHORTEST = 8
LONGEST = 256
"""In code points."""

_DECORATION = string.digits + string.punctuation + " "
_ENDINGS = (
    *("", "1", "12", "123", "1234", "12345", "123456", "!", "1!", "12!", "123!", "1234!", "@123", "#1", "01", "007"),
    *(str(year) for year in range(2018, 2031)),
    *(f"{year}!" for year in range(2022, 2031)),
)
_SHORT_ENDINGS = ("", "1", "123", "!", "123!")
_AS_DIGITS = str.maketrans("aeios", "43105")
_AS_MARKS = str.maketrans("aois", "@0!$")
_SMALLEST_NAME = 4
_MIXED = frozenset({"Lu", "Ll", "Nd"})
"""Unicode's upper-case letters, lower-case letters and decimal digits."""


def check(password: Password, names: Iterable[str] = (), *, mixed: bool = False) -> None:
    """Refuse a new password that breaks the policy.

    `names` are words that say who the account is: username, first and last name, address, organization. A password
    that came as a digest cannot be measured, but is compared with the digests of all common ones and of the names.
    Its shape (64 hex digits) is the dialect's to check. `mixed` wants an upper-case letter, a lower-case one and a
    digit, for doors whose contract does (`Door.mixed_password`).

    Raises WeakPassword with reason `too_short`, `too_long`, `too_plain` or `common`.
    """
    words = frozenset(_words(names))
    digests = {password.hexdigest.reveal()}
    if password.plain is not None:
        plain = password.plain.reveal()
        if len(plain) < SHORTEST:
            raise WeakPassword("too_short")
        if len(plain) > LONGEST:
            raise WeakPassword("too_long")
        if mixed and not _MIXED.issubset(map(unicodedata.category, plain)):
            raise WeakPassword("too_plain")
        folded = plain.casefold()
        bare = folded.strip(_DECORATION)
        digests |= {_digest(folded), _digest(bare), _digest(folded.replace(" ", ""))}
        if len(set(plain)) == 1 or folded in words or bare in words:
            raise WeakPassword("common")
    if any(is_common(digest) for digest in digests) or not digests.isdisjoint(_digests_of(words, _ENDINGS)):
        raise WeakPassword("common")


def is_common(hexdigest: str) -> bool:
    """Tell whether a lower-case hex SHA-256 is that of a common password, of a variant of one, or of nothing at all."""
    known, start = _common(), _start(hexdigest)
    place = bisect_left(known, start)
    return place < len(known) and known[place] == start


@cache
def _common() -> array[int]:
    """Return the first 8 bytes of every digest on the list, sorted: as good as the whole digests, in a tenth of the
    memory. Made once, at first use.
    """
    text = resources.files(__package__).joinpath("common_passwords.txt").read_text("utf-8")
    words = [line for line in text.splitlines() if line and not line.startswith("#")]
    return array("Q", sorted({_start(digest) for digest in (_digest(""), *_digests_of(words, _SHORT_ENDINGS))}))


def _start(hexdigest: str) -> int:
    return int(hexdigest[:16], 16)


def _words(names: Iterable[str]) -> Iterator[str]:
    """Yield the names, folded, whole, in parts and without their separators."""
    for name in names:
        folded = name.casefold().strip()
        local = folded.partition("@")[0]
        parts = "".join(letter if letter.isalnum() else " " for letter in folded).split()
        for part in (folded, local, "".join(filter(str.isalnum, local)), *parts):
            if len(part) >= _SMALLEST_NAME:
                yield part


def _digests_of(words: Iterable[str], endings: Iterable[str]) -> Iterator[str]:
    ends = tuple(endings)
    for word in words:
        for spelling in {word, word.capitalize(), word.upper(), word.translate(_AS_DIGITS), word.translate(_AS_MARKS)}:
            for end in ends:
                yield _digest(spelling + end)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

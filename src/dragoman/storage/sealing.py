"""Secrets at rest: a ring of master keys in a file beside nothing else, and the sealing of single values under it.

Every purpose has its own key (HKDF), and every sealed value is bound to the place it was written to, so that a value
copied to another row, column, table or account does not open (threat 20).
"""

from __future__ import annotations

import base64
import hmac
import os
from pathlib import Path
from typing import Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_SIZE = 32
VERSION = 1
NONCE_SIZE = 12
_HEAD = 3
_SMALLEST = _HEAD + NONCE_SIZE + 16
_LARGEST_KEY_ID = 0xFFFF
_FILE_MODE = 0o600


class RingBroken(Exception):
    """The key ring cannot be used. The text names the file, what is wrong with it and the remedy."""


class SealBroken(Exception):
    """A sealed value does not open: altered, moved from its place, or sealed under a key that the ring lacks."""


class Bytes(Protocol):
    """The part of `core.ports.Random` that sealing needs."""

    def bytes(self, size: int) -> bytes:
        """Return `size` random bytes."""


class _KeyOnFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: int
    key: str


class _RingOnFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: list[_KeyOnFile]


class Ring:
    """Several master keys, newest first. The newest seals; all of them open."""

    def __init__(self, keys: tuple[tuple[int, bytes], ...], path: Path | None = None) -> None:
        if not keys:
            raise RingBroken(f"key ring {path}: holds no key; restore the file from its backup")
        ids = [number for number, _ in keys]
        if len(set(ids)) != len(ids) or any(not 1 <= number <= _LARGEST_KEY_ID for number in ids):
            raise RingBroken(f"key ring {path}: key ids must differ and lie between 1 and {_LARGEST_KEY_ID}")
        if any(len(key) != KEY_SIZE for _, key in keys):
            raise RingBroken(f"key ring {path}: every key must have {KEY_SIZE} bytes; restore the file from its backup")
        self._keys = dict(sorted(keys, reverse=True))
        self._path = path

    def __repr__(self) -> str:
        return f"Ring(ids={list(self._keys)})"

    @property
    def ids(self) -> tuple[int, ...]:
        """The ids of the keys, newest first."""
        return tuple(self._keys)

    @classmethod
    def create(cls, path: Path, random: Bytes) -> Ring:
        """Make a ring with one key in a new file of mode 0600.

        Raises RingBroken when the file exists: a ring is made only together with a new database (design 4).
        """
        ring = cls(((1, random.bytes(KEY_SIZE)),), path)
        try:
            ring._write(path)
        except FileExistsError:
            raise RingBroken(f"key ring {path}: exists already; it is never overwritten") from None
        _flush_folder(path.parent)
        return ring

    @classmethod
    def load(cls, path: Path) -> Ring:
        """Read a ring. Raises RingBroken: no file, readable by others, or not a ring."""
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode & 0o777
                text = file.read(1 << 20)
        except OSError as fault:
            raise RingBroken(
                f"key ring {path}: cannot be read ({fault.strerror}); the database opens only with its own ring, "
                "restore the file from its backup"
            ) from None
        if mode & ~_FILE_MODE:
            raise RingBroken(f"key ring {path}: mode is {mode:04o}, expected 0600; run: chmod 600 {path}")
        try:
            found = msgspec.json.decode(text, type=_RingOnFile)
            keys = tuple((entry.id, base64.b64decode(entry.key, validate=True)) for entry in found.keys)
        except ValueError:
            raise RingBroken(f"key ring {path}: is not a key ring; restore the file from its backup") from None
        return cls(keys, path)

    def add(self, random: Bytes) -> Ring:
        """Return a ring with one more key, already on disk (written beside the old file, then renamed over it)."""
        grown = Ring(((max(self._keys) + 1, random.bytes(KEY_SIZE)), *self._keys.items()), self._path)
        if self._path is not None:
            beside = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
            grown._write(beside)
            os.replace(beside, self._path)
            _flush_folder(self._path.parent)
        return grown

    def check_value(self, key_id: int) -> bytes:
        """Return 16 bytes that tell the key without giving it away: the database keeps them, so that a wrong ring is
        noticed at start (threat 38). Raises SealBroken for an id that the ring lacks.
        """
        return self.derive(key_id, "check")[:16]

    def derive(self, key_id: int, purpose: str) -> bytes:
        """Return the 32-byte key of a purpose under one master key (HKDF-SHA-256, RFC 5869; no salt, as the master
        key is uniform already). Raises SealBroken for an id that the ring lacks.
        """
        master = self._keys.get(key_id)
        if master is None:
            raise SealBroken(f"the key ring has no key {key_id}")
        return HKDF(SHA256(), KEY_SIZE, salt=None, info=f"dragoman {purpose}".encode()).derive(master)

    def _write(self, path: Path) -> None:
        stored = _RingOnFile([_KeyOnFile(n, base64.b64encode(key).decode()) for n, key in self._keys.items()])
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(stored)) + b"\n")
            file.flush()
            os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def where(table: str, column: str, row: bytes | int, account: bytes | None) -> bytes:
    """Name the place of a sealed value, so that it opens nowhere else.

    `row` is the row's primary key, `account` the 16-byte id of its owner or None for rows without one. Each part is
    written with its kind and length: no two different places give the same bytes.
    """
    row_kind, row_bytes = (b"i", str(row).encode()) if isinstance(row, int) else (b"b", row)
    owner_kind, owner = (b"-", b"") if account is None else (b"a", account)
    parts = ((b"t", table.encode()), (b"c", column.encode()), (row_kind, row_bytes), (owner_kind, owner))
    return b"".join(kind + len(part).to_bytes(4, "big") + part for kind, part in parts)


class Sealer:
    """Seals and opens values under a ring.

    A sealed value is: version (1 byte), key id (2), nonce (12), AES-256-GCM ciphertext with its 16-byte tag.
    """

    def __init__(self, ring: Ring, random: Bytes) -> None:
        self._ring = ring
        self._random = random
        self._ciphers: dict[tuple[int, str], AESGCM] = {}
        self._mac_keys: dict[tuple[int, str], bytes] = {}

    def seal(self, purpose: str, place: bytes, plaintext: bytes) -> bytes:
        """Seal `plaintext` for one purpose at one place (from `where`) under the newest key."""
        key_id = self._ring.ids[0]
        head = bytes((VERSION,)) + key_id.to_bytes(2, "big")
        nonce = self._random.bytes(NONCE_SIZE)
        sealed = self._cipher(key_id, purpose).encrypt(nonce, plaintext, _bound_to(head, purpose, place))
        return head + nonce + sealed

    def open(self, purpose: str, place: bytes, sealed: bytes) -> bytes:
        """Return what was sealed for this purpose at this place. Raises SealBroken."""
        if len(sealed) < _SMALLEST or sealed[0] != VERSION:
            raise SealBroken("not a sealed value of a known version")
        head, nonce, body = sealed[:_HEAD], sealed[_HEAD : _HEAD + NONCE_SIZE], sealed[_HEAD + NONCE_SIZE :]
        cipher = self._cipher(int.from_bytes(head[1:], "big"), purpose)
        try:
            return cipher.decrypt(nonce, body, _bound_to(head, purpose, place))
        except InvalidTag:
            raise SealBroken("the sealed value was altered or moved from its place") from None

    def is_current(self, sealed: bytes) -> bool:
        """Tell whether a value is sealed under the newest key, for a walk that seals old values anew."""
        return sealed[1:_HEAD] == self._ring.ids[0].to_bytes(2, "big")

    def mac(self, purpose: str, data: bytes) -> bytes:
        """Return HMAC-SHA-256 of `data` under the newest key of the purpose (32 bytes)."""
        return self._mac(self._ring.ids[0], purpose, data)

    def macs(self, purpose: str, data: bytes) -> tuple[bytes, ...]:
        """Return the MAC under every key of the ring, newest first: what to look for after a key was added."""
        return tuple(self._mac(key_id, purpose, data) for key_id in self._ring.ids)

    def _mac(self, key_id: int, purpose: str, data: bytes) -> bytes:
        key = self._mac_keys.get((key_id, purpose))
        if key is None:
            key = self._mac_keys[key_id, purpose] = self._ring.derive(key_id, f"mac {purpose}")
        return hmac.digest(key, data, "sha256")

    def _cipher(self, key_id: int, purpose: str) -> AESGCM:
        cipher = self._ciphers.get((key_id, purpose))
        if cipher is None:
            cipher = self._ciphers[key_id, purpose] = AESGCM(self._ring.derive(key_id, f"seal {purpose}"))
        return cipher


def _bound_to(head: bytes, purpose: str, place: bytes) -> bytes:
    name = purpose.encode()
    return head + len(name).to_bytes(2, "big") + name + place

"""Rocket.Chat's avatars (its contract, section 12): the uploaded picture, else the first letters of the name, drawn."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import ClassVar
from urllib.parse import quote
from xml.sax.saxutils import escape

from msgspec import UNSET, UnsetType

from dragoman.core.pictures import LARGEST_UPLOAD
from dragoman.dialects.rocketchat import permissions, wire
from dragoman.dialects.rocketchat.accounts import meant
from dragoman.dialects.rocketchat.errors import failure
from dragoman.dialects.rocketchat.public import site_of
from dragoman.dialects.rocketchat.wire_accounts import Who
from dragoman.http import Answer, Bytes, Call, File, operation
from dragoman.model import Account, Person, Picture

_COLOURS = (
    "#c62828", "#ad1457", "#6a1b9a", "#4527a0", "#283593", "#1565c0", "#00695c", "#2e7d32", "#33691e", "#9e4a00",
    "#bf360c", "#4e342e", "#37474f",
)  # fmt: skip
"""On each of them white letters have a contrast of 4.5 or more (WCAG 2.2, 1.4.3)."""
_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 200" width="200" height="200">'
    '<rect width="200" height="200" fill="{colour}"/>'
    '<text x="100" y="100" dy="0.36em" text-anchor="middle" font-family="Helvetica, Arial, sans-serif"'
    ' font-size="{size}" fill="#ffffff">{letters}</text></svg>'
)
_WORDS = re.compile(r"[^\W_]+")
_ALONE = (
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "default-src 'none'; sandbox"),
    ("cross-origin-resource-policy", "cross-origin"),
    ("pragma", ""),
)
"""An image and nothing else, also when somebody opens it by itself; pages of clients may show it."""
_KEPT = "public, max-age=300"
"""Asked for again after five minutes, with its ETag: then a 304 if it is still the same."""
_NO_PICTURE = failure(400, "The 'avatarUrl' or 'image' param is required", "error-avatar-param-not-provided")
_NO_URL = failure(400, "Invalid avatar URL: addresses are not fetched, send the image", "error-avatar-invalid-url")
_NOT_ALLOWED = failure(400, "Not allowed", "error-not-allowed")


class NewAvatar(Who, rename="camel"):
    """A picture. `avatarUrl` is known and refused: no address that a client names is ever fetched."""

    multipart: ClassVar[bool] = True
    image: File | UnsetType = UNSET
    avatar_url: str | UnsetType = UNSET


@lru_cache(maxsize=4096)
def initials(name: str) -> Picture:
    """Return an SVG image of a name's first letters. The same name has the same colour for ever."""
    words = _WORDS.findall(name)
    letters = "".join(word[0] for word in (words[:1] + words[1:][-1:])).upper()[:2] or "?"
    colour = _COLOURS[hashlib.sha256(name.encode("utf-8", "replace")).digest()[0] % len(_COLOURS)]
    image = _SVG.format(colour=colour, size=110 if len(letters) == 1 else 90, letters=escape(letters)).encode()
    return Picture("image/svg+xml", hashlib.sha256(image).hexdigest()[:32], image)


_IMAGE = Bytes(("image/svg+xml", "image/png", "image/jpeg", "image/webp"))


@operation("GET", "/avatar/{username}", answers={200: _IMAGE, 304: None}, access="optional", tag="avatars")
async def avatar(call: Call) -> Answer:
    """Give the picture of somebody, else the first letters of the name, whether or not anybody has that name."""
    name = call.path["username"]
    found = await call.core.pictures.shown(call.door, name, call.caller) or initials(name[:255])
    etag = f'"{found.etag}"'
    headers = (("etag", etag), ("cache-control", _KEPT), *_ALONE)
    if etag in (call.header("if-none-match") or ""):
        return Answer(304, None, headers)
    return Answer(200, found.image, (("content-type", found.media), *headers))


@operation("GET", "/api/v1/users.getAvatar", query=Who, answers={307: None}, access="any", tag="avatars")
async def get_avatar(call: Call, query: Who) -> Answer:
    """Lead to the picture of somebody."""
    name = query.username
    if name is UNSET:
        name = (await _seen(call, query)).username
    return Answer(307, None, (("location", f"{site_of(call)}/avatar/{quote(name, safe='')}"),))


@operation(
    "POST",
    "/api/v1/users.setAvatar",
    body=NewAvatar,
    answers={200: wire.Done},
    access="any",
    body_limit=LARGEST_UPLOAD + 4096,
    tag="avatars",
)
async def set_avatar(call: Call, body: NewAvatar) -> wire.Done | Answer:
    """Upload a picture: PNG, JPEG, WebP or GIF, at most 4 MiB. Of others with `edit-other-user-avatar`.

    It is drawn anew, at most 512 pixels wide and high, without anything that was hidden in it.
    """
    if body.image is UNSET:
        return _NO_PICTURE if body.avatar_url is UNSET else _NO_URL
    account = await _own_or_other(call, body)
    if account is None:
        return _NOT_ALLOWED
    await call.core.pictures.put(call.signed_in, account, body.image.content, call.client)
    return wire.DONE


@operation("POST", "/api/v1/users.resetAvatar", body=Who, answers={200: wire.Done}, access="any", tag="avatars")
async def reset_avatar(call: Call, body: Who) -> wire.Done | Answer:
    """Take a picture away, so that the first letters of the name are shown."""
    account = await _own_or_other(call, body)
    if account is None:
        return _NOT_ALLOWED
    await call.core.pictures.drop(call.signed_in, account, call.client)
    return wire.DONE


async def _own_or_other(call: Call, whose: Who) -> Account | None:
    """Return whose picture is to be changed, None where it takes a permission that is missing. Raises NotFound."""
    account = (await _seen(call, whose)).account
    own = account.id == call.signed_in.account.id
    return account if own or await permissions.has(call, "edit-other-user-avatar") else None


async def _seen(call: Call, whose: Who) -> Person:
    """Return whom a request names, the caller where it names nobody. Raises NotFound."""
    account = await meant(call, whose) or call.signed_in.account
    return await call.core.administration.seen(call.signed_in, account)


OPERATIONS = (avatar, get_avatar, set_avatar, reset_avatar)

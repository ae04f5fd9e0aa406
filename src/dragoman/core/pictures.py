"""Pictures of accounts: what is uploaded is decoded and drawn anew, so that nothing of it but its pixels is ever sent.

Scripts in an SVG, an archive behind the end, the place in an EXIF block: nothing of that comes through (threat 46).
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from dragoman.core import events, identifiers, refusals
from dragoman.core.doors import Door
from dragoman.core.organizations import may_manage, may_see
from dragoman.core.tools import Tools
from dragoman.model import Account, Caller, Client, Millis, Picture, uuid_text
from dragoman.storage import pictures
from dragoman.storage.engine import Tx

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST_UPLOAD = 4 * 1024 * 1024
"""Bytes."""
LARGEST = 256 * 1024
"""Bytes of a picture as it is stored."""
SIDE = 512
"""Pixels of its longer side at most."""
MOST_PIXELS = 4096 * 4096
"""Of an upload: one takes four bytes while it is decoded."""
WAITING = 8
"""Uploads that may wait for the one that is decoded."""
_READ = ("PNG", "JPEG", "WEBP", "GIF")


class Pictures:
    """Keeps the pictures of accounts."""

    def __init__(self, tools: Tools) -> None:
        self._t = tools
        self._thread: ThreadPoolExecutor | None = None
        self._waiting = 0

    async def find(self, account: Account) -> Picture | None:
        """Return the picture of an account, None while it has none."""
        return await pictures.find(self._t.db, account.id)

    async def shown(self, door: Door, username: str, caller: Caller | None) -> Picture | None:
        """Return the picture that this door shows of a username, to anybody who asks; None where it has none.

        A picture tells that there is an account, which is what its owner put it there for. Where accounts are concealed
        it is shown to those who are signed in alone (decision 29).
        """
        hidden = caller is None and (await self._t.policy()).conceal_accounts
        if hidden or not identifiers.storable(username):
            return None
        return await pictures.shown(
            self._t.db, identifiers.fold("username", username), everybody=door.admits_all
        )  # fmt: skip

    async def put(self, caller: Caller, account: Account, uploaded: bytes, client: Client) -> Picture:
        """Make a picture of an upload and give it to one's own account or one that one manages, in place of the old.

        :param uploaded: a PNG, JPEG, WebP or GIF of at most LARGEST_UPLOAD bytes; of a moving one, the first image.

        Returns what is stored: at most 512 × 512 pixels, JPEG, PNG or WebP. Raises NotFound, NotAllowed (decision 12);
        BadPicture, Busy, Unavailable.
        """
        await self._may_change(caller, account)
        t, picture, now = self._t, await self._drawn(uploaded), self._t.clock.now()

        async def fn(tx: Tx) -> None:
            await pictures.put(tx, account.id, picture, now)
            await self._record(tx, caller, account, client, now=now)

        await t.db.transaction(fn)
        return picture

    async def drop(self, caller: Caller, account: Account, client: Client) -> bool:
        """Take the picture of one's own or a managed account away; tell whether there was one.

        Raises NotFound, NotAllowed.
        """
        await self._may_change(caller, account)
        t, now = self._t, self._t.clock.now()

        async def fn(tx: Tx) -> bool:
            gone = await pictures.drop(tx, account.id)
            if gone:
                await self._record(tx, caller, account, client, now=now)
            return gone

        return await t.db.transaction(fn)

    async def _may_change(self, caller: Caller, account: Account) -> None:
        by = caller.account
        if by.id == account.id:
            return
        if not may_see(by, account):
            raise refusals.NotFound
        if not await may_manage(self._t.db, by, account):
            raise refusals.NotAllowed

    async def _record(self, tx: Tx, caller: Caller, account: Account, client: Client, *, now: Millis) -> None:
        await events.record(
            tx, "account_changed", now, client=client, account=account.id, session=caller.session.id,
            door=caller.session.door, what="picture", by=uuid_text(caller.account.id),
        )  # fmt: skip

    def close(self) -> None:
        """Let go of the thread that draws."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def _drawn(self, uploaded: bytes) -> Picture:
        """Draw an upload anew, in one thread of its own: neither other requests nor passwords wait for it."""
        if not 0 < len(uploaded) <= LARGEST_UPLOAD:
            raise refusals.BadPicture(f"it has to be of 1 to {LARGEST_UPLOAD} bytes")
        if self._waiting > WAITING:
            raise refusals.Busy(1)
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "pictures")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, drawn, uploaded)
        finally:
            self._waiting -= 1


def drawn(uploaded: bytes) -> Picture:
    """Return a picture of what was uploaded. Takes up to a second. Raises BadPicture."""
    from PIL import Image, ImageOps, UnidentifiedImageError  # large, and of use to few calls

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(uploaded), formats=_READ) as opened:
                width, height = opened.size
                if not 0 < width * height <= MOST_PIXELS:
                    raise refusals.BadPicture(f"it has more than {MOST_PIXELS} pixels")
                opened.draft("RGB", (2 * SIDE, 2 * SIDE))  # a JPEG is decoded no larger than needed
                image = ImageOps.exif_transpose(opened)
                transparent = image.has_transparency_data
                image = image.convert("RGBA" if transparent else "RGB")
                image.thumbnail((SIDE, SIDE))
                image.info.clear()  # comments, profiles and the like, which writers would take along
        except refusals.BadPicture:
            raise
        except (UnidentifiedImageError, Image.DecompressionBombWarning, Image.DecompressionBombError):
            raise refusals.BadPicture("it is no PNG, JPEG, WebP or GIF, or too large") from None
        except Exception:  # decoders raise whatever they like over a broken file
            raise refusals.BadPicture("it cannot be decoded") from None
    return _encoded(image, transparent)


def _encoded(image: Image, transparent: bool) -> Picture:
    """Return the image as bytes, in the first way in which they are few enough."""
    ways: list[tuple[str, int, dict[str, Any]]] = [
        ("JPEG", SIDE, {"quality": 85}), ("JPEG", SIDE, {"quality": 60}), ("JPEG", SIDE // 2, {"quality": 60}),
    ]  # fmt: skip
    if transparent:
        ways = [
            ("PNG", SIDE, {"optimize": True}),
            ("WEBP", SIDE, {"quality": 80}),
            ("WEBP", SIDE // 2, {"quality": 60}),
        ]
    for form, side, how in ways:
        out = io.BytesIO()
        image.thumbnail((side, side))
        image.save(out, form, **how)
        body = out.getvalue()
        if len(body) <= LARGEST:
            return Picture(f"image/{form.lower()}", hashlib.sha256(body).hexdigest()[:32], body)
    raise refusals.BadPicture("it stays too large")

"""Pictures of accounts, as they are shown: small, and made anew by us from what was uploaded."""

from __future__ import annotations

from dragoman.model import Id, Millis, Picture
from dragoman.storage.engine import Reader, Row, Statement, Tx

_FIND = Statement("select media, etag, image from picture where account = :account", hot=True)
_SHOWN = Statement(
    """select p.media, p.etag, p.image from identifier i join account a on a.id = i.account
         join organization o on o.id = a.organization join picture p on p.account = a.id
       where i.kind = 'username' and i.folded = :folded and a.status = 'active'
         and (o.is_default = 1 or :everybody = 1)""",
    hot=True,
)
_PUT = Statement(
    """insert into picture(account, media, etag, image, updated_at) values (:account, :media, :etag, :image, :now)
       on conflict (account) do update set media = excluded.media, etag = excluded.etag, image = excluded.image,
         updated_at = excluded.updated_at""",
    hot=True,
)
_DROP = Statement("delete from picture where account = :account", hot=True)


async def find(db: Reader, account: Id) -> Picture | None:
    """Return the picture of an account, or None."""
    return _picture(await db.one(_FIND, account=account))


async def shown(db: Reader, username: str, *, everybody: bool) -> Picture | None:
    """Return the picture of an active account by its folded username, or None.

    :param everybody: whether accounts of all organizations count, or those of the default one only.
    """
    return _picture(await db.one(_SHOWN, folded=username, everybody=int(everybody)))


async def put(tx: Tx, account: Id, picture: Picture, now: Millis) -> None:
    """Store a picture in the place of what was stored."""
    await tx.run(_PUT, account=account, media=picture.media, etag=picture.etag, image=picture.image, now=now)


async def drop(tx: Tx, account: Id) -> bool:
    """Remove the picture of an account; tell whether there was one."""
    return await tx.run(_DROP, account=account) > 0


def _picture(row: Row | None) -> Picture | None:
    return None if row is None else Picture(str(row[0]), str(row[1]), bytes(row[2]))

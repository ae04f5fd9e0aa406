"""Hosted pages: a dialect whose wire is HTML. It owns every path that no other dialect owns (table E).

Beside what is told about the dialects, it has the forms to which mailed links lead. No page runs a script or loads
anything from elsewhere; the policy in `headers.HEADERS` holds browsers to that.
"""

from __future__ import annotations

from collections.abc import Sequence

from dragoman.http.always import nobody
from dragoman.http.dialect import BodyRules, Dialect, Mount, no_trailing_slash
from dragoman.web.errors import fault, refuse
from dragoman.web.headers import HEADERS
from dragoman.web.routes import operations


def pages(mounts: Sequence[Mount]) -> Dialect:
    """Return the owner of every path that no dialect owns, with a page about each dialect that is switched on."""
    live = tuple(mount for mount in mounts if mount.live)
    return Dialect(
        name="web",
        title="Pages",
        prefixes=("/",),
        door=None,
        operations=operations(live),
        refuse=refuse,
        fault=fault,
        authenticate=nobody,
        body=BodyRules(json=False, form=True, empty_is_object=True),
        headers=HEADERS,
        content_type="text/html; charset=utf-8",
        tidy_path=no_trailing_slash,
        head_as_get=True,
    )


__all__ = ["pages"]

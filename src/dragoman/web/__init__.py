"""Hosted pages: a dialect whose wire is HTML."""

from __future__ import annotations

from collections.abc import Sequence

from dragoman.http.dialect import Dialect, Mount


def pages(mounts: Sequence[Mount]) -> Dialect | None:
    """Return the owner of every path that no dialect owns."""
    return None

"""Who owns a path, and which operation answers it. Built once; a usual request costs one look-up.

The owner is found by the longest owned prefix before any route is looked for, so that every error, 404 and 405 too,
wears the owner's clothes (decision 37, table E).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from dragoman.http.call import Answer, header_pairs
from dragoman.http.dialect import Dialect, Mount
from dragoman.http.metrics import Metrics, Tally
from dragoman.http.operation import Operation
from dragoman.http.rates import rate_of
from dragoman.http.socket import SocketPlace

_SLASHES = re.compile("/{2,}")
_UNFIT_VALUE = re.compile("[\x00-\x1f\x7f\ufffd]")


class Room:
    """One mounted dialect with everything that its answers share, made ready to send."""

    def __init__(self, mount: Mount, metrics: Metrics) -> None:
        self.dialect: Dialect = mount.dialect
        self.prefix = mount.prefix
        self.any_origin = "*" in mount.origins
        self.cors = mount.dialect.cors if mount.origins else None
        self.origins = frozenset(mount.origins) if self.cors else frozenset()
        exposed = ", ".join(self.cors.expose_headers) if self.cors is not None else ""
        self.plain = [
            *header_pairs(mount.dialect.headers),
            (b"content-type", mount.dialect.content_type.encode("latin-1")),
        ]
        """What the usual answer carries."""
        self._exposed = (b"access-control-expose-headers", exposed.encode("latin-1"))
        self.headers = header_pairs(mount.dialect.headers)
        self.content_type = mount.dialect.content_type.encode("latin-1")
        self.unrouted = metrics.tally(mount.dialect.name, "", "(none)")
        if self.any_origin and self.cors is not None and self.cors.credentials:
            raise ValueError(f"{self.dialect.name}: the origin * cannot be allowed together with cookies; name origins")
        self._static: dict[str, dict[str, Route]] = {}
        self._templates: dict[int, list[tuple[tuple[str | None, ...], dict[str, Route]]]] = {}
        for operation in mount.dialect.operations:
            self._add(Route(operation, self, metrics.tally(self.dialect.name, operation.method, operation.path)))

    def _add(self, route: Route) -> None:
        operation = route.operation
        if not operation.names:
            methods = self._static.setdefault(operation.path, {})
        else:
            pattern = tuple(None if part.startswith("{") else part for part in operation.path.split("/"))
            known = self._templates.setdefault(len(pattern), [])
            methods = next((m for p, m in known if p == pattern), {})
            if not methods:
                known.append((pattern, methods))
        if operation.method in methods:
            raise ValueError(f"{self.dialect.name}: {operation.method} {operation.path} is declared twice")
        methods[operation.method] = route

    def allows(self, origin: str) -> bool:
        """Whether a browser at this origin may call."""
        return self.any_origin or origin in self.origins

    def cors_headers(self, origin: str | None) -> list[tuple[bytes, bytes]]:
        """Return what a browser wants to see on an answer; `Vary` whether or not it came from an origin."""
        if self.any_origin:
            return [(b"access-control-allow-origin", b"*"), self._exposed] if origin is not None else []
        if origin is None or origin not in self.origins:
            return [(b"vary", b"Origin")]
        allowed = [(b"vary", b"Origin"), (b"access-control-allow-origin", origin.encode("latin-1")), self._exposed]
        if self.cors is not None and self.cors.credentials:
            allowed.append((b"access-control-allow-credentials", b"true"))
        return allowed

    @property
    def static(self) -> Iterator[tuple[str, dict[str, Route]]]:
        """The paths without names, as a client sends them."""
        return ((self.prefix + path, methods) for path, methods in self._static.items())

    def look_up(self, path: str) -> tuple[Mapping[str, Route], tuple[str, ...]]:
        """Return the methods at a path of this room and the values of its names, left to right."""
        path = self._own(path)
        found = self._static.get(path)
        if found is not None:
            return found, ()
        parts = path.split("/")
        for pattern, methods in self._templates.get(len(parts), ()):
            values = tuple(part for part, wanted in zip(parts, pattern, strict=True) if wanted is None)
            fits = all(wanted is None or wanted == part for part, wanted in zip(parts, pattern, strict=True))
            if fits and all(values) and not any(_UNFIT_VALUE.search(value) for value in values):
                return methods, values
        return {}, ()

    def socket(self, path: str) -> SocketPlace | None:
        """Return the dialect's socket, if this is its path."""
        place = self.dialect.socket
        return place if place is not None and self._own(path) == place.path else None

    def _own(self, path: str) -> str:
        """Return a path as the dialect knows it: without the mount's prefix, tidied."""
        if self.prefix:
            path = ("/" + path.lstrip("/"))[len(self.prefix) :] or "/"
        return self.dialect.tidy_path(path)


class Route:
    """An operation in its room."""

    __slots__ = ("empty", "key", "names", "operation", "rate", "room", "status", "tally")

    def __init__(self, operation: Operation, room: Room, tally: Tally) -> None:
        self.operation = operation
        self.room = room
        self.tally = tally
        self.names = operation.names
        self.status = operation.status
        self.empty = Answer(operation.status)
        self.rate = rate_of(operation, room.dialect)
        """How often one client may call it, as declared."""
        self.key = f"{room.dialect.name} {operation.method} {operation.path}"
        """Under which these calls are counted."""


class Table:
    """The paths of one host name: owners by prefix, and the routes without names at hand."""

    def __init__(self, rooms: Iterable[Room], closed: Iterable[str], rest: Room) -> None:
        self._owners: dict[str, Room] = dict.fromkeys(closed, rest)
        self._rest = rest
        self.exact: dict[str, dict[str, Route]] = {}
        everybody = [*rooms, rest]
        for room in everybody:
            for prefix in room.dialect.prefixes:
                path = (room.prefix + prefix).rstrip("/")
                owner = self._owners.get(path)
                if owner is not None and owner is not room and path:
                    raise ValueError(f"{path} is claimed by {owner.dialect.name} and by {room.dialect.name}")
                if path:
                    self._owners[path] = room
        for room in everybody:
            places = (room.dialect.socket,) if room.dialect.socket is not None else ()
            for declared in (*room.dialect.operations, *places):
                owner = self.owner(room.prefix + declared.path)
                if owner is not room:
                    raise ValueError(f"{room.dialect.name} declares {declared.path}, which {owner.dialect.name} owns")
            for path, methods in room.static:
                self.exact[path] = methods

    def search(self, method: str, path: str) -> tuple[Room, Mapping[str, Route], Route | None, tuple[str, ...]]:
        """Return the owner of a path, the methods it has there, the route if there is one, and the path's values."""
        room = self.owner(path)
        methods, values = room.look_up(path)
        route = methods.get(method)
        if route is None and method == "HEAD" and room.dialect.head_as_get:
            route = methods.get("GET")
        return room, methods, route, values

    def owner(self, path: str) -> Room:
        """Return the room with the longest owned prefix of a path, on segment boundaries.

        Doubled slashes count as one here only: whether the owner has something there is for its `tidy_path` to say.
        """
        if "//" in path:
            path = _SLASHES.sub("/", path)
        while path:
            room = self._owners.get(path)
            if room is not None:
                return room
            path = path[: path.rfind("/")] if "/" in path else ""
        return self._rest


def tables(mounts: Sequence[Mount], pages: Dialect, house: Dialect, metrics: Metrics) -> dict[str, Table]:
    """Build the table of every host name; the empty name is for all other hosts."""
    rest, always = Room(Mount(dialect=pages), metrics), Room(Mount(dialect=house), metrics)
    rooms = [(mount, Room(mount, metrics)) for mount in mounts if mount.live]
    hosts = {"", *(mount.host for mount in mounts if mount.host)}
    built = {}
    for host in hosts:
        closed = [
            m.prefix + prefix for m in mounts if not m.live and (m.host or "") == host for prefix in m.dialect.prefixes
        ]
        built[host] = Table([always, *(room for mount, room in rooms if (mount.host or "") == host)], closed, rest)
    return built

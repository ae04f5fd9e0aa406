"""The pages: the list of dialects, one page about each, the style sheet, what mailed links lead to."""

from __future__ import annotations

from collections.abc import Sequence

from dragoman.http.call import Answer, Call
from dragoman.http.dialect import Mount
from dragoman.http.faults import NoSuchPath
from dragoman.http.openapi import document_operation
from dragoman.http.operation import Operation, operation
from dragoman.web import landing
from dragoman.web.address import address_of, base_address
from dragoman.web.described import Described, described
from dragoman.web.render import files, ready, render

MAKE_ADA = (
    ".venv/bin/dragoman account add --email ada@example.com --username ada --first-name Ada --last-name Example"
    " --verified --password-stdin <<< 'correct horse battery'"
)
"""The one command after which every dialect's example works as pasted."""
_FOR_EVER = (("cache-control", "public, max-age=31536000, immutable"),)


def operations(mounts: Sequence[Mount]) -> tuple[Operation, ...]:
    """Return the pages about these mounts, all of which are live."""
    by_name = {mount.dialect.name: mount for mount in reversed(mounts)}
    made: dict[str, Described] = {}

    @operation("GET", "/", access="open", hidden=True)
    async def front(call: Call) -> Answer:
        """List the dialects that are switched on, with a curl line each."""
        await ready()
        base = base_address(call)
        shown = [(mount.dialect, _example(mount, base)) for mount in mounts]
        return Answer(200, render("front.html", dialects=shown, make_ada=MAKE_ADA, base=base))

    @operation("GET", "/docs", access="open", hidden=True)
    async def index(call: Call) -> Answer:
        """Lead to the list of dialects."""
        return Answer(308, b"", (("location", "/"),))

    @operation("GET", "/docs/{dialect}", access="open", hidden=True)
    async def about(call: Call) -> Answer:
        """Describe a dialect, operation by operation."""
        name = call.path["dialect"]
        if name not in by_name:
            raise NoSuchPath
        await ready()
        mount = by_name[name]
        if name not in made:
            made[name] = described(mount)
        base = base_address(call)
        values = {"dialect": mount.dialect, "about": made[name], "base": address_of(mount, base)}
        return Answer(200, render("dialect.html", **values, example=_example(mount, base)))

    @operation("GET", "/static/{file}", access="open", hidden=True)
    async def static(call: Call) -> Answer:
        """Give a static file. Its name holds the hash of its content, so it never changes."""
        found = files().get(call.path["file"])
        if found is None:
            raise NoSuchPath
        return Answer(200, found[1], (("content-type", found[0]), *_FOR_EVER))

    prefixes = {name: mount.prefix for name, mount in by_name.items()}
    documents = document_operation([mount.dialect for mount in by_name.values()], prefixes=prefixes)
    return (front, index, about, documents, static, *landing.operations())


def _example(mount: Mount, base: str) -> str:
    return mount.dialect.example.replace("{base}", address_of(mount, base))

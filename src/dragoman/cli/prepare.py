"""What must exist before anybody is served: the schema, the key material, the first administrator (decision 35)."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import structlog

from dragoman import app
from dragoman.cli.passwords import generated
from dragoman.core import Core, refusals
from dragoman.core.accounts import NewAccount
from dragoman.core.credentials import policy
from dragoman.model import Password
from dragoman.settings import Settings

log = structlog.get_logger("dragoman.prepare")
USERNAME = "admin"
EMAIL = "admin@localhost"


@contextlib.asynccontextmanager
async def prepared(settings: Settings, environment: Mapping[str, str]) -> AsyncIterator[Core]:
    """Open the Core, bringing the schema up to date and making the first administrator where there is none.

    Raises app.NotReady.
    """
    async with contextlib.AsyncExitStack() as stack:
        try:
            core = await stack.enter_async_context(app.opened(settings))
        except app.SchemaBehind:
            migrate_in_child(settings, environment)
            core = await stack.enter_async_context(app.opened(settings))
        await first_administrator(core, settings, environment)
        yield core


def migrate_in_child(settings: Settings, environment: Mapping[str, str]) -> None:
    """Run `dragoman migrate` as a process of its own, so that SQLAlchemy is never imported here.

    Raises app.NotReady with what it said when it failed.
    """
    child = subprocess.run(
        [sys.executable, "-P", "-m", "dragoman", "migrate"],
        env={
            **environment,
            "DRAGOMAN_STORAGE_DATA": settings.storage.data,
            "DRAGOMAN_STORAGE_POSTGRES": settings.storage.postgres,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if child.returncode:
        said = child.stderr.strip().splitlines() or ["it said nothing"]
        raise app.NotReady(f"the database could not be migrated: {said[-1].removeprefix('dragoman: ')}")


async def first_administrator(core: Core, settings: Settings, environment: Mapping[str, str]) -> None:
    """Make the first administrator unless there is one.

    Its password is DRAGOMAN_ADMIN_PASSWORD, else drawn: shown once on a terminal, else written to a file of mode 0600
    beside the key ring, before the account is made, so that it cannot be lost.
    """
    if await core.accounts.has_administrator():
        return
    given = environment.get("DRAGOMAN_ADMIN_PASSWORD")
    email = environment.get("DRAGOMAN_ADMIN_EMAIL") or EMAIL
    password = given or generated(core.random)
    wanted = NewAccount(email=email, username=USERNAME, administrator=True, root=True)
    shown = sys.stderr.isatty()
    note = settings.key_ring.with_name(settings.key_ring.name + ".first-administrator")
    if given is None and not shown:
        _write(note, f"username: {USERNAME}\ne-mail:   {email}\npassword: {password}\n")
    try:
        made = await core.accounts.set_up(wanted, Password.from_plain(password))
    except refusals.Refusal as why:
        raise app.NotReady(
            f"the first administrator could not be made (DRAGOMAN_ADMIN_EMAIL is {email!r}): {why}"
        ) from None
    if made is None:
        return
    if given is not None:
        _warn_if_weak(password)
        sys.stderr.write(f"The first administrator is {USERNAME}; its password is DRAGOMAN_ADMIN_PASSWORD.\n")
    elif shown:
        sys.stderr.write(
            f"\n  The first administrator is {USERNAME} ({email}).\n  Password, shown only now: {password}\n\n"
        )
    else:
        sys.stderr.write(f"The first administrator is {USERNAME}; its password is in {note}\n")
    sys.stderr.flush()


def _warn_if_weak(password: str) -> None:
    try:
        policy.check(Password.from_plain(password), (USERNAME,))
    except refusals.WeakPassword as why:
        log.warning(
            "weak password", setting="DRAGOMAN_ADMIN_PASSWORD", reason=why.reason, remedy="account set-password"
        )


def _write(path: Path, text: str) -> None:
    """Replace a file by a new one of mode 0600."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)

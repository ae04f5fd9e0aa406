"""Probe's door, its settings, and what its tokens say."""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from dragoman.core.doors import DAY, HOUR, Door
from dragoman.core.tokens import ApiToken, Claims, Signed
from dragoman.model import Person, Session

BASE = "/frontend/api/v1"
MEDIA = "/v1/probe"
PASSWORD_PATH = f"{BASE}/auth/current/password"
SIGN_UP_PATH = f"{BASE}/auth/sign-up"
OTHER_PASSWORD_PATH = f"{BASE}/auth/{{user_id}}/password"

LONG_LIFE = 14 * DAY
SHORT_LIFE = 3 * HOUR
"""Seconds a session lives that was asked for with `long-term-token: false` (contract section 2.2)."""
MARK_COOKIE = "dragoman-mark"
MARK_LIFE = 90 * DAY
"""Seconds a browser stays known to an account (decision 36)."""

_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")


class Config(Struct, frozen=True, kw_only=True):
    """What an operator may set for this dialect. Raises ValueError for an origin that is none."""

    ret_url_origins: tuple[str, ...] = ()
    """Exact origins, `https://app.example.com`, one of which a `ret-url` must have to be sent back."""
    origins: tuple[str, ...] = ()
    """Exact origins of other pages that may sign in and write with the cookie; our own always may."""
    cookie_site: Literal["lax", "none"] = "lax"
    """SameSite of the cookies; `none` where the pages are of another site."""
    query_tokens: bool = True
    """Whether credentials in the query string (`token`, `jwt`) count. They end up in other programs' logs."""
    token_calls: int = 100
    """Calls of one API token in a minute; 0 for no bound."""

    def __post_init__(self) -> None:
        for origin in (*self.ret_url_origins, *self.origins):
            if _ORIGIN.fullmatch(origin) is None:
                raise ValueError(f"{origin!r} is no origin; write it as https://app.example.com, without a path")


def _claims(person: Person, session: Session | None) -> Claims:
    """Name the user by its number, as text (contract section 2.2)."""
    return {"sub": person.aliases["probe"]}


API_TOKEN = ApiToken(use="probe_api")
"""The account's key, shown at each sign-in (decision 22)."""

JWT = Signed(use="probe_jwt", algorithm="HS256", kind="session", claims=_claims)
"""What stands for one session."""

VERIFY = Signed(use="probe_verify", algorithm="HS256", kind="verify")
"""What this dialect's mails hold to verify an address (contract section 3.9); never a session."""

RESTORE = Signed(use="probe_restore", algorithm="HS256", kind="password-restore", life_seconds=HOUR)
"""What this dialect's mails hold to set a new password (contract section 7); it is exchanged for the next."""

UPDATE = Signed(use="probe_update", algorithm="HS256", kind="password-update", life_seconds=HOUR)
"""The `password-update-token`."""

DOOR = Door(
    name="probe",
    token=JWT,
    ticket=VERIFY,
    reset_ticket=RESTORE,
    update_ticket=UPDATE,
    conceals=True,
    factors=("totp", "recovery"),
    attempt="repeat",
    absolute=LONG_LIFE,
    requires_verified=True,
    key=API_TOKEN,
    marks=True,
)

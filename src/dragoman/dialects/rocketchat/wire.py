"""Rocket.Chat's bodies, field for field (its contract, sections 1.1, 3, 5 and 6)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import product
from typing import Annotated, Any, Literal, TypeVar, cast
from urllib.parse import quote

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from dragoman.model import Millis, Person, SignedIn

ALIAS = "rocketchat"
"""The name of the alias that this dialect shows as `_id`."""

# ---------------------------------------------------------------- what comes in


class Digest(Struct):
    """A password that travels as its SHA-256 (contract section 2.2)."""

    digest: Annotated[str, Meta(pattern="^[0-9A-Fa-f]{64}$")]
    algorithm: Literal["sha-256"]


class Named(Struct):
    """Whom the object form means; exactly one of the two."""

    username: str | UnsetType = UNSET
    email: str | UnsetType = UNSET


class Forms(Struct, rename="camel"):
    """The fields of every form of a login but the one with an explicit code. `forms.read` says which form they make."""

    user: str | Named | UnsetType | None = UNSET
    username: str | UnsetType | None = UNSET
    email: str | UnsetType | None = UNSET
    password: str | Digest | UnsetType | None = UNSET
    code: str | UnsetType | None = UNSET
    resume: str | UnsetType | None = UNSET
    ldap: bool | UnsetType | None = UNSET
    ldap_pass: str | UnsetType | None = UNSET
    ldap_options: Any = UNSET
    service_name: Any = UNSET
    access_token: Any = UNSET
    oauth: Any = UNSET
    saml: Any = UNSET
    cas: Any = UNSET
    credential_token: Any = UNSET
    crowd: Any = UNSET
    crowd_password: Any = UNSET


class Totp(Struct):
    """A login together with the code of its second factor."""

    code: str
    login: Forms


class Login(Forms):
    """The body of a login: exactly one of the forms of contract section 3.1."""

    totp: Totp | UnsetType | None = UNSET


class ByAddress(Struct):
    """Whom a mail is for. Any text is taken: malformed addresses are unknown ones (contract section 8.3)."""

    email: str


class MailedToken(Struct):
    """The token of a mailed link."""

    token: str


class CodeWanted(Struct, rename="camel"):
    """Who wants a code by mail."""

    email_or_username: str | UnsetType | None = UNSET


class SettingsQuery(Struct):
    """Which public settings are wanted."""

    id: str | UnsetType = msgspec.field(default=UNSET, name="_id")
    """Their names, separated by commas."""
    count: Annotated[int, Meta(ge=0, le=1_000_000)] = 50
    """How many at most; 0 for all."""
    offset: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    query: Annotated[str, Meta(max_length=4096)] | UnsetType = UNSET
    """JSON: `{"_id":"Site_Url"}` or `{"_id":{"$in":["Site_Url","Site_Name"]}}`."""
    fields: Annotated[str, Meta(max_length=1024)] | UnsetType = UNSET
    """JSON: `{"value":0}` leaves the values out, `{"_id":1}` as well."""
    sort: Annotated[str, Meta(max_length=1024)] | UnsetType = UNSET
    """JSON: `{"_id":1}`, or `{"_id":-1}` for the other way round."""


class SettingChange(Struct):
    """What a setting is to be."""

    value: Any


# ---------------------------------------------------------------- a person


class Nothing(Struct, frozen=True):
    """An object without fields."""


NOTHING = Nothing()


class Preferences(Struct, frozen=True, rename="camel"):
    """The 37 preferences of an account that never changed any (contract section 5)."""

    also_send_thread_to_channel: str = "default"
    auto_image_load: bool = True
    collapse_media_by_default: bool = False
    convert_ascii_emoji: bool = True
    desktop_notification_require_interaction: bool = False
    desktop_notifications: str = "all"
    display_avatars: bool = True
    email_notification_mode: str = "mentions"
    enable_auto_away: bool = True
    enable_mobile_ringing: bool = True
    features_preview: str = "[]"
    hide_flex_tab: bool = False
    hide_roles: bool = False
    hide_usernames: bool = False
    idle_time_limit: int = 300
    master_volume: int = 100
    mute_focused_conversations: bool = True
    theme_appearence: str = "auto"
    voip_ringer_volume: int = 100
    new_message_notification: str = "chime"
    new_room_notification: str = "door"
    notifications_sound_volume: int = 100
    notify_calendar_events: bool = True
    omnichannel_transcript_email: bool = False
    push_notifications: str = "all"
    save_mobile_bandwidth: bool = True
    send_on_enter: str = "normal"
    show_threads_in_main_channel: bool = False
    sidebar_display_avatar: bool = True
    sidebar_group_by_type: bool = True
    sidebar_sections_order: tuple[str, ...] = (
        "Incoming_Calls",
        "Incoming_Livechats",
        "Open_Livechats",
        "On_Hold_Chats",
        "Unread",
        "Favorites",
        "Teams",
        "Discussions",
        "Channels",
        "Direct_Messages",
        "Conversations",
    )
    sidebar_show_favorites: bool = True
    sidebar_show_unread: bool = False
    sidebar_sortby: str = "activity"
    sidebar_view_mode: str = "medium"
    unread_alert: bool = True
    use_emojis: bool = True


class Settings(Struct, frozen=True):
    """What a person has set; the server's defaults while nobody changed them."""

    profile: Nothing
    preferences: Preferences
    calendar: Nothing


class Email(Struct, frozen=True):
    """An address and whether it was proved."""

    address: str
    verified: bool


class PasswordService(Struct, frozen=True):
    """Whether there is a password."""

    exists: bool


class TotpService(Struct, frozen=True):
    """Whether TOTP is enrolled."""

    enabled: bool


class Email2faService(Struct, frozen=True):
    """Whether codes by mail are enrolled."""

    enabled: bool


class Services(Struct, frozen=True):
    """How the account proves itself; never a secret."""

    password: PasswordService
    totp: TotpService | UnsetType = UNSET
    email2fa: Email2faService | UnsetType = UNSET


class Me(Struct, frozen=True, rename="camel", kw_only=True):
    """The signed-in person as the login answers it (contract section 5)."""

    id: str = msgspec.field(name="_id")
    name: str
    username: str
    emails: tuple[Email, ...] | UnsetType = UNSET
    email: str | UnsetType = UNSET
    status: Literal["offline"]
    status_connection: Literal["offline"]
    avatar_url: str
    settings: Settings
    roles: tuple[str, ...]
    active: bool
    is_o_auth_user: bool = msgspec.field(name="isOAuthUser")
    services: Services
    require_password_change: bool | UnsetType = UNSET
    ldap: bool | UnsetType = UNSET
    created_at: str
    last_login: str | UnsetType = UNSET
    updated_at: str = msgspec.field(name="_updatedAt")


class Myself(Me, frozen=True, rename="camel", kw_only=True):
    """The signed-in person as `GET /api/v1/me` answers it."""

    success: bool


class LoginData(Struct, frozen=True, rename="camel"):
    """What a client keeps of a login."""

    user_id: str
    auth_token: str
    me: Me


class LoggedIn(Struct, frozen=True):
    """The answer to a login."""

    status: Literal["success"]
    data: LoginData
    success: bool


class Done(Struct, frozen=True):
    """It was done, and there is nothing else to say."""

    success: bool


class Message(Struct, frozen=True):
    """A sentence for a person."""

    message: str


class LoggedOut(Struct, frozen=True):
    """The answer to a logout."""

    status: Literal["success"]
    data: Message
    success: bool


_Shown = TypeVar("_Shown", bound=Me)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What is alike for everybody is encoded once.
_SETTINGS = cast("Settings", Raw(msgspec.json.encode(Settings(Nothing(), Preferences(), Nothing()))))
_SERVICES = {
    (exists, totp, email): cast("Services", Raw(msgspec.json.encode(Services(
        PasswordService(exists), TotpService(True) if totp else UNSET, Email2faService(True) if email else UNSET
    ))))
    for exists, totp, email in product((True, False), repeat=3)
}  # fmt: skip
LOGGED_OUT = LoggedOut("success", Message("You've been logged out!"), True)
DONE = Done(True)


@lru_cache(maxsize=4096)
def time_of(at: Millis) -> str:
    """Return a time as ISO 8601 in UTC with milliseconds, `2026-01-02T03:04:05.678Z`."""
    return (_EPOCH + timedelta(milliseconds=at)).isoformat(timespec="milliseconds")[:-6] + "Z"


_quoted = lru_cache(maxsize=4096)(quote)


def roles_of(person: Person) -> tuple[str, ...]:
    """Return the roles of a person: the one that follows from the core, then the labels (table B)."""
    first = "admin" if person.account.administrator else "user"
    labels = person.labels.get(ALIAS)
    return (first, *(label for label in labels if label != first)) if labels else (first,)


def me(
    person: Person, site: str, kind: Callable[..., _Shown], *, last_login: Millis | None = None, **more: Any
) -> _Shown:
    """Return a person in this wire's shape.

    :param site: the server's address without a slash at its end, for the avatar.
    :param kind: Me, or Myself with its further fields in `more`.
    :param last_login: of a sign-in that is later than what the account says.
    """
    account, username = person.account, person.username
    emails = tuple([Email(each.shown, each.state == "verified") for each in person.emails])
    seen = max(account.signed_in_at or 0, last_login or 0)
    return kind(
        id=person.aliases[ALIAS],
        name=person.name,
        username=username,
        emails=emails or UNSET,
        email=next((each.address for each in emails if each.verified), UNSET),
        status="offline",
        status_connection="offline",
        avatar_url=f"{site}/avatar/{_quoted(username)}",
        settings=_SETTINGS,
        roles=roles_of(person),
        active=account.status == "active",
        is_o_auth_user=False,
        services=_SERVICES[person.has_password, "totp" in person.factors, "email" in person.factors],
        require_password_change=True if person.initial_password else UNSET,
        ldap=True if "directory" in person.aliases else UNSET,
        created_at=time_of(account.created_at),
        last_login=time_of(seen) if seen else UNSET,
        updated_at=time_of(account.updated_at),
        **more,
    )


def logged_in(outcome: SignedIn, site: str, resumed_at: Millis | None = None) -> LoggedIn:
    """Return the answer to a finished sign-in.

    :param site: the server's address.
    :param resumed_at: when the session was resumed, where it was: that is a login, too (contract section 3.2).
    """
    shown = me(outcome.person, site, Me, last_login=resumed_at or outcome.session.created_at)
    return LoggedIn("success", LoginData(shown.id, outcome.token, shown), True)


# ---------------------------------------------------------------- discovery


class Build(Struct, frozen=True):
    """What was built; nothing that tells more than the version."""

    platform: str


class Commit(Struct, frozen=True):
    """Of which state."""

    tag: str


class Details(Struct, frozen=True, rename="camel"):
    """What administrators see of the server."""

    version: str
    build: Build
    commit: Commit
    marketplace_api_version: str


class MinimumClients(Struct, frozen=True):
    """The oldest clients that can be expected to work."""

    desktop: str
    mobile: str


class Info(Struct, frozen=True, rename="camel"):
    """Which server this is (contract section 6.1)."""

    version: str
    """Major and minor number, and the last one for administrators."""
    minimum_client_versions: MinimumClients
    success: bool
    info: Details | UnsetType = UNSET


class Setting(Struct, frozen=True):
    """One setting."""

    id: str = msgspec.field(name="_id")
    value: bool | int | float | str | UnsetType = UNSET


class OneSetting(Setting, frozen=True, kw_only=True):
    """One setting, asked for by its name."""

    success: bool


class PublicSettings(Struct, frozen=True):
    """A page of settings."""

    settings: tuple[Setting, ...]
    count: int
    offset: int
    total: int
    success: bool


class LoginServices(Struct, frozen=True):
    """The login services of others; none is offered here."""

    services: tuple[Nothing, ...]
    success: bool


# ---------------------------------------------------------------- no


class Why(Struct, frozen=True, rename="camel"):
    """What a client needs to know to go on."""

    function: str | UnsetType = UNSET
    """Where a locked login was stopped."""
    method: Literal["totp", "email", "password"] | UnsetType = UNSET
    """What the code is to come from."""
    code_generated: bool | UnsetType = UNSET
    """Whether a code was mailed just now."""
    code_expires: str | UnsetType = UNSET
    """When the code that was mailed before stops working."""
    email_or_username: str | UnsetType = UNSET
    """Whom to ask another code for."""
    available_methods: tuple[str, ...] | UnsetType = UNSET


class Failure(Struct, frozen=True, rename="camel"):
    """Every error of this wire (contract section 1.1)."""

    success: bool
    error: str | int
    error_type: str | UnsetType = UNSET
    status: Literal["error"] | UnsetType = UNSET
    message: str | UnsetType = UNSET
    details: Why | UnsetType = UNSET

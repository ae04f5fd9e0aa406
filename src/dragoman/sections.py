"""The sections of the configuration, each setting with its type, its bounds, its default and what it means."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=1)]
Minutes = Annotated[float, Meta(gt=0, le=24 * 60)]
Registration = Literal["disabled", "secret", "private", "public"]

# A setting that says which way is tighter can also be stored, and changed while the server runs; the file then is the
# loosest that it can be (threat 37). `true` and `false` are for switches, `earlier` for words, tightest first.
SMALLER, LARGER, TRUE, FALSE, EARLIER = ({"tighter": way} for way in ("smaller", "larger", "true", "false", "earlier"))


class Server(Struct, frozen=True, forbid_unknown_fields=True):
    """Where Dragoman listens."""

    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="Port to listen on; 0 takes a free one.")] = 8080
    workers: Annotated[Count, Meta(description="Processes that serve. One is right on SQLite.")] = 1
    tls_cert: Annotated[str, Meta(description="PEM file with the certificate chain; empty for plain HTTP.")] = ""
    tls_key: Annotated[str, Meta(description="PEM file with the certificate's key.")] = ""
    insecure: Annotated[
        bool, Meta(description="Allow plain HTTP on an address that is not loopback, without a proxy (decision 41).")
    ] = False
    sockets: Annotated[Count, Meta(description="WebSockets open at a time, per process.")] = 10_000
    sockets_per_network: Annotated[
        Count, Meta(description="WebSockets open at a time from one IPv4 address or IPv6 /64, per process.")
    ] = 1_000
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(description="Networks of proxies whose forwarded addresses count, `10.0.0.0/8`; others never do."),
    ] = ()
    rates_url: Annotated[
        str,
        Meta(
            description="Valkey or Redis in which several processes count request rates together,"
            " `valkey://localhost:6379/0`; empty: each counts for itself."
        ),
    ] = ""
    forwarded_header: Annotated[
        Literal["x-forwarded-for", "forwarded"], Meta(description="The header your proxies write.")
    ] = "x-forwarded-for"
    public_url: Annotated[
        str,
        Meta(
            description="Address that links in mails begin with, `https://id.example.com`; empty for where it listens."
        ),
    ] = ""


class Storage(Struct, frozen=True, forbid_unknown_fields=True):
    """Where accounts and sessions are kept."""

    data: Annotated[str, Meta(description="Folder of the embedded database.")] = "dragoman-data"
    postgres: Annotated[
        str, Meta(description="PostgreSQL address, `postgresql://user:password@host/db`; empty for the embedded one.")
    ] = ""
    pool: Annotated[Count, Meta(description="Connections to PostgreSQL per process.")] = 10
    key_ring: Annotated[
        str, Meta(description="File of the master keys, outside the data folder; empty for `<data>.keys` beside it.")
    ] = ""


class Passwords(Struct, frozen=True, forbid_unknown_fields=True):
    """How passwords are hashed."""

    memory_kib: Annotated[int, Meta(ge=8192, le=262144, description="Argon2id memory in KiB.")] = 19456
    passes: Annotated[int, Meta(ge=1, le=10, description="Argon2id passes.")] = 2
    hash_threads: Annotated[int, Meta(ge=0, description="Threads that hash; 0 for cores divided by workers.")] = 0
    queue_seconds: Annotated[
        float, Meta(gt=0, le=10, description="How long a sign-in may wait for a thread before `Busy`.")
    ] = 0.6


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """Failures before a lane closes (table D)."""

    account_5_minutes: Annotated[
        Count, Meta(description="Failures per account and lane in `account_minutes`.", extra=SMALLER)
    ] = 10
    account_minutes: Annotated[Minutes, Meta(description="How long those count, in minutes.", extra=LARGER)] = 5.0
    account_hour: Annotated[Count, Meta(description="Failures per account and lane in an hour.", extra=SMALLER)] = 30
    account_day: Annotated[Count, Meta(description="The same in a day.", extra=SMALLER)] = 60
    account_closes: Annotated[
        Count, Meta(description="Strangers' failures without a success that close it.", extra=SMALLER)
    ] = 100
    network_5_minutes: Annotated[
        Count, Meta(description="Failures per network in `network_minutes`.", extra=SMALLER)
    ] = 50
    network_minutes: Annotated[Minutes, Meta(description="How long those count, in minutes.", extra=LARGER)] = 5.0
    network_names_hour: Annotated[Count, Meta(description="Different names per network in an hour.", extra=SMALLER)] = (
        100
    )
    exempt_networks: Annotated[
        tuple[str, ...],
        Meta(description="Networks that are never blocked as a whole, `198.51.100.0/24`; accounts' own limits stay."),
    ] = ()
    codes_per_attempt: Annotated[Count, Meta(description="Wrong codes per paused sign-in.", extra=SMALLER)] = 5
    registrations_hour: Annotated[
        Count, Meta(description="Registrations per network in an hour; three times as many in a day.", extra=SMALLER)
    ] = 20


class Accounts(Struct, frozen=True, forbid_unknown_fields=True):
    """What is told of accounts."""

    conceal: Annotated[
        bool,
        Meta(description="Never tell whether an account exists, also where a contract does (decision 29).", extra=TRUE),
    ] = False
    issuer: Annotated[str, Meta(description="Name shown in authenticator apps and mails.")] = "Dragoman"
    password_reset: Annotated[bool, Meta(description="A forgotten password may be reset by mail.", extra=FALSE)] = True
    email_codes: Annotated[
        bool,
        Meta(
            description="Mailed codes may serve as second factor to accounts that enabled them (decision 9).",
            extra=FALSE,
        ),
    ] = True
    code_minutes: Annotated[
        float, Meta(ge=1, le=60, description="How long a mailed code is good, in minutes.", extra=SMALLER)
    ] = 10.0
    totp_steps: Annotated[
        int,
        Meta(
            ge=0,
            le=1,
            extra=SMALLER,
            description="How many steps of 30 seconds a code of an authenticator app may be early or late.",
        ),
    ] = 1
    remember_minutes: Annotated[
        float,
        Meta(
            ge=1,
            le=60,
            extra=SMALLER,
            description="How long a proof counts as fresh for what asks for a fresh one (decision 25), in minutes.",
        ),
    ] = 10.0
    enrol_days: Annotated[
        float,
        Meta(
            ge=0,
            le=90,
            extra=SMALLER,
            description="How long members may take to enrol a second factor that their organization wants, in days.",
        ),
    ] = 7.0
    registration: Annotated[
        Registration,
        Meta(
            description="Who may register into the default organization, over Rocket.Chat's wire: nobody; whoever has"
            " `registration_secret`; everybody, without being told whether an address is taken; everybody.",
            extra=EARLIER,
        ),
    ] = "disabled"
    sign_up: Annotated[
        Registration,
        Meta(
            description="The same for those who register with an organization of their own, over Flashback's wire.",
            extra=EARLIER,
        ),
    ] = "public"
    registration_secret: Annotated[
        str, Meta(description="What opens `secret` registration, 16 characters or more.")
    ] = ""
    approval: Annotated[
        bool,
        Meta(description="Whoever registers waits, suspended, until an operator activates the account.", extra=TRUE),
    ] = False


class Passkeys(Struct, frozen=True, forbid_unknown_fields=True):
    """Where passkeys are made and used."""

    name: Annotated[
        str,
        Meta(
            description="Name they are made for, `example.com`: a page's host or what that ends in (the RP id). They"
            " are lost when it changes. Empty for the host of `server.public_url`."
        ),
    ] = ""
    origins: Annotated[
        tuple[str, ...],
        Meta(
            description="Pages that may ask for them, `https://app.example.com`; empty for `server.public_url` and"
            " every dialect's `origins` under the name."
        ),
    ] = ()


class Mail(Struct, frozen=True, forbid_unknown_fields=True):
    """How mail is sent."""

    transport: Annotated[
        Literal["off", "console", "smtp"],
        Meta(
            description="`smtp` sends; `console` prints mails with their live links, for development; `off` sends none."
        ),
    ] = "off"
    host: Annotated[str, Meta(description="Mail server.")] = "localhost"
    port: Annotated[Port, Meta(description="Its port; 0 for the usual one: 587, with `tls` 465, with `none` 25.")] = 0
    security: Annotated[
        Literal["starttls", "tls", "none"], Meta(description="Encryption: asked for, from the first byte, or none.")
    ] = "starttls"
    ca_file: Annotated[str, Meta(description="PEM file of authorities to trust; empty for the system's.")] = ""
    username: Annotated[str, Meta(description="Name to sign in with at the mail server; empty for none.")] = ""
    password: Annotated[str, Meta(description="Password of that name.")] = ""
    sender: Annotated[str, Meta(description="From whom mails come, `Example <id@example.com>`.")] = ""
    language: Annotated[Literal["en", "de"], Meta(description="Language for accounts that named none.")] = "en"
    timeout_seconds: Annotated[
        float, Meta(gt=0, le=120, description="Longest time for handing one mail over, all steps together.")
    ] = 30.0
    notices_off: Annotated[
        tuple[str, ...],
        Meta(description="Kinds of notices that are not sent, `new_network`; see docs/how-to/send-mail.md."),
    ] = ()
    in_serve: Annotated[
        bool, Meta(description="Deliver within `dragoman serve`; false where `dragoman worker` runs beside it.")
    ] = True


class Directory(Struct, frozen=True, forbid_unknown_fields=True):
    """An LDAP directory that knows people and their passwords."""

    urls: Annotated[
        tuple[str, ...],
        Meta(description="Servers, tried in this order, `ldaps://ldap.example.com`; empty for no directory."),
    ] = ()
    base: Annotated[str, Meta(description="Where people are searched, `ou=people,dc=example,dc=com`.")] = ""
    filter: Annotated[
        str, Meta(description="Filter (RFC 4515) that finds one person; `{name}` stands for what was typed.")
    ] = "(&(objectClass=inetOrgPerson)(|(uid={name})(mail={name})))"
    scope: Annotated[Literal["subtree", "one", "base"], Meta(description="How deep below the base is searched.")] = (
        "subtree"
    )
    bind_name: Annotated[
        str, Meta(description="DN to search as, `cn=reader,dc=example,dc=com`; empty to search as nobody.")
    ] = ""
    bind_password: Annotated[str, Meta(description="Password of that DN.")] = ""
    starttls: Annotated[bool, Meta(description="Encrypt `ldap://` connections; without it nothing is sent.")] = False
    ca_file: Annotated[str, Meta(description="PEM file of authorities to trust; empty for the system's.")] = ""
    group_base: Annotated[str, Meta(description="Where groups are searched, with `group_filter`.")] = ""
    group_filter: Annotated[
        str,
        Meta(
            description="Filter of the group that may sign in, `(&(cn=staff)(member={dn}))`; `{dn}` and `{name}` are"
            " the person's. Empty for everybody whom `filter` finds."
        ),
    ] = ""
    attribute_id: Annotated[
        str,
        Meta(description="Attribute that never changes; accounts are linked by it. `objectGUID` in Active Directory."),
    ] = "entryUUID"
    attribute_username: Annotated[str, Meta(description="Attribute that becomes the username.")] = "uid"
    attribute_email: Annotated[str, Meta(description="Attribute with addresses; empty for none.")] = "mail"
    attribute_first_name: Annotated[str, Meta(description="Attribute with the first name.")] = "givenName"
    attribute_last_name: Annotated[str, Meta(description="Attribute with the last name.")] = "sn"
    attribute_display_name: Annotated[str, Meta(description="Attribute with the name that is shown.")] = "displayName"
    merge: Annotated[
        Literal["never", "same-name"],
        Meta(
            description="`same-name`: a local account of the directory's username becomes the directory's; never one of"
            " an administrator or with a second factor."
        ),
    ] = "never"
    fallback: Annotated[
        Literal["never", "unreachable"],
        Meta(
            description="`unreachable`: passwords that the directory took are kept, and count while it is out of reach."
        ),
    ] = "never"
    first_sign_in: Annotated[
        Literal["create", "refuse"], Meta(description="What becomes of people who have no account here yet.")
    ] = "create"
    timeout_seconds: Annotated[
        float, Meta(gt=0, le=30, description="Longest time for one sign-in at the directory, all steps together.")
    ] = 5.0
    connections: Annotated[
        int, Meta(ge=1, le=64, description="Connections at a time; four times as many sign-ins may wait.")
    ] = 4


class Provider(Struct, frozen=True, forbid_unknown_fields=True):
    """An outside provider that vouches for people, of OpenID Connect."""

    client_id: Annotated[str, Meta(description="Our client id there; empty: the provider is not offered.")] = ""
    client_secret: Annotated[str, Meta(description="Secret of that client; empty for a public client.")] = ""
    issuer: Annotated[
        str,
        Meta(description="Who signs, `https://id.example.com`; its discovery document names everything else."),
    ] = ""
    other_clients: Annotated[
        tuple[str, ...],
        Meta(description="Client ids of your own other apps there, whose tokens count as well."),
    ] = ()
    redirect_uris: Annotated[
        tuple[str, ...],
        Meta(description="Redirect URIs with which your clients get authorization codes; the first is the usual one."),
    ] = ()
    scopes: Annotated[tuple[str, ...], Meta(description="What is asked for where a flow begins here.")] = (
        "openid",
        "email",
        "profile",
    )
    algorithms: Annotated[
        tuple[Literal["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"], ...],
        Meta(description="Signatures that ID tokens may have."),
    ] = ("RS256", "ES256")
    trust: Annotated[
        Literal["never", "owned", "verified", "all"],
        Meta(
            description="Whose addresses count as proved, and may link an account once: none; those at the domains that"
            " the provider runs; those that it calls verified; all that it names."
        ),
    ] = "never"
    domains: Annotated[
        tuple[str, ...], Meta(description="Domains of addresses that the provider runs itself, for `owned`.")
    ] = ()
    personal_domains: Annotated[
        tuple[str, ...],
        Meta(description="Domains whose people are private persons; others are taken for a business (Flashback)."),
    ] = ("gmail.com", "googlemail.com")
    first_sign_in: Annotated[
        Literal["policy", "create", "refuse"],
        Meta(
            description="What becomes of people who have no account: `policy` goes by `accounts.sign_up`, or by"
            " `accounts.registration` where only the default organization is admitted; the others whatever those say."
        ),
    ] = "policy"
    hosts: Annotated[
        tuple[str, ...],
        Meta(description="Hosts beside the issuer's that its discovery document may name, `keys.example.com`."),
    ] = ()
    tokeninfo_url: Annotated[
        str,
        Meta(
            description="Where the audience of an access token is told, in the form of Google's `tokeninfo`; empty:"
            " only ID tokens and codes count."
        ),
    ] = ""
    timeout_seconds: Annotated[
        float, Meta(gt=0, le=30, description="Longest time for one call to the provider, all its requests together.")
    ] = 5.0
    connections: Annotated[
        int, Meta(ge=1, le=64, description="Requests at a time; four times as many calls may wait.")
    ] = 8


class Google(Provider, frozen=True, forbid_unknown_fields=True):
    """Google."""

    issuer: Annotated[str, Meta(description="Who signs.")] = "https://accounts.google.com"
    redirect_uris: Annotated[
        tuple[str, ...],
        Meta(description="Redirect URIs with which your clients get authorization codes; the first is the usual one."),
    ] = ("postmessage",)
    trust: Annotated[
        Literal["never", "owned", "verified", "all"],
        Meta(description="Whose addresses count as proved; see `providers.oidc.trust`. Google runs `hd`, too."),
    ] = "owned"
    domains: Annotated[tuple[str, ...], Meta(description="Domains of addresses that Google runs itself.")] = (
        "gmail.com",
        "googlemail.com",
    )
    hosts: Annotated[tuple[str, ...], Meta(description="Hosts that its discovery document may name.")] = (
        "oauth2.googleapis.com",
        "www.googleapis.com",
    )
    tokeninfo_url: Annotated[str, Meta(description="Where the audience of an access token is told.")] = (
        "https://oauth2.googleapis.com/tokeninfo"
    )


class Github(Provider, frozen=True, forbid_unknown_fields=True):
    """GitHub, or GitHub Enterprise Server. Gives no ID tokens."""

    issuer: Annotated[str, Meta(description="Address of its pages.")] = "https://github.com"
    api_url: Annotated[str, Meta(description="Address of its API.")] = "https://api.github.com"
    scopes: Annotated[tuple[str, ...], Meta(description="What is asked for where a flow begins here.")] = (
        "read:user",
        "user:email",
    )
    trust: Annotated[
        Literal["never", "owned", "verified", "all"],
        Meta(description="Whose addresses count as proved; of GitHub the primary one is asked for, if verified."),
    ] = "verified"


class Microsoft(Provider, frozen=True, forbid_unknown_fields=True):
    """Microsoft Entra ID. Name your tenant in the issuer, unless people of all may come."""

    issuer: Annotated[str, Meta(description="Who signs; put your tenant in the place of `common`.")] = (
        "https://login.microsoftonline.com/common/v2.0"
    )
    trust: Annotated[
        Literal["never", "owned", "verified", "all"],
        Meta(
            description="Whose addresses count as proved. Anybody can name any address in a tenant of his own: `all`"
            " only for one whose people you know."
        ),
    ] = "never"


class Oidc(Provider, frozen=True, forbid_unknown_fields=True):
    """Any other provider of OpenID Connect."""

    name: Annotated[str, Meta(description="What clients call it.")] = "oidc"


class Providers(Struct, frozen=True, forbid_unknown_fields=True):
    """One section per outside provider."""

    google: Google = Google()
    github: Github = Github()
    microsoft: Microsoft = Microsoft()
    oidc: Oidc = Oidc()


class Dialect(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a dialect is reached."""

    enabled: Annotated[bool, Meta(description="Answer in this dialect.")] = True
    host: Annotated[str, Meta(description="Answer under this host name only; empty for all.")] = ""
    prefix: Annotated[str, Meta(description="Goes before all paths, `/flashback`; empty for none.")] = ""
    origins: Annotated[
        tuple[str, ...], Meta(description="Web origins that may call from a browser, `https://app.example.com`.")
    ] = ()
    link_reset: Annotated[
        str,
        Meta(
            description="Where its mails lead to set a new password, `https://app.example.com/r/{token}`;"
            " empty for our page."
        ),
    ] = ""
    link_verify: Annotated[str, Meta(description="The same to confirm an address.")] = ""
    link_invite: Annotated[str, Meta(description="The same to take up an invitation.")] = ""


class RocketChat(Dialect, frozen=True, forbid_unknown_fields=True):
    """Rocket.Chat's API."""

    digest: Annotated[
        Literal["always", "seen", "never"],
        Meta(description="Accept SHA-256 digests of passwords: from all, from accounts that used them, never."),
    ] = "always"
    site_url: Annotated[str, Meta(description="Address that clients are told; empty for the request's own.")] = ""
    version: Annotated[str, Meta(description="Version presented to clients.")] = "8.8.0"
    require_verified: Annotated[
        bool,
        Meta(description="Let nobody but administrators in who never verified an address.", extra=TRUE),
    ] = False
    rate_limit: Annotated[
        bool, Meta(description="Limit how often one network may call each operation over REST.", extra=TRUE)
    ] = True
    rate_limit_calls: Annotated[
        Count,
        Meta(
            description="Calls of one operation in `rate_limit_seconds`; bots that sign in for each call need more.",
            extra=SMALLER,
        ),
    ] = 10
    rate_limit_seconds: Annotated[
        float, Meta(ge=1, le=3600, description="How long those are counted, in seconds from the first.", extra=LARGER)
    ] = 60.0
    rate_limit_register: Annotated[
        Count, Meta(description="Registrations from one network in a minute.", extra=SMALLER)
    ] = 1
    test_mode: Annotated[
        bool,
        Meta(
            description="For test suites of clients: no rates, no second factors, any setting as it is set over the"
            " wire. Refused where anything but this machine could call, and with a database made without it."
        ),
    ] = False
    method_errors: Annotated[
        Literal[200, 400],
        Meta(description="Status of an error within `method.call`: 200 as clients know it, 400 as the newest servers."),
    ] = 200
    create_tokens_secret: Annotated[
        str,
        Meta(
            pattern="^(.{16,})?$",
            description="What `users.createToken` has to bring beside an administrator, the original's"
            " `CREATE_TOKENS_FOR_USERS_SECRET`; 16 characters or more. Empty: nobody makes tokens for others.",
        ),
    ] = ""


class Plan(Struct, frozen=True, forbid_unknown_fields=True):
    """The one subscription that everybody has, for clients that show it. Nothing is metered or refused by it."""

    id: Annotated[str, Meta(description="The plan's id.")] = "plan"
    name: Annotated[str, Meta(description="Its name, `Trial`; empty: nobody has a subscription.")] = ""
    description: Annotated[str, Meta(description="What it is, for people.")] = ""
    capabilities: Annotated[
        tuple[
            Annotated[
                str, Meta(pattern=r"^[A-Z][A-Z0-9_]* [A-Z]+ (ALL_TIME|DAILY|WEEKLY|MONTHLY|YEARLY) [0-9]{1,18}( .*)?$")
            ],
            ...,
        ],
        Meta(
            description="What it allows: code, type, period, most, and a text, as in"
            " `STORAGE_TOTAL_BYTES STORAGE ALL_TIME 10737418240 Storage in bytes`."
        ),
    ] = ()


class Flashback(Dialect, frozen=True, forbid_unknown_fields=True):
    """Flashback's API."""

    expires_at_unit: Annotated[Literal["ms", "s"], Meta(description="Unit of `expiresAt`.")] = "ms"
    link_activate: Annotated[
        str,
        Meta(
            description="Where its mails lead to register with a link, `https://app.example.com/a/{id}?t={token}`;"
            " empty: no such links."
        ),
    ] = ""
    plan: Plan = Plan()
    settings_size: Annotated[
        int, Meta(ge=2, le=60_000, description="Bytes that the settings of a user or an organization may take.")
    ] = 32_768
    settings_depth: Annotated[
        int, Meta(ge=1, le=30, description="How many objects and lists may be in one another there.")
    ] = 10


class Probe(Dialect, frozen=True, forbid_unknown_fields=True):
    """Probe's API."""

    ret_url_origins: Annotated[tuple[str, ...], Meta(description="Origins that `ret-url` may name.")] = ()
    cookie_site: Annotated[
        Literal["lax", "none"], Meta(description="SameSite of the `jwt` cookie; `none` for other sites' pages.")
    ] = "lax"
    query_tokens: Annotated[
        bool,
        Meta(description="Whether credentials in the query string (`token`, `jwt`) count; other programs log those."),
    ] = True
    captcha_url: Annotated[
        str,
        Meta(
            description="Verifier of captchas, of the siteverify shape, `https://host/siteverify`; empty: any captcha"
            " header of 6 characters passes."
        ),
    ] = ""
    captcha_secret: Annotated[str, Meta(description="Our secret at that verifier.")] = ""
    captcha_hosts: Annotated[
        tuple[str, ...],
        Meta(description="Host names of the pages whose captchas count; empty: all that the secret is good for."),
    ] = ()
    captcha_action: Annotated[
        str, Meta(description="What the page must have called the act (`action`); empty: anything.")
    ] = ""
    captcha_score: Annotated[
        float, Meta(ge=0.0, le=1.0, description="Least score, of a verifier that gives one; 0: any.")
    ] = 0.0
    captcha_seconds: Annotated[
        float, Meta(gt=0.0, le=30.0, description="Seconds for one question to the verifier.")
    ] = 3.0
    token_calls: Annotated[
        int, Meta(ge=0, description="Calls that one API token may make in a minute; 0 for no bound.")
    ] = 100


class Dialects(Struct, frozen=True, forbid_unknown_fields=True):
    """One section per dialect."""

    rocketchat: RocketChat = RocketChat()
    pocketm8: Dialect = Dialect()
    probe: Probe = Probe()
    flashback: Flashback = Flashback()


class Log(Struct, frozen=True, forbid_unknown_fields=True):
    """What is logged."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Least severe line written.")] = (
        "info"
    )
    format: Annotated[Literal["auto", "json", "console"], Meta(description="auto: console on a terminal.")] = "auto"
    access: Annotated[bool, Meta(description="One line per request.")] = True

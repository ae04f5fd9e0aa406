"""GET /user/profile (contract sections 3 and 4.4), and every way a bearer can be wrong."""

from __future__ import annotations

import uuid

from dialects.flashback.talk import assert_no, bearer, log_in, profile
from dragoman.dialects.flashback import wire
from kit.house import House


async def test_the_documented_answer(house: House) -> None:
    ada = await house.ada(rank=2)
    answer = await profile(house, (await log_in(house))["accessToken"])
    assert answer.json() == {
        "success": True,
        "data": {
            "id": str(uuid.UUID(bytes=ada.account.id)),
            "name": "Ada",
            "lastName": "Example",
            "email": "ada@example.com",
            "orgId": str(uuid.UUID(bytes=ada.account.organization)),
            "orgRole": 2,
            "orgRoleDescription": "WORKSPACES",
            "orgRoles": [0, 1, 2],
            "validated": True,
            "mfaRequired": False,
            "isBusiness": False,
        },
    }


async def test_an_address_that_was_never_proved_is_not_validated(house: House) -> None:
    await house.ada(verified=False)
    answer = await profile(house, (await log_in(house))["accessToken"])
    assert answer.json()["data"]["validated"] is False


async def test_an_administrator_is_the_owner(house: House) -> None:
    await house.ada(administrator=True)
    answer = await profile(house, (await log_in(house))["accessToken"])
    assert answer.json()["data"]["orgRoles"] == [0, 1, 2, 254, 255]
    assert answer.json()["data"]["orgRoleDescription"] == "OWNER"


def test_the_roles() -> None:
    """Contract section 3; reserved ranks are described as the next lower defined one."""
    assert wire.role_of(0) == ("USER", (0,))
    assert wire.role_of(1) == ("BILLING", (0, 1))
    assert wire.role_of(2) == wire.role_of(3) == wire.role_of(253) == ("WORKSPACES", (0, 1, 2))
    assert wire.role_of(254) == ("ADMINISTRATORS", (0, 1, 2, 254))
    assert wire.role_of(255) == ("OWNER", (0, 1, 2, 254, 255))


def test_uuids_are_spelt_as_everybody_does() -> None:
    for id in (bytes(16), b"\xff" * 16, bytes(range(16)), uuid.uuid5(uuid.NAMESPACE_DNS, "example.com").bytes):
        assert wire.uuid_text(id) == str(uuid.UUID(bytes=id))


BEARERS = [
    "", "Bearer", "Bearer ", "Basic YWRhOmFkYQ==", "Bearer x", "Bearer a.b.c", "Bearer " + "A" * 9000, "Token x",
    "Bearer eyJhbGciOiJub25lIn0.e30.", "Bearer eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..a.b.c",
]  # fmt: skip


async def test_bearers_that_are_nothing(house: House) -> None:
    for headers in ({}, *({"Authorization": value} for value in BEARERS)):
        answer = await house.get("/user/profile", headers=headers)
        assert_no(answer, 401, "NO_AUTH_USER")
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def test_a_token_is_read_from_the_header_only(house: House) -> None:
    await house.ada()
    token = (await log_in(house))["accessToken"]
    for path, headers in ((f"/user/profile?access_token={token}", {}), ("/user/profile", {"Cookie": f"jwt={token}"})):
        assert_no(await house.get(path, headers=headers), 401, "NO_AUTH_USER")
    assert (await house.get("/user/profile", headers={"Authorization": f"bearer {token}"})).status_code == 200


async def test_an_expired_token(house: House) -> None:
    await house.ada()
    token = (await log_in(house))["accessToken"]
    house.clock.move(3599)
    assert (await profile(house, token)).status_code == 200
    house.clock.move(1)
    assert_no(await profile(house, token), 401, "NO_AUTH_USER")


async def test_a_changed_token(house: House) -> None:
    await house.ada()
    head, body, signature = (await log_in(house))["accessToken"].split(".")
    for token in (
        f"{head}.{body}.{signature[:-4]}AAAA",
        f"{head}.{body}A.{signature}",
        f"{head}.{body}.",
        f"{head}.{body}",
        f"{body}.{head}.{signature}",
    ):
        assert_no(await profile(house, token), 401, "NO_AUTH_USER")


async def test_an_ended_session_is_refused_at_once(house: House) -> None:
    ada = await house.ada()
    token = (await log_in(house))["accessToken"]
    (session,) = await house.core.sessions.list_own(ada.account.id)
    assert await house.core.sessions.end_by_operator(session.id)
    assert_no(await profile(house, token), 401, "NO_AUTH_USER")


async def test_tokens_of_other_dialects_are_refused(house: House) -> None:
    """Whatever another door issues, in the bearer and in the refresh token's place."""
    from dragoman.model import Password, SignedIn, Typed
    from kit.house import PASSWORD, client

    await house.ada()
    tried = 0
    for mount in house.app.mounts:
        door = mount.dialect.door
        if door is None or door.name == "flashback":
            continue
        outcome = await house.core.signin.with_password(
            door, Typed("email", "ada@example.com"), Password.from_plain(PASSWORD), client()
        )
        assert isinstance(outcome, SignedIn)
        tokens = [outcome.token, outcome.key, outcome.child.token if outcome.child else None]
        for token in filter(None, tokens):
            tried += 1
            assert_no(await profile(house, token), 401, "NO_AUTH_USER")
            answer = await house.post("/user/refresh", json={"refreshToken": token}, headers=bearer(token))
            assert_no(answer, 401, "INVALID_REFRESH_TOKEN")
    assert tried or len(house.app.mounts) == 1

"""Avatars: contract section 12, decisions 12 and 29, threats 46 and 47."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from dragoman.core.pictures import LARGEST_UPLOAD
from kit.house import PASSWORD, House, open_house
from kit.recipes import PICTURE

FORM = "multipart/form-data"
SET, RESET, GET = "/api/v1/users.setAvatar", "/api/v1/users.resetAvatar", "/api/v1/users.getAvatar"


async def log_in(house: House, user: str = "ada") -> dict[str, str]:
    data = (await house.post("/api/v1/login", json={"user": user, "password": PASSWORD})).json()["data"]
    return {"X-Auth-Token": data["authToken"], "X-User-Id": data["userId"]}


async def upload(house: House, headers: dict[str, str], image: bytes = PICTURE, **fields: str) -> httpx2.Response:
    files = {"image": ("../../ada.svg", image, "image/svg+xml")}
    return await house.post(SET, headers=headers, files=files, data=fields)


async def shown(house: House, name: str = "ada", **headers: str) -> httpx2.Response:
    answer = await house.get(f"/avatar/{name}", headers=headers)
    assert answer.status_code == 200
    return answer


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("ada", "A"), ("ada.example", "AE"), ("ada_b-c", "AC"), ("Ada Example Third", "AT"), ("7up", "7"),
        ("ä.ö", "ÄÖ"),
        ("...", "?"), ("<script>", "S"), ("&amp;\"'", "A"), ("李小龙", "李"), ("x" * 5000, "X"), ("\u202eab", "A"),
        ("ß", "SS"),
    ],
)  # fmt: skip
async def test_the_first_letters_are_drawn(house: House, name: str, letters: str) -> None:
    answer = await shown(house, name.replace("&", "%26"))
    assert answer.headers["content-type"] == "image/svg+xml"
    root = ET.fromstring(answer.text)
    assert {each.tag.partition("}")[2] for each in root.iter()} == {"svg", "rect", "text"}
    assert [each.text for each in root.iter() if each.text] == [letters]
    assert not [key for each in root.iter() for key in each.attrib if key.startswith("on") or "href" in key]
    assert (await shown(house, name.replace("&", "%26"))).content == answer.content


async def test_its_headers_let_nothing_run_and_have_it_kept_for_a_while(house: House) -> None:
    answer = await shown(house)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert answer.headers["pragma"] == ""
    again = await house.get("/avatar/ada", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", answer.headers["etag"])
    other = await house.get("/avatar/ada", headers={"If-None-Match": '"another"'})
    assert other.status_code == 200
    head = await house.request("HEAD", "/avatar/ada")
    assert (head.status_code, head.content) == (200, b"")


async def test_names_that_nobody_has_are_answered_alike(house: House) -> None:
    before = await shown(house)
    await house.ada()
    after = await shown(house)
    same = ("etag", "content-type", "cache-control", "content-length")
    assert before.content == after.content
    assert [before.headers[name] for name in same] == [after.headers[name] for name in same]


async def test_an_upload_is_shown_until_it_is_reset(house: House) -> None:
    await house.ada()
    own = await log_in(house)
    drawn = await shown(house)
    assert (await upload(house, own)).json() == {"success": True}
    answer = await shown(house)
    assert answer.headers["content-type"] in ("image/jpeg", "image/png")
    assert Image.open(io.BytesIO(answer.content)).size == (1, 1)
    assert answer.headers["etag"] != drawn.headers["etag"]
    assert (await shown(house, "ADA")).content == answer.content
    stale = await house.get("/avatar/ada", headers={"If-None-Match": drawn.headers["etag"]})
    assert stale.status_code == 200
    assert (await house.post(RESET, headers=own, json={})).json() == {"success": True}
    assert (await shown(house)).content == drawn.content
    assert (await house.post(RESET, headers=own)).json() == {"success": True}


async def test_others_pictures_take_the_permission_and_the_rank(house: House) -> None:
    ada, bob = await house.ada(administrator=True), await house.add(username="bob")
    by_ada, by_bob = await log_in(house), await log_in(house, "bob")
    for named in ({"username": "ada"}, {"userId": ada.aliases["rocketchat"]}):
        refused = await upload(house, by_bob, **named)
        assert (refused.status_code, refused.json()["errorType"]) == (400, "error-not-allowed")
        assert (await house.post(RESET, headers=by_bob, json=named)).status_code == 400
    assert (await upload(house, by_ada, username="bob")).status_code == 200
    assert (await upload(house, by_ada, userId=bob.aliases["rocketchat"])).status_code == 200
    assert (await upload(house, by_bob, username="bob")).status_code == 200
    assert (await upload(house, by_ada, username="nobody")).json()["error"] == "User not found."
    given = [{"_id": "edit-other-user-avatar", "roles": ["user", "admin"]}]
    await house.post("/api/v1/permissions.update", headers=by_ada, json={"permissions": given})
    refused = await upload(house, by_bob, username="ada")
    assert (refused.status_code, refused.json()) == (403, {"success": False, "error": "unauthorized"})


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({"json": {"avatarUrl": "http://127.0.0.1:1/secret"}}, "error-avatar-invalid-url"),
        ({"data": {"avatarUrl": "file:///etc/passwd"}}, "error-avatar-invalid-url"),
        ({"json": {}}, "error-avatar-param-not-provided"),
        ({}, "error-avatar-param-not-provided"),
        ({"files": {"other": ("a.png", PICTURE, "image/png")}}, "error-avatar-param-not-provided"),
        ({"files": {"image": ("a.png", b"<svg onload='alert(1)'/>", "image/png")}}, "error-invalid-image"),
        ({"files": {"image": ("a.png", b"", "image/png")}}, "error-invalid-image"),
        ({"files": {"image": (None, "text")}}, "invalid-params"),
        ({"json": {"image": "text"}}, "invalid-params"),
        ({"content": b"--x\r\nbroken", "headers": {"Content-Type": f"{FORM}; boundary=x"}}, "invalid-params"),
        ({"content": b"--x--", "headers": {"Content-Type": FORM}}, "invalid-params"),
    ],
)  # fmt: skip
async def test_what_is_no_picture_is_refused(house: House, sent: dict[str, Any], code: str) -> None:
    await house.ada()
    headers = {**await log_in(house), **sent.pop("headers", {})}
    answer = await house.post(SET, headers=headers, **sent)
    assert (answer.status_code, answer.json().get("errorType")) == (400, code), answer.text
    assert (await shown(house)).headers["content-type"] == "image/svg+xml"


async def test_uploads_have_a_size(house: House) -> None:
    await house.ada()
    own = await log_in(house)
    assert (await upload(house, own, b"x" * LARGEST_UPLOAD)).json()["errorType"] == "error-invalid-image"
    assert (await upload(house, own, b"x" * (LARGEST_UPLOAD + 5000))).status_code == 413
    assert (await house.post("/api/v1/login", content=b"x" * 70_000)).status_code == 413


async def test_get_avatar_leads_to_it(house: House) -> None:
    ada = await house.ada()
    far = await house.add(username="far", organization=await house.core.accounts.organization("Elsewhere"))
    own = await log_in(house)
    for query, name in (
        ({}, "ada"), ({"username": "a/b?"}, "a%2Fb%3F"), ({"userId": ada.aliases["rocketchat"]}, "ada"),
    ):  # fmt: skip
        answer = await house.get(GET, headers=own, params=query)
        assert (answer.status_code, answer.headers["location"]) == (307, f"http://dragoman.test/avatar/{name}")
    answer = await house.get(GET, headers=own, params={"userId": far.aliases["rocketchat"]})
    assert (answer.status_code, answer.json()["error"]) == (400, "User not found.")
    assert (await house.get(GET)).status_code == 401


async def test_where_accounts_are_concealed_pictures_are_for_those_signed_in(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts__conceal=True) as house:
        await house.ada()
        own = await log_in(house)
        assert (await upload(house, own)).status_code == 200
        assert (await shown(house)).headers["content-type"] == "image/svg+xml"
        assert (await shown(house, **own)).headers["content-type"] != "image/svg+xml"

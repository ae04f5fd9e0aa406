"""Pictures: drawn anew whatever comes, kept small, shown where they may be (threat 46)."""

from __future__ import annotations

import io
import zlib
from typing import Any

import pytest
from PIL import Image

from dragoman.core import refusals
from dragoman.core.pictures import LARGEST, LARGEST_UPLOAD, SIDE, drawn
from dragoman.model import Caller, Person
from kit.house import House, client

RED = (200, 10, 10)


def made(form: str, size: tuple[int, int] = (40, 30), mode: str = "RGB", **how: Any) -> bytes:
    out = io.BytesIO()
    colour: Any = {"RGB": RED, "RGBA": (*RED, 90), "P": 1, "L": 100, "CMYK": (0, 90, 90, 10)}[mode]
    Image.new(mode, size, colour).save(out, form, **how)
    return out.getvalue()


def opened(picture: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(picture))
    image.load()
    return image


async def caller_of(house: House, person: Person) -> Caller:
    flat = {"user": person.username, "password": "correct horse battery"}
    token = (await house.post("/api/v1/login", json=flat)).json()["data"]["authToken"]
    return await house.core.sessions.authenticate(house.core.doors["rocketchat"], token)


@pytest.mark.parametrize(
    ("upload", "media"),
    [
        (made("PNG"), "image/jpeg"),
        (made("JPEG"), "image/jpeg"),
        (made("JPEG", mode="CMYK"), "image/jpeg"),
        (made("WEBP"), "image/jpeg"),
        (made("GIF", mode="P"), "image/jpeg"),
        (made("PNG", mode="RGBA"), "image/png"),
        (made("WEBP", mode="RGBA"), "image/png"),
    ],
)
def test_every_form_becomes_one_of_ours(upload: bytes, media: str) -> None:
    picture = drawn(upload)
    image = opened(picture.image)
    assert (picture.media, f"image/{(image.format or '').lower()}", image.size) == (media, media, (40, 30))
    assert len(picture.etag) == 32
    assert drawn(upload) == picture


@pytest.mark.parametrize("size", [(3000, 1000), (1000, 3000), (512, 512), (1, 4000)])
def test_large_ones_are_made_smaller_in_proportion(size: tuple[int, int]) -> None:
    image = opened(drawn(made("PNG", size)).image)
    assert max(image.size) == min(SIDE, max(size))
    assert abs(image.size[0] / image.size[1] - size[0] / size[1]) < 0.01 or min(image.size) == 1


def test_noise_stays_within_the_size() -> None:
    noise = Image.effect_noise((600, 600), 100)
    for mode in ("RGB", "RGBA"):
        out = io.BytesIO()
        image = noise.convert(mode)
        if mode == "RGBA":
            image.putalpha(noise)
        image.save(out, "PNG")
        assert len(drawn(out.getvalue()).image) <= LARGEST


def test_nothing_but_pixels_comes_through() -> None:
    exif = Image.Exif()
    exif[0x010E] = "SECRET-PLACE"
    exif[0x0112] = 6  # turned by a quarter
    upload = made("JPEG", exif=exif, comment=b"SECRET-COMMENT", icc_profile=b"SECRET-PROFILE") + b"PK SECRET-TAIL"
    picture = drawn(upload)
    assert b"SECRET" in upload
    assert b"SECRET" not in picture.image
    assert opened(picture.image).size == (30, 40), "it is turned as its owner sees it"
    assert not dict(opened(picture.image).getexif())


BOMB = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\xff\xff\x00\x00\xff\xff\x08\x02\x00\x00\x00" + zlib.crc32(
    b"IHDR\x00\x00\xff\xff\x00\x00\xff\xff\x08\x02\x00\x00\x00"
).to_bytes(4, "big")


@pytest.mark.parametrize(
    "upload",
    [
        b"\x00", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"GIF89a", b"%PDF-1.7", b"\x89PNG\r\n\x1a\n",
        made("PNG")[:60], made("JPEG")[:100], made("BMP"), made("TIFF"), made("ICO"), BOMB,
        made("PNG", (4097, 4097), mode="L"), b"RIFF\x00\x00\x00\x00WEBPVP8 ",
    ],
    ids=range(13),
)  # fmt: skip
def test_what_is_no_picture_is_refused(upload: bytes) -> None:
    with pytest.raises(refusals.BadPicture):
        drawn(upload)


async def test_a_picture_is_kept_shown_replaced_and_dropped(any_house: House) -> None:
    house, pictures = any_house, any_house.core.pictures
    ada = await house.ada()
    caller, chat = await caller_of(house, ada), house.core.doors["rocketchat"]
    assert await pictures.shown(chat, "ada", None) is None
    first = await pictures.put(caller, ada.account, made("PNG"), client())
    assert await pictures.shown(chat, "ADA", None) == first == await pictures.find(ada.account)
    second = await pictures.put(caller, ada.account, made("PNG", (50, 50)), client())
    assert await pictures.shown(chat, "ada", None) == second != first
    assert await pictures.drop(caller, ada.account, client()) is True
    assert await pictures.drop(caller, ada.account, client()) is False
    assert await pictures.shown(chat, "ada", None) is None
    told = [e for e in await house.core.newest_events(20, ada.account.id) if e.kind == "account_changed"]
    assert [e.detail["what"] for e in told] == ["picture"] * 3


async def test_others_are_managed_or_out_of_reach(house: House) -> None:
    pictures = house.core.pictures
    ada, bob = await house.ada(administrator=True), await house.add(username="bob")
    far = await house.add(username="far", organization=await house.core.accounts.organization("Elsewhere"))
    by_ada, by_bob = await caller_of(house, ada), await caller_of(house, bob)
    with pytest.raises(refusals.NotAllowed):
        await pictures.put(by_bob, ada.account, made("PNG"), client())
    with pytest.raises(refusals.NotFound):
        await pictures.put(by_bob, far.account, made("PNG"), client())
    await pictures.put(by_ada, bob.account, made("PNG"), client())
    await pictures.put(by_ada, far.account, made("PNG"), client())
    chat, flash = house.core.doors["rocketchat"], house.core.doors["flashback"]
    assert await pictures.shown(chat, "far", None) is None, "the door admits the default organization only"
    assert await pictures.shown(flash, "far", None) is not None
    await house.core.life.set_status(bob.account, "suspended")
    assert await pictures.shown(chat, "bob", None) is None


async def test_uploads_have_a_size_and_wait_for_one_another(house: House) -> None:
    ada = await house.ada()
    caller, pictures = await caller_of(house, ada), house.core.pictures
    for upload in (b"", b"x" * (LARGEST_UPLOAD + 1)):
        with pytest.raises(refusals.BadPicture):
            await pictures.put(caller, ada.account, upload, client())
    pictures._waiting = 9
    with pytest.raises(refusals.Busy):
        await pictures.put(caller, ada.account, made("PNG"), client())


async def test_a_picture_goes_with_its_account_and_is_in_its_export(house: House) -> None:
    ada = await house.ada()
    picture = await house.core.pictures.put(await caller_of(house, ada), ada.account, made("PNG"), client())
    told = await house.core.life.export(ada.account)
    assert told["picture"]["media"] == picture.media
    assert len(told["picture"]["image"]) > len(picture.image)
    await house.core.life.erase(ada.account)
    assert await house.core.pictures.find(ada.account) is None

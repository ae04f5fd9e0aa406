"""Settings of the Probe dialect: what is a fault, and what doctor says."""

from __future__ import annotations

from typing import Any

import pytest

from dragoman.app import captchas, mounts
from dragoman.cli.doctor.configuration import of_configuration
from dragoman.core.ports import SystemClock
from dragoman.dialects import probe
from dragoman.settings import SECRETS, BadSettings, load

ORIGINS = (
    "https://app.example.com", "http://127.0.0.1:3000", "http://[::1]:3000", "https://app.example.com/",
    "https://App.example.com", "app.example.com", "*", "", "https://app.example.com/x", "https://a b",
    "ftp://app.example.com", "https://app.example.com:123456", "null",
)  # fmt: skip


def faults(**given: Any) -> list[str]:
    try:
        load(None, {}, {f"dialects.probe.{name}": value for name, value in given.items()})
    except BadSettings as bad:
        return bad.faults
    return []


@pytest.mark.parametrize("name", ["origins", "ret_url_origins"])
@pytest.mark.parametrize("origin", ORIGINS)
def test_a_malformed_origin_is_a_fault_of_the_configuration(name: str, origin: str) -> None:
    found = faults(**{name: [origin]})
    try:
        probe.Config(origins=(origin,))
    except ValueError:
        assert len(found) == 1
        assert found[0].startswith(f"dialects.probe.{name}: found {origin!r}, expected an origin")
    else:
        assert found == []
        mounts(load(None, {}, {f"dialects.probe.{name}": [origin]}))


def test_query_tokens_reach_the_dialect() -> None:
    for value in (True, False):
        placed = mounts(load(None, {}, {"dialects.probe.query_tokens": value}))
        config = next(mount.dialect.config for mount in placed if mount.dialect.name == "probe")
        assert config.query_tokens is value


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://www.google.com/recaptcha/api/siteverify", True), ("http://127.0.0.1:8000/siteverify", True),
        ("http://captcha.example/siteverify", False), ("https://user:pw@captcha.example/", False),
        ("https://captcha.example/?secret=x", False), ("ftp://captcha.example", False), ("captcha", False),
    ],
)  # fmt: skip
def test_where_a_verifier_may_be(url: str, good: bool) -> None:
    found = faults(captcha_url=url, captcha_secret="x")
    assert [fault.partition(":")[0] for fault in found] == ([] if good else ["dialects.probe.captcha_url"])


def test_address_and_secret_go_together() -> None:
    for given in ({"captcha_url": "https://captcha.example"}, {"captcha_secret": "x"}):
        assert len(faults(**given)) == 1
    assert "dialects.probe.captcha_secret" in SECRETS


def test_no_verifier_is_made_where_none_is_configured() -> None:
    assert captchas(load(None, {}), SystemClock()) == {}


def test_doctor_names_sign_up_without_a_captcha() -> None:
    def said(**given: Any) -> list[str]:
        overrides = {name.replace("__", "."): value for name, value in given.items()}
        found = of_configuration(load(None, {}, {"mail.transport": "console", **overrides}))
        return [one.level for one in found if one.setting == "dialects.probe.captcha_url"]

    assert said() == ["note"]
    assert said(accounts__sign_up="disabled") == []
    assert said(mail__transport="off") == [], "nobody can sign up there"
    assert said(accounts__sign_up="private") == ["note"]
    assert said(dialects__probe__enabled=False) == []
    verified = {"dialects__probe__captcha_url": "https://c.example/v", "dialects__probe__captcha_secret": "x"}
    assert said(**verified) == []
    plain = {**verified, "dialects__probe__captcha_url": "http://127.0.0.1:9/v"}
    assert said(**plain) == []

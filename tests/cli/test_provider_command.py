"""`dragoman provider`, and what `config` and `doctor` say of outside providers."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from cli.conftest import Desk
from dragoman.settings import BadSettings, load
from kit.directory import free_port
from kit.github import GithubPeer
from kit.oidc import CLIENT, SECRET

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def peer() -> Iterator[GithubPeer]:
    with GithubPeer() as running:
        yield running


@pytest.fixture
def known(desk: Desk, peer: GithubPeer) -> Desk:
    """A desk whose installation knows two providers."""
    desk.env |= {
        "DRAGOMAN_PROVIDERS_GITHUB_CLIENT_ID": CLIENT, "DRAGOMAN_PROVIDERS_GITHUB_CLIENT_SECRET": SECRET,
        "DRAGOMAN_PROVIDERS_GITHUB_ISSUER": peer.issuer, "DRAGOMAN_PROVIDERS_GITHUB_API_URL": f"{peer.issuer}/api",
        "DRAGOMAN_PROVIDERS_OIDC_CLIENT_ID": CLIENT, "DRAGOMAN_PROVIDERS_OIDC_NAME": "example",
        "DRAGOMAN_PROVIDERS_OIDC_ISSUER": f"{peer.issuer}/oidc", "DRAGOMAN_PROVIDERS_OIDC_TRUST": "all",
        "DRAGOMAN_PROVIDERS_OIDC_TIMEOUT_SECONDS": "3",
    }  # fmt: skip
    return desk


def test_check_says_which_can_be_used(known: Desk) -> None:
    assert known.json("provider", "check") == {"github": "", "example": ""}
    known.env["DRAGOMAN_PROVIDERS_GITHUB_CLIENT_SECRET"] = "canary-wrong"
    known.env["DRAGOMAN_PROVIDERS_OIDC_ISSUER"] = f"http://127.0.0.1:{free_port()}"
    said = known.run("provider", "check")
    assert said.exit_code == 1
    assert "github: the API answered 401: client id or secret is wrong" in said.stdout
    assert "example: no answer: ConnectError" in said.stdout
    assert "canary" not in said.stdout + said.stderr


def test_check_without_a_provider_says_what_to_set(desk: Desk) -> None:
    assert "[providers.google]" in desk.done("provider", "check")


def test_links_are_shown_and_removed(known: Desk) -> None:
    known.add("--email", "ada@example.com", "--username", "ada")
    assert known.json("provider", "list", "ada") == []
    assert "not linked to github" in known.refused("provider", "unlink", "ada", "github")
    with sqlite3.connect(known.data / "dragoman.db") as db:
        db.execute(
            """insert into provider_link(issuer, subject, account, provider, created_at, last_at)
               select 'https://github.com', '4711', account, 'github', 5, 5 from identifier where folded = 'ada'"""
        )
    assert [one["subject"] for one in known.json("provider", "list", "ada")] == ["4711"]
    assert "github lets nobody into ada's account any more" in known.done("provider", "unlink", "ada", "github")
    assert known.json("provider", "list", "ada") == []


def test_doctor_says_how_far_providers_are_trusted(known: Desk) -> None:
    known.add("--email", "ada@example.com", "--username", "ada")
    with sqlite3.connect(known.data / "dragoman.db") as db:
        db.execute(
            """insert into provider_link(issuer, subject, account, provider, created_at, last_at)
               select 'https://gone.example.com', '4711', account, 'gone', 5, 5 from identifier where folded = 'ada'"""
        )
    known.env |= {
        "DRAGOMAN_PROVIDERS_MICROSOFT_CLIENT_ID": "x", "DRAGOMAN_PROVIDERS_MICROSOFT_TRUST": "all",
    }  # fmt: skip
    said = known.run("doctor").stdout
    for text in (
        "providers.oidc.trust: whatever address", "providers.microsoft.issuer: people of every tenant",
        "providers.oidc.client_secret: codes are exchanged without", "linked to gone, which is not configured",
    ):  # fmt: skip
        assert text in said


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"providers.google.client_id": "x", "providers.google.issuer": "http://id.example.com"}, "google.issuer"),
    ({"providers.google.client_id": "x", "providers.google.issuer": "https://a@id.example.com"}, "google.issuer"),
    ({"providers.oidc.client_id": "x"}, "oidc.issuer"),
    ({"providers.github.client_id": "x", "providers.github.api_url": "ftp://x"}, "github.api_url"),
    ({"providers.google.client_id": "x", "providers.google.hosts": ["a/b"]}, "google.hosts"),
    ({"providers.oidc.client_id": "x", "providers.oidc.issuer": "https://x", "providers.oidc.name": "google"}, "name"),
    ({"providers.google.client_id": "x", "providers.google.algorithms": ["HS256"]}, "google.algorithms"),
    ({"providers.google.client_id": "x", "providers.google.algorithms": ["none"]}, "google.algorithms"),
]


@pytest.mark.parametrize(("wrong", "named"), FAULTS)
def test_what_cannot_work_is_a_fault(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(BadSettings) as no:
        load(None, {}, wrong)
    assert [fault for fault in no.value.faults if named in fault]


def test_secrets_are_not_printed(known: Desk) -> None:
    known.env["DRAGOMAN_PROVIDERS_OIDC_CLIENT_SECRET"] = "canary-7b1f"
    assert "canary" not in known.done("config", "show")

"""Forty shapes of forwarded headers (decision 36, threat 34)."""

import pytest

from dragoman.http.address import Proxies, client_of, scheme_of

PROXIES = Proxies.named(["10.0.0.0/8", "2001:db8:ffff::/48", "192.0.2.250"])
FORWARDED = Proxies.named(["10.0.0.0/8"], header="forwarded")
NOBODY = Proxies()

FOR = "x-forwarded-for"

SHAPES = [
    # peer, proxies, headers, address, network
    ("198.51.100.7", NOBODY, [], "198.51.100.7", "198.51.100.7/32"),
    ("198.51.100.7", NOBODY, [(FOR, "203.0.113.9")], "198.51.100.7", "198.51.100.7/32"),
    ("198.51.100.7", PROXIES, [(FOR, "203.0.113.9")], "198.51.100.7", "198.51.100.7/32"),
    ("198.51.100.7", PROXIES, [("forwarded", "for=203.0.113.9")], "198.51.100.7", "198.51.100.7/32"),
    ("127.0.0.1", NOBODY, [], "127.0.0.1", "127.0.0.1/32"),
    ("127.0.0.1", NOBODY, [(FOR, "203.0.113.9")], "127.0.0.1", ""),
    ("::1", NOBODY, [(FOR, "203.0.113.9")], "::1", ""),
    ("192.168.1.1", NOBODY, [("forwarded", "for=203.0.113.9")], "192.168.1.1", ""),
    ("fe80::1%eth0", NOBODY, [(FOR, "203.0.113.9")], "fe80::1", ""),
    ("127.0.0.1", PROXIES, [(FOR, "203.0.113.9")], "127.0.0.1", ""),
    ("2001:db8:1:2:3:4:5:6", NOBODY, [], "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
    ("::ffff:198.51.100.7", NOBODY, [], "198.51.100.7", "198.51.100.7/32"),
    (None, PROXIES, [(FOR, "203.0.113.9")], "", ""),
    ("", PROXIES, [(FOR, "203.0.113.9")], "", ""),
    ("10.0.0.1", PROXIES, [], "10.0.0.1", ""),
    ("10.0.0.1", PROXIES, [(FOR, "")], "10.0.0.1", ""),
    ("10.0.0.1", PROXIES, [(FOR, " , ,")], "10.0.0.1", ""),
    ("10.0.0.1", PROXIES, [(FOR, "203.0.113.9")], "203.0.113.9", "203.0.113.9/32"),
    ("10.0.0.1", PROXIES, [(FOR, "  203.0.113.9\t")], "203.0.113.9", "203.0.113.9/32"),
    ("10.0.0.1", PROXIES, [(FOR, "6.6.6.6, 203.0.113.9")], "203.0.113.9", "203.0.113.9/32"),
    ("10.0.0.1", PROXIES, [(FOR, "6.6.6.6"), (FOR, "203.0.113.9")], "203.0.113.9", "203.0.113.9/32"),
    ("10.0.0.1", PROXIES, [(FOR, "203.0.113.9, 10.2.3.4")], "203.0.113.9", "203.0.113.9/32"),
    ("10.0.0.1", PROXIES, [(FOR, "203.0.113.9, 192.0.2.250, 10.2.3.4")], "203.0.113.9", "203.0.113.9/32"),
    ("10.0.0.1", PROXIES, [(FOR, "6.6.6.6, 203.0.113.9, 10.2.3.4")], "203.0.113.9", "203.0.113.9/32"),
    ("10.0.0.1", PROXIES, [(FOR, "10.9.9.9, 10.2.3.4")], "10.9.9.9", "10.9.9.9/32"),
    ("10.0.0.1", PROXIES, [(FOR, "203.0.113.9:4711")], "203.0.113.9", "203.0.113.9/32"),
    ("10.0.0.1", PROXIES, [(FOR, "[2001:db8:1:2::9]:4711")], "2001:db8:1:2::9", "2001:db8:1:2::/64"),
    ("10.0.0.1", PROXIES, [(FOR, "[2001:db8:1:2::9]")], "2001:db8:1:2::9", "2001:db8:1:2::/64"),
    ("10.0.0.1", PROXIES, [(FOR, "2001:db8:1:2::9")], "2001:db8:1:2::9", "2001:db8:1:2::/64"),
    ("10.0.0.1", PROXIES, [(FOR, "2001:DB8:1:2::9%eth0")], "2001:db8:1:2::9", "2001:db8:1:2::/64"),
    ("10.0.0.1", PROXIES, [(FOR, "::ffff:203.0.113.9")], "203.0.113.9", "203.0.113.9/32"),
    ("10.0.0.1", PROXIES, [(FOR, "203.0.113.9, ::ffff:10.2.3.4")], "203.0.113.9", "203.0.113.9/32"),
    ("::ffff:10.0.0.1", PROXIES, [(FOR, "203.0.113.9")], "203.0.113.9", "203.0.113.9/32"),
    ("2001:db8:ffff::1", PROXIES, [(FOR, "203.0.113.9")], "203.0.113.9", "203.0.113.9/32"),
    ("10.0.0.1", PROXIES, [(FOR, "203.0.113.9, unknown")], "10.0.0.1", ""),
    ("10.0.0.1", PROXIES, [(FOR, "203.0.113.9, junk, 10.2.3.4")], "10.2.3.4", ""),
    ("10.0.0.1", PROXIES, [(FOR, "203.0.113.9,")], "10.0.0.1", ""),
    ("10.0.0.1", PROXIES, [(FOR, "203.0.113.999")], "10.0.0.1", ""),
    ("10.0.0.1", PROXIES, [(FOR, "203.0.113.09")], "10.0.0.1", ""),
    ("10.0.0.1", PROXIES, [(FOR, "203.0.113.9\x00")], "10.0.0.1", ""),
    ("10.0.0.1", PROXIES, [(FOR, "3405803785")], "10.0.0.1", ""),
    ("10.0.0.1", PROXIES, [(FOR, "example.com")], "10.0.0.1", ""),
    ("10.0.0.1", PROXIES, [(FOR, "x" * 8000)], "10.0.0.1", ""),
    ("10.0.0.1", PROXIES, [(FOR, ", ".join(["203.0.113.9"] * 33))], "10.0.0.1", ""),
    ("10.0.0.1", PROXIES, [("forwarded", "for=203.0.113.9")], "10.0.0.1", ""),
    ("10.0.0.1", PROXIES, [("x-real-ip", "203.0.113.9")], "10.0.0.1", ""),
    ("10.0.0.1", PROXIES, [(FOR, "203.0.113.9"), ("forwarded", "for=6.6.6.6")], "203.0.113.9", "203.0.113.9/32"),
    ("10.0.0.1", FORWARDED, [("forwarded", "for=203.0.113.9;proto=https")], "203.0.113.9", "203.0.113.9/32"),
    ("10.0.0.1", FORWARDED, [("forwarded", 'FOR="203.0.113.9:80"')], "203.0.113.9", "203.0.113.9/32"),
    (
        "10.0.0.1",
        FORWARDED,
        [("forwarded", 'for="[2001:db8:1:2::9]:4711";by=_x')],
        "2001:db8:1:2::9",
        "2001:db8:1:2::/64",
    ),
    ("10.0.0.1", FORWARDED, [("forwarded", "for=6.6.6.6, for=203.0.113.9")], "203.0.113.9", "203.0.113.9/32"),
    ("10.0.0.1", FORWARDED, [("forwarded", "for=6.6.6.6, by=10.0.0.1")], "10.0.0.1", ""),
    ("10.0.0.1", FORWARDED, [("forwarded", "for=unknown")], "10.0.0.1", ""),
    ("10.0.0.1", FORWARDED, [("forwarded", "for=_hidden")], "10.0.0.1", ""),
    ("10.0.0.1", FORWARDED, [("forwarded", 'for="203.0.113.9')], "10.0.0.1", ""),
    ("10.0.0.1", FORWARDED, [("forwarded", "for=203.0.113.9;for=6.6.6.6")], "10.0.0.1", ""),
    ("10.0.0.1", FORWARDED, [("forwarded", 'for="6.6, for=7.7", for=203.0.113.9')], "203.0.113.9", "203.0.113.9/32"),
    ("10.0.0.1", FORWARDED, [(FOR, "6.6.6.6")], "10.0.0.1", ""),
]  # fmt: skip


def scope(peer, headers):
    return {
        "client": None if peer is None else (peer, 1),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
        "scheme": "http",
    }


def test_there_are_forty_shapes():
    assert len(SHAPES) >= 40


@pytest.mark.parametrize(("peer", "proxies", "headers", "address", "network"), SHAPES)
def test_address(peer, proxies, headers, address, network):
    client = client_of(scope(peer, headers), proxies)
    assert (client.address, client.network) == (address, network)


def test_user_agent_is_cleaned():
    agent = "curl/8\x00\x1b[31m" + "ä" * 1000
    client = client_of({"client": None, "headers": [(b"user-agent", agent.encode())]}, NOBODY)
    assert client.user_agent.startswith("curl/8[31mää")
    assert len(client.user_agent) == 512


def test_user_agent_that_is_not_utf8():
    client = client_of({"client": None, "headers": [(b"user-agent", b"caf\xe9")]}, NOBODY)
    assert client.user_agent == "caf\ufffd"


@pytest.mark.parametrize(
    ("peer", "said", "scheme"),
    [
        ("10.0.0.1", "https", "https"),
        ("10.0.0.1", "http, https", "https"),
        ("10.0.0.1", "gopher", "http"),
        ("198.51.100.7", "https", "http"),
    ],
)
def test_scheme_counts_from_a_proxy_only(peer, said, scheme):
    assert scheme_of(scope(peer, [("x-forwarded-proto", said)]), PROXIES) == scheme


def test_bad_proxy_is_named():
    with pytest.raises(ValueError, match=r"10\.0\.0\.256"):
        Proxies.named(["10.0.0.256"])

"""The headers that every page carries, and what the pages behind mailed links carry instead."""

from __future__ import annotations

_POLICY = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action {forms}; frame-ancestors 'none'"  # one line
)

HEADERS = (
    ("cache-control", "no-store"),
    ("content-security-policy", _POLICY.format(forms="'none'")),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
)
"""On every answer of the pages: nothing runs, nothing loads but our style, nobody frames them."""

FORMS = (("content-security-policy", _POLICY.format(forms="'self'")),)
"""On pages with a form: it goes to where it came from and nowhere else."""

OWN_REFERRER = (("referrer-policy", "same-origin"),)
"""On the form whose sender is checked: under `no-referrer` browsers say `Origin: null` of their own page, too. Its path
holds no token, and nobody else is told it."""

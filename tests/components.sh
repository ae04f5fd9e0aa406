#!/bin/sh
# Install what the tests run against, where it is missing. Needs root or sudo, on Debian or Ubuntu.
set -eu

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

missing=""
need() { # package, test that is true when it is there
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

has_postgres_server() { ls /usr/lib/postgresql/*/bin/initdb || command -v initdb; }
has_browser() { command -v chromium || command -v chromium-browser || command -v google-chrome; }
has_node() { node -e 'process.exit(typeof fetch === "function" ? 0 : 1)'; }

has_valkey() { command -v valkey-server || command -v redis-server; }
has_slapd() { [ -x /usr/sbin/slapd ] || command -v slapd; }

need postgresql has_postgres_server
need nodejs has_node
need slapd has_slapd
need ldap-utils command -v ldapmodify
need redis-server has_valkey
if grep -q '^ID=debian' /etc/os-release; then
    need chromium has_browser
elif ! has_browser >/dev/null; then
    echo "no Chromium: install chromium or google-chrome by hand, the tests in a browser fail without" >&2
fi

if [ -n "$missing" ]; then
    echo "installing:$missing"
    export DEBIAN_FRONTEND=noninteractive
    as_root apt-get -o DPkg::Lock::Timeout=300 -qq update
    # shellcheck disable=SC2086 # a list of words
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq -y --no-install-recommends install $missing
fi

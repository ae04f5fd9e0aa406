#!/bin/sh
# Install the package that tests/kit/oidc.py runs as a provider, into .components/oidc-peer: exactly what the lock file
# names, each with its hash; nothing of it is run while installing. Does nothing where it is there already.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
target="$(cd "$here/../../.." && pwd)/.components/oidc-peer"

mkdir -p "$target"
exec 9>"$target/.lock"
flock 9 # several test processes may want it at once

if ! cmp -s "$here/package-lock.json" "$target/.installed"; then
    cp "$here/package.json" "$here/package-lock.json" "$target/"
    (cd "$target" && npm ci --silent --ignore-scripts --no-audit --no-fund >&2)
    cp "$here/package-lock.json" "$target/.installed"
fi

#!/bin/sh
# Install the published clients that the tests run, unmodified, each into a folder of its own below .components/clients.
# Pinned by hash in the requirements files beside this script; does nothing where a client is there already.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
clients="$root/.components/clients"
python=${PYTHON:-"$root/.venv/bin/python"}
[ -x "$python" ] || python=$(command -v python3)

install_into() { # target folder, requirements file
    if [ -x "$root/.venv/bin/uv" ]; then
        "$root/.venv/bin/uv" pip install --quiet --python "$python" --target "$1" --require-hashes -r "$2"
    elif "$python" -m uv --version >/dev/null 2>&1; then
        "$python" -m uv pip install --quiet --python "$python" --target "$1" --require-hashes -r "$2"
    else
        "$python" -m pip install --quiet --no-deps --only-binary :all: --target "$1" --require-hashes -r "$2"
    fi
}

mkdir -p "$clients"
exec 9>"$clients/.lock"
flock 9 # several test processes may want them at once

for wanted in "$here"/*.txt; do
    name=$(basename "$wanted" .txt)
    if ! cmp -s "$wanted" "$clients/$name/.installed"; then
        rm -rf "${clients:?}/$name"
        install_into "$clients/$name" "$wanted"
        cp "$wanted" "$clients/$name/.installed"
    fi
done

# Those of npm: exactly what the lock file names, each with its hash; nothing of theirs is run while installing.
for wanted in "$here"/*/package-lock.json; do
    name=$(basename "$(dirname "$wanted")")
    if ! cmp -s "$wanted" "$clients/$name/.installed"; then
        rm -rf "${clients:?}/$name"
        mkdir -p "$clients/$name"
        cp "$(dirname "$wanted")/package.json" "$wanted" "$clients/$name/"
        (cd "$clients/$name" && npm ci --silent --ignore-scripts --no-audit --no-fund >&2)
        cp "$wanted" "$clients/$name/.installed"
    fi
done

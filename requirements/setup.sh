#!/bin/sh
# Make .venv with what requirements/*.txt pin (every file by hash) and the command .venv/bin/dragoman, which runs src/ in
# place. Quick when nothing changed. Arguments: the requirement files to install, `runtime` and, for tests, `dev`.
set -eu

cd "$(dirname "$0")/.."
root=$(pwd)
venv="$root/.venv"

say() { echo "setup: $*" >&2; }

find_python() { # the newest wins only where the usual one is too old
    for name in ${PYTHON:-python3 python3.11 python3.12 python3.13 python3.14}; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    say "Python 3.11 or newer is needed; on Debian or Ubuntu: apt-get install python3 python3-venv"
    return 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "this needs root: $*"
        return 1
    fi
}

make_venv() {
    python=$(find_python)
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then # Debian ships it in a package of its own
        version=$("$python" -c 'import sys; print(f"{sys.version_info[0]}.{sys.version_info[1]}")')
        say "installing python$version-venv"
        as_root apt-get -o DPkg::Lock::Timeout=300 -qq update
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq -y \
            --no-install-recommends install "python$version-venv" >/dev/null
    fi
    say "making .venv with $("$python" --version)"
    rm -rf "$venv"
    "$python" -m venv "$venv"
    printf '%s\n' "$root" >"$venv/.made-for"
}

install() { # requirements file
    pip="$venv/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes"
    if ! [ -x "$venv/bin/uv" ]; then
        $pip -r requirements/uv.txt || say "going on without uv"
    fi
    say "installing requirements/$1.txt"
    if [ -x "$venv/bin/uv" ]; then
        "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --compile-bytecode --require-hashes \
            -r "requirements/$1.txt" && return
        say "uv could not; trying pip" # it may know an index that uv was not told of
    fi
    $pip -r "requirements/$1.txt"
}

link() { # no build step, hence no build tools: a path file and a command
    packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    printf '%s\n' "$root/src" >"$packages/dragoman.pth"
    # -P: the folder in which the command is called must not be searched for modules.
    printf '#!/bin/sh\nexec "%s" -P -m dragoman "$@"\n' "$venv/bin/python" >"$venv/bin/dragoman.new"
    chmod 755 "$venv/bin/dragoman.new"
    mv "$venv/bin/dragoman.new" "$venv/bin/dragoman"
}

main() {
    [ "$(cat "$venv/.made-for" 2>/dev/null)" = "$root" ] && "$venv/bin/python" -c '' 2>/dev/null || make_venv
    for name in "$@"; do
        if ! cmp -s "requirements/$name.txt" "$venv/.installed-$name"; then
            install "$name"
            cp "requirements/$name.txt" "$venv/.installed-$name"
        fi
    done
    [ -x "$venv/bin/dragoman" ] || link
    "$venv/bin/python" -m compileall -q src/dragoman || true # a read-only tree only starts more slowly
}

if command -v flock >/dev/null && [ -z "${SETUP_LOCKED:-}" ]; then # two at once would spoil the folder
    SETUP_LOCKED=1 exec flock "$root/requirements" "$0" "$@"
fi
main "$@"

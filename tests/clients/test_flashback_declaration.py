"""A TypeScript declaration made from Flashback's own OpenAPI document, and a client that is checked against it.

`openapi-typescript` writes the declaration, `tsc --strict` compiles the client with it, node runs the client with
global `fetch` only, in the spelling of the published ApiClient (contract, section 6).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from kit.house import PASSWORD
from kit.served import served

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
PROGRAM = HERE / "flashback-ts" / "conformance.ts"
HOME = HERE.parents[1] / ".components" / "clients" / "flashback-ts" / "node_modules" / ".bin"
STRICT = (
    "--strict", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes", "false", "--noUnusedLocals",
    "--target", "es2022", "--module", "es2022", "--moduleResolution", "bundler", "--lib", "es2022,dom",
)  # fmt: skip
LATER = """
import type { paths } from './schema';
export const wrong: paths['/user/login']['post']['requestBody']['content']['application/json'] = { email: 1 };
"""


def run(*words: str | Path, cwd: Path) -> str:
    """Run a program to its end and return what it printed."""
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, capture_output=True, text=True, timeout=240, check=False,
        env={"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1", "HOME": str(cwd)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tools() -> Path:
    """The folder with `tsc` and `openapi-typescript`, installed from their lock file."""
    env = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run([HERE / "install.sh"], env=env, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return HOME


def declared(base: str, folder: Path, tools: Path) -> None:
    """Write the declaration of a running server's document."""
    with urllib.request.urlopen(f"{base}/docs/flashback/openapi.json", timeout=30) as answer:
        (folder / "openapi.json").write_bytes(answer.read())
    words = ("openapi.json", "-o", "schema.d.ts", "--default-non-nullable=false")
    run(tools / "openapi-typescript", *words, cwd=folder)
    (folder / "package.json").write_text('{"type": "module"}')


def test_a_typed_client(tmp_path: Path, tools: Path) -> None:
    (tmp_path / "ts").mkdir()
    with served(tmp_path / "house", accounts__registration="public") as base:
        declared(base, tmp_path / "ts", tools)
        (tmp_path / "ts" / "conformance.ts").write_text(PROGRAM.read_text())
        run(tools / "tsc", *STRICT, "conformance.ts", cwd=tmp_path / "ts")
        said = run("node", "conformance.js", base, "ada@example.com", PASSWORD, cwd=tmp_path / "ts")
    assert len(json.loads(said)) == PROGRAM.read_text().count("await step('")


def test_the_declaration_says_no(tmp_path: Path, tools: Path) -> None:
    """What compiles because nothing is declared would compile whatever it says."""
    (tmp_path / "ts").mkdir()
    with served(tmp_path / "house") as base:
        declared(base, tmp_path / "ts", tools)
    (tmp_path / "ts" / "wrong.ts").write_text(LATER)
    with pytest.raises(AssertionError, match="Type 'number' is not assignable to type 'string'"):
        run(tools / "tsc", *STRICT, "--noEmit", "wrong.ts", cwd=tmp_path / "ts")

"""What the Markdown files promise: links lead somewhere, the README's commands work as pasted."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from dragoman.app import mounts
from dragoman.settings import Settings
from dragoman.web.routes import MAKE_ADA
from kit.served import served

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
BASE = "http://127.0.0.1:8080"


def tracked_pages():
    """Return every Markdown file of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / line for line in listed.stdout.splitlines()]


def anchors(text):
    """Return the anchors of a page's headings."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", tracked_pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for link in LINK.findall(FENCE.sub("", text)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


def readme_commands():
    """Return the README's shell blocks that call the server."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return [block for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if BASE in block]


def test_the_readme_has_one_example_per_dialect_and_makes_ada_first():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = "\n".join(readme_commands())
    for mount in mounts(Settings()):
        assert mount.dialect.example.replace("{base}", BASE) in blocks, mount.dialect.name
    assert MAKE_ADA in text
    assert text.index(MAKE_ADA) < text.index(BASE + "/api/v1/login")


def test_the_readme_has_the_marks_of_the_figures():
    assert (ROOT / "README.md").read_text(encoding="utf-8").count("<!-- bench -->") == 2


def test_the_readme_commands_work_as_pasted(tmp_path):
    with served(tmp_path) as base:
        for block in readme_commands():
            for line in filter(None, block.replace("\\\n", " ").splitlines()):
                command = line.replace(BASE, base) + " -w '\\n%{http_code}'"
                said = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
                body, _, status = said.stdout.rpartition("\n")
                assert status == "200", (line, body)
                assert json.loads(body)


def test_every_dialect_has_a_readme_with_the_same_parts():
    for mount in mounts(Settings()):
        text = (ROOT / f"src/dragoman/dialects/{mount.dialect.name}/README.md").read_text(encoding="utf-8")
        for part in ("Endpoint", "Authentication", "Operations", "Errors", "Differences from the original"):
            assert re.search(rf"^## {part}", text, re.MULTILINE), (mount.dialect.name, part)


def test_every_decision_page_has_its_parts_and_stands_in_the_index():
    folder = ROOT / "docs/decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    pages = sorted(folder.glob("[0-9]*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert f"({page.name})" in index, page.name
        for part in ("Context", "Decision", "Consequences", "Alternatives", "Enforced by"):
            assert f"\n## {part}\n" in text, (page.name, part)
        for path in re.findall(r"`(tests/[\w./]+|src/[\w./]+|docs/[\w./]+)`", text):
            assert (ROOT / path).exists(), (page.name, path)

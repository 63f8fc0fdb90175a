"""The documentation: links lead somewhere, the site has every page, every command and option is explained."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from tuner_tui.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "examples" / "README.md",
    *(ROOT / "docs").glob("*.md"),
]
MADE = {"commands.md", "examples.md"}  # by docs/site.py
LINK = re.compile(r"\]\(<?([^)>#\s]*)(#[^)>\s]*)?>?\)")


def anchors(page: Path) -> set[str]:
    """The anchors of its headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {"#" + re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for path, anchor in LINK.findall(page.read_text()):
        if "://" in path:
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {path}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{page.name}: {path}{anchor}"


def site():
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs" / "site.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_site_has_every_page():
    listed = set(
        re.findall(r"[\w-]+\.md", yaml.safe_dump(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    )
    assert listed == {page.name for page in (ROOT / "docs").glob("*.md")} | MADE
    examples = site().examples()
    assert all(
        f"## {path.name}\n" in examples for path in (ROOT / "examples").iterdir() if path.suffix != ".md"
    )


def test_every_command_and_option_is_on_the_page_of_commands():
    page = site().commands()
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        if command.hidden:
            continue
        _, _, section = page.partition(f"\n## tuner {name}\n")
        assert section
        for parameter in command.params:
            assert parameter.help, f"tuner {name}: {parameter.name} has no help"
            assert all(
                option in section.partition("\n## ")[0] for option in parameter.opts if option.startswith("-")
            )


def test_links_that_leave_the_docs_become_names():
    hook = site().on_page_markdown
    assert hook("see [`Source`](../tuner_tui/sources/source.py)") == "see `Source`"
    assert hook("see [models](../models/README.md)") == "see `models`"
    assert hook("in [examples](../examples/README.md)") == "in [examples](examples.md)"


def test_snapshots_are_pictures_of_the_site_that_load_nothing():
    hooks = site()
    name = "test_a_finished_study[120x40]"
    link = f"![A study](<../{hooks.SNAPSHOTS}/{name}.svg>)"
    assert link.partition("](")[2] in (ROOT / "docs" / "screen.md").read_text()
    assert hooks.on_page_markdown(link) == f"![A study]({hooks.place(name)})"
    picture = hooks.snapshot(name)
    assert "loss/valid" in picture.replace("&#160;", " ") and 'src: local("FiraCode-Regular");' in picture
    assert re.findall(r"url\(.https?:", picture) == []

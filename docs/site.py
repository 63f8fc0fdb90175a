"""Hooks of the documentation's site (mkdocs.yml): pages made from the code, and links that leave the folder.

`commands.md` is the help of every command; `examples.md` is examples/README.md with the examples themselves. Both
are made when the site is built, so they can't be out of date. Pictures of the screen are the snapshots that the tests
compare with.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
WIDTH = 100  # columns of the help texts: what a page shows without a scroll bar
SNAPSHOTS = "tests/ui/__snapshots__/test_snapshots"
_SNAPSHOT = re.compile(rf"\(<\.\./{SNAPSHOTS}/([^>]+)\.svg>\)")
_ELSEWHERE = re.compile(
    r"url\(\"https?:[^)]*\)( format\([^)]*\))?,?\s*"
)  # fonts; pages load nothing from elsewhere
_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)]+)\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that no file holds."""
    from mkdocs.structure.files import File

    for name, text in {"commands.md": commands(), "examples.md": examples()}.items():
        files.append(File.generated(config, name, content=text))
    for page in (ROOT / "docs").glob("*.md"):
        for name in _SNAPSHOT.findall(page.read_text()):
            files.append(File.generated(config, place(name), content=snapshot(name)))
    return files


def place(name: str) -> str:
    """Where the site has a snapshot: brackets would need to be spelt otherwise in an address."""
    plain = re.sub(r"[^\w-]+", "-", name).strip("-")
    return f"screens/{plain}.svg"


def snapshot(name: str) -> str:
    """A snapshot of the screen, with the fonts that the reader's machine has."""
    text = (ROOT / SNAPSHOTS / f"{name}.svg").read_text()
    return re.sub(r",\s*;", ";", _ELSEWHERE.sub("", text))


def on_page_markdown(markdown: str, **_: Any) -> str:
    """A link to a file of the repository is its name here; those to examples and snapshots lead to them."""
    markdown = _SNAPSHOT.sub(lambda match: f"({place(match[1])})", markdown)
    return _OUTSIDE.sub(_inside, markdown)


def _inside(match: re.Match[str]) -> str:
    text, path = match.groups()
    if path.startswith("examples/"):
        return f"[{text}](examples.md)"
    return text if "`" in text else f"`{text}`"


def commands() -> str:
    """The help of every command, as a page."""
    import typer
    from typer.main import get_command

    from tuner_tui.cli import app

    group = get_command(app)
    parts = ["# Commands\n", "The help of every command, as `tuner COMMAND --help` prints it.\n"]
    parts.append(_help(group, typer.Context(group, info_name="tuner", max_content_width=WIDTH)))
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        if not command.hidden:
            context = typer.Context(command, info_name=f"tuner {name}", max_content_width=WIDTH)
            parts.append(f"## tuner {name}\n\n{_help(command, context)}")
    return "\n".join(parts)


def _help(command: Any, context: Any) -> str:
    context.terminal_width = WIDTH
    return f"```text\n{command.get_help(context)}\n```\n"


def examples() -> str:
    """The list of examples, and each of them."""
    folder = ROOT / "examples"
    listed = re.sub(r"\[([\w.-]+)\]\([\w.-]+\)", r"`\1`", (folder / "README.md").read_text())
    parts = [listed]
    for path in sorted(path for path in folder.iterdir() if path.suffix in (".py", ".toml", ".yml")):
        parts.append(f"## {path.name}\n\n```{path.suffix[1:]}\n{path.read_text()}```\n")
    return "\n".join(parts)

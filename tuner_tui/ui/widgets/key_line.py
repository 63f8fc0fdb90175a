"""The last line of a screen: the keys that fit, and always the one that shows them all."""

from __future__ import annotations

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.reactive import reactive
from textual.style import Style
from textual.widget import Widget

from ..keys import Key, keys_for


class KeyLine(Widget):
    """Draws the keys of a place (see `keys.KEYS`); a click on one is the key."""

    standing: reactive[frozenset[str] | None] = reactive(None)  # what the study has now; None: not known

    def __init__(self, place: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._place = place

    def render(self) -> Content:
        width = self.content_size.width
        *others, last = [key for key in keys_for(self._place, self.standing) if key.footer]
        shown: list[Key] = []
        room = width - _width(last)
        for key in others:
            if _width(key) > room:
                break
            shown.append(key)
            room -= _width(key)
        return Content("  ").join(_key(key) for key in (*shown, last))

    async def on_click(self, event: events.Click) -> None:
        if action := event.style.meta.get("act"):
            await self.screen.run_action(action)


def _key(key: Key) -> Content:
    text = Content.assemble((key.shown, "$primary"), (f" {key.label}", "$quiet"))
    return text.stylize(Style.from_meta({"act": key.act}))


def _width(key: Key) -> int:
    return cell_len(key.shown) + 1 + cell_len(key.label) + 2

"""The screen in a browser: the one door to textual-serve, which any web page could reach but for the checks here.

A page of another site that is open in the same browser can send requests to a server on this machine. It must not be
able to press keys: the socket is opened only for pages that this server sent (their Origin is its own address), and
a server that listens on this machine only answers only to its names (a foreign name that points here is an attack
known as DNS rebinding).
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from shlex import join
from urllib.parse import urlsplit

import textual_serve.server
from aiohttp import web
from textual_serve.server import Server

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_FROM_ELSEWHERE = re.compile(
    r'<link\s[^>]*href="https?://[^>]*>'
)  # a font that each page would ask a stranger for


def serve(command: list[str], host: str, port: int) -> None:
    """Serve a screen on each page until interrupted. Raises OSError where the address is taken."""
    package = Path(textual_serve.server.__file__).parent
    with tempfile.TemporaryDirectory(prefix="tuner-serve-") as here:
        for template in (package / "templates").iterdir():
            page = _FROM_ELSEWHERE.sub("", template.read_text(encoding="utf-8"))
            (Path(here) / template.name).write_text(page, encoding="utf-8")
        _OwnPages(join(command), host=host, port=port, title="tuner", templates_path=here).serve()


class _OwnPages(Server):
    """Answers its own pages only."""

    async def handle_index(self, request: web.Request):
        self._check_host(request)
        self.public_url = f"http://{request.host}"  # as the browser knows it: behind a tunnel another port
        return await super().handle_index(request)

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        self._check_host(request)
        if urlsplit(request.headers.get("Origin", "")).netloc != request.host:
            raise web.HTTPForbidden(text="This socket is for the pages of tuner serve.")
        return await super().handle_websocket(request)

    def _check_host(self, request: web.Request) -> None:
        if self.host in LOOPBACK and urlsplit(f"//{request.host}").hostname not in LOOPBACK:
            raise web.HTTPForbidden(
                text="tuner serve answers on this machine only, unless --host says otherwise."
            )

"""`tuner serve`: the screen reaches the socket that a page in a browser talks to. (There is no browser here.)"""

from __future__ import annotations

import asyncio
import socket
import subprocess

import aiohttp
import pytest
from support.patience import PATIENCE_S
from support.sabotage import TUNER


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


async def first_picture(port: int) -> tuple[str, bytes]:
    """The page, and what its socket sends until the list of studies is drawn."""
    address = f"127.0.0.1:{port}"
    received = b""
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://{address}/") as answer:
                    page = await answer.text()
                    break
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.2)
        async with session.ws_connect(f"ws://{address}/ws?width=100&height=30") as ws:
            async for message in ws:
                received += message.data if isinstance(message.data, bytes) else message.data.encode()
                if b"No studies yet" in received:
                    return page, received
    return page, received


@pytest.mark.slow
def test_the_screen_is_served_to_a_browser(tmp_path):
    port = free_port()
    server = subprocess.Popen(
        [*TUNER, "serve", "--port", str(port)], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        page, received = asyncio.run(asyncio.wait_for(first_picture(port), PATIENCE_S))
    finally:
        server.terminate()
        server.wait(PATIENCE_S)
    assert "xterm.css" in page and b"No studies yet" in received

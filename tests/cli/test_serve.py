"""`tuner serve`: the screen reaches the socket that a page in a browser talks to, and no other page.

(There is no browser in this test; the page itself was tried in headless Chromium.)
"""

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


async def pages(port: int) -> tuple[str, bytes, list[int]]:
    """The page, what its socket sends until the list of studies is drawn, and the answers to strangers."""
    address = f"127.0.0.1:{port}"
    received, refused = b"", []
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://{address}/") as answer:
                    page = await answer.text()
                    break
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.2)
        socket = f"ws://{address}/ws?width=100&height=30"
        async with session.ws_connect(socket, origin=f"http://{address}") as ws:
            async for message in ws:
                received += message.data if isinstance(message.data, bytes) else message.data.encode()
                if b"No studies yet" in received:
                    break
        for stranger in ({"origin": "http://elsewhere.example"}, {}):
            try:
                await session.ws_connect(socket, **stranger)
            except aiohttp.WSServerHandshakeError as refusal:
                refused.append(refusal.status)
        async with session.get(f"http://{address}/", headers={"Host": f"rebound.example:{port}"}) as answer:
            refused.append(answer.status)
    return page, received, refused


@pytest.mark.slow
def test_the_screen_is_served_to_its_own_pages_only(tmp_path):
    port = free_port()
    server = subprocess.Popen(
        [*TUNER, "serve", "--port", str(port)], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        page, received, refused = asyncio.run(asyncio.wait_for(pages(port), PATIENCE_S))
        second = subprocess.run(
            [*TUNER, "serve", "--port", str(port)], cwd=tmp_path, capture_output=True, text=True,
            timeout=PATIENCE_S,
        )  # fmt: skip
    finally:
        server.terminate()
        server.wait(PATIENCE_S)
    assert "xterm.css" in page and b"No studies yet" in received
    assert "//" not in page.replace(f"//127.0.0.1:{port}", "").replace(
        "//www.w3.org", ""
    )  # asks no other host
    assert refused == [403, 403, 403]
    assert second.returncode == 2 and f"can't listen on 127.0.0.1:{port}" in second.stderr
    assert "--port" in second.stderr and "Traceback" not in second.stderr

"""A proxy in front of a real MLflow server that does to requests what networks and servers do: answers 500 without
having done anything, answers 500 although it was done, takes its time, or breaks the connection in mid-answer."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KINDS = ("fails", "answer_lost", "slow", "breaks")
SLOW_S = 0.3


class BadWeather:
    """Serves on loopback until closed. Each request meets one of KINDS with probability `share`; while `down`, all
    are answered 500."""

    def __init__(self, port: int, seed: int, share: float) -> None:
        self.happened: Counter[str] = Counter()
        self.down = False
        chance, lock, weather = random.Random(seed), threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                with lock:
                    kind = chance.choice(KINDS) if chance.random() < share else "passes"
                    kind = "fails" if weather.down else kind
                    weather.happened[kind] += 1
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if kind == "fails":
                    return self._answer(500, b"<html>Internal Server Error</html>")
                if kind == "slow":
                    time.sleep(SLOW_S)
                server = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
                server.request(self.command, self.path, body, headers)
                answer = server.getresponse()
                data = answer.read()
                server.close()
                if kind == "answer_lost":
                    return self._answer(500, b"<html>Internal Server Error</html>")
                if kind == "breaks":
                    self.wfile.write(
                        b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n" + data[: len(data) // 2]
                    )
                    self.close_connection = True
                    return None
                return self._answer(
                    answer.status, data, answer.getheader("Content-Type") or "application/json"
                )

            def _answer(self, status: int, data: bytes, kind: str = "text/html") -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _any

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.uri = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

"""A club's login server, for the guide and its tests: a member opens a page, enters a code, and a program gets a token.

POST /device               begin: {"device", "code", "page", "seconds", "interval"}
POST /token {"device"}     200 {"token", "who"}; 202 nobody has entered the code yet; 403 refused; 404 over
"""

from __future__ import annotations

import json
import secrets
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

INTERVAL = 0.02  # seconds that a program is to wait between two questions; a real server says 5


class Handler(BaseHTTPRequestHandler):
    server: ClubServer

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""

    def do_POST(self) -> None:
        with suppress(OSError, ValueError):  # a program that went away in the middle of its question
            body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), 10_000))
            device = json.loads(body)["device"] if self.path == "/token" else ""
            status, answer = self.server.token(device) if device else (200, self.server.begin())
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())


class ClubServer(ThreadingHTTPServer):
    """Serves on this machine, until it is closed."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.answers: dict[str, tuple[int, dict[str, str]]] = {}
        self.devices: dict[str, str] = {}
        self._listening = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._listening.start()

    def begin(self) -> dict[str, Any]:
        device, code = secrets.token_hex(16), secrets.token_hex(3).upper()
        self.devices[code], self.answers[device] = device, (202, {})
        return {"device": device, "code": code, "page": f"{self.url}/enter", "seconds": 600, "interval": INTERVAL}

    def token(self, device: str) -> tuple[int, dict[str, str]]:
        return self.answers.get(device, (404, {}))

    def enter(self, code: str, *, agree: bool = True) -> str:
        """Enter a code on the page, as ana; gives the token that the program gets."""
        token = self.new_token()
        self.answers[self.devices[code]] = (200, {"token": token, "who": "ana"}) if agree else (403, {})
        return token

    def new_token(self) -> str:
        return f"club-{secrets.token_hex(16)}"

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self._listening.join()

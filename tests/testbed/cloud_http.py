"""The stand-in servers' HTTP: one server, a thread per connection, everything bounded."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, urlsplit

from testbed.cloud_faults import HangUp
from testbed.cloud_model import CallTool, Completion, Drop, Fail, Hang, Reply, Say, tool_call
from testbed.cloud_seen import Account, Recorded

if TYPE_CHECKING:
    from testbed.cloud import Cloud

_LARGEST_BODY = 32 * 1024 * 1024
_PATIENCE = 10.0
_SHOWN: Mapping[Account, tuple[str, ...]] = {
    "platform": ("/models", "/users/me/balance"),
    "coding": ("/models", "/usages"),
}


class Server(ThreadingHTTPServer):
    """Serves one ``Cloud``."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], cloud: Cloud) -> None:
        self.cloud = cloud
        self._open: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        super().__init__(address, _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), name="cloud", daemon=True)

    def server_bind(self) -> None:
        """Bind without looking up the machine's name, which can take long."""
        self.socket.bind(cast("tuple[str, int]", self.server_address))
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    @property
    def root(self) -> str:
        return f"http://{self.server_name}:{self.server_port}"

    @property
    def connections(self) -> int:
        """How many are open."""
        with self._lock:
            return len(self._open)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, cut every connection and wait for the threads."""
        self.shutdown()
        self._thread.join(_PATIENCE)
        with self._lock:
            connections = list(self._open.items())
        for connection, _ in connections:
            hang_up(connection)
        for _, thread in connections:
            thread.join(_PATIENCE)
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the connection a thread, and remember both so that ``stop`` finds them."""
        thread = threading.Thread(target=self._serve, args=(request, client_address), daemon=True)
        with self._lock:
            self._open[request] = thread
        thread.start()

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._open.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet about clients that go away: tests kill agents on purpose."""


def hang_up(connection: socket.socket) -> None:
    """Cut a connection that may be gone already."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 120
    wbufsize = 0
    disable_nagle_algorithm = True

    @property
    def cloud(self) -> Cloud:
        return cast("Server", self.server).cloud

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: a test looks at ``Cloud.requests``."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Write the time as the server's clock has it."""
        return super().date_time_string((time.time() if timestamp is None else timestamp) + self.cloud.oauth.skew)

    def do_GET(self) -> None:
        request = self._record({})
        account, rest = _account(request.path)
        if account is None or rest not in _SHOWN[account]:
            return self._json(404, _error("url.not_found", "The requested resource was not found"))
        if not self._admitted(request, account, rest):
            return None
        if rest == "/models":
            return self._json(200, {"object": "list", "data": [model.listed() for model in self.cloud.models[account]]})
        return self._json(200, self.cloud.quota(account, request.token))

    def do_POST(self) -> None:
        body = self._body()
        if body is None:
            return None
        request = self._record(body)
        if request.path.startswith("/api/oauth/"):
            return self._oauth(request.path, body)
        account, rest = _account(request.path)
        if account is None or rest != "/chat/completions":
            return self._json(404, _error("url.not_found", "The requested resource was not found"))
        if not self._admitted(request, account, rest):
            return None
        if body.get("model") not in {model.id for model in self.cloud.models[account]}:
            message = f"Not found the model {body.get('model')} or Permission denied"
            return self._json(404, _error("resource_not_found_error", message))
        return self._complete(self.cloud.next_reply(request), body)

    def _admitted(self, request: Recorded, account: Account, rest: str) -> bool:
        """Whether a request goes on; otherwise it has its answer."""
        if not self.cloud.admits(request, account):
            self._refuse_credentials()
            return False
        fault = self.cloud.fault(request, account, rest)
        if isinstance(fault, Drop):
            self._hang_up()
        elif fault is not None:
            self._json(fault.status, _error(fault.error_type, fault.message), fault.headers)
        return fault is None

    # ----------------------------------------------------------------- what came
    def _record(self, body: Mapping[str, Any]) -> Recorded:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Recorded(self.command, urlsplit(self.path).path, headers, body)
        self.cloud.record(request)
        return request

    def _body(self) -> dict[str, Any] | None:
        length = self.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > _LARGEST_BODY:
            self.close_connection = True
            self._json(413, _error("invalid_request_error", "The request is too large"))
            return None
        data = self.rfile.read(int(length))
        if self.headers.get_content_type() == "application/x-www-form-urlencoded":
            return dict(parse_qsl(data.decode()))
        try:
            parsed = json.loads(data or b"{}")
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict):
            self._json(400, _error("invalid_request_error", "The request is not a JSON object"))
            return None
        return parsed

    # ----------------------------------------------------------------- what goes
    def _oauth(self, path: str, form: Mapping[str, str]) -> None:
        try:
            if path == "/api/oauth/device_authorization":
                return self._json(*self.cloud.oauth.device_authorization(form, self.cloud.oauth_host))
            if path == "/api/oauth/token":
                return self._json(*self.cloud.oauth.token(form))
        except HangUp:
            return self._hang_up()
        return self._json(404, {"error": "not_found", "error_description": "There is nothing here"})

    def _hang_up(self) -> None:
        self.close_connection = True
        hang_up(self.connection)

    def _refuse_credentials(self) -> None:
        self._json(401, _error("invalid_authentication_error", "Invalid Authentication"))

    def _complete(self, reply: Reply, body: Mapping[str, Any]) -> None:
        if isinstance(reply, Fail):
            return self._json(reply.status, _error(reply.error_type, reply.message), reply.headers)
        completion = Completion.of(body)
        if body.get("stream"):
            return self._stream(completion, reply)
        return self._whole(completion, reply)

    def _whole(self, completion: Completion, reply: Say | Hang | CallTool | Drop) -> None:
        if isinstance(reply, Drop):
            return hang_up(self.connection)
        message: dict[str, Any] = {"content": reply.text}
        if isinstance(reply, Hang):
            self.cloud.hang(reply.seconds)
        if isinstance(reply, CallTool):
            return self._json(200, completion.whole({**message, "tool_calls": [tool_call(reply)]}, "tool_calls"))
        return self._json(200, completion.whole(message, "stop"))

    def _stream(self, completion: Completion, reply: Say | Hang | CallTool | Drop) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for event in self._events(completion, reply):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            if isinstance(reply, Drop):
                return hang_up(self.connection)
            self.wfile.write(b"0\r\n\r\n")
        except (OSError, ValueError):
            self.close_connection = True  # the agent was cancelled or killed

    def _events(self, completion: Completion, reply: Say | Hang | CallTool | Drop) -> Iterator[bytes]:
        yield completion.opening()
        if isinstance(reply, Say):
            yield from self._said(completion, reply)
        elif reply.text:
            yield completion.delta(content=reply.text)
        if isinstance(reply, Hang):
            self.cloud.hang(reply.seconds)
            yield completion.delta(content=reply.after)
        if isinstance(reply, CallTool):
            yield completion.delta(tool_calls=[tool_call(reply)])
        if not isinstance(reply, Drop):
            yield from completion.closing("tool_calls" if isinstance(reply, CallTool) else "stop", reply.text)

    def _said(self, completion: Completion, reply: Say) -> Iterator[bytes]:
        if reply.thinking:
            yield completion.delta(reasoning_content=reply.thinking)
        for number, piece in enumerate(reply.pieces()):
            if number and reply.delay_between_chunks:
                self.cloud.pause(reply.delay_between_chunks)
            yield completion.delta(content=piece)

    def _json(self, status: int, data: Any, headers: Mapping[str, str] | None = None) -> None:
        payload = data.encode() if isinstance(data, str) else json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(payload)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        try:
            self.end_headers()
            self.wfile.write(payload)
        except OSError:
            self.close_connection = True  # whoever asked is gone


def _account(path: str) -> tuple[Account | None, str]:
    if path.startswith("/coding/v1/"):
        return "coding", path.removeprefix("/coding/v1")
    if path.startswith("/v1/"):
        return "platform", path.removeprefix("/v1")
    return None, path


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind}}

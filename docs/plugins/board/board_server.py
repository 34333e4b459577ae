"""A message board: a small chat network over HTTP, for the guide and its tests.

    PUT     /boards/BOARD/posts/KEY      post {"text", "thread", "answers", "files", "draft"}; the same key posts once
    PATCH   /boards/BOARD/posts/KEY      change {"text"}
    DELETE  /boards/BOARD/posts/KEY      take it back
    PUT     /boards/BOARD/typing         {"on"}
    PUT     /files/KEY?name=…&type=…     keep the body as a file, and give its id
    GET     /files/ID                    the file
    GET     /me                          the name of the account
    GET     /events?wait=SECONDS         what has happened and was not seen yet; waits for something
    PUT     /seen/NUMBER                 everything up to this event has been seen

An account is known by the token in its ``Authorization`` header. Run as a program, it is a board with a bot and you.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LARGEST = 10_000_000  # bytes of a request
LONGEST = 2000  # characters of a post
AT_ONCE = 50  # events in one answer
TYPING = 10.0  # seconds


@dataclass(frozen=True)
class File:
    id: str
    name: str
    type: str
    size: int


@dataclass(frozen=True)
class Post:
    id: str
    board: str
    author: str
    text: str
    thread: str | None = None
    answers: str | None = None
    files: tuple[File, ...] = ()
    draft: bool = False


@dataclass(frozen=True)
class Event:
    number: int
    what: str  # posted, changed, removed
    post: Post


class Refused(Exception):
    """What the board answers instead of doing it."""

    def __init__(self, status: int, why: str, **headers: str) -> None:
        super().__init__(why)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Board:
    """What is on the boards; people's programs, tests and the server call it from threads of their own."""

    def __init__(self, **accounts: str) -> None:
        self.accounts = {token: name for name, token in accounts.items()}
        self.changed = threading.Condition()
        self.posts: dict[str, Post] = {}
        self.files: dict[str, tuple[File, bytes]] = {}
        self.events: list[Event] = []
        self.seen: dict[str, int] = defaultdict(int)
        self.writing: dict[tuple[str, str], float] = {}

    def put(self, author: str, board: str, key: str, text: str, *, files: Sequence[str] = (), **more: Any) -> Post:
        """Post something. What stands there under this key already stays as it is, unless it was a draft."""
        with self.changed:
            old = self.posts.get(f"{author}.{key}")
            if old is not None and not old.draft:
                return old
            if len(text) > LONGEST:
                raise Refused(413, f"a post has at most {LONGEST} characters")
            if unknown := [each for each in files if each not in self.files]:
                raise Refused(404, f"there is no file {unknown[0]}")
            kept = tuple(self.files[each][0] for each in files)
            post = Post(f"{author}.{key}", board, author, text, files=kept, **more)
            self.posts[post.id] = post
            if not post.draft:
                self._happened("posted", post)
            return post

    def change(self, author: str, key: str, text: str) -> Post:
        with self.changed:
            post = replace(self._own(author, key), text=text)
            self.posts[post.id] = post
            self._happened("changed", post)
            return post

    def remove(self, author: str, key: str) -> Post:
        with self.changed:
            post = self.posts.pop(self._own(author, key).id)
            self._happened("removed", replace(post, text="", files=()))
            return post

    def keep(self, author: str, key: str, name: str, kind: str, data: bytes) -> File:
        with self.changed:
            file = File(f"{author}.{key}", name, kind, len(data))
            return self.files.setdefault(file.id, (file, data))[0]

    def news(self, account: str, wait: float, unless: Callable[[], bool] = bool) -> list[Event]:
        """Give what an account has not seen; waits for something, or until ``unless`` is so."""
        with self.changed:
            self.changed.wait_for(lambda: unless() or len(self.events) > self.seen[account], wait)
            first = self.seen[account]
            return self.events[first : first + AT_ONCE]

    def see(self, account: str, number: int) -> None:
        with self.changed:
            self.seen[account] = min(max(self.seen[account], number), len(self.events))

    def type(self, account: str, board: str, on: bool) -> None:
        with self.changed:
            self.writing[account, board] = time.monotonic() + TYPING if on else 0.0

    def types(self, account: str, board: str) -> bool:
        with self.changed:
            return self.writing.get((account, board), 0.0) > time.monotonic()

    def by(self, author: str, board: str) -> list[Post]:
        """Give what an account has on a board, in order."""
        with self.changed:
            return [post for post in self.posts.values() if (post.author, post.board) == (author, board)]

    def _own(self, author: str, key: str) -> Post:
        if (post := self.posts.get(f"{author}.{key}")) is None:
            raise Refused(404, "there is no such post")
        return post

    def _happened(self, what: str, post: Post) -> None:
        self.events.append(Event(len(self.events) + 1, what, post))
        self.changed.notify_all()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: BoardServer

    def setup(self) -> None:
        super().setup()
        self.server.lines.add(self.connection)

    def finish(self) -> None:
        self.server.lines.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""

    def answer(self) -> None:
        body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), LARGEST))
        if self.server.silent:
            self.server.over.wait()
        try:
            given = self.done(body)
        except Refused as refused:
            self.reply(refused.status, json.dumps({"error": str(refused)}).encode(), **refused.headers)
        except (ValueError, TypeError, KeyError) as error:
            self.reply(400, json.dumps({"error": f"{type(error).__name__}: {error}"}).encode())
        else:
            if given is not None:
                self.reply(200, given if isinstance(given, bytes) else json.dumps(given).encode())

    do_GET = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

    def done(self, body: bytes) -> Any:
        board, url = self.server.board, urlsplit(self.path)
        options = {name: values[0] for name, values in parse_qs(url.query).items()}
        me = board.accounts.get((self.headers.get("Authorization") or "").removeprefix("Bearer "))
        if me is None:
            raise Refused(401, "nobody has this token")
        match [self.command, *(unquote(part) for part in url.path.strip("/").split("/"))]:
            case ["GET", "me"]:
                return {"name": me}
            case ["GET", "events"]:
                return self.news(me, min(float(options.get("wait", 0)), 30.0))
            case ["PUT", "seen", number]:
                board.see(me, int(number))
                return {}
            case ["PUT", "boards", name, "posts", key]:
                return self.posted(me, name, key, json.loads(body))
            case ["PATCH", "boards", _, "posts", key]:
                return asdict(board.change(me, key, json.loads(body)["text"]))
            case ["DELETE", "boards", _, "posts", key]:
                return asdict(board.remove(me, key))
            case ["PUT", "boards", name, "typing"]:
                board.type(me, name, bool(json.loads(body)["on"]))
                return {}
            case ["PUT", "files", key]:
                return asdict(board.keep(me, key, options["name"], options["type"], body))
            case ["GET", "files", id] if id in board.files:
                return board.files[id][1]
        raise Refused(404, "there is nothing here")

    def news(self, me: str, wait: float) -> Any:
        garbage = self.server.garbage
        events = self.server.board.news(me, wait, lambda: bool(garbage) or self.gone())
        if self.gone():
            return None
        return garbage.popleft() if garbage else {"events": [asdict(event) for event in events]}

    def gone(self) -> bool:
        """Whether nobody waits for the answer any more."""
        cut = self.connection not in self.server.lines
        return cut or bool(select.select([self.connection], [], [], 0)[0])

    def posted(self, me: str, name: str, key: str, content: dict[str, Any]) -> Any:
        trouble = self.server.trouble.popleft() if self.server.trouble and not content.get("draft") else None
        if isinstance(trouble, Refused):
            raise trouble
        post = self.server.board.put(me, name, key, **content)
        if trouble == "cut":
            self.server.cut()
            return None
        return asdict(post)

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class BoardServer(ThreadingHTTPServer):
    """Serves a board on this machine, until it is closed; does as a network does on its bad days.

    Attributes:
        trouble: What becomes of the next posts: a ``Refused``, or ``"cut"``: taken, and the line cut.
        garbage: What is answered to the next questions for events.
        silent: Nothing is answered any more.
    """

    daemon_threads = True

    def __init__(self, board: Board, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.board = board
        self.lines: set[socket.socket] = set()
        self.trouble: deque[Refused | str] = deque()
        self.garbage: deque[bytes] = deque()
        self.silent = False
        self.over = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._listening = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._listening.start()

    def cut(self) -> None:
        """Cut every line; new ones are accepted."""
        with self.board.changed:
            lines, self.lines = self.lines, set()
            self.board.changed.notify_all()
        for line in lines:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Accept no line any more, and cut those that are open."""
        self.over.set()
        self.shutdown()
        self.server_close()
        self._listening.join()
        self.cut()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let a line that was cut be; show anything else."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def main(port: int = 8750) -> None:
    """Be a board on which ``kai`` is the assistant's account; what is typed is ana's, and what kai posts is shown."""
    board = Board(kai="token-of-kai", ana="token-of-ana")
    server = BoardServer(board, port)
    sys.stdout.write(f'[plugins.board]\nurl = "{server.url}"\ntoken = "token-of-kai"\n')
    sys.stdout.flush()
    threading.Thread(target=_show, args=(board,), daemon=True).start()
    for number, line in enumerate(sys.stdin):
        board.put("ana", "lobby", f"line-{number}", line.rstrip("\n"))
    server.close()


def _show(board: Board) -> None:
    while True:
        for event in board.news("ana", 30.0):
            if event.post.author == "kai":
                sys.stdout.write(f"kai: {event.post.text}\n")
                sys.stdout.flush()
            board.see("ana", event.number)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

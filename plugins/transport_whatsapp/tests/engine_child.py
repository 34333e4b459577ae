"""The engine that is neonize in a process of its own, for tests: ``engine_child.py SESSION [--scripted]``.

A JSON line each: ``{"n": 1, "do": "send", "with": {...}}`` in, each on a thread of its own; answers and what the engine
tells its sink out. The end of the input ends it.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from nanokimi_transport_whatsapp.child.ending import Ending
from nanokimi_transport_whatsapp.engine import Engine, EngineError, EngineSettings, Outgoing, OutgoingFile, Quote
from nanokimi_transport_whatsapp.neonize_engine import create
from nanokimi_transport_whatsapp.values import Link, Typing


class Out:
    """Writes lines, from several threads."""

    def __init__(self, file: int) -> None:
        self._stream = os.fdopen(file, "w")
        self._lock = threading.Lock()

    def write(self, **fields: Any) -> None:
        with self._lock:
            self._stream.write(json.dumps(fields) + "\n")
            self._stream.flush()


class Sink:
    """Tells what the engine tells; ``full`` holds raw events up, as a full disk does."""

    def __init__(self, out: Out) -> None:
        self._out = out
        self.room = threading.Event()
        self.room.set()

    def raw(self, data: bytes) -> None:
        self._out.write(arriving=len(data))
        self.room.wait(60)
        self._out.write(raw=base64.b64encode(data).decode())

    def link(self, link: Link) -> None:
        self._out.write(link=link.model_dump(mode="json"))

    def typing(self, typing: Typing) -> None:
        self._out.write(typing=typing.model_dump(mode="json"))


class Log(logging.Handler):
    """Tells what is logged."""

    def __init__(self, out: Out) -> None:
        super().__init__()
        self._out = out

    def emit(self, record: logging.LogRecord) -> None:
        self._out.write(log=[record.name, record.levelname, record.getMessage()])


class Desk:
    """What can be asked for."""

    def __init__(self, settings: EngineSettings, out: Out, scripted: bool) -> None:
        self.settings, self.sink = settings, Sink(out)
        self.library: Any = None
        self.engine: Engine = create(settings)
        if scripted:
            self.begin_anew()

    def begin_anew(self, **settings: Any) -> None:
        """Put a scripted library in where the shared one would be, and an engine that waits for less."""
        from scripted_library import install

        from nanokimi_transport_whatsapp.neonize_engine.engine import NeonizeEngine

        self.library = install()
        wanted = replace(self.settings, **settings)
        self.engine = NeonizeEngine(wanted, presence_delays=(0, 0.01, 0.01), close_seconds=0.3)

    def do(self, what: str, given: dict[str, Any]) -> Any:
        if what == "open":
            return self.engine.open(self.sink)
        if what == "anew":
            return self.begin_anew(**{name: Path(it) if name == "session" else it for name, it in given.items()})
        if what == "full":
            return self.sink.room.clear() if given["on"] else self.sink.room.set()
        if what == "library":
            return getattr(self.library, given["call"])(*given["arguments"])
        if what == "send":
            sent = self.engine.send(outgoing(given))
            return {"network_id": sent.network_id, "sender": sent.sender}
        if what == "read":
            read = self.engine.read(base64.b64decode(given["raw"]), lambda *_: None)
            held = {"media": read.media, "quotable": read.quotable}
            told = None if read.message is None else read.message.model_dump(mode="json")
            return {"message": told} | {name: data and base64.b64encode(data).decode() for name, data in held.items()}
        if what == "fetch":
            return base64.b64encode(self.engine.fetch(base64.b64decode(given["media"]))).decode()
        return getattr(self.engine, what)(**given)


def outgoing(given: dict[str, Any]) -> Outgoing:
    file, quote = given.pop("file", None), given.pop("quote", None)
    if file is not None:
        file = OutgoingFile(base64.b64decode(file["data"]), file["name"], file["media_type"])
    if quote is not None:
        quotable = quote.get("quotable")
        quote = Quote(quote["id"], quote["sender"], quotable and base64.b64decode(quotable), quote.get("text", ""))
    return Outgoing(file=file, quote=quote, **given)


def main(session: str, scripted: bool) -> None:
    Ending(1).on_faults()
    out = Out(os.dup(1))
    os.dup2(2, 1)  # the library prints on file 1
    level = os.environ.get("ENGINE_LOG", "WARNING")
    logging.getLogger("whatsmeow").setLevel(level)
    logging.getLogger().addHandler(Log(out))
    presence: Any = os.environ.get("ENGINE_PRESENCE", "unavailable")
    settings = EngineSettings(Path(session), "NanoKimi", presence, os.environ.get("ENGINE_PROXY", ""))
    desk = Desk(settings, out, scripted)
    out.write(ready=True)
    for line in sys.stdin:
        threading.Thread(target=answer, args=(desk, out, json.loads(line)), daemon=True).start()
    desk.engine.close()
    out.write(closed=True)
    os._exit(0)


def answer(desk: Desk, out: Out, asked: dict[str, Any]) -> None:
    try:
        value = desk.do(asked["do"], asked["with"])
    except EngineError as error:
        told = {"kind": error.kind, "said": error.said, "code": error.code, "seconds": error.seconds}
        out.write(n=asked["n"], error=told)
    else:
        out.write(n=asked["n"], value=value)


if __name__ == "__main__":
    if "--scripted" in sys.argv:
        os.environ["SPHINX"] = "1"  # neonize's own switch for being imported without its shared library
    main(sys.argv[1], "--scripted" in sys.argv)

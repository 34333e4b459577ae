"""A scripted stand-in for neonize's shared library: it does what a test says, and keeps what it was asked.

It is as strict as the real one (neonize 0.5.2, by running it): calls that follow a pointer to an account that isn't
there abort the process, the main call doesn't come back from the showing of codes, and events come on its thread.
"""

from __future__ import annotations

import base64
import ctypes
import os
import queue
import threading
from typing import Any

from nanokimi_transport_whatsapp.neonize_engine.protos import happenings

LONGEST = 60.0
PHONE, HIDDEN = "15550000002", "200000000000002"


def jid(user: str, server: str) -> Any:
    return happenings().JID(User=user, Server=server, RawAgent=0, Device=0, Integrator=0)


def device() -> Any:
    own = {"JID": jid(PHONE, "s.whatsapp.net"), "LID": jid(HIDDEN, "lid")}
    return happenings().Device(Platform="", BussinessName="", PushName="Kai", Initialized=True, **own)


def install() -> Library:
    """Put it in where the shared library would be; needs neonize imported with ``SPHINX`` set."""
    import neonize._binder
    import neonize.client

    library = Library()
    neonize._binder.gocode = neonize.client.gocode = library
    return library


class Library:
    """What ``gocode`` is: the methods with capitals are the library's, those without are the test's."""

    def __init__(self) -> None:
        self._acts: queue.Queue[tuple[str, str, Any]] = queue.Queue(100)
        self._answers: dict[str, queue.Queue[Any]] = {}
        self._asked: list[list[Any]] = []
        self._let_go: dict[str, threading.Event] = {}
        self._account = False
        self._session: bytes | None = None
        self._level = ""
        self._showing_codes = False

    # ------------------------------------------------------------------ for tests
    def act(self, what: str, text: str = "", data: str = "") -> None:
        """Have the main call do something: ``code``, ``status``, ``event``, ``log`` or ``return``."""
        self._acts.put((what, text, base64.b64decode(data)))

    def answer(self, call: str, *texts: str) -> None:
        """Have the next calls fail with these errors; an empty one means success."""
        for text in texts:
            self._answers.setdefault(call, queue.Queue(100)).put(text)

    def hang(self, call: str) -> None:
        """Have a call not come back until ``let_go``."""
        self._let_go[call] = threading.Event()

    def let_go(self, call: str) -> None:
        self._let_go.pop(call).set()

    def waiting(self) -> int:
        """How many acts the main call hasn't come to."""
        return self._acts.qsize()

    def link_account(self) -> None:
        self._account = True

    def asked(self, call: str) -> list[Any]:
        """What a call was asked, oldest first."""
        return [given for name, *given in self._asked if name == call]

    def level(self) -> str:
        return self._level

    # ------------------------------------------------------------------ the library's life
    def Neonize(self, *given: Any) -> bytes:  # noqa: N802  # the library's own names
        self._keep("Neonize", given[0].decode(), given[1].decode(), sorted(given[10].raw), given[12].decode("latin-1"))
        self._session, self._level = given[1], given[5].decode()
        self._wait("Neonize")
        callbacks = dict(zip(("code", "status", "event", "log"), given[6:10], strict=True))
        while True:
            what, text, data = self._acts.get(timeout=LONGEST)
            if what == "return":
                return text.encode()
            self._showing_codes = what == "code" or (self._showing_codes and what == "log")
            self._call_back(callbacks[what], what, text, data)

    def _call_back(self, function: Any, what: str, text: str, data: bytes) -> None:
        if what in ("code", "status"):
            written = ctypes.create_string_buffer(text.encode())
            function(None, ctypes.addressof(written))
        else:
            held = ctypes.create_string_buffer(data, max(1, len(data)))
            place = ctypes.addressof(held), len(data)
            function(*((None, *place, int(text)) if what == "event" else place))

    def Disconnect(self, session: bytes) -> None:  # noqa: N802
        self._keep("Disconnect", session.decode())

    def Stop(self, session: bytes) -> None:  # noqa: N802
        self._keep("Stop", session.decode())
        self._wait("Stop")
        if session != self._session:
            return
        self._session = None
        if not self._showing_codes:
            self._acts.put(("return", "", b""))

    # ------------------------------------------------------------------ its calls
    def SendMessage(self, _session: bytes, chat: bytes, _size: int, message: bytes, _length: int) -> bytes:  # noqa: N802
        to = happenings().JID.FromString(chat)
        error = self._called("SendMessage", f"{to.User}@{to.Server}", base64.b64encode(message).decode())
        if error:
            return bytes(happenings().SendMessageReturnFunction(Error=error).SerializeToString())
        timings = happenings().MessageDebugTimings()
        fields = [field for field in timings.DESCRIPTOR.fields if field.is_required]
        for field in fields:
            setattr(timings, field.name, 0)
        sent = happenings().SendResponse(Timestamp=0, ID="3EB0AA", ServerID=0, DebugTimings=timings)
        return bytes(happenings().SendMessageReturnFunction(SendResponse=sent).SerializeToString())

    def Upload(self, _session: bytes, data: bytes, size: int, kind: int) -> bytes:  # noqa: N802
        error = self._called("Upload", size, kind)
        known = {"url": "https://mmg.whatsapp.net/x", "DirectPath": "/x", "Handle": "", "FileLength": len(data)}
        uploaded = happenings().UploadResponse(MediaKey=b"k", FileEncSHA256=b"e", FileSHA256=b"s", **known)
        return bytes(happenings().UploadReturnFunction(UploadResponse=uploaded, Error=error).SerializeToString())

    def DownloadAny(self, _session: bytes, _message: bytes, _size: int) -> bytes:  # noqa: N802
        error = self._called("DownloadAny")
        return bytes(happenings().DownloadReturnFunction(Binary=b"file", Error=error).SerializeToString())

    def SendChatPresence(self, *_given: Any) -> bytes:  # noqa: N802
        return self._called("SendChatPresence").encode()

    def SendPresence(self, _session: bytes, presence: bytes) -> bytes:  # noqa: N802
        return self._called("SendPresence", presence.decode()).encode()

    def MarkRead(self, _session: bytes, ids: bytes, *_given: Any) -> bytes:  # noqa: N802
        return self._called("MarkRead", ids.decode()).encode()

    def GetGroupInfo(self, *_given: Any) -> bytes:  # noqa: N802
        return bytes(happenings().GetGroupInfoReturnFunction(Error=self._called("GetGroupInfo")).SerializeToString())

    def Logout(self, _session: bytes) -> bytes:  # noqa: N802
        error = self._called("Logout")
        self._account = bool(error) and self._account
        return error.encode()

    def PairPhone(self, _session: bytes, given: bytes, _size: int) -> bytes:  # noqa: N802
        asked = happenings().PairPhoneParams.FromString(given)
        error = self._called("PairPhone", asked.phone, asked.clientDisplayName)
        return bytes(happenings().PairPhoneReturnFunction(Code="ABCD-EFGH", Error=error).SerializeToString())

    def GetMe(self, session: bytes) -> bytes:  # noqa: N802
        self._follow_pointer("GetMe", session)
        return bytes(device().SerializeToString())

    def GetLIDFromPN(self, session: bytes, *_given: Any) -> bytes:  # noqa: N802
        return self._other(session, "GetLIDFromPN", jid("100000000000001", "lid"))

    def GetPNFromLID(self, session: bytes, *_given: Any) -> bytes:  # noqa: N802
        return self._other(session, "GetPNFromLID", jid("15550000001", "s.whatsapp.net"))

    def _other(self, session: bytes, call: str, other: Any) -> bytes:
        self._follow_pointer(call, session)
        error = self._called(call)
        return bytes(happenings().GetJIDFromStoreReturnFunction(Jid=other, Error=error).SerializeToString())

    def _follow_pointer(self, call: str, session: bytes) -> None:
        if not self._account or session != self._session:
            os.write(2, f"fatal: {call} without an account\n".encode())
            os.abort()

    def _called(self, call: str, *given: Any) -> str:
        self._keep(call, *given)
        self._wait(call)
        answers = self._answers.get(call)
        return answers.get() if answers is not None and not answers.empty() else ""

    def _keep(self, *asked: Any) -> None:
        self._asked.append(list(asked))

    def _wait(self, call: str) -> None:
        waiting = self._let_go.get(call)
        if waiting is not None:
            waiting.wait(LONGEST)

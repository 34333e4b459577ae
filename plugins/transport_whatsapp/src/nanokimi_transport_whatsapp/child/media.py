"""Files that come with messages: fetched within bounds, written under names that no sender chooses."""

from __future__ import annotations

import errno
import mimetypes
import os
import re
from pathlib import Path

from nanokimi_transport_whatsapp.child.calls import Calls, Late
from nanokimi_transport_whatsapp.child.ending import Ending
from nanokimi_transport_whatsapp.child.limits import Limits, larger_than
from nanokimi_transport_whatsapp.child.spool import Event, Spool
from nanokimi_transport_whatsapp.engine import Engine, EngineError
from nanokimi_transport_whatsapp.values import Media

_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")
_TYPES = mimetypes.MimeTypes(filenames=())
_OURS = {"audio/ogg": ".ogg", "audio/mp4": ".m4a", "audio/aac": ".aac", "image/webp": ".webp", "image/jpeg": ".jpg"}
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO})


class NotNow(Exception):
    """A file can't be had while the engine isn't connected."""


class Cupboard:
    """The folder of files that belong to spooled messages.

    Args:
        folder: Made when it isn't there.
        engine: Fetches.
        spool: Knows which files are wanted.
        calls: Bounds the fetching.
        ending: Ends the waits.
        limits: Of time.
        largest: Bytes of the largest file that is fetched.
    """

    def __init__(
        self, folder: Path, engine: Engine, spool: Spool, calls: Calls, ending: Ending, limits: Limits, largest: int
    ) -> None:
        self._folder, self._engine, self._spool = folder, engine, spool
        self._calls, self._ending, self._limits, self._largest = calls, ending, limits, largest
        self._files: dict[int, Path] = {}
        self.connected = False

    def begin(self) -> None:
        """Make the folder, and remove files that belong to nothing that waits."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for file in self._folder.iterdir():
            number = file.name.split("-", 1)[0]
            if not (number.isdecimal() and self._spool.holds(int(number))):
                file.unlink(missing_ok=True)

    def with_file(self, event: Event, media: Media, handle: bytes) -> Media:
        """Give a message's media with its file, or with why there is none.

        Raises:
            NotNow: The engine must be connected first.
        """
        if media.size > self._largest:
            return media.model_copy(update={"trouble": larger_than(self._largest)})
        if event.fetching >= self._limits.fetch_deaths:
            return media.model_copy(update={"trouble": "it could not be fetched: the WhatsApp library fails at it"})
        data = self._fetch(event.number, handle)
        if isinstance(data, str):
            return media.model_copy(update={"trouble": data})
        if len(data) > self._largest:
            return media.model_copy(update={"trouble": larger_than(self._largest)})
        path = self._folder / f"{event.number}-{media.what}{suffix(media.media_type)}"
        try:
            self._write(path, data)
        except OSError as error:
            return media.model_copy(update={"trouble": f"it could not be written: {error.strerror}"})
        self._files[event.number] = path
        return media.model_copy(update={"path": str(path), "size": len(data)})

    def drop(self, number: int) -> None:
        """Remove the file of a message that was delivered, where it wasn't moved."""
        if path := self._files.pop(number, None):
            path.unlink(missing_ok=True)

    def _fetch(self, number: int, handle: bytes) -> bytes | str:
        """Give the file, or in words why not."""
        said = ""
        for pause in (0.0, *self._limits.fetch_pauses):
            if pause and self._ending.pause(pause):
                raise NotNow
            try:
                return self._fetch_once(number, handle)
            except Late as error:
                return f"it could not be fetched: {error}"
            except EngineError as error:
                said = f"it could not be fetched: {error.said}"
                if error.kind == "refused":
                    return said
                if error.kind == "away" and not self.connected:
                    raise NotNow from None
            except Exception as error:  # noqa: BLE001  # the engine is called here; the message comes without the file
                said = f"it could not be fetched: the WhatsApp library fails at it ({type(error).__name__})"
        return said

    def _fetch_once(self, number: int, handle: bytes) -> bytes:
        self._spool.fetching(number, 1)
        try:
            return self._calls.run("fetch", lambda: self._engine.fetch(handle), self._limits.fetch_seconds)
        finally:
            self._spool.fetching(number, -1)

    def _write(self, path: Path, data: bytes) -> None:
        """Write a file; a disk that is full is waited for. Not flushed: the event is spooled until it is delivered."""
        pause, longest = self._limits.disk_pauses
        while True:
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                if self._ending.pause(pause):
                    raise NotNow from None
                pause = min(pause * 2, longest)
            else:
                return


def suffix(media_type: str) -> str:
    """Give the ending of a file's name for a media type; ``.bin`` where none is known."""
    plain = media_type.split(";")[0].strip().lower()
    guess = _OURS.get(plain) or _TYPES.guess_extension(plain) or ""
    return guess if _SUFFIX.fullmatch(guess) else ".bin"

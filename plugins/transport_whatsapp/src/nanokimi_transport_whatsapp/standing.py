"""What is linked and how it stands, in two small files that commands and the transport both read."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from nanokimi_core import private_folder, write_private
from nanokimi_transport_whatsapp.places import Places
from nanokimi_transport_whatsapp.values import Who


class _Kept(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)  # an older version may read what a newer one has written


class AccountNote(_Kept):
    """What is linked. There is a note for as long as there is a login, as far as anybody on this machine knows.

    Attributes:
        number: Whose number it is; the toml's ``number`` comes before it.
        me: The account.
        linked_at: When, with a time zone.
    """

    number: Literal["own", "bot"]
    me: Who
    linked_at: datetime


class Standing(_Kept):
    """How the link stands, as the running transport last saw it.

    Attributes:
        state: One of ``states.STATES``.
        since: Since when, with a time zone.
        said: Why, in words.
        me: The account, where it is known.
        until: Of a ban: when it ends.
        spooled: Messages in the child's spool that the core hasn't taken yet.
        held: Sends of unknown outcome under the policy ``hold``.
        resent: Sends that were repeated after an unknown outcome.
        unreadable: Events in the spool that nobody could read.
        child: The child's process id, or 0.
        process: The transport's own process while it runs, as ``named_process`` names it; or nothing.
    """

    state: str
    since: datetime
    said: str = ""
    me: Who | None = None
    until: datetime | None = None
    spooled: int = 0
    held: int = 0
    resent: int = 0
    unreadable: int = 0
    child: int = 0
    process: str = ""

    @property
    def is_running(self) -> bool:
        """Whether the transport that has written it runs still."""
        return bool(self.process) and self.process == named_process(self.process.partition("/")[0])


def named_process(number: int | str) -> str:
    """Name a process by its id and the time of its start, in ticks: ids are used again. Empty where there is none."""
    try:
        _, _, rest = Path(f"/proc/{number}/stat").read_text(errors="replace").rpartition(")")
        return f"{number}/{rest.split()[19]}"
    except (OSError, IndexError):
        return ""


_Model = TypeVar("_Model", bound=_Kept)


def read_note(places: Places) -> AccountNote | None:
    """Read what is linked; ``None`` where nothing is, or the file holds something else."""
    return _read(places.account, AccountNote)


def write_note(places: Places, note: AccountNote) -> None:
    """Note what is linked."""
    _write(places.account, note)


def remove_note(places: Places) -> None:
    """Note that nothing is linked any more."""
    places.account.unlink(missing_ok=True)


def read_standing(places: Places) -> Standing | None:
    """Read how the link last stood; ``None`` where no transport has run yet, or the file holds something else."""
    return _read(places.standing, Standing)


def write_standing(places: Places, standing: Standing) -> None:
    """Note how the link stands."""
    _write(places.standing, standing)


def _read(path: Path, model: type[_Model]) -> _Model | None:
    try:
        return model.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _write(path: Path, value: _Kept) -> None:
    private_folder(path.parent)
    write_private(path, value.model_dump_json(indent=1).encode() + b"\n")

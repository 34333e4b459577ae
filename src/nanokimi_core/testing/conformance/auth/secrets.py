"""Looking for secrets: in what a plugin says, in what it logs, and in the files that it writes."""

from __future__ import annotations

import base64
import logging
import stat
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from nanokimi_core.testing.conformance.checks import expect, saw
from nanokimi_core.testing.conformance.overhearing import overheard
from nanokimi_core.testing.conformance.rigs import AuthRig

_TELLING = 12  # characters: more than a usual prefix with the last four
_LARGEST = 1_000_000
_MOST_FILES = 1000


def hold_no_secret(rig: AuthRig, texts: Iterable[tuple[str, str]], *, telling: int = _TELLING) -> None:
    """See to it that no text has a secret of the rig's in it, nor a telling piece of one.

    Args:
        rig: Knows the secrets.
        texts: Each with what it is, in words.
        telling: From so many characters on a piece of a secret counts.

    Raises:
        CheckFailed: One has; or the rig has named no secret.
    """
    expect(rig.canaries, "the rig has put no secret into canaries, so there is nothing to look for")
    show_none(rig.canaries, texts, telling=telling)


def show_none(secrets: Sequence[str], texts: Iterable[tuple[str, str]], *, telling: int = _TELLING) -> None:
    """See to it that no text, each given with what it is, has a secret in it, nor a telling piece of one.

    Raises:
        CheckFailed: One has.
    """
    for what, text in texts:
        for secret in secrets:
            if piece := _piece(secret, text, telling):
                saw(f"{what} has {len(piece)} characters of a secret: {_around(text, piece)}")


def _piece(secret: str, text: str, telling: int) -> str | None:
    """Find the whole secret in a text, as it is or encoded, else a telling piece of it."""
    raw = secret.encode()
    for whole in (secret, raw.hex(), base64.b64encode(raw).decode().rstrip("="), secret[::-1]):
        if whole and whole in text:
            return whole
    starts = range(len(secret) - telling + 1)
    return next((piece for at in starts if (piece := secret[at : at + telling]) in text), None)


def _around(text: str, piece: str) -> str:
    at = text.index(piece)
    before, after = text[max(at - 40, 0) : at], text[at + len(piece) : at + len(piece) + 20]
    return " ".join(f"{before}[the secret]{after}".split())


def written_out(error: BaseException) -> str:
    """Give an error as a log would show it, with what it was caused by."""
    return "".join(traceback.format_exception(error))


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = logging.Formatter("%(message)s").format(record)
        self.lines.append((f"a log line of {record.name} ({record.levelname})", text))


@contextmanager
def logged() -> Iterator[list[tuple[str, str]]]:
    """Take down all that is logged, from DEBUG on; each line with what it is, in words."""
    handler = _Lines()
    with overheard(handler):
        yield handler.lines


def secret_files(rig: AuthRig, name: str = "tried") -> dict[Path, bytes]:
    """Find the files in an instance's folder that hold a secret of the rig's, with what is in them."""
    secrets = [secret.encode() for secret in rig.canaries]
    found = {}
    for path in sorted(rig.home(name).rglob("*"))[:_MOST_FILES]:
        if path.is_file() and path.stat().st_size <= _LARGEST:
            data = path.read_bytes()
            if any(secret in data for secret in secrets):
                found[path] = data
    return found


def mode_of(path: Path) -> int:
    """Give who may do what with a file, as in ``chmod``."""
    return stat.S_IMODE(path.stat().st_mode)

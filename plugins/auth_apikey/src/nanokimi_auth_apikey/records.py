"""What is remembered of each key, in the instance's folder, where other processes see it; no part of a key is in it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from nanokimi_core import private_folder, write_private

_LARGEST = 65_536
_MOST = 64

Record = TypeVar("Record", bound=BaseModel)


class Records(Generic[Record]):
    """One small file for each mark (a hash of a key); a full disk or a damaged file loses what it says, nothing else.

    Args:
        folder: For these records only; made when there is the first.
        model: What a record is.
    """

    def __init__(self, folder: Path, model: type[Record]) -> None:
        self._folder = folder
        self._model = model

    def read(self, mark: str) -> Record | None:
        """Give what is remembered; ``None`` where there is nothing, or nothing that can be read."""
        try:
            with self._file(mark).open("rb") as file:
                return self._model.model_validate_json(file.read(_LARGEST))
        except (OSError, ValidationError):
            return None

    def write(self, mark: str, record: Record) -> None:
        """Remember; the oldest of more than 64 records are forgotten."""
        with suppress(OSError):
            private_folder(self._folder)
            write_private(self._file(mark), record.model_dump_json().encode())
            files = sorted(self._folder.glob("*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
            for file in files[_MOST:]:
                file.unlink(missing_ok=True)

    def forget(self, mark: str) -> None:
        """Forget what is remembered of this key."""
        with suppress(OSError):
            self._file(mark).unlink(missing_ok=True)

    def _file(self, mark: str) -> Path:
        return self._folder / f"{mark}.json"

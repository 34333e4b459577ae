"""Values as JSON has them, on their way over the socket."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from nanokimi_core.errors import CommandError

T = TypeVar("T")


class Form(Generic[T]):
    """How values of one kind are written and read.

    The adapter that does it takes memory, so it is made when it is first needed: most processes are never asked.

    Args:
        kind: Their type.
    """

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    @cached_property
    def _adapter(self) -> TypeAdapter[T]:
        return TypeAdapter(self._kind)

    def dump(self, value: T) -> Any:
        """Give a value as JSON has it."""
        return self._adapter.dump_python(value, mode="json")

    def read(self, value: Any) -> T:
        """Read what ``dump`` gave in the other process.

        Raises:
            CommandError: The running process is of a version that answers otherwise.
        """
        try:
            return self._adapter.validate_python(value)
        except ValueError as error:
            raise CommandError(
                "the running process answers in a form that this command doesn't know",
                remedy="restart it, so that both are of the same version",
            ) from error

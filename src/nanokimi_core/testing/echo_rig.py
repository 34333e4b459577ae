"""The rig of the built-in backend ``echo``."""

from __future__ import annotations

from typing import ClassVar

from nanokimi_core.builtin import echo
from nanokimi_core.testing.conformance.rigs import BackendRig


class EchoRig(BackendRig):
    """An agent that says what it hears, remembers nothing and needs no account."""

    (spec,) = echo.nanokimi_backends()
    remembers: ClassVar[bool] = False
    keeps: ClassVar[bool] = False
    takes_grants: ClassVar[bool] = False

"""What the contract wants of a backend; each check stands in the module of what it is about."""

from __future__ import annotations

from nanokimi_core.testing.conformance.backend.failing import FAILING
from nanokimi_core.testing.conformance.backend.grants import GRANTS
from nanokimi_core.testing.conformance.backend.memory import MEMORY
from nanokimi_core.testing.conformance.backend.shape import SHAPE
from nanokimi_core.testing.conformance.backend.stopping import STOPPING
from nanokimi_core.testing.conformance.checks import Check

BACKEND_CHECKS: tuple[Check, ...] = (*SHAPE, *MEMORY, *STOPPING, *FAILING, *GRANTS)

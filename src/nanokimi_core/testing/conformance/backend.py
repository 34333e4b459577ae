"""What the contract wants of a backend; each check stands in the module of what it is about."""

from __future__ import annotations

from nanokimi_core.testing.conformance.backend_failing import FAILING
from nanokimi_core.testing.conformance.backend_grants import GRANTS
from nanokimi_core.testing.conformance.backend_memory import MEMORY
from nanokimi_core.testing.conformance.backend_shape import SHAPE
from nanokimi_core.testing.conformance.backend_stopping import STOPPING
from nanokimi_core.testing.conformance.checks import Check

BACKEND_CHECKS: tuple[Check, ...] = (*SHAPE, *MEMORY, *STOPPING, *FAILING, *GRANTS)

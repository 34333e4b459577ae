"""What the contract wants of a backend."""

from __future__ import annotations

from nanokimi_core.testing.conformance.checks import Check

BACKEND_CHECKS: tuple[Check, ...] = ()

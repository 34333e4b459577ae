"""What the contract wants of an auth plugin."""

from __future__ import annotations

from nanokimi_core.testing.conformance.checks import Check

AUTH_CHECKS: tuple[Check, ...] = ()

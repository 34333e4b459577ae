"""What the contract wants of an auth plugin."""

from __future__ import annotations

from nanokimi_core.testing.conformance.auth_forms import FORM_CHECKS
from nanokimi_core.testing.conformance.auth_grants import GRANT_CHECKS
from nanokimi_core.testing.conformance.auth_keys import KEY_CHECKS
from nanokimi_core.testing.conformance.auth_logins import LOGIN_CHECKS
from nanokimi_core.testing.conformance.auth_privacy import PRIVACY_CHECKS
from nanokimi_core.testing.conformance.auth_states import STATE_CHECKS
from nanokimi_core.testing.conformance.checks import Check

AUTH_CHECKS: tuple[Check, ...] = (
    *FORM_CHECKS,
    *GRANT_CHECKS,
    *STATE_CHECKS,
    *LOGIN_CHECKS,
    *KEY_CHECKS,
    *PRIVACY_CHECKS,
)

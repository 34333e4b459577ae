"""What the contract wants of an auth plugin."""

from __future__ import annotations

from nanokimi_core.testing.conformance.auth.forms import FORM_CHECKS
from nanokimi_core.testing.conformance.auth.grants import GRANT_CHECKS
from nanokimi_core.testing.conformance.auth.keys import KEY_CHECKS
from nanokimi_core.testing.conformance.auth.logins import LOGIN_CHECKS
from nanokimi_core.testing.conformance.auth.privacy import PRIVACY_CHECKS
from nanokimi_core.testing.conformance.auth.states import STATE_CHECKS
from nanokimi_core.testing.conformance.checks import Check

AUTH_CHECKS: tuple[Check, ...] = (
    *FORM_CHECKS,
    *GRANT_CHECKS,
    *STATE_CHECKS,
    *LOGIN_CHECKS,
    *KEY_CHECKS,
    *PRIVACY_CHECKS,
)

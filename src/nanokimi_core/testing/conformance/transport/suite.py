"""What the contract wants of a transport: all checks, in the order in which an author meets them."""

from __future__ import annotations

from nanokimi_core.testing.conformance.checks import Check
from nanokimi_core.testing.conformance.transport.events import EVENT_CHECKS
from nanokimi_core.testing.conformance.transport.files import FILE_CHECKS
from nanokimi_core.testing.conformance.transport.life import LIFE_CHECKS
from nanokimi_core.testing.conformance.transport.receiving import RECEIVING_CHECKS
from nanokimi_core.testing.conformance.transport.refusing import REFUSING_CHECKS
from nanokimi_core.testing.conformance.transport.sending import SENDING_CHECKS
from nanokimi_core.testing.conformance.transport.shape import SHAPE_CHECKS
from nanokimi_core.testing.conformance.transport.showing import SHOWING_CHECKS
from nanokimi_core.testing.conformance.transport.trouble import TROUBLE_CHECKS

TRANSPORT_CHECKS: tuple[Check, ...] = (
    *SHAPE_CHECKS,
    *RECEIVING_CHECKS,
    *SENDING_CHECKS,
    *REFUSING_CHECKS,
    *SHOWING_CHECKS,
    *EVENT_CHECKS,
    *FILE_CHECKS,
    *LIFE_CHECKS,
    *TROUBLE_CHECKS,
)

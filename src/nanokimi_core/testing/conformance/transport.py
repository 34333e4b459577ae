"""What the contract wants of a transport: all checks, in the order in which an author meets them."""

from __future__ import annotations

from nanokimi_core.testing.conformance.checks import Check
from nanokimi_core.testing.conformance.transport_events import EVENT_CHECKS
from nanokimi_core.testing.conformance.transport_files import FILE_CHECKS
from nanokimi_core.testing.conformance.transport_life import LIFE_CHECKS
from nanokimi_core.testing.conformance.transport_receiving import RECEIVING_CHECKS
from nanokimi_core.testing.conformance.transport_refusing import REFUSING_CHECKS
from nanokimi_core.testing.conformance.transport_sending import SENDING_CHECKS
from nanokimi_core.testing.conformance.transport_shape import SHAPE_CHECKS
from nanokimi_core.testing.conformance.transport_showing import SHOWING_CHECKS
from nanokimi_core.testing.conformance.transport_trouble import TROUBLE_CHECKS

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

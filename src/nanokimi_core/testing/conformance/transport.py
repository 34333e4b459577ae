"""What the contract wants of a transport."""

from __future__ import annotations

from nanokimi_core.testing.conformance.checks import Check, check, expect
from nanokimi_core.testing.conformance.rigs import TransportRig


@check("transport")
async def has_its_methods(rig: TransportRig) -> None:
    """The object has run and send."""
    async with rig.made() as transport:
        missing = [name for name in ("run", "send") if not callable(getattr(transport, name, None))]
        expect(not missing, f"{type(transport).__name__} has no {', '.join(missing)}")


TRANSPORT_CHECKS: tuple[Check, ...] = (has_its_methods,)

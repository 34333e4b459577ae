"""From the outbox to the network: split, rendered, paced, in order, tried again."""

from nanokimi_core.delivery.delivery import Delivery
from nanokimi_core.delivery.route import Route, traits_of

__all__ = ["Delivery", "Route", "traits_of"]

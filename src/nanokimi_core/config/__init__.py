"""nanokimi.toml: where it lies, what it says, and what is wrong with it."""

from nanokimi_core.config.load import load, validate_table
from nanokimi_core.config.location import Location, locate
from nanokimi_core.config.model import Limits, Settings
from nanokimi_core.config.rules import ChatRules

__all__ = ["ChatRules", "Limits", "Location", "Settings", "load", "locate", "validate_table"]

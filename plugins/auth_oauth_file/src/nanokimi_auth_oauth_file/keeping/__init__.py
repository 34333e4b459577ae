"""Keeping the login: one holder that refreshes it, under every lock, and survives whatever ends it."""

"""The engine that is neonize: nothing outside of this package imports it."""

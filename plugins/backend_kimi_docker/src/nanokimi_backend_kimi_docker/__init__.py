"""NanoKimi plugin."""

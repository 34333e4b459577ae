"""The plugins that come with the core: enough to try it without Docker or an account."""

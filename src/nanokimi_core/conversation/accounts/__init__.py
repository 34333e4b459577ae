"""Who pays: the chain of a chat's accounts, how they stand, and logging in from the owner's chat."""

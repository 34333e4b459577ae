"""What the model API says of the account: its models, what is left, and what a refusal means."""

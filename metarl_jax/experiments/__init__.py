"""Training runs and using what they made: what the `metarl` command and Python do alike."""

"""The pairs of a config: what they draw, and how difficult they are for a model."""

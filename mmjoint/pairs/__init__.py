"""The pairs of a config: how they are drawn, and how difficult they are for a model."""

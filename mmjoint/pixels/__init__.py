"""Everything that touches pixels."""

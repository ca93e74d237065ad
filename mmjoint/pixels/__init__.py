"""Everything that reads or changes pixels: decoding, operations and the compiled loops."""

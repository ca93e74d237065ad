"""The tables of the paper (arXiv 2412.16522): their rows, runs at a reduced size, and results."""

"""The tables of the paper (arXiv 2412.16522): rows, runs at a reduced size, results."""

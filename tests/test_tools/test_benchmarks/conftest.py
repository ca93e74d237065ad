import sys
from pathlib import Path

# The benchmarks' modules stand beside their scripts and find each other there.
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / 'tools/benchmarks'))

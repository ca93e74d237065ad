"""Detection transfer: the parts that all engines share, and the torchvision engine."""

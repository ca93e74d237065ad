"""Detection transfer: what the engines share, and the torchvision engine."""

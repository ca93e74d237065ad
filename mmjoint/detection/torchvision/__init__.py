"""The torchvision engine: Faster and Mask R-CNN with FPN, without a compiler."""

"""Training: sampler, augmentation, loop, early stopping and checkpoints."""

"""Tuning: the matcher of learned keypoints goes on learning, from photos of training individuals."""

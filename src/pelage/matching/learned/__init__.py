"""Learned local matching: keypoints and matches by networks, for the pairs that other methods shortlist."""

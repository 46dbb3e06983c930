"""Local matching: keypoints of SIFT and its kind, whole galleries searched for the nearest, geometry verified."""

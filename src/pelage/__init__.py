"""pelage: a pipeline that turns camera-trap photographs into identified individuals."""

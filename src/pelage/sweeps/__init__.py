"""Sweeps: many trainings of one preset as queued experiments, and what each factor did to the validation score."""

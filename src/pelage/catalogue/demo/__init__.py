"""The demo: a procedural camera-trap survey of leopards, with its truth and with the dirt of real surveys."""

from pelage.catalogue.demo.survey import write_survey

__all__ = ["write_survey"]

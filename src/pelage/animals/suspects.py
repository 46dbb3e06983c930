"""Suspects."""

import pandas as pd


def suspects(units, links):
    return pd.DataFrame(columns=["unit", "other", "identity", "other_identity", "probability", "why"])

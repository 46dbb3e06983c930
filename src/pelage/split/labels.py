"""Labels: which crops tell theirs, and which two crops may show the same one."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pelage.common.tables import UNKNOWN


def tells_its_label(crops: pd.DataFrame) -> np.ndarray:
    """Tell which crops can be learnt.

    A flank of unknown side would be learnt as a third flank, apart from the one of its animal that it shows; so it is
    left out, unless the side of none of the animal's crops is known.

    Args:
        crops: Rows of the split table.

    Returns:
        `(N,)` bool.
    """
    told = (crops["part"] != "flank") | (crops["orientation"] != UNKNOWN)
    return (told | ~told.groupby(crops["identity"]).transform("any")).to_numpy(bool)


def opposite_sides(left: pd.DataFrame, right: pd.DataFrame) -> np.ndarray:
    """Tell which pairs show a left and a right flank, which carry different patterns.

    Args:
        left: N rows of the split table.
        right: M rows of the same part.

    Returns:
        `(N, M)` bool; never True for faces and unknown sides.
    """
    first, second = ((rows["orientation"].where(rows["part"] == "flank", "")).to_numpy(str) for rows in (left, right))
    return ((first == "left")[:, None] & (second == "right")) | ((first == "right")[:, None] & (second == "left"))

"""An inverted file of descriptors: nearest neighbours that are searched for in a few cells only.

Jégou, Douze and Schmid (TPAMI 2011), without their compression: faiss keeps the 8-bit descriptors as they are (128
bytes a keypoint) and compares them as integers, so distances are exact, and only a neighbour in a cell that is not
looked at is missed. Small galleries are searched exactly.
"""

from __future__ import annotations

from functools import partial

import faiss
import numpy as np

from pelage.matching.local.features import DESCRIPTOR_DIM
from pelage.matching.local.lnbnn import Index, Nearest, nearest_rows

SMALL = 20_000
"""Rows up to which all are compared."""


def approximate_search(index: Index, probes: int, small: int = SMALL) -> Nearest:
    """Return the search of `index` in a few cells of its inverted file.

    Args:
        index: Rows to search.
        probes: Cells that are looked at for each descriptor.
        small: Rows up to which the search is exact.

    Returns:
        A function with the arguments and results of `nearest_rows`.
    """
    return nearest_rows if len(index.descriptors) <= small else partial(_search, index.inverted, probes)


def sort_into_cells(descriptors: np.ndarray) -> faiss.IndexIVF:
    """Return the inverted file of descriptors `(R, 128)` uint8.

    The cells depend on the rows and their order alone (a fixed seed, one thread).
    """
    faiss.omp_set_num_threads(1)
    cells = round(2 * np.sqrt(len(descriptors)))
    inverted = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatL2(DESCRIPTOR_DIM),
        DESCRIPTOR_DIM,
        cells,
        faiss.ScalarQuantizer.QT_8bit_direct,
        faiss.METRIC_L2,
        False,
    )
    inverted.cp.seed, inverted.cp.niter, inverted.cp.max_points_per_centroid = 1, 10, 64
    inverted.cp.min_points_per_centroid = 1
    rows = descriptors.astype(np.float32)
    inverted.train(rows)
    inverted.add(rows)
    return inverted


def _search(
    inverted: faiss.IndexIVF, probes: int, index: Index, descriptors: np.ndarray, allowed: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    faiss.omp_set_num_threads(1)  # of this thread: callers work on several queries at once
    selector = faiss.IDSelectorBitmap(np.packbits(allowed[index.crop], bitorder="little"))
    parameters = faiss.SearchParametersIVF(sel=selector, nprobe=probes)
    wanted = np.ascontiguousarray(descriptors, np.float32)
    distances, rows = np.empty((len(wanted), k), np.float32), np.empty((len(wanted), k), np.int64)
    # not `search`: once pytorch_metric_learning is imported, that one takes no parameters any more
    found = faiss.swig_ptr(distances), faiss.swig_ptr(rows)
    inverted.search_c(len(wanted), faiss.swig_ptr(wanted), k, *found, parameters)
    distances = np.where(rows < 0, np.inf, distances)
    order = np.lexsort((rows, distances))
    return np.take_along_axis(rows, order, 1), np.take_along_axis(distances, order, 1)

"""An inverted file of descriptors: nearest neighbours that are searched for in a few cells only.

Jégou, Douze and Schmid (TPAMI 2011), without their compression: faiss keeps the 8-bit descriptors as they are (128
bytes a keypoint) and compares them as integers, so distances are exact, and only a neighbour in a cell that is not
looked at is missed. Small galleries are searched exactly. The cells of large ones are found by a tree of two levels
(Nistér and Stewénius, CVPR 2006), and a search takes as long whatever the size.
"""

from __future__ import annotations

from functools import partial

import faiss
import numpy as np

from pelage.common.parallel import parallel_map
from pelage.matching.local.lnbnn import Index, Nearest, nearest_rows

SMALL = 20_000
"""Rows up to which all are compared."""

FLAT = 1_000_000
"""Rows up to which a descriptor is compared with the centres of all cells, twice the root of the rows."""

CELL = 256
"""Rows a cell above that, so that a search compares as many rows whatever their number. The many centres are in cells
themselves."""

SAMPLE = 64
"""Rows a cell from which centres are learnt."""

FILED, ASKED = 2, 8
"""Cells of centres that are looked at to find the cell of a row, and the nearest cells of what is searched for."""

BLOCK = 2**16
"""Rows that are sorted at a time, as 32 MB of float32."""


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
    """Return the inverted file of descriptors `(R, D)` uint8.

    The cells depend on the rows and their order alone (a fixed seed, one thread a block of rows).
    """
    faiss.omp_set_num_threads(1)
    if len(descriptors) <= FLAT:
        centres = faiss.IndexFlatL2(descriptors.shape[1])
        centres.add(_centres(descriptors.astype(np.float32), round(2 * np.sqrt(len(descriptors)))))
    else:
        centres = _clustered_centres(descriptors, len(descriptors) // CELL)
    kept = faiss.ScalarQuantizer.QT_8bit_direct, faiss.METRIC_L2, False
    inverted = faiss.IndexIVFScalarQuantizer(centres, descriptors.shape[1], centres.ntotal, *kept)
    inverted.is_trained = True  # its bytes need no learning

    def cells(start: int) -> tuple[np.ndarray, np.ndarray]:
        faiss.omp_set_num_threads(1)
        rows = descriptors[start : start + BLOCK].astype(np.float32)
        return rows, np.ascontiguousarray(centres.search(rows, 1)[1][:, 0])

    for rows, cell in parallel_map(cells, range(0, len(descriptors), BLOCK)):
        inverted.add_core(len(rows), faiss.swig_ptr(rows), None, faiss.swig_ptr(cell))
    return inverted


def _centres(rows: np.ndarray, count: int) -> np.ndarray:
    """Return the centres of `count` clusters of rows `(R, D)` float32, by k-means on `SAMPLE` rows for each."""
    clustering = faiss.Clustering(rows.shape[1], count)
    clustering.seed, clustering.niter, clustering.max_points_per_centroid = 1, 10, SAMPLE
    clustering.min_points_per_centroid = 1
    clustering.train(rows, faiss.IndexFlatL2(rows.shape[1]))
    return faiss.vector_to_array(clustering.centroids).reshape(count, -1)


def _clustered_centres(descriptors: np.ndarray, count: int) -> faiss.IndexIVF:
    """Return about `count` centres of cells, themselves in an inverted file: k-means of the rows of each cluster."""
    some = np.linspace(0, len(descriptors) - 1, SAMPLE * count).astype(int)
    rows = descriptors[some].astype(np.float32)
    clusters = faiss.IndexFlatL2(rows.shape[1])
    clusters.add(_centres(rows, round(np.sqrt(count))))
    own = clusters.search(rows, 1)[1][:, 0]
    centres = faiss.IndexIVFFlat(clusters, rows.shape[1], clusters.ntotal, faiss.METRIC_L2)
    centres.nprobe = FILED

    def members(cluster: int) -> np.ndarray:
        faiss.omp_set_num_threads(1)
        part = rows[own == cluster]
        return _centres(part, max(round(len(part) / SAMPLE), 1))

    for found in parallel_map(members, np.unique(own)):
        centres.add(found)
    return centres


def _search(
    inverted: faiss.IndexIVF, probes: int, index: Index, descriptors: np.ndarray, allowed: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    faiss.omp_set_num_threads(1)  # of this thread: callers work on several queries at once
    selector = faiss.IDSelectorBitmap(index.allowed_bits(allowed))
    parameters = faiss.SearchParametersIVF(sel=selector, nprobe=probes)
    if inverted.ntotal > FLAT:
        clusters = faiss.SearchParametersIVF(nprobe=ASKED)
        parameters.quantizer_params = clusters
    wanted = np.ascontiguousarray(descriptors, np.float32)
    distances, rows = np.empty((len(wanted), k), np.float32), np.empty((len(wanted), k), np.int64)
    # not `search`: once pytorch_metric_learning is imported, that one takes no parameters any more
    found = faiss.swig_ptr(distances), faiss.swig_ptr(rows)
    inverted.search_c(len(wanted), faiss.swig_ptr(wanted), k, *found, parameters)
    distances = np.where(rows < 0, np.inf, distances)
    order = np.lexsort((rows, distances))
    return np.take_along_axis(rows, order, 1), np.take_along_axis(distances, order, 1)

"""Which values of a long column stand more than once, with a few bytes a row."""

import numpy as np
import pandas as pd

from biasmask.data.large_table import row_blocks


def repeated(column: pd.Series) -> np.ndarray:
    """Which texts stand more than once, (N,) bool. Hashes of 64 bits single out few rows, whose texts are then compared.

    >>> repeated(pd.Series(["a", "b", "a"])).tolist()
    [True, False, True]
    """
    hashes = np.empty(len(column), dtype=np.uint64)
    for rows in row_blocks(len(column)):
        hashes[rows] = pd.util.hash_array(column.iloc[rows].to_numpy(dtype=object), categorize=False)
    out = repeated_numbers(hashes)
    out[out] = column[out].duplicated(keep=False).to_numpy()
    return out


def repeated_numbers(values: np.ndarray) -> np.ndarray:
    """Which numbers stand more than once, (N,) bool.

    >>> repeated_numbers(np.array([3, 1, 3])).tolist()
    [True, False, True]
    """
    inorder = np.sort(values)
    return np.isin(values, np.unique(inorder[1:][inorder[1:] == inorder[:-1]]))

"""What an image of a stamped number looks like as a row of a table."""

import pandas as pd

SIDE = 8
PIXELS = [f"p{i:02d}" for i in range(SIDE * SIDE)]
LABEL = "label"

SCHEMA = {
    "columns": [{"name": p, "type": "float", "min": 0, "max": 16, "nullable": False} for p in PIXELS]
    + [{"name": LABEL, "type": "int", "min": 0, "max": 9, "nullable": False}]
}


def split(rows: pd.DataFrame):
    """Pixels and labels as the arrays that scikit-learn wants."""
    return rows[PIXELS].to_numpy(dtype="float32"), rows[LABEL].to_numpy(dtype="int64")

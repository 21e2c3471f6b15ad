"""Makes pyarrow.parquet, as data scientists write it: pandas, Snappy, dictionaries, missing values.

    .venv/bin/python internal/data/testdata/make_fixture.py
"""

import pathlib

import pandas as pd

rows = 300
frame = pd.DataFrame(
    {
        "pixel": [i % 17 for i in range(rows)],
        "gauge": [None if i == 4 else i / 4 for i in range(rows)],
        "good": [i % 3 == 0 for i in range(rows)],
        "part": [f"A{i % 5}" for i in range(rows)],
    }
)
frame.to_parquet(pathlib.Path(__file__).with_name("pyarrow.parquet"), row_group_size=128)

"""Makes vectors.json, the cases that the test compares with scipy.

    .venv/bin/python internal/monitor/ks/testdata/vectors.py

The data are drawn here from a fixed seed; only D and p come from scipy.
"""

import json
import pathlib
import warnings

import numpy as np
import scipy
from scipy import stats

rng = np.random.default_rng(20261124)


def numbers(kind, size):
    if kind == "normal":
        return rng.normal(size=size)
    if kind == "pareto":
        return rng.pareto(1.0, size=size)
    if kind == "pixel":  # heavy ties, many zeros
        return np.clip(np.round(rng.normal(2, 6, size=size)), 0, 16)
    if kind == "level":
        return rng.integers(0, 5, size=size).astype(float)
    return np.zeros(size)


def case(kind, n, m, change):
    a = numbers(kind, n)
    b = change(numbers(kind, m))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            r = stats.ks_2samp(a, b, method="exact")
        except RuntimeWarning as e:  # scipy's own rounding gave a probability above 1
            print("left out:", kind, n, m, e)
            return None
    return {"kind": kind, "a": a.tolist(), "b": b.tolist(), "d": float(r.statistic), "p": float(r.pvalue)}


cases = []
for kind in ("normal", "pareto", "pixel", "level", "constant"):
    for n, m in ((1, 1), (1, 7), (5, 5), (20, 30), (50, 50), (64, 100), (100, 100), (97, 211), (400, 50)):
        for change in (lambda x: x, lambda x: x + 0.3, lambda x: x * 0.55 + 1, lambda x: x + 8):
            cases.append(case(kind, n, m, change))
for n, m in ((1000, 100), (1437, 50), (1000, 1000)):
    cases.append(case("normal", n, m, lambda x: x + 0.2))
    cases.append(case("pixel", n, m, lambda x: np.round(x * 0.55)))

adjust = []
for size in (1, 2, 5, 64):
    p = np.sort(rng.uniform(size=size) ** 3)
    rng.shuffle(p)
    adjust.append({"p": p.tolist(), "bh": stats.false_discovery_control(p, method="bh").tolist()})

cases = [c for c in cases if c]
out = pathlib.Path(__file__).with_name("vectors.json")
out.write_text(json.dumps({"scipy": scipy.__version__, "cases": cases, "adjust": adjust}) + "\n")
print(out, len(cases), out.stat().st_size)

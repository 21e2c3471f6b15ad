"""Checks a batch of measurements: complete, finite and in range."""
import math
import random

rng = random.Random(1)
rows = [{'temperature': rng.gauss(60, 5), 'pressure': rng.gauss(3, 0.2)} for _ in range(500)]
bounds = {'temperature': (20, 120), 'pressure': (0, 10)}
bad = [r for r in rows for k, (low, high) in bounds.items() if not math.isfinite(r[k]) or not low <= r[k] <= high]
if bad:
    raise SystemExit(f'{len(bad)} values out of range, first: {bad[0]}')
print(f'{len(rows)} rows are valid')

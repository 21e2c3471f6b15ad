"""Trains again when the data has drifted (two-sample Kolmogorov-Smirnov) or the model has become worse."""
import bisect
import os
import random

drift_threshold = float(os.environ['DATA_DRIFT_THRESHOLD'])
performance_threshold = float(os.environ['PERFORMANCE_THRESHOLD'])
rng = random.Random(4)
reference = sorted(rng.gauss(0, 1) for _ in range(1000))
current = sorted(rng.gauss(0.5, 1) for _ in range(1000))


def distribution(sample, x):
    return bisect.bisect_right(sample, x) / len(sample)


distance = max(abs(distribution(reference, x) - distribution(current, x)) for x in reference + current)
accuracy = sum((x > 0) == (x > 0.25) for x in current) / len(current)
print(f'drift {distance:.3f} (threshold {drift_threshold}), accuracy {accuracy:.3f} (threshold {performance_threshold})')
if distance > drift_threshold or accuracy < performance_threshold:
    boundary = sum(current) / len(current)
    print(f'trained again: the boundary is now {boundary:.3f}')

"""Prints pass or fail, which the next step's condition reads."""
import random

rng = random.Random(3)
truth = [rng.gauss(m, 1) + rng.gauss(m, 1) for m in [-1.5] * 500 + [1.5] * 500]
accuracy = sum((s > 0) == (i >= 500) for i, s in enumerate(truth)) / len(truth)
print('pass' if accuracy >= 0.95 else 'fail')

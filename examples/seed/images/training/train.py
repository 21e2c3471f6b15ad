"""Logistic regression on two clusters, written out."""
import math
import random

rng = random.Random(2)
points = [((rng.gauss(m, 1), rng.gauss(m, 1)), label) for label, m in ((0, -1.5), (1, 1.5)) for _ in range(200)]
w = [0.0, 0.0, 0.0]
for _ in range(200):
    grad = [0.0, 0.0, 0.0]
    for (x, y), label in points:
        error = 1 / (1 + math.exp(-(w[0] * x + w[1] * y + w[2]))) - label
        grad = [g + error * v for g, v in zip(grad, (x, y, 1))]
    w = [v - 0.5 * g / len(points) for v, g in zip(w, grad)]
accuracy = sum((w[0] * x + w[1] * y + w[2] > 0) == bool(label) for (x, y), label in points) / len(points)
assert accuracy > 0.95, accuracy
print(f'weights {w}, accuracy {accuracy:.3f}')

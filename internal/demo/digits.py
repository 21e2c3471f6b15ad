"""Writes the 1,797 images of scikit-learn as CSV: 64 grey values from 0 to 16, then what is to be read on it."""

import csv
import sys

from sklearn.datasets import load_digits

pixels, labels = load_digits(return_X_y=True)
out = csv.writer(sys.stdout)
for row, label in zip(pixels.astype(int).tolist(), labels.tolist()):
    out.writerow([*row, label])

"""Writes scikit-learn's diabetes data as a table: 442 patients, ten columns and the target."""

from pathlib import Path

from sklearn.datasets import load_diabetes

Path("data").mkdir(exist_ok=True)
load_diabetes(as_frame=True, scaled=False).frame.to_csv("data/patients.csv", index=False)

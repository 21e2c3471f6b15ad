"""Logs a model with the stock client, registers it and prints its version."""

import argparse
import sys

import mlflow
import numpy
import onnx
from sklearn.linear_model import LogisticRegression


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--onnx", help="file to log; without it a scikit-learn model is, as a pickle")
    parser.add_argument("--alias")
    args = parser.parse_args()
    mlflow.set_experiment("conformance")
    with mlflow.start_run() as run:
        if args.onnx:
            mlflow.onnx.log_model(onnx.load(args.onnx), name="model", pip_requirements=["onnxruntime"])
        else:
            model = LogisticRegression().fit(numpy.array([[0.0], [1.0]]), [0, 1])
            mlflow.sklearn.log_model(model, name="model", pip_requirements=["scikit-learn"])
    version = mlflow.register_model(f"runs:/{run.info.run_id}/model", args.name).version
    if args.alias:
        mlflow.MlflowClient().set_registered_model_alias(args.name, args.alias, version)
    print(version)
    sys.stdout.flush()


if __name__ == "__main__":
    main()

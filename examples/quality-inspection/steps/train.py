"""Trains a support vector machine on a data-set version and logs it as ONNX."""

import argparse
import pathlib
import sys
import warnings

import mlflow
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.metrics import accuracy_score
from sklearn.svm import SVC

import images
import platform_client


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="data-set version as NAME/VERSION")
    parser.add_argument("--file", type=pathlib.Path, help="its bytes, where the workflow has brought them")
    parser.add_argument("--experiment", required=True)
    # Grey values run from 0 to 16. Chosen by cross-validation on images as the camera delivers them.
    parser.add_argument("--gamma", type=float, default=0.0015)
    parser.add_argument("--C", type=float, default=5.0)
    args = parser.parse_args()

    # skl2onnx 1.20 still looks at attributes that scikit-learn 1.9 calls deprecated.
    warnings.filterwarnings("ignore", category=FutureWarning, module="sklearn")
    platform_client.use_tracking()
    rows, meta = platform_client.read_version(args.data, args.file)
    x, y = images.split(rows)

    mlflow.set_experiment(args.experiment)
    with mlflow.start_run() as run:
        mlflow.log_params({"gamma": args.gamma, "C": args.C, "rows": len(rows)})
        mlflow.set_tags(
            {"kiwerk.dataset.name": meta["name"], "kiwerk.dataset.version": meta["version"], "kiwerk.dataset.digest": meta["digest"]}
        )
        source = mlflow.data.from_pandas(
            rows.astype("float64"), source=platform_client.address(args.data), name=meta["name"], targets=images.LABEL
        )
        mlflow.log_input(source, context="training")

        model = SVC(gamma=args.gamma, C=args.C).fit(x, y)
        mlflow.log_metric("training_accuracy", accuracy_score(y, model.predict(x)))

        # What the monitor compares live inputs with.
        rows[images.PIXELS].to_csv("/tmp/reference.csv", index=False)
        mlflow.log_artifact("/tmp/reference.csv")

        # Without the zip map the scores are a plain tensor, as inference protocols need it.
        onnx_model = to_onnx(
            model,
            initial_types=[("pixels", FloatTensorType([None, len(images.PIXELS)]))],
            options={"zipmap": False},
        )
        mlflow.onnx.log_model(onnx_model, name="model", pip_requirements=["onnxruntime==1.24.4"])
        print(f"run {run.info.run_id}: {len(rows)} rows of {args.data}", file=sys.stderr)
        platform_client.write_output("run", run.info.run_id)


if __name__ == "__main__":
    main()

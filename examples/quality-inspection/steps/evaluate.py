"""Judges a trained model on images it has not seen. Prints pass or fail, which the workflow decides by."""

import argparse
import sys

import mlflow
import onnxruntime

import images
import platform_client


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", required=True, help="the training run")
    parser.add_argument("--data", required=True, help="data-set version as NAME/VERSION")
    parser.add_argument("--min-accuracy", type=float, required=True)
    args = parser.parse_args()

    platform_client.use_tracking()
    rows, meta = platform_client.read_version(args.data)
    x, y = images.split(rows)

    # The file that will be served is what gets judged, not the scikit-learn object it came from.
    folder = mlflow.artifacts.download_artifacts(f"runs:/{args.run}/model")
    session = onnxruntime.InferenceSession(f"{folder}/model.onnx")
    labels = session.run(["label"], {"pixels": x})[0]
    accuracy = float((labels == y).mean())

    client = mlflow.MlflowClient()
    client.log_metric(args.run, "gate_accuracy", accuracy)
    client.set_tag(args.run, "kiwerk.gate.digest", meta["digest"])
    verdict = "pass" if accuracy >= args.min_accuracy else "fail"
    print(f"accuracy {accuracy:.3f} on {len(rows)} images, wanted {args.min_accuracy}: {verdict}", file=sys.stderr)
    print(verdict)


if __name__ == "__main__":
    main()

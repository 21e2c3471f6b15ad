"""Registers the model of a run and, when asked, points the endpoint at the new version."""

import argparse
import os
import pathlib
import sys

import mlflow
import requests
import yaml

import platform_client

ACCOUNT = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")


def deploy(manifest: pathlib.Path, model: str, version: str) -> None:
    """Server-side apply of the InferenceService with this version, as `kubectl apply --server-side` does it."""
    service = yaml.safe_load(manifest.read_text())
    service["spec"]["predictor"]["model"]["storageUri"] = f"models:/{model}/{version}"
    name, namespace = service["metadata"]["name"], platform_client.namespace()
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    answer = requests.patch(
        f"https://{host}:{port}/apis/serving.kserve.io/v1beta1/namespaces/{namespace}/inferenceservices/{name}",
        params={"fieldManager": "quality-inspection", "force": "true"},
        headers={
            "Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}",
            "Content-Type": "application/apply-patch+yaml",
        },
        data=yaml.safe_dump(service),
        verify=str(ACCOUNT / "ca.crt"),
        timeout=30,
    )
    if not answer.ok:
        sys.exit(f"InferenceService {namespace}/{name} was not applied: {answer.status_code} {answer.text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", required=True, help="the training run")
    parser.add_argument("--model", required=True, help="name in the registry")
    parser.add_argument("--deploy", type=pathlib.Path, help="manifest of the InferenceService to apply")
    args = parser.parse_args()

    platform_client.use_tracking()
    registered = mlflow.register_model(f"runs:/{args.run}/model", args.model)
    print(f"{args.model} version {registered.version} from run {args.run}", file=sys.stderr)
    if args.deploy:
        deploy(args.deploy, args.model, registered.version)
    platform_client.write_output("version", registered.version)


if __name__ == "__main__":
    main()

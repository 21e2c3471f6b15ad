"""Takes the raw images of the line, checks them and stores them as versions of two data sets."""

import argparse
import io
import pathlib
import sys

import pandas as pd

import images
import platform_client


def ingest(path: pathlib.Path, dataset: str) -> str:
    rows = pd.read_csv(path)
    missing = sorted(set(images.PIXELS + [images.LABEL]) - set(rows.columns))
    if missing:
        sys.exit(f"{path.name}: columns are missing: {', '.join(missing)}")
    table = io.BytesIO()
    rows[images.PIXELS + [images.LABEL]].to_csv(table, index=False)
    version = platform_client.create_version(dataset, table.getvalue(), images.SCHEMA)
    print(f"{dataset} version {version['version']}: {version['rows']} rows, {version['digest']}", file=sys.stderr)
    return f"{dataset}/{version['version']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--training", type=pathlib.Path, required=True, help="raw CSV to train on")
    parser.add_argument("--gate", type=pathlib.Path, required=True, help="raw CSV to judge the model by")
    parser.add_argument("--dataset", required=True, help="name of the data set")
    args = parser.parse_args()
    platform_client.write_output("data", ingest(args.training, args.dataset))
    platform_client.write_output("gate", ingest(args.gate, f"{args.dataset}-gate"))


if __name__ == "__main__":
    main()

"""The few calls to the platform's own interface that the steps need.

Address and credentials come from the environment that the platform gives every pod: KIWERK_URL, KIWERK_TOKEN_FILE,
MLFLOW_TRACKING_URI. Nothing here knows where it runs.
"""

import hashlib
import io
import json
import os
import pathlib
import sys

import pandas as pd
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

TIMEOUT = 60

# The platform may be restarted while a step runs. Every call here may be made twice: a data-set version is
# the same when its bytes are.
http = requests.Session()
http.mount("http://", HTTPAdapter(max_retries=Retry(8, backoff_factor=0.5, allowed_methods=None, status_forcelist=[502, 503, 504])))


def token() -> str:
    """The token of this pod; read anew each time because the platform replaces it while a step runs."""
    path = os.environ.get("KIWERK_TOKEN_FILE", "")
    return pathlib.Path(path).read_text().strip() if path else ""


def use_tracking() -> None:
    """Gives the mlflow client the same token, unless somebody has set one."""
    if token():
        os.environ.setdefault("MLFLOW_TRACKING_TOKEN", token())


def namespace() -> str:
    """The project that this step belongs to."""
    given = os.environ.get("KIWERK_NAMESPACE")
    if given:
        return given
    return pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace").read_text().strip()


def project() -> str:
    """Where the platform keeps what belongs to this project."""
    return f"{os.environ['KIWERK_URL']}/kiwerk/v1/projects/{namespace()}"


def address(reference: str) -> str:
    """The content of a data-set version, given as NAME/VERSION."""
    dataset, _, version = reference.rpartition("/")
    return f"{project()}/datasets/{dataset}/versions/{version}/content"


def call(method: str, path: str, **kwargs) -> requests.Response:
    """One request to the platform; ends the step with the platform's own words when it refuses."""
    headers = {"Authorization": f"Bearer {token()}", **kwargs.pop("headers", {})}
    try:
        answer = http.request(method, f"{project()}/{path}", headers=headers, timeout=TIMEOUT, **kwargs)
    except requests.RequestException as problem:
        sys.exit(f"{method} {path}: the platform at {os.environ['KIWERK_URL']} does not answer ({type(problem).__name__})")
    if not answer.ok:
        sys.exit(f"{method} {path}: {answer.status_code} {answer.text.strip()}")
    return answer


def create_version(dataset: str, csv: bytes, schema: dict) -> dict:
    """Stores a new version of a data set; the platform checks it against the schema."""
    return call(
        "POST",
        f"datasets/{dataset}/versions",
        params={"schema": json.dumps(schema)},
        headers={"Content-Type": "text/csv"},
        data=csv,
    ).json()


def read_version(reference: str, file: pathlib.Path | None = None) -> tuple[pd.DataFrame, dict]:
    """Reads a data-set version, given as NAME/VERSION: its rows and what the platform knows of it.

    A file is what the workflow has put there as an input artifact; it must be that very version.
    """
    dataset, _, version = reference.rpartition("/")
    meta = call("GET", f"datasets/{dataset}/versions/{version}").json()
    content = file.read_bytes() if file else call("GET", f"datasets/{dataset}/versions/{version}/content").content
    if hashlib.sha256(content).hexdigest() != meta["digest"]:
        sys.exit(f"{file or reference} is not {reference}: its digest is not {meta['digest']}")
    read = pd.read_parquet if meta["format"] == "parquet" else pd.read_csv
    return read(io.BytesIO(content)), meta


def write_output(name: str, value: object) -> None:
    """An output parameter of this step: a file that the workflow reads."""
    folder = pathlib.Path(os.environ.get("OUTPUTS", "/tmp/outputs"))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(str(value))

"""What the suites of the mlflow client share: the client, an experiment per test, the check of refusals."""

import os
import unittest
import uuid

# Before mlflow is imported, which the suites do after this module.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException

URI = os.environ["MLFLOW_TRACKING_URI"]
API = URI + "/api/2.0/mlflow/"


def name(prefix):
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        mlflow.set_tracking_uri(URI)
        cls.client = MlflowClient(URI)

    def setUp(self):
        self.experiment = self.client.create_experiment(name("exp"))

    def run_id(self, **kwargs):
        return self.client.create_run(self.experiment, **kwargs).info.run_id

    def refused(self, code, text, call, *args, **kwargs):
        with self.assertRaises((MlflowException, RestException)) as caught:
            call(*args, **kwargs)
        self.assertEqual(caught.exception.error_code, code)
        self.assertIn(text, str(caught.exception))

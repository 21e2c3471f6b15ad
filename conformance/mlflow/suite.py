"""What the suites of the MLflow client share.

A suite is a file test_*.py beside this one with classes below Case (or unittest.TestCase where no client is
wanted); run.py finds it, no list has to be kept. It imports this module before mlflow. All suites meet one server,
several processes run classes of them at the same time, and classes run in any order. So a test

* makes what it needs under name("prefix"), and searches only for that name or below self.experiment;
* keeps to its own process: it may set the active experiment and environment variables, and puts them back;
* says with @since("3.17") which release of the client it needs.

Case gives: client (MlflowClient), experiment (id of a new one for each test), run_id(**) makes a run there,
refused(code, text, call, …) checks an error, post/get are plain requests to a path and return the decoded answer.
Assertions are counted: run.py prints how many were evaluated, and how many places in the source they stand at.
"""

import functools
import os
import sys
import unittest
import uuid

# Before mlflow is imported, which the suites do after this module.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException

URI = os.environ["MLFLOW_TRACKING_URI"]
API = URI + "/api/2.0/mlflow/"

VERSION = tuple(int(n) for n in mlflow.__version__.split(".")[:2])


def name(prefix):
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def since(version):
    """Skips a test with clients older than this minor version."""
    wanted = tuple(int(n) for n in version.split("."))
    return unittest.skipIf(VERSION < wanted, f"the client of {version} and later")


class Counted:
    """Assertions that were evaluated, by the place in the source where they stand."""

    places = {}
    depth = 0

    @classmethod
    def count(cls, method):
        @functools.wraps(method)
        def counted(self, *args, **kwargs):
            if cls.depth == 0:
                caller = sys._getframe(1)
                place = f"{os.path.basename(caller.f_code.co_filename)}:{caller.f_lineno}:{caller.f_lasti}"
                cls.places[place] = cls.places.get(place, 0) + 1
            cls.depth += 1
            try:
                return method(self, *args, **kwargs)
            finally:
                cls.depth -= 1

        return counted


# The base class itself, so that suites which need no client are counted too. assertRaises as a context counts once.
for attribute in dir(unittest.TestCase):
    if attribute.startswith("assert"):
        setattr(unittest.TestCase, attribute, Counted.count(getattr(unittest.TestCase, attribute)))


class Calls:
    """Method and path of every request that went out: run.py compares them with the calls of the API."""

    seen = set()

    @classmethod
    def watch(cls, send):
        @functools.wraps(send)
        def watched(session, request, **kwargs):
            if request.url.startswith(URI):
                cls.seen.add((request.method, request.url[len(URI):].split("?")[0]))
            return send(session, request, **kwargs)

        return watched


requests.Session.send = Calls.watch(requests.Session.send)


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        mlflow.set_tracking_uri(URI)
        cls.client = MlflowClient(URI)

    def setUp(self):
        self.experiment = self.client.create_experiment(name("exp"))

    def run_id(self, **kwargs):
        return self.client.create_run(self.experiment, **kwargs).info.run_id

    @Counted.count
    def refused(self, code, text, call, *args, **kwargs):
        with self.assertRaises((MlflowException, RestException)) as caught:
            call(*args, **kwargs)
        self.assertEqual(caught.exception.error_code, code)
        self.assertIn(text, str(caught.exception))

    def get(self, route, **params):
        return requests.get(URI + route, params=params).json()

    def post(self, route, **body):
        return requests.post(URI + route, json=body).json()

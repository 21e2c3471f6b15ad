"""Users and permissions: the stock client of MLflow's basic-auth app, and others who log in, against `kiwerk tracking serve`.

The server is one of its own, the built program; it may not be the one of MLFLOW_TRACKING_URI.
"""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import types
import unittest
from pathlib import Path

from suite import Counted, name, since

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

PROGRAM = Path(os.environ.get("KIWERK_BIN_DIR", Path(__file__).parents[2] / "bin"), "kiwerk")
PASSWORD = "the administrator's password"


def auth_client(uri):
    """The client's own module, without the Flask application beside it, which wants further packages."""
    package = types.ModuleType("mlflow.server.auth")
    package.__path__ = [str(Path(mlflow.__file__).parent / "server" / "auth")]
    sys.modules.setdefault(package.__name__, package)
    from mlflow.server.auth.client import AuthServiceClient
    return AuthServiceClient(uri)


def password(user):
    return PASSWORD if user == "admin" else f"the password of {user}"


@contextlib.contextmanager
def user(who, secret=None):
    kept = {k: os.environ.get(k) for k in ["MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"]}
    os.environ.update(MLFLOW_TRACKING_USERNAME=who, MLFLOW_TRACKING_PASSWORD=secret or password(who))
    try:
        yield
    finally:
        for k, v in kept.items():
            os.environ.pop(k) if v is None else os.environ.update({k: v})


@since("3.17")
class Auth(unittest.TestCase):
    seconds = 15

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        env = dict(os.environ, MLFLOW_AUTH_ADMIN_PASSWORD=PASSWORD, HOME=folder.name)
        env.pop("MLFLOW_TRACKING_URI")
        server = subprocess.Popen([PROGRAM, "tracking", "serve", "--app-name", "basic-auth", "--port", "0"],
                                  cwd=folder.name, env=env, stderr=subprocess.PIPE, text=True)
        cls.addClassCleanup(server.stderr.close)
        cls.addClassCleanup(server.wait)
        cls.addClassCleanup(server.terminate)
        said = []
        for line in server.stderr:
            said.append(line)
            if found := re.search(r"http://[\d.]+:\d+", line):
                cls.uri = found.group()
                break
        else:
            raise RuntimeError("the server did not start:\n" + "".join(said))
        cls.auth, cls.client = auth_client(cls.uri), MlflowClient(cls.uri)

    def setUp(self):
        # The names of users are the test's own, so that order does not matter.
        self.anna, self.bert = name("anna"), name("bert")
        with user("admin"):
            for u in [self.anna, self.bert]:
                self.auth.create_user(u, password(u))

    @Counted.count
    def refused(self, status, call, *args, **kwargs):
        with self.assertRaises((MlflowException, requests.HTTPError)) as caught:  # that of the artifacts' client
            call(*args, **kwargs)
        e = caught.exception
        self.assertEqual(e.get_http_status_code() if isinstance(e, MlflowException) else e.response.status_code, status, str(e))

    def test_users(self):
        with user("admin"):
            got = self.auth.get_user(self.anna)
            self.assertEqual((got.username, got.is_admin), (self.anna, False))
            self.refused(400, self.auth.create_user, self.anna, "another long password")
            self.auth.update_user_admin(self.bert, True)
        with user(self.bert):
            self.assertTrue(self.auth.get_user(self.bert).is_admin)
            self.assertEqual(self.auth.get_user(self.anna).username, self.anna)
            self.auth.update_user_admin(self.bert, False)
        with user(self.anna):
            self.refused(403, self.auth.create_user, name("carl"), "a long password")
            self.refused(403, self.auth.update_user_admin, self.anna, True)
            self.auth.update_user_password(self.anna, "a new password", current_password=password(self.anna))
            self.refused(401, self.client.search_experiments)
        with user(self.anna, "a new password"):
            self.assertEqual(self.auth.get_user(self.anna).username, self.anna)
        with user("admin"):
            self.auth.delete_user(self.anna)
            self.refused(404, self.auth.get_user, self.anna)
        with user(self.anna, "a new password"):
            self.refused(401, self.client.search_experiments)
        self.assertEqual(requests.get(self.uri + "/api/2.0/mlflow/users/current").status_code, 401)

    def test_experiments(self):
        with user(self.anna):
            e = self.client.create_experiment(name("exp"))
            run = self.client.create_run(e).info.run_id
            self.client.log_metric(run, "m", 1)
            self.client.log_text(run, "of Anna", "a.txt")
        with user(self.bert):
            self.assertEqual(self.client.get_run(run).data.metrics, {"m": 1.0})
            self.assertEqual([r.info.run_id for r in self.client.search_runs([e])], [run])
            self.assertEqual(self.text(run), "of Anna")
            self.refused(403, self.client.log_metric, run, "m", 2)
            self.refused(403, self.client.log_text, run, "of Bert", "a.txt")
            self.refused(403, self.client.delete_experiment, e)
            self.refused(403, self.auth.grant_user_permission, self.bert, "experiment", e, "MANAGE")
        with user(self.anna):
            self.auth.grant_user_permission(self.bert, "experiment", e, "EDIT")
            self.assertEqual(self.auth.get_user_permission(self.bert, "experiment", e).permission, "EDIT")
        with user(self.bert):
            self.client.log_metric(run, "m", 2)
            self.client.log_text(run, "of Bert", "a.txt")
            self.assertEqual(self.text(run), "of Bert")
            self.refused(403, self.client.delete_experiment, e)
        with user(self.anna):
            self.auth.revoke_user_permission(self.bert, "experiment", e)
            self.assertEqual(self.text(run), "of Bert")
        with user(self.bert):
            self.refused(403, self.client.log_metric, run, "m", 3)

    def text(self, run):
        with tempfile.TemporaryDirectory() as d:
            return Path(self.client.download_artifacts(run, "a.txt", d)).read_text()

    def test_models(self):
        n = name("model")
        with user(self.anna):
            self.client.create_registered_model(n)
            run = self.client.create_run(self.client.create_experiment(name("exp")))
            self.client.create_model_version(n, f"{run.info.artifact_uri}/model", run.info.run_id)
        with user(self.bert):
            self.assertEqual([m.name for m in self.client.search_registered_models(f"name = '{n}'")], [n])
            self.refused(403, self.client.set_registered_model_alias, n, "champion", "1")
        with user(self.anna):
            self.auth.grant_user_permission(self.bert, "registered_model", n, "MANAGE")
        with user(self.bert):
            self.client.set_registered_model_alias(n, "champion", "1")
            self.client.delete_registered_model(n)
        with user(self.anna):
            self.assertEqual(self.client.search_registered_models(f"name = '{n}'"), [])

    def test_roles(self):
        with user(self.anna):
            e = self.client.create_experiment(name("exp"))
            self.refused(403, self.auth.create_role, "default", name("role"))
        with user("admin"):
            role = self.auth.create_role("default", name("role"), description="d")
            given = self.auth.add_role_permission(role.id, "experiment", e, "DENY")
            self.assertEqual([(p.id, p.permission) for p in self.auth.list_role_permissions(role.id)], [(given.id, "DENY")])
            self.auth.assign_role(self.bert, role.id)
            self.assertIn(role.id, [r.id for r in self.auth.list_user_roles(self.bert)])
            self.assertEqual(len(self.auth.list_role_users(role.id)), 1)
            self.assertIn(role.id, [r.id for r in self.auth.list_all_roles()])
        with user(self.bert):
            self.refused(403, self.client.get_experiment, e)
            self.assertNotIn(e, [x.experiment_id for x in self.client.search_experiments()])
        with user("admin"):
            self.auth.update_role_permission(given.id, "EDIT")
        with user(self.bert):
            self.client.create_run(e)
            self.assertIn(e, [x.experiment_id for x in self.client.search_experiments()])
        with user("admin"):
            self.auth.unassign_role(self.bert, role.id)
            self.auth.remove_role_permission(given.id)
            self.auth.delete_role(role.id)
            self.refused(404, self.auth.get_role, role.id)
        with user(self.bert):
            self.refused(403, self.client.create_run, e)


if __name__ == "__main__":
    unittest.main()

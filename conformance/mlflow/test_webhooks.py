"""Webhooks through the stock client, with a receiver on this machine.

The server has MLFLOW_WEBHOOK_ALLOWED_SCHEMES=http,https and MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true.
"""

import base64
import hashlib
import hmac
import json
import queue
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from suite import Case, name

import mlflow
from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent, WebhookStatus

SECRET = "correct horse battery staple"
EVENTS = [
    "registered_model.created",
    "model_version.created",
    "model_version_tag.set",
    "model_version_tag.deleted",
    "model_version_alias.created",
    "model_version_alias.deleted",
    "prompt.created",
    "prompt_version.created",
    "prompt_tag.set",
    "prompt_tag.deleted",
    "prompt_version_tag.set",
    "prompt_version_tag.deleted",
    "prompt_alias.created",
    "prompt_alias.deleted",
    "budget_policy.exceeded",
]


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.calls.put((self.path, dict(self.headers), body))
        answers = self.server.answers.get(self.path, [])
        self.send_response(answers.pop(0) if answers else 200)
        self.end_headers()
        self.wfile.write(b"noted")

    def log_message(self, *_):
        pass


class Webhooks(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Other suites register models on the same server meanwhile, and would be heard here.
        mlflow.create_workspace(n := name("hooks"))
        mlflow.set_workspace(n)
        cls.server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        cls.server.calls, cls.server.answers = queue.Queue(), {}
        cls.url = f"http://127.0.0.1:{cls.server.server_port}"
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()

    @classmethod
    def tearDownClass(cls):
        mlflow.set_workspace(None)
        cls.server.shutdown()
        cls.server.server_close()

    def tearDown(self):
        for w in self.client.list_webhooks(max_results=1000):
            self.client.delete_webhook(w.webhook_id)
        while not self.server.calls.empty():
            self.server.calls.get()

    def hook(self, path="/", events=("registered_model.created",), **kwargs):
        return self.client.create_webhook(name=name("hook"), url=self.url + path, events=[WebhookEvent.from_str(e) for e in events], **kwargs)

    def next(self):
        path, headers, body = self.server.calls.get(timeout=20)
        return path, {k.lower(): v for k, v in headers.items()}, json.loads(body), body

    def quiet(self):
        with self.assertRaises(queue.Empty):
            self.server.calls.get(timeout=0.3)

    def test_life(self):
        w = self.hook(events=["model_version_alias.created", "model_version.created"], description="d", secret=SECRET)
        self.assertEqual(w.status, WebhookStatus.ACTIVE)
        self.assertIsNone(w.secret)
        self.assertEqual(w.description, "d")
        self.assertEqual([str(e) for e in w.events], ["model_version_alias.created", "model_version.created"])
        got = self.client.get_webhook(w.webhook_id)
        self.assertEqual((got.name, got.url, got.creation_timestamp), (w.name, w.url, w.creation_timestamp))
        changed = self.client.update_webhook(w.webhook_id, name="other", status=WebhookStatus.DISABLED, events=[WebhookEvent(WebhookEntity.PROMPT, WebhookAction.CREATED)])
        self.assertEqual((changed.name, changed.status, changed.description, changed.url), ("other", WebhookStatus.DISABLED, "d", w.url))
        self.assertEqual(changed.events, [WebhookEvent(WebhookEntity.PROMPT, WebhookAction.CREATED)])
        self.assertGreater(changed.last_updated_timestamp, w.last_updated_timestamp)
        self.client.delete_webhook(w.webhook_id)
        for call in self.client.get_webhook, self.client.delete_webhook, self.client.test_webhook:
            self.refused("RESOURCE_DOES_NOT_EXIST", f"Webhook with ID {w.webhook_id} not found", call, w.webhook_id)

    def test_pages(self):
        made = {self.hook(f"/{i}").webhook_id for i in range(5)}
        seen, token = [], None
        while True:
            page = self.client.list_webhooks(max_results=2, page_token=token)
            seen += [w.webhook_id for w in page]
            token = page.token
            if not token:
                break
        self.assertEqual(set(seen), made)
        self.assertEqual(len(seen), 5)

    def test_refusals(self):
        w = self.hook()
        for url, text in {"   ": "empty or just whitespace", "ftp://example.com": "Invalid webhook URL scheme", "http://[invalid": "Invalid webhook URL", "http://u:p@example.com/": "user name"}.items():
            self.refused("INVALID_PARAMETER_VALUE", text, self.client.update_webhook, w.webhook_id, url=url)
        for bad in "", "-x", "x" * 64, "a b", "ä":
            with self.assertRaises(mlflow.exceptions.MlflowException, msg=bad):
                self.client.create_webhook(name=bad, url=self.url, events=[WebhookEvent.from_str("prompt.created")])
        self.refused("INVALID_PARAMETER_VALUE", "events", self.client.create_webhook, name="a", url=self.url, events=[])

    def test_models(self):
        self.hook("/all", EVENTS, secret=SECRET)
        model = self.client.create_registered_model(name("m"), description="about", tags={"k": "v"}).name
        version = self.client.create_model_version(model, "s3://bucket/model", tags={"a": "b"}, description="first").version
        self.client.set_registered_model_tag(model, "quiet", "1")  # upstream has no event for it
        self.client.set_model_version_tag(model, version, "x", "y")
        self.client.delete_model_version_tag(model, version, "x")
        self.client.set_registered_model_alias(model, "best", version)
        self.client.delete_registered_model_alias(model, "best")
        want = {
            "registered_model.created": {"name": model, "description": "about", "tags": {"k": "v"}},
            "model_version.created": {"name": model, "version": "1", "source": "s3://bucket/model", "run_id": None, "tags": {"a": "b"}, "description": "first"},
            "model_version_tag.set": {"name": model, "version": "1", "key": "x", "value": "y"},
            "model_version_tag.deleted": {"name": model, "version": "1", "key": "x"},
            "model_version_alias.created": {"name": model, "version": "1", "alias": "best"},
            "model_version_alias.deleted": {"name": model, "alias": "best"},
        }
        self.check(want)

    def test_prompts(self):
        self.hook("/all", EVENTS, secret=SECRET)
        prompt = name("p")
        mlflow.genai.register_prompt(prompt, "Hello {{name}}!", commit_message="first", tags={"k": "v"})
        self.client.set_prompt_tag(prompt, "x", "y")
        self.client.delete_prompt_tag(prompt, "x")
        self.client.set_prompt_version_tag(prompt, 1, "x", "y")
        self.client.delete_prompt_version_tag(prompt, 1, "x")
        mlflow.genai.set_prompt_alias(prompt, "best", 1)
        mlflow.genai.delete_prompt_alias(prompt, "best")
        got = self.check(dict.fromkeys(["prompt.created", "prompt_version.created", "prompt_tag.set", "prompt_tag.deleted", "prompt_version_tag.set", "prompt_version_tag.deleted", "prompt_alias.created", "prompt_alias.deleted"]))
        version = got["prompt_version.created"]
        self.assertEqual((version["name"], version["version"], version["template"], version["description"]), (prompt, "1", "Hello {{name}}!", "first"))
        self.assertEqual(version["tags"].get("k"), "v")
        self.assertNotIn("mlflow.prompt.is_prompt", version["tags"])
        self.assertEqual(got["prompt_alias.created"], {"name": prompt, "version": "1", "alias": "best"})

    def check(self, want):
        """Each event is delivered and signed; None is any data. Receivers may get them in another order."""
        got, ids, count = {}, set(), 0
        while set(got) != set(want):
            count += 1
            path, headers, body, raw = self.next()
            event = f"{body['entity']}.{body['action']}"
            self.assertEqual(path, "/all")
            self.assertIn(event, want)
            got[event] = body["data"]
            if want[event] is not None:
                self.assertEqual(body["data"], want[event])
            delivery, timestamp = headers["x-mlflow-delivery-id"], headers["x-mlflow-timestamp"]
            ids.add(delivery)
            self.assertLess(abs(time.time() - int(timestamp)), 60)
            digest = hmac.new(SECRET.encode(), f"{delivery}.{timestamp}.{raw}".encode(), hashlib.sha256).digest()
            self.assertEqual(headers["x-mlflow-signature"], "v1," + base64.b64encode(digest).decode())
        self.assertEqual(len(ids), count)
        return got

    def test_disabled_and_other_events(self):
        w = self.hook("/off", status=WebhookStatus.DISABLED)
        self.hook("/prompts", ["prompt.created"])
        self.client.create_registered_model(name("m"))
        self.quiet()
        self.client.update_webhook(w.webhook_id, status=WebhookStatus.ACTIVE)
        self.client.create_registered_model(name("m"))
        self.assertEqual(self.next()[0], "/off")
        self.quiet()

    def test_unsigned_and_repeated(self):
        self.server.answers["/busy"] = [503]
        self.hook("/busy")
        self.client.create_registered_model(name("m"))
        first, second = self.next(), self.next()
        self.assertNotIn("x-mlflow-signature", first[1])
        self.assertEqual(first[1]["x-mlflow-delivery-id"], second[1]["x-mlflow-delivery-id"])
        self.assertEqual(first[2], second[2])

    def test_test(self):
        w = self.hook("/test", EVENTS, secret=SECRET)
        for event in [None, *EVENTS]:
            result = self.client.test_webhook(w.webhook_id, WebhookEvent.from_str(event) if event else None)
            self.assertTrue(result.success)
            self.assertEqual((result.response_status, result.response_body, result.error_message), (200, "noted", None))
            body = self.next()[2]
            self.assertEqual(f"{body['entity']}.{body['action']}", event or EVENTS[0])
            from mlflow.webhooks.types import get_example_payload_for_event

            self.assertEqual(body["data"], get_example_payload_for_event(WebhookEvent.from_str(event or EVENTS[0])))
        self.server.answers["/test"] = [401]
        result = self.client.test_webhook(w.webhook_id)
        self.assertEqual((result.success, result.response_status), (False, 401))
        gone = self.client.create_webhook(name="gone", url="http://127.0.0.1:9/", events=[WebhookEvent.from_str("prompt.created")])
        result = self.client.test_webhook(gone.webhook_id)
        self.assertFalse(result.success)
        self.assertIn("Failed to test webhook", result.error_message)


if __name__ == "__main__":
    unittest.main()

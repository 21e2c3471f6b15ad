"""What mlflow.genai keeps on a server, through the stock client: datasets, scorers, issues, label schemas, review queues."""

import unittest

import requests
from suite import URI, Case, name

import mlflow
from mlflow.entities.issue import IssueSeverity, IssueStatus
from mlflow.genai import datasets, label_schemas, review_queues
from mlflow.genai.label_schemas import InputCategorical, InputNumeric, InputPassFail, InputText
from mlflow.genai.scorers import Guidelines, delete_scorer, get_scorer, list_scorers, scorer
from mlflow.tracking._tracking_service.utils import _get_store

V3 = URI + "/api/3.0/mlflow/"


class Datasets(Case):
    def test_life(self):
        d = datasets.create_dataset(name=name("qa"), experiment_id=[self.experiment], tags={"team": "a"})
        self.assertEqual((d.tags["team"], d.experiment_ids), ("a", [self.experiment]))
        d.merge_records([
            {"inputs": {"q": "1"}, "expectations": {"a": "x"}, "tags": {"t": "1"}},
            {"inputs": {"q": "2", "n": 1.5}, "outputs": {"r": [1, 2]}},
        ])
        d.merge_records([{"inputs": {"q": "1"}, "expectations": {"b": True}, "source": {"source_type": "HUMAN", "source_data": {"user": "eva"}}}])
        frame = datasets.get_dataset(dataset_id=d.dataset_id).to_df()
        self.assertEqual(len(frame), 2)
        rows = {r["inputs"]["q"]: r for _, r in frame.iterrows()}
        self.assertEqual(rows["1"]["expectations"], {"a": "x", "b": True})
        self.assertEqual(rows["1"]["tags"]["t"], "1")
        self.assertEqual(rows["2"]["inputs"], {"q": "2", "n": 1.5})
        self.assertEqual(rows["2"]["outputs"], {"r": [1, 2]})
        got = datasets.get_dataset(dataset_id=d.dataset_id)
        self.assertEqual(got.profile, '{"num_records": 2}')
        self.assertIn('"n":"float"', got.schema.replace(" ", ""))
        self.assertNotEqual(got.digest, d.digest if d.digest != got.digest else "")
        self.assertEqual(got.delete_records([rows["1"]["dataset_record_id"]]), 1)
        self.assertEqual(len(datasets.get_dataset(dataset_id=d.dataset_id).to_df()), 1)

        datasets.set_dataset_tags(dataset_id=d.dataset_id, tags={"team": "b", "x": "y"})
        datasets.delete_dataset_tag(dataset_id=d.dataset_id, key="x")
        self.assertEqual({k: v for k, v in datasets.get_dataset(dataset_id=d.dataset_id).tags.items() if not k.startswith("mlflow.")}, {"team": "b"})

        other = self.client.create_experiment(name("exp"))
        self.assertEqual(sorted(datasets.add_dataset_to_experiments(d.dataset_id, [other]).experiment_ids), sorted([self.experiment, other]))
        self.assertEqual(datasets.remove_dataset_from_experiments(d.dataset_id, [self.experiment]).experiment_ids, [other])
        datasets.delete_dataset(dataset_id=d.dataset_id)
        self.refused("RESOURCE_DOES_NOT_EXIST", "not found", datasets.get_dataset, dataset_id=d.dataset_id)

    def test_search(self):
        prefix = name("ds")
        made = [datasets.create_dataset(name=f"{prefix}-{i}", experiment_id=[self.experiment], tags={"i": str(i)}).dataset_id for i in range(5)]
        find = lambda **kwargs: [d.name[len(prefix) + 1 :] for d in datasets.search_datasets(experiment_ids=[self.experiment], **kwargs)]  # noqa: E731
        self.assertEqual(find(order_by=["name ASC"]), list("01234"))
        self.assertEqual(find(order_by=["name DESC"], max_results=2), list("43"))
        self.assertEqual(find(filter_string="tags.i = '3'"), ["3"])
        self.assertEqual(find(filter_string=f"name LIKE '{prefix}-%' AND tags.i != '0'", order_by=["name ASC"]), list("1234"))
        self.assertEqual(datasets.get_dataset(name=f"{prefix}-2").dataset_id, made[2])
        page = self.client.search_datasets(experiment_ids=[self.experiment], max_results=3)
        rest = self.client.search_datasets(experiment_ids=[self.experiment], max_results=3, page_token=page.token)
        self.assertEqual({d.dataset_id for d in [*page, *rest]}, set(made))
        self.refused("INVALID_PARAMETER_VALUE", "colour", self.client.search_datasets, experiment_ids=[self.experiment], filter_string="colour = 'x'")

    def test_many_records(self):
        d = datasets.create_dataset(name=name("many"), experiment_id=[self.experiment])
        d.merge_records([{"inputs": {"q": i}} for i in range(2500)])
        frame = datasets.get_dataset(dataset_id=d.dataset_id).to_df()
        self.assertEqual(sorted(r["q"] for r in frame["inputs"]), list(range(2500)))


class Scorers(Case):
    def test_life(self):
        mlflow.set_experiment(experiment_id=self.experiment)
        Guidelines(name="polite", guidelines="be polite", model="openai:/gpt-4o").register(experiment_id=self.experiment)
        Guidelines(name="polite", guidelines="be very polite", model="openai:/gpt-4o").register(experiment_id=self.experiment)
        Guidelines(name="short", guidelines="be short", model="openai:/gpt-4o").register(experiment_id=self.experiment)
        self.assertEqual(sorted(s.name for s in list_scorers(experiment_id=self.experiment)), ["polite", "short"])
        self.assertEqual(get_scorer(name="polite", experiment_id=self.experiment).guidelines, "be very polite")
        self.assertEqual(get_scorer(name="polite", experiment_id=self.experiment, version=1).guidelines, "be polite")
        store = _get_store()
        versions = store.list_scorer_versions(self.experiment, "polite")
        self.assertEqual([v.scorer_version for v in versions], [1, 2])
        config = store.upsert_online_scoring_config(experiment_id=self.experiment, scorer_name="polite", sample_rate=0.25, filter_string="status = 'OK'")
        self.assertEqual([c.sample_rate for c in store.get_online_scoring_configs([versions[0].scorer_id])], [config.sample_rate])
        delete_scorer(name="polite", experiment_id=self.experiment, version=1)
        self.assertEqual(len(store.list_scorer_versions(self.experiment, "polite")), 1)
        delete_scorer(name="polite", experiment_id=self.experiment, version="all")
        self.refused("RESOURCE_DOES_NOT_EXIST", "not found", get_scorer, name="polite", experiment_id=self.experiment)

    def test_code_is_refused(self):
        self.refused("INVALID_PARAMETER_VALUE", "@scorer", _get_store().register_scorer, self.experiment, "own", '{"call_source": "import os", "name": "own"}')


class Issues(Case):
    def test_life(self):
        store = _get_store()
        low = store.create_issue(experiment_id=self.experiment, name="slow", description="d", severity=IssueSeverity.LOW, root_causes=["a"], categories=["latency"], source_run_id="r1", created_by="eva")
        high = store.create_issue(experiment_id=self.experiment, name="wrong", description="d", severity=IssueSeverity.HIGH)
        self.assertEqual((low.status, low.root_causes, low.categories, low.created_by), (IssueStatus.PENDING, ["a"], ["latency"], "eva"))
        self.assertEqual([i.issue_id for i in store.search_issues(experiment_id=self.experiment)], [high.issue_id, low.issue_id])
        done = store.update_issue(low.issue_id, status=IssueStatus.RESOLVED, description="was cold")
        self.assertEqual((done.status, done.description, done.name), (IssueStatus.RESOLVED, "was cold", "slow"))
        self.assertEqual([i.name for i in store.search_issues(experiment_id=self.experiment, filter_string="status = 'resolved' AND source_run_id = 'r1'")], ["slow"])
        page = store.search_issues(experiment_id=self.experiment, max_results=1)
        self.assertEqual([i.name for i in store.search_issues(experiment_id=self.experiment, max_results=1, page_token=page.token)], ["slow"])
        with mlflow.start_span("s") as span:
            trace = span.trace_id
        mlflow.flush_trace_async_logging()
        mlflow.log_issue(trace_id=trace, issue_id=low.issue_id, issue_name="slow")
        self.assertEqual({i.name: i.trace_count for i in store.search_issues(experiment_id=self.experiment, include_trace_count=True)}, {"slow": 1, "wrong": 0})
        self.assertEqual(store.get_issue(low.issue_id).severity, IssueSeverity.LOW)
        self.refused("RESOURCE_DOES_NOT_EXIST", "Issue with ID 'iss-none' not found", store.get_issue, "iss-none")


class Reviews(Case):
    def setUp(self):
        super().setUp()
        mlflow.set_experiment(experiment_id=self.experiment)

    def test_labels(self):
        store = _get_store()
        made = {}
        for kind, answer in {"pf": InputPassFail(positive_label="yes", negative_label="no"), "cat": InputCategorical(options=["a", "b"], multi_select=True), "num": InputNumeric(min_value=0, max_value=5), "text": InputText(max_length=10)}.items():
            made[kind] = store.create_label_schema(self.experiment, name=kind, type="feedback", input=answer, instruction="i")
            self.assertEqual(store.get_label_schema(made[kind].schema_id).input, answer)
        listed = label_schemas.list_label_schemas()
        self.assertEqual(sorted(s.name for s in listed), ["Feedback", "cat", "num", "pf", "text"])
        self.assertTrue(next(s for s in listed if s.name == "Feedback").is_default)
        changed = store.update_label_schema(made["cat"].schema_id, name="kind", input=InputCategorical(options=["c"], multi_select=True))
        self.assertEqual((changed.name, changed.input.options, changed.instruction), ("kind", ["c"], "i"))
        self.assertEqual(store.get_label_schema_by_name(self.experiment, "kind").schema_id, made["cat"].schema_id)
        self.refused("RESOURCE_ALREADY_EXISTS", "already exists", store.create_label_schema, self.experiment, name="num", type="feedback", input=InputText())
        self.refused("INVALID_PARAMETER_VALUE", "cannot be changed", store.update_label_schema, made["cat"].schema_id, input=InputText())
        store.delete_label_schema(made["pf"].schema_id)
        self.refused("RESOURCE_DOES_NOT_EXIST", "not found", store.get_label_schema, made["pf"].schema_id)

    def test_queues(self):
        ids = []
        for _ in range(2):
            with mlflow.start_span("s") as span:
                ids.append(span.trace_id)
        mlflow.flush_trace_async_logging()
        question = _get_store().create_label_schema(self.experiment, name="q", type="feedback", input=InputText())
        queue = review_queues.create_review_queue("Hard ones", queue_type="custom", users=["Eva", "bob"], schema_ids=[question.schema_id])
        self.assertEqual((queue.name, sorted(queue.users), queue.schema_ids), ("Hard ones", ["bob", "eva"], [question.schema_id]))
        items = review_queues.add_items_to_review_queue(queue.queue_id, item_ids=ids)
        self.assertEqual([(i.item_id, str(i.status)) for i in items], [(i, "pending") for i in ids])
        self.refused("RESOURCE_DOES_NOT_EXIST", "do not exist in experiment", review_queues.add_items_to_review_queue, queue.queue_id, item_ids=["tr-none"])
        done = review_queues.set_review_queue_item_status(queue.queue_id, item_id=ids[0], status="complete", completed_by="Eva")
        self.assertEqual((str(done.status), done.completed_by), ("complete", "eva"))
        self.assertEqual([i.item_id for i in review_queues.list_review_queue_items(queue.queue_id, status="pending")], ids[1:])
        self.assertEqual([q.queue_id for q in review_queues.list_review_queues(user="bob")], [queue.queue_id])
        self.assertEqual(review_queues.get_review_queue(queue_id=queue.queue_id).name, "Hard ones")
        self.refused("INVALID_PARAMETER_VALUE", "locked", review_queues.update_review_queue, queue.queue_id, schema_ids=[])
        review_queues.remove_items_from_review_queue(queue.queue_id, item_ids=ids)
        self.assertEqual(review_queues.update_review_queue(queue.queue_id, users=["carl"], schema_ids=[]).users, ["carl"])
        review_queues.delete_review_queue(queue.queue_id)
        self.refused("RESOURCE_DOES_NOT_EXIST", "not found", review_queues.get_review_queue, queue_id=queue.queue_id)


class Others(Case):
    def test_prompt_optimisation_says_that_nothing_runs_it(self):
        body = {"experiment_id": self.experiment, "source_prompt_uri": "prompts:/p/1", "config": {"optimizer_type": "OPTIMIZER_TYPE_GEPA", "scorers": ["a"]}}
        job = requests.post(V3 + "prompt-optimization/jobs", json=body).json()["job"]
        self.assertEqual(job["state"]["status"], "JOB_STATUS_PENDING")
        self.assertIn("Nothing will run this job", job["state"]["status_message"])
        url = V3 + "prompt-optimization/jobs/" + job["job_id"]
        self.assertEqual(requests.post(url + "/cancel", json={}).json()["job"]["state"]["status"], "JOB_STATUS_CANCELED")
        self.assertEqual(requests.delete(url, json={}).status_code, 200)
        self.assertEqual(requests.get(url).status_code, 404)

    def test_not_served(self):
        for method, path in (("POST", "gateway/endpoints/create"), ("GET", "gateway/secrets/list")):
            answer = requests.request(method, V3 + path, json={})
            self.assertEqual((answer.status_code, answer.json()["error_code"]), (501, "NOT_IMPLEMENTED"))
            self.assertIn("not served", answer.json()["message"])


if __name__ == "__main__":
    unittest.main()

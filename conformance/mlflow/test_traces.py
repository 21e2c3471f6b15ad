"""Traces: decorators and spans, searches, assessments, deletion, exporters of OpenTelemetry."""

import gzip
import json
import os
import time

from suite import URI, Case, name

import mlflow
import requests
from mlflow.entities import AssessmentError, AssessmentSource, Expectation, Feedback, SpanType
from mlflow.entities.span import SpanStatusCode
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

# The client's queue takes a second to empty.
os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"

HUMAN = AssessmentSource(source_type="HUMAN", source_id="anna")
V3 = "/api/3.0/mlflow/traces"


class TraceCase(Case):
    def setUp(self):
        super().setUp()
        mlflow.set_experiment(experiment_id=self.experiment)

    def traced(self, title="step", inputs=None, outputs=None, tags=None, metadata=None, fails=False):
        """A trace of one span; its id."""
        try:
            with mlflow.start_span(name=title) as span:
                span.set_inputs(inputs or {"question": "why?"})
                span.set_outputs(outputs or {"answer": "because"})
                if tags or metadata:
                    mlflow.update_current_trace(tags=tags, metadata=metadata)
                if fails:
                    raise ValueError("no")
        except ValueError:
            pass
        return span.trace_id

    def found(self, filter_string=None, **kwargs):
        return [t.info.trace_id for t in mlflow.search_traces(
            locations=[self.experiment], filter_string=filter_string, return_type="list", **kwargs)]


class Tracing(TraceCase):
    def test_decorator(self):
        @mlflow.trace(span_type=SpanType.TOOL, attributes={"unit": "m", "size": 3})
        def double(x):
            return {"twice": x * 2, "text": "größer < 3"}

        @mlflow.trace
        def outer(x):
            return double(x)

        outer(21)
        trace = mlflow.get_trace(mlflow.get_last_active_trace_id())
        self.assertEqual(trace.info.state, "OK")
        self.assertEqual(trace.info.experiment_id, self.experiment)
        self.assertEqual([s.name for s in trace.data.spans], ["outer", "double"])
        root, inner = trace.data.spans
        self.assertIsNone(root.parent_id)
        self.assertEqual(inner.parent_id, root.span_id)
        self.assertEqual(inner.span_type, SpanType.TOOL)
        self.assertEqual(inner.inputs, {"x": 21})
        self.assertEqual(inner.outputs, {"twice": 42, "text": "größer < 3"})
        self.assertEqual(inner.attributes["unit"], "m")
        self.assertEqual(inner.attributes["size"], 3)
        self.assertEqual(inner.status.status_code, SpanStatusCode.OK)
        self.assertGreater(inner.end_time_ns, inner.start_time_ns)
        self.assertEqual(trace.info.tags["mlflow.traceName"], "outer")
        self.assertTrue(trace.info.tags["mlflow.artifactLocation"].endswith(f"/traces/{trace.info.trace_id}/artifacts"))
        self.assertIn("21", trace.info.request_preview)
        self.assertIn("42", trace.info.response_preview)
        self.assertEqual(json.loads(trace.data.request), {"x": 21})

    def test_error_and_events(self):
        @mlflow.trace
        def broken():
            raise RuntimeError("out of paper")

        with self.assertRaises(RuntimeError):
            broken()
        trace = mlflow.get_trace(mlflow.get_last_active_trace_id())
        self.assertEqual(trace.info.state, "ERROR")
        span = trace.data.spans[0]
        self.assertEqual(span.status.status_code, SpanStatusCode.ERROR)
        self.assertIn("out of paper", span.status.description)
        self.assertEqual(span.events[0].name, "exception")
        self.assertEqual(span.events[0].attributes["exception.type"], "RuntimeError")

    def test_values(self):
        values = {"none": None, "true": True, "int": 2**40, "float": 0.1, "whole": 2.0, "list": [1, "a", [2.5, {}]], "nested": {"a": {"b": []}}, "text": 'say "x"\n\\ ü 🙂', "number": "12"}
        trace = self.client.get_trace(self.traced(inputs=values))
        self.assertEqual(trace.data.spans[0].inputs, values)

    def test_client_spans(self):
        root = mlflow.start_span_no_context(name="root", inputs={"a": 1}, tags={"k": "v"}, metadata={"m": "n"}, experiment_id=self.experiment)
        child = mlflow.start_span_no_context(name="child", parent_span=root, span_type="LLM")
        child.set_attribute("temperature", 0.5)
        child.end(outputs=[1, 2])
        root.end(outputs="done", status="OK")
        trace = self.client.get_trace(root.trace_id)
        self.assertEqual(len(trace.data.spans), 2)
        self.assertEqual(trace.info.tags["k"], "v")
        self.assertEqual(trace.info.trace_metadata["m"], "n")
        self.assertEqual(trace.data.spans[1].outputs, [1, 2])
        self.assertEqual(trace.search_spans(span_type="LLM")[0].name, "child")

    def test_many_spans(self):
        with mlflow.start_span(name="root") as root:
            for i in range(300):
                with mlflow.start_span(name=f"step {i}"):
                    pass
        trace = mlflow.get_trace(root.trace_id)
        self.assertEqual(len(trace.data.spans), 301)
        self.assertEqual(trace.data.spans[0].name, "root")

    def test_usage_and_cost(self):
        with mlflow.start_span(name="agent") as root:
            for n in (1, 2):
                with mlflow.start_span(name=f"call {n}", span_type="LLM") as span:
                    span.set_attribute("mlflow.chat.tokenUsage", {"input_tokens": 10 * n, "output_tokens": n, "total_tokens": 11 * n})
                    span.set_attribute("mlflow.llm.cost", {"input_cost": 0.5, "output_cost": 0.25, "total_cost": 0.75})
        trace = mlflow.get_trace(root.trace_id)
        self.assertEqual(trace.info.token_usage, {"input_tokens": 30, "output_tokens": 3, "total_tokens": 33})
        self.assertEqual(json.loads(trace.info.trace_metadata["mlflow.trace.cost"])["total_cost"], 1.5)

    def test_user_and_session(self):
        trace_id = self.traced(metadata={"mlflow.trace.user": "u-1", "mlflow.trace.session": "s-1"})
        info = mlflow.get_trace(trace_id).info
        self.assertEqual(info.trace_metadata["mlflow.trace.user"], "u-1")
        self.assertEqual(info.trace_metadata["mlflow.trace.session"], "s-1")

    def test_run(self):
        with mlflow.start_run() as run:
            inside = self.traced()
        outside = self.traced()
        self.assertEqual(mlflow.get_trace(inside).info.trace_metadata["mlflow.sourceRun"], run.info.run_id)
        self.assertEqual(self.found(f"run_id = '{run.info.run_id}'"), [inside])
        self.client.link_traces_to_run([outside], run.info.run_id)
        self.assertEqual(set(self.found(f"run_id = '{run.info.run_id}'")), {inside, outside})

    def test_log_trace(self):
        trace_id = mlflow.log_trace(name="past", request="hi", response="there", start_time_ms=1_000_000, execution_time_ms=250, tags={"a": "b"})
        trace = mlflow.get_trace(trace_id)
        self.assertEqual((trace.info.request_time, trace.info.execution_duration), (1_000_000, 250))
        self.assertEqual(trace.info.tags["a"], "b")

    def test_missing(self):
        self.assertIsNone(mlflow.get_trace("tr-00000000000000000000000000000000"))


class Tags(TraceCase):
    def test_set_and_delete(self):
        trace_id = self.traced()
        mlflow.set_trace_tag(trace_id, "stage", "dev")
        self.client.set_trace_tag(trace_id, "stage", "prod")
        self.assertEqual(self.client.get_trace(trace_id).info.tags["stage"], "prod")
        mlflow.delete_trace_tag(trace_id, "stage")
        self.assertNotIn("stage", self.client.get_trace(trace_id).info.tags)
        self.refused("RESOURCE_DOES_NOT_EXIST", "No trace tag with key 'stage'", self.client.delete_trace_tag, trace_id, "stage")
        self.refused("RESOURCE_DOES_NOT_EXIST", "not found", self.client.set_trace_tag, "tr-none", "a", "b")
        fixed = requests.patch(URI + f"{V3}/{trace_id}/tags", json={"key": "mlflow.trace.spansLocation", "value": "x"})
        self.assertEqual((fixed.status_code, fixed.json()["error_code"]), (400, "INVALID_PARAMETER_VALUE"))
        self.client.set_trace_tag(trace_id, "a", "b")
        self.assertEqual(requests.delete(URI + f"{V3}/{trace_id}/tags", json={"key": "a"}).status_code, 200)


class Search(TraceCase):
    def test_filters(self):
        one = self.traced("fetch data", tags={"stage": "dev"}, inputs={"url": "http://a"})
        two = self.traced("score", tags={"stage": "prod"}, metadata={"mlflow.trace.session": "s1"}, inputs={"text": "Straße"})
        bad = self.traced("score", fails=True)
        for text, want in {
            "": {one, two, bad},
            "status = 'OK'": {one, two},
            "trace.status = 'ERROR'": {bad},
            "trace.name = 'score'": {two, bad},
            "name LIKE 'fetch%'": {one},
            "trace.name ILIKE 'FETCH%'": {one},
            "trace.name RLIKE '^s.*e$'": {two, bad},
            "tags.stage = 'dev'": {one},
            "tag.stage != 'dev'": {two},
            "tags.stage IS NULL": {bad},
            "metadata.`mlflow.trace.session` = 's1'": {two},
            "request_metadata.mlflow.trace.session IS NOT NULL": {two},
            "span.name = 'score' AND span.status = 'ERROR'": {bad},
            "span.type = 'UNKNOWN'": {one, two, bad},
            "span.type IN ('LLM', 'TOOL')": set(),
            "span.content LIKE '%http://a%'": {one},
            "trace.text LIKE '%Straße%'": {two},
            "timestamp_ms > 0 AND execution_time_ms < 60000": {one, two, bad},
            "trace.end_time < 5": set(),
        }.items():
            with self.subTest(text):
                self.assertEqual(set(self.found(text)), want)
        self.assertEqual(self.found(order_by=["timestamp_ms ASC"])[0], one)
        self.assertEqual(self.found(order_by=["status", "timestamp DESC"]), [bad, two, one])
        self.refused("INVALID_PARAMETER_VALUE", "Invalid", self.found, "colour = 'red'")
        self.refused("INVALID_PARAMETER_VALUE", "", self.found, "status = 'OK' OR name = 'x'")

    def test_pages(self):
        ids = [self.traced(f"t{i}") for i in range(5)]
        seen, token = [], None
        while True:
            page = self.client.search_traces(locations=[self.experiment], max_results=2, page_token=token, order_by=["timestamp_ms ASC"])
            seen += [t.info.trace_id for t in page]
            token = page.token
            if not token:
                break
        self.assertEqual(sorted(seen), sorted(ids))
        self.assertEqual(len(seen), 5)
        frame = mlflow.search_traces(locations=[self.experiment], max_results=3)
        self.assertEqual(len(frame), 3)
        self.assertIn("trace_id", frame.columns)
        slim = self.client.search_traces(locations=[self.experiment], include_spans=False)
        self.assertEqual(len(slim), 5)

    def test_prompt(self):
        prompt = mlflow.genai.register_prompt(name("ask"), "Say {{x}}")
        with mlflow.start_span(name="uses") as span:
            mlflow.genai.load_prompt(f"prompts:/{prompt.name}/{prompt.version}")
        mlflow.flush_async_logging()
        deadline = time.monotonic() + 10
        found = []
        while not found and time.monotonic() < deadline:  # the client links in a thread of its own
            found = self.found(f"prompt = '{prompt.name}/{prompt.version}'")
        self.assertEqual(found, [span.trace_id])


class Assessments(TraceCase):
    def test_feedback(self):
        trace_id = self.traced()
        f = mlflow.log_feedback(trace_id=trace_id, name="good", value=True, source=HUMAN, rationale="clear", metadata={"a": "1"})
        for name_, value in {"number": 0.75, "text": "fine", "list": [1.0, "a"], "object": {"x": 1.0}}.items():
            mlflow.log_feedback(trace_id=trace_id, name=name_, value=value, source=HUMAN)
        mlflow.log_feedback(trace_id=trace_id, name="judge", error=AssessmentError(error_code="LIMIT", error_message="slow"))
        info = mlflow.get_trace(trace_id).info
        by_name = {a.name: a for a in info.assessments}
        self.assertEqual({n: a.value for n, a in by_name.items()}, {"good": True, "number": 0.75, "text": "fine", "list": [1.0, "a"], "object": {"x": 1.0}, "judge": None})
        self.assertEqual(by_name["judge"].error.error_code, "LIMIT")
        self.assertEqual(by_name["good"].source.source_id, "anna")
        self.assertEqual(by_name["good"].rationale, "clear")
        got = mlflow.get_assessment(trace_id, f.assessment_id)
        self.assertIsInstance(got, Feedback)
        self.assertEqual(got.metadata, {"a": "1"})
        self.assertEqual(self.found("feedback.good = 'true'"), [trace_id])
        self.assertEqual(self.found("feedback.number > 0.5"), [trace_id])
        self.assertEqual(self.found("feedback.number > 0.8"), [])
        self.assertEqual(self.found("feedback.text = 'fine'"), [trace_id])
        self.assertEqual(self.found("feedback.none IS NOT NULL"), [])

    def test_expectation(self):
        trace_id = self.traced()
        e = mlflow.log_expectation(trace_id=trace_id, name="answer", value={"a": [1, 2]}, source=HUMAN)
        got = mlflow.get_assessment(trace_id, e.assessment_id)
        self.assertIsInstance(got, Expectation)
        self.assertEqual(got.value, {"a": [1, 2]})
        mlflow.update_assessment(trace_id, e.assessment_id, Expectation(name="answer", value="42"))
        self.assertEqual(mlflow.get_assessment(trace_id, e.assessment_id).value, "42")
        self.assertEqual(self.found("expectation.answer = '42'"), [trace_id])
        mlflow.delete_assessment(trace_id, e.assessment_id)
        self.assertEqual(mlflow.get_trace(trace_id).info.assessments, [])
        self.refused("RESOURCE_DOES_NOT_EXIST", "not found", mlflow.get_assessment, trace_id, e.assessment_id)

    def test_override(self):
        trace_id = self.traced()
        first = mlflow.log_feedback(trace_id=trace_id, name="good", value=False, source=HUMAN)
        second = mlflow.override_feedback(trace_id=trace_id, assessment_id=first.assessment_id, value=True, rationale="looked again")
        self.assertFalse(mlflow.get_assessment(trace_id, first.assessment_id).valid)
        self.assertTrue(mlflow.get_assessment(trace_id, second.assessment_id).valid)
        self.assertEqual(self.found("feedback.good = 'false'"), [])
        mlflow.delete_assessment(trace_id, second.assessment_id)
        self.assertTrue(mlflow.get_assessment(trace_id, first.assessment_id).valid)

    def test_update(self):
        trace_id = self.traced()
        f = mlflow.log_feedback(trace_id=trace_id, name="good", value="maybe", source=HUMAN, metadata={"a": "1"})
        mlflow.update_assessment(trace_id, f.assessment_id, Feedback(name="better", value="yes", rationale="r", metadata={"b": "2"}))
        got = mlflow.get_assessment(trace_id, f.assessment_id)
        self.assertEqual((got.name, got.value, got.rationale, got.metadata), ("better", "yes", "r", {"a": "1", "b": "2"}))
        self.refused("RESOURCE_DOES_NOT_EXIST", "not found", mlflow.log_feedback, trace_id="tr-none", name="x", value=1.0)


class Deletion(TraceCase):
    def test_delete(self):
        ids = [self.traced(f"t{i}") for i in range(4)]
        self.assertEqual(self.client.delete_traces(self.experiment, trace_ids=[ids[0], "tr-none"]), 1)
        self.assertEqual(self.client.delete_traces(self.experiment, max_timestamp_millis=int(time.time() * 1000) + 1000, max_traces=1), 1)
        self.assertEqual(set(self.found()), set(ids[2:]))
        self.refused("INVALID_PARAMETER_VALUE", "must be specified", self.client.delete_traces, self.experiment)
        self.assertIsNone(mlflow.get_trace(ids[0]))


class Exporter(TraceCase):
    """What an exporter of OpenTelemetry sends, without MLflow's client."""

    def send(self, *spans, run=None, packed=False):
        request = ExportTraceServiceRequest()
        group = request.resource_spans.add()
        self.put(group.resource.attributes, {"service.name": "shop", "telemetry.sdk.name": "opentelemetry"})
        group.scope_spans.add().spans.extend(spans)
        body = request.SerializeToString()
        headers = {"content-type": "application/x-protobuf", "x-mlflow-experiment-id": self.experiment}
        if run:
            headers["x-mlflow-run-id"] = run
        if packed:
            body, headers["content-encoding"] = gzip.compress(body), "gzip"
        response = requests.post(URI + "/v1/traces", data=body, headers=headers)
        self.assertEqual((response.status_code, response.content), (200, b""))

    def put(self, attributes, values):
        for key, value in values.items():
            kind = {str: "string_value", int: "int_value", float: "double_value", bool: "bool_value"}[type(value)]
            attribute = attributes.add(key=key)
            setattr(attribute.value, kind, value)

    def span(self, title, parent=None, **values):
        span = ExportTraceServiceRequest().resource_spans.add().scope_spans.add().spans.add()
        span.trace_id = parent.trace_id if parent else os.urandom(16)
        span.span_id = os.urandom(8)
        span.parent_span_id = parent.span_id if parent else b""
        span.name, span.start_time_unix_nano, span.end_time_unix_nano = title, time.time_ns(), time.time_ns() + 10**9
        self.put(span.attributes, {k.replace("__", "."): v for k, v in values.items()})
        return span

    def trace_of(self, span):
        return mlflow.get_trace("tr-" + span.trace_id.hex())

    def test_spans(self):
        root = self.span("checkout", session__id="s-9", user__id="u-9", mlflow__traceTag__team="red")
        call = self.span("chat gpt", root, **{
            "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-x", "gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 5,
            "gen_ai.input.messages": json.dumps([{"role": "user", "content": "hello"}]), "temperature": 0.5, "stream": True,
        })
        self.put(call.events.add(name="first token", time_unix_nano=time.time_ns()).attributes, {"after_ms": 12})
        self.send(call, packed=True)
        self.assertEqual(mlflow.search_traces(locations=[self.experiment], return_type="list", include_spans=False)[0].info.state, "IN_PROGRESS")
        self.send(root)
        trace = self.trace_of(root)
        self.assertEqual([s.name for s in trace.data.spans], ["checkout", "chat gpt"])
        self.assertEqual(trace.info.state, "OK")
        self.assertEqual(trace.info.trace_metadata["mlflow.trace.session"], "s-9")
        self.assertEqual(trace.info.trace_metadata["mlflow.trace.user"], "u-9")
        self.assertEqual(trace.info.token_usage, {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12})
        self.assertEqual((trace.info.tags["service.name"], trace.info.tags["team"]), ("shop", "red"))
        stored = trace.data.spans[1]
        self.assertEqual(stored.span_type, "CHAT_MODEL")
        self.assertEqual(stored.inputs, [{"role": "user", "content": "hello"}])
        self.assertEqual(stored.attributes["mlflow.llm.model"], "gpt-x")
        self.assertEqual((stored.attributes["temperature"], stored.attributes["stream"]), (0.5, True))
        self.assertEqual(stored.events[0].attributes["after_ms"], 12)
        self.assertEqual(self.found("span.attributes.`gen_ai.request.model` LIKE '%gpt-x%'"), [trace.info.trace_id])
        self.assertEqual(self.found("span.attributes.gen_ai.request.model RLIKE 'gpt-.'"), [trace.info.trace_id])
        self.assertEqual(self.found("tags.service.name = 'shop'"), [trace.info.trace_id])

    def test_error_links_and_run(self):
        run = self.run_id()
        first, second = self.span("first"), self.span("second")
        second.links.add(trace_id=first.trace_id, span_id=first.span_id)
        second.status.code, second.status.message = Status.STATUS_CODE_ERROR, "broken"
        self.send(first, second, run=run)
        trace = self.trace_of(second)
        self.assertEqual(trace.info.state, "ERROR")
        self.assertEqual(trace.data.spans[0].status.description, "broken")
        self.assertEqual(len(self.found(f"run_id = '{run}'")), 2)

    def test_json_and_refusals(self):
        trace_id = os.urandom(16).hex()
        span = {"traceId": trace_id, "spanId": os.urandom(8).hex(), "name": "json", "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000001000000000"}
        body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
        send = lambda payload, **headers: requests.post(URI + "/v1/traces", json=payload, headers={"x-mlflow-experiment-id": self.experiment, **headers})
        self.assertEqual(send(body).status_code, 200)
        self.assertEqual(mlflow.get_trace("tr-" + trace_id).info.execution_duration, 1000)
        self.assertEqual(send({"resourceSpans": []}).status_code, 400)
        self.assertEqual(send({"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "x"}]}]}]}).status_code, 422)
        self.assertEqual(send(body, **{"x-mlflow-experiment-id": "999999"}).status_code, 404)
        self.assertEqual(requests.post(URI + "/v1/traces", json=body).status_code, 422)
        self.assertEqual(requests.post(URI + "/v1/traces", data=b"x", headers={"content-type": "text/plain", "x-mlflow-experiment-id": self.experiment}).status_code, 400)


class Calls(TraceCase):
    """Calls that the client has no function for, or only inside of others."""

    def test_batches(self):
        ids = [self.traced(f"t{i}") for i in range(2)]
        infos = self.post(V3 + "/batchGetInfos", trace_ids=[*ids, "tr-none"])["trace_infos"]
        self.assertEqual([i["trace_id"] for i in infos], ids)
        self.assertEqual(self.post(V3 + "/batchGetInfos", trace_ids=ids, experiment_ids=["0"]), {})
        self.assertEqual(len(self.get(V3 + "/batchGet", trace_ids=ids)["traces"]), 2)
        file = self.get("/ajax-api/3.0/mlflow/get-trace-artifact", request_id=ids[0])
        self.assertEqual(file["spans"][0]["name"], "t0")

    def test_correlation(self):
        for i in range(4):
            self.traced("x", tags={"even": str(i % 2 == 0), "low": str(i < 2)})
        got = self.post(V3 + "/calculate-filter-correlation", experiment_ids=[self.experiment], filter_string1="tags.even = 'True'", filter_string2="tags.low = 'True'")
        self.assertEqual((got["filter1_count"], got["filter2_count"], got["joint_count"], got["total_count"]), (2, 2, 1, 4))

    def test_metrics(self):
        for _ in range(3):
            self.traced("x")
        ask = lambda **q: self.post(V3 + "/metrics", experiment_ids=[self.experiment], **q)["data_points"]
        points = ask(view_type="TRACES", metric_name="latency", aggregations=[{"aggregation_type": "PERCENTILE", "percentile_value": 50}, {"aggregation_type": "AVG"}], dimensions=["trace_name"])
        self.assertEqual(points[0]["dimensions"], {"trace_name": "x"})
        self.assertEqual(set(points[0]["values"]), {"P50.0", "AVG"})
        points = ask(view_type="SPANS", metric_name="span_count", aggregations=[{"aggregation_type": "COUNT"}], dimensions=["span_status"])
        self.assertEqual(points[0]["values"], {"COUNT": 3.0})

    def test_version_2(self):
        begun = self.post("/api/2.0/mlflow/traces", experiment_id=self.experiment, timestamp_ms=1000, request_metadata=[], tags=[{"key": "mlflow.traceName", "value": "old"}])["trace_info"]
        self.assertEqual(begun["status"], "IN_PROGRESS")
        path = "/api/2.0/mlflow/traces/" + begun["request_id"]
        ended = requests.patch(URI + path, json={"timestamp_ms": 1500, "status": "OK", "request_metadata": [], "tags": []}).json()["trace_info"]
        self.assertEqual((ended["execution_time_ms"], ended["status"]), (500, "OK"))
        self.assertEqual(self.get(path + "/info")["trace_info"], ended)
        self.assertEqual(self.get("/api/2.0/mlflow/traces", experiment_ids=self.experiment)["traces"], [ended])

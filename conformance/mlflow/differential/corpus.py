"""The requests, in the order in which they are sent."""

from dataclasses import dataclass, field

V2 = "/api/2.0/mlflow/"
AJAX = "/ajax-api/2.0/mlflow/"


@dataclass
class Step:
    """One request. $name in it is replaced by what an earlier answer gave (save)."""

    name: str
    method: str
    path: str
    body: object = None
    query: object = None
    raw: str = None
    save: dict = field(default_factory=dict)
    says: str = ""
    headers: dict = field(default_factory=dict)


def post(name, path, body=None, **more):
    return Step(name, "POST", more.pop("base", V2) + path, body if body is not None or "raw" in more else {}, **more)


def get(name, path, query=None, **more):
    return Step(name, "GET", more.pop("base", V2) + path, query=query, **more)


def other(method):
    def call(name, path, body=None, **more):
        return Step(name, method, more.pop("base", V2) + path, body, **more)

    return call


patch, delete = other("PATCH"), other("DELETE")


def steps():
    for area in (experiments, experiment_search, runs, logging, metrics, inputs, run_search, logged_models, logged_model_search,
                 registry, versions, sources, aliases, registry_search, prompts, wire, artifacts, graphql, ends):
        yield from area()


def pairs(**values):
    return [{"key": k, "value": v} for k, v in values.items()]


def experiments():
    yield get("server-info", "server-info", base="/api/3.0/mlflow/")
    yield get("version", "version", base="/")
    yield get("health", "health", base="/")
    yield get("experiments/get default", "experiments/get", {"experiment_id": "0"})
    yield get("experiments/get-by-name default", "experiments/get-by-name", {"experiment_name": "Default"})
    yield post("experiments/create", "experiments/create", {"name": "first", "tags": pairs(team="a", x="1")}, save={"exp": "experiment_id"})
    yield get("experiments/get", "experiments/get", {"experiment_id": "$exp"})
    yield get("experiments/get by body", "experiments/get", body={"experiment_id": "$exp"})
    yield get("experiments/get-by-name", "experiments/get-by-name", {"experiment_name": "first"})
    yield post("experiments/create with location", "experiments/create", {"name": "located", "artifact_location": "s3://bucket/some/where"}, save={"exp2": "experiment_id"})
    yield get("experiments/get with location", "experiments/get", {"experiment_id": "$exp2"})
    yield post("experiments/create twice", "experiments/create", {"name": "first"}, says="Experiment(name=first) already exists.")
    yield post("experiments/create without name", "experiments/create", {}, says="Missing value for required parameter 'name'")
    yield post("experiments/create empty name", "experiments/create", {"name": ""}, says="Missing value for required parameter 'name'")
    yield post("experiments/create name is a number", "experiments/create", {"name": 12}, says="Invalid value 12 for parameter 'name' supplied")
    yield post("experiments/create long name", "experiments/create", {"name": "n" * 501}, says="'name' exceeds the maximum length of 500 characters")
    yield post("experiments/create longest name", "experiments/create", {"name": "n" * 500}, save={"longest": "experiment_id"})
    yield post("experiments/create unicode name", "experiments/create", {"name": "Größe 東京"}, save={"unicode": "experiment_id"})
    yield get("experiments/get-by-name unicode", "experiments/get-by-name", {"experiment_name": "Größe 東京"})
    yield post("experiments/create location runs", "experiments/create", {"name": "bad1", "artifact_location": "runs:/abc"}, says="Artifact location cannot be a runs:/ URI")
    yield post("experiments/create location fragment", "experiments/create", {"name": "bad2", "artifact_location": "s3://b/p#frag"}, says="URL can't include fragments or params")
    yield post("experiments/create location query", "experiments/create", {"name": "bad3", "artifact_location": "s3://b/p?x=../y"}, says="Invalid query string")
    yield post("experiments/create location long", "experiments/create", {"name": "bad4", "artifact_location": "s3://b/" + "p" * 2100})
    yield post("experiments/create bad tag", "experiments/create", {"name": "bad5", "tags": pairs(**{"../x": "1"})}, says="Invalid value")
    yield post("experiments/create tags no list", "experiments/create", {"name": "bad6", "tags": "x"}, says="for parameter 'tags' supplied")
    yield get("experiments/get unknown", "experiments/get", {"experiment_id": "9999"}, says="No Experiment with id=9999 exists")
    yield get("experiments/get no number", "experiments/get", {"experiment_id": "abc"}, says="Invalid experiment ID 'abc'. Experiment ID must be a valid integer.")
    yield get("experiments/get nothing", "experiments/get", says="Missing value for required parameter 'experiment_id'")
    yield get("experiments/get-by-name unknown", "experiments/get-by-name", {"experiment_name": "nobody"}, says="Could not find experiment with name 'nobody'")
    yield post("experiments/update", "experiments/update", {"experiment_id": "$exp", "new_name": "first renamed"})
    yield get("experiments/get renamed", "experiments/get", {"experiment_id": "$exp"})
    yield post("experiments/update to existing", "experiments/update", {"experiment_id": "$exp", "new_name": "located"})
    yield post("experiments/update without name", "experiments/update", {"experiment_id": "$exp"}, says="Missing value for required parameter 'new_name'")
    yield post("experiments/update unknown", "experiments/update", {"experiment_id": "777", "new_name": "x"}, says="No Experiment with id=777 exists")
    yield post("experiments/set-experiment-tag", "experiments/set-experiment-tag", {"experiment_id": "$exp", "key": "team", "value": "b"})
    yield post("experiments/set-experiment-tag empty value", "experiments/set-experiment-tag", {"experiment_id": "$exp", "key": "empty", "value": ""})
    yield post("experiments/set-experiment-tag no key", "experiments/set-experiment-tag", {"experiment_id": "$exp", "value": "b"}, says="Missing value for required parameter 'key'")
    yield post("experiments/set-experiment-tag long key", "experiments/set-experiment-tag", {"experiment_id": "$exp", "key": "k" * 251, "value": "b"}, says="'key' exceeds the maximum length of 250 characters")
    yield post("experiments/set-experiment-tag long value", "experiments/set-experiment-tag", {"experiment_id": "$exp", "key": "k", "value": "v" * 20001}, says="'value' exceeds the maximum length of 20000 characters")
    yield post("experiments/set-experiment-tag longest value", "experiments/set-experiment-tag", {"experiment_id": "$exp", "key": "k", "value": "v" * 20000})
    yield post("experiments/delete-experiment-tag", "experiments/delete-experiment-tag", {"experiment_id": "$exp", "key": "k"})
    yield post("experiments/delete-experiment-tag unknown", "experiments/delete-experiment-tag", {"experiment_id": "$exp", "key": "nope"}, says="No tag with name: nope in experiment with id")
    yield get("experiments/get tags", "experiments/get", {"experiment_id": "$exp"})
    yield post("experiments/create to delete", "experiments/create", {"name": "doomed"}, save={"gone": "experiment_id"})
    yield post("runs/create in doomed", "runs/create", {"experiment_id": "$gone", "start_time": 5, "run_name": "r", "user_id": "u"}, save={"gonerun": "run.info.run_id"})
    yield post("experiments/delete", "experiments/delete", {"experiment_id": "$gone"})
    yield get("experiments/get deleted", "experiments/get", {"experiment_id": "$gone"})
    yield get("experiments/get-by-name deleted", "experiments/get-by-name", {"experiment_name": "doomed"})
    yield get("runs/get of deleted experiment", "runs/get", {"run_id": "$gonerun"})
    yield post("experiments/delete twice", "experiments/delete", {"experiment_id": "$gone"}, says="No Experiment with id=")
    yield post("experiments/create name of deleted", "experiments/create", {"name": "doomed"}, says="Experiment(name=doomed) already exists.")
    yield post("experiments/update deleted", "experiments/update", {"experiment_id": "$gone", "new_name": "other"}, says="Cannot rename a non-active experiment.")
    yield post("experiments/set-experiment-tag deleted", "experiments/set-experiment-tag", {"experiment_id": "$gone", "key": "a", "value": "b"}, says="must be in the 'active' state")
    yield post("runs/create in deleted experiment", "runs/create", {"experiment_id": "$gone"}, says="must be in the 'active' state")
    yield post("experiments/restore", "experiments/restore", {"experiment_id": "$gone"})
    yield get("runs/get of restored experiment", "runs/get", {"run_id": "$gonerun"})
    yield post("experiments/restore active", "experiments/restore", {"experiment_id": "$gone"}, says="No Experiment with id=")
    yield post("experiments/delete again", "experiments/delete", {"experiment_id": "$gone"})
    yield post("experiments/delete unknown", "experiments/delete", {"experiment_id": "4711"}, says="No Experiment with id=4711 exists")


def experiment_search():
    def search(name, says="", **body):
        return post("experiments/search " + name, "experiments/search", {"max_results": 100, **body}, says=says)

    yield search("all")
    yield get("experiments/search GET", "experiments/search", {"max_results": "3"})
    yield post("experiments/search without size", "experiments/search", {})
    yield search("size zero", max_results=0, says="Invalid value 0 for parameter 'max_results' supplied")
    yield search("size negative", max_results=-1, says="Invalid value -1 for parameter 'max_results' supplied")
    yield search("size huge", max_results=50001, says="Invalid value 50001 for parameter 'max_results' supplied")
    yield search("deleted", view_type="DELETED_ONLY")
    yield search("everything", view_type="ALL")
    yield search("view by number", view_type=3)
    for i, text in enumerate([
        "name = 'located'", "name != 'located'", "name LIKE 'fir%'", "name LIKE 'FIR%'", "name ILIKE 'FIR%'", "attribute.name = 'located'",
        "tags.team = 'b'", "tag.team = 'b'", "tags.team != 'b'", "tags.team LIKE 'B'", "tags.team ILIKE 'B'", "tags.`team` = 'b'", 'tags."team" = "b"',
        "tags.team IS NULL", "tags.team IS NOT NULL", "tags.team = 'b' AND tags.x = '1'", "tags.team = 'b' and name LIKE 'first%'",
        "creation_time > 1", "creation_time < 1", "last_update_time >= 0", "experiment_id = '1'", "experiment_id IN ('0', '1')", "experiment_id NOT IN ('0', '1')",
        "experiment_id != '1'", "name = ''", "tags.empty = ''",
    ]):
        yield search(f"filter {i}: {text}", filter=text)
    for text, says in [
        ("foo = 'x'", "Invalid attribute key 'foo' specified"), ("name > 'x'", ""), ("creation_time LIKE 'x'", ""), ("creation_time = 'x'", ""), ("creation_time > 1.5", "Invalid value for numeric attribute"),
        ("metrics.a > 1", "Invalid entity type 'metrics'"), ("name = 'a' OR name = 'b'", "Invalid clause(s) in filter string"), ("name", "Invalid clause(s) in filter string"),
        ("name = located", ""), ("name IS NULL", "IS NULL / IS NOT NULL is only supported for tags"), ("experiment_id LIKE '1'", ""), ("name IN ('a')", ""), ("tags.team IN ('b')", ""), ("name = 'a' name = 'b'", ""), ("(name = 'a')", ""),
        ("tags.team > 'b'", ""), ("attributes.name = 'x'", ""), ("experiment_id = 'x'", ""),
    ]:
        yield search(f"refused: {text}", filter=text, says=says)
    for i, order in enumerate([["name"], ["name DESC"], ["name ASC"], ["creation_time"], ["experiment_id DESC"], ["last_update_time DESC", "name ASC"], ["attribute.name desc"], ["`name` DESC"]]):
        yield search(f"ordered {i}", order_by=order)
    for text, says in [("foo", "Invalid attribute key 'foo' specified"), ("name DOWN", ""), ("tags.x", "Invalid order_by entity: tag"), ("", ""), ("name ASC DESC", "")]:
        yield search(f"order refused: {text}", order_by=[text], says=says)
    yield post("experiments/search page 1", "experiments/search", {"max_results": 2, "order_by": ["name"]}, save={"etoken": "next_page_token"})
    yield search("page 2", max_results=2, order_by=["name"], page_token="$etoken")
    yield search("bad token", page_token="!!!", says="Invalid page token")
    yield search("view unknown", view_type="NONE")


def runs():
    yield post("experiments/create runs", "experiments/create", {"name": "runs"}, save={"e": "experiment_id"})
    yield post("runs/create", "runs/create", {"experiment_id": "$e", "start_time": 1000, "run_name": "one", "user_id": "anna", "tags": pairs(a="1", b="zwei")}, save={"run": "run.info.run_id"})
    yield get("runs/get", "runs/get", {"run_id": "$run"})
    yield get("runs/get by uuid", "runs/get", {"run_uuid": "$run"})
    yield get("runs/get ajax", "runs/get", {"run_id": "$run"}, base=AJAX)
    yield post("runs/create without name", "runs/create", {"experiment_id": "$e", "start_time": 2000, "user_id": "anna"}, save={"run2": "run.info.run_id"})
    yield post("runs/create name by tag", "runs/create", {"experiment_id": "$e", "start_time": 3000, "user_id": "anna", "tags": pairs(**{"mlflow.runName": "tagged"})}, save={"run3": "run.info.run_id"})
    yield post("runs/create both names", "runs/create", {"experiment_id": "$e", "run_name": "x", "tags": pairs(**{"mlflow.runName": "y"})}, says="Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values")
    yield post("runs/create same names", "runs/create", {"experiment_id": "$e", "start_time": 4000, "user_id": "u", "run_name": "x", "tags": pairs(**{"mlflow.runName": "x"})})
    yield post("runs/create unknown experiment", "runs/create", {"experiment_id": "12345"}, says="No Experiment with id=12345 exists")
    yield post("runs/create bad experiment", "runs/create", {"experiment_id": "abc"}, says="Invalid experiment ID 'abc'")
    yield post("runs/create experiment number", "runs/create", {"experiment_id": 1}, says="for parameter 'experiment_id' supplied")
    yield post("runs/create start text", "runs/create", {"experiment_id": "$e", "start_time": "soon"}, says="for parameter 'start_time' supplied")
    yield post("runs/create start quoted", "runs/create", {"experiment_id": "$e", "start_time": "77", "user_id": "u", "run_name": "quoted"})
    yield post("runs/create tag without key", "runs/create", {"experiment_id": "$exp", "start_time": 1, "user_id": "u", "run_name": "odd", "tags": [{"value": "x"}]})
    yield post("runs/create without user", "runs/create", {"experiment_id": "$exp", "start_time": 1, "run_name": "odd"})
    yield get("runs/get unknown", "runs/get", {"run_id": "0" * 32}, says="Run with id=")
    yield get("runs/get nothing", "runs/get", says="Missing value for required parameter 'run_id'")
    yield post("runs/update", "runs/update", {"run_id": "$run", "status": "FINISHED", "end_time": 5000})
    yield post("runs/update name", "runs/update", {"run_id": "$run", "run_name": "renamed"})
    yield post("runs/update by number", "runs/update", {"run_id": "$run", "status": 4})
    yield post("runs/update by uuid", "runs/update", {"run_uuid": "$run", "status": "KILLED"})
    yield post("runs/update empty name", "runs/update", {"run_id": "$run", "run_name": ""})
    yield post("runs/update status unknown", "runs/update", {"run_id": "$run", "status": "DONE"}, says="")
    yield post("runs/update nothing", "runs/update", {"run_id": "$run"})
    yield get("runs/get updated", "runs/get", {"run_id": "$run"})
    yield post("runs/set-tag name", "runs/set-tag", {"run_id": "$run", "key": "mlflow.runName", "value": "by tag"})
    yield get("runs/get named by tag", "runs/get", {"run_id": "$run"})
    yield post("runs/update end zero", "runs/update", {"run_id": "$run2", "end_time": 0})
    yield get("runs/get end zero", "runs/get", {"run_id": "$run2"})
    yield post("runs/delete", "runs/delete", {"run_id": "$run3"})
    yield get("runs/get deleted", "runs/get", {"run_id": "$run3"})
    yield post("runs/delete twice", "runs/delete", {"run_id": "$run3"})
    yield post("runs/set-tag deleted", "runs/set-tag", {"run_id": "$run3", "key": "a", "value": "b"}, says="must be in the 'active' state")
    yield post("runs/log-metric deleted", "runs/log-metric", {"run_id": "$run3", "key": "a", "value": 1, "timestamp": 1}, says="must be in the 'active' state")
    yield post("runs/update deleted", "runs/update", {"run_id": "$run3", "status": "FAILED"}, says="must be in the 'active' state")
    yield post("runs/log-batch deleted", "runs/log-batch", {"run_id": "$run3", "metrics": []}, says="must be in the 'active' state")
    yield post("runs/restore", "runs/restore", {"run_id": "$run3"})
    yield post("runs/restore twice", "runs/restore", {"run_id": "$run3"})
    yield get("runs/get restored", "runs/get", {"run_id": "$run3"})
    yield post("runs/delete unknown", "runs/delete", {"run_id": "1" * 32}, says="not found")
    yield post("runs/restore unknown", "runs/restore", {"run_id": "1" * 32}, says="not found")


def logging():
    def log(name, call, says="", **body):
        return post(f"runs/{call} {name}", "runs/" + call, {"run_id": "$run", **body}, says=says)

    yield post("experiments/create scrap", "experiments/create", {"name": "scrap"}, save={"x": "experiment_id"})
    yield post("runs/create scrap", "runs/create", {"experiment_id": "$x", "start_time": 1, "user_id": "u", "run_name": "scrap"}, save={"scrap": "run.info.run_id"})
    yield log("plain", "log-metric", key="loss", value=0.5, timestamp=10, step=1)
    yield log("by uuid", "log-metric", run_id=None, run_uuid="$run", key="loss", value=0.25, timestamp=20, step=2)
    yield log("text number", "log-metric", key="loss", value="0.125", timestamp="30", step="3")
    yield log("NaN", "log-metric", key="nan", value="NaN", timestamp=1, step=0)
    yield log("Infinity", "log-metric", key="inf", value="Infinity", timestamp=1, step=0)
    yield log("-Infinity", "log-metric", key="ninf", value="-Infinity", timestamp=1, step=0)
    yield post("runs/log-metric bare NaN", "runs/log-metric", raw='{"run_id": "$scrap", "key": "bare", "value": NaN, "timestamp": 1}')
    yield log("no step", "log-metric", key="nostep", value=1, timestamp=1)
    yield log("negative step", "log-metric", key="neg", value=1, timestamp=1, step=-5)
    yield log("big step", "log-metric", key="big", value=1e300, timestamp=1, step=9223372036854775807)
    yield log("slash", "log-metric", key="a/b.c-d e:f", value=1, timestamp=1)
    yield log("unicode", "log-metric", key="größe東", value=1, timestamp=1)
    yield log("no key", "log-metric", value=1, timestamp=1, says="Missing value for required parameter 'key'")
    yield log("no value", "log-metric", key="a", timestamp=1, says="Missing value for required parameter 'value'")
    yield log("no timestamp", "log-metric", key="a", value=1, says="Missing value for required parameter 'timestamp'")
    yield log("bool", "log-metric", run_id="$scrap", key="a", value=True, timestamp=1)
    yield log("text", "log-metric", key="a", value="much", timestamp=1, says="for parameter 'value' supplied")
    yield log("negative time", "log-metric", key="a", value=1, timestamp=-1, says="Timestamp must be a nonnegative long (64-bit integer)")
    yield log("float time", "log-metric", run_id="$scrap", key="a", value=1, timestamp=1.5)
    yield log("step text", "log-metric", key="a", value=1, timestamp=1, step="x", says="for parameter 'step' supplied")
    yield log("step too big", "log-metric", run_id="$scrap", key="a", value=1, timestamp=1, step=2**63)
    yield log("dots", "log-metric", key="../x", value=1, timestamp=1, says="Names may be treated as files in certain cases")
    yield log("double slash", "log-metric", key="a//b", value=1, timestamp=1, says="Names may be treated as files in certain cases")
    yield log("bad character", "log-metric", key="a*b", value=1, timestamp=1, says="Names may only contain alphanumerics")
    yield log("long key", "log-metric", key="k" * 251, value=1, timestamp=1, says="'Metric name' exceeds the maximum length of 250 characters")
    yield log("longest key", "log-metric", key="k" * 250, value=1, timestamp=1)
    yield log("unknown run", "log-metric", run_id="2" * 32, key="a", value=1, timestamp=1, says="not found")
    yield log("unknown model", "log-metric", run_id="$scrap", key="a", value=1, timestamp=1, model_id="m-" + "3" * 32)
    yield log("plain", "log-parameter", key="lr", value="0.1")
    yield log("same", "log-parameter", key="lr", value="0.1")
    yield log("other", "log-parameter", key="lr", value="0.2", says="Changing param values is not allowed. Param with key='lr' was already logged with value='0.1'")
    yield log("empty", "log-parameter", key="empty", value="")
    yield log("no value", "log-parameter", key="none")
    yield log("number", "log-parameter", key="n", value=3, says="for parameter 'value' supplied")
    yield log("no key", "log-parameter", value="x", says="Missing value for required parameter 'key'")
    yield log("long", "log-parameter", key="long", value="x" * 7000)
    yield log("long key", "log-parameter", key="k" * 251, value="x", says="'Param key' exceeds the maximum length of 250 characters")
    yield log("bad key", "log-parameter", key="a/../b", value="x", says="Names may be treated as files")
    yield log("plain", "set-tag", key="t", value="v")
    yield log("again", "set-tag", key="t", value="w")
    yield log("empty", "set-tag", key="e", value="")
    yield log("long", "set-tag", key="long", value="y" * 9000)
    yield log("no key", "set-tag", value="x", says="Missing value for required parameter 'key'")
    yield log("long key", "set-tag", key="k" * 251, value="x", says="'key' exceeds the maximum length of 250 characters")
    yield log("plain", "delete-tag", key="e")
    yield log("unknown", "delete-tag", key="e", says="No tag with name: e in run with id")
    yield get("runs/get logged", "runs/get", {"run_id": "$run"})
    yield log("plain", "log-batch", metrics=[{"key": "b", "value": 1, "timestamp": 1, "step": 1}, {"key": "b", "value": 2, "timestamp": 2, "step": 2}], params=pairs(p="1", q="2"), tags=pairs(bt="1"))
    yield log("repeated", "log-batch", metrics=[{"key": "b", "value": 1, "timestamp": 1, "step": 1}], params=pairs(p="1"), tags=pairs(bt="2"))
    yield log("empty", "log-batch")
    yield log("other param", "log-batch", params=pairs(p="3"), says="Changing param values is not allowed. Param")
    yield log("all or none", "log-batch", metrics=[{"key": "half", "value": 1, "timestamp": 1}], params=pairs(p="3"))
    yield log("duplicate params", "log-batch", params=[{"key": "d", "value": "1"}, {"key": "d", "value": "1"}], says="Duplicate parameter keys have been submitted: ['d']")
    yield log("duplicate tags", "log-batch", tags=[{"key": "dt", "value": "1"}, {"key": "dt", "value": "2"}])
    yield log("too many metrics", "log-batch", metrics=[{"key": f"m{i}", "value": 1, "timestamp": 1} for i in range(1001)], says="A batch logging request can contain at most 1000 metrics. Got 1001 metrics.")
    yield log("too many params", "log-batch", params=[{"key": f"m{i}", "value": "1"} for i in range(101)], says="A batch logging request can contain at most 100 params. Got 101 params.")
    yield log("too many tags", "log-batch", tags=[{"key": f"m{i}", "value": "1"} for i in range(101)], says="A batch logging request can contain at most 100 tags. Got 101 tags.")
    yield log("too many", "log-batch", metrics=[{"key": f"m{i}", "value": 1, "timestamp": 1} for i in range(950)], params=[{"key": f"p{i}", "value": "1"} for i in range(51)], says="at most 1000 metrics, params, and tags")
    yield log("metric without key", "log-batch", metrics=[{"value": 1, "timestamp": 1}], says="Missing value for required parameter 'metrics[0].key'")
    yield log("metric without value", "log-batch", metrics=[{"key": "a", "timestamp": 1}], says="Missing value for required parameter 'metrics[0].value'")
    yield log("metric without time", "log-batch", metrics=[{"key": "a", "value": 1}], says="Missing value for required parameter 'metrics[0].timestamp'")
    yield log("param without key", "log-batch", params=[{"value": "1"}], says="Missing value for required parameter 'params[0].key'")
    yield log("tag without key", "log-batch", tags=[{"value": "1"}], says="Missing value for required parameter 'tags[0].key'")
    yield log("second metric bad", "log-batch", metrics=[{"key": "a", "value": 1, "timestamp": 1}, {"key": "../x", "value": 1, "timestamp": 1}], says="for parameter 'metrics[1].name' supplied")
    yield log("param key long", "log-batch", params=pairs(**{"k" * 251: "1"}), says="'Param key' exceeds the maximum length of 250 characters")
    yield log("tag key long", "log-batch", tags=pairs(**{"k" * 251: "1"}), says="'tags[0].key' exceeds the maximum length of 250 characters")
    yield log("metrics no list", "log-batch", metrics="x", says="for parameter 'metrics' supplied")
    yield log("no run", "log-batch", run_id="", says="Missing value for required parameter 'run_id'")
    yield log("bad run", "log-batch", run_id="../x", says="for parameter 'run_id' supplied")
    yield log("unknown run", "log-batch", run_id="4" * 32, says="not found")
    yield log("run name", "log-batch", tags=pairs(**{"mlflow.runName": "from batch"}))
    yield get("runs/get batched", "runs/get", {"run_id": "$run"})
    yield log("plain", "log-model", model_json='{"artifact_path": "m", "flavors": {"f": {}}, "utc_time_created": "2026-01-01 00:00:00", "run_id": "$run", "model_uuid": "u"}')
    yield log("second", "log-model", model_json='{"artifact_path": "m2", "flavors": {}, "utc_time_created": "2026-01-01 00:00:00", "run_id": "$run"}')
    yield log("no JSON", "log-model", model_json="{", says="Malformed model info")
    yield log("missing field", "log-model", model_json='{"artifact_path": "m", "flavors": {}, "run_id": "x"}', says="missing mandatory fields")
    yield get("runs/get with model history", "runs/get", {"run_id": "$run"})


def metrics():
    for call in ["get-history"]:
        yield get("metrics/get-history all", "metrics/" + call, {"run_id": "$run", "metric_key": "loss"})
        yield get("metrics/get-history by uuid", "metrics/" + call, {"run_uuid": "$run", "metric_key": "loss"})
        yield get("metrics/get-history page 1", "metrics/" + call, {"run_id": "$run", "metric_key": "loss", "max_results": 2}, save={"htoken": "next_page_token"})
        yield get("metrics/get-history page 2", "metrics/" + call, {"run_id": "$run", "metric_key": "loss", "max_results": 2, "page_token": "$htoken"})
        yield get("metrics/get-history size zero", "metrics/" + call, {"run_id": "$run", "metric_key": "loss", "max_results": 0}, says="It must be a positive integer.")
        yield get("metrics/get-history size negative", "metrics/" + call, {"run_id": "$run", "metric_key": "loss", "max_results": -2}, says="It must be a positive integer.")
        yield get("metrics/get-history unknown metric", "metrics/" + call, {"run_id": "$run", "metric_key": "nope"})
        yield get("metrics/get-history unknown run", "metrics/" + call, {"run_id": "5" * 32, "metric_key": "loss"})
        yield get("metrics/get-history no key", "metrics/" + call, {"run_id": "$run"}, says="Missing value for required parameter 'metric_key'")
        yield get("metrics/get-history NaN", "metrics/" + call, {"run_id": "$run", "metric_key": "nan"})
        yield get("metrics/get-history infinite", "metrics/" + call, {"run_id": "$run", "metric_key": "inf"})
        yield get("metrics/get-history bad token", "metrics/" + call, {"run_id": "$run", "metric_key": "loss", "max_results": 2, "page_token": "???"})
    yield post("runs/log-batch series", "runs/log-batch", {"run_id": "$run", "metrics": [{"key": "s", "value": i * 0.5, "timestamp": i, "step": i} for i in range(50)]})
    yield post("runs/log-batch series 2", "runs/log-batch", {"run_id": "$run2", "metrics": [{"key": "s", "value": i, "timestamp": i, "step": 2 * i} for i in range(20)] + [{"key": "s", "value": "NaN", "timestamp": 100, "step": 7}]})
    bulk = "metrics/get-history-bulk"
    yield get("get-history-bulk", bulk, {"run_id": ["$run"], "metric_key": "s"}, base=AJAX)
    yield get("get-history-bulk small", bulk, {"run_id": ["$run"], "metric_key": "s", "max_results": 3}, base=AJAX)
    yield get("get-history-bulk NaN", bulk, {"run_id": ["$run"], "metric_key": "nan"}, base=AJAX)
    yield get("get-history-bulk unknown run", bulk, {"run_id": ["6" * 32], "metric_key": "s"}, base=AJAX)
    yield get("get-history-bulk no run", bulk, {"metric_key": "s"}, base=AJAX, says="GetMetricHistoryBulk request must specify at least one run_id.")
    yield get("get-history-bulk no key", bulk, {"run_id": ["$run"]}, base=AJAX, says="GetMetricHistoryBulk request must specify a metric_key.")
    yield get("get-history-bulk many runs", bulk, {"run_id": ["x"] * 101, "metric_key": "s"}, base=AJAX, says="GetMetricHistoryBulk request cannot specify more than 100 run_ids. Received 101 run_ids.")
    interval = "metrics/get-history-bulk-interval"
    for base, where in ((V2, ""), (AJAX, " ajax")):
        yield get("bulk-interval" + where, interval, {"run_ids": ["$run"], "metric_key": "s", "max_results": 10}, base=base)
    yield get("bulk-interval all", interval, {"run_ids": ["$run", "$run2"], "metric_key": "s"})
    yield get("bulk-interval one point", interval, {"run_ids": ["$run"], "metric_key": "s", "max_results": 1})
    yield get("bulk-interval two points", interval, {"run_ids": ["$run"], "metric_key": "s", "max_results": 2})
    yield get("bulk-interval three points", interval, {"run_ids": ["$run"], "metric_key": "s", "max_results": 3})
    yield get("bulk-interval seven points", interval, {"run_ids": ["$run2"], "metric_key": "s", "max_results": 7})
    yield get("bulk-interval steps", interval, {"run_ids": ["$run"], "metric_key": "s", "start_step": 10, "end_step": 20, "max_results": 5})
    yield get("bulk-interval steps all", interval, {"run_ids": ["$run"], "metric_key": "s", "start_step": 10, "end_step": 12})
    yield get("bulk-interval outside", interval, {"run_ids": ["$run"], "metric_key": "s", "start_step": 1000, "end_step": 2000})
    yield get("bulk-interval half", interval, {"run_ids": ["$run"], "metric_key": "s", "start_step": 10}, says="If either start step or end step are specified, both must be specified.")
    yield get("bulk-interval backwards", interval, {"run_ids": ["$run"], "metric_key": "s", "start_step": 10, "end_step": 1}, says="end_step must be greater than start_step. Found start_step=10 and end_step=1.")
    yield get("bulk-interval size", interval, {"run_ids": ["$run"], "metric_key": "s", "max_results": 2501}, says="max_results must be between 1 and 2500.")
    yield get("bulk-interval size zero", interval, {"run_ids": ["$run"], "metric_key": "s", "max_results": 0}, says="max_results must be between 1 and 2500.")
    yield get("bulk-interval no run", interval, {"metric_key": "s"}, says="Missing value for required parameter 'run_ids'")
    yield get("bulk-interval many runs", interval, {"run_ids": ["x"] * 101, "metric_key": "s"}, says="GetMetricHistoryBulkInterval request must specify at most 100 run_ids. Received 101 run_ids.")
    yield get("bulk-interval unknown run", interval, {"run_ids": ["7" * 32], "metric_key": "s"})
    yield get("bulk-interval unknown key", interval, {"run_ids": ["$run"], "metric_key": "nope"})


def dataset(name="d", digest="1", **more):
    return {"name": name, "digest": digest, "source_type": "local", "source": "{}", **more}


def inputs():
    def log(name, says="", **body):
        return post("runs/log-inputs " + name, "runs/log-inputs", {"run_id": "$run", **body}, says=says)

    context = [{"key": "mlflow.data.context", "value": "train"}]
    yield log("plain", datasets=[{"dataset": dataset(schema="{}", profile="{}"), "tags": context}])
    yield log("again", datasets=[{"dataset": dataset(), "tags": [{"key": "mlflow.data.context", "value": "other"}]}])
    yield log("two", datasets=[{"dataset": dataset("d2", "2")}, {"dataset": dataset("d3", "3"), "tags": context}])
    yield log("same twice", datasets=[{"dataset": dataset("d4", "4"), "tags": context}, {"dataset": dataset("d4", "4")}])
    yield log("no name", run_id="$scrap", datasets=[{"dataset": dataset("")}])
    yield log("no digest", run_id="$scrap", datasets=[{"dataset": dataset("x", "")}])
    yield log("no source", run_id="$scrap", datasets=[{"dataset": {"name": "x", "digest": "1"}}])
    yield log("no dataset", run_id="$scrap", datasets=[{"tags": context}])
    yield log("long name", datasets=[{"dataset": dataset("n" * 501)}], says="'name' exceeds the maximum length of 500 characters")
    yield log("long digest", datasets=[{"dataset": dataset("x", "1" * 37)}], says="'digest' exceeds the maximum length of 36 characters")
    yield log("long tag key", datasets=[{"dataset": dataset("x"), "tags": [{"key": "k" * 256, "value": "v"}]}])
    yield log("long tag value", datasets=[{"dataset": dataset("x"), "tags": [{"key": "k", "value": "v" * 501}]}])
    yield log("nothing")
    yield log("unknown run", run_id="8" * 32, datasets=[], says="not found")
    yield log("bad run", run_id="..", datasets=[])
    yield log("datasets no list", datasets="x", says="for parameter 'datasets' supplied")
    yield log("model", models=[{"model_id": "m-" + "a" * 32}])
    yield post("runs/outputs", "runs/outputs", {"run_id": "$run", "models": [{"model_id": "m-" + "b" * 32, "step": 3}, {"model_id": "m-" + "c" * 32}]})
    yield post("runs/outputs none", "runs/outputs", {"run_id": "$run", "models": []})
    yield post("runs/outputs missing", "runs/outputs", {"run_id": "$run"}, says="Missing value for required parameter 'models'")
    yield get("runs/get with inputs", "runs/get", {"run_id": "$run"})
    yield Step("search-datasets without slash", "POST", "/api/2.0mlflow/experiments/search-datasets", {"experiment_ids": ["$e"]})
    path = AJAX + "experiments/search-datasets"
    yield Step("search-datasets", "POST", path, {"experiment_ids": ["$e"]})
    yield Step("search-datasets none", "POST", path, {"experiment_ids": []}, says="SearchDatasets request must specify at least one experiment_id.")
    yield Step("search-datasets many", "POST", path, {"experiment_ids": ["1"] * 21}, says="SearchDatasets request cannot specify more than 20 experiment_ids. Received 21 experiment_ids.")
    yield Step("search-datasets unknown", "POST", "/ajax-api/2.0/mlflow/experiments/search-datasets", {"experiment_ids": ["999"]})


def run_search():
    yield post("experiments/create search", "experiments/create", {"name": "search"}, save={"s": "experiment_id"})
    rows = [
        ("r1", 100, {"acc": 0.9, "loss": 1.0}, {"lr": "0.1", "opt": "adam"}, {"env": "prod", "team": "A"}),
        ("r2", 200, {"acc": 0.8}, {"lr": "0.2", "opt": "Adam"}, {"env": "test"}),
        ("r3", 300, {"acc": "NaN", "loss": 0.5}, {"lr": "0.1"}, {"env": "prod", "team": "b"}),
        ("r4", 350, {"loss": "Infinity"}, {}, {}),
        ("r5", 400, {"acc": -1, "a b": 2}, {"a.b": "dot", "sp ace": "1", "empty": ""}, {"mlflow.source.name": "x.py", "quote": "it's"}),
    ]
    for i, (name, start, metrics_, params, tags) in enumerate(rows):
        yield post(f"runs/create search {name}", "runs/create", {"experiment_id": "$s", "start_time": start, "run_name": name, "user_id": f"user{i % 2}"}, save={name: "run.info.run_id"})
        yield post(f"runs/log-batch search {name}", "runs/log-batch", {
            "run_id": "$" + name, "metrics": [{"key": k, "value": v, "timestamp": 1, "step": 0} for k, v in metrics_.items()],
            "params": pairs(**params), "tags": pairs(**tags)})
    yield post("runs/update search r1", "runs/update", {"run_id": "$r1", "status": "FINISHED", "end_time": 150})
    yield post("runs/update search r2", "runs/update", {"run_id": "$r2", "status": "FAILED", "end_time": 250})
    yield post("runs/log-inputs search r1", "runs/log-inputs", {"run_id": "$r1", "datasets": [{"dataset": dataset("iris", "abc"), "tags": [{"key": "mlflow.data.context", "value": "training"}]}]})
    yield post("runs/log-inputs search r2", "runs/log-inputs", {"run_id": "$r2", "datasets": [{"dataset": dataset("Iris", "abd"), "tags": [{"key": "mlflow.data.context", "value": "eval"}]}]})

    def search(name, says="", **body):
        return post("runs/search " + name, "runs/search", {"experiment_ids": ["$s"], "max_results": 100, "order_by": ["start_time DESC", "run_name"], **body}, says=says)

    for i, text in enumerate([
        "", "metrics.acc > 0.5", "metrics.acc >= 0.9", "metrics.acc = 0.8", "metrics.acc != 0.8", "metrics.acc < 1", "metrics.acc <= -1", "metric.acc > -2.5e0", "metrics.loss > 100", "metrics.`a b` = 2", 'metrics."a b" = 2',
        "metrics.nope > 1", "metrics.acc > 0.5 AND params.lr = '0.1'", "metrics.acc > 0.5 and tags.env = 'prod'", "params.lr = '0.1'", 'params.lr = "0.1"', "param.lr = '0.1'", "parameter.lr != '0.1'", "parameters.opt LIKE 'ad%'",
        "params.opt ILIKE 'AD%'", "params.opt LIKE '_dam'", "params.opt = 'ADAM'", "params.nope = 'x'", "params.nope != 'x'", "params.lr IS NULL", "params.lr IS NOT NULL", "tags.team IS NULL", "tag.team IS NOT NULL",
        "params.empty = ''", "params.`a.b` = 'dot'", "params.a.b = 'dot'", 'params."sp ace" = \'1\'', "tags.env = 'prod'", "tags.env != 'prod'", "tags.team ILIKE 'B'", "tags.team LIKE 'B'", "tags.mlflow.source.name = 'x.py'", "tags.`mlflow.source.name` = 'x.py'",
        "tags.quote LIKE '%s'", "attributes.status = 'FINISHED'", "attribute.status != 'RUNNING'", "status = 'FAILED'", "attr.status LIKE 'F%'", "run.status ILIKE 'f%'", "status = 'finished'", "start_time > 200", "created <= 200", "attributes.start_time = 400", "end_time > 0", "end_time < 200", "end_time != 150",
        "run_name = 'r3'", "attributes.run_name LIKE 'r%'", "run_name != 'r3'", "attributes.`run name` = 'r2'", "attributes.`Run name` = 'r2'", "run_name IN ('r1')", "user_id = 'user1'", "user_id LIKE 'USER%'", "run_id = '$r1'", "run_id IN ('$r1', '$r3')", "run_id NOT IN ('$r1', '$r3')", "attributes.run_id IN ('$r2')", "run_id LIKE '%'", "run_id != '$r4'",
        "artifact_uri LIKE '%artifacts'", "dataset.name = 'iris'", "datasets.name ILIKE 'IRIS'", "dataset.name LIKE 'I%'", "dataset.digest = 'abc'", "dataset.digest != 'abc'", "dataset.context = 'training'", "dataset.name IN ('iris', 'x')", "dataset.context NOT IN ('training')", "dataset.name = 'iris' AND dataset.context = 'eval'",
        "metrics.acc > 0 AND metrics.loss > 0 AND params.lr = '0.1' AND tags.env = 'prod' AND status = 'FINISHED'", "  metrics.acc   >   0.5  ", "metrics.acc>0.5", "metrics.acc > .5", "metrics.acc > 0.5 AND metrics.acc < 0.85", "params.lr = '0.1' AND params.lr LIKE '0%'",
        "metrics.acc > 1e-3", "tags.env LIKE '%'", "tags.env LIKE 'pr%d'", "status IS NOT NULL", "run_id IN ('$r1',)", "METRICS.acc > 0", "metrics.acc > 0.5 AND", "tags.env == 'prod'", "tags.env <> 'prod'", "params.lr = 0.1", "metrics.acc = '0.9'", "metrics.acc LIKE '0.9'", "metrics.acc IN (1)", "params.lr > '0.1'",
        "foo.bar = 'x'", "foo = 'x'", "params.lr = '0.1' OR params.lr = '0.2'", "NOT params.lr = '0.1'", "(params.lr = '0.1')", "status IN ('FINISHED')", "start_time LIKE '1'", "start_time > '1'", "start_time > 1.5", "dataset.foo = 'x'", "dataset.name > 'x'", "lifecycle_stage = 'active'", "experiment_id = '1'", "params.lr", "= '0.1'", "params.lr =", "params.lr = 'a' params.opt = 'b'", "params.lr = '0.1", "tags.env = prod", "'x' = tags.env", "metrics.acc > metrics.loss", "params.lr IN ('0.1')", "tags.env NOT LIKE 'x'", "dataset.name IS NULL", "metrics.acc IS NULL", "params.lr = '0.1';", "params.lr = '0.1'; params.lr = '0.2'", "run_id IN ()", "run_id IN (1, 2)", "end_time IS NULL", "params.lr = `0.1`", "attributes.created > 1", "attribute.`start_time` > 1", "`start_time` > 1", "\"start_time\" > 1", "'start_time' > 1", "run_id = 'A'", "run_id IN ('$r1', 'ABC')",
    ]):
        yield search(f"filter {i}: {text}", filter=text)
    for i, order in enumerate([
        [], ["metrics.acc"], ["metrics.acc DESC"], ["metrics.loss ASC"], ["metrics.loss DESC", "run_name"], ["params.lr", "run_name"], ["params.lr DESC", "run_name"], ["tags.team"], ["tag.team desc"], ["start_time"], ["start_time ASC", "run_name DESC"], ["created DESC"], ["attributes.end_time"], ["attributes.end_time DESC"],
        ["status", "run_name"], ["user_id", "run_name"], ["run_name"], ["attribute.run_name DESC"], ["metrics.`a b`"], ['metrics."a b"'], ["metrics.nope"], ["`run_name`"], ["metrics.acc DESC", "metrics.loss ASC"], ["metric.acc", "params.lr", "tags.env"], ["experiment_id", "run_name"], ["run name"], ["attributes.`run name`"], ["  metrics.acc   DESC  "],
    ]):
        yield search(f"ordered {i}: {order}", order_by=order)
    for order, says in [
        (["foo.bar"], "Invalid entity type 'foo'"), (["foo"], "Invalid attribute key 'foo' specified"), (["metrics.acc DOWN"], ""), (["metrics.acc", "metrics.acc DESC"], "`order_by` contains duplicate fields"), (["start_time", "created"], "`order_by` contains duplicate fields"), (["dataset.name"], ""), (["metrics.acc ASC ASC"], ""), ([""], ""), (["metrics.acc, metrics.loss"], ""), (["lifecycle_stage"], ""), ("start_time", "for parameter 'order_by' supplied"),
    ]:
        yield search(f"order refused: {order}", order_by=order, says=says)
    yield post("runs/search page 1", "runs/search", {"experiment_ids": ["$s"], "max_results": 2}, save={"rtoken": "next_page_token"})
    yield post("runs/search page 2", "runs/search", {"experiment_ids": ["$s"], "max_results": 2, "page_token": "$rtoken"}, save={"rtoken2": "next_page_token"})
    yield post("runs/search page 3", "runs/search", {"experiment_ids": ["$s"], "max_results": 2, "page_token": "$rtoken2"})
    yield post("runs/search metric page 1", "runs/search", {"experiment_ids": ["$s"], "max_results": 2, "order_by": ["metrics.acc DESC"]}, save={"mtoken": "next_page_token"})
    yield post("runs/search metric page 2", "runs/search", {"experiment_ids": ["$s"], "max_results": 2, "order_by": ["metrics.acc DESC"], "page_token": "$mtoken"})
    yield search("bad token", page_token="###", says="Invalid page token")
    yield search("exactly all", max_results=5)
    yield search("size zero", max_results=0)
    yield search("size negative", max_results=-1)
    yield search("size huge", max_results=50001, says="Invalid value 50001 for parameter 'max_results' supplied")
    yield search("no experiments", experiment_ids=[])
    yield search("bad experiment", experiment_ids=["abc"])
    yield search("unknown experiment", experiment_ids=["98765"])
    yield search("experiments no list", experiment_ids="1", says="for parameter 'experiment_ids' supplied")
    yield search("all experiments", experiment_ids=["$s", "$e", "$s"], order_by=["start_time", "run_name"], filter="user_id = 'user1'")
    yield post("runs/delete search r2", "runs/delete", {"run_id": "$r2"})
    for view in ("ACTIVE_ONLY", "DELETED_ONLY", "ALL"):
        yield search("view " + view, run_view_type=view)
    yield search("view unknown", run_view_type="SOME")
    yield search("filter number", filter=5, says="for parameter 'filter' supplied")


def logged_models():
    yield post("logged-models create", "logged-models", {"experiment_id": "$s", "name": "model", "model_type": "agent", "source_run_id": "$r1", "params": pairs(p="1"), "tags": pairs(t="v")}, save={"m": "model.info.model_id"})
    yield get("logged-models get", "logged-models/$m")
    yield post("logged-models create unnamed", "logged-models", {"experiment_id": "$x"}, save={"unnamed": "model.info.model_id"})
    yield get("logged-models get unnamed", "logged-models/$unnamed")
    yield post("logged-models create second", "logged-models", {"experiment_id": "$s", "name": "second"}, save={"m2": "model.info.model_id"})
    yield post("logged-models create no experiment", "logged-models", {"name": "x"}, says="Missing value for required parameter 'experiment_id'")
    yield post("logged-models create unknown experiment", "logged-models", {"experiment_id": "8888", "name": "x"}, says="No Experiment with id=8888 exists")
    yield post("logged-models create bad name", "logged-models", {"experiment_id": "$s", "name": "a/b"})
    yield post("logged-models create quoted name", "logged-models", {"experiment_id": "$s", "name": 'a"b'})
    yield post("logged-models create in deleted", "logged-models", {"experiment_id": "$gone", "name": "x"})
    yield post("logged-models create long param", "logged-models", {"experiment_id": "$s", "name": "x", "params": pairs(k="v" * 6001)})
    yield patch("logged-models finalize", "logged-models/$m", {"model_id": "$m", "status": "LOGGED_MODEL_READY"})
    yield patch("logged-models finalize failed", "logged-models/$m2", {"model_id": "$m2", "status": "LOGGED_MODEL_UPLOAD_FAILED"})
    yield patch("logged-models finalize no status", "logged-models/$m2", {"model_id": "$m2"}, says="Missing value for required parameter 'status'")
    yield patch("logged-models finalize unknown", "logged-models/m-nope", {"model_id": "m-nope", "status": "LOGGED_MODEL_READY"}, says="Logged model with ID 'm-nope' not found.")
    yield get("logged-models get finalized", "logged-models/$m")
    yield get("logged-models get unknown", "logged-models/m-nope", says="Logged model with ID 'm-nope' not found.")
    yield post("logged-models params", "logged-models/$m/params", {"model_id": "$m", "params": pairs(q="2")})
    yield post("logged-models params same", "logged-models/$m/params", {"model_id": "$m", "params": pairs(q="2")})
    yield post("logged-models params other", "logged-models/$m/params", {"model_id": "$m", "params": pairs(q="3")})
    yield post("logged-models params unknown model", "logged-models/m-nope/params", {"model_id": "m-nope", "params": pairs(q="3")})
    yield patch("logged-models tags", "logged-models/$m/tags", {"tags": pairs(t="w", u="x")})
    yield patch("logged-models tags none", "logged-models/$m/tags", {"tags": []})
    yield patch("logged-models tags unknown", "logged-models/m-nope/tags", {"tags": pairs(a="b")}, says="not found")
    yield delete("logged-models delete tag", "logged-models/$m/tags/u")
    yield delete("logged-models delete tag unknown", "logged-models/$m/tags/u", says="No tag with key 'u' found for model with ID")
    yield get("logged-models get tagged", "logged-models/$m")
    yield post("runs/log-metric for model", "runs/log-metric", {"run_id": "$r1", "key": "acc", "value": 0.95, "timestamp": 50, "step": 2, "model_id": "$m", "dataset_name": "iris", "dataset_digest": "abc"})
    yield post("runs/log-batch for models", "runs/log-batch", {"run_id": "$r1", "metrics": [
        {"key": "acc", "value": 0.5, "timestamp": 60, "step": 3, "model_id": "$m2"}, {"key": "f1", "value": 0.4, "timestamp": 60, "step": 3, "model_id": "$m", "dataset_name": "iris", "dataset_digest": "abc"}]})
    yield get("logged-models get measured", "logged-models/$m")
    yield get("metrics/get-history of model metric", "metrics/get-history", {"run_id": "$r1", "metric_key": "acc"})
    yield get("runs/get with model metric", "runs/get", {"run_id": "$r1"})
    yield get("logged-models directories", "logged-models/$m/artifacts/directories")
    yield post("logged-models create doomed", "logged-models", {"experiment_id": "$s", "name": "doomed"}, save={"m3": "model.info.model_id"})
    yield delete("logged-models delete", "logged-models/$m3")
    yield get("logged-models get deleted", "logged-models/$m3", says="not found")
    yield get("logged-models get deleted allowed", "logged-models/$m3", {"allow_deleted": "true"})
    yield delete("logged-models delete twice", "logged-models/$m3")
    yield delete("logged-models delete unknown", "logged-models/m-nope", says="not found")


def logged_model_search():
    def search(name, says="", **body):
        return post("logged-models/search " + name, "logged-models/search", {"experiment_ids": ["$s"], "order_by": [{"field_name": "status"}, {"field_name": "name"}], **body}, says=says)

    yield post("logged-models create third", "logged-models", {"experiment_id": "$s", "name": "Third", "model_type": "AGENT", "params": pairs(lr="0.1", p="2"), "tags": pairs(env="prod")}, save={"m4": "model.info.model_id"})
    yield search("all")
    for i, text in enumerate([
        "name = 'model'", "name != 'model'", "name LIKE 'mo%'", "name ILIKE 'THIRD'", "attributes.name = 'model'", "model_type = 'agent'", "model_type ILIKE 'agent'", "source_run_id = '$r1'", "model_id = '$m'", "model_id IN ('$m', '$m2')", "model_id NOT IN ('$m')", "name IN ('model', 'Third')", "status = 'READY'", "status != 'READY'",
        "params.p = '1'", "params.p != '1'", "params.p LIKE '%'", "params.`p` = '2'", "tags.t = 'w'", "tags.env ILIKE 'PROD'", "metrics.acc > 0.9", "metrics.acc < 0.9", "metrics.acc != 0.5", "metrics.acc > 0.1 AND params.p = '1'", "creation_timestamp > 0", "creation_time > 0", "last_updated_timestamp < 5", "creation_timestamp_ms >= 1", "last_updated_timestamp_ms > 0", "metrics.nope = 1",
        "params.p IN ('1', '2')", "tags.env IN ('prod')",
        "foo = 'x'", "foo.bar = 'x'", "name > 'x'", "metrics.acc LIKE 'x'", "creation_timestamp LIKE 'x'", "name = 'a' OR name = 'b'", "name", "metrics.acc > 'x'", "tag.t = 'w'", "param.p = '1'", "attribute.name = 'model'", "name = \"model\"", "params.p IS NULL", "name =", "lifecycle_stage = 'active'",
    ]):
        yield search(f"filter {i}: {text}", filter=text)
    for i, order in enumerate([
        [{"field_name": "name"}], [{"field_name": "name", "ascending": False}], [{"field_name": "metrics.acc"}, {"field_name": "name"}], [{"field_name": "metrics.acc", "ascending": False}, {"field_name": "name"}], [{"field_name": "metrics.acc", "dataset_name": "iris"}, {"field_name": "name"}],
        [{"field_name": "metrics.acc", "dataset_name": "iris", "dataset_digest": "abc"}, {"field_name": "name"}], [{"field_name": "model_type"}, {"field_name": "name"}], [{"field_name": "source_run_id"}, {"field_name": "name"}], [{"field_name": "creation_timestamp"}, {"field_name": "name"}], [{"field_name": "last_updated_timestamp", "ascending": False}, {"field_name": "name"}],
        [{"field_name": "foo"}], [{"field_name": "params.p"}], [{"field_name": "metrics.nope"}, {"field_name": "name"}], [{"field_name": "attributes.name"}],
    ]):
        yield search(f"ordered {i}", order_by=order)
    yield search("dataset", datasets=[{"dataset_name": "iris", "dataset_digest": "abc"}])
    yield search("dataset without digest", datasets=[{"dataset_name": "iris"}])
    yield search("dataset other digest", datasets=[{"dataset_name": "iris", "dataset_digest": "zzz"}])
    yield search("dataset and metric", datasets=[{"dataset_name": "iris", "dataset_digest": "abc"}], filter="metrics.acc > 0.1")
    yield search("dataset no name", datasets=[{"dataset_digest": "abc"}], says="`dataset_name` in the `datasets` clause must be specified.")
    yield post("logged-models/search page 1", "logged-models/search", {"experiment_ids": ["$s"], "max_results": 1, "order_by": [{"field_name": "status"}, {"field_name": "name"}]}, save={"lmtoken": "next_page_token"})
    yield search("page 2", max_results=1, page_token="$lmtoken")
    yield search("token of other query", page_token="$lmtoken", filter="name = 'x'")
    yield search("no experiments", experiment_ids=[])
    yield post("logged-models/search missing experiments", "logged-models/search", {}, says="Missing value for required parameter 'experiment_ids'")
    yield search("unknown experiment", experiment_ids=["99999"])
    yield search("size zero", max_results=0)


def registry():
    def rm(label, call="create", /, says="", **body):
        return post(f"registered-models/{call} {label}", "registered-models/" + call, body, says=says)

    yield rm("plain", name="reg", description="what", tags=pairs(a="1", b="2"))
    yield rm("twice", name="reg", says="Registered Model (name=reg) already exists.")
    yield rm("bare", name="bare")
    yield rm("no name", description="x", says="Missing value for required parameter 'name'")
    yield rm("empty name", name="")
    yield rm("blank name", name="   ")
    yield rm("slash", name="a/b", says="Names cannot contain '/' or ':'.")
    yield rm("colon", name="a:b", says="Names cannot contain '/' or ':'.")
    yield rm("dots", name="..", says="Names may be treated as files")
    yield rm("unicode name", name="Modell Größe")
    yield rm("bad tag", name="tagged", tags=pairs(**{"a*": "1"}), says="Names may only contain alphanumerics")
    yield rm("tag value long", name="tagged2", tags=pairs(k="v" * 100001), says="'value' exceeds the maximum length of 100000 characters")
    yield rm("same tag twice", name="tagged3", tags=[{"key": "k", "value": "1"}, {"key": "k", "value": "2"}])
    yield get("registered-models/get", "registered-models/get", {"name": "reg"})
    yield get("registered-models/get bare", "registered-models/get", {"name": "bare"})
    yield get("registered-models/get same tag twice", "registered-models/get", {"name": "tagged3"})
    yield get("registered-models/get unknown", "registered-models/get", {"name": "nope"}, says="Registered Model with name=nope not found")
    yield get("registered-models/get nothing", "registered-models/get", says="Missing value for required parameter 'name'")
    yield patch("registered-models/update", "registered-models/update", {"name": "reg", "description": "else"})
    yield patch("registered-models/update empty", "registered-models/update", {"name": "bare", "description": ""})
    yield patch("registered-models/update none", "registered-models/update", {"name": "bare"})
    yield patch("registered-models/update unknown", "registered-models/update", {"name": "nope", "description": "x"}, says="not found")
    yield rm("tag", "set-tag", name="reg", key="c", value="3")
    yield rm("tag again", "set-tag", name="reg", key="c", value="4")
    yield rm("tag empty", "set-tag", name="reg", key="d", value="")
    yield rm("tag no key", "set-tag", name="reg", value="x", says="Missing value for required parameter 'key'")
    yield rm("tag unknown model", "set-tag", name="nope", key="c", value="3", says="not found")
    yield rm("tag bad key", "set-tag", name="reg", key="..", value="3")
    yield delete("registered-models/delete-tag", "registered-models/delete-tag", {"name": "reg", "key": "c"})
    yield delete("registered-models/delete-tag unknown", "registered-models/delete-tag", {"name": "reg", "key": "zzz"})
    yield delete("registered-models/delete-tag unknown model", "registered-models/delete-tag", {"name": "nope", "key": "c"}, says="not found")
    yield rm("plain", "rename", name="bare", new_name="barer")
    yield rm("to existing", "rename", name="barer", new_name="reg", says="Registered Model (name=reg) already exists.")
    yield rm("unknown", "rename", name="nope", new_name="x", says="not found")
    yield rm("without name", "rename", name="barer", says="Missing value for required parameter 'new_name'")
    yield rm("bad name", "rename", name="barer", new_name="a/b")
    yield rm("to itself", "rename", name="barer", new_name="barer")
    yield get("registered-models/get renamed", "registered-models/get", {"name": "barer"})
    yield get("registered-models/get old name", "registered-models/get", {"name": "bare"}, says="not found")
    yield delete("registered-models/delete", "registered-models/delete", {"name": "barer"})
    yield delete("registered-models/delete unknown", "registered-models/delete", {"name": "barer"}, says="not found")


def versions():
    def mv(label, call, /, says="", save=None, **body):
        return post(f"model-versions/{call} {label}", "model-versions/" + call, body, says=says, save=save or {})

    yield get("runs/get for source", "runs/get", {"run_id": "$r1"}, save={"uri": "run.info.artifact_uri"})
    yield mv("plain", "create", name="reg", source="$uri/model", run_id="$r1", description="first", tags=pairs(x="1"), run_link="http://ci/1")
    yield mv("foreign source", "create", name="reg", source="s3://bucket/model")
    yield mv("third", "create", name="reg", source="$uri/other", run_id="$r1")
    yield mv("no source", "create", name="reg", says="Missing value for required parameter 'source'")
    yield mv("no model", "create", name="nope", source="s3://b/m", says="not found")
    yield mv("same tag twice", "create", name="reg", source="s3://b/m", tags=[{"key": "k", "value": "1"}, {"key": "k", "value": "2"}])
    yield mv("bad tag", "create", name="reg", source="s3://b/m", tags=pairs(**{"..": "x"}))
    yield get("model-versions/get", "model-versions/get", {"name": "reg", "version": "1"})
    yield get("model-versions/get foreign", "model-versions/get", {"name": "reg", "version": "2"})
    yield get("model-versions/get unknown", "model-versions/get", {"name": "reg", "version": "77"}, says="Model Version (name=reg, version=77) not found")
    yield get("model-versions/get no number", "model-versions/get", {"name": "reg", "version": "x"}, says="Parameter 'version' must be an integer, got 'x'.")
    yield get("model-versions/get no version", "model-versions/get", {"name": "reg"}, says="Missing value for required parameter 'version'")
    yield get("model-versions/get unknown model", "model-versions/get", {"name": "nope", "version": "1"}, says="not found")
    yield get("get-download-uri", "model-versions/get-download-uri", {"name": "reg", "version": "1"})
    yield get("get-download-uri unknown", "model-versions/get-download-uri", {"name": "reg", "version": "77"}, says="not found")
    yield get("get-download-uri nothing", "model-versions/get-download-uri")
    yield patch("model-versions/update", "model-versions/update", {"name": "reg", "version": "1", "description": "better"})
    yield patch("model-versions/update empty", "model-versions/update", {"name": "reg", "version": "1", "description": ""})
    yield patch("model-versions/update none", "model-versions/update", {"name": "reg", "version": "1"})
    yield patch("model-versions/update unknown", "model-versions/update", {"name": "reg", "version": "77", "description": "x"}, says="not found")
    yield patch("model-versions/update number", "model-versions/update", {"name": "reg", "version": 1, "description": "x"})
    yield mv("plain", "set-tag", name="reg", version="1", key="k", value="v")
    yield mv("empty", "set-tag", name="reg", version="1", key="e", value="")
    yield mv("no key", "set-tag", name="reg", version="1", value="v", says="Missing value for required parameter 'key'")
    yield mv("unknown", "set-tag", name="reg", version="77", key="k", value="v", says="not found")
    yield mv("without value", "set-tag", name="reg", version="1", key="k2")
    yield delete("model-versions/delete-tag", "model-versions/delete-tag", {"name": "reg", "version": "1", "key": "k"})
    yield delete("model-versions/delete-tag unknown", "model-versions/delete-tag", {"name": "reg", "version": "1", "key": "zzz"})
    yield delete("model-versions/delete-tag unknown version", "model-versions/delete-tag", {"name": "reg", "version": "78", "key": "k"}, says="not found")
    yield mv("staging", "transition-stage", name="reg", version="1", stage="Staging")
    yield mv("lower case", "transition-stage", name="reg", version="2", stage="production")
    yield mv("archive", "transition-stage", name="reg", version="3", stage="Staging", archive_existing_versions=True)
    yield get("model-versions/get archived", "model-versions/get", {"name": "reg", "version": "1"})
    yield mv("bad stage", "transition-stage", name="reg", version="1", stage="Nowhere", says="Invalid Model Version stage: Nowhere")
    yield mv("archive none", "transition-stage", name="reg", version="1", stage="None", archive_existing_versions=True)
    yield mv("no stage", "transition-stage", name="reg", version="1", says="Missing value for required parameter 'stage'")
    yield mv("unknown", "transition-stage", name="reg", version="77", stage="Staging", says="not found")
    for method in (get, post):
        kind = "GET" if method is get else "POST"
        yield method(f"get-latest-versions {kind}", "registered-models/get-latest-versions", {"name": "reg"})
        yield method(f"get-latest-versions stages {kind}", "registered-models/get-latest-versions", {"name": "reg", "stages": ["Production", "staging"]})
        yield method(f"get-latest-versions bad stage {kind}", "registered-models/get-latest-versions", {"name": "reg", "stages": ["Nope"]}, says="Invalid Model Version stage")
        yield method(f"get-latest-versions unknown {kind}", "registered-models/get-latest-versions", {"name": "nope"}, says="not found")
    yield get("registered-models/get with versions", "registered-models/get", {"name": "reg"})
    yield delete("model-versions/delete", "model-versions/delete", {"name": "reg", "version": "2"})
    yield delete("model-versions/delete twice", "model-versions/delete", {"name": "reg", "version": "2"}, says="not found")
    yield get("model-versions/get deleted", "model-versions/get", {"name": "reg", "version": "2"}, says="not found")
    yield mv("after delete", "create", name="reg", source="s3://bucket/model4")
    yield post("registered-models/create doomed", "registered-models/create", {"name": "doomed"})
    yield mv("of doomed", "create", name="doomed", source="s3://b/m")
    yield delete("registered-models/delete with versions", "registered-models/delete", {"name": "doomed"})
    yield get("model-versions/get of deleted model", "model-versions/get", {"name": "doomed", "version": "1"}, says="not found")


def sources():
    def source(name, uri, says="", **body):
        return post("source " + name, "model-versions/create", {"name": "src", "source": uri, **body}, says=says)

    yield post("registered-models/create src", "registered-models/create", {"name": "src"})
    yield source("of run", "$uri/m", run_id="$r1")
    yield source("of other run", "$uri/m", run_id="$r3", says="The run_id request parameter must identify the resource that contains the source.")
    yield source("without run", "$uri/m", says="The run_id request parameter must identify")
    yield source("unknown run", "$uri/m", run_id="9" * 32, says="The run_id request parameter must identify")
    yield source("climbing", "$uri/../x", run_id="$r1", says="Invalid model version source")
    yield source("climbing encoded", "$uri/%2e%2e/x", run_id="$r1", says="Invalid model version source")
    yield source("climbing s3", "s3://bucket/a/../b", says="Invalid model version source")
    yield source("encoded null", "s3://host/a%00b", says="Invalid model version source")
    yield source("local", "/etc/passwd", says="To use a local path as a model version source, the run_id request parameter has to be specified")
    yield source("file", "file:///etc/passwd", says="To use a local path as a model version source")
    yield source("relative", "some/where", says="To use a local path as a model version source")
    yield source("http", "http://example.com/model")
    yield source("runs", "runs:/$r1/model", run_id="$r1")
    yield source("runs other", "runs:/$r1/model", run_id="$r3", says="The run_id request parameter must identify")
    yield source("runs without", "runs:/$r1/model", says="The run_id request parameter must identify")
    yield source("logged model", "models:/$m", model_id="$m")
    yield source("logged model without id", "models:/$m", says="The model_id request parameter must identify")
    yield source("logged model other", "models:/$m", model_id="$m2", says="The model_id request parameter must identify")
    yield get("logged-models get registered", "logged-models/$m")
    yield source("version", "models:/reg/1")
    yield source("version unknown", "models:/reg/99")
    yield source("version with run", "models:/reg/1", run_id="$r1")
    yield source("version other run", "models:/reg/1", run_id="$r3", says="The run_id and model_id request parameters must match")
    yield source("models bad", "models:/reg")
    yield source("model uri", "$uri/m", model_id="$m")
    yield source("dbfs", "dbfs:/m")
    yield source("ftp", "ftp://host/m")


def aliases():
    yield post("alias set", "registered-models/alias", {"name": "reg", "alias": "best", "version": "1"})
    yield post("alias set second", "registered-models/alias", {"name": "reg", "alias": "other", "version": "1"})
    yield post("alias move", "registered-models/alias", {"name": "reg", "alias": "best", "version": "3"})
    yield get("alias get", "registered-models/alias", {"name": "reg", "alias": "best"})
    yield get("alias get unknown", "registered-models/alias", {"name": "reg", "alias": "nope"}, says="Registered model alias nope not found.")
    yield get("alias get latest", "registered-models/alias", {"name": "reg", "alias": "latest"})
    yield get("alias get unknown model", "registered-models/alias", {"name": "nope", "alias": "best"}, says="not found")
    yield get("alias get no alias", "registered-models/alias", {"name": "reg"}, says="Missing value for required parameter 'alias'")
    for bad in ("latest", "LATEST", "v1", "V12", "a b", "a/b", "a" * 256):
        yield post(f"alias bad {bad[:8]}", "registered-models/alias", {"name": "reg", "alias": bad, "version": "1"})
    yield post("alias version unknown", "registered-models/alias", {"name": "reg", "alias": "x", "version": "77"}, says="not found")
    yield post("alias no version", "registered-models/alias", {"name": "reg", "alias": "x"}, says="Missing value for required parameter 'version'")
    yield get("registered-models/get with aliases", "registered-models/get", {"name": "reg"})
    yield get("model-versions/get with aliases", "model-versions/get", {"name": "reg", "version": "3"})
    yield delete("alias delete", "registered-models/alias", {"name": "reg", "alias": "other"})
    yield delete("alias delete unknown", "registered-models/alias", {"name": "reg", "alias": "other"})
    yield delete("alias delete unknown model", "registered-models/alias", {"name": "nope", "alias": "other"}, says="not found")


def registry_search():
    def models(name, says="", **query):
        return get("registered-models/search " + name, "registered-models/search", query, says=says)

    def versions_(name, says="", **query):
        return get("model-versions/search " + name, "model-versions/search", query, says=says)

    for n in ("Alpha", "alpha", "beta", "gamma"):
        yield post(f"registered-models/create search {n}", "registered-models/create", {"name": n, "tags": pairs(kind=n.lower(), all="yes")})
        yield post(f"model-versions/create search {n}", "model-versions/create", {"name": n, "source": f"s3://b/{n}", "tags": pairs(kind=n, both="yes")})
        yield post(f"model-versions/create search second {n}", "model-versions/create", {"name": n, "source": f"s3://b/{n}2", "tags": pairs(both="no")})
    yield models("all")
    for i, text in enumerate([
        "name = 'alpha'", "name != 'alpha'", "name LIKE 'al%'", "name ILIKE 'AL%'", "name LIKE '%a'", "name IN ('alpha', 'beta')", "name NOT IN ('alpha', 'beta')", "tags.kind = 'alpha'", "tag.kind = 'beta'", "tags.kind != 'alpha'", "tags.`kind` ILIKE 'B%'", "tags.kind = 'alpha' AND tags.all = 'yes'", "tags.all = 'yes' AND name LIKE 'b%'", "attribute.name = 'beta'", "tags.nope = 'x'",
        "foo = 'x'", "name > 'a'", "name = alpha", "name", "name = 'a' OR name = 'b'", "metrics.a > 1", "tags.kind > 'a'", "name IS NULL", "tags.kind IS NULL", "tags.kind IN ('a')", "creation_timestamp > 1", "name = 'a' name = 'b'", "attributes.name = 'beta'", "tags.\"kind\" = 'beta'", "name IN ()", "name = 5",
    ]):
        yield models(f"filter {i}: {text}", filter=text)
    for order in (["name"], ["name DESC"], ["timestamp", "name"], ["timestamp DESC", "name"], ["last_updated_timestamp DESC", "name"], ["name ASC", "timestamp"]):
        yield models(f"ordered {order}", order_by=order)
    for order in ["foo", "creation_timestamp", "name UP", "tags.kind", ""]:
        yield models(f"order refused {order}", order_by=[order])
    yield models("order duplicate", order_by=["timestamp", "last_updated_timestamp"], says="`order_by` contains duplicate fields")
    yield get("registered-models/search page 1", "registered-models/search", {"max_results": 2}, save={"rmtoken": "next_page_token"})
    yield models("page 2", max_results=2, page_token="$rmtoken")
    yield models("size huge", max_results=1001, says="for parameter 'max_results' supplied")
    yield models("size zero", max_results=0)
    yield models("size negative", max_results=-1)
    yield models("bad token", page_token="%%")
    yield versions_("all")
    for i, text in enumerate([
        "name = 'alpha'", "name != 'alpha'", "name LIKE 'al%'", "name ILIKE 'AL%'", "name IN ('alpha', 'reg')", "run_id = '$r1'", "run_id IN ('$r1', 'x')", "run_id NOT IN ('$r1')", "run_id != '$r1'", "source_path = 's3://b/beta'", "source_path LIKE 's3://b/%'", "version_number = 1", "version_number > 1", "version_number <= 2", "version_number != 1", "version_number = '2'",
        "tags.kind = 'alpha'", "tags.kind ILIKE 'alpha'", "tags.both = 'yes' AND tags.kind = 'beta'", "tags.both != 'yes'", "name = 'beta' AND version_number = 2", "tag.both = 'no'", "attribute.name = 'beta'",
        "foo = 'x'", "name > 'a'", "version_number LIKE '1'", "version_number > 1.5", "version_number = 'x'", "source_path IN ('a')", "run_id = 5", "creation_timestamp > 5", "name = 'a' OR name = 'b'", "tags.kind IS NULL", "name", "version_number IN ('1')", "name = \"beta\"", "version_number",
    ]):
        yield versions_(f"filter {i}: {text}", filter=text)
    for order in (["name", "version_number"], ["name DESC"], ["version_number DESC", "name"], ["creation_timestamp", "name", "version_number"], ["last_updated_timestamp DESC", "name"]):
        yield versions_(f"ordered {order}", order_by=order)
    for order in ["foo", "source_path", "name UP"]:
        yield versions_(f"order refused {order}", order_by=[order])
    yield versions_("order duplicate", order_by=["name", "name DESC"], says="`order_by` contains duplicate fields")
    yield get("model-versions/search page 1", "model-versions/search", {"max_results": 3, "order_by": ["name", "version_number"]}, save={"mvtoken": "next_page_token"})
    yield versions_("page 2", max_results=3, order_by=["name", "version_number"], page_token="$mvtoken")
    yield versions_("size huge", max_results=200001, says="for parameter 'max_results' supplied")
    yield versions_("size zero", max_results=0, says="Invalid value for max_results. It must be a positive integer")
    yield versions_("size negative", max_results=-1)


def prompts():
    is_prompt = {"key": "mlflow.prompt.is_prompt", "value": "true"}
    yield post("prompt create", "registered-models/create", {"name": "prompt", "tags": [is_prompt, {"key": "task", "value": "qa"}]})
    yield post("prompt twice", "registered-models/create", {"name": "prompt", "tags": [is_prompt]}, says="already exists")
    yield post("model with name of prompt", "registered-models/create", {"name": "prompt"})
    yield post("prompt with name of model", "registered-models/create", {"name": "reg", "tags": [is_prompt]})
    yield post("prompt version", "model-versions/create", {"name": "prompt", "source": "dummy-source", "tags": [is_prompt, {"key": "mlflow.prompt.text", "value": "Hello {{name}}"}]})
    yield post("prompt version other source", "model-versions/create", {"name": "prompt", "source": "/etc/passwd", "tags": [is_prompt]})
    yield post("prompt text long", "model-versions/create", {"name": "prompt", "source": "dummy-source", "tags": [is_prompt, {"key": "mlflow.prompt.text", "value": "x" * 100001}]}, says="Prompt text exceeds max length of 100000 characters.")
    yield get("prompt get", "registered-models/get", {"name": "prompt"})
    yield get("prompt version get", "model-versions/get", {"name": "prompt", "version": "1"})
    yield post("prompt alias", "registered-models/alias", {"name": "prompt", "alias": "production", "version": "1"})
    yield get("prompt by alias", "registered-models/alias", {"name": "prompt", "alias": "production"})
    yield post("model from prompt", "model-versions/create", {"name": "src", "source": "models:/prompt/1"})
    key = "tags.`mlflow.prompt.is_prompt`"
    for i, text in enumerate(["", f"{key} = 'true'", f"{key} != 'true'", f"{key} = 'false'", f"{key} != 'false'", f"{key} = 'TRUE'", f"{key} ILIKE 'true'", f"name LIKE 'p%'", f"name LIKE 'p%' AND {key} = 'true'", f"{key} = 'true' AND tags.task = 'qa'"]):
        yield get(f"prompts in registered-models/search {i}", "registered-models/search", {"filter": text})
        yield get(f"prompts in model-versions/search {i}", "model-versions/search", {"filter": text})


def wire():
    yield post("double encoded", "runs/set-tag", raw='"{\\"run_id\\": \\"$run\\", \\"key\\": \\"double\\", \\"value\\": \\"x\\"}"')
    yield post("camel case", "runs/set-tag", raw='{"runId": "$scrap", "key": "camel", "value": "x"}')
    yield post("both spellings", "runs/set-tag", raw='{"runId": "$run", "run_id": "$run", "key": "camel", "value": "x"}')
    yield post("unknown field", "runs/set-tag", {"run_id": "$run", "key": "unknown", "value": "x", "more": {"a": [1]}})
    yield post("truncated", "runs/set-tag", raw='{"run_id": "$run", "key": ')
    yield post("empty body", "runs/set-tag", raw="")
    yield post("null body", "runs/set-tag", raw="null")
    yield post("list body", "runs/set-tag", raw="[]")
    yield post("number body", "runs/set-tag", raw="5")
    yield post("null field", "runs/set-tag", raw='{"run_id": "$run", "key": "null", "value": null}')
    yield post("wrong type of text", "runs/set-tag", {"run_id": "$run", "key": ["a"], "value": "x"}, says="for parameter 'key' supplied")
    yield post("text/plain", "runs/set-tag", {"run_id": "$run", "key": "plain", "value": "x"}, headers={"Content-Type": "text/plain"}, says="Content-Type must be one of ['application/json']")
    yield post("with charset", "runs/set-tag", {"run_id": "$run", "key": "charset", "value": "x"}, headers={"Content-Type": "application/json; charset=utf-8"})
    yield get("repeated parameter", "metrics/get-history-bulk-interval", {"run_ids": ["$run", "$run2"], "metric_key": "s", "max_results": "3"})
    yield get("bad number", "metrics/get-history", {"run_id": "$run", "metric_key": "s", "max_results": "x"})
    yield get("unknown query", "runs/get", {"run_id": "$run2", "foo": "bar"})
    yield get("bad boolean", "logged-models/$m", {"allow_deleted": "perhaps"})
    yield get("unknown route", "nothing/here")
    yield delete("wrong method", "runs/get")
    yield get("GET of POST", "runs/search")
    yield get("runs/get wired", "runs/get", {"run_id": "$run"})
    yield post("ajax write", "runs/set-tag", {"run_id": "$run", "key": "ajax", "value": "x"}, base=AJAX)
    yield get("ajax experiments", "experiments/get", {"experiment_id": "$exp"}, base=AJAX)


def artifacts():
    yield get("artifacts/list empty", "artifacts/list", {"run_id": "$run"})
    yield Step("upload", "PUT", "/api/2.0/mlflow-artifacts/artifacts/$e/$run/artifacts/a/b.txt", raw="hello", headers={"Content-Type": "application/octet-stream"})
    yield Step("upload ajax", "POST", "/ajax-api/2.0/mlflow/upload-artifact?run_uuid=$run&path=up/load.txt", raw="hello ajax", headers={"Content-Type": "text/plain"})
    yield Step("upload ajax no run", "POST", "/ajax-api/2.0/mlflow/upload-artifact?path=x", raw="hello", says="Request must specify run_uuid.")
    yield Step("upload ajax no path", "POST", "/ajax-api/2.0/mlflow/upload-artifact?run_uuid=$run", raw="hello", says="Request must specify path.")
    yield Step("upload ajax no data", "POST", "/ajax-api/2.0/mlflow/upload-artifact?run_uuid=$run&path=x", raw="", says="Request must specify data.")
    yield Step("upload ajax climbing", "POST", "/ajax-api/2.0/mlflow/upload-artifact?run_uuid=$run&path=../x", raw="x", says="Invalid path")
    yield get("artifacts/list", "artifacts/list", {"run_id": "$run"})
    yield get("artifacts/list folder", "artifacts/list", {"run_id": "$run", "path": "a"})
    yield get("artifacts/list by uuid", "artifacts/list", {"run_uuid": "$run"})
    yield get("artifacts/list climbing", "artifacts/list", {"run_id": "$run", "path": "../x"}, says="Invalid path")
    yield get("artifacts/list unknown run", "artifacts/list", {"run_id": "0" * 32}, says="not found")
    yield get("artifacts/list no run", "artifacts/list", says="Missing value for required parameter 'run_id'")
    yield Step("download", "GET", "/get-artifact?run_id=$run&path=a/b.txt")
    yield Step("download ajax upload", "GET", "/get-artifact?run_uuid=$run&path=up/load.txt")
    yield Step("download climbing", "GET", "/get-artifact?run_id=$run&path=../x")
    yield post("presigned upload POST", "artifacts/presigned-upload-url", {"run_id": "$run", "path": "x"})
    yield post("presigned download POST", "artifacts/presigned-download-url", {"run_id": "$run", "path": "x"})
    yield get("ui-telemetry", "ui-telemetry", base="/ajax-api/3.0/mlflow/")


def graphql():
    def query(name, text, variables=None, says=""):
        return Step("graphql " + name, "POST", "/graphql", {"query": text, "variables": variables or {}}, says=says)

    yield query("test", '{ test(inputString: "hi") { output } }')
    yield query("test mutation", 'mutation { testMutation(inputString: "hi") { output } }')
    yield query("typename", "{ __typename }")
    yield query("experiment", 'query Q($$i: MlflowGetExperimentInput!) { mlflowGetExperiment(input: $$i) { experiment { experimentId name artifactLocation lifecycleStage creationTime tags { key value __typename } workspace } apiError { code message } } }', {"i": {"experimentId": "$exp"}})
    yield query("run", '{ mlflowGetRun(input: {runId: "$r1"}) { run { info { runId runUuid runName status experimentId startTime endTime artifactUri lifecycleStage userId } data { metrics { key value timestamp step datasetName modelId } params { key value } tags { key value } } inputs { datasetInputs { dataset { name digest sourceType source schema profile } tags { key value } } modelInputs { modelId } } outputs { modelOutputs { modelId step } } experiment { name } modelVersions { name version source status aliases runId } } } }')
    yield query("run running", '{ mlflowGetRun(input: {runId: "$r3"}) { run { info { runName endTime status } data { metrics { key value } } experiment { name tags { key } } modelVersions { name } } } }')
    yield query("run unknown", '{ mlflowGetRun(input: {runId: "nope"}) { run { info { runId } } apiError { code } } }')
    yield query("fragment", 'query { mlflowGetRun(input: {runId: "$r1"}) { ...F } } fragment F on MlflowGetRunResponse { run { info { ...I } } } fragment I on MlflowRunInfo { runName status __typename }')
    yield query("inline fragment", '{ mlflowGetRun(input: {runId: "$r1"}) { ... on MlflowGetRunResponse { run { info { runName } } } } }')
    yield query("directives", 'query Q($$yes: Boolean!, $$no: Boolean!) { mlflowGetRun(input: {runId: "$r1"}) { run { info { runName @include(if: $$yes) status @skip(if: $$yes) userId @include(if: $$no) } } } }', {"yes": True, "no": False})
    yield query("component", 'query Q @component(name: "x") { test(inputString: "a") { output } }')
    yield query("aliases", '{ a: test(inputString: "1") { output } b: test(inputString: "2") { o: output } }')
    yield query("history", '{ mlflowGetMetricHistoryBulkInterval(input: {runIds: ["$run"], metricKey: "s", maxResults: 5}) { metrics { runId key value step timestamp } } }')
    yield query("artifacts", '{ mlflowListArtifacts(input: {runId: "$run"}) { rootUri files { path isDir fileSize } nextPageToken } }')
    yield query("artifacts folder", '{ mlflowListArtifacts(input: {runId: "$run", path: "a"}) { files { path isDir fileSize } } }')
    yield query("versions", "{ mlflowSearchModelVersions(input: {filter: \"name = 'alpha'\", maxResults: 10}) { modelVersions { name version creationTimestamp currentStage source status tags { key value } runLink description modelId aliases } nextPageToken } }")
    yield query("search runs query", '{ mlflowSearchRuns(input: {experimentIds: ["$s"], maxResults: 2, orderBy: ["start_time"]}) { runs { info { runName } } nextPageToken } }')
    yield query("search runs", 'mutation { mlflowSearchRuns(input: {experimentIds: ["$s"], runViewType: ALL, filter: "metrics.acc > 0.5"}) { runs { info { runName } data { metrics { key value } } experiment { name } } } }')
    yield query("search datasets", 'mutation { mlflowSearchDatasets(input: {experimentIds: ["$s"]}) { datasetSummaries { experimentId name digest context } apiError { message } } }')
    yield query("search datasets none", 'mutation { mlflowSearchDatasets(input: {experimentIds: []}) { datasetSummaries { name } } }')
    yield query("bad filter", 'mutation { mlflowSearchRuns(input: {experimentIds: ["$s"], filter: "foo.x = 1"}) { runs { info { runName } } } }')
    yield query("two root fields", '{ a: mlflowGetExperiment(input: {experimentId: "0"}) { experiment { name } } b: mlflowGetExperiment(input: {experimentId: "0"}) { experiment { name } } }')
    yield query("many root fields", "{ " + " ".join(f'a{i}: test(inputString: "x") {{ output }}' for i in range(11)) + " }")
    yield query("many aliases", '{ test(inputString: "x") { ' + " ".join(f"o{i}: output" for i in range(12)) + " } }")
    yield query("many aliases in fragments", '{ test(inputString: "x") { ...A ...B } } fragment A on Test { ' + " ".join(f"o{i}: output" for i in range(6)) + " } fragment B on Test { " + " ".join(f"p{i}: output" for i in range(6)) + " }")
    yield query("deep", "{ " + "".join("a { " for _ in range(11)) + "b" + " }" * 11 + " }")
    yield query("many selections", '{ test(inputString: "x") { ' + "output " * 1001 + "} }")
    yield query("unknown field", "{ nothing { here } }")
    yield query("unknown argument", '{ test(foo: "x") { output } }')
    yield query("missing sub-selection", '{ mlflowGetRun(input: {runId: "$r1"}) }')
    yield query("wrong variable", "query Q($$i: String!) { test(inputString: $$i) { output } }", {"i": 5})
    yield query("missing variable", "query Q($$i: String!) { test(inputString: $$i) { output } }")
    yield Step("graphql operation name", "POST", "/graphql", {"query": 'query A { test(inputString: "a") { output } } query B { test(inputString: "b") { output } }', "operationName": "B"})
    yield Step("graphql operation unnamed", "POST", "/graphql", {"query": 'query A { test(inputString: "a") { output } } query B { test(inputString: "b") { output } }'})
    yield Step("graphql GET with body", "GET", "/graphql", {"query": '{ test(inputString: "got") { output } }'})
    yield query("introspection type", '{ __type(name: "MlflowRunInfo") { name kind fields { name type { name kind } } } }')
    yield query("introspection schema", "{ __schema { queryType { name } mutationType { name } } }")


def ends():
    yield post("registered-models/create long name", "registered-models/create", {"name": "n" * 300})
    yield post("experiments/delete search", "experiments/delete", {"experiment_id": "$s"})
    yield post("runs/search in deleted experiment", "runs/search", {"experiment_ids": ["$s"], "order_by": ["run_name"]})
    yield post("runs/search in deleted experiment all", "runs/search", {"experiment_ids": ["$s"], "run_view_type": "ALL", "order_by": ["run_name"]})
    yield get("logged-models get in deleted experiment", "logged-models/$m")
    yield post("experiments/restore search", "experiments/restore", {"experiment_id": "$s"})
    yield post("runs/search in restored experiment", "runs/search", {"experiment_ids": ["$s"], "order_by": ["run_name"]})

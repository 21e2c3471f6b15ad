"""What may differ from the reference, by the name of the request (a pattern), and why."""

STRICT = "upstream drops what it cannot read and goes on with what came before; here it is refused"
NOT_500 = "clients repeat a request after 500 for minutes, so what can never work is 400 here"
LENIENT = "understood here, refused there"

TAKEN = "upstream answers with the error of its database"

DIFFERENCES = {
    "logged-models params same": "what is there already may be written again, as in a run",
    "logged-models params other": TAKEN,
    r"logged-models/search filter \d+: status !?= 'READY'": "upstream compares the number that it stores with the name and finds nothing",
    r"logged-models/search filter \d+: (foo = 'x'|metrics.acc > 'x')": NOT_500,
    r"logged-models/search filter \d+: name = \"model\"": LENIENT,
    r"logged-models/search filter \d+: lifecycle_stage = 'active'": "upstream takes every column of its table for an attribute",
    "logged-models/search ordered 10": "error_class is that of all invalid parameters",
    "logged-models/search dataset without digest": "upstream looks for metrics without digest and finds nothing",
    "registered-models/create long name": "a name has at most 256 characters, upstream's documented limit",
    "model-versions/transition-stage archive none": NOT_500,
    r"registered-models/search filter \d+: name = 'a' name = 'b'": "upstream reads a missing AND as AND",
    r"(registered-models|model-versions)/search filter \d+: .* IS NULL": NOT_500,
    "(registered-models|model-versions)/search order duplicate": NOT_500,
    "registered-models/search size (zero|negative)": "upstream answers with an empty page and a token",
    "camel case": LENIENT,
    "(list|number) body": NOT_500,
    "bad number": STRICT,
    "bad boolean": STRICT,
    "unknown route|wrong method|GET of POST": "upstream answers in HTML",
    "upload": "an empty JSON object is sent",
    "graphql test mutation": "upstream's resolver is never called",
    "graphql run": "the aliases of model versions, which upstream leaves out of lists",
    "graphql directives": "include and skip, which GraphQL demands, are unknown upstream",
    "graphql history": "maxResults of the input counts, which upstream reads from the address",
    "graphql search runs": "upstream cannot read runViewType",
    "graphql bad filter": "texts",
    "graphql (unknown field|unknown argument|missing sub-selection|wrong variable|missing variable)": "texts",
    "graphql introspection (type|schema)": "the schema cannot be asked for",
    "server-info": "a workspace is a project, which always exists; the AI gateway is not served",
    "experiments/update to existing": "the code is that of the other calls for a name that is taken",
    "experiments/update deleted": NOT_500,
    "runs/create without user": "without user_id the run belongs to whom the server knows the caller to be",
    "experiments/search refused: name = 'a' name = 'b'": "upstream reads a missing AND as AND",
    r"runs/search filter \d+: params.lr = 'a' params.opt = 'b'": "upstream reads a missing AND as AND",
    r"runs/search filter \d+: metrics.acc > 0.5 AND": "an AND without a second comparison is refused here",
    "experiments/search view unknown|runs/search view unknown": STRICT,
    "runs/create tag without key": "a tag without a key is refused here",
    "runs/update status unknown": STRICT,
    "runs/log-metric (bare NaN|bool|float time|step too big)": STRICT,
    "runs/log-metric unknown model": "the model is named as what does not exist",
    "runs/log-inputs no (name|digest|source|dataset)": "a data set without name, digest or source is refused here",
    "search-datasets without slash": "upstream declares this path and answers 404 on it",
    r"runs/search ordered \d+: \['(attributes.`run name`|  metrics.acc   DESC  )'\]": LENIENT,
    r"runs/search order refused: \['(metrics.acc|start_time)', '.*'\]": NOT_500,
}

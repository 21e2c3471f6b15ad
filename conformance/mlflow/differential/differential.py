"""Sends the same requests to two tracking servers and compares the answers.

    python differential.py REFERENCE_URL OUR_URL [--report FILE] [--show]

Both servers must be fresh. Ids and times are replaced by names before answers
are compared; what may differ stands in allowed.py with the reason. The program
ends with 1 if an answer differs that is not allowed to.
"""

import argparse
import difflib
import json
import re
import string
import sys
import urllib.error
import urllib.parse
import urllib.request

import allowed
import corpus

UNORDERED = {"tags", "params", "aliases", "dataset_inputs", "model_inputs", "model_outputs", "dataset_summaries", "latest_versions", "files"}
UNNOTED = {"user_id", "model_id"}  # of a model version, which upstream does not store
LISTS = {"latest_versions", "model_versions"}  # upstream leaves out the aliases of the versions in lists
TOKENS = {"next_page_token", "nextPageToken"}
RANDOM_NAME = re.compile(r"^[a-z]+-[a-z]+-[0-9a-f]{1,3}$")
REPEATED = re.compile(r"(.)\1{39,}")
LONG_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
TIME = re.compile(r"(?<!\d)[12]\d{12}(?!\d)")


class Answer:
    """What a server said, as it was and made comparable."""

    def __init__(self, status, text, names):
        self.status, self.text = status, text
        self.json = parsed(text)
        self.plain = normal(self.json, names) if self.json is not None else normal_text(text, names)

    @property
    def message(self):
        return self.plain.get("message", "") if isinstance(self.plain, dict) else ""

    def without_message(self):
        if isinstance(self.plain, dict) and "error_code" in self.plain:
            return {k: v for k, v in self.plain.items() if k != "message"}
        return self.plain


def parsed(text):
    try:
        return json.loads(text, parse_constant=lambda c: "bare " + c)
    except ValueError:
        return None


def normal_text(s, names):
    for value, name in sorted(names.items(), key=lambda p: -len(p[0])):
        if len(value) >= 20:
            s = s.replace(value, name)
        elif value.isdigit():  # of an experiment; a sequence may leave numbers out
            s = re.sub(rf"((?:mlflow-artifacts:/|[Ee]xperiment (?:with )?(?:id|ID)?[= ']*)){value}(?!\d)", rf"\1{name}", s)
    return TIME.sub("<time>", LONG_ID.sub("<id>", s))


def normal(v, names, key="", within=""):
    """Replaces what differs between any two servers."""
    if isinstance(v, dict):
        if "current_stage" in v:
            v = {k: x for k, x in v.items() if k not in UNNOTED and not (k == "aliases" and within in LISTS)}
        return {k: normal(x, names, k, key) for k, x in sorted(v.items())}
    if isinstance(v, list):
        out = [normal(x, names, within=key) for x in v]
        unordered = key in UNORDERED or key == "metrics" and within == "data"  # a history has an order
        return sorted(out, key=lambda x: json.dumps(x, sort_keys=True)) if unordered else out
    if isinstance(v, str):
        if key in TOKENS and v:
            return "<token>"
        if RANDOM_NAME.match(v):
            return "<name>"
        if v[:1] in ("[", "{"):
            try:
                return {"JSON": normal(json.loads(v), names)}
            except ValueError:
                pass
        if v in names and (len(v) >= 20 or key in ("experiment_id", "experimentId")):
            return names[v]
        return normal_text(v, names)
    if isinstance(v, int) and not isinstance(v, bool) and 1e12 <= v < 3e12:
        return "<time>"
    return v


class Server:
    def __init__(self, url):
        self.url, self.vars = url.rstrip("/"), {}

    def fill(self, v):
        if isinstance(v, str):
            return string.Template(v).safe_substitute(self.vars)
        if isinstance(v, dict):
            return {self.fill(k): self.fill(x) for k, x in v.items()}
        if isinstance(v, (list, tuple)):
            return [self.fill(x) for x in v]
        return v

    def send(self, step):
        path = self.fill(step.path)
        if step.query:
            path += "?" + urllib.parse.urlencode(self.fill(step.query), doseq=True)
        data = None
        headers = dict(step.headers)
        if step.raw is not None:
            data = self.fill(step.raw).encode()
            headers.setdefault("Content-Type", "application/json")
        elif step.body is not None:
            data = json.dumps(self.fill(step.body)).encode()
            headers.setdefault("Content-Type", "application/json")
        request = urllib.request.Request(self.url + path, data, headers, method=step.method)
        try:
            with urllib.request.urlopen(request, timeout=60) as r:
                status, text = r.status, r.read().decode("utf-8", "replace")
        except urllib.error.HTTPError as e:
            status, text = e.code, e.read().decode("utf-8", "replace")
        for name, where in step.save.items():
            self.vars[name] = dig(parsed(text), where)
        return Answer(status, text, {str(v): f"<{k}>" for k, v in self.vars.items()})


def dig(v, where):
    for part in where.split("."):
        try:
            v = v[int(part)] if part.isdigit() else v[part]
        except (KeyError, IndexError, TypeError):
            return f"missing-{where}"
    return v


def verdict(step, ref, our):
    """same, wording (only the message differs), allowed or differs, and why."""
    if (ref.status, ref.plain) == (our.status, our.plain):
        return "same", ""
    same_but_message = ref.status == our.status and ref.without_message() == our.without_message()
    if same_but_message and (not step.says or step.says in our.message):
        return "wording", ""
    for pattern, reason in allowed.DIFFERENCES.items():
        if re.fullmatch(pattern, step.name):
            return "allowed", reason
    return "differs", ""


def short(text):
    return REPEATED.sub(lambda m: f"{m[1]}*{len(m[0])}", str(text))


def pretty(a):
    body = json.dumps(a.plain, indent=1, sort_keys=True) if a.json is not None else str(a.plain)
    return [f"status {a.status}"] + short(body).splitlines()


def changes(ref, our, most=14):
    """The difference, or both beginnings if one of the two is an error."""
    if ref.status != our.status:
        return [f"{who} {a.status} {short(a.message or a.plain)[:300]}" for who, a in (("-", ref), ("+", our))]
    lines = [line for line in difflib.unified_diff(pretty(ref), pretty(our), lineterm="", n=2)][2:]
    return lines[:most] + (["…"] if len(lines) > most else [])


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("reference")
    args.add_argument("ours")
    args.add_argument("--report")
    args.add_argument("--show", action="store_true", help="print messages that differ in wording only, too")
    args = args.parse_args()
    servers = Server(args.reference), Server(args.ours)
    count, lines, seen = {}, [], set()
    for step in corpus.steps():
        if step.name in seen:
            sys.exit(f"two requests have the name {step.name}")
        seen.add(step.name)
        ref, our = (s.send(step) for s in servers)
        if step.says and step.says not in ref.message:
            print(f"== corpus: {step.name}: the reference does not say {step.says!r} but {ref.status} {ref.message!r}")
            count["corpus"] = count.get("corpus", 0) + 1
        what, why = verdict(step, ref, our)
        count[what] = count.get(what, 0) + 1
        lines.append(f"{what:8} {our.status} {step.method:6} {step.name}" + (f"  ({why})" if why else ""))
        if what == "differs" or args.show and what == "wording":
            print(f"== {what}: {step.name}: {step.method} {step.path} {step.query or ''} {short(step.body if step.raw is None else step.raw)}")
            print("\n".join(changes(ref, our)))
    summary = f"{len(lines)} requests: " + ", ".join(f"{n} {w}" for w, n in sorted(count.items()))
    print(summary)
    if args.report:
        with open(args.report, "w") as f:
            f.write(summary + "\n\nsame: status and body are equal, but for ids and times. wording: only the text of an error message differs.\n\n")
            f.write("\n".join(lines) + "\n")
    unused = [p for p in allowed.DIFFERENCES if not any(re.fullmatch(p, n) for n in seen)]
    if unused:
        sys.exit(f"allowed.py names requests that do not exist: {unused}")
    sys.exit(1 if count.get("differs") or count.get("corpus") else 0)


if __name__ == "__main__":
    main()

"""Runs the suites beside this file against the server of MLFLOW_TRACKING_URI.

    run.py [--workers 2] [--calls] [test_tracking test_registry.Registry …]

Prints failures, then one line: tests, skipped, assertions (evaluated and places in the source), seconds. With --calls
it also fails when a call of calls.py was made by no test. Processes are forked after the imports, which cost more
than most suites; each takes the next class that nobody has begun.
"""

import argparse
import io
import multiprocessing
import sys
import time
import unittest
from pathlib import Path

import suite
import calls

HERE = Path(__file__).parent


def classes(names):
    """The classes of the suites, those that take longest first."""
    loader = unittest.TestLoader()
    found = {}

    def walk(tests):
        for t in tests:
            if isinstance(t, unittest.TestSuite):
                walk(t)
            elif type(t).__name__ == "_FailedTest":
                sys.exit(f"cannot load {t.id()}: {t._exception}")
            else:
                found.setdefault(f"{type(t).__module__}.{type(t).__qualname__}", []).append(t.id())

    walk(loader.loadTestsFromNames(names or sorted(p.stem for p in HERE.glob("test_*.py"))))
    slow = lambda k: -getattr(getattr(sys.modules[k.rpartition(".")[0]], k.rpartition(".")[2]), "seconds", 1)
    return sorted(found.items(), key=lambda kv: slow(kv[0]))


def run(item):
    name, ids = item
    suite.Counted.places.clear()
    suite.Calls.seen.clear()
    out = io.StringIO()
    started = time.monotonic()
    result = unittest.TextTestRunner(stream=out, verbosity=0).run(unittest.defaultTestLoader.loadTestsFromNames(ids))
    return {
        "name": name, "tests": result.testsRun, "skipped": [(t.id(), why) for t, why in result.skipped],
        "failed": [] if result.wasSuccessful() else [out.getvalue()], "places": dict(suite.Counted.places),
        "calls": set(suite.Calls.seen), "seconds": time.monotonic() - started,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--calls", action="store_true", help="every call of calls.py must have been made")
    parser.add_argument("--verbose", action="store_true", help="one line for each class")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    started = time.monotonic()
    todo = classes(args.names)
    with multiprocessing.get_context("fork").Pool(args.workers) as pool:
        done = list(pool.imap_unordered(run, todo, chunksize=1))
    places, seen = {}, set()
    for r in done:
        seen |= r["calls"]
        for place, n in r["places"].items():
            places[place] = places.get(place, 0) + n
    failed = [f for r in done for f in r["failed"]]
    for text in failed:
        print(text)
    if args.verbose:
        for r in sorted(done, key=lambda r: r["name"]):
            print(f'{r["name"]}: {r["tests"]} tests, {r["seconds"]:.1f} s')
        for test, why in sorted(s for r in done for s in r["skipped"]):
            print(f"skipped {test}: {why}")
    missing = calls.missing(seen) if args.calls else []
    for call in missing:
        print("no test made the call", call)
    print(f'mlflow {suite.mlflow.__version__}: {sum(r["tests"] for r in done)} tests, {sum(len(r["skipped"]) for r in done)} skipped, '
          f'{len(failed)} classes failed; {sum(places.values())} assertions evaluated, at {len(places)} places; '
          f'{len(calls.made(seen))} of {len(calls.WANTED)} calls made; {time.monotonic() - started:.1f} s')
    sys.exit(1 if failed or missing or not done else 0)


if __name__ == "__main__":
    main()

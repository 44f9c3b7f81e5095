import functools
from dataclasses import replace

from decouple.claim.trace import Trace, describe_predicate

SHARE = 4


def smallest(run):
    return min(largest(run), SHARE)


def largest(run):
    return max(run)


def decorated(function):
    return function


@decorated
def predicate(run):
    # Helpers of the module are told, those of others are named only.
    return smallest(run) + functools.reduce(max, run)


def text_of(claim_of, function):
    described = describe_predicate(claim_of(predicate=function), "claims/test_toy.py")
    assert described["file"] == "claims/test_toy.py"
    assert described["line"] == function.__code__.co_firstlineno
    return described["text"]


def test_a_predicate_is_told_with_the_functions_it_calls_and_without_decorators(claim_of):
    text = text_of(claim_of, predicate)
    assert text.split("\n\n") == [
        "def largest(run):\n    return max(run)",
        "def smallest(run):\n    return min(largest(run), SHARE)",
        "def predicate(run):\n"
        "    # Helpers of the module are told, those of others are named only.\n"
        "    return smallest(run) + functools.reduce(max, run)",
    ]


def test_a_function_that_calls_itself_is_told_once(claim_of):
    assert text_of(claim_of, endless).count("def endless") == 1


def endless(run):
    return endless(run)


def test_a_predicate_without_a_source_has_none(claim_of):
    made = {}
    exec("def made(run):\n    return 1", made)
    assert text_of(claim_of, made["made"]) == ""


def test_what_is_no_function_has_no_source(claim_of):
    claim = replace(claim_of(), predicate=functools.partial(max, 1))
    assert describe_predicate(claim, "f.py") == {"file": "f.py", "line": None, "text": ""}


def test_paths_are_told_from_where_the_report_lies(tmp_path):
    runs = {
        str(tmp_path / store / "toy" / "small" / "published" / f"seed-000{i}-ab"): f"sha{i}"
        for i, store in enumerate(("out/store", "elsewhere"))
    }
    trace = Trace(fixtures=tmp_path / "fixtures", runs=runs, predicates={"b": {}, "a": {}})
    header = trace.header(tmp_path / "out")
    assert header["fixtures"] == "../fixtures"
    assert header["evidence"] == [
        {"store": "../elsewhere", "runs": {"toy/small/published/seed-0001-ab": "sha1"}},
        {"store": "store", "runs": {"toy/small/published/seed-0000-ab": "sha0"}},
    ]
    assert list(header["predicates"]) == ["a", "b"]
    assert str(tmp_path) not in str(header)


def test_a_session_without_runs_names_none(tmp_path):
    assert Trace().header(tmp_path) == {
        "fixtures": None,
        "evidence": [],
        "predicates": {},
        "problems": [],
    }

"""The judge of the CPython suite must not let anything through."""

import json

import pytest

from .suite import FileRun, SuiteMissingError, find_files, read_events
from .verdict import EXCLUSIONS_FILE, judge, read_exclusions

PASSING = "test_x.T.test_a"
OTHER = "test_x.T.test_b"


def run(*, passed=(), skipped=(), failed=(), module="ours", broken=""):
    return FileRun(
        "test_x",
        module,
        passed=set(passed),
        skipped=dict.fromkeys(skipped, "why"),
        failed=dict.fromkeys(failed, "trace"),
        broken=broken,
    )


def test_equal_runs_are_accepted():
    assert judge(run(passed=[PASSING, OTHER]), run(passed=[PASSING, OTHER]), set()) == []


@pytest.mark.parametrize(
    ("ours", "oracle", "excluded", "problem"),
    [
        (run(failed=[PASSING]), None, set(), f"{PASSING} fails"),
        (run(failed=[PASSING]), run(failed=[PASSING]), set(), f"{PASSING} fails"),
        (run(passed=[PASSING], failed=[PASSING]), None, set(), f"{PASSING} fails"),
        (run(), None, set(), "test_x ran no test"),
        (run(passed=[PASSING], broken="signal"), None, set(), "test_x broke off: signal"),
        (run(passed=[PASSING]), None, {PASSING}, f"{PASSING} is excluded and passes"),
        (run(skipped=[PASSING]), None, {PASSING}, f"{PASSING} is excluded and skipped"),
        (run(passed=[PASSING]), None, {OTHER}, f"{OTHER} is excluded and does not exist"),
        (
            run(passed=[PASSING]),
            run(passed=[PASSING, OTHER], module="sqlite3"),
            set(),
            f"{OTHER} runs on sqlite3 only",
        ),
        (
            run(passed=[PASSING, OTHER]),
            run(passed=[PASSING], module="sqlite3"),
            set(),
            f"{OTHER} does not run on sqlite3",
        ),
        (
            run(passed=[PASSING], skipped=[OTHER]),
            run(passed=[PASSING, OTHER], module="sqlite3"),
            set(),
            f"{OTHER} is skipped, unlike on sqlite3",
        ),
    ],
)
def test_shortcoming_is_reported(ours, oracle, excluded, problem):
    assert judge(ours, oracle, excluded) == [problem]


def test_excluded_test_may_fail():
    ours = run(passed=[PASSING], failed=[OTHER])
    assert judge(ours, run(passed=[PASSING, OTHER]), {OTHER}) == []


def test_exclusion_of_another_file_is_left_to_that_file():
    assert judge(run(passed=[PASSING]), None, {"test_y.T.test_a"}) == []


def test_test_in_which_the_interpreter_died_is_an_error():
    events = [
        {"event": "start", "test": f"test.test_sqlite3.{PASSING}"},
        {"event": "passed", "test": f"test.test_sqlite3.{PASSING}"},
        {"event": "stop", "test": f"test.test_sqlite3.{PASSING}"},
        {"event": "start", "test": f"test.test_sqlite3.{OTHER}"},
    ]
    result = read_events(
        FileRun("test_x", "ours"), list(map(json.dumps, events)), "exit status -11"
    )
    assert result.passed == {PASSING}
    assert list(result.errors) == [OTHER]
    assert result.broken == f"exit status -11, in {OTHER}"


def test_interpreter_that_dies_at_its_exit_is_noticed():
    events = [
        {"event": "start", "test": f"test.test_sqlite3.{PASSING}"},
        {"event": "passed", "test": f"test.test_sqlite3.{PASSING}"},
        {"event": "stop", "test": f"test.test_sqlite3.{PASSING}"},
        {"event": "end"},
    ]
    lines = list(map(json.dumps, events))
    assert not read_events(FileRun("test_x", "ours"), lines, "").broken
    died = read_events(FileRun("test_x", "ours"), lines, "exit status -11")
    assert died.broken == "exit status -11, after the last test"


def write_exclusions(folder, *, count=1, reason="known"):
    path = folder / "exclusions.toml"
    entry = f'[[exclusion]]\ntest = "test_x.T.t"\npython = ["3.13"]\nreason = "{reason}"\n'
    path.write_text(entry * count, encoding="utf-8")
    return path


def test_exclusions_in_the_repository_are_few_and_have_reasons():
    assert len(read_exclusions(EXCLUSIONS_FILE)) <= 3


def test_fourth_exclusion_is_refused(tmp_path):
    assert len(read_exclusions(write_exclusions(tmp_path, count=3))) == 3
    with pytest.raises(ValueError, match="names 4 tests: 3 at most"):
        read_exclusions(write_exclusions(tmp_path, count=4))


def test_exclusion_without_a_reason_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no reason for test_x\.T\.t"):
        read_exclusions(write_exclusions(tmp_path, reason=" "))


def test_missing_suite_names_the_package_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(SuiteMissingError, match=r"libpython3\.\d+-testsuite"):
        find_files()

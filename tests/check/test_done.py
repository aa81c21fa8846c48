"""Services that are marked done."""

from tests.check.conftest import Project

SERVICE = "app.services.billing"


def without_calls(project: Project) -> None:
    project.edit("app/services/billing.py", 'return connect("bills.db")', "return None")


def test_a_service_with_calls_is_not_marked_and_its_calls_are_told(allowed: Project) -> None:
    before = allowed.baseline.read_bytes()
    result = allowed.check("--done", SERVICE)
    assert result.exit_code == 1
    assert f"{SERVICE} is not marked done: it has 1 direct call\n" in result.stderr
    assert "app/services/billing.py:5" in result.stdout
    assert allowed.baseline.read_bytes() == before


def test_a_service_is_refused_though_only_another_part_is_checked(allowed: Project) -> None:
    result = allowed.check("app/services/shop.py", "--done", SERVICE)
    assert result.exit_code == 1
    assert "app/services/billing.py:5" in result.stdout


def test_a_mark_stays_when_it_is_asked_for_again_and_there_is_a_call(allowed: Project) -> None:
    allowed.edit("dbmanager-baseline.toml", "services_done = [", f'services_done = ["{SERVICE}"')
    assert allowed.check("--done", SERVICE).exit_code == 1
    assert f'"{SERVICE}",' in allowed.baseline.read_text()


def test_a_call_in_a_service_done_is_a_finding_though_a_row_allows_it(allowed: Project) -> None:
    allowed.edit("dbmanager-baseline.toml", "services_done = [", f'services_done = ["{SERVICE}"')
    [found] = allowed.findings()
    assert (found["kind"], found["service"], found["line"]) == ("done", SERVICE, 5)
    assert f"the service {SERVICE} is to have none" in found["message"]


def test_a_new_call_in_a_service_done_can_not_be_allowed(allowed: Project) -> None:
    without_calls(allowed)
    assert allowed.check("--update", "--done", SERVICE).exit_code == 0
    assert f'services_done = [\n  "{SERVICE}",\n]' in allowed.baseline.read_text()
    assert allowed.findings() == []
    before = allowed.baseline.read_bytes()
    allowed.edit("app/services/billing.py", "return None", 'return connect("bills.db")')
    assert allowed.check("--update", "--allow-new").exit_code == 1
    assert allowed.baseline.read_bytes() == before
    assert [found["kind"] for found in allowed.findings()] == ["done"]


def test_a_file_that_is_no_python_counts_for_its_service(allowed: Project) -> None:
    without_calls(allowed)
    assert allowed.check("--update", "--done", SERVICE).exit_code == 0
    allowed.write("app/services/billing.py", "print sqlite3.connect('a')\n")
    assert [found["kind"] for found in allowed.findings()] == ["done"]


def test_a_mark_is_taken_back(allowed: Project) -> None:
    without_calls(allowed)
    assert allowed.check("--update", "--done", SERVICE).exit_code == 0
    assert allowed.check("--not-done", SERVICE).exit_code == 0
    assert "services_done = [\n]" in allowed.baseline.read_text()
    again = allowed.check("--not-done", SERVICE)
    assert again.exit_code == 2
    assert f"'{SERVICE}' is not marked done" in again.stderr


def test_services_are_named_as_they_are_configured(allowed: Project) -> None:
    allowed.write("pyproject.toml", '[tool.dbmanager.services]\nmoney = ["app.services.bill*"]\n')
    assert "money is not marked done" in allowed.check("--done", "money").stderr


def test_a_mark_of_a_service_that_is_gone_is_stale(allowed: Project) -> None:
    without_calls(allowed)
    assert allowed.check("--update", "--done", SERVICE).exit_code == 0
    (allowed.folder / "app/services/billing.py").rename("app/services/bills.py")
    [stale] = allowed.findings()
    lines = allowed.baseline.read_text().splitlines()
    assert stale["kind"] == "stale"
    assert stale["line"] == lines.index(f'  "{SERVICE}",') + 1
    assert f"{SERVICE} is marked done, and there is no such service" in stale["message"]
    assert allowed.check("--update", "--done", "app.services.bills").exit_code == 0
    assert allowed.findings() == []
    assert SERVICE not in allowed.baseline.read_text()


def test_a_service_that_is_not_there_is_refused_with_those_that_are(allowed: Project) -> None:
    result = allowed.check("--done", "app.services.biling")
    assert result.exit_code == 2
    message = "there is no service 'app.services.biling'; there are app, app.services.billing, app."
    assert message in result.stderr

"""In continuous integration, any skip for a reason that is not listed here fails the session."""

import os

import pytest

MAY_SKIP = (
    "no real skulls",  # no data next to the clone
    "no native",
    "no clinical CT",
    "fewer than 10 kills",  # make test-faults KILLS=6
)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a session that skipped for another reason, if CI is set as continuous integration does."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None:  # a worker of xdist has no reporter
        return
    skips = {report.nodeid: report.longrepr[2] for report in reporter.stats.get("skipped", [])}
    if unexpected := [
        f"{test}: {reason}"
        for test, reason in skips.items()
        if not reason.removeprefix("Skipped: ").startswith(MAY_SKIP)
    ]:
        reporter.write_line("Skips that are not in tests/skips.py:\n" + "\n".join(unexpected), red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED

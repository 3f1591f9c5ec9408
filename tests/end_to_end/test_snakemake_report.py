"""Snakemake's own report of a finished run, with the captions of the rules."""

import subprocess

from tests.end_to_end.conftest import command, environment


def test_snakemakes_report_holds_the_page_and_its_captions(reference, tmp_path):
    place, page = reference.parents[1], tmp_path / "report.html"
    done = subprocess.run(
        command(place, 1, "--report", page), env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    text = page.read_text()
    for expected in (
        "Real skulls",
        "Families",
        "Provenance",
        "3-D view of implants",
        "report.html",
    ):
        assert expected in text

"""Execute all jobs of a run in this process: ``python -m tests.end_to_end.one_process CONFIG RUN``."""

import sys
from pathlib import Path

from calvaria import sources
from calvaria.config import dump, load
from calvaria.pipeline.plan import jobs
from calvaria.stages import STAGES
from calvaria.storage.paths import Run
from calvaria.storage.store import write_atomically


def main(source: Path, root: Path) -> None:
    """Run all jobs of a config in order of execution."""
    config, run = load(source), Run(root)
    write_atomically(run.config, dump(config))
    for job in jobs(STAGES, run, config, len(sources.catalogue(config.ingest.sources))):
        job.run(run, config)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

"""A run that is killed at any time and resumed ends with the same bytes.

The environment variables CALVARIA_KILLS and CALVARIA_SEED set the number of kills and the random seed, as
does `make test-faults KILLS=50 SEED=0`.
"""

import os
import signal
import subprocess
import time
from collections import Counter

import numpy as np
import pytest

from calvaria.pipeline.manifest import read_manifest
from calvaria.storage.paths import Run
from tests.end_to_end.conftest import command, environment
from tests.faults.conftest import SMALL, begun
from tests.faults.killing import Starter

KILLS = int(os.environ.get("CALVARIA_KILLS", "6"))
SEED = int(os.environ.get("CALVARIA_SEED", "0"))
TRIES = 30  # a job may finish before it is killed
LIMIT_S = 900


def test_jobs_killed_at_random_instants_end_with_the_same_digest(tmp_path, calm):
    """Kill every stage in turn: half of the kills at any instant, half while a file is written.

    In half of the cases, the outputs of the job are deleted, as by Snakemake; in the others they are kept.
    """
    reference, seconds = calm
    starter, rng = Starter(begun(tmp_path)), np.random.default_rng(SEED)
    names = [job.name for job in starter.jobs]
    stages = list(dict.fromkeys(job.stage.name for job in starter.jobs))
    order = [stages[place] for place in rng.permutation(len(stages))]
    of_stage = {
        stage: [n for n, job in enumerate(starter.jobs) if job.stage.name == stage] for stage in stages
    }
    planned = Counter(int(rng.choice(of_stage[order[kill % len(order)]])) for kill in range(KILLS))
    killed: Counter[str] = Counter()
    for number, job in enumerate(starter.jobs):
        for _ in range(planned[number]):
            how = kill(starter, number, seconds[number], rng)
            killed[job.stage.name] += 1
            print(f"kill {killed.total()} of {KILLS}: {names[number]} {how}", flush=True)
        starter.finish(number)
    print(f"seed {SEED}: {killed.total()} kills: {dict(killed)}", flush=True)
    assert killed.total() == KILLS
    assert len(killed) == min(KILLS, len(stages))
    same(starter.run, reference)


def kill(starter: Starter, number: int, seconds: float, rng: np.random.Generator) -> str:
    """Kill a job before it ends, and return a description of the instant."""
    outputs = starter.jobs[number].outputs
    for _ in range(TRIES):
        if rng.random() < 0.5:
            write = int(rng.integers(1, len(outputs) + 1))
            process, how = starter.start(number, write), f"in write {write}"
            process.join()
        else:
            instant = float(rng.uniform(0, seconds))
            process, how = starter.start(number), f"after {instant:.2f} s of {seconds:.2f}"
            process.join(instant)
            process.kill()
            process.join()
        died = process.exitcode == -signal.SIGKILL
        assert died or process.exitcode == 0
        if not died or rng.random() < 0.5:
            for path in outputs:
                path.unlink(missing_ok=True)
        if died:
            return how
    raise AssertionError(f"{starter.jobs[number].name} was done before it could be killed, {TRIES} times")


def same(run: Run, reference: Run) -> None:
    """Assert that all files and the digest are identical."""
    found, expected = read_manifest(run), read_manifest(reference)
    assert [name for name, sha in expected["files"].items() if found["files"].get(name) != sha] == []
    assert found["digest"] == expected["digest"]


def test_snakemake_and_all_its_jobs_killed_at_random_instants_end_with_the_same_digest(tmp_path, calm):
    """Use a tenth of the kills; each leaves a lock, for which Snakemake prints the remedy."""
    kills = KILLS // 10
    if not kills:
        pytest.skip("fewer than 10 kills were requested; tests/end_to_end kills Snakemake once")
    rng, line = np.random.default_rng([SEED, 1]), command(tmp_path, 2, config=SMALL)
    for number in range(kills):
        with (tmp_path / f"{number}.log").open("wb") as log:
            process = subprocess.Popen(
                line, env=environment(), stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
            said = tmp_path / f"{number}.log"
            while "Execute" not in said.read_text() and process.poll() is None:  # planning takes seconds
                time.sleep(0.1)
            time.sleep(rng.uniform(0, 6))
            assert process.poll() is None, "the run ended before it could be killed"
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        print(f"killed Snakemake {number + 1} of {kills} times", flush=True)
        if number == 0:
            refused = subprocess.run(line, env=environment(), capture_output=True, text=True, check=False)
            assert refused.returncode != 0
            assert "--unlock" in refused.stdout + refused.stderr
        unlock = [*line, "--unlock"]
        subprocess.run(unlock, env=environment(), capture_output=True, check=True)
    done = subprocess.run(
        line, env=environment(), capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    same(Run(tmp_path / "results" / "small"), calm[0])

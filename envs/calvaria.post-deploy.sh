#!/bin/sh
# Snakemake runs this in the fresh environment, from the repository's root: it adds calvaria itself.
set -eu
python -m pip install --no-deps --editable "$PWD"

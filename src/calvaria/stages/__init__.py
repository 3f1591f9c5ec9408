"""One module per stage, named like its rule, its command and its section of the config.

ingest -> people -> split -> template -> register -> fit -> sample -> screen -> audit
   |                 |                                                  |
 sheet               +-> limits -> screen                               +-> inject -> train -> evaluate
                                                                                  evaluate -> report

precision -> fit, sample, screen, audit, train
"""

from calvaria.pipeline.stage import Stage
from calvaria.stages import (
    audit,
    evaluate,
    fit,
    ingest,
    inject,
    limits,
    people,
    precision,
    register,
    report,
    sample,
    screen,
    sheet,
    split,
    template,
    train,
)

# In the order of the work: the one list from which commands, jobs, fingerprints and the manifest are derived.
STAGES: tuple[Stage, ...] = (
    ingest.STAGE,
    sheet.STAGE,
    people.STAGE,
    split.STAGE,
    precision.STAGE,
    template.STAGE,
    register.STAGE,
    fit.STAGE,
    sample.STAGE,
    limits.STAGE,
    screen.STAGE,
    audit.STAGE,
    inject.STAGE,
    train.STAGE,
    evaluate.STAGE,
    report.STAGE,
)

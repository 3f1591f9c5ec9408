# calvaria: skulls in; synthetic cases, trained networks and a report out.
#
# One file per stage, in the order of the work; a rule calls the command of the same name.


# A config given with --configfile stands for itself; nothing of the demo's is mixed into it.
if not workflow.configfiles:

    configfile: f"{workflow.basedir}/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/resources.smk"
include: "workflow/rules/ingest.smk"
include: "workflow/rules/sheet.smk"
include: "workflow/rules/people.smk"
include: "workflow/rules/split.smk"
include: "workflow/rules/template.smk"
include: "workflow/rules/register.smk"
include: "workflow/rules/fit.smk"
include: "workflow/rules/sample.smk"
include: "workflow/rules/screen.smk"
include: "workflow/rules/audit.smk"
include: "workflow/rules/inject.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/refine.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        RUN.report,
        RUN.manifest,
        [RUN.sheet(k) for k in SKULL_SHARDS],

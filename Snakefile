# calvaria: from skulls to synthetic cases, trained networks and a report.
#
# One file of rules per phase, in order of execution; each rule calls the command of the same name.


# A config given with --configfile replaces the demo config; the two are never merged.
if not workflow.configfiles:

    configfile: f"{workflow.basedir}/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/resources.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/families.smk"
include: "workflow/rules/arms.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        RUN.report,
        RUN.manifest,
        [RUN.sheet(k) for k in SKULL_SHARDS],

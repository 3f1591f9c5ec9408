# The report and the manifest of a finished run.


rule report:
    input:
        people=RUN.people,
        sheets=[RUN.sheet(k) for k in SKULL_SHARDS],
        split=RUN.split,
        limits=RUN.limits,
        precision=RUN.precision,
        ingested=shards(RUN.ingest, len(SKULLS), CONFIG.ingest.shard_size),
        fits=[RUN.fit(family) / "fit.json" for family in CONFIG.fit],
        samples=[
            shards(RUN.sample(family), CONFIG.sample.count, CONFIG.sample.shard_size)
            for family in CONFIG.fit
        ],
        screened=[
            shards(RUN.screen(family), CONFIG.sample.count, CONFIG.sample.shard_size)
            for family in CONFIG.fit
        ],
        audits=[RUN.audit(family) for family in CONFIG.fit],
        cases=[cases(cohort) for cohort in [*CONFIG.fit, *configuration.HELD_OUT]],
        networks=[networks(arm) for arm in CONFIG.train.arms],
        scores=[shards(RUN.evaluate(arm), 1, 1) for arm in CONFIG.train.arms],
    output:
        page=report(
            RUN.report,
            caption="../report/report.rst",
            category="Result",
            labels={"file": "report"},
        ),
        manifest=report(
            RUN.manifest,
            caption="../report/manifest.rst",
            category="Provenance",
            labels={"file": "manifest"},
        ),
    log:
        RUN.log("report"),
    benchmark:
        RUN.benchmark("report")
    conda:
        "../../envs/calvaria.yaml"
    threads: 2  # that render its pictures
    resources:
        mem_mb=memory(250, 600),
        runtime=60,
    params:
        run=RUN.root,
        identity=fingerprint("report"),
    shell:
        "calvaria report --run {params.run:q} 2>&1 | tee -i {log:q}"

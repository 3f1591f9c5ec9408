rule report:
    input:
        RUN.people,
        [RUN.sheet(k) for k in SKULL_SHARDS],
        RUN.split,
        RUN.limits,
        shards(RUN.ingest, len(SKULLS), CONFIG.ingest.shard_size),
        [RUN.fit(family) / "fit.json" for family in CONFIG.fit],
        [shards(RUN.sample(family), CONFIG.sample.count, CONFIG.sample.shard_size) for family in CONFIG.fit],
        [shards(RUN.screen(family), CONFIG.sample.count, CONFIG.sample.shard_size) for family in CONFIG.fit],
        [RUN.audit(family) for family in CONFIG.fit],
        [cases(cohort) for cohort in [*CONFIG.fit, *configuration.HELD_OUT]],
        [networks(arm) for arm in CONFIG.train.arms],
        [shards(RUN.evaluate(arm), 1, 1) for arm in CONFIG.train.arms],
    output:
        report(
            RUN.report,
            caption="../report/report.rst",
            category="Result",
            labels={"file": "report"},
        ),
        report(
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
    resources:
        mem_mb=memory(250, 600),
        runtime=60,
    params:
        run=RUN.root,
        identity=fingerprint("report"),
    shell:
        "calvaria report --run {params.run:q} 2>&1 | tee -i {log:q}"

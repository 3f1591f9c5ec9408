# Real skulls: from the sources to the split of people into cohorts.
#
# ingest -> sheet
# ingest -> people -> split


rule ingest:
    input:
        scans=lambda wildcards: [
            path
            for entry in SKULLS[int(wildcards.shard) * CONFIG.ingest.shard_size :][
                : CONFIG.ingest.shard_size
            ]
            for path in entry.files
        ],
    output:
        volumes=RUN.ingest.shard("{shard}"),
        rows=RUN.ingest.table("{shard}"),
        occupancies=RUN.occupancies("{shard}"),
        vaults=RUN.vaults("{shard}"),
    log:
        RUN.log("ingest/{shard}"),
    benchmark:
        RUN.benchmark("ingest/{shard}")
    conda:
        "../../envs/calvaria.yaml"
    resources:
        mem_mb=memory(1000),
        runtime=60,
    params:
        run=RUN.root,
        identity=fingerprint("ingest"),
    shell:
        "calvaria ingest --run {params.run:q} --shard {wildcards.shard} 2>&1 | tee -i {log:q}"


rule sheet:
    input:
        volumes=RUN.ingest.shard("{shard}"),
        rows=RUN.ingest.table("{shard}"),
    output:
        sheet=report(
            RUN.sheet("{shard}"),
            caption="../report/sheet.rst",
            category="Real skulls",
            labels={"shard": "{shard}"},
        ),
    log:
        RUN.log("sheet/{shard}"),
    benchmark:
        RUN.benchmark("sheet/{shard}")
    conda:
        "../../envs/calvaria.yaml"
    resources:
        mem_mb=memory(200, 12 * CONFIG.ingest.shard_size),
        runtime=60,
    params:
        run=RUN.root,
        identity=fingerprint("sheet"),
    shell:
        "calvaria sheet --run {params.run:q} --shard {wildcards.shard} 2>&1 | tee -i {log:q}"


rule people:
    input:
        ingested=shards(RUN.ingest, len(SKULLS), CONFIG.ingest.shard_size),
        vaults=[RUN.vaults(k) for k in SKULL_SHARDS],
    output:
        people=RUN.people,
    log:
        RUN.log("people"),
    benchmark:
        RUN.benchmark("people")
    conda:
        "../../envs/calvaria.yaml"
    resources:
        mem_mb=memory(200 + len(SKULLS)),
        runtime=60,
    params:
        run=RUN.root,
        identity=fingerprint("people"),
    shell:
        "calvaria people --run {params.run:q} 2>&1 | tee -i {log:q}"


rule split:
    input:
        people=RUN.people,
        ingested=shards(RUN.ingest, len(SKULLS), CONFIG.ingest.shard_size),
    output:
        split=RUN.split,
    log:
        RUN.log("split"),
    benchmark:
        RUN.benchmark("split")
    conda:
        "../../envs/calvaria.yaml"
    resources:
        mem_mb=memory(100),
        runtime=10,
    params:
        run=RUN.root,
        identity=fingerprint("split"),
    shell:
        "calvaria split --run {params.run:q} 2>&1 | tee -i {log:q}"

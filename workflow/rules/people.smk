rule people:
    input:
        shards(RUN.ingest, len(SKULLS), CONFIG.ingest.shard_size),
        [RUN.vaults(k) for k in SKULL_SHARDS],
    output:
        RUN.people,
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

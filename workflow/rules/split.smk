rule split:
    input:
        RUN.people,
        shards(RUN.ingest, len(SKULLS), CONFIG.ingest.shard_size),
    output:
        RUN.split,
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

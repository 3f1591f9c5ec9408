rule ingest:
    input:
        lambda wildcards: [
            path
            for entry in SKULLS[int(wildcards.shard) * CONFIG.ingest.shard_size :][
                : CONFIG.ingest.shard_size
            ]
            for path in entry.files
        ],
    output:
        RUN.ingest.shard("{shard}"),
        RUN.ingest.table("{shard}"),
        RUN.vaults("{shard}"),
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

rule sheet:
    input:
        RUN.ingest.shard("{shard}"),
        RUN.ingest.table("{shard}"),
    output:
        report(
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

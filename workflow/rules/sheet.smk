rule sheet:
    input:
        RUN.ingest.shard("{shard}"),
        RUN.ingest.table("{shard}"),
    output:
        RUN.sheet("{shard}"),
    log:
        RUN.log("sheet/{shard}"),
    benchmark:
        RUN.benchmark("sheet/{shard}")
    conda:
        "../../envs/calvaria.yaml"
    resources:
        mem_mb=1500,
        runtime=60,
    params:
        run=RUN.root,
        identity=identity(CONFIG, "sheet"),
    shell:
        "calvaria sheet --run {params.run:q} --shard {wildcards.shard} 2>&1 | tee -i {log:q}"

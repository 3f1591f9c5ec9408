rule sample:
    input:
        skulls,
        fitted,
    output:
        RUN.sample("{family}").shard("{shard}"),
        RUN.sample("{family}").table("{shard}"),
    log:
        RUN.log("sample/{family}/{shard}"),
    benchmark:
        RUN.benchmark("sample/{family}/{shard}")
    conda:
        "../../envs/calvaria.yaml"
    threads: CONFIG.threads
    resources:
        mem_mb=memory(900, 1700 + 2 * CONFIG.sample.shard_size),
        runtime=drawing_time(CONFIG.sample.shard_size),
        gpu=lambda wildcards: drawing_gpus(wildcards.family, helps=CONFIG.fit[wildcards.family].kind == "ldm"),
    params:
        run=RUN.root,
        identity=fingerprint("sample"),
    shell:
        "calvaria sample --run {params.run:q} --family {wildcards.family} --shard {wildcards.shard}"
        " 2>&1 | tee -i {log:q}"

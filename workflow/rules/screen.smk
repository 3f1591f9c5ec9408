rule limits:
    input:
        skulls,
    output:
        RUN.limits,
    log:
        RUN.log("limits"),
    benchmark:
        RUN.benchmark("limits")
    conda:
        "../../envs/calvaria.yaml"
    resources:
        mem_mb=memory(200, 4 * len(SKULLS)),
        runtime=60,
    params:
        run=RUN.root,
        identity=fingerprint("limits"),
    shell:
        "calvaria limits --run {params.run:q} 2>&1 | tee -i {log:q}"


rule screen:
    input:
        skulls,
        fitted,
        RUN.limits,
        RUN.sample("{family}").shard("{shard}"),
        RUN.sample("{family}").table("{shard}"),
    output:
        RUN.screen("{family}").shard("{shard}"),
        RUN.screen("{family}").table("{shard}"),
    log:
        RUN.log("screen/{family}/{shard}"),
    benchmark:
        RUN.benchmark("screen/{family}/{shard}")
    conda:
        "../../envs/calvaria.yaml"
    threads: CONFIG.threads
    resources:
        mem_mb=memory(900, 1700 + 2 * CONFIG.sample.shard_size),
        runtime=drawing_time(2 * CONFIG.sample.shard_size),
        gpu=lambda wildcards: drawing_gpus(wildcards.family),
    params:
        run=RUN.root,
        identity=fingerprint("screen"),
    shell:
        "calvaria screen --run {params.run:q} --family {wildcards.family} --shard {wildcards.shard}"
        " 2>&1 | tee -i {log:q}"

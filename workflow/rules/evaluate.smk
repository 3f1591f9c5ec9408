rule evaluate:
    input:
        cases("test"),
        skulls,
        lambda wildcards: networks(wildcards.arm),
    output:
        RUN.evaluate("{arm}").shard(0),
        RUN.evaluate("{arm}").table(0),
    log:
        RUN.log("evaluate/{arm}"),
    benchmark:
        RUN.benchmark("evaluate/{arm}")
    conda:
        "../../envs/calvaria.yaml"
    threads: CONFIG.threads
    resources:
        mem_mb=3000,
        runtime=4 * 60,
    params:
        run=RUN.root,
        identity=lambda wildcards: identity(CONFIG, "evaluate", wildcards.arm),
    shell:
        "calvaria evaluate --run {params.run:q} --arm {wildcards.arm} 2>&1 | tee -i {log:q}"

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
        mem_mb=memory(750, 800, 90),
        # four times the 26 s of a case, if there are as many of them as of skulls
        runtime=60 + 2 * len(SKULLS) * CONFIG.inject.per_held_out_skull,
        gpu=int(CONFIG.device == "cuda"),  # a quarter of its time is the networks
    params:
        run=RUN.root,
        identity=fingerprint("evaluate"),
    shell:
        "calvaria evaluate --run {params.run:q} --arm {wildcards.arm} 2>&1 | tee -i {log:q}"

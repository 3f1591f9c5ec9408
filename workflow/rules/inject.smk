rule inject:
    input:
        whole,
    output:
        RUN.inject("{cohort}").shard("{shard}"),
        RUN.inject("{cohort}").table("{shard}"),
    log:
        RUN.log("inject/{cohort}/{shard}"),
    benchmark:
        RUN.benchmark("inject/{cohort}/{shard}")
    conda:
        "../../envs/calvaria.yaml"
    resources:
        mem_mb=memory(200, 2.5 * CONFIG.sample.shard_size * (1 + CONFIG.inject.per_skull)),
        runtime=60,
    params:
        run=RUN.root,
        identity=fingerprint("inject"),
    shell:
        "calvaria inject --run {params.run:q} --cohort {wildcards.cohort} --shard {wildcards.shard}"
        " 2>&1 | tee -i {log:q}"

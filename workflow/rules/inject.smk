def whole(wildcards):
    """The complete skulls that get defects: a shard of a family, or a held-out cohort."""
    if wildcards.cohort in configuration.HELD_OUT:
        return skulls(wildcards)
    store = RUN.screen(wildcards.cohort)
    return [store.shard(wildcards.shard), store.table(wildcards.shard)]


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
        mem_mb=2000,
        runtime=60,
    params:
        run=RUN.root,
        identity=lambda wildcards: identity(CONFIG, "inject", wildcards.cohort, int(wildcards.shard)),
    shell:
        "calvaria inject --run {params.run:q} --cohort {wildcards.cohort} --shard {wildcards.shard}"
        " 2>&1 | tee {log:q}"

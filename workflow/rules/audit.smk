rule audit:
    input:
        skulls,
        fitted,
        lambda wildcards: shards(RUN.screen(wildcards.family), CONFIG.sample.count, CONFIG.sample.shard_size),
    output:
        report(
            RUN.audit("{family}"),
            caption="../report/audit.rst",
            category="Families",
            labels={"family": "{family}"},
        ),
    log:
        RUN.log("audit/{family}"),
    benchmark:
        RUN.benchmark("audit/{family}")
    conda:
        "../../envs/calvaria.yaml"
    threads: CONFIG.threads
    resources:
        mem_mb=memory(750, 1200 + 2 * CONFIG.sample.count),
        runtime=drawing_time(CONFIG.sample.count),
        gpu=lambda wildcards: drawing_gpus(wildcards.family),
    params:
        run=RUN.root,
        identity=fingerprint("audit"),
    shell:
        "calvaria audit --run {params.run:q} --family {wildcards.family} 2>&1 | tee -i {log:q}"


# Every family's audit, without training an arm: snakemake audits
rule audits:
    input:
        [RUN.audit(family) for family in CONFIG.fit],

rule register:
    input:
        skulls,
        lambda wildcards: (
            [RUN.template(wildcards.family)] if CONFIG.fit[wildcards.family].builds_template else []
        ),
    output:
        RUN.fields("{family}", "{batch}"),
        RUN.registrations("{family}", "{batch}"),
    log:
        RUN.log("register/{family}/{batch}"),
    benchmark:
        RUN.benchmark("register/{family}/{batch}")
    conda:
        "../../envs/calvaria.yaml"
    threads: CONFIG.threads
    resources:
        mem_mb=memory(900, 200),
        # four times the 17 s of a registration
        runtime=lambda wildcards: 30 + 2 * CONFIG.fit[wildcards.family].batch_size,
    params:
        run=RUN.root,
        identity=fingerprint("register"),
    shell:
        "calvaria register --run {params.run:q} --family {wildcards.family} --batch {wildcards.batch}"
        " 2>&1 | tee -i {log:q}"

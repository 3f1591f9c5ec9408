rule fit:
    input:
        below,
    output:
        RUN.fit("{family}") / "fit.json",
        RUN.fit("{family}") / "model.safetensors",
    log:
        RUN.log("fit/{family}"),
    benchmark:
        RUN.benchmark("fit/{family}")
    conda:
        "../../envs/calvaria.yaml"
    threads: lambda wildcards: TRAINING_CPUS if network(wildcards.family) else CONFIG.threads
    resources:
        # The components from which networks start are made of all skulls at once.
        mem_mb=memory(1200, 2200 + 110 * len(SKULLS)),
        runtime=lambda wildcards: (
            training_time(CONFIG.fit[wildcards.family].optimiser) if network(wildcards.family) else 60
        ),
        gpu=lambda wildcards: TRAINING_GPUS if network(wildcards.family) else 0,
    params:
        run=RUN.root,
        identity=fingerprint("fit"),
    shell:
        "calvaria fit --run {params.run:q} --family {wildcards.family} 2>&1 | tee -i {log:q}"

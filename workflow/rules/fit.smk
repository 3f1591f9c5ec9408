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
    threads: CONFIG.threads
    resources:
        mem_mb=3000,
        runtime=24 * 60,
    params:
        run=RUN.root,
        identity=lambda wildcards: identity(CONFIG, "fit", wildcards.family),
    shell:
        "calvaria fit --run {params.run:q} --family {wildcards.family} 2>&1 | tee -i {log:q}"

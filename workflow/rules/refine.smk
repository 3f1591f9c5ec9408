rule refine:
    input:
        skulls,
    output:
        RUN.refine / "refine.json",
        RUN.refine / "model.safetensors",
    log:
        RUN.log("refine"),
    benchmark:
        RUN.benchmark("refine")
    conda:
        "../../envs/calvaria.yaml"
    threads: CONFIG.threads
    resources:
        mem_mb=6000,
        runtime=24 * 60,
    params:
        run=RUN.root,
        identity=identity(CONFIG, "refine"),
    shell:
        "calvaria refine --run {params.run:q} 2>&1 | tee -i {log:q}"

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
    threads: TRAINING_CPUS
    resources:
        mem_mb=memory(1100, per_million_fine=90 + 1.2 * len(SKULLS)),
        runtime=training_time(CONFIG.refine.optimiser, FINE / 9) if CONFIG.refine else 60,  # it sees windows
        gpu=TRAINING_GPUS,
    params:
        run=RUN.root,
        identity=fingerprint("refine"),
    shell:
        "calvaria refine --run {params.run:q} 2>&1 | tee -i {log:q}"

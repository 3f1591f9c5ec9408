rule train:
    input:
        skulls,
        lambda wildcards: [
            path for family in CONFIG.train.arms[wildcards.arm].families for path in cases(family)
        ],
        cases("validation"),
    output:
        RUN.train("{arm}", "{seed}") / "train.json",
        RUN.train("{arm}", "{seed}") / "model.safetensors",
    log:
        RUN.log("train/{arm}/{seed}"),
    benchmark:
        RUN.benchmark("train/{arm}/{seed}")
    conda:
        "../../envs/calvaria.yaml"
    threads: TRAINING_CPUS
    resources:
        mem_mb=memory(750, 1600),
        runtime=training_time(CONFIG.train.optimiser),
        gpu=TRAINING_GPUS,
    params:
        run=RUN.root,
        identity=fingerprint("train"),
    shell:
        "calvaria train --run {params.run:q} --arm {wildcards.arm} --seed {wildcards.seed} 2>&1 | tee -i {log:q}"

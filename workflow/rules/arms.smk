# Cases, and the networks compared on them.
#
# inject -> train -> evaluate


rule inject:
    input:
        skulls=whole,
    output:
        volumes=RUN.inject("{cohort}").shard("{shard}"),
        rows=RUN.inject("{cohort}").table("{shard}"),
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


# Makes the cases of all families without training any arm: snakemake dataset
rule dataset:
    input:
        [cases(family) for family in CONFIG.fit],


rule train:
    input:
        skulls=skulls,
        cases=lambda wildcards: [
            path for family in CONFIG.train.arms[wildcards.arm].families for path in cases(family)
        ],
        validation=cases("validation"),
        vaults=[RUN.vaults(k) for k in SKULL_SHARDS],
        precision=RUN.precision,
    output:
        record=RUN.train("{arm}", "{seed}") / "train.json",
        weights=RUN.train("{arm}", "{seed}") / "model.safetensors",
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


rule evaluate:
    input:
        cases=cases("test"),
        skulls=skulls,
        networks=lambda wildcards: networks(wildcards.arm),
    output:
        volumes=RUN.evaluate("{arm}").shard(0),
        rows=RUN.evaluate("{arm}").table(0),
    log:
        RUN.log("evaluate/{arm}"),
    benchmark:
        RUN.benchmark("evaluate/{arm}")
    conda:
        "../../envs/calvaria.yaml"
    threads: CONFIG.threads
    resources:
        mem_mb=memory(900, 1600),
        # four times the 26 s of a case, as if all skulls were in the test cohort
        runtime=60 + 2 * len(SKULLS) * CONFIG.inject.per_held_out_skull,
        gpu=int(CONFIG.device == "cuda"),  # networks take a quarter of its time
    params:
        run=RUN.root,
        identity=fingerprint("evaluate"),
    shell:
        "calvaria evaluate --run {params.run:q} --arm {wildcards.arm} 2>&1 | tee -i {log:q}"

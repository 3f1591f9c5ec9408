# Augmentation families: from the training skulls to screened samples.
#
# template -> register -> fit -> sample -> screen -> audit
#             precision ---^     limits -> screen


# Probes the training device for the fastest precision of matrix products.
rule precision:
    output:
        precision=RUN.precision,
    log:
        RUN.log("precision"),
    benchmark:
        RUN.benchmark("precision")
    conda:
        "../../envs/calvaria.yaml"
    threads: CONFIG.threads
    resources:
        mem_mb=memory(600),
        runtime=10,
        gpu=min(1, TRAINING_GPUS),
    params:
        run=RUN.root,
        identity=fingerprint("precision"),
    shell:
        "calvaria precision --run {params.run:q} 2>&1 | tee -i {log:q}"


rule template:
    input:
        skulls=skulls,
    output:
        template=RUN.template("{family}"),
    log:
        RUN.log("template/{family}"),
    benchmark:
        RUN.benchmark("template/{family}")
    conda:
        "../../envs/calvaria.yaml"
    threads: CONFIG.threads
    resources:
        mem_mb=memory(700, 200),
        runtime=2 * 60,
    params:
        run=RUN.root,
        identity=fingerprint("template"),
    shell:
        "calvaria template --run {params.run:q} --family {wildcards.family} 2>&1 | tee -i {log:q}"


rule register:
    input:
        skulls=skulls,
        template=lambda wildcards: (
            [RUN.template(wildcards.family)] if CONFIG.fit[wildcards.family].builds_template else []
        ),
    output:
        fields=RUN.fields("{family}", "{batch}"),
        registrations=RUN.registrations("{family}", "{batch}"),
    log:
        RUN.log("register/{family}/{batch}"),
    benchmark:
        RUN.benchmark("register/{family}/{batch}")
    conda:
        "../../envs/calvaria.yaml"
    threads: CONFIG.threads
    resources:
        mem_mb=memory(900, 200),
        # four times the 17 s per registration
        runtime=lambda wildcards: 30 + 2 * CONFIG.fit[wildcards.family].batch_size,
    params:
        run=RUN.root,
        identity=fingerprint("register"),
    shell:
        "calvaria register --run {params.run:q} --family {wildcards.family} --batch {wildcards.batch}"
        " 2>&1 | tee -i {log:q}"


rule fit:
    input:
        learned_from=below,
        precision=RUN.precision,
    output:
        record=RUN.fit("{family}") / "fit.json",
        weights=RUN.fit("{family}") / "model.safetensors",
    log:
        RUN.log("fit/{family}"),
    benchmark:
        RUN.benchmark("fit/{family}")
    priority: 1  # the longest chains of jobs start with a training
    conda:
        "../../envs/calvaria.yaml"
    threads: lambda wildcards: TRAINING_CPUS if network(wildcards.family) else CONFIG.threads
    resources:
        # The components that initialise networks are computed from all skulls at once.
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


rule sample:
    input:
        skulls=skulls,
        model=fitted,
        precision=RUN.precision,
    output:
        volumes=RUN.sample("{family}").shard("{shard}"),
        rows=RUN.sample("{family}").table("{shard}"),
    log:
        RUN.log("sample/{family}/{shard}"),
    benchmark:
        RUN.benchmark("sample/{family}/{shard}")
    conda:
        "../../envs/calvaria.yaml"
    threads: CONFIG.threads
    resources:
        mem_mb=memory(900, 1700 + 2 * CONFIG.sample.shard_size),
        runtime=drawing_time(CONFIG.sample.shard_size),
        gpu=lambda wildcards: drawing_gpus(
            wildcards.family, helps=CONFIG.fit[wildcards.family].samples_iteratively
        ),
    params:
        run=RUN.root,
        identity=fingerprint("sample"),
    shell:
        "calvaria sample --run {params.run:q} --family {wildcards.family} --shard {wildcards.shard}"
        " 2>&1 | tee -i {log:q}"


rule limits:
    input:
        skulls=skulls,
    output:
        limits=RUN.limits,
    log:
        RUN.log("limits"),
    benchmark:
        RUN.benchmark("limits")
    conda:
        "../../envs/calvaria.yaml"
    resources:
        mem_mb=memory(200, 4 * len(SKULLS)),
        runtime=60,
    params:
        run=RUN.root,
        identity=fingerprint("limits"),
    shell:
        "calvaria limits --run {params.run:q} 2>&1 | tee -i {log:q}"


rule screen:
    input:
        skulls=skulls,
        model=fitted,
        precision=RUN.precision,
        limits=RUN.limits,
        volumes=RUN.sample("{family}").shard("{shard}"),
        rows=RUN.sample("{family}").table("{shard}"),
    output:
        volumes=RUN.screen("{family}").shard("{shard}"),
        rows=RUN.screen("{family}").table("{shard}"),
    log:
        RUN.log("screen/{family}/{shard}"),
    benchmark:
        RUN.benchmark("screen/{family}/{shard}")
    conda:
        "../../envs/calvaria.yaml"
    threads: CONFIG.threads
    resources:
        mem_mb=memory(900, 1700 + 2 * CONFIG.sample.shard_size),
        runtime=drawing_time(2 * CONFIG.sample.shard_size),
        gpu=lambda wildcards: drawing_gpus(wildcards.family),
    params:
        run=RUN.root,
        identity=fingerprint("screen"),
    shell:
        "calvaria screen --run {params.run:q} --family {wildcards.family} --shard {wildcards.shard}"
        " 2>&1 | tee -i {log:q}"


rule audit:
    input:
        skulls=skulls,
        model=fitted,
        precision=RUN.precision,
        screened=lambda wildcards: shards(
            RUN.screen(wildcards.family), CONFIG.sample.count, CONFIG.sample.shard_size
        ),
    output:
        audit=report(
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


# Audits all families without training any arm: snakemake audits
rule audits:
    input:
        [RUN.audit(family) for family in CONFIG.fit],

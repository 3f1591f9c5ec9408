rule template:
    input:
        skulls,
    output:
        RUN.template("{family}"),
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

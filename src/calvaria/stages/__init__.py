"""One module per stage, named like its rule, its command and its section of the config.

ingest -> split -> fit[family] -> sample[family] -> screen[family] -> inject[cohort]
                                    train[arm] -> evaluate[arm] -> report
"""

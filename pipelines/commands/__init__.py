"""The commands of `qiongxin`, one module per group; `pipelines.cli` puts them together."""

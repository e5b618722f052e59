"""repo_exp: post-training of language models on heterogeneous rewards, as a declarative experiment."""

__version__ = "0.1.0"

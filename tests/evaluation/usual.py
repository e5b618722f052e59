"""The summary and the examples of the usual sources: reward model, judge and rules."""

from functools import partial

from repo_exp.evaluation import examples, summary
from repo_exp.evaluation.names import SourceNames
from tests.rewards.combining import USUAL

summarise = partial(summary.summarise, sources=USUAL)
choose_examples = partial(examples.choose_examples, sources=USUAL)
NAMES = SourceNames({"source_info": {name: summary._info(info) for name, info in USUAL.items()}})

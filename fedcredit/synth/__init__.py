"""A synthetic consortium of small enterprises, for the demonstration, tests and benchmarks. No row is a real one."""

from fedcredit.synth.consortium import DEMO_PARTIES, LABEL, Consortium, Holding, generate
from fedcredit.synth.demo import write_demo

__all__ = ["DEMO_PARTIES", "LABEL", "Consortium", "Holding", "generate", "write_demo"]

"""A synthetic consortium of small enterprises, for the demonstration, tests and benchmarks. No row is a real one."""

from fedcredit.synth.cities import CITIES, draw_cities, write_cities, write_city_tables
from fedcredit.synth.consortium import DEMO_PARTIES, LABEL, Consortium, Holding, generate
from fedcredit.synth.demo import write_demo

__all__ = [
    "CITIES",
    "DEMO_PARTIES",
    "LABEL",
    "Consortium",
    "Holding",
    "draw_cities",
    "generate",
    "write_cities",
    "write_city_tables",
    "write_demo",
]

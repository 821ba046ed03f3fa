# mirage >=0.1,<0.2
"""Says the date and the saying of the day, out of files that are built in."""

from mirage.tool.devices import CONSOLE, JOB, KV_RO, STR, WALL_CLOCK, boot_argument, console, crunch, foreign, register
from mirage.tool.devices import wall_clock

who = boot_argument("who", STR, default="reader", doc="Whom to speak to.")

almanac = foreign(
    "almanac:main",
    takes=(CONSOLE, WALL_CLOCK, KV_RO),
    gives=JOB,
    packages=["mirage-types>=0.1,<0.2"],
    arguments={"who": who},
)

register("almanac", almanac(console(), wall_clock(), crunch("sayings")))

# mirage >=0.1,<0.2
"""Greets on the console, as often as it is told to."""

from mirage.tool.devices import CONSOLE, INT, JOB, STR, boot_argument, console, enum, foreign, key, register

language = key("language", enum("english", "welsh"), default="english", doc="Language of the greeting.")
who = boot_argument("who", STR, default="world", doc="Whom to greet.")
count = boot_argument("count", INT, default=1, doc="How many times to greet.")

hello = foreign(
    "unikernel:main",
    takes=(CONSOLE,),
    gives=JOB,
    packages=["mirage-types>=0.1,<0.2"],
    arguments={"language": language, "who": who, "count": count},
)

register("hello", hello(console()))

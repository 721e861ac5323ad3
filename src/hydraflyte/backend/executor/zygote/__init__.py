"""The program that runs inside a task interpreter: a warm process that forks one child per attempt.

It is started as ``EXE zygote/boot.py`` by interpreters in which hydraflyte need not be installed, so nothing in this
folder may import anything but the standard library, flytekit (late) and its own siblings, always relatively.
The process has one thread, for ever: a second one would make the forks unsafe.
"""

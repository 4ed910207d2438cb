"""Exercises of chapter 4: training."""

from neocog.exercises.computing import row
from neocog.exercises.exercise import exercise

exercise(
    "4.1",
    1,
    "With momentum 0.9 and the textbook's seeds, after how many epochs are all validation images classified "
    "correctly for the first time?",
    answer=lambda: row("momentum", "momentum 0.9")["first_at_100"],
    hint="run it: neocog experiment momentum.",
    solution="Momentum adds up the steps that agree: three times fewer epochs than without. Over ten seeds "
    "it is 3.6 epochs on average against 11.0.",
)

exercise(
    "4.2",
    1,
    "With the textbook's seeds, how many of the three filters are dead at a learning rate of 1.0?",
    answer=lambda: row("learning-rates", "lr 1")["dead_units"],
    hint="run it: neocog experiment learning-rates.",
    solution="All: one step was too large, and no image makes them respond again. It is a matter of luck: in "
    "ten runs all three die in five, and the other five reach 100 %.",
)

"""The exercises, chapter by chapter; importing a module registers its exercises."""

from neocog.exercises.chapters import chapter_1, chapter_2, chapter_4, chapter_5, chapter_8

__all__ = ["chapter_1", "chapter_2", "chapter_4", "chapter_5", "chapter_8"]

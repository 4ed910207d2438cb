"""Make folders of images as people have them, of many kinds, each with a separate test part.

A function returns training images, training labels, test images, test labels and names of the classes; images
are uint8 (N, H, W) or (N, H, W, 3). The test part has other fonts, other regions of the photographs, or other
draws. ``groups`` numbers what the training images share (a font, a region): a fold holds whole groups.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

FONTS = os.environ.get("OWN_IMAGES_FONTS", "/usr/share/fonts")
"""Folder that is searched for fonts, of which ``glyphs`` takes 290.

RESULTS.md has those of these packages of Debian 12: fonts-cabin, cantarell, comfortaa, courier-prime,
crosextra-caladea, crosextra-carlito, dejavu, dosis, ebgaramond, firacode, hack, inconsolata, jetbrains-mono,
junicode, lato, liberation, linuxlibertine, lmodern, open-sans, play, quicksand, roboto-unhinted, sil-charis,
sil-gentium, texgyre and urw-base35.
"""


@dataclass(frozen=True)
class Kind:
    """One folder: training and test images, and the groups of the training images."""

    x: np.ndarray
    y: np.ndarray
    groups: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...]


KINDS: dict[str, Callable[[], Kind]] = {}
Draw = Callable[[int, int, np.random.Generator], Image.Image]


def kind(make: Callable[[], Kind]) -> Callable[[], Kind]:
    """Register a function that makes a folder."""
    cached = functools.cache(make)
    KINDS[make.__name__] = cached
    return cached


def _joined(parts: list[tuple[Any, int, int]], test: list[tuple[Any, int, int]], names: Any) -> Kind:
    """Make a kind of (image, class, group) of both parts."""
    x, y, groups = zip(*parts, strict=True)
    x_test, y_test, _ = zip(*test, strict=True)
    arrays = (np.stack([np.asarray(image) for image in images]) for images in (x, x_test))
    first, second = arrays
    return Kind(first, np.array(y), np.array(groups), second, np.array(y_test), tuple(names))


def _drawn(names: Any, train: Any, test: int, draw: Draw, seed: int) -> Kind:
    """Draw so many images a class (a number, or one for each class); two parts of independent draws."""
    rng = np.random.default_rng(seed)
    counts = train if isinstance(train, tuple) else (train,) * len(names)
    parts = [(draw(c, k, rng), c, k % 10) for c, n in enumerate(counts) for k in range(n)]
    return _joined(parts, [(draw(c, k, rng), c, 0) for c in range(len(names)) for k in range(test)], names)


# Letters and signs


@functools.cache
def fonts() -> tuple[str, ...]:
    """List the fonts that have the letters, in an order of chance."""
    found = []
    for path in sorted(path for path in Path(FONTS).rglob("*") if path.suffix in (".ttf", ".otf", ".pfb")):
        if any(
            word in path.name.lower() for word in ("symbol", "emoji", "ding", "math", "d050", "bitstream")
        ):
            continue
        try:
            font = ImageFont.truetype(str(path), 40)
            masks = {bytes(font.getmask(letter)) for letter in "ABJ8"}
        except (OSError, ValueError):
            continue
        if len(masks) == 4:  # else there is one box for all letters
            found.append(str(path))
    return tuple(np.random.default_rng(0).permutation(found).tolist())


@functools.cache
def _font(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


def _glyph(letter: str, font: str, size: int, rng: np.random.Generator, tilt: float = 0.0) -> Image.Image:
    image = Image.new("L", (size, size), int(rng.integers(200, 256)))
    place = size / 2 + rng.uniform(-0.05, 0.05, 2) * size
    height = int(size * rng.uniform(0.65, 0.85))
    ink = int(rng.integers(0, 90))
    ImageDraw.Draw(image).text(tuple(place), letter, font=_font(font, height), fill=ink, anchor="mm")
    return image.rotate(rng.uniform(-tilt, tilt), Image.Resampling.BILINEAR, fillcolor=230) if tilt else image


def _of_fonts(letters: str, count: int, size: int, seed: int, repeats: int = 1, tilt: float = 0.0) -> Kind:
    rng, some = np.random.default_rng(seed), fonts()[:count]
    cut = int(0.77 * len(some))
    made = [
        (_glyph(letter, font, size, rng, tilt), c, f)
        for f, font in enumerate(some)
        for c, letter in enumerate(letters)
        for _ in range(repeats)
    ]
    train = [each for each in made if each[2] < cut]
    return _joined(train, [each for each in made[:: max(repeats // 2, 1)] if each[2] >= cut], letters)


@kind
def letters() -> Kind:
    """Ten letters in 220 fonts; 1690 images, grey, 32 x 32."""
    return _of_fonts("ABCDEFGHIJ", 220, 32, seed=1)


@kind
def glyphs() -> Kind:
    """Thirty letters and digits in 290 fonts, tilted; 20 070 images, grey, 28 x 28."""
    return _of_fonts("ABCDEFGHJKLMNPQRSTUVWXYZ234679", 290, 28, seed=2, repeats=3, tilt=8)


@kind
def digits() -> Kind:
    """Handwritten digits of scikit-learn, the last writers apart; 1300 images, grey, 8 x 8."""
    from sklearn.datasets import load_digits

    data = load_digits()
    x, y = (data.images * 255 / 16).round().astype("uint8"), data.target
    blocks = np.arange(len(x)) // 130
    return Kind(x[:1300], y[:1300], blocks[:1300], x[1300:], y[1300:], tuple("0123456789"))


@kind
def signs() -> Kind:
    """Twelve signs under changing light; 1200 images, colour, 40 x 40."""
    forms = ("circle", "triangle", "square", "octagon")
    names = [f"{form} {text}" for form in forms for text in ("3", "8", "P")]
    sides = {"triangle": (3, -90), "square": (4, 45), "octagon": (8, 22.5)}
    rims = {
        "circle": (190, 20, 30),
        "triangle": (200, 30, 20),
        "square": (20, 60, 170),
        "octagon": (180, 20, 40),
    }

    def draw(c: int, k: int, rng: np.random.Generator) -> Image.Image:
        form, text = names[c].split()
        back = rng.integers(0, 200, 3)
        image = Image.new("RGB", (80, 80), tuple(back.tolist()))
        pen = ImageDraw.Draw(image)
        for _ in range(6):  # a street behind it
            box = rng.integers(0, 80, 4)
            corners = (*np.sort(box[[0, 2]]), *np.sort(box[[1, 3]]))
            pen.rectangle(
                (corners[0], corners[2], corners[1], corners[3]),
                tuple((back + rng.integers(0, 55, 3)).tolist()),
            )
        middle, radius = 40 + rng.uniform(-6, 6, 2), rng.uniform(22, 32)
        for size, colour in ((radius, rims[form]), (radius * 0.76, (235, 235, 225))):
            if form == "circle":
                pen.ellipse((*(middle - size), *(middle + size)), colour)
            else:
                n, turn = sides[form]
                angles = np.deg2rad(turn + 360 / n * np.arange(n))
                pen.polygon([tuple(middle + size * np.array([np.cos(a), np.sin(a)])) for a in angles], colour)
        font = _font(fonts()[int(rng.integers(40))], int(radius))
        pen.text(tuple(middle), text, font=font, fill=(20, 20, 20), anchor="mm")
        image = image.rotate(rng.uniform(-12, 12), Image.Resampling.BILINEAR)
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 2.2))).resize((40, 40))
        light = rng.uniform(0.35, 1.1) * np.asarray(image, float) + rng.normal(0, 8, (40, 40, 3))
        return Image.fromarray(light.clip(0, 255).astype("uint8"))

    return _drawn(names, 100, 40, draw, seed=3)


# Photographs


def _photograph(name: str) -> Image.Image:
    if name in ("china", "flower"):
        import sklearn.datasets

        return Image.open(Path(sklearn.datasets.__file__).parent / "images" / f"{name}.jpg").convert("RGB")
    import skimage

    (path,) = (Path(skimage.__file__).parent / "data").glob(f"{name}.*")
    return Image.open(path).convert("RGB")


def _patches(names: tuple[str, ...], size: int, train: int, test: int, seed: int, zoom: float = 1) -> Kind:
    """Cut patches: training from the left 60 % of the photographs, in six bands; test from the right."""
    rng = np.random.default_rng(seed)
    made: tuple[list[Any], list[Any]] = ([], [])
    for c, name in enumerate(names):
        image = _photograph(name)
        image = image.resize((int(image.width * zoom), int(image.height * zoom)))
        W, H = image.size
        for part, count, (low, high) in zip(made, (train, test), ((0, 0.6), (0.65, 1)), strict=True):
            for _ in range(count):
                x, y = rng.integers(int(low * W), int(high * W) - size), rng.integers(0, H - size)
                part.append((image.crop((x, y, x + size, y + size)), c, int(6 * y / H)))
    return _joined(*made, names)


@kind
def textures() -> Kind:
    """Patches of brick, grass and gravel; 450 images, RGB, 48 x 48."""
    return _patches(("brick", "grass", "gravel"), 48, 150, 50, seed=4)


@kind
def photos() -> Kind:
    """Patches of six photographs; 900 images, RGB, 64 x 64."""
    return _patches(("astronaut", "chelsea", "coffee", "rocket", "china", "flower"), 64, 150, 50, seed=5)


@kind
def tissue() -> Kind:
    """Patches of two stains, a retina and the sky; 240 images, colour, 32 x 32."""
    return _patches(("ihc", "retina", "hubble_deep_field", "moon"), 32, 60, 60, seed=6, zoom=0.5)


@kind
def faces() -> Kind:
    """Faces and no faces; 140 images, grey, 25 x 25."""
    import skimage

    data = np.load(Path(skimage.__file__).parent / "data" / "lfw_subset.npy")
    x, y = (data * 255).round().astype("uint8"), np.repeat([0, 1], 100)
    order = np.random.default_rng(7).permutation(200)
    x, y = x[order], y[order]
    return Kind(x[:140], y[:140], np.arange(140) % 10, x[140:], y[140:], ("face", "other"))


@kind
def imbalanced() -> Kind:
    """Surfaces, few of them with a scratch; 760 and 40 images, grey, 32 x 32."""
    surface = np.asarray(_photograph("gravel").convert("L"), float)

    def draw(c: int, k: int, rng: np.random.Generator) -> Image.Image:
        i, j = rng.integers(0, 480, 2)
        pixels = 90 + 0.4 * surface[i : i + 32, j : j + 32] + rng.normal(0, 5, (32, 32))
        image = Image.fromarray(pixels.clip(0, 255).astype("uint8"))
        if c:
            middle, angle, length = rng.uniform(8, 24, 2), rng.uniform(0, np.pi), rng.uniform(5, 11)
            step = length * np.array([np.cos(angle), np.sin(angle)])
            tone = int(rng.choice([30, 240]))
            ImageDraw.Draw(image).line([tuple(middle - step), tuple(middle + step)], tone, 2)
        return image

    return _drawn(("good", "scratched"), (760, 40), 100, draw, seed=8)


# Drawn


@kind
def shapes() -> Kind:
    """Six shapes of any colour, place and size, on noise; 1500 images, colour, 64 x 64."""
    names = ("circle", "square", "triangle", "star", "cross", "ring")

    def draw(c: int, k: int, rng: np.random.Generator) -> Image.Image:
        back, fore = rng.integers(0, 256, (2, 3))
        while abs(back - fore).sum() < 150:
            fore = rng.integers(0, 256, 3)
        image = Image.new("RGB", (128, 128), tuple(back.tolist()))
        pen, colour = ImageDraw.Draw(image), tuple(fore.tolist())
        radius, turn = rng.uniform(16, 44), rng.uniform(0, 2 * np.pi)
        middle = rng.uniform(radius, 128 - radius, 2)

        def corner(size: float, angle: float) -> tuple[float, float]:
            return tuple(middle + size * np.array([np.cos(turn + angle), np.sin(turn + angle)]))

        if names[c] in ("circle", "ring"):
            pen.ellipse((*(middle - radius), *(middle + radius)), colour)
            if names[c] == "ring":
                pen.ellipse((*(middle - 0.6 * radius), *(middle + 0.6 * radius)), tuple(back.tolist()))
        elif names[c] == "cross":
            for side in (0, np.pi / 2):
                ends = corner(radius, side), corner(-radius, side)
                pen.line(ends, colour, int(0.5 * radius))
        else:
            n, inner = {"square": (4, 0.71), "triangle": (3, 0.5), "star": (5, 0.4)}[names[c]]
            sizes = [radius * (inner if k % 2 else 1) for k in range(2 * n)]
            pen.polygon([corner(size, np.pi * k / n) for k, size in enumerate(sizes)], colour)
        pixels = np.asarray(image.resize((64, 64)), float) + rng.normal(0, 20, (64, 64, 3))
        return Image.fromarray(pixels.clip(0, 255).astype("uint8"))

    return _drawn(names, 250, 60, draw, seed=9)


@kind
def leaves() -> Kind:
    """Leaves of three forms; 60 images, colour, 96 x 96."""
    names = ("smooth", "lobed", "toothed")

    def draw(c: int, k: int, rng: np.random.Generator) -> Image.Image:
        image = Image.new("RGB", (192, 192), tuple(rng.integers(180, 256, 3).tolist()))
        angles = np.linspace(0, 2 * np.pi, 240)
        waves, depth = ((0, 0.0), (rng.integers(5, 8), 0.3), (rng.integers(22, 30), 0.08))[c]
        radius = 70 * rng.uniform(0.7, 1) * (1 + depth * np.cos(waves * angles)) / (1 + depth)
        wide, turn = rng.uniform(0.45, 0.75), rng.uniform(0, 2 * np.pi)
        x, y = radius * np.cos(angles), wide * radius * np.sin(angles)
        x, y = 96 + x * np.cos(turn) - y * np.sin(turn), 96 + x * np.sin(turn) + y * np.cos(turn)
        pen = ImageDraw.Draw(image)
        green = rng.integers((30, 90, 20), (110, 170, 80))
        pen.polygon(list(zip(x, y, strict=True)), tuple(green.tolist()))
        pen.line((x[0], y[0], x[120], y[120]), tuple((green - 20).tolist()), 3)
        pixels = np.asarray(image.resize((96, 96)), float) + rng.normal(0, 6, (96, 96, 3))
        return Image.fromarray(pixels.clip(0, 255).astype("uint8"))

    return _drawn(names, 20, 40, draw, seed=10)


@kind
def microscopy() -> Kind:
    """Fluorescent cells with four patterns of the marker; 320 images, grey, 128 x 128."""
    names = ("diffuse", "spots", "threads", "rim")

    def draw(c: int, k: int, rng: np.random.Generator) -> Image.Image:
        rows, columns = np.mgrid[:128, :128]
        pixels = np.zeros((128, 128))
        for _ in range(rng.integers(2, 6)):
            i, j = rng.uniform(15, 113, 2)
            a, b, turn = *rng.uniform(13, 24, 2), rng.uniform(0, np.pi)
            u = ((rows - i) * np.cos(turn) + (columns - j) * np.sin(turn)) / a
            v = ((columns - j) * np.cos(turn) - (rows - i) * np.sin(turn)) / b
            r = np.hypot(u, v)
            cell, light = r < 1, rng.uniform(40, 110)
            if names[c] == "rim":
                pixels += light * np.exp(-(((r - 0.9) / 0.12) ** 2))
            elif names[c] == "diffuse":
                pixels += cell * light * 0.7 * (1 - 0.5 * r**2).clip(0)
            else:
                pixels += 0.25 * light * cell
                marks = Image.new("L", (128, 128))
                pen = ImageDraw.Draw(marks)
                for _ in range(12):
                    p = np.array([j, i]) + rng.uniform(-0.6, 0.6, 2) * (b, a)
                    if names[c] == "spots":
                        pen.ellipse((*(p - 1.5), *(p + 1.5)), 255)
                    else:
                        pen.line([*p, *(p + rng.uniform(-14, 14, 2))], 255, 1)
                soft = np.asarray(marks.filter(ImageFilter.GaussianBlur(0.7)), float) / 255
                pixels += 1.4 * light * soft * cell
        pixels = rng.poisson(pixels.clip(0) + 12) + rng.normal(0, 3, pixels.shape)
        return Image.fromarray(pixels.clip(0, 255).astype("uint8"))

    return _drawn(names, 80, 30, draw, seed=11)

"""Write the formulas of a text, which Markdown has between dollar signs, as a terminal can show them."""

from __future__ import annotations

import re

__all__ = ["plain_math"]

_SIGNS = {
    "cdot": "·", "times": "×", "pm": "±", "sqrt": "√", "partial": "∂", "sum": "∑", "ge": "≥", "le": "≤",
    "ne": "≠", "approx": "≈", "infty": "∞", "to": "→", "langle": "⟨", "rangle": "⟩", "alpha": "α",
    "beta": "β", "gamma": "γ", "epsilon": "ε", "varepsilon": "ε", "eta": "η", "kappa": "κ", "lambda": "λ",
    "mu": "μ", "pi": "π", "sigma": "σ",
}  # fmt: skip
_RAISED = str.maketrans("0123456789+-n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ")
_PART = r"(?:\{((?:[^{}]|\{[^{}]*\})*)\}|(\S))"
"""What a command of TeX takes: something in braces, or one character."""
_FRACTION = "\N{FRACTION SLASH}"
"""Stands for the command until its two parts are free of commands."""


def plain_math(text: str) -> str:
    r"""Return a text with its formulas in Unicode, without TeX.

    Examples
    --------
    >>> plain_math(r"$\frac{\lambda}{2} w^2$ and $\partial L / \partial u_{ij}$ at \$5")
    'λ/2 w² and ∂L / ∂u_ij at \\$5'
    """
    return re.sub(r"(?<!\\)\$([^$]+)\$", lambda found: _formula(found[1]), text)


def _formula(tex: str) -> str:
    tex = re.sub(r"\\(operatorname|left|right)(?![a-zA-Z])", "", tex)
    tex = re.sub(r"\\,", " ", tex)
    tex = re.sub(rf"\\hat ?{_PART}", lambda m: f"{m[1] or m[2]}\u0302", tex)
    tex = re.sub(r"\\t?frac", _FRACTION, tex)
    tex = re.sub(r"\\([a-zA-Z]+) ?", _sign, tex)
    tex = re.sub(rf"{_FRACTION} ?{_PART} ?{_PART}", _quotient, tex)
    tex = re.sub(r"√\{([^{}]*)\}", lambda m: f"√{_grouped(m[1])}", tex)
    tex = re.sub(rf"\^{_PART}", _power, tex)
    tex = re.sub(r"_\{([^{}]*)\}", lambda m: f"_{_grouped(m[1])}", tex)
    return re.sub(r" {2,}", " ", tex.replace("{", "").replace("}", ""))


def _grouped(part: str) -> str:
    return part if re.fullmatch(r"[^\W_]+|[\d.]+", part) else f"({part})"


def _quotient(found: re.Match[str]) -> str:
    above, below = (_grouped(found[k] or found[k + 1]) for k in (1, 3))
    return f"{above}/{below}"


def _sign(found: re.Match[str]) -> str:
    sign = _SIGNS.get(found[1], found[1])
    return sign if sign in "√∂⟨" else found[0].replace(f"\\{found[1]}", sign)


def _power(found: re.Match[str]) -> str:
    power = found[1] or found[2]
    whole = re.fullmatch(r"[-+\dn]+", power)
    return power.translate(_RAISED) if whole else f"^{_grouped(power)}"

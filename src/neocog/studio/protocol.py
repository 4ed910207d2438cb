"""Define the protocol between the studio's page and Python: every kind of message, its fields and its answer.

A message is an object with a ``kind``. As text it is JSON; with arrays it is binary
(:mod:`neocog.studio.messages`), and its header is that object. The page may add ``id``, a whole number, to
any message: the answer, or the error, has it as ``to``. Every message but ``want`` has exactly one ``answer``
or ``error``; what it changes is told by ``state``, ``hello``, ``row`` and ``frame``, in whatever order.

One WebSocket, ``/ws``, is one session: a page that compares two networks opens two.

To Python (``?`` marks what may be left out)

=============  ===========================================================  ==================================
kind           fields                                                       answer, besides ``to`` and ``of``
=============  ===========================================================  ==================================
``open``       ``version``; ``session?`` or ``run?`` or ``data?`` (ids      ``session``; then hello, state,
               that ``hello`` lists), with ``data`` also ``network?``,      frame, row
               ``blocks?`` and ``settings?`` (brought into range); none:
               what the command line named
``want``       none: the page has drawn the last frame and wants the next;  frame, once there is a newer one;
               ``epoch?``: the parameters of a stored epoch                 snapshot
``play``       ``until?`` (an epoch)                                        -
``pause``                                                                   -
``step``       ``unit`` ("batch" or "epoch"), ``count?`` (1)                -
``speed``      ``batches``, the most in a second; null: as many as can be   -
``restart``    ``epoch?`` (0): back to a stored epoch, the curve is cut     ``epoch``, ``exact``
``branch``     ``epoch``, ``settings?``, ``name?``: the same, and the       ``epoch``, ``exact``
               curve so far stays in ``state.branches``
``set``        ``settings``: any of :data:`SETTINGS`; ``network?`` (a       ``anew``: whether training begins
               name) or ``blocks?`` (a list, see ``ask`` "network")         anew; ``note``: from when it holds
``edit``       ``array`` (a name in the frame), ``index``, ``values``: an   ``undo``: edits that can be undone
               index of all axes and one number, or of the leading axes
               and all numbers behind it, as (2, 0) and the 9 of a 3 x 3
               kernel; or ``undo``: true
``swap``       ``node``, ``to`` (one of :data:`SWAPS`; "none" lets all      - ; then hello
               pass)
``image``      array ``image`` [C, H, W], or ``sample`` (its number), or    ``probabilities``, ``predicted``
               ``upload`` (an id): what ``ask``, ``attribute`` and          ``label``; array ``image``; for a
               ``measure`` "maps" are about                                 network with ``page`` false an
                                                                            array for each node
``ask``        ``about`` and what it needs, see below                       see below
``attribute``  ``method`` (one of ``hello.methods``), ``label?`` (a class;  ``method``, ``label``, ``shows``;
               else the predicted one)                                      array ``map`` [H, W]
``measure``    ``what`` and what it needs, see below                        see below
``data``       ``source`` (an id), ``images_per_class?`` for training       ``images``; then hello
               (else all); or ``classes``: [{name, images: [ids]}] of
               uploads; or ``classes``: [{name, count}] and an array
               ``images`` [N, C, H, W] of drawings in that order; or
               ``relabel``: [{part: "train" or "held_out", index, label}]
``save``       ``what`` ("run", "page" or "report")                         ``path``, ``url`` (null for "run")
=============  ===========================================================  ==================================

``ask``

=============  ===========================================================  ==================================
``about``      needs                                                        answer
=============  ===========================================================  ==================================
``value``      ``at`` (a node, "input", "softmax"), ``index`` without       ``value``, ``formula``, ``layer``,
               image                                                        ``total``, ``terms``: [{value,
                                                                            note, parts: [{symbol, value, of,
                                                                            at, index}]}], at most 64;
                                                                            ``rest``, the sum of the others
``gradient``   ``array``, ``index``: the gradient in one weight, in the     ``value``, ``gradient``, ``rate``,
               batch that comes next. A ``step`` of one batch then moves    ``change``, ``after``, ``formula``
               it by ``change``                                             ``images``: [{label, name, total,
                                                                            products: [{value, note,
                                                                            parts}]}], the largest first;
                                                                            ``rest``; array ``images``
``prove``      ``array``, ``index``, ``nudge?`` (0.01)                      ``gradient``, ``quotients``:
                                                                            [{nudge, minus, plus, quotient,
                                                                            error}], ``loss``
``network``    ``blocks``: [{kind, ...}] as ``hello.blocks`` lists them,    ``ok``, ``problem``, ``blocks``:
               or ``network`` (a name)                                      [{kind, ..., name, shape,
                                                                            parameters, receptive, problem}],
                                                                            ``parameters``, ``flops``,
                                                                            ``page``
``lesson``     ``lesson`` (a name); with ``step`` (from 0) and ``answer``   ``lesson``, as
               an answer is checked                                         :mod:`neocog.studio.lessons` binds
                                                                            it; or ``right`` and ``text``
=============  ===========================================================  ==================================

``measure``

=============  ===========================================================  ==================================
``what``       needs                                                        answer
=============  ===========================================================  ==================================
``accuracy``                                                                ``held_out``, ``train``: {images,
                                                                            loss, accuracy} or null
``confusion``  ``part?`` ("held_out" or "train")                            ``matrix`` (of several labels
                                                                            ``having`` and ``f1``),
                                                                            ``class_names``, ``recall``,
                                                                            ``precision``, ``accuracy``,
                                                                            ``interval``
``mistakes``   ``part?``, ``count?`` (24)                                   ``mistakes``: [{index, name, true,
                                                                            predicted, probability}], surest
                                                                            first; ``total``, ``count``; array
                                                                            ``images`` [n, C, H, W]
``dead``                                                                    ``layers``: {node: {count, units,
                                                                            channels: [true, ...]}}
``gradients``  ``label?`` (else the image's, or the predicted one)          ``label``, ``loss``; arrays
                                                                            "d:NODE" (of the loss in its
                                                                            output) and "d:ARRAY"
``maps``                                                                    an array for each node
``landscape``  ``span?`` (1), ``steps?`` (11, odd)                          ``offsets``, ``centre``; array
                                                                            ``losses`` [steps, steps]
=============  ===========================================================  ==================================

To the page

=============  ===============================================================================================
kind           fields
=============  ===============================================================================================
``hello``      binary: ``version``, ``session``, ``description`` (:mod:`neocog.studio.architecture`), ``data``
               ({id, name, class_names, tone, image_shape, train, held_out, own, notes}), ``samples``:
               [{label, name}] (held-out images), ``sources``, ``runs``, ``lessons``: [{id, name}],
               ``networks``, ``blocks``: {kind: {field: {default, least, most | choices}}}, ``settings``:
               {name: {least, most} or {choices}}, ``swaps``, ``methods``: {name: what it shows}, ``limits``;
               array ``samples`` [n, C, H, W]. It comes first, and again whenever network or data change.
``state``      ``session``, ``playing``, ``until``, ``epoch``, ``batch``, ``batches`` (in an epoch),
               ``speed``, ``settings`` (all of :data:`SETTINGS`), ``network`` (its name, or "blocks"),
               ``blocks`` (or null), ``epochs`` (those stored), ``branches``: [{name, from, rows}] (left out
               where unchanged), ``undo``, ``swapped``: {node: to}, ``problem`` (a sentence, as where NaN
               arose; "" if none), ``hints``: [sentence], ``saved`` (the run's directory; "" if there is none
               yet), ``stopped`` (why the server ends; ""), ``ready`` (false until the untrained network is
               measured; at first kernels are compiled)
``row``        ``rows``: rows of the history, those not sent before; ``anew``: whether they replace all
               (epoch, running_loss, train_loss, train_accuracy, val_loss, val_accuracy, lr, seconds; a
               missing number is null). While an epoch lasts, ``frame.loss`` says more.
``frame``      binary: ``epoch``, ``batch``, ``tick`` (changes with every step or edit), ``loss`` (of the last
               batch, or null); an array for each parameter and buffer, by its dotted name
``snapshot``   binary: ``epoch``, ``exact`` (false: kept as float16); the same arrays
``answer``     ``to``, ``of`` (the kind asked) and the fields above; binary where arrays are named
``error``      ``to`` (null without one), ``text``: one sentence
=============  ===============================================================================================

HTTP: ``POST /upload?session=ID&name=NAME`` with the bytes of one picture, at most 16 MB, answers {image,
width, height} or {error}. ``GET`` of an answer's ``url`` downloads the file. Close codes: 1000 and 1001 as
usual, 4001 another page has taken over the session, 4002 the server ends, 4003 the first message was no
``open`` or of another version.

Where images may have several labels (``description.output_kind`` begins with "independent"), the label of an
image is the list of those that it has, here and there.

All text from the page is data: names are never paths, and ids are only looked up in what the server gave.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from neocog.training.by_name import AUGMENTATIONS, OPTIMIZERS
from neocog.validation import integer, number, one_of

__all__ = ["KINDS", "LIMITS", "SETTINGS", "SWAPS", "VERSION", "check", "check_settings"]

VERSION = 1
"""Of the protocol: the page's and Python's must be equal."""

LIMITS = {
    "message_bytes": 16 * 2**20,
    "upload_bytes": 16 * 2**20,
    "uploads": 2000,
    "uploaded_bytes": 512 * 2**20,
    "classes": 100,
    "drawings": 5000,
    "blocks": 60,
    "name_length": 60,
    "image_side": 128,
    "snapshots": 200,
    "snapshot_bytes": 64 * 2**20,
    "branches": 12,
    "edits": 50,
    "sessions": 40,
}
"""What a page may ask for, by name; ``hello`` tells it."""

SWAPS = ("none", "ReLU", "LeakyReLU", "Tanh", "Sigmoid", "GELU", "MaxPool2D", "AvgPool2D")
"""What may take an activation's place, or a pooling's."""

Check = Callable[[str, Any], Any]


def _whole(least: int, most: int) -> Check:
    def check_whole(name: str, value: Any) -> int:
        found = integer(name, int(value) if isinstance(value, float) and value.is_integer() else value, least)
        if found > most:
            raise ValueError(f"{name} must be at most {most}, got {found}.")
        return found

    return check_whole


def _real(least: float, most: float, above: bool = False, below: bool = False) -> Check:
    return lambda name, value: number(name, value, least, most, above, below)


def _choice(*choices: str) -> Check:
    return lambda name, value: one_of(name, value, choices)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > 200:
        raise TypeError(f"{name} must be a text of at most 200 characters, got {_brief(value)}.")
    return value


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be true or false, got {_brief(value)}.")
    return value


def _index(name: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > 8:
        raise TypeError(f"{name} must be a list of whole numbers, got {_brief(value)}.")
    return tuple(_whole(0, 2**31)(name, item) for item in value)


def _numbers(name: str, value: Any) -> list[float]:
    values = value if isinstance(value, list) else [value]
    if not 0 < len(values) <= 2**16:
        raise ValueError(f"{name} must be 1 to {2**16} numbers, got {len(values)}.")
    return [number(name, item, -1e30, 1e30) for item in values]


def _objects(name: str, value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise TypeError(f"{name} must be a list of objects, got {_brief(value)}.")
    return value


def _object(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{name} must be an object, got {_brief(value)}.")
    return value


def _or_null(check: Check) -> Check:
    return lambda name, value: None if value is None else check(name, value)


def _anything(name: str, value: Any) -> Any:
    return value


SETTINGS: dict[str, dict[str, Any]] = {
    "lr": {"least": 0.0, "most": 1000.0},
    "momentum": {"least": 0.0, "most": 0.999},
    "weight_decay": {"least": 0.0, "most": 10.0},
    "batch_size": {"least": 1, "most": 4096},
    "optimizer": {"choices": list(OPTIMIZERS)},
    "augment": {"choices": list(AUGMENTATIONS)},
    "seed": {"least": 0, "most": 2**31 - 1},
    "start": {"choices": ["usual", "zeros"]},
    "labels": {"choices": ["true", "shuffled"]},
}
"""The settings of training and their ranges; the last three begin training anew."""

_EPOCH = _whole(0, 10**6)

KINDS: dict[str, tuple[dict[str, Check], dict[str, Check]]] = {
    "open": (
        {"version": _anything},
        {
            "session": _text,
            "run": _text,
            "data": _text,
            "network": _text,
            "blocks": _objects,
            "settings": _object,
        },
    ),
    "want": ({}, {"epoch": _EPOCH}),
    "play": ({}, {"until": _or_null(_EPOCH)}),
    "pause": ({}, {}),
    "step": ({"unit": _choice("batch", "epoch")}, {"count": _whole(1, 10_000)}),
    "speed": ({"batches": _or_null(_real(0.01, 1e6))}, {}),
    "restart": ({}, {"epoch": _EPOCH}),
    "branch": ({"epoch": _EPOCH}, {"settings": _object, "name": _text}),
    "set": ({}, {"settings": _object, "network": _text, "blocks": _objects}),
    "edit": ({}, {"array": _text, "index": _index, "values": _numbers, "undo": _flag}),
    "swap": ({"node": _text, "to": _choice(*SWAPS)}, {}),
    "image": ({}, {"sample": _whole(0, 2**31), "upload": _text}),
    "ask": (
        {"about": _choice("value", "gradient", "prove", "network", "lesson")},
        {
            "at": _text,
            "array": _text,
            "index": _index,
            "nudge": _real(1e-7, 10),
            "network": _text,
            "blocks": _objects,
            "lesson": _text,
            "step": _whole(0, 1000),
            "answer": _anything,
        },
    ),
    "attribute": ({"method": _text}, {"label": _or_null(_whole(0, 10**5))}),
    "measure": (
        {"what": _choice("accuracy", "confusion", "mistakes", "dead", "gradients", "maps", "landscape")},
        {
            "part": _choice("held_out", "train"),
            "count": _whole(1, 200),
            "label": _or_null(_whole(0, 10**5)),
            "span": _real(0, 100, above=True),
            "steps": _whole(3, 41),
        },
    ),
    "data": (
        {},
        {
            "source": _text,
            "images_per_class": _whole(1, 10**6),
            "classes": _objects,
            "relabel": _objects,
        },
    ),
    "save": ({"what": _choice("run", "page", "report")}, {}),
}
"""The required and the optional fields of each kind that the page sends, with their checks."""


def check(message: Any) -> dict[str, Any]:
    """Return a message of the page with its fields checked.

    Parameters
    ----------
    message : dict
        As it was decoded.

    Raises
    ------
    ValueError, TypeError
        If the kind is unknown, a field is missing, unknown or out of range: one sentence.

    Examples
    --------
    >>> check({"kind": "step", "unit": "batch"})
    {'kind': 'step', 'unit': 'batch'}
    >>> check({"kind": "run"})
    Traceback (most recent call last):
    ...
    ValueError: kind must be one of 'open', 'want', ...
    """
    if not isinstance(message, dict):
        raise TypeError(f"a message must be an object with a kind, got {_brief(message)}.")
    kind = one_of("kind", message.get("kind"), KINDS)
    required, optional = KINDS[kind]
    checked: dict[str, Any] = {"kind": kind}
    for name in required:
        if name not in message:
            raise ValueError(f"{kind} needs {name}, got {', '.join(sorted(map(str, message)))}.")
    for name, value in message.items():
        if name in ("kind", "id", "arrays"):
            continue
        known = required | optional
        one_of(f"a field of {kind}", name, known)
        checked[name] = known[name](name, value)
    return checked


def check_settings(values: Mapping[str, Any], clamp: bool = False) -> dict[str, Any]:
    """Return settings of training, checked against :data:`SETTINGS`, with ``clamp`` brought into range.

    Raises
    ------
    ValueError, TypeError
        If one is unknown or out of range.

    Examples
    --------
    >>> check_settings({"lr": 0.5, "batch_size": 32.0})
    {'lr': 0.5, 'batch_size': 32}
    >>> check_settings({"batch_size": 10**9}, clamp=True)
    {'batch_size': 4096}
    """
    checked = {}
    for name, value in values.items():
        allowed = SETTINGS[one_of("settings", name, SETTINGS)]
        if clamp and "least" in allowed and not isinstance(value, bool) and isinstance(value, int | float):
            value = min(max(value, allowed["least"]), allowed["most"])
        if "choices" in allowed:
            checked[name] = one_of(name, value, allowed["choices"])
        elif isinstance(allowed["least"], int):
            checked[name] = _whole(allowed["least"], allowed["most"])(name, value)
        else:
            checked[name] = number(name, value, allowed["least"], allowed["most"])
    return checked


def _brief(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

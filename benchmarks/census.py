"""Count which networks of torchvision and timm come in, and compare them with PyTorch.

    python benchmarks/census.py census.json               # torchvision's, and timm's of timm_models.txt
    python benchmarks/census.py census.json --timm all    # the smallest model of each of timm's families
    python benchmarks/census.py census.json --timm resnet18 dla34 --torchvision none
    python benchmarks/census.py census.json --exports     # also through torch.onnx, by both exporters
    python benchmarks/census.py census.json --table docs/tools/census.md

Each model is a process of its own, and a line of JSON; a model that has a line is not measured again. Weights
are random, batch norm's statistics are not 0 and 1. Beside whether ``from_torch`` takes it, or its reason,
a line holds the largest relative differences: of outputs in float32 and float64, of all gradients in
evaluation, of all arrays after one step of training; and whether the terms of ``explain`` add up.

torchvision and timm need no more than PyTorch, which may be the CPU build; so that pip changes nothing else,

    pip install --no-deps torchvision timm huggingface_hub

torchvision's compiled operators are not needed. Where its build does not fit that of PyTorch, the two that
its import looks for are declared here, without code, by ``torch.library``.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import re
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from torch import nn

import neocog
from neocog.inspection import explain
from neocog.interop.torch import ConversionWarning, from_torch
from neocog.layers import Dense, Dropout

HERE = Path(__file__)
NO_CNNS = re.compile(r"vit_|swin|maxvit")
"""Transformers among torchvision's classifiers."""
DECLARED = torch.library.Library("torchvision", "FRAGMENT")
"""What declares torchvision's operators, for as long as it lives."""
SIZES = (64, 128)
"""Sizes of images that are tried before a model's own."""
MANY_PARAMETERS = 50e6
"""From here on a model is compared in float32 alone."""
LIMITS = {
    "float32": 1e-5,
    "float64": 1e-12,
    "gradients": 1e-10,
    "step": 1e-8,
    "dynamo": 1e-5,
    "script": 1e-5,
}
"""The largest relative differences allowed; batch norms of few pixels make those of a step larger.

Where PyTorch's own float32 is further than a quarter of 1e-5 from its float64, as random weights let numbers
grow, all are larger in proportion.
"""


def imported(name):
    """Import torchvision or timm."""
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            importlib.import_module("torchvision")
        except RuntimeError:  # without its compiled operators
            for each in [module for module in sys.modules if module.startswith("torchvision")]:
                del sys.modules[each]
            for each in ("nms", "qnms"):
                DECLARED.define(f"{each}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return importlib.import_module(name)


def make(name):
    """Make a model by the name of its library and its own; return it, and the sizes that may suit it."""
    library, _, model = name.partition(":")
    package = imported(library)
    torch.manual_seed(0)
    if library == "torchvision":
        kwargs = {"init_weights": False} if model in ("googlenet", "inception_v3") else {}
        module = package.models.get_model(model, weights=None, **kwargs)
        size = 299 if model == "inception_v3" else 224
    else:
        module = package.create_model(model)
        size = module.default_cfg["input_size"][-1]
    sizes = [each for each in SIZES if each < size] + [size]
    return wake(module), sizes


def wake(module):
    """Give norms, biases and layer scales numbers that are neither 0 nor 1."""
    generator = torch.Generator().manual_seed(0)
    for tensor in [*module.parameters(), *module.buffers()]:
        if tensor.is_floating_point() and (tensor.ndim == 1 or tensor.detach().unique().numel() == 1):
            tensor.data.uniform_(0.5, 1.5, generator=generator)
    for each in module.modules():
        if isinstance(each, nn.Dropout):
            each.p = 0.0  # the random numbers differ
        if "drop_rate" in vars(each):
            each.drop_rate = 0.0
        if type(each).__name__ in ("StochasticDepth", "DropPath"):
            for key in ("p", "drop_prob"):
                vars(each).update({key: 0.0} if key in vars(each) else {})
    return module.eval()


def convert(module, sizes):
    """Return the network and the size of images, the first of some at which both compute."""
    *smaller, own = sizes
    for size in smaller:
        with contextlib.suppress(Exception):
            return converted(module, size), size
    return converted(module, own), own


def converted(module, size):
    """Return the network at one size, at which the module computes in both modes."""
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        module.train()(x)  # fails where batch norm is given single numbers
        module.eval()(x)
    return from_torch(module, (3, size, size))


def first(y):
    """Return the class scores of a module that gives more in training."""
    return y[0] if isinstance(y, tuple) else y


def weights_of(network):
    """Return the arrays by name, with dense weights as PyTorch has them."""
    dense = {f"{name}.weight" for name, layer in network.leaves() if isinstance(layer, Dense)}
    return {n: a.T if n in dense else a for n, a in {**network.params, **network.buffers}.items()}, dense


def names_of(network, module):
    """Map the network's names of arrays to the module's, by their numbers; None for what is computed."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    known = {name: tensor.detach().numpy().tobytes() for name, tensor in tensors.items()}
    by_content = {content: name for name, content in reversed(known.items())}
    names = {}
    for name, array in weights_of(network)[0].items():
        content = np.ascontiguousarray(array).tobytes()
        names[name] = name if known.get(name) == content else by_content.get(content)
    return names


def difference(mine, theirs, floor=0.0):
    """Return the largest difference, relative to the largest number."""
    theirs = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else theirs
    return float(
        np.abs(mine.reshape(theirs.shape) - theirs).max(initial=0)
        / max(np.abs(theirs).max(initial=0), floor, 1e-300)
    )


def exact_hardsigmoid(x, inplace=False):
    """Compute PyTorch's function without its float32 of 1/6, which it takes for float64 as well."""
    return nn.functional.relu6(x + 3) / 6


def compare_gradients(network, module, x, names):
    """Return the largest difference of outputs and of gradients, in evaluation."""
    module.eval().zero_grad()
    given = torch.from_numpy(x).requires_grad_()
    y_torch = module(given)
    dy = np.random.default_rng(1).normal(size=tuple(y_torch.shape))
    y_torch.backward(torch.from_numpy(dy))
    y, cache = network.forward(x)
    dx, grads = network.backward(dy, cache)
    theirs, (_, dense) = dict(module.named_parameters()), weights_of(network)
    pairs = {"x": (dx, given.grad)}
    pairs |= {n: (g.T if n in dense else g, theirs[names[n]].grad) for n, g in grads.items() if names[n]}
    floor = 1e-4 * max(float(t.abs().max()) for _, t in pairs.values())
    return difference(y, y_torch), max(difference(*pair, floor) for pair in pairs.values())


def compare_steps(network, module, x, names):
    """Return the largest difference of the arrays after one step of training."""
    classes = np.arange(len(x)) % 7
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9)
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(first(module.train()(torch.from_numpy(x))), torch.from_numpy(classes))
    loss.backward()
    optimizer.step()
    y, cache = network.forward(x, training=True)
    _, dz = neocog.SoftmaxCrossEntropy()(y, classes)
    _, grads = network.backward(dz, cache)
    neocog.SGD(lr=0.01, momentum=0.9).step(network.params, grads)
    theirs = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    mine, _ = weights_of(network)
    return max(difference(array, theirs[names[name]], 1e-3) for name, array in mine.items() if names[name])


def explained(network, x):
    """Return whether the terms of some numbers add up: of the scores, and of a layer in the middle."""
    leaves = [name for name, _ in network.leaves()]
    answer = explain(network, x[:1], at=leaves[-1], index=(0, 3))
    if not answer.adds_up:
        return answer.contradiction
    for _ in range(8):  # down the largest terms
        if not answer.terms:
            break
        answer = answer.explain(0)
        if not answer.adds_up:
            return answer.contradiction
    return True


def export(module, x, dynamo):
    """Export to ONNX, read it back, and return the largest difference, or the reason of a refusal."""
    from neocog.interop.onnx import from_onnx

    buffer = io.BytesIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            given = (torch.from_numpy(x),)
            if dynamo:
                program = torch.onnx.export(module, given, dynamo=True, verbose=False)
                model = program.model_proto
            else:
                torch.onnx.export(module, given, buffer, dynamo=False)
                model = __import__("onnx").load_from_string(buffer.getvalue())
        except Exception as error:
            return f"torch.onnx: {type(error).__name__}: {str(error)[:200]}"
    try:
        network = from_onnx(model)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    with torch.no_grad():
        return difference(network(x), module(given[0]))


def measure(name, exports, outputs):
    """Measure one model."""
    module, sizes = make(name)
    line = {"model": name, "parameters": sum(p.numel() for p in module.parameters())}
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        try:
            network, size = convert(module, sizes)
        except Exception as error:
            return line | {"in": False, "reason": f"{type(error).__name__}: {error}"}
    notes = [str(each.message) for each in noted if each.category is ConversionWarning]
    line |= {"in": True, "size": size, "note": notes[-1][:200] if notes else ""}
    x = np.random.default_rng(0).normal(size=(2, 3, size, size))
    names = names_of(network, module)
    line["renamed"] = sum(mine != theirs for mine, theirs in names.items())
    with torch.no_grad():
        small = x.astype("float32")
        theirs = module(torch.from_numpy(small)).numpy()
        line["float32"] = difference(network(small), theirs)
    if exports:
        line |= {"dynamo": export(module, small, True), "script": export(module, small, False)}
    if line["parameters"] < MANY_PARAMETERS and not outputs:
        module = module.double()
        with torch.no_grad():
            line["rounding"] = difference(theirs, module(torch.from_numpy(x)))
        if all(names.values()):
            network = network.astype("float64")
        else:  # weights are computed, in the precision of the module
            network = from_torch(module, (3, size, size))
        nn.functional.hardsigmoid = exact_hardsigmoid
        for _, layer in network.leaves():
            if isinstance(layer, Dropout):
                layer.p = 0.0
        line["float64"], line["gradients"] = compare_gradients(network, module, x, names)
        line["explained"] = explained(network, x)
        if all(names.get(name) for name in network.params):
            line["step"] = compare_steps(network, module, x, names)
    return line


def verdict(line):
    """Say in one word whether a model is right, wrong or refused."""
    if not line["in"]:
        return "refused"
    more = max(1.0, 4 * line.get("rounding", 0.0) / LIMITS["float32"])
    wrong = [key for key, limit in LIMITS.items() if not isinstance(line.get(key, 0.0), float | int)
             or not line.get(key, 0.0) <= more * limit]  # fmt: skip
    return "right" if not wrong and line.get("explained", True) is True else "wrong"


def chosen(arguments):
    """List the models that the command line names."""
    torchvision, timm = imported("torchvision"), imported("timm")
    theirs = torchvision.models.list_models(module=torchvision.models)
    theirs = [name for name in theirs if not NO_CNNS.match(name)]
    wanted = theirs if arguments.torchvision == ["all"] else [n for n in arguments.torchvision if n != "none"]
    names = [f"torchvision:{name}" for name in wanted]
    if arguments.timm == ["fifty"]:
        arguments.timm = (HERE.parent / "timm_models.txt").read_text().split()
    if arguments.timm == ["all"]:
        arguments.timm = smallest_of_families(timm)
    return names + [f"timm:{name}" for name in arguments.timm if name != "none"]


def smallest_of_families(timm):
    """List the smallest model of each of timm's files that define no transformer."""
    skipped = re.compile(
        r"vit|swin|trans|former|beit|cait|deit|eva|mixer|mlp|pit|tnt|tresnet|volo|xcit|hiera|coat|nest|naflex"
        r"|crossvit|davit|focalnet|sequencer|twins|visformer|byoanet|halo|lambda|fastvit|mambaout|repvit"
    )
    families = {}
    for name in timm.list_models():
        file = timm.models.model_entrypoint(name).__module__.rpartition(".")[2]
        if not skipped.search(file) and not skipped.search(name):
            families.setdefault((file, re.split(r"[_\d]", name)[0]), []).append(name)
    smallest = []
    for names in families.values():
        sizes = {}
        for name in names:
            with torch.device("meta"), contextlib.suppress(Exception):
                sizes[name] = sum(p.numel() for p in timm.create_model(name).parameters())
        smallest.append(min(sizes or names, key=lambda name: sizes.get(name, 0)))
    return smallest


def table(lines):
    """Return the census as Markdown."""
    shown = []
    for library in ("torchvision", "timm"):
        own = [line for line in lines if line["model"].startswith(f"{library}:")]
        if not own:
            continue
        count = Counter(map(verdict, own))
        right = f"{count['right']} of {len(own)} come in and are equal to PyTorch"
        shown += [f"\n## {library}: {right}\n"]
        shown += [
            "| model | image | float32 | float64 | gradients | a step | explained | ONNX, dynamo | script |"
        ]
        shown += ["|---|---|---|---|---|---|---|---|---|"]
        for line in own:
            name = line["model"].partition(":")[2]
            if not line["in"]:
                shown.append(f"| {name} | refused: {cell(line['reason'])} |" + " |" * 7)
                continue
            cells = [f"{line['size']}"]
            cells += [cell(line.get(k)) for k in ("float32", "float64", "gradients", "step", "explained")]
            cells += [cell(line.get(k)) for k in ("dynamo", "script")]
            if 4 * line.get("rounding", 0.0) > LIMITS["float32"]:
                cells[1] += f" ({line['rounding']:.0e})"
            shown.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(shown) + "\n"


def cell(value):
    """Format one number, answer or reason."""
    if value is None:
        return ""
    if value is True:
        return "yes"
    if isinstance(value, float):
        return f"{value:.0e}"
    return re.sub(r"; supported are .*", "", str(value)).replace("|", "\\|").replace("\n", " ")[:200]


def main():
    """Measure the models that have no line yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("json", type=Path)
    parser.add_argument("--torchvision", nargs="+", default=["all"], metavar="NAME")
    parser.add_argument("--timm", nargs="+", default=["fifty"], metavar="NAME")
    parser.add_argument("--exports", action="store_true", help="also through ONNX, by both exporters")
    parser.add_argument("--outputs", action="store_true", help="compare outputs in float32 alone")
    parser.add_argument("--seconds", type=float, default=900, help="the limit for one model")
    parser.add_argument("--table", type=Path, help="write the census in this file as Markdown")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.exports, arguments.outputs)))
        return
    old = arguments.json.read_text().splitlines() if arguments.json.exists() else []
    lines = {line["model"]: line for line in map(json.loads, old)}
    for name in chosen(arguments):
        if name in lines:
            continue
        start = time.perf_counter()
        command = [sys.executable, str(HERE), str(arguments.json), "--one", name]
        command += ["--exports"] * arguments.exports + ["--outputs"] * arguments.outputs
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=arguments.seconds, check=True
            )
            line = json.loads(done.stdout.splitlines()[-1])
        except subprocess.TimeoutExpired:
            line = {"model": name, "in": False, "reason": f"it took more than {arguments.seconds:g} s"}
        except subprocess.CalledProcessError as error:
            failed = (error.stderr.strip().splitlines() or [f"exit status {error.returncode}"])[-1]
            line = {"model": name, "in": False, "reason": f"the census failed: {failed}"}
        lines[name] = line | {"seconds": round(time.perf_counter() - start, 1)}
        with arguments.json.open("a") as file:
            file.write(json.dumps(lines[name]) + "\n")
        print(f"{name:45s} {verdict(line):8s} {line.get('reason', '')[:150]}", flush=True)
    print(Counter(map(verdict, lines.values())))
    if arguments.table:
        head = arguments.table.read_text().partition("\n## ")[0].rstrip()
        arguments.table.write_text(f"{head}\n{table(lines.values())}")


if __name__ == "__main__":
    main()

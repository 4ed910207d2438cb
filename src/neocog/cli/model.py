"""Define the commands that export a model and report on a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neocog import runs
from neocog.cli.common import Json, Layers, Model, Output, app, escaped, report_errors, say, to_json
from neocog.layers.outputs import INDEPENDENT, MEANINGS, count_outputs
from neocog.validation import one_of

ANSWERS = (
    "largest is the answer of neocog predict, too; for its probabilities divide that of each class by its w, "
    "then all by their sum",
    "labels over one half are those of neocog predict, too; for its probabilities divide the odds of each "
    "label by its w",
)
"""How the outputs of weighted classes are read, and those of weighted labels."""


@app.command()
@report_errors
def export(
    model: Model,
    out: Annotated[Path, typer.Argument(help="The file to write; its suffix says the format: .onnx.")],
    opset: Annotated[int, typer.Option(help="Version of ONNX's operators, from 13 to 22.")] = 20,
    output: Output = "",
    layers: Layers = None,
    as_json: Json = False,
) -> None:
    """Export a model to ONNX, for ONNX Runtime and others.

    Example: [bold]neocog export runs/digits digits.onnx[/]
    """
    one_of("format", out.suffix, [".onnx"])
    from neocog.interop.onnx import to_onnx

    network = runs.open_model(model, layers or (), output)
    written = to_onnx(network.astype("float32"), out, opset=opset)
    operators = sorted({node.op_type for node in written.graph.node})
    several = network.output_kind in INDEPENDENT and count_outputs(network, network.input_shape) != 1
    weights = None if network.class_weight is None else list(network.class_weight)
    if as_json:
        about = {"file": str(out), "bytes": out.stat().st_size, "operators": operators}
        print(to_json(about | {"output": network.output_kind, "class_weight": weights}))
        return
    say(f"{len(written.graph.node)} nodes: {', '.join(operators)}")
    say(f"model: [bold]{escaped(out)}[/], {out.stat().st_size / 1e3:.0f} kB, float32")
    say(f"outputs: {MEANINGS[network.output_kind]}")
    if weights is not None:
        say(
            "trained with class weights w, and the file's outputs are those of the weighted classes: the "
            f"{ANSWERS[several]} "
            f"(w, in the metadata neocog.class_weight: {', '.join(f'{w:.4g}' for w in weights)})"
        )


@app.command()
@report_errors
def report(
    run: Annotated[Path, typer.Argument(help="A run directory.", metavar="RUN")],
    out: Annotated[Path | None, typer.Option(help="The HTML file; default report.html in the run.")] = None,
    layers: Layers = None,
    as_json: Json = False,
) -> None:
    """Write a run's report: an HTML page with curves, filters, mistakes, a traced image, a gradient check.

    Example: [bold]neocog report runs/digits[/]
    """
    from neocog.report import write_report

    path = write_report(run, out, layers or ())
    if as_json:
        print(to_json({"report": str(path)}))
    else:
        say(f"report: [bold]{escaped(path)}[/]")

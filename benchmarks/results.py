"""Write the runs of the benchmarks as a page of tables and figures.

    python benchmarks/results.py RUN.json [AGAIN.json ...]     # writes RESULTS.md and figures/ here

Several runs are shown side by side, so that their spread is visible.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jobs import KERNELS, WORST
from rows import MEBIBYTE, Row, Run, duration, fastest, peers, ratios

HERE = Path(__file__).parent


def matched(runs: Sequence[Run], kind: str, *keys: str) -> Iterator[list[Row | None]]:
    """Yield the rows of a kind that have the same ``keys``, one a run."""
    tables = [{tuple(row[key] for key in keys): row for row in run.get(kind, ())} for run in runs]
    for key in dict.fromkeys(itertools.chain(*tables)):
        yield [table.get(key) for table in tables]


# Words


def time_of(row: Row | None, peer: str) -> str:
    figure = fastest(row, peer)
    if figure is None:
        return "–"
    setting = f" ({figure['setting']})" if figure["setting"] else ""
    return duration(statistics.median(figure["seconds"])) + setting


def spread(values: Sequence[float]) -> str:
    """Return the median and the range."""
    if not values:
        return "–"
    return f"**{statistics.median(values):.2f}** ({min(values):.2f}–{max(values):.2f})"


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], words: int = 1) -> str:
    """Return a Markdown table whose first ``words`` columns are text, the others numbers; "" without rows."""
    if not rows:
        return ""
    rules = ["---"] * words + ["---:"] * (len(head) - words)
    return "\n".join("| " + " | ".join(map(str, cells)) + " |" for cells in (head, rules, *rows))


def each(runs: Sequence[Run], *names: str) -> list[str]:
    """Return these column names once a run, numbered if there are several."""
    return [f"{name}, run {k}" if len(runs) > 1 else name for k in range(1, len(runs) + 1) for name in names]


# Tables


def times(runs: Sequence[Run]) -> str:
    lines = []
    for rows in matched(runs, "rows", "title"):
        known = [row for row in rows if row]
        targets = known[0]["targets"]
        for peer in peers(known):
            cells = [known[0]["title"], peer, f"{targets[peer]:g}" if peer in targets else ""]
            for row in rows:
                cells += [time_of(row, "neocog"), time_of(row, peer), spread(ratios(row, peer))]
            lines.append([*cells, ", ".join(met(row, peer) for row in known if peer in targets)])
    head = ["work", "peer", "target", *each(runs, "neocog", "peer's time", "peer / neocog"), "met"]
    return table(head, lines, words=2)


def met(row: Row, peer: str) -> str:
    """Return whether a target is met, by the median."""
    found = ratios(row, peer)
    return "–" if not found else "yes" if statistics.median(found) >= row["targets"][peer] else "**no**"


def memories(runs: Sequence[Run]) -> str:
    lines = []
    for rows in matched(runs, "rows", "title"):
        known = [row for row in rows if row]
        for peer in ["neocog", *peers(known)]:
            cells = [known[0]["title"], peer]
            for row in rows:
                cells += memory_cells(row, peer)
            lines.append(cells)
    head = ["to the first result", "imported", "peak", "difference", "peak above torch's"]
    return table(["work", "library", *each(runs, *head)], lines, words=2)


def memory_cells(row: Row | None, peer: str) -> list[str]:
    """Return the first result's time, MiB, and whether neocog needs more than PyTorch."""
    figure, torch = fastest(row, peer), fastest(row, "torch")
    if figure is None:
        return ["–"] * 5
    imported, peak = (statistics.median(figure[key]) / MEBIBYTE for key in ("imported", "peak"))
    numbers = [f"{value:.0f}" for value in (imported, peak, peak - imported)]
    above = ""
    if peer == "neocog" and torch:
        above = "**yes**" if peak > statistics.median(torch["peak"]) / MEBIBYTE else "no"
    return [duration(statistics.median(figure["first"])), *numbers, above]


def jobs(runs: Sequence[Run]) -> str:
    lines = []
    for rows in matched(runs, "jobs", "name", "epochs"):
        known = next(row for row in rows if row)
        for state in ("cold", "warm"):
            cells = [f"{known['name']}, {known['epochs']} epochs", state]
            for row in rows:
                cells += job_cells(row, state)
            lines.append(cells)
    head = ["job", "cache", *each(runs, *KERNELS, "auto / better")]
    return table(head, lines, words=2)


def job_cells(row: Row | None, state: str) -> list[str]:
    """Return a time for each choice of kernels, and auto's by the better of the others."""
    found = {f["kernels"]: statistics.median(f[state]) for f in (row or {}).get("figures", ()) if f[state]}
    cells = [duration(found[kernels]) if kernels in found else "–" for kernels in KERNELS]
    others = [found[kernels] for kernels in KERNELS if kernels != "auto" and kernels in found]
    if "auto" not in found or not others:
        return [*cells, "–"]
    ratio = found["auto"] / min(others)
    return [*cells, f"{ratio:.2f}" if ratio <= WORST else f"**{ratio:.2f}, too slow**"]


def whole(runs: Sequence[Run]) -> str:
    lines = []
    for rows in matched(runs, "whole", "title"):
        known = next(row for row in rows if row)
        for state in ("cold", "warm"):
            cells = [known["title"], state, known["targets"].get(state, "")]
            for row in rows:
                cells += whole_cells(row, state)
            lines.append(cells)
    head = ["neocog", "torch", "torch / neocog", "accuracy", "torch's"]
    return table(["job", "cache", "target", *each(runs, *head)], lines, words=2)


def whole_cells(row: Row | None, state: str) -> list[str]:
    """Return both times, their ratio round by round, and both accuracies; PyTorch has no cold cache."""
    figures = {figure["peer"]: figure for figure in (row or {}).get("figures", ())}
    seconds = [figures.get(peer, {}).get(when, []) for peer, when in (("neocog", state), ("torch", "warm"))]
    factors = [theirs / ours for ours, theirs in zip(*seconds, strict=False)]
    accuracies = [figures.get(peer, {}).get("accuracy", []) for peer in ("neocog", "torch")]
    return [
        *(duration(statistics.median(each)) if each else "–" for each in seconds),
        spread(factors),
        *(f"{statistics.median(each):.3f}" if each else "–" for each in accuracies),
    ]


def scaling(runs: Sequence[Run]) -> str:
    lines = []
    names = peers([row for run in runs for row in run["scaling"]])
    for rows in matched(runs, "scaling", "axis", "where", "title"):
        known = next(row for row in rows if row)
        cells = [known["title"], f"{known['axis']} {known['where']}"]
        for row in rows:
            cells += [time_of(row, name) for name in ("neocog", *names)]
        lines.append(cells)
    return table(["work", "at", *each(runs, "neocog", *names)], lines, words=2)


def data_sets(runs: Sequence[Run]) -> str:
    lines = []
    for rows in matched(runs, "data_sets", "mebibytes"):
        cells = [str(next(row for row in rows if row)["mebibytes"])]
        for row in rows:
            if row is None:
                cells += ["–", "–"]
                continue
            peak, speed = (statistics.median(row[key]) for key in ("peak", "images_per_second"))
            cells += [f"{peak / MEBIBYTE:.0f}", f"{speed:.0f}"]
        lines.append(cells)
    return table(["data set, MiB", *each(runs, "peak, MiB", "images / s")], lines)


def failures(runs: Sequence[Run]) -> str:
    lines = []
    for run, kind in itertools.product(runs, ("rows", "scaling", "jobs", "whole")):
        for row in run.get(kind, ()):
            title = row.get("title") or f"{row['name']}, {row['epochs']} epochs"
            for figure in row["figures"]:
                if "failed" in figure:
                    lines.append(f"- {title}, {figure.get('peer') or figure['kernels']}: {figure['failed']}")
    return "\n".join(dict.fromkeys(lines))


def machine(run: Run) -> str:
    """Return the machine, the versions and the date of a run."""
    on, how = run["machine"], run["options"]
    versions = ", ".join(f"{name} {number}" for name, number in on["versions"].items())
    settings = ", ".join(f"`{name}={value}`" for name, value in on["settings"].items())
    lines = {
        "Date": f"{on['date']}, commit {on['commit']}",
        "Processor": f"{on['processor']}, {on['cores']} cores, with {', '.join(on['flags'])}",
        "System": f"{on['system']}, {on['memory'] / 2**30:.0f} GiB; load before the run {on['load']:.2f}",
        "Versions": f"Python {on['python']}, {versions}",
        "NumPy's BLAS": ", ".join(on["blas"]),
        "Set in the environment": settings or "nothing that changes the speed",
        "Measured": f"in {how['rounds']} rounds, {how['seconds']:g} s in each process"
        + (f", with {' and '.join(map(str, how['threads']))} threads" if how["threads"] else "")
        + (", quick" if how["quick"] else ""),
    }
    return "\n".join(f"- {name}: {text}." for name, text in lines.items())


SECTIONS = (
    (
        "Time",
        times,
        "Median time of a call, and the peer's time by neocog's: the median over the rounds and, in "
        "brackets, the range. Every process does the work on the same images from the same weights, and "
        "their results agree. neocog runs as it comes. The peers' time is that of their fastest setting, "
        "named after it: the small networks were measured with as many threads as the peer chooses and with "
        "one, the others in PyTorch in both memory layouts; OpenVINO in float32.",
    ),
    (
        "Memory",
        memories,
        "From an imported library to the first result: the network built, everything compiled. Then, in MiB, "
        "what the process held once the library was imported, its peak from the first call on, and the "
        "difference.",
    ),
    (
        "Whole jobs",
        jobs,
        "From the start of a process to its end, with an empty cache of compiled kernels (cold) and once "
        f"more (warm). Under `auto` no job may take longer than {WORST} times the better of the other two.",
    ),
    (
        "Whole jobs beside PyTorch",
        whole,
        "From the start of a process to the accuracy on images held out, five epochs later: neocog with an "
        "empty cache of compiled kernels (cold) and once more (warm), as it comes; PyTorch eager, MNIST's "
        "images in memory, photographs read by two processes.",
    ),
    (
        "Scaling",
        scaling,
        "The digits' network at other sizes, and other networks at other numbers of threads.",
    ),
    (
        "Data set",
        data_sets,
        "An epoch of the digits' network on 3 x 64 x 64 images in a memory-mapped file: the peak of the "
        "process's own memory above what it held before, which should not grow.",
    ),
    ("What failed", failures, ""),
)


def markdown(runs: Sequence[Run], figures: Sequence[str] = ()) -> str:
    """Return the page."""
    parts = ["# Results", "Written by `benchmarks/results.py`."]
    for k, run in enumerate(runs, start=1):
        parts += [f"Run {k}:" if len(runs) > 1 else "", machine(run)]
    for title, build, words in SECTIONS:
        if text := build(runs):
            parts += [f"## {title}", words, text]
            parts += [f"![{title}](figures/{name})" for name in figures if name.startswith(slug(title))]
    return "\n\n".join(part for part in parts if part) + "\n"


def slug(title: str) -> str:
    return title.lower().replace(" ", "-")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN.json", help="what bench.py --json has written"
    )
    runs = [json.loads(path.read_text()) for path in parser.parse_args().runs]

    from drawing import draw  # Plotly, which bench.py does without

    names = draw(runs[0], HERE / "figures")
    (HERE / "RESULTS.md").write_text(markdown(runs, names))
    print(f"wrote {HERE / 'RESULTS.md'} and {len(names)} figures")


if __name__ == "__main__":
    main()

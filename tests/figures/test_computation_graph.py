import pytest

from neocog import figures

# y = w x at w = 3, x = 2, then L = y^2: dL/dy = 12, dL/dw = 12 * 2 = 24, dL/dx = 12 * 3 = 36
NODES = {
    "w": {"value": 3, "gradient": 24, "at": (0, 0)},
    "x": {"value": 2, "gradient": 36, "at": (0, 1)},
    "y": {"label": "y = w x", "value": 6, "gradient": 12, "at": (1, 0.5)},
    "L": {"label": "L = y²", "value": 36.0, "gradient": 1, "at": (2, 0.5)},
}
EDGES = [("w", "y", "x = 2"), ("x", "y", "w = 3"), ("y", "L", "2 y = 12")]


def arrows(figure):
    """The heads, as (x, y), in the order of the edges."""
    return [(a.x, a.y) for a in figure.layout.annotations if a.showarrow is not False]


def lines(figure):
    """The paths of the edges."""
    return [s.path for s in figure.layout.shapes if s.layer == "below"]


def test_each_node_shows_its_label_value_and_gradient(words):
    figure = figures.computation_graph(NODES, EDGES)
    (nodes,) = figure.data
    assert nodes.hovertext[2] == "y = w x<br>value 6<br>gradient 12"
    assert [tuple(row) for row in nodes.customdata] == [(3, 24), (2, 36), (6, 12), (36, 1)]
    written = words(figure)
    assert written[-12:] == [
        "<b>w</b>", "3", "24", "<b>x</b>", "2", "36", "<b>y = w x</b>", "6", "12", "<b>L = y²</b>", "36", "1",
    ]  # fmt: skip
    assert [w for w in written if "=" in w and "<b>" not in w] == ["x = 2", "w = 3", "2 y = 12"]
    assert "value" in figure.layout.title.subtitle.text
    assert "gradient" in figure.layout.title.subtitle.text


def test_values_and_gradients_have_colours_of_their_own():
    notes = figures.computation_graph(NODES, EDGES).layout.annotations
    values = {a.font.color for a in notes if a.text in ("3", "6")}
    gradients = {a.font.color for a in notes if a.text in ("24", "12")}
    assert len(values) == len(gradients) == 1
    assert values.isdisjoint(gradients)


def test_the_graph_flows_downwards_whichever_way_its_edges_lead():
    figure = figures.computation_graph(NODES, EDGES)
    w, x, y, loss = zip(figure.data[0].x, figure.data[0].y, strict=True)
    assert w[1] == x[1] < y[1] < loss[1]
    assert w[0] < y[0] == loss[0] == (w[0] + x[0]) / 2 < x[0]
    turned = {name: {**node, "at": node["at"][::-1]} for name, node in NODES.items()}
    assert (
        figures.computation_graph(turned, EDGES).data[0].to_plotly_json() == figure.data[0].to_plotly_json()
    )


def test_an_arrow_for_each_edge_ends_above_its_node():
    figure = figures.computation_graph(NODES, EDGES)
    _, _, y, loss = zip(figure.data[0].x, figure.data[0].y, strict=True)
    assert len(lines(figure)) == 3
    assert [x for x, _ in arrows(figure)] == [y[0], y[0], loss[0]]
    assert all(end[1] < node[1] for end, node in zip(arrows(figure), (y, y, loss), strict=True))


def test_an_edge_leads_around_the_boxes_in_its_way():
    chain = {name: {"at": (0, k)} for k, name in enumerate("abc")}
    straight = figures.computation_graph(chain, [("a", "b"), ("b", "c")])
    assert not any("C" in path for path in lines(straight))
    bent = figures.computation_graph(chain, [("a", "b"), ("b", "c"), ("a", "c"), ("a", "c", "twice")])
    assert [path.count("C") for path in lines(bent)] == [0, 0, 2, 2]
    assert lines(bent)[2] != lines(bent)[3]
    assert len(set(arrows(bent)[1:])) == 1


def test_a_graph_of_labels_alone(words):
    figure = figures.computation_graph({"a": {"at": (0, 0)}, "b": {"value": "?", "at": (0, 1)}}, [("a", "b")])
    assert words(figure) == ["", "<b>a</b>", "<b>b</b>", "?"]
    assert figure.data[0].hovertext == ("a", "b<br>value ?")


@pytest.mark.parametrize(
    ("nodes", "edges", "error", "message"),
    [
        ({}, [], ValueError, "nodes must not be empty; it is a dict of name to"),
        ([1], [], TypeError, "nodes must be a dict of name to"),
        ({"a": {"value": 1}}, [], ValueError, r"nodes\['a'\]\[\"at\"\] must be \(column, row\), got None"),
        ({"a": {"at": (0, "b")}}, [], TypeError, r"nodes\['a'\]\[\"at\"\] must be a number, got 'b'"),
        ({"a": {"vale": 1, "at": (0, 0)}}, [], ValueError, r"a part of nodes\['a'\] .* Did you mean 'value'"),
        ({"a": {"at": (0, 0)}, "b": {"at": (0, 0)}}, [], ValueError, "must all have different places"),
        (NODES, [("w", "z")], ValueError, "a node of edges must be one of 'w', 'x', 'y', 'L', got 'z'"),
        (NODES, ["w"], ValueError, r"an edge of edges must be \(from, to, text\), got 'w'"),
        (NODES, [*EDGES, ("L", "w")], ValueError, "edges must all lead to a greater column, or all to a gr"),
    ],
)
def test_bad_graphs_are_refused(nodes, edges, error, message):
    with pytest.raises(error, match=message):
        figures.computation_graph(nodes, edges)

"""Messages between Python and the page: what one writes, the other reads."""

import base64
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neocog.studio.messages import decode, encode

HEADERS = [{}, {"kind": "frame", "épreuve": "Größe"}, {"a": [1, None, {"b": "x" * 5}]}]
ARRAYS = {"w": np.arange(6.0).reshape(1, 2, 3), "nichts": np.zeros((0, 4)), "one": np.float64(-1.5)}


def same(found, arrays):
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], np.asarray(array, np.float32))
        assert found[name].shape == np.shape(array)


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("arrays", [{}, ARRAYS])
def test_python_reads_what_python_writes(header, arrays):
    message = encode(header, arrays)
    assert len(message) % 4 == 0
    found, read = decode(message)
    listed = found.pop("arrays")
    assert found == header
    assert listed == [[name, list(np.shape(array))] for name, array in arrays.items()]
    same(read, arrays)


def test_the_bytes_are_those_stated():
    assert encode({}, {"b": [1.0]}) == b'\x16\0\0\0{"arrays":[["b",[1]]]}\0\0\0\0\x80?'


def test_a_header_is_plain_data():
    with pytest.raises(TypeError, match="JSON serializable"):
        encode({"x": np.zeros(2)}, {})
    with pytest.raises(ValueError, match="JSON compliant"):
        encode({"x": float("nan")}, {})


def test_numbers_that_are_not_finite_come_through_in_arrays():
    array = np.array([np.nan, np.inf, -np.inf, -0.0])
    _, found = decode(encode({}, {"x": array}))
    np.testing.assert_array_equal(found["x"], array)


def damaged():
    whole = encode({"kind": "image"}, {"x": np.zeros(3)})

    def told(listed):
        text = json.dumps({"arrays": listed}).encode()
        return len(text).to_bytes(4, "little") + text + bytes(-len(text) % 4)

    return [
        (b"", "the header that it announces"),
        (b"\0\0", "the header that it announces"),
        (whole[:30], "the header that it announces"),
        (b"\xff\xff\xff\xff" + whole[4:], "the header that it announces"),
        (whole[:-4], "longer than what is left"),
        (whole + b"\0\0\0\0", "4 bytes more"),
        (b"\4\0\0\0true", 'lists its "arrays"'),
        (b"\4\0\0\0\xff\xfe[]", 'lists its "arrays"'),
        (told(3), 'lists its "arrays"'),
        (told([["x"]]), 'lists its "arrays"'),
        (told([[1, []]]), "must have a name and a shape"),
        (told([["x", [-1]]]), "must have a name and a shape"),
        (told([["x", [True]]]), "must have a name and a shape"),
        (told([["x", [2**40, 2**40]]]), "longer than what is left"),
        (b"\x40\x9c\0\0" + b"[" * 40000, 'lists its "arrays"'),
    ]


@pytest.mark.parametrize(("message", "error"), damaged(), ids=range(len(damaged())))
def test_a_damaged_message_is_refused(message, error):
    with pytest.raises(ValueError, match=error):
        decode(message)


@given(st.data())
def test_a_changed_byte_is_read_or_refused(data):
    message = bytearray(encode({"kind": "image"}, {"x": np.zeros(3)}))
    message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    try:
        header, arrays = decode(bytes(message))
    except ValueError:
        return
    assert len(header["arrays"]) >= len(arrays)


@pytest.mark.browser
def test_the_page_reads_and_writes_the_same(module_page):
    """At each alignment of the buffer's beginning: a notebook hands out views into larger ones."""
    header = {"kind": "frame", "épreuve": "Größe"}
    sent = encode(header, ARRAYS)
    code = """async ([text, shift]) => {
      const { decode, encode } = await import("/messages.js");
      const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
      const larger = new Uint8Array(bytes.length + shift + 3);
      larger.set(bytes, shift);
      const view = new DataView(larger.buffer, shift, bytes.length);
      const { header, arrays } = decode(shift ? view : bytes.buffer);
      const listed = header.arrays;
      delete header.arrays;
      const back = new Uint8Array(encode(header, arrays));
      return { header, listed, sums: [...arrays.values()].map((a) => a.data.reduce((x, y) => x + y, 0)),
        back: btoa(String.fromCharCode(...back)) };
    }"""
    for shift in range(5):
        answer = module_page.evaluate(code, [base64.b64encode(sent).decode(), shift])
        assert answer["header"] == header
        assert answer["listed"] == [["w", [1, 2, 3]], ["nichts", [0, 4]], ["one", []]]
        assert answer["sums"] == [15, 0, -1.5]
        found, arrays = decode(base64.b64decode(answer["back"]))
        assert {key: found[key] for key in header} == header
        same(arrays, ARRAYS)


@pytest.mark.browser
def test_the_page_refuses_a_message_that_is_too_long(module_page):
    code = """async (text) => {
      const { decode } = await import("/messages.js");
      const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
      try { decode(bytes); return ""; } catch (error) { return error.message; }
    }"""
    sent = encode({}, {"x": np.zeros(2)}) + b"\0\0\0\0"
    assert "lists arrays up to" in module_page.evaluate(code, base64.b64encode(sent).decode())


def test_a_number_beyond_float32_is_infinite_and_nobody_is_warned():
    _, arrays = decode(encode({"kind": "frame"}, {"w": np.array([1e300, -1e300, 1.5])}))
    np.testing.assert_array_equal(arrays["w"], np.array([np.inf, -np.inf, 1.5], "f4"))

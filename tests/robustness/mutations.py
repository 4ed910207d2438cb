"""Change files at random: bytes, and what the bytes mean, with all digests made right again."""

import copy
import gzip
import io
import json
import struct
import zipfile
import zlib

import numpy as np
import onnx
from google.protobuf.message import Message

from neocog import model_file

VALUES = [
    *(None, True, -1, 0, 1, 3, 2**31, 10**15, 10**400, 1.5, -0.0, 1e308),
    *("", "x", "1e9", "\x1b[2J", "a\nb", "../x"),
    *([], {}, [[1]], [1, 2, 3], [None] * 50),
    *({"$again": 0}, {"$array": "x"}, {"$layer": "ReLU", "config": {"$map": []}}),
]
SIZES = [0, 1, 2, 7, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62]


def change_bytes(content, rng):
    """Return bytes with some of them changed, left out, doubled or cut off."""
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        if not content:
            break
        at = rng.randrange(len(content))
        if rng.random() < 0.3:  # the beginning holds what is most often read
            at = rng.randrange(min(64, len(content)))
        kind = rng.randrange(6)
        if kind == 0:
            content[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            content[at] = rng.randrange(256)
        elif kind == 2:
            content[at : at + 4] = struct.pack(rng.choice("<>") + "I", rng.choice(SIZES) % 2**32)
        elif kind == 3:
            del content[at : at + rng.choice([1, 4, 100, len(content)])]
        elif kind == 4:
            content[at:at] = content[at : at + rng.choice([1, 4, 100])]
        else:
            content[at:at] = rng.randbytes(rng.choice([1, 4, 100]))
    return bytes(content)


def places(data, above=()):
    """Yield the path of every value in nested data."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*above, key)
        yield from places(value, (*above, key))


def change_json(data, rng):
    """Replace, leave out, double or rename a value, in place."""
    for _ in range(rng.choice([1, 1, 1, 3])):
        found = list(places(data))
        if not found:
            return data
        *above, key = rng.choice(found)
        owner = data
        for step in above:
            owner = owner[step]
        kind = rng.randrange(6)
        if kind == 0:
            del owner[key]
        elif kind == 1 and isinstance(owner, dict):
            owner[rng.choice(["x", "layers", "config", "", key + " "])] = owner.pop(key)
        elif kind == 1:
            owner.insert(key, copy.deepcopy(owner[key]))
        elif kind == 2:
            other = data
            for step in rng.choice(found):
                other = other[step] if isinstance(other, dict | list) and len(other) else other
                if rng.random() < 0.2:
                    break
            owner[key] = json.loads(json.dumps(other))
        elif kind == 3 and isinstance(owner[key], int | float):
            owner[key] = rng.choice([-owner[key], owner[key] + 1, owner[key] * 1000, str(owner[key])])
        else:
            owner[key] = copy.deepcopy(rng.choice(VALUES))
    return data


def change_array(array, rng):
    """Return an array of another shape, dtype or content."""
    kind = rng.randrange(6)
    if kind == 0:
        return array.astype(rng.choice(["f2", "f4", "f8", "i1", "i8", "u1", "u2", "?"]))
    if kind == 1:
        return array.reshape(-1)
    if kind == 2:
        return array[..., None]
    if kind == 3:
        return array[: rng.choice([0, 1])] if array.ndim else array
    if kind == 4:
        return np.full_like(array, rng.choice([0, 1, 255])) if array.dtype.kind != "f" else array * np.nan
    return np.concatenate([array.reshape(-1)] * 3)


def change_model_file(path, rng):
    """Change the description, or an array, and write the file with the digests of what it now holds."""
    header, arrays = model_file.read(path)
    header.pop("arrays")
    if rng.random() < 0.75:
        header = change_json(header, rng)
        header.pop("arrays", None)
    else:
        name = rng.choice(list(arrays))
        kind = rng.randrange(4)
        if kind == 0:
            del arrays[name]
        elif kind == 1:
            arrays["x" + name] = arrays.pop(name)
        else:
            arrays[name] = change_array(arrays[name], rng)
    path.unlink()
    model_file.write(path, header, arrays)


def change_json_file(path, rng):
    data = json.loads(path.read_text())
    if "sha256" in data:
        del data["sha256"]
        data = change_json(data, rng)
        if isinstance(data, dict):
            data["sha256"] = model_file.digest(data)
    else:
        data = change_json(data, rng)
    path.write_text(json.dumps(data))


def change_npz(path, rng):
    """Change an array, or what the header of one says, in an archive that is whole."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(entries))
    array = np.load(io.BytesIO(entries[name]))
    stream = io.BytesIO()
    if rng.random() < 0.5:
        np.save(stream, change_array(array, rng) if array.dtype.kind != "U" else array[:1])
    else:
        header = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
        header |= rng.choice(
            [
                {"shape": (rng.choice(SIZES), *array.shape[1:])},
                {"shape": tuple(rng.choice(SIZES) for _ in range(rng.randrange(5)))},
                {
                    "descr": rng.choice(
                        ["|O", "<f8", ">f4", "<c16", "|V9", "<U7", "<M8[s]", "|S999999999", "|u1"]
                    )
                },
                {"fortran_order": True},
                {"shape": (-1, 3)},
            ]
        )
        np.lib.format.write_array_header_1_0(stream, header)
        stream.write(array.tobytes())
    entries[name] = stream.getvalue()
    if rng.random() < 0.1:
        del entries[name]
    with zipfile.ZipFile(path, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def change_idx(path, rng):
    """Change a size or the content of an IDX file, and compress it again where it was."""
    zipped = path.suffix == ".gz"
    content = bytearray(gzip.decompress(path.read_bytes()) if zipped else path.read_bytes())
    if rng.random() < 0.6:
        at = 4 * rng.randrange(1, 2 if "idx1" in path.name else 4)
        content[at : at + 4] = struct.pack(">I", rng.choice(SIZES) % 2**32)
    else:
        content = change_bytes(content, rng)
    path.write_bytes(gzip.compress(bytes(content)) if zipped else bytes(content))


def change_csv(path, rng):
    """Change cells of a table."""
    rows = [line.split(",") for line in path.read_text().splitlines()]
    for _ in range(rng.choice([1, 1, 4])):
        row = rng.choice(rows)
        cell = rng.choice(
            [
                "",
                "-1",
                "256",
                "nan",
                "inf",
                "1e999",
                '"',
                '"a',
                "0x10",
                "1_0",
                "é",
                "\0",
                "9" * 400,
                "1,2",
                "a;b",
                "\n",
            ]
        )
        kind = rng.randrange(4)
        if kind == 0 and row:
            row.pop(rng.randrange(len(row)))
        elif kind == 1:
            rows.insert(rng.randrange(len(rows)), list(row))
        elif row:
            row[rng.randrange(len(row))] = cell
    path.write_text("\n".join(",".join(row) for row in rows) + "\n")


def change_png(path, rng):
    """Change a chunk of a PNG file, and its checksum; other files are changed byte by byte."""
    content = path.read_bytes()
    if not content.startswith(b"\x89PNG"):
        path.write_bytes(change_bytes(content, rng))
        return
    chunks, at = [], 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunks.append([content[at + 4 : at + 8], content[at + 8 : at + 8 + length]])
        at += 12 + length
    chunk = rng.choice(chunks)
    kind = rng.randrange(4)
    if kind == 0:
        chunk[1] = change_bytes(chunk[1], rng)
    elif kind == 1:
        chunks.remove(chunk)
    elif kind == 2:
        chunks.insert(rng.randrange(len(chunks)), chunk)
    else:
        chunks[0][1] = (
            struct.pack(">II", rng.choice(SIZES) % 2**32, rng.choice(SIZES) % 2**32) + chunks[0][1][8:]
        )
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    path.write_bytes(content[:8] + body)


def _fields(message):
    """Yield every field that is set in a message, and in those within it."""
    for field, value in message.ListFields():
        yield message, field
        if field.message_type is not None:
            for inner in [value] if isinstance(value, Message) else value:
                yield from _fields(inner)


def change_onnx(path, rng):
    """Change a field of an ONNX model."""
    model = onnx.load(path)
    for _ in range(rng.choice([1, 1, 3])):
        owner, field = rng.choice(list(_fields(model)))
        value = getattr(owner, field.name)
        repeated = not isinstance(value, int | float | str | bytes | Message)
        if repeated and len(value):
            kind, k = rng.randrange(3), rng.randrange(len(value))
            if kind == 0:
                del value[k]
            elif field.message_type is not None:
                value.add().CopyFrom(value[k])
            else:
                value[k] = _other(value[k], rng)
        elif isinstance(value, Message) or rng.random() < 0.2:
            owner.ClearField(field.name)
        elif not repeated:
            try:
                setattr(owner, field.name, _other(value, rng))
            except (ValueError, TypeError):  # an enumeration has no such value
                owner.ClearField(field.name)
    path.write_bytes(model.SerializeToString())


def _other(value, rng):
    if isinstance(value, int):
        return rng.choice([-1, value + 1, *(size for size in SIZES if size < 2**31)])
    if isinstance(value, float):
        return rng.choice([0.0, -1.0, float("nan"), 1e30])
    if isinstance(value, str):
        return rng.choice(["", "x", "input", "Relu", "Conv", "Reshape", "\x1b[2J"])
    return change_bytes(value, rng)

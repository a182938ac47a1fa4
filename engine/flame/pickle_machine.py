# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pickle describes, without doing any of it: a machine of its opcodes that calls nothing and imports nothing.

Python's own unpickler builds objects by calling what the file names. This one writes the calls down: a name
becomes a `Name`, a call or an object a `Thing`, and whoever wants an array reads it off the description. So no
file can run anything, chumpy and scipy objects need neither library, and memory stays in proportion to the file.
Opcodes as in Python's Lib/pickletools.py, protocols 0 to 5. Standard library only.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..errors import EngineError

_MOST_STEPS = 1_000_000  # a FLAME head needs a few hundred
_MOST_DIGITS = 40

# names that a file of arrays has a reason to hold; anything else says that it is not one
_NAMES = {
    ("copy_reg", "_reconstructor"), ("copyreg", "_reconstructor"), ("_codecs", "encode"),
    ("collections", "OrderedDict"), ("collections", "defaultdict"),
    *((module, name) for module in ("__builtin__", "builtins")
      for name in ("object", "set", "frozenset", "list", "dict", "tuple", "bytes", "bytearray", "complex", "slice")),
}
_NUMPY = {"_reconstruct", "scalar", "ndarray", "dtype", "_frombuffer", "matrix", "memmap"}
_SPARSE = {f"{layout}_{kind}" for layout in ("csc", "csr", "coo") for kind in ("matrix", "array")}


@dataclass(frozen=True, eq=False)
class Name:
    """A class or function that the file names."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Thing:
    """An object as described: `name` called or made with `args`, then given `state`, `items` and `elements`."""

    name: Name
    args: tuple[Any, ...] = ()
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)
    elements: list[Any] = field(default_factory=list)


def describe(data: bytes) -> Any:
    """The description of the pickle `data`: None, numbers, str, memoryview (bytes), list, tuple, dict, Name, Thing.

    Dict keys are str or numbers (Python 2's byte strings as latin-1); any other key becomes a nameless object.
    Raises EngineError whose message begins in the middle of a sentence, for the caller to name the file.
    """
    try:
        return _Machine(data).run()
    except (IndexError, KeyError, ValueError, TypeError, OverflowError, struct.error, UnicodeError, MemoryError):
        raise EngineError("it is no readable pickle, or it is damaged.", code="bad_file") from None


def as_text(value: Any) -> str:
    """A str, or Python 2's byte string as one. Raises ValueError for anything else."""
    if isinstance(value, memoryview):
        return bytes(value).decode("latin-1")
    if not isinstance(value, str):
        raise ValueError
    return value


def _is_allowed(module: str, name: str) -> bool:
    top = module.split(".")[0]
    return ((module, name) in _NAMES or (top == "numpy" and name in _NUMPY) or top == "chumpy"
            or (module.startswith("scipy.sparse") and name in _SPARSE))


def _key(value: Any) -> Any:
    if isinstance(value, memoryview):
        return bytes(value).decode("latin-1") if len(value) < 1000 else object()
    return value if isinstance(value, str | int | float) else object()


class _Machine:
    """One run over one pickle. Everything read is a slice of `data`, never a copy."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.view = memoryview(data)
        self.position = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(_MOST_STEPS):
            code = self.data[self.position]
            self.position += 1
            if code == ord("."):
                return self.stack.pop()
            step = _STEPS.get(code)
            if step is None:
                raise ValueError
            step(self)
        raise EngineError("it describes far more than a head or a motion needs.", code="bad_file")

    def take(self, count: int) -> memoryview:
        """The next `count` bytes; sizes are held against the file before anything is made of them."""
        start, end = self.position, self.position + count
        if count < 0 or end > len(self.data):
            raise ValueError
        self.position = end
        return self.view[start:end]

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self) -> bytes:
        end = self.data.index(b"\n", self.position)
        line, self.position = self.data[self.position:end], end + 1
        return line

    def digits(self) -> str:
        line = self.line()
        if len(line) > _MOST_DIGITS:
            raise ValueError
        return line.decode("ascii")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if self.marks and len(self.stack) <= self.marks[-1]:
            raise ValueError
        return self.stack.pop()

    def pop_mark(self) -> list[Any]:
        start = self.marks.pop()
        values, self.stack[start:] = self.stack[start:], []
        return values

    # names, calls, objects

    def name(self, module: str, name: str) -> None:
        if not _is_allowed(module, name):
            raise EngineError(f"it asks to run `{module[:60]}.{name[:60]}`, which no file of arrays needs.",
                              code="bad_file")
        self.push(Name(module, name))

    def global_(self) -> None:
        self.name(self.line().decode("utf-8"), self.line().decode("utf-8"))

    def stack_global(self) -> None:
        name, module = as_text(self.pop()), as_text(self.pop())
        self.name(module, name)

    def call(self, name: Any, args: Any) -> None:
        if not isinstance(name, Name) or not isinstance(args, tuple):
            raise ValueError
        if name.name == "_reconstructor":
            name, args = args[0], ()
            if not isinstance(name, Name):
                raise ValueError
        self.push(Thing(name, args))

    def reduce(self) -> None:
        args, name = self.pop(), self.pop()
        self.call(name, args)

    def new_object_with_keywords(self) -> None:
        self.pop()
        self.reduce()

    def instance(self) -> None:
        values = self.pop_mark()
        self.global_()
        self.call(self.pop(), tuple(values))

    def object_(self) -> None:
        values = self.pop_mark()
        self.call(values[0], tuple(values[1:]))

    def build(self) -> None:
        state, thing = self.pop(), self.stack[-1]
        if not isinstance(thing, Thing):
            raise ValueError
        thing.state = state

    # containers

    def set_items(self, values: list[Any]) -> None:
        target = self.stack[-1]
        items = target.items if isinstance(target, Thing) else target
        if not isinstance(items, dict) or len(values) % 2:
            raise ValueError
        for key, value in zip(values[::2], values[1::2], strict=True):
            items[_key(key)] = value

    def set_item(self) -> None:
        value, key = self.pop(), self.pop()
        self.set_items([key, value])

    def append(self, values: list[Any]) -> None:
        target = self.stack[-1]
        elements = target.elements if isinstance(target, Thing) else target
        if not isinstance(elements, list):
            raise ValueError
        elements.extend(values)

    def dict_(self) -> None:
        values = self.pop_mark()
        self.push({})
        self.set_items(values)

    def tuple_(self, count: int) -> None:
        values = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(values)))

    # memo and text

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def integer(self) -> None:
        text = self.digits()
        self.push(text == "01" if text in ("00", "01") else int(text))

    def long(self, count: int) -> None:
        if count > 16:
            raise ValueError
        self.push(int.from_bytes(self.take(count), "little", signed=True))

    def quoted(self) -> None:
        line = self.line()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in b"'\"":
            raise ValueError
        self.push(memoryview(codecs.escape_decode(line[1:-1])[0]))

    def text(self, layout: str) -> None:
        self.push(str(self.take(self.number(layout)), "utf-8", "surrogatepass"))


def _pop_or_mark(machine: _Machine) -> None:
    if machine.marks and len(machine.stack) == machine.marks[-1]:
        machine.marks.pop()
    else:
        machine.stack.pop()


def _refuse_reference(machine: _Machine) -> None:
    raise EngineError("it refers to data that is not in it.", code="bad_file")


_STEPS: dict[int, Callable[[_Machine], Any]] = {ord(code): step for code, step in {
    "(": lambda m: m.marks.append(len(m.stack)),
    "0": _pop_or_mark,
    "1": lambda m: m.pop_mark(),
    "2": lambda m: m.push(m.stack[-1]),
    "N": lambda m: m.push(None),
    "\x88": lambda m: m.push(True),
    "\x89": lambda m: m.push(False),
    # numbers
    "I": lambda m: m.integer(),
    "L": lambda m: m.push(int(m.digits().removesuffix("L"))),
    "F": lambda m: m.push(float(m.digits())),
    "J": lambda m: m.push(m.number("<i")),
    "K": lambda m: m.push(m.number("<B")),
    "M": lambda m: m.push(m.number("<H")),
    "G": lambda m: m.push(m.number(">d")),
    "\x8a": lambda m: m.long(m.number("<B")),
    "\x8b": lambda m: m.long(m.number("<i")),
    # bytes and text
    "S": lambda m: m.quoted(),
    "T": lambda m: m.push(m.take(m.number("<i"))),
    "U": lambda m: m.push(m.take(m.number("<B"))),
    "B": lambda m: m.push(m.take(m.number("<I"))),
    "C": lambda m: m.push(m.take(m.number("<B"))),
    "\x8e": lambda m: m.push(m.take(m.number("<Q"))),
    "\x96": lambda m: m.push(m.take(m.number("<Q"))),
    "V": lambda m: m.push(str(m.line(), "raw-unicode-escape")),
    "X": lambda m: m.text("<I"),
    "\x8c": lambda m: m.text("<B"),
    "\x8d": lambda m: m.text("<Q"),
    # containers; a set is as good as a list here
    "]": lambda m: m.push([]),
    "}": lambda m: m.push({}),
    ")": lambda m: m.push(()),
    "\x8f": lambda m: m.push([]),
    "l": lambda m: m.push(m.pop_mark()),
    "t": lambda m: m.push(tuple(m.pop_mark())),
    "\x91": lambda m: m.push(tuple(m.pop_mark())),
    "d": lambda m: m.dict_(),
    "\x85": lambda m: m.tuple_(1),
    "\x86": lambda m: m.tuple_(2),
    "\x87": lambda m: m.tuple_(3),
    "a": lambda m: m.append([m.pop()]),
    "e": lambda m: m.append(m.pop_mark()),
    "\x90": lambda m: m.append(m.pop_mark()),
    "s": lambda m: m.set_item(),
    "u": lambda m: m.set_items(m.pop_mark()),
    # memo
    "p": lambda m: m.put(int(m.digits())),
    "q": lambda m: m.put(m.number("<B")),
    "r": lambda m: m.put(m.number("<I")),
    "\x94": lambda m: m.put(len(m.memo)),
    "g": lambda m: m.push(m.memo[int(m.digits())]),
    "h": lambda m: m.push(m.memo[m.number("<B")]),
    "j": lambda m: m.push(m.memo[m.number("<I")]),
    # names, calls, objects
    "c": lambda m: m.global_(),
    "\x93": lambda m: m.stack_global(),
    "R": lambda m: m.reduce(),
    "\x81": lambda m: m.reduce(),
    "\x92": lambda m: m.new_object_with_keywords(),
    "i": lambda m: m.instance(),
    "o": lambda m: m.object_(),
    "b": lambda m: m.build(),
    # what leaves the file
    "P": _refuse_reference,
    "Q": _refuse_reference,
    "\x97": _refuse_reference,
    "\x82": _refuse_reference,
    "\x83": _refuse_reference,
    "\x84": _refuse_reference,
    # framing
    "\x80": lambda m: m.take(1),
    "\x95": lambda m: m.take(8),
    "\x98": lambda m: None,
}.items()}

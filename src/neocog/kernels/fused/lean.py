"""Compile operations, and the functions that they call, with half of the work that Numba does.

Numba turns each function into machine code that Python can call. A function that only compiled ones call
(:func:`lean`) needs none of its own: it is linked into the operation, which is optimised once, as a whole. No
function here has closures, comprehensions, exceptions, or objects whose references are counted: the passes
for these are left out. The types of a call, most often of ``+`` or ``*`` on two integers, are found once.
"""

from __future__ import annotations

from typing import Any

from numba import config
from numba.core import typed_passes, types, untyped_passes
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.compiler_machinery import PassManager
from numba.core.registry import CPUDispatcher
from numba.core.runtime import rtsys

__all__ = ["Lean", "lean"]

_PASSES = (
    untyped_passes.TranslateByteCode,
    untyped_passes.FixupArgs,
    untyped_passes.IRProcessing,
    untyped_passes.GenericRewrites,
    untyped_passes.ReconstructSSA,
    typed_passes.NopythonTypeInference,
    typed_passes.PreLowerStripPhis,
    typed_passes.IRLegalization,
    typed_passes.AnnotateTypes,
    typed_passes.NativeLowering,
    typed_passes.NoPythonBackend,
)


class _Whole(JITCodeLibrary):
    """The code of an operation and of all that it calls."""

    def add_linking_library(self, library: Any) -> None:
        """Link another library into this one, but not the functions that count references."""
        if library is not rtsys.library:
            super().add_linking_library(library)

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        found = self._codegen._module_pass_manager()  # with a builder since LLVM 20's Numba
        manager, *builder = found if isinstance(found, tuple) else (found,)
        manager.run(self._final_module, *builder)


class _Part(_Whole):
    """The code of a function that is linked into operations."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True


class _Typing:
    """Numba's context of types, which finds the types of equal calls once."""

    known: dict[Any, Any] = {}  # noqa: RUF012 - of the whole process

    def __init__(self, context: Any) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def resolve_function_type(self, function: Any, args: Any, kws: Any) -> Any:
        """Return the signature of a call, or None."""
        key = function, tuple(args), tuple(kws.items())
        found = self.known.get(key) or self._context.resolve_function_type(function, args, kws)
        if found is not None and not isinstance(function, types.Dispatcher):
            self.known[key] = found
        return found


def _entry(library: Any, description: Any, environment: Any) -> Any:
    """Return a built-in function that stands for a compiled one, and for no other."""
    return object().__reduce__


class Lean(Compiler):
    """Numba's compiler with the passes that the functions of operations need."""

    def define_pipelines(self) -> list[PassManager]:
        """Return the only list of passes."""
        state = self.state
        library = _Whole
        if not state.flags.no_compile:  # which an operation sets, whose entry for C comes after the passes
            library, state.targetctx.get_executable = _Part, _entry
        state.library = library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        state.typingctx = _Typing(state.typingctx)
        manager = PassManager("lean")
        for each in _PASSES:
            manager.add_pass(each, each.__name__)
        manager.finalize()
        return [manager]


class _Inner(CPUDispatcher):
    """A function that Python cannot call."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"only compiled functions can call {self.__name__}.")


def lean(**options: Any) -> Any:
    """Return the decorator of functions that only compiled ones call, and that allocate nothing."""
    if config.DISABLE_JIT:
        return lambda function: function
    options = {"_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True, **options}
    return lambda function: _Inner(function, targetoptions=options, pipeline_class=Lean)

"""A program that is run in this process as ``python`` itself runs it.

Its module is ``__main__`` to its end, functions of `atexit` and threads included, and nothing of
the module that was there before is seen: not in ``sys.path``, not in its tracebacks.
"""

import builtins
import importlib.machinery
import io
import os
import pkgutil
import runpy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType, ModuleType, TracebackType

STDIN = "-"


def run_module(name: str, arguments: Sequence[str]) -> None:
    """Run a module, as ``python -m``."""
    _begin_path_with(str(Path.cwd()))
    _run(["-m", *arguments], lambda _: runpy._run_module_as_main(name))  # type: ignore[attr-defined]


def run_file(path: str, arguments: Sequence[str]) -> None:
    """Run a file, a folder or an archive with a ``__main__.py``, or ``-``."""
    argv = [path, *arguments]
    if path == STDIN:
        _begin_path_with("")
        _run(argv, _execute_stdin)
        return
    # As Python: neither links nor dots are resolved.
    absolute = os.path.join(os.getcwd(), path)  # noqa: PTH109, PTH118
    if pkgutil.get_importer(absolute) is not None:
        _begin_path_with(absolute, always=True)
        _run(argv, lambda _: runpy._run_module_as_main("__main__", alter_argv=False))  # type: ignore[attr-defined]
        return
    _begin_path_with(str(Path(absolute).resolve().parent))
    _run(argv, lambda main: _execute_file(main, absolute))


def _begin_path_with(folder: str, *, always: bool = False) -> None:
    """Have modules looked for there first, where Python puts what is run, which was dbmanager."""
    if not sys.flags.safe_path:
        sys.path[0] = folder
    elif always:
        sys.path.insert(0, folder)


def _run(argv: list[str], body: Callable[[ModuleType], object]) -> None:
    main = ModuleType("__main__")
    vars(main)["__builtins__"] = builtins
    if "__annotations__" in vars(sys.modules["__main__"]):
        # As Python before 3.14 begins.
        vars(main)["__annotations__"] = {}
    sys.modules["__main__"] = main
    sys.argv = argv
    try:
        body(main)
    except SystemExit:
        # Python ends in a way of its own for it.
        raise
    except BaseException as error:
        _tell_without_our_frames(error)
        raise


def _tell_without_our_frames(error: BaseException) -> None:
    """Have Python tell of an error that ends the program as if it had run the program itself."""
    traceback, hook = _of_the_program(error.__traceback__), getattr(sys, "excepthook", None)
    if hook is None:
        return

    def told(kind: type[BaseException], value: BaseException, whole: TracebackType | None) -> None:
        if value is error:
            whole = sys.last_traceback = traceback
        hook(kind, value.with_traceback(whole), whole)

    sys.excepthook = told


def _of_the_program(traceback: TracebackType | None) -> TracebackType | None:
    """Leave out the frames by which it was run."""
    while traceback is not None and traceback.tb_frame.f_globals is globals():
        traceback = traceback.tb_next
    return traceback


def _execute_file(main: ModuleType, path: str) -> None:
    _name_file(main, path)
    # Read once: what is run may be a pipe.
    with io.open_code(path) as file:
        content = file.read()
    code = pkgutil.read_code(io.BytesIO(content))
    loader: type[importlib.machinery.SourceFileLoader | importlib.machinery.SourcelessFileLoader]
    loader = importlib.machinery.SourcelessFileLoader
    if code is None:
        loader = importlib.machinery.SourceFileLoader
    main.__loader__ = loader("__main__", path)
    _execute(main, code or compile(content, path, "exec", dont_inherit=True))


def _execute_stdin(main: ModuleType) -> None:
    _name_file(main, "<stdin>")
    main.__loader__ = importlib.machinery.BuiltinImporter
    # Bytes: the program itself may say how it is encoded.
    _execute(main, compile(sys.stdin.buffer.read(), "<stdin>", "exec", dont_inherit=True))


def _name_file(main: ModuleType, name: str) -> None:
    vars(main)["__file__"] = name
    vars(main)["__cached__"] = None


def _execute(main: ModuleType, code: CodeType) -> None:
    exec(code, vars(main))  # noqa: S102 - the program

"""A program that is run in this process as ``python`` itself runs it.

Its module is ``__main__`` to its end, functions of `atexit` and threads included, and nothing of
the module that was there before is seen: not in ``sys.path``, not in its tracebacks.
"""

import builtins
import importlib.machinery
import importlib.util
import io
import os
import pkgutil
import runpy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType, ModuleType, TracebackType

STDIN = "-"


def missing_part(module: str) -> str | None:
    """Give what is not there of a module's dotted name; None when all is."""
    _begin_path_with(str(Path.cwd()))
    try:
        return module if importlib.util.find_spec(module) is None else None
    except ModuleNotFoundError as error:
        # A package on the way; not what such a package fails to import.
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            return error.name
        raise


def run_module(name: str, arguments: Sequence[str]) -> int:
    """Run a module, as ``python -m``; give the exit code."""
    _begin_path_with(str(Path.cwd()))
    return _run(["-m", *arguments], lambda _: runpy._run_module_as_main(name))  # type: ignore[attr-defined]


def run_file(path: str, arguments: Sequence[str]) -> int:
    """Run a file, a folder or an archive with a ``__main__.py``, or ``-``; give the exit code."""
    argv = [path, *arguments]
    if path == STDIN:
        _begin_path_with("")
        return _run(argv, _execute_stdin)
    # As Python: neither links nor dots are resolved.
    absolute = os.path.join(os.getcwd(), path)  # noqa: PTH109, PTH118
    if pkgutil.get_importer(absolute) is not None:
        _begin_path_with(absolute, always=True)
        return _run(argv, lambda _: runpy._run_module_as_main("__main__", alter_argv=False))  # type: ignore[attr-defined]
    _begin_path_with(str(Path(absolute).resolve().parent))
    return _run(argv, lambda main: _execute_file(main, absolute))


def _begin_path_with(folder: str, *, always: bool = False) -> None:
    """Have modules looked for there first, where Python puts what is run, which was dbmanager."""
    if not sys.flags.safe_path:
        sys.path[0] = folder
    elif always:
        sys.path.insert(0, folder)


def _run(argv: list[str], body: Callable[[ModuleType], object]) -> int:
    main = ModuleType("__main__")
    vars(main)["__builtins__"] = builtins
    if "__annotations__" in vars(sys.modules["__main__"]):
        # As Python before 3.14 begins.
        vars(main)["__annotations__"] = {}
    sys.modules["__main__"] = main
    sys.argv = argv
    try:
        body(main)
    except (SystemExit, KeyboardInterrupt):
        # Python ends in ways of its own for these.
        raise
    except BaseException as error:  # noqa: BLE001 - told as Python tells it
        error.__traceback__ = _of_the_program(error.__traceback__)
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    return 0


def _of_the_program(traceback: TracebackType | None) -> TracebackType | None:
    """Leave out the frames by which it was run."""
    while traceback is not None and traceback.tb_frame.f_globals is globals():
        traceback = traceback.tb_next
    return traceback


def _execute_file(main: ModuleType, path: str) -> None:
    _name_file(main, path)
    main.__loader__ = importlib.machinery.SourceFileLoader("__main__", path)
    with io.open_code(path) as file:
        code = pkgutil.read_code(file)
        if code is None:
            file.seek(0)
            code = compile(file.read(), path, "exec", dont_inherit=True)
    _execute(main, code)


def _execute_stdin(main: ModuleType) -> None:
    _name_file(main, "<stdin>")
    main.__loader__ = importlib.machinery.BuiltinImporter
    _execute(main, compile(sys.stdin.read(), "<stdin>", "exec", dont_inherit=True))


def _name_file(main: ModuleType, name: str) -> None:
    vars(main)["__file__"] = name
    vars(main)["__cached__"] = None


def _execute(main: ModuleType, code: CodeType) -> None:
    exec(code, vars(main))  # noqa: S102 - the program

"""From a command line, or from a call in a notebook, to a request."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import functools
import io
import itertools
import shlex
import shutil
import sys
import textwrap
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from common import terminal
from common.arguments import Parser
from common.config.fields import C, Execution, Request
from common.config.values import check, preset_name, shallow
from common.errors import InputError
from common.files import expanded


def parse(
    config_class: type[C],
    presets: Mapping[str, C],
    *,
    package: str,
    description: str,
    arguments: Sequence[str] | None = None,
    execution_class: type[Any] = Execution,
    module: str = "train",
) -> Request[C]:
    """Read a training command's flags.

    `--preset NAME` (or `--demo`, short for `--preset demo`) sets the values from which the other
    flags differ; without it they are the defaults of `config_class`.

    Parameters
    ----------
    config_class : type
        The paper's frozen dataclass of `hp` fields.
    presets : mapping of str to config_class
        The paper's table rows and `demo`.
    package, description : str
        Shown by `--help`.
    arguments : sequence of str, optional
        Default: `sys.argv[1:]`.
    execution_class : type
        `Execution`, a subclass of it with what one paper adds, or what another command needs.
    module : str
        The command's module in the package.
    """
    import tyro

    arguments = list(sys.argv[1:] if arguments is None else arguments)
    prog = f"python -m {package}.{module}"
    name, rest = _take_preset(arguments, presets, prog)
    start = presets[name] if name else config_class()
    _require_numbers((config_class, execution_class), rest)
    flags = _described(config_class, start)
    execution_flags = _described(execution_class, execution_class())
    both = dataclasses.make_dataclass(
        "Flags",
        [
            ("config", Annotated[flags, tyro.conf.arg(name="")], flags()),
            ("execution", Annotated[execution_flags, tyro.conf.arg(name="")], execution_flags()),
        ],
        frozen=True,
    )
    description = (
        f"{description}\n\nEvery value names its source in [brackets]: the paper's section or "
        f"table, or why we assumed it. What an id such as H02 stands for, and all that the paper "
        f"says, leaves open and contradicts, is printed by: python -m common.protocols show "
        f"{package} [NAME ...]. No flag is required: what one is without being given stands "
        "behind `default`."
    )
    if hasattr(config_class, "split") and hasattr(execution_class, "images"):
        description += " With --images and known patients, --split is patient unless it is given."
    if presets:
        listing = "\n".join(f"  {preset}" for preset in presets)
        description += (
            f"\n\n--preset NAME starts from one of (--demo is short for --preset demo):\n{listing}"
        )
    with terminal.as_it_is(), _in_a_line():  # --help has colours
        parsed = tyro.cli(
            tyro.conf.OmitArgPrefixes[both],  # type: ignore[misc, valid-type]  # made at run time
            args=rest,
            prog=prog,
            description=_wrapped(description),
            config=(tyro.conf.OmitSubcommandPrefixes,),
        )
    config = config_class(**{**shallow(start), **shallow(parsed.config)})
    check(config)
    return Request(
        config,
        execution_class(**_with_homes(shallow(parsed.execution))),
        preset_name(config, presets, name),
        shlex.join(["python", "-m", f"{package}.{module}", *arguments]),
        _asked(config_class, rest) | ({"preset"} if name else frozenset()),
    )


def request(
    config_class: type[C],
    presets: Mapping[str, C],
    config: C | Request[C] | None = None,
    *,
    package: str,
    preset: str | None = None,
    execution_class: type[Any] = Execution,
    module: str = "train",
    **settings: Any,
) -> Request[C]:
    """Make the request that a call asks for, as `parse` makes it of a command line.

    Parameters
    ----------
    config_class : type
        The paper's frozen dataclass of `hp` fields.
    presets : mapping of str to config_class
        The paper's table rows and `demo`.
    config : config_class or Request, optional
        What to start from: a config; a request, which is returned as it is; unset, `preset` or the
        paper's main row.
    package : str
        The paper's package.
    preset : str, optional
        Name of a table row or `demo`.
    execution_class : type
        `Execution`, or a subclass of it with what one paper adds.
    module : str
        The command's module in the package.
    **settings : object
        Fields of the config or of the execution, which differ from it: ``epochs=3,
        data_dir="/data"``.

    Raises
    ------
    TypeError
        If a setting is neither's field, or `config` and `preset` are both given.
    InputError
        If the preset is unknown or a value is out of bounds.
    """
    if isinstance(config, Request):
        if preset is not None or settings:
            raise TypeError("a request is complete: give no settings beside it")
        return config
    if config is not None and preset is not None:
        raise TypeError("give a config or a preset, not both")
    if preset is not None and preset not in presets:
        raise InputError(_unknown_preset(preset, presets))
    start = presets[preset] if preset is not None else config or config_class()
    settings = _without_aliases(config_class, settings)
    own = {field.name for field in dataclasses.fields(config_class) if field.metadata["flag"]}
    others = typing.get_type_hints(execution_class)
    unknown = sorted(set(settings) - own - set(others))
    if unknown:
        near = difflib.get_close_matches(unknown[0], [*own, *others], n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise TypeError(f"train() has no setting {unknown[0]!r}{hint}")
    changed = {
        # 0 for 0.0 would be another run.
        name: float(value) if type(value) is int and type(getattr(start, name)) is float else value
        for name, value in settings.items()
        if name in own
    }
    final = dataclasses.replace(start, **changed)
    check(final)
    paths = {name for name, hint in others.items() if Path in (hint, *typing.get_args(hint))}
    execution = execution_class(
        **{
            name: expanded(value) if name in paths and value is not None else value
            for name, value in settings.items()
            if name not in own
        }
    )
    name = preset_name(final, presets, preset)
    base = preset or (name if name in presets else "")
    command = ["python", "-m", f"{package}.{module}", *typed(final, presets.get(base), base)]
    command += typed(execution, execution_class())
    asked = frozenset({*settings, *(["preset"] if preset else [])})
    return Request(final, execution, name, shlex.join(command), asked)


def typed(values: Any, base: Any, preset: str = "") -> list[str]:
    """Command-line flags that turn a preset, or the defaults, into what is wanted.

    Parameters
    ----------
    values : dataclass
        What is wanted.
    base : dataclass or None
        What the preset says; None: the defaults.
    preset : str
        Its name; "": the defaults.

    Returns
    -------
    list of str
    """
    found = [] if base is None or not preset else ["--preset", preset]
    base = type(values)() if base is None else base
    for field in dataclasses.fields(values):
        value = getattr(values, field.name)
        if value == getattr(base, field.name) or not field.metadata["flag"]:
            continue
        flag = field.name.replace("_", "-")
        if isinstance(value, bool):
            found.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, tuple):
            found += [f"--{flag}", *map(str, value)]
        else:
            found += [f"--{flag}", str(value)]
    return found


def _without_aliases(config_class: type[Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings under the names of their fields; of a list of one the one, where one is wanted."""
    settings = dict(settings)
    for field in dataclasses.fields(config_class):
        for name in set(field.metadata["aliases"]) & set(settings):
            if field.name in settings:
                raise TypeError(f"{name} and {field.name} are the same setting: give one of them")
            value = settings.pop(name)
            if isinstance(field.default, tuple):
                value = (value,) if isinstance(value, str) else tuple(value)
            elif isinstance(value, list | tuple) and len(value) == 1:
                (value,) = value
            settings[field.name] = value
    return settings


def _asked(config_class: type[Any], arguments: Sequence[str]) -> frozenset[str]:
    """Fields of a config that flags name, whatever values they give."""
    names = {
        alias: field.name
        for field in dataclasses.fields(config_class)
        for alias in (field.name, f"no_{field.name}", *field.metadata["aliases"])
    }
    flags = {each.partition("=")[0][2:].replace("-", "_") for each in arguments if each[:2] == "--"}
    return frozenset(names[flag] for flag in flags if flag in names)


def _wrapped(text: str) -> str:
    """Paragraphs in lines that fit the terminal; tyro joins those that are not indented again."""
    width = max(shutil.get_terminal_size().columns - 1, 40)
    fill = functools.partial(
        textwrap.fill, width=width, subsequent_indent="  ", break_on_hyphens=False
    )
    return "\n".join(line if line.startswith(" ") else fill(line) for line in text.split("\n"))


def _with_homes(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of flags, in whose paths ``~`` and variables stand for what they mean."""
    return {
        name: expanded(value) if isinstance(value, Path) else value
        for name, value in values.items()
    }


@contextlib.contextmanager
def _in_a_line() -> Iterator[None]:
    """Say what tyro says in a box in the words and the one line of all other errors."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            yield
    except SystemExit as end:
        if not end.code:
            raise
        lines = [line.strip("│╭╮╰╯ ") for line in said.getvalue().splitlines()[1:]]
        what = itertools.takewhile(lambda line: line.strip("─"), lines)
        near = [line.split()[0].rstrip(",") for line in lines if line.startswith("--")]
        words = [" ".join(what).rstrip(".")]
        words += [f"did you mean {' or '.join(near[:3])}?"] if near else []
        helped = next((line for line in lines if line.endswith("--help")), "")
        words.append(f"{helped.partition(', run ')[2]} says more")
        raise InputError("; ".join(words)) from None


def _take_preset(
    arguments: list[str], presets: Mapping[str, Any], prog: str
) -> tuple[str | None, list[str]]:
    """Take `--preset NAME` and `--demo` out of the arguments."""
    parser = Parser(prog=prog, add_help=False)
    parser.add_argument("--preset")
    parser.add_argument("--demo", action="store_true")
    known, rest = parser.parse_known_args(arguments)
    if known.demo and known.preset not in (None, "demo"):
        raise InputError("--demo is a preset of its own: leave out --preset, or --demo")
    name = "demo" if known.demo else known.preset
    if name is not None and name not in presets:
        raise InputError(_unknown_preset(name, presets))
    return name, rest


def _require_numbers(classes: Sequence[type[Any]], arguments: Sequence[str]) -> None:
    """Refuse words where a flag wants a number: tyro's words for it are Python's."""
    kinds: dict[str, type] = {}
    for each in classes:
        for name, hint in typing.get_type_hints(each).items():
            if hint in (int, float, int | None, float | None):
                kinds["--" + name.replace("_", "-")] = int if hint in (int, int | None) else float
    words = [
        part
        for each in arguments
        for part in (each.split("=", 1) if each.startswith("--") else [each])
    ]
    for flag, value in itertools.pairwise(words):
        kind = kinds.get(flag.replace("_", "-"))
        if kind is None or value == "None" or value.startswith("--"):
            continue
        try:
            kind(value)
        except ValueError:
            what = "a whole number" if kind is int else "a number"
            raise InputError(f"{flag} {value}: expected {what}") from None


def _unknown_preset(name: str, presets: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, presets, n=3, cutoff=0.3)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return f"--preset {name}: unknown; {hint}--help lists all {len(presets)}"


def _described(dataclass_type: type, start: Any) -> type:
    """Copy a dataclass with `start`'s values as defaults and help texts that tyro can read."""
    import tyro

    hints = typing.get_type_hints(dataclass_type)
    fields = []
    for field in dataclasses.fields(dataclass_type):
        if not field.metadata["flag"]:
            continue
        text = field.metadata["help"]
        if field.metadata["source"]:
            text = f"{text} [{field.metadata['source']}]"
        aliases = [f"--{name.replace('_', '-')}" for name in field.metadata["aliases"]]
        fields.append(
            (
                field.name,
                Annotated[hints[field.name], tyro.conf.arg(help=text, aliases=aliases or None)],
                dataclasses.field(default=getattr(start, field.name)),
            )
        )
    return dataclasses.make_dataclass(dataclass_type.__name__, fields, frozen=True)

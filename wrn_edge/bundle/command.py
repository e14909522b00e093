"""Bundle an exported run, from what the run says to a folder that has tested itself."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from common import notices, runs
from common.arguments import Parser
from common.errors import InputError
from common.files import output_folder, path_argument, plain, read_json
from wrn_edge.bundle import contents, seal
from wrn_edge.bundle.exported import PRECISIONS, find_data, find_model, read_export, tolerance
from wrn_edge.bundle.golden import choose_golden


def bundle(
    run: runs.Run, out: Path | None, *, data_dir: Path | None = None, precision: str = "int8"
) -> Path:
    """Bundle an exported run; see `contents.write`.

    Parameters
    ----------
    run : Run
        A finished run of wrn_edge.
    out : Path, optional
        Default: `bundle`, with the prefix SYNTHETIC- where that is so, in the run's folder.
    data_dir : Path, optional
        Where the run's pictures are.
    precision : {"int8", "dynamic", "float16", "float32"}
        Which of the exported models.

    Returns
    -------
    Path
        The bundle's folder.

    Raises
    ------
    InputError
        If the run is not finished or not exported, its pictures cannot be found, or the folder
        cannot be written.
    """
    if not run.finished:
        raise InputError(f"{run.path}: not finished; run the training command again")
    export = read_export(run)
    model, entry = find_model(run, export, precision)
    from common import datasets
    from wrn_edge import maps

    card = None if run.record.own else datasets.get(run.record["dataset"])
    trained_on = card.TITLE if card else run.record["dataset"]
    if run.synthetic:
        trained_on = "generated images"
    opened = maps.open_up(model.read_bytes())
    about: dict[str, Any] = {
        "run_id": run.record["run_id"],
        "command": run.record["command"],
        "dataset": trained_on,
        "licence": run.record["licence"] if not run.synthetic else "free of rights",
        "attribution": card.CITATION if card and not run.synthetic else "",
        "synthetic": run.synthetic,
        "classes": run.record["classes"],
        "positive": run.record["positive"],
        "threshold": export["threshold"],
        "temperature": export.get("temperature"),
        "image_size": run.config["image_size"],
        "resize_filter": run.config["resize_filter"],
        "tolerance": tolerance(precision, opened.logit_step),
        "calibration": export["calibration"],
        "versions": export["versions"],
        "model": {**entry, "exported_sha256": entry["sha256"]},
    }
    del about["model"]["sha256"]  # of the file as it is here, see `files`
    golden = choose_golden(run, find_data(run, data_dir), about["temperature"])
    given = out
    out = out or run.path / f"{notices.SYNTHETIC_PREFIX if run.synthetic else ''}bundle"
    with runs.changing(run.path) if run.path in out.parents else contextlib.nullcontext():
        if given is None and _is_there(out, about):
            files = (path for path in out.rglob("*") if path.is_file())
            runs.renew(run.path, [path.relative_to(run.path).as_posix() for path in files])
            return out
        return contents.write(out, about, opened.content, golden, opened.weights)


def _is_there(out: Path, about: dict[str, Any]) -> bool:
    """Whether a whole bundle of the same model is there, as after a kill at the very end."""
    try:
        found = read_json(out / "manifest.json")
        if any(found.get(name) != value for name, value in plain(about).items() if name != "model"):
            return False
        if found["model"]["exported_sha256"] != about["model"]["exported_sha256"]:
            return False
        seal.self_test(out)
    except (InputError, KeyError, TypeError):
        return False
    return True


def demo(runs_dir: Path) -> runs.Run:
    """Train the demo on synthetic tissue and export it; what is finished is not done again.

    Parameters
    ----------
    runs_dir : Path
        Where runs live.
    """
    from common import config as configuration
    from common import export
    from wrn_edge import config, train

    request = configuration.parse(
        config.Config,
        config.PRESETS,
        package="wrn_edge",
        description="",
        arguments=["--demo", "--runs-dir", str(runs_dir)],
    )
    run = train.train(request)
    if not (run.path / "export" / "export.json").exists():
        export.main("wrn_edge", ["--run", str(run.path)])
    return run


def main(arguments: list[str] | None = None) -> int:
    """Entry point of ``python -m wrn_edge.bundle``.

    Parameters
    ----------
    arguments : list of str, optional
        Default: those of the process.
    """
    parser = Parser(
        prog="python -m wrn_edge.bundle",
        description="Make a folder for a Raspberry Pi from an exported run.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--run", type=path_argument, metavar="RUN", help="an exported run of wrn_edge"
    )
    source.add_argument(
        "--demo", action="store_true", help="train on synthetic tissue, export and bundle"
    )
    parser.add_argument(
        "--out", type=output_folder, metavar="DIR",
        help="the bundle's folder, which must not exist (default: bundle in the run's folder)",
    )  # fmt: skip
    parser.add_argument(
        "--data-dir", type=path_argument, metavar="DIR",
        help="folder with the run's data set; unset: the environment variable HISTOPAPERS_DATA",
    )  # fmt: skip
    parser.add_argument("--precision", choices=PRECISIONS, default="int8", help="default: int8")
    parser.add_argument(
        "--runs-dir", type=path_argument, default=Path("runs"), metavar="DIR", help="for --demo"
    )
    options = parser.parse_args(arguments)
    run = demo(options.runs_dir) if options.demo else runs.load(options.run, "wrn_edge")
    out = bundle(run, options.out, data_dir=options.data_dir, precision=options.precision)
    megabytes = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6
    print(f"bundle  {out} ({megabytes:.1f} MB); its self-test passed")
    print(f"next    copy it to the device, read {out / 'README.md'}")
    if run.synthetic:
        print(notices.SYNTHETIC_MODEL)
    print(notices.RESEARCH_USE)
    return 0

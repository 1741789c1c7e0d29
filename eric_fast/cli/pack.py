"""`eric-fast pack` and `verify`: captures that are there already."""

import time
from pathlib import Path
from typing import Annotated

import typer

from eric_fast.cli.capture_output import FIT_HELP, Anew, FromThresholds, Output, load_thresholds, say_next
from eric_fast.cli.inputs import check_paths
from eric_fast.cli.options import Json, PerKernel
from eric_fast.errors import SettingError, say_count
from eric_fast.output import CAPTURE, check_folder, write_json
from eric_fast.show.console import show_progress, stdout


def pack(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="A capture that holds norms.")],
    output: Output,
    thresholds: FromThresholds = None,
    threshold: Annotated[
        str | None, typer.Option(help=f"Fit the thresholds on all images of DIR, by default mean: {FIT_HELP}")
    ] = None,
    per_kernel: PerKernel = 1,
    json: Json = None,
    force: Anew = False,
) -> None:
    """Make a capture of bits from one of norms, without running the network: a 32nd of the size, and quick to read.

    Thresholds are fitted to the norms of all images. For test images they must come from training: name the packed
    training capture, or the program, with --thresholds.
    """
    check_paths([json], [output, source], force=force)
    check_folder(output, force=True, kind=CAPTURE, keeps_others=not force)
    if thresholds is not None and threshold is not None:
        raise SettingError("--thresholds and --threshold can't both be given")
    from eric_fast.quantise import fit_quantiser, parse_threshold
    from eric_fast.quantise.pack import open_packing_job
    from eric_fast.store import Thresholds, open_capture
    from eric_fast.store.job import describe_job

    norms = open_capture(source)
    start = time.perf_counter()
    with show_progress() as progress:
        if thresholds is not None:
            found = load_thresholds(thresholds)
        else:
            spec = threshold or "mean"
            target = norms.predictions if parse_threshold(spec).kind == "split" else None
            quantiser = fit_quantiser(norms, target, threshold=spec, per_kernel=per_kernel, progress=progress)
            several = f"{per_kernel} for each kernel, " if per_kernel != 1 else ""
            found = Thresholds(quantiser, f"{several}{spec} of all {norms.n_images:,} images")
        with open_packing_job(norms, output, found, force=force, progress=progress) as job:
            stdout.print(f"{job.path}: {describe_job(job)}", markup=False)
            packed = job.run(progress)
    seconds = time.perf_counter() - start
    n_bytes = sum(shard.entry.n_bytes for shard in packed.shards)
    n_atoms = len(found.quantiser.atoms)
    if json is not None:
        figures = {"n_images": packed.n_images, "n_atoms": n_atoms, "n_bytes": n_bytes, "seconds": seconds}
        write_json(figures, json, force=force)
    stdout.print(
        f"packed {say_count(n_atoms, 'bit')} for each of {say_count(packed.n_images, 'image')} in {seconds:.1f} s; "
        f"thresholds: {found.origin}\nwrote {output}; next: {say_next(f'{norms.settings.data} {source}', output)}",
        markup=False,
    )


def verify(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="A capture, finished or not.")], json: Json = None
) -> None:
    """Read every shard of a capture and compare it with its SHA-256. Exit with 1 if a shard is damaged or missing.

    The command that made the capture makes such shards again.
    """
    check_paths([json], [source], force=False)
    from eric_fast.store import verify_capture

    with show_progress() as progress:
        found = verify_capture(source, progress)
    if json is not None:
        write_json({"n_shards": found.n_shards, "wrong": dict(found.wrong)}, json, force=False)
    for file, reason in found.wrong.items():
        stdout.print(f"{source / file} {reason}", markup=False)
    n_whole = found.n_shards - len(found.wrong)
    if found.wrong:
        stdout.print(
            f"{n_whole} of {found.n_shards} shards are intact; the command that made {source} makes the others again"
        )
        raise typer.Exit(1)
    stdout.print(f"all {say_count(found.n_shards, 'shard')} of {source} are as they were written", markup=False)

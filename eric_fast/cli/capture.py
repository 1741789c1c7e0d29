"""`eric-fast capture`: a network's activations on images, or a table's, on disk."""

import time
from typing import Annotated

import typer

from eric_fast.cli.capture_output import FIT_HELP, Anew, FromThresholds, Output, load_thresholds, say_next
from eric_fast.cli.capture_table import (
    TABLE_OPTIONS,
    AnswerSource,
    ClassNames,
    IdSource,
    LabelSource,
    TableFile,
    write_table,
)
from eric_fast.cli.inputs import check_paths, check_same_task, refuse_useless, split_commas
from eric_fast.cli.network import NETWORK_OPTIONS, load_network, read_network, takes_network
from eric_fast.cli.options import DATA_HELP, MODEL_HELP, Json, Layers, PerKernel
from eric_fast.errors import SettingError, say_count
from eric_fast.output import CAPTURE, check_folder, write_json
from eric_fast.processes import join_processes
from eric_fast.program.atoms import count_regions
from eric_fast.show.console import show_progress, stdout


@takes_network(*NETWORK_OPTIONS[1:], before="layers")
def capture(
    context: typer.Context,
    output: Output,
    model: Annotated[str | None, typer.Argument(help=MODEL_HELP)] = None,
    data: Annotated[str | None, typer.Argument(help=DATA_HELP)] = None,
    layers: Layers = None,
    norm: Annotated[
        str, typer.Option(help="How a feature map becomes one number: l1, l2, max, mean or spectral.")
    ] = "l1",
    grid: Annotated[
        int,
        typer.Option(
            metavar="1|2",
            help="2: also keep the norms of the quarters of maps, so that rules can say where something is.",
        ),
    ] = 1,
    store: Annotated[str, typer.Option(help="What is kept: norms, bits (by given thresholds) or both.")] = "norms",
    norm_dtype: Annotated[str, typer.Option(help="How norms are stored: float32 or float16.")] = "float32",
    thresholds: FromThresholds = None,
    threshold: Annotated[
        str | None, typer.Option(help=f"For bits: fit the thresholds on a sample of the images: {FIT_HELP}")
    ] = None,
    per_kernel: PerKernel = 1,
    statistics: Annotated[
        int | None, typer.Option(metavar="N", help="Images in that sample, spread evenly; 10,000 by default.")
    ] = None,
    shard_size: Annotated[
        int | None, typer.Option(metavar="N", help="Images per shard, a multiple of 1,024; 16,384 by default.")
    ] = None,
    logits: Annotated[
        bool | None,
        typer.Option(
            "--logits/--no-logits",
            help="Whether to keep the network's logits, to which votes are fitted. By default they are kept if there "
            "are at most 100 classes.",
        ),
    ] = None,
    table: TableFile = None,
    predictions: AnswerSource = None,
    labels: LabelSource = None,
    classes: ClassNames = None,
    ids: IdSource = None,
    json: Json = None,
    force: Anew = False,
) -> None:
    """Run a network over images, and keep one norm, or one bit, for each image and kernel.

    By default the layers are all activations that follow convolutions. Make one capture of the training images and
    another of the test images: programs are extracted from the first and scored on the second.

    The capture is written shard by shard. If it is interrupted, the same command verifies what is there and does the
    rest. `torchrun --nproc-per-node=K -m eric_fast capture ...` shares the shards among K processes, one per GPU.
    Bits take a 32nd of the disk space. To fit thresholds to all images first, keep norms, and make bits with `pack`.

    With --table features.parquet --predictions COLUMN no network runs. Column 3 becomes the unit features:3, with its
    sign.
    """
    if table is not None:
        write_table(context, table, output, predictions, labels, split_commas(classes), ids, json, force=force)
        return
    if model is None or data is None:
        raise SettingError("capture needs MODEL and DATA, or --table FILE; see --help")
    refuse_useless(context, TABLE_OPTIONS, "there is no --table")
    check_paths([json], [output, data], force=force)
    check_folder(output, force=True, kind=CAPTURE, keeps_others=not force)
    if thresholds is not None and threshold is not None:
        raise SettingError("--thresholds and --threshold can't both be given")
    if per_kernel != 1 and threshold is None:
        raise SettingError("--thresholds-per-kernel needs --threshold, by which bits are made; give that too")
    if statistics is not None and threshold is None:
        raise SettingError("--statistics needs --threshold, which is fitted on that many images; give that too")
    from eric_fast.capture import hash_listing, open_data, prepare_run
    from eric_fast.capture.job import N_STATISTICS, open_capture_job
    from eric_fast.label_score import score_model_labels
    from eric_fast.store import SHARD_SIZE
    from eric_fast.store.activations import share_correct
    from eric_fast.store.job import describe_job

    found = None if thresholds is None else load_thresholds(thresholds)
    if found is not None and layers is None:
        layers = list(found.quantiser.layers)
    given = read_network(context)
    processes = join_processes()
    with show_progress() as progress:
        network = load_network(given)
        run = prepare_run(network, open_data(data), layers=split_commas(layers), norm=norm, grid=grid, **given)
        if processes.count > 1:
            check_same_task(processes, data=hash_listing(run.data), model=run.settings.fingerprint)
        with open_capture_job(
            run,
            output,
            store=store,
            norm_dtype=norm_dtype,
            shard_size=SHARD_SIZE if shard_size is None else shard_size,
            thresholds=found,
            threshold=threshold,
            per_kernel=per_kernel,
            n_statistics=N_STATISTICS if statistics is None else statistics,
            logits=logits,
            force=force,
            processes=processes,
            progress=progress,
        ) as job:
            n_new = job.n_missing_images
            stdout.print(f"{job.path}: {describe_job(job)}", markup=False)
            start = time.perf_counter()
            capture = job.run(progress)
            seconds = time.perf_counter() - start
    if not processes.is_first:
        return
    n_kernels = {layer: n // count_regions(grid) for layer, n in capture.n_kernels.items()}
    figures = {
        "n_images": capture.n_images,
        "n_new_images": n_new,
        "n_bad_images": capture.settings.n_bad_images,
        "layers": n_kernels,
        "store": capture.store,
        "n_shards": len(capture.shards),
        "n_bytes": sum(shard.entry.n_bytes for shard in capture.shards),
        "seconds": seconds,
        "images_per_s": n_new / seconds,
        "model_accuracy": None,
    }
    said = "unknown, as there are no labels"
    if capture.settings.has_labels:
        agreement = score_model_labels(capture)
        if agreement is not None:
            figures["model_accuracy"] = agreement.to_dict()
            shares = (agreement.micro_f1, agreement.macro_f1, agreement.exact)
            said = "micro F1 {:.4f}, macro F1 {:.4f}, exact match {:.4f}".format(*shares)
    else:
        accuracy = share_correct(capture.predictions, capture.labels)
        if accuracy is not None:
            figures["model_accuracy"], said = accuracy, f"{accuracy:.4f}"
    write_json(figures, json, force=force)
    shown = ", ".join(f"{layer} ({count})" for layer, count in n_kernels.items())
    speed = (
        f"{n_new:,} of them in {seconds:.1f} s ({n_new / seconds:,.0f} images/s)" if n_new else "nothing was left to do"
    )
    stdout.print(
        f"captured {say_count(capture.n_images, 'image')}, {say_count(sum(n_kernels.values()), 'kernel')} of "
        f"{say_count(len(n_kernels), 'layer')} ({speed}): {shown}",
        markup=False,
    )
    if capture.settings.n_bad_images:
        stdout.print(f"skipped {say_count(capture.settings.n_bad_images, 'image')} that can't be read")
    if logits is None and not capture.has_logits:
        n_classes = len(capture.classes)
        stdout.print(f"didn't keep the logits of {n_classes:,} classes, to which votes are best fitted; see --logits")
    stdout.print(f"model accuracy: {said}")
    stdout.print(f"wrote {output}; next: {say_next(data, output)}", markup=False)

"""`refseg serve`: an HTTP service for images and expressions."""

from pathlib import Path
from typing import Annotated

import typer

from refseg.commands import options
from refseg.commands.completion import complete_weights
from refseg.optional import check_installed

LOCAL = ("127.0.0.1", "localhost", "::1")


def serve(
    weights: Annotated[
        list[str] | None,
        typer.Option(
            help="Bundled names, checkpoint folders, or open models (refseg weights list); repeatable. The first "
            "ones answer where a request names none.",
            show_default="selector; reader for photographs, once a finder is there; selector_video for videos",
            autocompletion=complete_weights,
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is all of this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8000,
    device: Annotated[
        list[str] | None,
        typer.Option(help="Where the weights run; repeatable: a worker each.", show_default="auto"),
    ] = None,
    precision: options.Precision = "f32",
    token_file: Annotated[
        Path | None, typer.Option(help="File with a token, without which nobody may ask (Authorization: Bearer).")
    ] = None,
    cors: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN", help="Whose pages may read answers in a browser; repeatable.", show_default="none"
        ),
    ] = None,
    max_megabytes: Annotated[float, typer.Option(help="Of the body of a request.")] = 32,
    max_megapixels: Annotated[float, typer.Option(help="Of an image.")] = 25,
    max_expressions: Annotated[int, typer.Option(help="About an image, in a request.")] = 32,
    max_characters: Annotated[int, typer.Option(help="Of an expression.")] = 500,
    max_images: Annotated[int, typer.Option(help="Of a batch request.")] = 16,
    max_frames: Annotated[int, typer.Option(help="Of a video.")] = 300,
    seconds: Annotated[float, typer.Option(help="From the start of a request to its answer.")] = 60,
    queue: Annotated[int, typer.Option(help="Images accepted and not answered; more are refused (503).")] = 64,
    batch_size: Annotated[int, typer.Option(help="Images answered in one go.")] = 16,
    cache_megabytes: Annotated[
        float, typer.Option(help="Of images kept with their features, in case they are asked about again.")
    ] = 512,
    grace: Annotated[float, typer.Option(help="Seconds to finish what was accepted, after SIGTERM or Ctrl-C.")] = 30,
    access_log: Annotated[bool, typer.Option("--access-log", help="Log each request.")] = False,
    page: Annotated[
        bool, typer.Option("--page/--no-page", help="The web page at /; with a token there is none.")
    ] = True,
    network: options.Network = None,
) -> None:
    """Serve weights over HTTP: POST /v1/segment, /v1/segment/batch; GET /v1/weights, /readyz, /metrics.

    Nothing leaves this machine, and weights must be on it. docs/service.md shows clients, limits and deployments.
    """
    needed = "fastapi", "prometheus_client", "python_multipart", "uvicorn", *(["gradio"] if page else [])
    check_installed(needed, "refseg serve", "serve")
    import logging

    from refseg.service.access import read_token
    from refseg.service.limits import Limits
    from refseg.service.server import serve as serve_weights

    options.add_networks(network)
    limits = Limits(
        megabytes=max_megabytes,
        megapixels=max_megapixels,
        expressions=max_expressions,
        characters=max_characters,
        images=max_images,
        frames=max_frames,
        seconds=seconds,
        queue=queue,
        batch_size=batch_size,
        cache_megabytes=cache_megabytes,
        grace=grace,
    )
    token = read_token(token_file) if token_file else None
    if token is None and host not in LOCAL:
        typer.echo(f"warning: whoever reaches this machine at {host} may ask; --token-file keeps others out", err=True)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO if access_log else "WARNING")
    serve_weights(
        weights or [],
        host,
        port,
        device or ["auto"],
        limits,
        token,
        cors or [],
        network or [],
        access_log,
        page,
        typer.echo,
        precision,
    )

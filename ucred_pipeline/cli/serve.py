"""`ucred serve`: the page, until it is stopped."""

import gc

import click


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where to listen.")
@click.option("--port", default=8350, show_default=True, type=click.IntRange(0, 65535))
@click.pass_context
def serve(context: click.Context, host: str, port: int) -> None:
    """Serve the page, /metrics and /healthz until it is stopped; it only reads the ledger.

    An address that others can reach needs UCRED_SERVE_TOKEN, which a browser asks for as the password.
    """
    gc.disable()  # what is loaded here stays: to look through it for garbage takes a tenth of the start
    from ucred_pipeline.reporting.page import serving  # noqa: PLC0415
    from ucred_pipeline.settings import load_settings  # noqa: PLC0415

    gc.freeze()
    gc.enable()
    serving.serve(
        load_settings(context.obj),
        host,
        port,
        ready=lambda address: click.echo(f"The page is at {address} - stop it with Ctrl-C."),
    )

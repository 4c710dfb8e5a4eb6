"""`refseg data`: data sets as files; one file a command."""

import typer

from refseg.commands.data import check, draw, import_, shard, stats, view, vocabulary

app = typer.Typer(help="Draw data sets, look at them, check them.", no_args_is_help=True)
app.command()(check.check)
app.command()(stats.stats)
app.command()(view.view)
app.command()(draw.draw)
app.command()(shard.shard)
app.command("import")(import_.import_)
app.command()(vocabulary.vocabulary)

"""`refseg data`: data sets as files; one file a command."""

from refseg.commands.data import check, draw, ids, import_, shard, stats, view, vocabulary
from refseg.commands.help import add_command, create_app

app = create_app("Draw data sets, look at them, check them.")
for _function, _name in (
    (check.check, "check"),
    (stats.stats, "stats"),
    (view.view, "view"),
    (ids.ids, "ids"),
    (draw.draw, "draw"),
    (shard.shard, "shard"),
    (import_.import_, "import"),
    (vocabulary.vocabulary, "vocabulary"),
):
    add_command(app, _function, _name, "data")

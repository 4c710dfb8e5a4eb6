"""Puts a checkpoint folder on the Hugging Face hub, with a card whose metadata the hub reads.

The hub shows README.md: the folder's `card.md` below the metadata. Only the weights, as safetensors or as the graphs of
an export, and texts are sent.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from refseg.checkpoints.config_file import brings_weights, check_weights, open_config, weights_files
from refseg.checkpoints.locate import is_hub_id, is_reachable
from refseg.checkpoints.schema import CARD, CONFIG, RECIPE, CheckpointConfig
from refseg.errors import InvalidInput, MissingFile, UnwritableOutput, first_line, option
from refseg.files.digest import sha256
from refseg.runtimes.entry import FAMILIARITY_FILE

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

SHOWN, REPORT = "README.md", "report.json"
SENT_METRICS = ("oIoU", "mIoU", "Prec@0.5", "Prec@0.9", "gIoU", "cIoU", "N-acc", "T-acc")
LICENCES = "the hub's names are apache-2.0, mit, cc-by-4.0, cc-by-nc-4.0, other, ..."
USE = """
## Use

```sh
pip install refseg
refseg segment image.png "what to find" --weights {hub_id}
```

```python
import refseg

result = refseg.load("{hub_id}")("image.png", "what to find")
```
"""


def push(
    folder: str | Path,
    hub_id: str,
    *,
    licence: str = "",
    results: str | Path | None = None,
    private: bool = False,
    message: str = "",
) -> str:
    """Puts weights on the hub; what is there under this id becomes an older revision.

    Args:
        folder: a checkpoint folder.
        hub_id: "owner/name"; the repository is made if it is not there.
        licence: of the weights, by the hub's name for it; read from the card if not given.
        results: folder of `refseg evaluate`, whose figures the hub shows, each with its data set and protocol.
        private: whether a new repository is private.
        message: of the commit.

    Returns:
        The page of the commit.

    Raises:
        MissingFile: if the folder is no checkpoint, or the hub cannot be reached.
        InvalidInput: if the weights are elsewhere than in the folder, id, licence or results are not valid, the results
            are those of other weights, or the hub refuses.
        UnwritableOutput: if you are not logged in, or may not write there.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, ModelCard, constants, get_session
    from huggingface_hub.errors import HfHubHTTPError

    files, config = _files(folder)
    if not is_hub_id(hub_id):
        raise InvalidInput(f"{hub_id!r} is no id of the hub; give owner/name, such as you/lavt-refcoco")
    text = _card(files[CARD], config, hub_id, licence, Path(results) if results is not None else None)
    if constants.HF_HUB_OFFLINE or not is_reachable(get_session(), constants.ENDPOINT):
        raise MissingFile(f"the hub ({constants.ENDPOINT}) cannot be reached; check the connection and HF_HUB_OFFLINE")
    api = HfApi()
    content: dict[str, Any] = {SHOWN: text.encode(), **{name: str(file) for name, file in files.items()}}
    try:
        ModelCard(text).validate()  # before there is a repository, which a refusal would leave empty
        api.create_repo(hub_id, private=private, exist_ok=True)
        done = api.create_commit(
            hub_id,
            [CommitOperationAdd(name, what) for name, what in content.items()],
            commit_message=message or f"Weights of {config.network.name}",
        )
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            raise UnwritableOutput(
                f"the hub does not let you write {hub_id}; log in with `hf auth login`, or set HF_TOKEN to a token "
                "that may write"
            ) from error
        raise InvalidInput(f"the hub refused {hub_id} ({first_line(error)})") from error
    except ValueError as error:  # metadata that the hub does not take
        raise InvalidInput(f"the hub refused {hub_id} ({' '.join(str(error).split())})") from error
    except Exception as error:  # whichever HTTP library the hub's client uses
        raise MissingFile(f"{hub_id} cannot be sent ({first_line(error)}); try again") from error
    return str(done.commit_url)


def _files(folder: str | Path) -> tuple[dict[str, Path], CheckpointConfig]:
    """Returns the files that are sent, by their name, and the config."""
    if not Path(folder).is_dir():
        raise MissingFile(f"{folder} is no folder; give a checkpoint folder, such as runs/own/weights")
    place, config = open_config(folder)
    if brings_weights(config.network.name):
        raise InvalidInput(f"{folder} names weights that are elsewhere; there is nothing of its own to send")
    check_weights(folder)
    names = [file.name for file in weights_files(place, config)]
    names += [name for name in (CONFIG, RECIPE, CARD, FAMILIARITY_FILE) if (place / name).is_file()]
    if CARD not in names:
        raise MissingFile(f"{place / CARD} is missing; write there what the weights know and their licence")
    return {name: place / name for name in dict.fromkeys(names)}, config


def _card(card: Path, config: CheckpointConfig, hub_id: str, licence: str, results: Path | None) -> str:
    """Returns the hub's README.md."""
    from huggingface_hub import ModelCardData

    text = card.read_text(encoding="utf-8")
    stated = re.search(r"^\* \*\*Licence\*\* (Apache-2\.0|MIT)\b", text, re.M)
    licence = licence or (stated[1].lower() if stated else "")
    if not re.fullmatch(r"[a-z0-9.-]+", licence):
        given = (
            f"{licence!r} is none of the hub's licences" if licence else f"{card} names no licence that the hub knows"
        )
        raise InvalidInput(f"{given}; give {option('licence', 'cc-by-4.0')}; {LICENCES}")
    about = ModelCardData(
        language="en",
        license=licence,
        library_name="refseg",
        pipeline_tag="image-segmentation",
        tags=["referring-segmentation", config.network.name],
        model_name=hub_id.partition("/")[2],
        eval_results=_figures(results, weights_files(card.parent, config)) if results else None,
    )
    return f"---\n{about.to_yaml()}\n---\n\n{text.rstrip()}\n{USE.format(hub_id=hub_id)}"


def _figures(results: Path, weights: Sequence[Path]) -> "list[EvalResult]":
    """Returns the figures of an evaluation of these files of weights as the hub lists them."""
    from huggingface_hub import EvalResult

    try:
        report: Mapping[str, Any] = json.loads((results / REPORT).read_text(encoding="utf-8"))
        about, metrics = report["about"], report["metrics"]
        dataset, split = str(about["dataset"]), str(about["split"])
        evaluated = about["weights"]["sha256"]
        found = [
            EvalResult(
                task_type="image-segmentation",
                task_name="Referring segmentation",
                dataset_type=dataset,
                dataset_name=dataset,
                dataset_split=split,
                metric_type=metric,
                metric_name=f"{metric}, protocol {protocol}",
                metric_value=round(100 * figures[metric], 2),
            )
            for protocol, figures in metrics.items()
            for metric in SENT_METRICS
            if figures.get(metric) is not None  # undefined, as N-acc where each expression has a referent
        ]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InvalidInput(
            f"{results} holds no results that can be read ({first_line(error)}); give the folder that `refseg evaluate "
            "--out` wrote"
        ) from error
    if evaluated != sha256(*weights):
        raise InvalidInput(
            f"{results} are results of other weights; evaluate these: refseg evaluate {quote(str(weights[0].parent))} "
            f"{dataset} --split {split} --out results"
        )
    return found

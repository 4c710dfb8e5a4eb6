"""The package never runs what is in a file: each call that could is known here by its file, with a reason."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import refseg

PACKAGE = Path(refseg.__file__).parent

MODULES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "subprocess", "pty"}
CALLS = {
    *("eval", "exec", "compile", "__import__", "breakpoint"),
    *("os.system", "os.popen", "os.startfile", "runpy.run_path", "runpy.run_module", "code.interact"),
    *("torch.load", "torch.jit.load", "torch.export.load", "torch.package.PackageImporter"),
    *("torch.hub.load", "torch.hub.load_state_dict_from_url", "torch.utils.model_zoo.load_url"),
    *("timm.models.load_state_dict", "timm.models.load_checkpoint", "huggingface_hub.load_torch_model"),
    *("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "PIL.Image.open", "av.open"),
    *("pandas.read_pickle", "shutil.unpack_archive"),
    *("zipfile.ZipFile", "tarfile.open", "tarfile.TarFile", "h5py.File"),
    *("safetensors.safe_open", "safetensors.torch.load_file", "safetensors.torch.load"),
}
STARTS = "os.exec", "os.spawn", "os.posix_spawn"
METHODS = {"extract", "extractall", "load_from_checkpoint", "load_torch_file", "torch_load", "from_pretrained"}
KEYWORDS = {"weights_only": True, "allow_pickle": False, "trust_remote_code": False, "shell": False}  # values allowed
NEEDED = {  # keywords without which a call is not safe
    "numpy.load": "allow_pickle",
    "numpy.lib.format.read_array": "allow_pickle",
    "timm.models.load_state_dict_from_hf": "weights_only",
    "PIL.Image.open": "formats",
    "PIL.Image.Image.open": "formats",
}

ALLOWED = {
    ("files/pickles.py", "import pickle"): "its unpickler in Python, with the opcodes of plain data",
    ("files/tensor_files.py", "import pickle"): "its error, for files that this module reads itself",
    ("files/yaml_values.py", "yaml.load"): "with a loader that is a SafeLoader, for plain values",
    ("files/tensor_files.py", "zipfile.ZipFile"): "reads members where they are, their sizes known before",
    ("files/tensor_files.py", "safetensors.safe_open"): "one place tells what is wrong with such a file",
    ("training/resume_states.py", "zipfile.ZipFile"): "looks at checksums only",
    ("files/archives.py", "zipfile.ZipFile"): "lists names of members, a million at most; nothing is unpacked",
    ("files/tensor_arrays.py", "safetensors.safe_open"): "arrays of a small file, without torch",
    ("inspection/answer_speed.py", "import subprocess"): "times refseg segment in a process of its own",
    ("studies/trainings.py", "import subprocess"): "runs refseg train, a process for each training",
    ("training/launching.py", "import subprocess"): "waits for processes of Fabric and ends them; starts none",
    ("conversion/fetch.py", "zipfile.ZipFile"): "looks at checksums only",
    ("adapters/local_model.py", "model_class.from_pretrained"): "of local safetensors, without code of others",
    ("adapters/local_model.py", "processor_class.from_pretrained"): "of local texts, without code of others",
    ("conversion/fetch_finder.py", "zipfile.ZipFile"): "reads one member by its exact name, of a size known before",
    ("datasets/storage/challenge_submission.py", "zipfile.ZipFile"): "writes an archive",
    ("service/encode_results.py", "zipfile.ZipFile"): "writes an archive",
    ("service/page/downloads.py", "zipfile.ZipFile"): "writes an archive",
    ("service/page/video_archive.py", "zipfile.ZipFile"): "writes an archive",
    ("datasets/shards.py", "tarfile.open"): "reads members in memory, of bounded size; nothing is extracted",
    ("manifests/tar_shards.py", "tarfile.open"): "reads members in memory, of bounded size; nothing is extracted",
    ("datasets/a2d_sentences.py", "h5py.File"): "one array by its name, without links to other files",
    ("datasets/storage/index.py", "safetensors.safe_open"): "of the cache's own files, whose lengths are checked",
    ("preprocessing/images.py", "PIL.Image.open"): "with a closed list of formats",
    ("video/container.py", "av.open"): "with a closed list of formats",
    ("video/writer.py", "av.open"): "writes a video",
}


def names_of(tree: ast.AST) -> dict[str, str]:
    """What each imported name of a file stands for, "np" for "numpy"."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def dotted(node: ast.expr) -> str:
    """The name of what is called, "Image.open"; what has no name is "?"."""
    if isinstance(node, ast.Name):
        return node.id
    return f"{dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else "?"


def findings(source: str) -> Iterator[str]:
    """What in a module could run code that is in a file, or hand a file to something that does."""
    tree = ast.parse(source)
    names = names_of(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [str(node.module)]
            yield from (f"import {name}" for name in modules if name.partition(".")[0] in MODULES)
        if isinstance(node, ast.Attribute | ast.Name):  # also where it is handed on and called later
            name = dotted(node)
            first, dot, rest = name.partition(".")
            name = names.get(first, first) + dot + rest
            if (name in CALLS and (dot or name == first or first in names)) or name.startswith(STARTS):
                yield name
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            first, dot, rest = name.partition(".")
            name = names.get(first, first) + dot + rest
            if dot and name.rpartition(".")[2] in METHODS:
                yield name
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            for keyword, value in KEYWORDS.items():
                if keyword in given and not (
                    isinstance(given[keyword], ast.Constant) and given[keyword].value is value
                ):
                    yield f"{name}({keyword}=...)"
            if name in NEEDED and NEEDED[name] not in given:
                yield f"{name} without {NEEDED[name]}"


def test_every_call_that_could_run_what_is_in_a_file_is_known():
    found = {
        (file.relative_to(PACKAGE).as_posix(), finding)
        for file in PACKAGE.rglob("*.py")
        for finding in findings(file.read_text(encoding="utf-8"))
    }
    assert sorted(found - ALLOWED.keys()) == []
    assert sorted(ALLOWED.keys() - found) == [], "what is not there any more needs no reason"


def calls_of(file: str, name: str) -> list[ast.Call]:
    tree = ast.parse((PACKAGE / file).read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call) and dotted(node.func) == name]


def test_videos_are_opened_with_a_list_of_formats_and_protocols():
    for call in calls_of("video/container.py", "av.open"):
        assert {"options", "format"} & {keyword.arg for keyword in call.keywords}
    for call in calls_of("video/writer.py", "av.open"):
        assert isinstance(call.args[1], ast.Constant) and call.args[1].value == "w"


def test_open_models_are_loaded_from_local_safetensors_without_their_code():
    for name, wanted in {"model_class": {"use_safetensors", "trust_remote_code"}, "processor_class": set()}.items():
        (call,) = calls_of("adapters/local_model.py", f"{name}.from_pretrained")
        assert wanted | {"local_files_only", "trust_remote_code"} <= {keyword.arg for keyword in call.keywords}
        assert all(
            keyword.value.value is (keyword.arg != "trust_remote_code")
            for keyword in call.keywords
            if isinstance(keyword.value, ast.Constant)
        )


def test_yaml_is_read_by_a_safe_loader():
    yaml = pytest.importorskip("yaml")
    from refseg.files import yaml_values

    assert all(issubclass(yaml_values._Loader, yaml.SafeLoader) for _ in calls_of("files/yaml_values.py", "yaml.load"))
    assert all(dotted(call.args[1]) == "_Loader" for call in calls_of("files/yaml_values.py", "yaml.load"))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import torch\ntorch.load('x', weights_only=True)", "torch.load"),
        ("import torch as t\nt.jit.load('x')", "torch.jit.load"),
        ("from torch import load\nload('x')", "torch.load"),
        ("from torch import load as read\nread('x')", "torch.load"),
        ("import torch\nread = torch.load", "torch.load"),
        ("import numpy as np\nnp.load('x')", "numpy.load without allow_pickle"),
        ("import numpy as np\nnp.load('x', allow_pickle=True)", "numpy.load(allow_pickle=...)"),
        ("from PIL import Image\nImage.open('x')", "PIL.Image.open"),
        ("import av\nav.open('x')", "av.open"),
        ("import pickle", "import pickle"),
        ("from joblib import load", "import joblib"),
        ("import yaml\nyaml.load('x', yaml.Loader)", "yaml.load"),
        ("eval('x')", "eval"),
        ("import os\nos.system('x')", "os.system"),
        ("import os\nos.execv('x', [])", "os.execv"),
        ("trainer.fit(x, weights_only=False)", "trainer.fit(weights_only=...)"),
        ("trainer.fit(x, weights_only=flag)", "trainer.fit(weights_only=...)"),
        ("import zipfile\nzipfile.ZipFile('x')", "zipfile.ZipFile"),
        ("from tarfile import open\nopen('x')", "tarfile.open"),
        ("h5py = library('h5py')\nh5py.File('x')", "h5py.File"),
        ("from safetensors import safe_open\nsafe_open('x', 'pt')", "safetensors.safe_open"),
        ("from safetensors.torch import load_file\nload_file('x')", "safetensors.torch.load_file"),
        ("archive.extractall('x')", "archive.extractall"),
        ("AutoModel.from_pretrained('x', trust_remote_code=True)", "AutoModel.from_pretrained"),
    ],
)
def test_such_calls_are_found(source, expected):
    assert expected in set(findings(source))


@pytest.mark.parametrize("source", ["network.eval()", "re.compile('x')", "text = 'torch.load'", "torch.save(x, 'x')"])
def test_other_calls_are_not(source):
    assert list(findings(source)) == []

import sys

import pytest
from PIL import Image

from refseg.cli import main
from refseg.commands.demo import choose_scene


def test_the_demo_draws_one_picture_of_four_panels(monkeypatch, checkpoint_folder, tmp_path, capsys):
    out = tmp_path / "pictures" / "demo.png"
    monkeypatch.setattr(sys, "argv", ["refseg", "demo", "--weights", str(checkpoint_folder), "--out", str(out)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert not caught.value.code
    width, height = Image.open(out).size
    assert width > 4 * 300 and height > 300
    assert capsys.readouterr().out.splitlines()[-1] == str(out)


def test_the_scene_has_one_object_several_and_none_to_ask_for():
    scene, expressions = choose_scene(first=1990)
    targets = {expression.text: len(expression.targets) for expression in scene.expressions}
    one, many, none = (targets[text] for text in expressions)
    assert one == 1 and many > 1 and none == 0

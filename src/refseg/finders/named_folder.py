"""Names of open models with an own copy behind them: "NAME=FOLDER"."""


def split_folder(setting: str) -> tuple[str, str | None]:
    """Splits "NAME=FOLDER" into name and folder, None without one.

    >>> split_folder("gdino=models/dino"), split_folder("coco80")
    (('gdino', 'models/dino'), ('coco80', None))
    """
    name, equals, folder = setting.partition("=")
    return name, folder if equals else None

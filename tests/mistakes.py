"""What `load` says of a topology file in which something has been replaced."""

from onehop.engine import model
from onehop.engine.model import ModelError

Edit = tuple[str, str]


def problems(text: str, *edits: Edit) -> list[str]:
    """What is wrong with `text` after each edit; none where it is accepted."""
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    try:
        model.load(text)
    except ModelError as error:
        return str(error).splitlines()
    return []

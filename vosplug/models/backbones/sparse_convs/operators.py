"""The compiled operators, imported when the first of them is used: dense models neither need nor mention them."""


def __getattr__(name: str) -> object:
    if name.startswith("__"):
        raise AttributeError(name)
    from .... import ops

    globals()[name] = found = getattr(ops, name)
    return found

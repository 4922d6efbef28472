"""List the parts that configs can name, by kind."""

from _path import run

if __name__ == "__main__":
    run("list_plugins")

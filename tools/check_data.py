"""Check a data tree and name every fault."""

from _path import run

if __name__ == "__main__":
    run("check_data")

"""Says how near a student comes to its teacher on videos without labels."""

from _path import run

if __name__ == "__main__":
    run("compare_teacher")

"""`python -m alnet_lib.cohorts > docs/cohorts.md`."""

from alnet_lib.cohorts.document import document

if __name__ == "__main__":
    print(document(), end="")

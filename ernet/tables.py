"""The paper's tables with our runs beside them: python -m ernet.tables."""

from common import errors, tables

if __name__ == "__main__":
    errors.main(lambda: tables.main("ernet"))

"""The paper's tables with our runs beside them: python -m wrn_edge.tables."""

from common import errors, tables

if __name__ == "__main__":
    errors.main(lambda: tables.main("wrn_edge"))

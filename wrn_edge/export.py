"""Write a run's model for the device: python -m wrn_edge.export --run RUN."""

from common import errors, export

if __name__ == "__main__":
    errors.main(lambda: export.main("wrn_edge"))

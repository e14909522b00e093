"""What at least two papers need, unchanged.

Data flows one way: index -> split -> batches -> model -> fit -> predictions -> metrics -> report.
"""

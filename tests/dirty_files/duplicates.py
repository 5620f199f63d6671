"""Q80: the same batch again, and cumulative files."""

from tests.dirty_files import csv, honour, put

put("Q80", "january.csv", csv(honour(1), honour(2)))
put("Q80", "january_and_february.csv", csv(honour(1), honour(2), honour(3)))

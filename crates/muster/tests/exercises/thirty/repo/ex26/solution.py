def rotate(items, by):
    """The items moved to the right, those at the end come to the front."""
    return items[by:] + items[:by]

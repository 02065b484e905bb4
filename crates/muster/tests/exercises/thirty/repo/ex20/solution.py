def snake(name):
    """camelCase and PascalCase as snake_case; runs of capitals are one word."""
    return "".join("_" + sign.lower() if sign.isupper() else sign for sign in name)

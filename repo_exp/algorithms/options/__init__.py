"""The options of each method and the checks of them, a file each. No torch: help and checks of a command need none."""

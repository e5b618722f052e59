"""The credit and the loss of each published method, one file each. An option is its file's name."""

"""The configuration: types here, values in ``conf/``, and one check before anything runs."""

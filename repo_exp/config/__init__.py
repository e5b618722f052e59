"""What an experiment may say: types here, values in ``conf/``, and one check at the entrance."""

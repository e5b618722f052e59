"""``python -m repo_exp`` and the command ``repo-exp``: help, or one look at the command line and then Hydra.

It ends with 0 if all went well, 2 if what you gave cannot run, 1 if something failed on the way, and 128 + the number
of the signal if you stopped it: 130 (SIGINT, Ctrl-C), 143 (SIGTERM), 129 (SIGHUP), within ten seconds.
"""

from __future__ import annotations

import logging
import os
import sys

from repo_exp import durable, stopping
from repo_exp.errors import ConfigError, DataError, RepoExpError, RewardError

YOUR_INPUT, FAILED, STOPPED = 2, 1, 130


def main() -> int:
    """Run the command line and return the exit code."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    logging.raiseExceptions = False  # a log file that cannot be written is no reason for tracebacks
    try:
        with stopping.handled():
            return _main()
    except stopping.Stopped as stop:
        stopping.end(stop)


def _main() -> int:
    arguments = sys.argv[1:]
    try:
        if {"-h", "--help"} & set(arguments):
            from repo_exp.config.help import help_text

            print(help_text())
            return 0
        return _through_hydra(arguments)
    except RepoExpError as error:
        if _wants_tracebacks():
            raise
        print(error, file=sys.stderr)
        return YOUR_INPUT if isinstance(error, ConfigError | DataError | RewardError) else FAILED
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from the stages that are finished.", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:  # the reader has left, as in `repo-exp --help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        refused = durable.refusal(error)
        if refused is None or _wants_tracebacks():
            raise
        print(refused, file=sys.stderr)
        return FAILED


def _wants_tracebacks() -> bool:
    return os.environ.get("HYDRA_FULL_ERROR") == "1"


def _through_hydra(arguments: list[str]) -> int:
    import hydra
    from hydra.errors import HydraException

    from repo_exp import job
    from repo_exp.config import entrance
    from repo_exp.config.places import conf_dir

    command = entrance.inspect(arguments, further=job.FURTHER)
    if command.only_checks:
        print(job.checked(command.first, jobs=command.jobs, looked_at=command.looked_at))
        return 0
    sys.argv[1:] = command.arguments
    wish = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # lets errors come out as they are, so that they can be told apart
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(job.run)()
    except HydraException as error:
        if wish == "1":
            raise
        print(error, *([error.__cause__] if error.__cause__ else []), sep="\n", file=sys.stderr)
        return YOUR_INPUT
    finally:
        os.environ.pop("HYDRA_FULL_ERROR")
        if wish is not None:
            os.environ["HYDRA_FULL_ERROR"] = wish
    return 0


if __name__ == "__main__":
    sys.exit(main())

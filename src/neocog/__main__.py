"""``python -m neocog`` is the command ``neocog``."""

import signal


def main() -> None:
    """Run the command line.

    Before and after a command, Ctrl-C ends the process at once, without a traceback; within one, see
    :func:`neocog.cli.common.report_errors`.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from neocog.cli import main

    main()


if __name__ == "__main__":
    main()

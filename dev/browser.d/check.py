"""Runs the tests of the pages; the last line is like one of cargo's."""

import sys
import unittest

import browser
import service

MODULES = ["guide", "charts", "days", "live", "hostile", "layout", "access"]


def main() -> int:
    runner = unittest.TextTestRunner(stream=sys.stdout, verbosity=2)
    loader = unittest.defaultTestLoader
    if sys.argv[1:2] == ["-k"]:
        loader.testNamePatterns = [f"*{pattern}*" for pattern in sys.argv[2:]]
    # In this order: from the first API key on, which is the last module's, every request needs one.
    suite = unittest.TestSuite(loader.loadTestsFromName(name) for name in MODULES)
    with service.running(), browser.running():
        result = runner.run(suite)
    failed = len(result.failures) + len(result.errors)
    passed = result.testsRun - failed
    print(f"test result: {'ok' if failed == 0 and passed > 0 else 'FAILED'}. {passed} passed; {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())

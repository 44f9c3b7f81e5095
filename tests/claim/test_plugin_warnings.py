def test_a_warning_of_a_library_is_shown_and_is_no_verdict(suite):
    """A compiler or a driver that warns on one machine must not cost hours of training there."""
    source = suite.toy.source
    text = source.read_text().replace(
        "    assert scratch.is_dir()\n",
        '    assert scratch.is_dir()\n    __import__("warnings").warn("the driver is old")\n',
    )
    source.write_text(text)
    result = suite.run("-m", "smoke", "-k", "holds", "-W", "error")
    result.assert_outcomes(passed=1, warnings=2)  # one of each arm
    result.stdout.fnmatch_lines(["*UserWarning: the driver is old"])

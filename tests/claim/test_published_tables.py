import pytest

from decouple.claim.published import MissingTableError, load_table, load_tables

GOOD = """# source: Results, first table
# transcribed by hand
metric,step,layer,value
share,0,0,0.250
share,0,1,0.25
share,12,0,33.1%
"""


def write(folder, name="shares", text=GOOD):
    (folder / f"{name}.csv").write_text(text, encoding="utf-8")


def test_figures_are_as_wide_as_they_are_printed(tmp_path):
    write(tmp_path)
    table = load_table(tmp_path / "shares.csv")
    assert table["low"].tolist() == pytest.approx([0.2495, 0.245, 0.3305])
    assert table["high"].tolist() == pytest.approx([0.2505, 0.255, 0.3315])
    assert table["value"].tolist() == ["0.250", "0.25", "33.1%"]


def test_a_trailing_zero_is_a_digit_in_a_table_of_plain_numbers_too(tmp_path):
    write(tmp_path, text="# source: R\nmetric,step,value\nshare,0,0.250\nshare,1,12\n")
    table = load_table(tmp_path / "shares.csv")
    assert (table["high"] - table["low"]).tolist() == pytest.approx([0.001, 1])


def test_a_table_becomes_the_run_of_the_documents_own_arm(tmp_path):
    write(tmp_path)
    (run,) = load_tables(tmp_path, ["shares"], ["published"])
    figure = run.cell("share", step="last", layer=0)
    assert (figure.low, figure.high) == pytest.approx((0.3305, 0.3315))
    assert run.label == "tables shares, arm published"


def test_tables_with_arms_become_one_run_for_each(tmp_path):
    write(tmp_path)
    write(
        tmp_path,
        "losses",
        "# source: Results\nmetric,step,arm,value\nloss,1,full,4.7\nloss,1,frozen,5.0\nloss,2,,9\n",
    )
    full, own = load_tables(tmp_path, ["shares", "losses"], ["full", "published"])
    assert full.cell("loss", step=1).middle == pytest.approx(4.7)
    assert own.cell("loss", step=2).middle == pytest.approx(9)
    assert len(own.cells("share", step=0)) == 2
    with pytest.raises(
        ValueError, match="losses must report arm 'thawed', they have frozen, full, published"
    ):
        load_tables(tmp_path, ["shares", "losses"], ["thawed"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("# source", "# from"), "shares.csv must begin with a line '# source: "),
        ("metric,step,value\n", "must begin with a line"),
        (GOOD.replace("metric,", "quantity,"), r"columns metric, step, value; lacks \['metric'\]"),
        (GOOD.replace("0.250", "about a quarter"), "text must be a number .*'about a quarter'"),
        (GOOD.replace("0.250", ""), "text must be a number .*got 'nan'"),
    ],
)
def test_a_malformed_table_is_refused(tmp_path, text, words):
    write(tmp_path, text=text)
    with pytest.raises(ValueError, match=words):
        load_table(tmp_path / "shares.csv")


def test_a_table_that_is_not_there_names_those_that_are(tmp_path):
    write(tmp_path)
    write(tmp_path, "losses")
    with pytest.raises(
        MissingTableError, match=r"must be one of losses, shares in .*, got 'share'"
    ):
        load_table(tmp_path / "share.csv")
    with pytest.raises(MissingTableError, match="must be one of none in"):
        load_table(tmp_path / "empty" / "share.csv")

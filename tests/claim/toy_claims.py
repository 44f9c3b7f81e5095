"""Claims about the toy document, one for each verdict; copied by a fixture."""

from decouple.claim import Source, at_least, claim, control, null

OURS = Source(section="ours")
TABLE = Source(section="Results", figure="0.93", tables=("shares",))
BAND = at_least(0.8, because="half of the published change")
BALANCED = control("balanced", why="nothing draws the tokens together")


def share(run, *_):
    return run.cell("share", step="last")


test_holds = claim(
    "toy/holds",
    "The share ends <b>high</b> | *always*.",
    source=TABLE,
    band=BAND,
    smoke=True,
    controls=[BALANCED],
)(share)

test_fails = claim(
    "toy/fails",
    "The balanced share ends high.",
    source=OURS,
    band=BAND,
    smoke=True,
    arms=("balanced",),
    controls=[control("published", why="the other way round")],
)(share)

test_wavers = claim(
    "toy/wavers",
    "The doubtful share ends high.",
    source=OURS,
    band=BAND,
    smoke=True,
    arms=("doubtful",),
    controls=[BALANCED],
)(share)

test_empty = claim(
    "toy/empty",
    "The share ends high, as it does anyway.",
    source=OURS,
    band=BAND,
    smoke=True,
    controls=[control("high", why="nothing is removed")],
)(share)

test_nameless = claim(
    "toy/nameless",
    "A share that is not a number ends high.",
    source=OURS,
    band=BAND,
    smoke=True,
    arms=("nan",),
    controls=[BALANCED],
)(share)

test_crash = claim(
    "toy/crash",
    "A run that crashes ends high.",
    source=OURS,
    band=BAND,
    smoke=True,
    arms=("crashing",),
    controls=[BALANCED],
)(share)

test_figure = claim(
    "toy/figure",
    "The share ends at the document's own figure.",
    source=Source(section="Results", figure="0.93"),
    band=BAND,
    smoke=True,
    kind="figure",
    controls=[BALANCED],
)(share)

test_disputed = claim(
    "toy/disputed",
    "The prose gives another figure than the table.",
    source=Source(section="Results", figure="0.99", tables=("shares",)),
    band=BAND,
    controls=[null("published")],
    arms=("published", "published"),
)(share)

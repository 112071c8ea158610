"""The figures of docs/benchmarks.md, written from the rows; the text around them is by hand. Pure.

A row is what its function in `ingestion`, `searching` and so on returns, with what `__main__` adds:
scale, rounds, date, machine and load.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

BEGIN = "<!-- figures: written by `make bench`, not by hand -->"
END = "<!-- end of figures -->"

Row = Mapping[str, Any]

_COLUMNS = {
    "places": "places", "share": "kept", "vectors": "vectors", "photos": "photos",
    "gallery": "gallery", "recall": "recall", "p95": "p95", "cpu_ms": "processor", "ef": "ef",
    "dtype": "dtype",
    "least_cosine": "cosine", "build_s": "built in", "graph_s": "of which graph",
    "resident_mb": "memory", "anonymous_mb": "of which no file's",
    "peak_mb": "peak memory", "disk_mb": "disk",
    "within_1_km": "≤ 1 km", "within_25_km": "≤ 25 km", "within_200_km": "≤ 200 km",
    "within_750_km": "≤ 750 km", "within_2500_km": "≤ 2,500 km",
}  # fmt: skip
"""Facts of a line that become columns where any line has them, in this order."""


def render(rows: Sequence[Row], missing: Sequence[str] = ()) -> str:
    """The block of figures: where it was measured, one table of all work, one of each.

    `missing` are the names of rows without a figure, which the page says.
    """
    blocks = [_where(rows)]
    if missing:
        names = ", ".join(f"`{name}`" for name in missing)
        blocks.append(f"**Not run, or not to the end:** {names}.")
    blocks.append(_summary(rows))
    for row in rows:
        blocks.append("\n".join(_details(row)))
    return "\n\n".join(blocks)


def replaced(page: str, figures: str) -> str:
    """A page with its block of figures replaced.

    Raises:
        ValueError: the page has no such block.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no block between {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{figures}\n\n{END}{after}"


def number(value: float) -> str:
    """Three figures, thousands with commas, no exponent."""
    if value == 0.0 or abs(value) >= 100.0:
        return f"{value:,.0f}"
    if abs(value) >= 10.0:
        return f"{value:.1f}"
    if abs(value) >= 1.0:
        return f"{value:.2f}"
    return f"{value:.3g}"


def _where(rows: Sequence[Row]) -> str:
    machines = {
        f"{row['machine']['cores']} cores of {row['machine']['processor']}, "
        f"{row['machine']['memory_gb']} GB, {row['machine']['system']}, "
        f"Python {row['machine']['python']}"
        for row in rows
    }
    versions: dict[str, set[str]] = {}
    for row in rows:
        for name, version in row["versions"].items():
            versions.setdefault(name, set()).add(version)
    used = ", ".join(f"{name} {' and '.join(sorted(versions[name]))}" for name in sorted(versions))
    return f"Machine: {'; '.join(sorted(machines))}.\n\nVersions: {used}."


def _summary(rows: Sequence[Row]) -> str:
    lines = [
        "| work | scale | measured | beside | aim | rounds, load |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        ours, *peers = _shown(row["lines"])
        beside = "; ".join(_beside(one) for one in peers) or "–"
        aims = "; ".join(_aim(one) for one in row["aims"]) or "to report"
        low, high = row["load"]
        cells = (
            row["title"], f"{row['scale']:g}", _headline(ours), beside, aims,
            f"{row['rounds']}, {low:.1f}–{high:.1f}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown(lines: Sequence[Row]) -> list[Row]:
    """One line of each contender, for the summary: those with a headline, or else the last."""
    chosen = [one for one in lines if "headline" in one] or lines
    return list({one["contender"]: one for one in chosen}.values())


def _value(one: Row) -> str:
    return f"{number(one['median'])} {one['unit']}"


def _headline(one: Row) -> str:
    return str(one.get("headline", _value(one)))


def _beside(one: Row) -> str:
    ratio = f", {number(one['ratio']['median'])} times" if "ratio" in one else ""
    return f"{one['contender']} {_headline(one)}{ratio}"


def _aim(one: Row) -> str:
    if isinstance(one["value"], bool):
        return f"{one['aim']}: {'yes' if one['value'] else 'no'}"
    return f"{one['aim']}: {number(one['value'])}{'' if one['is_met'] else ' **(missed)**'}"


def _details(row: Row) -> Iterator[str]:
    low, high = row["load"]
    yield f"### {row['title'][0].upper()}{row['title'][1:]}"
    yield ""
    yield (
        f"`--rows {row['row']} --scale {row['scale']:g}`, {row['date']}, {row['rounds']} rounds, "
        f"load average {low:.1f} before and {high:.1f} after."
    )
    yield ""
    lines = row["lines"]
    facts = [fact for fact in _COLUMNS if any(fact in one for one in lines)]
    heads = ["", *(_COLUMNS[fact] for fact in facts), "median", "rounds", "ratio"]
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for one in lines:
        ratio = one.get("ratio")
        cells = [
            one["contender"],
            *(_fact(fact, one.get(fact), one["unit"]) for fact in facts),
            _value(one),
            f"{number(one['low'])} to {number(one['high'])}",
            "" if ratio is None else _ratio(ratio),
        ]
        yield f"| {' | '.join(cells)} |"
    if row.get("slopes"):
        yield ""
        yield (
            "Exponent of growth (cost = a · n^b), by least squares on logarithms: "
            + "; ".join(f"{name} {slope:.2f}" for name, slope in row["slopes"].items())
            + "."
        )


def _ratio(ratio: Row) -> str:
    spread = f" ({number(ratio['low'])} to {number(ratio['high'])})"
    return number(ratio["median"]) + (spread if ratio["low"] != ratio["high"] else "")


def _fact(name: str, value: Any, unit: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value.removeprefix("torch.")
    if isinstance(value, Sequence):  # a percentage and its interval
        return f"{number(value[0])} ({number(value[1])} to {number(value[2])})"
    match name:
        case "share":
            return f"{100.0 * value:g} %"
        case "recall" | "least_cosine":
            return f"{value:.4f}"
        case "vectors" | "photos" | "ef":
            return f"{value:,}"
        case "cpu_ms":
            return f"{number(value)} ms"
        case "p95":
            return f"{number(value)} {unit}"
        case "build_s" | "graph_s":
            return f"{number(value)} s"
        case _:
            return f"{number(value)} MB"

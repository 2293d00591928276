"""What is wrong with images, in lines: many alike findings are one."""

from collections import Counter
from collections.abc import Iterator, Sequence

from pipeline.data.packing.validating import Problem

LINES_EACH = 5  # findings of a kind that have a line each
NAMED = 3


def counted(problems: Sequence[Problem]) -> str:
    """Returns how many findings there are, and of which kinds."""
    kinds = Counter(problem.kind for problem in problems)
    told = f" ({', '.join(f'{count} {kind}' for kind, count in kinds.items())})" if kinds else ""
    return f"{len(problems)} finding{'' if len(problems) == 1 else 's'}{told}"


def lines_of(problems: Sequence[Problem]) -> Iterator[str]:
    """Yields what was found, by kind: a line for each finding, or one line for all of a kind where they are many."""
    for kind in dict.fromkeys(problem.kind for problem in problems):
        alike = [problem for problem in problems if problem.kind == kind]
        if len(alike) <= LINES_EACH:
            yield from (f"{kind}: {', '.join(one.names)}: {one.why}; {one.action}" for one in alike)
            continue
        named = ", ".join(" = ".join(one.names) for one in alike[:NAMED])
        why = alike[0].why if len({one.why for one in alike}) == 1 else f"{alike[0].why}, and the like"
        action = alike[0].action if len({one.action for one in alike}) == 1 else alike[0].action.partition(":")[0]
        yield f"{kind}: {len(alike)} ({named}, ...): {why}; {action}"

"""A cluster, examined: whether it answers, and what each of its nodes tells."""

from uuid import uuid4

from pipeline.cluster.addresses import address_of, check_ray, versions_here
from pipeline.opening import connected
from pipeline.storage.folder import Home
from pipeline.storage.room import MIB
from pipeline.workers.node_report import NodeReport, report_nodes, versions
from sweeps.gate.here import ports_and_token
from sweeps.gate.told import BAD, FINE, LOOK, Told, mistakes_told

SAME = ("Python", "ray", "fpt", "torch", "timm")  # versions that results, or talking to each other, depend on


def ray_and_nodes(address: str | None, home: Home) -> list[Told]:
    """Returns how Ray is, and how each node of its cluster: nothing is started where there is none."""
    told: list[Told] = []
    there = address_of(address)
    if there is None:
        return [Told("Ray", FINE, f"{versions_here()[0]}, which each command starts for itself, on 127.0.0.1 alone")]
    with mistakes_told("Ray", told):
        check_ray(address)
        probe = f"_probe-{uuid4().hex[:8]}"
        with connected(address):
            home.write(probe, probe.encode())
            try:
                reports = report_nodes(home.uri, probe)
            finally:
                home.delete(probe)
        told.append(Told("Ray", FINE, f"{there} answers; it has {len(reports)} nodes"))
        for node, report in reports.items():
            told += of_node(node, report)
    return told


def of_node(node: str, report: NodeReport | str) -> list[Told]:
    """Returns what a node has told, or why it has not."""
    about = f"node {node}"
    if isinstance(report, str):
        return [Told(about, BAD, report)]
    ours = versions()
    differ = [
        f"{name} {report.versions.get(name)}, here {ours[name]}"
        for name in SAME
        if report.versions.get(name) != ours[name]
    ]
    told = [Told(about, BAD if differ else FINE, f"versions as here{': not ' + ', '.join(differ) if differ else ''}")]
    gpus = f"{', '.join(report.gpus)}; driver {report.driver}" if report.gpus else "no GPU"
    free = ", ".join(f"{free / 1024 / MIB:.1f} GiB free for {place}" for place, free in report.free.items())
    told.append(Told(about, FINE, f"{report.host}: {gpus}; {free}; {report.open_files} open files"))
    if report.reads or report.writes:
        said = f"home cannot be {'read' if report.reads else 'written'}: {report.reads or report.writes}"
        told.append(Told(about, BAD, f"{said}; it must be a folder that all nodes share, or like s3://bucket/path"))
    else:
        told.append(Told(about, FINE, "the home is seen and can be written"))
    return [
        *told,
        *(
            Told(about, LOOK if one.state == BAD else one.state, f"{one.about}: {one.said}")
            for one in ports_and_token(report)
        ),
    ]
